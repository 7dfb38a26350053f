/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of groups and what they may cost. When memory is short:
 *   1. groups with no open window go, of whatever correlation;
 *   2. then the correlation that holds most gives, the least recently touched first. Each has two lists: groups hit once, and those
 *      that were hit again. The first gives as long as it is a quarter of all: who makes up a new key with each event
 *      (user names, source ports) pushes out his own kind, not the windows that are filling.
 * Names of groups come from attackers, so the hash is keyed.
 */
#include "rules/group.h"

#include "rules/window.h"

#include <errno.h>

#define BUCKETS_MIN   64
#define CELLS_MAX     32768
#define HEAP_MIN      64
#define TRIM_PART     64                    /* trimming frees at least this part of the maximum */
#define HELD_EXTRA(m) ((m) / 4 + 128 * KIB) /* pages that are not full */

/* ---- life ---- */

static uint32_t whole_seconds(int64_t ns)
{
    int64_t s = ns / NS_PER_S + 1;
    return (uint32_t)MIN(s, (int64_t)UINT32_MAX / 2);
}

static void share_init(struct share *s, const struct correlation *c, const struct matcher_options *o)
{
    fixed most = c->threshold;
    for (size_t i = 0; i < c->n_bounds && c->type <= CORRELATION_VALUE_COUNT; i++)
        most = MAX(most, c->bounds[i].value / FIXED_ONE);
    int64_t live_ns, keep_ns;
    if (__builtin_add_overflow(c->timespan_ns, o->lateness_ns, &live_ns))
        live_ns = INT64_MAX;
    if (__builtin_add_overflow(c->timespan_ns + c->period_ns, MAX(o->keep_ns, o->lateness_ns), &keep_ns))
        keep_ns = INT64_MAX;
    *s = (struct share){
        .c = c,
        .has_extra = c->type != CORRELATION_EVENT_COUNT,
        .has_payload = c->entry->n_edges > 0,
        .most = (uint32_t)most,
        .cells_max = (uint32_t)MAX((fixed)CELLS_MAX, 2 * most),
        .live_s = whole_seconds(live_ns),
        .keep_s = whole_seconds(keep_ns),
    };
    for (size_t i = 0; c->type == CORRELATION_TEMPORAL_ORDERED && i < c->n_terms; i++)
        s->ends |= UINT64_C(1) << (63 - __builtin_clzll(c->terms[i].need));
    s->cell_size = sizeof(struct cell);
    if (s->has_extra || s->has_payload)
        s->cell_size = CELL_EXTRA + 8U * s->has_extra + 8U * s->has_payload;
}

int groups_init(struct groups *gs, const struct ruleset *rs, const struct matcher_options *options, size_t memory_max)
{
    *gs = (struct groups){.max = memory_max, .n_buckets = BUCKETS_MIN, .lateness_ns = options->lateness_ns};
    gs->buckets = calloc(gs->n_buckets, sizeof(struct group *));
    gs->shares = calloc(rs->n_correlations + 1, sizeof(*gs->shares));
    if (!gs->buckets || !gs->shares)
        return -ENOMEM;
    gs->n_shares = rs->n_correlations;
    for (size_t i = 0; i < gs->n_shares; i++)
        share_init(&gs->shares[i], rs->correlations[i], options);
    return 0;
}

void *group_alloc(struct groups *gs, const struct group *g, size_t size)
{
    void *p = slab_alloc(&gs->slab, size);
    gs->shares[g->correlation].bytes += p ? size : 0;
    return p;
}

void group_release(struct groups *gs, const struct group *g, void *p, size_t size)
{
    gs->shares[g->correlation].bytes -= p ? size : 0;
    slab_free(&gs->slab, p, size);
}

int group_grow(struct groups *gs, const struct group *g, void *items, uint32_t *cap, uint32_t n, size_t size)
{
    void **array = items;
    if (n < *cap)
        return 0;
    uint32_t more = MAX(*cap + *cap / 2, 4);
    void *fresh = group_alloc(gs, g, more * size);
    if (!fresh)
        return -ENOMEM;
    if (n)
        memcpy(fresh, *array, n * size);
    group_release(gs, g, *array, *cap * size);
    *array = fresh;
    *cap = more;
    return 0;
}

struct more *group_more(struct groups *gs, struct group *g)
{
    if (!g->more) {
        g->more = group_alloc(gs, g, sizeof(*g->more));
        if (g->more)
            *g->more = (struct more){.newest_trigger_ns = INT64_MIN};
    }
    return g->more;
}

static size_t group_size(const struct group *g)
{
    return offsetof(struct group, key) + g->key_len;
}

static void group_free(struct groups *gs, struct group *g)
{
    if (g->more) {
        heap_remove(gs, g);
        window_free(gs, g, g->more->window);
        g->more->window = NULL;
    }
    cells_drop(gs, g, g->n);
    group_release(gs, g, g->cells, (size_t)g->cap * share_of(gs, g)->cell_size);
    if (g->more) {
        group_release(gs, g, g->more->periods, g->more->cap_periods * sizeof(struct period));
        group_release(gs, g, g->more, sizeof(*g->more));
    }
    group_release(gs, g, g, group_size(g));
    gs->n--;
}

void groups_clear(struct groups *gs)
{
    for (size_t i = 0; gs->shares && i < gs->n_shares; i++) {
        for (int list = 0; list < 2; list++) {
            for (struct group *g = gs->shares[i].newest[list], *older; g; g = older) {
                older = g->older;
                group_free(gs, g);
            }
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(gs->heaps); i++)
        free(gs->heaps[i].all);
    slab_clear(&gs->slab);
    free(gs->buckets);
    free(gs->shares);
    *gs = (struct groups){.n = 0};
}

size_t groups_bytes(const struct groups *gs)
{
    size_t bytes = gs->slab.used + gs->n_buckets * sizeof(struct group *);
    for (size_t i = 0; i < ARRAY_LEN(gs->heaps); i++)
        bytes += gs->heaps[i].cap * sizeof(struct heap_entry);
    return bytes;
}

/* ---- lists ---- */

static void list_remove(struct groups *gs, struct group *g)
{
    struct share *s = &gs->shares[g->correlation];
    *(g->newer ? &g->newer->older : &s->newest[g->is_protected]) = g->older;
    *(g->older ? &g->older->newer : &s->oldest[g->is_protected]) = g->newer;
    s->n[g->is_protected]--;
}

static void list_push(struct groups *gs, struct group *g)
{
    struct share *s = &gs->shares[g->correlation];
    g->newer = NULL;
    g->older = s->newest[g->is_protected];
    *(g->older ? &g->older->newer : &s->oldest[g->is_protected]) = g;
    s->newest[g->is_protected] = g;
    s->n[g->is_protected]++;
}

/* Time in the lists is by the second: a group touched again within it stays where it is, and its neighbours out of the cache. */
static void touch(struct groups *gs, struct group *g)
{
    if (g->touched_s == gs->now_s && g->is_protected)
        return;
    list_remove(gs, g);
    g->touched_s = gs->now_s;
    g->is_protected = true;
    list_push(gs, g);
}

void groups_set_now(struct groups *gs, int64_t newest_ns)
{
    int64_t s = newest_ns / NS_PER_S;
    uint32_t now_s = (uint32_t)MAX(MIN(s, (int64_t)UINT32_MAX), 0);
    gs->now_s = MAX(gs->now_s, now_s);
}

/* ---- the table ---- */

static void buckets_grow(struct groups *gs)
{
    size_t n = 2 * gs->n_buckets;
    struct group **buckets = calloc(n, sizeof(struct group *));
    if (!buckets)
        return; /* longer chains do */
    for (size_t i = 0; i < gs->n_buckets; i++) {
        for (struct group *g = gs->buckets[i], *next; g; g = next) {
            next = g->next_in_bucket;
            g->next_in_bucket = buckets[g->hash & (n - 1)];
            buckets[g->hash & (n - 1)] = g;
        }
    }
    free(gs->buckets);
    gs->buckets = buckets;
    gs->n_buckets = n;
}

static void table_add(struct groups *gs, struct group *g)
{
    if (gs->n >= 2 * gs->n_buckets && gs->n_buckets <= UINT32_MAX / 2)
        buckets_grow(gs);
    struct group **bucket = &gs->buckets[g->hash & (gs->n_buckets - 1)];
    g->next_in_bucket = *bucket;
    *bucket = g;
    gs->n++;
}

struct group *groups_get(struct groups *gs, const struct correlation *c, uint64_t hash, const uint8_t *key, size_t len)
{
    struct group *g = gs->buckets[(uint32_t)hash & (gs->n_buckets - 1)];
    while (g && !(g->hash == (uint32_t)hash && g->correlation == c->index && g->key_len == len &&
                  (len == 0 || memcmp(g->key, key, len) == 0)))
        g = g->next_in_bucket;
    if (g) {
        touch(gs, g);
        return g;
    }
    struct group head = {.correlation = (uint16_t)c->index, .hash = (uint32_t)hash, .key_len = (uint16_t)len};
    g = group_alloc(gs, &head, group_size(&head));
    if (!g)
        return NULL;
    memcpy(g, &head, offsetof(struct group, key));
    g->touched_s = gs->now_s;
    if (len)
        memcpy(g->key, key, len);
    table_add(gs, g);
    list_push(gs, g);
    return g;
}

static void evict(struct groups *gs, struct group *g)
{
    struct group **at = &gs->buckets[g->hash & (gs->n_buckets - 1)];
    while (*at != g)
        at = &(*at)->next_in_bucket;
    *at = g->next_in_bucket;
    list_remove(gs, g);
    group_free(gs, g);
}

/* ---- letting go ---- */

static bool is_over(const struct groups *gs, const struct group *g, uint32_t after_s)
{
    return (uint64_t)g->touched_s + after_s < gs->now_s;
}

void groups_expire(struct groups *gs, size_t n)
{
    for (; n && gs->n_shares; n--) {
        struct share *s = &gs->shares[gs->next_share++ % gs->n_shares];
        for (int list = 0; list < 2; list++)
            while (s->oldest[list] && is_over(gs, s->oldest[list], s->keep_s))
                evict(gs, s->oldest[list]);
    }
}

static bool is_too_much(const struct groups *gs, size_t max)
{
    return groups_bytes(gs) > max || gs->slab.held > max + HELD_EXTRA(max);
}

static void trim_share(struct groups *gs, struct share *s, size_t max)
{
    for (int i = 0; i < TRIM_PART && (s->oldest[0] || s->oldest[1]) && is_too_much(gs, max); i++) {
        int list = !s->oldest[0] || (s->oldest[1] && s->n[0] < s->n[1] / 3);
        struct group *g = s->oldest[list];
        gs->evicted++;
        gs->evicted_live += !is_over(gs, g, s->live_s);
        evict(gs, g);
    }
}

void groups_trim(struct groups *gs)
{
    if (!is_too_much(gs, gs->max))
        return;
    size_t max = gs->max - gs->max / TRIM_PART;
    for (size_t i = 0; i < gs->n_shares; i++) {
        struct share *s = &gs->shares[i];
        for (int list = 0; list < 2; list++) {
            while (s->oldest[list] && is_over(gs, s->oldest[list], s->live_s) && is_too_much(gs, max)) {
                gs->evicted++;
                evict(gs, s->oldest[list]);
            }
        }
    }
    while (gs->n && is_too_much(gs, max)) {
        struct share *most = gs->shares;
        for (size_t i = 1; i < gs->n_shares; i++)
            most = gs->shares[i].bytes > most->bytes ? &gs->shares[i] : most;
        trim_share(gs, most, max);
    }
}

/* ---- the heap ---- */

static struct heap *heap_of(struct groups *gs, const struct group *g)
{
    return &gs->heaps[share_of(gs, g)->c->entry->height];
}

static void heap_set(struct heap *h, size_t at, struct heap_entry e)
{
    h->all[at] = e;
    e.g->more->heap_at = (uint32_t)at + 1;
}

static void heap_sift(struct heap *h, size_t at)
{
    struct heap_entry e = h->all[at];
    while (at && h->all[(at - 1) / 2].ts_ns > e.ts_ns) {
        heap_set(h, at, h->all[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    for (size_t kid; (kid = 2 * at + 1) < h->n; at = kid) {
        kid += kid + 1 < h->n && h->all[kid + 1].ts_ns < h->all[kid].ts_ns;
        if (h->all[kid].ts_ns >= e.ts_ns)
            break;
        heap_set(h, at, h->all[kid]);
    }
    heap_set(h, at, e);
}

int heap_put(struct groups *gs, struct group *g, int64_t ts_ns)
{
    struct heap *h = heap_of(gs, g);
    size_t at = g->more->heap_at;
    if (at == 0) {
        if (h->n == h->cap) {
            size_t cap = MAX(2 * h->cap, (size_t)HEAP_MIN);
            struct heap_entry *all = reallocarray(h->all, cap, sizeof(*all));
            if (!all)
                return -ENOMEM;
            h->all = all;
            h->cap = cap;
        }
        at = ++h->n;
    }
    h->all[at - 1] = (struct heap_entry){ts_ns, g};
    heap_sift(h, at - 1);
    return 0;
}

void heap_remove(struct groups *gs, struct group *g)
{
    struct heap *h = heap_of(gs, g);
    size_t at = g->more->heap_at;
    if (at == 0)
        return;
    g->more->heap_at = 0;
    struct heap_entry last = h->all[--h->n];
    if (at - 1 == h->n)
        return;
    h->all[at - 1] = last;
    heap_sift(h, at - 1);
}

/* ---- another rule set ---- */

static void adopt_share(struct share *to, struct share *s, size_t index)
{
    memcpy(to->newest, s->newest, sizeof(s->newest));
    memcpy(to->oldest, s->oldest, sizeof(s->oldest));
    memcpy(to->n, s->n, sizeof(s->n));
    to->bytes = s->bytes;
    for (int list = 0; list < 2; list++)
        for (struct group *g = s->newest[list]; g; g = g->older)
            g->correlation = (uint16_t)index;
}

static void forget_share(struct groups *gs, struct share *s)
{
    for (int list = 0; list < 2; list++)
        while (s->oldest[list])
            evict(gs, s->oldest[list]);
}

void groups_adopt(struct groups *gs, struct groups *from, bool *is_found)
{
    for (size_t k = 0; k < from->n_shares; k++) { /* what nobody wants goes, while its correlation is known */
        bool is_wanted = false;
        for (size_t i = 0; i < gs->n_shares; i++)
            is_wanted |= gs->shares[i].c->digest == from->shares[k].c->digest;
        if (!is_wanted)
            forget_share(from, &from->shares[k]);
    }
    free(gs->buckets);
    gs->slab = from->slab;
    gs->buckets = from->buckets;
    gs->n_buckets = from->n_buckets;
    gs->n = from->n;
    gs->now_s = from->now_s;
    memcpy(gs->heaps, from->heaps, sizeof(gs->heaps));
    for (size_t i = 0; i < gs->n_shares; i++) {
        for (size_t k = 0; k < from->n_shares && !is_found[i]; k++) {
            if (gs->shares[i].c->digest == from->shares[k].c->digest) {
                adopt_share(&gs->shares[i], &from->shares[k], i);
                is_found[i] = true;
            }
        }
    }
    free(from->shares);
    *from = (struct groups){.n = 0};
}
