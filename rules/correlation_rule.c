/* SPDX-License-Identifier: Apache-2.0
 *
 * Correlation rules as written: parsing, and linking them to the rules they refer to. Only what can be a pure function of the
 * set of events is accepted: conditions with a lower bound. With an upper bound ("at most", "exactly") one more event
 * could take an alert back that people have already seen, so such rules are refused, not approximated.
 *
 * Linking leaves out what refers to nothing, to a rule that was left out, or to itself, and then writes down for every rule
 * the tree of ways that lead up from it (struct edge): what the matcher walks when the rule hits.
 */
#include "rules/plan.h"

#include <errno.h>

#define PERIOD_MIN_NS   (3600 * NS_PER_S)
#define TIMESPAN_MAX_NS (366 * 86400 * NS_PER_S)
#define THRESHOLD_MAX   100000

/* ---- parsing ---- */

static int parse_type(const struct yaml *map, const struct yaml *at, enum correlation_type *ret, struct diag *diag)
{
    struct str type = yaml_str(map, "type");
    const struct yaml *y = yaml_get(map, "type");
    if (str_eq(type, STR("event_count")))
        *ret = CORRELATION_EVENT_COUNT;
    else if (str_eq(type, STR("temporal")))
        *ret = CORRELATION_TEMPORAL;
    else if (str_eq(type, STR("temporal_ordered")))
        *ret = CORRELATION_TEMPORAL_ORDERED;
    else if (str_starts(type, STR("value_")) &&
             (str_eq(type, STR("value_count")) || str_eq(type, STR("value_sum")) || str_eq(type, STR("value_avg")) ||
              str_eq(type, STR("value_percentile"))))
        return plan_error(diag, y, "correlation type '" STR_FMT "' is not supported yet", STR_ARG(type));
    else
        return plan_error(diag, y ? y : at, "correlation type must be event_count, temporal or temporal_ordered");
    return 0;
}

/* A scalar or a list of scalars, copied. */
static int parse_texts(struct arena *arena, const struct yaml *y, size_t max, struct str **ret, size_t *ret_n,
                       const char *what, struct diag *diag)
{
    size_t n = y->kind == YAML_LIST ? y->n : 1;
    if (y->kind == YAML_MAP || n == 0 || n > max)
        return plan_error(diag, y, "%s must be a list of 1 to %zu names", what, max);
    *ret = arena_array(arena, n, sizeof(**ret));
    if (!*ret)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        const struct yaml *item = y->kind == YAML_LIST ? y->items[i] : y;
        if (item->kind != YAML_SCALAR || item->text.len == 0)
            return plan_error(diag, item, "%s must be a list of names", what);
        for (size_t k = 0; k < i; k++)
            if (str_eq((*ret)[k], item->text))
                return plan_error(diag, item, "%s names '" STR_FMT "' twice", what,
                                  (int)MIN(item->text.len, (size_t)80), item->text.p);
        if (arena_str(arena, item->text, &(*ret)[i]) < 0)
            return -ENOMEM;
    }
    *ret_n = n;
    return 0;
}

static int parse_timespan(const struct yaml *map, const struct yaml *at, int64_t *ret, struct diag *diag)
{
    const struct yaml *y = yaml_get(map, "timespan");
    if (!y || y->kind != YAML_SCALAR || y->text.len < 2)
        return plan_error(diag, y ? y : at, "timespan must be a number and s, m, h or d, such as 5m");
    int64_t n, unit_s;
    switch (y->text.p[y->text.len - 1]) {
    case 's':
        unit_s = 1;
        break;
    case 'm':
        unit_s = 60;
        break;
    case 'h':
        unit_s = 3600;
        break;
    case 'd':
        unit_s = 86400;
        break;
    default:
        return plan_error(diag, y, "timespan must be a number and s, m, h or d, such as 5m");
    }
    int err = parse_i64((struct str){y->text.p, y->text.len - 1}, 1, TIMESPAN_MAX_NS / NS_PER_S / unit_s, &n);
    if (err == -ERANGE)
        return plan_error(diag, y, "timespan must be between 1s and 366d");
    if (err < 0)
        return plan_error(diag, y, "timespan must be a number and s, m, h or d, such as 5m");
    *ret = n * unit_s * NS_PER_S;
    return 0;
}

static int parse_condition(const struct yaml *y, uint32_t *ret, struct diag *diag)
{
    if (y->kind != YAML_MAP || y->n == 0)
        return plan_error(diag, y, "condition of a correlation is a map such as {gte: 10}");
    int64_t least = 0, n;
    for (size_t i = 0; i < y->n; i++) {
        const struct yaml *key = y->keys[i];
        bool is_gt = str_eq(key->text, STR("gt"));
        if (str_eq(key->text, STR("lt")) || str_eq(key->text, STR("lte")) || str_eq(key->text, STR("eq")) ||
            str_eq(key->text, STR("neq")))
            return plan_error(diag, key,
                              "'" STR_FMT "' is not supported: only lower bounds (gt, gte) stay true when a late "
                              "event comes",
                              STR_ARG(key->text));
        if (str_eq(key->text, STR("field")))
            return plan_error(diag, key, "'field' does not go with this type of correlation");
        if (!is_gt && !str_eq(key->text, STR("gte")))
            return plan_error(diag, key, "condition of a correlation is a map such as {gte: 10}");
        int err = yaml_int(y->items[i], 0, THRESHOLD_MAX, &n, diag);
        if (err < 0)
            return err;
        least = MAX(least, n + is_gt);
    }
    if (least < 1)
        return plan_error(diag, y, "condition is true without any event");
    *ret = (uint32_t)least;
    return 0;
}

static int parse_aliases(struct ruleset *rs, const struct yaml *y, struct correlation *c, struct diag *diag)
{
    if (yaml_is_null(y))
        return 0;
    size_t n = 0;
    for (size_t i = 0; y->kind == YAML_MAP && i < y->n; i++)
        n += y->items[i]->n;
    if (y->kind != YAML_MAP || n > GROUP_BY_MAX * CORRELATION_RULES_MAX)
        return plan_error(diag, y, "aliases must be a map of alias to {rule: field}");
    c->aliases = arena_array(rs->arena, n, sizeof(*c->aliases));
    if (!c->aliases && n)
        return -ENOMEM;
    for (size_t i = 0; i < y->n; i++) {
        const struct yaml *rules = y->items[i];
        if (rules->kind != YAML_MAP)
            return plan_error(diag, rules, "an alias is a map of rule to field");
        for (size_t k = 0; k < rules->n; k++) {
            struct alias *a = &c->aliases[c->n_aliases++];
            if (rules->items[k]->kind != YAML_SCALAR || rules->items[k]->text.len == 0)
                return plan_error(diag, rules->items[k], "an alias is a map of rule to field");
            if (arena_str(rs->arena, y->keys[i]->text, &a->name) < 0 ||
                arena_str(rs->arena, rules->keys[k]->text, &a->rule) < 0 ||
                arena_str(rs->arena, rules->items[k]->text, &a->field) < 0)
                return -ENOMEM;
        }
    }
    return 0;
}

static int parse_group_by(struct ruleset *rs, const struct yaml *y, struct correlation *c, struct diag *diag)
{
    if (yaml_is_null(y))
        return 0; /* one group for all */
    int err = parse_texts(rs->arena, y, GROUP_BY_MAX, &c->group_by, &c->n_group, "group-by", diag);
    if (err < 0)
        return err;
    c->group_names = arena_array(rs->arena, c->n_group, sizeof(*c->group_names));
    if (!c->group_names)
        return -ENOMEM;
    for (size_t i = 0; i < c->n_group; i++) {
        err = names_intern(rs->names, c->group_by[i], &c->group_names[i]);
        if (err < 0)
            return err == -ENOMEM ? err : plan_error(diag, y, "not a usable field name in group-by");
    }
    return 0;
}

static int check_keys(const struct yaml *map, struct diag *diag)
{
    static const char *const known[] = {"type", "rules", "group-by", "timespan", "condition", "aliases", "generate"};
    for (size_t i = 0; i < map->n; i++) {
        bool is_known = false;
        for (size_t k = 0; k < ARRAY_LEN(known); k++)
            is_known |= str_eq(map->keys[i]->text, str_of(known[k]));
        if (!is_known)
            return plan_error(diag, map->keys[i], "a correlation has no '" STR_FMT "'",
                              (int)MIN(map->keys[i]->text.len, (size_t)60), map->keys[i]->text.p);
    }
    return 0;
}

static int parse_generate(const struct yaml *map, const struct yaml *doc, struct correlation *c, struct diag *diag)
{
    const struct yaml *y = yaml_get(map, "generate");
    y = y ? y : yaml_get(doc, "generate");
    return y ? yaml_bool(y, &c->is_generating, diag) : 0;
}

static int parse_rest(struct ruleset *rs, const struct yaml *map, struct correlation *c, struct diag *diag)
{
    int err = parse_group_by(rs, yaml_get(map, "group-by"), c, diag);
    err = err < 0 ? err : parse_timespan(map, map, &c->timespan_ns, diag);
    err = err < 0 ? err : parse_aliases(rs, yaml_get(map, "aliases"), c, diag);
    if (err < 0)
        return err;
    c->period_ns = MAX(c->timespan_ns, PERIOD_MIN_NS);
    const struct yaml *condition = yaml_get(map, "condition");
    c->threshold = (uint32_t)c->n_rules;
    if (!condition)
        return c->type == CORRELATION_EVENT_COUNT ? plan_error(diag, map, "event_count needs a condition") : 0;
    err = parse_condition(condition, &c->threshold, diag);
    if (err == 0 && c->type != CORRELATION_EVENT_COUNT && c->threshold > c->n_rules)
        return plan_error(diag, condition, "wants more different rules than the correlation refers to");
    if (err == 0 && c->type == CORRELATION_TEMPORAL_ORDERED && c->threshold != c->n_rules)
        return plan_error(diag, condition, "temporal_ordered needs all of its rules; leave the condition out");
    return err;
}

int correlation_parse(struct ruleset *rs, struct rule_entry *entry, const struct yaml *doc, struct diag *diag)
{
    const struct yaml *map = yaml_get(doc, "correlation");
    struct correlation *c = arena_alloc(rs->arena, sizeof(*c));
    if (!c)
        return -ENOMEM;
    if (map->kind != YAML_MAP)
        return plan_error(diag, map, "correlation must be a map");
    int err = parse_type(map, map, &c->type, diag);
    err = err < 0 ? err : check_keys(map, diag);
    err = err < 0 ? err : parse_generate(map, doc, c, diag);
    if (err < 0)
        return err;
    const struct yaml *rules = yaml_get(map, "rules");
    if (!rules)
        return plan_error(diag, map, "a correlation needs rules");
    c->line = rules->line;
    c->col = rules->col;
    c->entry = entry;
    entry->correlation = c;
    err = parse_texts(rs->arena, rules, CORRELATION_RULES_MAX, &c->rule_names, &c->n_rules, "rules", diag);
    err = err < 0 ? err : parse_rest(rs, map, c, diag);
    if (err < 0)
        return err;
    entry->pub.timespan_ns = c->timespan_ns;
    const char **group_by = arena_array(rs->arena, c->n_group + 1, sizeof(*group_by));
    if (!group_by)
        return -ENOMEM;
    for (size_t i = 0; i < c->n_group; i++)
        group_by[i] = c->group_by[i].p; /* arena_str ends it with NUL */
    entry->pub.group_by = group_by;
    entry->pub.n_group_by = c->n_group;
    return 0;
}

/* ---- linking ---- */

struct linker {
    struct ruleset *rs;
    struct diags *diags;
    int left_out;
};

static void leave_out(struct linker *l, struct rule_entry *e, const char *what, struct str name)
{
    struct diag d;
    diag_at(&d, 0, e->correlation->line, e->correlation->col, "correlation %s '" STR_FMT "'", what,
            (int)MIN(name.len, (size_t)120), name.p);
    ruleset_leave_out(e, l->diags, &d);
    l->left_out++;
}

/* Looks the rules up. Returns true when the correlation's fate is decided: all its rules are, or one is missing. */
static bool resolve(struct linker *l, struct rule_entry *e)
{
    struct correlation *c = e->correlation;
    uint8_t height = 0;
    int64_t reach_ns = 0;
    for (size_t i = 0; i < c->n_rules; i++) {
        struct rule_entry *to = ruleset_entry(l->rs, c->rule_names[i]);
        if (!to) {
            leave_out(l, e, "refers to a rule that is not loaded:", c->rule_names[i]);
            return true;
        }
        if (to->kind == ENTRY_CORRELATION && to->height == 0)
            return false;
        for (size_t k = 0; k < i; k++) {
            if (c->rules[k] == to) {
                leave_out(l, e, "refers twice to", c->rule_names[i]);
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

static struct str group_field(const struct correlation *c, size_t group, const struct rule_entry *rule)
{
    for (size_t i = 0; i < c->n_aliases; i++) {
        const struct alias *a = &c->aliases[i];
        bool is_rule =
            (rule->pub.name && str_eq(a->rule, str_of(rule->pub.name))) || str_eq(a->rule, str_of(rule->pub.id));
        if (str_eq(a->name, c->group_by[group]) && is_rule)
            return a->field;
    }
    return c->group_by[group];
}

static bool is_alias(const struct correlation *c, struct str name)
{
    for (size_t i = 0; i < c->n_aliases; i++)
        if (str_eq(c->aliases[i].name, name))
            return true;
    return false;
}

/* An alias must say its field for every rule. */
static void check_aliases(struct linker *l, struct rule_entry *e)
{
    const struct correlation *c = e->correlation;
    for (size_t g = 0; g < c->n_group && !e->is_left_out; g++) {
        for (size_t i = 0; i < c->n_rules && is_alias(c, c->group_by[g]) && !e->is_left_out; i++) {
            struct str field = group_field(c, g, c->rules[i]);
            if (field.p == c->group_by[g].p)
                leave_out(l, e, "groups by an alias that names no field of rule", c->rule_names[i]);
        }
    }
}

static int edge_fields(struct ruleset *rs, const struct correlation *c, const struct rule_entry *rule,
                       const name_id **ret)
{
    name_id *fields = arena_array(rs->arena, c->n_group + 1, sizeof(*fields));
    if (!fields)
        return -ENOMEM;
    for (size_t g = 0; g < c->n_group; g++) {
        int err = names_intern(rs->names, group_field(c, g, rule), &fields[g]);
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
            leave_out(l, e, "refers to a rule that is not loaded:", e->correlation->rule_names[i]);
    if (!e->is_left_out)
        check_aliases(l, e);
    if (e->is_left_out)
        return 0;
    e->correlation->index = (uint32_t)rs->n_correlations;
    rs->correlations[rs->n_correlations++] = e->correlation;
    rs->horizon_ns = MAX(rs->horizon_ns, e->correlation->reach_ns + e->correlation->period_ns);
    return add_parents(rs, e->correlation);
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
    return err < 0 ? err : l.left_out;
}
