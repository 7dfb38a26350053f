/* SPDX-License-Identifier: Apache-2.0
 *
 * See window.h. This file: the moving window and its upkeep. What conditions say of it: aggregate.c (values) and here (rules).
 *
 * Rules in time need no removal: for each rule the last time it hit is kept, and for each alternative of temporal_ordered the latest
 * moment from which the chain of rules up to each one can have begun (`since`).
 */
#include "rules/aggregate.h"

#include <errno.h>

#define SMALL 32 /* cells that are looked at one by one */

/* ---- life ---- */

static size_t n_times(const struct correlation *c)
{
    return c->n_rules * (1 + (c->type == CORRELATION_TEMPORAL_ORDERED ? c->n_terms : 0));
}

static void window_reset(struct groups *gs, const struct group *g, struct window *w)
{
    const struct correlation *c = share_of(gs, g)->c;
    w->lo = w->hi = 0;
    w->run_mask = 0;
    w->run_ns = INT64_MIN;
    for (size_t i = 0; w->times && i < n_times(c); i++)
        w->times[i] = INT64_MIN;
    aggregate_reset(w);
}

static struct window *window_new(struct groups *gs, const struct group *g)
{
    const struct correlation *c = share_of(gs, g)->c;
    struct window *w = group_alloc(gs, g, sizeof(*w));
    if (!w)
        return NULL;
    *w = (struct window){.lo = 0};
    if (c->type >= CORRELATION_TEMPORAL) {
        w->times = group_alloc(gs, g, n_times(c) * sizeof(*w->times));
        if (!w->times) {
            group_release(gs, g, w, sizeof(*w));
            return NULL;
        }
    }
    window_reset(gs, g, w);
    return w;
}

void window_free(struct groups *gs, const struct group *g, struct window *w)
{
    if (!w)
        return;
    aggregate_free(gs, g, w);
    group_release(gs, g, w->times, n_times(share_of(gs, g)->c) * sizeof(*w->times));
    group_release(gs, g, w, sizeof(*w));
}

void windows_done(struct groups *gs, struct windows *ws)
{
    window_free(gs, ws->of, ws->spare);
    *ws = (struct windows){.of = NULL};
}

/* ---- rules in time ---- */

static void take_rules(const struct correlation *c, struct window *w, int64_t ts_ns, uint64_t mask)
{
    w->run_mask = w->run_ns == ts_ns ? w->run_mask | mask : mask;
    w->run_ns = ts_ns;
    for (uint64_t left = mask; left; left &= left - 1)
        w->times[__builtin_ctzll(left)] = ts_ns;
    for (size_t t = 0; c->type == CORRELATION_TEMPORAL_ORDERED && t < c->n_terms; t++) {
        int64_t *since = w->times + c->n_rules * (t + 1), begun = ts_ns;
        for (uint64_t left = c->terms[t].need; left; left &= left - 1) {
            int rule = __builtin_ctzll(left);
            if (w->run_mask >> rule & 1)
                since[rule] = begun;
            begun = since[rule];
        }
    }
}

static bool rules_hold(const struct correlation *c, uint64_t mask)
{
    for (size_t t = 0; t < c->n_terms; t++)
        if ((c->terms[t].need & ~mask) == 0 && (c->terms[t].absent & mask) == 0)
            return true;
    return c->n_terms == 0 && bounds_hold(c, (fixed)__builtin_popcountll(mask) * FIXED_ONE, 1);
}

static int last_rule(const struct term *t)
{
    return 63 - __builtin_clzll(t->need);
}

static uint64_t times_hold(const struct correlation *c, const struct window *w)
{
    uint64_t mask = 0, ends = 0;
    for (size_t r = 0; r < c->n_rules; r++)
        mask |= (uint64_t)in_window(c, w->times[r], w->run_ns) << r;
    if (c->type == CORRELATION_TEMPORAL)
        return rules_hold(c, mask) ? WINDOW_HOLDS : 0;
    for (size_t t = 0; t < c->n_terms; t++) {
        int last = last_rule(&c->terms[t]);
        int64_t since = w->times[c->n_rules * (t + 1) + (size_t)last];
        if ((w->run_mask >> last & 1) && since != INT64_MIN && in_window(c, since, w->run_ns) &&
            (c->terms[t].absent & mask) == 0)
            ends |= UINT64_C(1) << last;
    }
    return ends;
}

static uint64_t mask_at(const struct groups *gs, const struct group *g, size_t i)
{
    return *cell_extra(cell_at(gs, g, i));
}

/* The same for a small window, cell by cell. */
static bool term_ends(const struct groups *gs, const struct group *g, const struct term *t, size_t first, size_t end)
{
    int64_t since[CORRELATION_RULES_MAX];
    int last = last_rule(t);
    uint64_t run = 0;
    for (uint64_t left = t->need; left; left &= left - 1)
        since[__builtin_ctzll(left)] = INT64_MIN;
    for (size_t i = first; i < end;) {
        int64_t ts_ns = cell_at(gs, g, i)->ts_ns, begun = ts_ns;
        for (run = 0; i < end && cell_at(gs, g, i)->ts_ns == ts_ns; i++)
            run |= mask_at(gs, g, i);
        for (uint64_t left = t->need; left; left &= left - 1) {
            int rule = __builtin_ctzll(left);
            if (run >> rule & 1)
                since[rule] = begun;
            begun = since[rule];
        }
    }
    return (run >> last & 1) && since[last] != INT64_MIN;
}

static uint64_t small_rules_hold(const struct groups *gs, const struct group *g, size_t first, size_t end)
{
    const struct correlation *c = share_of(gs, g)->c;
    uint64_t mask = 0, ends = 0;
    for (size_t i = first; i < end; i++)
        mask |= mask_at(gs, g, i);
    if (c->type == CORRELATION_TEMPORAL)
        return rules_hold(c, mask) ? WINDOW_HOLDS : 0;
    for (size_t t = 0; t < c->n_terms; t++)
        if ((c->terms[t].need & ~mask) == 0 && (c->terms[t].absent & mask) == 0 &&
            term_ends(gs, g, &c->terms[t], first, end))
            ends |= UINT64_C(1) << last_rule(&c->terms[t]);
    return ends;
}

/* ---- the moving window ---- */

static int slide(struct groups *gs, struct group *g, struct window *w, size_t first, size_t end)
{
    const struct correlation *c = share_of(gs, g)->c;
    if (first > w->hi || end < w->hi || first < w->lo) {
        window_reset(gs, g, w);
        w->lo = w->hi = (uint32_t)first;
    }
    for (; w->hi < end; w->hi++) {
        struct cell *cell = cell_at(gs, g, w->hi);
        if (w->times)
            take_rules(c, w, cell->ts_ns, *cell_extra(cell));
        else if (aggregate_add(gs, g, w, w->hi) < 0)
            return -ENOMEM;
    }
    for (; w->lo < first; w->lo++)
        if (!w->times)
            aggregate_remove(gs, g, w, w->lo);
    return 0;
}

static struct window *window_of(struct groups *gs, struct group *g, bool is_next, struct windows *ws)
{
    if (is_next) {
        struct more *more = group_more(gs, g);
        if (more && !more->window)
            more->window = window_new(gs, g);
        return more ? more->window : NULL;
    }
    if (!ws->spare) {
        ws->of = g;
        ws->spare = window_new(gs, g);
    }
    return ws->spare;
}

/* Each counts at least 1: no more are looked at than the condition can tell apart. */
static bool events_hold(const struct groups *gs, const struct group *g, size_t first, size_t end)
{
    const struct share *s = share_of(gs, g);
    uint64_t count = end - first;
    if (g->has_counts && count <= s->most)
        for (size_t i = end; i-- > first && count <= s->most;)
            count += cell_count(cell_at(gs, g, i)) - 1;
    return s->c->is_deferred ? bounds_hold(s->c, (fixed)count * FIXED_ONE, 1) : count >= s->c->threshold;
}

uint64_t window_holds(struct groups *gs, struct group *g, size_t end, bool is_next, struct windows *ws, int *ret_err)
{
    const struct correlation *c = share_of(gs, g)->c;
    size_t first = cells_after(gs, g, time_minus(cell_at(gs, g, end - 1)->ts_ns, c->timespan_ns));
    *ret_err = 0;
    if (first >= end)
        return 0;
    if (c->type == CORRELATION_EVENT_COUNT)
        return events_hold(gs, g, first, end) ? WINDOW_HOLDS : 0;
    if (end - first <= SMALL && c->type >= CORRELATION_TEMPORAL)
        return small_rules_hold(gs, g, first, end);
    if (end - first <= SMALL)
        return aggregate_small_holds(gs, g, first, end) ? WINDOW_HOLDS : 0;
    struct window *w = window_of(gs, g, is_next, ws);
    if (!w || slide(gs, g, w, first, end) < 0) {
        *ret_err = -ENOMEM;
        return 0;
    }
    return w->times ? times_hold(c, w) : aggregate_holds(c, w) ? WINDOW_HOLDS : 0;
}

/* ---- changes of the group ---- */

void window_forget(struct groups *gs, struct group *g, size_t n)
{
    struct window *w = g->more ? g->more->window : NULL;
    if (!w)
        return;
    for (; w->lo < w->hi && w->lo < n; w->lo++)
        if (!w->times)
            aggregate_remove(gs, g, w, w->lo);
    w->hi = (uint32_t)(MAX(w->hi, n) - n);
    w->lo = (uint32_t)(MAX(w->lo, n) - n);
}

void window_prepend(struct group *g, size_t n)
{
    struct window *w = g->more ? g->more->window : NULL;
    if (w) {
        w->lo += (uint32_t)n;
        w->hi += (uint32_t)n;
    }
}

void window_insert(struct groups *gs, struct group *g, size_t at)
{
    struct window *w = g->more ? g->more->window : NULL;
    if (!w || at >= w->hi)
        return;
    w->hi++;
    w->lo += at < w->lo;
    if (w->times)
        window_remask(gs, g, at, mask_at(gs, g, at));
    else if (at >= w->lo && aggregate_add(gs, g, w, at) < 0)
        window_reset(gs, g, w); /* found anew with the next moment */
}

void window_remask(struct groups *gs, struct group *g, size_t at, uint64_t added)
{
    struct window *w = g->more ? g->more->window : NULL;
    const struct correlation *c = share_of(gs, g)->c;
    int64_t ts_ns = cell_at(gs, g, at)->ts_ns;
    if (!w || at >= w->hi)
        return;
    if (ts_ns == w->run_ns)
        take_rules(c, w, ts_ns, added);
    else if (c->type == CORRELATION_TEMPORAL_ORDERED)
        window_reset(gs, g, w); /* chains may now have begun later: found anew */
    else
        for (uint64_t left = added; left; left &= left - 1)
            w->times[__builtin_ctzll(left)] = MAX(w->times[__builtin_ctzll(left)], ts_ns);
}
