/* SPDX-License-Identifier: Apache-2.0
 * See sql.h. */
#include "collector/sql.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>

void sql_finalize(sqlite3_stmt **st)
{
    sqlite3_finalize(*st);
    *st = NULL;
}

static void bind_all(sqlite3_stmt *st, const char *types, va_list *ap)
{
    for (int at = 1; *types; at++, types++) {
        switch (*types) {
        case 'i':
            store_bind_int(st, at, va_arg(*ap, int64_t));
            break;
        case 's':
            store_bind_z(st, at, va_arg(*ap, const char *));
            break;
        case 'S': {
            struct str s = va_arg(*ap, struct str);
            store_bind_str(st, at, s.p ? s : STR(""));
            break;
        }
        case 'b': {
            struct str s = va_arg(*ap, struct str);
            store_bind_blob(st, at, s.p, s.len);
            break;
        }
        default:
            assert(*types == 'n');
            sqlite3_bind_null(st, at);
        }
    }
}

static int prepare_va(sqlite3 *db, sqlite3_stmt **ret, struct diag *diag, const char *text, const char *types,
                      va_list *ap)
{
    if (sqlite3_prepare_v2(db, text, -1, ret, NULL) != SQLITE_OK)
        return store_error(db, diag, text);
    bind_all(*ret, types, ap);
    return 0;
}

int sql_prepare(sqlite3 *db, sqlite3_stmt **ret, struct diag *diag, const char *text, const char *types, ...)
{
    va_list ap;
    va_start(ap, types);
    int r = prepare_va(db, ret, diag, text, types, &ap);
    va_end(ap);
    return r;
}

void sql_bind(sqlite3_stmt *st, const char *types, ...)
{
    va_list ap;
    va_start(ap, types);
    bind_all(st, types, &ap);
    va_end(ap);
}

int sql_run(sqlite3 *db, struct diag *diag, const char *text, const char *types, ...)
{
    SQL_STMT st = NULL;
    va_list ap;
    va_start(ap, types);
    int r = prepare_va(db, &st, diag, text, types, &ap);
    va_end(ap);
    while (r == 0 && (r = store_row(st, diag)) > 0)
        r = 0;
    return r;
}

int sql_int(sqlite3 *db, int64_t *ret, struct diag *diag, const char *text, const char *types, ...)
{
    SQL_STMT st = NULL;
    va_list ap;
    va_start(ap, types);
    int r = prepare_va(db, &st, diag, text, types, &ap);
    va_end(ap);
    if (r == 0)
        r = store_row(st, diag);
    if (r <= 0)
        return r == 0 ? -ENOENT : r;
    *ret = store_col_int(st, 0);
    return 0;
}
