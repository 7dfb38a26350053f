/* SPDX-License-Identifier: Apache-2.0
 *
 * `vonggac archive export` and `vonggac archive verify`: the evidence, as it came or as today's decoders read it, and the proof
 * that it is what was written. Both work on the folder, beside a running collector or without one.
 */
#include "collector/archive.h"
#include "collector/cli.h"
#include "collector/content.h"
#include "common/log.h"
#include "common/time.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#define PROGRESS_NS (200 * NS_PER_MS)
#define ARENA_MAX   (64 * MIB)
#define JSON_MAX    (16 * MIB)

struct place { /* which archive */
    const char *dir, *config;
};

#define DIR_HELP    "the archive's folder (default: as the configuration says)"
#define CONFIG_HELP "collector.yml (default: " COLLECTOR_CONFIG_DEFAULT ")"

/* A folder named on the command line needs no configuration, only what is installed. */
static int load_config(const struct place *p, struct collector_config *ret)
{
    *ret = (struct collector_config){0};
    if (p->dir && !p->config && access(COLLECTOR_CONFIG_DEFAULT, F_OK) < 0)
        return collector_config_load(NULL, ret, NULL);
    return cli_config(p->config, ret);
}

static void show_progress(uint64_t done_bytes, uint64_t total_bytes, void *ctx)
{
    int64_t *shown_ns = ctx, now_ns = time_monotonic_ns();
    if (now_ns - *shown_ns < PROGRESS_NS)
        return;
    *shown_ns = now_ns;
    fprintf(stderr, "\r%3.0f %% of %.0f MB", total_bytes ? 100.0 * (double)done_bytes / (double)total_bytes : 100.0,
            (double)total_bytes / 1e6);
}

static void end_progress(bool is_shown)
{
    if (is_shown)
        fputs("\r\033[K", stderr);
}

/* ---- export ---- */

struct export
{
    struct place place;
    bool raw, json;
    const char *from_text, *to_text, *agent_text, *host;
    int64_t from_ns, to_ns;
    uint8_t agent[ID_LEN];

    struct content *content;
    struct decode_ctx *decode;
    struct arena *arena;
    struct buf text, line; /* a batch's lines; one event as JSON */
    uint64_t bad_batches;
};

static int parse_time(const struct command *self, const char *name, const char *text, int64_t *ret_ns)
{
    bool has_zone;
    size_t len;
    if (!text)
        return 0;
    if (time_parse_rfc3339(str_of(text), ret_ns, &has_zone, &len) == 0 && len == strlen(text))
        return 0;
    cli_usage(self, "--%s: '%s' is not a time such as 2026-11-23T16:29:00+07:00", name, text);
    return -EINVAL;
}

static int parse_filters(const struct command *self, struct export *e)
{
    e->from_ns = INT64_MIN;
    e->to_ns = INT64_MAX;
    if (e->raw && e->json) {
        cli_usage(self, "--raw and --json exclude each other");
        return -EINVAL;
    }
    if (e->agent_text && id_parse(str_of(e->agent_text), e->agent) < 0) {
        cli_usage(self, "--agent: '%s' is not an agent's id", e->agent_text);
        return -EINVAL;
    }
    int r = parse_time(self, "from", e->from_text, &e->from_ns);
    return r < 0 ? r : parse_time(self, "to", e->to_text, &e->to_ns);
}

static bool is_wanted(const struct export *e, const struct archive_record *rec)
{
    return rec->ingested_ns >= e->from_ns && rec->ingested_ns < e->to_ns &&
           (!e->agent_text || memcmp(rec->batch.agent, e->agent, ID_LEN) == 0) &&
           (!e->host || str_eq(rec->batch.host, str_of(e->host)));
}

static int print_event(struct export *e, const struct decode_input *in)
{
    struct event ev;
    arena_reset(e->arena);
    buf_reset(&e->line);
    int r = decode_line(e->decode, in, e->arena, &ev);
    if (r >= 0)
        r = event_to_json(&ev, content_names(e->content), &e->line);
    if (r == 0)
        r = buf_append_z(&e->line, "\n");
    if (r == 0)
        fwrite(e->line.data, 1, e->line.len, stdout);
    return r;
}

static int print_events(struct export *e, const struct archive_record *rec)
{
    static const uint8_t nobody[ID_LEN];
    const struct batch *b = &rec->batch;
    char agent_id[ID_TEXT_LEN];
    id_format(b->agent, agent_id);
    struct decode_input in = {
        .encoding = b->encoding,
        .source = b->source,
        .type = b->type,
        .path = b->path,
        .host = b->host,
        .agent_name = b->host,
        .agent_id =
            memcmp(b->agent, nobody, ID_LEN) == 0 ? NULL : agent_id, /* the collector's own events name theirs */
        .read_ns = b->read_last_ns,
        .ingested_ns = rec->ingested_ns,
        .tz_offset_s = b->tz_offset_s,
    };
    const char *p = (const char *)e->text.data, *end = p + e->text.len;
    int r = 0;
    while (r == 0 && p < end) { /* batch_raw has checked that every line ends */
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        in.line = (struct str){p, (size_t)(newline - p)};
        r = print_event(e, &in);
        p = newline + 1;
    }
    return r;
}

static int print_record(struct export *e, const struct archive_record *rec)
{
    buf_reset(&e->text);
    int r = batch_raw(&rec->batch, &e->text);
    if (r == -EBADMSG) {
        log_error("the batch at position %" PRIu64 " cannot be unpacked", rec->pos);
        e->bad_batches++;
        return 0;
    }
    if (r == 0 && e->json)
        r = print_events(e, rec);
    else if (r == 0)
        fwrite(e->text.data, 1, e->text.len, stdout);
    return r;
}

/* Position of the last segment begun before from_ns, and where the archive ends: bytes that will be read at most. */
static int find_range(const char *dir, int64_t from_ns, uint64_t *ret_pos, uint64_t *ret_end)
{
    struct archive_segment *list = NULL;
    size_t n = 0;
    int r = archive_segments(dir, &list, &n);
    if (r < 0)
        return cli_fail("%s: %s", dir, strerror(-r));
    size_t i = n;
    while (i > 0 && list[i - 1].created_ns > from_ns)
        i--;
    *ret_pos = i > 0 ? list[i - 1].pos : 0;
    *ret_end = n > 0 ? list[n - 1].pos + list[n - 1].size_bytes : 0;
    free(list);
    return CLI_OK;
}

static int print_all(struct export *e, struct archive_reader *reader, uint64_t start, uint64_t end)
{
    struct archive_record rec;
    struct diag diag = {0};
    int64_t shown_ns = time_monotonic_ns();
    bool has_progress = isatty(STDERR_FILENO) && !isatty(STDOUT_FILENO);
    int r;
    while ((r = archive_reader_next(reader, &rec, &diag)) == 1 && rec.pos < end) { /* the end as it was when we began */
        if (diag.msg[0])
            log_error("%s", diag.msg);
        if (is_wanted(e, &rec) && (r = print_record(e, &rec)) < 0)
            break;
        if (ferror(stdout))
            break; /* main says so */
        if (has_progress)
            show_progress(rec.next_pos - start, end - start, &shown_ns);
    }
    end_progress(has_progress);
    if (r < 0)
        return cli_fail("cannot export: %s", strerror(-r));
    uint64_t damage = archive_reader_damage(reader);
    if (damage > 0 || e->bad_batches > 0)
        return cli_fail("%" PRIu64 " bytes and %" PRIu64 " batches are damaged and were left out", damage,
                        e->bad_batches);
    return CLI_OK;
}

static int export_from(struct export *e, const char *dir)
{
    uint64_t start = 0, end = 0;
    struct archive_reader *reader = NULL;
    struct diag diag = {0};
    int r = find_range(dir, e->from_ns, &start, &end);
    if (r != CLI_OK)
        return r;
    if (archive_reader_open(dir, start, &reader, &diag) < 0)
        return cli_fail("%s", diag.msg);
    r = print_all(e, reader, start, end);
    archive_reader_close(reader);
    return r;
}

static int load_decoders(struct export *e, const struct collector_config *config)
{
    struct collector_config used = {.decoders = config->decoders}; /* rules are not needed */
    struct diag diag = {0};
    if (content_load(&used, &e->content, &diag) < 0)
        return cli_fail("%s", diag.msg);
    log_diags(content_diags(e->content));
    e->decode = decode_ctx_new(content_decoders(e->content));
    e->arena = arena_new(ARENA_MAX);
    return e->decode && e->arena ? CLI_OK : cli_fail("out of memory");
}

int cli_archive_export(const struct command *self, int argc, char **argv)
{
    struct export e = {.text = BUF_INIT(BATCH_RAW_MAX), .line = BUF_INIT(JSON_MAX)};
    const struct cli_option options[] = {
        {"dir", "FOLDER", DIR_HELP, .text = &e.place.dir},
        {"config", "FILE", CONFIG_HELP, .text = &e.place.config},
        {"raw", NULL, "lines as they came (default)", .flag = &e.raw},
        {"json", NULL, "events as today's decoders read them: one ECS JSON object a line", .flag = &e.json},
        {"from", "TIME", "only what the collector received at or after this time (RFC 3339)", .text = &e.from_text},
        {"to", "TIME", "only what it received before this time", .text = &e.to_text},
        {"agent", "ID", "only this agent", .text = &e.agent_text},
        {"host", "NAME", "only lines of this host", .text = &e.host},
    };
    int r = cli_parse(self, options, ARRAY_LEN(options), 0, argc, argv, &(int){0});
    if (r != 0)
        return r > 0 ? CLI_OK : CLI_USAGE;
    if (parse_filters(self, &e) < 0)
        return CLI_USAGE;
    struct collector_config config;
    r = load_config(&e.place, &config) < 0 ? CLI_FAILED : CLI_OK;
    if (r == CLI_OK && e.json)
        r = load_decoders(&e, &config);
    if (r == CLI_OK)
        r = export_from(&e, e.place.dir ? e.place.dir : config.archive_dir);
    decode_ctx_free(e.decode);
    arena_free(e.arena);
    content_free(e.content);
    buf_clear(&e.text);
    buf_clear(&e.line);
    collector_config_clear(&config);
    return r;
}

/* ---- verify ---- */

static void print_totals(const struct archive_totals *t)
{
    char first[TIME_RFC3339_LEN] = "-", last[TIME_RFC3339_LEN] = "-";
    if (t->records > 0) {
        time_format_rfc3339(t->first_ns, first);
        time_format_rfc3339(t->last_ns, last);
    }
    printf("segments  %" PRIu64 "\nbytes     %" PRIu64 "\nbatches   %" PRIu64 "\nlines     %" PRIu64
           "\nraw bytes %" PRIu64 "\nfirst     %s\nlast      %s\n",
           t->segments, t->bytes, t->records, t->lines, t->raw_bytes, first, last);
    if (t->tail_bytes > 0)
        printf("tail      %" PRIu64 " bytes at the end are no whole batch yet\n", t->tail_bytes);
    puts("The chain of hashes and every checksum are as they were written.");
}

static void print_totals_json(const struct archive_totals *t)
{
    char first[TIME_RFC3339_LEN], last[TIME_RFC3339_LEN];
    time_format_rfc3339(t->first_ns, first);
    time_format_rfc3339(t->last_ns, last);
    printf("{\"ok\":true,\"segments\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"batches\":%" PRIu64 ",\"lines\":%" PRIu64
           ",\"raw_bytes\":%" PRIu64 ",\"tail_bytes\":%" PRIu64,
           t->segments, t->bytes, t->records, t->lines, t->raw_bytes, t->tail_bytes);
    if (t->records > 0)
        printf(",\"first\":\"%s\",\"last\":\"%s\"", first, last);
    puts("}");
}

static int verify_failed(bool json, const struct diag *diag)
{
    struct buf text = BUF_INIT(4096);
    if (json && buf_append_json(&text, str_of(diag->msg)) == 0)
        printf("{\"ok\":false,\"error\":%.*s}\n", (int)text.len, (const char *)text.data);
    buf_clear(&text);
    return cli_fail("%s", diag->msg);
}

int cli_archive_verify(const struct command *self, int argc, char **argv)
{
    struct place place = {0};
    bool json = false;
    const struct cli_option options[] = {
        {"dir", "FOLDER", DIR_HELP, .text = &place.dir},
        {"config", "FILE", CONFIG_HELP, .text = &place.config},
        {"json", NULL, "print one JSON object", .flag = &json},
    };
    int r = cli_parse(self, options, ARRAY_LEN(options), 0, argc, argv, &(int){0});
    if (r != 0)
        return r > 0 ? CLI_OK : CLI_USAGE;
    struct collector_config config;
    struct archive_totals totals;
    struct diag diag = {0};
    if (load_config(&place, &config) < 0) {
        collector_config_clear(&config);
        return CLI_FAILED;
    }
    int64_t shown_ns = time_monotonic_ns();
    bool has_progress = isatty(STDERR_FILENO);
    r = archive_verify(place.dir ? place.dir : config.archive_dir, has_progress ? show_progress : NULL, &shown_ns,
                       &totals, &diag);
    end_progress(has_progress);
    collector_config_clear(&config);
    if (r < 0)
        return verify_failed(json, &diag);
    if (json)
        print_totals_json(&totals);
    else
        print_totals(&totals);
    return CLI_OK;
}
