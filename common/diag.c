/* SPDX-License-Identifier: Apache-2.0
 *
 * Filling in errors for people. The one hard thing: a message often quotes what it was given, so it is cut at the size
 * of the struct without leaving half a UTF-8 character, and may be built from the very diag it replaces.
 */
#include "common/diag.h"

#include <stdarg.h>
#include <stdio.h>

static void drop_half_character(char *z, size_t len)
{
    for (size_t back = 1; back <= 3 && back <= len; back++) {
        uint8_t c = (uint8_t)z[len - back];
        if ((c & 0xC0) == 0x80)
            continue;
        if (c >= 0xC0 && utf8_char_len((struct str){z + len - back, back}) != back)
            z[len - back] = '\0';
        return;
    }
}

static void diag_fill(struct diag *d, int line, int col, const char *fmt, va_list args) PRINTF_LIKE(4, 0);
static void diag_fill(struct diag *d, int line, int col, const char *fmt, va_list args)
{
    char msg[sizeof(d->msg)]; /* the arguments may point into d */
    int n = vsnprintf(msg, sizeof(msg), fmt, args);
    if (n < 0)
        msg[0] = '\0';
    if (n >= (int)sizeof(msg))
        drop_half_character(msg, sizeof(msg) - 1);
    memcpy(d->msg, msg, sizeof(msg));
    d->line = line;
    d->col = col;
}

int diag_set(struct diag *d, int err, const char *fmt, ...)
{
    if (d) {
        va_list args;
        va_start(args, fmt);
        diag_fill(d, 0, 0, fmt, args);
        va_end(args);
    }
    return err;
}

int diag_at(struct diag *d, int err, int line, int col, const char *fmt, ...)
{
    if (d) {
        va_list args;
        va_start(args, fmt);
        diag_fill(d, line, col, fmt, args);
        va_end(args);
    }
    return err;
}

void diags_init(struct diags *ds, size_t max)
{
    *ds = (struct diags){.max = max};
}

void diags_clear(struct diags *ds)
{
    for (size_t i = 0; i < ds->n; i++)
        free(ds->entries[i].file);
    free(ds->entries);
    diags_init(ds, ds->max);
}

static bool diags_grow(struct diags *ds)
{
    if (ds->n < ds->cap)
        return true;
    if (ds->cap >= ds->max)
        return false;
    size_t cap = ds->cap ? MIN(ds->cap * 2, ds->max) : MIN((size_t)16, ds->max);
    struct diag_entry *entries = reallocarray(ds->entries, cap, sizeof(*entries));
    if (!entries)
        return false;
    ds->entries = entries;
    ds->cap = cap;
    return true;
}

void diags_add(struct diags *ds, const char *file, bool is_warning, const struct diag *d)
{
    if (!ds)
        return;
    if (is_warning)
        ds->warnings++;
    else
        ds->errors++;
    char *copy = diags_grow(ds) ? strdup(file ? file : "") : NULL;
    if (!copy) {
        ds->dropped++;
        return;
    }
    ds->entries[ds->n++] = (struct diag_entry){.file = copy, .is_warning = is_warning, .diag = *d};
}
