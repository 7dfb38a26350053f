/* SPDX-License-Identifier: Apache-2.0
 *
 * Slices, globs and checked numbers. The one hard thing is the glob: a '*' remembers where it stood, and only the last
 * one is ever retried, since a later '*' can absorb whatever an earlier one might have. So the work is bounded by
 * length of pattern times length of text, without recursion. Called from everywhere.
 */
#include "common/base.h"

#include <errno.h>

static uint8_t ascii_lower(char c)
{
    uint8_t u = (uint8_t)c;
    return u >= 'A' && u <= 'Z' ? (uint8_t)(u + ('a' - 'A')) : u;
}

static bool ascii_is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

bool str_eq_nocase(struct str a, struct str b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        if (ascii_lower(a.p[i]) != ascii_lower(b.p[i]))
            return false;
    }
    return true;
}

bool str_starts(struct str s, struct str prefix)
{
    return s.len >= prefix.len && str_eq((struct str){s.p, prefix.len}, prefix);
}

bool str_ends(struct str s, struct str suffix)
{
    if (suffix.len == 0)
        return true;
    return s.len >= suffix.len && memcmp(s.p + (s.len - suffix.len), suffix.p, suffix.len) == 0;
}

struct str str_trim(struct str s)
{
    while (s.len > 0 && ascii_is_space(s.p[0])) {
        s.p++;
        s.len--;
    }
    while (s.len > 0 && ascii_is_space(s.p[s.len - 1]))
        s.len--;
    return s;
}

bool str_glob(struct str pattern, struct str s)
{
    size_t p = 0, i = 0;
    size_t star = SIZE_MAX, star_i = 0; /* behind the last '*', and where its run ends in s */

    while (i < s.len) {
        if (p < pattern.len && pattern.p[p] == '*') {
            star = ++p;
            star_i = i;
        } else if (p < pattern.len && (pattern.p[p] == '?' || pattern.p[p] == s.p[i])) {
            p++;
            i++;
        } else if (star != SIZE_MAX) {
            p = star;
            i = ++star_i;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.p[p] == '*')
        p++;
    return p == pattern.len;
}

size_t utf8_char_len(struct str s)
{
    if (s.len == 0)
        return 0;
    const uint8_t *p = (const uint8_t *)s.p;
    if (p[0] < 0x80)
        return 1;
    size_t n;
    uint8_t lo = 0x80, hi = 0xBF; /* what the second byte may be: shuts out overlong forms and surrogates */
    if (p[0] >= 0xC2 && p[0] <= 0xDF) {
        n = 2;
    } else if (p[0] >= 0xE0 && p[0] <= 0xEF) {
        n = 3;
        lo = p[0] == 0xE0 ? 0xA0 : 0x80;
        hi = p[0] == 0xED ? 0x9F : 0xBF;
    } else if (p[0] >= 0xF0 && p[0] <= 0xF4) {
        n = 4;
        lo = p[0] == 0xF0 ? 0x90 : 0x80;
        hi = p[0] == 0xF4 ? 0x8F : 0xBF;
    } else {
        return 0;
    }
    if (s.len < n || p[1] < lo || p[1] > hi)
        return 0;
    for (size_t i = 2; i < n; i++) {
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    }
    return n;
}

/* Digits only. -EINVAL before -ERANGE: "99999999999999999999x" is not a number at all. */
static int parse_digits(struct str s, uint64_t *ret)
{
    if (s.len == 0)
        return -EINVAL;
    uint64_t v = 0;
    bool is_over = false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return -EINVAL;
        uint64_t digit = (uint64_t)(s.p[i] - '0');
        if (__builtin_mul_overflow(v, UINT64_C(10), &v) || __builtin_add_overflow(v, digit, &v))
            is_over = true;
    }
    if (is_over)
        return -ERANGE;
    *ret = v;
    return 0;
}

int parse_u64(struct str s, uint64_t min, uint64_t max, uint64_t *ret)
{
    uint64_t v;
    int r = parse_digits(s, &v);
    if (r < 0)
        return r;
    if (v < min || v > max)
        return -ERANGE;
    *ret = v;
    return 0;
}

int parse_i64(struct str s, int64_t min, int64_t max, int64_t *ret)
{
    bool is_negative = s.len > 0 && s.p[0] == '-';
    if (is_negative) {
        s.p++;
        s.len--;
    }
    uint64_t u;
    int r = parse_digits(s, &u);
    if (r < 0)
        return r;
    if (u > (uint64_t)INT64_MAX + (is_negative ? 1 : 0))
        return -ERANGE;
    int64_t v = is_negative ? (int64_t)(0 - u) : (int64_t)u;
    if (v < min || v > max)
        return -ERANGE;
    *ret = v;
    return 0;
}

struct unit {
    struct str name;
    uint64_t factor;
};

static int parse_with_unit(struct str s, const struct unit *units, size_t n, uint64_t max, uint64_t *ret)
{
    size_t digits = 0;
    while (digits < s.len && s.p[digits] >= '0' && s.p[digits] <= '9')
        digits++;
    struct str name = {s.p ? s.p + digits : NULL, s.len - digits};
    for (size_t i = 0; i < n; i++) {
        if (!str_eq(units[i].name, name))
            continue;
        uint64_t v;
        int r = parse_digits((struct str){s.p, digits}, &v);
        if (r < 0)
            return r;
        if (__builtin_mul_overflow(v, units[i].factor, &v) || v > max)
            return -ERANGE;
        *ret = v;
        return 0;
    }
    return -EINVAL;
}

int parse_size(struct str s, uint64_t *ret_bytes)
{
    static const struct unit units[] = {
        {{"", 0}, 1},
        {{"B", 1}, 1},
        {{"KiB", 3}, UINT64_C(1) << 10},
        {{"MiB", 3}, UINT64_C(1) << 20},
        {{"GiB", 3}, UINT64_C(1) << 30},
        {{"TiB", 3}, UINT64_C(1) << 40},
        {{"kB", 2}, UINT64_C(1000)},
        {{"KB", 2}, UINT64_C(1000)},
        {{"MB", 2}, UINT64_C(1000000)},
        {{"GB", 2}, UINT64_C(1000000000)},
        {{"TB", 2}, UINT64_C(1000000000000)},
    };
    return parse_with_unit(s, units, ARRAY_LEN(units), UINT64_MAX, ret_bytes);
}

int parse_duration(struct str s, int64_t *ret_ns)
{
    static const struct unit units[] = {
        {{"ns", 2}, 1},
        {{"us", 2}, (uint64_t)NS_PER_US},
        {{"ms", 2}, (uint64_t)NS_PER_MS},
        {{"s", 1}, (uint64_t)NS_PER_S},
        {{"m", 1}, 60 * (uint64_t)NS_PER_S},
        {{"h", 1}, 3600 * (uint64_t)NS_PER_S},
        {{"d", 1}, 86400 * (uint64_t)NS_PER_S},
    };
    uint64_t v = 0;
    if (!str_eq(s, STR("0"))) { /* zero needs no unit; anything else without one would be a guess */
        int r = parse_with_unit(s, units, ARRAY_LEN(units), INT64_MAX, &v);
        if (r < 0)
            return r;
    }
    *ret_ns = (int64_t)v;
    return 0;
}
