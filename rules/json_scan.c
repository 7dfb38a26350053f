/* SPDX-License-Identifier: Apache-2.0
 *
 * Journal and ECS records are flat and read once, so a walk without a tree is all that is needed: one pass, no
 * recursion (nested values are skipped with a stack of bits), strings searched eight bytes at a time. The records come
 * from agents that may be hostile: every step checks the end. Called by decode_json.c only.
 */
#include "rules/json_scan.h"

#include <errno.h>

#define ONES  UINT64_C(0x0101010101010101)
#define HIGHS UINT64_C(0x8080808080808080)

static void skip_space(struct json_scan *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r'))
        s->p++;
}

/* Whether any of the eight bytes is a quote, a backslash or below 0x20. */
static bool has_special(uint64_t w)
{
    uint64_t quote = w ^ (ONES * '"'), slash = w ^ (ONES * '\\');
    return (((quote - ONES) & ~quote) | ((slash - ONES) & ~slash) | ((w - ONES * 0x20) & ~w)) & HIGHS;
}

/* *p is behind the opening quote; moves it behind the closing one. */
static int scan_string(const char **pp, const char *end, struct json_value *ret)
{
    const char *p = *pp;
    *ret = (struct json_value){.kind = JSON_STRING};
    for (;;) {
        while (end - p >= 8) {
            uint64_t w;
            memcpy(&w, p, 8);
            if (has_special(w))
                break;
            p += 8;
        }
        while (p < end && *p != '"' && *p != '\\' && (uint8_t)*p >= 0x20)
            p++;
        if (p >= end || (uint8_t)*p < 0x20)
            return -EBADMSG;
        if (*p == '"')
            break;
        if (end - p < 2)
            return -EBADMSG;
        ret->is_escaped = true;
        p += 2;
    }
    ret->text = (struct str){*pp, (size_t)(p - *pp)};
    *pp = p + 1;
    return 0;
}

static int scan_word(struct json_scan *s, const char *word, enum json_kind kind, struct json_value *ret)
{
    size_t len = strlen(word);
    if ((size_t)(s->end - s->p) < len || memcmp(s->p, word, len) != 0)
        return -EBADMSG;
    *ret = (struct json_value){.kind = kind, .text = {s->p, len}};
    s->p += len;
    return 0;
}

static int scan_number(struct json_scan *s, struct json_value *ret)
{
    const char *start = s->p;
    bool has_digit = false;
    while (s->p < s->end && ((*s->p >= '0' && *s->p <= '9') || *s->p == '-' || *s->p == '+' || *s->p == '.' ||
                             *s->p == 'e' || *s->p == 'E')) {
        has_digit |= *s->p >= '0' && *s->p <= '9';
        s->p++;
    }
    if (!has_digit)
        return -EBADMSG;
    *ret = (struct json_value){.kind = JSON_NUMBER, .text = {start, (size_t)(s->p - start)}};
    return 0;
}

/* Over a nested array or object. Checks that brackets pair and strings end; its inside is checked when it is walked. */
static int scan_nested(struct json_scan *s, struct json_value *ret)
{
    const char *start = s->p;
    uint64_t is_object = 0; /* one bit a level */
    int depth = 0;
    do {
        if (s->p >= s->end)
            return -EBADMSG;
        char c = *s->p++;
        if (c == '"') {
            struct json_value ignored;
            int r = scan_string(&s->p, s->end, &ignored);
            if (r < 0)
                return r;
        } else if (c == '{' || c == '[') {
            if (++depth > JSON_DEPTH_MAX)
                return -EBADMSG;
            is_object = is_object << 1 | (c == '{');
        } else if (c == '}' || c == ']') {
            if ((is_object & 1) != (c == '}'))
                return -EBADMSG;
            is_object >>= 1;
            depth--;
        }
    } while (depth > 0);
    *ret = (struct json_value){
        .kind = *start == '{' ? JSON_OBJECT : JSON_ARRAY,
        .text = {start, (size_t)(s->p - start)},
    };
    return 0;
}

static int scan_value(struct json_scan *s, struct json_value *ret)
{
    if (s->p >= s->end)
        return -EBADMSG;
    switch (*s->p) {
    case '"':
        s->p++;
        return scan_string(&s->p, s->end, ret);
    case '{':
    case '[':
        return scan_nested(s, ret);
    case 't':
        return scan_word(s, "true", JSON_TRUE, ret);
    case 'f':
        return scan_word(s, "false", JSON_FALSE, ret);
    case 'n':
        return scan_word(s, "null", JSON_NULL, ret);
    default:
        return scan_number(s, ret);
    }
}

int json_open_record(struct json_scan *s, struct str text)
{
    *s = (struct json_scan){.p = text.p, .end = text.p + text.len, .close = '}', .is_first = true};
    if (text.len == 0)
        return -EBADMSG;
    skip_space(s);
    if (s->p >= s->end || *s->p != '{')
        return -EBADMSG;
    s->p++;
    return 0;
}

void json_open_value(struct json_scan *s, const struct json_value *v)
{
    *s = (struct json_scan){
        .p = v->text.p + 1,
        .end = v->text.p + v->text.len,
        .close = v->kind == JSON_OBJECT ? '}' : ']',
        .is_first = true,
        .is_nested = true,
    };
}

/* 1 when a member or element follows, 0 at the close. */
static int next_item(struct json_scan *s)
{
    skip_space(s);
    if (s->p >= s->end)
        return -EBADMSG;
    if (*s->p == s->close) {
        s->p++;
        skip_space(s);
        return s->p == s->end ? 0 : -EBADMSG;
    }
    if (!s->is_first) {
        if (*s->p != ',')
            return -EBADMSG;
        s->p++;
        skip_space(s);
    }
    s->is_first = false;
    return 1;
}

int json_next_member(struct json_scan *s, struct json_value *ret_key, struct json_value *ret)
{
    int r = next_item(s);
    if (r <= 0)
        return r;
    if (s->p >= s->end || *s->p != '"')
        return -EBADMSG;
    s->p++;
    r = scan_string(&s->p, s->end, ret_key);
    if (r < 0)
        return r;
    skip_space(s);
    if (s->p >= s->end || *s->p != ':')
        return -EBADMSG;
    s->p++;
    skip_space(s);
    r = scan_value(s, ret);
    return r < 0 ? r : 1;
}

int json_next_element(struct json_scan *s, struct json_value *ret)
{
    int r = next_item(s);
    if (r <= 0)
        return r;
    r = scan_value(s, ret);
    return r < 0 ? r : 1;
}

static int hex4(const char *p, const char *end)
{
    int v = 0;
    if (end - p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        int h = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;
        if (h < 0)
            return -1;
        v = v << 4 | h;
    }
    return v;
}

static char *put_utf8(char *out, int c)
{
    if (c < 0x80) {
        *out++ = (char)c;
    } else if (c < 0x800) {
        *out++ = (char)(0xC0 | c >> 6);
        *out++ = (char)(0x80 | (c & 0x3F));
    } else if (c < 0x10000) {
        *out++ = (char)(0xE0 | c >> 12);
        *out++ = (char)(0x80 | (c >> 6 & 0x3F));
        *out++ = (char)(0x80 | (c & 0x3F));
    } else {
        *out++ = (char)(0xF0 | c >> 18);
        *out++ = (char)(0x80 | (c >> 12 & 0x3F));
        *out++ = (char)(0x80 | (c >> 6 & 0x3F));
        *out++ = (char)(0x80 | (c & 0x3F));
    }
    return out;
}

/* p is behind "\u"; moves it behind the escape, or behind a pair of surrogates. -1: not four hex digits. */
static int take_unicode(const char **pp, const char *end)
{
    const char *p = *pp;
    int c = hex4(p, end);
    if (c < 0)
        return -1;
    p += 4;
    if (c >= 0xD800 && c < 0xDC00 && end - p >= 6 && p[0] == '\\' && p[1] == 'u') {
        int low = hex4(p + 2, end);
        if (low >= 0xDC00 && low < 0xE000) {
            c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
            p += 6;
        }
    }
    *pp = p;
    return c >= 0xD800 && c < 0xE000 ? 0xFFFD : c;
}

int json_text(const struct json_value *v, struct arena *arena, struct str *ret)
{
    *ret = v->text;
    if (!v->is_escaped)
        return 0;
    char *start = arena_strndup(arena, v->text.p, v->text.len); /* no escape is shorter than what it stands for */
    if (!start)
        return -ENOMEM;
    char *out = start;
    for (const char *p = v->text.p, *end = p + v->text.len; p < end;) {
        if (*p != '\\') {
            *out++ = *p++;
            continue;
        }
        static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
        if (end - p < 2)
            return -EBADMSG;
        char c = p[1];
        p += 2;
        const char *known = c ? strchr(from, c) : NULL;
        if (known) {
            *out++ = to[known - from];
        } else {
            int code = c == 'u' ? take_unicode(&p, end) : -1;
            if (code < 0)
                return -EBADMSG;
            out = put_utf8(out, code);
        }
    }
    *ret = (struct str){start, (size_t)(out - start)};
    return 0;
}
