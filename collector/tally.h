/* SPDX-License-Identifier: Apache-2.0
 *
 * Counts by text, for facets and groups that are taken in one walk over many rows. Entries live in the caller's arena;
 * a table that is full (TALLY_MAX) counts what it knows and leaves out what is new.
 */
#pragma once

#include "common/arena.h"

#define TALLY_MAX 65536

struct tally_entry {
    struct str key;    /* NUL-terminated as well */
    struct str sample; /* id of one of the rows counted */
    int64_t count, fresh, first_ns, last_ns;
    int64_t level; /* the highest */
    uint32_t hash;
};

struct tally {
    struct arena *arena;
    struct tally_entry **slots; /* owned; cap is a power of two, at most half full */
    size_t n, cap;
};

void tally_init(struct tally *t, struct arena *arena);
void tally_clear(struct tally *t);

/* The entry of that key, made when new. NULL: full, or out of memory. */
struct tally_entry *tally_at(struct tally *t, struct str key);

typedef int (*tally_compare_fn)(const struct tally_entry *a, const struct tally_entry *b); /* < 0: a comes first */
int tally_by_count(const struct tally_entry *a, const struct tally_entry *b);              /* most first, then by key */

/* The first `max` entries in order, in the arena. Returns how many; 0 also when out of memory. */
size_t tally_sorted(const struct tally *t, tally_compare_fn compare, size_t max, struct tally_entry ***ret);
