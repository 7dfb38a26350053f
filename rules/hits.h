/* SPDX-License-Identifier: Apache-2.0
 *
 * What becomes of a detection's hit: it is reported, and written down for the correlations that stand on it. matcher.c finds the hits
 * and answers what this asks of the event: its values, and why the detection matched.
 */
#pragma once

#include "rules/correlator.h"
#include "rules/plan.h"

#define HIT_PLANS_MAX 64

struct hits {
    struct correlator *correlator; /* the matcher's own, of one shard */
    struct hit_batch *own, *batch; /* batch: matcher_detect's, where it goes instead */
    struct buf keys;               /* group keys of one hit, over all correlations above it */
    uint64_t events, matches;
    /* during matcher_eval */
    struct matcher *m;
    const struct event *ev;
    match_fn on_match;
    void *ctx;
    const struct plan *plans[HIT_PLANS_MAX]; /* detections that hit, below correlations */
    size_t n_plans;
};

/* 0 or -ENOMEM; clear it in any case */
int hits_init(struct hits *h, const struct ruleset *rs, const struct matcher_options *options);
void hits_clear(struct hits *h);

void hits_begin(struct hits *h, struct matcher *m, const struct event *ev, match_fn on_match, void *ctx);
int hits_add(struct hits *h, const struct plan *plan); /* 0 or -ENOMEM */
int hits_end(struct hits *h);                          /* 0 or -ENOMEM */

void hits_stats(const struct hits *h, struct matcher_stats *ret); /* its part of them */

/* ---- matcher.c, about the event of hits_begin ---- */

struct hits *matcher_hits(struct matcher *m);

/* The first value of a field (as the event names it), or NULL. Valid until the next event. */
const struct value *matcher_value(struct matcher *m, name_id field);

/* Why the detection matched. Valid until the next call. */
const struct matched *matcher_explain(struct matcher *m, const struct plan *plan, size_t *ret_n);
