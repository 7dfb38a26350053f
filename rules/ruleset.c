/* SPDX-License-Identifier: Apache-2.0
 *
 * The rule set: documents in, one plan a rule and log source out. Adding a document checks everything that does not depend on
 * other documents, so that its error comes with its line; compiling does the rest: placeholders, filters, references,
 * log sources. A document that fails is taken out as a whole and never disturbs another.
 */
#include "rules/index.h"
#include "rules/lint.h"

#include <errno.h>

#define ARENA_MAX (1024 * MIB)
#define PARTS_MAX 10000 /* of a file that is not YAML as a whole */

/* ---- small tables ---- */

int plan_grow(void *items, size_t *cap, size_t n, size_t size)
{
    if (n < *cap)
        return 0;
    void *old;
    memcpy(&old, items, sizeof(old));
    size_t want = MAX(2 * *cap, (size_t)16);
    void *grown = reallocarray(old, want, size);
    if (!grown)
        return -ENOMEM;
    memcpy(items, &grown, sizeof(grown));
    *cap = want;
    return 0;
}

static struct key_slot *key_slot(const struct ruleset *rs, struct str key)
{
    uint32_t h = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < key.len; i++)
        h = (h ^ (uint8_t)key.p[i]) * 16777619u;
    size_t i = h & (rs->cap_keys - 1);
    while (rs->keys[i].entry && !str_eq(rs->keys[i].key, key))
        i = (i + 1) & (rs->cap_keys - 1);
    return &rs->keys[i];
}

static int key_add(struct ruleset *rs, struct str key, struct rule_entry *entry)
{
    if (2 * (rs->n_keys + 1) > rs->cap_keys) {
        struct key_slot *old = rs->keys;
        size_t old_cap = rs->cap_keys, cap = MAX(2 * old_cap, (size_t)256);
        struct key_slot *grown = calloc(cap, sizeof(*grown));
        if (!grown)
            return -ENOMEM;
        rs->keys = grown;
        rs->cap_keys = cap;
        for (size_t i = 0; i < old_cap; i++)
            if (old[i].entry)
                *key_slot(rs, old[i].key) = old[i];
        free(old);
    }
    *key_slot(rs, key) = (struct key_slot){key, entry};
    rs->n_keys++;
    return 0;
}

struct rule_entry *ruleset_find_key(const struct ruleset *rs, struct str key)
{
    return rs->cap_keys ? key_slot(rs, key)->entry : NULL;
}

struct rule_entry *ruleset_entry(const struct ruleset *rs, struct str id_or_name)
{
    struct rule_entry *e = ruleset_find_key(rs, id_or_name);
    return e && !e->is_left_out && e->kind != ENTRY_FILTER ? e : NULL;
}

/* ---- life ---- */

struct ruleset *ruleset_new(struct names *names)
{
    struct ruleset *rs = calloc(1, sizeof(*rs));
    if (!rs)
        return NULL;
    rs->names = names;
    rs->mappings_end = &rs->mappings;
    rs->arena = arena_new(ARENA_MAX);
    rs->scratch = arena_new(ARENA_MAX);
    if (!rs->arena || !rs->scratch)
        return ruleset_free(rs);
    return rs;
}

struct ruleset *ruleset_free(struct ruleset *rs)
{
    if (!rs)
        return NULL;
    for (struct regex *r = rs->regexes; r; r = r->next)
        pcre2_code_free(r->code);
    for (size_t i = 0; i < rs->n_kept; i++)
        arena_free(rs->kept[i]);
    for (struct placeholder *p = rs->placeholders; p; p = p->next)
        free(p->values);
    free(rs->kept);
    free(rs->sources);
    free(rs->plans);
    free(rs->entries);
    free(rs->keys);
    arena_free(rs->scratch);
    arena_free(rs->arena);
    free(rs);
    return NULL;
}

static struct placeholder *find_placeholder(const struct ruleset *rs, const char *name)
{
    struct placeholder *p = rs->placeholders;
    while (p && !str_eq(p->name, str_of(name)))
        p = p->next;
    return p;
}

bool ruleset_has_placeholder(const struct ruleset *rs, const char *name)
{
    return find_placeholder(rs, name) != NULL;
}

int ruleset_placeholder(struct ruleset *rs, const char *name, struct str value)
{
    struct placeholder *p = find_placeholder(rs, name);
    if (!*name || rs->is_compiled)
        return -EINVAL;
    if (!p) {
        p = arena_alloc(rs->arena, sizeof(*p));
        if (!p || arena_str(rs->arena, str_of(name), &p->name) < 0)
            return -ENOMEM;
        p->next = rs->placeholders;
        rs->placeholders = p;
    }
    if (plan_grow(&p->values, &p->cap, p->n, sizeof(*p->values)) < 0)
        return -ENOMEM;
    int err = arena_str(rs->arena, value, &p->values[p->n]);
    p->n += err == 0;
    rs->digest += digest_bytes(digest_bytes(1, p->name), value);
    return err;
}

int ruleset_without_mapping(struct ruleset *rs)
{
    static const struct str names[] = {{"product", 7}, {"category", 8}, {"service", 7}};
    if (rs->is_compiled)
        return -EINVAL;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (names_intern(rs->names, names[i], &rs->declared[i]) < 0)
            return -ENOMEM;
    rs->is_without_mapping = true;
    rs->digest++;
    return 0;
}

int ruleset_lint(struct ruleset *rs)
{
    if (rs->is_compiled)
        return -EINVAL;
    rs->is_linting = true;
    rs->lint_known = names_next(rs->names);
    return 0;
}

/* ---- adding ---- */

static int keep_entry(struct ruleset *rs, struct rule_entry *e)
{
    if (plan_grow(&rs->entries, &rs->cap_entries, rs->n_entries, sizeof(struct rule_entry *)) < 0 ||
        key_add(rs, str_of(e->pub.id), e) < 0)
        return -ENOMEM;
    if (e->pub.name && strcmp(e->pub.name, e->pub.id) != 0 && key_add(rs, str_of(e->pub.name), e) < 0)
        return -ENOMEM;
    rs->entries[rs->n_entries++] = e;
    return 0;
}

static int add_document(struct ruleset *rs, const struct yaml *doc, const char *file, struct diags *diags,
                        bool *ret_keeps_yaml, struct diag *diag)
{
    struct rule_entry *e = arena_alloc(rs->arena, sizeof(*e));
    if (!e)
        return -ENOMEM;
    if (rs->n_entries == RULESET_RULES_MAX)
        return plan_error(diag, doc, "more than %d rules", RULESET_RULES_MAX);
    size_t n_errors = 0;
    const struct warnings warnings = {diags, file, &n_errors};
    bool keeps_yaml = false;
    int err = rule_document_parse(rs, e, doc, &warnings, &keeps_yaml, diag);
    if (err < 0)
        return err;
    *ret_keeps_yaml |= keeps_yaml;
    return keep_entry(rs, e);
}

int ruleset_add_documents(struct ruleset *rs, struct yaml *const *docs, size_t n, struct arena **arena,
                          const char *file, struct diags *diags)
{
    struct diag diag = {0};
    int left_out = 0;
    bool keeps_yaml = false;
    if (rs->is_compiled)
        return -EINVAL;
    file = arena_strndup(rs->arena, file, strlen(file));
    if (!file || plan_grow(&rs->kept, &rs->cap_kept, rs->n_kept, sizeof(struct arena *)) < 0)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        if (!docs[i])
            continue;
        diag.msg[0] = 0;
        int err = add_document(rs, docs[i], file, diags, &keeps_yaml, &diag);
        if (err == -ENOMEM)
            return err;
        if (err < 0 && diag.msg[0])
            diags_add(diags, file, false, &diag);
        left_out += err < 0;
    }
    if (keeps_yaml) {
        rs->kept[rs->n_kept++] = *arena;
        *arena = NULL;
    }
    return left_out;
}

/* Text of one or more documents: what ruleset_add_documents returns, or, nothing added and not told, what yaml_parse does. */
static int add_text(struct ruleset *rs, struct str text, int first_line, const char *file, struct diags *diags,
                    struct diag *diag)
{
    struct yaml **docs;
    size_t n;
    arena_reset(rs->scratch);
    int err = yaml_parse_at(text, first_line, rs->scratch, &docs, &n, diag);
    if (err < 0)
        return err;
    int left_out = ruleset_add_documents(rs, docs, n, &rs->scratch, file, diags);
    if (!rs->scratch)
        rs->scratch = arena_new(ARENA_MAX);
    return rs->scratch ? left_out : -ENOMEM;
}

/* Up to the next line that begins with "---": in YAML that is a new document wherever it stands. */
static size_t part_len(struct str text)
{
    for (size_t i = 1; i + 3 < text.len; i++) {
        const char *mark = memmem(text.p + i, text.len - i, "\n---", 4);
        if (!mark)
            break;
        i = (size_t)(mark - text.p) + 1;
        if (i + 3 == text.len || strchr(" \t\r\n", text.p[i + 3]))
            return i;
    }
    return text.len;
}

/* Some document is not YAML: the others of the file shall not suffer, and their errors be told, too. */
static int add_in_parts(struct ruleset *rs, struct str text, const char *file, struct diags *diags)
{
    int left_out = 0, line = 1;
    for (size_t parts = 1; text.len; parts++) {
        struct str part = {text.p, parts < PARTS_MAX ? part_len(text) : text.len};
        struct diag diag = {0};
        int r = add_text(rs, part, line, file, diags, &diag);
        if (r == -ENOMEM)
            return r;
        if (r < 0)
            diags_add(diags, file, false, &diag);
        left_out += r < 0 ? 1 : r;
        for (size_t i = 0; i < part.len; i++)
            line += part.p[i] == '\n';
        text = (struct str){text.p + part.len, text.len - part.len};
    }
    return left_out;
}

int ruleset_add(struct ruleset *rs, struct str text, const char *file, struct diags *diags)
{
    struct diag diag = {0};
    if (rs->is_compiled)
        return -EINVAL;
    int r = add_text(rs, text, 1, file, diags, &diag);
    if (r >= 0 || r == -ENOMEM)
        return r;
    if (r == -EINVAL && part_len(text) < text.len)
        return add_in_parts(rs, text, file, diags);
    diags_add(diags, file, false, &diag);
    return 1;
}

/* ---- compiling ---- */

void ruleset_leave_out(struct rule_entry *entry, struct diags *diags, const struct diag *why)
{
    entry->is_left_out = true;
    diags_add(diags, entry->pub.file, false, why);
}

static int expand_placeholders(struct ruleset *rs, struct diags *diags)
{
    int left_out = 0;
    for (size_t i = 0; i < rs->n_entries; i++) {
        int err = detection_expand(rs, rs->entries[i], diags);
        if (err == -ENOMEM)
            return err;
        rs->entries[i]->is_left_out |= err < 0;
        left_out += err < 0;
    }
    return left_out;
}

static bool attribute_fits(const char *of_filter, const char *of_rule)
{
    return !of_filter || (of_rule && strcmp(of_filter, of_rule) == 0);
}

/* Whether the filter's log source is the rule's, or a wider one. */
static bool filter_fits(const struct rule *f, const struct rule *r)
{
    return attribute_fits(f->product, r->product) && attribute_fits(f->category, r->category) &&
           attribute_fits(f->service, r->service);
}

static int filter_rule(struct ruleset *rs, const struct rule_entry *f, struct rule_entry *e)
{
    const struct expr *both[] = {e->expr, f->expr};
    e->expr = expr_new(rs->arena, EXPR_AND, both, 2);
    return e->expr ? 0 : -ENOMEM;
}

static int apply_filter(struct ruleset *rs, struct rule_entry *f, struct diags *diags)
{
    struct warnings w = {diags, f->pub.file, NULL};
    const struct yaml at = {.line = f->line, .col = f->col};
    for (size_t i = 0; f->is_for_all && i < rs->n_entries; i++) {
        struct rule_entry *e = rs->entries[i];
        if (e->kind == ENTRY_DETECTION && !e->is_left_out && filter_fits(&f->pub, &e->pub) && filter_rule(rs, f, e) < 0)
            return -ENOMEM;
    }
    for (size_t i = 0; i < f->n_targets; i++) {
        struct rule_entry *e = ruleset_entry(rs, f->targets[i]);
        if (!e || e->kind != ENTRY_DETECTION)
            plan_warn(&w, &at, "filter: no detection '" STR_FMT "' is loaded", (int)MIN(f->targets[i].len, (size_t)100),
                      f->targets[i].p);
        else if (!filter_fits(&f->pub, &e->pub))
            plan_warn(&w, &at, "filter: rule '%.100s' has another logsource, the filter does not apply to it",
                      e->pub.id);
        else if (filter_rule(rs, f, e) < 0)
            return -ENOMEM;
    }
    return 0;
}

/* ---- log sources ---- */

static name_id map_field(const struct ruleset *rs, const struct mapping *m, name_id from)
{
    struct str name = names_text(rs->names, from);
    for (size_t i = 0; i < m->n_fields; i++)
        if (str_eq(m->fields[i].from, name))
            return names_find(rs->names, m->fields[i].to);
    return from;
}

/* Highest field id that any rule names. */
static name_id last_field(const struct ruleset *rs)
{
    name_id last = 0;
    for (size_t i = 0; i < rs->n_entries; i++) {
        const struct rule_entry *e = rs->entries[i];
        for (const struct leaf *l = e->leaves; l; l = l->next) {
            last = MAX(last, l->field);
            for (size_t k = 0; k < l->n; k++)
                if (l->needles[k].op == NEEDLE_FIELD)
                    last = MAX(last, l->needles[k].other);
        }
        for (size_t k = 0; k < e->n_edges; k++)
            for (size_t g = 0; g < e->edges[k].to->n_group + e->edges[k].to->n_values; g++)
                last = MAX(last, e->edges[k].fields[g]);
    }
    return last;
}

static const name_id *make_map(struct ruleset *rs, const struct mapping *m, name_id last)
{
    name_id *map = arena_array(rs->arena, (size_t)last + 1, sizeof(*map));
    for (size_t i = 1; map && i <= last; i++)
        map[i] = m ? map_field(rs, m, (name_id)i) : (name_id)i;
    return map;
}

static int source_of(struct ruleset *rs, struct mapping *m, name_id last, struct source **ret)
{
    if (!m->source) {
        struct source *s = arena_alloc(rs->arena, sizeof(*s));
        if (!s || plan_grow(&rs->sources, &rs->cap_sources, rs->n_sources, sizeof(struct source *)) < 0)
            return -ENOMEM;
        *s = (struct source){.place = (uint32_t)rs->n_sources, .when = m->when, .n_when = m->n_when};
        s->map = make_map(rs, m, last);
        if (!s->map)
            return -ENOMEM;
        m->source = rs->sources[rs->n_sources++] = s;
    }
    *ret = m->source;
    return 0;
}

static int plan_add(struct ruleset *rs, const struct source *s, const struct rule_entry *e, const name_id *map)
{
    if (plan_grow(&rs->plans, &rs->cap_plans, rs->n_plans, sizeof(*rs->plans)) < 0)
        return -ENOMEM;
    rs->plans[rs->n_plans++] = (struct plan){.entry = e, .map = map, .source = s->place};
    return 0;
}

static bool attribute_is(struct str of_mapping, const char *of_rule)
{
    return str_eq(of_mapping, str_of(of_rule));
}

/* ---- log sources that events declare themselves ---- */

static bool source_declares(const struct ruleset *rs, const struct source *s, const struct rule *r)
{
    const char *const values[] = {r->product, r->category, r->service};
    size_t w = 0;
    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        bool has = w < s->n_when && s->when[w].field == rs->declared[i];
        if (has != !!values[i] || (has && !str_eq(s->when[w].values[0], str_of(values[i]))))
            return false;
        w += has;
    }
    return true;
}

static int declared_source(struct ruleset *rs, const struct rule *r, const name_id *identity, struct source **ret)
{
    for (size_t i = 0; i < rs->n_sources; i++) {
        *ret = rs->sources[i];
        if (source_declares(rs, *ret, r))
            return 0;
    }
    const char *const values[] = {r->product, r->category, r->service};
    struct source *s = arena_alloc(rs->arena, sizeof(*s));
    struct when *when = arena_array(rs->arena, ARRAY_LEN(values), sizeof(*when));
    struct str *texts = arena_array(rs->arena, ARRAY_LEN(values), sizeof(*texts));
    if (!s || !when || !texts || plan_grow(&rs->sources, &rs->cap_sources, rs->n_sources, sizeof(struct source *)) < 0)
        return -ENOMEM;
    *s = (struct source){.place = (uint32_t)rs->n_sources, .is_declared = true, .when = when, .map = identity};
    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        if (!values[i])
            continue;
        texts[i] = str_of(values[i]);
        when[s->n_when++] = (struct when){rs->declared[i], &texts[i], 1};
    }
    *ret = rs->sources[rs->n_sources++] = s;
    return 0;
}

static int plan_rule(struct ruleset *rs, struct rule_entry *e, const name_id *identity, name_id last,
                     struct diags *diags)
{
    bool is_mapped = false;
    if (rs->is_without_mapping) {
        struct source *s;
        int err = declared_source(rs, &e->pub, identity, &s);
        return err < 0 ? err : plan_add(rs, s, e, s->map);
    }
    for (struct mapping *m = rs->mappings; m; m = m->next) {
        if (!attribute_is(m->product, e->pub.product) || !attribute_is(m->category, e->pub.category) ||
            !attribute_is(m->service, e->pub.service))
            continue;
        struct source *s;
        int err = source_of(rs, m, last, &s);
        if (err < 0 || plan_add(rs, s, e, e->is_ecs ? identity : s->map) < 0)
            return -ENOMEM;
        is_mapped = true;
        if (rs->is_linting)
            lint_fields(rs, e, m, diags);
    }
    e->pub.is_unmapped = !is_mapped;
    if (!is_mapped) {
        struct diag d;
        diag_at(&d, 0, e->line, e->col,
                "no mapping for log source product=%.40s category=%.40s service=%.40s: the rule "
                "never matches",
                e->pub.product ? e->pub.product : "-", e->pub.category ? e->pub.category : "-",
                e->pub.service ? e->pub.service : "-");
        diags_add(diags, e->pub.file, true, &d);
    }
    return 0;
}

static int plan_rules(struct ruleset *rs, struct diags *diags)
{
    name_id last = last_field(rs);
    const name_id *identity = make_map(rs, NULL, last);
    rs->loaded = arena_array(rs->arena, rs->n_entries + 1, sizeof(*rs->loaded));
    if (!identity || !rs->loaded)
        return -ENOMEM;
    for (size_t i = 0; i < rs->n_entries; i++) {
        struct rule_entry *e = rs->entries[i];
        if (e->is_left_out || e->kind == ENTRY_FILTER)
            continue;
        e->loaded = rs->n_loaded;
        rs->loaded[rs->n_loaded++] = e;
        if (e->kind == ENTRY_DETECTION && plan_rule(rs, e, identity, last, diags) < 0)
            return -ENOMEM;
    }
    return 0;
}

int ruleset_compile(struct ruleset *rs, struct diags *diags)
{
    if (rs->is_compiled)
        return -EINVAL;
    rs->is_compiled = true;
    int unexpanded = expand_placeholders(rs, diags);
    if (unexpanded < 0)
        return unexpanded;
    for (size_t i = 0; i < rs->n_entries; i++)
        if (rs->entries[i]->kind == ENTRY_FILTER && !rs->entries[i]->is_left_out &&
            apply_filter(rs, rs->entries[i], diags) < 0)
            return -ENOMEM;
    int unlinked = correlations_link(rs, diags);
    if (unlinked < 0)
        return unlinked;
    int err = plan_rules(rs, diags);
    err = err < 0 ? err : index_build(rs);
    return err < 0 ? err : unexpanded + unlinked;
}

/* ---- looking at it ---- */

size_t ruleset_count(const struct ruleset *rs)
{
    return rs->n_loaded;
}

const struct rule *ruleset_rule(const struct ruleset *rs, size_t i)
{
    return i < rs->n_loaded ? &rs->loaded[i]->pub : NULL;
}

const struct rule *ruleset_find(const struct ruleset *rs, const char *id_or_name)
{
    const struct rule_entry *e = ruleset_entry(rs, str_of(id_or_name));
    return e ? &e->pub : NULL;
}

bool ruleset_has_keywords(const struct ruleset *rs)
{
    return rs->index && rs->index->has_keywords;
}

int64_t ruleset_horizon_ns(const struct ruleset *rs)
{
    return rs->horizon_ns;
}
