/* SPDX-License-Identifier: Apache-2.0
 *
 * What becomes of a detection's hit: it is reported, and given to the correlations that stand on it. matcher.c finds the hits
 * and answers what this asks of the event: its values, and why the detection matched.
 */
#pragma once

#include "rules/correlate.h"

struct hits {
    struct correlator *correlator;
    struct buf keys; /* group keys of one hit, over all correlations above it */
    uint64_t event_number, matches;
    /* during matcher_eval */
    struct matcher *m;
    const struct event *ev;
    match_fn on_match;
    void *ctx;
    const struct plan *plan; /* the detection that hit */
    const struct matched *matched;
    size_t n_matched;
    bool has_matched;
};

int hits_init(struct hits *h, const struct ruleset *rs, size_t memory_max); /* 0 or -ENOMEM; clear it in any case */
void hits_clear(struct hits *h);

void hits_begin(struct hits *h, struct matcher *m, const struct event *ev, match_fn on_match, void *ctx);
int hits_add(struct hits *h, const struct plan *plan); /* 0 or -ENOMEM */
void hits_end(struct hits *h);

void hits_stats(const struct hits *h, struct matcher_stats *ret); /* its part of them */

/* ---- matcher.c, about the event of hits_begin ---- */

/* The first value of a field (as the event names it), or NULL. Valid until the next event. */
const struct value *matcher_value(struct matcher *m, name_id field);

/* Why the detection matched. Valid until the next call. */
const struct matched *matcher_explain(struct matcher *m, const struct plan *plan, size_t *ret_n);
