/* SPDX-License-Identifier: Apache-2.0
 *
 * From matches to rows of `alerts`. Matches are collected in memory and written in one transaction together with the
 * detection position. An alert's id is a hash of its cause, and writing is an upsert that never takes anything back (a
 * count only grows, a period of time only widens), so that doing the work twice changes nothing.
 *
 * Ids: the first 32 hex digits of the SHA-256 of (integers little-endian, a string as u32 length and bytes):
 *   a detection's    "vonggac/detection"   rule id | agent[16] | stream[16] | u64 position of the record in the stream
 *   a correlation's  "vonggac/correlation" rule id | i64 period start | u32 number of group fields | each: name, value
 * A record's position is its byte offset for text, its running number for journals and our own events.
 */
#pragma once

#include "common/batch.h"
#include "rules/matcher.h"

#include <sqlite3.h>

#define ALERT_ID_LEN     33   /* 32 hex digits and NUL */
#define ALERTS_MAX       4096 /* collected before they must be written */
#define ALERTS_BYTES_MAX (32 * MIB)

struct alerts;

/* Where the event being evaluated comes from. */
struct alert_place {
    const struct batch *batch;
    const char *agent_id; /* text form of batch->agent */
    uint64_t position;    /* of the record in its stream */
};

void alert_id_detection(const char *rule_id, const struct alert_place *place, char ret[static ALERT_ID_LEN]);
void alert_id_correlation(const struct names *names, const struct match *m, char ret[static ALERT_ID_LEN]);

/* Borrows db and names. */
int alerts_new(sqlite3 *db, const struct names *names, struct alerts **ret, struct diag *diag);
struct alerts *alerts_free(struct alerts *a); /* NULL is fine; always returns NULL */

/* Notes one match. What it borrows (event, values) must stay until alerts_settle. place may be NULL for a correlation without
 * an event: its alert keeps the event it has, or shows what its group says. 0 or -ENOMEM. */
int alerts_collect(struct alerts *a, const struct match *m, const struct alert_place *place);

/* Turns what was noted into text of its own: before the events' arena or bytes go. 0 or -ENOMEM. */
int alerts_settle(struct alerts *a);

bool alerts_is_full(const struct alerts *a); /* time to write */
bool alerts_is_unsettled(const struct alerts *a);
size_t alerts_count(const struct alerts *a);

struct alerts_written {
    size_t added, updated;
};

/* Writes all into the caller's transaction, after alerts_settle; they stay collected until alerts_clear, since the
 * transaction may yet fail. */
int alerts_write(struct alerts *a, int64_t now_ns, struct alerts_written *ret, struct diag *diag);
void alerts_clear(struct alerts *a);
