/* SPDX-License-Identifier: Apache-2.0
 *
 * The threads of `rules eval`. Chunks of lines go through three steps, and each worker takes whichever step is next:
 *
 *     detect     a chunk of input, with a matcher of its own; any number of chunks at once, at most n_slots ahead
 *     correlate  chunks in order: the hits of all that are ready, shard by shard and level by level, a shard on any worker
 *     write      chunks in order; with correlations only into eval_order, which writes at the end
 *
 * Without correlations there is no second step. Output is the same for every number of threads.
 */
#include "collector/cli.h"
#include "collector/cli_rules_eval.h"

#include "common/time.h"
#include "rules/correlator.h"
#include "rules/json_event.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>

#define OUTPUT_MAX    (1024 * MIB) /* of one chunk */
#define SLOTS_MAX     (2 * EVAL_THREADS_MAX + 2)
#define BAD_SHOWN_MAX 5
#define TIME_UNKNOWN  INT64_MIN

struct bad_line {
    uint64_t index;
    size_t at; /* offset in the line */
    int err;
};

struct slot { /* what has become of a chunk */
    bool is_full;
    struct buf text;
    struct bad_line bad[BAD_SHOWN_MAX];
    uint64_t n_bad;
    struct hit_batch *hits;
    int64_t last_ts_ns; /* of its last event, or TIME_UNKNOWN */
};

struct shard_output {
    struct eval_triggers *triggers;
    int err;
};

struct stage { /* of correlating: the chunks at work, from next_out on */
    bool is_running, is_last;
    size_t n_chunks;
    unsigned level;
    size_t next_shard, running;
    struct hit_batch *batches[SLOTS_MAX];
    int64_t last_ts_ns; /* of the event before */
};

struct eval {
    const struct eval_job *job;
    struct eval_printer *printer;
    struct correlator *correlator; /* NULL: there are no correlations */
    struct eval_order *order;      /* likewise */
    size_t n_shards;
    struct shard_output *shards;

    pthread_mutex_t reading; /* input */
    struct eval_input input;

    pthread_mutex_t lock; /* all below; nothing long is done under it */
    pthread_cond_t changed;
    struct slot slots[SLOTS_MAX];
    size_t n_slots, n_full, n_detecting;
    uint64_t next_out, bad_shown;
    bool is_input_over, is_writing, is_correlated;
    struct stage stage;
    int err; /* the first; ends everything */
    struct eval_totals totals;
};

struct worker {
    struct eval *e;
    pthread_t thread;
    bool has_thread;
    struct json_event_reader *reader;
    struct matcher *matcher;
    struct eval_chunk chunk;
    struct slot out;
    struct eval_totals totals;
    uint64_t index; /* of the event being evaluated */
    int print_err;
};

/* Under e->lock. */
static void fail(struct eval *e, int err, const char *what)
{
    if (e->err == 0) {
        e->err = err;
        cli_fail("%s: %s", what, strerror(-err));
    }
    pthread_cond_broadcast(&e->changed);
}

/* ---- detect ---- */

static void on_match(const struct match *m, void *ctx)
{
    struct worker *w = ctx;
    int err = eval_print(w->e->printer, m, w->index, &w->out.text);
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

static int detect_line(struct worker *w, struct str line)
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
    if (!ev.ts_is_guessed)
        w->out.last_ts_ns = MAX(ev.ts_ns, TIME_UNKNOWN + 1);
    ev.ts_ns = w->out.last_ts_ns;
    ev.ref = (struct event_ref){w->index, 0};
    if (w->out.hits)
        err = matcher_detect(w->matcher, &ev, w->out.hits, on_match, w);
    else
        err = matcher_eval(w->matcher, &ev, on_match, w);
    return err < 0 ? err : w->print_err;
}

static int detect_chunk(struct worker *w)
{
    const struct eval_chunk *c = &w->chunk;
    size_t from = 0;
    w->index = c->first_index;
    w->totals.bytes += c->len;
    w->out.last_ts_ns = TIME_UNKNOWN;
    if (c->is_too_long) {
        note_bad(w, -EMSGSIZE, 0);
        return 0;
    }
    for (size_t i = 0; i < c->n_lines; i++, w->index++) {
        int err = detect_line(w, (struct str){c->data + from, c->ends[i] - from});
        if (err < 0)
            return err;
        from = c->ends[i] + 1;
    }
    return 0;
}

/* Under e->lock, as all steps: false when there is nothing to do of this kind now. */
static bool detect_step(struct worker *w)
{
    struct eval *e = w->e;
    if (e->is_input_over || e->n_detecting + e->n_full >= e->n_slots)
        return false;
    e->n_detecting++;
    pthread_mutex_unlock(&e->lock);
    pthread_mutex_lock(&e->reading);
    int got = eval_input_next(&e->input, &w->chunk);
    pthread_mutex_unlock(&e->reading);
    int err = got > 0 ? detect_chunk(w) : 0;
    pthread_mutex_lock(&e->lock);
    e->n_detecting--;
    if (got <= 0)
        e->is_input_over = true;
    if (got < 0)
        fail(e, got, "cannot read the events");
    else if (err < 0)
        fail(e, err, "cannot go on");
    if (got > 0) {
        struct slot *slot = &e->slots[w->chunk.seq % e->n_slots], empty = *slot;
        *slot = w->out;
        slot->is_full = true;
        w->out = empty;
        e->n_full++;
    }
    pthread_cond_broadcast(&e->changed);
    return true;
}

/* ---- write ---- */

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

static void print_bad(struct eval *e, const struct slot *s)
{
    for (size_t i = 0; i < MIN(s->n_bad, (uint64_t)BAD_SHOWN_MAX) && e->bad_shown < BAD_SHOWN_MAX; i++) {
        const struct bad_line *b = &s->bad[i];
        e->bad_shown++;
        if (e->job->is_quiet)
            continue;
        if (b->err == -EMSGSIZE)
            cli_fail("line %" PRIu64 ": longer than %zu MiB, left out", b->index + 1, EVAL_LINE_MAX / MIB);
        else
            cli_fail("line %" PRIu64 ", column %zu: %s, left out", b->index + 1, b->at + 1,
                     b->err == -E2BIG ? "nested too deep" : "not a JSON object");
    }
}

/* The next slot in order; only one worker is here at a time. Without e->lock. */
static int write_slot(struct eval *e, struct slot *s)
{
    print_bad(e, s);
    int err = e->order ? eval_order_detections(e->order, buf_str(&s->text)) : write_all(e->job->out, &s->text);
    buf_reset(&s->text);
    s->n_bad = 0;
    return err;
}

static void leave_slots(struct eval *e, size_t n)
{
    for (; n > 0; n--, e->next_out++, e->n_full--)
        e->slots[e->next_out % e->n_slots].is_full = false;
    pthread_cond_broadcast(&e->changed);
}

static bool write_step(struct eval *e)
{
    struct slot *s = &e->slots[e->next_out % e->n_slots];
    if (e->is_writing || !s->is_full)
        return false;
    e->is_writing = true;
    pthread_mutex_unlock(&e->lock);
    int err = write_slot(e, s);
    pthread_mutex_lock(&e->lock);
    e->is_writing = false;
    if (err < 0)
        fail(e, err, "cannot write the detections");
    leave_slots(e, 1);
    return true;
}

/* ---- correlate ---- */

static void on_correlation(const struct match *m, void *ctx)
{
    struct shard_output *out = ctx;
    if (!m->trigger) /* an alert has changed; lines are about triggers */
        return;
    int err = eval_triggers_add(out->triggers, m);
    if (err < 0)
        out->err = err;
}

/* Starts on all chunks that are ready, or on what is due when no event will follow. */
static bool begin_step(struct eval *e)
{
    struct stage *st = &e->stage;
    st->n_chunks = 0;
    while (st->n_chunks < e->n_full && e->slots[(e->next_out + st->n_chunks) % e->n_slots].is_full)
        st->n_chunks++;
    st->is_last = e->is_input_over && e->n_detecting == 0 && e->n_full == 0;
    if ((st->n_chunks == 0 && !st->is_last) || e->is_correlated)
        return false;
    st->is_running = true;
    st->next_shard = e->n_shards; /* nobody else yet */
    pthread_mutex_unlock(&e->lock);
    for (size_t i = 0; i < st->n_chunks; i++) {
        const struct slot *s = &e->slots[(e->next_out + i) % e->n_slots];
        hit_batch_fill_times(s->hits, st->last_ts_ns);
        st->last_ts_ns = s->last_ts_ns == TIME_UNKNOWN ? st->last_ts_ns : s->last_ts_ns;
        st->batches[i] = s->hits;
    }
    correlator_begin(e->correlator, st->batches, st->n_chunks, st->is_last ? INT64_MAX : INT64_MIN);
    pthread_mutex_lock(&e->lock);
    st->level = 1;
    st->next_shard = 0;
    pthread_cond_broadcast(&e->changed);
    return true;
}

static int run_shard(struct eval *e, size_t shard, unsigned level)
{
    struct shard_output *out = &e->shards[shard];
    if (level > correlator_levels(e->correlator)) {
        eval_triggers_sort(out->triggers);
        return 0;
    }
    int err = correlator_run(e->correlator, shard, level, on_correlation, out);
    return err < 0 ? err : out->err;
}

/* All levels of all shards are through. Without e->lock. */
static int finish_chunks(struct eval *e)
{
    struct stage *st = &e->stage;
    int err = 0;
    correlator_end(e->correlator);
    for (size_t i = 0; i < st->n_chunks; i++) {
        int one = write_slot(e, &e->slots[(e->next_out + i) % e->n_slots]);
        err = one < 0 ? one : err;
        hit_batch_reset(st->batches[i]);
    }
    return err;
}

static void end_level(struct eval *e)
{
    struct stage *st = &e->stage;
    if (st->level < correlator_levels(e->correlator) + st->is_last) { /* at the end, triggers are sorted, too */
        st->level++;
        st->next_shard = 0;
        pthread_cond_broadcast(&e->changed);
        return;
    }
    pthread_mutex_unlock(&e->lock);
    int err = finish_chunks(e);
    pthread_mutex_lock(&e->lock);
    if (err < 0)
        fail(e, err, "cannot keep the detections");
    st->is_running = false;
    e->is_correlated = st->is_last;
    leave_slots(e, st->n_chunks);
}

static bool correlate_step(struct eval *e)
{
    struct stage *st = &e->stage;
    if (!st->is_running)
        return begin_step(e);
    if (st->next_shard == e->n_shards)
        return false;
    size_t shard = st->next_shard++;
    unsigned level = st->level;
    st->running++;
    pthread_mutex_unlock(&e->lock);
    int err = run_shard(e, shard, level);
    pthread_mutex_lock(&e->lock);
    st->running--;
    if (err < 0)
        fail(e, err, "cannot correlate");
    if (st->running == 0 && st->next_shard == e->n_shards)
        end_level(e);
    return true;
}

/* ---- workers ---- */

static bool is_over(const struct eval *e)
{
    return e->err < 0 || (e->is_input_over && e->n_detecting == 0 && e->n_full == 0 && !e->is_writing &&
                          (!e->correlator || e->is_correlated));
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
    to->matcher.rules_tried += m.rules_tried;
    to->matcher.regex_gave_up += m.regex_gave_up;
}

static void *work(void *arg)
{
    struct worker *w = arg;
    struct eval *e = w->e;
    pthread_mutex_lock(&e->lock);
    while (!is_over(e))
        if (!(e->correlator ? correlate_step(e) : write_step(e)) && !detect_step(w) && !is_over(e))
            pthread_cond_wait(&e->changed, &e->lock);
    add_totals(&e->totals, w);
    pthread_cond_broadcast(&e->changed);
    pthread_mutex_unlock(&e->lock);
    return NULL;
}

static int worker_init(struct worker *w, struct eval *e)
{
    const struct eval_job *job = e->job;
    const struct json_event_options o = {.keeps_unknown = ruleset_has_keywords(job->rs),
                                         .wants_time = e->correlator != NULL};
    *w = (struct worker){.e = e};
    w->out.text = BUF_INIT(OUTPUT_MAX);
    w->reader = json_event_reader_new(job->names, &o);
    w->matcher = matcher_new_with(job->rs, &job->matcher);
    if (e->correlator && !(w->out.hits = hit_batch_new(e->correlator)))
        return -ENOMEM;
    return w->reader && w->matcher ? 0 : -ENOMEM;
}

static void worker_clear(struct worker *w)
{
    if (w->has_thread)
        pthread_join(w->thread, NULL);
    matcher_free(w->matcher);
    json_event_reader_free(w->reader);
    hit_batch_free(w->out.hits);
    buf_clear(&w->out.text);
    eval_chunk_clear(&w->chunk);
}

/* The first worker is this thread. */
static int run_workers(struct eval *e, struct worker *workers, unsigned n)
{
    int err = 0;
    unsigned made = 0;
    for (; err == 0 && made < n; made++)
        err = worker_init(&workers[made], e);
    for (unsigned i = 1; err == 0 && i < n; i++) {
        err = -pthread_create(&workers[i].thread, NULL, work, &workers[i]);
        workers[i].has_thread = err == 0;
    }
    if (err < 0) {
        pthread_mutex_lock(&e->lock);
        fail(e, err, "cannot start");
        pthread_mutex_unlock(&e->lock);
    } else {
        work(&workers[0]);
    }
    for (unsigned i = 0; i < made; i++)
        worker_clear(&workers[i]);
    return e->err;
}

/* ---- life ---- */

static bool has_correlations(const struct ruleset *rs)
{
    for (size_t i = 0; i < ruleset_count(rs); i++)
        if (ruleset_rule(rs, i)->kind == RULE_CORRELATION)
            return true;
    return false;
}

static int correlation_init(struct eval *e)
{
    e->n_shards = e->job->threads == 1 ? 1 : MIN(2 * (size_t)e->job->threads, (size_t)CORRELATOR_SHARDS_MAX);
    e->correlator = correlator_new(e->job->rs, &e->job->matcher, e->n_shards);
    e->order = eval_order_new(e->job->out);
    e->shards = calloc(e->n_shards, sizeof(*e->shards));
    if (!e->correlator || !e->order || !e->shards)
        return -ENOMEM;
    for (size_t i = 0; i < e->n_shards; i++)
        if (!(e->shards[i].triggers = eval_triggers_new(e->printer)))
            return -ENOMEM;
    for (size_t i = 0; i < e->n_slots; i++)
        if (!(e->slots[i].hits = hit_batch_new(e->correlator)))
            return -ENOMEM;
    return 0;
}

static int eval_init(struct eval *e, const struct eval_job *job)
{
    e->job = job;
    e->n_slots = 2 * (size_t)job->threads + 2;
    eval_input_init(&e->input, job->in);
    pthread_mutex_init(&e->reading, NULL);
    pthread_mutex_init(&e->lock, NULL);
    pthread_cond_init(&e->changed, NULL);
    for (size_t i = 0; i < e->n_slots; i++)
        e->slots[i].text = BUF_INIT(OUTPUT_MAX);
    e->printer = eval_printer_new(job->rs, job->names);
    if (!e->printer)
        return -ENOMEM;
    return has_correlations(job->rs) ? correlation_init(e) : 0;
}

static void eval_free(struct eval *e)
{
    for (size_t i = 0; i < e->n_slots; i++) {
        buf_clear(&e->slots[i].text);
        hit_batch_free(e->slots[i].hits);
    }
    for (size_t i = 0; e->shards && i < e->n_shards; i++)
        eval_triggers_free(e->shards[i].triggers);
    free(e->shards);
    eval_order_free(e->order);
    correlator_free(e->correlator);
    eval_printer_free(e->printer);
    eval_input_clear(&e->input);
    free(e);
}

static int write_ordered(struct eval *e)
{
    struct eval_triggers *triggers[CORRELATOR_SHARDS_MAX];
    for (size_t i = 0; i < e->n_shards; i++)
        triggers[i] = e->shards[i].triggers;
    int err = eval_order_write(e->order, triggers, e->n_shards);
    if (err < 0)
        cli_fail("cannot write the detections: %s", strerror(-err));
    return err;
}

static int run(struct eval *e, struct worker *workers)
{
    int64_t start_ns = time_monotonic_ns();
    int err = run_workers(e, workers, e->job->threads);
    if (err == 0 && e->order)
        err = write_ordered(e);
    e->totals.lines = e->input.next_index;
    e->totals.seconds = (double)(time_monotonic_ns() - start_ns) / 1e9;
    for (size_t i = 0; i < e->n_shards; i++)
        e->totals.matches += eval_triggers_count(e->shards[i].triggers);
    if (e->correlator)
        correlator_stats(e->correlator, &e->totals.matcher);
    return err;
}

int eval_run(const struct eval_job *job, struct eval_totals *ret)
{
    struct eval *e = calloc(1, sizeof(*e));
    struct worker *workers = calloc(job->threads, sizeof(*workers));
    int err = e && workers ? eval_init(e, job) : -ENOMEM;
    if (err < 0)
        cli_fail("%s", strerror(-err));
    else
        err = run(e, workers);
    if (e) {
        *ret = e->totals;
        eval_free(e);
    }
    free(workers);
    return err;
}
