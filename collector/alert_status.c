/* SPDX-License-Identifier: Apache-2.0
 * See alert_status.h. */
#include "collector/alert_status.h"

#include "collector/sql.h"
#include "collector/to_json.h"

#include <errno.h>
#include <stdio.h>

static bool is_one_of(const char *z, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(z, list[i]) == 0)
            return true;
    }
    return false;
}

static bool is_closed(const char *status)
{
    return strcmp(status, "closed") == 0;
}

static int check(const struct alert_change *c, struct diag *diag)
{
    static const char *const statuses[] = {"new", "acknowledged", "escalated", "closed"};
    static const char *const reasons[] = {"true_positive", "false_positive", "benign", "duplicate"};
    if (!c->status || !is_one_of(c->status, statuses, ARRAY_LEN(statuses)))
        return diag_set(diag, -EINVAL, "status must be new, acknowledged, escalated or closed");
    if (is_closed(c->status) && (!c->reason || !is_one_of(c->reason, reasons, ARRAY_LEN(reasons))))
        return diag_set(diag, -EINVAL, "closing wants a reason: true_positive, false_positive, benign or duplicate");
    if (!is_closed(c->status) && c->reason)
        return diag_set(diag, -EINVAL, "only closing has a reason");
    return 0;
}

struct before {
    char status[16], reason[24], owner[80];
    bool has_incident;
};

static int read_before(sqlite3 *db, const char *id, struct before *ret, struct diag *diag)
{
    SQL_STMT st = NULL;
    int r =
        sql_prepare(db, &st, diag, "SELECT status, close_reason, owner, incident_id FROM alerts WHERE id = ?", "s", id);
    if (r == 0)
        r = store_row(st, diag);
    if (r <= 0)
        return r == 0 ? diag_set(diag, -ENOENT, "there is no alert %.64s", id) : r;
    snprintf(ret->status, sizeof(ret->status), "%s", sql_z(st, 0));
    snprintf(ret->reason, sizeof(ret->reason), "%s", sql_z(st, 1));
    snprintf(ret->owner, sizeof(ret->owner), "%s", sql_z(st, 2));
    ret->has_incident = !sql_is_null(st, 3);
    return 0;
}

/* Who is responsible afterwards: who acknowledges takes it, who closes an alert of nobody has done it, new is nobody's. */
static const char *owner_after(const struct alert_change *c, const struct before *b, const char *by)
{
    if (strcmp(c->status, "new") == 0)
        return NULL;
    if (strcmp(c->status, "acknowledged") == 0 || !b->owner[0])
        return by;
    return b->owner;
}

static const char *action_of(const struct alert_change *c, const struct before *b, bool is_different)
{
    if (!is_different)
        return "alert.comment";
    if (is_closed(c->status))
        return "alert.close";
    if (is_closed(b->status))
        return "alert.reopen";
    return strcmp(c->status, "acknowledged") == 0 ? "alert.acknowledge" : "alert.release";
}

static int audit(sqlite3 *db, const struct alert_change *c, const char *id, const struct before *b, const char *action,
                 struct diag *diag)
{
    json_t *o = json_pack("{s:s, s:s}", "from", b->status, "to", c->status);
    if (c->reason)
        json_object_set_new(o, "reason", json_string(c->reason));
    if (c->comment && c->comment[0])
        json_object_set_new(o, "comment", to_json_text(str_of(c->comment)));
    CLEANUP(free_ptr) char *detail = o ? json_dumps(o, JSON_COMPACT) : NULL;
    json_decref(o);
    return detail ? store_audit(db, c->by, action, str_of(id), detail, diag) : -ENOMEM;
}

static int change_one(sqlite3 *db, const struct alert_change *c, const char *id, const char *by, int64_t now_ns,
                      int64_t *change, size_t *changed, struct diag *diag)
{
    struct before b;
    int r = read_before(db, id, &b, diag);
    if (r < 0)
        return r;
    bool is_incident_side = strcmp(c->status, "escalated") == 0;
    if (!is_closed(c->status) && is_incident_side != b.has_incident)
        return diag_set(diag, -EEXIST,
                        b.has_incident ? "alert %.64s belongs to an incident: it can only be escalated or closed"
                                       : "alert %.64s has no incident: it cannot be escalated this way",
                        id);
    const char *owner = owner_after(c, &b, by);
    bool is_different = strcmp(b.status, c->status) != 0 || strcmp(b.reason, c->reason ? c->reason : "") != 0 ||
                        strcmp(b.owner, owner ? owner : "") != 0;
    if (!is_different && (!c->comment || !c->comment[0]))
        return 0;
    r = sql_run(db, diag,
                "UPDATE alerts SET status = ?, close_reason = ?, owner = ?, change = ?, updated_ns = ? WHERE id = ?",
                "sssiis", c->status, c->reason, owner, (*change)++, now_ns, id);
    (*changed)++;
    return r == 0 ? audit(db, c, id, &b, action_of(c, &b, is_different), diag) : r;
}

int alert_status_change(sqlite3 *db, const struct alert_change *c, int64_t now_ns, size_t *ret_changed,
                        struct diag *diag)
{
    int64_t change = 0;
    size_t changed = 0;
    char by[80];
    snprintf(by, sizeof(by), STR_FMT, (int)MIN(c->by.len, sizeof(by) - 1), c->by.p);
    int r = check(c, diag);
    if (r == 0)
        r = store_next_change(db, &change, diag);
    for (size_t i = 0; i < c->n_ids && r == 0; i++)
        r = change_one(db, c, c->ids[i], by, now_ns, &change, &changed, diag);
    if (r == 0)
        *ret_changed = changed;
    return r;
}
