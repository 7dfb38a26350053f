/* SPDX-License-Identifier: Apache-2.0
 *
 * Growable bytes with a maximum. The one hard thing is that a failed append must leave the buffer as it was: room is
 * made first, bytes move after. Called wherever bytes are put together: wire, archive, JSON.
 */
#include "common/buf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

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

/* How many bytes from the start of s can be copied into a JSON string as they are. */
static size_t json_plain_run(struct str s)
{
    size_t i = 0;
    while (i < s.len) {
        uint8_t c = (uint8_t)s.p[i];
        if (c < 0x20 || c == '"' || c == '\\')
            break;
        size_t n = c < 0x80 ? 1 : utf8_char_len((struct str){s.p + i, s.len - i});
        if (n == 0)
            break;
        i += n;
    }
    return i;
}

static int append_json_escape(struct buf *b, uint8_t c)
{
    switch (c) {
    case '"':
        return buf_append_z(b, "\\\"");
    case '\\':
        return buf_append_z(b, "\\\\");
    case '\n':
        return buf_append_z(b, "\\n");
    case '\r':
        return buf_append_z(b, "\\r");
    case '\t':
        return buf_append_z(b, "\\t");
    default:
        return c < 0x20 ? buf_printf(b, "\\u%04x", c) : buf_append_z(b, "\xEF\xBF\xBD");
    }
}

int buf_append_json(struct buf *b, struct str s)
{
    size_t before = b->len;
    int r = buf_append(b, "\"", 1);
    while (r == 0 && s.len > 0) {
        size_t run = json_plain_run(s);
        r = buf_append(b, s.p, run);
        s.p += run;
        s.len -= run;
        if (r == 0 && s.len > 0) {
            r = append_json_escape(b, (uint8_t)s.p[0]);
            s.p++;
            s.len--;
        }
    }
    if (r == 0)
        r = buf_append(b, "\"", 1);
    if (r < 0)
        b->len = before;
    return r;
}
