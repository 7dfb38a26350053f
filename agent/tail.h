/* SPDX-License-Identifier: Apache-2.0
 *
 * One followed file: reads whole lines from where the stream stands, checks that it is still the same log, and hands
 * them to the sink. Nothing is buffered between calls: what waits for the end of a line or for company waits in the file,
 * so thousands of files cost no memory. The only work done for each line is finding its newline.
 *
 * A line longer than BATCH_LINE_MAX is cut (BATCH_IRREGULAR) once its newline is found; until then only the offset
 * searched so far is kept, so that a line of a gigabyte is read once and never held.
 *
 * Who opens files, watches them and tells what rotation did is in_files.c.
 */
#pragma once

#include "agent/config.h"
#include "agent/sink.h"

/*              its path names another file or nothing
 *   ACTIVE --------------------------------------------> ROTATED --- removed ---> DELETED
 *   COPY: what copytruncate left of a cut file; read from the old position to its end, once
 *   HOLE: positions that a damaged spool lost; read again under a stream of their own
 */
enum tail_state { TAIL_ACTIVE, TAIL_ROTATED, TAIL_DELETED, TAIL_COPY, TAIL_HOLE };
enum tail_queue { QUEUE_NONE, QUEUE_NOW, QUEUE_LINGER };

struct tail {
    TAILQ_ENTRY(tail) link;  /* all tails, oldest first */
    TAILQ_ENTRY(tail) queue; /* those with something to read */
    struct hash_node by_inode, by_lane, by_watch;
    const struct file_source *source;
    struct stream *stream; /* NULL until the file has its first byte */
    char *lane;            /* the path it was first found at: files of one lane are read one after the other */
    char *path;            /* where it was last found */
    char *other_path;      /* of the scan under way: another matching name it was seen under */
    int fd, watch;         /* watch -1: none */
    enum tail_state state;
    enum tail_queue queued;
    int64_t due_ns;  /* while it lingers (monotonic) */
    uint64_t serial; /* order of appearance */
    uint64_t dev, ino;
    uint64_t pos;     /* everything before it is in the spool */
    uint64_t scanned; /* no newline in [pos, scanned) */
    uint64_t size;
    uint64_t limit;     /* read no further; UINT64_MAX: no limit */
    int64_t pending_ns; /* since when something waits to be read (real time); 0: nothing does */
    int64_t grown_ns;   /* when it last grew (monotonic) */
    int64_t path_ns;    /* when it was last found at its path, */
    int64_t content_ns; /* and its content to go on from what was read (real time) */
    int64_t gap_ns;     /* before its first byte: up to here no unseen file lies before it; 0: does not matter */
    struct timespec mtime, seen_mtime; /* when its content was last compared; of the last look */
    struct tail *waits_for;            /* an older file of the lane that must be read first */
    size_t n_waiting;                  /* how many wait for this one */
    bool is_at_path;                   /* of the scan under way */
    bool is_moved;                     /* found under another matching name than the first: it was rotated */
    bool was_empty;                    /* when it was met: it may be a copy that is being written */
    bool was_cut; /* begins anew after a cut: zero bytes before its first line are a hole, not content */
    bool has_said_error;
};

TAILQ_HEAD(tail_list, tail);

#define TAIL_BUFFER (BATCH_RAW_TARGET + 1) /* one more: a cut record's newline */

enum tail_result {
    TAIL_IDLE,     /* nothing more to read now; an unfinished last line may wait */
    TAIL_MORE,     /* call again */
    TAIL_BLOCKED,  /* the sink is full */
    TAIL_REPLACED, /* cut or overwritten in place: the content at our position is not the log we know */
    TAIL_ERROR,    /* errno says why */
};

/* Reads at most one batch, or one buffer of a long line. t->stream must be set and durable. `buffer` holds TAIL_BUFFER
 * bytes and is scratch. */
enum tail_result tail_read(struct tail *t, struct sink *sink, uint8_t *buffer, int64_t now_ns);

/* The file is finished: hands over its last line although it has no newline. TAIL_IDLE when there is nothing left. */
enum tail_result tail_flush(struct tail *t, struct sink *sink, uint8_t *buffer, int64_t now_ns);

/* Looks at the size; true when there is something to read. */
bool tail_has_grown(struct tail *t);

/* Up to this moment it was at its path and had never been cut: an unseen rotated file must be younger. */
static inline int64_t tail_checked_ns(const struct tail *t)
{
    return MIN(t->path_ns, t->content_ns);
}

static inline bool tail_is_drained(const struct tail *t) /* as of the last read */
{
    return t->pos >= MIN(t->size, t->limit);
}
