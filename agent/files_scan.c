/* SPDX-License-Identifier: Apache-2.0
 *
 * What the globs match now, compared with what is being followed. Runs when a folder's watch says that something
 * changed, and every two seconds in any case, since inotify may be missing, overflow, or not work (network drives).
 *
 * A file that is followed is recognised by its inode, which cannot be used again while we hold it open; so only files
 * that are not followed have their content looked at.
 */
#include "agent/files.h"

#include "agent/counters.h"
#include "agent/paths.h"
#include "common/log.h"
#include "common/time.h"

#include <errno.h>
#include <fcntl.h>

#define CANDIDATES_MAX 32768
#define WARNED_MAX     4096
#define COPY_KEEP_NS   (60 * NS_PER_S) /* not every copy matches a glob and so is seen again */

bool files_warn_once(struct files *f, const char *path)
{
    uint64_t key = hash_z(path);
    for (size_t i = 0; i < f->n_warned; i++)
        if (f->warned[i] == key)
            return false;
    if (!f->warned)
        f->warned = calloc(WARNED_MAX, sizeof(f->warned[0]));
    if (!f->warned)
        return false;
    f->warned[f->n_warned++ % WARNED_MAX] = key;
    f->n_warned = MIN(f->n_warned, WARNED_MAX);
    return true;
}

static bool is_same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

/* --- copies: files that are left alone since their content is known under another inode --- */

static struct copy *find_copy(const struct files *f, const struct stat *st)
{
    uint64_t key = inode_key((uint64_t)st->st_dev, (uint64_t)st->st_ino);
    for (struct hash_node *n = hash_find(&f->copies_by_inode, key); n; n = hash_find_next(n)) {
        struct copy *c = HASH_OWNER(n, struct copy, by_inode);
        if (c->dev == (uint64_t)st->st_dev && c->ino == (uint64_t)st->st_ino)
            return c;
    }
    return NULL;
}

static void drop_copy(struct files *f, struct copy *c)
{
    hash_del(&f->copies_by_inode, &c->by_inode);
    TAILQ_REMOVE(&f->copies, c, link);
    f->n_copies--;
    free(c);
}

int files_add_copy(struct files *f, const struct stream *s, const struct stat *st)
{
    struct copy *c = find_copy(f, st);
    if (!c) {
        if (f->n_copies >= CANDIDATES_MAX)
            return -ENOSPC;
        c = calloc(1, sizeof(*c));
        if (!c)
            return -ENOMEM;
        c->dev = (uint64_t)st->st_dev;
        c->ino = (uint64_t)st->st_ino;
        hash_put(&f->copies_by_inode, &c->by_inode, inode_key(c->dev, c->ino));
        TAILQ_INSERT_TAIL(&f->copies, c, link);
        f->n_copies++;
    }
    c->size = (uint64_t)st->st_size;
    c->mtime = st->st_mtim;
    c->seen_ns = time_monotonic_ns();
    memcpy(c->stream, s->id, ID_LEN);
    return 0;
}

/* Is it still the copy we know? Keeps the stream it was taken from in memory. */
bool files_is_known_copy(struct files *f, const struct stat *st)
{
    struct copy *c = find_copy(f, st);
    if (!c)
        return false;
    struct stream *s = registry_find(f->env->registry, c->stream);
    if (!s || c->size != (uint64_t)st->st_size || !is_same_time(c->mtime, st->st_mtim)) {
        drop_copy(f, c);
        return false;
    }
    s->seen_ns = time_now_ns();
    c->seen_ns = time_monotonic_ns();
    return true;
}

static void forget_unseen_copies(struct files *f)
{
    int64_t now = time_monotonic_ns();
    for (struct copy *c = TAILQ_FIRST(&f->copies), *next; c; c = next) {
        next = TAILQ_NEXT(c, link);
        if (now - c->seen_ns > COPY_KEEP_NS)
            drop_copy(f, c);
    }
}

/* --- matching --- */

static void found_followed(struct files *f, struct tail *t, const char *path, const struct stat *st)
{
    bool is_unchanged = (uint64_t)st->st_size == t->size && is_same_time(st->st_mtim, t->mtime);
    if (t->stream)
        t->stream->seen_ns = time_now_ns();
    if (strcmp(t->path, path) == 0) {
        t->is_at_path = true;
        t->path_ns = time_now_ns();
        if (is_unchanged)
            t->content_ns = t->path_ns;
        if (t->stream)
            t->stream->checked_ns = tail_checked_ns(t);
    } else if (!t->other_path) {
        t->other_path = strdup(path); /* out of memory: taken for rotated until the next scan */
    }
    if (!is_unchanged)
        files_wake(f, t);
}

static int add_candidate(struct files *f, const char *path, const struct stat *st)
{
    if (f->n_candidates == f->cap_candidates) {
        size_t cap = f->cap_candidates ? f->cap_candidates * 2 : 64;
        struct candidate *more = reallocarray(f->candidates, cap, sizeof(*more));
        if (!more)
            return -ENOMEM;
        f->candidates = more;
        f->cap_candidates = cap;
    }
    struct candidate c = {
        .path = strdup(path),
        .source = f->scanning,
        .dev = (uint64_t)st->st_dev,
        .ino = (uint64_t)st->st_ino,
        .mtime = st->st_mtim,
    };
    if (!c.path)
        return -ENOMEM;
    f->candidates[f->n_candidates++] = c;
    return 0;
}

static int on_file(const char *path, const struct stat *st, void *ctx)
{
    struct files *f = ctx;
    if (path_is_excluded(path, &f->scanning->exclude))
        return 0;
    if (path_is_compressed(path_name(path))) {
        f->n_compressed++;
        return 0;
    }
    struct tail *t = files_find(f, (uint64_t)st->st_dev, (uint64_t)st->st_ino);
    if (t) {
        found_followed(f, t, path, st);
        return 0;
    }
    if (files_is_known_copy(f, st)) {
        f->n_copies_seen++;
        return 0;
    }
    if (f->n_candidates >= CANDIDATES_MAX) {
        f->n_over_limit++;
        return 0;
    }
    return add_candidate(f, path, st);
}

static void on_folder(const char *path, void *ctx)
{
    files_watch_folder(ctx, path);
}

/* --- files that are followed but not at their path any more --- */

static void settle_one(struct files *f, struct tail *t)
{
    struct stat st;
    char *other = t->other_path;
    t->other_path = NULL;
    if (t->is_at_path || other) {
        if (!t->is_at_path) {
            free(t->path);
            t->path = other;
            other = NULL;
            t->path_ns = time_now_ns();
            if (!t->is_moved)
                count(M_ROTATIONS, 1);
        }
        t->is_moved = strcmp(t->path, t->lane) != 0;
        t->state = TAIL_ACTIVE;
        free(other);
        return;
    }
    enum tail_state now = fstat(t->fd, &st) == 0 && st.st_nlink == 0 ? TAIL_DELETED : TAIL_ROTATED;
    if (now == t->state)
        return;
    if (t->state == TAIL_ACTIVE && !t->is_moved) {
        count(M_ROTATIONS, 1);
        log_debug("%s was %s", t->path, now == TAIL_DELETED ? "removed" : "renamed");
    }
    t->state = now;
    files_wake_now(f, t);
}

static void settle(struct files *f)
{
    struct tail *t;
    TAILQ_FOREACH(t, &f->tails, link)
    {
        if (t->state != TAIL_COPY && t->state != TAIL_HOLE)
            settle_one(f, t);
    }
}

/* --- new files --- */

static int by_mtime(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->mtime.tv_sec != y->mtime.tv_sec)
        return x->mtime.tv_sec < y->mtime.tv_sec ? -1 : 1;
    return x->mtime.tv_nsec < y->mtime.tv_nsec ? -1 : x->mtime.tv_nsec > y->mtime.tv_nsec;
}

/* The newest file followed so far that was first found at this path. */
struct tail *files_newest_of_lane(const struct files *f, const char *lane)
{
    struct tail *newest = NULL;
    for (struct hash_node *n = hash_find(&f->by_lane, hash_z(lane)); n; n = hash_find_next(n)) {
        struct tail *t = HASH_OWNER(n, struct tail, by_lane);
        if (strcmp(t->lane, lane) == 0 && t->state != TAIL_HOLE && (!newest || t->serial > newest->serial))
            newest = t;
    }
    return newest;
}

static void cannot_open(struct files *f, const char *path, int err)
{
    if (err == EMFILE || err == ENFILE) {
        count(M_FILES_NO_DESCRIPTOR, 1);
        log_error("no file descriptor left to open %s: raise LimitNOFILE or lower files_max", path);
    } else if (err != ENOENT) {
        f->n_unreadable++;
        if (files_warn_once(f, path))
            log_warn("cannot open %s: %s", path, strerror(err));
    }
}

/* From when on a rotated file of this lane may be one that nobody has seen. */
static int64_t unseen_since(const struct files *f, const char *lane, const struct tail *older)
{
    if (older)
        return tail_checked_ns(older);
    const struct stream *s;
    TAILQ_FOREACH_REVERSE(s, &f->env->registry->streams, stream_list, link)
    {
        if (s->kind == STREAM_FILE && s->until == 0 && strcmp(s->path, lane) == 0)
            return s->checked_ns;
    }
    return f->started_ns;
}

/* The first scan of an input that is told to start at the end: behind the last whole line. */
static uint64_t end_of_lines(struct files *f, const struct tail *t)
{
    uint64_t from = t->size > BATCH_RAW_TARGET ? t->size - BATCH_RAW_TARGET : 0;
    ssize_t n = pread(t->fd, f->buffer, (size_t)(t->size - from), (off_t)from);
    const uint8_t *nl = n > 0 ? memrchr(f->buffer, '\n', (size_t)n) : NULL;
    return nl ? from + (uint64_t)(nl - f->buffer) + 1 : from > 0 ? t->size : 0;
}

void files_skip_copy(struct files *f, const struct stream *original, const char *path, const struct stat *st)
{
    if (files_add_copy(f, original, st) < 0)
        return;
    f->n_copies_seen++;
    if (files_warn_once(f, path))
        log_info("%s holds what was read from %s; it is not read again", path, original->path);
}

/* s: the stream that knows the file, or NULL for a new one. known: up to where its content was read elsewhere. */
static void follow_candidate(struct files *f, const struct candidate *c, int fd, struct stream *s, uint64_t known)
{
    struct tail *t, *older = s ? NULL : files_newest_of_lane(f, c->path);
    bool is_first = !registry_has_source(f->env->registry, c->source->name);
    int64_t since = unseen_since(f, c->path, older), now = time_now_ns();
    uint64_t pos = s ? s->spooled : known;
    if (files_follow(f, c->source, s ? s->path : c->path, c->path, fd, s, pos, TAIL_ACTIVE, &t) < 0)
        return;
    t->is_moved = strcmp(t->path, t->lane) != 0;
    if (s) {
        s->is_finished = false;
    } else if (is_first) {
        if (c->source->from_end)
            t->pos = t->scanned = end_of_lines(f, t);
    } else { /* others may have come and gone since we last looked; t is followed by now, and not taken for one of them */
        older = files_fill_gap(f, c->source, c->path, since, older);
        t->gap_ns = now;
    }
    files_wait_for(t, older);
    files_wake_now(f, older ? older : t);
}

static void open_candidate(struct files *f, const struct candidate *c)
{
    struct stat st;
    struct stream *s = NULL;
    if (files_find(f, c->dev, c->ino))
        return; /* matched twice */
    if (f->n_tails >= (size_t)f->env->cfg->files_max) {
        f->n_over_limit++;
        return;
    }
    int fd = open(c->path, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        cannot_open(f, c->path, errno);
        return;
    }
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_dev != c->dev || (uint64_t)st.st_ino != c->ino) {
        close(fd); /* renamed over meanwhile */
        return;
    }
    if (st.st_size > 0)
        s = files_stream_of(f, fd, &st);
    struct stream *original = NULL;
    uint64_t known = 0;
    int copy = st.st_size > 0 && !s ? files_is_copy(f, fd, &st, &original, &known) : 0;
    if (copy != 0) {
        if (copy > 0)
            files_skip_copy(f, original, c->path, &st);
        close(fd);
        return;
    }
    follow_candidate(f, c, fd, s, known);
}

static void open_candidates(struct files *f)
{
    if (f->n_candidates > 1)
        qsort(f->candidates, f->n_candidates, sizeof(f->candidates[0]), by_mtime);
    for (size_t i = 0; i < f->n_candidates; i++) {
        open_candidate(f, &f->candidates[i]);
        free(f->candidates[i].path);
    }
    f->n_candidates = 0;
}

static void report(struct files *f)
{
    gauge(M_FILES_UNREADABLE, f->n_unreadable);
    gauge(M_FILES_OVER_LIMIT, f->n_over_limit);
    gauge(M_COMPRESSED_SKIPPED, f->n_compressed);
    gauge(M_COPIES_SKIPPED, f->n_copies_seen);
    if (f->n_over_limit > f->said_over_limit)
        log_warn("%llu more files match than files_max (%lld) allows; they are not followed",
                 (unsigned long long)f->n_over_limit, (long long)f->env->cfg->files_max);
    f->said_over_limit = f->n_over_limit;
}

void files_scan(struct files *f)
{
    const struct path_walk walk = {.on_file = on_file, .on_folder = on_folder, .ctx = f};
    struct tail *t;
    f->n_unreadable = f->n_over_limit = f->n_compressed = f->n_copies_seen = 0;
    TAILQ_FOREACH(t, &f->tails, link)
    t->is_at_path = false;
    for (size_t i = 0; i < f->env->cfg->n_sources; i++) {
        f->scanning = &f->env->cfg->sources[i];
        for (size_t k = 0; k < f->scanning->paths.n; k++)
            path_expand(f->scanning->paths.items[k], &walk);
    }
    settle(f);
    open_candidates(f);
    for (size_t i = 0; i < f->env->cfg->n_sources; i++)
        if (registry_add_source(f->env->registry, f->env->cfg->sources[i].name) < 0)
            log_error("cannot remember the input %s", f->env->cfg->sources[i].name);
    forget_unseen_copies(f);
    report(f);
}
