/* SPDX-License-Identifier: Apache-2.0
 *
 * The inside of in_files: one struct and the functions its files share.
 *
 *   in_files.c       the descriptor, queues, and the turn that reads what is due
 *   files_scan.c     what matches the globs now: new files, renamed and removed ones
 *   files_recover.c  rotation: what happened to a file that is not where it was, or not what it was
 *   files_watch.c    inotify, so that the scan is only a safety net
 *   files_check.c    for `vonggac-agent check`: what matches, and may this user read it
 */
#pragma once

#include "agent/input.h"
#include "agent/tail.h"

#include <event2/event.h>
#include <sys/stat.h>

/* Times that tests shorten. */
struct files_tuning {
    int64_t scan_ns;         /* the periodic scan */
    int64_t soon_ns;         /* from a folder's event to a scan, and the least time between two scans */
    int64_t grace_ns;        /* a rotated or removed file that rests this long has written its last line */
    int64_t keep_rotated_ns; /* and after this long nobody is expected to write into it any more */
};

#define FILES_TUNING ((struct files_tuning){2 * NS_PER_S, 100 * NS_PER_MS, 2 * NS_PER_S, INT64_C(600) * NS_PER_S})

/* A matching file that holds what a known stream holds. Looked at again when its size or time changes. */
struct copy {
    struct hash_node by_inode;
    TAILQ_ENTRY(copy) link;
    uint64_t dev, ino, size;
    struct timespec mtime;
    uint8_t stream[ID_LEN];
    int64_t seen_ns; /* monotonic */
};

struct candidate {
    char *path;
    const struct file_source *source;
    uint64_t dev, ino;
    struct timespec mtime;
};

TAILQ_HEAD(copy_list, copy);
TAILQ_HEAD(tail_queue_list, tail);

struct files {
    const struct input_env *env;
    struct files_tuning tuning;
    struct tail_list tails;
    struct tail_queue_list now, linger;
    struct copy_list copies;
    struct hash by_inode, by_lane, by_watch, copies_by_inode;
    size_t n_tails, n_copies;
    uint64_t serial;
    struct candidate *candidates; /* of the scan under way */
    size_t n_candidates, cap_candidates;
    const struct file_source *scanning;
    uint64_t n_unreadable, n_over_limit, n_compressed, n_copies_seen, said_over_limit;
    uint64_t *warned; /* hashes of paths whose trouble has been told */
    size_t n_warned;
    int64_t started_ns;             /* real time, and a little later: what is written after it is new */
    int64_t last_scan_ns, retry_ns; /* monotonic */
    int inotify_fd;
    struct event *inotify_event, *pump_timer, *scan_timer;
    uint8_t *buffer;
};

static inline uint64_t inode_key(uint64_t dev, uint64_t ino)
{
    return hash_mix(dev) ^ ino;
}

/* in_files.c */
void files_wake(struct files *f, struct tail *t);     /* there may be something to read; waits for company */
void files_wake_now(struct files *f, struct tail *t); /* read at once */
void files_schedule(struct files *f);
void files_scan_soon(struct files *f);
struct tail *files_find(const struct files *f, uint64_t dev, uint64_t ino); /* NULL: not followed */

/* Follows fd (taken, also on failure) from `pos`. stream NULL: registered with the first byte. hidden: not found by
 * inode, since another tail or nobody owns the inode (copies and holes). */
int files_follow(struct files *f, const struct file_source *source, const char *lane, const char *path, int fd,
                 struct stream *stream, uint64_t pos, enum tail_state state, struct tail **ret);
void files_drop(struct files *f, struct tail *t);            /* closes and forgets; whoever waits for it goes on */
void files_wait_for(struct tail *newer, struct tail *older); /* NULL: for nobody */
void files_release(struct files *f, struct tail *t);         /* whoever waits for it goes on */
void files_finish(struct files *f, struct tail *t);          /* its stream is finished, then drop */

/* files_scan.c */
void files_scan(struct files *f);
struct tail *files_newest_of_lane(const struct files *f, const char *lane); /* NULL: none is followed */
bool files_warn_once(struct files *f, const char *path);                    /* true the first time */
void files_skip_copy(struct files *f, const struct stream *original, const char *path, const struct stat *st);
bool files_is_known_copy(struct files *f, const struct stat *st);
int files_add_copy(struct files *f, const struct stream *s, const struct stat *st);

/* files_check.c */
void files_check(const struct agent_config *cfg, input_say_fn say, void *ctx);

/* files_recover.c */
#define FILES_MTIME_SLACK (1 * NS_PER_S)              /* file times come from a coarser clock */
void files_recover(struct files *f);                  /* at start: find the files of all unfinished streams */
void files_replaced(struct files *f, struct tail *t); /* it was cut or overwritten in place */
/* Follows rotated files of the lane that nobody has seen (written after `after_ns`), each behind the one before, the
 * first behind `older` (NULL is fine). Returns the newest of them, or `older`. */
struct tail *files_fill_gap(struct files *f, const struct file_source *source, const char *lane, int64_t after_ns,
                            struct tail *older);
struct stream *files_stream_of(struct files *f, int fd, const struct stat *st); /* the stream that knows this file */

/* Does it hold what a stream has read already? 1: nothing but that; 0: no, or more than that: then ret_known is up to
 * where; -EAGAIN: ask again later. */
int files_is_copy(struct files *f, int fd, const struct stat *st, struct stream **ret, uint64_t *ret_known);

/* files_watch.c */
int files_watch_open(struct files *f);
void files_watch_close(struct files *f);
void files_watch_folder(struct files *f, const char *path);
void files_watch_tail(struct files *f, struct tail *t); /* one event at its next change */
void files_unwatch_tail(struct files *f, struct tail *t);

/* For tests. */
void files_tune(void *files, const struct files_tuning *tuning);
void files_scan_now(void *files);
