/* SPDX-License-Identifier: Apache-2.0
 *
 * The hits of one correlation and one set of group-by values: cells sorted by event time, and what is known of each period.
 * And the table of all groups, which bounds their memory: the least recently touched goes first. What the cells mean is
 * correlate.c's business.
 */
#pragma once

#include "rules/matcher.h"
#include "rules/plan.h"

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

struct groups {
    struct group **buckets;
    size_t n_buckets, n, bytes, max;
    struct group *newest, *oldest; /* by last touch */
    uint64_t secret[2];            /* of the hash: groups are named by attackers */
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

/* Whether `from` lies in the window that ends at `to`. */
static inline bool in_window(const struct correlation *c, int64_t from, int64_t to)
{
    return from <= to && from > time_minus(to, c->timespan_ns);
}

/* ---- the table ---- */

int groups_init(struct groups *gs, size_t n_correlations, size_t memory_max); /* 0 or -ENOMEM; clear it in any case */
void groups_clear(struct groups *gs);
struct group *groups_get(struct groups *gs, const struct correlation *c, const uint8_t *key,
                         uint32_t len); /* makes it where there is none; NULL: out of memory */
void groups_trim(struct groups *gs, int64_t now_ns);

/* ---- cells and periods of a group; results are valid until the next change ---- */

size_t group_cells_after(const struct group *g, int64_t ts_ns); /* index of the first cell later than that */

/* The cell of that moment, made where there is none: then *ret_is_new, empty, and its flags are the caller's. */
int group_cell(struct groups *gs, struct group *g, int64_t ts_ns, size_t *ret_at, bool *ret_is_new);
int cell_add_ref(struct groups *gs, struct cell *c, struct event_ref ref);
int cell_add_waiting(struct groups *gs, struct cell *c, uint32_t rule, struct event_ref ref, const uint8_t *keys,
                     uint32_t len);
void waiting_free(struct groups *gs, struct waiting *w);

/* Counts n events at ts_ns for a period. Periods older than those kept are let go. */
void group_count(struct groups *gs, struct group *g, int64_t period, int64_t ts_ns, uint64_t n);
