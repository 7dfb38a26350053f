/* SPDX-License-Identifier: Apache-2.0
 *
 * A group keeps its hits as cells sorted by event time, one cell for each moment. Everything that is reported follows from the
 * set of cells alone, so hits may come in any order:
 *
 *   - A cell is a trigger when the window (t - timespan, t] behind it is full. More hits never unmake a trigger.
 *   - A period's alert covers the cells that lie in the window of one of its triggers. Since a period is no shorter than a
 *     window, a cell can only belong to its own period and to the next: two flags say to which, and each is set once. So
 *     the count of a period is kept up to date at constant cost a hit.
 *
 * event_count finds the number of hits in a window from running sums. The temporal kinds keep, for each rule, the latest
 * moment from which the chain of rules up to it can have begun: `since`. In order this costs one step a hit; a late hit walks
 * the cells again from one window before it.
 *
 * A hit of a cell that is no trigger yet waits there with the group keys of the correlations above, since its event is gone by
 * the time a late hit makes it a trigger.
 *
 * group.c keeps the cells and bounds the memory.
 */
#include "rules/correlate.h"

#include "rules/group.h"

#include <errno.h>

struct correlator {
    struct groups groups;
    uint64_t triggers;
    struct event_ref refs[MATCH_REFS_MAX]; /* of the period being reported */
};

struct feed { /* one correlator_feed */
    struct correlator *co;
    correlated_fn fn;
    void *ctx;
    uint64_t event;
};

static int feed_edges(const struct feed *f, const struct edge *edges, size_t n, const uint8_t *keys,
                      const struct hit *hit, bool is_detection);

/* ---- life ---- */

struct correlator *correlator_new(size_t n_correlations, size_t memory_max)
{
    struct correlator *co = calloc(1, sizeof(*co));
    if (co && groups_init(&co->groups, n_correlations, memory_max) < 0)
        return correlator_free(co);
    return co;
}

struct correlator *correlator_free(struct correlator *co)
{
    if (co)
        groups_clear(&co->groups);
    free(co);
    return NULL;
}

void correlator_trim(struct correlator *co, int64_t now_ns)
{
    groups_trim(&co->groups, now_ns);
}

/* ---- triggers ---- */

/* A new trigger: the cells of its window join its period. */
static void make_trigger(struct correlator *co, struct group *g, size_t at)
{
    const struct correlation *c = g->correlation;
    int64_t ts_ns = g->cells[at].ts_ns, period = period_of(c, ts_ns);
    g->cells[at].is_trigger = true;
    for (size_t i = at + 1; i-- > 0 && in_window(c, g->cells[i].ts_ns, ts_ns);) {
        struct cell *cell = &g->cells[i];
        bool is_own = period_of(c, cell->ts_ns) == period;
        if (i != at && cell->is_trigger && is_own)
            break; /* its window reaches further back and is in already */
        bool *flag = is_own ? &cell->is_in_own : &cell->is_in_next;
        if (!*flag)
            group_count(&co->groups, g, period, cell->ts_ns, cell->n);
        *flag = true;
    }
}

/* A new cell: which periods' triggered windows does it lie in? */
static void place_cell(struct group *g, size_t at)
{
    const struct correlation *c = g->correlation;
    struct cell *cell = &g->cells[at];
    int64_t period = period_of(c, cell->ts_ns);
    for (size_t i = at + 1; i < g->n_cells && in_window(c, cell->ts_ns, g->cells[i].ts_ns); i++) {
        if (!g->cells[i].is_trigger)
            continue;
        if (period_of(c, g->cells[i].ts_ns) == period) {
            cell->is_in_own = true;
            continue;
        }
        cell->is_in_next = true;
        break;
    }
}

static bool is_full(const struct group *g, size_t at)
{
    const struct cell *cell = &g->cells[at];
    size_t first = group_cells_after(g, time_minus(cell->ts_ns, g->correlation->timespan_ns));
    return cell->sum - (g->cells[first].sum - g->cells[first].n) >= g->correlation->threshold;
}

/* Takes the cell into `since` and says whether it is a trigger. */
static bool step(const struct correlation *c, int64_t *since, const struct cell *cell)
{
    uint32_t n = 0;
    for (size_t i = 0; i < c->n_rules; i++) {
        if (cell->mask >> i & 1)
            since[i] = c->type == CORRELATION_TEMPORAL || i == 0 ? cell->ts_ns : since[i - 1];
        n += since[i] != INT64_MIN && in_window(c, since[i], cell->ts_ns);
    }
    if (c->type == CORRELATION_TEMPORAL)
        return n >= c->threshold;
    int64_t begun = since[c->n_rules - 1];
    return cell->mask >> (c->n_rules - 1) & 1 && begun != INT64_MIN && in_window(c, begun, cell->ts_ns);
}

static void find_triggers(struct correlator *co, struct group *g, size_t at)
{
    const struct correlation *c = g->correlation;
    int64_t ts_ns = g->cells[at].ts_ns;
    if (c->type == CORRELATION_EVENT_COUNT) {
        for (size_t i = at; i < g->n_cells && in_window(c, ts_ns, g->cells[i].ts_ns); i++)
            if (!g->cells[i].is_trigger && is_full(g, i))
                make_trigger(co, g, i);
        return;
    }
    size_t i = at;
    if (at + 1 < g->n_cells) { /* late */
        i = group_cells_after(g, time_minus(ts_ns, c->timespan_ns));
        for (size_t r = 0; r < c->n_rules; r++)
            g->since[r] = INT64_MIN;
    }
    for (; i < g->n_cells; i++)
        if (step(c, g->since, &g->cells[i]) && !g->cells[i].is_trigger && i >= at)
            make_trigger(co, g, i);
}

/* ---- reporting ---- */

/* The newest references among the cells of the period, oldest first; they end at the end of co->refs. */
static size_t collect_refs(struct correlator *co, const struct group *g, const struct period *p)
{
    const struct correlation *c = g->correlation;
    size_t n = 0;
    for (size_t i = group_cells_after(g, p->last_ns); i-- > 0 && n < MATCH_REFS_MAX;) {
        const struct cell *cell = &g->cells[i];
        if (cell->ts_ns < p->first_ns)
            break;
        if (!(period_of(c, cell->ts_ns) == p->index ? cell->is_in_own : cell->is_in_next))
            continue;
        for (size_t r = cell->n_refs; r-- > 0 && n < MATCH_REFS_MAX;)
            co->refs[MATCH_REFS_MAX - ++n] = cell->refs ? cell->refs[r] : cell->ref;
    }
    return n;
}

static void report(const struct feed *f, struct group *g)
{
    const struct correlation *c = g->correlation;
    for (size_t i = 0; i < g->n_periods; i++) {
        struct period *p = &g->periods[i];
        if (!p->has_changed)
            continue;
        p->has_changed = false;
        f->co->triggers++;
        if (c->entry->pub.is_silent)
            continue;
        size_t n = collect_refs(f->co, g, p);
        int64_t start_ns;
        if (__builtin_mul_overflow(p->index, c->period_ns, &start_ns))
            start_ns = INT64_MIN;
        f->fn(&(struct correlated){c, g->key, start_ns, p->first_ns, p->last_ns, p->count,
                                   f->co->refs + MATCH_REFS_MAX - n, n},
              f->ctx);
    }
}

/* ---- feeding ---- */

/* Length of the keys of n edges. */
static size_t keys_len(const uint8_t *keys, size_t n)
{
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t len = get_u32(keys + at);
        at += 4 + (len == KEY_MISSING ? 0 : len);
    }
    return at;
}

/* Takes the waiting hits of every cell that has become a trigger, from `at` on, into one list in the order of time. */
static struct waiting *take_waiting(struct group *g, size_t at, int64_t **ret_ts)
{
    size_t n = 0;
    for (size_t i = at; i < g->n_cells; i++)
        for (const struct waiting *w = g->cells[i].is_trigger ? g->cells[i].waiting : NULL; w; w = w->next)
            n++;
    *ret_ts = NULL;
    if (n == 0)
        return NULL;
    *ret_ts = calloc(n, sizeof(**ret_ts));
    if (!*ret_ts)
        return NULL;
    struct waiting *list = NULL, **end = &list;
    n = 0;
    for (size_t i = at; i < g->n_cells; i++) {
        if (!g->cells[i].is_trigger)
            continue;
        *end = g->cells[i].waiting;
        g->cells[i].waiting = NULL;
        for (; *end; end = &(*end)->next)
            (*ret_ts)[n++] = g->cells[i].ts_ns;
    }
    return list;
}

/* New triggers are hits for the correlations above. */
static int feed_above(const struct feed *f, struct group *g, size_t at, const struct edge *edges, size_t n)
{
    int64_t *ts;
    struct waiting *list = take_waiting(g, at, &ts);
    int err = 0;
    size_t i = 0;
    for (struct waiting *w = list, *next; w; w = next) {
        next = w->next;
        if (err == 0)
            err = feed_edges(f, edges, n, w->keys, &(struct hit){ts[i++], w->ref, f->event, 1}, false);
        waiting_free(&f->co->groups, w);
    }
    free(ts);
    return err;
}

/* n more events in the cell. */
static void cell_count(struct correlator *co, struct group *g, size_t at, uint32_t n)
{
    struct cell *cell = &g->cells[at];
    int64_t period = period_of(g->correlation, cell->ts_ns);
    cell->n += n;
    for (size_t i = at; i < g->n_cells; i++)
        g->cells[i].sum += n;
    if (cell->is_in_own)
        group_count(&co->groups, g, period, cell->ts_ns, n);
    if (cell->is_in_next)
        group_count(&co->groups, g, period + 1, cell->ts_ns, n);
}

/* is_repeat: this event has hit the group before, by another rule. It is still one event to count. */
static int insert(const struct feed *f, struct group *g, const struct edge *edge, const uint8_t *keys,
                  const struct hit *hit, bool is_repeat)
{
    const struct correlation *c = g->correlation;
    struct correlator *co = f->co;
    size_t at, above = edge->size - 1;
    bool is_new;
    if (group_cell(&co->groups, g, hit->ts_ns, &at, &is_new) < 0)
        return -ENOMEM;
    if (is_new)
        place_cell(g, at);
    struct cell *cell = &g->cells[at];
    if (cell_add_ref(&co->groups, cell, hit->ref) < 0)
        return -ENOMEM;
    bool can_trigger = c->type == CORRELATION_TEMPORAL_ORDERED ? edge->rule == c->n_rules - 1 : !is_repeat;
    if (above && can_trigger &&
        cell_add_waiting(&co->groups, cell, edge->rule, hit->ref, keys, (uint32_t)keys_len(keys, above)) < 0)
        return -ENOMEM;
    cell->mask |= UINT64_C(1) << edge->rule;
    if (!is_repeat)
        cell_count(co, g, at, hit->n);
    find_triggers(co, g, at);
    report(f, g);
    return above ? feed_above(f, g, at, edge + 1, above) : 0;
}

static int feed_edges(const struct feed *f, const struct edge *edges, size_t n, const uint8_t *keys,
                      const struct hit *hit, bool is_detection)
{
    int ret = 0;
    for (size_t i = 0; i < n; i += edges[i].size) {
        const uint8_t *above = keys + keys_len(keys, 1);
        uint32_t len = get_u32(keys);
        const uint8_t *key = keys + 4;
        keys += keys_len(keys, edges[i].size);
        if (len == KEY_MISSING)
            continue;
        struct group *g = groups_get(&f->co->groups, edges[i].to, key, len);
        if (!g) {
            ret = -ENOMEM;
            continue;
        }
        bool is_repeat = is_detection && g->last_event == f->event;
        if (is_repeat && edges[i].to->type == CORRELATION_EVENT_COUNT)
            continue;
        if (is_detection)
            g->last_event = f->event;
        int err = insert(f, g, &edges[i], above, hit, is_repeat);
        ret = err < 0 ? err : ret;
    }
    return ret;
}

int correlator_feed(struct correlator *co, const struct edge *edges, size_t n, const uint8_t *keys,
                    const struct hit *hit, correlated_fn fn, void *ctx)
{
    struct feed f = {co, fn, ctx, hit->event};
    return feed_edges(&f, edges, n, keys, hit, true);
}

void correlator_stats(const struct correlator *co, struct matcher_stats *ret)
{
    ret->groups = co->groups.n;
    ret->group_bytes = co->groups.bytes;
    ret->evicted = co->groups.evicted;
    ret->evicted_live = co->groups.evicted_live;
    ret->dropped_hits = co->groups.dropped;
    ret->correlation_hits = co->triggers;
}
