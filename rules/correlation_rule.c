/* SPDX-License-Identifier: Apache-2.0
 *
 * Correlation rules as written: everything but the condition (correlation_condition.c) and what follows from references between
 * rules (correlation_link.c).
 */
#include "rules/plan.h"

#include <errno.h>

#define PERIOD_MIN_NS   (3600 * NS_PER_S)
#define TIMESPAN_MAX_NS (366 * 86400 * NS_PER_S)

/* ---- parsing ---- */

static int parse_type(const struct yaml *map, const struct yaml *at, enum correlation_type *ret, struct diag *diag)
{
    static const struct {
        const char *name;
        enum correlation_type type;
    } types[] = {
        {"event_count", CORRELATION_EVENT_COUNT},
        {"value_count", CORRELATION_VALUE_COUNT},
        {"value_sum", CORRELATION_VALUE_SUM},
        {"value_avg", CORRELATION_VALUE_AVG},
        {"value_percentile", CORRELATION_VALUE_PERCENTILE},
        {"value_median", CORRELATION_VALUE_PERCENTILE},
        {"temporal", CORRELATION_TEMPORAL},
        {"temporal_ordered", CORRELATION_TEMPORAL_ORDERED},
    };
    const struct yaml *y = yaml_get(map, "type");
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        if (str_eq(yaml_str(map, "type"), str_of(types[i].name))) {
            *ret = types[i].type;
            return 0;
        }
    }
    return plan_error(diag, y ? y : at,
                      "correlation type must be event_count, value_count, value_sum, value_avg, value_percentile, "
                      "value_median, temporal or temporal_ordered");
}

int correlation_texts(struct arena *arena, const struct yaml *y, size_t max, struct str **ret, size_t *ret_n,
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

/* Months and years as pySigma has them: 30.436875 and 365.2425 days. */
static int64_t unit_seconds(char unit)
{
    switch (unit) {
    case 's':
        return 1;
    case 'm':
        return 60;
    case 'h':
        return 3600;
    case 'd':
        return 86400;
    case 'w':
        return 604800;
    case 'M':
        return 2629746;
    case 'y':
        return 31556952;
    default:
        return 0;
    }
}

static int parse_timespan(const struct yaml *map, const struct yaml *at, int64_t *ret, struct diag *diag)
{
    const struct yaml *y = yaml_get(map, "timespan");
    struct str text = y && y->kind == YAML_SCALAR ? y->text : (struct str){0};
    int64_t n, unit_s = text.len < 2 ? 0 : unit_seconds(text.p[text.len - 1]);
    int err = unit_s == 0 ? -EINVAL
                          : parse_i64((struct str){text.p, text.len - 1}, 1, TIMESPAN_MAX_NS / NS_PER_S / unit_s, &n);
    if (err == -ERANGE)
        return plan_error(diag, y, "timespan must be between 1s and 366d");
    if (err < 0)
        return plan_error(diag, y ? y : at, "timespan must be a number and s, m, h, d, w, M or y, such as 5m");
    *ret = n * unit_s * NS_PER_S;
    return 0;
}

static int parse_aliases(struct ruleset *rs, const struct yaml *y, struct correlation *c,
                         const struct warnings *warnings, struct diag *diag)
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
        if (rules->kind != YAML_MAP) {
            plan_note(warnings, plan_error(diag, rules, "an alias is a map of rule to field"), diag);
            continue;
        }
        for (size_t k = 0; k < rules->n; k++) {
            struct alias *a = &c->aliases[c->n_aliases++];
            if (rules->items[k]->kind != YAML_SCALAR || rules->items[k]->text.len == 0)
                plan_note(warnings, plan_error(diag, rules->items[k], "an alias is a map of rule to field"), diag);
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
    int err = correlation_texts(rs->arena, y, GROUP_BY_MAX, &c->group_by, &c->n_group, "group-by", diag);
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

static void check_keys(const struct yaml *map, const struct warnings *warnings, struct diag *diag)
{
    static const char *const known[] = {"type", "rules", "group-by", "timespan", "condition", "aliases", "generate"};
    for (size_t i = 0; i < map->n; i++) {
        bool is_known = false;
        for (size_t k = 0; k < ARRAY_LEN(known); k++)
            is_known |= str_eq(map->keys[i]->text, str_of(known[k]));
        if (!is_known)
            plan_note(warnings,
                      plan_error(diag, map->keys[i], "a correlation has no '" STR_FMT "'",
                                 (int)MIN(map->keys[i]->text.len, (size_t)60), map->keys[i]->text.p),
                      diag);
    }
}

static int parse_generate(const struct yaml *map, const struct yaml *doc, struct correlation *c, struct diag *diag)
{
    const struct yaml *y = yaml_get(map, "generate");
    y = y ? y : yaml_get(doc, "generate");
    return y ? yaml_bool(y, &c->is_generating, diag) : 0;
}

/* What does not depend on type and rules. */
static int parse_rest(struct ruleset *rs, const struct yaml *map, struct correlation *c,
                      const struct warnings *warnings, struct diag *diag)
{
    int err = plan_note(warnings, parse_group_by(rs, yaml_get(map, "group-by"), c, diag), diag);
    err = err < 0 ? err : plan_note(warnings, parse_timespan(map, map, &c->timespan_ns, diag), diag);
    err = err < 0 ? err : plan_note(warnings, parse_aliases(rs, yaml_get(map, "aliases"), c, warnings, diag), diag);
    c->period_ns = MAX(c->timespan_ns, PERIOD_MIN_NS);
    return err;
}

/* Where each of the rules is named, for what only linking finds. */
static int note_places(struct ruleset *rs, const struct yaml *rules, struct correlation *c)
{
    struct yaml *places = arena_array(rs->arena, c->n_rules, sizeof(*places));
    if (!places)
        return -ENOMEM;
    for (size_t i = 0; i < c->n_rules; i++) {
        const struct yaml *item = rules->kind == YAML_LIST ? rules->items[i] : rules;
        places[i] = (struct yaml){.line = item->line, .col = item->col};
    }
    c->rule_places = places;
    return 0;
}

static int parse_rules(struct ruleset *rs, const struct yaml *map, struct correlation *c, struct diag *diag)
{
    const struct yaml *rules = yaml_get(map, "rules");
    bool is_in_words = c->type >= CORRELATION_TEMPORAL && yaml_str(map, "condition").len > 0;
    if (!rules && !is_in_words)
        return plan_error(diag, map, "a correlation needs rules");
    const struct yaml *at = rules ? rules : yaml_get(map, "condition");
    c->line = at->line;
    c->col = at->col;
    if (!rules)
        return 0;
    int err = correlation_texts(rs->arena, rules, CORRELATION_RULES_MAX, &c->rule_names, &c->n_rules, "rules", diag);
    return err < 0 ? err : note_places(rs, rules, c);
}

int correlation_parse(struct ruleset *rs, struct rule_entry *entry, const struct yaml *doc,
                      const struct warnings *warnings, struct diag *diag)
{
    const struct yaml *map = yaml_get(doc, "correlation");
    struct correlation *c = arena_alloc(rs->arena, sizeof(*c));
    if (!c)
        return -ENOMEM;
    if (map->kind != YAML_MAP)
        return plan_error(diag, map, "correlation must be a map");
    c->entry = entry;
    entry->correlation = c;
    check_keys(map, warnings, diag);
    plan_note(warnings, parse_generate(map, doc, c, diag), diag);
    int err = parse_rest(rs, map, c, warnings, diag);
    err = err < 0 ? err : parse_type(map, map, &c->type, diag);
    err = err < 0 ? err : parse_rules(rs, map, c, diag);
    err = err < 0 ? err : correlation_condition(rs, c, map, warnings, diag);
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
