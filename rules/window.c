/* SPDX-License-Identifier: Apache-2.0
 *
 * See window.h. This file: the moving window and its upkeep. What conditions say of it: aggregate.c (values) and here (rules).
 *
 * Rules in time need no removal: for each rule the last time it hit is kept. A sequence that ends at t is found from its end: the latest hit of
 * the rule before, then the latest not after that one, and so on. That gives the latest begin there is.
 */
#include "rules/aggregate.h"

#include <errno.h>

#define SMALL 32 /* cells that are looked at one by one */

/* ---- life ---- */

static void window_reset(struct groups *gs, const struct group *g, struct window *w)
{
    const struct correlation *c = share_of(gs, g)->c;
    w->lo = w->hi = 0;
    w->run_mask = 0;
    w->run_ns = INT64_MIN;
    for (size_t i = 0; w->times && i < c->n_rules; i++)
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
        w->times = group_alloc(gs, g, c->n_rules * sizeof(*w->times));
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
    group_release(gs, g, w->times, share_of(gs, g)->c->n_rules * sizeof(*w->times));
    group_release(gs, g, w, sizeof(*w));
}

void windows_done(struct groups *gs, struct windows *ws)
{
    window_free(gs, ws->of, ws->spare);
    *ws = (struct windows){.of = NULL};
}

/* ---- rules in time ---- */

static void take_rules(struct window *w, int64_t ts_ns, uint64_t mask)
{
    w->run_mask = w->run_ns == ts_ns ? w->run_mask | mask : mask;
    w->run_ns = ts_ns;
    for (uint64_t left = mask; left; left &= left - 1)
        w->times[__builtin_ctzll(left)] = ts_ns;
}

static bool rules_hold(const struct correlation *c, uint64_t mask)
{
    for (size_t t = 0; t < c->n_terms; t++)
        if ((c->terms[t].need & ~mask) == 0 && (c->terms[t].absent & mask) == 0)
            return true;
    return c->n_terms == 0 && bounds_hold(c, (fixed)__builtin_popcountll(mask) * FIXED_ONE, 1);
}

static uint64_t mask_at(const struct groups *gs, const struct group *g, size_t i)
{
    return *cell_extra(cell_at(gs, g, i));
}

struct view { /* the window of a moment */
    const struct groups *gs;
    const struct group *g;
    const struct correlation *c;
    size_t first, end;
    int64_t ts_ns;
    const int64_t *times; /* the last of each rule, perhaps after ts_ns; NULL: not known */
};

/* Rules in the window; as far as they make a difference. */
static uint64_t rules_in(const struct view *v)
{
    bool is_lower = v->c->type == CORRELATION_TEMPORAL && !v->c->is_deferred;
    uint64_t mask = 0, open = 0;
    for (size_t r = 0; r < v->c->n_rules; r++) {
        bool is_known = v->times && v->times[r] <= v->ts_ns;
        mask |= (uint64_t)(is_known && in_window(v->c, v->times[r], v->ts_ns)) << r;
        open |= (uint64_t)!is_known << r;
    }
    for (size_t i = v->end; open && i-- > v->first && !(is_lower && rules_hold(v->c, mask));) {
        mask |= mask_at(v->gs, v->g, i);
        open &= ~mask;
    }
    return mask;
}

/* The latest hit of the rule in the window that is not after *at; there it goes. */
static bool step_back(const struct view *v, int rule, int64_t *at)
{
    if (v->times && v->times[rule] <= *at) {
        *at = v->times[rule];
        return in_window(v->c, *at, v->ts_ns);
    }
    for (size_t i = MIN(cells_after(v->gs, v->g, *at), v->end); i-- > v->first;) {
        if (mask_at(v->gs, v->g, i) >> rule & 1) {
            *at = cell_at(v->gs, v->g, i)->ts_ns;
            return true;
        }
    }
    return false;
}

static bool is_sequence(const struct view *v, const struct term *t)
{
    int64_t at = v->ts_ns;
    for (uint64_t left = t->need; left;) {
        int rule = 63 - __builtin_clzll(left);
        left &= ~(UINT64_C(1) << rule);
        if (!step_back(v, rule, &at))
            return false;
    }
    return true;
}

/* As window_holds, for a window that is not empty. run: rules that hit in its last moment. */
static uint64_t view_holds(const struct view *v, uint64_t run)
{
    uint64_t ends = 0, mask = UINT64_MAX; /* a sequence without a "not" finds out for itself */
    if (v->c->type == CORRELATION_TEMPORAL || v->c->is_deferred)
        mask = rules_in(v);
    if (v->c->type == CORRELATION_TEMPORAL)
        return rules_hold(v->c, mask) ? WINDOW_HOLDS : 0;
    for (size_t t = 0; t < v->c->n_terms; t++) {
        const struct term *term = &v->c->terms[t];
        int last = 63 - __builtin_clzll(term->need);
        if ((run >> last & 1) && !(term->need & ~mask) && !(term->absent & mask) && is_sequence(v, term))
            ends |= UINT64_C(1) << last;
    }
    return ends;
}

static uint64_t run_rules(const struct view *v)
{
    uint64_t run = 0;
    for (size_t i = v->end; i-- > v->first && cell_at(v->gs, v->g, i)->ts_ns == v->ts_ns;)
        run |= mask_at(v->gs, v->g, i);
    return run;
}

/* ---- the moving window ---- */

static int slide(struct groups *gs, struct group *g, struct window *w, size_t first, size_t end)
{
    if (first > w->hi || end < w->hi || first < w->lo) {
        window_reset(gs, g, w);
        w->lo = w->hi = (uint32_t)first;
    }
    for (; w->hi < end; w->hi++) {
        struct cell *cell = cell_at(gs, g, w->hi);
        if (w->times)
            take_rules(w, cell->ts_ns, *cell_extra(cell));
        else if (aggregate_add(gs, g, w, w->hi) < 0)
            return -ENOMEM;
    }
    for (; w->lo < first && !w->times; w->lo++)
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

static uint64_t rules_view_holds(struct groups *gs, struct group *g, size_t first, size_t end, int *ret_err)
{
    struct view v = {gs, g, share_of(gs, g)->c, first, end, cell_at(gs, g, end - 1)->ts_ns, NULL};
    if (end - first <= SMALL)
        return view_holds(&v, run_rules(&v));
    struct window *w = window_of(gs, g, true, NULL);
    if (!w || (end > w->hi && slide(gs, g, w, first, end) < 0)) {
        *ret_err = -ENOMEM;
        return 0;
    }
    v.times =
        first >= w->lo ? w->times : NULL; /* it may have gone on already: a time after this moment is seen to be so */
    return view_holds(&v, w->run_ns == v.ts_ns ? w->run_mask : run_rules(&v));
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
    if (c->type >= CORRELATION_TEMPORAL)
        return rules_view_holds(gs, g, first, end, ret_err);
    if (end - first <= SMALL)
        return aggregate_small_holds(gs, g, first, end) ? WINDOW_HOLDS : 0;
    struct window *w = window_of(gs, g, is_next, ws);
    if (!w || slide(gs, g, w, first, end) < 0) {
        *ret_err = -ENOMEM;
        return 0;
    }
    return aggregate_holds(c, w) ? WINDOW_HOLDS : 0;
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
    int64_t ts_ns = cell_at(gs, g, at)->ts_ns;
    if (!w || at >= w->hi)
        return;
    if (ts_ns == w->run_ns)
        w->run_mask |= added;
    for (uint64_t left = added; left; left &= left - 1)
        w->times[__builtin_ctzll(left)] = MAX(w->times[__builtin_ctzll(left)], ts_ns);
}
