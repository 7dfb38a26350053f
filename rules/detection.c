/* SPDX-License-Identifier: Apache-2.0
 *
 * `detection` of a rule, or the body of a filter: selections become trees of AND and OR over leaves, the condition joins
 * them. Values that wait for placeholders stay YAML until detection_expand, since placeholders may come later than rules.
 */
#include "rules/lint.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#define SELECTIONS_MAX   256
#define PLACEHOLDERS_MAX 4 /* in one value */
#define EXPANDED_MAX     4096

struct pending {
    struct chain chain;
    const struct yaml **nodes;
    size_t n;
};

struct builder {
    struct ruleset *rs;
    struct rule_entry *entry;
    struct str selection;
    const struct warnings *warnings;
    bool keeps_yaml;
    struct diag *diag;
};

int plan_error(struct diag *diag, const struct yaml *at, const char *fmt, ...)
{
    char msg[sizeof(diag->msg)];
    va_list args;
    va_start(args, fmt);
    vsnprintf(msg, sizeof(msg), fmt, args);
    va_end(args);
    return diag_at(diag, -EINVAL, at ? at->line : 0, at ? at->col : 0, "%s", msg);
}

int plan_error_in(struct diag *diag, const struct yaml *at, size_t offset, const char *fmt, ...)
{
    char msg[sizeof(diag->msg)];
    int line, col;
    va_list args;
    va_start(args, fmt);
    vsnprintf(msg, sizeof(msg), fmt, args);
    va_end(args);
    yaml_place(at, offset, &line, &col);
    return diag_at(diag, -EINVAL, line, col, "%s", msg);
}

int plan_note(const struct warnings *w, int err, struct diag *diag)
{
    if (err != -EINVAL)
        return err;
    diags_add(w->diags, w->file, false, diag);
    diag->msg[0] = 0;
    ++*w->n_errors;
    return 0;
}

void plan_warn(const struct warnings *w, const struct yaml *at, const char *fmt, ...)
{
    struct diag d = {.line = at->line, .col = at->col};
    va_list args;
    va_start(args, fmt);
    vsnprintf(d.msg, sizeof(d.msg), fmt, args);
    va_end(args);
    diags_add(w->diags, w->file, true, &d);
}

/* Stands for what could not be parsed, in a document that will be left out. */
static const struct expr unusable = {.kind = EXPR_OR};

static int note(struct builder *b, int err)
{
    return plan_note(b->warnings, err, b->diag);
}

/* ---- leaves ---- */

static int leaf_new(struct builder *b, const struct chain *c, const struct yaml *key, const struct expr **ret_expr,
                    struct leaf **ret)
{
    struct arena *a = b->rs->arena;
    struct leaf *leaf = arena_alloc(a, sizeof(*leaf));
    struct expr *e = arena_alloc(a, sizeof(*e));
    if (!leaf || !e || arena_str(a, c->field, &leaf->field_name) < 0)
        return -ENOMEM;
    if (c->field.len) {
        int err = names_intern(b->rs->names, c->field, &leaf->field);
        if (err < 0)
            return err == -ENOMEM ? err
                                  : plan_error(b->diag, key,
                                               err == -ENOSPC ? "too many different field names"
                                                              : "a field's name has at most 256 bytes");
    }
    leaf->selection = b->selection;
    leaf->line = key->line;
    leaf->col = key->col;
    leaf->next = b->entry->leaves;
    b->entry->leaves = leaf;
    e->kind = EXPR_LEAF;
    e->leaf = leaf;
    *ret_expr = e;
    *ret = leaf;
    return 0;
}

/* -E2BIG, with its diag, ends the document: what comes behind would cost as much again. */
static int leaf_set(struct rule_entry *entry, struct leaf *leaf, const struct needle_list *list,
                    const struct yaml *node, struct diag *diag)
{
    leaf->needles = list->items;
    leaf->n = list->n;
    entry->n_needles += list->n;
    if (entry->n_needles <= RULE_NEEDLES_MAX)
        return 0;
    plan_error(diag, node, "more than %d values in one rule", RULE_NEEDLES_MAX);
    return -E2BIG;
}

/* One leaf for these values, any of which is enough. */
static int leaf_of_values(struct builder *b, const struct chain *c, const struct yaml *key,
                          const struct yaml *const *nodes, size_t n, const struct expr **ret)
{
    struct leaf *leaf = NULL;
    int err = leaf_new(b, c, key, ret, &leaf);
    if (err < 0)
        return err;
    if (c->is_expanding) {
        struct pending *pending = arena_alloc(b->rs->arena, sizeof(*pending));
        const struct yaml **copy = arena_array(b->rs->arena, n, sizeof(*copy));
        if (!pending || !copy)
            return -ENOMEM;
        memcpy(copy, nodes, n * sizeof(*copy));
        *pending = (struct pending){*c, copy, n};
        pending->chain.field = leaf->field_name;
        leaf->pending = pending;
        b->keeps_yaml = true;
        return 0;
    }
    struct needle_list list = {0};
    for (size_t i = 0; i < n; i++) {
        err = note(b, chain_needles(b->rs, c, nodes[i], nodes[i]->text, false, &list, b->diag));
        if (err < 0)
            return err;
    }
    err = leaf_set(b->entry, leaf, &list, nodes[0], b->diag);
    if (err == 0 && b->rs->is_linting && *b->warnings->n_errors == 0)
        lint_values(b->warnings, c, nodes, n, leaf);
    return err;
}

/* 0, -EINVAL with its diag, or -EBADMSG: told already. */
static int check_values(struct builder *b, const struct chain *c, const struct yaml *key,
                        const struct yaml *const *nodes, size_t n)
{
    if (n == 0)
        return plan_error(b->diag, key, "an empty list of values matches nothing");
    bool is_well = true;
    for (size_t i = 0; i < n; i++) {
        if (nodes[i]->kind != YAML_SCALAR) {
            note(b, plan_error(b->diag, nodes[i], "a value must be text, a number or null"));
            is_well = false;
        }
        if (yaml_is_null(nodes[i]) && c->is_expanding) {
            note(b, plan_error(b->diag, nodes[i], "null has no placeholders to expand"));
            is_well = false;
        }
        if (n > 1 && yaml_is_null(nodes[i]))
            plan_warn(b->warnings, nodes[i], "null within a list of values is not portable Sigma");
    }
    if (n > 1 && c->kind == MODIFIER_EXISTS)
        return plan_error(b->diag, key, "'exists' takes one value, true or false");
    if (n == 1 && c->is_all)
        plan_warn(b->warnings, key, "'all' has no meaning with a single value");
    return is_well ? 0 : -EBADMSG;
}

/* field|modifiers: values */
static int item_parse(struct builder *b, const struct yaml *key, const struct yaml *value, const struct expr **ret)
{
    struct chain c;
    int err = chain_parse(key, &c, b->diag);
    if (err < 0)
        return err;
    const struct yaml *const *nodes = value->kind == YAML_LIST ? (const struct yaml *const *)value->items : &value;
    size_t n = value->kind == YAML_LIST ? value->n : 1;
    err = check_values(b, &c, key, nodes, n);
    if (err == -EBADMSG) {
        *ret = &unusable;
        return 0;
    }
    if (err < 0)
        return err;
    if (c.is_all && n > 1) {
        const struct expr **kids = arena_array(b->rs->arena, n, sizeof(*kids));
        for (size_t i = 0; kids && i < n; i++) {
            err = leaf_of_values(b, &c, key, &nodes[i], 1, &kids[i]);
            if (err < 0)
                return err;
        }
        *ret = kids ? expr_new(b->rs->arena, EXPR_AND, kids, n) : NULL;
    } else {
        err = leaf_of_values(b, &c, key, nodes, n, ret);
        if (err < 0)
            return err;
    }
    if (*ret && c.is_neq)
        *ret = expr_new(b->rs->arena, EXPR_NOT, ret, 1);
    return *ret ? 0 : -ENOMEM;
}

/* ---- selections ---- */

static int map_parse(struct builder *b, const struct yaml *map, const struct expr **ret)
{
    if (map->n == 0)
        return plan_error(b->diag, map, "an empty selection matches everything");
    const struct expr **kids = arena_array(b->rs->arena, map->n, sizeof(*kids));
    for (size_t i = 0; kids && i < map->n; i++) {
        kids[i] = &unusable;
        int err = note(b, item_parse(b, map->keys[i], map->items[i], &kids[i]));
        if (err < 0)
            return err;
    }
    *ret = kids ? expr_new(b->rs->arena, EXPR_AND, kids, map->n) : NULL;
    return *ret ? 0 : -ENOMEM;
}

static int keywords_parse(struct builder *b, const struct yaml *at, const struct yaml *const *nodes, size_t n,
                          const struct expr **ret)
{
    static const struct chain plain = {.kind = MODIFIER_ALL};
    for (size_t i = 0; i < n; i++)
        if (nodes[i]->kind != YAML_SCALAR || yaml_is_null(nodes[i]))
            return plan_error(b->diag, nodes[i], "a keyword must be text or a number");
    return leaf_of_values(b, &plain, at, nodes, n, ret);
}

/* Any of: maps each on its own, keywords together. */
static int list_parse(struct builder *b, const struct yaml *list, const struct expr **ret)
{
    const struct expr **kids = arena_array(b->rs->arena, list->n + 1, sizeof(*kids));
    const struct yaml **words = arena_array(b->rs->arena, list->n + 1, sizeof(*words));
    if (!kids || !words)
        return -ENOMEM;
    size_t n = 0, n_words = 0;
    for (size_t i = 0; i < list->n; i++) {
        if (list->items[i]->kind != YAML_MAP) {
            words[n_words++] = list->items[i];
            continue;
        }
        kids[n] = &unusable;
        int err = note(b, map_parse(b, list->items[i], &kids[n++]));
        if (err < 0)
            return err;
    }
    if (n_words) {
        int err = keywords_parse(b, list, words, n_words, &kids[n++]);
        if (err < 0)
            return err;
    }
    if (n == 0)
        return plan_error(b->diag, list, "an empty selection matches nothing");
    *ret = expr_new(b->rs->arena, EXPR_OR, kids, n);
    return *ret ? 0 : -ENOMEM;
}

static int selection_parse(struct builder *b, const struct yaml *node, const struct expr **ret)
{
    if (node->kind == YAML_MAP)
        return map_parse(b, node, ret);
    if (node->kind == YAML_LIST)
        return list_parse(b, node, ret);
    if (yaml_is_null(node))
        return plan_error(b->diag, node, "selection '" STR_FMT "' is empty", STR_ARG(b->selection));
    return keywords_parse(b, node, &node, 1, ret);
}

int detection_parse(struct ruleset *rs, struct rule_entry *entry, const struct yaml *map, const char *skip,
                    const struct warnings *warnings, bool *ret_keeps_yaml, struct diag *diag)
{
    struct builder b = {.rs = rs, .entry = entry, .warnings = warnings, .diag = diag};
    const struct yaml *condition = yaml_get(map, "condition");
    if (!condition)
        return plan_error(diag, map, "there is no condition");
    if (map->n > SELECTIONS_MAX)
        return plan_error(diag, map, "more than %d selections", SELECTIONS_MAX);
    struct selection *selections = arena_array(rs->arena, map->n, sizeof(*selections));
    if (!selections)
        return -ENOMEM;
    size_t n = 0;
    for (size_t i = 0; i < map->n; i++) {
        const struct yaml *key = map->keys[i];
        if (map->items[i] == condition || (skip && str_eq(key->text, str_of(skip))))
            continue;
        if (str_eq(key->text, STR("timeframe"))) {
            note(&b, plan_error(diag, key, "'timeframe' belongs to Sigma 1, use a correlation rule"));
            continue;
        }
        struct selection *s = &selections[n++];
        if (arena_str(rs->arena, key->text, &s->name) < 0)
            return -ENOMEM;
        b.selection = s->name;
        s->expr = &unusable;
        int err = note(&b, selection_parse(&b, map->items[i], &s->expr));
        if (err < 0)
            return err;
    }
    if (n == 0)
        return plan_error(diag, map, "there is no selection");
    *ret_keeps_yaml |= b.keeps_yaml;
    int err = condition_parse(condition, selections, n, rs->arena, warnings, &entry->expr, diag);
    if (err == 0 && rs->is_linting && *warnings->n_errors == 0)
        lint_detection(warnings, map, selections, n, entry->expr, entry->kind == ENTRY_FILTER);
    return err;
}

/* ---- placeholders ---- */

struct expansion {
    struct ruleset *rs;
    const struct chain *chain;
    const struct yaml *node;
    struct needle_list *out;
    struct diag *diag;
    char text[EXPANDED_MAX]; /* what is put together so far */
};

/* As pySigma has it: what looks like a placeholder is one, and a rule is refused rather than left without its value. */
static bool is_placeholder_char(char c)
{
    return c != '%' && c != '\\' && c != '*' && c != '?';
}

/* Length of the %name% at the start of s with its percent signs, or 0. */
static size_t placeholder_len(struct str s)
{
    size_t n = 1;
    while (n < s.len && is_placeholder_char(s.p[n]))
        n++;
    return n > 1 && n < s.len && s.p[n] == '%' ? n + 1 : 0;
}

static const struct placeholder *placeholder_find(const struct ruleset *rs, struct str name)
{
    for (const struct placeholder *p = rs->placeholders; p; p = p->next)
        if (str_eq(p->name, name))
            return p;
    return NULL;
}

/* Where the value goes on after a placeholder it is still the node's own text that is read. */
static size_t offset_in(const struct yaml *node, const char *p)
{
    return (size_t)(p - node->text.p);
}

static int expand(struct expansion *x, size_t len, struct str rest, int depth)
{
    for (size_t i = 0; i < rest.len; i++) {
        if (len + 2 > EXPANDED_MAX)
            return plan_error(x->diag, x->node, "an expanded value is longer than %d bytes", EXPANDED_MAX);
        bool is_escape = rest.p[i] == '\\' && i + 1 < rest.len;
        size_t name = rest.p[i] == '%' ? placeholder_len((struct str){rest.p + i, rest.len - i}) : 0;
        if (is_escape && (rest.p[i + 1] == '%' || rest.p[i + 1] == '\\')) {
            if (rest.p[++i] == '\\')
                x->text[len++] = '\\';
        }
        if (name == 0) {
            x->text[len++] = rest.p[i];
            continue;
        }
        struct str key = {rest.p + i + 1, name - 2};
        const struct placeholder *p = placeholder_find(x->rs, key);
        if (!p || p->n == 0)
            return plan_error_in(x->diag, x->node, offset_in(x->node, rest.p + i),
                                 "placeholder '" STR_FMT "' has no value: set it under placeholders", STR_ARG(key));
        if (depth == PLACEHOLDERS_MAX)
            return plan_error(x->diag, x->node, "more than %d placeholders in one value", PLACEHOLDERS_MAX);
        for (size_t v = 0; v < p->n; v++) {
            if (len + p->values[v].len + 2 > EXPANDED_MAX)
                return plan_error(x->diag, x->node, "an expanded value is longer than %d bytes", EXPANDED_MAX);
            memcpy(x->text + len, p->values[v].p, p->values[v].len);
            int err =
                expand(x, len + p->values[v].len, (struct str){rest.p + i + name, rest.len - i - name}, depth + 1);
            if (err < 0)
                return err;
        }
        return 0;
    }
    return chain_needles(x->rs, x->chain, x->node, (struct str){x->text, len}, true, x->out, x->diag);
}

static int expand_leaf(struct ruleset *rs, struct rule_entry *entry, struct leaf *leaf, const struct warnings *warnings,
                       struct diag *diag)
{
    struct needle_list list = {0};
    for (size_t i = 0; i < leaf->pending->n; i++) {
        struct expansion x = {rs, &leaf->pending->chain, leaf->pending->nodes[i], &list, diag, {0}};
        int err = plan_note(warnings, expand(&x, 0, x.node->text, 0), diag);
        if (err < 0)
            return err;
    }
    return leaf_set(entry, leaf, &list, leaf->pending->nodes[0], diag);
}

int detection_expand(struct ruleset *rs, struct rule_entry *entry, struct diags *diags)
{
    size_t n_errors = 0;
    const struct warnings warnings = {diags, entry->pub.file, &n_errors};
    struct diag diag = {0};
    int err = 0;
    for (struct leaf *leaf = entry->leaves; err == 0 && leaf; leaf = leaf->next)
        if (leaf->pending && !leaf->needles)
            err = expand_leaf(rs, entry, leaf, &warnings, &diag);
    if (err < 0 && err != -ENOMEM)
        diags_add(diags, entry->pub.file, false, &diag);
    return err < 0 ? err : n_errors ? -EINVAL : 0;
}
