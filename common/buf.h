/* SPDX-License-Identifier: Apache-2.0
 *
 * Growable bytes with a maximum set at creation. Append fails as a whole (-ENOBUFS over the maximum, -ENOMEM): the
 * buffer keeps what it held. One owner, one thread at a time.
 */
#pragma once

#include "common/base.h"

struct buf {
    uint8_t *data;
    size_t len, cap, max;
};

#define BUF_INIT(max_bytes) ((struct buf){.max = (max_bytes)})

void buf_clear(struct buf *b); /* frees; keeps max, so the buffer can be used again */
void buf_reset(struct buf *b); /* len = 0, keeps the memory */
int buf_reserve(struct buf *b, size_t extra, uint8_t **ret_tail);
int buf_append(struct buf *b, const void *p, size_t len);
int buf_append_str(struct buf *b, struct str s);
int buf_append_z(struct buf *b, const char *z);
int buf_append_u16(struct buf *b, uint16_t v); /* little-endian */
int buf_append_u32(struct buf *b, uint32_t v);
int buf_append_u64(struct buf *b, uint64_t v);
int buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
void buf_consume(struct buf *b, size_t n);  /* drops n bytes at the front (memmove) */
int buf_z(struct buf *b, const char **ret); /* NUL-terminates behind len; valid until the next change */

/* Appends s as a JSON string with quotes. Bytes that are not UTF-8 become U+FFFD. RFC 8259 section 7. */
int buf_append_json(struct buf *b, struct str s);

/* The same at `to`, which has room for JSON_WRITE_MAX(s.len) bytes. Returns behind what it wrote. */
#define JSON_WRITE_MAX(len) (6 * (len) + 18)
uint8_t *json_write(uint8_t *to, struct str s);

static inline struct str buf_str(const struct buf *b)
{
    return (struct str){(const char *)b->data, b->len};
}
