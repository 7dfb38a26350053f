/* SPDX-License-Identifier: Apache-2.0
 *
 * See evaluate.h. The arena is reset after every line, so that a batch is worked on in memory that stays in the
 * processor's cache; only when a line has matched does it live on until its alert has been put into text.
 */
#include "collector/evaluate.h"

#include "collector/stats.h"
#include "rules/matcher.h"

#include <errno.h>

#define ARENA_MAX    (64 * MIB)
#define ARENA_SETTLE (16 * MIB) /* alerts are put into text when their events hold so much */

int evaluate_open(struct evaluator *e, const struct content *content, sqlite3 *db, size_t state_memory,
                  struct diag *diag)
{
    *e = (struct evaluator){
        .content = content,
        .raw = BUF_INIT(BATCH_RAW_MAX),
        .state_memory = state_memory,
        .horizon_ns = ruleset_horizon_ns(content_ruleset(content)),
        .floor_ns = INT64_MIN,
        .deepest_ns = INT64_MIN,
    };
    e->decode = decode_ctx_new(content_decoders(content));
    e->matcher = matcher_new(content_ruleset(content), state_memory);
    e->arena = arena_new(ARENA_MAX);
    int r = 0;
    if (!e->decode || !e->matcher || !e->arena)
        r = diag_set(diag, -ENOMEM, "out of memory");
    if (r == 0)
        r = alerts_new(db, content_names(content), &e->alerts, diag);
    if (r < 0)
        evaluate_close(e);
    return r;
}

void evaluate_close(struct evaluator *e)
{
    e->alerts = alerts_free(e->alerts);
    e->matcher = matcher_free(e->matcher);
    e->decode = decode_ctx_free(e->decode);
    e->arena = arena_free(e->arena);
    buf_clear(&e->raw);
}

int evaluate_forget(struct evaluator *e, int64_t floor_ns)
{
    struct matcher *fresh = matcher_new(content_ruleset(e->content), e->state_memory);
    if (!fresh)
        return -ENOMEM;
    evaluate_count(e);
    matcher_free(e->matcher);
    e->matcher = fresh;
    e->counted = (struct matcher_stats){0};
    e->floor_ns = floor_ns;
    return 0;
}

int evaluate_adopt(struct evaluator *e, struct evaluator *from)
{
    evaluate_count(from);
    int missing = matcher_adopt(e->matcher, from->matcher);
    e->floor_ns = from->floor_ns;
    e->deepest_ns = from->deepest_ns;
    return missing;
}

struct match_ctx {
    struct evaluator *e;
    const struct alert_place *place;
    int err;
};

static void on_match(const struct match *m, void *ctx)
{
    struct match_ctx *x = ctx;
    int r = alerts_collect(x->e->alerts, m, x->place);
    if (r < 0)
        x->err = r;
}

static void on_match_read_back(const struct match *m, void *ctx)
{
    (void)m, (void)ctx;
}

/* Gives the arena back unless an alert still borrows from it. */
static int recycle(struct evaluator *e, bool is_last)
{
    if (alerts_is_unsettled(e->alerts)) {
        if (!is_last && arena_used(e->arena) < ARENA_SETTLE)
            return 0;
        int r = alerts_settle(e->alerts);
        if (r < 0)
            return r;
    }
    arena_reset(e->arena);
    return 0;
}

static int evaluate_line(struct evaluator *e, const struct decode_input *in, struct event_ref ref,
                         enum evaluate_mode mode, const struct alert_place *place, int64_t *ret_need_ns)
{
    struct event ev;
    int r = decode_line(e->decode, in, e->arena, &ev);
    if (r < 0)
        return r;
    if (r == 0)
        stat_add(STAT_DECODED_UNKNOWN, mode == EVALUATE);
    ev.ref = ref;
    if (mode == EVALUATE && e->horizon_ns > 0 && e->floor_ns != INT64_MIN && ev.ts_ns < e->floor_ns + e->horizon_ns) {
        *ret_need_ns = ev.ts_ns - e->horizon_ns;
        if (*ret_need_ns >= e->deepest_ns)
            return -ESTALE;
        stat_add(STAT_LATE_EVENTS, 1);
    }
    struct match_ctx x = {.e = e, .place = place};
    r = matcher_eval(e->matcher, &ev, mode == EVALUATE ? on_match : on_match_read_back, &x);
    if (r == -ENOMEM)
        stat_add(STAT_EVAL_ERRORS, 1); /* evaluated, but its group could not be kept: told by its counter */
    return x.err;
}

int evaluate_advance(struct evaluator *e, int64_t now_ns)
{
    struct match_ctx x = {.e = e};
    int r = matcher_advance(e->matcher, now_ns, on_match, &x);
    if (r == -ENOMEM)
        stat_add(STAT_EVAL_ERRORS, 1);
    return x.err;
}

/* Where a record stands in its stream (alert.h). */
static uint64_t position_of(const struct batch *b, size_t offset, uint32_t line)
{
    if (b->encoding != BATCH_TEXT)
        return b->start + line;
    return b->flags & BATCH_IRREGULAR ? b->start : b->start + offset;
}

int evaluate_batch(struct evaluator *e, const struct archive_record *rec, enum evaluate_mode mode,
                   evaluate_full_fn on_full, void *ctx, int64_t *ret_need_ns, struct diag *diag)
{
    static const uint8_t nobody[ID_LEN];
    const struct batch *b = &rec->batch;
    char agent_id[ID_TEXT_LEN];
    id_format(b->agent, agent_id);
    buf_reset(&e->raw);
    int r = batch_raw(b, &e->raw);
    if (r < 0)
        return diag_set(diag, r, "the batch at %llu cannot be unpacked: %s", (unsigned long long)rec->pos,
                        strerror(-r));

    struct decode_input in = {
        .encoding = b->encoding,
        .source = b->source,
        .type = b->type,
        .path = b->path,
        .host = b->host,
        .agent_name = b->host,
        .agent_id = memcmp(b->agent, nobody, ID_LEN) == 0 ? NULL : agent_id, /* our own events name theirs */
        .read_ns = b->read_last_ns,
        .ingested_ns = rec->ingested_ns,
        .tz_offset_s = b->tz_offset_s,
    };
    const char *base = (const char *)e->raw.data;
    uint32_t line = 0;
    for (size_t at = 0; r == 0 && at < e->raw.len; line++) {
        const char *newline = memchr(base + at, '\n', e->raw.len - at);
        size_t len = newline ? (size_t)(newline - (base + at)) : e->raw.len - at;
        struct alert_place place = {.batch = b, .agent_id = agent_id, .position = position_of(b, at, line)};
        in.line = (struct str){base + at, len};
        r = evaluate_line(e, &in, (struct event_ref){rec->pos, line}, mode, &place, ret_need_ns);
        if (r == 0)
            r = recycle(e, false);
        if (r == 0 && alerts_is_full(e->alerts)) {
            r = recycle(e, true);
            if (r == 0)
                r = on_full(ctx);
        }
        at += len + 1;
    }
    int settled = recycle(e, true);
    return r < 0 ? r : settled;
}

void evaluate_count(struct evaluator *e)
{
    struct matcher_stats m;
    struct decode_stats d;
    matcher_stats(e->matcher, &m);
    decode_stats(e->decode, &d);
    stat_set(STAT_GROUPS, (int64_t)m.groups);
    stat_set(STAT_GROUP_BYTES, (int64_t)m.group_bytes);
    stat_add(STAT_EVICTED_LIVE, (int64_t)(m.evicted_live - e->counted.evicted_live));
    stat_add(STAT_LATE_EVENTS, (int64_t)(m.late_hits - e->counted.late_hits));
    stat_add(STAT_DROPPED_HITS, (int64_t)(m.dropped_hits - e->counted.dropped_hits));
    stat_add(STAT_REGEX_GAVE_UP,
             (int64_t)(m.regex_gave_up - e->counted.regex_gave_up + d.limit_hits - e->decode_counted.limit_hits));
    stat_add(STAT_BAD_RECORDS, (int64_t)(d.bad_records - e->decode_counted.bad_records));
    stat_add(STAT_DROPPED_FIELDS, (int64_t)(d.dropped_fields - e->decode_counted.dropped_fields));
    e->counted = m;
    e->decode_counted = d;
}
