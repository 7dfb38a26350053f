/* SPDX-License-Identifier: Apache-2.0
 * See sessions.h. */
#include "collector/sessions.h"

#include "collector/sql.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>

static void to_text(const uint8_t secret[static SESSION_SECRET], char ret[static SESSION_TEXT_LEN])
{
    sodium_bin2base64(ret, SESSION_TEXT_LEN, secret, SESSION_SECRET, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

static struct str hash_str(const uint8_t hash[static SESSION_HASH_LEN])
{
    return (struct str){(const char *)hash, SESSION_HASH_LEN};
}

int session_create(sqlite3 *db, struct str user, int64_t now_ns, char token[static SESSION_TEXT_LEN], struct diag *diag)
{
    uint8_t secret[SESSION_SECRET], csrf[SESSION_SECRET], hash[SESSION_HASH_LEN];
    char csrf_text[SESSION_TEXT_LEN];
    randombytes_buf(secret, sizeof(secret));
    randombytes_buf(csrf, sizeof(csrf));
    crypto_hash_sha256(hash, secret, sizeof(secret));
    to_text(secret, token);
    to_text(csrf, csrf_text);
    sodium_memzero(secret, sizeof(secret));
    int r = sql_run(db, diag, "INSERT INTO sessions (hash, user, csrf, created_ns, used_ns) VALUES (?, ?, ?, ?, ?)",
                    "bSsii", hash_str(hash), user, csrf_text, now_ns, now_ns);
    if (r < 0)
        return r;
    return sql_run(db, diag,
                   "DELETE FROM sessions WHERE user = ?1 AND hash NOT IN"
                   " (SELECT hash FROM sessions WHERE user = ?1 ORDER BY used_ns DESC, hash = ?3 DESC LIMIT ?2)",
                   "Sib", user, (int64_t)SESSIONS_PER_USER, hash_str(hash));
}

static int hash_of_token(struct str token, uint8_t ret[static SESSION_HASH_LEN])
{
    uint8_t secret[SESSION_SECRET];
    size_t len = 0;
    if (token.len != SESSION_TEXT_LEN - 1 ||
        sodium_base642bin(secret, sizeof(secret), token.p, token.len, NULL, &len, NULL,
                          sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0 ||
        len != sizeof(secret))
        return -ENOENT;
    crypto_hash_sha256(ret, secret, sizeof(secret));
    sodium_memzero(secret, sizeof(secret));
    return 0;
}

static enum session_end end_of(const struct session_limits *limits, int64_t created_ns, int64_t used_ns, int64_t now_ns)
{
    if (now_ns - created_ns >= limits->max_ns)
        return SESSION_EXPIRED;
    return now_ns - used_ns >= limits->idle_ns ? SESSION_IDLE : SESSION_LIVES;
}

int session_find(sqlite3 *db, const struct session_limits *limits, struct str token, int64_t now_ns,
                 struct session *ret, struct diag *diag)
{
    struct session s = {0};
    SQL_STMT st = NULL;
    if (hash_of_token(token, s.hash) < 0)
        return -ENOENT;
    int r =
        sql_prepare(db, &st, diag,
                    "SELECT s.user, u.display_name, s.csrf, u.role = 'admin', u.must_change, s.created_ns, s.used_ns"
                    " FROM sessions s JOIN users u ON u.name = s.user WHERE s.hash = ?",
                    "b", hash_str(s.hash));
    if (r == 0)
        r = store_row(st, diag);
    if (r <= 0)
        return r == 0 ? -ENOENT : r;
    snprintf(s.user, sizeof(s.user), "%s", sql_z(st, 0));
    snprintf(s.display_name, sizeof(s.display_name), "%s", sql_z(st, 1));
    snprintf(s.csrf, sizeof(s.csrf), "%s", sql_z(st, 2));
    s.is_admin = store_col_int(st, 3);
    s.must_change = store_col_int(st, 4);
    s.created_ns = store_col_int(st, 5);
    s.used_ns = store_col_int(st, 6);
    if (end_of(limits, s.created_ns, s.used_ns, now_ns) != SESSION_LIVES)
        return -ENOENT;
    *ret = s;
    return 0;
}

int session_check(sqlite3 *db, const struct session_limits *limits, const uint8_t hash[static SESSION_HASH_LEN],
                  int64_t now_ns, enum session_end *ret, struct diag *diag)
{
    SQL_STMT st = NULL;
    int r = sql_prepare(db, &st, diag, "SELECT created_ns, used_ns FROM sessions WHERE hash = ?", "b", hash_str(hash));
    if (r == 0)
        r = store_row(st, diag);
    if (r < 0)
        return r;
    *ret = r == 0 ? SESSION_SIGNED_OUT : end_of(limits, store_col_int(st, 0), store_col_int(st, 1), now_ns);
    return 0;
}

int session_touch(sqlite3 *db, struct session *s, int64_t now_ns, struct diag *diag)
{
    if (now_ns - s->used_ns < SESSION_TOUCH_NS)
        return 0;
    s->used_ns = now_ns;
    return sql_run(db, diag, "UPDATE sessions SET used_ns = ? WHERE hash = ?", "ib", now_ns, hash_str(s->hash));
}

int session_end(sqlite3 *db, const uint8_t hash[static SESSION_HASH_LEN], struct diag *diag)
{
    return sql_run(db, diag, "DELETE FROM sessions WHERE hash = ?", "b", hash_str(hash));
}

int session_sweep(sqlite3 *db, const struct session_limits *limits, int64_t now_ns, struct diag *diag)
{
    return sql_run(db, diag, "DELETE FROM sessions WHERE created_ns <= ? OR used_ns <= ?", "ii",
                   now_ns - limits->max_ns, now_ns - limits->idle_ns);
}
