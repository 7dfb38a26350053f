/* SPDX-License-Identifier: Apache-2.0
 *
 * Strings of JSON (RFC 8259 section 7), for the readers of this folder: where they end, and what their escapes stand for.
 * Nothing is read beyond `end`. Sixteen bytes at a time where there is SSE2 (every x86-64), else eight.
 */
#pragma once

#include "common/base.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define JSON_SLACK 16 /* bytes that json_unescape may write beyond what it gives */

static inline bool json_is_special(char c) /* cannot stand in a string as it is */
{
    return c == '"' || c == '\\' || (uint8_t)c < 0x20;
}

#ifdef __SSE2__
/* One bit a byte: quotes, backslashes, control characters. */
static inline unsigned json_special_mask(__m128i v)
{
    __m128i quote = _mm_cmpeq_epi8(v, _mm_set1_epi8('"')), slash = _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'));
    __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v);
    return (unsigned)_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(quote, slash), control));
}
#else
/* Not 0 when any of the eight bytes is a quote, a backslash or a control character. */
static inline uint64_t json_special_bits(const char *p)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), highs = UINT64_C(0x8080808080808080);
    uint64_t w;
    memcpy(&w, p, sizeof(w));
    uint64_t quote = w ^ (ones * '"'), slash = w ^ (ones * '\\');
    return (((quote - ones) & ~quote) | ((slash - ones) & ~slash) | ((w - ones * 0x20) & ~w)) & highs;
}
#endif

/* The first quote, backslash or control character from p on, or end. */
static inline const char *json_find_special(const char *p, const char *end)
{
#ifdef __SSE2__
    for (; end - p >= 16; p += 16) {
        unsigned mask = json_special_mask(_mm_loadu_si128((const __m128i *)(const void *)p));
        if (mask)
            return p + __builtin_ctz(mask);
    }
#else
    while (end - p >= 8 && !json_special_bits(p))
        p += 8;
#endif
    while (p < end && !json_is_special(*p))
        p++;
    return p;
}

/* Copies the string from p on to *out, which has room for end - p + JSON_SLACK, its escapes as what they stand for; a lone
 * surrogate becomes U+FFFD. Stops at a quote or at end: returns where, and *out is behind the copy. NULL: not a string. */
const char *json_unescape(const char *p, const char *end, char **out);
