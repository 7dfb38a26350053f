/* SPDX-License-Identifier: Apache-2.0
 *
 * Errors for people. A function that can fail for a reason worth explaining fills a struct diag; the caller,
 * who knows whether it is a daemon or a command, prints it once. Libraries never log.
 */
#pragma once

#include "common/base.h"

struct diag {
    char msg[256]; /* one sentence, no trailing full stop or newline */
    int line, col; /* 1-based; 0 where there is none */
};

/* Fills d (NULL is fine) and returns err, so that `return diag_set(d, -EINVAL, ...)` reads well. err is a negative errno. */
int diag_set(struct diag *d, int err, const char *fmt, ...) PRINTF_LIKE(3, 4);
int diag_at(struct diag *d, int err, int line, int col, const char *fmt, ...) PRINTF_LIKE(5, 6);

/* Every problem of one pass over many files, for `check` commands. Bounded: after `max` entries the rest is only counted
 * (in errors or warnings, and in dropped), so that a pass that failed is never taken for a good one. */
struct diag_entry {
    char *file; /* owned */
    bool is_warning;
    struct diag diag;
};

struct diags {
    struct diag_entry *entries;
    size_t n, cap, max;
    size_t errors, warnings, dropped;
};

void diags_init(struct diags *ds, size_t max);
void diags_clear(struct diags *ds);
void diags_add(struct diags *ds, const char *file, bool is_warning, const struct diag *d); /* ds NULL is fine */
