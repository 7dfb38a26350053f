/* SPDX-License-Identifier: Apache-2.0
 *
 * Sigma strings as tokens: the escaping rules of the specification, and the modifiers that turn one string into
 * another (windash, utf16, base64, base64offset). Called while rules are loaded, never per event.
 */
#include "rules/fold.h"
#include "rules/needle.h"

#include <errno.h>

static bool is_escapable(char c)
{
    return c == '*' || c == '?' || c == '\\';
}

int sigma_string_parse(struct str text, struct arena *arena, struct sigma_string *ret)
{
    size_t most = 1;
    for (size_t i = 0; i < text.len; i++)
        if (text.p[i] == '*' || text.p[i] == '?')
            most += 2;
    struct token *tokens = arena_array(arena, most, sizeof(*tokens));
    char *out = arena_alloc(arena, text.len + 1);
    if (!tokens || !out)
        return -ENOMEM;
    size_t n = 0, len = 0, start = 0;
    for (size_t i = 0; i <= text.len; i++) {
        bool is_wildcard = i < text.len && (text.p[i] == '*' || text.p[i] == '?');
        if ((is_wildcard || i == text.len) && len > start)
            tokens[n++] = (struct token){TOKEN_TEXT, {out + start, len - start}};
        if (i == text.len)
            break;
        if (is_wildcard) {
            if (text.p[i] == '?')
                tokens[n++].kind = TOKEN_ONE;
            else if (n == 0 || tokens[n - 1].kind != TOKEN_ANY)
                tokens[n++].kind = TOKEN_ANY;
            start = len;
            continue;
        }
        if (text.p[i] == '\\' && i + 1 < text.len && is_escapable(text.p[i + 1]))
            i++;
        out[len++] = text.p[i];
    }
    *ret = (struct sigma_string){tokens, n};
    return 0;
}

int sigma_string_plain(struct str text, struct arena *arena, struct sigma_string *ret)
{
    struct token *token = arena_alloc(arena, sizeof(*token));
    if (!token || arena_str(arena, text, &token->text) < 0)
        return -ENOMEM;
    token->kind = TOKEN_TEXT;
    *ret = (struct sigma_string){token, text.len ? 1 : 0};
    return 0;
}

int sigma_string_surround(struct sigma_string *s, bool before, bool after, struct arena *arena)
{
    before = before && !(s->n && s->tokens[0].kind == TOKEN_ANY);
    after = after && !(s->n && s->tokens[s->n - 1].kind == TOKEN_ANY) && !(s->n == 0 && before);
    struct token *tokens = arena_array(arena, s->n + 2, sizeof(*tokens));
    if (!tokens)
        return -ENOMEM;
    size_t n = 0;
    if (before)
        tokens[n++].kind = TOKEN_ANY;
    for (size_t i = 0; i < s->n; i++)
        tokens[n++] = s->tokens[i];
    if (after)
        tokens[n++].kind = TOKEN_ANY;
    *s = (struct sigma_string){tokens, n};
    return 0;
}

static bool is_word(uint8_t c)
{
    return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c >= 0x80;
}

/* Length of the dash at the start of s, or 0. */
static size_t dash_len(struct str s)
{
    if (s.len == 0)
        return 0;
    if (s.p[0] == '-' || s.p[0] == '/')
        return 1;
    uint32_t cp;
    size_t len = utf8_next(s, &cp);
    return cp >= 0x2013 && cp <= 0x2015 ? len : 0;
}

/* A dash counts where a flag can start: not behind a word character, and before one (so "a-b" and "C:/x/y" stay). */
static size_t flag_dash(struct str text, size_t at)
{
    size_t len = dash_len((struct str){text.p + at, text.len - at});
    if (len == 0 || at + len >= text.len || !is_word((uint8_t)text.p[at + len]) ||
        dash_len((struct str){text.p + at + len, text.len - at - len}))
        return 0;
    return at && is_word((uint8_t)text.p[at - 1]) ? 0 : len;
}

int sigma_string_windash(struct sigma_string *s, struct arena *arena)
{
    size_t most = 0;
    for (size_t i = 0; i < s->n; i++)
        most += 2 * s->tokens[i].text.len + 1;
    most = MIN(most, s->n + 2 * KIB);
    struct token *tokens = arena_array(arena, most + 1, sizeof(*tokens));
    if (!tokens)
        return -ENOMEM;
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++) {
        struct token *t = &s->tokens[i];
        size_t start = 0;
        for (size_t at = 0; t->kind == TOKEN_TEXT && at < t->text.len && n + 2 + s->n - i <= most; at++) {
            size_t len = flag_dash(t->text, at);
            if (len == 0)
                continue;
            if (at > start)
                tokens[n++] = (struct token){TOKEN_TEXT, {t->text.p + start, at - start}};
            tokens[n++].kind = TOKEN_DASH;
            start = at + len;
            at = start - 1;
        }
        if (t->kind != TOKEN_TEXT)
            tokens[n++] = *t;
        else if (start < t->text.len)
            tokens[n++] = (struct token){TOKEN_TEXT, {t->text.p + start, t->text.len - start}};
    }
    *s = (struct sigma_string){tokens, n};
    return 0;
}

int sigma_string_with_dash(const struct sigma_string *s, size_t i, struct arena *arena, struct sigma_string *ret)
{
    static const char *const dashes[WINDASH_FORMS] = {"-", "/", "\xe2\x80\x93", "\xe2\x80\x94", "\xe2\x80\x95"};
    size_t at = 0, n = 0;
    while (at < s->n && s->tokens[at].kind != TOKEN_DASH)
        at++;
    if (at == s->n)
        return -ENOENT;
    struct str dash = str_of(dashes[i]);
    bool joins_before = at > 0 && s->tokens[at - 1].kind == TOKEN_TEXT;
    bool joins_after = at + 1 < s->n && s->tokens[at + 1].kind == TOKEN_TEXT;
    struct str before = joins_before ? s->tokens[at - 1].text : (struct str){"", 0};
    struct str after = joins_after ? s->tokens[at + 1].text : (struct str){"", 0};
    struct token *tokens = arena_array(arena, s->n, sizeof(*tokens));
    char *text = arena_alloc(arena, before.len + dash.len + after.len);
    if (!tokens || !text)
        return -ENOMEM;
    memcpy(text, before.p, before.len);
    memcpy(text + before.len, dash.p, dash.len);
    memcpy(text + before.len + dash.len, after.p, after.len);
    for (size_t k = 0; k + joins_before < at; k++)
        tokens[n++] = s->tokens[k];
    tokens[n++] = (struct token){TOKEN_TEXT, {text, before.len + dash.len + after.len}};
    for (size_t k = at + 1 + joins_after; k < s->n; k++)
        tokens[n++] = s->tokens[k];
    *ret = (struct sigma_string){tokens, n};
    return 0;
}

static int text_utf16(struct str text, enum utf16_form form, struct arena *arena, struct str *ret)
{
    uint8_t *out = arena_array(arena, text.len + 1, 2);
    if (!out)
        return -ENOMEM;
    size_t n = 0;
    for (size_t i = 0; i < text.len;) {
        uint32_t cp;
        i += utf8_next((struct str){text.p + i, text.len - i}, &cp);
        if (cp == UINT32_MAX)
            return -EINVAL;
        uint16_t units[2] = {(uint16_t)cp, 0};
        size_t n_units = 1;
        if (cp >= 0x10000) {
            units[0] = (uint16_t)(0xd800 + ((cp - 0x10000) >> 10));
            units[1] = (uint16_t)(0xdc00 + (cp & 0x3ff));
            n_units = 2;
        }
        for (size_t u = 0; u < n_units; u++) {
            out[n++] = (uint8_t)(form == UTF16_BE ? units[u] >> 8 : units[u] & 0xff);
            out[n++] = (uint8_t)(form == UTF16_BE ? units[u] & 0xff : units[u] >> 8);
        }
    }
    *ret = (struct str){(const char *)out, n};
    return 0;
}

int sigma_string_utf16(struct sigma_string *s, enum utf16_form form, struct arena *arena)
{
    for (size_t i = 0; i < s->n; i++) {
        if (s->tokens[i].kind != TOKEN_TEXT)
            continue;
        int err = text_utf16(s->tokens[i].text, form, arena, &s->tokens[i].text);
        if (err < 0)
            return err;
    }
    if (form != UTF16_BOM || s->n == 0 || s->tokens[0].kind != TOKEN_TEXT)
        return 0;
    struct str old = s->tokens[0].text;
    char *marked = arena_alloc(arena, old.len + 2);
    if (!marked)
        return -ENOMEM;
    memcpy(marked, "\xff\xfe", 2);
    memcpy(marked + 2, old.p, old.len);
    s->tokens[0].text = (struct str){marked, old.len + 2};
    return 0;
}

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* RFC 4648 section 4, of `skip` zero bytes followed by `in`. */
static int base64(struct str in, size_t skip, struct arena *arena, struct str *ret)
{
    size_t total = in.len + skip;
    char *out = arena_alloc(arena, (total + 2) / 3 * 4 + 1);
    if (!out)
        return -ENOMEM;
    size_t n = 0;
    for (size_t i = 0; i < total; i += 3) {
        uint32_t group = 0;
        for (size_t k = i; k < i + 3; k++)
            group = group << 8 | (k >= skip && k < total ? (uint8_t)in.p[k - skip] : 0);
        for (size_t k = 0; k < 4; k++)
            out[n++] = i + k > total ? '=' : base64_digits[group >> (18 - 6 * k) & 63];
    }
    *ret = (struct str){out, n};
    return 0;
}

static bool has_wildcard(const struct sigma_string *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->tokens[i].kind != TOKEN_TEXT)
            return true;
    return false;
}

int sigma_string_base64(struct sigma_string *s, struct arena *arena)
{
    if (has_wildcard(s) || s->n != 1)
        return -EINVAL;
    return base64(s->tokens[0].text, 0, arena, &s->tokens[0].text);
}

int sigma_string_base64offset(const struct sigma_string *s, unsigned offset, struct arena *arena,
                              struct sigma_string *ret)
{
    static const size_t lost_before[] = {0, 2, 3};
    static const size_t lost_after[] = {0, 3, 2}; /* by how many bytes the last group holds; 0: whole */
    if (has_wildcard(s) || s->n != 1)
        return -EINVAL;
    struct str in = s->tokens[0].text, coded;
    if (base64(in, offset, arena, &coded) < 0)
        return -ENOMEM;
    size_t before = lost_before[offset], after = lost_after[(in.len + offset) % 3];
    if (before + after >= coded.len)
        return -ERANGE;
    return sigma_string_plain((struct str){coded.p + before, coded.len - before - after}, arena, ret);
}
