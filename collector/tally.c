/* SPDX-License-Identifier: Apache-2.0
 * See tally.h. */
#include "collector/tally.h"

#define CAP_MIN 64

void tally_init(struct tally *t, struct arena *arena)
{
    *t = (struct tally){.arena = arena};
}

void tally_clear(struct tally *t)
{
    free(t->slots);
    *t = (struct tally){0};
}

static uint32_t hash_of(struct str s)
{
    uint32_t h =
        2166136261u; /* FNV-1a: keys are our own rules and hosts, and a walk over clashes is bounded by TALLY_MAX */
    for (size_t i = 0; i < s.len; i++)
        h = (h ^ (uint8_t)s.p[i]) * 16777619u;
    return h;
}

static struct tally_entry **slot_of(struct tally_entry **slots, size_t cap, struct str key, uint32_t hash)
{
    size_t i = hash & (cap - 1);
    while (slots[i] && (slots[i]->hash != hash || !str_eq(slots[i]->key, key)))
        i = (i + 1) & (cap - 1);
    return &slots[i];
}

static bool grow(struct tally *t)
{
    size_t cap = t->cap ? t->cap * 2 : CAP_MIN;
    struct tally_entry **slots = calloc(cap, sizeof(struct tally_entry *));
    if (!slots)
        return false;
    for (size_t i = 0; i < t->cap; i++) {
        if (t->slots[i])
            *slot_of(slots, cap, t->slots[i]->key, t->slots[i]->hash) = t->slots[i];
    }
    free(t->slots);
    t->slots = slots;
    t->cap = cap;
    return true;
}

struct tally_entry *tally_at(struct tally *t, struct str key)
{
    uint32_t hash = hash_of(key);
    if (t->n * 2 >= t->cap && !grow(t))
        return NULL;
    struct tally_entry **slot = slot_of(t->slots, t->cap, key, hash);
    if (*slot)
        return *slot;
    struct tally_entry *e = t->n < TALLY_MAX ? arena_alloc(t->arena, sizeof(*e)) : NULL;
    if (!e || arena_str(t->arena, key, &e->key) < 0)
        return NULL;
    e->hash = hash;
    e->first_ns = INT64_MAX;
    e->last_ns = INT64_MIN;
    *slot = e;
    t->n++;
    return e;
}

int tally_by_count(const struct tally_entry *a, const struct tally_entry *b)
{
    if (a->count != b->count)
        return a->count > b->count ? -1 : 1;
    return strcmp(a->key.p, b->key.p);
}

static int compare_via(const void *a, const void *b, void *compare)
{
    return (*(tally_compare_fn *)compare)(*(struct tally_entry *const *)a, *(struct tally_entry *const *)b);
}

size_t tally_sorted(const struct tally *t, tally_compare_fn compare, size_t max, struct tally_entry ***ret)
{
    struct tally_entry **list = arena_array(t->arena, t->n ? t->n : 1, sizeof(struct tally_entry *));
    size_t n = 0;
    for (size_t i = 0; list && i < t->cap; i++) {
        if (t->slots[i])
            list[n++] = t->slots[i];
    }
    if (n > 0)
        qsort_r(list, n, sizeof(struct tally_entry *), compare_via, &compare);
    *ret = list;
    return MIN(n, max);
}
