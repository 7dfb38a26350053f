/* SPDX-License-Identifier: Apache-2.0
 *
 * A wake-up from one thread to another: an eventfd that a libevent loop or poll waits for. It carries no data; what has
 * changed is read from where it lies (a queue, the database). Raising twice before the other side looks wakes it once.
 */
#pragma once

#include "common/base.h"

struct notify {
    int fd; /* readable while raised; -1 when closed */
};

int notify_open(struct notify *n); /* 0 or negative errno */
void notify_close(struct notify *n);
void notify_raise(struct notify *n); /* any thread; async-signal-safe */
void notify_clear(struct notify *n); /* before looking at what has changed, never after */
