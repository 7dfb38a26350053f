/* SPDX-License-Identifier: Apache-2.0
 *
 * Choosing each literal's gram, and filling the tables. The choice counts in how many places of all literals each gram
 * stands: names of programs and folders that many rules know (".exe", "\sys") are also what most texts hold. Among equals
 * the gram of rarer letters wins.
 */
#include "rules/grams.h"

#include <errno.h>

#define BITS_PER_GRAM 16 /* of the bitmap: about one position in so many passes it for nothing */
#define LOG2_BITS_MIN 9
#define LOG2_BITS_MAX 22

/* ---- how often a gram stands in the literals ---- */

struct counts {
    struct count {
        uint32_t gram, n;
    } * items;
    uint32_t mask;
};

static struct count *count_of(const struct counts *c, uint32_t gram)
{
    uint32_t i = gram_hash(gram) >> 5;
    while (c->items[i & c->mask].n && c->items[i & c->mask].gram != gram)
        i++;
    return &c->items[i & c->mask];
}

/* The literal between the marks it is bound to. Bytes of a frame: up to text.len + 2. */
struct framed {
    const struct literal *l;
    size_t len;
};

static struct framed frame(const struct literal *l)
{
    return (struct framed){l, l->text.len + l->at_start + l->at_end};
}

static char framed_byte(const struct framed *f, size_t i)
{
    if (f->l->at_start && i == 0)
        return GRAMS_START;
    i -= f->l->at_start;
    return i < f->l->text.len ? f->l->text.p[i] : GRAMS_END;
}

static uint32_t framed_gram(const struct framed *f, size_t at, size_t size)
{
    char bytes[GRAM_BYTES] = {0};
    for (size_t i = 0; i < size; i++)
        bytes[i] = framed_byte(f, at + i);
    return size == GRAM_BYTES ? gram_at(bytes) : pair_at(bytes);
}

static uint8_t size_of(const struct framed *f)
{
    return f->len >= GRAM_BYTES ? GRAM_BYTES : PAIR_BYTES;
}

static int count_grams(const struct literal *literals, size_t n, uint8_t size, struct counts *ret)
{
    size_t total = 0, cap = 64;
    for (size_t i = 0; i < n; i++)
        total += literals[i].text.len + 2;
    while (cap < 2 * total)
        cap *= 2;
    *ret = (struct counts){calloc(cap, sizeof(*ret->items)), (uint32_t)(cap - 1)};
    if (!ret->items)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        struct framed f = frame(&literals[i]);
        for (size_t at = 0; at + size <= f.len; at++) {
            struct count *c = count_of(ret, framed_gram(&f, at, size));
            c->gram = framed_gram(&f, at, size);
            c->n++;
        }
    }
    return 0;
}

/* ---- choosing ---- */

/* How common a byte is in paths, command lines and log lines, roughly: 0 to 7. */
static unsigned commonness(char c)
{
    static const char *const classes[] = {
        "", "jqz{}~^`", "kvwxy&%!@#;<>[]|", "bgfmpu()+,'", "cdhl:=*\"_-", "nors/.", "ati\\", "e "};
    if (c >= '0' && c <= '9')
        return 4;
    for (unsigned i = 1; i < ARRAY_LEN(classes); i++)
        if (c && strchr(classes[i], c))
            return i;
    return 0;
}

static uint64_t weight(const struct framed *f, size_t at, size_t size, const struct counts *counts)
{
    uint64_t common = 0;
    for (size_t i = 0; i < size; i++)
        common += commonness(framed_byte(f, at + i));
    return (uint64_t)count_of(counts, framed_gram(f, at, size))->n * 8 + common;
}

static size_t choose(const struct framed *f, size_t size, const struct counts *counts)
{
    size_t best = 0;
    uint64_t least = UINT64_MAX;
    for (size_t at = 0; at + size <= f->len; at++) {
        uint64_t w = weight(f, at, size, counts);
        if (w < least) {
            least = w;
            best = at;
        }
    }
    return best;
}

/* ---- tables ---- */

struct choice {
    uint32_t gram;
    struct gram_entry entry;
};

static int compare_choices(const void *a, const void *b)
{
    const struct choice *x = a, *y = b;
    if (x->gram != y->gram)
        return x->gram < y->gram ? -1 : 1;
    return x->entry.literal < y->entry.literal ? -1 : x->entry.literal > y->entry.literal;
}

static int table_fill(struct gram_table *t, const struct choice *choices, size_t n, struct arena *arena)
{
    size_t slots = 16;
    while (slots < 2 * n)
        slots *= 2;
    t->log2_bits = LOG2_BITS_MIN;
    while (t->log2_bits < LOG2_BITS_MAX && (size_t)1 << t->log2_bits < n * BITS_PER_GRAM)
        t->log2_bits++;
    t->slot_mask = (uint32_t)(slots - 1);
    t->bits = arena_array(arena, ((size_t)1 << t->log2_bits) / 64, sizeof(*t->bits));
    t->slots = arena_array(arena, slots, sizeof(*t->slots));
    t->entries = arena_array(arena, n, sizeof(*t->entries));
    if (!t->bits || !t->slots || !t->entries)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        uint32_t gram = choices[i].gram, at = gram_hash(gram) >> 7, bit = gram_hash(gram) >> (32 - t->log2_bits);
        t->bits[bit / 64] |= UINT64_C(1) << bit % 64;
        while (t->slots[at & t->slot_mask].n && t->slots[at & t->slot_mask].gram != gram)
            at++;
        struct gram_slot *s = &t->slots[at & t->slot_mask];
        if (s->n == 0)
            *s = (struct gram_slot){gram, t->n_entries, 0};
        s->n++;
        t->entries[t->n_entries++] = choices[i].entry;
    }
    return 0;
}

static int table_build(const struct literal *literals, size_t n, uint8_t size, struct arena *arena,
                       struct gram_table *ret)
{
    struct counts counts;
    struct choice *choices = calloc(n + 1, sizeof(*choices));
    if (!choices || count_grams(literals, n, size, &counts) < 0) {
        free(choices);
        return -ENOMEM;
    }
    size_t n_choices = 0;
    for (size_t i = 0; i < n; i++) {
        struct framed f = frame(&literals[i]);
        if (size_of(&f) != size)
            continue;
        size_t at = choose(&f, size, &counts);
        choices[n_choices++] =
            (struct choice){framed_gram(&f, at, size), {(int32_t)at - (literals[i].at_start ? 1 : 0), (uint32_t)i}};
    }
    free(counts.items);
    qsort(choices, n_choices, sizeof(*choices), compare_choices);
    *ret = (struct gram_table){.size = n_choices ? size : 0};
    int err = n_choices ? table_fill(ret, choices, n_choices, arena) : 0;
    free(choices);
    return err;
}

int grams_build(const struct literal *literals, size_t n, struct arena *arena, struct grams *ret)
{
    *ret = (struct grams){.literals = literals, .n = (uint32_t)n};
    int err = n ? table_build(literals, n, GRAM_BYTES, arena, &ret->quads) : 0;
    return err < 0 || n == 0 ? err : table_build(literals, n, PAIR_BYTES, arena, &ret->pairs);
}
