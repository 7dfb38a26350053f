/* SPDX-License-Identifier: Apache-2.0
 *
 * See hits.h. Group keys are written here, while the event is at hand, for all the correlations above a detection: what a
 * correlation triggers later has no event to ask.
 */
#include "rules/hits.h"

#include <errno.h>

#define REPEATED_MAX 10000
#define KEYS_MAX     (1 * MIB)

int hits_init(struct hits *h, const struct ruleset *rs, size_t memory_max)
{
    *h = (struct hits){.keys = BUF_INIT(KEYS_MAX)};
    h->correlator = correlator_new(rs->n_correlations, memory_max);
    return h->correlator ? 0 : -ENOMEM;
}

void hits_clear(struct hits *h)
{
    h->correlator = correlator_free(h->correlator);
    buf_clear(&h->keys);
}

void hits_begin(struct hits *h, struct matcher *m, const struct event *ev, match_fn on_match, void *ctx)
{
    h->m = m;
    h->ev = ev;
    h->on_match = on_match;
    h->ctx = ctx;
    h->event_number++;
}

void hits_end(struct hits *h)
{
    correlator_trim(h->correlator, h->ev->ts_ns);
}

static void explain(struct hits *h)
{
    if (!h->has_matched)
        h->matched = matcher_explain(h->m, h->plan, &h->n_matched);
    h->has_matched = true;
}

static void on_correlated(const struct correlated *c, void *ctx)
{
    struct hits *h = ctx;
    struct field group[GROUP_BY_MAX];
    const uint8_t *key = c->key;
    for (size_t i = 0; i < c->correlation->n_group; i++) {
        uint32_t len = get_u32(key);
        group[i] = (struct field){.key = c->correlation->group_names[i], .type = VALUE_STR};
        group[i].s = (struct str){(const char *)key + 4, len};
        key += 4 + len;
    }
    explain(h);
    h->on_match(
        &(struct match){
            .rule = &c->correlation->entry->pub,
            .event = h->ev,
            .trigger = &h->ev->ref,
            .matched = h->matched,
            .n_matched = h->n_matched,
            .group = group,
            .n_group = c->correlation->n_group,
            .period_start_ns = c->period_start_ns,
            .first_ns = c->first_ns,
            .last_ns = c->last_ns,
            .count = c->count,
            .refs = c->refs,
            .n_refs = c->n_refs,
        },
        h->ctx);
}

/* Appends the group key for one edge, or KEY_MISSING when the event lacks a field. */
static int append_key(struct hits *h, const struct edge *edge)
{
    size_t start = h->keys.len;
    int err = buf_append_u32(&h->keys, 0);
    for (size_t g = 0; err == 0 && g < edge->to->n_group; g++) {
        const struct value *v = matcher_value(h->m, h->plan->map[edge->fields[g]]);
        if (!v || v->type == VALUE_NULL) {
            h->keys.len = start + 4;
            put_u32(h->keys.data + start, KEY_MISSING);
            return 0;
        }
        size_t len = MIN(v->text.len, (size_t)KEY_VALUE_MAX);
        err = buf_append_u32(&h->keys, (uint32_t)len);
        err = err < 0 ? err : buf_append(&h->keys, v->text.p, len);
    }
    if (err < 0)
        return -ENOMEM;
    put_u32(h->keys.data + start, (uint32_t)(h->keys.len - start - 4));
    return 0;
}

/* A line of rsyslog's "message repeated 5 times" stands for five. */
static uint32_t repeated(const struct hits *h)
{
    const struct field *f = event_get(h->ev, F_VONGGAC_REPEATED);
    return f && f->type == VALUE_INT && f->i > 1 ? (uint32_t)MIN(f->i, (int64_t)REPEATED_MAX) : 1;
}

static int correlate(struct hits *h)
{
    const struct rule_entry *e = h->plan->entry;
    buf_reset(&h->keys);
    for (size_t i = 0; i < e->n_edges; i++)
        if (append_key(h, &e->edges[i]) < 0)
            return -ENOMEM;
    struct hit hit = {h->ev->ts_ns, h->ev->ref, h->event_number, repeated(h)};
    return correlator_feed(h->correlator, e->edges, e->n_edges, h->keys.data, &hit, on_correlated, h);
}

int hits_add(struct hits *h, const struct plan *plan)
{
    h->plan = plan;
    h->has_matched = false;
    if (!plan->entry->pub.is_silent) {
        explain(h);
        h->matches++;
        h->on_match(&(struct match){.rule = &plan->entry->pub,
                                    .event = h->ev,
                                    .trigger = &h->ev->ref,
                                    .matched = h->matched,
                                    .n_matched = h->n_matched,
                                    .count = 1,
                                    .first_ns = h->ev->ts_ns,
                                    .last_ns = h->ev->ts_ns},
                    h->ctx);
    }
    return plan->entry->n_edges ? correlate(h) : 0;
}

void hits_stats(const struct hits *h, struct matcher_stats *ret)
{
    ret->events = h->event_number;
    ret->matches = h->matches;
    correlator_stats(h->correlator, ret);
}
