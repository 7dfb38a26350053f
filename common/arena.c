/* SPDX-License-Identifier: Apache-2.0
 *
 * Blocks that double in size, bumped through. The one hard thing is the limit: it counts the memory taken from the
 * system, not what was handed out, so `max_bytes` is what a hostile batch or rule file can cost. Under AddressSanitizer
 * memory not handed out is poisoned, so running over an allocation's end or using it after a reset is seen.
 */
#include "common/arena.h"

#include <errno.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(ARENA_ASAN)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n)   ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

#define ALIGNMENT       16
#define BLOCK_FIRST     (4 * KIB)
#define BLOCK_DOUBLE_TO (1 * MIB)

struct block {
    struct block *next; /* older */
    size_t cap, used;
    _Alignas(ALIGNMENT) uint8_t data[];
};

struct arena {
    struct block *head; /* the one being filled */
    size_t max, taken, used;
};

struct arena *arena_new(size_t max_bytes)
{
    struct arena *a = calloc(1, sizeof(*a));
    if (a)
        a->max = max_bytes > SIZE_MAX / 2 ? SIZE_MAX / 2 : (max_bytes + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    return a;
}

static void free_block(struct block *b)
{
    ASAN_UNPOISON_MEMORY_REGION(b->data, b->cap);
    free(b);
}

struct arena *arena_free(struct arena *a)
{
    if (!a)
        return NULL;
    for (struct block *b = a->head, *next; b; b = next) {
        next = b->next;
        free_block(b);
    }
    free(a);
    return NULL;
}

void arena_reset(struct arena *a)
{
    struct block *keep = a->head;
    for (struct block *b = a->head; b; b = b->next) {
        if (b->cap > keep->cap)
            keep = b;
    }
    for (struct block *b = a->head, *next; b; b = next) {
        next = b->next;
        if (b != keep)
            free_block(b);
    }
    a->head = keep;
    a->used = 0;
    a->taken = 0;
    if (keep) {
        keep->next = NULL;
        keep->used = 0;
        a->taken = keep->cap;
        ASAN_POISON_MEMORY_REGION(keep->data, keep->cap);
    }
}

static struct block *add_block(struct arena *a, size_t need)
{
    size_t left = a->max - a->taken;
    if (need > left)
        return NULL;
    size_t cap = a->head ? MIN(a->head->cap * 2, BLOCK_DOUBLE_TO) : BLOCK_FIRST;
    cap = MIN(MAX(cap, need), left);
    struct block *b = malloc(sizeof(*b) + cap);
    if (!b)
        return NULL;
    *b = (struct block){.next = a->head, .cap = cap};
    ASAN_POISON_MEMORY_REGION(b->data, cap);
    a->head = b;
    a->taken += cap;
    return b;
}

void *arena_alloc(struct arena *a, size_t n)
{
    if (n > a->max)
        return NULL;
    size_t size = (MAX(n, (size_t)1) + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    struct block *b = a->head;
    if (!b || size > b->cap - b->used) {
        b = add_block(a, size);
        if (!b)
            return NULL;
    }
    void *p = b->data + b->used;
    b->used += size;
    a->used += size;
    ASAN_UNPOISON_MEMORY_REGION(p, n);
    memset(p, 0, n);
    return p;
}

void *arena_array(struct arena *a, size_t n, size_t size)
{
    size_t bytes;
    return __builtin_mul_overflow(n, size, &bytes) ? NULL : arena_alloc(a, bytes);
}

char *arena_strndup(struct arena *a, const char *p, size_t len)
{
    char *copy = len < SIZE_MAX ? arena_alloc(a, len + 1) : NULL;
    if (copy && len > 0)
        memcpy(copy, p, len);
    return copy;
}

int arena_str(struct arena *a, struct str s, struct str *ret)
{
    char *copy = arena_strndup(a, s.p, s.len);
    if (!copy)
        return -ENOMEM;
    *ret = (struct str){copy, s.len};
    return 0;
}

size_t arena_used(const struct arena *a)
{
    return a->used;
}
