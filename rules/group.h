/* SPDX-License-Identifier: Apache-2.0
 *
 * The state of one shard: groups, each with the hits of one correlation and one set of group-by values, as cells in the order of
 * (time, reference). And what they may cost: see trim in group.c. What the cells mean is the business of correlate.c.
 */
#pragma once

#include "rules/matcher.h"
#include "rules/plan.h"
#include "rules/slab.h"

/* One event in one group: 20 bytes, since there are very many. Behind it, from CELL_EXTRA on, where the correlation needs them:
 * uint64_t value (value_*) or mask of rules (temporal); struct payload * (correlations stand above). */
struct __attribute__((packed, aligned(4))) cell {
    int64_t ts_ns;
    uint64_t pos : 58, is_trigger : 1, is_told : 1, is_in_own : 1,
        is_in_next : 1; /* in_...: covered, in which period */
    uint64_t count_high : 2;
    uint32_t line : 20, count_low : 12; /* count: what it counts as */
};
#define CELL_EXTRA     24
#define CELL_COUNT_MAX 16383

struct payload { /* keys of the edges above, for when the cell becomes a trigger */
    struct payload *next;
    uint32_t len;
    uint8_t keys[];
};

struct period {
    int64_t index;
    uint64_t count;
    int64_t first_ns, last_ns;
    bool has_changed;
};

struct more {               /* of a group that has triggered, waits for the watermark, or has a large window */
    struct period *periods; /* ascending */
    uint32_t n_periods, cap_periods;
    uint32_t n_decided; /* deferred: cells that are decided */
    uint32_t heap_at;   /* deferred: 1 + place in the heap, 0: not in it */
    int64_t newest_trigger_ns;
    struct window *window; /* window.c */
};

struct group {
    struct group *next_in_bucket;
    struct group *newer, *older; /* of its list, by last touch */
    uint8_t *cells;
    struct more *more;
    uint32_t hash;
    uint16_t correlation, key_len;
    uint32_t n, cap : 30, is_protected : 1, has_counts : 1; /* has_counts: a cell counts more than 1 */
    uint32_t touched_s;                                     /* the newest event's time then */
    uint8_t key[];
};

struct share { /* of one correlation */
    const struct correlation *c;
    struct group *newest[2], *oldest[2]; /* hit once; hit again, which strangers must not push out */
    size_t n[2], bytes;
    uint32_t cell_size, cells_max;
    uint32_t most; /* the largest number in the condition of a count */
    bool has_extra, has_payload;
    uint64_t ends;           /* temporal_ordered: rules that can end a sequence */
    uint32_t live_s, keep_s; /* since the last touch: its windows are open; it stays */
};

struct heap { /* groups that wait for the watermark, the earliest undecided cell first */
    struct heap_entry {
        int64_t ts_ns;
        struct group *g;
    } * all;
    size_t n, cap;
};

struct groups {
    struct slab slab;
    struct group **buckets;
    size_t n_buckets, n, max;
    struct share *shares;
    size_t n_shares, next_share;
    struct heap heaps[CORRELATION_DEPTH_MAX + 1]; /* by the correlation's height */
    int64_t lateness_ns;
    int64_t floor_ns; /* hits that are not late do not come before it: the watermark as it was before the chunk */
    uint32_t now_s;   /* the newest event's time */
    uint64_t evicted, evicted_live, dropped;
};

/* ---- times that may be anything ---- */

static inline int64_t time_minus(int64_t a, int64_t b)
{
    int64_t r;
    return __builtin_sub_overflow(a, b, &r) ? INT64_MIN : r;
}

static inline int64_t period_of(const struct correlation *c, int64_t ts_ns)
{
    int64_t q = ts_ns / c->period_ns;
    return q - (ts_ns % c->period_ns < 0);
}

/* Whether `from` lies in the window that ends at `to`. (INT64_MIN - timespan is no time: that window has no beginning.) */
static inline bool in_window(const struct correlation *c, int64_t from, int64_t to)
{
    return from <= to && from > time_minus(to, c->timespan_ns);
}

/* ---- the table ---- */

int groups_init(struct groups *gs, const struct ruleset *rs, const struct matcher_options *options, size_t memory_max);
void groups_clear(struct groups *gs); /* also after a failed init */

/* Makes it where there is none. NULL: out of memory. Touches it. */
struct group *groups_get(struct groups *gs, const struct correlation *c, uint64_t hash, const uint8_t *key, size_t len);

void groups_set_now(struct groups *gs, int64_t newest_ns);
void groups_trim(struct groups *gs);             /* brings memory under its maximum: any group may go */
void groups_expire(struct groups *gs, size_t n); /* looks at n shares for groups whose time is over */
size_t groups_bytes(const struct groups *gs);

/* Moves the groups of `from` whose correlation has the same digest here: to `gs`, empty as yet. Sets is_found[share]. */
void groups_adopt(struct groups *gs, struct groups *from, bool *is_found);

/* ---- memory of a group ---- */

void *group_alloc(struct groups *gs, const struct group *g, size_t size); /* not zeroed */
void group_release(struct groups *gs, const struct group *g, void *p, size_t size);
struct more *group_more(struct groups *gs, struct group *g); /* NULL: out of memory */

/* An array that grows by half. 0 or -ENOMEM. */
int group_grow(struct groups *gs, const struct group *g, void *items, uint32_t *cap, uint32_t n, size_t size);

/* ---- cells ---- */

static inline const struct share *share_of(const struct groups *gs, const struct group *g)
{
    return &gs->shares[g->correlation];
}

static inline struct cell *cell_at(const struct groups *gs, const struct group *g, size_t i)
{
    return (struct cell *)(void *)(g->cells + i * share_of(gs, g)->cell_size);
}

static inline uint64_t *cell_extra(struct cell *c) /* value or mask */
{
    return (uint64_t *)(void *)((uint8_t *)c + CELL_EXTRA);
}

static inline struct payload **cell_payload(const struct share *s, struct cell *c)
{
    return (struct payload **)(void *)((uint8_t *)c + s->cell_size - sizeof(struct payload *));
}

static inline uint32_t cell_count(const struct cell *c)
{
    return c->count_low | (uint32_t)c->count_high << 12;
}

size_t cells_after(const struct groups *gs, const struct group *g, int64_t ts_ns); /* first cell later than that */
size_t run_begin(const struct groups *gs, const struct group *g, size_t at);       /* cells of equal time */
size_t run_end(const struct groups *gs, const struct group *g, size_t at);

/* The place of that event. Returns whether it is there already. */
bool cell_find(const struct groups *gs, const struct group *g, int64_t ts_ns, struct event_ref ref, size_t *ret_at);

/* Makes sure that there is room for one more cell, at that time. What can no longer matter goes first; *ret_drop says how many of
 * the oldest must be dropped before (cells_drop), since the group is at its maximum. 0 or -ENOMEM. */
int cells_reserve(struct groups *gs, struct group *g, int64_t ts_ns, size_t *ret_drop);
void cells_drop(struct groups *gs, struct group *g, size_t n);
void cell_insert(struct groups *gs, struct group *g, size_t at, int64_t ts_ns, struct event_ref ref, uint32_t count,
                 uint64_t extra); /* after cells_reserve */
int cell_add_payload(struct groups *gs, struct group *g, size_t at, const uint8_t *keys, size_t len); /* 1: is new */

/* ---- waiting for the watermark ---- */

int heap_put(struct groups *gs, struct group *g, int64_t ts_ns); /* enters it, or moves it. 0 or -ENOMEM */
void heap_remove(struct groups *gs, struct group *g);
