/* SPDX-License-Identifier: Apache-2.0
 *
 * The archive is the log: batches as they came, appended, made durable in groups, acknowledged only then. Detection,
 * search and export read it by position; there is no second journal.
 *
 * Files: <dir>/<first position, 16 hex digits>.vga. A position is the number of bytes before it in the whole archive
 * counted over all segments, so it never changes. Layout, little-endian (ARCHITECTURE.md has the tables):
 *   segment header, 64 bytes: magic "VGA1" | u32 zero | u64 first position | i64 created_ns | sha256 of the previous
 *                             segment's whole file[32] (zero in the first) | u32 zero | u32 crc32 of the 60 bytes before
 *   record: u32 length of batch | u32 crc32 | i64 ingested_ns | u64 durable | batch (batch.h)
 * The record's crc covers its position (which is not stored), the other fields and the batch's first 16 bytes; these hold
 * the batch's own crc over the rest. So nothing is summed twice, and bytes at a wrong place are never taken for a record.
 *
 * Crash rule: only the last segment can have a torn tail. `durable` is the position that fdatasync had covered when
 * the record was written. What is damaged before the highest such position was once whole: it is left, skipped by readers
 * and counted. From there on nothing was acknowledged: open cuts at the first record that is not whole, even if later ones
 * are, for the agents will send them again and a kept later one would make the earlier look like a repeat. Cut records
 * that are whole go to <dir>/<position>.cut first.
 *
 * One writer thread in one process (a lock on <dir>/lock sees to it); any number of readers in any process.
 */
#pragma once

#include "common/batch.h"

struct archive;
struct archive_reader;

struct archive_record {
    uint64_t pos, next_pos;
    int64_t ingested_ns;
    struct batch batch; /* borrows from the reader until its next call */
    struct str bytes;   /* the batch as it came; likewise */
};

/* Opens for appending, makes what is there durable and recovers the tail. segment_max: roll to a new file beyond this.
 * 0, -EBUSY (somebody else writes there), -EBADMSG (the last segment is shorter than its header), or the errno of a file
 * operation. Reads the last segment whole (its hash goes into the next one). */
int archive_open(const char *dir, uint64_t segment_max, struct archive **ret, struct diag *diag);
struct archive *archive_close(struct archive *a);    /* syncs; NULL is fine; always returns NULL */
uint64_t archive_cut_bytes(const struct archive *a); /* what open cut from the tail */

/* Appends one encoded batch, which batch_decode has accepted. Not durable before archive_sync returns 0. -EINVAL: not a batch,
 * nothing happened. After any other failure the archive refuses further appends (-EIO) until it is opened again: a failed
 * fsync cannot be trusted. */
int archive_append(struct archive *a, struct str batch_bytes, int64_t ingested_ns, uint64_t *ret_pos);
int archive_sync(struct archive *a);
uint64_t archive_end(const struct archive *a); /* position behind the last record that is durable; any thread */

/* Reads from `pos`: 0 (the oldest there is), a segment's position, or a record's pos or next_pos. -ERANGE: the archive ends
 * before pos. -ENOENT: no such folder.
 * next: 1 a record, 0 at the present end (call again later), or negative errno. Damage is skipped, counted and told in diag
 * (msg is empty otherwise) with the record behind it. Records are given as soon as they are whole in the file: who must not
 * see what a power failure could still take back compares pos with archive_end. */
int archive_reader_open(const char *dir, uint64_t pos, struct archive_reader **ret, struct diag *diag);
struct archive_reader *archive_reader_close(struct archive_reader *r);
int archive_reader_next(struct archive_reader *r, struct archive_record *ret, struct diag *diag);
int archive_reader_seek(struct archive_reader *r, uint64_t pos);
uint64_t archive_reader_damage(const struct archive_reader *r); /* bytes skipped so far */

/* Segments oldest first, for verify, retention and reading back. created_ns and prev_sha256 are zero where the header is
 * damaged. */
struct archive_segment {
    uint64_t pos, size_bytes;
    int64_t created_ns;
    uint8_t prev_sha256[32];
    char path[4096];
};
int archive_segments(const char *dir, struct archive_segment **ret, size_t *ret_n); /* returns owned */

struct archive_totals {
    uint64_t segments, bytes;
    uint64_t records, lines, raw_bytes; /* records are batches, lines what is in them */
    uint64_t tail_bytes;                /* at the very end, not whole: being written, or torn and not yet cut */
    int64_t first_ns, last_ns;          /* when the first and last record were ingested */
};

/* Recomputes the chain of hashes and every record's crc. Works beside a writer. The first segment's own previous hash is taken
 * as it is, for retention may have removed that one. 0, or -EBADMSG naming the first segment that does not fit.
 * on_progress may be NULL. */
typedef void (*archive_progress_fn)(uint64_t done_bytes, uint64_t total_bytes, void *ctx);
int archive_verify(const char *dir, archive_progress_fn on_progress, void *ctx, struct archive_totals *ret,
                   struct diag *diag);
