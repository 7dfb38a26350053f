/* SPDX-License-Identifier: Apache-2.0
 *
 * Names to small integers and back: an open-addressing table of ids twice as large as it can ever get full, so that it
 * never grows and a look-up ends at the first empty slot. Rules and decoders intern while they load; the event path
 * only looks up.
 */
#include "common/names.h"

#include "common/arena.h"

#include <errno.h>

#define SLOTS          (2 * NAMES_MAX)
#define NAME_MAX_BYTES 256
#define TEXT_MAX       (NAMES_MAX * (size_t)(NAME_MAX_BYTES + 16) + 2 * MIB)

_Static_assert(F_ECS_COUNT < NAMES_MAX, "ecs.def fits");
_Static_assert((SLOTS & (SLOTS - 1)) == 0, "slots are masked");

struct names {
    struct arena *arena;
    size_t n; /* ids 1 to n - 1 are in use; 0 is F_NONE */
    name_id slots[SLOTS];
    struct str texts[NAMES_MAX];
};

static size_t slot_of(struct str s)
{
    uint32_t h = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < s.len; i++)
        h = (h ^ (uint8_t)s.p[i]) * 16777619u;
    return (h ^ h >> 16) & (SLOTS - 1);
}

/* The slot that holds the name, or the empty one where it belongs. */
static size_t find_slot(const struct names *n, struct str name)
{
    size_t i = slot_of(name);
    while (n->slots[i] != F_NONE && !str_eq(n->texts[n->slots[i]], name))
        i = (i + 1) & (SLOTS - 1);
    return i;
}

int names_intern(struct names *n, struct str name, name_id *ret)
{
    if (name.len == 0 || name.len > NAME_MAX_BYTES)
        return -EINVAL;
    size_t slot = find_slot(n, name);
    if (n->slots[slot] == F_NONE) {
        if (n->n >= NAMES_MAX)
            return -ENOSPC;
        int r = arena_str(n->arena, name, &n->texts[n->n]);
        if (r < 0)
            return r;
        n->slots[slot] = (name_id)n->n++;
    }
    *ret = n->slots[slot];
    return 0;
}

struct names *names_new(void)
{
    static const char *const ecs[] = {
#define ECS(id, name) [F_##id] = name,
#include "common/ecs.def"
#undef ECS
    };
    struct names *n = calloc(1, sizeof(*n));
    if (!n)
        return NULL;
    n->n = 1;
    n->arena = arena_new(TEXT_MAX);
    if (!n->arena)
        return names_free(n);
    for (size_t i = 1; i < ARRAY_LEN(ecs); i++) {
        name_id id;
        if (names_intern(n, str_of(ecs[i]), &id) < 0 || id != i) /* a name twice in ecs.def shows here */
            return names_free(n);
    }
    return n;
}

struct names *names_free(struct names *n)
{
    if (n) {
        arena_free(n->arena);
        free(n);
    }
    return NULL;
}

name_id names_find(const struct names *n, struct str name)
{
    return n->slots[find_slot(n, name)];
}

name_id names_next(const struct names *n)
{
    return (name_id)n->n;
}

struct str names_text(const struct names *n, name_id id)
{
    return id > F_NONE && id < n->n ? n->texts[id] : (struct str){"", 0};
}
