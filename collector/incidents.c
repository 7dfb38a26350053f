/* SPDX-License-Identifier: Apache-2.0
 * See incidents.h. */
#include "collector/incidents.h"

#include "collector/alert_json.h"
#include "collector/delivery.h"
#include "collector/sql.h"
#include "collector/stix.h"
#include "collector/to_json.h"
#include "common/batch.h"

#include <errno.h>
#include <stdio.h>

#define NEXT_CHANGE "(SELECT coalesce(max(change), 0) + 1 FROM incidents)"

/* What is known of the alerts before anything is written. */
static int check_alerts(sqlite3 *db, const struct incident_new *in, bool *ret_is_demo, struct diag *diag)
{
    SQL_STMT st = NULL;
    int r = sql_prepare(db, &st, diag, "SELECT status, incident_id, is_demo FROM alerts WHERE id = ?", "");
    size_t demos = 0;
    for (size_t i = 0; i < in->n_alerts && r >= 0; i++) {
        const char *id = in->alert_ids[i];
        sql_bind(st, "s", id);
        r = store_row(st, diag);
        if (r < 0)
            break;
        if (r == 0)
            return diag_set(diag, -ENOENT, "there is no alert %.64s", id);
        if (!sql_is_null(st, 1))
            return diag_set(diag, -EEXIST, "alert %.64s belongs to an incident already", id);
        if (strcmp(sql_z(st, 0), "closed") == 0)
            return diag_set(diag, -EEXIST, "alert %.64s is closed", id);
        demos += store_col_int(st, 2) != 0;
        store_reset(st);
    }
    if (r < 0)
        return r;
    if (demos > 0 && demos < in->n_alerts)
        return diag_set(diag, -EEXIST, "demonstrations and real alerts do not go into one incident");
    *ret_is_demo = demos > 0;
    return 0;
}

static int take_alerts(sqlite3 *db, const struct incident_new *in, const char *incident, int64_t number, int64_t now_ns,
                       struct diag *diag)
{
    int64_t change = 0;
    int r = store_next_change(db, &change, diag);
    char detail[64];
    snprintf(detail, sizeof(detail), "{\"incident\":%lld}", (long long)number);
    for (size_t i = 0; i < in->n_alerts && r == 0; i++) {
        r = sql_run(db, diag,
                    "UPDATE alerts SET status = 'escalated', incident_id = ?, owner = coalesce(owner, ?), change = ?,"
                    " updated_ns = ? WHERE id = ?",
                    "sSiis", incident, in->by, change++, now_ns, in->alert_ids[i]);
        if (r == 0)
            r = store_audit(db, in->by, "alert.escalate", str_of(in->alert_ids[i]), detail, diag);
    }
    return r;
}

/* Keeps alive what stix_alert borrows. */
struct report {
    struct stix_incident incident;
    struct stix_alert alerts[INCIDENT_ALERTS_MAX];
    json_t *rows[INCIDENT_ALERTS_MAX]; /* as alert_detail_json gives them */
    size_t n;
};

static void report_free(struct report *r)
{
    for (size_t i = 0; i < r->n; i++) {
        free(r->alerts[i].sentence_vi);
        free(r->alerts[i].sentence_en);
        json_decref(r->rows[i]);
    }
    free(r);
}

static struct str text_of(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    return (struct str){json_string_value(v), json_string_length(v)};
}

static int add_to_report(struct report *r, sqlite3_stmt *st)
{
    json_t *row = alert_json(st);
    if (!row)
        return -ENOMEM;
    const json_t *rule = json_object_get(row, "rule");
    struct stix_alert a = {
        .id = json_string_value(json_object_get(row, "id")),
        .rule_id = json_string_value(json_object_get(rule, "id")),
        .host = text_of(row, "host"),
        .source_ip = text_of(row, "source_ip"),
        .destination_ip = text_of(row, "destination_ip"),
        .tags = json_object_get(rule, "tags"),
        .count = store_col_int(st, ALERT_COUNT),
        .first_ns = store_col_int(st, ALERT_FIRST),
        .last_ns = store_col_int(st, ALERT_LAST),
    };
    r->rows[r->n] = row;
    r->alerts[r->n] = a;
    struct stix_alert *kept = &r->alerts[r->n++];
    int e = alert_sentence(st, row, NULL, SENTENCE_VI, true, &kept->sentence_vi);
    return e == 0 ? alert_sentence(st, row, NULL, SENTENCE_EN, true, &kept->sentence_en) : e;
}

/* Builds the envelope from the rows as they are now and puts it into the outbox. */
static int queue_report(sqlite3 *db, const struct incident_new *in, const char *id, int64_t number, bool is_demo,
                        int64_t now_ns, struct diag *diag)
{
    struct report *report = calloc(1, sizeof(*report));
    if (!report)
        return -ENOMEM;
    SQL_STMT st = NULL;
    int r =
        sql_prepare(db, &st, diag,
                    "SELECT " ALERT_COLUMNS " FROM alerts a WHERE a.incident_id = ? ORDER BY a.last_ns, a.id", "s", id);
    while (r >= 0 && report->n < INCIDENT_ALERTS_MAX && (r = store_row(st, diag)) > 0)
        r = add_to_report(report, st);
    if (r >= 0) {
        report->incident = (struct stix_incident){
            .id = id,
            .title = in->title,
            .note = in->note,
            .status = "open",
            .soc_name = in->soc_name,
            .number = number,
            .severity = in->severity,
            .is_demo = is_demo,
            .created_ns = now_ns,
            .updated_ns = now_ns,
            .alerts = report->alerts,
            .n_alerts = report->n,
        };
        json_t *envelope = stix_envelope(&report->incident);
        char *text = envelope ? json_dumps(envelope, JSON_COMPACT) : NULL;
        int64_t delivery = 0;
        r = text ? delivery_queue(db, id, text, now_ns, &delivery, diag) : -ENOMEM;
        free(text);
        json_decref(envelope);
    }
    report_free(report);
    return r;
}

static char *creation_detail(const struct incident_new *in, int64_t number)
{
    json_t *o = json_pack("{s:I, s:i, s:i}", "number", (json_int_t)number, "alerts", (int)in->n_alerts, "severity",
                          in->severity);
    json_object_set_new(o, "title", to_json_text(str_of(in->title)));
    char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
    json_decref(o);
    return text;
}

int incident_create(sqlite3 *db, const struct incident_new *in, int64_t now_ns, char ret_id[static 37],
                    struct diag *diag)
{
    bool is_demo = false;
    uint8_t raw[ID_LEN];
    char id[ID_TEXT_LEN];
    int64_t number = 0;
    int r = check_alerts(db, in, &is_demo, diag);
    if (r == 0)
        r = sql_int(db, &number, diag, "SELECT coalesce(max(number), 0) + 1 FROM incidents", "");
    if (r < 0)
        return r;
    id_random(raw);
    id_format(raw, id);
    r = sql_run(db, diag,
                "INSERT INTO incidents (id, change, number, title, severity, note, is_demo, created_by, created_ns,"
                " updated_ns) VALUES (?, " NEXT_CHANGE ", ?, ?, ?, ?, ?, ?, ?, ?)",
                "sisisiSii", id, number, in->title, (int64_t)in->severity, in->note, (int64_t)is_demo, in->by, now_ns,
                now_ns);
    if (r == 0)
        r = take_alerts(db, in, id, number, now_ns, diag);
    if (r == 0)
        r = queue_report(db, in, id, number, is_demo, now_ns, diag);
    CLEANUP(free_ptr) char *detail = r == 0 ? creation_detail(in, number) : NULL;
    if (r == 0)
        r = detail ? store_audit(db, in->by, "incident.create", str_of(id), detail, diag) : -ENOMEM;
    if (r == 0)
        memcpy(ret_id, id, ID_TEXT_LEN);
    return r;
}

int incident_bump(sqlite3 *db, const char *id, struct diag *diag)
{
    return sql_run(db, diag, "UPDATE incidents SET change = " NEXT_CHANGE " WHERE id = ?", "s", id);
}

static json_t *row_json(sqlite3_stmt *st)
{
    json_t *o = json_object();
    json_object_set_new(o, "id", to_json_text(store_col_str(st, 0)));
    json_object_set_new(o, "number", json_integer(store_col_int(st, 1)));
    json_object_set_new(o, "title", to_json_text(store_col_str(st, 2)));
    json_object_set_new(o, "severity", json_integer(store_col_int(st, 3)));
    json_object_set_new(o, "status", to_json_text(store_col_str(st, 4)));
    json_object_set_new(o, "note", to_json_text(store_col_str(st, 5)));
    json_object_set_new(o, "demo", json_boolean(store_col_int(st, 6)));
    json_object_set_new(o, "created_by", to_json_text(store_col_str(st, 7)));
    json_object_set_new(o, "created", to_json_time(store_col_int(st, 8)));
    json_object_set_new(o, "updated", to_json_time(store_col_int(st, 9)));
    json_object_set_new(o, "alert_count", json_integer(store_col_int(st, 10)));
    json_object_set_new(o, "delivery_state", to_json_text_or_null(store_col_str(st, 11)));
    return o;
}

int incident_list(sqlite3 *db, enum incident_filter filter, const char *text, int64_t number, size_t limit,
                  json_t **ret, struct diag *diag)
{
#define INCIDENT_SELECT                                                                                                \
    "SELECT i.id, i.number, i.title, i.severity, i.status, i.note, i.is_demo, i.created_by, i.created_ns,"             \
    " i.updated_ns, (SELECT count(*) FROM alerts a WHERE a.incident_id = i.id),"                                       \
    " (SELECT state FROM outbox o WHERE o.incident_id = i.id ORDER BY o.id DESC LIMIT 1) FROM incidents i "
    static const char *const sql[] = {
        [INCIDENT_NEWEST] =
            INCIDENT_SELECT "WHERE ?1 IS ?1 AND (?2 = 0 OR i.number < ?2) ORDER BY i.number DESC LIMIT ?3",
        [INCIDENT_CHANGED_AFTER] = INCIDENT_SELECT "WHERE ?1 IS ?1 AND i.change > ?2 ORDER BY i.change LIMIT ?3",
        [INCIDENT_ONE] = INCIDENT_SELECT "WHERE i.id = ?1 AND ?2 = ?2 LIMIT ?3",
    };
    SQL_STMT st = NULL;
    json_t *list = json_array();
    int r = sql_prepare(db, &st, diag, sql[filter], "sii", text, number, (int64_t)limit);
    while (r >= 0 && (r = store_row(st, diag)) > 0) {
        if (json_array_append_new(list, row_json(st)) < 0)
            r = -ENOMEM;
    }
    if (r < 0) {
        json_decref(list);
        return r;
    }
    *ret = list;
    return 0;
}
