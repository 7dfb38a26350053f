/* SPDX-License-Identifier: Apache-2.0
 *
 * Sigma 2.1.0, appendix "modifiers". A chain is a few flags (all, neq, cased, expand), at most one kind of comparison (re,
 * cidr, lt, ...), and transformations of strings in the order written. Only detection.c calls this.
 */
#include "rules/modifier.h"

#include "rules/fold.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>

#define ENCODED_DASHES_MAX 5 /* 3,125 strings, three times that with base64offset */

enum group { FLAG, STRING, KIND, NUMBER, REGEX_FLAG, PART };

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
    {"minute", MODIFIER_MINUTE, PART},
    {"hour", MODIFIER_HOUR, PART},
    {"day", MODIFIER_DAY, PART},
    {"week", MODIFIER_WEEK, PART},
    {"month", MODIFIER_MONTH, PART},
    {"year", MODIFIER_YEAR, PART},
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

static bool is_position(enum modifier_id id)
{
    return id >= MODIFIER_CONTAINS && id <= MODIFIER_ENDSWITH;
}

/* Whether the modifier may come behind what the chain has so far. NULL, or why not. */
static const char *why_not(const struct chain *c, const struct modifier *m)
{
    bool is_part = c->kind >= MODIFIER_MINUTE && c->kind <= MODIFIER_YEAR;
    switch (m->group) {
    case FLAG:
        return m->id == MODIFIER_CASED && c->regex_flags & REGEX_I ? "contradicts 'i'" : NULL;
    case REGEX_FLAG:
        if (c->kind != MODIFIER_RE)
            return "only stands behind 're'";
        return m->id == MODIFIER_RE_I && c->is_cased ? "contradicts 'cased'" : NULL;
    case NUMBER:
        return is_part                   ? NULL
               : c->kind != MODIFIER_ALL ? "cannot be combined with another comparison"
               : c->n                    ? "cannot be combined with string modifiers"
                                         : NULL;
    case KIND:
    case PART:
        if (c->kind != MODIFIER_ALL)
            return "cannot be combined with another comparison";
        return c->n && m->id != MODIFIER_FIELDREF ? "cannot be combined with string modifiers" : NULL;
    case STRING:
        if (c->kind != MODIFIER_ALL &&
            !((c->kind == MODIFIER_FIELDREF || c->kind == MODIFIER_RE) && is_position(m->id)))
            return "cannot be combined with the comparison before it";
        return c->n == MODIFIERS_MAX ? "is one too many" : NULL;
    }
    return NULL;
}

static int chain_add(struct chain *c, const struct yaml *key, struct str word, struct diag *diag)
{
    const struct modifier *m = modifier_find(word);
    const char *why = m ? why_not(c, m) : "is not known";
    if (why)
        return error_in_key(key, word, diag, why);
    if (m->group == FLAG)
        set_flag(c, m->id);
    else if (m->group == REGEX_FLAG)
        c->regex_flags |= m->id == MODIFIER_RE_I ? REGEX_I : m->id == MODIFIER_RE_M ? REGEX_M : REGEX_S;
    else if (m->group == STRING)
        c->ids[c->n++] = m->id;
    else
        c->kind = m->id;
    if (m->group == PART)
        c->part = (enum date_part)(m->id - MODIFIER_MINUTE) + DATE_MINUTE;
    return 0;
}

static int chain_check(const struct chain *c, const struct yaml *key, struct diag *diag)
{
    if (c->field.len == 0 && c->kind != MODIFIER_ALL && c->kind != MODIFIER_RE)
        return plan_error(diag, key, "this comparison needs a field's name");
    if (c->kind == MODIFIER_EXISTS && (c->is_all || c->is_cased || c->is_expanding))
        return plan_error(diag, key, "'exists' goes with 'neq' only");
    if (c->kind >= MODIFIER_LT && (c->is_cased || c->is_expanding))
        return plan_error(diag, key, "numbers are neither cased nor expanded");
    if (c->kind == MODIFIER_CIDR && c->is_cased)
        return plan_error(diag, key, "a network is not cased");
    if (c->kind == MODIFIER_FIELDREF && c->is_expanding)
        return plan_error(diag, key, "'fieldref' takes a field's name, without placeholders");
    for (size_t i = 0; (c->kind == MODIFIER_FIELDREF || c->kind == MODIFIER_RE) && i < c->n; i++)
        if (!is_position(c->ids[i]) || c->n > 1)
            return plan_error(diag, key, "'%s' goes with one of contains, startswith and endswith only",
                              c->kind == MODIFIER_RE ? "re" : "fieldref");
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
    unsigned position = c->n == 0                          ? 0
                        : c->ids[0] == MODIFIER_STARTSWITH ? REGEX_START
                        : c->ids[0] == MODIFIER_ENDSWITH   ? REGEX_END
                                                           : 0; /* a regex looks everywhere anyway */
    int err = regex_compile(text, c->regex_flags | position, &r->code, &why);
    if (err < 0)
        return err == -ENOMEM ? err
                              : plan_error_in(diag, node, text.p == node->text.p && why.col ? (size_t)why.col - 1 : 0,
                                              "%s", why.msg);
    r->next = rs->regexes;
    rs->regexes = r;
    p->regex = r->code;
    return arena_str(rs->arena, text, &p->shown);
}

/* A number as YAML 1.2's core schema writes it (10.3.2), finite. */
static bool number_parse(struct str text, struct field *ret)
{
    char z[64], *end = NULL;
    bool is_octal = text.len > 2 && text.p[0] == '0' && text.p[1] == 'o';
    bool is_hex = text.len > 2 && text.p[0] == '0' && text.p[1] == 'x';
    if (text.len == 0 || text.len >= sizeof(z) || !strchr("+-.0123456789", text.p[0]))
        return false;
    memcpy(z, text.p, text.len);
    z[text.len] = 0;
    const char *start = z + (is_octal || is_hex ? 2 : 0);
    errno = 0;
    *ret = (struct field){.type = VALUE_INT, .i = strtoll(start, &end, is_octal ? 8 : is_hex ? 16 : 10)};
    if (errno == 0 && end == z + text.len)
        return strchr("+-", *start) == NULL || start == z;
    if (is_octal || z[strspn(z, "+-.0123456789eE")] != 0)
        return false;
    *ret = (struct field){.type = VALUE_FLOAT, .f = strtod(z, &end)};
    return end == z + text.len && isfinite(ret->f);
}

static int number_needle(const struct chain *c, const struct yaml *node, struct str text, struct needle *p,
                         struct diag *diag)
{
    static const enum needle_op ops[] = {NEEDLE_LT, NEEDLE_LTE, NEEDLE_GT, NEEDLE_GTE};
    struct field f;
    if (!number_parse(text, &f))
        return plan_error(diag, node,
                          c->part ? "a part of a date is compared with a number"
                                  : "lt, lte, gt and gte compare with a number");
    p->number = f.type == VALUE_INT ? (double)f.i : f.f;
    p->part = (uint8_t)c->part;
    p->op = c->kind > MODIFIER_GTE ? NEEDLE_PART : ops[c->kind - MODIFIER_LT];
    return 0;
}

static int fieldref_needle(struct ruleset *rs, const struct chain *c, const struct yaml *node, struct str text,
                           struct needle *p, struct diag *diag)
{
    p->op = NEEDLE_FIELD;
    p->is_cased = c->is_cased;
    p->relation = c->n == 0                          ? NEEDLE_EQUAL
                  : c->ids[0] == MODIFIER_CONTAINS   ? NEEDLE_CONTAINS
                  : c->ids[0] == MODIFIER_STARTSWITH ? NEEDLE_PREFIX
                                                     : NEEDLE_SUFFIX;
    if (text.len && (memchr(text.p, '*', text.len) || memchr(text.p, '?', text.len)))
        return plan_error(diag, node, "'fieldref' needs a field's name, without wildcards");
    int err = names_intern(rs->names, text, &p->other);
    return err == -ENOMEM ? err : err < 0 ? plan_error(diag, node, "'fieldref' needs a field's name") : 0;
}

/* Comparisons that are not strings. */
static int kind_needle(struct ruleset *rs, const struct chain *c, const struct yaml *node, struct str text,
                       struct needle *p, struct diag *diag)
{
    if (arena_str(rs->arena, text, &p->shown) < 0)
        return -ENOMEM;
    bool is_true;
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
        return fieldref_needle(rs, c, node, text, p, diag);
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

static int string_needles(struct ruleset *rs, const struct chain *c, size_t from, struct sigma_string s,
                          struct needle_list *out);

/* An encoding needs to know which dash stands there: one string for each. -ENOENT where s has none. */
static int dash_needles(struct ruleset *rs, const struct chain *c, size_t from, const struct sigma_string *s,
                        struct needle_list *out)
{
    size_t n_dashes = 0;
    for (size_t i = 0; i < s->n; i++)
        n_dashes += s->tokens[i].kind == TOKEN_DASH;
    if (n_dashes > ENCODED_DASHES_MAX)
        return -E2BIG;
    for (size_t i = 0; i < WINDASH_FORMS; i++) {
        struct sigma_string one;
        int err = sigma_string_with_dash(s, i, rs->arena, &one);
        err = err < 0 ? err : string_needles(rs, c, from, one, out);
        if (err < 0)
            return err;
    }
    return 0;
}

/* A keyword is looked for anywhere, unless its author says where. */
static bool has_position(const struct chain *c)
{
    bool has = false;
    for (size_t i = 0; i < c->n; i++)
        has |= is_position(c->ids[i]);
    return has;
}

static bool is_encoding(enum modifier_id id)
{
    return id >= MODIFIER_BASE64 && id <= MODIFIER_UTF16;
}

/* Transforms s by the chain from `from` on and adds the resulting needles. */
static int string_needles(struct ruleset *rs, const struct chain *c, size_t from, struct sigma_string s,
                          struct needle_list *out)
{
    for (size_t i = from; i < c->n; i++) {
        int with_dash = is_encoding(c->ids[i]) ? dash_needles(rs, c, i, &s, out) : -ENOENT;
        if (with_dash != -ENOENT)
            return with_dash;
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
    if (c->field.len == 0 && !has_position(c) && sigma_string_surround(&s, true, true, rs->arena) < 0)
        return -ENOMEM;
    struct needle *p;
    int err = list_add(rs, out, &p);
    return err < 0 ? err : needle_of_string(&s, c->is_cased, rs->arena, p);
}

/* A number also stands for the text it has in an event that writes it plainly: 0x1f for 31, 1.50 for 1.5, 007 for 7. */
static int add_number(struct ruleset *rs, const struct yaml *node, struct str text, struct needle_list *out)
{
    char scratch[32];
    struct field f;
    if (node->is_quoted || out->items[out->n - 1].op != NEEDLE_EQUAL || !number_parse(text, &f))
        return 0;
    struct str plain = field_text(&f, scratch);
    if (str_eq(plain, text))
        return 0;
    struct needle copy = out->items[out->n - 1], *p;
    int err = list_add(rs, out, &p);
    if (err == 0)
        *p = copy;
    return err < 0 ? err : arena_str(rs->arena, plain, &p->text);
}

int chain_needles(struct ruleset *rs, const struct chain *c, const struct yaml *node, struct str text, bool is_expanded,
                  struct needle_list *out, struct diag *diag)
{
    struct needle *p;
    if (!is_expanded && yaml_is_null(node)) {
        if (c->field.len == 0 || c->n || c->kind != MODIFIER_ALL || c->is_cased)
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
    return is_expanded || c->n ? 0 : add_result(add_number(rs, node, text, out), node, diag);
}
