/* SPDX-License-Identifier: Apache-2.0 */
#include "rules/activation.h"

#include <errno.h>

#define SLOTS          256 /* a power of two */
#define LOWERED_MAX    256 /* bytes of a value that can be one of those that sources name */
#define KEY_ABSENT     0
#define KEY_OTHER      1
#define KEY_FIRST      2
#define KEY_VALUES_MAX 60000

struct when_field {
    name_id field;
    bool is_declared; /* its values are compared in any case */
    struct text_table values;
    uint32_t n_values;
};

struct activations {
    const struct ruleset *rs;
    struct arena *arena;
    struct when_field fields[WHEN_FIELDS_MAX];
    size_t n_fields;
    bool is_uncached;                   /* too many fields */
    struct activation slots[SLOTS + 1]; /* the last one for what is not kept */
};

/* ---- the fields that decide ---- */

static struct when_field *field_of(struct activations *a, const struct source *s, name_id field)
{
    for (size_t i = 0; i < a->n_fields; i++)
        if (a->fields[i].field == field)
            return &a->fields[i];
    if (a->n_fields == WHEN_FIELDS_MAX)
        return NULL;
    a->fields[a->n_fields] = (struct when_field){.field = field, .is_declared = s->is_declared};
    return &a->fields[a->n_fields++];
}

/* The value as it is looked up: the text itself, or in small letters (ASCII) in `scratch`. */
static bool key_text(const struct when_field *f, struct str text, char scratch[static LOWERED_MAX], struct str *ret)
{
    *ret = text;
    if (!f->is_declared)
        return true;
    if (text.len > LOWERED_MAX)
        return false;
    for (size_t i = 0; i < text.len; i++)
        scratch[i] = (char)(text.p[i] >= 'A' && text.p[i] <= 'Z' ? text.p[i] + ('a' - 'A') : text.p[i]);
    *ret = (struct str){scratch, text.len};
    return true;
}

static int add_values(struct activations *a, struct when_field *f, const struct when *w)
{
    char scratch[LOWERED_MAX];
    for (size_t i = 0; i < w->n; i++) {
        struct str text, kept;
        if (!key_text(f, w->values[i], scratch, &text) || text_table_find(&f->values, text) != TEXT_UNKNOWN)
            continue;
        if (arena_str(a->arena, text, &kept) < 0)
            return -ENOMEM;
        text_table_put(&f->values, kept, KEY_FIRST + f->n_values++);
    }
    return 0;
}

static int find_fields(struct activations *a)
{
    size_t n_values = 0;
    for (size_t s = 0; s < a->rs->n_sources; s++) {
        const struct source *source = a->rs->sources[s];
        for (size_t w = 0; w < source->n_when; w++) {
            n_values += source->when[w].n;
            a->is_uncached |= !field_of(a, source, source->when[w].field);
        }
    }
    a->is_uncached |= n_values > KEY_VALUES_MAX;
    for (size_t i = 0; i < a->n_fields; i++)
        if (text_table_init(&a->fields[i].values, n_values, a->arena) < 0)
            return -ENOMEM;
    for (size_t s = 0; s < a->rs->n_sources && !a->is_uncached; s++) {
        const struct source *source = a->rs->sources[s];
        for (size_t w = 0; w < source->n_when; w++)
            if (add_values(a, field_of(a, source, source->when[w].field), &source->when[w]) < 0)
                return -ENOMEM;
    }
    return 0;
}

/* ---- life ---- */

static int slot_init(struct activations *a, struct activation *slot)
{
    slot->sources = arena_array(a->arena, a->rs->n_sources + 1, sizeof(*slot->sources));
    slot->is_active = arena_array(a->arena, a->rs->n_sources + 1, 1);
    slot->needs = arena_array(a->arena, a->rs->index->n_fields + 1, 1);
    return slot->sources && slot->is_active && slot->needs ? 0 : -ENOMEM;
}

struct activations *activations_new(const struct ruleset *rs)
{
    struct activations *a = calloc(1, sizeof(*a));
    if (!a)
        return NULL;
    a->rs = rs;
    a->arena = arena_new(256 * MIB);
    if (!a->arena || find_fields(a) < 0)
        return activations_free(a);
    if (slot_init(a, &a->slots[SLOTS]) < 0)
        return activations_free(a);
    return a;
}

struct activations *activations_free(struct activations *a)
{
    if (a)
        arena_free(a->arena);
    free(a);
    return NULL;
}

/* ---- one event ---- */

static bool when_holds(const struct source *s, const struct when *w, const struct event_values *ev)
{
    int first = ev->first(ev->ctx, w->field);
    bool holds = s->is_declared && first < 0;
    for (int i = first; i >= 0 && !holds; i = ev->next(ev->ctx, i)) {
        struct str text = ev->text(ev->ctx, i);
        for (size_t k = 0; k < w->n && !holds; k++)
            holds = s->is_declared ? text.len == 0 || str_eq_nocase(text, w->values[k]) : str_eq(text, w->values[k]);
    }
    return holds;
}

static bool source_holds(const struct source *s, const struct event_values *ev)
{
    for (size_t w = 0; w < s->n_when; w++)
        if (!when_holds(s, &s->when[w], ev))
            return false;
    return true;
}

static void work_out(struct activations *a, struct activation *slot, const struct event_values *ev)
{
    const struct index *ix = a->rs->index;
    slot->n_sources = 0;
    slot->classes = 0;
    for (size_t s = 0; s < a->rs->n_sources; s++) {
        slot->is_active[s] = source_holds(a->rs->sources[s], ev);
        if (!slot->is_active[s])
            continue;
        slot->sources[slot->n_sources++] = (uint32_t)s;
        slot->classes |= UINT64_C(1) << s % 64;
    }
    for (uint32_t f = 0; f < ix->n_fields; f++) {
        slot->needs[f] = 0;
        for (size_t i = 0; i < slot->n_sources; i++)
            slot->needs[f] |= ix->fields[f].sources[slot->sources[i]];
    }
    slot->is_known = true;
}

/* The key of the event. Returns false where a field has several values: too rare to keep. */
static bool make_key(const struct activations *a, const struct event_values *ev, uint16_t key[static WHEN_FIELDS_MAX])
{
    char scratch[LOWERED_MAX];
    memset(key, 0, WHEN_FIELDS_MAX * sizeof(*key));
    for (size_t i = 0; i < a->n_fields; i++) {
        int value = ev->first(ev->ctx, a->fields[i].field);
        if (value < 0)
            continue;
        if (ev->next(ev->ctx, value) >= 0)
            return false;
        struct str text = ev->text(ev->ctx, value);
        uint32_t found = TEXT_UNKNOWN;
        if (a->fields[i].is_declared && text.len == 0) /* null or empty: the event does not say */
            continue;
        if (key_text(&a->fields[i], text, scratch, &text))
            found = text_table_find(&a->fields[i].values, text);
        key[i] = found == TEXT_UNKNOWN ? KEY_OTHER : (uint16_t)found;
    }
    return true;
}

const struct activation *activations_get(struct activations *a, const struct event_values *ev)
{
    uint16_t key[WHEN_FIELDS_MAX];
    struct activation *slot = &a->slots[SLOTS];
    if (!a->is_uncached && make_key(a, ev, key)) {
        uint32_t hash = text_hash((struct str){(const char *)key, a->n_fields * sizeof(*key)});
        slot = &a->slots[hash % SLOTS];
        if (slot->is_known && memcmp(slot->key, key, a->n_fields * sizeof(*key)) == 0)
            return slot;
        if (!slot->needs && slot_init(a, slot) < 0)
            slot = &a->slots[SLOTS];
        memcpy(slot->key, key, sizeof(key));
    }
    work_out(a, slot, ev);
    return slot;
}
