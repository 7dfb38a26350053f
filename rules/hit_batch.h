/* SPDX-License-Identifier: Apache-2.0
 *
 * Hits on their way to the shards: lists by level and shard, each a run of records. Group keys are written by the detector, while the
 * event is at hand, for all correlations above a detection: what a correlation triggers later has no event to ask.
 */
#pragma once

#include "rules/correlator.h"
#include "rules/plan.h"

struct hit {                 /* record, padded to 8 bytes */
    const struct edge *edge; /* to the correlation that is hit */
    uint64_t hash;           /* of correlation and key */
    int64_t ts_ns;
    int64_t newest_ns; /* of the events of this batch up to here */
    struct event_ref ref;
    uint64_t value; /* value_count: hash; other value_*: the double's bits */
    uint32_t count, key_len, above_len;
    uint8_t data[]; /* the key; then keys of the edges above (as below) */
};

struct hit_list {
    uint8_t *data;
    size_t len, cap;
};

struct hit_batch {
    const struct correlator *co;
    struct hit_list *lists; /* level 1: one a shard, then level 2, ... */
    size_t n_lists;
    int64_t newest_ns; /* of all events, also those without hits */
    bool has_events;
};

/* Keys of a rule's edges, in the order of its tree. For each: u32 length of the key, or KEY_MISSING and nothing else;
 * u64 value when the correlation wants one; the key: for each group-by field u16 length and bytes. */
#define KEY_MISSING   UINT32_MAX
#define KEY_VALUE_MAX 4096 /* bytes of a value that tell groups apart */

static inline bool wants_value(const struct correlation *c)
{
    return c->n_values > 0;
}

/* Writes a record for each edge that leads directly up. `common`: time, reference, count. 0 or -ENOMEM. */
int hit_batch_add(struct hit_batch *to, const struct edge *edges, size_t n, const uint8_t *keys,
                  const struct hit *common);

static inline const struct hit *hit_next(const struct hit_list *list, size_t *at)
{
    if (*at >= list->len)
        return NULL;
    const struct hit *h = (const struct hit *)(const void *)(list->data + *at);
    *at += (sizeof(*h) + h->key_len + h->above_len + 7) & ~(size_t)7;
    return h;
}
