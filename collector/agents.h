/* SPDX-License-Identifier: Apache-2.0
 *
 * Agents and enrolment tokens in state.db: what the collector's enrolment and the `vonggac agent` commands do to those
 * tables, each with its audit row in the same transaction. A token is stored as the hash of its secret, and looked up by
 * that hash: comparing takes no time that depends on the secret. Blocking (one SQLite transaction each).
 */
#pragma once

#include "common/batch.h"
#include "common/frame.h"

#include <sqlite3.h>

#define AGENTS_NOTE_MAX 200
#define AGENTS_HOST_MAX 255 /* RFC 1035 */

/* Makes a token that may be used `uses` times within ttl_ns. `by` goes into the audit trail. */
int agents_token_new(sqlite3 *db, int64_t ttl_ns, int64_t uses, struct str note, struct str by,
                     uint8_t ret_secret[static FRAME_TOKEN_LEN], struct diag *diag);

/* Whether the token could be used now: 0, -EACCES (unknown, used up or expired: not told apart), or a database error. */
int agents_token_check(sqlite3 *db, struct str secret, int64_t now_ns, struct diag *diag);

struct agent_certificate {
    const char *serial_hex;
    int64_t not_after_ns;
};

/* Uses the token once and adds the agent, both or neither. 0, -EACCES as above, or a database error. */
int agents_enrol(sqlite3 *db, struct str secret, const uint8_t id[static ID_LEN], struct str host,
                 const struct agent_certificate *cert, int64_t now_ns, struct diag *diag);

/* 0 when the agent may speak, -ENOENT (never enrolled here), -EKEYREVOKED, or a database error. */
int agents_lookup(sqlite3 *db, const uint8_t id[static ID_LEN], struct diag *diag);

/* Notes the newest certificate. 0, or as agents_lookup. */
int agents_renew(sqlite3 *db, const uint8_t id[static ID_LEN], const struct agent_certificate *cert, struct diag *diag);

/* 0, -ENOENT, or -EALREADY when it was revoked before. */
int agents_revoke(sqlite3 *db, const uint8_t id[static ID_LEN], struct str by, int64_t now_ns, struct diag *diag);
