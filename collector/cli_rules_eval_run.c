/* SPDX-License-Identifier: Apache-2.0
 *
 * Events in, detections out, on several threads and in the order of the events. Each worker in turn takes a chunk of whole
 * lines from the input, evaluates it with a matcher of its own, and puts its output into the slot of that chunk; whoever
 * finds the next slot in order full writes it. A worker waits only when it is `n_slots` chunks ahead of the slowest.
 */
#include "collector/cli.h"
#include "collector/cli_rules_eval.h"

#include "common/time.h"
#include "rules/json_event.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>

#define CHUNK_BYTES   (256 * KIB)
#define OUTPUT_MAX    (1024 * MIB) /* of one chunk */
#define SLOTS_MAX     (2 * EVAL_THREADS_MAX + 2)
#define BAD_SHOWN_MAX 5

struct bad_line {
    uint64_t index;
    size_t at; /* offset in the line */
    int err;
};

struct output { /* of one chunk */
    struct buf text;
    struct bad_line bad[BAD_SHOWN_MAX];
    uint64_t n_bad;
    bool is_full;
};

struct input { /* a chunk of whole lines */
    char *data;
    size_t cap, len;
    uint64_t seq, first_index;
    bool is_too_long; /* a single line, and only the start of it */
};

struct eval {
    const struct eval_job *job;
    struct eval_printer *printer;
    /* under `reading` */
    pthread_mutex_t reading;
    struct buf rest; /* the start of the next line */
    uint64_t next_seq, next_index;
    bool is_end, is_skipping; /* skipping: behind the start of a line that is too long */
    /* under `writing` */
    pthread_mutex_t writing;
    pthread_cond_t written;
    struct output slots[SLOTS_MAX];
    size_t n_slots;
    uint64_t next_out, bad_shown;
    bool is_writing;
    int err; /* the first; ends everything */
    struct eval_totals totals;
};

struct worker {
    struct eval *e;
    pthread_t thread;
    bool has_thread;
    struct json_event_reader *reader;
    struct matcher *matcher;
    struct input in;
    struct output out;
    struct eval_totals totals;
    uint64_t index; /* of the event being evaluated */
    int64_t last_ts_ns;
    int print_err;
};

static void fail(struct eval *e, int err, const char *what)
{
    pthread_mutex_lock(&e->writing);
    if (e->err == 0) {
        e->err = err;
        cli_fail("%s: %s", what, strerror(-err));
    }
    pthread_cond_broadcast(&e->written);
    pthread_mutex_unlock(&e->writing);
}

static bool has_failed(struct eval *e)
{
    pthread_mutex_lock(&e->writing);
    bool ret = e->err < 0;
    pthread_mutex_unlock(&e->writing);
    return ret;
}

/* ---- input ---- */

static ssize_t read_some(int fd, char *p, size_t n)
{
    ssize_t r;
    do
        r = read(fd, p, n);
    while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : r;
}

static int grow(struct input *in)
{
    size_t cap = MAX(2 * in->cap, CHUNK_BYTES);
    char *data = realloc(in->data, cap);
    if (!data)
        return -ENOMEM;
    in->data = data;
    in->cap = cap;
    return 0;
}

/* Keeps what stands behind the last newline of the chunk's bytes from `from` on for the next one. False: there is none. */
static bool cut_lines(struct eval *e, struct input *in, size_t from, int *ret_err)
{
    const char *newline = memrchr(in->data + from, '\n', in->len - from);
    if (!newline)
        return false;
    size_t whole = (size_t)(newline - in->data) + 1, more = in->len - whole;
    in->len = whole;
    *ret_err = buf_append(&e->rest, in->data + whole, more);
    return true;
}

/* Reads until in->data holds a newline. */
static int read_lines(struct eval *e, struct input *in)
{
    size_t from = 0;
    int err = 0;
    in->is_too_long = false;
    in->len = e->rest.len;
    while (in->cap < MAX(e->rest.len + 1, CHUNK_BYTES))
        if (grow(in) < 0)
            return -ENOMEM;
    if (e->rest.len)
        memcpy(in->data, e->rest.data, e->rest.len);
    buf_reset(&e->rest);
    while (!cut_lines(e, in, from, &err)) { /* behind a line that is too long, the rest may hold whole lines */
        if (in->len > EVAL_LINE_MAX) {
            in->is_too_long = e->is_skipping = true;
            return 0;
        }
        if (in->len == in->cap && grow(in) < 0)
            return -ENOMEM;
        ssize_t n = read_some(e->job->in, in->data + in->len, in->cap - in->len);
        if (n <= 0) {
            e->is_end = true;
            return (int)n;
        }
        from = in->len;
        in->len += (size_t)n;
    }
    return err;
}

/* Over the rest of a line that is too long. */
static int skip_line(struct eval *e, struct input *in)
{
    while (e->is_skipping) {
        ssize_t n = read_some(e->job->in, in->data, in->cap);
        if (n <= 0) {
            e->is_end = true;
            e->is_skipping = false;
            return (int)n;
        }
        const char *newline = memchr(in->data, '\n', (size_t)n);
        if (!newline)
            continue;
        e->is_skipping = false;
        return buf_append(&e->rest, newline + 1, (size_t)(in->data + n - newline - 1));
    }
    return 0;
}

static uint64_t count_lines(const struct input *in)
{
    uint64_t n = 0;
    const char *end = in->data + in->len;
    if (in->is_too_long)
        return 1;
    for (const char *p = in->data; p < end; n++) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        p = newline ? newline + 1 : end;
    }
    return n;
}

/* 1: there is a chunk, 0: there is none. */
static int take_chunk(struct worker *w)
{
    struct eval *e = w->e;
    pthread_mutex_lock(&e->reading);
    int err = e->is_skipping ? skip_line(e, &w->in) : 0;
    w->in.len = 0;
    if (err == 0 && !e->is_end)
        err = read_lines(e, &w->in);
    if (err < 0)
        e->is_end = true;
    bool has_chunk = err == 0 && w->in.len > 0;
    if (has_chunk) {
        w->in.seq = e->next_seq++;
        w->in.first_index = e->next_index;
        e->next_index += count_lines(&w->in);
    }
    pthread_mutex_unlock(&e->reading);
    if (err < 0)
        fail(e, err, "cannot read the events");
    return has_chunk && !has_failed(e);
}

/* ---- output ---- */

static int write_all(int fd, const struct buf *b)
{
    for (size_t done = 0; done < b->len;) {
        ssize_t n = write(fd, b->data + done, b->len - done);
        if (n < 0 && errno != EINTR)
            return -errno;
        done += n < 0 ? 0 : (size_t)n;
    }
    return 0;
}

static void print_bad(struct eval *e, const struct output *o)
{
    for (size_t i = 0; i < MIN(o->n_bad, (uint64_t)BAD_SHOWN_MAX) && e->bad_shown < BAD_SHOWN_MAX;
         i++, e->bad_shown++) {
        const struct bad_line *b = &o->bad[i];
        if (e->job->is_quiet)
            continue;
        if (b->err == -EMSGSIZE)
            cli_fail("line %" PRIu64 ": longer than %zu MiB, left out", b->index + 1, EVAL_LINE_MAX / MIB);
        else
            cli_fail("line %" PRIu64 ", column %zu: %s, left out", b->index + 1, b->at + 1,
                     b->err == -E2BIG ? "nested too deep" : "not a JSON object");
    }
}

/* Puts the worker's output into its slot, and writes whatever is next in order. The worker gets an empty one back. */
static void put_output(struct worker *w)
{
    struct eval *e = w->e;
    pthread_mutex_lock(&e->writing);
    while (w->in.seq >= e->next_out + e->n_slots && e->err == 0)
        pthread_cond_wait(&e->written, &e->writing);
    struct output *slot = &e->slots[w->in.seq % e->n_slots];
    struct output empty = *slot;
    *slot = w->out;
    slot->is_full = true;
    w->out = empty;
    while (!e->is_writing && e->slots[e->next_out % e->n_slots].is_full && e->err == 0) {
        struct output *o = &e->slots[e->next_out % e->n_slots];
        e->is_writing = true;
        pthread_mutex_unlock(&e->writing);
        print_bad(e, o);
        int err = write_all(e->job->out, &o->text);
        pthread_mutex_lock(&e->writing);
        if (err < 0 && e->err == 0) {
            e->err = err;
            cli_fail("cannot write the detections: %s", strerror(-err));
        }
        buf_reset(&o->text);
        o->n_bad = 0;
        o->is_full = e->is_writing = false;
        e->next_out++;
        pthread_cond_broadcast(&e->written);
    }
    pthread_mutex_unlock(&e->writing);
}

/* ---- evaluating ---- */

static void on_match(const struct match *m, void *ctx)
{
    struct worker *w = ctx;
    int err = eval_print(w->e->printer, m, m->event->ref.pos, &w->out.text);
    if (err < 0)
        w->print_err = err;
    w->totals.matches++;
}

static void note_bad(struct worker *w, int err, size_t at)
{
    if (w->out.n_bad < BAD_SHOWN_MAX)
        w->out.bad[w->out.n_bad] = (struct bad_line){w->index, at, err};
    w->out.n_bad++;
    w->totals.bad++;
}

static int eval_line(struct worker *w, struct str line)
{
    struct event ev;
    int err = json_event_read(w->reader, line, &ev);
    if (err == -ENOMEM)
        return err;
    if (err < 0) {
        if (str_trim(line).len) /* an empty line is nothing, and keeps its index */
            note_bad(w, err, json_event_bad_at(w->reader));
        return 0;
    }
    w->totals.events++;
    if (ev.ts_is_guessed)
        ev.ts_ns = w->last_ts_ns;
    w->last_ts_ns = ev.ts_ns;
    ev.ref = (struct event_ref){w->index, 0};
    err = matcher_eval(w->matcher, &ev, on_match, w);
    return err < 0 ? err : w->print_err;
}

static int eval_chunk(struct worker *w)
{
    const struct input *in = &w->in;
    const char *p = in->data, *end = in->data + in->len;
    w->index = in->first_index;
    w->totals.bytes += in->len;
    if (in->is_too_long) {
        note_bad(w, -EMSGSIZE, 0);
        return 0;
    }
    for (; p < end; w->index++) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        const char *line_end = newline ? newline : end;
        int err = eval_line(w, (struct str){p, (size_t)(line_end - p)});
        if (err < 0)
            return err;
        p = newline ? newline + 1 : end;
    }
    return 0;
}

static void add_totals(struct eval_totals *to, const struct worker *w)
{
    struct matcher_stats m;
    matcher_stats(w->matcher, &m);
    to->events += w->totals.events;
    to->bad += w->totals.bad;
    to->bytes += w->totals.bytes;
    to->matches += w->totals.matches;
    to->dropped_fields += json_event_dropped_fields(w->reader);
    to->matcher.events += m.events;
    to->matcher.matches += m.matches;
    to->matcher.correlation_hits += m.correlation_hits;
    to->matcher.groups += m.groups;
    to->matcher.group_bytes += m.group_bytes;
    to->matcher.evicted += m.evicted;
    to->matcher.evicted_live += m.evicted_live;
    to->matcher.dropped_hits += m.dropped_hits;
    to->matcher.regex_gave_up += m.regex_gave_up;
}

static void *work(void *arg)
{
    struct worker *w = arg;
    while (take_chunk(w)) {
        int err = eval_chunk(w);
        if (err < 0) {
            fail(w->e, err, "cannot go on");
            break;
        }
        put_output(w);
    }
    pthread_mutex_lock(&w->e->writing);
    add_totals(&w->e->totals, w);
    pthread_mutex_unlock(&w->e->writing);
    return NULL;
}

/* ---- life ---- */

static bool has_correlations(const struct ruleset *rs)
{
    for (size_t i = 0; i < ruleset_count(rs); i++)
        if (ruleset_rule(rs, i)->kind == RULE_CORRELATION)
            return true;
    return false;
}

static int worker_init(struct worker *w, struct eval *e)
{
    const struct eval_job *job = e->job;
    const struct json_event_options o = {.keeps_unknown = ruleset_has_keywords(job->rs),
                                         .wants_time = has_correlations(job->rs)};
    *w = (struct worker){.e = e};
    w->out.text = BUF_INIT(OUTPUT_MAX);
    w->reader = json_event_reader_new(job->names, &o);
    w->matcher = matcher_new(job->rs, job->state_memory);
    return w->reader && w->matcher ? 0 : -ENOMEM;
}

static void worker_clear(struct worker *w)
{
    if (w->has_thread)
        pthread_join(w->thread, NULL);
    matcher_free(w->matcher);
    json_event_reader_free(w->reader);
    free(w->in.data);
    buf_clear(&w->out.text);
}

/* The first worker is this thread. */
static int run(struct eval *e, struct worker *workers, unsigned n)
{
    int err = 0;
    unsigned made = 0;
    for (; err == 0 && made < n; made++)
        err = worker_init(&workers[made], e);
    for (unsigned i = 1; err == 0 && i < n; i++) {
        err = -pthread_create(&workers[i].thread, NULL, work, &workers[i]);
        workers[i].has_thread = err == 0;
    }
    if (err < 0)
        fail(e, err, "cannot start");
    else
        work(&workers[0]);
    for (unsigned i = 0; i < made; i++)
        worker_clear(&workers[i]);
    return e->err;
}

int eval_run(const struct eval_job *job, struct eval_totals *ret)
{
    struct eval *e = calloc(1, sizeof(*e));
    unsigned threads = has_correlations(job->rs) ? 1 : job->threads;
    struct worker *workers = calloc(threads, sizeof(*workers));
    if (e && workers)
        e->printer = eval_printer_new(job->rs, job->names);
    int err = e && e->printer ? 0 : cli_fail("out of memory") ? -ENOMEM : 0;
    if (err == 0) {
        e->job = job;
        e->rest = BUF_INIT(2 * EVAL_LINE_MAX + CHUNK_BYTES);
        e->n_slots = 2 * (size_t)threads + 2;
        for (size_t i = 0; i < e->n_slots; i++)
            e->slots[i].text = BUF_INIT(OUTPUT_MAX);
        pthread_mutex_init(&e->reading, NULL);
        pthread_mutex_init(&e->writing, NULL);
        pthread_cond_init(&e->written, NULL);
        int64_t start_ns = time_monotonic_ns();
        err = run(e, workers, threads);
        *ret = e->totals;
        ret->lines = e->next_index;
        ret->seconds = (double)(time_monotonic_ns() - start_ns) / 1e9;
        for (size_t i = 0; i < e->n_slots; i++)
            buf_clear(&e->slots[i].text);
        buf_clear(&e->rest);
    }
    if (e)
        eval_printer_free(e->printer);
    free(workers);
    free(e);
    return err;
}
