/* SPDX-License-Identifier: Apache-2.0
 *
 * Cells of a group: found, inserted, let go. See group.h.
 */
#include "rules/group.h"

#include "rules/window.h"

#include <errno.h>

size_t cells_after(const struct groups *gs, const struct group *g, int64_t ts_ns)
{
    size_t lo = 0, hi = g->n;
    if (hi == 0 || cell_at(gs, g, hi - 1)->ts_ns <= ts_ns)
        return hi;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (cell_at(gs, g, mid)->ts_ns <= ts_ns)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

size_t run_begin(const struct groups *gs, const struct group *g, size_t at)
{
    int64_t ts_ns = cell_at(gs, g, at)->ts_ns;
    while (at && cell_at(gs, g, at - 1)->ts_ns == ts_ns)
        at--;
    return at;
}

size_t run_end(const struct groups *gs, const struct group *g, size_t at)
{
    int64_t ts_ns = cell_at(gs, g, at)->ts_ns;
    while (at < g->n && cell_at(gs, g, at)->ts_ns == ts_ns)
        at++;
    return at;
}

static int compare(const struct cell *c, int64_t ts_ns, struct event_ref ref)
{
    if (c->ts_ns != ts_ns)
        return c->ts_ns < ts_ns ? -1 : 1;
    if (c->pos != ref.pos)
        return c->pos < ref.pos ? -1 : 1;
    return c->line < ref.line ? -1 : c->line > ref.line;
}

bool cell_find(const struct groups *gs, const struct group *g, int64_t ts_ns, struct event_ref ref, size_t *ret_at)
{
    size_t lo = 0, hi = g->n;
    while (lo < hi) {
        size_t mid = hi == g->n ? hi - 1 : lo + (hi - lo) / 2; /* nearly all come in order */
        int order = compare(cell_at(gs, g, mid), ts_ns, ref);
        if (order == 0) {
            *ret_at = mid;
            return true;
        }
        *(order < 0 ? &lo : &hi) = order < 0 ? mid + 1 : mid;
    }
    *ret_at = lo;
    return false;
}

/* ---- letting go ---- */

static void payload_free(struct groups *gs, const struct group *g, struct cell *c)
{
    const struct share *s = share_of(gs, g);
    if (!s->has_payload)
        return;
    for (struct payload *p = *cell_payload(s, c), *next; p; p = next) {
        next = p->next;
        group_release(gs, g, p, sizeof(*p) + p->len);
    }
    *cell_payload(s, c) = NULL;
}

void cells_drop(struct groups *gs, struct group *g, size_t n)
{
    size_t size = share_of(gs, g)->cell_size;
    if (n == 0)
        return;
    window_forget(gs, g, n);
    for (size_t i = 0; i < n; i++)
        payload_free(gs, g, cell_at(gs, g, i));
    g->n -= (uint32_t)n;
    memmove(g->cells, g->cells + n * size, g->n * size);
    if (g->more)
        g->more->n_decided -= MIN((uint32_t)n, g->more->n_decided);
}

/* Covered cells are the evidence of a period's alert, as long as it may change: the newest of them. */
static bool is_evidence(const struct groups *gs, const struct group *g, const struct cell *c, int64_t over_ns)
{
    const struct correlation *of = share_of(gs, g)->c;
    if (!c->is_in_own && !c->is_in_next)
        return false;
    int64_t end_ns = period_of(of, c->ts_ns) + 1 + c->is_in_next;
    return __builtin_mul_overflow(end_ns, of->period_ns, &end_ns) || end_ns > over_ns;
}

/* Cells whose last window is over. Returns how many went. */
static size_t prune(struct groups *gs, struct group *g, int64_t ts_ns)
{
    const struct share *s = share_of(gs, g);
    int64_t over_ns = MIN(time_minus(ts_ns, gs->lateness_ns), gs->floor_ns);
    size_t n = cells_after(gs, g, time_minus(over_ns, s->c->timespan_ns)), kept = 0, evidence = 0;
    if (s->c->is_deferred)
        n = MIN(n, g->more ? g->more->n_decided : 0);
    if (n == 0)
        return 0;
    window_forget(gs, g, n);
    int64_t period = INT64_MIN;
    for (size_t i = n; i-- > 0;) { /* from the newest; the kept ones gather below n */
        struct cell *c = cell_at(gs, g, i);
        evidence = period_of(s->c, c->ts_ns) == period ? evidence : 0;
        period = period_of(s->c, c->ts_ns);
        if (evidence < MATCH_REFS_MAX && is_evidence(gs, g, c, over_ns)) {
            evidence++;
            kept++;
            memmove(g->cells + (n - kept) * s->cell_size, c, s->cell_size);
        } else {
            payload_free(gs, g, c);
        }
    }
    memmove(g->cells, g->cells + (n - kept) * s->cell_size, (g->n - n + kept) * (size_t)s->cell_size);
    g->n -= (uint32_t)(n - kept);
    window_prepend(g, kept);
    if (g->more)
        g->more->n_decided -= MIN((uint32_t)(n - kept), g->more->n_decided);
    return n - kept;
}

/* value_count: no window to come needs a cell whose value comes again later. So a flood of one value pushes out no other. Returns how
 * many went; 0 too without memory. */
static size_t drop_repeats(struct groups *gs, struct group *g)
{
    const struct share *s = share_of(gs, g);
    size_t n = s->c->is_deferred ? (g->more ? g->more->n_decided : 0) : g->n, cap = 64, to = g->n;
    while (cap < 2 * n)
        cap *= 2;
    uint64_t *seen = calloc(cap, sizeof(*seen)); /* open addressing: hashes that are never 0 */
    for (size_t i = seen ? g->n : 0; i-- > 0;) {
        struct cell *c = cell_at(gs, g, i);
        uint64_t value = *cell_extra(c) | 1;
        size_t at = (size_t)(value >> 1) & (cap - 1);
        while (i < n && seen[at] && seen[at] != value)
            at = (at + 1) & (cap - 1);
        if (i < n && seen[at]) {
            gs->dropped += cell_count(c);
            payload_free(gs, g, c);
            continue;
        }
        if (i < n)
            seen[at] = value;
        memmove(g->cells + --to * s->cell_size, c, s->cell_size);
    }
    free(seen);
    size_t gone = seen ? to : 0;
    if (gone == 0)
        return 0;
    g->n -= (uint32_t)gone;
    memmove(g->cells, g->cells + gone * s->cell_size, g->n * (size_t)s->cell_size);
    if (g->more) {
        window_free(gs, g, g->more->window); /* made anew when it is needed */
        g->more->window = NULL;
        g->more->n_decided -= MIN((uint32_t)gone, g->more->n_decided);
    }
    return gone;
}

int cells_reserve(struct groups *gs, struct group *g, int64_t ts_ns, size_t *ret_drop)
{
    const struct share *s = share_of(gs, g);
    *ret_drop = 0;
    if (g->n < g->cap || (g->n && prune(gs, g, ts_ns) > g->cap / 8))
        return 0;
    if (g->n < g->cap && g->cap >= s->cells_max)
        return 0;
    if (g->cap >= s->cells_max) {
        bool is_enough = s->c->type == CORRELATION_VALUE_COUNT && drop_repeats(gs, g) > g->cap / 8;
        *ret_drop = is_enough ? 0 : g->n / 4;
        return 0;
    }
    uint32_t cap = g->cap < 8 ? g->cap + 1U : g->cap + g->cap / 2U;
    uint8_t *cells = group_alloc(gs, g, (size_t)cap * s->cell_size);
    if (!cells)
        return -ENOMEM;
    if (g->n)
        memcpy(cells, g->cells, g->n * (size_t)s->cell_size);
    group_release(gs, g, g->cells, (size_t)g->cap * s->cell_size);
    g->cells = cells;
    g->cap = cap & 0x3fffffff;
    return 0;
}

/* ---- coming in ---- */

void cell_insert(struct groups *gs, struct group *g, size_t at, int64_t ts_ns, struct event_ref ref, uint32_t count,
                 uint64_t extra)
{
    const struct share *s = share_of(gs, g);
    uint8_t *place = g->cells + at * s->cell_size;
    memmove(place + s->cell_size, place, (g->n - at) * (size_t)s->cell_size);
    memset(place, 0, s->cell_size);
    g->n++;
    struct cell *c = cell_at(gs, g, at);
    c->ts_ns = ts_ns;
    c->pos = ref.pos & ((UINT64_C(1) << 58) - 1);
    c->line = ref.line & ((1U << 20) - 1);
    c->count_low = count & 0xfff;
    c->count_high = count >> 12 & 3;
    g->has_counts |= count > 1;
    if (s->has_extra)
        *cell_extra(c) = extra;
}

int cell_add_payload(struct groups *gs, struct group *g, size_t at, const uint8_t *keys, size_t len)
{
    struct payload **first = cell_payload(share_of(gs, g), cell_at(gs, g, at));
    for (const struct payload *p = *first; p; p = p->next)
        if (p->len == len && memcmp(p->keys, keys, len) == 0)
            return 0;
    struct payload *p = group_alloc(gs, g, sizeof(*p) + len);
    if (!p)
        return -ENOMEM;
    *p = (struct payload){*first, (uint32_t)len};
    memcpy(p->keys, keys, len);
    *first = p;
    return 1;
}
