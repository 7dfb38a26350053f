/* SPDX-License-Identifier: Apache-2.0
 *
 * What the archive's writer and readers agree on beyond archive.h: header codec, finding segments, checking a record.
 * Internal to collector/archive*.c.
 */
#pragma once

#include "collector/archive.h"

#define SEGMENT_HEADER   64
#define RECORD_HEADER    16
#define RECORD_MAX       (RECORD_HEADER + BATCH_MAX)
#define SHA256_LEN       32
#define SEGMENT_NAME_LEN 21 /* 16 hex digits, ".vga" and NUL */
#define SEGMENTS_MAX     1000000

struct segment_header {
    uint64_t pos;
    int64_t created_ns;
    uint8_t prev_sha256[SHA256_LEN];
};

void segment_header_encode(const struct segment_header *h, uint8_t ret[static SEGMENT_HEADER]);
int segment_header_decode(const uint8_t bytes[static SEGMENT_HEADER], struct segment_header *ret); /* 0 or -EBADMSG */

void segment_name(uint64_t pos, char ret[static SEGMENT_NAME_LEN]);
int segment_open(int dir_fd, uint64_t pos, int flags); /* fd, or negative errno */

/* First positions of every segment in the folder, sorted. Returns owned. */
int segment_list(int dir_fd, uint64_t **ret, size_t *ret_n);

/* Reads exactly n bytes at off. 0, -ENODATA (the file ends before), or negative errno. */
int read_exactly(int fd, void *p, size_t n, uint64_t off);

/* A window over a file, so that small records do not cost a system call each. */
struct window {
    int fd;
    uint8_t *data; /* WINDOW_CAP bytes */
    uint64_t off;
    size_t len;
};

#define WINDOW_CAP (2 * RECORD_MAX)

/* Makes [off, off + n) available and points ret at it. n <= RECORD_MAX. 0, -ENODATA or negative errno. */
int window_get(struct window *w, uint64_t off, size_t n, const uint8_t **ret);

enum record_state { RECORD_OK, RECORD_CUT /* reaches past the file's end */, RECORD_BAD };

/* Checks the record at off: length, crc, and that the batch itself decodes. Errors of reading: negative errno. */
int record_at(struct window *w, uint64_t off, struct archive_record *ret, size_t *ret_len);

/* Where the next good record behind a bad one starts. 0 and *ret_off, -ENODATA (none until the end), or negative errno. */
int record_resync(struct window *w, uint64_t off, uint64_t *ret_off);
