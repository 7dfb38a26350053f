/* SPDX-License-Identifier: Apache-2.0
 *
 * Walks the expression (PCRE2 syntax) once. A run of plain characters ends at anything else; a quantifier that allows none takes
 * the last character back. Groups with only one alternative are walked into, the others and all special groups are
 * skipped; an alternative at the top makes everything optional.
 */
#include "rules/regex_literal.h"

struct walk {
    struct str s;
    size_t at;
    char run[REGEX_LITERAL_MAX], *best;
    size_t n_run, n_best;
    int depth;
    bool is_hopeless;
};

#define WALK_DEPTH_MAX 32

static void end_run(struct walk *w)
{
    if (w->n_run > w->n_best) {
        memcpy(w->best, w->run, w->n_run);
        w->n_best = w->n_run;
    }
    w->n_run = 0;
}

static char peek(const struct walk *w)
{
    return w->at < w->s.len ? w->s.p[w->at] : '\0';
}

/* Index behind the class that begins at `at`, or the end. */
static size_t skip_class(struct str s, size_t at)
{
    at++;
    if (at < s.len && s.p[at] == '^')
        at++;
    if (at < s.len && s.p[at] == ']')
        at++;
    while (at < s.len && s.p[at] != ']') {
        if (s.p[at] == '[' && at + 1 < s.len && strchr(":.=", s.p[at + 1])) { /* [:alpha:] */
            char kind = s.p[at + 1];
            at += 2;
            while (at + 1 < s.len && !(s.p[at] == kind && s.p[at + 1] == ']'))
                at++;
            at += 2;
            continue;
        }
        at += s.p[at] == '\\' ? 2 : 1;
    }
    return MIN(at + 1, s.len);
}

/* Index behind the group that begins at `at`; *ret_has_choice: it has alternatives at its own level. */
static size_t skip_group(struct str s, size_t at, bool *ret_has_choice)
{
    size_t depth = 0;
    *ret_has_choice = false;
    while (at < s.len) {
        switch (s.p[at]) {
        case '\\':
            at++;
            break;
        case '[':
            at = skip_class(s, at);
            continue;
        case '(':
            depth++;
            break;
        case ')':
            if (--depth == 0)
                return at + 1;
            break;
        case '|':
            *ret_has_choice |= depth == 1;
            break;
        default:
            break;
        }
        at++;
    }
    return s.len;
}

enum quantity { ONCE, AT_LEAST_ONCE, MAYBE_NONE };

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Takes a quantifier. A '{' that is none is a plain character, and stays. */
static enum quantity take_quantifier(struct walk *w)
{
    enum quantity q = ONCE;
    char c = peek(w);
    if (c == '?' || c == '*' || c == '+') {
        q = c == '+' ? AT_LEAST_ONCE : MAYBE_NONE;
        w->at++;
    } else if (c == '{') {
        size_t end = w->at + 1;
        bool is_zero = true, is_quantifier = false;
        for (; end < w->s.len && (is_digit(w->s.p[end]) || w->s.p[end] == ',' || w->s.p[end] == ' '); end++)
            is_quantifier = true;
        if (!is_quantifier || end == w->s.len || w->s.p[end] != '}')
            return ONCE;
        for (size_t i = w->at + 1; i < end && w->s.p[i] != ','; i++)
            is_zero &= w->s.p[i] == '0' || w->s.p[i] == ' ';
        q = is_zero ? MAYBE_NONE : AT_LEAST_ONCE;
        w->at = end + 1;
    } else {
        return ONCE;
    }
    if (peek(w) == '?' || peek(w) == '+') /* lazy, possessive */
        w->at++;
    return q;
}

static void plain(struct walk *w, char c)
{
    enum quantity q = take_quantifier(w);
    if (w->n_run == REGEX_LITERAL_MAX)
        end_run(w);
    if (q != MAYBE_NONE)
        w->run[w->n_run++] = c;
    if (q != ONCE)
        end_run(w);
}

static void something(struct walk *w)
{
    take_quantifier(w);
    end_run(w);
}

static void escape(struct walk *w)
{
    char c = w->at + 1 < w->s.len ? w->s.p[w->at + 1] : '\0';
    bool is_alnum = is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    w->at += 2;
    if (c == 'b' || c == 'B' || c == 'A' || c == 'z' || c == 'Z')
        return; /* of no width */
    if (c == 't' || c == 'n' || c == 'r') {
        plain(w, c == 't' ? '\t' : c == 'n' ? '\n' : '\r');
    } else if (is_alnum || c == '\0' || (unsigned char)c >= 0x80) {
        w->is_hopeless |= !strchr("dDsSwWhHvVR", c) || c == '\0'; /* \Q, \x41, \p{L}, \1, ... */
        something(w);
    } else {
        plain(w, c);
    }
}

static void sequence(struct walk *w, size_t end);

static void group(struct walk *w)
{
    bool has_choice;
    size_t start = w->at, end = skip_group(w->s, start, &has_choice);
    size_t body = start + 1;
    bool is_special = body < w->s.len && (w->s.p[body] == '?' || w->s.p[body] == '*');
    if (is_special && body + 1 < w->s.len && w->s.p[body] == '?' && w->s.p[body + 1] == ':') {
        is_special = false;
        body += 2;
    }
    if (is_special) { /* (?i) and the like change what follows; x would make spaces meaningless */
        for (size_t i = body; i < end && w->s.p[i] != ')' && w->s.p[i] != ':'; i++)
            w->is_hopeless |= w->s.p[i] == 'x' || w->s.p[i] == '#';
    }
    w->at = end;
    enum quantity q = take_quantifier(w);
    if (q != ONCE || is_special || has_choice || w->depth >= WALK_DEPTH_MAX) {
        end_run(w);
        return;
    }
    size_t behind = w->at;
    w->at = body;
    w->depth++;
    sequence(w, end - 1);
    w->depth--;
    w->at = behind;
}

static void sequence(struct walk *w, size_t end)
{
    while (w->at < end && !w->is_hopeless) {
        char c = peek(w);
        if (c == '\\') {
            escape(w);
        } else if (c == '[') {
            w->at = skip_class(w->s, w->at);
            something(w);
        } else if (c == '(') {
            group(w);
        } else if (c == '|') {
            w->is_hopeless = true;
        } else if (c == '^' || c == '$') {
            w->at++;
        } else {
            w->at++;
            if (c == '.' || (unsigned char)c >= 0x80)
                something(w);
            else
                plain(w, c);
        }
    }
}

size_t regex_literal(struct str pattern, char ret[static REGEX_LITERAL_MAX])
{
    struct walk w = {.s = pattern, .best = ret};
    sequence(&w, pattern.len);
    end_run(&w);
    return w.is_hopeless ? 0 : w.n_best;
}
