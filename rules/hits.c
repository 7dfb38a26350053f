/* SPDX-License-Identifier: Apache-2.0
 *
 * See hits.h. A matcher on its own is a correlator of one shard that is run after each event.
 */
#include "rules/hits.h"

#include "rules/correlator_impl.h"

#include <errno.h>
#include <math.h>

#define REPEATED_MAX 10000
#define KEYS_MAX     (1 * MIB)
#define NUMBER_MAX   64 /* digits of a number in text */

/* ---- life ---- */

int hits_init(struct hits *h, const struct ruleset *rs, const struct matcher_options *options)
{
    *h = (struct hits){.keys = BUF_INIT(KEYS_MAX)};
    h->correlator = correlator_new(rs, options, 1);
    h->own = h->correlator ? hit_batch_new(h->correlator) : NULL;
    return h->own ? 0 : -ENOMEM;
}

void hits_clear(struct hits *h)
{
    h->own = hit_batch_free(h->own);
    h->correlator = correlator_free(h->correlator);
    buf_clear(&h->keys);
}

/* ---- what the correlations above want of the event ---- */

static const struct value *edge_value(struct hits *h, const struct plan *plan, const struct edge *edge, size_t i)
{
    const struct value *v = matcher_value(h->m, plan->map[edge->fields[i]]);
    return v && v->type != VALUE_NULL ? v : NULL;
}

static int append_text(struct buf *to, struct str s)
{
    size_t len = MIN(s.len, (size_t)KEY_VALUE_MAX);
    int err = buf_append_u16(to, (uint16_t)len);
    return err < 0 ? err : buf_append(to, s.p, len);
}

static bool number_of(const struct value *v, double *ret)
{
    char text[NUMBER_MAX + 1], *end;
    if (v->field && v->field->type != VALUE_STR) {
        *ret = v->field->type == VALUE_INT ? (double)v->field->i : v->field->type == VALUE_FLOAT ? v->field->f : NAN;
        return isfinite(*ret);
    }
    struct str s = str_trim(v->text);
    if (s.len == 0 || s.len > NUMBER_MAX)
        return false;
    for (size_t i = 0; i < s.len; i++) /* decimal only: no hexadecimal, no names */
        if (!strchr("0123456789+-.eE", s.p[i]) || s.p[i] == '\0')
            return false;
    memcpy(text, s.p, s.len);
    text[s.len] = '\0';
    *ret = strtod(text, &end);
    return *end == '\0' && isfinite(*ret);
}

/* The value a correlation counts or computes with; -ENOENT where the event has none. */
static int append_value(struct hits *h, const struct plan *plan, const struct edge *edge)
{
    const struct correlation *c = edge->to;
    size_t start = h->keys.len;
    uint64_t bits = 0;
    double number = 0;
    int err = 0;
    for (size_t i = 0; err == 0 && i < c->n_values; i++) {
        const struct value *v = edge_value(h, plan, edge, c->n_group + i);
        if (!v || (c->type != CORRELATION_VALUE_COUNT && !number_of(v, &number)))
            return -ENOENT;
        if (c->type != CORRELATION_VALUE_COUNT)
            memcpy(&bits, &number, sizeof(bits));
        else
            err = append_text(&h->keys, v->text);
    }
    const struct hit_batch *batch = h->batch ? h->batch : h->own; /* all detectors of a correlator hash alike */
    if (c->type == CORRELATION_VALUE_COUNT && err == 0)
        bits = sip_hash(batch->co->secret, 1, h->keys.data + start, h->keys.len - start);
    h->keys.len = start;
    return err < 0 || c->n_values == 0 ? err : buf_append_u64(&h->keys, bits);
}

/* Appends the group key for one edge, or KEY_MISSING when the event lacks a field. */
static int append_key(struct hits *h, const struct plan *plan, const struct edge *edge)
{
    size_t start = h->keys.len;
    int err = buf_append_u32(&h->keys, 0);
    err = err < 0 ? err : append_value(h, plan, edge);
    size_t key = h->keys.len;
    for (size_t g = 0; err == 0 && g < edge->to->n_group; g++) {
        const struct value *v = edge_value(h, plan, edge, g);
        err = v ? append_text(&h->keys, v->text) : -ENOENT;
    }
    if (err == -ENOENT)
        h->keys.len = start + 4;
    else if (err < 0)
        return -ENOMEM;
    put_u32(h->keys.data + start, err == -ENOENT ? KEY_MISSING : (uint32_t)(h->keys.len - key));
    return 0;
}

/* A line of rsyslog's "message repeated 5 times" stands for five. */
static uint32_t repeated(const struct hits *h)
{
    const struct field *f = event_get(h->ev, F_VONGGAC_REPEATED);
    return f && f->type == VALUE_INT && f->i > 1 ? (uint32_t)MIN(f->i, (int64_t)REPEATED_MAX) : 1;
}

static int write_hit(struct hits *h, struct hit_batch *batch, const struct plan *plan)
{
    const struct rule_entry *e = plan->entry;
    buf_reset(&h->keys);
    for (size_t i = 0; i < e->n_edges; i++)
        if (append_key(h, plan, &e->edges[i]) < 0)
            return -ENOMEM;
    struct hit common = {.ts_ns = h->ev->ts_ns, .newest_ns = batch->newest_ns, .ref = h->ev->ref, .count = repeated(h)};
    return hit_batch_add(batch, e->edges, e->n_edges, h->keys.data, &common);
}

/* ---- an event ---- */

void hits_begin(struct hits *h, struct matcher *m, const struct event *ev, match_fn on_match, void *ctx)
{
    struct hit_batch *batch = h->batch ? h->batch : h->own;
    h->m = m;
    h->ev = ev;
    h->on_match = on_match;
    h->ctx = ctx;
    h->n_plans = 0;
    h->events++;
    if (!h->batch)
        hit_batch_reset(batch);
    int64_t seen_ns =
        ev->ingested_ns ? MIN(ev->ts_ns, ev->ingested_ns) : ev->ts_ns; /* a clock that is ahead makes nobody late */
    batch->newest_ns = MAX(batch->newest_ns, seen_ns);
    batch->has_events = true;
}

int hits_add(struct hits *h, const struct plan *plan)
{
    if (!plan->entry->pub.is_silent) {
        size_t n_matched;
        const struct matched *matched = matcher_explain(h->m, plan, &n_matched);
        h->matches++;
        h->on_match(&(struct match){.rule = &plan->entry->pub,
                                    .event = h->ev,
                                    .trigger = &h->ev->ref,
                                    .matched = matched,
                                    .n_matched = n_matched,
                                    .count = 1,
                                    .first_ns = h->ev->ts_ns,
                                    .last_ns = h->ev->ts_ns},
                    h->ctx);
    }
    if (plan->entry->n_edges == 0)
        return 0;
    if (h->n_plans < HIT_PLANS_MAX)
        h->plans[h->n_plans++] = plan;
    return write_hit(h, h->batch ? h->batch : h->own, plan);
}

/* The detection by way of which the event came to a correlation. */
static const struct plan *plan_below(const struct hits *h, const struct rule *rule)
{
    for (size_t i = 0; i < h->n_plans; i++)
        for (size_t k = 0; k < h->plans[i]->entry->n_edges; k++)
            if (&h->plans[i]->entry->edges[k].to->entry->pub == rule)
                return h->plans[i];
    return NULL;
}

/* A match of the correlator; the event is at hand when it is the trigger. */
static void pass_on(const struct match *match, void *ctx)
{
    struct hits *h = ctx;
    struct match with = *match;
    const struct event_ref *t = match->trigger;
    if (h->ev && t && t->pos == h->ev->ref.pos && t->line == h->ev->ref.line) {
        const struct plan *plan = plan_below(h, match->rule);
        with.event = h->ev;
        if (plan)
            with.matched = matcher_explain(h->m, plan, &with.n_matched);
    }
    h->on_match(&with, h->ctx);
}

static int run(struct hits *h, struct hit_batch *const *batches, size_t n, int64_t now_ns)
{
    int ret = 0;
    correlator_begin(h->correlator, batches, n, now_ns);
    for (unsigned level = 1; level <= correlator_levels(h->correlator); level++) {
        int err = correlator_run(h->correlator, 0, level, pass_on, h);
        ret = err < 0 ? err : ret;
    }
    correlator_end(h->correlator);
    return ret;
}

int hits_end(struct hits *h)
{
    int ret = h->batch ? 0 : run(h, &h->own, 1, INT64_MIN);
    h->ev = NULL;
    return ret;
}

void hits_stats(const struct hits *h, struct matcher_stats *ret)
{
    ret->events = h->events;
    ret->matches = h->matches;
    correlator_stats(h->correlator, ret);
}

/* ---- the matcher's interface to this half of it ---- */

int matcher_detect(struct matcher *m, const struct event *ev, struct hit_batch *hits, match_fn on_match, void *ctx)
{
    struct hits *h = matcher_hits(m);
    h->batch = hits;
    int ret = matcher_eval(m, ev, on_match, ctx);
    h->batch = NULL;
    return ret;
}

int matcher_advance(struct matcher *m, int64_t now_ns, match_fn on_match, void *ctx)
{
    struct hits *h = matcher_hits(m);
    h->on_match = on_match;
    h->ctx = ctx;
    return run(h, NULL, 0, now_ns);
}

int matcher_flush(struct matcher *m, match_fn on_match, void *ctx)
{
    return matcher_advance(m, INT64_MAX, on_match, ctx);
}

int matcher_adopt(struct matcher *m, struct matcher *from)
{
    return correlator_adopt(matcher_hits(m)->correlator, matcher_hits(from)->correlator);
}
