/* SPDX-License-Identifier: Apache-2.0
 *
 * A thread for what would block a libevent loop (password hashing, reading the archive), behind a bounded queue. A job
 * runs on the worker's thread and is then handed back to the loop, whose thread frees it. The two threads touch a job
 * one after the other, never together.
 */
#pragma once

#include "common/base.h"

struct event_base;
struct worker;

struct worker_job {
    void (*run)(struct worker_job *job);                /* on the worker's thread */
    void (*done)(struct worker_job *job, bool was_run); /* on the loop's thread; the job is the callee's again */
    struct worker_job *next;                            /* the worker's */
};

/* queue_max: jobs that wait or run. 0 or negative errno. */
int worker_start(const char *name, size_t queue_max, struct event_base *base, struct worker **ret);
int worker_push(struct worker *w, struct worker_job *job); /* takes job; -EBUSY: full, the job stays the caller's */

/* Loop's thread. Waits for the running job; every job left gets done(job, false or as it was). NULL is fine. */
struct worker *worker_stop(struct worker *w);
