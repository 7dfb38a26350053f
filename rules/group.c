/* SPDX-License-Identifier: Apache-2.0
 *
 * Where correlation state lives, and what it may cost. Every byte taken is added to groups.bytes and given back when it goes;
 * groups_trim brings the sum under its maximum by letting the least recently touched group go. A group that never rests
 * is bounded too: beyond GROUP_CELLS_MAX moments its oldest quarter goes, counted. Names of groups come from attackers,
 * so the table's hash is keyed.
 */
#include "rules/group.h"

#include <errno.h>
#include <sys/random.h>

#define GROUP_CELLS_MAX   32768
#define GROUP_PERIODS_MAX 256
#define BUCKETS_MIN       1024

/* ---- the table ---- */

#define ROTL(x, b) ((x) << (b) | (x) >> (64 - (b)))

static void sip_round(uint64_t v[4])
{
    v[0] += v[1], v[1] = ROTL(v[1], 13) ^ v[0], v[0] = ROTL(v[0], 32);
    v[2] += v[3], v[3] = ROTL(v[3], 16) ^ v[2];
    v[0] += v[3], v[3] = ROTL(v[3], 21) ^ v[0];
    v[2] += v[1], v[1] = ROTL(v[1], 17) ^ v[2], v[2] = ROTL(v[2], 32);
}

/* SipHash-1-3 (Aumasson, Bernstein). */
static uint64_t sip_hash(const uint64_t secret[2], uint64_t salt, const uint8_t *p, size_t len)
{
    uint64_t v[4] = {secret[0] ^ 0x736f6d6570736575, secret[1] ^ 0x646f72616e646f6d ^ salt,
                     secret[0] ^ 0x6c7967656e657261, secret[1] ^ 0x7465646279746573};
    uint64_t last = (uint64_t)len << 56;
    for (; len >= 8; p += 8, len -= 8) {
        uint64_t word = get_u64(p);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    for (size_t i = 0; i < len; i++)
        last |= (uint64_t)p[i] << 8 * i;
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

int groups_init(struct groups *gs, size_t n_correlations, size_t memory_max)
{
    *gs = (struct groups){.max = memory_max, .n_buckets = n_correlations ? BUCKETS_MIN : 1};
    gs->buckets = calloc(gs->n_buckets, sizeof(struct group *));
    if (!gs->buckets || getentropy(gs->secret, sizeof(gs->secret)) < 0)
        return -ENOMEM;
    gs->bytes = gs->n_buckets * sizeof(struct group *);
    return 0;
}

void waiting_free(struct groups *gs, struct waiting *w)
{
    gs->bytes -= sizeof(*w) + w->len;
    free(w);
}

static void cell_clear(struct groups *gs, struct cell *c)
{
    if (c->refs)
        gs->bytes -= MATCH_REFS_MAX * sizeof(*c->refs);
    free(c->refs);
    c->refs = NULL;
    for (struct waiting *w = c->waiting, *next; w; w = next) {
        next = w->next;
        waiting_free(gs, w);
    }
    c->waiting = NULL;
}

static size_t group_size(const struct group *g)
{
    return sizeof(*g) + g->key_len + g->cap_cells * sizeof(*g->cells) + g->cap_periods * sizeof(*g->periods) +
           (g->since ? g->correlation->n_rules * sizeof(*g->since) : 0);
}

static void group_free(struct groups *gs, struct group *g)
{
    if (!g)
        return;
    for (size_t i = 0; i < g->n_cells; i++)
        cell_clear(gs, &g->cells[i]);
    gs->bytes -= group_size(g);
    free(g->cells);
    free(g->periods);
    free(g->since);
    free(g);
}

void groups_clear(struct groups *gs)
{
    for (struct group *g = gs->newest, *next; g; g = next) {
        next = g->older;
        group_free(gs, g);
    }
    free(gs->buckets);
    *gs = (struct groups){0};
}

static void group_unlink(struct groups *gs, struct group *g)
{
    *(g->newer ? &g->newer->older : &gs->newest) = g->older;
    *(g->older ? &g->older->newer : &gs->oldest) = g->newer;
    g->newer = g->older = NULL;
}

static void group_touch(struct groups *gs, struct group *g)
{
    if (gs->newest == g)
        return;
    if (g->newer || g->older || gs->oldest == g)
        group_unlink(gs, g);
    g->older = gs->newest;
    *(gs->newest ? &gs->newest->newer : &gs->oldest) = g;
    gs->newest = g;
}

static void group_evict(struct groups *gs, struct group *g)
{
    struct group **at = &gs->buckets[g->hash & (gs->n_buckets - 1)];
    while (*at != g)
        at = &(*at)->next_in_bucket;
    *at = g->next_in_bucket;
    group_unlink(gs, g);
    group_free(gs, g);
    gs->n--;
}

static void buckets_grow(struct groups *gs)
{
    size_t n = 2 * gs->n_buckets;
    struct group **buckets = calloc(n, sizeof(struct group *));
    if (!buckets)
        return; /* longer chains do */
    for (struct group *g = gs->newest; g; g = g->older) {
        g->next_in_bucket = buckets[g->hash & (n - 1)];
        buckets[g->hash & (n - 1)] = g;
    }
    free(gs->buckets);
    gs->bytes += (n - gs->n_buckets) * sizeof(struct group *);
    gs->buckets = buckets;
    gs->n_buckets = n;
}

struct group *groups_get(struct groups *gs, const struct correlation *c, const uint8_t *key, uint32_t len)
{
    uint64_t hash = sip_hash(gs->secret, c->index, key, len);
    struct group *g = gs->buckets[hash & (gs->n_buckets - 1)];
    while (g && !(g->hash == hash && g->correlation == c && g->key_len == len && memcmp(g->key, key, len) == 0))
        g = g->next_in_bucket;
    if (g) {
        group_touch(gs, g);
        return g;
    }
    g = calloc(1, sizeof(*g) + len);
    if (!g)
        return NULL;
    g->correlation = c;
    g->hash = hash;
    g->key_len = len;
    memcpy(g->key, key, len);
    if (c->type != CORRELATION_EVENT_COUNT) {
        g->since = calloc(c->n_rules, sizeof(*g->since));
        if (!g->since) {
            free(g);
            return NULL;
        }
        for (size_t i = 0; i < c->n_rules; i++)
            g->since[i] = INT64_MIN;
    }
    if (gs->n >= gs->n_buckets)
        buckets_grow(gs);
    g->next_in_bucket = gs->buckets[hash & (gs->n_buckets - 1)];
    gs->buckets[hash & (gs->n_buckets - 1)] = g;
    gs->n++;
    gs->bytes += group_size(g);
    group_touch(gs, g);
    return g;
}

void groups_trim(struct groups *gs, int64_t now_ns)
{
    while (gs->bytes > gs->max && gs->oldest) {
        struct group *g = gs->oldest;
        int64_t newest_ns = g->n_cells ? g->cells[g->n_cells - 1].ts_ns : INT64_MIN;
        gs->evicted++;
        gs->evicted_live += newest_ns > time_minus(now_ns, g->correlation->timespan_ns);
        group_evict(gs, g);
    }
}

/* ---- cells ---- */

size_t group_cells_after(const struct group *g, int64_t ts_ns)
{
    size_t lo = 0, hi = g->n_cells;
    if (hi && g->cells[hi - 1].ts_ns <= ts_ns)
        return hi;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (g->cells[mid].ts_ns <= ts_ns)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static void drop_oldest(struct groups *gs, struct group *g)
{
    size_t n = g->n_cells / 4;
    for (size_t i = 0; i < n; i++) {
        gs->dropped += g->cells[i].n;
        cell_clear(gs, &g->cells[i]);
    }
    g->n_cells -= n;
    memmove(g->cells, g->cells + n, g->n_cells * sizeof(*g->cells));
}

/* Makes room for one more cell. */
static int cells_reserve(struct groups *gs, struct group *g)
{
    size_t max = MAX((size_t)GROUP_CELLS_MAX, 2 * (size_t)g->correlation->threshold);
    if (g->n_cells < g->cap_cells)
        return 0;
    if (g->cap_cells >= max) {
        drop_oldest(gs, g);
        return 0;
    }
    size_t cap = MAX(g->cap_cells + g->cap_cells / 2, (size_t)4);
    struct cell *cells = reallocarray(g->cells, cap, sizeof(*cells));
    if (!cells)
        return -ENOMEM;
    gs->bytes += (cap - g->cap_cells) * sizeof(*cells);
    g->cells = cells;
    g->cap_cells = cap;
    return 0;
}

int group_cell(struct groups *gs, struct group *g, int64_t ts_ns, size_t *ret_at, bool *ret_is_new)
{
    size_t at = group_cells_after(g, ts_ns);
    *ret_is_new = !at || g->cells[at - 1].ts_ns != ts_ns;
    if (!*ret_is_new) {
        *ret_at = at - 1;
        return 0;
    }
    if (cells_reserve(gs, g) < 0)
        return -ENOMEM;
    at = group_cells_after(g, ts_ns); /* the oldest may have gone */
    memmove(g->cells + at + 1, g->cells + at, (g->n_cells - at) * sizeof(*g->cells));
    g->n_cells++;
    /* When the oldest are gone, running sums go on from what they were: only differences count. */
    uint64_t before = at ? g->cells[at - 1].sum : g->n_cells > 1 ? g->cells[1].sum - g->cells[1].n : 0;
    g->cells[at] = (struct cell){.ts_ns = ts_ns, .sum = before};
    *ret_at = at;
    return 0;
}

static bool ref_is_less(const struct event_ref *a, const struct event_ref *b)
{
    return a->pos != b->pos ? a->pos < b->pos : a->line < b->line;
}

static bool ref_is_equal(const struct event_ref *a, const struct event_ref *b)
{
    return a->pos == b->pos && a->line == b->line;
}

/* Keeps the newest MATCH_REFS_MAX, each once. */
int cell_add_ref(struct groups *gs, struct cell *c, struct event_ref ref)
{
    if (c->n_refs == 0) {
        c->ref = ref;
        c->n_refs = 1;
        return 0;
    }
    if (ref_is_equal(&c->ref, &ref))
        return 0;
    if (!c->refs) {
        c->refs = calloc(MATCH_REFS_MAX, sizeof(*c->refs));
        if (!c->refs)
            return -ENOMEM;
        gs->bytes += MATCH_REFS_MAX * sizeof(*c->refs);
        c->refs[0] = c->ref;
    }
    size_t at = c->n_refs;
    while (at && ref_is_less(&ref, &c->refs[at - 1]))
        at--;
    if (at && ref_is_equal(&c->refs[at - 1], &ref))
        return 0;
    if (c->n_refs == MATCH_REFS_MAX) {
        if (at == 0)
            return 0;
        memmove(c->refs, c->refs + 1, (MATCH_REFS_MAX - 1) * sizeof(*c->refs));
        c->n_refs--;
        at--;
    }
    memmove(c->refs + at + 1, c->refs + at, (c->n_refs - at) * sizeof(*c->refs));
    c->refs[at] = ref;
    c->n_refs++;
    c->ref = c->refs[c->n_refs - 1];
    return 0;
}

int cell_add_waiting(struct groups *gs, struct cell *c, uint32_t rule, struct event_ref ref, const uint8_t *keys,
                     uint32_t len)
{
    struct waiting *w = malloc(sizeof(*w) + len);
    if (!w)
        return -ENOMEM;
    *w = (struct waiting){c->waiting, rule, len, ref};
    memcpy(w->keys, keys, len);
    c->waiting = w;
    gs->bytes += sizeof(*w) + len;
    return 0;
}

/* ---- periods ---- */

static struct period *period_get(struct groups *gs, struct group *g, int64_t index)
{
    size_t at = g->n_periods;
    while (at && g->periods[at - 1].index > index)
        at--;
    if (at && g->periods[at - 1].index == index)
        return &g->periods[at - 1];
    if (g->n_periods == GROUP_PERIODS_MAX) {
        if (at == 0)
            return NULL; /* older than all that are kept */
        memmove(g->periods, g->periods + 1, --g->n_periods * sizeof(*g->periods));
        at--;
    }
    if (g->n_periods == g->cap_periods) {
        size_t cap = MAX(2 * g->cap_periods, (size_t)2);
        struct period *periods = reallocarray(g->periods, cap, sizeof(*periods));
        if (!periods)
            return NULL;
        gs->bytes += (cap - g->cap_periods) * sizeof(*periods);
        g->periods = periods;
        g->cap_periods = cap;
    }
    memmove(g->periods + at + 1, g->periods + at, (g->n_periods - at) * sizeof(*g->periods));
    g->n_periods++;
    g->periods[at] = (struct period){index, 0, INT64_MAX, INT64_MIN, false};
    return &g->periods[at];
}

void group_count(struct groups *gs, struct group *g, int64_t period, int64_t ts_ns, uint64_t n)
{
    struct period *p = period_get(gs, g, period);
    if (!p)
        return;
    p->count += n;
    p->first_ns = MIN(p->first_ns, ts_ns);
    p->last_ns = MAX(p->last_ns, ts_ns);
    p->has_changed = true;
}
