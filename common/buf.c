/* SPDX-License-Identifier: Apache-2.0
 *
 * Growable bytes with a maximum. The one hard thing is that a failed append must leave the buffer as it was: room is
 * made first, bytes move after. Called wherever bytes are put together: wire, archive, JSON.
 */
#include "common/buf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* Makes cap at least `need`. Doubles, but never over `limit`. */
static int grow(struct buf *b, size_t need, size_t limit)
{
    if (need <= b->cap)
        return 0;
    size_t cap = MAX(b->cap, (size_t)64);
    while (cap < need)
        cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    cap = MAX(MIN(cap, limit), need);
    uint8_t *data = realloc(b->data, cap);
    if (!data)
        return -ENOMEM;
    b->data = data;
    b->cap = cap;
    return 0;
}

void buf_clear(struct buf *b)
{
    free(b->data);
    *b = BUF_INIT(b->max);
}

void buf_reset(struct buf *b)
{
    b->len = 0;
}

int buf_reserve(struct buf *b, size_t extra, uint8_t **ret_tail)
{
    if (b->len > b->max || extra > b->max - b->len)
        return -ENOBUFS;
    int r = grow(b, MAX(b->len + extra, (size_t)1), MAX(b->max, (size_t)1));
    if (r < 0)
        return r;
    if (ret_tail)
        *ret_tail = b->data + b->len;
    return 0;
}

int buf_append(struct buf *b, const void *p, size_t len)
{
    if (len == 0)
        return 0;
    uint8_t *tail;
    int r = buf_reserve(b, len, &tail);
    if (r < 0)
        return r;
    memcpy(tail, p, len);
    b->len += len;
    return 0;
}

int buf_append_str(struct buf *b, struct str s)
{
    return buf_append(b, s.p, s.len);
}

int buf_append_z(struct buf *b, const char *z)
{
    return buf_append(b, z, strlen(z));
}

int buf_append_u16(struct buf *b, uint16_t v)
{
    uint8_t bytes[2];
    put_u16(bytes, v);
    return buf_append(b, bytes, sizeof(bytes));
}

int buf_append_u32(struct buf *b, uint32_t v)
{
    uint8_t bytes[4];
    put_u32(bytes, v);
    return buf_append(b, bytes, sizeof(bytes));
}

int buf_append_u64(struct buf *b, uint64_t v)
{
    uint8_t bytes[8];
    put_u64(bytes, v);
    return buf_append(b, bytes, sizeof(bytes));
}

int buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    char small[256];
    int n = vsnprintf(small, sizeof(small), fmt, args);
    va_end(args);
    int r = n < 0 ? -EINVAL : 0;
    if (r == 0 && (size_t)n < sizeof(small)) {
        r = buf_append(b, small, (size_t)n);
    } else if (r == 0) {
        size_t len = (size_t)n;
        r = len > b->max - MIN(b->len, b->max) ? -ENOBUFS : grow(b, b->len + len + 1, SIZE_MAX);
        if (r == 0) {
            vsnprintf((char *)b->data + b->len, len + 1, fmt, again);
            b->len += len;
        }
    }
    va_end(again);
    return r;
}

void buf_consume(struct buf *b, size_t n)
{
    if (n >= b->len) {
        b->len = 0;
        return;
    }
    memmove(b->data, b->data + n, b->len - n);
    b->len -= n;
}

int buf_z(struct buf *b, const char **ret)
{
    int r = grow(b, b->len + 1, SIZE_MAX); /* the NUL does not count against max */
    if (r < 0)
        return r;
    b->data[b->len] = '\0';
    *ret = (const char *)b->data;
    return 0;
}

/* ---- JSON strings (RFC 8259 section 7) ---- */

/* What stands for a byte that cannot stand for itself; "" where it can, or begins a UTF-8 character. */
static const char json_escapes[256][8] = {
    "\\u0000", "\\u0001", "\\u0002", "\\u0003", "\\u0004", "\\u0005",      "\\u0006",       "\\u0007", "\\u0008",
    "\\t",     "\\n",     "\\u000b", "\\u000c", "\\r",     "\\u000e",      "\\u000f",       "\\u0010", "\\u0011",
    "\\u0012", "\\u0013", "\\u0014", "\\u0015", "\\u0016", "\\u0017",      "\\u0018",       "\\u0019", "\\u001a",
    "\\u001b", "\\u001c", "\\u001d", "\\u001e", "\\u001f", ['"'] = "\\\"", ['\\'] = "\\\\",
};

/* A byte that is not plain, or a character of several. Moves *p behind it. */
static uint8_t *write_special(uint8_t *to, struct str *s)
{
    uint8_t c = (uint8_t)s->p[0];
    size_t n = 1;
    if (c >= 0x80) {
        n = utf8_char_len(*s);
        memcpy(to, n ? s->p : "\xEF\xBF\xBD", n ? n : 3);
        to += n ? n : 3;
        n = MAX(n, (size_t)1);
    } else {
        size_t len = strnlen(json_escapes[c], 6);
        memcpy(to, json_escapes[c], 8);
        to += len;
    }
    s->p += n;
    s->len -= n;
    return to;
}

/* Copies bytes up to the first that is not plain ASCII. May write JSON_SLACK bytes more. */
static uint8_t *write_plain(uint8_t *to, struct str *s)
{
    const char *p = s->p, *end = p + s->len;
#ifdef __SSE2__
    for (; end - p >= 16; p += 16, to += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
        __m128i quote = _mm_cmpeq_epi8(v, _mm_set1_epi8('"')), slash = _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'));
        __m128i control = _mm_cmplt_epi8(v, _mm_set1_epi8(0x20)); /* signed: from 0x80 on, too */
        unsigned mask = (unsigned)_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(quote, slash), control));
        _mm_storeu_si128((__m128i *)(void *)to, v);
        if (mask) {
            size_t n = (size_t)__builtin_ctz(mask);
            *s = (struct str){p + n, (size_t)(end - p) - n};
            return to + n;
        }
    }
#endif
    while (p < end && (uint8_t)*p < 0x80 && !json_escapes[(uint8_t)*p][0])
        *to++ = (uint8_t)*p++;
    *s = (struct str){p, (size_t)(end - p)};
    return to;
}

uint8_t *json_write(uint8_t *to, struct str s)
{
    *to++ = '"';
    while (s.len) {
        to = write_plain(to, &s);
        if (s.len)
            to = write_special(to, &s);
    }
    *to++ = '"';
    return to;
}

/* Where the whole of s may not fit, and piece by piece it does. */
static int append_json_pieces(struct buf *b, struct str s)
{
    uint8_t piece[JSON_WRITE_MAX(4)];
    size_t before = b->len;
    int r = buf_append(b, "\"", 1);
    while (r == 0 && s.len > 0) {
        struct str one = {s.p, MAX(utf8_char_len(s), (size_t)1)};
        const uint8_t *end = json_write(piece, one);
        r = buf_append(b, piece + 1, (size_t)(end - piece) - 2);
        s.p += one.len;
        s.len -= one.len;
    }
    if (r == 0)
        r = buf_append(b, "\"", 1);
    if (r < 0)
        b->len = before;
    return r;
}

int buf_append_json(struct buf *b, struct str s)
{
    uint8_t *tail;
    if (s.len > SIZE_MAX / 16 || JSON_WRITE_MAX(s.len) > b->max - MIN(b->len, b->max))
        return append_json_pieces(b, s);
    int r = buf_reserve(b, JSON_WRITE_MAX(s.len), &tail);
    if (r < 0)
        return r;
    b->len += (size_t)(json_write(tail, s) - tail);
    return 0;
}
