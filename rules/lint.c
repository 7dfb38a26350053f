/* SPDX-License-Identifier: Apache-2.0
 *
 * See lint.h. Everything here is cheap and none of it proves anything: it points at what a reader should look at again.
 */
#include "rules/lint.h"

#include "rules/lint_regex.h"

#define KIDS_MAX 256 /* of one AND or OR that are compared with each other */

void lint_logsource_key(const struct warnings *w, const struct yaml *key)
{
    static const char *const known[] = {"product", "category", "service", "definition"};
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (str_eq(key->text, str_of(known[i])))
            return;
    plan_warn(w, key, "a logsource is told by product, category and service; '" STR_FMT "' is not heeded",
              (int)MIN(key->text.len, (size_t)80), key->text.p);
}

/* ---- values ---- */

static bool holds_any(struct str text, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (text.len && memmem(text.p, text.len, words[i], strlen(words[i])))
            return true;
    return false;
}

/* Written for a modifier that is not there. Windows paths are full of backslashes, so \d and \w alone say nothing. */
static bool looks_like_regex(struct str text)
{
    static const char *const signs[] = {"\\d+", "\\d{", "\\w+", "\\s+",  "\\s*", "(?:",     "(?i)", "[a-z",
                                        "[A-Z", "[0-9", "[^",   "\\.*)", ".*?",  "\\.exe$", ".*)",  ".+"};
    return holds_any(text, signs, ARRAY_LEN(signs)) || (text.len > 2 && text.p[0] == '^' && str_ends(text, STR("$")));
}

static void lint_needle(const struct warnings *w, const struct chain *c, const struct yaml *node,
                        const struct needle *p)
{
    const char *odd = p->op == NEEDLE_REGEX ? regex_oddity(p->shown, p->regex) : NULL;
    if (odd)
        plan_warn(w, node, "%s", odd);
    else if (p->op == NEEDLE_ANY && c->field.len == 0)
        plan_warn(w, node, "this keyword matches every event");
    else if (p->op == NEEDLE_ANY)
        plan_warn(w, node, "matches every value; write '" STR_FMT "|exists: true' if that is meant",
                  (int)MIN(c->field.len, (size_t)80), c->field.p);
    else if (p->op == NEEDLE_CIDR && p->cidr.bits == (p->cidr.is_v4 ? 96 : 0))
        plan_warn(w, node, "this network holds every address");
    else if (p->op == NEEDLE_PART && !date_part_can_be(p->part, p->number))
        plan_warn(w, node, "no date has such a number: this never matches");
    else if (c->kind == MODIFIER_ALL && looks_like_regex(node->text))
        plan_warn(w, node, "looks like a regular expression, but there is no 're': it is taken word for word");
}

void lint_values(const struct warnings *w, const struct chain *c, const struct yaml *const *nodes, size_t n,
                 const struct leaf *leaf)
{
    size_t per_value = n && leaf->n % n == 0 ? leaf->n / n : 0; /* base64offset: three; some are too short for all */
    for (size_t i = 0; i < n && per_value; i++)
        lint_needle(w, c, nodes[i], &leaf->needles[i * per_value]);
}

/* ---- conditions ---- */

static bool reaches(const struct expr *from, const struct expr *to)
{
    bool is_it = from == to;
    for (size_t i = 0; from->kind != EXPR_LEAF && i < from->n && !is_it; i++)
        is_it = reaches(from->kids[i], to);
    return is_it;
}

static bool is_op(const struct expr *e, enum needle_op op)
{
    return e->kind == EXPR_LEAF && e->leaf->n == 1 && e->leaf->needles[0].op == op;
}

static bool wants_value(const struct expr *e)
{
    for (size_t i = 0; e->kind == EXPR_LEAF && i < e->leaf->n; i++)
        if (e->leaf->needles[i].op == NEEDLE_NULL || e->leaf->needles[i].op == NEEDLE_MISSING)
            return false;
    return e->kind == EXPR_LEAF && e->leaf->n > 0;
}

/* a and not a; or a field that is to be missing and to have a value. */
static bool exclude_each_other(const struct expr *a, const struct expr *b)
{
    if ((a->kind == EXPR_NOT && a->kids[0] == b) || (b->kind == EXPR_NOT && b->kids[0] == a))
        return true;
    return (is_op(a, NEEDLE_MISSING) && wants_value(b) && a->leaf->field == b->leaf->field) ||
           (is_op(b, NEEDLE_MISSING) && wants_value(a) && a->leaf->field == b->leaf->field);
}

/* The kids of nested ANDs as one list. */
static void flatten(const struct expr *e, const struct expr *ret[static KIDS_MAX], size_t *ret_n)
{
    for (size_t i = 0; i < e->n && *ret_n < KIDS_MAX; i++) {
        if (e->kids[i]->kind == e->kind)
            flatten(e->kids[i], ret, ret_n);
        else
            ret[(*ret_n)++] = e->kids[i];
    }
}

/* Whether some kids decide it alone: an AND that is never true, an OR (whose kids are each other's negation) that always is. */
static bool is_decided(const struct expr *e)
{
    const struct expr *kids[KIDS_MAX];
    size_t n = 0;
    flatten(e, kids, &n);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < i; k++)
            if (e->kind == EXPR_AND ? exclude_each_other(kids[i], kids[k])
                                    : (kids[i]->kind == EXPR_NOT && kids[i]->kids[0] == kids[k]) ||
                                          (kids[k]->kind == EXPR_NOT && kids[k]->kids[0] == kids[i]))
                return true;
    return false;
}

enum truth { UNDECIDED, NEVER, ALWAYS };

static enum truth truth_of(const struct expr *e)
{
    size_t never = 0, always = 0;
    if (e->kind == EXPR_LEAF)
        return UNDECIDED;
    if (e->kind != EXPR_NOT && is_decided(e))
        return e->kind == EXPR_AND ? NEVER : ALWAYS;
    for (size_t i = 0; i < e->n; i++) {
        enum truth t = truth_of(e->kids[i]);
        never += t == NEVER;
        always += t == ALWAYS;
    }
    if (e->kind == EXPR_NOT)
        return never ? ALWAYS : always ? NEVER : UNDECIDED;
    if (e->kind == EXPR_AND)
        return never ? NEVER : always == e->n ? ALWAYS : UNDECIDED;
    return always ? ALWAYS : never == e->n ? NEVER : UNDECIDED;
}

/* Whether it holds for an event that has none of the fields. */
static bool holds_for_nothing(const struct expr *e)
{
    bool holds = e->kind == EXPR_AND;
    switch (e->kind) {
    case EXPR_NOT:
        return !holds_for_nothing(e->kids[0]);
    case EXPR_AND:
        for (size_t i = 0; i < e->n; i++)
            holds &= holds_for_nothing(e->kids[i]);
        return holds;
    case EXPR_OR:
        for (size_t i = 0; i < e->n; i++)
            holds |= holds_for_nothing(e->kids[i]);
        return holds;
    case EXPR_LEAF:
        return !wants_value(e) && e->leaf->n > 0;
    }
    return holds;
}

void lint_detection(const struct warnings *w, const struct yaml *body, const struct selection *selections, size_t n,
                    const struct expr *expr, bool is_filter)
{
    const struct yaml *condition = yaml_get(body, "condition");
    for (size_t i = 0; i < n; i++) {
        if (reaches(expr, selections[i].expr))
            continue;
        for (size_t k = 0; k < body->n; k++)
            if (str_eq(body->keys[k]->text, selections[i].name))
                plan_warn(w, body->keys[k], "the condition does not use selection '" STR_FMT "'",
                          (int)MIN(selections[i].name.len, (size_t)80), selections[i].name.p);
    }
    enum truth truth = truth_of(expr);
    if (truth == NEVER)
        plan_warn(w, condition, "the condition can never be true");
    else if (truth == ALWAYS)
        plan_warn(w, condition, "the condition is always true");
    else if (!is_filter && holds_for_nothing(expr))
        plan_warn(w, condition,
                  "the condition holds for events that have none of its fields: the rule looks at every event of its "
                  "log source");
}

/* ---- fields ---- */

static bool is_known(const struct ruleset *rs, const struct rule_entry *e, const struct mapping *m, name_id field)
{
    struct str name = names_text(rs->names, field);
    if (field < rs->lint_known)
        return true;
    for (size_t i = 0; i < m->n_fields; i++)
        if ((!e->is_ecs && str_eq(m->fields[i].from, name)) || str_eq(m->fields[i].to, name))
            return true;
    return false;
}

static void lint_field(const struct ruleset *rs, const struct rule_entry *e, const struct mapping *m,
                       const struct leaf *leaf, name_id field, struct diags *diags)
{
    const struct yaml at = {.line = leaf->line, .col = leaf->col};
    struct str name = names_text(rs->names, field);
    if (field != F_NONE && !is_known(rs, e, m, field))
        plan_warn(&(struct warnings){diags, e->pub.file, NULL}, &at,
                  "field '" STR_FMT "' is unknown for this log source: it is neither mapped nor a field of its events",
                  (int)MIN(name.len, (size_t)80), name.p);
}

/* What correlations group by or count: told where the rule is named in them. */
static void lint_edge(const struct ruleset *rs, const struct rule_entry *e, const struct mapping *m,
                      const struct edge *edge, struct diags *diags)
{
    const struct correlation *c = edge->to;
    struct yaml at = {.line = c->line, .col = c->col};
    if (c->rule_places)
        at = c->rule_places[edge->rule];
    for (size_t i = 0; i < c->n_group + c->n_values; i++) {
        struct str name = names_text(rs->names, edge->fields[i]);
        if (!is_known(rs, e, m, edge->fields[i]))
            plan_warn(&(struct warnings){diags, c->entry->pub.file, NULL}, &at,
                      "the correlation needs field '" STR_FMT "', which is unknown for the log source of '%.100s'",
                      (int)MIN(name.len, (size_t)80), name.p, e->pub.id);
    }
}

void lint_fields(const struct ruleset *rs, const struct rule_entry *e, const struct mapping *m, struct diags *diags)
{
    const struct leaf *before = NULL; /* `all` makes a leaf of each value */
    for (const struct leaf *leaf = e->leaves; leaf; before = leaf, leaf = leaf->next) {
        if (before && before->line == leaf->line && before->col == leaf->col)
            continue;
        lint_field(rs, e, m, leaf, leaf->field, diags);
        for (size_t i = 0; i < leaf->n; i++)
            if (leaf->needles[i].op == NEEDLE_FIELD)
                lint_field(rs, e, m, leaf, leaf->needles[i].other, diags);
    }
    for (size_t i = 0; i < e->n_edges; i++)
        lint_edge(rs, e, m, &e->edges[i], diags);
}
