/* SPDX-License-Identifier: Apache-2.0
 *
 * Choosing the comparison for a value, and running it. The wildcard match takes the parts between stars one after
 * the other, each at its leftmost place, which is never worse than another choice: its cost is bounded by value length
 * times needle length, whatever the needle. Regexes run under PCRE2's match limits.
 */
#include "rules/needle.h"

#include "rules/fold.h"
#include "rules/grams.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>

#define REGEX_TEXT_MAX    (16 * KIB)
#define REGEX_MATCH_LIMIT 50000
#define REGEX_DEPTH_LIMIT 10000
#define REGEX_HEAP_KIB    4096
#define REGEX_STACK_MIN   (32 * KIB)
#define REGEX_STACK_MAX   (1 * MIB)
#define FOLDED_FIRST      (256 * KIB) /* of an event, before the arena is asked */

/* ---- building ---- */

static int folded_copy(struct str s, struct arena *arena, struct str *ret)
{
    char *out = arena_alloc(arena, FOLD_MAX(s.len) + 1);
    if (!out)
        return -ENOMEM;
    *ret = (struct str){out, fold(s, out)};
    return 0;
}

static int show(const struct sigma_string *s, struct arena *arena, struct str *ret)
{
    size_t max = 1;
    for (size_t i = 0; i < s->n; i++)
        max += 2 * s->tokens[i].text.len + 3;
    char *out = arena_alloc(arena, max);
    if (!out)
        return -ENOMEM;
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++) {
        const struct token *t = &s->tokens[i];
        if (t->kind != TOKEN_TEXT) {
            out[n++] = t->kind == TOKEN_ANY ? '*' : t->kind == TOKEN_ONE ? '?' : '-';
            continue;
        }
        for (size_t k = 0; k < t->text.len; k++) {
            if (t->text.p[k] == '*' || t->text.p[k] == '?')
                out[n++] = '\\';
            out[n++] = t->text.p[k];
        }
    }
    *ret = (struct str){out, n};
    return 0;
}

/* EQUAL, PREFIX, SUFFIX, CONTAINS or ANY where the tokens allow it; *ret_text is the index of the only text. */
static enum needle_op simplest_op(const struct sigma_string *s, size_t *ret_text)
{
    const struct token *t = s->tokens;
    *ret_text = SIZE_MAX;
    if (s->n == 0)
        return NEEDLE_EQUAL;
    if (s->n == 1 && t[0].kind == TOKEN_ANY)
        return NEEDLE_ANY;
    size_t first = t[0].kind == TOKEN_ANY, last = s->n - 1 - (t[s->n - 1].kind == TOKEN_ANY);
    if (first != last || t[first].kind != TOKEN_TEXT)
        return NEEDLE_WILD;
    *ret_text = first;
    if (first == 0)
        return last == s->n - 1 ? NEEDLE_EQUAL : NEEDLE_PREFIX;
    return last == s->n - 1 ? NEEDLE_SUFFIX : NEEDLE_CONTAINS;
}

int needle_of_string(const struct sigma_string *s, bool is_cased, struct arena *arena, struct needle *ret)
{
    *ret = (struct needle){.is_cased = is_cased};
    size_t only;
    ret->op = simplest_op(s, &only);
    if (show(s, arena, &ret->shown) < 0)
        return -ENOMEM;
    struct token *tokens = arena_array(arena, s->n + 1, sizeof(*tokens));
    if (!tokens)
        return -ENOMEM;
    for (size_t i = 0; i < s->n; i++) {
        tokens[i] = s->tokens[i];
        if (tokens[i].kind != TOKEN_TEXT)
            continue;
        if (!is_cased && folded_copy(s->tokens[i].text, arena, &tokens[i].text) < 0)
            return -ENOMEM;
    }
    if (only != SIZE_MAX)
        ret->text = tokens[only].text;
    if (ret->op == NEEDLE_WILD)
        ret->wild = (struct sigma_string){tokens, s->n};
    return 0;
}

int address_parse(struct str s, uint8_t ret[static 16], bool *ret_is_v4)
{
    char z[INET6_ADDRSTRLEN];
    if (s.len >= sizeof(z) || s.len == 0 || memchr(s.p, 0, s.len))
        return -EINVAL;
    memcpy(z, s.p, s.len);
    z[s.len] = 0;
    *ret_is_v4 = inet_pton(AF_INET, z, ret + 12) == 1;
    if (*ret_is_v4) {
        memset(ret, 0, 10);
        memset(ret + 10, 0xff, 2);
        return 0;
    }
    return inet_pton(AF_INET6, z, ret) == 1 ? 0 : -EINVAL;
}

int cidr_parse(struct str s, struct cidr *ret)
{
    const char *slash = s.len ? memchr(s.p, '/', s.len) : NULL;
    struct str addr = {s.p, slash ? (size_t)(slash - s.p) : s.len};
    if (address_parse(addr, ret->addr, &ret->is_v4) < 0)
        return -EINVAL;
    int64_t bits = ret->is_v4 ? 32 : 128;
    if (slash && parse_i64((struct str){slash + 1, (size_t)(s.p + s.len - slash - 1)}, 0, bits, &bits) < 0)
        return -EINVAL;
    ret->bits = (uint8_t)(bits + (ret->is_v4 ? 96 : 0));
    return 0;
}

int regex_compile(struct str text, unsigned flags, pcre2_code **ret, struct diag *diag)
{
    if (text.len > REGEX_TEXT_MAX)
        return diag_set(diag, -EINVAL, "regular expression is longer than %zu bytes", REGEX_TEXT_MAX);
    uint32_t options = PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C;
    options |= (flags & REGEX_I ? PCRE2_CASELESS : 0) | (flags & REGEX_M ? PCRE2_MULTILINE : 0) |
               (flags & REGEX_S ? PCRE2_DOTALL : 0) | (flags & REGEX_START ? PCRE2_ANCHORED : 0) |
               (flags & REGEX_END ? PCRE2_ENDANCHORED : 0);
    int code;
    size_t at;
    *ret = pcre2_compile((PCRE2_SPTR)text.p, text.len, options, &code, &at, NULL);
    if (!*ret && code == PCRE2_ERROR_NOMEMORY)
        return -ENOMEM;
    if (!*ret) {
        uint8_t why[120] = "";
        pcre2_get_error_message(code, why, sizeof(why));
        return diag_at(diag, -EINVAL, 1, (int)at + 1, "regular expression, at offset %zu: %s", at, (const char *)why);
    }
    pcre2_jit_compile(*ret, PCRE2_JIT_COMPLETE); /* without JIT the interpreter does it */
    return 0;
}

/* ---- values ---- */

int match_env_init(struct match_env *env, struct arena *arena)
{
    *env = (struct match_env){.arena = arena, .data = pcre2_match_data_create(1, NULL)};
    env->context = pcre2_match_context_create(NULL);
    env->stack = pcre2_jit_stack_create(REGEX_STACK_MIN, REGEX_STACK_MAX, NULL);
    env->folded = malloc(FOLDED_FIRST);
    if (!env->data || !env->context || !env->stack || !env->folded) {
        match_env_clear(env);
        return -ENOMEM;
    }
    pcre2_set_match_limit(env->context, REGEX_MATCH_LIMIT);
    pcre2_set_depth_limit(env->context, REGEX_DEPTH_LIMIT);
    pcre2_set_heap_limit(env->context, REGEX_HEAP_KIB);
    pcre2_jit_stack_assign(env->context, NULL, env->stack);
    return 0;
}

void match_env_begin(struct match_env *env)
{
    arena_reset(env->arena);
    env->n_folded = 0;
    env->is_out_of_memory = false;
}

void match_env_clear(struct match_env *env)
{
    free(env->folded);
    pcre2_match_data_free(env->data);
    pcre2_match_context_free(env->context);
    pcre2_jit_stack_free(env->stack);
    *env = (struct match_env){0};
}

/* What field_text gives, several times as fast: numbers are in every event. */
static struct str int_text(int64_t i, char scratch[static 32])
{
    uint64_t n = i < 0 ? -(uint64_t)i : (uint64_t)i;
    size_t at = 32;
    do {
        scratch[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n);
    if (i < 0)
        scratch[--at] = '-';
    return (struct str){scratch + at, 32 - at};
}

void value_of_field(const struct field *f, struct value *ret)
{
    ret->field = f;
    ret->type = f->type;
    ret->is_folded = false;
    ret->text = f->type == VALUE_STR   ? f->s
                : f->type == VALUE_INT ? int_text(f->i, ret->scratch)
                                       : field_text(f, ret->scratch);
}

void value_of_text(struct str text, struct value *ret)
{
    ret->field = NULL;
    ret->type = VALUE_STR;
    ret->is_folded = false;
    ret->text = text;
}

void value_fold(struct value *v, struct match_env *env)
{
    if (v->is_folded)
        return;
    size_t need = 1 + FOLD_MAX(v->text.len) + 1 + GRAMS_PAD;
    bool fits = need <= FOLDED_FIRST - env->n_folded;
    char *out = fits ? env->folded + env->n_folded : arena_alloc(env->arena, need);
    v->is_folded = true;
    v->folded = (struct str){"", 0};
    if (!out) {
        env->is_out_of_memory = true;
        return;
    }
    out[0] = GRAMS_START;
    v->folded = (struct str){out + 1, fold(v->text, out + 1)};
    out[1 + v->folded.len] = GRAMS_END;
    memset(out + 1 + v->folded.len + 1, 0, GRAMS_PAD);
    if (fits)
        env->n_folded += 1 + v->folded.len + 1 + GRAMS_PAD;
}

/* ---- wildcards ---- */

/* Matches the token at the start of s. Returns true with the length used. */
static bool token_match(const struct token *t, struct str s, size_t *ret_len)
{
    uint32_t cp;
    switch (t->kind) {
    case TOKEN_TEXT:
        *ret_len = t->text.len;
        return str_starts(s, t->text);
    case TOKEN_ONE:
        *ret_len = s.len ? utf8_next(s, &cp) : 0;
        return s.len > 0;
    case TOKEN_DASH:
        if (s.len == 0)
            return false;
        *ret_len = utf8_next(s, &cp);
        return cp == '-' || cp == '/' || (cp >= 0x2013 && cp <= 0x2015);
    case TOKEN_ANY:
        break;
    }
    return false;
}

/* Matches tokens[0..n), none of them ANY, at the start of s. */
static bool part_match(const struct token *tokens, size_t n, struct str s, size_t *ret_len)
{
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        size_t len;
        if (!token_match(&tokens[i], (struct str){s.p + at, s.len - at}, &len))
            return false;
        at += len;
    }
    *ret_len = at;
    return true;
}

/* The leftmost place of the part in s. Returns true with the position behind it. */
static bool part_find(const struct token *tokens, size_t n, struct str s, size_t *ret_end)
{
    for (size_t at = 0; at <= s.len; at++) {
        struct str rest = {s.p + at, s.len - at};
        if (tokens[0].kind == TOKEN_TEXT) {
            const char *hit = rest.len ? memmem(rest.p, rest.len, tokens[0].text.p, tokens[0].text.len) : NULL;
            if (!hit)
                return false;
            at = (size_t)(hit - s.p);
            rest = (struct str){hit, s.len - at};
        }
        size_t len;
        if (part_match(tokens, n, rest, &len)) {
            *ret_end = at + len;
            return true;
        }
    }
    return false;
}

/* Matches the part so that it ends where s ends; it may start anywhere. Tries the places from the right, since only a few
 * can fit: a part of n tokens that are not text is at most 4n bytes longer than its texts. */
static bool part_ends(const struct token *tokens, size_t n, struct str s)
{
    size_t least = 0, slack = 0;
    for (size_t i = 0; i < n; i++) {
        least += tokens[i].kind == TOKEN_TEXT ? tokens[i].text.len : 1;
        slack += tokens[i].kind == TOKEN_TEXT ? 0 : 3;
    }
    for (size_t more = 0; more <= slack && least + more <= s.len; more++) {
        struct str tail = {s.p + s.len - least - more, least + more};
        size_t len;
        if (part_match(tokens, n, tail, &len) && len == tail.len)
            return true;
    }
    return false;
}

static bool wild_match(const struct sigma_string *w, struct str s)
{
    size_t at = 0;
    for (size_t i = 0; i < w->n;) {
        if (w->tokens[i].kind == TOKEN_ANY) {
            i++;
            continue;
        }
        size_t n = 1, end;
        while (i + n < w->n && w->tokens[i + n].kind != TOKEN_ANY)
            n++;
        bool is_first = i == 0, is_last = i + n == w->n;
        struct str rest = {s.p + at, s.len - at};
        if (is_last && !is_first)
            return part_ends(&w->tokens[i], n, rest);
        if (is_first ? !part_match(&w->tokens[i], n, rest, &end) : !part_find(&w->tokens[i], n, rest, &end))
            return false;
        if (is_first && is_last)
            return end == s.len;
        at += end;
        i += n;
    }
    return true;
}

/* ---- matching ---- */

static bool number_of(const struct value *v, double *ret)
{
    if (v->field && v->type == VALUE_INT)
        *ret = (double)v->field->i;
    else if (v->field && v->type == VALUE_FLOAT)
        *ret = v->field->f;
    else {
        char z[64], *end;
        if (v->type != VALUE_STR || v->text.len == 0 || v->text.len >= sizeof(z))
            return false;
        memcpy(z, v->text.p, v->text.len);
        z[v->text.len] = 0;
        if (!strchr("+-.0123456789", z[0]))
            return false; /* strtod would also take blanks, "inf" and "nan" */
        *ret = strtod(z, &end);
        return end == z + v->text.len;
    }
    return true;
}

static bool number_match(const struct needle *p, const struct value *v)
{
    double n;
    int64_t part;
    if (p->part != DATE_NONE) {
        if (v->type == VALUE_BOOL || !date_part(v->text, p->part, &part))
            return false;
        n = (double)part;
    } else if (!number_of(v, &n)) {
        return false;
    }
    switch (p->op) {
    case NEEDLE_PART:
        return n == p->number;
    case NEEDLE_LT:
        return n < p->number;
    case NEEDLE_LTE:
        return n <= p->number;
    case NEEDLE_GT:
        return n > p->number;
    default:
        return n >= p->number;
    }
}

static bool bits_equal(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    if (memcmp(a, b, bits / 8) != 0)
        return false;
    unsigned rest = bits % 8;
    return rest == 0 || (a[bits / 8] ^ b[bits / 8]) >> (8 - rest) == 0;
}

bool cidr_has_v4(const struct cidr *c)
{
    static const uint8_t v4[16] = {[10] = 0xff, [11] = 0xff};
    return bits_equal(v4, c->addr, MIN(c->bits, (uint8_t)96));
}

static bool cidr_match(const struct cidr *c, struct str text)
{
    uint8_t addr[16];
    bool is_v4;
    if (address_parse(text, addr, &is_v4) < 0 || (is_v4 && !c->is_v4))
        return false;
    return bits_equal(addr, c->addr, c->bits);
}

static bool regex_match(const pcre2_code *code, struct str text, struct match_env *env)
{
    int n = pcre2_match(code, (PCRE2_SPTR)(text.p ? text.p : ""), text.len, 0, 0, env->data, env->context);
    if (n < PCRE2_ERROR_NOMATCH && n != PCRE2_ERROR_PARTIAL)
        env->regex_gave_up++;
    return n >= 0;
}

static bool contains(struct str s, struct str needle)
{
    return needle.len == 0 || (s.len >= needle.len && memmem(s.p, s.len, needle.p, needle.len));
}

bool needle_match(const struct needle *p, struct value *v, struct match_env *env)
{
    if (v->type == VALUE_NULL)
        return false;
    if (!p->is_cased && p->op >= NEEDLE_EQUAL && p->op <= NEEDLE_WILD)
        value_fold(v, env);
    struct str s = p->is_cased ? v->text : v->folded;
    switch (p->op) {
    case NEEDLE_ANY:
        return true;
    case NEEDLE_EQUAL:
        return str_eq(s, p->text);
    case NEEDLE_PREFIX:
        return str_starts(s, p->text);
    case NEEDLE_SUFFIX:
        return str_ends(s, p->text);
    case NEEDLE_CONTAINS:
        return contains(s, p->text);
    case NEEDLE_WILD:
        return wild_match(&p->wild, s);
    case NEEDLE_REGEX:
        return regex_match(p->regex, v->text, env);
    case NEEDLE_CIDR:
        return cidr_match(&p->cidr, v->text);
    case NEEDLE_LT:
    case NEEDLE_LTE:
    case NEEDLE_GT:
    case NEEDLE_GTE:
    case NEEDLE_PART:
        return number_match(p, v);
    case NEEDLE_NULL:
    case NEEDLE_EXISTS:
    case NEEDLE_MISSING:
    case NEEDLE_FIELD:
        break;
    }
    return false;
}

bool value_relates(const struct needle *p, struct value *v, struct value *other, struct match_env *env)
{
    if (v->type == VALUE_NULL || other->type == VALUE_NULL)
        return v->type == other->type && p->relation == NEEDLE_EQUAL;
    if (!p->is_cased) {
        value_fold(v, env);
        value_fold(other, env);
    }
    struct str a = p->is_cased ? v->text : v->folded, b = p->is_cased ? other->text : other->folded;
    switch (p->relation) {
    case NEEDLE_PREFIX:
        return str_starts(a, b);
    case NEEDLE_SUFFIX:
        return str_ends(a, b);
    case NEEDLE_CONTAINS:
        return contains(a, b);
    default:
        return str_eq(a, b);
    }
}
