/* SPDX-License-Identifier: Apache-2.0
 *
 * Incidents: what analysts decide to report. Creating one takes its alerts along and queues what the national centre is
 * to get, all in the caller's transaction, so that there is never an incident without its delivery.
 */
#pragma once

#include "collector/store.h"

#include <jansson.h>

#define INCIDENT_ALERTS_MAX 500
#define INCIDENT_TITLE_MAX  200 /* characters */
#define INCIDENT_NOTE_MAX   8000

struct incident_new {
    const char *const *alert_ids; /* distinct */
    size_t n_alerts;
    const char *title, *note;
    int severity;
    struct str by;        /* user name */
    const char *soc_name; /* for the report */
};

/* ret_id: the new incident's UUID. -ENOENT (an alert is unknown), -EEXIST (an alert is closed or has an incident, or
 * demonstrations are mixed with real alerts), each with the reason; or the database's error. */
int incident_create(sqlite3 *db, const struct incident_new *in, int64_t now_ns, char ret_id[static 37],
                    struct diag *diag);

/* Gives the incident a new change number: its delivery or its alerts changed. */
int incident_bump(sqlite3 *db, const char *id, struct diag *diag);

/* API: an array of Incident. NEWEST: number below `number` (0: from the newest), descending. CHANGED_AFTER: change above
 * `number`, ascending. ONE: the one with id `text`. */
enum incident_filter { INCIDENT_NEWEST, INCIDENT_CHANGED_AFTER, INCIDENT_ONE };
int incident_list(sqlite3 *db, enum incident_filter filter, const char *text, int64_t number, size_t limit,
                  json_t **ret, struct diag *diag);
