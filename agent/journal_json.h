/* SPDX-License-Identifier: Apache-2.0
 *
 * One journal entry as one line of JSON, as `journalctl -o json` prints it: every value a string; values that are not
 * UTF-8 or hold control bytes as arrays of numbers; fields that occur several times as arrays. Where journalctl leaves
 * out (null) every value over 4 KiB, we keep all that fits into BATCH_LINE_MAX.
 */
#pragma once

#include "common/buf.h"

#define JOURNAL_FIELDS_MAX 1024
#define JOURNAL_FIELD_MAX  4096       /* when the entry is too long: other values over this become null */
#define JOURNAL_TEXT_MAX   (32 * KIB) /* ... and MESSAGE is cut to this */

struct journal_field {
    struct str name, value; /* borrowed */
};

struct journal_entry {
    const char *cursor;
    uint64_t realtime_us, monotonic_us;
    struct journal_field *fields; /* sorted by the call */
    size_t n;
};

/* Appends the line with its newline; at most `max` bytes. ret_cut: how many values were cut or left out. 0, -ENOBUFS,
 * -ENOMEM; out keeps what it held on failure. */
int journal_entry_print(struct journal_entry *e, size_t max, struct buf *out, uint64_t *ret_cut);
