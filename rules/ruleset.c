/* SPDX-License-Identifier: Apache-2.0
 *
 * The rule set: documents in, one plan a rule and log source out. Adding a document checks everything that does not depend on
 * other documents, so that its error comes with its line; compiling does the rest: placeholders, filters, references,
 * log sources. A document that fails is taken out as a whole and never disturbs another.
 */
#include "rules/plan.h"

#include <errno.h>

#define ARENA_MAX (1024 * MIB)

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

static struct rule_entry *key_find(const struct ruleset *rs, struct str key)
{
    return rs->cap_keys ? key_slot(rs, key)->entry : NULL;
}

struct rule_entry *ruleset_entry(const struct ruleset *rs, struct str id_or_name)
{
    struct rule_entry *e = key_find(rs, id_or_name);
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
    for (size_t i = 0; i < rs->n_sources; i++)
        free(rs->sources[i]->plans);
    for (struct placeholder *p = rs->placeholders; p; p = p->next)
        free(p->values);
    free(rs->kept);
    free(rs->sources);
    free(rs->entries);
    free(rs->keys);
    arena_free(rs->scratch);
    arena_free(rs->arena);
    free(rs);
    return NULL;
}

int ruleset_placeholder(struct ruleset *rs, const char *name, struct str value)
{
    struct placeholder *p = rs->placeholders;
    while (p && !str_eq(p->name, str_of(name)))
        p = p->next;
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
    return err;
}

/* ---- what people see of a rule ---- */

struct adding { /* one document */
    struct ruleset *rs;
    const struct yaml *doc;
    struct rule_entry *entry;
    struct warnings warnings;
    bool keeps_yaml;
    struct diag *diag;
};

/* Optional text; *ret stays NULL where there is none. */
static int get_text(struct adding *a, const char *key, const char **ret)
{
    const struct yaml *y = yaml_get(a->doc, key);
    if (yaml_is_null(y))
        return 0;
    if (y->kind != YAML_SCALAR)
        return plan_error(a->diag, y, "'%s' must be text", key);
    *ret = arena_strndup(a->rs->arena, y->text.p, y->text.len);
    return *ret ? 0 : -ENOMEM;
}

/* Optional list of texts, also written as one text. */
static int get_texts(struct adding *a, const char *key, const char *const **ret, size_t *ret_n)
{
    const struct yaml *y = yaml_get(a->doc, key);
    if (yaml_is_null(y))
        return 0;
    size_t n = y->kind == YAML_LIST ? y->n : 1;
    const char **texts = arena_array(a->rs->arena, n + 1, sizeof(*texts));
    if (!texts)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        const struct yaml *item = y->kind == YAML_LIST ? y->items[i] : y;
        if (item->kind != YAML_SCALAR)
            return plan_error(a->diag, item, "'%s' must be a list of texts", key);
        texts[i] = arena_strndup(a->rs->arena, item->text.p, item->text.len);
        if (!texts[i])
            return -ENOMEM;
    }
    *ret = texts;
    *ret_n = n;
    return 0;
}

/* Index of the text under key in `values`, or -1 where the key is absent. -EINVAL: some other text. */
static int get_choice(struct adding *a, const char *key, const char *const *values, size_t n, int *ret)
{
    const struct yaml *y = yaml_get(a->doc, key);
    *ret = -1;
    if (yaml_is_null(y))
        return 0;
    for (size_t i = 0; y->kind == YAML_SCALAR && i < n; i++)
        if (str_eq(y->text, str_of(values[i])))
            *ret = (int)i;
    return *ret >= 0 ? 0 : plan_error(a->diag, y, "'%s' is none of those that Sigma knows", key);
}

static bool is_uuid(struct str s)
{
    if (s.len != 36)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        bool is_hyphen = i == 8 || i == 13 || i == 18 || i == 23;
        char c = s.p[i];
        bool is_hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
        if (is_hyphen ? c != '-' : !is_hex)
            return false;
    }
    return true;
}

/* ^[a-z0-9_-]+\.[a-z0-9._-]+$ */
static bool is_tag(const char *z)
{
    size_t space = strspn(z, "abcdefghijklmnopqrstuvwxyz0123456789_-");
    const char *rest = z + space + 1;
    return space && z[space] == '.' && *rest && rest[strspn(rest, "abcdefghijklmnopqrstuvwxyz0123456789._-")] == 0;
}

static void check_style(struct adding *a)
{
    const struct rule *r = &a->entry->pub;
    const struct yaml *id = yaml_get(a->doc, "id"), *tags = yaml_get(a->doc, "tags");
    if (id && !is_uuid(id->text))
        plan_warn(&a->warnings, id, "id is not a UUID");
    for (size_t i = 0; i < r->n_tags; i++)
        if (!is_tag(r->tags[i]))
            plan_warn(&a->warnings, tags, "tag '%.80s' is not of the form namespace.name", r->tags[i]);
}

static int get_level_and_status(struct adding *a)
{
    static const char *const levels[] = {"informational", "low", "medium", "high", "critical"};
    static const char *const states[] = {"stable", "test", "experimental", "deprecated", "unsupported"};
    int level, state;
    int err = get_choice(a, "level", levels, ARRAY_LEN(levels), &level);
    err = err < 0 ? err : get_choice(a, "status", states, ARRAY_LEN(states), &state);
    if (err < 0)
        return err;
    a->entry->pub.level = level < 0 ? LEVEL_MEDIUM : (enum rule_level)level;
    if (state == 4)
        return plan_error(a->diag, yaml_get(a->doc, "status"),
                          "status 'unsupported': the rule cannot be used as it is");
    return 0;
}

static int get_tests(struct adding *a)
{
    const struct yaml *y = yaml_get(a->doc, "tests");
    if (yaml_is_null(y))
        return 0;
    if (y->kind != YAML_LIST)
        return plan_error(a->diag, y, "'tests' must be a list");
    struct rule_test *tests = arena_array(a->rs->arena, y->n + 1, sizeof(*tests));
    if (!tests)
        return -ENOMEM;
    for (size_t i = 0; i < y->n; i++) {
        struct str name = yaml_str(y->items[i], "name");
        if (y->items[i]->kind != YAML_MAP || name.len == 0)
            return plan_error(a->diag, y->items[i], "a test is a map with a name");
        tests[i] = (struct rule_test){name.p, y->items[i], y->items[i]->line};
    }
    a->entry->pub.tests = tests;
    a->entry->pub.n_tests = y->n;
    a->keeps_yaml |= y->n > 0;
    return 0;
}

static int get_metadata(struct adding *a)
{
    struct rule *r = &a->entry->pub;
    const struct {
        const char *key;
        const char **to;
    } texts[] = {
        {"id", &r->id},
        {"name", &r->name},
        {"title", &r->title},
        {"title_vi", &r->title_vi},
        {"description", &r->description},
        {"description_vi", &r->description_vi},
        {"author", &r->author},
        {"status", &r->status},
        {"date", &r->date},
    };
    int err = 0;
    for (size_t i = 0; err == 0 && i < ARRAY_LEN(texts); i++)
        err = get_text(a, texts[i].key, texts[i].to);
    err = err < 0 ? err : get_texts(a, "tags", &r->tags, &r->n_tags);
    err = err < 0 ? err : get_texts(a, "references", &r->references, &r->n_references);
    err = err < 0 ? err : get_texts(a, "falsepositives", &r->falsepositives, &r->n_falsepositives);
    err = err < 0 ? err : get_level_and_status(a);
    err = err < 0 ? err : get_tests(a);
    if (err < 0)
        return err;
    if (!r->title || !*r->title)
        return plan_error(a->diag, a->doc, "a rule needs a title");
    if (!r->id || !*r->id)
        r->id = r->name && *r->name ? r->name : r->title;
    check_style(a);
    return 0;
}

/* ---- documents ---- */

static int get_logsource(struct adding *a)
{
    const struct yaml *y = yaml_get(a->doc, "logsource");
    struct rule *r = &a->entry->pub;
    if (!y || y->kind != YAML_MAP)
        return plan_error(a->diag, y ? y : a->doc, "a detection needs a logsource");
    struct adding part = *a;
    part.doc = y;
    int err = get_text(&part, "product", &r->product);
    err = err < 0 ? err : get_text(&part, "category", &r->category);
    err = err < 0 ? err : get_text(&part, "service", &r->service);
    if (err == 0 && !r->product && !r->category && !r->service)
        return plan_error(a->diag, y, "logsource names neither product nor category nor service");
    return err;
}

static int get_taxonomy(struct adding *a)
{
    static const char *const known[] = {"sigma", "ecs"};
    int which;
    int err = get_choice(a, "taxonomy", known, ARRAY_LEN(known), &which);
    a->entry->is_ecs = which == 1;
    return err < 0
               ? plan_error(a->diag, yaml_get(a->doc, "taxonomy"), "only the taxonomies 'sigma' and 'ecs' are known")
               : 0;
}

static int add_detection(struct adding *a, const struct yaml *detection)
{
    a->entry->pub.kind = RULE_DETECTION;
    int err = get_taxonomy(a);
    err = err < 0 ? err : get_logsource(a);
    if (err < 0)
        return err;
    if (detection->kind != YAML_MAP)
        return plan_error(a->diag, detection, "detection must be a map");
    return detection_parse(a->rs, a->entry, detection, NULL, &a->warnings, &a->keeps_yaml, a->diag);
}

static int add_filter(struct adding *a, const struct yaml *filter)
{
    a->entry->kind = ENTRY_FILTER;
    int err = get_logsource(a);
    if (err < 0)
        return err;
    const struct yaml *rules = yaml_get(filter, "rules");
    if (filter->kind != YAML_MAP || !rules)
        return plan_error(a->diag, filter, "a filter needs rules, a selection and a condition");
    size_t n = rules->kind == YAML_LIST ? rules->n : 1;
    a->entry->targets = arena_array(a->rs->arena, n + 1, sizeof(*a->entry->targets));
    if (!a->entry->targets)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        const struct yaml *item = rules->kind == YAML_LIST ? rules->items[i] : rules;
        if (item->kind != YAML_SCALAR || item->text.len == 0)
            return plan_error(a->diag, item, "'rules' of a filter lists ids or names");
        if (arena_str(a->rs->arena, item->text, &a->entry->targets[a->entry->n_targets++]) < 0)
            return -ENOMEM;
    }
    return detection_parse(a->rs, a->entry, filter, "rules", &a->warnings, &a->keeps_yaml, a->diag);
}

static int add_correlation(struct adding *a)
{
    a->entry->kind = ENTRY_CORRELATION;
    a->entry->pub.kind = RULE_CORRELATION;
    if (a->rs->n_correlations_added == CORRELATIONS_MAX)
        return plan_error(a->diag, a->doc, "more than %d correlations", CORRELATIONS_MAX);
    int err = correlation_parse(a->rs, a->entry, a->doc, a->diag);
    a->rs->n_correlations_added += err == 0;
    return err;
}

static int check_unique(struct adding *a, const char *what, const char *key)
{
    const struct rule_entry *other = key ? key_find(a->rs, str_of(key)) : NULL;
    if (!other)
        return 0;
    const struct yaml *y = yaml_get(a->doc, what);
    return plan_error(a->diag, y ? y : a->doc, "%s '%.100s' is already used in %.100s, line %d", what, key,
                      other->pub.file, other->line);
}

static int parse_document(struct adding *a)
{
    if (a->doc->kind != YAML_MAP)
        return plan_error(a->diag, a->doc, "a rule must be a map");
    const struct yaml *action = yaml_get(a->doc, "action");
    if (action)
        return plan_error(a->diag, action, "'action' belongs to Sigma 1: write each document out");
    int err = get_metadata(a);
    if (err < 0)
        return err;
    const struct yaml *detection = yaml_get(a->doc, "detection"), *filter = yaml_get(a->doc, "filter");
    const struct yaml *correlation = yaml_get(a->doc, "correlation");
    if (!!detection + !!filter + !!correlation != 1)
        return plan_error(a->diag, a->doc, "a document has exactly one of detection, correlation and filter");
    err = check_unique(a, "id", a->entry->pub.id);
    err = err < 0 ? err : check_unique(a, "name", a->entry->pub.name);
    if (err < 0)
        return err;
    return detection ? add_detection(a, detection) : filter ? add_filter(a, filter) : add_correlation(a);
}

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
    struct adding a = {rs, doc, e, {diags, file}, false, diag};
    e->kind = ENTRY_DETECTION;
    e->line = e->pub.line = doc->line;
    e->col = doc->col;
    e->pub.file = file;
    int err = parse_document(&a);
    if (err < 0)
        return err;
    *ret_keeps_yaml |= a.keeps_yaml;
    return keep_entry(rs, e);
}

/* The scratch arena holds YAML that a rule still needs: put it by and take a new one. */
static int keep_scratch(struct ruleset *rs)
{
    struct arena *fresh = arena_new(ARENA_MAX);
    if (!fresh || plan_grow(&rs->kept, &rs->cap_kept, rs->n_kept, sizeof(struct arena *)) < 0) {
        arena_free(fresh);
        return -ENOMEM;
    }
    rs->kept[rs->n_kept++] = rs->scratch;
    rs->scratch = fresh;
    return 0;
}

int ruleset_add(struct ruleset *rs, struct str text, const char *file, struct diags *diags)
{
    struct diag diag = {0};
    struct yaml **docs;
    size_t n;
    int left_out = 0;
    bool keeps_yaml = false;
    if (rs->is_compiled)
        return -EINVAL;
    arena_reset(rs->scratch);
    file = arena_strndup(rs->arena, file, strlen(file));
    if (!file)
        return -ENOMEM;
    int err = yaml_parse(text, rs->scratch, &docs, &n, &diag);
    if (err < 0) {
        diags_add(diags, file, false, &diag);
        return err == -ENOMEM ? err : 1;
    }
    for (size_t i = 0; i < n; i++) {
        if (!docs[i])
            continue;
        err = add_document(rs, docs[i], file, diags, &keeps_yaml, &diag);
        if (err == -ENOMEM)
            return err;
        if (err < 0) {
            diags_add(diags, file, false, &diag);
            left_out++;
        }
    }
    err = keeps_yaml ? keep_scratch(rs) : 0;
    return err < 0 ? err : left_out;
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
        struct diag diag = {0};
        int err = detection_expand(rs, rs->entries[i], &diag);
        if (err == -ENOMEM)
            return err;
        if (err < 0) {
            ruleset_leave_out(rs->entries[i], diags, &diag);
            left_out++;
        }
    }
    return left_out;
}

static bool attribute_fits(const char *of_filter, const char *of_rule)
{
    return !of_filter || (of_rule && strcmp(of_filter, of_rule) == 0);
}

static int apply_filter(struct ruleset *rs, struct rule_entry *f, struct diags *diags)
{
    struct warnings w = {diags, f->pub.file};
    const struct yaml at = {.line = f->line, .col = f->col};
    for (size_t i = 0; i < f->n_targets; i++) {
        struct rule_entry *e = ruleset_entry(rs, f->targets[i]);
        if (!e || e->kind != ENTRY_DETECTION) {
            plan_warn(&w, &at, "filter: no detection '" STR_FMT "' is loaded", (int)MIN(f->targets[i].len, (size_t)100),
                      f->targets[i].p);
            continue;
        }
        if (!attribute_fits(f->pub.product, e->pub.product) || !attribute_fits(f->pub.category, e->pub.category) ||
            !attribute_fits(f->pub.service, e->pub.service)) {
            plan_warn(&w, &at, "filter: rule '%.100s' has another logsource, the filter does not apply to it",
                      e->pub.id);
            continue;
        }
        const struct expr *both[] = {e->expr, f->expr};
        e->expr = expr_new(rs->arena, EXPR_AND, both, 2);
        if (!e->expr)
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
            for (size_t g = 0; g < e->edges[k].to->n_group; g++)
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
        *s = (struct source){.when = m->when, .n_when = m->n_when};
        s->map = make_map(rs, m, last);
        if (!s->map)
            return -ENOMEM;
        m->source = rs->sources[rs->n_sources++] = s;
    }
    *ret = m->source;
    return 0;
}

static bool attribute_is(struct str of_mapping, const char *of_rule)
{
    return str_eq(of_mapping, str_of(of_rule));
}

static int plan_rule(struct ruleset *rs, struct rule_entry *e, const name_id *identity, name_id last,
                     struct diags *diags)
{
    bool is_mapped = false;
    for (struct mapping *m = rs->mappings; m; m = m->next) {
        if (!attribute_is(m->product, e->pub.product) || !attribute_is(m->category, e->pub.category) ||
            !attribute_is(m->service, e->pub.service))
            continue;
        struct source *s;
        int err = source_of(rs, m, last, &s);
        if (err < 0 || plan_grow(&s->plans, &s->cap_plans, s->n_plans, sizeof(*s->plans)) < 0)
            return -ENOMEM;
        s->plans[s->n_plans++] = (struct plan){e, e->is_ecs ? identity : s->map};
        is_mapped = true;
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

int64_t ruleset_horizon_ns(const struct ruleset *rs)
{
    return rs->horizon_ns;
}
