/* SPDX-License-Identifier: Apache-2.0
 *
 * A hit becomes a cell of its group, and cells become triggers. Everything that is reported follows from the set of cells
 * alone, so hits may come in any order:
 *
 *   - A cell is a trigger when the condition holds for the window (t - timespan, t] behind it. Where more hits never unmake a
 *     trigger, a new cell is judged at once, with the cells in whose windows it lies. Otherwise each moment is judged once, when
 *     the watermark has passed it.
 *   - A period's alert covers the cells that lie in the window of one of its triggers. Since a period is no shorter than a
 *     window, a cell can only belong to its own period and to the next: two flags say to which, and each is set once. So
 *     the count of a period is kept up to date at constant cost a hit.
 *
 * A cell carries the group keys of the correlations above, since its event is gone by the time a late hit or the watermark makes it
 * a trigger.
 */
#include "rules/correlator_impl.h"
#include "rules/window.h"

#include <errno.h>

/* ---- triggers ---- */

static int cover_cell(struct shard *s, struct group *g, size_t i, int64_t period)
{
    struct cell *c = cell_at(&s->groups, g, i);
    bool is_own = period_of(share_of(&s->groups, g)->c, c->ts_ns) == period;
    if (is_own ? c->is_in_own : c->is_in_next)
        return 0;
    if (is_own)
        c->is_in_own = true;
    else
        c->is_in_next = true;
    return period_count(s, g, period, c->ts_ns, cell_count(c));
}

/* The cells of a new trigger's window join its period. */
static int cover(struct shard *s, struct group *g, size_t end)
{
    const struct correlation *c = share_of(&s->groups, g)->c;
    int64_t ts_ns = cell_at(&s->groups, g, end - 1)->ts_ns, period = period_of(c, ts_ns);
    int ret = 0;
    for (size_t i = end; i-- > 0;) {
        const struct cell *cell = cell_at(&s->groups, g, i);
        if (!in_window(c, cell->ts_ns, ts_ns))
            break;
        if (cell->ts_ns < ts_ns && cell->is_trigger && period_of(c, cell->ts_ns) == period)
            break; /* its window reaches further back and is in already */
        int err = cover_cell(s, g, i, period);
        ret = err < 0 ? err : ret;
    }
    return ret;
}

static void mark(struct shard *s, struct group *g, size_t at)
{
    struct cell *c = cell_at(&s->groups, g, at);
    c->is_trigger = true;
    g->more->newest_trigger_ns = MAX(g->more->newest_trigger_ns, c->ts_ns);
    s->new_begin = MIN(s->new_begin, at);
    s->new_end = MAX(s->new_end, at + 1);
}

/* The cells of one moment, [begin, end). ends: as window_holds gave it. */
static int mark_run(struct shard *s, struct group *g, size_t begin, size_t end, uint64_t ends)
{
    bool is_covered = false, is_any = false;
    if (!group_more(&s->groups, g))
        return -ENOMEM;
    for (size_t i = begin; i < end; i++) {
        struct cell *c = cell_at(&s->groups, g, i);
        is_covered |= c->is_trigger;
        if (c->is_trigger || (ends != WINDOW_HOLDS && !(*cell_extra(c) & ends)))
            continue;
        mark(s, g, i);
        is_any = true;
    }
    return is_any && !is_covered ? cover(s, g, end) : 0;
}

static bool is_trigger_of(const struct groups *gs, const struct group *g, size_t i, int64_t ts_ns)
{
    const struct cell *c = cell_at(gs, g, i);
    return c->ts_ns == ts_ns && c->is_trigger;
}

/* Whether a cell of the moment could become a trigger at all. */
static bool can_end(const struct groups *gs, const struct group *g, size_t at, size_t end)
{
    for (size_t i = run_begin(gs, g, at); i < end; i++) {
        struct cell *c = cell_at(gs, g, i);
        if (!c->is_trigger && (*cell_extra(c) & share_of(gs, g)->ends))
            return true;
    }
    return false;
}

/* Judges the moment whose cells end at `end`; `at` is one of them. */
static int judge(struct shard *s, struct group *g, size_t at, size_t end, struct windows *ws)
{
    struct groups *gs = &s->groups;
    int64_t ts_ns = cell_at(gs, g, at)->ts_ns;
    if (share_of(gs, g)->c->type != CORRELATION_TEMPORAL_ORDERED) { /* all of a moment are triggers, or none */
        if (is_trigger_of(gs, g, at, ts_ns))
            return 0;
        if ((at && is_trigger_of(gs, g, at - 1, ts_ns)) || (at + 1 < end && is_trigger_of(gs, g, at + 1, ts_ns))) {
            mark(s, g, at);
            return 0;
        }
    } else if (!can_end(gs, g, at, end)) {
        return 0;
    }
    int err;
    uint64_t ends = window_holds(gs, g, end, end == g->n, ws, &err);
    if (!ends)
        return err;
    return mark_run(s, g, run_begin(gs, g, at), end, ends);
}

/* Whether a new cell can be told to make no trigger without looking at a window. */
static bool changes_nothing(const struct groups *gs, const struct group *g, size_t at)
{
    const struct correlation *c = share_of(gs, g)->c;
    struct cell *cell = cell_at(gs, g, at), *before = NULL, *after = NULL;
    if (c->type <= CORRELATION_VALUE_COUNT && g->n < c->threshold && !g->has_counts)
        return true; /* too few, wherever they are */
    if (c->type != CORRELATION_VALUE_COUNT || at == 0 || cell_at(gs, g, at - 1)->is_trigger ||
        (at + 1 < g->n && is_trigger_of(gs, g, at + 1, cell->ts_ns)))
        return false;
    /* The moment before was none, nor is this one yet; and all windows that see this value would see it anyway. */
    uint64_t value = *cell_extra(cell);
    for (size_t i = at; !before && i-- > 0 && in_window(c, cell_at(gs, g, i)->ts_ns, cell->ts_ns);)
        before = *cell_extra(cell_at(gs, g, i)) == value ? cell_at(gs, g, i) : NULL;
    if (!before)
        return false;
    for (size_t i = at + 1; !after && i < g->n && in_window(c, before->ts_ns, cell_at(gs, g, i)->ts_ns); i++)
        after = *cell_extra(cell_at(gs, g, i)) == value ? cell_at(gs, g, i) : NULL;
    return after || in_window(c, before->ts_ns, cell_at(gs, g, g->n - 1)->ts_ns);
}

/* Judges the moment of that cell, and those later ones in whose windows it lies. */
static int judge_from(struct shard *s, struct group *g, size_t at)
{
    struct groups *gs = &s->groups;
    const struct correlation *c = share_of(gs, g)->c;
    int64_t ts_ns = cell_at(gs, g, at)->ts_ns;
    struct windows ws = {0};
    int ret = 0;
    if (changes_nothing(gs, g, at))
        return 0;
    for (size_t end = g->n; at < g->n && in_window(c, ts_ns, cell_at(gs, g, at)->ts_ns); at = end) {
        end = cell_at(gs, g, g->n - 1)->ts_ns == cell_at(gs, g, at)->ts_ns ? g->n : run_end(gs, g, at);
        int err = judge(s, g, at, end, &ws);
        ret = err < 0 ? err : ret;
    }
    windows_done(gs, &ws);
    return ret;
}

/* ---- the watermark ---- */

/* Judges the undecided moments before the watermark, and whatever it says, the first `least` cells. */
static int decide(struct shard *s, struct group *g, int64_t watermark_ns, size_t least)
{
    struct groups *gs = &s->groups;
    struct windows ws = {0};
    int ret = 0;
    while (g->more->n_decided < g->n) {
        size_t at = g->more->n_decided;
        if (at >= least && cell_at(gs, g, at)->ts_ns >= watermark_ns)
            break;
        size_t end = run_end(gs, g, at);
        int err;
        uint64_t ends = window_holds(gs, g, end, true, &ws, &err);
        ret = err < 0 ? err : ret;
        err = ends ? mark_run(s, g, at, end, ends) : 0;
        ret = err < 0 ? err : ret;
        g->more->n_decided = (uint32_t)end;
    }
    int err = report(s, g);
    ret = err < 0 ? err : ret;
    if (g->more->n_decided == g->n)
        heap_remove(gs, g);
    else
        err = heap_put(gs, g, cell_at(gs, g, g->more->n_decided)->ts_ns);
    return err < 0 ? err : ret;
}

int correlate_decide(struct shard *s, unsigned level, int64_t watermark_ns)
{
    struct heap *h = &s->groups.heaps[level];
    int ret = 0;
    s->cause_ns = INT64_MIN;
    while (h->n && (h->all[0].ts_ns < watermark_ns || watermark_ns == INT64_MAX)) {
        int err = decide(s, h->all[0].g, watermark_ns, watermark_ns == INT64_MAX ? SIZE_MAX : 0);
        ret = err < 0 ? err : ret;
    }
    return ret;
}

/* ---- hits ---- */

static bool is_in_trigger_of(const struct shard *s, const struct group *g, size_t i, int64_t ts_ns)
{
    const struct cell *c = cell_at(&s->groups, g, i);
    return c->is_trigger && in_window(share_of(&s->groups, g)->c, ts_ns, c->ts_ns);
}

/* A new cell may lie in windows of triggers that are there already. */
static int place(struct shard *s, struct group *g, size_t at)
{
    const struct groups *gs = &s->groups;
    const struct correlation *c = share_of(gs, g)->c;
    struct cell *cell = cell_at(gs, g, at);
    int64_t ts_ns = cell->ts_ns, period = period_of(c, ts_ns);
    bool is_own = false, is_next = false;
    if (!g->more || g->more->newest_trigger_ns < ts_ns)
        return 0;
    for (size_t i = at; i-- > 0 && !is_own && cell_at(gs, g, i)->ts_ns == ts_ns;)
        is_own = is_in_trigger_of(s, g, i, ts_ns);
    for (size_t i = at + 1; i < g->n && !is_next && in_window(c, ts_ns, cell_at(gs, g, i)->ts_ns); i++) {
        bool is_same = period_of(c, cell_at(gs, g, i)->ts_ns) == period;
        is_own |= is_same && is_in_trigger_of(s, g, i, ts_ns);
        is_next = !is_same && is_in_trigger_of(s, g, i, ts_ns);
        int64_t end_ns;
        if (is_own && is_same && !__builtin_mul_overflow(period + 1, c->period_ns, &end_ns)) /* on to the next one */
            i = MAX(i, cells_after(gs, g, end_ns - 1) - 1);
    }
    int err = is_own ? cover_cell(s, g, at, period) : 0;
    return is_next ? cover_cell(s, g, at, period + 1) : err;
}

/* Makes room for a cell of that time. */
static int make_room(struct shard *s, struct group *g, int64_t ts_ns)
{
    size_t drop;
    int err = cells_reserve(&s->groups, g, ts_ns, &drop);
    if (err < 0 || drop == 0)
        return err;
    if (share_of(&s->groups, g)->c->is_deferred)
        err = decide(s, g, INT64_MIN, drop); /* early: better than never */
    for (size_t i = 0; i < drop; i++)
        s->groups.dropped += cell_count(cell_at(&s->groups, g, i));
    cells_drop(&s->groups, g, drop);
    return err;
}

static int insert(struct shard *s, struct group *g, size_t at, const struct hit *h)
{
    const struct correlation *c = h->edge->to;
    uint64_t extra = c->type >= CORRELATION_TEMPORAL ? UINT64_C(1) << h->edge->rule : h->value;
    cell_insert(&s->groups, g, at, h->ts_ns, h->ref, h->count, extra);
    window_insert(&s->groups, g, at);
    if (!c->is_deferred || at >= g->more->n_decided)
        return place(s, g, at);
    g->more->n_decided++; /* only where a full group was decided early */
    s->late++;
    return 0;
}

/* The event has hit the group before, by another rule or as the same event again. */
static bool merge(struct shard *s, struct group *g, size_t at, const struct hit *h)
{
    if (h->edge->to->type < CORRELATION_TEMPORAL)
        return false;
    uint64_t *mask = cell_extra(cell_at(&s->groups, g, at)), bit = UINT64_C(1) << h->edge->rule;
    if (*mask & bit)
        return false;
    *mask |= bit;
    window_remask(&s->groups, g, at, bit);
    return true;
}

static int add_payload(struct shard *s, struct group *g, size_t at, const struct hit *h)
{
    const struct share *share = share_of(&s->groups, g);
    if (!share->has_payload)
        return 0;
    int r = cell_add_payload(&s->groups, g, at, h->data + h->key_len, h->above_len);
    struct cell *c = cell_at(&s->groups, g, at);
    return r == 1 && c->is_told ? report_above(s, g, c, *cell_payload(share, c)) : r;
}

int correlate_hit(struct shard *s, const struct hit *h, int64_t late_ns)
{
    const struct correlation *c = h->edge->to;
    struct groups *gs = &s->groups;
    size_t at;
    if (c->is_deferred && h->ts_ns < late_ns) {
        s->late++;
        return 0;
    }
    groups_trim(gs);
    struct group *g = groups_get(gs, c, h->hash, h->data, h->key_len);
    if (!g || (c->is_deferred && !group_more(gs, g)) || make_room(s, g, h->ts_ns) < 0)
        return -ENOMEM;
    bool is_new = !cell_find(gs, g, h->ts_ns, h->ref, &at);
    int ret = is_new ? insert(s, g, at, h) : 0;
    bool is_changed = is_new || merge(s, g, at, h);
    int err = add_payload(s, g, at, h);
    ret = err < 0 ? err : ret;
    if (!is_changed)
        return ret;
    if (c->is_deferred) {
        if (at >= g->more->n_decided)
            err = heap_put(gs, g, cell_at(gs, g, g->more->n_decided)->ts_ns);
        return err < 0 ? err : ret;
    }
    err = judge_from(s, g, at);
    ret = err < 0 ? err : ret;
    err = report(s, g);
    return err < 0 ? err : ret;
}
