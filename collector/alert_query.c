/* SPDX-License-Identifier: Apache-2.0
 * See alert_query.h. */
#include "collector/alert_query.h"

#include "collector/alert_filter.h"
#include "collector/alert_json.h"
#include "collector/sql.h"
#include "collector/to_json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

/* What the facets, groups and pages select from: all alerts, or the hits of a free text search. */
static const char *source_of(const struct alert_query *q)
{
    return q->n_terms > 0 ? "temp.hits s" : "alerts s INDEXED BY alerts_last";
}

static int find_hits(sqlite3 *db, const struct alert_query *q, struct diag *diag)
{
    int r = store_exec(db, "DROP TABLE IF EXISTS temp.hits", diag);
    if (r < 0 || q->n_terms == 0)
        return r;
    struct filter f;
    filter_init(&f,
                "CREATE TEMP TABLE hits AS SELECT s.id, s.last_ns, s.first_ns, s.status, s.level, s.rule_id, s.host,"
                " s.is_demo FROM alerts s WHERE 1");
    filter_add(&f, q, FILTER_TERMS | FILTER_TIME | FILTER_DEMO);
    return filter_run(&f, db, diag, NULL, NULL);
}

/* --- facets --- */

static int on_named_count(sqlite3_stmt *st, void *ctx)
{
    return json_object_set_new(ctx, sql_z(st, 0), json_integer(store_col_int(st, 1))) < 0 ? -ENOMEM : 0;
}

static int on_host_count(sqlite3_stmt *st, void *ctx)
{
    json_t *o =
        json_pack("{s:o, s:I}", "value", to_json_text(store_col_str(st, 0)), "count", (json_int_t)store_col_int(st, 1));
    return json_array_append_new(ctx, o) < 0 ? -ENOMEM : 0;
}

static int on_rule_count(sqlite3_stmt *st, void *ctx)
{
    json_t *o = json_pack("{s:o, s:o, s:o, s:I}", "id", to_json_text(store_col_str(st, 0)), "title",
                          to_json_text(store_col_str(st, 2)), "title_vi", to_json_text_or_null(store_col_str(st, 3)),
                          "count", (json_int_t)store_col_int(st, 1));
    return json_array_append_new(ctx, o) < 0 ? -ENOMEM : 0;
}

static int add_facet(sqlite3 *db, const struct alert_query *q, const char *head, const char *tail, unsigned own,
                     filter_row_fn on_row, json_t *into, struct diag *diag)
{
    struct filter f;
    filter_init(&f, head);
    filter_text(&f, source_of(q));
    filter_text(&f, " WHERE 1");
    filter_add(&f, q, FILTER_COLUMNS & ~own);
    filter_text(&f, tail);
    return filter_run(&f, db, diag, on_row, into);
}

static int add_facets(sqlite3 *db, const struct alert_query *q, json_t *answer, struct diag *diag)
{
    json_t *status = json_object(), *level = json_object(), *rule = json_array(), *host = json_array();
    json_object_set_new(
        answer, "facets",
        json_pack("{s:o, s:o, s:o, s:o}", "status", status, "level", level, "rule", rule, "host", host));
    int r =
        add_facet(db, q, "SELECT s.status, count(*) FROM ", " GROUP BY 1", FILTER_STATUS, on_named_count, status, diag);
    if (r == 0)
        r = add_facet(db, q, "SELECT s.level, count(*) FROM ", " GROUP BY 1", FILTER_LEVEL, on_named_count, level,
                      diag);
    if (r == 0)
        r = add_facet(
            db, q,
            "SELECT k.rule_id, k.n, a.rule_title, a.rule_title_vi FROM (SELECT s.rule_id AS rule_id, count(*) AS"
            " n, max(s.last_ns), s.id AS id FROM ",
            " GROUP BY s.rule_id ORDER BY n DESC, s.rule_id LIMIT 50) k JOIN alerts a ON a.id = k.id"
            " ORDER BY k.n DESC, k.rule_id",
            FILTER_RULE, on_rule_count, rule, diag);
    if (r == 0)
        r = add_facet(db, q, "SELECT s.host, count(*) AS n FROM ", " GROUP BY 1 ORDER BY n DESC, s.host LIMIT 50",
                      FILTER_HOST, on_host_count, host, diag);
    return r;
}

static int on_total(sqlite3_stmt *st, void *ctx)
{
    return json_object_set_new(ctx, "total", json_integer(store_col_int(st, 0))) < 0 ? -ENOMEM : 0;
}

/* --- groups --- */

static int on_group(sqlite3_stmt *st, void *ctx)
{
    json_t *o = json_object();
    json_object_set_new(o, "rule_id", to_json_text(store_col_str(st, 0)));
    json_object_set_new(o, "host", to_json_text(store_col_str(st, 1)));
    json_object_set_new(o, "level", json_integer(store_col_int(st, 2)));
    json_object_set_new(o, "count", json_integer(store_col_int(st, 3)));
    json_object_set_new(o, "new", json_integer(store_col_int(st, 4)));
    json_object_set_new(o, "first", to_json_time(store_col_int(st, 5)));
    json_object_set_new(o, "last", to_json_time(store_col_int(st, 6)));
    json_object_set_new(o, "rule_title", to_json_text(store_col_str(st, 7)));
    json_object_set_new(o, "rule_title_vi", to_json_text_or_null(store_col_str(st, 8)));
    return json_array_append_new(ctx, o) < 0 ? -ENOMEM : 0;
}

static int add_groups(sqlite3 *db, const struct alert_query *q, json_t *answer, struct diag *diag)
{
    static const char *const order[] = {
        [ALERT_SORT_LAST] = " ORDER BY last DESC, s.rule_id, s.host LIMIT 500",
        [ALERT_SORT_LEVEL] = " ORDER BY top DESC, last DESC, s.rule_id, s.host LIMIT 500",
        [ALERT_SORT_FIRST] = " ORDER BY first DESC, s.rule_id, s.host LIMIT 500",
    };
    json_t *groups = json_array();
    json_object_set_new(answer, "groups", groups);
    struct filter f;
    filter_init(&f,
                "SELECT k.rule_id, k.host, k.top, k.n, k.fresh, k.first, k.last, a.rule_title, a.rule_title_vi FROM ("
                "SELECT s.rule_id AS rule_id, s.host AS host, max(s.level) AS top, count(*) AS n,"
                " sum(s.status = 'new') AS fresh, min(s.first_ns) AS first, max(s.last_ns) AS last, s.id AS id FROM ");
    filter_text(&f, source_of(q));
    filter_text(&f, " WHERE 1");
    filter_add(&f, q, FILTER_COLUMNS);
    filter_text(&f, " GROUP BY s.rule_id, s.host");
    filter_text(&f, order[q->sort]);
    filter_text(&f, ") k JOIN alerts a ON a.id = k.id");
    filter_text(&f, q->sort == ALERT_SORT_LAST    ? " ORDER BY k.last DESC, k.rule_id, k.host"
                    : q->sort == ALERT_SORT_LEVEL ? " ORDER BY k.top DESC, k.last DESC, k.rule_id, k.host"
                                                  : " ORDER BY k.first DESC, k.rule_id, k.host");
    return filter_run(&f, db, diag, on_group, groups);
}

/* --- the page --- */

struct page {
    json_t *alerts;
    size_t limit;
    enum alert_sort sort;
    char next[ALERT_CURSOR_ID_MAX + 64];
    bool has_more;
};

static int on_alert(sqlite3_stmt *st, void *ctx)
{
    struct page *p = ctx;
    if (json_array_size(p->alerts) == p->limit) {
        p->has_more = true; /* the row beyond the page is only asked for to know that there is one */
        return 0;
    }
    int64_t ns = store_col_int(st, p->sort == ALERT_SORT_FIRST ? ALERT_FIRST : ALERT_LAST);
    snprintf(p->next, sizeof(p->next), "%" PRId64 ".%" PRId64 ".%s", store_col_int(st, ALERT_LEVEL), ns,
             sql_z(st, ALERT_ID));
    return json_array_append_new(p->alerts, alert_json(st)) < 0 ? -ENOMEM : 0;
}

static int add_page(sqlite3 *db, const struct alert_query *q, json_t *answer, struct diag *diag)
{
    static const struct {
        const char *inner, *outer;
    } order[] = {
        [ALERT_SORT_LAST] = {" ORDER BY s.last_ns DESC, s.id", " ORDER BY a.last_ns DESC, a.id"},
        [ALERT_SORT_LEVEL] = {" ORDER BY s.level DESC, s.last_ns DESC, s.id",
                              " ORDER BY a.level DESC, a.last_ns DESC, a.id"},
        [ALERT_SORT_FIRST] = {" ORDER BY s.first_ns DESC, s.id", " ORDER BY a.first_ns DESC, a.id"},
    };
    struct page page = {.alerts = json_array(), .limit = q->limit, .sort = q->sort};
    json_object_set_new(answer, "alerts", page.alerts);
    struct filter f;
    filter_init(&f, "SELECT " ALERT_COLUMNS " FROM (SELECT s.id AS id FROM ");
    filter_text(&f, source_of(q));
    filter_text(&f, " WHERE 1");
    filter_add(&f, q, FILTER_COLUMNS | FILTER_CURSOR);
    filter_text(&f, order[q->sort].inner);
    filter_text(&f, " LIMIT ?");
    filter_bind_int(&f, (int64_t)q->limit + 1);
    filter_text(&f, ") k JOIN alerts a ON a.id = k.id");
    filter_text(&f, order[q->sort].outer);
    int r = filter_run(&f, db, diag, on_alert, &page);
    json_object_set_new(answer, "next", page.has_more ? json_string(page.next) : json_null());
    return r;
}

static int add_change(sqlite3 *db, json_t *answer, struct diag *diag)
{
    char text[24];
    int64_t change = 0;
    int r = sql_int(db, &change, diag, "SELECT coalesce(max(change), 0) FROM alerts", "");
    snprintf(text, sizeof(text), "%" PRId64, change);
    json_object_set_new(answer, "change", json_string(text));
    return r;
}

int alert_query_run(sqlite3 *db, const struct alert_query *q, json_t **ret, struct diag *diag)
{
    json_t *answer = json_object();
    int r = store_exec(db, "BEGIN", diag); /* everything below sees the same alerts */
    if (r == 0)
        r = add_change(db, answer, diag);
    if (r == 0)
        r = find_hits(db, q, diag);
    if (r == 0)
        r = add_facet(db, q, "SELECT count(*) FROM ", "", 0, on_total, answer, diag);
    if (r == 0)
        r = add_facets(db, q, answer, diag);
    if (r == 0)
        r = add_page(db, q, answer, diag);
    if (r == 0 && q->wants_groups)
        r = add_groups(db, q, answer, diag);
    store_rollback(db); /* nothing was written but the temporary table, and that goes with it */
    if (r < 0) {
        json_decref(answer);
        return r;
    }
    *ret = answer;
    return 0;
}
