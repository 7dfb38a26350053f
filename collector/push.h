/* SPDX-License-Identifier: Apache-2.0
 *
 * One delivery, once: cuts its envelope into parts the peer accepts, pushes them, polls what is still pending, and writes
 * down after every step what the peer said. Called by the outbox's thread.
 */
#pragma once

#include "collector/delivery.h"
#include "collector/taxii.h"

#define PUSH_BACKOFF_MIN_NS (5 * NS_PER_S)
#define PUSH_BACKOFF_MAX_NS (15 * 60 * NS_PER_S)

struct push_result {
    bool is_peer_down;     /* nothing else would get through now */
    int64_t retry_after_s; /* what the peer asked for, 0: nothing */
    int db_error;          /* negative errno with diag: the step could not be written down */
    struct diag diag;
};

/* d must be due; its members afterwards are what was saved. */
void push_delivery(sqlite3 *db, struct taxii *taxii, const char *destination, struct delivery *d,
                   struct push_result *ret);

/* Wait after the n-th failure in a row (from 1): 5 s doubling to 15 min, a fifth more or less at random. */
int64_t push_backoff(int64_t n);
