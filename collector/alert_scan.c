/* SPDX-License-Identifier: Apache-2.0
 *
 * See alert_scan.h. The filters on status, level, rule and host are applied here and not in SQL, since each facet ignores
 * its own: a row that fails one of them alone still counts for that one's facet.
 */
#include "collector/alert_scan.h"

#include "collector/alert_json.h"
#include "collector/sql.h"
#include "collector/tally.h"
#include "collector/to_json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#define ARENA_MAX  (64 * MIB)
#define VALUES_MAX 64

enum { ID, LAST, FIRST, STATUS, LEVEL, RULE, HOST };
#define SCAN_COLUMNS "s.id, s.last_ns, s.first_ns, s.status, s.level, s.rule_id, s.host"

struct row_key { /* where a row stands in the list's order */
    int64_t level, ns;
    char id[ALERT_ID_MAX + 1];
};

struct scan {
    const struct alert_query *q;
    struct arena *arena;
    int64_t total, statuses[ALERT_STATUS_COUNT], levels[ALERT_LEVEL_COUNT];
    struct tally rules, hosts, groups;
    struct row_key *page; /* heap, the last of the page on top; limit + 1 rows, to see whether there is more */
    size_t n_page;
};

/* --- the statement: fixed fragments, bound values --- */

struct statement {
    struct buf sql;
    struct {
        const char *text; /* borrowed; NULL: a number */
        int64_t number;
    } values[VALUES_MAX];
    size_t n;
    int error;
};

static void add(struct statement *s, const char *fragment)
{
    if (s->error == 0)
        s->error = buf_append_z(&s->sql, fragment);
}

static void bind(struct statement *s, const char *text, int64_t number)
{
    if (s->n == VALUES_MAX) {
        s->error = -E2BIG;
        return;
    }
    s->values[s->n].text = text;
    s->values[s->n++].number = number;
}

static void add_term(struct statement *s, const struct alert_term *t)
{
    add(s, t->is_excluded ? " AND NOT " : " AND ");
    if (t->field) {
        add(s, "vg_field(?, ?, ?, s.event_json)");
        bind(s, t->field, 0);
        bind(s, t->value, 0);
        bind(s, NULL, t->is_pattern);
        return;
    }
    add(s, "(vg_has(?, s.rule_title, s.rule_title_vi, s.host, s.user, s.source_ip, s.destination_ip) OR"
           " vg_event(?, s.event_json))");
    bind(s, t->value, 0);
    bind(s, t->value, 0);
}

static void build(struct statement *s, const struct alert_query *q)
{
    *s = (struct statement){.sql = BUF_INIT(16 * KIB)};
    add(s, q->n_terms ? "SELECT " SCAN_COLUMNS " FROM alerts s WHERE 1"
                      : "SELECT " SCAN_COLUMNS " FROM alerts s INDEXED BY alerts_last WHERE 1");
    if (q->from_ns != INT64_MIN) {
        add(s, " AND s.last_ns >= ?");
        bind(s, NULL, q->from_ns);
    }
    if (q->to_ns != INT64_MAX) {
        add(s, " AND s.last_ns <= ?");
        bind(s, NULL, q->to_ns);
    }
    if (q->hides_demo)
        add(s, " AND s.is_demo = 0");
    for (size_t i = 0; i < q->n_terms; i++)
        add_term(s, &q->terms[i]);
}

static int prepare(struct statement *s, sqlite3 *db, sqlite3_stmt **ret, struct diag *diag)
{
    const char *text;
    int r = s->error ? s->error : buf_z(&s->sql, &text);
    if (r < 0)
        return r;
    if (sqlite3_prepare_v2(db, text, -1, ret, NULL) != SQLITE_OK)
        return store_error(db, diag, "alerts");
    for (size_t i = 0; i < s->n; i++) {
        if (s->values[i].text)
            store_bind_z(*ret, (int)i + 1, s->values[i].text);
        else
            store_bind_int(*ret, (int)i + 1, s->values[i].number);
    }
    return 0;
}

/* --- the page: the first limit + 1 rows behind the cursor --- */

/* < 0: a stands before b in the list. */
static int compare_keys(const struct row_key *a, const struct row_key *b, enum alert_sort sort)
{
    if (sort == ALERT_SORT_LEVEL && a->level != b->level)
        return a->level > b->level ? -1 : 1;
    if (a->ns != b->ns)
        return a->ns > b->ns ? -1 : 1;
    return strcmp(a->id, b->id);
}

static void swap(struct row_key *a, struct row_key *b)
{
    struct row_key x = *a;
    *a = *b;
    *b = x;
}

static void sift_down(struct scan *s, size_t at, size_t n)
{
    for (size_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && compare_keys(&s->page[child + 1], &s->page[child], s->q->sort) > 0)
            child++;
        if (compare_keys(&s->page[child], &s->page[at], s->q->sort) <= 0)
            return;
        swap(&s->page[child], &s->page[at]);
    }
}

static void sift_up(struct scan *s, size_t at)
{
    while (at > 0 && compare_keys(&s->page[at], &s->page[(at - 1) / 2], s->q->sort) > 0) {
        swap(&s->page[at], &s->page[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
}

static void offer(struct scan *s, sqlite3_stmt *st)
{
    const struct alert_query *q = s->q;
    struct row_key k = {.level = store_col_int(st, LEVEL),
                        .ns = store_col_int(st, q->sort == ALERT_SORT_FIRST ? FIRST : LAST)};
    bool is_full = s->n_page == q->limit + 1;
    /* Most rows end here, without their id being read. */
    if (is_full && q->sort != ALERT_SORT_LEVEL && k.ns < s->page[0].ns)
        return;
    snprintf(k.id, sizeof(k.id), "%s", sql_z(st, ID));
    if (q->has_cursor) {
        struct row_key cursor = {.level = q->cursor_level, .ns = q->cursor_ns};
        memcpy(cursor.id, q->cursor_id, sizeof(cursor.id));
        if (compare_keys(&k, &cursor, q->sort) <= 0)
            return;
    }
    if (!is_full) {
        s->page[s->n_page] = k;
        sift_up(s, s->n_page++);
    } else if (compare_keys(&k, &s->page[0], q->sort) < 0) {
        s->page[0] = k;
        sift_down(s, 0, s->n_page);
    }
}

static void sort_page(struct scan *s)
{
    for (size_t n = s->n_page; n > 1; n--) {
        swap(&s->page[0], &s->page[n - 1]);
        sift_down(s, 0, n - 1);
    }
}

/* --- one row --- */

static unsigned status_of(sqlite3_stmt *st)
{
    switch (sql_z(st, STATUS)[0]) {
    case 'n':
        return 0;
    case 'a':
        return 1;
    case 'e':
        return 2;
    default:
        return 3;
    }
}

static void count(struct scan *s, struct tally *t, struct str key, sqlite3_stmt *st, unsigned status)
{
    struct tally_entry *e = tally_at(t, key);
    if (!e)
        return;
    e->count++;
    e->fresh += status == 0;
    e->first_ns = MIN(e->first_ns, store_col_int(st, FIRST));
    e->last_ns = MAX(e->last_ns, store_col_int(st, LAST));
    e->level = MAX(e->level, store_col_int(st, LEVEL));
    if (e->sample.len == 0) /* for the rule's titles */
        arena_str(s->arena, store_col_str(st, ID), &e->sample);
}

static void count_group(struct scan *s, sqlite3_stmt *st, unsigned status)
{
    char key[600];
    struct str rule = store_col_str(st, RULE), host = store_col_str(st, HOST);
    int n = snprintf(key, sizeof(key), "%.*s\n%.*s", (int)MIN(rule.len, (size_t)256), rule.p,
                     (int)MIN(host.len, (size_t)256), host.p);
    count(s, &s->groups, (struct str){key, (size_t)n}, st, status);
}

static void take_row(struct scan *s, sqlite3_stmt *st)
{
    const struct alert_query *q = s->q;
    unsigned status = status_of(st);
    int64_t level = store_col_int(st, LEVEL);
    struct str rule = store_col_str(st, RULE), host = store_col_str(st, HOST);
    bool is_status = !q->statuses || (q->statuses & 1u << status);
    bool is_level = !q->levels || (level >= 0 && level < ALERT_LEVEL_COUNT && (q->levels & 1u << level));
    bool is_rule = !q->rule || str_eq(rule, str_of(q->rule));
    bool is_host = !q->host || str_eq(host, str_of(q->host));
    if (is_level && is_rule && is_host)
        s->statuses[status]++;
    if (is_status && is_rule && is_host && level >= 0 && level < ALERT_LEVEL_COUNT)
        s->levels[level]++;
    if (is_status && is_level && is_host)
        count(s, &s->rules, rule, st, status);
    if (is_status && is_level && is_rule)
        count(s, &s->hosts, host, st, status);
    if (!is_status || !is_level || !is_rule || !is_host)
        return;
    s->total++;
    if (q->wants_groups)
        count_group(s, st, status);
    offer(s, st);
}

static int walk(struct scan *s, sqlite3 *db, struct diag *diag)
{
    struct statement statement;
    SQL_STMT st = NULL;
    build(&statement, s->q);
    int r = prepare(&statement, db, &st, diag);
    while (r >= 0 && (r = store_row(st, diag)) > 0)
        take_row(s, st);
    buf_clear(&statement.sql);
    return r;
}

/* --- the answer --- */

static int titles_of(sqlite3_stmt *st, const struct tally_entry *e, json_t *into, const char *title,
                     const char *title_vi, struct diag *diag)
{
    sql_bind(st, "S", e->sample);
    int r = store_row(st, diag);
    json_object_set_new(into, title, r == 1 ? to_json_text(store_col_str(st, 0)) : json_string(""));
    json_object_set_new(into, title_vi, r == 1 ? to_json_text_or_null(store_col_str(st, 1)) : json_null());
    store_reset(st);
    return r < 0 ? r : 0;
}

static json_t *numbers_json(const int64_t *counts, size_t n, const char *const *names)
{
    json_t *o = json_object();
    for (size_t i = 0; i < n; i++) {
        char number[16];
        snprintf(number, sizeof(number), "%zu", i);
        if (counts[i])
            json_object_set_new(o, names ? names[i] : number, json_integer(counts[i]));
    }
    return o;
}

static int add_facets(struct scan *s, sqlite3_stmt *titles, json_t *answer, struct diag *diag)
{
    struct tally_entry **list;
    json_t *rules = json_array(), *hosts = json_array();
    int r = 0;
    size_t n = tally_sorted(&s->rules, tally_by_count, ALERT_FACET_MAX, &list);
    for (size_t i = 0; i < n && r == 0; i++) {
        json_t *o = json_pack("{s:o, s:I}", "id", to_json_text(list[i]->key), "count", (json_int_t)list[i]->count);
        r = titles_of(titles, list[i], o, "title", "title_vi", diag);
        json_array_append_new(rules, o);
    }
    n = tally_sorted(&s->hosts, tally_by_count, ALERT_FACET_MAX, &list);
    for (size_t i = 0; i < n; i++)
        json_array_append_new(
            hosts, json_pack("{s:o, s:I}", "value", to_json_text(list[i]->key), "count", (json_int_t)list[i]->count));
    json_object_set_new(answer, "facets",
                        json_pack("{s:o, s:o, s:o, s:o}", "status",
                                  numbers_json(s->statuses, ALERT_STATUS_COUNT, alert_status_names), "level",
                                  numbers_json(s->levels, ALERT_LEVEL_COUNT, NULL), "rule", rules, "host", hosts));
    return r;
}

static int by_time(int64_t a, int64_t b)
{
    return a > b ? -1 : a < b;
}

static int groups_by_last(const struct tally_entry *a, const struct tally_entry *b)
{
    int c = by_time(a->last_ns, b->last_ns);
    return c ? c : strcmp(a->key.p, b->key.p);
}

static int groups_by_level(const struct tally_entry *a, const struct tally_entry *b)
{
    return a->level != b->level ? (a->level > b->level ? -1 : 1) : groups_by_last(a, b);
}

static int groups_by_first(const struct tally_entry *a, const struct tally_entry *b)
{
    int c = by_time(a->first_ns, b->first_ns);
    return c ? c : strcmp(a->key.p, b->key.p);
}

static json_t *group_json(const struct tally_entry *e)
{
    const char *newline = strchr(e->key.p, '\n');
    struct str rule = {e->key.p, (size_t)(newline - e->key.p)}, host = str_of(newline + 1);
    return json_pack("{s:o, s:o, s:I, s:I, s:I, s:o, s:o}", "rule_id", to_json_text(rule), "host", to_json_text(host),
                     "level", (json_int_t)e->level, "count", (json_int_t)e->count, "new", (json_int_t)e->fresh, "first",
                     to_json_time(e->first_ns), "last", to_json_time(e->last_ns));
}

static int add_groups(struct scan *s, sqlite3_stmt *titles, json_t *answer, struct diag *diag)
{
    static const tally_compare_fn orders[] = {groups_by_last, groups_by_level, groups_by_first};
    struct tally_entry **list;
    json_t *groups = json_array();
    size_t n = tally_sorted(&s->groups, orders[s->q->sort], ALERT_GROUPS_MAX, &list);
    int r = 0;
    for (size_t i = 0; i < n && r == 0; i++) {
        json_t *o = group_json(list[i]);
        r = titles_of(titles, list[i], o, "rule_title", "rule_title_vi", diag);
        json_array_append_new(groups, o);
    }
    json_object_set_new(answer, "groups", groups);
    return r;
}

static int add_page(struct scan *s, sqlite3 *db, json_t *answer, struct diag *diag)
{
    SQL_STMT st = NULL;
    json_t *alerts = json_array(), *next = NULL;
    size_t n = MIN(s->n_page, s->q->limit);
    sort_page(s);
    int r = sql_prepare(db, &st, diag, "SELECT " ALERT_COLUMNS " FROM alerts a WHERE a.id = ?", "");
    for (size_t i = 0; i < n && r >= 0; i++) {
        sql_bind(st, "s", s->page[i].id);
        r = store_row(st, diag);
        if (r == 1 && json_array_append_new(alerts, alert_json(st)) < 0)
            r = -ENOMEM;
        store_reset(st);
    }
    if (s->n_page > n) {
        char text[ALERT_ID_MAX + 64];
        const struct row_key *last = &s->page[n - 1];
        snprintf(text, sizeof(text), "%" PRId64 ".%" PRId64 ".%s", last->level, last->ns, last->id);
        next = json_string(text);
    }
    json_object_set_new(answer, "alerts", alerts);
    json_object_set_new(answer, "next", next ? next : json_null());
    return r < 0 ? r : 0;
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

static int answer_all(struct scan *s, sqlite3 *db, json_t *answer, struct diag *diag)
{
    SQL_STMT titles = NULL;
    int r = add_change(db, answer, diag);
    if (r == 0)
        r = walk(s, db, diag);
    if (r == 0)
        r = sql_prepare(db, &titles, diag, "SELECT rule_title, rule_title_vi FROM alerts WHERE id = ?", "");
    if (r == 0)
        r = add_facets(s, titles, answer, diag);
    if (r == 0 && s->q->wants_groups)
        r = add_groups(s, titles, answer, diag);
    if (r == 0)
        r = add_page(s, db, answer, diag);
    json_object_set_new(answer, "total", json_integer(s->total));
    return r;
}

int alert_scan(sqlite3 *db, const struct alert_query *q, json_t **ret, struct diag *diag)
{
    struct scan s = {.q = q, .arena = arena_new(ARENA_MAX)};
    json_t *answer = json_object();
    s.page = calloc(q->limit + 1, sizeof(*s.page));
    int r = s.arena && s.page && answer ? 0 : -ENOMEM;
    if (r == 0) {
        tally_init(&s.rules, s.arena);
        tally_init(&s.hosts, s.arena);
        tally_init(&s.groups, s.arena);
        r = store_exec(db, "BEGIN", diag); /* everything sees the same alerts */
    }
    if (r == 0)
        r = answer_all(&s, db, answer, diag);
    store_rollback(db);
    tally_clear(&s.rules);
    tally_clear(&s.hosts);
    tally_clear(&s.groups);
    arena_free(s.arena);
    free(s.page);
    if (r < 0) {
        json_decref(answer);
        return r;
    }
    *ret = answer;
    return 0;
}
