/* SPDX-License-Identifier: Apache-2.0
 *
 * `vonggac decode`: what the collector would make of these lines, one event as ECS JSON a line. For people who ask why a
 * rule did not fire, or who write a decoder: --explain says which decoder and pattern won. Reads a file or standard
 * input; a line is cut where an agent would cut it.
 */
#include "collector/cli.h"

#include "collector/content.h"
#include "common/log.h"
#include "common/time.h"

#include <errno.h>
#include <stdio.h>

struct options {
    const char *config, *type, *path, *encoding;
    struct cli_list decoders;
    bool explain;
};

struct decoding {
    const struct options *o;
    const struct content *content;
    struct decode_ctx *ctx;
    struct arena *arena;
    struct decode_input in; /* the same for all lines but the line */
    struct buf line, json;
    uint64_t cut;
};

/* The folders of --decoders alone, or what the configuration says; without one, what is installed. Rules are not needed. */
static int load_content(const struct options *o, struct content **ret)
{
    struct collector_config config = {0}, used = {0};
    char *items[CLI_LIST_MAX];
    struct diag diag = {0};
    int r = 0;
    if (o->decoders.n) {
        for (size_t i = 0; i < o->decoders.n; i++)
            items[i] = (char *)(uintptr_t)o->decoders.items[i]; /* the list is only read */
        used.decoders = (struct strlist){items, o->decoders.n};
    } else {
        if (!o->config && access(COLLECTOR_CONFIG_DEFAULT, F_OK) < 0)
            r = collector_config_load(NULL, &config, NULL);
        else
            r = cli_config(o->config, &config);
        used.decoders = config.decoders;
    }
    if (r == 0 && (r = content_load(&used, ret, &diag)) < 0)
        cli_fail("%s", diag.msg);
    if (r == 0)
        log_diags(content_diags(*ret));
    collector_config_clear(&config);
    return r;
}

/* One line without its newline into b, cut at BATCH_LINE_MAX. 1, 0 at the end, or -ENOMEM. */
static int read_line(FILE *f, struct buf *b, uint64_t *cut)
{
    int c, n = 0;
    bool is_cut = false;
    buf_reset(b);
    while ((c = getc_unlocked(f)) != EOF && c != '\n') {
        n = 1;
        if (b->len == BATCH_LINE_MAX) {
            is_cut = true;
            continue;
        }
        const char byte = (char)c;
        if (buf_append(b, &byte, 1) < 0)
            return -ENOMEM;
    }
    *cut += is_cut;
    return n || c == '\n';
}

static void print_why(const struct decoding *d)
{
    struct decode_why why;
    if (!decode_explain(d->ctx, &why))
        puts("# no decoder knows this line");
    else
        printf("# %s, %s:%d: %s\n", why.decoder, why.file, why.line, why.pattern);
}

static int decode_one(struct decoding *d)
{
    struct event ev;
    arena_reset(d->arena);
    buf_reset(&d->json);
    d->in.line = buf_str(&d->line);
    if (decode_line(d->ctx, &d->in, d->arena, &ev) < 0 || event_to_json(&ev, content_names(d->content), &d->json) < 0)
        return cli_fail("out of memory");
    if (d->o->explain)
        print_why(d);
    fwrite(d->json.data, 1, d->json.len, stdout);
    putchar('\n');
    return CLI_OK;
}

static int decode_all(struct decoding *d, FILE *f)
{
    int r;
    while ((r = read_line(f, &d->line, &d->cut)) == 1) {
        if (d->line.len && decode_one(d) != CLI_OK)
            return CLI_FAILED;
    }
    if (r < 0)
        return cli_fail("out of memory");
    if (ferror(f))
        return cli_fail("cannot read: %s", strerror(errno));
    return CLI_OK;
}

static void print_summary(const struct decoding *d)
{
    struct decode_stats st;
    decode_stats(d->ctx, &st);
    fprintf(stderr, "%lu lines, %lu decoded, %lu unknown", (unsigned long)st.lines, (unsigned long)st.known,
            (unsigned long)(st.lines - st.known));
    if (st.bad_records)
        fprintf(stderr, ", %lu not JSON", (unsigned long)st.bad_records);
    if (st.limit_hits)
        fprintf(stderr, ", %lu patterns given up", (unsigned long)st.limit_hits);
    if (st.dropped_fields)
        fprintf(stderr, ", %lu fields dropped", (unsigned long)st.dropped_fields);
    if (d->cut)
        fprintf(stderr, ", %lu cut", (unsigned long)d->cut);
    fputc('\n', stderr);
}

static int run(const struct options *o, const struct content *content, uint8_t encoding, FILE *f)
{
    static char host[256];
    struct decoding d = {
        .o = o,
        .content = content,
        .ctx = decode_ctx_new(content_decoders(content)),
        .arena = arena_new(16 * MIB),
        .line = BUF_INIT(BATCH_LINE_MAX),
        .json = BUF_INIT(16 * MIB),
    };
    int64_t now_ns = time_now_ns();
    gethostname(host, sizeof(host) - 1);
    d.in = (struct decode_input){
        .encoding = encoding,
        .type = str_of(o->type),
        .path = str_of(o->path),
        .host = str_of(host),
        .read_ns = now_ns,
        .ingested_ns = now_ns,
        .tz_offset_s = time_local_offset_s(now_ns),
    };
    int r = d.ctx && d.arena ? decode_all(&d, f) : cli_fail("out of memory");
    if (r == CLI_OK && (o->explain || isatty(STDERR_FILENO)))
        print_summary(&d);
    decode_ctx_free(d.ctx);
    arena_free(d.arena);
    buf_clear(&d.line);
    buf_clear(&d.json);
    return r;
}

static int encoding_of(const char *name)
{
    if (!name || strcmp(name, "text") == 0)
        return BATCH_TEXT;
    if (strcmp(name, "journal") == 0)
        return BATCH_JOURNAL;
    return strcmp(name, "ecs") == 0 ? BATCH_ECS : -1;
}

int cli_decode(const struct command *self, int argc, char **argv)
{
    struct options o = {0};
    const struct cli_option options[] = {
        {"type", "TYPE", "what the lines are, as agent.yml may say it: nginx.access, apache.access, iptables.log",
         .text = &o.type},
        {"path", "PATH", "the file they stand in, where decoders go by it", .text = &o.path},
        {"encoding", "NAME", "text (default), journal (journalctl -o json) or ecs", .text = &o.encoding},
        {"decoders", "PATH", "use these decoders only; a file or a folder, may be repeated", .list = &o.decoders},
        {"explain", NULL, "say which decoder and pattern won", .flag = &o.explain},
        {"config", "FILE", "collector.yml that names the decoders (default: " COLLECTOR_CONFIG_DEFAULT ")",
         .text = &o.config},
    };
    int n, r = cli_parse(self, options, ARRAY_LEN(options), 1, argc, argv, &n);
    if (r != 0)
        return r > 0 ? CLI_OK : CLI_USAGE;
    int encoding = encoding_of(o.encoding);
    if (encoding < 0)
        return cli_usage(self, "unknown encoding '%s'", o.encoding);
    bool is_stdin = n == 0 || strcmp(argv[0], "-") == 0;
    FILE *f = is_stdin ? stdin : fopen(argv[0], "re");
    if (!f)
        return cli_fail("%s: %s", argv[0], strerror(errno));
    struct content *content = NULL;
    r = load_content(&o, &content) < 0 ? CLI_FAILED : run(&o, content, (uint8_t)encoding, f);
    content_free(content);
    if (!is_stdin)
        fclose(f);
    return r;
}
