/* SPDX-License-Identifier: Apache-2.0
 *
 * One document of a rule file: what people see of the rule, what kind of document it is, and the part that is its own (detection.c,
 * correlation_rule.c). Checks everything that does not depend on rules to come, so that an error has its line.
 */
#include "rules/lint.h"

#include <errno.h>
#include <stdio.h>

/* ---- what people see of a rule ---- */

struct adding { /* one document */
    struct ruleset *rs;
    const struct yaml *doc;
    struct rule_entry *entry;
    const struct warnings *warnings;
    bool keeps_yaml;
    struct diag *diag;
};

static int note(struct adding *a, int err)
{
    return plan_note(a->warnings, err, a->diag);
}

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
        if (item->kind != YAML_SCALAR) {
            note(a, plan_error(a->diag, item, "'%s' must be a list of texts", key));
            continue;
        }
        texts[*ret_n] = arena_strndup(a->rs->arena, item->text.p, item->text.len);
        if (!texts[(*ret_n)++])
            return -ENOMEM;
    }
    *ret = texts;
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
        plan_warn(a->warnings, id, "id is not a UUID");
    for (size_t i = 0; i < r->n_tags; i++)
        if (!is_tag(r->tags[i]))
            plan_warn(a->warnings, tags, "tag '%.80s' is not of the form namespace.name", r->tags[i]);
}

static int get_level_and_status(struct adding *a)
{
    static const char *const levels[] = {"informational", "low", "medium", "high", "critical"};
    static const char *const states[] = {"stable", "test", "experimental", "deprecated", "unsupported"};
    int level, state;
    note(a, get_choice(a, "level", levels, ARRAY_LEN(levels), &level));
    note(a, get_choice(a, "status", states, ARRAY_LEN(states), &state));
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
            note(a, plan_error(a->diag, y->items[i], "a test is a map with a name"));
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
        err = note(a, get_text(a, texts[i].key, texts[i].to));
    err = err < 0 ? err : note(a, get_texts(a, "tags", &r->tags, &r->n_tags));
    err = err < 0 ? err : note(a, get_texts(a, "references", &r->references, &r->n_references));
    err = err < 0 ? err : note(a, get_texts(a, "falsepositives", &r->falsepositives, &r->n_falsepositives));
    err = err < 0 ? err : note(a, get_level_and_status(a));
    err = err < 0 ? err : note(a, get_tests(a));
    if (err < 0)
        return err;
    if (!r->title || !*r->title) {
        const struct yaml *y = yaml_get(a->doc, "title");
        if (!y || y->kind == YAML_SCALAR)
            note(a, plan_error(a->diag, y ? y : a->doc, "a rule needs a title"));
        r->title = "";
    }
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
    for (size_t i = 0; a->rs->is_linting && i < y->n; i++)
        lint_logsource_key(a->warnings, y->keys[i]);
    struct adding part = *a;
    part.doc = y;
    size_t errors = *a->warnings->n_errors;
    int err = note(a, get_text(&part, "product", &r->product));
    err = err < 0 ? err : note(a, get_text(&part, "category", &r->category));
    err = err < 0 ? err : note(a, get_text(&part, "service", &r->service));
    if (err == 0 && errors == *a->warnings->n_errors && !r->product && !r->category && !r->service)
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
    int err = note(a, get_taxonomy(a));
    err = err < 0 ? err : note(a, get_logsource(a));
    if (err < 0)
        return err;
    if (detection->kind != YAML_MAP)
        return plan_error(a->diag, detection, "detection must be a map");
    return detection_parse(a->rs, a->entry, detection, NULL, a->warnings, &a->keeps_yaml, a->diag);
}

static int add_filter(struct adding *a, const struct yaml *filter)
{
    a->entry->kind = ENTRY_FILTER;
    int err = note(a, get_logsource(a));
    if (err < 0)
        return err;
    const struct yaml *rules = yaml_get(filter, "rules");
    if (filter->kind != YAML_MAP || !rules)
        return plan_error(a->diag, filter, "a filter needs rules, a selection and a condition");
    if (rules->kind == YAML_MAP || yaml_is_null(rules))
        return plan_error(a->diag, rules, "'rules' of a filter lists ids or names, or is any");
    size_t n = rules->kind == YAML_LIST ? rules->n : 1;
    a->entry->is_for_all = n == 0 || (rules->kind == YAML_SCALAR && str_eq_nocase(rules->text, STR("any")));
    n = a->entry->is_for_all ? 0 : n;
    a->entry->targets = arena_array(a->rs->arena, n + 1, sizeof(*a->entry->targets));
    if (!a->entry->targets)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        const struct yaml *item = rules->kind == YAML_LIST ? rules->items[i] : rules;
        if (item->kind != YAML_SCALAR || item->text.len == 0)
            note(a, plan_error(a->diag, item, "'rules' of a filter lists ids or names, or is any"));
        else if (arena_str(a->rs->arena, item->text, &a->entry->targets[a->entry->n_targets++]) < 0)
            return -ENOMEM;
    }
    return detection_parse(a->rs, a->entry, filter, "rules", a->warnings, &a->keeps_yaml, a->diag);
}

static int add_correlation(struct adding *a)
{
    a->entry->kind = ENTRY_CORRELATION;
    a->entry->pub.kind = RULE_CORRELATION;
    if (a->rs->n_correlations_added == CORRELATIONS_MAX)
        return plan_error(a->diag, a->doc, "more than %d correlations", CORRELATIONS_MAX);
    int err = correlation_parse(a->rs, a->entry, a->doc, a->warnings, a->diag);
    a->rs->n_correlations_added += err == 0;
    return err;
}

static int check_unique(struct adding *a, const char *what, const char *key)
{
    const struct rule_entry *other = key ? ruleset_find_key(a->rs, str_of(key)) : NULL;
    if (!other)
        return 0;
    const struct yaml *y = yaml_get(a->doc, what);
    return plan_error(a->diag, y ? y : a->doc, "%s '%.100s' is already used in %.100s, line %d", what, key,
                      other->pub.file, other->line);
}

/* Titles may repeat, and many rules have nothing else: then the place tells them apart. */
static int distinct_id(struct adding *a)
{
    struct rule *r = &a->entry->pub;
    if (r->id != r->title || !ruleset_find_key(a->rs, str_of(r->id)))
        return 0;
    char id[512];
    int n = snprintf(id, sizeof(id), "%.250s (%.200s, line %d)", r->title, r->file, r->line);
    r->id = n < 0 ? NULL : arena_strndup(a->rs->arena, id, strlen(id));
    return r->id ? 0 : -ENOMEM;
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
    err = distinct_id(a);
    if (err < 0)
        return err;
    const struct rule *r = &a->entry->pub;
    note(a, check_unique(a, r->id == r->name ? "name" : "id", r->id));
    if (!r->name || strcmp(r->name, r->id) != 0)
        note(a, check_unique(a, "name", r->name));
    return detection ? add_detection(a, detection) : filter ? add_filter(a, filter) : add_correlation(a);
}

/* What a rule does, apart from what people are told of it. Its id names its alerts. */
static uint64_t digest_document(const struct yaml *doc)
{
    static const char *const keys[] = {"id",        "name",   "title",       "logsource", "taxonomy",
                                       "detection", "filter", "correlation", "generate"};
    uint64_t digest = 0;
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        digest = digest_yaml(digest, yaml_get(doc, keys[i]));
    return digest;
}

int rule_document_parse(struct ruleset *rs, struct rule_entry *entry, const struct yaml *doc,
                        const struct warnings *warnings, bool *ret_keeps_yaml, struct diag *diag)
{
    struct adding a = {rs, doc, entry, warnings, false, diag};
    entry->kind = ENTRY_DETECTION;
    entry->line = entry->pub.line = doc->line;
    entry->col = doc->col;
    entry->pub.file = warnings->file;
    int err = parse_document(&a);
    *ret_keeps_yaml = a.keeps_yaml;
    if (err == 0)
        entry->digest = digest_document(doc);
    if (err == 0 && entry->kind == ENTRY_FILTER)
        rs->digest += entry->digest;
    return err < 0 ? err : *warnings->n_errors ? -EINVAL : 0;
}
