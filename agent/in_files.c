/* SPDX-License-Identifier: Apache-2.0
 *
 * The input that follows log files. This file holds the queues: a file that has something to read waits `linger` for
 * company and then gets its turn, one batch at a time, so that a busy file cannot starve a quiet one. What files there
 * are, and what rotation did to them, is the work of the files_*.c beside it.
 */
#include "agent/files.h"

#include "agent/counters.h"
#include "common/log.h"
#include "common/time.h"

#include <errno.h>

#define BUCKETS       8192
#define TURN_BATCHES  8
#define TURN_NS       (10 * NS_PER_MS)
#define REGISTER_MAX  1024             /* new streams that share one save */
#define CLOCK_TICK    (20 * NS_PER_MS) /* file times may be behind the clock by this much */
#define RETRY_NS      (1 * NS_PER_S)
#define FLUSH_BATCHES 1024
#define ROTATED_SPARE 64 /* rotated files and copies may go over files_max by this many */

/* --- tails --- */

struct tail *files_find(const struct files *f, uint64_t dev, uint64_t ino)
{
    for (struct hash_node *n = hash_find(&f->by_inode, inode_key(dev, ino)); n; n = hash_find_next(n)) {
        struct tail *t = HASH_OWNER(n, struct tail, by_inode);
        if (t->dev == dev && t->ino == ino)
            return t;
    }
    return NULL;
}

static bool is_hidden(enum tail_state state)
{
    return state == TAIL_COPY || state == TAIL_HOLE;
}

/* The last save may have been made before the spool's last batches: then the guard for our position is made now. */
static void adopt(struct tail *t, struct stream *s)
{
    struct guard g;
    s->reader = t;
    if (t->pos > s->ident.guards[0].pos && guard_make(t->fd, t->pos, &g) == 0)
        identity_advance(&s->ident, &g, time_now_ns());
}

int files_follow(struct files *f, const struct file_source *source, const char *lane, const char *path, int fd,
                 struct stream *stream, uint64_t pos, enum tail_state state, struct tail **ret)
{
    struct stat st;
    if (f->n_tails >= (size_t)f->env->cfg->files_max + ROTATED_SPARE) {
        close(fd);
        return -EMFILE;
    }
    struct tail *t = fstat(fd, &st) == 0 ? calloc(1, sizeof(*t)) : NULL;
    if (t) {
        t->lane = strdup(lane);
        t->path = strdup(path);
    }
    if (!t || !t->lane || !t->path) {
        close(fd);
        if (t) {
            free(t->lane);
            free(t->path);
        }
        free(t);
        return -ENOMEM;
    }
    t->serial = ++f->serial;
    t->source = source;
    t->stream = stream;
    t->fd = fd;
    t->watch = -1;
    t->state = state;
    t->dev = (uint64_t)st.st_dev;
    t->ino = (uint64_t)st.st_ino;
    t->size = (uint64_t)st.st_size;
    t->pos = t->scanned = pos;
    t->was_empty = st.st_size == 0;
    t->limit = stream && stream->until > 0 ? stream->until : state == TAIL_COPY ? t->size : UINT64_MAX;
    t->grown_ns = time_monotonic_ns();
    t->path_ns = t->content_ns = stream ? stream->checked_ns
                                 : state == TAIL_ROTATED
                                     ? (int64_t)st.st_mtim.tv_sec * NS_PER_S + st.st_mtim.tv_nsec
                                     : time_now_ns(); /* what came after a rotated file is younger */
    if (stream)
        adopt(t, stream);
    TAILQ_INSERT_TAIL(&f->tails, t, link);
    hash_put(&f->by_lane, &t->by_lane, hash_z(lane));
    if (!is_hidden(state))
        hash_put(&f->by_inode, &t->by_inode, inode_key(t->dev, t->ino));
    f->n_tails++;
    gauge(M_FILES, f->n_tails);
    *ret = t;
    return 0;
}

static void unqueue(struct files *f, struct tail *t)
{
    if (t->queued == QUEUE_NOW)
        TAILQ_REMOVE(&f->now, t, queue);
    else if (t->queued == QUEUE_LINGER)
        TAILQ_REMOVE(&f->linger, t, queue);
    t->queued = QUEUE_NONE;
}

void files_wait_for(struct tail *newer, struct tail *older)
{
    if (newer->waits_for)
        newer->waits_for->n_waiting--;
    newer->waits_for = older;
    if (older)
        older->n_waiting++;
}

/* Whoever waits for t waits for `instead` from now on. */
static void pass_on(struct files *f, struct tail *t, struct tail *instead)
{
    struct tail *other;
    TAILQ_FOREACH(other, &f->tails, link)
    {
        if (t->n_waiting == 0)
            return;
        if (other->waits_for != t)
            continue;
        files_wait_for(other, instead);
        if (!instead)
            files_wake_now(f, other);
    }
}

void files_release(struct files *f, struct tail *t)
{
    pass_on(f, t, NULL);
}

void files_drop(struct files *f, struct tail *t)
{
    pass_on(f, t, t->waits_for);
    files_wait_for(t, NULL);
    unqueue(f, t);
    files_unwatch_tail(f, t);
    if (t->stream && t->stream->reader == t)
        t->stream->reader = NULL;
    TAILQ_REMOVE(&f->tails, t, link);
    hash_del(&f->by_lane, &t->by_lane);
    if (!is_hidden(t->state))
        hash_del(&f->by_inode, &t->by_inode);
    f->n_tails--;
    gauge(M_FILES, f->n_tails);
    close(t->fd);
    free(t->lane);
    free(t->path);
    free(t->other_path);
    free(t);
}

void files_finish(struct files *f, struct tail *t)
{
    if (t->stream) {
        t->stream->is_finished = t->stream->is_rotated = true;
        t->stream->is_removed = t->state == TAIL_DELETED;
        f->env->registry->is_dirty = true;
    }
    files_drop(f, t);
}

/* Not the file that is being written to: it has been renamed, or a newer one waits for it. */
static bool is_past(const struct tail *t)
{
    return t->state != TAIL_ACTIVE || t->is_moved || t->n_waiting > 0;
}

/* --- queues --- */

void files_schedule(struct files *f)
{
    struct tail *first = TAILQ_FIRST(&f->linger);
    int64_t now = time_monotonic_ns(), wait = 0;
    if (f->retry_ns > now)
        wait = f->retry_ns - now;
    else if (TAILQ_EMPTY(&f->now) && !first)
        return;
    else if (TAILQ_EMPTY(&f->now))
        wait = MAX(first->due_ns - now, 0);
    struct timeval tv = {wait / NS_PER_S, wait % NS_PER_S / NS_PER_US};
    evtimer_add(f->pump_timer, &tv);
}

static void enqueue(struct files *f, struct tail *t, enum tail_queue queue)
{
    bool was_idle = TAILQ_EMPTY(&f->now) && TAILQ_EMPTY(&f->linger);
    if (t->pending_ns == 0)
        t->pending_ns = time_now_ns();
    t->queued = queue;
    if (queue == QUEUE_NOW) {
        TAILQ_INSERT_TAIL(&f->now, t, queue);
    } else {
        t->due_ns = time_monotonic_ns() + f->env->cfg->linger_ns;
        TAILQ_INSERT_TAIL(&f->linger, t, queue);
    }
    if (was_idle || queue == QUEUE_NOW)
        files_schedule(f);
}

void files_wake_now(struct files *f, struct tail *t)
{
    if (t->waits_for || t->queued == QUEUE_NOW)
        return;
    unqueue(f, t);
    enqueue(f, t, QUEUE_NOW);
}

void files_wake(struct files *f, struct tail *t)
{
    if (t->waits_for || t->queued != QUEUE_NONE)
        return;
    tail_has_grown(t);
    bool much = t->size > t->pos && t->size - t->pos >= BATCH_RAW_TARGET;
    enqueue(f, t, much || t->size < t->pos ? QUEUE_NOW : QUEUE_LINGER);
}

/* --- the turn --- */

/* Zero bytes that a writer left when it went on at its old offset after the file was cut. */
static uint64_t skip_hole(struct files *f, const struct tail *t)
{
    if (!t->was_cut)
        return 0;
    off_t data = lseek(t->fd, 0, SEEK_DATA);
    uint64_t pos = data > 0 ? (uint64_t)data : 0;
    ssize_t n = pread(t->fd, f->buffer, BATCH_RAW_TARGET, (off_t)pos);
    ssize_t zeros = 0;
    while (zeros < n && f->buffer[zeros] == 0)
        zeros++;
    return zeros < n ? pos + (uint64_t)zeros : pos;
}

/* Between the moment a file was met (empty, or behind others) and its first byte being read, it may have been rotated, and
 * what we see now is its successor's content. */
static bool has_gap(struct files *f, struct tail *t)
{
    int64_t now = time_now_ns();
    struct tail *older = t->gap_ns ? files_fill_gap(f, t->source, t->lane, t->gap_ns, NULL) : NULL;
    if (!older)
        return false;
    t->gap_ns = now;
    files_wait_for(t, older);
    unqueue(f, t);
    return true;
}

/* A file that was empty when it was met may be a copy being written. 1: it was, and t is gone; 0: its stream may begin,
 * behind what is known; -EAGAIN: look again a little later. */
static int is_copy(struct files *f, struct tail *t)
{
    struct stat st;
    struct stream *original;
    uint64_t known;
    if (!t->was_empty || t->was_cut || fstat(t->fd, &st) < 0)
        return 0;
    int r = files_is_copy(f, t->fd, &st, &original, &known);
    if (r == 0)
        t->pos = t->scanned = known;
    if (r == -EAGAIN) {
        unqueue(f, t);
        enqueue(f, t, QUEUE_LINGER);
    }
    if (r > 0) {
        files_skip_copy(f, original, t->path, &st);
        files_drop(f, t);
    }
    return r;
}

/* The file has its first byte: from now on it has a stream. */
static int begin_stream(struct files *f, struct tail *t)
{
    struct stream *s;
    struct fingerprint fp;
    int r = fingerprint_make(t->fd, t->size, &fp);
    if (r < 0)
        return r;
    r = registry_add(f->env->registry, STREAM_FILE, t->source->name, t->lane, &s);
    if (r < 0)
        return r;
    s->ident.dev = t->dev;
    s->ident.ino = t->ino;
    s->ident.fp = fp;
    s->checked_ns = tail_checked_ns(t);
    s->size = t->size;
    s->reader = t;
    t->stream = s;
    if (t->pos == 0)
        t->pos = skip_hole(f, t);
    t->scanned = s->acked = s->spooled = t->pos;
    return 0;
}

/* Gives streams to the files that are due and have none, and makes them durable with one write. */
static int begin_streams(struct files *f)
{
    struct tail *t, *next;
    int left = REGISTER_MAX;
    for (t = TAILQ_FIRST(&f->now); t && left > 0; t = next) {
        next = TAILQ_NEXT(t, queue);
        if (t->stream)
            continue;
        tail_has_grown(t);
        if (t->size == 0 || has_gap(f, t) || is_copy(f, t) != 0)
            continue;
        int r = begin_stream(f, t);
        if (r < 0) {
            log_error("cannot begin to follow %s: %s", t->path, strerror(-r));
            count(M_READ_ERRORS, 1);
            unqueue(f, t); /* the next scan tries again */
        }
        left--; /* of one save */
    }
    if (f->env->registry->n_not_durable == 0)
        return 0;
    int r = registry_save(f->env->registry, false);
    if (r < 0) {
        log_error("cannot write the positions: %s; new files wait", strerror(-r));
        count(M_POSITION_ERRORS, 1);
        f->retry_ns = time_monotonic_ns() + RETRY_NS;
    }
    return r;
}

/* Nothing more to read now. Rotated files are finished after a while; those behind them go on at once. */
static void after_idle(struct files *f, struct tail *t)
{
    int64_t rest = time_monotonic_ns() - t->grown_ns;
    bool is_old = is_past(t);
    t->pending_ns = 0;
    if (is_old && t->stream && !tail_is_drained(t) && (is_hidden(t->state) || rest >= f->tuning.grace_ns)) {
        enum tail_result r = tail_flush(t, f->env->sink, f->buffer, time_now_ns());
        if (r == TAIL_REPLACED)
            files_replaced(f, t);
        if (r == TAIL_BLOCKED || r == TAIL_MORE)
            files_wake_now(f, t);
        if (r != TAIL_IDLE && r != TAIL_ERROR)
            return;
    }
    if (is_old && tail_is_drained(t)) {
        if (t->stream && t->state != TAIL_ACTIVE)
            t->stream->is_rotated = true;
        if (is_hidden(t->state) || (t->state == TAIL_DELETED && rest >= f->tuning.grace_ns) ||
            (t->state == TAIL_ROTATED && rest >= f->tuning.keep_rotated_ns)) {
            files_finish(f, t);
            return;
        }
        files_release(f, t);
    }
    files_watch_tail(f, t);
    if (tail_has_grown(t)) /* between the last read and the watch */
        files_wake(f, t);
}

static void on_read_error(struct files *f, struct tail *t)
{
    count(M_READ_ERRORS, 1);
    if (!t->has_said_error)
        log_error("cannot read %s: %s", t->path, strerror(errno));
    t->has_said_error = true;
    t->pending_ns = 0;
    if (is_past(t))
        files_release(f, t); /* the newer files need not suffer */
}

/* One batch. False: stop this turn. */
static bool read_one(struct files *f, struct tail *t)
{
    unqueue(f, t);
    if (!t->stream) {
        after_idle(f, t); /* still empty */
        return true;
    }
    switch (tail_read(t, f->env->sink, f->buffer, time_now_ns())) {
    case TAIL_MORE:
        t->pending_ns = 0;
        enqueue(f, t, QUEUE_NOW);
        return true;
    case TAIL_IDLE:
        after_idle(f, t);
        return true;
    case TAIL_BLOCKED:
        t->queued = QUEUE_NOW;
        TAILQ_INSERT_HEAD(&f->now, t, queue);
        return false;
    case TAIL_REPLACED:
        files_replaced(f, t);
        return true;
    case TAIL_ERROR:
        on_read_error(f, t);
        return true;
    }
    return true;
}

static void collect_due(struct files *f)
{
    int64_t now = time_monotonic_ns();
    for (struct tail *t; (t = TAILQ_FIRST(&f->linger)) && t->due_ns <= now;) {
        unqueue(f, t);
        enqueue(f, t, QUEUE_NOW);
    }
}

static void turn(struct files *f, int batches, int64_t time_ns)
{
    int64_t end = time_monotonic_ns() + time_ns;
    f->retry_ns = 0;
    collect_due(f);
    if (sink_is_full(f->env->sink) || begin_streams(f) < 0)
        return;
    struct tail *t;
    for (int i = 0; i < batches && (t = TAILQ_FIRST(&f->now)); i++) {
        if (!t->stream && tail_has_grown(t))
            break; /* begins in the next turn */
        if (!read_one(f, t) || time_monotonic_ns() >= end)
            break;
    }
}

static void on_pump(evutil_socket_t fd, short what, void *ctx)
{
    struct files *f = ctx;
    (void)fd;
    (void)what;
    turn(f, TURN_BATCHES, TURN_NS);
    if (!sink_is_full(f->env->sink))
        files_schedule(f);
}

static void schedule_scan(struct files *f, int64_t wait_ns)
{
    struct timeval tv = {wait_ns / NS_PER_S, wait_ns % NS_PER_S / NS_PER_US};
    evtimer_add(f->scan_timer, &tv);
}

void files_scan_soon(struct files *f)
{
    struct timeval at;
    int64_t since = time_monotonic_ns() - f->last_scan_ns;
    int64_t wait = MAX(f->tuning.soon_ns, f->tuning.soon_ns * 2 - since);
    if (evtimer_pending(f->scan_timer, &at)) {
        struct timeval now;
        evutil_gettimeofday(&now, NULL);
        int64_t left = (int64_t)(at.tv_sec - now.tv_sec) * NS_PER_S + (int64_t)(at.tv_usec - now.tv_usec) * NS_PER_US;
        if (left <= wait)
            return;
    }
    schedule_scan(f, wait);
}

/* Rotated and removed files have no path to be found at: they are looked at here. */
static void look_at_old(struct files *f)
{
    struct tail *t;
    TAILQ_FOREACH(t, &f->tails, link)
    {
        if (is_past(t) && t->queued == QUEUE_NONE)
            files_wake(f, t);
    }
}

static void on_scan(evutil_socket_t fd, short what, void *ctx)
{
    struct files *f = ctx;
    (void)fd;
    (void)what;
    files_scan(f);
    look_at_old(f);
    f->last_scan_ns = time_monotonic_ns();
    schedule_scan(f, f->tuning.scan_ns);
}

void files_scan_now(void *files)
{
    on_scan(-1, 0, files);
}

void files_tune(void *files, const struct files_tuning *tuning)
{
    struct files *f = files;
    f->tuning = *tuning;
    schedule_scan(f, f->tuning.scan_ns);
}

/* --- the input --- */

static bool is_enabled(const struct agent_config *cfg)
{
    return cfg->n_sources > 0;
}

static void close_(void *self)
{
    struct files *f = self;
    if (!f)
        return;
    for (struct tail *t; (t = TAILQ_FIRST(&f->tails));)
        files_drop(f, t);
    for (struct copy *c; (c = TAILQ_FIRST(&f->copies));) {
        TAILQ_REMOVE(&f->copies, c, link);
        free(c);
    }
    files_watch_close(f);
    if (f->pump_timer)
        event_free(f->pump_timer);
    if (f->scan_timer)
        event_free(f->scan_timer);
    hash_clear(&f->by_inode);
    hash_clear(&f->by_lane);
    hash_clear(&f->by_watch);
    hash_clear(&f->copies_by_inode);
    free(f->candidates);
    free(f->warned);
    free(f->buffer);
    free(f);
}

static int alloc_tables(struct files *f)
{
    struct hash *tables[] = {&f->by_inode, &f->by_lane, &f->by_watch, &f->copies_by_inode};
    for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
        int r = hash_init(tables[i], BUCKETS);
        if (r < 0)
            return r;
    }
    f->buffer = malloc(TAIL_BUFFER);
    return f->buffer ? 0 : -ENOMEM;
}

static int open_(const struct input_env *env, void **ret, struct diag *diag)
{
    struct files *f = calloc(1, sizeof(*f));
    if (!f)
        return diag_set(diag, -ENOMEM, "out of memory");
    f->env = env;
    f->tuning = FILES_TUNING;
    f->inotify_fd = -1;
    f->started_ns = time_now_ns() + FILES_MTIME_SLACK - CLOCK_TICK;
    TAILQ_INIT(&f->tails);
    TAILQ_INIT(&f->now);
    TAILQ_INIT(&f->linger);
    TAILQ_INIT(&f->copies);
    int r = alloc_tables(f);
    f->pump_timer = evtimer_new(env->base, on_pump, f);
    f->scan_timer = evtimer_new(env->base, on_scan, f);
    if (r < 0 || !f->pump_timer || !f->scan_timer) {
        close_(f);
        return diag_set(diag, -ENOMEM, "out of memory");
    }
    r = files_watch_open(f);
    if (r < 0)
        log_warn("no inotify (%s): files are looked at every two seconds only", strerror(-r));
    files_recover(f);
    on_scan(-1, 0, f);
    *ret = f;
    return 0;
}

static void resume(void *self)
{
    files_schedule(self);
}

static void flush(void *self)
{
    struct files *f = self;
    struct tail *t;
    while ((t = TAILQ_FIRST(&f->linger))) {
        unqueue(f, t);
        enqueue(f, t, QUEUE_NOW);
    }
    turn(f, FLUSH_BATCHES, 2 * NS_PER_S);
}

const struct input in_files = {
    .name = "files",
    .doc = "follows log files by globs through rotation, copytruncate and restarts",
    .is_enabled = is_enabled,
    .open = open_,
    .resume = resume,
    .flush = flush,
    .close = close_,
    .check = files_check,
};
