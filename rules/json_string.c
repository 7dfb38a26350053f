/* SPDX-License-Identifier: Apache-2.0
 *
 * See json_string.h.
 */
#include "rules/json_string.h"

/* Copies up to the first special byte; may write JSON_SLACK beyond it. Returns where that byte stands. */
static const char *copy_plain(const char *p, const char *end, char **out)
{
    char *o = *out;
#ifdef __SSE2__
    for (; end - p >= 16; p += 16, o += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
        unsigned mask = json_special_mask(v);
        _mm_storeu_si128((__m128i *)(void *)o, v);
        if (mask) {
            *out = o + __builtin_ctz(mask);
            return p + __builtin_ctz(mask);
        }
    }
#else
    for (; end - p >= 8 && !json_special_bits(p); p += 8, o += 8)
        memcpy(o, p, 8);
#endif
    while (p < end && !json_is_special(*p))
        *o++ = *p++;
    *out = o;
    return p;
}

static int hex4(const char *p, const char *end)
{
    int v = 0;
    if (end - p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int c = (uint8_t)p[i], low = c | 0x20;
        int h = c >= '0' && c <= '9' ? c - '0' : low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
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

/* p is behind "\u". Returns behind the escape, or behind a pair of them; NULL: not four hex digits. */
static const char *unescape_unicode(const char *p, const char *end, char **out)
{
    int c = hex4(p, end);
    if (c < 0)
        return NULL;
    p += 4;
    if (c >= 0xD800 && c < 0xDC00 && end - p >= 6 && p[0] == '\\' && p[1] == 'u') {
        int low = hex4(p + 2, end);
        if (low >= 0xDC00 && low < 0xE000) {
            c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
            p += 6;
        }
    }
    *out = put_utf8(*out, c >= 0xD800 && c < 0xE000 ? 0xFFFD : c);
    return p;
}

static const char unescaped[256] = {
    ['"'] = '"', ['\\'] = '\\', ['/'] = '/', ['b'] = '\b', ['f'] = '\f', ['n'] = '\n', ['r'] = '\r', ['t'] = '\t'};

#ifdef __SSE2__
/* As json_unescape, while there are BLOCK_READS bytes: stops where there are not, at a quote, or at what is no escape of one letter.
 * A block is looked at once, however many escapes it has: the bytes behind each are copied with the mask at hand. */
#define BLOCK_READS 33 /* sixteen, an escape that begins with the last of them, sixteen behind it */

static const char *unescape_blocks(const char *p, const char *end, char **out)
{
    char *o = *out;
    while (end - p >= BLOCK_READS) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
        unsigned mask = json_special_mask(v), at = 0;
        _mm_storeu_si128((__m128i *)(void *)o, v);
        while (mask) {
            unsigned k = (unsigned)__builtin_ctz(mask);
            o += k - at;
            char c = p[k] == '\\' ? unescaped[(uint8_t)p[k + 1]] : '\0';
            if (!c) {
                *out = o;
                return p + k;
            }
            *o++ = c;
            at = k + 2;
            _mm_storeu_si128((__m128i *)(void *)o, _mm_loadu_si128((const __m128i *)(const void *)(p + at)));
            mask &= ~0u << at;
        }
        o += at < 16 ? 16 - at : 0;
        p += MAX(at, 16u);
    }
    *out = o;
    return p;
}
#endif

const char *json_unescape(const char *p, const char *end, char **out)
{
    while (p < end) {
#ifdef __SSE2__
        p = unescape_blocks(p, end, out);
#endif
        p = json_is_special(*p) ? p : copy_plain(p, end, out);
        if (p == end || *p == '"')
            return p;
        if (*p != '\\' || end - p < 2)
            return NULL;
        char c = unescaped[(uint8_t)p[1]];
        if (c) {
            *(*out)++ = c;
            p += 2;
        } else {
            p = p[1] == 'u' ? unescape_unicode(p + 2, end, out) : NULL;
            if (!p)
                return NULL;
        }
    }
    return p;
}
