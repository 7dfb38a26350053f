/* SPDX-License-Identifier: Apache-2.0
 *
 * Alerts over the API: the list, one with its detail, the events behind it, and what analysts decide about them.
 *
 * The events are read from the archive and decoded by today's decoders, which means unpacking up to 64 batches: that runs
 * on a worker. It holds the content only while it decodes, since a reload waits for it.
 */
#include "collector/api_internal.h"

#include "collector/alert_json.h"
#include "collector/alert_scan.h"
#include "collector/alert_status.h"
#include "collector/archived_events.h"
#include "collector/sql.h"
#include "collector/to_json.h"
#include "common/time.h"

#include <errno.h>
#include <stdio.h>

#define STATUS_IDS_MAX 500
#define HISTORY_MAX    500

/* --- the list --- */

struct search_job {
    struct worker_job job;
    struct api_call *call;
    struct alert_query query;
    json_t *answer;
    bool is_too_slow;
    int error;
    struct diag diag;
};

static void run_search(struct worker_job *job)
{
    struct search_job *j = (struct search_job *)job;
    struct api *api = j->call->api;
    api->search.deadline_ns = time_monotonic_ns() + API_SEARCH_TIME_NS;
    j->error = alert_scan(api->search.db, &j->query, &j->answer, &j->diag);
    j->is_too_slow = j->error < 0 && time_monotonic_ns() >= api->search.deadline_ns;
}

static void search_done(struct worker_job *job, bool was_run)
{
    struct search_job *j = (struct search_job *)job;
    if (!was_run)
        api_error(j->call, 503, "busy", "the collector is stopping");
    else if (j->is_too_slow)
        api_error(j->call, 503, "busy", "this would take too long; ask for a shorter time");
    else if (j->error < 0)
        api_fail(j->call, j->error, &j->diag);
    else
        api_reply(j->call, 200, j->answer);
    alert_query_clear(&j->query);
    free(j);
}

void api_alerts(struct api_call *call)
{
    struct diag diag = {0};
    struct search_job *j = calloc(1, sizeof(*j));
    int r = j ? alert_query_parse(&call->query, &j->query, &diag) : -ENOMEM;
    if (r < 0) {
        free(j);
        api_fail(call, r, &diag);
        return;
    }
    j->call = call;
    j->job.run = run_search;
    j->job.done = search_done;
    if (worker_push(call->api->searches, &j->job) < 0) {
        alert_query_clear(&j->query);
        free(j);
        api_error(call, 503, "busy", "too many searches at this moment; try again");
        return;
    }
    api_defer(call);
}

int api_history(sqlite3 *db, const char *object, json_t **ret, struct diag *diag)
{
    SQL_STMT st = NULL;
    json_t *list = json_array();
    int r = sql_prepare(db, &st, diag,
                        "SELECT at_ns, user, action, detail_json FROM audit WHERE object = ? ORDER BY id LIMIT ?", "si",
                        object, (int64_t)HISTORY_MAX);
    while (r >= 0 && (r = store_row(st, diag)) > 0) {
        json_t *detail = from_json(store_col_str(st, 3));
        json_t *o = json_pack("{s:o, s:o, s:o, s:o}", "at", to_json_time(store_col_int(st, 0)), "user",
                              to_json_text(store_col_str(st, 1)), "action", to_json_text(store_col_str(st, 2)),
                              "detail", detail ? detail : json_object());
        if (json_array_append_new(list, o) < 0)
            r = -ENOMEM;
    }
    if (r < 0) {
        json_decref(list);
        return r;
    }
    *ret = list;
    return 0;
}

void api_alert(struct api_call *call)
{
    static const char *const none[] = {NULL};
    struct diag diag = {0};
    SQL_STMT st = NULL;
    json_t *alert = NULL, *history = NULL;
    int r = http_query_only(&call->query, none, &diag);
    if (r == 0)
        r = sql_prepare(call->api->db, &st, &diag, "SELECT " ALERT_DETAIL_COLUMNS " FROM alerts a WHERE a.id = ?", "S",
                        call->id);
    if (r == 0)
        r = store_row(st, &diag);
    if (r == 0)
        r = diag_set(&diag, -ENOENT, "there is no such alert");
    if (r == 1) {
        alert = alert_detail_json(st);
        r = alert ? api_history(call->api->db, sql_z(st, ALERT_ID), &history, &diag) : -ENOMEM;
    }
    if (r < 0) {
        json_decref(alert);
        api_fail(call, r, &diag);
        return;
    }
    json_object_set_new(alert, "history", history);
    api_reply(call, 200, alert);
}

/* --- the events behind an alert --- */

struct events_job {
    struct worker_job job;
    struct api_call *call;
    struct event_ref refs[ARCHIVED_EVENTS_MAX];
    size_t n;
    json_t *events;
    size_t missing;
    int error;
    struct diag diag;
};

static void run_events(struct worker_job *job)
{
    struct events_job *j = (struct events_job *)job;
    j->error = archived_events_json(j->call->api->collector, j->refs, j->n, &j->events, &j->missing, &j->diag);
}

static void events_done(struct worker_job *job, bool was_run)
{
    struct events_job *j = (struct events_job *)job;
    if (!was_run)
        api_error(j->call, 503, "busy", "the collector is stopping");
    else if (j->error < 0)
        api_fail(j->call, j->error, &j->diag);
    else
        api_reply(j->call, 200, json_pack("{s:o, s:I}", "events", j->events, "missing", (json_int_t)j->missing));
    free(j);
}

static int read_refs(struct api_call *call, struct events_job *j)
{
    SQL_STMT st = NULL;
    int64_t one = 0;
    int r = sql_int(call->api->db, &one, &j->diag, "SELECT 1 FROM alerts WHERE id = ?", "S", call->id);
    if (r == -ENOENT)
        return diag_set(&j->diag, r, "there is no such alert");
    if (r == 0)
        r = sql_prepare(call->api->db, &st, &j->diag,
                        "SELECT pos, line FROM alert_events WHERE alert_id = ? ORDER BY pos, line LIMIT ?", "Si",
                        call->id, (int64_t)ARCHIVED_EVENTS_MAX);
    while (r >= 0 && (r = store_row(st, &j->diag)) > 0)
        j->refs[j->n++] = (struct event_ref){(uint64_t)store_col_int(st, 0), (uint32_t)store_col_int(st, 1)};
    return r;
}

void api_alert_events(struct api_call *call)
{
    struct diag diag = {0};
    struct events_job *j = calloc(1, sizeof(*j));
    if (!j) {
        api_fail(call, -ENOMEM, &diag);
        return;
    }
    j->call = call;
    j->job.run = run_events;
    j->job.done = events_done;
    int r = read_refs(call, j);
    if (r < 0) {
        api_fail(call, r, &j->diag);
        free(j);
        return;
    }
    if (worker_push(call->api->readers, &j->job) < 0) {
        free(j);
        api_error(call, 503, "busy", "too many are reading the archive; try again");
        return;
    }
    api_defer(call);
}

/* --- decisions --- */

static int read_change(struct api_call *call, struct alert_change *c, const char ***ids, struct diag *diag)
{
    static const char *const members[] = {"ids", "status", "reason", "comment", NULL};
    int r = api_body_only(call, members, diag);
    if (r == 0)
        r = api_body_text(call, "status", 16, &c->status, diag);
    if (r == 0)
        r = api_body_text(call, "reason", 16, &c->reason, diag);
    if (r == 0)
        r = api_body_text(call, "comment", ALERT_COMMENT_MAX, &c->comment, diag);
    if (r == 0)
        r = api_body_ids(call, "ids", STATUS_IDS_MAX, ids, &c->n_ids, diag);
    c->ids = *ids;
    c->by = str_of(call->session.user);
    return r;
}

static int read_alerts(sqlite3 *db, const struct alert_change *c, json_t **ret, struct diag *diag)
{
    SQL_STMT st = NULL;
    json_t *list = json_array();
    int r = sql_prepare(db, &st, diag, "SELECT " ALERT_COLUMNS " FROM alerts a WHERE a.id = ?", "");
    for (size_t i = 0; i < c->n_ids && r >= 0; i++) {
        sql_bind(st, "s", c->ids[i]);
        r = store_row(st, diag);
        if (r == 1 && json_array_append_new(list, alert_json(st)) < 0)
            r = -ENOMEM;
        store_reset(st);
    }
    if (r < 0) {
        json_decref(list);
        return r;
    }
    *ret = list;
    return 0;
}

void api_alerts_status(struct api_call *call)
{
    sqlite3 *db = call->api->db;
    struct diag diag = {0};
    struct alert_change c = {0};
    const char **ids = NULL;
    json_t *alerts = NULL;
    size_t changed = 0;
    int r = read_change(call, &c, &ids, &diag);
    if (r == 0)
        r = store_begin(db, &diag);
    if (r == 0) {
        r = alert_status_change(db, &c, time_now_ns(), &changed, &diag);
        if (r == 0)
            r = read_alerts(db, &c, &alerts, &diag);
        if (r == 0)
            r = store_commit(db, &diag);
        else
            store_rollback(db);
    }
    free(ids);
    if (r < 0) {
        json_decref(alerts);
        api_fail(call, r, &diag);
        return;
    }
    struct api *api = call->api;
    api_reply(call, 200, json_pack("{s:I, s:o}", "changed", (json_int_t)changed, "alerts", alerts));
    if (changed)
        api_changed(api);
}
