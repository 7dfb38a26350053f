/* SPDX-License-Identifier: Apache-2.0
 *
 * The spool: a bounded queue of encoded batches on disk, between the inputs and the uplink. It bridges the time the
 * collector is away, and it is what a restarted agent reads on from.
 *
 * Files: <dir>/<first sequence number, 16 hex digits>.spool, each a plain run of batches (batch.h), which carry their own
 * magic, length and crc. Sequence numbers grow over the whole spool.
 * Crash rule: a torn tail of the last file is cut at open. Damage elsewhere costs the batches it touches: reading skips
 * to the next place where a whole batch with a valid crc starts, and counts the bytes. A file goes once every batch in
 * it is acknowledged *and* the caller has made the positions durable (release).
 *
 * Blocking file I/O on the caller's thread; one thread. Nothing is fsynced unless sync is called, since while a batch is
 * here its source normally still has it.
 */
#pragma once

#include "common/batch.h"

#define SPOOL_SEGMENT_MAX (8 * MIB)
#define SPOOL_WINDOW_MAX  1024      /* batches read and not yet acknowledged */
#define SPOOL_KEEP_ACTIVE (1 * MIB) /* an active file smaller than this is not given up although it is acknowledged */

struct spool;

/* What a batch that was read stands for; passed back when it is acknowledged. */
struct spool_entry {
    uint64_t seq, start, end;
    uint8_t stream[ID_LEN];
    char *cursor; /* NULL: none */
    int64_t read_ns;
    uint64_t segment, next_off; /* where the batch behind it starts */
};

/* Called for each unacknowledged batch found at open, in order. damaged: bytes before it were not valid batches. */
typedef void (*spool_found_fn)(const struct batch *b, bool damaged, void *ctx);
typedef void (*spool_acked_fn)(const struct spool_entry *e, void *ctx);

/* Batches up to acked_seq are passed over. 0 or negative errno with diag. */
int spool_open(const char *dir, uint64_t max_bytes, uint64_t segment_max, uint64_t acked_seq, spool_found_fn on_found,
               void *ctx, struct spool **ret, struct diag *diag);
struct spool *spool_close(struct spool *sp); /* no sync; NULL is fine; always returns NULL */

uint64_t spool_last_seq(const struct spool *sp); /* the highest number ever seen here, 0 for none */
bool spool_is_damaged(const struct spool *sp);   /* open or read met bytes that are no batch (a torn tail included) */
uint64_t spool_damage(struct spool *sp);         /* bytes skipped since the last call */
uint64_t spool_bytes(const struct spool *sp);
uint64_t spool_max(const struct spool *sp);
uint64_t spool_acked(const struct spool *sp);
bool spool_has_room(const struct spool *sp, size_t bytes);

/* Appends one encoded batch whose number is higher than any before. -ENOBUFS: the limit is reached; another negative
 * errno (-ENOSPC: the disk is full): nothing was appended. */
int spool_append(struct spool *sp, struct str batch_bytes, uint64_t seq);

/* The next batch. 1; 0 at the end; -ENOBUFS when SPOOL_WINDOW_MAX are unacknowledged. Both rets borrow from the spool
 * until the next call of any function here. */
int spool_read(struct spool *sp, struct str *ret_bytes, struct batch *ret);
void spool_rewind(struct spool *sp); /* read on behind the last acknowledged batch: after a lost connection */
size_t spool_in_flight(const struct spool *sp);
const struct spool_entry *spool_oldest(const struct spool *sp); /* NULL when none is in flight */

/* Every batch read so far with a number up to seq is on the collector's disk. Returns how many; -EPROTO when seq was
 * never read. */
int spool_ack(struct spool *sp, uint64_t seq, spool_acked_fn on_acked, void *ctx);
void spool_release(struct spool *sp, uint64_t durable_seq); /* deletes files that hold nothing behind durable_seq */

/* Makes unacknowledged batches durable; does nothing when there are none. 0 or negative errno. */
int spool_sync(struct spool *sp);
