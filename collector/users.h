/* SPDX-License-Identifier: Apache-2.0
 *
 * The people who may sign in: their passwords and locks. Passwords are kept as argon2id only (libsodium's string form).
 *
 * Cost: 64 MiB and 3 passes, the second recommended choice of RFC 9106 (section 4) but for its lanes, which libsodium
 * fixes at one. 256 MiB ("moderate") would let a few sign-ins push a small collector into swap; verification therefore
 * also runs on one thread behind a queue of its own (api_session.c).
 *
 * Functions that take a database write into the caller's transaction, audit row included, unless they say otherwise.
 * Blocking; hashing takes about 0.1 s.
 */
#pragma once

#include "collector/store.h"

#define USER_NAME_MAX      64
#define USER_DISPLAY_MAX   128
#define USER_FAILURES_MAX  5 /* TCVN 14423 5.5.2.2a: at most 5 for important applications */
#define USER_LOCK_NS       (15 * 60 * NS_PER_S)
#define PASSWORD_CHARS_MIN 14 /* TCVN 14423 5.6.2.2b, without a second factor */
#define PASSWORD_MAX       1024
#define PASSWORD_HISTORY   10 /* TCVN 14423 5.6.2.2b */
#define PASSWORD_HASH_MAX  128
#define PASSWORD_ONE_TIME  24 /* bytes of a one-time password with its NUL */

struct user {
    char name[USER_NAME_MAX + 1], display_name[USER_DISPLAY_MAX + 1];
    char password[PASSWORD_HASH_MAX];
    bool is_admin, must_change;
    int64_t failed, locked_until_ns, created_ns;
};

/* Lower-case letters, digits, '.', '_', '-'; begins with a letter or digit. */
bool user_name_is_valid(struct str name);

/* The rules of API.md but the history. -EINVAL with the reason. */
int password_check(struct str password, struct str user_name, struct diag *diag);
int password_hash(struct str password, char ret[static PASSWORD_HASH_MAX]); /* 0 or -ENOMEM */
bool password_fits(const char *hash, struct str password);
bool password_is_outdated(const char *hash); /* made with other cost than today's */
/* Made of characters that cannot be confused when read aloud or copied, in four groups: about 116 bits. */
void password_one_time(char ret[static PASSWORD_ONE_TIME]);

int user_find(sqlite3 *db, struct str name, struct user *ret, struct diag *diag); /* reads only; -ENOENT */
/* The newest PASSWORD_HISTORY hashes. Reads only. */
int user_history(sqlite3 *db, struct str name, char ret[PASSWORD_HISTORY][PASSWORD_HASH_MAX], size_t *ret_n,
                 struct diag *diag);

/* u: name, display_name, password (hash), is_admin and must_change count. -EEXIST. `by`: who does it, for the audit. */
int user_add(sqlite3 *db, const struct user *u, struct str by, struct diag *diag);

/* Sets the hash, remembers it in the history, unlocks, and ends every session of the user. -ENOENT. */
int user_set_password(sqlite3 *db, struct str name, const char *hash, bool must_change, struct str by,
                      struct diag *diag);

/* Replaces the hash of an unchanged password (higher cost). No audit row. */
int user_rehash(sqlite3 *db, struct str name, const char *hash, struct diag *diag);

/* A wrong password, or a right one. After USER_FAILURES_MAX wrong ones the user is locked: *ret_locked_until_ns is then
 * not 0. `address`: where from, for the audit. */
int user_failed(sqlite3 *db, const struct user *u, int64_t now_ns, const char *address, int64_t *ret_locked_until_ns,
                struct diag *diag);
int user_signed_in(sqlite3 *db, const struct user *u, const char *address, struct diag *diag);

int user_unlock(sqlite3 *db, struct str name, struct str by, struct diag *diag); /* -ENOENT */

/* {"key": "value"} with both escaped: the detail of an audit row. Returns owned; NULL: out of memory. */
char *audit_detail(const char *key, const char *value);
