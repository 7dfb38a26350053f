/* SPDX-License-Identifier: Apache-2.0
 *
 * Correlation apart from detection, for callers with threads of their own (rules/ starts none). matcher_eval is the same on
 * one thread. What the words mean (trigger, period, watermark) is in matcher.h.
 *
 *     detectors                            shards
 *     events ──► matcher_detect ──► hits ─┐ (a group lives in one shard, by the hash of its correlation and key)
 *     events ──► matcher_detect ──► hits ─┴─► begin ─► run(shard, level 1) ─► run(shard, level 2) ─► ... ─► end
 *
 * One chunk of events after the other:
 *   1. Cut it into runs of consecutive events. Any number of threads, each with a matcher and a batch of its own, give their
 *      run to matcher_detect: it reports detections and writes down hits.
 *   2. One thread: correlator_begin with all batches, in the order of events.
 *   3. For each level from 1 to correlator_levels: call correlator_run for each shard, on any threads, at most one a shard;
 *      wait for all of them before the next level. Matches are reported from inside.
 *   4. One thread: correlator_end. Reset the batches. Go on with the next chunk.
 * Detecting the next chunk (with other batches) may run beside 2 to 4 of this one.
 *
 * The triggers reported, by (trigger, rule, group), are the same for any number of shards and any cut into chunks and runs; the
 * order they come in is not: sort by event, rule and group. State of a period (count, refs) is the same when the last event
 * is through.
 */
#pragma once

#include "rules/matcher.h"

#define CORRELATOR_SHARDS_MAX 64

struct correlator;
struct hit_batch; /* hits of consecutive events, group keys included: nothing borrowed from the events */

/* Options as for matcher_new_with; memory_max is for all shards together. Borrows rs. NULL: out of memory. */
struct correlator *correlator_new(const struct ruleset *rs, const struct matcher_options *options, size_t n_shards);
struct correlator *correlator_free(struct correlator *co); /* NULL is fine; always returns NULL */

struct hit_batch *hit_batch_new(const struct correlator *co); /* belongs to co: use it with no other */
struct hit_batch *hit_batch_free(struct hit_batch *hits);     /* NULL is fine; always returns NULL */
void hit_batch_reset(struct hit_batch *hits);                 /* empty again, keeps its memory */
/* Hits of events whose ts_ns was INT64_MIN, before any other, get this time: for detectors that do not see the event before.
 * Before correlator_begin. */
void hit_batch_fill_times(struct hit_batch *hits, int64_t ts_ns);
size_t hit_batch_bytes(const struct hit_batch *hits); /* what it holds: bound your chunks by it */

/* As matcher_eval, without correlation: reports detections that are not silent, and appends the hits that correlations wait for.
 * 0, or -ENOMEM (the event was evaluated as far as memory went). The matcher's own correlation state is not used. */
int matcher_detect(struct matcher *m, const struct event *ev, struct hit_batch *hits, match_fn on_match, void *ctx);

unsigned correlator_levels(const struct correlator *co); /* 0: there are no correlations, nothing to run */

/* now_ns moves the watermark by the clock when it is ahead of the events: INT64_MIN for none, INT64_MAX when no event will
 * follow (end of input). n may be 0. Batches are borrowed until correlator_end. */
void correlator_begin(struct correlator *co, struct hit_batch *const *batches, size_t n, int64_t now_ns);

/* match->event is NULL, match->trigger tells the event. 0 or -ENOMEM (some hits are lost). */
int correlator_run(struct correlator *co, size_t shard, unsigned level, match_fn on_match, void *ctx);

void correlator_end(struct correlator *co);

/* Between chunks. events and matches are not counted here but by the detectors. */
void correlator_stats(const struct correlator *co, struct matcher_stats *ret);

/* Takes over the state of correlations whose definition, with all they refer to and all that refers to them, is the same in
 * both rule sets; `from` loses it. For a `co` that has not run yet, with as many shards. Returns how many of co's correlations did
 * not find their state (0: nothing needs to be rebuilt), or -ENOMEM or -EINVAL with nothing moved. */
int correlator_adopt(struct correlator *co, struct correlator *from);
