/* SPDX-License-Identifier: Apache-2.0
 *
 * Counters and gauges. A part declares a table of them; the program registers each table once at start, in one visible
 * place, and prints them all in the Prometheus text format 0.0.4. Updates are relaxed atomics: any thread, no lock.
 */
#pragma once

#include "common/buf.h"

#include <stdatomic.h>

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE };

struct metric {
    const char *name; /* vonggac_<part>_<what>[_total|_bytes|_seconds], Prometheus naming */
    const char *help;
    enum metric_kind kind;
    _Atomic int64_t value;
};

static inline void metric_add(struct metric *m, int64_t by)
{
    atomic_fetch_add_explicit(&m->value, by, memory_order_relaxed);
}

static inline void metric_set(struct metric *m, int64_t v)
{
    atomic_store_explicit(&m->value, v, memory_order_relaxed);
}

static inline int64_t metric_get(struct metric *m)
{
    return atomic_load_explicit(&m->value, memory_order_relaxed);
}

/* Prometheus text of `n` metrics. 0, -ENOBUFS, -ENOMEM. */
int metrics_print(struct metric *metrics, size_t n, struct buf *out);

/* {"name": value, ...} of `n` metrics: what the agent's heartbeat carries. */
int metrics_json(struct metric *metrics, size_t n, struct buf *out);
