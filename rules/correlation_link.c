/* SPDX-License-Identifier: Apache-2.0
 *
 * Linking correlations to the rules they refer to. Leaves out what refers to nothing, to a rule that was left out, or to
 * itself, and then writes down for every rule the tree of ways that lead up from it (struct edge): what becomes of its hits.
 */
#include "rules/matcher.h"
#include "rules/plan.h"

#include <errno.h>

struct linker {
    struct ruleset *rs;
    struct diags *diags;
    int left_out;
};

static void leave_out_at(struct linker *l, struct rule_entry *e, int line, int col, const char *what, struct str name)
{
    struct diag d;
    diag_at(&d, 0, line, col, "correlation %s '" STR_FMT "'", what, (int)MIN(name.len, (size_t)120), name.p);
    l->left_out += !e->is_left_out;
    ruleset_leave_out(e, l->diags, &d);
}

static void leave_out(struct linker *l, struct rule_entry *e, const char *what, struct str name)
{
    leave_out_at(l, e, e->correlation->line, e->correlation->col, what, name);
}

/* For what one of its rules is. */
static void leave_out_for(struct linker *l, struct rule_entry *e, const char *what, size_t rule)
{
    const struct correlation *c = e->correlation;
    const struct yaml *at = c->rule_places ? &c->rule_places[rule] : NULL;
    leave_out_at(l, e, at ? at->line : c->line, at ? at->col : c->col, what, c->rule_names[rule]);
}

/* Tells of each rule that is not there. */
static bool has_all_rules(struct linker *l, struct rule_entry *e)
{
    const struct correlation *c = e->correlation;
    for (size_t i = 0; i < c->n_rules; i++)
        if (!ruleset_entry(l->rs, c->rule_names[i]))
            leave_out_for(l, e, "refers to a rule that is not loaded:", i);
    return !e->is_left_out;
}

/* Looks the rules up. Returns true when the correlation's fate is decided: all its rules are, or one is missing. */
static bool resolve(struct linker *l, struct rule_entry *e)
{
    struct correlation *c = e->correlation;
    uint8_t height = 0;
    int64_t reach_ns = 0;
    if (!has_all_rules(l, e))
        return true;
    for (size_t i = 0; i < c->n_rules; i++) {
        struct rule_entry *to = ruleset_entry(l->rs, c->rule_names[i]);
        if (to->kind == ENTRY_CORRELATION && to->height == 0)
            return false;
        for (size_t k = 0; k < i; k++) {
            if (c->rules[k] == to) {
                leave_out_for(l, e, "refers twice to", i);
                return true;
            }
        }
        c->rules[i] = to;
        height = MAX(height, to->height);
        reach_ns = MAX(reach_ns, to->kind == ENTRY_CORRELATION ? to->correlation->reach_ns : 0);
    }
    if (height == CORRELATION_DEPTH_MAX) {
        leave_out(l, e, "stands on too many levels of correlations, by way of", c->rule_names[0]);
        return true;
    }
    e->height = (uint8_t)(height + 1);
    c->reach_ns = reach_ns + c->timespan_ns;
    return true;
}

/* In rounds, from the bottom up: no recursion, whatever refers to whatever. What is left in the end stands in a circle. */
static int resolve_all(struct linker *l, struct rule_entry **open, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct correlation *c = open[i]->correlation;
        c->rules = arena_array(l->rs->arena, c->n_rules, sizeof(*c->rules));
        if (!c->rules)
            return -ENOMEM;
    }
    for (bool has_changed = true; has_changed;) {
        size_t left = 0;
        for (size_t i = 0; i < n; i++)
            if (!resolve(l, open[i]))
                open[left++] = open[i];
        has_changed = left < n;
        n = left;
    }
    for (size_t i = 0; i < n; i++)
        leave_out(l, open[i], "refers to itself, by way of", open[i]->correlation->rule_names[0]);
    return 0;
}

/* The field of that rule's events which a name stands for: itself, unless it is an alias. */
static struct str real_field(const struct correlation *c, struct str name, const struct rule_entry *rule)
{
    for (size_t i = 0; i < c->n_aliases; i++) {
        const struct alias *a = &c->aliases[i];
        bool is_rule =
            (rule->pub.name && str_eq(a->rule, str_of(rule->pub.name))) || str_eq(a->rule, str_of(rule->pub.id));
        if (str_eq(a->name, name) && is_rule)
            return a->field;
    }
    return name;
}

static bool is_alias(const struct correlation *c, struct str name)
{
    for (size_t i = 0; i < c->n_aliases; i++)
        if (str_eq(c->aliases[i].name, name))
            return true;
    return false;
}

/* An alias must say its field for every rule. */
static void check_alias(struct linker *l, struct rule_entry *e, struct str name)
{
    const struct correlation *c = e->correlation;
    for (size_t i = 0; i < c->n_rules && is_alias(c, name) && !e->is_left_out; i++)
        if (real_field(c, name, c->rules[i]).p == name.p)
            leave_out(l, e, "uses an alias that names no field of rule", c->rule_names[i]);
}

static void check_aliases(struct linker *l, struct rule_entry *e)
{
    for (size_t i = 0; i < e->correlation->n_group; i++)
        check_alias(l, e, e->correlation->group_by[i]);
    for (size_t i = 0; i < e->correlation->n_values; i++)
        check_alias(l, e, e->correlation->value_fields[i]);
}

static int edge_fields(struct ruleset *rs, const struct correlation *c, const struct rule_entry *rule,
                       const name_id **ret)
{
    name_id *fields = arena_array(rs->arena, c->n_group + c->n_values + 1, sizeof(*fields));
    if (!fields)
        return -ENOMEM;
    for (size_t i = 0; i < c->n_group + c->n_values; i++) {
        struct str name = i < c->n_group ? c->group_by[i] : c->value_fields[i - c->n_group];
        int err = names_intern(rs->names, real_field(c, name, rule), &fields[i]);
        if (err == -ENOMEM)
            return err;
    }
    *ret = fields;
    return 0;
}

/* Writes the tree of ways up from e. The trees of the correlations above must already be there. */
static int build_edges(struct linker *l, struct rule_entry *e)
{
    struct arena *arena = l->rs->arena;
    size_t n = 0;
    for (const struct parent *p = e->parents; p; p = p->next)
        n += 1 + p->correlation->entry->n_edges;
    if (n > TREE_MAX) {
        struct diag d;
        diag_at(&d, 0, e->line, e->col, "more than %d correlations stand on this rule: none will see it", TREE_MAX);
        diags_add(l->diags, e->pub.file, false, &d);
        return 0;
    }
    struct edge *edges = arena_array(arena, n + 1, sizeof(*edges));
    if (!edges)
        return -ENOMEM;
    for (const struct parent *p = e->parents; p; p = p->next) {
        const struct rule_entry *above = p->correlation->entry;
        struct edge *edge = &edges[e->n_edges];
        *edge = (struct edge){p->correlation, p->rule, (uint32_t)(1 + above->n_edges), NULL};
        if (edge_fields(l->rs, p->correlation, e, &edge->fields) < 0)
            return -ENOMEM;
        if (above->n_edges)
            memcpy(edge + 1, above->edges, above->n_edges * sizeof(*edges));
        e->n_edges += edge->size;
    }
    e->edges = edges;
    return 0;
}

static int add_parents(struct ruleset *rs, const struct correlation *c)
{
    for (size_t i = 0; i < c->n_rules; i++) {
        struct rule_entry *e = c->rules[i];
        struct parent *p = arena_alloc(rs->arena, sizeof(*p));
        if (!p)
            return -ENOMEM;
        *p = (struct parent){c, (uint32_t)i, e->parents};
        e->parents = p;
        e->is_generated |= c->is_generating;
        e->pub.is_silent = !e->is_generated;
    }
    return 0;
}

static int link_correlation(struct linker *l, struct rule_entry *e)
{
    struct ruleset *rs = l->rs;
    for (size_t i = 0; i < e->correlation->n_rules && !e->is_left_out; i++)
        if (e->correlation->rules[i]->is_left_out)
            leave_out_for(l, e, "refers to a rule that is not loaded:", i);
    if (!e->is_left_out)
        check_aliases(l, e);
    if (e->is_left_out)
        return 0;
    e->correlation->index = (uint32_t)rs->n_correlations;
    rs->correlations[rs->n_correlations++] = e->correlation;
    int64_t late_ns = e->correlation->is_deferred ? MATCHER_LATENESS_NS : 0;
    rs->horizon_ns = MAX(rs->horizon_ns, e->correlation->reach_ns + e->correlation->period_ns + late_ns);
    return add_parents(rs, e->correlation);
}

/* From the bottom up: a correlation and all it stands on. Then from the top down: what stands on it. */
static void digest_correlations(struct ruleset *rs)
{
    for (size_t i = 0; i < rs->n_correlations; i++) {
        struct correlation *c = rs->correlations[i];
        c->digest = c->entry->digest ^ rs->digest;
        for (size_t k = 0; k < c->n_rules; k++) {
            const struct rule_entry *below = c->rules[k];
            c->digest = c->digest * 31 + (below->correlation ? below->correlation->digest : below->digest);
        }
    }
    for (size_t i = rs->n_correlations; i-- > 0;) {
        struct correlation *c = rs->correlations[i];
        uint64_t above = 0; /* in any order */
        for (const struct parent *p = c->entry->parents; p; p = p->next)
            above += (p->correlation->digest + p->rule) * UINT64_C(0x9e3779b97f4a7c15);
        c->digest ^= above;
    }
}

int correlations_link(struct ruleset *rs, struct diags *diags)
{
    struct linker l = {rs, diags, 0};
    size_t n = 0;
    struct rule_entry **all = arena_array(rs->arena, rs->n_entries + 1, sizeof(*all));
    struct rule_entry **open = arena_array(rs->arena, rs->n_entries + 1, sizeof(*open));
    rs->correlations = arena_array(rs->arena, rs->n_entries + 1, sizeof(*rs->correlations));
    if (!all || !open || !rs->correlations)
        return -ENOMEM;
    for (size_t i = 0; i < rs->n_entries; i++)
        if (rs->entries[i]->kind == ENTRY_CORRELATION && !rs->entries[i]->is_left_out)
            open[n] = all[n] = rs->entries[i], n++;
    int err = resolve_all(&l, open, n);
    for (int height = 1; err == 0 && height <= CORRELATION_DEPTH_MAX; height++)
        for (size_t i = 0; err == 0 && i < n; i++)
            if (all[i]->height == height && !all[i]->is_left_out)
                err = link_correlation(&l, all[i]);
    for (int height = CORRELATION_DEPTH_MAX; err == 0 && height >= 0; height--)
        for (size_t i = 0; err == 0 && i < rs->n_entries; i++)
            if (rs->entries[i]->height == height && !rs->entries[i]->is_left_out && rs->entries[i]->parents)
                err = build_edges(&l, rs->entries[i]);
    if (err == 0)
        digest_correlations(rs);
    return err < 0 ? err : l.left_out;
}
