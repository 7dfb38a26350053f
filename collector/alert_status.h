/* SPDX-License-Identifier: Apache-2.0
 *
 * What analysts decide about alerts. All or none, each change with its audit row and a new change number, in the caller's
 * transaction.
 *
 *                  new <--> acknowledged            escalated        (an alert that has an incident
 *                    \         /                        |             knows only these two)
 *                     v       v                         v
 *                      closed  (with a reason)        closed
 *
 * From closed an alert may go back to any status that its side of the picture has: that is the console's undo.
 */
#pragma once

#include "common/diag.h"

#include <sqlite3.h>

#define ALERT_COMMENT_MAX 4000 /* characters */

struct alert_change {
    const char *const *ids; /* distinct */
    size_t n_ids;
    const char *status;  /* one of alert_status_names */
    const char *reason;  /* NULL unless closed */
    const char *comment; /* NULL: none */
    struct str by;       /* user name */
};

/* -EINVAL (status, reason), -ENOENT (an unknown id), -EEXIST (not from where the alert is), each with the words for it.
 * *ret_changed: alerts that are different now; a comment alone makes it one. */
int alert_status_change(sqlite3 *db, const struct alert_change *c, int64_t now_ns, size_t *ret_changed,
                        struct diag *diag);
