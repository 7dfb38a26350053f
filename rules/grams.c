/* SPDX-License-Identifier: Apache-2.0
 *
 * Choosing each literal's gram, and filling the tables. The choice counts in how many places of all literals each gram
 * stands: names of programs and folders that many rules know (".exe", "\sys") are also what most texts hold. Among equals
 * the gram of rarer letters wins.
 */
#include "rules/grams.h"

#include <errno.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define BITS_PER_GRAM 64 /* of the filter: about one position in so many passes it for nothing */
#define LOG2_BITS_MIN 9
#define LOG2_BITS_MAX 24

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

/* How common a byte is in paths, command lines and log lines, roughly. */
static const uint8_t commonness[256] = {
    ['j'] = 1, ['q'] = 1, ['z'] = 1, ['{'] = 1, ['}'] = 1,  ['~'] = 1, ['^'] = 1, ['`'] = 1, ['k'] = 2, ['v'] = 2,
    ['w'] = 2, ['x'] = 2, ['y'] = 2, ['&'] = 2, ['%'] = 2,  ['!'] = 2, ['@'] = 2, ['#'] = 2, [';'] = 2, ['<'] = 2,
    ['>'] = 2, ['['] = 2, [']'] = 2, ['|'] = 2, ['b'] = 3,  ['g'] = 3, ['f'] = 3, ['m'] = 3, ['p'] = 3, ['u'] = 3,
    ['('] = 3, [')'] = 3, ['+'] = 3, [','] = 3, ['\''] = 3, ['c'] = 4, ['d'] = 4, ['h'] = 4, ['l'] = 4, [':'] = 4,
    ['='] = 4, ['*'] = 4, ['"'] = 4, ['_'] = 4, ['-'] = 4,  ['0'] = 4, ['1'] = 4, ['2'] = 4, ['3'] = 4, ['4'] = 4,
    ['5'] = 4, ['6'] = 4, ['7'] = 4, ['8'] = 4, ['9'] = 4,  ['n'] = 5, ['o'] = 5, ['r'] = 5, ['s'] = 5, ['/'] = 5,
    ['.'] = 5, ['a'] = 6, ['t'] = 6, ['i'] = 6, ['\\'] = 6, ['e'] = 7, [' '] = 7,
};

static uint64_t weight(const struct framed *f, size_t at, size_t size, const struct counts *counts)
{
    uint64_t common = 0;
    for (size_t i = 0; i < size; i++)
        common += commonness[(uint8_t)framed_byte(f, at + i)];
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

/* ---- walking ---- */

#define BLOCK 8 /* positions that are filtered together, with one branch for all of them */

static size_t keep_hits(unsigned mask, size_t at, size_t n, uint32_t ret[static GRAM_HITS_MAX])
{
    for (; mask; mask &= mask - 1)
        ret[n++] = (uint32_t)at + (unsigned)__builtin_ctz(mask);
    return n;
}

static size_t scan_pairs(const struct gram_table *t, const char *framed, size_t end, size_t *at,
                         uint32_t ret[static GRAM_HITS_MAX])
{
    size_t n = 0, i = *at;
    const uint8_t *direct = t->direct;
    for (; i < end && n + BLOCK <= GRAM_HITS_MAX; i += BLOCK) {
        const char *p = framed + i;
        if (!(direct[pair_at(p)] | direct[pair_at(p + 1)] | direct[pair_at(p + 2)] | direct[pair_at(p + 3)] |
              direct[pair_at(p + 4)] | direct[pair_at(p + 5)] | direct[pair_at(p + 6)] | direct[pair_at(p + 7)]))
            continue;
        for (unsigned k = 0; k < BLOCK; k++) {
            ret[n] = (uint32_t)i + k;
            n += direct[pair_at(p + k)];
        }
    }
    *at = i;
    return n;
}

static inline unsigned may_be(const struct gram_table *t, uint32_t gram)
{
    uint32_t bit = gram_hash(gram) >> (32 - t->log2_bits);
    return t->bits[bit / 32] >> bit % 32 & 1;
}

static size_t scan(const struct gram_table *t, const char *framed, size_t end, size_t *at,
                   uint32_t ret[static GRAM_HITS_MAX])
{
    size_t n = 0, i = *at;
    for (; i < end && n + BLOCK <= GRAM_HITS_MAX; i += BLOCK) {
        unsigned mask = 0;
        for (unsigned k = 0; k < BLOCK; k++)
            mask |= may_be(t, gram_at(framed + i + k)) << k;
        n = keep_hits(mask, i, n, ret);
    }
    *at = i;
    return n;
}

#if defined(__x86_64__)

static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2");
}

/* Which of eight grams pass: a bit each. */
__attribute__((target("avx2"))) static inline unsigned filter_avx2(const struct gram_table *t, __m256i grams)
{
    __m256i hash = _mm256_mullo_epi32(grams, _mm256_set1_epi32((int)GRAM_FACTOR));
    __m256i bit = _mm256_srl_epi32(hash, _mm_cvtsi32_si128((int)(32 - t->log2_bits)));
    __m256i words = _mm256_i32gather_epi32((const int *)(const void *)t->bits, _mm256_srli_epi32(bit, 5), 4);
    __m256i top = _mm256_sllv_epi32(words, _mm256_andnot_si256(bit, _mm256_set1_epi32(31))); /* 31 - bit % 32 */
    return (unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(top));
}

__attribute__((target("avx2"))) static size_t scan_avx2(const struct gram_table *t, const char *framed, size_t end,
                                                        size_t *at, uint32_t ret[static GRAM_HITS_MAX])
{
    const __m256i overlap = _mm256_setr_epi8(0, 1, 2, 3, 1, 2, 3, 4, 2, 3, 4, 5, 3, 4, 5, 6, 4, 5, 6, 7, 5, 6, 7, 8, 6,
                                             7, 8, 9, 7, 8, 9, 10);
    size_t n = 0, i = *at;
    for (; i < end && n + BLOCK <= GRAM_HITS_MAX; i += BLOCK) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)(framed + i));
        unsigned mask = filter_avx2(t, _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(bytes), overlap));
        if (mask)
            n = keep_hits(mask, i, n, ret);
    }
    *at = i;
    return n;
}

#else

static bool has_avx2(void)
{
    return false;
}

#define scan_avx2 scan

#endif

size_t grams_scan(const struct gram_table *t, const char *framed, size_t end, size_t *at,
                  uint32_t ret[static GRAM_HITS_MAX])
{
    if (t->size == PAIR_BYTES)
        return scan_pairs(t, framed, end, at, ret);
    return t->has_avx2 ? scan_avx2(t, framed, end, at, ret) : scan(t, framed, end, at, ret);
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

static int filter_init(struct gram_table *t, size_t n, struct arena *arena)
{
    if (t->size == PAIR_BYTES) {
        t->direct = arena_array(arena, UINT16_MAX + 1, sizeof(*t->direct));
        return t->direct ? 0 : -ENOMEM;
    }
    t->log2_bits = LOG2_BITS_MIN;
    while (t->log2_bits < LOG2_BITS_MAX && (size_t)1 << t->log2_bits < n * BITS_PER_GRAM)
        t->log2_bits++;
    t->bits = arena_array(arena, ((size_t)1 << t->log2_bits) / 32, sizeof(*t->bits));
    return t->bits ? 0 : -ENOMEM;
}

static void filter_add(struct gram_table *t, uint32_t gram)
{
    if (t->size == PAIR_BYTES) {
        t->direct[gram] = 1;
        return;
    }
    uint32_t bit = gram_hash(gram) >> (32 - t->log2_bits);
    t->bits[bit / 32] |= UINT32_C(1) << bit % 32;
}

static int table_fill(struct gram_table *t, const struct choice *choices, size_t n, struct arena *arena)
{
    size_t slots = 16;
    while (slots < 2 * n)
        slots *= 2;
    t->slot_mask = (uint32_t)(slots - 1);
    t->slots = arena_array(arena, slots, sizeof(*t->slots));
    t->entries = arena_array(arena, n, sizeof(*t->entries));
    if (!t->slots || !t->entries || filter_init(t, n, arena) < 0)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        uint32_t gram = choices[i].gram, at = gram_hash(gram) >> 7;
        while (t->slots[at & t->slot_mask].n && t->slots[at & t->slot_mask].gram != gram)
            at++;
        struct gram_slot *s = &t->slots[at & t->slot_mask];
        if (s->n == 0) {
            *s = (struct gram_slot){gram, t->n_entries, 0};
            filter_add(t, gram);
        }
        s->n++;
        t->entries[t->n_entries++] = choices[i].entry;
    }
    return 0;
}

struct sorting { /* literals into tables */
    const struct literal *literals;
    size_t n;
    struct arena *arena;
};

unsigned grams_table_of(const struct literal *l)
{
    return frame(l).len >= GRAM_BYTES ? GRAMS_QUADS : GRAMS_PAIRS;
}

/* Returns how many choices were written. */
static size_t make_choices(const struct sorting *s, unsigned table, const struct gram_table *t,
                           const struct counts *counts, struct choice *choices)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++) {
        struct framed f = frame(&s->literals[i]);
        if (grams_table_of(&s->literals[i]) != table)
            continue;
        size_t at = choose(&f, t->size, counts);
        int32_t in_literal = (int32_t)at - (s->literals[i].at_start ? 1 : 0);
        choices[n++] = (struct choice){framed_gram(&f, at, t->size), {in_literal, (uint32_t)i}};
    }
    return n;
}

static int table_build(const struct sorting *s, unsigned table, struct gram_table *t)
{
    struct counts counts = {0};
    *t = (struct gram_table){
        .size = table == GRAMS_PAIRS ? PAIR_BYTES : GRAM_BYTES,
        .has_avx2 = has_avx2(),
    };
    struct choice *choices = calloc(s->n + 1, sizeof(*choices));
    if (!choices || count_grams(s->literals, s->n, t->size, &counts) < 0) {
        free(choices);
        return -ENOMEM;
    }
    size_t n = make_choices(s, table, t, &counts, choices);
    free(counts.items);
    qsort(choices, n, sizeof(*choices), compare_choices);
    int err = n ? table_fill(t, choices, n, s->arena) : 0;
    if (n == 0)
        t->size = 0;
    free(choices);
    return err;
}

int grams_build(const struct literal *literals, size_t n, struct arena *arena, struct grams *ret)
{
    *ret = (struct grams){.literals = literals, .n = (uint32_t)n};
    struct sorting s = {.literals = literals, .n = n, .arena = arena};
    int err = 0;
    for (unsigned table = 0; n && err == 0 && table < GRAM_TABLES; table++)
        err = table_build(&s, table, &ret->tables[table]);
    return err;
}
