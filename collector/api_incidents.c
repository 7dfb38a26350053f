/* SPDX-License-Identifier: Apache-2.0
 *
 * Incidents and their way to the national centre, over the API.
 */
#include "collector/api_internal.h"

#include "collector/alert_json.h"
#include "collector/delivery.h"
#include "collector/incidents.h"
#include "collector/sql.h"
#include "collector/to_json.h"
#include "common/cert.h"
#include "common/file.h"
#include "common/time.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#define PAGE_MAX        200
#define PAGE_DEFAULT    50
#define DELIVERIES_MAX  100
#define OBJECTS_SHOWN   100 /* of each delivery in a list; the incident's own page shows all */
#define CERTIFICATE_MAX (64 * KIB)

void api_incidents(struct api_call *call)
{
    static const char *const names[] = {"limit", "cursor", NULL};
    struct diag diag = {0};
    int64_t limit = PAGE_DEFAULT, below = 0;
    json_t *list = NULL;
    const char *limit_text = http_query_get(&call->query, "limit"), *cursor = http_query_get(&call->query, "cursor");
    int r = http_query_only(&call->query, names, &diag);
    if (r == 0 && limit_text && parse_i64(str_of(limit_text), 1, PAGE_MAX, &limit) < 0)
        r = diag_set(&diag, -EINVAL, "limit must be a number from 1 to %d", PAGE_MAX);
    if (r == 0 && cursor && parse_i64(str_of(cursor), 1, INT64_MAX, &below) < 0)
        r = diag_set(&diag, -EINVAL, "cursor is not one that was given");
    if (r == 0)
        r = incident_list(call->api->db, INCIDENT_NEWEST, NULL, below, (size_t)limit + 1, &list, &diag);
    if (r < 0) {
        api_fail(call, r, &diag);
        return;
    }
    json_t *next = json_null();
    if (json_array_size(list) > (size_t)limit) {
        char text[24];
        json_array_remove(list, (size_t)limit);
        const json_t *last = json_array_get(list, (size_t)limit - 1);
        snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT, json_integer_value(json_object_get(last, "number")));
        next = json_string(text);
    }
    api_reply(call, 200, json_pack("{s:o, s:o}", "incidents", list, "next", next));
}

static int alerts_of(sqlite3 *db, struct str incident, json_t **ret, struct diag *diag)
{
    SQL_STMT st = NULL;
    json_t *list = json_array();
    int r = sql_prepare(db, &st, diag,
                        "SELECT " ALERT_COLUMNS " FROM alerts a WHERE a.incident_id = ? ORDER BY a.last_ns DESC, a.id"
                        " LIMIT ?",
                        "Si", incident, (int64_t)INCIDENT_ALERTS_MAX);
    while (r >= 0 && (r = store_row(st, diag)) > 0) {
        if (json_array_append_new(list, alert_json(st)) < 0)
            r = -ENOMEM;
    }
    if (r < 0) {
        json_decref(list);
        return r;
    }
    *ret = list;
    return 0;
}

/* The incident alone, or -ENOENT. */
static int one_incident(sqlite3 *db, const char *id, json_t **ret, struct diag *diag)
{
    json_t *list = NULL;
    int r = incident_list(db, INCIDENT_ONE, id, 0, 1, &list, diag);
    if (r < 0)
        return r;
    *ret = json_incref(json_array_get(list, 0));
    json_decref(list);
    return *ret ? 0 : diag_set(diag, -ENOENT, "there is no such incident");
}

void api_incident(struct api_call *call)
{
    static const char *const none[] = {NULL};
    sqlite3 *db = call->api->db;
    struct diag diag = {0};
    json_t *incident = NULL, *alerts = NULL, *deliveries = NULL, *history = NULL;
    char id[80];
    snprintf(id, sizeof(id), STR_FMT, (int)MIN(call->id.len, sizeof(id) - 1), call->id.p);
    int r = http_query_only(&call->query, none, &diag);
    if (r == 0)
        r = one_incident(db, id, &incident, &diag);
    if (r == 0)
        r = alerts_of(db, call->id, &alerts, &diag);
    if (r == 0)
        r = delivery_list(db, DELIVERY_OF_INCIDENT, id, 0, DELIVERIES_MAX, SIZE_MAX, &deliveries, &diag);
    if (r == 0)
        r = api_history(db, id, &history, &diag);
    if (r < 0) {
        json_decref(incident);
        json_decref(alerts);
        json_decref(deliveries);
        api_fail(call, r, &diag);
        return;
    }
    json_object_set_new(incident, "alerts", alerts);
    json_object_set_new(incident, "deliveries", deliveries);
    json_object_set_new(incident, "history", history);
    api_reply(call, 200, incident);
}

static int read_incident(struct api_call *call, struct incident_new *in, const char ***ids, struct diag *diag)
{
    static const char *const members[] = {"alert_ids", "title", "severity", "note", NULL};
    const json_t *severity = json_object_get(call->body, "severity");
    int r = api_body_only(call, members, diag);
    if (r == 0)
        r = api_body_text(call, "title", INCIDENT_TITLE_MAX, &in->title, diag);
    if (r == 0)
        r = api_body_text(call, "note", INCIDENT_NOTE_MAX, &in->note, diag);
    if (r == 0 && str_trim(str_of(in->title)).len == 0)
        r = diag_set(diag, -EINVAL, "an incident wants a title");
    if (r == 0 && (!json_is_integer(severity) || json_integer_value(severity) < 0 || json_integer_value(severity) > 4))
        r = diag_set(diag, -EINVAL, "severity must be a number from 0 to 4");
    if (r == 0)
        r = api_body_ids(call, "alert_ids", INCIDENT_ALERTS_MAX, ids, &in->n_alerts, diag);
    in->alert_ids = *ids;
    in->note = in->note ? in->note : "";
    in->severity = (int)json_integer_value(severity);
    in->by = str_of(call->session.user);
    in->soc_name = call->api->collector->config.soc.name;
    return r;
}

void api_incident_create(struct api_call *call)
{
    struct api *api = call->api;
    struct diag diag = {0};
    struct incident_new in = {0};
    const char **ids = NULL;
    char id[37];
    json_t *incident = NULL;
    int r = read_incident(call, &in, &ids, &diag);
    if (r == 0)
        r = store_begin(api->db, &diag);
    if (r == 0) {
        r = incident_create(api->db, &in, time_now_ns(), id, &diag);
        if (r == 0)
            r = one_incident(api->db, id, &incident, &diag);
        if (r == 0)
            r = store_commit(api->db, &diag);
        else
            store_rollback(api->db);
    }
    free(ids);
    if (r < 0) {
        json_decref(incident);
        api_fail(call, r, &diag);
        return;
    }
    notify_raise(&api->collector->outbox_due);
    api_reply(call, 201, incident);
    api_changed(api);
}

/* --- the outbox --- */

static json_t *certificate_end(const char *path)
{
    struct buf pem = BUF_INIT(CERTIFICATE_MAX);
    const char *z;
    int64_t not_after = 0;
    bool has = path && file_read(path, &pem) == 0 && buf_z(&pem, &z) == 0 &&
               cert_info(z, NULL, &not_after, NULL, NULL, NULL) == 0;
    buf_clear(&pem);
    return to_json_time_or_null(not_after, has);
}

static json_t *destination(const struct collector_config *config)
{
    return json_pack("{s:s, s:s?, s:b, s:o}", "name", "TAXII 2.1", "url", config->taxii.url, "enabled",
                     config->taxii.url != NULL, "certificate_not_after", certificate_end(config->taxii.certificate));
}

void api_outbox(struct api_call *call)
{
    static const char *const none[] = {NULL};
    sqlite3 *db = call->api->db;
    struct diag diag = {0};
    SQL_STMT st = NULL;
    json_t *deliveries = NULL;
    int r = http_query_only(&call->query, none, &diag);
    if (r == 0)
        r = sql_prepare(db, &st, &diag,
                        "SELECT count(*), min(created_ns), (SELECT last_error FROM outbox WHERE state <> 'acknowledged'"
                        " AND last_error IS NOT NULL ORDER BY change DESC LIMIT 1) FROM outbox"
                        " WHERE state IN ('queued', 'sent')",
                        "");
    if (r == 0)
        r = store_row(st, &diag);
    if (r == 1)
        r = delivery_list(db, DELIVERY_NEWEST, NULL, 0, DELIVERIES_MAX, OBJECTS_SHOWN, &deliveries, &diag);
    if (r < 0) {
        api_fail(call, r, &diag);
        return;
    }
    json_t *answer = json_pack("{s:o, s:I, s:o, s:o, s:o}", "destination", destination(&call->api->collector->config),
                               "queued", (json_int_t)store_col_int(st, 0), "oldest_queued",
                               to_json_time_or_null(store_col_int(st, 1), !sql_is_null(st, 1)), "last_error",
                               to_json_text_or_null(store_col_str(st, 2)), "deliveries", deliveries);
    api_reply(call, 200, answer);
}

void api_outbox_retry(struct api_call *call)
{
    struct api *api = call->api;
    struct diag diag = {0};
    int64_t id = 0;
    int r = parse_i64(call->id, 1, INT64_MAX, &id) < 0 ? diag_set(&diag, -ENOENT, "there is no such delivery") : 0;
    if (r == 0)
        r = store_begin(api->db, &diag);
    if (r == 0) {
        r = delivery_retry(api->db, id, str_of(call->session.user), time_now_ns(), &diag);
        if (r == 0)
            r = store_commit(api->db, &diag);
        else
            store_rollback(api->db);
    }
    if (r < 0) {
        api_fail(call, r, &diag);
        return;
    }
    notify_raise(&api->collector->outbox_due);
    api_reply(call, 204, NULL);
    api_changed(api);
}
