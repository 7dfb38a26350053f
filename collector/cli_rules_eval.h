/* SPDX-License-Identifier: Apache-2.0
 *
 * The inside of `vonggac rules eval`: events from a file descriptor through the rules, detections to another.
 *
 *     cli_rules_eval.c        options, loading, --stats
 *     cli_rules_eval_run.c    threads: chunks of lines in, chunks of output in the same order out
 *     cli_rules_eval_input.c  chunks of whole lines from a file descriptor
 *     cli_rules_eval_order.c  output in the order of events, where correlations tell of earlier ones
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

#define EVAL_LINE_START "{\"event\":" /* the index follows */
#define EVAL_INDEX_MAX  32
uint8_t *eval_put_index(uint8_t *to, uint64_t index); /* up to EVAL_INDEX_MAX bytes; returns behind them */

/* ---- cli_rules_eval_input.c ---- */

struct eval_chunk { /* whole lines */
    char *data;     /* owned */
    size_t cap, len;
    uint32_t *ends; /* of each line, before its newline; owned */
    size_t n_lines, cap_lines;
    uint64_t seq, first_index;
    bool is_too_long; /* a single line, and only the start of it */
};

struct eval_input { /* one thread at a time */
    int fd;
    struct buf rest; /* the start of the next line */
    uint64_t next_seq, next_index;
    bool is_end, is_skipping; /* skipping: behind the start of a line that is too long */
};

void eval_input_init(struct eval_input *in, int fd);
void eval_input_clear(struct eval_input *in);

/* The next lines into `to`, which keeps its memory from call to call. 1, 0 at the end, or a negative errno, once. */
int eval_input_next(struct eval_input *in, struct eval_chunk *to);
void eval_chunk_clear(struct eval_chunk *c);

/* ---- cli_rules_eval_order.c ---- */

struct eval_triggers; /* of correlations, of one shard; one thread at a time */

struct eval_triggers *eval_triggers_new(const struct eval_printer *printer); /* borrows. NULL: out of memory */
struct eval_triggers *eval_triggers_free(struct eval_triggers *t);           /* NULL is fine; always returns NULL */
int eval_triggers_add(struct eval_triggers *t, const struct match *m);       /* m->trigger is given. 0 or -ENOMEM */
void eval_triggers_sort(struct eval_triggers *t);                            /* at the end, before eval_order_write */
size_t eval_triggers_count(const struct eval_triggers *t);

struct eval_order; /* one thread at a time */

/* Detections on their way to fd. They wait in an unnamed file below TMPDIR once they are more than a few MiB. NULL: out of
 * memory. */
struct eval_order *eval_order_new(int fd);
struct eval_order *eval_order_free(struct eval_order *o); /* NULL is fine; always returns NULL */

int eval_order_detections(struct eval_order *o, struct str lines); /* in the order of events, from call to call */

/* Everything, by event: detections first, then triggers by their text. 0 or a negative errno. */
int eval_order_write(struct eval_order *o, struct eval_triggers *const *triggers, size_t n);

/* ---- cli_rules_eval_run.c ---- */

struct eval_job {
    const struct ruleset *rs;
    const struct names *names;
    unsigned threads; /* 1 to EVAL_THREADS_MAX */
    struct matcher_options matcher;
    int in, out; /* file descriptors */
    bool is_quiet;
};

struct eval_totals {
    uint64_t lines, events, bad, bytes, matches, dropped_fields;
    double seconds;
    struct matcher_stats matcher; /* summed over threads */
};

/* Evaluates everything from in. Lines that are no events are said on stderr (the first few one by one) and keep their index.
 * With correlations nothing is written before the end: a late event can make an earlier one complete a correlation.
 * 0, or a negative errno whose reason has been printed. */
int eval_run(const struct eval_job *job, struct eval_totals *ret);
