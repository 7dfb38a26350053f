/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows of the outbox: the ledger of what went to the national centre. Written by the outbox's thread (and queued or
 * asked for again by the API's), read by the API. Each row keeps the envelope as it was decided on, the peer's answers,
 * and the state:
 *
 *     queued --pushed, all processed, nothing refused--> acknowledged
 *        |  \--pushed, the peer is still processing--> sent --done--> acknowledged or rejected
 *        |   `--refused (400, 422, too large, or objects refused)--> rejected --retry by a person--> queued
 *        `--no answer, 401, 403, 404, 429, 5xx--> queued, later
 *
 * Functions write into the caller's transaction.
 */
#pragma once

#include "collector/store.h"

#include <jansson.h>

struct delivery {
    int64_t id;
    char incident_id[40];
    char state[16];                                                      /* as in schema.sql */
    int64_t attempts, next_try_ns, sent_ns, acknowledged_ns, created_ns; /* times 0: not yet */
    int64_t success, failure, pending;
    char last_error[256]; /* "": none */
    json_t *objects;      /* owned: the envelope's array */
    json_t *parts;        /* owned: array, see outbox.response_json */
    bool is_damaged;      /* envelope or parts cannot be read: both are empty */
};

int delivery_queue(sqlite3 *db, const char *incident_id, const char *envelope, int64_t now_ns, int64_t *ret_id,
                   struct diag *diag);

/* The oldest row that is due. 1 with *ret (clear it), 0 none, or the database's error. */
int delivery_due(sqlite3 *db, int64_t now_ns, struct delivery *ret, struct diag *diag);
void delivery_clear(struct delivery *d);

/* Makes every queued row due now: what kept them was the peer, and it is back or is to be tried again. Without this the
 * oldest would wait longest. */
int delivery_hurry(sqlite3 *db, int64_t now_ns, struct diag *diag);

/* When the next row is due; -ENOENT: nothing waits. */
int delivery_next(sqlite3 *db, int64_t *ret_ns, struct diag *diag);

/* Writes back everything that changes; audits a change of state. destination: the collection's URL. */
int delivery_save(sqlite3 *db, const struct delivery *d, const char *destination, struct diag *diag);

/* What the peer holds (outbox_objects). version "": the object has none. */
int delivery_hold(sqlite3 *db, const struct delivery *d, const char *destination, const char *id, const char *version,
                  struct diag *diag);
bool delivery_is_held(sqlite3 *db, const char *destination, const char *id, const char *version);

/* A person wants it tried now. -ENOENT, -EEXIST (acknowledged, nothing to do). */
int delivery_retry(sqlite3 *db, int64_t id, struct str by, int64_t now_ns, struct diag *diag);

/* API: an array of Delivery. `where` is one of ours and has one parameter. objects_max: so many objects of each. */
enum delivery_filter { DELIVERY_NEWEST, DELIVERY_OF_INCIDENT, DELIVERY_CHANGED_AFTER };
int delivery_list(sqlite3 *db, enum delivery_filter filter, const char *text, int64_t number, size_t limit,
                  size_t objects_max, json_t **ret, struct diag *diag);
