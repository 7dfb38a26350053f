/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside of correlator.c, correlate.c, report.c and hits.c.
 */
#pragma once

#include "rules/group.h"
#include "rules/hit_batch.h"
#include "rules/sip.h"

struct shard {
    struct groups groups;
    struct hit_batch *out; /* triggers for the levels above */
    match_fn fn;           /* during a run */
    void *ctx;
    int64_t cause_ns;          /* hit_batch's newest_ns, for what follows from the hit at work */
    size_t new_begin, new_end; /* cells that have just become triggers lie in here */
    struct event_ref refs[MATCH_REFS_MAX];
    bool without_refs;
    uint64_t triggers, late;
};

struct correlator {
    const struct ruleset *rs;
    struct matcher_options options;
    uint64_t secret[2]; /* of the hashes of keys and values */
    size_t n_shards;
    unsigned levels;
    struct shard *shards;
    struct hit_batch *const *batches; /* of the chunk */
    size_t n_batches;
    int64_t newest_ns, next_newest_ns;   /* of all events before the chunk, with it */
    int64_t decided_ns, next_decided_ns; /* the watermark, likewise */
    bool is_idle;                        /* the chunk has no hits and decides nothing */
};

/* ---- correlate.c ---- */

/* late_ns: what is before does not count where the watermark decides. 0 or -ENOMEM. */
int correlate_hit(struct shard *s, const struct hit *h, int64_t late_ns);
int correlate_decide(struct shard *s, unsigned level, int64_t watermark_ns);

/* ---- report.c ---- */

/* Counts n events at ts_ns for a period. 0 or -ENOMEM (the count is too low). */
int period_count(struct shard *s, struct group *g, int64_t period, int64_t ts_ns, uint32_t n);

/* Tells new triggers and changed periods, and gives new triggers to the correlations above. 0 or -ENOMEM. */
int report(struct shard *s, struct group *g);
int report_above(struct shard *s, const struct group *g, struct cell *c, const struct payload *p);
