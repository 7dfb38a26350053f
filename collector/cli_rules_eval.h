/* SPDX-License-Identifier: Apache-2.0
 *
 * The inside of `vonggac rules eval`: events from a file descriptor through the rules, detections to another.
 *
 *     cli_rules_eval.c        options, loading, --stats
 *     cli_rules_eval_run.c    threads: chunks of lines in, chunks of output in the same order out
 *     cli_rules_eval_print.c  a match as JSON
 */
#pragma once

#include "rules/matcher.h"

#define EVAL_THREADS_MAX 64
#define EVAL_LINE_MAX    (16 * MIB)

/* ---- cli_rules_eval_print.c ---- */

struct eval_printer; /* read-only once made: shared by all threads */

struct eval_printer *eval_printer_new(const struct ruleset *rs, const struct names *names); /* NULL: out of memory */
struct eval_printer *eval_printer_free(struct eval_printer *p);                             /* NULL is fine */

/* Appends one line for a match; `index` is that of its event. 0, -ENOBUFS or -ENOMEM (then nothing is appended). */
int eval_print(const struct eval_printer *p, const struct match *m, uint64_t index, struct buf *out);

/* ---- cli_rules_eval_run.c ---- */

struct eval_job {
    const struct ruleset *rs;
    const struct names *names;
    unsigned threads; /* 1 to EVAL_THREADS_MAX */
    size_t state_memory;
    int in, out; /* file descriptors */
    bool is_quiet;
};

struct eval_totals {
    uint64_t lines, events, bad, bytes, matches, dropped_fields;
    double seconds;
    struct matcher_stats matcher; /* summed over threads */
};

/* Evaluates everything from in. Lines that are no events are said on stderr (the first few one by one) and keep their index.
 * 0, or a negative errno whose reason has been printed. */
int eval_run(const struct eval_job *job, struct eval_totals *ret);
