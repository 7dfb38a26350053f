/* SPDX-License-Identifier: Apache-2.0
 *
 * GET /api/alerts: the query string as a filter. alert_scan.h answers it.
 */
#pragma once

#include "collector/http.h"

#define ALERT_QUERY_TERMS_MAX 16
#define ALERT_QUERY_LIMIT_MAX 500
#define ALERT_STATUS_COUNT    4
#define ALERT_LEVEL_COUNT     5
#define ALERT_ID_MAX          64

extern const char *const alert_status_names[ALERT_STATUS_COUNT]; /* new, acknowledged, escalated, closed */

enum alert_sort { ALERT_SORT_LAST, ALERT_SORT_LEVEL, ALERT_SORT_FIRST };

struct alert_term {
    char *field; /* owned; NULL: a word that may be anywhere */
    char *value; /* owned, folded */
    bool is_excluded, is_pattern;
};

struct alert_query {
    unsigned statuses, levels; /* bit sets; 0: all */
    char *rule, *host;         /* owned; NULL: any */
    int64_t from_ns, to_ns;    /* inclusive; INT64_MIN and INT64_MAX: open */
    bool hides_demo, wants_groups, has_cursor;
    enum alert_sort sort;
    size_t limit;
    struct alert_term terms[ALERT_QUERY_TERMS_MAX];
    size_t n_terms;
    int64_t cursor_level, cursor_ns; /* of the last row of the page before */
    char cursor_id[ALERT_ID_MAX + 1];
};

/* 0, -EINVAL with the reason, -ENOMEM. */
int alert_query_parse(const struct http_query *params, struct alert_query *ret, struct diag *diag);
void alert_query_clear(struct alert_query *q);
