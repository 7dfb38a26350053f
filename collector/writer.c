/* SPDX-License-Identifier: Apache-2.0
 *
 * See writer.h. Group commit needs no timer: while one group is being synced the next one gathers in the queue.
 * archive.sync_delay only bounds how long a group may go on growing while batches keep coming.
 */
#include "collector/writer.h"

#include "collector/archive.h"
#include "common/log.h"
#include "common/time.h"

#include <errno.h>
#include <sys/statvfs.h>

#define QUEUE_BYTES_MAX   (64 * MIB)
#define QUEUE_ITEMS_MAX   8192
#define GROUP_BYTES_MAX   (32 * MIB)
#define DISK_CHECK_NS     NS_PER_S
#define DISK_RESUME_RATIO 5 /* agents go on when a fifth more than the reserve is free */

struct list {
    struct write_item *first, **last;
    size_t items, bytes;
};

struct writer {
    struct collector *c;
    pthread_t thread;
    pthread_mutex_t lock; /* guards all down to is_failed */
    pthread_cond_t pushed, drained;
    struct list queue, done;
    bool is_busy, is_stopping, is_failed;
    struct notify done_notify;
    atomic_bool is_disk_low;
    bool was_full;           /* main thread: has said no since it was last empty enough */
    int64_t disk_checked_ns; /* writer thread */
};

static void list_init(struct list *l)
{
    *l = (struct list){.last = &l->first};
}

static void list_add(struct list *l, struct write_item *item)
{
    item->next = NULL;
    *l->last = item;
    l->last = &item->next;
    l->items++;
    l->bytes += item->len;
}

/* Moves all of `from` behind `to`. */
static void list_move(struct list *to, struct list *from)
{
    if (!from->first)
        return;
    *to->last = from->first;
    to->last = from->last;
    to->items += from->items;
    to->bytes += from->bytes;
    list_init(from);
}

static void list_free(struct list *l)
{
    for (struct write_item *item = l->first, *next; item; item = next) {
        next = item->next;
        write_item_free(item);
    }
    list_init(l);
}

struct write_item *write_item_free(struct write_item *item)
{
    if (item) {
        free(item->bytes);
        free(item);
    }
    return NULL;
}

/* The reserve: what is configured, but never more than 2 % of a small disk. */
static void check_disk(struct writer *w)
{
    int64_t now_ns = time_monotonic_ns();
    if (w->disk_checked_ns && now_ns - w->disk_checked_ns < DISK_CHECK_NS)
        return;
    w->disk_checked_ns = now_ns;
    struct statvfs fs;
    if (statvfs(w->c->config.archive_dir, &fs) < 0)
        return;
    uint64_t available = (uint64_t)fs.f_bavail * fs.f_frsize;
    uint64_t reserve = MIN(w->c->config.archive.reserve, (uint64_t)fs.f_blocks * fs.f_frsize / 50);
    stat_set(STAT_DISK_FREE, (int64_t)MIN(available, (uint64_t)INT64_MAX));
    bool was_low = atomic_load(&w->is_disk_low);
    bool is_low = available < (was_low ? reserve + reserve / DISK_RESUME_RATIO : reserve);
    if (is_low == was_low)
        return;
    atomic_store(&w->is_disk_low, is_low);
    stat_set(STAT_DISK_FULL, is_low);
    if (is_low)
        log_error("disk nearly full: %llu MiB free in %s, reserve %llu MiB: agents wait and keep their lines",
                  (unsigned long long)(available / MIB), w->c->config.archive_dir, (unsigned long long)(reserve / MIB));
    else
        log_info("disk has room again: %llu MiB free, agents go on", (unsigned long long)(available / MIB));
    notify_raise(&w->done_notify);
}

/* Waits for something to do. False when there is nothing left and the program stops. */
static bool wait_for_items(struct writer *w, struct list *group)
{
    pthread_mutex_lock(&w->lock);
    w->is_busy = false;
    while (!w->queue.first && !w->is_stopping) {
        pthread_cond_broadcast(&w->drained);
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec++;
        pthread_cond_timedwait(&w->pushed, &w->lock, &until);
        pthread_mutex_unlock(&w->lock);
        check_disk(w);
        pthread_mutex_lock(&w->lock);
    }
    list_move(group, &w->queue);
    w->is_busy = group->first != NULL;
    pthread_mutex_unlock(&w->lock);
    return group->first != NULL;
}

static int append_all(struct writer *w, struct write_item *from)
{
    for (struct write_item *item = from; item; item = item->next) {
        if (!item->bytes)
            continue;
        uint64_t pos;
        struct str batch = {(const char *)item->bytes + item->offset, item->len - item->offset};
        int r = archive_append(w->c->archive, batch, time_now_ns(), &pos);
        if (r < 0)
            return r;
        stat_add(STAT_EVENTS, item->records);
        stat_add(STAT_EVENT_BYTES, item->raw_len);
        stat_add(STAT_DETECT_LAG_EVENTS, item->records);
        free(item->bytes);
        item->bytes = NULL;
    }
    return 0;
}

static int write_group(struct writer *w, struct list *group)
{
    int64_t deadline_ns = time_monotonic_ns() + w->c->config.archive.sync_delay_ns;
    struct write_item *next = group->first;
    for (;;) {
        int r = append_all(w, next);
        if (r < 0)
            return r;
        if (group->bytes > GROUP_BYTES_MAX || time_monotonic_ns() >= deadline_ns)
            break;
        struct list more;
        list_init(&more);
        pthread_mutex_lock(&w->lock);
        list_move(&more, &w->queue);
        pthread_mutex_unlock(&w->lock);
        next = more.first;
        if (!next)
            break;
        list_move(group, &more);
    }
    int r = archive_sync(w->c->archive);
    if (r < 0)
        return r;
    stat_add(STAT_ARCHIVE_SYNCS, 1);
    atomic_store(&w->c->durable_end, archive_end(w->c->archive));
    stat_set(STAT_ARCHIVE_END, (int64_t)archive_end(w->c->archive));
    return 0;
}

static void *run(void *ctx)
{
    struct writer *w = ctx;
    struct list group;
    list_init(&group);
    while (wait_for_items(w, &group)) {
        int r = write_group(w, &group);
        pthread_mutex_lock(&w->lock);
        w->is_failed = r < 0;
        if (r == 0)
            list_move(&w->done, &group);
        pthread_cond_broadcast(&w->drained);
        pthread_mutex_unlock(&w->lock);
        if (r < 0) {
            log_error("cannot write the archive in %s: %s; nothing after this is acknowledged",
                      w->c->config.archive_dir, strerror(-r));
            collector_fail(w->c, r);
            break;
        }
        notify_raise(&w->c->archive_grown);
        notify_raise(&w->done_notify);
        check_disk(w);
    }
    list_free(&group);
    return NULL;
}

int writer_start(struct collector *c)
{
    struct writer *w = calloc(1, sizeof(*w));
    if (!w)
        return -ENOMEM;
    w->c = c;
    list_init(&w->queue);
    list_init(&w->done);
    pthread_mutex_init(&w->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&w->pushed, &monotonic);
    pthread_cond_init(&w->drained, NULL);
    pthread_condattr_destroy(&monotonic);
    int r = notify_open(&w->done_notify);
    if (r == 0) {
        check_disk(w);
        r = -pthread_create(&w->thread, NULL, run, w);
    }
    if (r < 0) {
        log_error("cannot start the archive's writer: %s", strerror(-r));
        notify_close(&w->done_notify);
        free(w);
        return r;
    }
    pthread_setname_np(w->thread, "writer");
    c->writer = w;
    return 0;
}

void writer_stop(struct collector *c)
{
    struct writer *w = c->writer;
    pthread_mutex_lock(&w->lock);
    w->is_stopping = true;
    pthread_cond_signal(&w->pushed);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    list_free(&w->queue);
    list_free(&w->done);
    pthread_cond_destroy(&w->pushed);
    pthread_cond_destroy(&w->drained);
    pthread_mutex_destroy(&w->lock);
    notify_close(&w->done_notify);
    free(w);
    c->writer = NULL;
}

bool writer_is_disk_low(struct writer *w)
{
    return atomic_load(&w->is_disk_low);
}

bool writer_has_room(struct writer *w)
{
    if (atomic_load(&w->is_disk_low))
        return false;
    pthread_mutex_lock(&w->lock);
    size_t bytes = w->queue.bytes, items = w->queue.items + w->done.items;
    bool is_failed = w->is_failed;
    pthread_mutex_unlock(&w->lock);
    /* Once full it stays so until it is half empty, or readers would be stopped and started for each batch. */
    size_t share = w->was_full ? 2 : 1;
    w->was_full = bytes >= QUEUE_BYTES_MAX / share || items >= QUEUE_ITEMS_MAX / share;
    return !w->was_full && !is_failed;
}

void writer_push(struct writer *w, struct write_item *item)
{
    pthread_mutex_lock(&w->lock);
    bool was_empty = !w->queue.first;
    list_add(&w->queue, item);
    stat_set(STAT_WRITER_QUEUE_BYTES, (int64_t)w->queue.bytes);
    if (was_empty)
        pthread_cond_signal(&w->pushed);
    pthread_mutex_unlock(&w->lock);
}

int writer_done_fd(struct writer *w)
{
    return w->done_notify.fd;
}

struct write_item *writer_take_done(struct writer *w)
{
    notify_clear(&w->done_notify);
    pthread_mutex_lock(&w->lock);
    struct write_item *first = w->done.first;
    list_init(&w->done);
    stat_set(STAT_WRITER_QUEUE_BYTES, (int64_t)w->queue.bytes);
    pthread_mutex_unlock(&w->lock);
    return first;
}

void writer_flush(struct writer *w)
{
    pthread_mutex_lock(&w->lock);
    while ((w->queue.first || w->is_busy) && !w->is_failed)
        pthread_cond_wait(&w->drained, &w->lock);
    pthread_mutex_unlock(&w->lock);
}
