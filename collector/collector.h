/* SPDX-License-Identifier: Apache-2.0
 *
 * The map of vonggac-collector: what its threads share. Everything here is either read-only after start, atomic, a
 * wake-up, or behind the lock beside it; all else belongs to one part. Parts start in the order of the table in
 * main.c and stop in the reverse order.
 *
 *     in_agent (main thread) --batches--> writer thread --archive--> detect thread --state.db--> api thread, outbox thread
 *                            <--acks----                 durable ->               alerts_changed ->      outbox_due ->
 */
#pragma once

#include "collector/config.h"
#include "collector/notify.h"
#include "collector/stats.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

struct event_base;
struct content; /* content.h: rules and decoders as loaded from their folders */

struct collector {
    struct collector_config config; /* read-only after start */
    const char *config_path;
    int64_t started_ns;

    struct event_base *loop; /* main thread only */

    /* The content in force. detect replaces it at a reload; everybody else reads it between lock and unlock below. */
    pthread_rwlock_t content_lock;
    struct content *content;
    struct content *rejected;    /* what the last reload brought when it had errors and was not taken; NULL otherwise.
                                 /api/rules shows its diags in place of the content's. */
    unsigned content_generation; /* grows with each replacement: what was built upon the old one must be made anew */
    atomic_bool reload_wanted;   /* set by SIGHUP, taken by detect */

    /* Archive position behind the last durable record. The writer moves it, then raises archive_grown. */
    _Atomic uint64_t durable_end;
    struct notify archive_grown; /* detect waits for it */

    struct notify
        alerts_changed;       /* detect raises it after a commit that touched alerts: api reads change > last seen */
    struct notify outbox_due; /* api raises it when a row is queued or to be tried now: outbox looks */

    /* The first part that cannot go on says so here: the main loop ends and the program exits non-zero. */
    atomic_int fatal;       /* 0 or a negative errno */
    struct notify stopping; /* raised by collector_fail; main watches it */

    struct archive *archive; /* the parts, in the order of main.c */
    struct writer *writer;
    struct detect *detect;
    struct in_agent *in_agent;
    struct api *api;
    struct outbox *outbox;
};

/* Opens the wake-ups; the caller has filled in config. 0 or negative errno. */
int collector_init(struct collector *c);
void collector_clear(struct collector *c);

/* Logs are the caller's. Any thread; the first error stays. */
void collector_fail(struct collector *c, int err);

/* Reader's side of the content, never NULL after start. Keep it short: a reload waits for it. */
const struct content *collector_content_lock(struct collector *c);
void collector_content_unlock(struct collector *c);
void collector_content_replace(struct collector *c, struct content *fresh); /* takes fresh, frees the old one */
void collector_content_reject(struct collector *c, struct content *broken); /* takes broken */

/* A part: start returns 0, or a negative errno after logging why. Both run on the main thread. */
struct part {
    const char *name;
    int (*start)(struct collector *c);
    void (*stop)(struct collector *c); /* called only when start succeeded */
};
