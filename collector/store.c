/* SPDX-License-Identifier: Apache-2.0
 *
 * See store.h. The schema is collector/schema.sql, put into the program at build time (tools/embed.py). A later version
 * of it is a numbered step here: apply what is between the file's user_version and STORE_VERSION, in one transaction.
 */
#include "collector/store.h"

#include "common/time.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

extern const char schema_sql[];

static int errno_of(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_OK:
        return 0;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EBUSY;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_CONSTRAINT:
        return -EEXIST;
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_READONLY:
        return -EACCES;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return -EBADMSG;
    default:
        return -EIO;
    }
}

int store_error(sqlite3 *db, struct diag *diag, const char *doing)
{
    int err = errno_of(sqlite3_extended_errcode(db));
    return diag_set(diag, err ? err : -EIO, "%s: %s", doing, sqlite3_errmsg(db));
}

int store_exec(sqlite3 *db, const char *sql, struct diag *diag)
{
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        return store_error(db, diag, "state database");
    return 0;
}

static int exec_int(sqlite3 *db, const char *sql, int64_t *ret, struct diag *diag)
{
    sqlite3_stmt *s = NULL;
    int r = store_prepare(db, &sql, 1, &s, diag);
    if (r < 0)
        return r;
    r = store_row(s, diag);
    if (r == 1)
        *ret = store_col_int(s, 0);
    else if (r == 0)
        r = diag_set(diag, -EIO, "state database: no answer to %s", sql);
    sqlite3_finalize(s);
    return r < 0 ? r : 0;
}

static int apply_schema(sqlite3 *db, const char *path, struct diag *diag)
{
    int64_t version = 0;
    int r = store_begin(db, diag); /* two programs may start at the same moment */
    if (r < 0)
        return r;
    r = exec_int(db, "PRAGMA user_version", &version, diag);
    if (r == 0 && version == 0)
        r = store_exec(db, schema_sql, diag);
    if (r == 0 && version == 0) {
        char sql[64];
        snprintf(sql, sizeof(sql), "PRAGMA user_version = %d", STORE_VERSION);
        r = store_exec(db, sql, diag);
    }
    if (r < 0) {
        store_rollback(db);
        return r;
    }
    if (version > STORE_VERSION) {
        store_rollback(db);
        return diag_set(diag, -EPROTO, "%s was made by a newer program (version %d, this one knows %d)", path,
                        (int)version, STORE_VERSION);
    }
    return store_commit(db, diag);
}

static int setup(sqlite3 *db, const char *path, enum store_mode mode, struct diag *diag)
{
    sqlite3_extended_result_codes(db, 1);
    sqlite3_busy_timeout(db, STORE_BUSY_MS);
    sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    int r = store_exec(db,
                       "PRAGMA trusted_schema = OFF;"
                       "PRAGMA foreign_keys = ON;"
                       "PRAGMA temp_store = MEMORY;",
                       diag);
    if (r < 0)
        return r;
    if (mode == STORE_READER) {
        int64_t version = 0;
        r = exec_int(db, "PRAGMA user_version", &version, diag);
        if (r == 0 && version != STORE_VERSION)
            r = diag_set(diag, -EPROTO, "%s has version %d, this program knows %d", path, (int)version, STORE_VERSION);
        return r < 0 ? r : store_exec(db, "PRAGMA query_only = ON", diag);
    }
    r = store_exec(db, "PRAGMA journal_mode = WAL; PRAGMA journal_size_limit = 67108864;", diag);
    if (r < 0)
        return r;
    /* Derived: many alerts at once. Their pages should stay in memory, and come together before they go from the log to the
     * file. */
    r = store_exec(db,
                   mode == STORE_DURABLE
                       ? "PRAGMA synchronous = FULL"
                       : "PRAGMA synchronous = NORMAL; PRAGMA cache_size = -32768; PRAGMA wal_autocheckpoint = 4096",
                   diag);
    if (r < 0)
        return r;
    return apply_schema(db, path, diag);
}

/* Makes the file with a narrow mode, which SQLite then gives to -wal and -shm too. A file that is there is left alone: POSIX
 * drops a process's locks on a file when it closes any descriptor of it, so opening it here, beside a connection another
 * thread has, would let other processes take our write-ahead log for abandoned. */
static int create_file(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return errno == EEXIST ? 0 : -errno;
    close(fd);
    return 0;
}

int store_open(const char *path, enum store_mode mode, sqlite3 **ret, struct diag *diag)
{
    struct stat st;
    int r = mode != STORE_READER ? create_file(path) : lstat(path, &st) < 0 ? -errno : 0;
    if (r < 0)
        return diag_set(diag, r, "cannot open %s: %s", path, strerror(-r));
    sqlite3 *db = NULL;
    /* A reader opens read-write all the same: in WAL mode even reading wants the shared-memory file. */
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW, NULL) !=
        SQLITE_OK) {
        r = db ? store_error(db, diag, path) : diag_set(diag, -ENOMEM, "out of memory");
        sqlite3_close(db);
        return r;
    }
    r = setup(db, path, mode, diag);
    if (r < 0) {
        sqlite3_close(db);
        return r;
    }
    *ret = db;
    return 0;
}

sqlite3 *store_close(sqlite3 *db)
{
    sqlite3_close_v2(db);
    return NULL;
}

int store_begin(sqlite3 *db, struct diag *diag)
{
    return store_exec(db, "BEGIN IMMEDIATE", diag);
}

int store_commit(sqlite3 *db, struct diag *diag)
{
    int r = store_exec(db, "COMMIT", diag);
    if (r < 0)
        store_rollback(db);
    return r;
}

void store_rollback(sqlite3 *db)
{
    if (!sqlite3_get_autocommit(db))
        sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
}

int store_prepare(sqlite3 *db, const char *const *sql, size_t n, sqlite3_stmt **ret, struct diag *diag)
{
    for (size_t i = 0; i < n; i++)
        ret[i] = NULL;
    for (size_t i = 0; i < n; i++) {
        if (sqlite3_prepare_v3(db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &ret[i], NULL) == SQLITE_OK)
            continue;
        int r = store_error(db, diag, sql[i]);
        store_finalize(ret, n);
        return r;
    }
    return 0;
}

void store_finalize(sqlite3_stmt **stmts, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        sqlite3_finalize(stmts[i]);
        stmts[i] = NULL;
    }
}

/* Binding fails only for an index out of range (our own mistake, found by the first test) or a value over SQLite's length
 * limit, which store_run would then store as NULL: a NOT NULL column refuses it. */
void store_bind_str(sqlite3_stmt *s, int i, struct str v)
{
    if (v.p)
        sqlite3_bind_text64(s, i, v.p, v.len, SQLITE_STATIC, SQLITE_UTF8);
    else
        sqlite3_bind_null(s, i);
}

void store_bind_z(sqlite3_stmt *s, int i, const char *v)
{
    store_bind_str(s, i, str_of(v));
}

void store_bind_int(sqlite3_stmt *s, int i, int64_t v)
{
    sqlite3_bind_int64(s, i, v);
}

void store_bind_blob(sqlite3_stmt *s, int i, const void *p, size_t len)
{
    if (p)
        sqlite3_bind_blob64(s, i, p, len, SQLITE_STATIC);
    else
        sqlite3_bind_null(s, i);
}

void store_reset(sqlite3_stmt *s)
{
    sqlite3_reset(s);
    sqlite3_clear_bindings(s);
}

int store_row(sqlite3_stmt *s, struct diag *diag)
{
    int rc = sqlite3_step(s);
    if (rc == SQLITE_ROW)
        return 1;
    int r = rc == SQLITE_DONE ? 0 : store_error(sqlite3_db_handle(s), diag, "state database");
    store_reset(s);
    return r;
}

int store_run(sqlite3_stmt *s, struct diag *diag)
{
    int r = store_row(s, diag);
    if (r == 1)
        store_reset(s);
    return r < 0 ? r : 0;
}

struct str store_col_str(sqlite3_stmt *s, int i)
{
    const unsigned char *p = sqlite3_column_text(s, i);
    return (struct str){(const char *)p, p ? (size_t)sqlite3_column_bytes(s, i) : 0};
}

struct str store_col_blob(sqlite3_stmt *s, int i)
{
    const void *p = sqlite3_column_blob(s, i);
    return (struct str){p, p ? (size_t)sqlite3_column_bytes(s, i) : 0};
}

int64_t store_col_int(sqlite3_stmt *s, int i)
{
    return sqlite3_column_int64(s, i);
}

int store_next_change(sqlite3 *db, int64_t *ret, struct diag *diag)
{
    return exec_int(db, "SELECT coalesce(max(change), 0) + 1 FROM alerts", ret, diag);
}

int store_audit(sqlite3 *db, struct str user, const char *action, struct str object, const char *detail_json,
                struct diag *diag)
{
    static const char sql[] = "INSERT INTO audit (at_ns, user, action, object, detail_json) VALUES (?, ?, ?, ?, ?)";
    const char *const sqls[] = {sql};
    sqlite3_stmt *s = NULL;
    int r = store_prepare(db, sqls, 1, &s, diag);
    if (r < 0)
        return r;
    store_bind_int(s, 1, time_now_ns());
    store_bind_str(s, 2, user);
    store_bind_z(s, 3, action);
    store_bind_str(s, 4, object);
    store_bind_z(s, 5, detail_json ? detail_json : "{}");
    r = store_run(s, diag);
    sqlite3_finalize(s);
    return r;
}
