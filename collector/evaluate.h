/* SPDX-License-Identifier: Apache-2.0
 *
 * One batch of the archive through decoders and rules: lines become events, events become matches, matches are collected
 * as alerts. Holds what one thread needs over one loaded content. detect.c decides what is read and when it is committed.
 */
#pragma once

#include "collector/alert.h"
#include "collector/archive.h"
#include "collector/content.h"

struct evaluator {
    const struct content *content; /* borrowed */
    struct decode_ctx *decode;
    struct matcher *matcher;
    struct alerts *alerts;
    struct arena *arena;
    struct buf raw;
    size_t state_memory;
    int64_t horizon_ns; /* how far correlation reaches into the past */
    int64_t floor_ns;   /* correlation state knows all that came since then; INT64_MIN: all there is */
    int64_t deepest_ns; /* further back than this it is not worth reading: an older event is evaluated as it is */
    struct matcher_stats counted; /* already added to the collector's counters */
    struct decode_stats decode_counted;
};

enum evaluate_mode {
    EVALUATE,           /* collect alerts */
    EVALUATE_READ_BACK, /* rebuild correlation state only: the effects of these records are committed */
};

/* Writes what is collected when a single batch holds more alerts than should wait in memory. 0, or an error that ends
 * the evaluation. */
typedef int (*evaluate_full_fn)(void *ctx);

int evaluate_open(struct evaluator *e, const struct content *content, sqlite3 *db, size_t state_memory,
                  struct diag *diag);
void evaluate_close(struct evaluator *e);

/* Forgets all correlation state; the next records will be those since floor_ns. 0 or -ENOMEM. */
int evaluate_forget(struct evaluator *e, int64_t floor_ns);

/* Takes over the correlation state of `from`, which then is to be closed: for rules that replace others. e has not evaluated anything
 * yet. Returns how many correlations did not find their state, or -ENOMEM: then it must be read back (evaluate_forget). */
int evaluate_adopt(struct evaluator *e, struct evaluator *from);

/* All that is in the archive was evaluated, and it is now_ns: what waits for late events is decided. 0 or -ENOMEM. */
int evaluate_advance(struct evaluator *e, int64_t now_ns);

/* 0 when every line was seen; -EBADMSG when the batch cannot be unpacked (diag says why), no line was seen then; -ESTALE
 * (EVALUATE only) when an event needs state back to *ret_need_ns, which is before floor_ns and not before deepest_ns;
 * -ENOMEM; what on_full gave. After -ESTALE and -ENOMEM correlation state holds a part of the batch: build it anew before the
 * batch is evaluated again. Nothing stays borrowed from rec but, after -ENOMEM, by alerts: clear them. */
int evaluate_batch(struct evaluator *e, const struct archive_record *rec, enum evaluate_mode mode,
                   evaluate_full_fn on_full, void *ctx, int64_t *ret_need_ns, struct diag *diag);

/* Adds what matcher and decoders counted since the last call to the collector's counters. */
void evaluate_count(struct evaluator *e);
