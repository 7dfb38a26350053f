/* SPDX-License-Identifier: Apache-2.0
 * See users.h. */
#include "collector/users.h"

#include "collector/http.h"
#include "collector/sql.h"
#include "common/time.h"

#include <errno.h>
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>

#define HASH_PASSES 3
#define HASH_BYTES  (64 * MIB)

_Static_assert(PASSWORD_HASH_MAX >= crypto_pwhash_argon2id_STRBYTES, "libsodium's string form must fit");

bool user_name_is_valid(struct str name)
{
    if (name.len == 0 || name.len > USER_NAME_MAX)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.p[i];
        bool is_alnum = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!is_alnum && (i == 0 || (c != '.' && c != '_' && c != '-')))
            return false;
    }
    return true;
}

static bool contains_nocase(struct str s, struct str what)
{
    for (size_t i = 0; what.len > 0 && i + what.len <= s.len; i++) {
        if (str_eq_nocase((struct str){s.p + i, what.len}, what))
            return true;
    }
    return false;
}

int password_check(struct str password, struct str user_name, struct diag *diag)
{
    if (password.len > PASSWORD_MAX)
        return diag_set(diag, -EINVAL, "the password is longer than %d bytes", PASSWORD_MAX);
    if (!utf8_is_valid(password) || memchr(password.p, 0, password.len))
        return diag_set(diag, -EINVAL, "the password is not valid UTF-8");
    if (utf8_count(password) < PASSWORD_CHARS_MIN)
        return diag_set(diag, -EINVAL, "the password must have at least %d characters", PASSWORD_CHARS_MIN);
    bool lower = false, upper = false, digit = false, other = false;
    for (size_t i = 0; i < password.len; i++) {
        char c = password.p[i];
        if (c >= 'a' && c <= 'z')
            lower = true;
        else if (c >= 'A' && c <= 'Z')
            upper = true;
        else if (c >= '0' && c <= '9')
            digit = true;
        else
            other = true; /* letters beyond ASCII too: they help as much as a sign does */
    }
    if (!lower || !upper || !digit || !other)
        return diag_set(diag, -EINVAL,
                        "the password must have lower-case and upper-case letters, digits and other characters");
    if (contains_nocase(password, user_name))
        return diag_set(diag, -EINVAL, "the password must not contain the user's name");
    return 0;
}

int password_hash(struct str password, char ret[static PASSWORD_HASH_MAX])
{
    return crypto_pwhash_argon2id_str(ret, password.p, password.len, HASH_PASSES, HASH_BYTES) == 0 ? 0 : -ENOMEM;
}

bool password_fits(const char *hash, struct str password)
{
    return crypto_pwhash_argon2id_str_verify(hash, password.p ? password.p : "", password.len) == 0;
}

bool password_is_outdated(const char *hash)
{
    return crypto_pwhash_argon2id_str_needs_rehash(hash, HASH_PASSES, HASH_BYTES) != 0;
}

void password_one_time(char ret[static PASSWORD_ONE_TIME])
{
    static const char alphabet[] = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";
    struct diag ignored;
    do {
        for (size_t i = 0; i < PASSWORD_ONE_TIME - 1; i++)
            ret[i] = i % 6 == 5 ? '-' : alphabet[randombytes_uniform(sizeof(alphabet) - 1)];
        ret[PASSWORD_ONE_TIME - 1] = '\0';
    } while (password_check(str_of(ret), (struct str){0}, &ignored) < 0);
}

char *audit_detail(const char *key, const char *value)
{
    json_t *o = json_pack("{s:s}", key, value ? value : "");
    char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
    json_decref(o);
    return text;
}

static int audit(sqlite3 *db, struct str by, const char *action, struct str name, const char *key, const char *value,
                 struct diag *diag)
{
    CLEANUP(free_ptr) char *detail = key ? audit_detail(key, value) : NULL;
    if (key && !detail)
        return -ENOMEM;
    return store_audit(db, by, action, name, detail, diag);
}

int user_find(sqlite3 *db, struct str name, struct user *ret, struct diag *diag)
{
    SQL_STMT st = NULL;
    int r = sql_prepare(db, &st, diag,
                        "SELECT name, display_name, password, role = 'admin', must_change, failed, locked_until_ns,"
                        " created_ns FROM users WHERE name = ?",
                        "S", name);
    if (r == 0)
        r = store_row(st, diag);
    if (r <= 0)
        return r == 0 ? -ENOENT : r;
    *ret = (struct user){
        .is_admin = store_col_int(st, 3),
        .must_change = store_col_int(st, 4),
        .failed = store_col_int(st, 5),
        .locked_until_ns = store_col_int(st, 6),
        .created_ns = store_col_int(st, 7),
    };
    snprintf(ret->name, sizeof(ret->name), "%s", sql_z(st, 0));
    snprintf(ret->display_name, sizeof(ret->display_name), "%s", sql_z(st, 1));
    snprintf(ret->password, sizeof(ret->password), "%s", sql_z(st, 2));
    return 0;
}

int user_history(sqlite3 *db, struct str name, char ret[PASSWORD_HISTORY][PASSWORD_HASH_MAX], size_t *ret_n,
                 struct diag *diag)
{
    SQL_STMT st = NULL;
    int r =
        sql_prepare(db, &st, diag, "SELECT password FROM password_history WHERE user = ? ORDER BY at_ns DESC LIMIT ?",
                    "Si", name, (int64_t)PASSWORD_HISTORY);
    size_t n = 0;
    while (r >= 0 && n < PASSWORD_HISTORY && (r = store_row(st, diag)) > 0)
        snprintf(ret[n++], PASSWORD_HASH_MAX, "%s", sql_z(st, 0));
    if (r < 0)
        return r;
    *ret_n = n;
    return 0;
}

static int remember(sqlite3 *db, struct str name, const char *hash, struct diag *diag)
{
    int r = sql_run(db, diag,
                    "INSERT INTO password_history (user, at_ns, password) VALUES"
                    " (?1, max(?2, (SELECT coalesce(max(at_ns), 0) + 1 FROM password_history WHERE user = ?1)), ?3)",
                    "Sis", name, time_now_ns(), hash);
    if (r < 0)
        return r;
    return sql_run(db, diag,
                   "DELETE FROM password_history WHERE user = ?1 AND at_ns NOT IN"
                   " (SELECT at_ns FROM password_history WHERE user = ?1 ORDER BY at_ns DESC LIMIT ?2)",
                   "Si", name, (int64_t)PASSWORD_HISTORY);
}

int user_add(sqlite3 *db, const struct user *u, struct str by, struct diag *diag)
{
    int r = sql_run(db, diag,
                    "INSERT INTO users (name, display_name, role, password, must_change, created_ns)"
                    " VALUES (?, ?, ?, ?, ?, ?)",
                    "ssssii", u->name, u->display_name, u->is_admin ? "admin" : "analyst", u->password,
                    (int64_t)u->must_change, time_now_ns());
    if (r == -EEXIST)
        return diag_set(diag, r, "there is a user '%s' already", u->name);
    if (r == 0)
        r = remember(db, str_of(u->name), u->password, diag);
    if (r == 0)
        r = audit(db, by, "user.add", str_of(u->name), "role", u->is_admin ? "admin" : "analyst", diag);
    return r;
}

int user_set_password(sqlite3 *db, struct str name, const char *hash, bool must_change, struct str by,
                      struct diag *diag)
{
    int r = sql_run(db, diag,
                    "UPDATE users SET password = ?, must_change = ?, failed = 0, locked_until_ns = 0 WHERE name = ?",
                    "siS", hash, (int64_t)must_change, name);
    if (r == 0 && sqlite3_changes(db) == 0)
        return diag_set(diag, -ENOENT, "there is no user '" STR_FMT "'", STR_ARG(name));
    if (r == 0)
        r = remember(db, name, hash, diag);
    if (r == 0)
        r = sql_run(db, diag, "DELETE FROM sessions WHERE user = ?", "S", name);
    if (r == 0)
        r = store_audit(db, by, "user.password", name, must_change ? "{\"must_change\":true}" : NULL, diag);
    return r;
}

int user_rehash(sqlite3 *db, struct str name, const char *hash, struct diag *diag)
{
    return sql_run(db, diag, "UPDATE users SET password = ? WHERE name = ?", "sS", hash, name);
}

int user_failed(sqlite3 *db, const struct user *u, int64_t now_ns, const char *address, int64_t *ret_locked_until_ns,
                struct diag *diag)
{
    /* A lock that has run out starts the count anew: it was paid for. */
    int64_t failed = (u->locked_until_ns != 0 && u->locked_until_ns <= now_ns ? 0 : u->failed) + 1;
    int64_t until = failed >= USER_FAILURES_MAX ? now_ns + USER_LOCK_NS : 0;
    int r = sql_run(db, diag, "UPDATE users SET failed = ?, locked_until_ns = ? WHERE name = ?", "iis", failed, until,
                    u->name);
    if (r == 0)
        r = audit(db, STR("system"), "user.login_failed", str_of(u->name), "address", address, diag);
    if (r == 0 && until)
        r = audit(db, STR("system"), "user.locked", str_of(u->name), "address", address, diag);
    if (r == 0)
        *ret_locked_until_ns = until;
    return r;
}

int user_signed_in(sqlite3 *db, const struct user *u, const char *address, struct diag *diag)
{
    int r = sql_run(db, diag, "UPDATE users SET failed = 0, locked_until_ns = 0 WHERE name = ?", "s", u->name);
    if (r == 0)
        r = audit(db, str_of(u->name), "user.login", str_of(u->name), "address", address, diag);
    return r;
}

int user_unlock(sqlite3 *db, struct str name, struct str by, struct diag *diag)
{
    int r = sql_run(db, diag, "UPDATE users SET failed = 0, locked_until_ns = 0 WHERE name = ?", "S", name);
    if (r == 0 && sqlite3_changes(db) == 0)
        return diag_set(diag, -ENOENT, "there is no user '" STR_FMT "'", STR_ARG(name));
    if (r == 0)
        r = store_audit(db, by, "user.unlock", name, NULL, diag);
    return r;
}
