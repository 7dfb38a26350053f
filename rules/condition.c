/* SPDX-License-Identifier: Apache-2.0
 *
 * Sigma's condition language. Recursive descent with a depth limit; binding, loosest first: or, and, not, "x of", brackets.
 *
 *     or    := and ("or" and)*
 *     and   := not ("and" not)*
 *     not   := "not" not | atom
 *     atom  := "(" or ")" | ("1" | "any" | "all") "of" ("them" | name with *) | name
 *
 * Called by detection.c with the document's selections.
 */
#include "rules/plan.h"

#include <errno.h>

struct parser {
    const struct yaml *node;
    struct str text;
    size_t at;
    int depth;
    size_t nodes;
    const struct selection *selections;
    size_t n_selections;
    struct arena *arena;
    const struct warnings *warnings;
    struct diag *diag;
};

static const struct expr unknown = {.kind = EXPR_OR}; /* stands for a selection that is not there */

const struct expr *expr_new(struct arena *arena, enum expr_kind kind, const struct expr **kids, size_t n)
{
    if (n == 1 && kind != EXPR_NOT)
        return kids[0];
    struct expr *e = arena_alloc(arena, sizeof(*e));
    const struct expr **copy = arena_array(arena, n, sizeof(*copy));
    if (!e || !copy)
        return NULL;
    memcpy(copy, kids, n * sizeof(*copy));
    *e = (struct expr){.kind = kind, .n = n, .kids = copy};
    return e;
}

static int error_at(const struct parser *p, size_t at, const char *what, struct str word)
{
    return plan_error_in(p->diag, p->node, at, "condition: %s%s" STR_FMT "%s", what, word.len ? " '" : "",
                         (int)MIN(word.len, (size_t)80), word.p ? word.p : "", word.len ? "'" : "");
}

/* Tells it and goes on, so that every such name of the condition is told. */
static int unknown_at(const struct parser *p, size_t at, struct str word, const struct expr **ret)
{
    *ret = &unknown;
    return plan_note(p->warnings, error_at(p, at, "no selection is called", word), p->diag);
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
           c == '.' || c == '*' || (uint8_t)c >= 0x80;
}

/* The next word or bracket, without taking it; empty at the end. */
static struct str peek(struct parser *p)
{
    while (p->at < p->text.len && is_space(p->text.p[p->at]))
        p->at++;
    size_t end = p->at;
    while (end < p->text.len && is_name(p->text.p[end]))
        end++;
    if (end == p->at && end < p->text.len)
        end++;
    return (struct str){p->text.p + p->at, end - p->at};
}

static bool take(struct parser *p, const char *word)
{
    struct str next = peek(p);
    if (!str_eq_nocase(next, str_of(word)))
        return false;
    p->at += next.len;
    return true;
}

/* Names that begin with '_' are left out unless the pattern asks for such names. */
static bool is_member(struct str pattern, struct str name)
{
    if (name.len && name.p[0] == '_' && pattern.p[0] != '_')
        return false;
    return str_eq_nocase(pattern, STR("them")) || str_glob(pattern, name);
}

static int parse_of(struct parser *p, bool is_all, const struct expr **ret)
{
    struct str pattern = peek(p);
    size_t at = p->at, n = 0;
    if (pattern.len == 0 || !is_name(pattern.p[0]))
        return error_at(p, at, "'of' needs 'them' or a selection's name", pattern);
    p->at += pattern.len;
    const struct expr **kids = arena_array(p->arena, p->n_selections + 1, sizeof(*kids));
    if (!kids)
        return -ENOMEM;
    for (size_t i = 0; i < p->n_selections; i++)
        if (is_member(pattern, p->selections[i].name))
            kids[n++] = p->selections[i].expr;
    if (n == 0)
        return unknown_at(p, at, pattern, ret);
    p->nodes += n;
    if (p->nodes > CONDITION_NODES_MAX)
        return error_at(p, at, "is too long", (struct str){0});
    *ret = expr_new(p->arena, is_all ? EXPR_AND : EXPR_OR, kids, n);
    return *ret ? 0 : -ENOMEM;
}

static int parse_or(struct parser *p, const struct expr **ret);

static int parse_brackets(struct parser *p, const struct expr **ret)
{
    int err = parse_or(p, ret);
    if (err < 0)
        return err;
    struct str next = peek(p);
    return take(p, ")") ? 0 : error_at(p, p->at, next.len ? "expected ')' before" : "a bracket is not closed", next);
}

static int parse_atom(struct parser *p, const struct expr **ret)
{
    if (take(p, "("))
        return parse_brackets(p, ret);
    size_t start = p->at;
    struct str word = peek(p);
    start = p->at;
    if (word.len == 0)
        return error_at(p, p->at, "ends where a selection is expected", word);
    if (word.p[0] == '|')
        return error_at(p, start, "aggregation with '|' is not part of Sigma 2, use a correlation rule",
                        (struct str){0});
    p->at += word.len;
    bool is_all = str_eq_nocase(word, STR("all"));
    bool is_one = str_eq(word, STR("1")) || str_eq_nocase(word, STR("any"));
    if ((is_all || is_one) && take(p, "of"))
        return parse_of(p, is_all, ret);
    for (size_t i = 0; i < p->n_selections; i++) {
        if (!str_eq(p->selections[i].name, word))
            continue;
        *ret = p->selections[i].expr;
        return 0;
    }
    if (str_eq_nocase(peek(p), STR("of")))
        return error_at(p, start, "only '1 of', 'any of' and 'all of' exist, not", word);
    return is_name(word.p[0]) ? unknown_at(p, start, word, ret) : error_at(p, start, "unexpected", word);
}

static int parse_not(struct parser *p, const struct expr **ret)
{
    if (++p->depth > CONDITION_DEPTH_MAX || ++p->nodes > CONDITION_NODES_MAX)
        return error_at(p, p->at, "is nested too deeply or too long", (struct str){0});
    int err;
    if (take(p, "not")) {
        const struct expr *inner;
        err = parse_not(p, &inner);
        if (err == 0) {
            *ret = expr_new(p->arena, EXPR_NOT, &inner, 1);
            err = *ret ? 0 : -ENOMEM;
        }
    } else {
        err = parse_atom(p, ret);
    }
    p->depth--;
    return err;
}

typedef int (*operand_fn)(struct parser *p, const struct expr **ret);

/* operand (word operand)*, joined into one node. */
static int parse_joined(struct parser *p, const char *word, enum expr_kind kind, operand_fn operand,
                        const struct expr **ret)
{
    const struct expr *few[16], **kids = few;
    size_t n = 0, cap = ARRAY_LEN(few);
    do {
        if (n == cap) {
            const struct expr **more = arena_array(p->arena, 2 * cap, sizeof(*more));
            if (!more)
                return -ENOMEM;
            memcpy(more, kids, n * sizeof(*more));
            kids = more;
            cap *= 2;
        }
        int err = operand(p, &kids[n++]);
        if (err < 0)
            return err;
    } while (take(p, word));
    *ret = expr_new(p->arena, kind, kids, n);
    return *ret ? 0 : -ENOMEM;
}

static int parse_and(struct parser *p, const struct expr **ret)
{
    return parse_joined(p, "and", EXPR_AND, parse_not, ret);
}

static int parse_or(struct parser *p, const struct expr **ret)
{
    return parse_joined(p, "or", EXPR_OR, parse_and, ret);
}

static int parse_one(struct parser *p, const struct yaml *node, const struct expr **ret)
{
    p->node = node;
    p->text = node->text;
    p->at = 0;
    p->depth = 0;
    if (node->kind != YAML_SCALAR || str_trim(node->text).len == 0)
        return plan_error(p->diag, node, "condition must be text");
    if (node->text.len > CONDITION_BYTES_MAX)
        return plan_error(p->diag, node, "condition is longer than %d bytes", CONDITION_BYTES_MAX);
    int err = parse_or(p, ret);
    if (err < 0)
        return err;
    struct str rest = peek(p);
    if (rest.len == 0)
        return 0;
    if (rest.p[0] == '|')
        return error_at(p, p->at, "aggregation with '|' is not part of Sigma 2, use a correlation rule",
                        (struct str){0});
    return error_at(p, p->at, "expected 'and' or 'or' before", rest);
}

int condition_parse(const struct yaml *node, const struct selection *selections, size_t n, struct arena *arena,
                    const struct warnings *warnings, const struct expr **ret, struct diag *diag)
{
    struct parser p = {.selections = selections, .n_selections = n, .arena = arena, .warnings = warnings, .diag = diag};
    if (node->kind != YAML_LIST)
        return parse_one(&p, node, ret);
    const struct expr **kids = arena_array(arena, node->n + 1, sizeof(*kids));
    if (!kids)
        return -ENOMEM;
    if (node->n == 0)
        return plan_error(diag, node, "condition must be text");
    for (size_t i = 0; i < node->n; i++) {
        kids[i] = &unknown;
        int err = plan_note(warnings, parse_one(&p, node->items[i], &kids[i]), diag);
        if (err < 0)
            return err;
    }
    *ret = expr_new(arena, EXPR_OR, kids, node->n);
    return *ret ? 0 : -ENOMEM;
}
