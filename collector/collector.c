/* SPDX-License-Identifier: Apache-2.0
 * The few steps on struct collector that several threads take; see collector.h. */
#include "collector/collector.h"

#include "collector/content.h"

#include <errno.h>

int collector_init(struct collector *c)
{
    c->archive_grown.fd = c->alerts_changed.fd = c->outbox_due.fd = c->stopping.fd = -1;
    pthread_rwlock_init(&c->content_lock, NULL);
    int r = notify_open(&c->archive_grown);
    if (r == 0)
        r = notify_open(&c->alerts_changed);
    if (r == 0)
        r = notify_open(&c->outbox_due);
    if (r == 0)
        r = notify_open(&c->stopping);
    return r;
}

void collector_clear(struct collector *c)
{
    c->content = content_free(c->content);
    c->rejected = content_free(c->rejected);
    notify_close(&c->archive_grown);
    notify_close(&c->alerts_changed);
    notify_close(&c->outbox_due);
    notify_close(&c->stopping);
    pthread_rwlock_destroy(&c->content_lock);
    collector_config_clear(&c->config);
}

void collector_fail(struct collector *c, int err)
{
    int none = 0;
    atomic_compare_exchange_strong(&c->fatal, &none, err < 0 ? err : -EIO);
    notify_raise(&c->stopping);
}

const struct content *collector_content_lock(struct collector *c)
{
    pthread_rwlock_rdlock(&c->content_lock);
    return c->content;
}

void collector_content_unlock(struct collector *c)
{
    pthread_rwlock_unlock(&c->content_lock);
}

void collector_content_replace(struct collector *c, struct content *fresh)
{
    pthread_rwlock_wrlock(&c->content_lock);
    struct content *old = c->content, *rejected = c->rejected;
    c->content = fresh;
    c->rejected = NULL;
    c->content_generation++;
    pthread_rwlock_unlock(&c->content_lock);
    content_free(old);
    content_free(rejected);
}

void collector_content_reject(struct collector *c, struct content *broken)
{
    pthread_rwlock_wrlock(&c->content_lock);
    struct content *old = c->rejected;
    c->rejected = broken;
    pthread_rwlock_unlock(&c->content_lock);
    content_free(old);
}
