/* SPDX-License-Identifier: Apache-2.0
 *
 * The streams this agent has begun and how far each is safe at the collector: the file "positions" in the state folder.
 * A stream is in that file, durably, before its first batch enters the spool; `acked` moves only with the collector's
 * acknowledgements. Losing the latest save costs repeats that the collector recognises, never a record.
 *
 * Text, one item a line, fields separated by one space; strings are percent-encoded, "-" where empty:
 *   vonggac-agent-positions 1
 *   seq ACKED NEXT BOOT-ID CLEAN
 *   source NAME
 *   stream ID KIND FLAGS DEV INO FPLEN FPHEX GUARDS ACKED UNTIL SIZE CREATED CHECKED SEEN CURSOR SOURCE PATH
 *   end LINES CRC32
 * GUARDS is "pos:len:hex" joined by commas. The crc covers everything before the last line. Written as a whole to a new
 * file that is renamed over the old one; the one before stays as positions.bak and is used when the newest is damaged.
 */
#pragma once

#include "agent/hash.h"
#include "agent/identity.h"
#include "common/batch.h"

#include <sys/queue.h>

#define REGISTRY_STREAMS_MAX 32768
#define REGISTRY_SOURCES_MAX 1024
#define REGISTRY_FILE_MAX    (96 * MIB)
#define REGISTRY_KEEP_NS     (INT64_C(7) * 86400 * NS_PER_S)  /* a finished stream whose file is no longer seen */
#define REGISTRY_ABANDON_NS  (INT64_C(90) * 86400 * NS_PER_S) /* a stream that no configured input reads */

enum stream_kind { STREAM_FILE = 'f', STREAM_JOURNAL = 'j' };

struct stream {
    TAILQ_ENTRY(stream) link;
    struct hash_node by_id;
    uint8_t id[ID_LEN];
    enum stream_kind kind;
    bool is_finished; /* read to its end, and nothing more is expected */
    bool is_rotated;  /* no longer at its path, and was at its end: its absence later means nothing */
    bool is_removed;  /* we saw its inode die: a file with the same one is another, even with equal content */
    bool is_durable;  /* in the file on disk */
    char *source, *path, *cursor;
    struct identity ident;
    uint64_t acked;   /* the collector has everything before it */
    uint64_t spooled; /* everything before it is in the spool or acked; reading goes on from here */
    uint64_t until;   /* reading stops here; 0: no limit. A hole that a damaged spool left is such a stream */
    uint64_t size;    /* the file's size when last looked at */
    int64_t created_ns, checked_ns, seen_ns; /* checked: last found at its path and uncut; seen: found anywhere */
    void *reader;                            /* whoever reads it now; not stored */
};

TAILQ_HEAD(stream_list, stream);

struct registry {
    char *path;
    struct stream_list streams; /* oldest first */
    struct hash by_id;
    size_t n_streams, n_not_durable;
    char **sources; /* inputs that have started once: "read from the end" applies to the first start only */
    size_t n_sources;
    uint64_t acked_seq, next_seq;
    bool was_clean; /* of the file read at open: stopped in order, or this machine has not been restarted since */
    bool is_new;    /* there was no file */
    bool is_dirty;
};

/* Reads the file, or starts empty where there is none. When it is damaged the backup is tried, then starts empty; diag
 * says so (diag->msg not empty) and 0 is returned. -ENOMEM, or the error of reading. */
int registry_open(const char *path, struct registry **ret, struct diag *diag);
struct registry *registry_free(struct registry *r); /* does not save; NULL is fine; always returns NULL */

/* Writes and fsyncs. Blocking. All streams are durable afterwards. clean: nothing will be changed any more. */
int registry_save(struct registry *r, bool clean);

/* A new stream with a random id. -ENOSPC when REGISTRY_STREAMS_MAX are in use. Borrowed: lives until it is removed. */
int registry_add(struct registry *r, enum stream_kind kind, const char *source, const char *path, struct stream **ret);
void registry_remove(struct registry *r, struct stream *s);
struct stream *registry_find(const struct registry *r, const uint8_t id[static ID_LEN]);

bool registry_has_source(const struct registry *r, const char *name);
int registry_add_source(struct registry *r, const char *name);

void registry_acked(struct registry *r, struct stream *s, uint64_t end, struct str cursor);
int stream_set_cursor(struct stream *s, struct str cursor);

/* A batch of the stream lies in the spool (called in order, at start). Positions missing before it become a stream of
 * their own when the spool is known to be damaged, so that they are read again. */
void registry_found_spooled(struct registry *r, const struct batch *b, bool spool_damaged);

/* Forgets acknowledged streams whose file has not been seen for long. */
void registry_prune(struct registry *r, int64_t now_ns);

/* The format itself: for open, save and the fuzzer. parse adds to an empty registry; 0, -EBADMSG with diag, -ENOMEM. */
int registry_parse(struct registry *r, struct str text, struct diag *diag);
int registry_print(const struct registry *r, bool clean, struct buf *out);
struct registry *registry_new(const char *path); /* empty; NULL: out of memory */
