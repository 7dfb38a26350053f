/* SPDX-License-Identifier: Apache-2.0
 *
 * A batch: raw lines of one source, compressed once by the agent. The same bytes rest in the agent's spool, cross the
 * wire and lie in the archive, so whatever can be said once a batch is said in its header and never a line.
 *
 * Positions make delivery exactly-once. A *stream* is one endless run of records (one file's life from its first byte
 * to its last, one journal): a random id, and positions that only grow. A batch covers [start, end) of its stream; the
 * collector keeps the highest end it has stored and drops or trims what comes again. A file's unit is the byte,
 * so start and end are file offsets; a journal's is the entry.
 *
 * Layout, little-endian (ARCHITECTURE.md has the table):
 *   0 magic "VGB1" | 4 u32 crc32 of all that follows (zlib) | 8 u32 header_len | 12 u32 payload_len
 *   16 agent id[16] | 32 stream id[16] | 48 u64 seq | 56 u64 start | 64 u64 end | 72 u32 records | 76 u32 raw_len
 *   80 i64 read_first_ns | 88 i64 read_last_ns | 96 i32 tz_offset_s | 100 u8 encoding | 101 u8 flags | 102 u16 zero
 *   104 strings, each u16 length and bytes: source, type, path, host, cursor; then at header_len the payload: one zstd
 *   frame with content size and checksum
 */
#pragma once

#include "common/buf.h"
#include "common/diag.h"

#define BATCH_HEADER_MIN  104
#define BATCH_HEADER_MAX  (BATCH_HEADER_MIN + 5 * 2 + 5 * BATCH_STRING_MAX)
#define BATCH_STRING_MAX  1024
#define BATCH_RAW_TARGET  (256 * KIB) /* an agent closes a batch when it reaches this */
#define BATCH_RAW_MAX     (1 * MIB)   /* a reader refuses more: the limit against decompression bombs */
#define BATCH_PAYLOAD_MAX (BATCH_RAW_MAX + BATCH_RAW_MAX / 128 + 512)
#define BATCH_MAX         (BATCH_HEADER_MAX + BATCH_PAYLOAD_MAX)
#define BATCH_LINE_MAX    (64 * KIB) /* longer lines are cut by the agent and counted */

#define ID_LEN 16 /* agent and stream ids: random (RFC 9562 version 4 layout) */

enum batch_encoding {
    BATCH_TEXT = 1,    /* records are lines ending in '\n' */
    BATCH_JOURNAL = 2, /* records are lines, each one journal entry as `journalctl -o json` prints it */
    BATCH_ECS = 3,     /* records are lines, each one ECS event as JSON: the collector's own events */
};

enum batch_flag {
    /* Bytes of the payload are not the stream's bytes one to one (a line was cut, or its newline was missing):
     * such a batch holds exactly one record and is stored or dropped as a whole. */
    BATCH_IRREGULAR = 1,
    BATCH_DEMO = 2, /* replayed demonstration: alerts carry the mark */
};

struct batch {
    uint8_t agent[ID_LEN], stream[ID_LEN];
    uint64_t seq;        /* the agent's running number, for acknowledgements; grows by one */
    uint64_t start, end; /* in the stream's unit: bytes for BATCH_TEXT, records otherwise */
    uint32_t records, raw_len;
    int64_t read_first_ns, read_last_ns;
    int32_t tz_offset_s; /* the sender's offset east of UTC when it read the lines */
    uint8_t encoding, flags;
    struct str source; /* the input's name in the agent's configuration */
    struct str type;   /* what the administrator says the lines are ("nginx.access"), or empty: find out */
    struct str path;   /* the file followed, or empty */
    struct str host;   /* host name of the machine the lines come from */
    struct str cursor; /* journal cursor after the last record, or empty */
    struct str payload;
};

/* Compresses `raw` (whole records, each ending in '\n') and appends header and payload to out. raw_len and payload of b are
 * not looked at; everything else comes from b. level: zstd level. 0, -EMSGSIZE (raw or a string too long), -ENOBUFS, -ENOMEM,
 * -EINVAL (what batch_decode or batch_raw would refuse: records, positions, flags, a zero byte in a string). */
int batch_encode(const struct batch *b, struct str raw, int level, struct buf *out);

/* Checks magic, lengths, crc, ranges and strings, and points ret into `bytes` (borrows). Does not decompress. `bytes`
 * must be exactly one batch. 0, -EBADMSG with a reason in diag. */
int batch_decode(struct str bytes, struct batch *ret, struct diag *diag);

/* Total length from the first 16 bytes; 0 when they cannot be a batch's start. */
size_t batch_peek_len(const uint8_t head[static 16]);

/* Decompresses the payload behind what `out` holds. 0, -EBADMSG (corrupt, longer or shorter than raw_len, or not `records`
 * lines), -ENOMEM (also when out may not grow by raw_len). */
int batch_raw(const struct batch *b, struct buf *out);

/* Writes to out the batch without what lies before position `from` (start < from < end): for a resend with other
 * borders. 0, -EINVAL (irregular, or from is not at a record's border), -EBADMSG, -ENOMEM. */
int batch_trim(const struct batch *b, uint64_t from, int level, struct buf *out);

/* "5f0c..." 36 characters and NUL. parse: 0 or -EINVAL. */
#define ID_TEXT_LEN 37
void id_random(uint8_t ret[static ID_LEN]);
void id_format(const uint8_t id[static ID_LEN], char ret[static ID_TEXT_LEN]);
int id_parse(struct str s, uint8_t ret[static ID_LEN]);
