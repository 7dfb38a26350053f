/* SPDX-License-Identifier: Apache-2.0
 *
 * What is computed from the values in a window: their number when equal ones count once, sum, average, percentiles. Inside of window.c.
 */
#pragma once

#include "rules/window.h"

struct window {
    uint32_t lo, hi; /* the cells in it */
    int64_t *
        times; /* temporal: of each rule the last time; then for each alternative of temporal_ordered `since` by rule */
    int64_t run_ns; /* temporal: the moment at its end, and the rules that hit there */
    uint64_t run_mask;
    fixed sum;       /* value_sum, value_avg */
    uint64_t weight; /* what the cells count */
    struct counted {
        union {
            uint64_t hash; /* value_count: open addressing, cap a power of two; count 0: free */
            double value;  /* value_percentile: ascending, each once */
        };
        uint32_t count;
    } * items;
    uint32_t n, cap;
};

bool bounds_hold(const struct correlation *c, fixed value, fixed divisor); /* value / divisor, without the rounding */

int aggregate_add(struct groups *gs, const struct group *g, struct window *w, size_t i); /* 0 or -ENOMEM */
void aggregate_remove(struct groups *gs, const struct group *g, struct window *w, size_t i);
bool aggregate_holds(const struct correlation *c, const struct window *w);
bool aggregate_small_holds(const struct groups *gs, const struct group *g, size_t first, size_t end);
void aggregate_reset(struct window *w);
void aggregate_free(struct groups *gs, const struct group *g, struct window *w);
