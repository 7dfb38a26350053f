/* SPDX-License-Identifier: Apache-2.0
 *
 * The few things every file may use: borrowed byte slices, cleanup helpers and the one checked parser
 * for integers that come from outside. Nothing here allocates, blocks or logs. Safe from any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ARRAY_LEN(a)           (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)              ((a) < (b) ? (a) : (b))
#define MAX(a, b)              ((a) > (b) ? (a) : (b))
#define CLEANUP(f)             __attribute__((cleanup(f)))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

#define KIB       ((size_t)1024)
#define MIB       ((size_t)1024 * 1024)
#define NS_PER_US INT64_C(1000)
#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S  INT64_C(1000000000)

/* Bytes that belong to somebody else. Not NUL-terminated; may hold any byte. {NULL, 0} is empty. */
struct str {
    const char *p;
    size_t len;
};

#define STR(literal) ((struct str){(literal), sizeof(literal) - 1})
#define STR_FMT      "%.*s"
#define STR_ARG(s)   (int)(s).len, (s).p

static inline struct str str_of(const char *z)
{
    return (struct str){z, z ? strlen(z) : 0};
}

static inline bool str_eq(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

bool str_eq_nocase(struct str a, struct str b); /* ASCII only */
bool str_starts(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
struct str str_trim(struct str s); /* ASCII white space at both ends */

/* Shell-style match: * (any run, also '/'), ? (one byte). Linear memory, no recursion, no backtracking blow-up. */
bool str_glob(struct str pattern, struct str s);

/* The whole of s must be a decimal number in [min, max]. 0, -EINVAL (not a number) or -ERANGE. */
int parse_i64(struct str s, int64_t min, int64_t max, int64_t *ret);
int parse_u64(struct str s, uint64_t min, uint64_t max, uint64_t *ret);

/* Length of the well-formed UTF-8 character (RFC 3629) at the start of s: 1 to 4, or 0 where there is none. */
size_t utf8_char_len(struct str s);

/* "64KiB", "10MB", "3" (bytes); "250ms", "5s", "10m", "1h", "90d" (to nanoseconds; only 0 needs no unit). No sign, no
 * fraction, no space, units as written here. 0, -EINVAL or -ERANGE. */
int parse_size(struct str s, uint64_t *ret_bytes);
int parse_duration(struct str s, int64_t *ret_ns);

static inline void free_ptr(void *pp)
{
    free(*(void **)pp);
}

static inline void close_fd(const int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

/* Little-endian integers at any alignment: the byte order of every wire and file format here. */
static inline void put_u16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static inline void put_u32(uint8_t *p, uint32_t v)
{
    put_u16(p, (uint16_t)v);
    put_u16(p + 2, (uint16_t)(v >> 16));
}

static inline void put_u64(uint8_t *p, uint64_t v)
{
    put_u32(p, (uint32_t)v);
    put_u32(p + 4, (uint32_t)(v >> 32));
}

static inline uint16_t get_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t get_u32(const uint8_t *p)
{
    return (uint32_t)get_u16(p) | (uint32_t)get_u16(p + 2) << 16;
}

static inline uint64_t get_u64(const uint8_t *p)
{
    return (uint64_t)get_u32(p) | (uint64_t)get_u32(p + 4) << 32;
}
