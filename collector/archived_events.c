/* SPDX-License-Identifier: Apache-2.0
 * See archived_events.h. */
#include "collector/archived_events.h"

#include "collector/archive.h"
#include "collector/collector.h"
#include "collector/content.h"
#include "collector/to_json.h"
#include "rules/decoder.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#define ARENA_MAX (64 * MIB)

/* A line and what its batch says about it, on their own: the reader moves on. */
struct line {
    struct event_ref ref;
    struct decode_input in;
    char agent[ID_TEXT_LEN];
    bool is_own; /* the collector's own event names its agent by itself */
    bool is_found;
};

static int copy(struct arena *arena, struct str from, struct str *to)
{
    return arena_str(arena, from, to);
}

static bool nth_line(struct str raw, uint32_t n, struct str *ret)
{
    while (raw.len > 0) {
        const char *newline = memchr(raw.p, '\n', raw.len);
        size_t len = newline ? (size_t)(newline - raw.p) : raw.len;
        if (n-- == 0) {
            *ret = (struct str){raw.p, len};
            return true;
        }
        size_t step = MIN(len + 1, raw.len);
        raw = (struct str){raw.p + step, raw.len - step};
    }
    return false;
}

static int take_line(const struct archive_record *rec, struct str raw, struct arena *arena, struct line *l)
{
    static const uint8_t nobody[ID_LEN];
    const struct batch *b = &rec->batch;
    struct str line;
    if (!nth_line(raw, l->ref.line, &line))
        return 0;
    l->in = (struct decode_input){
        .encoding = b->encoding,
        .read_ns = b->read_last_ns,
        .ingested_ns = rec->ingested_ns,
        .tz_offset_s = b->tz_offset_s,
    };
    id_format(b->agent, l->agent);
    l->is_own = memcmp(b->agent, nobody, ID_LEN) == 0;
    int r = copy(arena, line, &l->in.line);
    if (r == 0)
        r = copy(arena, b->source, &l->in.source);
    if (r == 0)
        r = copy(arena, b->type, &l->in.type);
    if (r == 0)
        r = copy(arena, b->path, &l->in.path);
    if (r == 0)
        r = copy(arena, b->host, &l->in.host);
    l->in.agent_name = l->in.host;
    l->is_found = r == 0;
    return r;
}

/* Refs come sorted by position, so each record is read and unpacked once. */
static int read_lines(const char *dir, struct line *lines, size_t n, struct arena *arena, struct diag *diag)
{
    struct archive_reader *reader = NULL;
    struct archive_record rec = {0};
    struct buf raw = BUF_INIT(BATCH_RAW_MAX);
    bool has_record = false;
    int r = archive_reader_open(dir, 0, &reader, diag);
    for (size_t i = 0; i < n && r >= 0; i++) {
        if (i == 0 || lines[i].ref.pos != lines[i - 1].ref.pos) {
            buf_reset(&raw);
            /* A reader asked for a place that is gone goes on behind it: only the very record counts. */
            has_record = archive_reader_seek(reader, lines[i].ref.pos) == 0 &&
                         archive_reader_next(reader, &rec, diag) == 1 && rec.pos == lines[i].ref.pos &&
                         batch_raw(&rec.batch, &raw) == 0;
        }
        if (has_record)
            r = take_line(&rec, buf_str(&raw), arena, &lines[i]);
    }
    buf_clear(&raw);
    archive_reader_close(reader);
    return r;
}

static int add_event(struct decode_ctx *ctx, const struct names *names, struct line *l, struct arena *arena,
                     json_t *list)
{
    struct event ev;
    struct buf text = BUF_INIT(4 * MIB);
    char ref[48];
    l->in.agent_id = l->is_own ? NULL : l->agent;
    int r = decode_line(ctx, &l->in, arena, &ev);
    if (r >= 0)
        r = event_to_json(&ev, names, &text);
    if (r == 0) {
        snprintf(ref, sizeof(ref), "%" PRIu64 ":%" PRIu32, l->ref.pos, l->ref.line);
        json_t *event = from_json(buf_str(&text));
        json_t *o = json_pack("{s:o, s:o, s:s}", "event", event ? event : json_object(), "raw",
                              to_json_text(l->in.line), "ref", ref);
        r = json_array_append_new(list, o) < 0 ? -ENOMEM : 0;
    }
    buf_clear(&text);
    return r;
}

static int decode_lines(struct collector *c, struct line *lines, size_t n, struct arena *arena, json_t *list)
{
    const struct content *content = collector_content_lock(c);
    struct decode_ctx *ctx = decode_ctx_new(content_decoders(content));
    int r = ctx ? 0 : -ENOMEM;
    for (size_t i = 0; i < n && r >= 0; i++) {
        if (lines[i].is_found)
            r = add_event(ctx, content_names(content), &lines[i], arena, list);
    }
    decode_ctx_free(ctx);
    collector_content_unlock(c);
    return r;
}

int archived_events_json(struct collector *c, const struct event_ref *refs, size_t n, json_t **ret, size_t *ret_missing,
                         struct diag *diag)
{
    struct line *lines = calloc(n ? n : 1, sizeof(*lines));
    struct arena *arena = arena_new(ARENA_MAX);
    json_t *list = json_array();
    int r = lines && arena && list ? 0 : -ENOMEM;
    for (size_t i = 0; i < n && r == 0; i++)
        lines[i].ref = refs[i];
    if (r == 0 && n > 0)
        r = read_lines(c->config.archive_dir, lines, n, arena, diag);
    if (r >= 0)
        r = decode_lines(c, lines, n, arena, list);
    arena_free(arena);
    free(lines);
    if (r < 0) {
        json_decref(list);
        return r;
    }
    *ret = list;
    *ret_missing = n - json_array_size(list);
    return 0;
}
