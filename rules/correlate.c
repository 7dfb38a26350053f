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
 * Limits: cells a group (the oldest go, counted), bytes in all (the least recently touched group goes, counted).
 */
#include "rules/correlate.h"

#include <errno.h>
#include <sys/random.h>

#define GROUP_CELLS_MAX   32768
#define GROUP_PERIODS_MAX 256
#define BUCKETS_MIN       1024

struct waiting { /* a hit that may become a trigger */
    struct waiting *next;
    uint32_t rule, len;
    struct event_ref ref;
    uint8_t keys[]; /* of the edges above, len bytes */
};

struct cell {
    int64_t ts_ns;
    uint64_t sum;  /* hits of this and all earlier cells, ever */
    uint64_t mask; /* rules that hit here */
    uint32_t n;
    bool is_trigger, is_in_own, is_in_next; /* period */
    uint8_t n_refs;
    struct event_ref ref;   /* the newest */
    struct event_ref *refs; /* all of them, ascending, when n_refs > 1: room for MATCH_REFS_MAX */
    struct waiting *waiting;
};

struct period {
    int64_t index;
    uint64_t count;
    int64_t first_ns, last_ns;
    bool has_changed;
};

struct group {
    struct group *next_in_bucket;
    struct group *newer, *older; /* by last touch */
    const struct correlation *correlation;
    uint64_t hash;
    uint64_t last_event; /* whose detection hit it last */
    struct cell *cells;
    size_t n_cells, cap_cells;
    struct period *periods; /* ascending */
    size_t n_periods, cap_periods;
    int64_t *since; /* temporal: one a rule */
    uint32_t key_len;
    uint8_t key[];
};

struct correlator {
    struct group **buckets;
    size_t n_buckets, n_groups, bytes, max;
    struct group *newest, *oldest;
    uint64_t secret[2]; /* of the hash: groups are named by attackers */
    uint64_t evicted, evicted_live, dropped, triggers;
    struct event_ref refs[MATCH_REFS_MAX];
};

struct feed { /* one correlator_feed */
    struct correlator *co;
    correlated_fn fn;
    void *ctx;
    uint64_t event;
};

static int feed_edges(const struct feed *f, const struct edge *edges, size_t n, const uint8_t *keys,
                      const struct hit *hit, bool is_detection);

/* ---- arithmetic on times that may be anything ---- */

static int64_t minus(int64_t a, int64_t b)
{
    int64_t r;
    return __builtin_sub_overflow(a, b, &r) ? INT64_MIN : r;
}

static int64_t period_of(const struct correlation *c, int64_t ts_ns)
{
    int64_t q = ts_ns / c->period_ns;
    return q - (ts_ns % c->period_ns < 0);
}

/* Whether `from` lies in the window that ends at `to`. */
static bool in_window(const struct correlation *c, int64_t from, int64_t to)
{
    return from <= to && from > minus(to, c->timespan_ns);
}

/* ---- groups ---- */

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

struct correlator *correlator_new(size_t n_correlations, size_t memory_max)
{
    struct correlator *co = calloc(1, sizeof(*co));
    if (!co)
        return NULL;
    co->max = memory_max;
    co->n_buckets = n_correlations ? BUCKETS_MIN : 1;
    co->buckets = calloc(co->n_buckets, sizeof(struct group *));
    if (!co->buckets || getentropy(co->secret, sizeof(co->secret)) < 0)
        return correlator_free(co);
    co->bytes = co->n_buckets * sizeof(struct group *);
    return co;
}

static void cell_clear(struct correlator *co, struct cell *c)
{
    if (c->refs)
        co->bytes -= MATCH_REFS_MAX * sizeof(*c->refs);
    free(c->refs);
    c->refs = NULL;
    for (struct waiting *w = c->waiting, *next; w; w = next) {
        next = w->next;
        co->bytes -= sizeof(*w) + w->len;
        free(w);
    }
    c->waiting = NULL;
}

static size_t group_size(const struct group *g)
{
    return sizeof(*g) + g->key_len + g->cap_cells * sizeof(*g->cells) + g->cap_periods * sizeof(*g->periods) +
           (g->since ? g->correlation->n_rules * sizeof(*g->since) : 0);
}

static void group_free(struct correlator *co, struct group *g)
{
    if (!g)
        return;
    for (size_t i = 0; i < g->n_cells; i++)
        cell_clear(co, &g->cells[i]);
    co->bytes -= group_size(g);
    free(g->cells);
    free(g->periods);
    free(g->since);
    free(g);
}

struct correlator *correlator_free(struct correlator *co)
{
    if (!co)
        return NULL;
    for (struct group *g = co->newest, *next; g; g = next) {
        next = g->older;
        group_free(co, g);
    }
    free(co->buckets);
    free(co);
    return NULL;
}

static void group_unlink(struct correlator *co, struct group *g)
{
    *(g->newer ? &g->newer->older : &co->newest) = g->older;
    *(g->older ? &g->older->newer : &co->oldest) = g->newer;
    g->newer = g->older = NULL;
}

static void group_touch(struct correlator *co, struct group *g)
{
    if (co->newest == g)
        return;
    if (g->newer || g->older || co->oldest == g)
        group_unlink(co, g);
    g->older = co->newest;
    *(co->newest ? &co->newest->newer : &co->oldest) = g;
    co->newest = g;
}

static void group_evict(struct correlator *co, struct group *g)
{
    struct group **at = &co->buckets[g->hash & (co->n_buckets - 1)];
    while (*at != g)
        at = &(*at)->next_in_bucket;
    *at = g->next_in_bucket;
    group_unlink(co, g);
    group_free(co, g);
    co->n_groups--;
}

static void buckets_grow(struct correlator *co)
{
    size_t n = 2 * co->n_buckets;
    struct group **buckets = calloc(n, sizeof(struct group *));
    if (!buckets)
        return; /* longer chains do */
    for (struct group *g = co->newest; g; g = g->older) {
        g->next_in_bucket = buckets[g->hash & (n - 1)];
        buckets[g->hash & (n - 1)] = g;
    }
    free(co->buckets);
    co->bytes += (n - co->n_buckets) * sizeof(struct group *);
    co->buckets = buckets;
    co->n_buckets = n;
}

static struct group *group_get(struct correlator *co, const struct correlation *c, const uint8_t *key, uint32_t len)
{
    uint64_t hash = sip_hash(co->secret, c->index, key, len);
    struct group *g = co->buckets[hash & (co->n_buckets - 1)];
    while (g && !(g->hash == hash && g->correlation == c && g->key_len == len && memcmp(g->key, key, len) == 0))
        g = g->next_in_bucket;
    if (g) {
        group_touch(co, g);
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
    if (co->n_groups >= co->n_buckets)
        buckets_grow(co);
    g->next_in_bucket = co->buckets[hash & (co->n_buckets - 1)];
    co->buckets[hash & (co->n_buckets - 1)] = g;
    co->n_groups++;
    co->bytes += group_size(g);
    group_touch(co, g);
    return g;
}

void correlator_trim(struct correlator *co, int64_t now_ns)
{
    while (co->bytes > co->max && co->oldest) {
        struct group *g = co->oldest;
        int64_t newest_ns = g->n_cells ? g->cells[g->n_cells - 1].ts_ns : INT64_MIN;
        co->evicted++;
        co->evicted_live += newest_ns > minus(now_ns, g->correlation->timespan_ns);
        group_evict(co, g);
    }
}

/* ---- cells ---- */

/* First cell with ts_ns > t. */
static size_t cells_after(const struct group *g, int64_t t)
{
    size_t lo = 0, hi = g->n_cells;
    if (hi && g->cells[hi - 1].ts_ns <= t)
        return hi;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (g->cells[mid].ts_ns <= t)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static void drop_oldest(struct correlator *co, struct group *g)
{
    size_t n = g->n_cells / 4;
    for (size_t i = 0; i < n; i++) {
        co->dropped += g->cells[i].n;
        cell_clear(co, &g->cells[i]);
    }
    g->n_cells -= n;
    memmove(g->cells, g->cells + n, g->n_cells * sizeof(*g->cells));
}

/* Makes room for one more cell. */
static int cells_reserve(struct correlator *co, struct group *g)
{
    size_t max = MAX((size_t)GROUP_CELLS_MAX, 2 * (size_t)g->correlation->threshold);
    if (g->n_cells < g->cap_cells)
        return 0;
    if (g->cap_cells >= max) {
        drop_oldest(co, g);
        return 0;
    }
    size_t cap = MAX(g->cap_cells + g->cap_cells / 2, (size_t)4);
    struct cell *cells = reallocarray(g->cells, cap, sizeof(*cells));
    if (!cells)
        return -ENOMEM;
    co->bytes += (cap - g->cap_cells) * sizeof(*cells);
    g->cells = cells;
    g->cap_cells = cap;
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
static int cell_add_ref(struct correlator *co, struct cell *c, struct event_ref ref)
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
        co->bytes += MATCH_REFS_MAX * sizeof(*c->refs);
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

static int cell_add_waiting(struct correlator *co, struct cell *c, uint32_t rule, struct event_ref ref,
                            const uint8_t *keys, uint32_t len)
{
    struct waiting *w = malloc(sizeof(*w) + len);
    if (!w)
        return -ENOMEM;
    *w = (struct waiting){c->waiting, rule, len, ref};
    memcpy(w->keys, keys, len);
    c->waiting = w;
    co->bytes += sizeof(*w) + len;
    return 0;
}

/* ---- periods ---- */

static struct period *period_get(struct correlator *co, struct group *g, int64_t index)
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
        co->bytes += (cap - g->cap_periods) * sizeof(*periods);
        g->periods = periods;
        g->cap_periods = cap;
    }
    memmove(g->periods + at + 1, g->periods + at, (g->n_periods - at) * sizeof(*g->periods));
    g->n_periods++;
    g->periods[at] = (struct period){index, 0, INT64_MAX, INT64_MIN, false};
    return &g->periods[at];
}

static void period_add(struct correlator *co, struct group *g, int64_t index, int64_t ts_ns, uint64_t n)
{
    struct period *p = period_get(co, g, index);
    if (!p)
        return;
    p->count += n;
    p->first_ns = MIN(p->first_ns, ts_ns);
    p->last_ns = MAX(p->last_ns, ts_ns);
    p->has_changed = true;
}

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
            period_add(co, g, period, cell->ts_ns, cell->n);
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

/* ---- triggers ---- */

static bool is_full(const struct group *g, size_t at)
{
    const struct cell *cell = &g->cells[at];
    size_t first = cells_after(g, minus(cell->ts_ns, g->correlation->timespan_ns));
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
        i = cells_after(g, minus(ts_ns, c->timespan_ns));
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
    for (size_t i = cells_after(g, p->last_ns); i-- > 0 && n < MATCH_REFS_MAX;) {
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
static struct waiting *take_waiting(struct correlator *co, struct group *g, size_t at, int64_t **ret_ts)
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
        for (; *end; end = &(*end)->next) {
            co->bytes -= sizeof(**end) + (*end)->len;
            (*ret_ts)[n++] = g->cells[i].ts_ns;
        }
    }
    return list;
}

/* New triggers are hits for the correlations above. */
static int feed_above(const struct feed *f, struct group *g, size_t at, const struct edge *edges, size_t n)
{
    int64_t *ts;
    struct waiting *list = take_waiting(f->co, g, at, &ts);
    int err = 0;
    size_t i = 0;
    for (struct waiting *w = list, *next; w; w = next) {
        next = w->next;
        if (err == 0)
            err = feed_edges(f, edges, n, w->keys, &(struct hit){ts[i++], w->ref, f->event}, false);
        free(w);
    }
    free(ts);
    return err;
}

static int insert_cell(struct correlator *co, struct group *g, int64_t ts_ns, size_t *ret_at)
{
    size_t at = cells_after(g, ts_ns);
    if (at && g->cells[at - 1].ts_ns == ts_ns) {
        *ret_at = at - 1;
        return 0;
    }
    if (cells_reserve(co, g) < 0)
        return -ENOMEM;
    at = cells_after(g, ts_ns); /* the oldest may have gone */
    memmove(g->cells + at + 1, g->cells + at, (g->n_cells - at) * sizeof(*g->cells));
    g->n_cells++;
    /* When the oldest are gone, running sums go on from what they were: only differences count. */
    uint64_t before = at ? g->cells[at - 1].sum : g->n_cells > 1 ? g->cells[1].sum - g->cells[1].n : 0;
    g->cells[at] = (struct cell){.ts_ns = ts_ns, .sum = before};
    place_cell(g, at);
    *ret_at = at;
    return 0;
}

/* One more event in the cell. */
static void cell_count(struct correlator *co, struct group *g, size_t at)
{
    struct cell *cell = &g->cells[at];
    int64_t period = period_of(g->correlation, cell->ts_ns);
    cell->n++;
    for (size_t i = at; i < g->n_cells; i++)
        g->cells[i].sum++;
    if (cell->is_in_own)
        period_add(co, g, period, cell->ts_ns, 1);
    if (cell->is_in_next)
        period_add(co, g, period + 1, cell->ts_ns, 1);
}

/* is_repeat: this event has hit the group before, by another rule. It is still one event to count. */
static int insert(const struct feed *f, struct group *g, const struct edge *edge, const uint8_t *keys,
                  const struct hit *hit, bool is_repeat)
{
    const struct correlation *c = g->correlation;
    struct correlator *co = f->co;
    size_t at, above = edge->size - 1;
    if (insert_cell(co, g, hit->ts_ns, &at) < 0)
        return -ENOMEM;
    struct cell *cell = &g->cells[at];
    if (cell_add_ref(co, cell, hit->ref) < 0)
        return -ENOMEM;
    bool can_trigger = c->type == CORRELATION_TEMPORAL_ORDERED ? edge->rule == c->n_rules - 1 : !is_repeat;
    if (above && can_trigger &&
        cell_add_waiting(co, cell, edge->rule, hit->ref, keys, (uint32_t)keys_len(keys, above)) < 0)
        return -ENOMEM;
    cell->mask |= UINT64_C(1) << edge->rule;
    if (!is_repeat)
        cell_count(co, g, at);
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
        struct group *g = group_get(f->co, edges[i].to, key, len);
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
    ret->groups = co->n_groups;
    ret->group_bytes = co->bytes;
    ret->evicted = co->evicted;
    ret->evicted_live = co->evicted_live;
    ret->dropped_hits = co->dropped;
    ret->correlation_hits = co->triggers;
}
