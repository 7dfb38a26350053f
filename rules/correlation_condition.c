/* SPDX-License-Identifier: Apache-2.0
 *
 * Conditions of correlations: bounds ({gte: 10}, {gt: 100, lte: 200}) and, for the temporal types, words ("a and not (b or c)"
 * over the names of rules: draft 2.2 of the specification, SEP 198; grammar as pySigma has it, and/or/not in any case).
 * Words become alternatives, each with rules that must be there and rules that must not.
 *
 * Our reading where the specification leaves it open:
 *   - value_percentile compares the `percentile`th (0 to 100, 50 where absent) of the values in the window with the bounds. Between two
 *     values it is interpolated linearly. value_median is the 50th. pySigma and RSigma read it so.
 *   - temporal with bounds counts the different rules that hit. temporal_ordered takes no bounds but "all of them".
 *   - temporal_ordered with words: the rules that must be there come in the order of `rules`, the others nowhere in the window.
 */
#include "rules/plan.h"

#include <ctype.h>
#include <errno.h>

#define THRESHOLD_MAX 100000

/* ---- bounds ---- */

static bool is_counting(const struct correlation *c)
{
    return c->type == CORRELATION_EVENT_COUNT || c->type == CORRELATION_VALUE_COUNT ||
           c->type == CORRELATION_TEMPORAL || c->type == CORRELATION_TEMPORAL_ORDERED;
}

static int parse_bound(struct correlation *c, const struct yaml *key, const struct yaml *y, struct diag *diag)
{
    static const char *const names[] = {"lt", "lte", "gt", "gte", "eq", "neq"};
    size_t op = 0;
    while (op < BOUND_OPS && !str_eq(key->text, str_of(names[op])))
        op++;
    if (op == BOUND_OPS)
        return plan_error(diag, key, "a condition has no '" STR_FMT "': lt, lte, gt, gte, eq, neq, field, percentile",
                          (int)MIN(key->text.len, (size_t)60), key->text.p);
    struct bound *b = &c->bounds[c->n_bounds++]; /* YAML has each key once */
    b->op = (enum bound_op)op;
    if (y->kind != YAML_SCALAR || y->is_quoted || fixed_parse(y->text, &b->value) < 0)
        return plan_error(diag, y, "'%s' takes a number of at most 18 digits, and 9 after the point", names[op]);
    if (is_counting(c) && (b->value < 0 || b->value > (fixed)THRESHOLD_MAX * FIXED_ONE))
        return plan_error(diag, y, "'%s' of a count must be between 0 and %d", names[op], THRESHOLD_MAX);
    return 0;
}

static int parse_field(struct ruleset *rs, struct correlation *c, const struct yaml *y, struct diag *diag)
{
    if (c->type == CORRELATION_EVENT_COUNT || c->type >= CORRELATION_TEMPORAL)
        return plan_error(diag, y, "'field' does not go with this type of correlation");
    int err = correlation_texts(rs->arena, y, VALUE_FIELDS_MAX, &c->value_fields, &c->n_values, "field", diag);
    if (err == 0 && c->n_values > 1 && c->type != CORRELATION_VALUE_COUNT)
        return plan_error(diag, y, "only value_count takes several fields");
    return err;
}

/* Only lower bounds of counts stay true when a late event comes. */
static int settle_bounds(struct correlation *c, const struct yaml *y, struct diag *diag)
{
    int64_t least = 0;
    c->is_deferred = !is_counting(c);
    for (size_t i = 0; i < c->n_bounds; i++) {
        const struct bound *b = &c->bounds[i];
        if (b->op != BOUND_GT && b->op != BOUND_GTE)
            c->is_deferred = true;
        else if (is_counting(c))
            least = MAX(least, b->op == BOUND_GT ? (int64_t)(b->value / FIXED_ONE) + 1
                                                 : (int64_t)((b->value + FIXED_ONE - 1) / FIXED_ONE));
    }
    if (c->n_bounds == 0)
        return plan_error(diag, y, "the condition has no number: it is a map such as {gte: 10}");
    if (!c->is_deferred && least < 1)
        return plan_error(diag, y, "condition is true without any event");
    c->threshold = (uint32_t)least;
    if (c->type == CORRELATION_TEMPORAL && !c->is_deferred && c->threshold > c->n_rules)
        return plan_error(diag, y, "wants more different rules than the correlation refers to");
    if (c->type == CORRELATION_TEMPORAL_ORDERED && (c->is_deferred || c->threshold != c->n_rules))
        return plan_error(diag, y,
                          "temporal_ordered needs all of its rules: leave the condition out, or write it in words");
    return 0;
}

static int parse_bounds(struct ruleset *rs, struct correlation *c, const struct yaml *y,
                        const struct warnings *warnings, struct diag *diag)
{
    int64_t percentile = 50;
    size_t n_errors = *warnings->n_errors;
    for (size_t i = 0; i < y->n; i++) {
        const struct yaml *key = y->keys[i], *value = y->items[i];
        int err = 0;
        if (str_eq(key->text, STR("field")))
            err = parse_field(rs, c, value, diag);
        else if (str_eq(key->text, STR("percentile")) && c->type == CORRELATION_VALUE_PERCENTILE)
            err = yaml_int(value, 0, 100, &percentile, diag);
        else
            err = parse_bound(c, key, value, diag);
        err = plan_note(warnings, err, diag);
        if (err < 0)
            return err;
    }
    if (*warnings->n_errors > n_errors)
        return 0;
    c->percentile = (uint32_t)percentile;
    bool wants_field = c->type >= CORRELATION_VALUE_COUNT && c->type <= CORRELATION_VALUE_PERCENTILE;
    if (wants_field && c->n_values == 0)
        return plan_error(diag, y, "the condition needs a 'field' whose values are counted or computed with");
    return settle_bounds(c, y, diag);
}

/* ---- words ---- */

struct terms {
    struct term all[TERMS_MAX];
    size_t n;
};

struct words {
    struct ruleset *rs;
    struct correlation *c;
    const struct yaml *y;
    struct diag *diag;
    size_t at, depth;
    bool is_naming; /* there is no list of rules: the words are it */
    uint64_t used;
};

/* At the word, or where the words have been read up to. */
static int words_error(const struct words *w, const char *what, struct str word)
{
    const char *text = w->y->text.p;
    bool is_part = word.len && word.p >= text && word.p < text + w->y->text.len;
    return plan_error_in(w->diag, w->y, is_part ? (size_t)(word.p - text) : w->at, "%s" STR_FMT, what,
                         (int)MIN(word.len, (size_t)80), word.p);
}

static struct str peek_word(struct words *w)
{
    struct str s = w->y->text;
    while (w->at < s.len && isspace((unsigned char)s.p[w->at]))
        w->at++;
    size_t end = w->at;
    if (end < s.len && (s.p[end] == '(' || s.p[end] == ')'))
        return (struct str){s.p + end, 1};
    while (end < s.len && !isspace((unsigned char)s.p[end]) && s.p[end] != '(' && s.p[end] != ')')
        end++;
    return (struct str){s.p + w->at, end - w->at};
}

static bool take_word(struct words *w, const char *word)
{
    struct str next = peek_word(w);
    if (!str_eq_nocase(next, str_of(word)))
        return false;
    w->at += next.len;
    return true;
}

static int add_term(struct words *w, struct terms *to, struct term t)
{
    if (t.need & t.absent)
        return 0; /* can never hold */
    size_t kept = 0;
    for (size_t i = 0; i < to->n; i++) {
        const struct term *o = &to->all[i];
        if ((o->need & ~t.need) == 0 && (o->absent & ~t.absent) == 0)
            return 0; /* says less, so holds whenever this one does */
        if ((t.need & ~o->need) || (t.absent & ~o->absent))
            to->all[kept++] = *o;
    }
    to->n = kept;
    if (to->n == TERMS_MAX)
        return plan_error(w->diag, w->y, "the condition has more than %d alternatives", TERMS_MAX);
    to->all[to->n++] = t;
    return 0;
}

static int join(struct words *w, struct terms *a, const struct terms *b, bool is_or)
{
    struct terms all = {.n = 0};
    if (is_or) {
        for (size_t i = 0; i < b->n; i++)
            if (add_term(w, a, b->all[i]) < 0)
                return -EINVAL;
        return 0;
    }
    for (size_t i = 0; i < a->n; i++)
        for (size_t k = 0; k < b->n; k++)
            if (add_term(w, &all, (struct term){a->all[i].need | b->all[k].need, a->all[i].absent | b->all[k].absent}) <
                0)
                return -EINVAL;
    *a = all;
    return 0;
}

static int name_rule(struct words *w, struct str name, uint64_t *ret)
{
    struct correlation *c = w->c;
    size_t i = 0;
    while (i < c->n_rules && !str_eq(c->rule_names[i], name))
        i++;
    if (i == c->n_rules) {
        if (!w->is_naming)
            return words_error(w, "the condition names a rule that is not in 'rules': ", name);
        if (i == CORRELATION_RULES_MAX)
            return words_error(w, "the condition names too many rules, the last is ", name);
        if (arena_str(w->rs->arena, name, &c->rule_names[i]) < 0)
            return -ENOMEM;
        c->n_rules++;
    }
    *ret = UINT64_C(1) << i;
    w->used |= *ret;
    return 0;
}

static int parse_words(struct words *w, bool is_negated, bool is_and, struct terms *ret);

static int parse_operand(struct words *w, bool is_negated, struct terms *ret)
{
    while (take_word(w, "not"))
        is_negated = !is_negated;
    if (take_word(w, "(")) {
        if (++w->depth > CONDITION_DEPTH_MAX)
            return words_error(w, "the condition is nested too deeply", STR(""));
        int err = parse_words(w, is_negated, false, ret);
        w->depth--;
        if (err == 0 && !take_word(w, ")"))
            return words_error(w, "the condition lacks a ')'", STR(""));
        return err;
    }
    struct str name = peek_word(w);
    uint64_t rule = 0;
    if (name.len == 0 || str_eq(name, STR(")")) || str_eq_nocase(name, STR("and")) || str_eq_nocase(name, STR("or")))
        return words_error(w, "the condition needs the name of a rule before '", name);
    w->at += name.len;
    int err = name_rule(w, name, &rule);
    *ret = (struct terms){.n = 1, .all = {{is_negated ? 0 : rule, is_negated ? rule : 0}}};
    return err;
}

/* A run of operands joined by "or", or one level below by "and". Under a "not" the two change places (De Morgan). */
static int parse_words(struct words *w, bool is_negated, bool is_and, struct terms *ret)
{
    struct terms next;
    int err = is_and ? parse_operand(w, is_negated, ret) : parse_words(w, is_negated, true, ret);
    while (err == 0 && take_word(w, is_and ? "and" : "or")) {
        err = is_and ? parse_operand(w, is_negated, &next) : parse_words(w, is_negated, true, &next);
        err = err < 0 ? err : join(w, ret, &next, is_and == is_negated);
    }
    return err;
}

static int settle_terms(struct words *w, const struct terms *terms)
{
    struct correlation *c = w->c;
    for (size_t i = 0; i < c->n_rules; i++)
        if (!(w->used >> i & 1))
            return words_error(w, "the condition does not name all 'rules', as it must: ", c->rule_names[i]);
    if (terms->n == 0)
        return words_error(w, "the condition can never hold", STR(""));
    struct term *copy = arena_array(w->rs->arena, terms->n, sizeof(*copy));
    if (!copy)
        return -ENOMEM;
    memcpy(copy, terms->all, terms->n * sizeof(*copy));
    c->terms = copy;
    c->n_terms = terms->n;
    for (size_t i = 0; i < terms->n; i++) {
        c->is_deferred |= copy[i].absent != 0;
        if (copy[i].need == 0 && c->type == CORRELATION_TEMPORAL_ORDERED)
            return words_error(w, "an alternative of the condition needs no rule at all: nothing can be in order",
                               STR(""));
    }
    return 0;
}

static int parse_text(struct ruleset *rs, struct correlation *c, const struct yaml *y, struct diag *diag)
{
    struct words w = {.rs = rs, .c = c, .y = y, .diag = diag, .is_naming = c->n_rules == 0};
    struct terms terms;
    if (c->type != CORRELATION_TEMPORAL && c->type != CORRELATION_TEMPORAL_ORDERED)
        return plan_error(
            diag, y,
            "the condition of this type is a map such as {gte: 10}; words go with temporal and temporal_ordered");
    if (y->text.len > CONDITION_BYTES_MAX)
        return plan_error(diag, y, "the condition is longer than %d bytes", CONDITION_BYTES_MAX);
    if (w.is_naming) {
        c->rule_names = arena_array(rs->arena, CORRELATION_RULES_MAX, sizeof(*c->rule_names));
        if (!c->rule_names)
            return -ENOMEM;
    }
    int err = parse_words(&w, false, false, &terms);
    struct str rest = err == 0 ? peek_word(&w) : STR("");
    if (rest.len)
        return words_error(&w, "the condition does not go on like this: ", rest);
    return err < 0 ? err : settle_terms(&w, &terms);
}

/* ---- both ---- */

static int want_all(struct ruleset *rs, struct correlation *c)
{
    if (c->type == CORRELATION_TEMPORAL && c->n_terms == 0 && c->n_bounds == 0) {
        c->bounds[c->n_bounds++] = (struct bound){BOUND_GTE, (fixed)c->n_rules * FIXED_ONE};
        c->threshold = (uint32_t)c->n_rules;
    }
    if (c->type == CORRELATION_TEMPORAL_ORDERED && c->n_terms == 0) {
        struct term *all = arena_alloc(rs->arena, sizeof(*all));
        if (!all)
            return -ENOMEM;
        all->need = c->n_rules == 64 ? UINT64_MAX : (UINT64_C(1) << c->n_rules) - 1;
        c->terms = all;
        c->n_terms = 1;
    }
    return 0;
}

int correlation_condition(struct ruleset *rs, struct correlation *c, const struct yaml *map,
                          const struct warnings *warnings, struct diag *diag)
{
    const struct yaml *y = yaml_get(map, "condition");
    int err = 0;
    if (!y && c->type < CORRELATION_TEMPORAL)
        return plan_error(diag, map, "this type of correlation needs a condition");
    const struct yaml *percentile = yaml_get(y, "percentile");
    if (percentile && str_eq(yaml_str(map, "type"), STR("value_median")))
        return plan_error(diag, percentile, "a condition of value_median has no 'percentile': it is the 50th");
    if (y && y->kind == YAML_SCALAR && y->text.len)
        err = parse_text(rs, c, y, diag);
    else if (y && y->kind == YAML_MAP && y->n)
        err = parse_bounds(rs, c, y, warnings, diag);
    else if (y)
        return plan_error(diag, y, "condition of a correlation is a map such as {gte: 10}");
    return err < 0 ? err : want_all(rs, c);
}
