/* SPDX-License-Identifier: Apache-2.0
 * See delivery.h. */
#include "collector/delivery.h"

#include "collector/incidents.h"
#include "collector/sql.h"
#include "collector/taxii_status.h"
#include "collector/to_json.h"
#include "common/time.h"

#include <errno.h>
#include <stdio.h>

#define NEXT_CHANGE "(SELECT coalesce(max(change), 0) + 1 FROM outbox)"

/* A clock that was wrong once must not put a row off for ever. */
#define DUE "(next_try_ns <= ?1 OR next_try_ns > ?1 + 90000000000000)"

int delivery_queue(sqlite3 *db, const char *incident_id, const char *envelope, int64_t now_ns, int64_t *ret_id,
                   struct diag *diag)
{
    int r = sql_run(db, diag,
                    "INSERT INTO outbox (change, incident_id, bundle_json, next_try_ns, created_ns)"
                    " VALUES (" NEXT_CHANGE ", ?, ?, ?, ?)",
                    "ssii", incident_id, envelope, now_ns, now_ns);
    if (r == 0)
        *ret_id = sqlite3_last_insert_rowid(db);
    return r;
}

void delivery_clear(struct delivery *d)
{
    json_decref(d->objects);
    json_decref(d->parts);
    *d = (struct delivery){0};
}

int delivery_due(sqlite3 *db, int64_t now_ns, struct delivery *ret, struct diag *diag)
{
    SQL_STMT st = NULL;
    int r = sql_prepare(db, &st, diag,
                        "SELECT id, incident_id, state, attempts, next_try_ns, sent_ns, acknowledged_ns, created_ns,"
                        " last_error, bundle_json, response_json FROM outbox"
                        " WHERE state IN ('queued', 'sent') AND " DUE " ORDER BY id LIMIT 1",
                        "i", now_ns);
    if (r == 0)
        r = store_row(st, diag);
    if (r <= 0)
        return r;
    struct delivery d = {
        .id = store_col_int(st, 0),
        .attempts = store_col_int(st, 3),
        .next_try_ns = store_col_int(st, 4),
        .sent_ns = store_col_int(st, 5),
        .acknowledged_ns = store_col_int(st, 6),
        .created_ns = store_col_int(st, 7),
    };
    snprintf(d.incident_id, sizeof(d.incident_id), "%s", sql_z(st, 1));
    snprintf(d.state, sizeof(d.state), "%s", sql_z(st, 2));
    snprintf(d.last_error, sizeof(d.last_error), "%s", sql_z(st, 8));
    json_t *envelope = from_json(store_col_str(st, 9));
    d.objects = json_incref(json_object_get(envelope, "objects"));
    json_decref(envelope);
    d.parts = sql_is_null(st, 10) ? json_array() : from_json(store_col_str(st, 10));
    if (!json_is_array(d.objects) || !json_is_array(d.parts)) {
        json_decref(d.objects);
        json_decref(d.parts);
        d.objects = json_array();
        d.parts = json_array();
        d.is_damaged = true;
    }
    *ret = d;
    return 1;
}

int delivery_hurry(sqlite3 *db, int64_t now_ns, struct diag *diag)
{
    return sql_run(db, diag, "UPDATE outbox SET next_try_ns = ?1 WHERE state = 'queued' AND next_try_ns > ?1", "i",
                   now_ns);
}

int delivery_next(sqlite3 *db, int64_t *ret_ns, struct diag *diag)
{
    return sql_int(db, ret_ns, diag,
                   "SELECT next_try_ns FROM outbox WHERE state IN ('queued', 'sent') ORDER BY next_try_ns LIMIT 1", "");
}

/* id of the first status resource that is still pending; NULL: none. */
static const char *pending_status(const json_t *parts)
{
    size_t i;
    json_t *part;
    json_array_foreach((json_t *)parts, i, part)
    {
        const json_t *status = json_object_get(part, "status");
        const char *state = json_string_value(json_object_get(status, "status"));
        if (state && strcmp(state, "pending") == 0)
            return json_string_value(json_object_get(status, "id"));
    }
    return NULL;
}

static int audit_state(sqlite3 *db, const struct delivery *d, struct diag *diag)
{
    json_t *detail = json_pack("{s:I, s:I, s:I, s:I}", "delivery", (json_int_t)d->id, "success", (json_int_t)d->success,
                               "failure", (json_int_t)d->failure, "pending", (json_int_t)d->pending);
    if (d->last_error[0])
        json_object_set_new(detail, "error", to_json_text(str_of(d->last_error)));
    CLEANUP(free_ptr) char *text = json_dumps(detail, JSON_COMPACT);
    json_decref(detail);
    char action[40];
    snprintf(action, sizeof(action), "delivery.%s", d->state);
    return text ? store_audit(db, STR("system"), action, str_of(d->incident_id), text, diag) : -ENOMEM;
}

int delivery_save(sqlite3 *db, const struct delivery *d, const char *destination, struct diag *diag)
{
    int64_t same = 0;
    int r = sql_int(db, &same, diag, "SELECT state = ? FROM outbox WHERE id = ?", "si", d->state, d->id);
    if (r < 0)
        return r;
    CLEANUP(free_ptr) char *parts = json_dumps(d->parts, JSON_COMPACT);
    if (!parts)
        return -ENOMEM;
    SQL_STMT st = NULL;
    r = sql_prepare(db, &st, diag,
                    "UPDATE outbox SET change = " NEXT_CHANGE ", destination = ?2, state = ?3, attempts = ?4,"
                    " next_try_ns = ?5, last_error = ?6, status_id = ?7, success_count = ?8, failure_count = ?9,"
                    " pending_count = ?10, response_json = ?11, sent_ns = nullif(?12, 0),"
                    " acknowledged_ns = nullif(?13, 0) WHERE id = ?1",
                    "issiissiiisii", d->id, destination, d->state, d->attempts, d->next_try_ns,
                    d->last_error[0] ? d->last_error : NULL, pending_status(d->parts), d->success, d->failure,
                    d->pending, parts, d->sent_ns, d->acknowledged_ns);
    if (r == 0)
        r = store_run(st, diag);
    if (r == 0)
        r = incident_bump(db, d->incident_id, diag);
    if (r == 0 && !same)
        r = audit_state(db, d, diag);
    return r;
}

int delivery_hold(sqlite3 *db, const struct delivery *d, const char *destination, const char *id, const char *version,
                  struct diag *diag)
{
    return sql_run(db, diag,
                   "INSERT OR IGNORE INTO outbox_objects (destination, id, version, outbox_id, at_ns)"
                   " VALUES (?, ?, ?, ?, ?)",
                   "sssii", destination, id, version, d->id, time_now_ns());
}

bool delivery_is_held(sqlite3 *db, const char *destination, const char *id, const char *version)
{
    int64_t one = 0;
    return sql_int(db, &one, NULL, "SELECT 1 FROM outbox_objects WHERE destination = ? AND id = ? AND version = ?",
                   "sss", destination, id, version) == 0;
}

int delivery_retry(sqlite3 *db, int64_t id, struct str by, int64_t now_ns, struct diag *diag)
{
    SQL_STMT st = NULL;
    int r = sql_prepare(db, &st, diag, "SELECT state, incident_id FROM outbox WHERE id = ?", "i", id);
    if (r == 0)
        r = store_row(st, diag);
    if (r <= 0)
        return r == 0 ? diag_set(diag, -ENOENT, "there is no such delivery") : r;
    if (strcmp(sql_z(st, 0), "acknowledged") == 0)
        return diag_set(diag, -EEXIST, "the peer has acknowledged this delivery already");
    char incident[40];
    snprintf(incident, sizeof(incident), "%s", sql_z(st, 1));
    r = sql_run(db, diag,
                "UPDATE outbox SET change = " NEXT_CHANGE ", next_try_ns = ?2,"
                " state = iif(state = 'rejected', 'queued', state) WHERE id = ?1",
                "ii", id, now_ns);
    if (r == 0)
        r = incident_bump(db, incident, diag);
    if (r == 0) {
        char detail[48];
        snprintf(detail, sizeof(detail), "{\"delivery\":%lld}", (long long)id);
        r = store_audit(db, by, "delivery.retry", str_of(incident), detail, diag);
    }
    return r;
}

/* The newest word on an object that is not held. */
static json_t *verdict_on(const json_t *parts, const char *id, const char **ret_message)
{
    const char *verdict = NULL;
    *ret_message = NULL;
    size_t i;
    json_t *part;
    json_array_foreach((json_t *)parts, i, part)
    {
        struct taxii_entry e;
        size_t index = 0;
        while (taxii_status_entry(json_object_get(part, "status"), &index, &e)) {
            if (strcmp(e.id, id) != 0)
                continue;
            verdict = e.verdict == TAXII_FAILURE ? "failure" : e.verdict == TAXII_PENDING ? "pending" : "success";
            *ret_message = e.message[0] ? e.message : NULL;
        }
    }
    return verdict ? json_string(verdict) : json_null();
}

static json_t *objects_json(sqlite3 *db, const char *destination, const json_t *envelope, const json_t *parts,
                            size_t max)
{
    json_t *list = json_array();
    size_t i;
    json_t *object;
    json_array_foreach(json_object_get(envelope, "objects"), i, object)
    {
        if (i >= max)
            break;
        const char *id = json_string_value(json_object_get(object, "id"));
        const char *version = json_string_value(json_object_get(object, "modified"));
        const char *message = NULL;
        json_t *verdict = destination && delivery_is_held(db, destination, id, version ? version : "")
                              ? json_string("success")
                              : verdict_on(parts, id, &message);
        json_array_append_new(list, json_pack("{s:O, s:O, s:o, s:s?}", "id", json_object_get(object, "id"), "type",
                                              json_object_get(object, "type"), "status", verdict, "message", message));
    }
    return list;
}

static json_t *row_json(sqlite3 *db, sqlite3_stmt *st, size_t objects_max)
{
    json_t *envelope = from_json(store_col_str(st, 13));
    json_t *parts = sql_is_null(st, 14) ? json_array() : from_json(store_col_str(st, 14));
    json_t *d = json_object();
    json_object_set_new(d, "id", json_integer(store_col_int(st, 0)));
    json_object_set_new(d, "incident_id", to_json_text(store_col_str(st, 1)));
    json_object_set_new(d, "incident_number", json_integer(store_col_int(st, 2)));
    json_object_set_new(d, "state", to_json_text(store_col_str(st, 3)));
    json_object_set_new(d, "attempts", json_integer(store_col_int(st, 4)));
    bool waits = strcmp(sql_z(st, 3), "queued") == 0 || strcmp(sql_z(st, 3), "sent") == 0;
    json_object_set_new(d, "next_try", to_json_time_or_null(store_col_int(st, 5), waits));
    json_object_set_new(d, "last_error", to_json_text_or_null(store_col_str(st, 6)));
    static const char *const counts[] = {"success_count", "failure_count", "pending_count"};
    for (int i = 0; i < 3; i++)
        json_object_set_new(d, counts[i], json_integer(store_col_int(st, 7 + i)));
    json_object_set_new(d, "created", to_json_time(store_col_int(st, 10)));
    json_object_set_new(d, "sent", to_json_time_or_null(store_col_int(st, 11), !sql_is_null(st, 11)));
    json_object_set_new(d, "acknowledged", to_json_time_or_null(store_col_int(st, 12), !sql_is_null(st, 12)));
    json_object_set_new(d, "object_count",
                        json_integer((json_int_t)json_array_size(json_object_get(envelope, "objects"))));
    json_object_set_new(d, "objects",
                        objects_json(db, sql_is_null(st, 15) ? NULL : sql_z(st, 15), envelope, parts, objects_max));
    json_decref(envelope);
    json_decref(parts);
    return d;
}

int delivery_list(sqlite3 *db, enum delivery_filter filter, const char *text, int64_t number, size_t limit,
                  size_t objects_max, json_t **ret, struct diag *diag)
{
#define DELIVERY_SELECT                                                                                                \
    "SELECT o.id, o.incident_id, i.number, o.state, o.attempts, o.next_try_ns, o.last_error, o.success_count,"         \
    " o.failure_count, o.pending_count, o.created_ns, o.sent_ns, o.acknowledged_ns, o.bundle_json, o.response_json,"   \
    " o.destination FROM outbox o JOIN incidents i ON i.id = o.incident_id "
    static const char *const sql[] = {
        [DELIVERY_NEWEST] = DELIVERY_SELECT "WHERE ?1 IS ?1 AND ?2 = ?2 ORDER BY o.id DESC LIMIT ?3",
        [DELIVERY_OF_INCIDENT] = DELIVERY_SELECT "WHERE o.incident_id = ?1 AND ?2 = ?2 ORDER BY o.id DESC LIMIT ?3",
        [DELIVERY_CHANGED_AFTER] = DELIVERY_SELECT "WHERE ?1 IS ?1 AND o.change > ?2 ORDER BY o.change LIMIT ?3",
    };
    SQL_STMT st = NULL;
    json_t *list = json_array();
    int r = sql_prepare(db, &st, diag, sql[filter], "sii", text, number, (int64_t)limit);
    while (r >= 0 && (r = store_row(st, diag)) > 0) {
        if (json_array_append_new(list, row_json(db, st, objects_max)) < 0)
            r = -ENOMEM;
    }
    if (r < 0) {
        json_decref(list);
        return r;
    }
    *ret = list;
    return 0;
}
