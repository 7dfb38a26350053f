/* SPDX-License-Identifier: Apache-2.0
 *
 * The archive is the log: batches as they came, appended, made durable in groups, acknowledged only then. Detection,
 * search and export read it by position; there is no second journal.
 *
 * Files: <dir>/<first position, 16 hex digits>.vga. A position is the number of bytes before it in the whole archive
 * counted over all segments, so it never changes and never comes twice. Layout, little-endian:
 *   segment header, 64 bytes: magic "VGA1" | u32 zero | u64 first position | i64 created_ns | sha256 of the previous
 *                             segment's whole file[32] (zero in the first) | u32 zero | u32 crc32 of the 60 bytes before
 *   record:                   u32 length of batch | u32 crc32 of ingested_ns and batch | i64 ingested_ns | batch (batch.h)
 * Crash rule: only the last segment can have a torn tail; open cuts it back to the last whole record. A record that
 * is damaged elsewhere is skipped to the next batch magic with a valid crc and counted.
 *
 * One writer thread; any number of readers in any process.
 */
#pragma once

#include "common/batch.h"

struct archive;
struct archive_reader;

struct archive_record {
    uint64_t pos, next_pos;
    int64_t ingested_ns;
    struct batch batch; /* borrows from the reader until its next call */
};

/* Opens for appending, recovering the tail. segment_max: roll to a new file beyond this. */
int archive_open(const char *dir, uint64_t segment_max, struct archive **ret, struct diag *diag);
struct archive *archive_close(struct archive *a); /* syncs; NULL is fine; always returns NULL */

/* Appends one encoded batch. Not durable before archive_sync returns 0. After any failure the archive refuses further
 * appends (-EIO) until it is opened again: a failed fsync cannot be trusted. */
int archive_append(struct archive *a, struct str batch_bytes, int64_t ingested_ns, uint64_t *ret_pos);
int archive_sync(struct archive *a);
uint64_t archive_end(const struct archive *a); /* position behind the last record that is durable */

/* Reads from `pos` (0, or a record's pos or next_pos). next: 1 a record, 0 at the present end (call again later), or
 * negative errno; damage is skipped, counted and told in diag once a gap. */
int archive_reader_open(const char *dir, uint64_t pos, struct archive_reader **ret, struct diag *diag);
struct archive_reader *archive_reader_close(struct archive_reader *r);
int archive_reader_next(struct archive_reader *r, struct archive_record *ret, struct diag *diag);
int archive_reader_seek(struct archive_reader *r, uint64_t pos);
uint64_t archive_reader_damage(const struct archive_reader *r); /* bytes skipped so far */

/* Segments oldest first, for verify, retention and reading back. */
struct archive_segment {
    uint64_t pos, size_bytes;
    int64_t created_ns;
    uint8_t prev_sha256[32];
    char path[4096];
};
int archive_segments(const char *dir, struct archive_segment **ret, size_t *ret_n); /* returns owned */

/* Recomputes the chain of hashes and every record's crc. 0, or -EBADMSG naming the first segment that does not fit. */
int archive_verify(const char *dir, uint64_t *ret_records, struct diag *diag);
