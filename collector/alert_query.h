/* SPDX-License-Identifier: Apache-2.0
 *
 * GET /api/alerts: the query string as a filter, and the filter as SQL. Filters become fixed fragments of SQL with bound
 * values. Pages are cut by key (the sort value and the id of the last row), so that rows that arrive in between neither
 * repeat nor hide others.
 *
 * Cost: without free text everything but the page itself is answered from one covering index (alerts_last). With free
 * text the events have to be read once: their hits go into a temporary table that facets, groups and pages share.
 */
#pragma once

#include "collector/http.h"

#include <jansson.h>
#include <sqlite3.h>

#define ALERT_QUERY_TERMS_MAX  16
#define ALERT_QUERY_LIMIT_MAX  500
#define ALERT_QUERY_FACET_MAX  50
#define ALERT_QUERY_GROUPS_MAX 500
#define ALERT_STATUS_COUNT     4
#define ALERT_CURSOR_ID_MAX    64

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
    int64_t cursor_level, cursor_ns;
    char cursor_id[ALERT_CURSOR_ID_MAX + 1];
};

/* 0, -EINVAL with the reason, -ENOMEM. */
int alert_query_parse(const struct http_query *params, struct alert_query *ret, struct diag *diag);
void alert_query_clear(struct alert_query *q);

/* The answer of GET /api/alerts, in one read transaction. The connection has the functions of event_text.h. 0, or the
 * database's error. */
int alert_query_run(sqlite3 *db, const struct alert_query *q, json_t **ret, struct diag *diag);
