/* SPDX-License-Identifier: Apache-2.0
 *
 * Sigma 2.1.0, appendix "modifiers". A chain is a few flags (all, neq, cased, expand), at most one kind of comparison (re,
 * cidr, lt, ...), and transformations of strings in the order written. Only detection.c calls this.
 */
#include "rules/modifier.h"

#include "rules/fold.h"

#include <errno.h>
#include <stdio.h>

enum group { FLAG, STRING, KIND, NUMBER, REGEX_FLAG, LATER };

struct modifier {
    const char *name;
    enum modifier_id id;
    enum group group;
};

static const struct modifier modifiers[] = {
    {"all", MODIFIER_ALL, FLAG},
    {"neq", MODIFIER_NEQ, FLAG},
    {"cased", MODIFIER_CASED, FLAG},
    {"expand", MODIFIER_EXPAND, FLAG},
    {"contains", MODIFIER_CONTAINS, STRING},
    {"startswith", MODIFIER_STARTSWITH, STRING},
    {"endswith", MODIFIER_ENDSWITH, STRING},
    {"windash", MODIFIER_WINDASH, STRING},
    {"base64", MODIFIER_BASE64, STRING},
    {"base64offset", MODIFIER_BASE64OFFSET, STRING},
    {"utf16le", MODIFIER_UTF16LE, STRING},
    {"wide", MODIFIER_UTF16LE, STRING},
    {"utf16be", MODIFIER_UTF16BE, STRING},
    {"utf16", MODIFIER_UTF16, STRING},
    {"re", MODIFIER_RE, KIND},
    {"i", MODIFIER_RE_I, REGEX_FLAG},
    {"m", MODIFIER_RE_M, REGEX_FLAG},
    {"s", MODIFIER_RE_S, REGEX_FLAG},
    {"ignorecase", MODIFIER_RE_I, REGEX_FLAG}, /* pySigma's long names */
    {"multiline", MODIFIER_RE_M, REGEX_FLAG},
    {"dotall", MODIFIER_RE_S, REGEX_FLAG},
    {"cidr", MODIFIER_CIDR, KIND},
    {"exists", MODIFIER_EXISTS, KIND},
    {"fieldref", MODIFIER_FIELDREF, KIND},
    {"lt", MODIFIER_LT, NUMBER},
    {"lte", MODIFIER_LTE, NUMBER},
    {"gt", MODIFIER_GT, NUMBER},
    {"gte", MODIFIER_GTE, NUMBER},
    {"minute", MODIFIER_ALL, LATER},
    {"hour", MODIFIER_ALL, LATER},
    {"day", MODIFIER_ALL, LATER},
    {"week", MODIFIER_ALL, LATER},
    {"month", MODIFIER_ALL, LATER},
    {"year", MODIFIER_ALL, LATER},
};

/* ---- the chain ---- */

static int error_in_key(const struct yaml *key, struct str word, struct diag *diag, const char *what)
{
    return plan_error_in(diag, key, (size_t)(word.p - key->text.p), "modifier '" STR_FMT "' %s",
                         (int)MIN(word.len, (size_t)60), word.p, what);
}

static const struct modifier *modifier_find(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(modifiers); i++)
        if (str_eq(name, str_of(modifiers[i].name)))
            return &modifiers[i];
    return NULL;
}

static void set_flag(struct chain *c, enum modifier_id id)
{
    c->is_all |= id == MODIFIER_ALL;
    c->is_neq |= id == MODIFIER_NEQ;
    c->is_cased |= id == MODIFIER_CASED;
    c->is_expanding |= id == MODIFIER_EXPAND;
}

static int chain_add(struct chain *c, const struct yaml *key, struct str word, struct diag *diag)
{
    const struct modifier *m = modifier_find(word);
    if (!m)
        return error_in_key(key, word, diag, "is not known");
    bool is_comparison = m->group == KIND || m->group == NUMBER;
    if (m->group == LATER)
        return error_in_key(key, word, diag, "(time modifiers) is not supported yet");
    if (m->group == REGEX_FLAG && c->kind != MODIFIER_RE)
        return error_in_key(key, word, diag, "only stands behind 're'");
    if (is_comparison && c->kind != MODIFIER_ALL)
        return error_in_key(key, word, diag, "cannot be combined with another comparison");
    if (is_comparison && c->n && m->id != MODIFIER_FIELDREF)
        return error_in_key(key, word, diag, "cannot be combined with string modifiers");
    if (m->group == STRING && c->kind != MODIFIER_ALL &&
        !(c->kind == MODIFIER_FIELDREF && m->id >= MODIFIER_CONTAINS && m->id <= MODIFIER_ENDSWITH))
        return error_in_key(key, word, diag, "cannot be combined with the comparison before it");
    if (c->n == MODIFIERS_MAX)
        return error_in_key(key, word, diag, "is one too many");
    if (m->group == FLAG)
        set_flag(c, m->id);
    else if (m->group == REGEX_FLAG)
        c->regex_flags |= m->id == MODIFIER_RE_I ? REGEX_I : m->id == MODIFIER_RE_M ? REGEX_M : REGEX_S;
    else if (is_comparison)
        c->kind = m->id;
    else
        c->ids[c->n++] = m->id;
    return 0;
}

static int chain_check(const struct chain *c, const struct yaml *key, struct diag *diag)
{
    if (c->field.len == 0 && c->kind != MODIFIER_ALL && c->kind != MODIFIER_RE)
        return plan_error(diag, key, "this comparison needs a field's name");
    if (c->kind == MODIFIER_EXISTS && (c->is_all || c->is_neq || c->is_cased || c->is_expanding))
        return plan_error(diag, key, "modifier 'exists' stands alone");
    if (c->kind >= MODIFIER_LT && (c->is_cased || c->is_expanding))
        return plan_error(diag, key, "numbers are neither cased nor expanded");
    for (size_t i = 0; c->kind == MODIFIER_FIELDREF && i < c->n; i++)
        if (c->ids[i] < MODIFIER_CONTAINS || c->ids[i] > MODIFIER_ENDSWITH || c->n > 1)
            return plan_error(diag, key, "'fieldref' goes with one of contains, startswith and endswith only");
    return 0;
}

int chain_parse(const struct yaml *key, struct chain *ret, struct diag *diag)
{
    *ret = (struct chain){.kind = MODIFIER_ALL};
    struct str rest = key->text;
    for (bool is_first = true;; is_first = false) {
        const char *bar = rest.len ? memchr(rest.p, '|', rest.len) : NULL;
        struct str word = {rest.p, bar ? (size_t)(bar - rest.p) : rest.len};
        if (is_first) {
            ret->field = word;
        } else {
            int err = chain_add(ret, key, word, diag);
            if (err < 0)
                return err;
        }
        if (!bar)
            return chain_check(ret, key, diag);
        rest = (struct str){bar + 1, (size_t)(rest.p + rest.len - bar - 1)};
    }
}

/* ---- values ---- */

static int list_add(struct ruleset *rs, struct needle_list *list, struct needle **ret)
{
    if (list->n == RULE_NEEDLES_MAX)
        return -E2BIG;
    if (list->n == list->cap) {
        size_t cap = list->cap ? 2 * list->cap : 4;
        struct needle *more = arena_array(rs->arena, cap, sizeof(*more));
        if (!more)
            return -ENOMEM;
        if (list->n)
            memcpy(more, list->items, list->n * sizeof(*more));
        list->items = more;
        list->cap = cap;
    }
    *ret = &list->items[list->n++];
    return 0;
}

static int add_result(int err, const struct yaml *node, struct diag *diag)
{
    if (err == -E2BIG)
        return plan_error(diag, node, "more than %d values in one rule", RULE_NEEDLES_MAX);
    return err;
}

static int regex_needle(struct ruleset *rs, const struct chain *c, const struct yaml *node, struct str text,
                        struct needle *p, struct diag *diag)
{
    struct regex *r = arena_alloc(rs->arena, sizeof(*r));
    if (!r)
        return -ENOMEM;
    struct diag why = {0};
    int err = regex_compile(text, c->regex_flags, &r->code, &why);
    if (err < 0)
        return err == -ENOMEM ? err
                              : plan_error_in(diag, node, text.p == node->text.p && why.col ? (size_t)why.col - 1 : 0,
                                              "%s", why.msg);
    r->next = rs->regexes;
    rs->regexes = r;
    p->regex = r->code;
    return arena_str(rs->arena, text, &p->shown);
}

static int number_needle(const struct chain *c, const struct yaml *node, struct str text, struct needle *p,
                         struct diag *diag)
{
    static const enum needle_op ops[] = {NEEDLE_LT, NEEDLE_LTE, NEEDLE_GT, NEEDLE_GTE};
    char z[64], *end = NULL;
    if (text.len && text.len < sizeof(z) && strchr("+-.0123456789", text.p[0])) {
        memcpy(z, text.p, text.len);
        z[text.len] = 0;
        p->number = strtod(z, &end);
        end = end == z + text.len ? end : NULL;
    }
    if (!end)
        return plan_error(diag, node, "lt, lte, gt and gte compare with a number");
    p->op = ops[c->kind - MODIFIER_LT];
    return 0;
}

/* Comparisons that are not strings. */
static int kind_needle(struct ruleset *rs, const struct chain *c, const struct yaml *node, struct str text,
                       struct needle *p, struct diag *diag)
{
    if (arena_str(rs->arena, text, &p->shown) < 0)
        return -ENOMEM;
    bool is_true;
    int err;
    switch (c->kind) {
    case MODIFIER_RE:
        p->op = NEEDLE_REGEX;
        return regex_needle(rs, c, node, text, p, diag);
    case MODIFIER_CIDR:
        p->op = NEEDLE_CIDR;
        if (cidr_parse(text, &p->cidr) < 0)
            return plan_error(diag, node, "'" STR_FMT "' is not a network in CIDR notation",
                              (int)MIN(text.len, (size_t)60), text.p);
        return 0;
    case MODIFIER_EXISTS:
        if (yaml_bool(node, &is_true, NULL) < 0)
            return plan_error(diag, node, "'exists' is true or false");
        p->op = is_true ? NEEDLE_EXISTS : NEEDLE_MISSING;
        return 0;
    case MODIFIER_FIELDREF:
        p->op = NEEDLE_FIELD;
        p->relation = c->n == 0                          ? NEEDLE_EQUAL
                      : c->ids[0] == MODIFIER_CONTAINS   ? NEEDLE_CONTAINS
                      : c->ids[0] == MODIFIER_STARTSWITH ? NEEDLE_PREFIX
                                                         : NEEDLE_SUFFIX;
        err = names_intern(rs->names, text, &p->other);
        return err == -ENOMEM ? err : err < 0 ? plan_error(diag, node, "'fieldref' needs a field's name") : 0;
    default:
        return number_needle(c, node, text, p, diag);
    }
}

static int transform(struct ruleset *rs, enum modifier_id id, struct sigma_string *s)
{
    struct arena *a = rs->arena;
    switch (id) {
    case MODIFIER_CONTAINS:
        return sigma_string_surround(s, true, true, a);
    case MODIFIER_STARTSWITH:
        return sigma_string_surround(s, false, true, a);
    case MODIFIER_ENDSWITH:
        return sigma_string_surround(s, true, false, a);
    case MODIFIER_WINDASH:
        return sigma_string_windash(s, a);
    case MODIFIER_BASE64:
        return sigma_string_base64(s, a);
    case MODIFIER_UTF16LE:
        return sigma_string_utf16(s, UTF16_LE, a);
    case MODIFIER_UTF16BE:
        return sigma_string_utf16(s, UTF16_BE, a);
    default:
        return sigma_string_utf16(s, UTF16_BOM, a);
    }
}

/* Transforms s by the chain from `from` on and adds the resulting needles. */
static int string_needles(struct ruleset *rs, const struct chain *c, size_t from, struct sigma_string s,
                          struct needle_list *out)
{
    for (size_t i = from; i < c->n; i++) {
        if (c->ids[i] == MODIFIER_BASE64OFFSET) {
            for (unsigned offset = 0; offset < 3; offset++) {
                struct sigma_string part;
                int err = sigma_string_base64offset(&s, offset, rs->arena, &part);
                if (err == 0)
                    err = string_needles(rs, c, i + 1, part, out);
                if (err < 0 && err != -ERANGE)
                    return err;
            }
            return 0;
        }
        int err = transform(rs, c->ids[i], &s);
        if (err < 0)
            return err;
    }
    if (c->field.len == 0 && sigma_string_surround(&s, true, true, rs->arena) < 0)
        return -ENOMEM;
    struct needle *p;
    int err = list_add(rs, out, &p);
    return err < 0 ? err : needle_of_string(&s, c->is_cased, rs->arena, p);
}

/* Plain numbers of YAML 1.2's core schema also equal numbers written otherwise: 0x1f, 007, 1.50. */
static void mark_number(const struct yaml *node, struct str text, struct needle *p)
{
    char z[64], *end;
    if (node->is_quoted || p->op != NEEDLE_EQUAL || text.len == 0 || text.len >= sizeof(z) ||
        !strchr("+-.0123456789", text.p[0]))
        return;
    memcpy(z, text.p, text.len);
    z[text.len] = 0;
    p->number = strtod(z, &end);
    p->is_number = end == z + text.len;
}

int chain_needles(struct ruleset *rs, const struct chain *c, const struct yaml *node, struct str text, bool is_expanded,
                  struct needle_list *out, struct diag *diag)
{
    struct needle *p;
    if (!is_expanded && yaml_is_null(node)) {
        if (c->field.len == 0 || c->n || c->kind != MODIFIER_ALL)
            return plan_error(diag, node, "null goes with a plain field only");
        int err = list_add(rs, out, &p);
        if (err == 0)
            *p = (struct needle){.op = NEEDLE_NULL, .shown = STR("null")};
        return add_result(err, node, diag);
    }
    if (c->kind != MODIFIER_ALL) {
        int err = list_add(rs, out, &p);
        return add_result(err < 0 ? err : kind_needle(rs, c, node, text, p, diag), node, diag);
    }
    struct sigma_string s;
    if (sigma_string_parse(text, rs->arena, &s) < 0)
        return -ENOMEM;
    size_t before = out->n;
    int err = string_needles(rs, c, 0, s, out);
    if (err == -EINVAL)
        return plan_error(diag, node,
                          "base64, base64offset and utf16 take plain text without wildcards, and not empty");
    if (err < 0)
        return add_result(err, node, diag);
    if (out->n == before)
        return plan_error(diag, node, "value is too short for base64offset");
    if (!is_expanded)
        mark_number(node, text, &out->items[out->n - 1]);
    return 0;
}
