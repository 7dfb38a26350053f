/* SPDX-License-Identifier: Apache-2.0
 *
 * A SELECT put together from fixed fragments, its values kept beside it and bound when it runs. Only alert_query.c uses
 * it. Adding never fails on the spot; filter_run says what went wrong.
 */
#pragma once

#include "collector/alert_query.h"

#include "common/buf.h"

#define FILTER_STATUS  1u
#define FILTER_LEVEL   2u
#define FILTER_RULE    4u
#define FILTER_HOST    8u
#define FILTER_TIME    16u
#define FILTER_DEMO    32u
#define FILTER_TERMS   64u  /* reads the events; the source must be `alerts` */
#define FILTER_CURSOR  128u /* behind the last row of the page before */
#define FILTER_COLUMNS (FILTER_STATUS | FILTER_LEVEL | FILTER_RULE | FILTER_HOST | FILTER_TIME | FILTER_DEMO)

#define FILTER_VALUES_MAX 64

struct filter_value {
    const char *text; /* borrowed; NULL: a number */
    int64_t number;
};

struct filter {
    struct buf sql;
    struct filter_value values[FILTER_VALUES_MAX];
    size_t n;
    int error;
};

typedef int (*filter_row_fn)(sqlite3_stmt *st, void *ctx); /* 0, or an error that ends the walk */

void filter_init(struct filter *f, const char *head);
void filter_text(struct filter *f, const char *fragment); /* never a value */
void filter_bind_int(struct filter *f, int64_t value);    /* for a '?' just written */
void filter_bind_text(struct filter *f, const char *value);
void filter_add(struct filter *f, const struct alert_query *q, unsigned which); /* " AND ..." on columns of s */

/* Runs and frees it. on_row NULL: rows do not matter. */
int filter_run(struct filter *f, sqlite3 *db, struct diag *diag, filter_row_fn on_row, void *ctx);
