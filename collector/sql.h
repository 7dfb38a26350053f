/* SPDX-License-Identifier: Apache-2.0
 *
 * Statements that are used here and there, on top of store.h: prepare and bind in one line. Values are only ever bound,
 * never put into the text of a statement. Errors are those of store_error. Types, one letter a parameter:
 *   i int64_t | s const char * (NULL binds NULL) | S struct str as text (never NULL) | b struct str as blob | n NULL
 * Texts are bound as they are, so they must outlive the statement's last step.
 */
#pragma once

#include "collector/store.h"

void sql_finalize(sqlite3_stmt **st); /* for CLEANUP */
#define SQL_STMT CLEANUP(sql_finalize) sqlite3_stmt *

int sql_prepare(sqlite3 *db, sqlite3_stmt **ret, struct diag *diag, const char *text, const char *types, ...);
void sql_bind(sqlite3_stmt *st, const char *types, ...); /* from parameter 1; the statement must be reset */

int sql_run(sqlite3 *db, struct diag *diag, const char *text, const char *types, ...); /* rows do not matter */

/* First column of the first row; -ENOENT when there is none (diag stays untouched). */
int sql_int(sqlite3 *db, int64_t *ret, struct diag *diag, const char *text, const char *types, ...);

static inline const char *sql_z(sqlite3_stmt *st, int column) /* text, "" for NULL; valid until the next step */
{
    const char *z = (const char *)sqlite3_column_text(st, column);
    return z ? z : "";
}

static inline bool sql_is_null(sqlite3_stmt *st, int column)
{
    return sqlite3_column_type(st, column) == SQLITE_NULL;
}
