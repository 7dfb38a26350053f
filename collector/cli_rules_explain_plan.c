/* SPDX-License-Identifier: Apache-2.0
 *
 * The compiled plan of a rule: its log sources, what makes the matcher look at it at all, each test of its condition and how that
 * is decided. See cli_rules_explain.h.
 */
#include "collector/cli_rules_explain.h"

#include "collector/to_json.h"

#include <stdio.h>

#define PATTERNS_SHOWN 40
#define DEPTH_MAX      (CORRELATION_DEPTH_MAX + 1)

static const char *const op_names[] = {
    [NEEDLE_NULL] = "is absent or null",
    [NEEDLE_EXISTS] = "is there",
    [NEEDLE_MISSING] = "is absent",
    [NEEDLE_FIELD] = "compares with field",
    [NEEDLE_ANY] = "has any value",
    [NEEDLE_EQUAL] = "equals",
    [NEEDLE_PREFIX] = "starts with",
    [NEEDLE_SUFFIX] = "ends with",
    [NEEDLE_CONTAINS] = "contains",
    [NEEDLE_WILD] = "is like",
    [NEEDLE_REGEX] = "matches",
    [NEEDLE_CIDR] = "is in network",
    [NEEDLE_LT] = "<",
    [NEEDLE_LTE] = "<=",
    [NEEDLE_GT] = ">",
    [NEEDLE_GTE] = ">=",
    [NEEDLE_PART] = "is in part",
};

static struct str field_name(const struct explaining *x, name_id field)
{
    return field == F_NONE ? STR("the whole event") : names_text(x->rs->names, field);
}

static json_t *text_or_null(const char *z)
{
    return z ? to_json_text(str_of(z)) : json_null();
}

/* ---- tests ---- */

struct planned { /* one plan being told */
    struct explaining *x;
    const struct plan *plan;
    size_t n_tried, n_regexes; /* tests that the index does not decide */
};

/* The node of a leaf in the plan's program, or NULL. */
static const uint32_t *find_node(const struct plan *plan, const uint32_t *node, const struct leaf *leaf)
{
    const uint32_t *end = node + NODE_SIZE(*node), *found = NULL;
    if (NODE_KIND(*node) == NODE_LEAF)
        return plan->leaves[node[LEAF_PLACE]] == leaf ? node : NULL;
    for (const uint32_t *kid = node + 1; kid < end && !found; kid += NODE_SIZE(*kid))
        found = find_node(plan, kid, leaf);
    return found;
}

static json_t *describe_predicate(const struct explaining *x, uint32_t id)
{
    const struct predicate *p = &x->rs->index->predicates[id];
    struct str text = p->needle->text.len ? p->needle->text : p->needle->shown; /* a gate shows whose gate it is */
    return json_pack("{s:o, s:s, s:o}", "field", to_json_text(field_name(x, p->field)), "test", op_names[p->needle->op],
                     "pattern", to_json_text(text));
}

/* How the matcher decides a test: found by the index; tried, perhaps only behind a gate. */
static void add_decision(struct planned *p, uint32_t id, json_t *to)
{
    const struct predicate *predicate = &p->x->rs->index->predicates[id];
    bool is_gated = predicate->gate != PREDICATE_NONE;
    json_object_set_new(to, "decided",
                        json_string(predicate->is_found ? "index"
                                    : is_gated          ? "tried behind the index"
                                                        : "tried"));
    if (!predicate->is_found && is_gated)
        json_object_set_new(to, "gate", to_json_text(p->x->rs->index->predicates[predicate->gate].needle->text));
    p->n_tried += !predicate->is_found;
    p->n_regexes += predicate->needle->op == NEEDLE_REGEX;
}

static json_t *leaf_patterns(struct planned *p, const struct leaf *leaf)
{
    json_t *patterns = json_array();
    const uint32_t *node = find_node(p->plan, p->plan->program, leaf);
    for (size_t i = 0; i < leaf->n; i++) {
        const struct needle *needle = &leaf->needles[i];
        json_t *one = json_pack("{s:s, s:o}", "test", op_names[needle->op], "pattern", to_json_text(needle->shown));
        if (needle->is_cased)
            json_object_set_new(one, "cased", json_true());
        if (node && one)
            add_decision(p, node[LEAF_WORDS + i] & ~NODE_IS_TRIED, one);
        if (i < PATTERNS_SHOWN)
            json_array_append_new(patterns, one);
        else
            json_decref(one);
    }
    return patterns;
}

static json_t *explain_test(struct planned *p, const struct leaf *leaf, bool *ret_holds)
{
    name_id field = leaf->field == F_NONE ? F_NONE : p->plan->map[leaf->field];
    json_t *test =
        json_pack("{s:s, s:o, s:o, s:o, s:i, s:I, s:o}", "kind", "test", "selection", to_json_text(leaf->selection),
                  "field", to_json_text(leaf->field_name), "event_field", to_json_text(field_name(p->x, field)), "line",
                  leaf->line, "patterns_in_all", (json_int_t)leaf->n, "patterns", leaf_patterns(p, leaf));
    if (test && p->x->event)
        *ret_holds = explain_leaf(p->x, leaf, field, p->plan->map, test);
    return test;
}

static json_t *explain_expr(struct planned *p, const struct expr *e, bool *ret_holds)
{
    static const char *const kinds[] = {[EXPR_AND] = "and", [EXPR_OR] = "or", [EXPR_NOT] = "not"};
    if (e->kind == EXPR_LEAF)
        return explain_test(p, e->leaf, ret_holds);
    json_t *kids = json_array();
    size_t n = e->kind == EXPR_NOT ? 1 : e->n, n_true = 0;
    for (size_t i = 0; i < n; i++) {
        bool holds = false;
        json_array_append_new(kids, explain_expr(p, e->kids[i], &holds));
        n_true += holds;
    }
    *ret_holds = e->kind == EXPR_AND ? n_true == n : e->kind == EXPR_OR ? n_true > 0 : n_true == 0;
    json_t *node = json_pack("{s:s, s:o}", "kind", kinds[e->kind], "of", kids);
    if (p->x->event)
        json_object_set_new(node, "holds", json_boolean(*ret_holds));
    return node;
}

/* ---- what makes the matcher look ---- */

static bool has_plan(const struct index *ix, const struct span *span, uint32_t plan)
{
    for (uint32_t i = 0; i < span->n; i++)
        if (ix->triggered[span->first + i] == plan)
            return true;
    return false;
}

static json_t *trigger_of(const struct explaining *x, uint32_t plan, uint32_t source)
{
    const struct index *ix = x->rs->index;
    json_t *any = json_array();
    if (has_plan(ix, &ix->always[source], plan)) {
        json_decref(any);
        return json_pack("{s:s, s:[]}", "looks", "at every event of the log source", "any_of");
    }
    bool needs_field = false;
    for (uint32_t id = 0; id < ix->n_predicates; id++)
        if (has_plan(ix, &ix->predicates[id].plans, plan))
            json_array_append_new(any, describe_predicate(x, id));
    for (uint32_t f = 0; f < ix->n_fields; f++) {
        if (!has_plan(ix, &ix->fields[f].present, plan))
            continue;
        needs_field = true;
        json_array_append_new(any,
                              json_pack("{s:o, s:s, s:s}", "field", to_json_text(field_name(x, ix->fields[f].field)),
                                        "test", "is there", "pattern", ""));
    }
    return json_pack("{s:s, s:o}", "looks",
                     needs_field ? "at events that have one of these fields"
                                 : "only at events in which one of these is found",
                     "any_of", any);
}

static const char *cost_of(const struct planned *p, const json_t *trigger)
{
    bool is_found = strncmp(json_string_value(json_object_get(trigger, "looks")), "only", 4) == 0;
    if (is_found)
        return p->n_regexes ? "low: regular expressions, but only behind a trigger" : "very low";
    return p->n_regexes ? "high: regular expressions on every event looked at"
           : p->n_tried ? "medium: tests on every event looked at"
                        : "low";
}

/* ---- sources ---- */

static json_t *explain_when(const struct explaining *x, const struct source *s)
{
    json_t *all = json_array();
    for (size_t i = 0; i < s->n_when; i++) {
        json_t *values = json_array();
        for (size_t k = 0; k < s->when[i].n; k++)
            json_array_append_new(values, to_json_text(s->when[i].values[k]));
        json_array_append_new(
            all, json_pack("{s:o, s:o}", "field", to_json_text(field_name(x, s->when[i].field)), "is", values));
    }
    return all;
}

static json_t *explain_plan(struct explaining *x, uint32_t place)
{
    struct planned p = {.x = x, .plan = &x->rs->plans[place]};
    const struct source *s = x->rs->sources[p.plan->source];
    bool holds = false;
    json_t *trigger = trigger_of(x, place, p.plan->source), *why = NULL;
    json_t *condition = explain_expr(&p, p.plan->entry->expr, &holds);
    json_t *out = json_pack("{s:o, s:s, s:I, s:I, s:o, s:o}", "when", explain_when(x, s), "cost", cost_of(&p, trigger),
                            "tests_tried", (json_int_t)p.n_tried, "regexes", (json_int_t)p.n_regexes, "trigger",
                            trigger, "condition", condition);
    if (!out || !x->event)
        return out;
    bool fits = explain_source(x, s, &why);
    json_object_set_new(out, "fits", json_boolean(fits));
    if (why)
        json_object_set_new(out, "why_not", why);
    json_object_set_new(out, "matches", json_boolean(fits && holds));
    return out;
}

static bool any_matches(const json_t *list)
{
    size_t i;
    json_t *one;
    json_array_foreach(list, i, one) if (json_is_true(json_object_get(one, "matches"))) return true;
    return false;
}

/* ---- rules ---- */

static json_t *explain_detection(struct explaining *x, const struct rule_entry *e)
{
    json_t *sources = json_array();
    for (uint32_t i = 0; i < x->rs->n_plans; i++)
        if (x->rs->plans[i].entry == e)
            json_array_append_new(sources, explain_plan(x, i));
    return sources;
}

static void add_correlation(struct explaining *x, const struct rule_entry *e, json_t *to, int depth);

static json_t *explain_any(struct explaining *x, const struct rule_entry *e, int depth)
{
    const struct rule *r = &e->pub;
    bool is_detection = e->kind == ENTRY_DETECTION;
    json_t *out = json_pack("{s:o, s:o, s:o, s:i, s:s, s:b}", "id", text_or_null(r->id), "title",
                            text_or_null(r->title), "file", text_or_null(r->file), "line", r->line, "kind",
                            is_detection ? "detection" : "correlation", "silent", r->is_silent);
    if (!out)
        return NULL;
    if (is_detection) {
        json_t *sources = explain_detection(x, e);
        json_object_set_new(out, "logsource",
                            json_pack("{s:o, s:o, s:o}", "product", text_or_null(r->product), "category",
                                      text_or_null(r->category), "service", text_or_null(r->service)));
        if (x->event)
            json_object_set_new(out, "matches", json_boolean(any_matches(sources)));
        json_object_set_new(out, "sources", sources);
    } else if (depth < DEPTH_MAX) {
        add_correlation(x, e, out, depth);
    }
    return out;
}

static const char *type_of(const struct correlation *c)
{
    static const char *const types[] = {
        [CORRELATION_EVENT_COUNT] = "event_count",
        [CORRELATION_VALUE_COUNT] = "value_count",
        [CORRELATION_VALUE_SUM] = "value_sum",
        [CORRELATION_VALUE_AVG] = "value_avg",
        [CORRELATION_VALUE_PERCENTILE] = "value_percentile",
        [CORRELATION_TEMPORAL] = "temporal",
        [CORRELATION_TEMPORAL_ORDERED] = "temporal_ordered",
    };
    return types[c->type];
}

static void write_term(const struct correlation *c, const struct term *term, struct buf *out)
{
    const char *separator = "";
    for (size_t i = 0; i < c->n_rules; i++) {
        bool is_needed = term->need >> i & 1;
        if (!is_needed && !(term->absent >> i & 1))
            continue;
        buf_printf(out, "%s%s" STR_FMT, separator, is_needed ? "" : "not ", (int)MIN(c->rule_names[i].len, (size_t)100),
                   c->rule_names[i].p);
        separator = c->type == CORRELATION_TEMPORAL_ORDERED && is_needed ? ", then " : " and ";
    }
}

/* "sum of bytes > 100 and <= 200", "a and not b, or c": what must hold in the window. */
static json_t *condition_of(const struct correlation *c)
{
    static const char *const signs[] = {"<", "<=", ">", ">=", "=", "not"};
    CLEANUP(buf_clear) struct buf out = BUF_INIT(64 * KIB);
    for (size_t i = 0; i < c->n_values; i++)
        buf_printf(&out, "%s" STR_FMT, i ? ", " : "", (int)MIN(c->value_fields[i].len, (size_t)100),
                   c->value_fields[i].p);
    if (c->type == CORRELATION_VALUE_PERCENTILE)
        buf_printf(&out, ", percentile %u", c->percentile);
    for (size_t i = 0; i < c->n_bounds; i++)
        buf_printf(&out, "%s%s %.9g",
                   i             ? " and "
                   : c->n_values ? " "
                                 : "",
                   signs[c->bounds[i].op], (double)c->bounds[i].value / (double)FIXED_ONE);
    for (size_t i = 0; i < c->n_terms; i++) {
        if (i)
            buf_append_z(&out, ", or ");
        write_term(c, &c->terms[i], &out);
    }
    return to_json_text(buf_str(&out));
}

static void add_correlation(struct explaining *x, const struct rule_entry *e, json_t *to, int depth)
{
    const struct correlation *c = e->correlation;
    json_t *rules = json_array(), *groups = json_array();
    for (size_t i = 0; i < c->n_rules; i++)
        json_array_append_new(rules, explain_any(x, c->rules[i], depth + 1));
    for (size_t i = 0; i < c->n_group; i++)
        json_array_append_new(groups, to_json_text(c->group_by[i]));
    json_object_set_new(to, "type", json_string(type_of(c)));
    json_object_set_new(to, "condition", condition_of(c));
    json_object_set_new(to, "waits", json_boolean(c->is_deferred)); /* more events could take a trigger back */
    json_object_set_new(to, "timespan_s", json_real((double)c->timespan_ns / 1e9));
    json_object_set_new(to, "group_by", groups);
    if (x->event)
        json_object_set_new(to, "matches", json_boolean(any_matches(rules))); /* contributes */
    json_object_set_new(to, "rules", rules);
}

json_t *explain_rule(struct explaining *x, const struct rule_entry *e)
{
    return explain_any(x, e, 0);
}
