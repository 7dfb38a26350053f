/* SPDX-License-Identifier: Apache-2.0
 * See notify.h. */
#include "collector/notify.h"

#include <errno.h>
#include <sys/eventfd.h>

int notify_open(struct notify *n)
{
    n->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return n->fd < 0 ? -errno : 0;
}

void notify_close(struct notify *n)
{
    if (n->fd >= 0)
        close(n->fd);
    n->fd = -1;
}

void notify_raise(struct notify *n)
{
    int saved = errno; /* a signal handler may call this */
    uint64_t one = 1;
    ssize_t r = write(n->fd, &one, sizeof(one)); /* fails only when already raised 2^64-2 times */
    (void)r;
    errno = saved;
}

void notify_clear(struct notify *n)
{
    uint64_t count;
    ssize_t r = read(n->fd, &count, sizeof(count)); /* -EAGAIN: was not raised */
    (void)r;
}
