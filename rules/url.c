/* SPDX-License-Identifier: Apache-2.0
 *
 * Attackers hide "../" and quotes behind layers of encoding that some server or other takes off, so rules look at the
 * target with all layers off. No round makes the text longer, hence all of them work in place on one copy. Called
 * once for each access-log line; most have nothing to decode and cost two searches.
 */
#include "rules/url.h"

#include "rules/address.h"

#include <errno.h>

static bool is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Length of "scheme" when s begins with "scheme://", else 0. RFC 3986 section 3.1. */
static size_t scheme_len(struct str s)
{
    size_t i = 0;
    if (s.len == 0 || !is_alpha(s.p[0]))
        return 0;
    while (i < s.len && i < 16 &&
           (is_alpha(s.p[i]) || (s.p[i] >= '0' && s.p[i] <= '9') || s.p[i] == '+' || s.p[i] == '-' || s.p[i] == '.'))
        i++;
    return s.len - i >= 3 && memcmp(s.p + i, "://", 3) == 0 ? i : 0;
}

static void set_authority(struct str authority, struct url *ret)
{
    const char *at = authority.len ? memrchr(authority.p, '@', authority.len) : NULL;
    if (at) {
        size_t skip = (size_t)(at - authority.p) + 1;
        authority = (struct str){authority.p + skip, authority.len - skip};
    }
    if (!address_split_port(authority, &ret->domain, &ret->port))
        ret->domain = authority;
    struct str d = ret->domain;
    if (d.len > 2 && d.p[0] == '[' && d.p[d.len - 1] == ']')
        ret->domain = (struct str){d.p + 1, d.len - 2};
}

void url_split(struct str target, struct url *ret)
{
    *ret = (struct url){.port = -1};
    struct str rest = target;
    size_t n = scheme_len(target);
    if (n) {
        ret->scheme = (struct str){target.p, n};
        rest = (struct str){target.p + n + 3, target.len - n - 3};
        size_t end = 0;
        while (end < rest.len && rest.p[end] != '/' && rest.p[end] != '?' && rest.p[end] != '#')
            end++;
        set_authority((struct str){rest.p, end}, ret);
        rest = (struct str){rest.p + end, rest.len - end};
    } else if (target.len && target.p[0] != '/' && target.p[0] != '*' && memchr(target.p, '/', target.len) == NULL &&
               address_split_port(target, &ret->domain, &ret->port)) {
        set_authority(target, ret); /* CONNECT's authority form */
        return;
    }
    const char *mark = rest.len ? memchr(rest.p, '?', rest.len) : NULL;
    ret->path = rest;
    if (mark) {
        ret->has_query = true;
        ret->path.len = (size_t)(mark - rest.p);
        ret->query = (struct str){mark + 1, rest.len - ret->path.len - 1};
    }
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int hex_run(const char *p, size_t n)
{
    int v = 0;
    for (size_t i = 0; i < n; i++) {
        int h = hex_value(p[i]);
        if (h < 0)
            return -1;
        v = v * 16 + h;
    }
    return v;
}

/* Writes a code point below 0x10000. Returns the bytes written: at most 3. */
static size_t put_utf8(char *out, int c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xC0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3F));
        return 2;
    }
    out[0] = (char)(0xE0 | c >> 12);
    out[1] = (char)(0x80 | (c >> 6 & 0x3F));
    out[2] = (char)(0x80 | (c & 0x3F));
    return 3;
}

static size_t put_decoded(char *out, int c)
{
    if (c != 0)
        return put_utf8(out, c);
    out[0] = '\\';
    out[1] = '0';
    return 2;
}

/* Servers that know %uXXXX also take look-alikes for the ASCII character: full-width forms, division slashes. */
static int fold_lookalike(int c)
{
    if (c >= 0xFF01 && c <= 0xFF5E)
        return c - 0xFEE0;
    if (c == 0x2215 || c == 0x2044)
        return '/';
    return c == 0x2216 ? '\\' : c;
}

/* One round over p[0..len). Returns the new length; *changed when anything was decoded, *overlong when the result may
 * hold over-long UTF-8. */
static size_t decode_round(char *p, size_t len, bool plus_is_space, bool *changed, bool *overlong)
{
    size_t out = 0;
    bool in_query = false;
    for (size_t i = 0; i < len;) {
        char c = p[i];
        if (c == '%' && len - i >= 3) {
            int v = hex_run(p + i + 1, 2);
            if (v >= 0) {
                *changed = true;
                *overlong |= v >= 0xC0;
                if (v < 0x80)
                    out += put_decoded(p + out, v);
                else
                    p[out++] = (char)v;
                i += 3;
                continue;
            }
            if ((p[i + 1] == 'u' || p[i + 1] == 'U') && len - i >= 6 && (v = hex_run(p + i + 2, 4)) >= 0) {
                *changed = true;
                out += put_decoded(p + out, fold_lookalike(v));
                i += 6;
                continue;
            }
        }
        if (c == '+' && in_query && plus_is_space)
            c = ' ';
        in_query |= c == '?';
        p[out++] = c;
        i++;
    }
    return out;
}

static bool is_continuation(char c)
{
    return ((uint8_t)c & 0xC0) == 0x80;
}

/* Rewrites over-long sequences (2 to 4 bytes for what needs fewer) as the character they stand for. */
static size_t fold_overlong(char *p, size_t len)
{
    size_t out = 0;
    for (size_t i = 0; i < len;) {
        uint8_t b = (uint8_t)p[i];
        size_t n = b >= 0xF0 && b < 0xF8 ? 4 : b >= 0xE0 && b < 0xF0 ? 3 : b >= 0xC0 && b < 0xE0 ? 2 : 1;
        bool is_sequence = n > 1 && len - i >= n;
        int v = n == 2 ? b & 0x1F : n == 3 ? b & 0x0F : b & 0x07;
        for (size_t k = 1; k < n && is_sequence; k++) {
            is_sequence = is_continuation(p[i + k]);
            v = v << 6 | (p[i + k] & 0x3F);
        }
        if (is_sequence && v < (n == 2 ? 0x80 : n == 3 ? 0x800 : 0x10000)) {
            out += put_decoded(p + out, v);
            i += n;
            continue;
        }
        size_t keep = is_sequence ? n : 1;
        memmove(p + out, p + i, keep);
        out += keep;
        i += keep;
    }
    return out;
}

int url_decode(struct str target, struct arena *arena, struct str *ret)
{
    *ret = target;
    if (target.len == 0 || (memchr(target.p, '%', target.len) == NULL && memchr(target.p, '+', target.len) == NULL))
        return 0;
    char *p = arena_strndup(arena, target.p, target.len);
    if (!p)
        return -ENOMEM;
    size_t len = target.len;
    for (int round = 0; round < URL_DECODE_ROUNDS; round++) {
        bool changed = false, overlong = false;
        len = decode_round(p, len, round == 0, &changed, &overlong);
        if (overlong)
            len = fold_overlong(p, len);
        if (!changed)
            break;
    }
    *ret = (struct str){p, len};
    return 0;
}
