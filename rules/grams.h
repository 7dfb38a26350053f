/* SPDX-License-Identifier: Apache-2.0
 *
 * Many literals in one text at once. Each literal is filed under one gram of its own, a run of four bytes or of two: the one that
 * the other literals share least, which is the best guess at what texts hold least. A text is walked with a filter that
 * tells nearly every position that no gram of any literal stands there, so the cost hardly depends on the number of
 * literals. What passes the filter is looked up and compared. Literals of less than four bytes are filed by pairs, with a walk
 * and a filter of their own.
 *
 * A literal can be bound to the start or the end of the text: the text is framed by two marks, which may be part of a gram.
 * Built once in an arena, then only read, by any number of threads.
 */
#pragma once

#include "common/arena.h"

#define GRAM_BYTES 4
#define PAIR_BYTES 2

/* The text to walk is framed: GRAMS_START before, GRAMS_END behind it, then GRAMS_PAD bytes that may be read. */
#define GRAMS_START '\x01'
#define GRAMS_END   '\x02'
#define GRAMS_PAD   16

struct literal {
    struct str text; /* at least one byte; two, unless it is bound */
    bool at_start, at_end;
    uint32_t predicate; /* what it stands for */
    uint64_t classes;   /* of log sources that care */
};

struct gram_entry {
    int32_t at; /* of the gram in the literal; -1: it begins with the start mark */
    uint32_t literal;
};

struct gram_slot {
    uint32_t gram, first, n; /* entries; n 0: free */
};

enum { GRAMS_QUADS, GRAMS_PAIRS, GRAM_TABLES };

struct gram_table {
    uint8_t size; /* of a gram in bytes; 0: the table is empty */
    bool has_avx2;
    unsigned log2_bits;
    uint32_t *bits;          /* filter of four bytes: 1 << log2_bits bits, by hash */
    uint8_t *direct;         /* filter of two bytes: one for each pair */
    struct gram_slot *slots; /* open addressing */
    uint32_t slot_mask;
    struct gram_entry *entries;
    uint32_t n_entries;
};

struct grams {
    struct gram_table tables[GRAM_TABLES];
    const struct literal *literals;
    uint32_t n;
};

unsigned grams_table_of(const struct literal *l); /* the table that it is filed in */

/* Borrows the literals. 0 or -ENOMEM. */
int grams_build(const struct literal *literals, size_t n, struct arena *arena, struct grams *ret);

/* ---- walking ---- */

#define GRAM_FACTOR UINT32_C(2654435761)

static inline uint32_t gram_hash(uint32_t gram)
{
    return gram * GRAM_FACTOR;
}

static inline uint32_t gram_at(const char *p)
{
    uint32_t gram;
    memcpy(&gram, p, sizeof(gram));
    return gram;
}

static inline uint32_t pair_at(const char *p)
{
    uint16_t pair;
    memcpy(&pair, p, sizeof(pair));
    return pair;
}

static inline uint32_t gram_of(const struct gram_table *t, const char *p)
{
    return t->size == GRAM_BYTES ? gram_at(p) : pair_at(p);
}

/* Positions of the framed text, from *at on, where a gram of the table may begin; leaves *at behind the last one looked at, which
 * is `end` (or more) when all were. Returns how many. The frame's padding must follow the text. */
#define GRAM_HITS_MAX 64
size_t grams_scan(const struct gram_table *t, const char *framed, size_t end, size_t *at,
                  uint32_t ret[static GRAM_HITS_MAX]);

/* The entries of a gram: *ret_n of them. */
static inline const struct gram_entry *grams_find(const struct gram_table *t, uint32_t gram, uint32_t *ret_n)
{
    for (uint32_t i = gram_hash(gram) >> 7;; i++) {
        const struct gram_slot *s = &t->slots[i & t->slot_mask];
        *ret_n = s->n;
        if (s->n == 0 || s->gram == gram)
            return t->entries + s->first;
    }
}

/* Whether the literal stands in the text (unframed) when its gram was met at the position `at` of the framed text. */
static inline bool literal_stands(const struct literal *l, int32_t gram_in_literal, struct str text, size_t at)
{
    int64_t start = (int64_t)at - 1 - gram_in_literal;
    if (start < 0 || (uint64_t)start + l->text.len > text.len || (l->at_start && start != 0) ||
        (l->at_end && (uint64_t)start + l->text.len != text.len))
        return false;
    return memcmp(text.p + start, l->text.p, l->text.len) == 0;
}
