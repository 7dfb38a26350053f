/* SPDX-License-Identifier: Apache-2.0
 * See outbox.h. */
#include "collector/outbox.h"

#include "collector/collector.h"
#include "collector/delivery.h"
#include "collector/push.h"
#include "collector/sql.h"
#include "collector/taxii.h"
#include "common/log.h"
#include "common/time.h"

#include <curl/curl.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>

#define DATABASE_WAIT_NS (5 * NS_PER_S)
#define IDLE_WAIT_NS     (60 * NS_PER_S) /* rows that somebody else made due are found this late at worst */

struct outbox {
    struct collector *collector;
    pthread_t thread;
    atomic_bool stop;
    struct notify stopping;
    sqlite3 *db;
    struct taxii *taxii;      /* NULL: no destination */
    int64_t paused_until_ns;  /* our own patience */
    int64_t refused_until_ns; /* the peer's Retry-After: nobody overrules it */
    int64_t failures;         /* of the peer in a row */
};

static void hurry(struct outbox *o)
{
    struct diag diag = {0};
    if (delivery_hurry(o->db, time_now_ns(), &diag) < 0)
        log_warn("outbox: %s", diag.msg);
}

static void note_result(struct outbox *o, const struct delivery *d, const struct push_result *result)
{
    if (!result->is_peer_down) {
        if (o->failures > 0)
            hurry(o);
        o->failures = 0;
        return;
    }
    stat_add(STAT_OUTBOX_FAILURES, 1);
    int64_t now = time_now_ns();
    o->refused_until_ns = now + result->retry_after_s * NS_PER_S;
    o->paused_until_ns = now + push_backoff(++o->failures);
    int64_t wait = MAX(o->paused_until_ns, o->refused_until_ns) - now;
    log_warn("outbox: the national centre cannot be reached, next try in %lld s: %s", (long long)(wait / NS_PER_S),
             d->last_error);
}

static bool is_paused(const struct outbox *o)
{
    return !o->taxii || time_now_ns() < MAX(o->paused_until_ns, o->refused_until_ns);
}

/* Pushes or polls one row. False: none is due. */
static bool push_next(struct outbox *o)
{
    struct diag diag = {0};
    struct delivery d;
    struct push_result result;
    int r = delivery_due(o->db, time_now_ns(), &d, &diag);
    if (r < 0) {
        log_error("outbox: %s", diag.msg);
        o->paused_until_ns = time_now_ns() + DATABASE_WAIT_NS;
    }
    if (r <= 0)
        return false;
    stat_add(STAT_OUTBOX_PUSHES, 1);
    push_delivery(o->db, o->taxii, o->collector->config.taxii.url, &d, &result);
    note_result(o, &d, &result);
    if (result.db_error < 0) {
        log_error("outbox: %s", result.diag.msg);
        o->paused_until_ns = time_now_ns() + DATABASE_WAIT_NS;
    }
    notify_raise(&o->collector->alerts_changed); /* the console shows deliveries too */
    delivery_clear(&d);
    return true;
}

/* How long there is nothing to do. */
static int64_t idle_ns(struct outbox *o)
{
    struct diag diag = {0};
    int64_t now = time_now_ns(), next = 0, wait = IDLE_WAIT_NS, waiting = 0;
    if (sql_int(o->db, &waiting, &diag, "SELECT count(*) FROM outbox WHERE state IN ('queued', 'sent')", "") == 0)
        stat_set(STAT_OUTBOX_WAITING, waiting);
    if (o->taxii && delivery_next(o->db, &next, &diag) == 0)
        wait = MIN(wait, MAX(next, MAX(o->paused_until_ns, o->refused_until_ns)) - now);
    return MAX(wait, 10 * NS_PER_MS);
}

static void *run(void *ctx)
{
    struct outbox *o = ctx;
    hurry(o);
    while (!atomic_load(&o->stop)) {
        if (!is_paused(o) && push_next(o))
            continue;
        struct pollfd fds[] = {{.fd = o->stopping.fd, .events = POLLIN},
                               {.fd = o->collector->outbox_due.fd, .events = POLLIN}};
        poll(fds, ARRAY_LEN(fds), (int)(idle_ns(o) / NS_PER_MS));
        if (!fds[1].revents)
            continue;
        notify_clear(&o->collector->outbox_due);
        o->paused_until_ns = 0; /* a person waits: try at once */
        if (o->failures > 0)
            hurry(o);
    }
    return NULL;
}

static int open_peer(struct outbox *o, struct diag *diag)
{
    const struct collector_config *config = &o->collector->config;
    struct taxii_options options = {
        .url = config->taxii.url,
        .authority = config->taxii.authority,
        .certificate = config->taxii.certificate,
        .key = config->taxii.key,
        .user = config->taxii.user,
        .password_file = config->taxii.password_file,
    };
    if (!options.url)
        return 0;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return diag_set(diag, -EIO, "libcurl does not start");
    return taxii_open(&options, &o->stop, &o->taxii, diag);
}

static void destroy(struct outbox *o)
{
    taxii_close(o->taxii);
    store_close(o->db);
    notify_close(&o->stopping);
    free(o);
}

int outbox_start(struct collector *c)
{
    struct outbox *o = calloc(1, sizeof(*o));
    struct diag diag = {0};
    if (!o)
        return -ENOMEM;
    o->collector = c;
    o->stopping.fd = -1;
    int r = notify_open(&o->stopping);
    if (r == 0)
        r = store_open(c->config.db_path, STORE_DURABLE, &o->db, &diag);
    if (r == 0)
        r = open_peer(o, &diag);
    if (r == 0)
        r = -pthread_create(&o->thread, NULL, run, o);
    if (r < 0) {
        log_error("outbox: %s", diag.msg[0] ? diag.msg : strerror(-r));
        destroy(o);
        return r;
    }
    pthread_setname_np(o->thread, "outbox");
    c->outbox = o;
    return 0;
}

void outbox_stop(struct collector *c)
{
    struct outbox *o = c->outbox;
    atomic_store(&o->stop, true);
    notify_raise(&o->stopping);
    pthread_join(o->thread, NULL);
    destroy(o);
    c->outbox = NULL;
}
