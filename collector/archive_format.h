/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside the archive: bytes of segment files to records and back. Shared by the writer's recovery, the reader and verify, so
 * that all three agree on what a record is. Nobody else includes this.
 */
#pragma once

#include "collector/archive.h"

#define SEGMENT_HEADER 64
#define RECORD_HEADER  24
#define RECORD_PEEK    (RECORD_HEADER + 16) /* what the record's crc needs */
#define RECORD_MAX     (RECORD_HEADER + BATCH_MAX)
#define SEGMENT_NAME   21 /* 16 digits, ".vga", NUL */
#define SHA256_LEN     32

struct segment_header {
    uint64_t pos;
    int64_t created_ns;
    uint8_t prev_sha256[SHA256_LEN];
};

void segment_name(uint64_t pos, const char *suffix, char ret[static SEGMENT_NAME]); /* suffix: four characters */
void segment_header_put(const struct segment_header *h, uint8_t to[static SEGMENT_HEADER]);
int segment_header_get(const uint8_t from[static SEGMENT_HEADER], struct segment_header *ret); /* 0 or -EBADMSG */

/* Writes the header of a record at `pos` whose batch begins with batch_head. */
void record_header_put(uint8_t to[static RECORD_HEADER], uint64_t pos, uint32_t len, int64_t ingested_ns,
                       uint64_t durable, const uint8_t batch_head[static 16]);

/* A segment open for reading, with a window of its bytes in memory. */
struct segment_file {
    int fd;
    uint64_t pos; /* of its first byte */
    uint8_t *window;
    size_t window_cap, window_len;
    uint64_t window_at; /* offset in the file */
};

int segment_file_open(int dir_fd, uint64_t pos, struct segment_file *ret); /* 0 or negative errno */
void segment_file_close(struct segment_file *f);                           /* {.fd = -1} is fine; keeps the window */
void segment_file_free(struct segment_file *f);
int segment_file_size(const struct segment_file *f, uint64_t *ret);

/* Makes [offset, offset + len) readable at *ret until the next call: 1; 0 when the file ends before; or negative errno. */
int segment_file_bytes(struct segment_file *f, uint64_t offset, size_t len, const uint8_t **ret);

struct record {
    uint64_t len; /* of the whole record; 0 when even that is not known */
    int64_t ingested_ns;
    uint64_t durable;
    struct str bytes;
    struct batch batch;
};

/* The record at `offset`: 1 whole and well; 0 the file ends before the record does; -EBADMSG damaged, and ret->len says where
 * the next one starts when the header is sound; or the errno of reading. */
int segment_file_record(struct segment_file *f, uint64_t offset, struct record *ret);

/* The first record that is well at or behind `offset`, by its batch's magic. 1, 0 (none), or negative errno. */
int segment_file_find(struct segment_file *f, uint64_t offset, uint64_t *ret_offset);
