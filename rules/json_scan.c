/* SPDX-License-Identifier: Apache-2.0
 *
 * Journal and ECS records are flat and read once, so a walk without a tree is all that is needed: one pass, no
 * recursion (nested values are skipped with a stack of bits). The records come
 * from agents that may be hostile: every step checks the end. Called by decode_json.c only.
 */
#include "rules/json_scan.h"

#include "rules/json_string.h"

#include <errno.h>

static void skip_space(struct json_scan *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r'))
        s->p++;
}

/* *p is behind the opening quote; moves it behind the closing one. */
static int scan_string(const char **pp, const char *end, struct json_value *ret)
{
    const char *p = *pp;
    *ret = (struct json_value){.kind = JSON_STRING};
    for (;;) {
        p = json_find_special(p, end);
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

int json_text(const struct json_value *v, struct arena *arena, struct str *ret)
{
    *ret = v->text;
    if (!v->is_escaped)
        return 0;
    const char *end = v->text.p + v->text.len;
    char *start = arena_alloc(arena, v->text.len + JSON_SLACK),
         *out = start; /* no escape is shorter than its character */
    if (!start)
        return -ENOMEM;
    if (json_unescape(v->text.p, end, &out) != end)
        return -EBADMSG;
    *ret = (struct str){start, (size_t)(out - start)};
    return 0;
}
