/* SPDX-License-Identifier: Apache-2.0
 * See worker.h. */
#include "collector/worker.h"

#include "collector/notify.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>

struct worker {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct worker_job *waiting, **waiting_tail; /* under lock */
    struct worker_job *finished, **finished_tail;
    size_t n, max; /* n: waiting, running or not yet handed back */
    bool is_stopping;
    struct notify handed_back;
    struct event *event;
};

static struct worker_job *take_all(struct worker *w)
{
    pthread_mutex_lock(&w->lock);
    struct worker_job *list = w->finished;
    w->finished = NULL;
    w->finished_tail = &w->finished;
    for (struct worker_job *j = list; j; j = j->next)
        w->n--;
    pthread_mutex_unlock(&w->lock);
    return list;
}

static void hand_back(struct worker_job *list, bool was_run)
{
    while (list) {
        struct worker_job *job = list;
        list = list->next;
        job->done(job, was_run);
    }
}

static void on_handed_back(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    struct worker *w = ctx;
    notify_clear(&w->handed_back);
    hand_back(take_all(w), true);
}

static void *work(void *ctx)
{
    struct worker *w = ctx;
    pthread_mutex_lock(&w->lock);
    while (!w->is_stopping) {
        struct worker_job *job = w->waiting;
        if (!job) {
            pthread_cond_wait(&w->work, &w->lock);
            continue;
        }
        w->waiting = job->next;
        if (!w->waiting)
            w->waiting_tail = &w->waiting;
        pthread_mutex_unlock(&w->lock);
        job->run(job);
        pthread_mutex_lock(&w->lock);
        job->next = NULL;
        *w->finished_tail = job;
        w->finished_tail = &job->next;
        notify_raise(&w->handed_back);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

static void destroy(struct worker *w)
{
    if (w->event)
        event_free(w->event);
    notify_close(&w->handed_back);
    pthread_cond_destroy(&w->work);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

int worker_start(const char *name, size_t queue_max, struct event_base *base, struct worker **ret)
{
    struct worker *w = calloc(1, sizeof(*w));
    if (!w)
        return -ENOMEM;
    w->max = queue_max;
    w->waiting_tail = &w->waiting;
    w->finished_tail = &w->finished;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->work, NULL);
    w->handed_back.fd = -1;
    int r = notify_open(&w->handed_back);
    if (r == 0) {
        w->event = event_new(base, w->handed_back.fd, EV_READ | EV_PERSIST, on_handed_back, w);
        r = w->event && event_add(w->event, NULL) == 0 ? 0 : -ENOMEM;
    }
    if (r == 0)
        r = -pthread_create(&w->thread, NULL, work, w);
    if (r < 0) {
        destroy(w);
        return r;
    }
    pthread_setname_np(w->thread, name);
    *ret = w;
    return 0;
}

int worker_push(struct worker *w, struct worker_job *job)
{
    int r = -EBUSY;
    pthread_mutex_lock(&w->lock);
    if (w->n < w->max) {
        job->next = NULL;
        *w->waiting_tail = job;
        w->waiting_tail = &job->next;
        w->n++;
        pthread_cond_signal(&w->work);
        r = 0;
    }
    pthread_mutex_unlock(&w->lock);
    return r;
}

struct worker *worker_stop(struct worker *w)
{
    if (!w)
        return NULL;
    pthread_mutex_lock(&w->lock);
    w->is_stopping = true;
    pthread_cond_signal(&w->work);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    hand_back(take_all(w), true);
    struct worker_job *left = w->waiting;
    w->waiting = NULL;
    hand_back(left, false);
    destroy(w);
    return NULL;
}
