/* SPDX-License-Identifier: Apache-2.0
 *
 * Correlation state of one matcher: groups of hits in event time. matcher.h states what a trigger, a period and an alert are;
 * ruleset.h which rules there are. Called by matcher.c with the hits of detections; what a correlation triggers is fed on
 * to the correlations above it in here.
 */
#pragma once

#include "rules/matcher.h"
#include "rules/plan.h"

struct correlator;

/* Values of the group-by fields for every edge of a rule's tree, in its order:
 * u32 length of what follows for this edge, or KEY_MISSING; then for each group-by field u32 length and bytes. */
#define KEY_MISSING   UINT32_MAX
#define KEY_VALUE_MAX 4096 /* bytes of a value that tell groups apart */

struct hit {
    int64_t ts_ns;
    struct event_ref ref;
    uint64_t event; /* grows by one with each event: tells hits of the same event */
    uint32_t n;     /* how many it counts as: a line can stand for several */
};

struct correlated { /* a period of a group that has just changed */
    const struct correlation *correlation;
    const uint8_t *key; /* as above, behind its length */
    int64_t period_start_ns, first_ns, last_ns;
    uint64_t count;
    const struct event_ref *refs;
    size_t n_refs;
};
typedef void (*correlated_fn)(const struct correlated *c, void *ctx);

struct correlator *correlator_new(size_t n_correlations, size_t memory_max);
struct correlator *correlator_free(struct correlator *co);

/* Gives the hit of a rule to the correlations above it. 0 or -ENOMEM (the hit may be missing from some of them). */
int correlator_feed(struct correlator *co, const struct edge *edges, size_t n, const uint8_t *keys,
                    const struct hit *hit, correlated_fn fn, void *ctx);

/* Brings the memory back under its maximum. now_ns: event time by which open windows are told. */
void correlator_trim(struct correlator *co, int64_t now_ns);

void correlator_stats(const struct correlator *co, struct matcher_stats *ret); /* its part of them */
