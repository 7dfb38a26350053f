/* SPDX-License-Identifier: Apache-2.0
 *
 * Sessions of the console. The cookie holds 32 random bytes; the database holds only their SHA-256, so a copy of the
 * database signs nobody in. A session ends by sign-out, by disuse (idle), by age (max), by a password change, or when
 * its user has SESSIONS_PER_USER newer ones.
 *
 * used_ns is written at most every SESSION_TOUCH_NS, so a session can end that much early and never late.
 * Functions write into the caller's transaction unless they say otherwise.
 */
#pragma once

#include "collector/users.h"

#define SESSION_COOKIE    "__Host-vonggac"
#define SESSION_SECRET    32
#define SESSION_TEXT_LEN  44 /* base64url without padding, and NUL */
#define SESSION_HASH_LEN  32
#define SESSIONS_PER_USER 8
#define SESSION_TOUCH_NS  (15 * NS_PER_S)

struct session_limits {
    int64_t idle_ns, max_ns;
};

enum session_end { SESSION_LIVES, SESSION_IDLE, SESSION_EXPIRED, SESSION_SIGNED_OUT };

struct session {
    uint8_t hash[SESSION_HASH_LEN];
    char user[USER_NAME_MAX + 1], display_name[USER_DISPLAY_MAX + 1];
    char csrf[SESSION_TEXT_LEN];
    bool is_admin, must_change;
    int64_t created_ns, used_ns;
};

/* Makes a session; token is what goes into the cookie. */
int session_create(sqlite3 *db, struct str user, int64_t now_ns, char token[static SESSION_TEXT_LEN],
                   struct diag *diag);

/* Whose is this token? Reads only. 0, -ENOENT (malformed, unknown, ended), or the database's error. */
int session_find(sqlite3 *db, const struct session_limits *limits, struct str token, int64_t now_ns,
                 struct session *ret, struct diag *diag);

/* Does the session still live, and if not why? Reads only. 0 with *ret, or the database's error. */
int session_check(sqlite3 *db, const struct session_limits *limits, const uint8_t hash[static SESSION_HASH_LEN],
                  int64_t now_ns, enum session_end *ret, struct diag *diag);

/* A person used it. Writes by itself, and only when the last note is old enough. */
int session_touch(sqlite3 *db, struct session *s, int64_t now_ns, struct diag *diag);

int session_end(sqlite3 *db, const uint8_t hash[static SESSION_HASH_LEN], struct diag *diag);
int session_sweep(sqlite3 *db, const struct session_limits *limits, int64_t now_ns, struct diag *diag);
