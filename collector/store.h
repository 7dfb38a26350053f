/* SPDX-License-Identifier: Apache-2.0
 *
 * The state database (SQLite, WAL): how a connection is opened, and the few steps every part repeats. A connection and
 * its statements belong to one thread; each thread opens its own.
 *
 * What a power cut may take back decides the mode. What detection writes can be derived again from the archive behind
 * checkpoint.pos, so it commits without waiting for the disk. What a person or an agent was told ("closed", "enrolled",
 * "audited") cannot, so everybody else waits for the disk at each commit. In both modes the file is never torn: a cut
 * takes back the last commits as a whole, in order.
 */
#pragma once

#include "common/diag.h"

#include <sqlite3.h>

#define STORE_BUSY_MS 5000 /* how long a connection waits for another's write */
#define STORE_VERSION 1    /* user_version of the schema this program knows */

enum store_mode {
    STORE_DURABLE, /* synchronous=FULL; creates the file and its schema */
    STORE_DERIVED, /* synchronous=NORMAL; creates the file and its schema */
    STORE_READER,  /* writes are refused; the file must be there */
};

/* Opens `path` (mode 0600 when made new), applies the schema, foreign keys on, busy timeout 5 s. -ENOENT (reader, no
 * file), -EPROTO (made by a newer program), -EBUSY, -EIO, ... */
int store_open(const char *path, enum store_mode mode, sqlite3 **ret, struct diag *diag);
sqlite3 *store_close(sqlite3 *db); /* every statement must be finalised before; NULL is fine; always returns NULL */

/* The errno of the connection's last failure (-EBUSY, -ENOSPC, -ENOMEM, -EEXIST for a constraint, else -EIO), with SQLite's own words. */
int store_error(sqlite3 *db, struct diag *diag, const char *doing);

int store_exec(sqlite3 *db, const char *sql, struct diag *diag);

/* BEGIN IMMEDIATE: takes the write lock at once, so that a transaction never fails half-way with "busy". */
int store_begin(sqlite3 *db, struct diag *diag);
int store_commit(sqlite3 *db, struct diag *diag); /* on failure the transaction is rolled back */
void store_rollback(sqlite3 *db);                 /* fine when there is none */

/* Long-lived statements: `sql` is an array indexed by the caller's enum, `ret` the array of the same size. All or none. */
int store_prepare(sqlite3 *db, const char *const *sql, size_t n, sqlite3_stmt **ret, struct diag *diag);
void store_finalize(sqlite3_stmt **stmts, size_t n);

/* Bindings borrow: the bytes must live until the statement has run. {NULL, 0} and NULL bind SQL NULL. */
void store_bind_str(sqlite3_stmt *s, int i, struct str v);
void store_bind_z(sqlite3_stmt *s, int i, const char *v);
void store_bind_int(sqlite3_stmt *s, int i, int64_t v);
void store_bind_blob(sqlite3_stmt *s, int i, const void *p, size_t len);

/* Steps a statement that gives no rows, then resets it and clears its bindings. 0, or as store_error. */
int store_run(sqlite3_stmt *s, struct diag *diag);
/* Steps to the next row: 1 a row, 0 no more (the statement is then reset and its bindings cleared), or as store_error.
 * A caller that stops before 0 calls store_reset. */
int store_row(sqlite3_stmt *s, struct diag *diag);
void store_reset(sqlite3_stmt *s);

/* Columns borrow until the next step. NULL in the database is {NULL, 0}. */
struct str store_col_str(sqlite3_stmt *s, int i);
struct str store_col_blob(sqlite3_stmt *s, int i);
int64_t store_col_int(sqlite3_stmt *s, int i);

/* The number the next insert or update of an alert takes (alerts.change). Inside a transaction of store_begin the caller
 * may count on from it by itself. */
int store_next_change(sqlite3 *db, int64_t *ret, struct diag *diag);

/* Adds an audit row to the caller's transaction. detail_json NULL: "{}". */
int store_audit(sqlite3 *db, struct str user, const char *action, struct str object, const char *detail_json,
                struct diag *diag);
