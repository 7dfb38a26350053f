/* SPDX-License-Identifier: Apache-2.0
 *
 * The collector's counters and gauges, in one visible table (stats.def) that /metrics prints and every part updates:
 * stat_add(STAT_BATCHES, 1). Relaxed atomics: any thread. They count from the program's start.
 */
#pragma once

#include "common/metrics.h"

enum stat_id {
#define STAT(id, kind, name, help) STAT_##id,
#include "collector/stats.def"
#undef STAT
    STAT_COUNT
};

extern struct metric collector_stats[STAT_COUNT];

static inline void stat_add(enum stat_id id, int64_t by)
{
    metric_add(&collector_stats[id], by);
}

static inline void stat_set(enum stat_id id, int64_t v)
{
    metric_set(&collector_stats[id], v);
}

static inline int64_t stat_get(enum stat_id id)
{
    return metric_get(&collector_stats[id]);
}

bool stat_is_drop(enum stat_id id); /* by its name, see stats.def */
