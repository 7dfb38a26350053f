/* SPDX-License-Identifier: Apache-2.0
 *
 * What is odd about a regular expression: it matches whatever comes, or takes long. Its text is read once, as far as shape
 * goes; PCRE2 is asked about the rest. Guesses, so warnings: PCRE2's limits keep the slowest expression bounded anyway.
 */
#include "rules/lint_regex.h"

#include "rules/regex_literal.h"

#define GROUPS_MAX      32
#define WIDE_MANY       4 /* unbounded repeats of nearly anything in one expression */
#define LITERAL_TOO_FEW 3

struct group { /* one pair of brackets that is open */
    bool has_unbounded, has_fixed;
    size_t n_mandatory; /* unbounded, but at least one: two of them in a row mostly fix where each ends */
};

struct shape {
    struct str text;
    size_t at;
    struct group groups[GROUPS_MAX];
    size_t depth, n_wide;
    bool is_nested;
};

static char at(const struct shape *s, size_t ahead)
{
    return s->at + ahead < s->text.len ? s->text.p[s->at + ahead] : '\0';
}

static void skip_class(struct shape *s)
{
    s->at++;
    s->at += at(s, 0) == '^';
    s->at += at(s, 0) == ']';
    while (s->at < s->text.len && at(s, 0) != ']')
        s->at += at(s, 0) == '\\' ? 2 : 1;
    s->at++;
}

/* Over a quantifier, if there is one. Sets *ret_optional for one that allows none. */
static bool take_unbounded(struct shape *s, bool *ret_optional)
{
    char c = at(s, 0);
    bool is_unbounded = c == '*' || c == '+';
    *ret_optional = c == '*' || c == '?';
    if (c == '{' && at(s, 1) >= '0' && at(s, 1) <= '9') {
        *ret_optional = at(s, 1) == '0';
        while (s->at < s->text.len && at(s, 0) != '}') {
            is_unbounded = at(s, 0) == ',' && at(s, 1) == '}';
            s->at++;
        }
        s->at++;
    } else if (is_unbounded || c == '?') {
        s->at++;
    } else {
        return false;
    }
    bool is_possessive = at(s, 0) == '+';
    s->at += is_possessive || at(s, 0) == '?';
    return is_unbounded && !is_possessive;
}

static void close_group(struct shape *s)
{
    struct group inner = s->groups[s->depth];
    bool is_optional;
    s->depth--;
    if (take_unbounded(s, &is_optional)) {
        s->is_nested |= inner.has_unbounded && !inner.has_fixed && inner.n_mandatory < 2;
        s->groups[s->depth].has_unbounded = true;
    } else {
        s->groups[s->depth].has_unbounded |= inner.has_unbounded;
        s->groups[s->depth].has_fixed |= inner.has_fixed && !is_optional;
    }
}

static void open_group(struct shape *s)
{
    s->at++;
    if (at(s, 0) == '?') { /* (?: (?i) (?= and so on: what stands before the first ':' or letter's end is no atom */
        s->at++;
        while (s->at < s->text.len && !strchr(":=!>)", at(s, 0)))
            s->at++;
        s->at += at(s, 0) != ')';
    }
    s->groups[++s->depth] = (struct group){0};
}

static void take_atom(struct shape *s)
{
    char c = at(s, 0), escaped = at(s, 1);
    bool is_anchor = c == '^' || c == '$' || (c == '\\' && (escaped == 'b' || escaped == 'B'));
    bool is_wide = c == '.' || (c == '[' && escaped == '^') || (c == '\\' && escaped && strchr("SWDw", escaped));
    if (c == '[')
        skip_class(s);
    else
        s->at += c == '\\' ? 2 : 1;
    bool is_optional;
    bool is_unbounded = take_unbounded(s, &is_optional);
    s->groups[s->depth].has_unbounded |= is_unbounded;
    s->groups[s->depth].n_mandatory += is_unbounded && !is_optional;
    s->groups[s->depth].has_fixed |= !is_unbounded && !is_optional && !is_anchor;
    s->n_wide += is_unbounded && is_wide;
}

static void read_shape(struct shape *s)
{
    while (s->at < s->text.len) {
        char c = at(s, 0);
        if (c == '(' && s->depth + 1 < GROUPS_MAX) {
            open_group(s);
        } else if (c == ')' && s->depth > 0) {
            s->at++;
            close_group(s);
        } else if (c == '|') { /* another way through: what was fixed before is no longer certain */
            s->groups[s->depth].has_fixed = false;
            s->groups[s->depth].n_mandatory = 0;
            s->at++;
        } else {
            take_atom(s);
        }
    }
}

static bool matches(const pcre2_code *code, pcre2_match_data *data, struct str subject)
{
    return pcre2_match(code, (PCRE2_SPTR)subject.p, subject.len, 0, PCRE2_NO_JIT, data, NULL) >= 0;
}

/* It matches nothing at all, and several things that have nothing in common. */
static bool always_matches(const pcre2_code *code)
{
    static const struct str samples[] = {{"", 0}, {"\x01", 1}, {"aZ9 -/\\:_", 9}, {"\xc4\x91\n", 3}};
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    bool does = data != NULL;
    for (size_t i = 0; does && i < ARRAY_LEN(samples); i++)
        does = matches(code, data, samples[i]);
    pcre2_match_data_free(data);
    return does;
}

const char *regex_oddity(struct str text, const pcre2_code *code)
{
    char literal[REGEX_LITERAL_MAX];
    struct shape s = {.text = text};
    if (always_matches(code))
        return "the expression matches every value, even an empty one";
    read_shape(&s);
    if (s.is_nested)
        return "slow: a repeat within a repeat, with nothing fixed between, takes exponential time on some values";
    if (str_starts(text, STR(".*")) || str_starts(text, STR("^.*")))
        return "slow: a leading '.*' changes nothing, as expressions are not anchored; leave it out";
    if (s.n_wide >= WIDE_MANY)
        return "slow: many unbounded repeats of nearly anything: time grows with a power of the value's length";
    if (regex_literal(text, literal) < LITERAL_TOO_FEW)
        return "slow: no text of three characters is in every match, so the expression is tried on every value";
    return NULL;
}
