/* SPDX-License-Identifier: Apache-2.0
 *
 * inotify. Folders are watched for names that come and go; followed files for their next change only (IN_ONESHOT), armed
 * again when they have been read to the end: a busy writer thus costs one event a batch and not one a line. Watches
 * name the open file (/proc/self/fd), so they stay with it through renames. Whatever inotify cannot do is left to the
 * periodic scan.
 */
#include "agent/files.h"

#include "agent/counters.h"

#include <errno.h>
#include <stdio.h>
#include <sys/inotify.h>

#define FOLDER_EVENTS (IN_CREATE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE | IN_ONLYDIR)

static struct tail *by_watch(const struct files *f, int watch)
{
    struct hash_node *n = hash_find(&f->by_watch, (uint64_t)watch);
    return n ? HASH_OWNER(n, struct tail, by_watch) : NULL;
}

static void forget(struct files *f, struct tail *t)
{
    hash_del(&f->by_watch, &t->by_watch);
    t->watch = -1;
}

static void on_event(struct files *f, const struct inotify_event *e)
{
    struct tail *t = e->mask & IN_Q_OVERFLOW ? NULL : by_watch(f, e->wd);
    if (t) {
        forget(f, t);
        files_wake(f, t);
    } else if (e->mask & (FOLDER_EVENTS | IN_Q_OVERFLOW)) {
        files_scan_soon(f);
    }
}

static void on_readable(evutil_socket_t fd, short what, void *ctx)
{
    _Alignas(struct inotify_event) char bytes[16 * 1024];
    ssize_t n = read(fd, bytes, sizeof(bytes));
    (void)what;
    for (ssize_t off = 0; off + (ssize_t)sizeof(struct inotify_event) <= n;) {
        const struct inotify_event *e = (const void *)(bytes + off);
        on_event(ctx, e);
        off += (ssize_t)sizeof(*e) + e->len;
    }
}

int files_watch_open(struct files *f)
{
    f->inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (f->inotify_fd < 0)
        return -errno;
    f->inotify_event = event_new(f->env->base, f->inotify_fd, EV_READ | EV_PERSIST, on_readable, f);
    if (!f->inotify_event || event_add(f->inotify_event, NULL) < 0) {
        files_watch_close(f);
        return -ENOMEM;
    }
    return 0;
}

void files_watch_close(struct files *f)
{
    if (f->inotify_event)
        event_free(f->inotify_event);
    if (f->inotify_fd >= 0)
        close(f->inotify_fd);
    f->inotify_event = NULL;
    f->inotify_fd = -1;
}

void files_watch_folder(struct files *f, const char *path)
{
    /* Asking again for a folder that is watched gives the same watch: no table of our own is needed. */
    if (f->inotify_fd >= 0 && inotify_add_watch(f->inotify_fd, path, FOLDER_EVENTS) < 0 && errno == ENOSPC)
        count(M_WATCHES_MISSING, 1);
}

void files_watch_tail(struct files *f, struct tail *t)
{
    char link[64];
    if (f->inotify_fd < 0 || t->watch >= 0)
        return;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", t->fd);
    int watch = inotify_add_watch(f->inotify_fd, link, IN_MODIFY | IN_ONESHOT);
    if (watch < 0) {
        count(M_WATCHES_MISSING, 1);
        return;
    }
    if (by_watch(f, watch))
        return; /* two tails on one inode (a hole being read again): the other one has it */
    t->watch = watch;
    hash_put(&f->by_watch, &t->by_watch, (uint64_t)watch);
}

void files_unwatch_tail(struct files *f, struct tail *t)
{
    if (t->watch < 0)
        return;
    inotify_rm_watch(f->inotify_fd, t->watch);
    forget(f, t);
}
