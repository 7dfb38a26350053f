/* SPDX-License-Identifier: Apache-2.0
 *
 * A decoder's YAML to its struct. Everything wrong is said with line and column, and an unknown key is wrong: a
 * misspelt `when` would otherwise select every line. Constants of decoder and pattern are merged here, so that
 * decoding copies one array. Called by decoders_add.
 */
#include "rules/decoder_impl.h"

#include <errno.h>

struct loader {
    struct decoders *ds;
    struct decoder *d;
    struct diag *diag;
};

static int fail(struct loader *l, const struct yaml *at, const char *what)
{
    return diag_at(l->diag, -EINVAL, at->line, at->col, "%s", what);
}

static int no_memory(struct loader *l)
{
    return diag_set(l->diag, -ENOMEM, "out of memory");
}

static int check_keys(struct loader *l, const struct yaml *map, const char *const *known, const char *where)
{
    if (map->kind != YAML_MAP)
        return diag_at(l->diag, -EINVAL, map->line, map->col, "%s must be a map", where);
    for (size_t i = 0; i < map->n; i++) {
        bool is_known = false;
        for (size_t k = 0; known[k]; k++)
            is_known |= str_eq(map->keys[i]->text, str_of(known[k]));
        if (!is_known)
            return diag_at(l->diag, -EINVAL, map->keys[i]->line, map->keys[i]->col, "unknown key '" STR_FMT "' in %s",
                           STR_ARG(map->keys[i]->text), where);
    }
    return 0;
}

/* The scalar itself, or the list's scalars. */
static int load_strs(struct loader *l, const struct yaml *y, struct strs *ret)
{
    if (!y)
        return 0;
    size_t n = y->kind == YAML_LIST ? y->n : 1;
    if (y->kind == YAML_MAP || n == 0 || n > DECODER_LIST_MAX)
        return fail(l, y, "a text or a list of up to 256 texts is wanted");
    ret->v = arena_array(l->ds->arena, n, sizeof(*ret->v));
    if (!ret->v)
        return no_memory(l);
    for (size_t i = 0; i < n; i++) {
        const struct yaml *item = y->kind == YAML_LIST ? y->items[i] : y;
        if (item->kind != YAML_SCALAR || item->text.len == 0)
            return fail(l, item, "an empty text or no text");
        if (arena_str(l->ds->arena, item->text, &ret->v[i]) < 0)
            return no_memory(l);
    }
    ret->n = n;
    return 0;
}

static int load_when(struct loader *l, const struct yaml *when)
{
    static const char *const known[] = {"program", "type", "path", "starts", "contains", "bare", NULL};
    if (!when)
        return 0;
    struct decoder *d = l->d;
    int r = check_keys(l, when, known, "when");
    if (r == 0)
        r = load_strs(l, yaml_get(when, "program"), &d->programs);
    if (r == 0)
        r = load_strs(l, yaml_get(when, "type"), &d->types);
    if (r == 0)
        r = load_strs(l, yaml_get(when, "path"), &d->paths);
    if (r == 0)
        r = load_strs(l, yaml_get(when, "starts"), &d->starts);
    if (r == 0)
        r = load_strs(l, yaml_get(when, "contains"), &d->contains);
    if (r == 0 && yaml_get(when, "bare"))
        r = yaml_bool(yaml_get(when, "bare"), &d->is_bare, l->diag);
    return r;
}

static int load_strip(struct loader *l, const struct yaml *strip)
{
    static const char *const known[] = {"start", "end", NULL};
    if (!strip)
        return 0;
    int r = check_keys(l, strip, known, "strip");
    if (r == 0)
        r = load_strs(l, yaml_get(strip, "start"), &l->d->strip_start);
    return r == 0 ? load_strs(l, yaml_get(strip, "end"), &l->d->strip_end) : r;
}

/* ---- constants ---- */

struct consts {
    struct field v[EVENT_FIELDS_MAX];
    size_t n;
};

static void remove_key(struct consts *cs, name_id key)
{
    size_t out = 0;
    for (size_t i = 0; i < cs->n; i++) {
        if (cs->v[i].key != key)
            cs->v[out++] = cs->v[i];
    }
    cs->n = out;
}

static int add_const(struct loader *l, struct consts *cs, name_id key, const struct yaml *y)
{
    struct field f = {.key = key, .type = VALUE_STR};
    if (y->kind != YAML_SCALAR)
        return fail(l, y, "a value must be a text, a number or true or false");
    if (cs->n == ARRAY_LEN(cs->v))
        return fail(l, y, "too many values");
    if (!y->is_quoted && parse_i64(y->text, INT64_MIN, INT64_MAX, &f.i) == 0) {
        f.type = VALUE_INT;
    } else if (!y->is_quoted && (str_eq(y->text, STR("true")) || str_eq(y->text, STR("false")))) {
        f.type = VALUE_BOOL;
        f.b = y->text.p[0] == 't';
    } else if (arena_str(l->ds->arena, y->text, &f.s) < 0) {
        return no_memory(l);
    }
    cs->v[cs->n++] = f;
    return 0;
}

/* A key set again replaces what was set before; ~ takes it away. */
static int merge_set(struct loader *l, const struct yaml *set, struct consts *cs)
{
    if (!set)
        return 0;
    if (set->kind != YAML_MAP || set->n > DECODER_LIST_MAX)
        return fail(l, set, "set must be a map of field to value");
    for (size_t i = 0; i < set->n; i++) {
        name_id key;
        const struct yaml *y = set->items[i];
        int r = names_intern(l->ds->names, set->keys[i]->text, &key);
        if (r == -ENOMEM)
            return no_memory(l);
        if (r < 0)
            return fail(l, set->keys[i], "not a field name, or too many names");
        remove_key(cs, key);
        if (yaml_is_null(y))
            continue;
        size_t n = y->kind == YAML_LIST ? y->n : 1;
        for (size_t k = 0; r == 0 && k < n; k++)
            r = add_const(l, cs, key, y->kind == YAML_LIST ? y->items[k] : y);
        if (r < 0)
            return r;
    }
    return 0;
}

static int keep_consts(struct loader *l, const struct consts *cs, struct field **ret, size_t *ret_n)
{
    *ret = arena_array(l->ds->arena, MAX(cs->n, (size_t)1), sizeof(**ret));
    if (!*ret)
        return no_memory(l);
    memcpy(*ret, cs->v, cs->n * sizeof(**ret));
    *ret_n = cs->n;
    return 0;
}

/* ---- patterns ---- */

static int load_pattern(struct loader *l, const struct yaml *y, const struct consts *base)
{
    static const char *const known[] = {"match", "set", NULL};
    int r = check_keys(l, y, known, "a pattern");
    if (r < 0)
        return r;
    const struct yaml *match = yaml_get(y, "match");
    if (!match || match->kind != YAML_SCALAR)
        return fail(l, y, "a pattern needs match");
    struct pattern *p = &l->d->patterns[l->d->n_patterns];
    r = pattern_compile(p, match->text, l->ds->names, l->ds->arena, l->diag);
    if (r < 0) {
        if (l->diag) {
            l->diag->line = match->line;
            l->diag->col = match->col;
        }
        return r;
    }
    l->d->n_patterns++; /* from here on decoder_clear frees it */
    p->line = match->line;
    struct consts cs = *base;
    r = merge_set(l, yaml_get(y, "set"), &cs);
    return r < 0 ? r : keep_consts(l, &cs, &p->consts, &p->n_consts);
}

/* For each first byte the patterns that can match a message beginning with it; offsets[256] holds the total. */
static int index_patterns(struct loader *l)
{
    struct decoder *d = l->d;
    d->by_byte = arena_array(l->ds->arena, d->n_patterns * 256 + 1, sizeof(*d->by_byte));
    if (!d->by_byte)
        return no_memory(l);
    uint32_t n = 0;
    for (unsigned byte = 0; byte < 256; byte++) {
        d->offsets[byte] = n;
        for (size_t i = 0; i < d->n_patterns; i++) {
            struct str prefix = d->patterns[i].prefix;
            if (prefix.len == 0 || (uint8_t)prefix.p[0] == byte)
                d->by_byte[n++] = (uint16_t)i;
        }
    }
    d->offsets[256] = n;
    return 0;
}

static int load_patterns(struct loader *l, const struct yaml *list, const struct consts *base)
{
    if (!list)
        return 0;
    if (list->kind != YAML_LIST || list->n > DECODER_PATTERNS_MAX)
        return fail(l, list, "patterns must be a list of at most 1024");
    l->d->patterns = arena_array(l->ds->arena, MAX(list->n, (size_t)1), sizeof(*l->d->patterns));
    if (!l->d->patterns)
        return no_memory(l);
    for (size_t i = 0; i < list->n; i++) {
        int r = load_pattern(l, list->items[i], base);
        if (r < 0)
            return r;
    }
    return index_patterns(l);
}

static int load_kv(struct loader *l, const struct yaml *kv)
{
    struct decoder *d = l->d;
    if (!kv)
        return 0;
    if (kv->kind != YAML_MAP || kv->n > DECODER_KV_MAX)
        return fail(l, kv, "kv must be a map of at most 64 keys to field:type");
    d->kv = arena_array(l->ds->arena, MAX(kv->n, (size_t)1), sizeof(*d->kv));
    if (!d->kv)
        return no_memory(l);
    for (size_t i = 0; i < kv->n; i++) {
        struct kv_row *row = &d->kv[i];
        if (kv->keys[i]->text.len == 0 || kv->items[i]->kind != YAML_SCALAR)
            return fail(l, kv->keys[i], "a kv row is KEY: field:type");
        int r = capture_parse(kv->items[i]->text, l->ds->names, &row->capture, l->diag);
        if (r < 0) {
            if (l->diag) {
                l->diag->line = kv->items[i]->line;
                l->diag->col = kv->items[i]->col;
            }
            return r;
        }
        if (arena_str(l->ds->arena, kv->keys[i]->text, &row->key) < 0)
            return no_memory(l);
        size_t slot = kv_hash(row->key);
        while (d->kv_slots[slot])
            slot = (slot + 1) & (KV_SLOTS - 1);
        d->kv_slots[slot] = (uint8_t)(i + 1);
    }
    d->n_kv = kv->n;
    return 0;
}

/* ---- samples ---- */

static const char *text_of(struct loader *l, const struct yaml *map, const char *key)
{
    struct str s = yaml_str(map, key);
    return arena_strndup(l->ds->arena, s.p, s.len);
}

static int sample_encoding(struct loader *l, const struct yaml *y, uint8_t *ret)
{
    struct str s = y ? y->text : STR("text");
    if (str_eq(s, STR("text")))
        *ret = BATCH_TEXT;
    else if (str_eq(s, STR("journal")))
        *ret = BATCH_JOURNAL;
    else if (str_eq(s, STR("ecs")))
        *ret = BATCH_ECS;
    else
        return fail(l, y, "encoding is text, journal or ecs");
    return 0;
}

static int load_sample(struct loader *l, const struct yaml *y, struct decoder_sample *s)
{
    static const char *const known[] = {"line", "type", "path", "encoding", "expect", NULL};
    int r = check_keys(l, y, known, "a sample");
    if (r < 0)
        return r;
    const struct yaml *line = yaml_get(y, "line"), *expect = yaml_get(y, "expect");
    if (!line || line->kind != YAML_SCALAR || !expect || expect->kind != YAML_MAP)
        return fail(l, y, "a sample needs line and a map expect");
    r = sample_encoding(l, yaml_get(y, "encoding"), &s->encoding);
    if (r < 0)
        return r;
    for (size_t i = 0; i < expect->n; i++) {
        name_id ignored;
        if (names_intern(l->ds->names, expect->keys[i]->text, &ignored) < 0)
            return fail(l, expect->keys[i], "not a field name, or too many names");
    }
    s->decoder = l->d->name;
    s->file = l->d->file;
    s->line = line->line;
    s->type = text_of(l, y, "type");
    s->path = text_of(l, y, "path");
    s->expect = expect;
    if (!s->type || !s->path || arena_str(l->ds->arena, line->text, &s->raw) < 0)
        return no_memory(l);
    return 0;
}

static int load_samples(struct loader *l, const struct yaml *list)
{
    struct decoders *ds = l->ds;
    if (!list)
        return 0;
    if (list->kind != YAML_LIST)
        return fail(l, list, "samples must be a list");
    for (size_t i = 0; i < list->n; i++) {
        if (ds->n_samples == ds->cap_samples) {
            size_t cap = ds->cap_samples ? ds->cap_samples * 2 : 64;
            if (cap > DECODER_SAMPLES_MAX)
                return fail(l, list->items[i], "more than 4096 samples");
            struct decoder_sample *grown = arena_array(ds->arena, cap, sizeof(*grown));
            if (!grown)
                return no_memory(l);
            if (ds->n_samples)
                memcpy(grown, ds->samples, ds->n_samples * sizeof(*grown));
            ds->samples = grown;
            ds->cap_samples = cap;
        }
        int r = load_sample(l, list->items[i], &ds->samples[ds->n_samples]);
        if (r < 0)
            return r;
        ds->n_samples++;
    }
    return 0;
}

/* ---- the whole ---- */

static int load_name(struct loader *l, const struct yaml *doc, const char *file)
{
    const struct yaml *name = yaml_get(doc, "name");
    if (!name || name->kind != YAML_SCALAR || name->text.len == 0)
        return fail(l, doc, "a decoder needs a name");
    for (size_t i = 0; i < l->ds->n; i++) {
        if (str_eq(name->text, str_of(l->ds->v[i]->name)))
            return diag_at(l->diag, -EINVAL, name->line, name->col, "decoder '%s' exists already, in %s",
                           l->ds->v[i]->name, l->ds->v[i]->file);
    }
    l->d->name = arena_strndup(l->ds->arena, name->text.p, name->text.len);
    l->d->file = arena_strndup(l->ds->arena, file, strlen(file));
    l->d->line = doc->line;
    return l->d->name && l->d->file ? 0 : no_memory(l);
}

static int load_parser(struct loader *l, const struct yaml *y)
{
    if (!y || str_eq(y->text, STR("patterns")))
        return 0;
    if (!str_eq(y->text, STR("access")))
        return fail(l, y, "parser is patterns or access");
    l->d->parser = PARSER_ACCESS;
    return 0;
}

static int check_sense(struct loader *l, const struct yaml *doc)
{
    const struct decoder *d = l->d;
    bool has_kv = false;
    for (size_t i = 0; i < d->n_patterns; i++) {
        for (size_t k = 0; k < d->patterns[i].n_captures; k++)
            has_kv |= d->patterns[i].captures[k].type == CAPTURE_KV;
    }
    if (has_kv != (d->n_kv > 0))
        return fail(l, doc, "a kv map and a placeholder of type kv need each other");
    if (d->parser == PARSER_ACCESS && d->n_patterns)
        return fail(l, doc, "parser access takes no patterns");
    if (d->parser == PARSER_PATTERNS && !d->n_patterns && !d->programs.n)
        return fail(l, doc, "a decoder without patterns must name programs");
    return 0;
}

int decoder_load(struct decoders *ds, const struct yaml *doc, const char *file, struct diag *diag)
{
    static const char *const known[] = {"name", "doc",      "when", "parser",  "strip",
                                        "set",  "patterns", "kv",   "samples", NULL};
    struct loader l = {.ds = ds, .diag = diag};
    l.d = arena_alloc(ds->arena, sizeof(*l.d));
    if (!l.d)
        return no_memory(&l);
    if (ds->n == DECODERS_MAX)
        return diag_set(diag, -EINVAL, "more than %d decoders", DECODERS_MAX);
    size_t n_samples = ds->n_samples;
    int r = check_keys(&l, doc, known, "a decoder");
    if (r == 0)
        r = load_name(&l, doc, file);
    if (r == 0)
        r = load_when(&l, yaml_get(doc, "when"));
    if (r == 0)
        r = load_parser(&l, yaml_get(doc, "parser"));
    if (r == 0)
        r = load_strip(&l, yaml_get(doc, "strip"));
    struct consts cs = {.v = {{.key = F_EVENT_KIND, .type = VALUE_STR, .s = STR("event")}}, .n = 1};
    if (r == 0)
        r = merge_set(&l, yaml_get(doc, "set"), &cs);
    if (r == 0)
        r = keep_consts(&l, &cs, &l.d->consts, &l.d->n_consts);
    if (r == 0)
        r = load_patterns(&l, yaml_get(doc, "patterns"), &cs);
    if (r == 0)
        r = load_kv(&l, yaml_get(doc, "kv"));
    if (r == 0)
        r = check_sense(&l, doc);
    if (r == 0)
        r = load_samples(&l, yaml_get(doc, "samples"));
    if (r < 0) {
        decoder_clear(l.d);
        ds->n_samples = n_samples;
        return r;
    }
    ds->v[ds->n++] = l.d;
    return 0;
}

void decoder_clear(struct decoder *d)
{
    for (size_t i = 0; i < d->n_patterns; i++)
        pattern_clear(&d->patterns[i]);
    d->n_patterns = 0;
}
