/* SPDX-License-Identifier: Apache-2.0
 *
 * See detect.h. How correct correlation survives an interruption: an event at time t can only belong together with events
 * within the rules' horizon H of t, and nothing is ingested before it happened. So state that knows every record ingested
 * since t - H is complete for t. At start that is read back for the first record to come. A later event that reaches
 * further back (an agent that was away for long) makes us read back further, as long as that is about READ_BACK_MAX of
 * archive; beyond it the event is evaluated with what is known, and counted.
 */
#include "collector/detect.h"

#include "collector/archive.h"
#include "collector/evaluate.h"
#include "collector/store.h"
#include "collector/streams.h"
#include "common/log.h"
#include "common/time.h"

#include <errno.h>
#include <poll.h>

#define COMMIT_BATCHES  64
#define COMMIT_DELAY_NS (50 * NS_PER_MS)
#define COMMIT_SHARE    4 /* the time from a commit to the next is at least so many times what that one took, ... */
#define COMMIT_LATEST   (1 * NS_PER_S)       /* ... but no longer than this */
#define READ_BACK_SLACK (10 * 60 * NS_PER_S) /* between an event and its ingestion, in ordinary life */
#define READ_BACK_MAX   (512 * MIB)
#define IDLE_WAIT_MS    1000
#define FORGET_EVERY_NS (3600 * NS_PER_S)
#define STREAMS_KEPT    100000 /* only beyond so many are streams not seen for long forgotten */

struct touched { /* a stream that moved since the last commit */
    uint8_t agent[ID_LEN], stream[ID_LEN];
    uint64_t end;
    int64_t seen_ns;
};

enum { SET_POS, SET_STREAM, FORGET_STREAMS, N_SQL };
static const char *const sql[N_SQL] = {
    [SET_POS] = "INSERT INTO checkpoint (id, pos) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET pos = excluded.pos",
    [SET_STREAM] = ("INSERT INTO streams (agent, stream, end, seen_ns) VALUES (?, ?, ?, ?) ON CONFLICT (agent, stream)"
                    " DO UPDATE SET end = max(end, excluded.end), seen_ns = max(seen_ns, excluded.seen_ns)"),
    [FORGET_STREAMS] = "DELETE FROM streams WHERE seen_ns < ? AND (SELECT count(*) FROM streams) > ?",
};

struct detect {
    struct collector *c;
    pthread_t thread;
    atomic_bool is_stopping;
    sqlite3 *db;
    sqlite3_stmt *s[N_SQL];
    struct archive_reader *reader;
    uint64_t damage_seen;
    struct evaluator eval;
    uint64_t committed; /* what checkpoint.pos says */
    uint64_t pos;       /* behind the last record evaluated */
    unsigned batches;   /* evaluated and not committed */
    int64_t oldest_ns;  /* monotonic: when the first of those was evaluated */
    int64_t cost_ns;    /* what the last commit took */
    int64_t forgotten_ns;
    struct touched touched[COMMIT_BATCHES];
    size_t n_touched;
};

/* ---- committing ---- */

static void touch(struct detect *d, const struct archive_record *rec)
{
    const struct batch *b = &rec->batch;
    for (size_t i = 0; i < d->n_touched; i++) {
        struct touched *t = &d->touched[i];
        if (memcmp(t->stream, b->stream, ID_LEN) == 0 && memcmp(t->agent, b->agent, ID_LEN) == 0) {
            t->end = MAX(t->end, b->end);
            t->seen_ns = rec->ingested_ns;
            return;
        }
    }
    struct touched *t = &d->touched[d->n_touched++]; /* never more than batches, which COMMIT_BATCHES bounds */
    *t = (struct touched){.end = b->end, .seen_ns = rec->ingested_ns};
    memcpy(t->agent, b->agent, ID_LEN);
    memcpy(t->stream, b->stream, ID_LEN);
}

static int write_streams(struct detect *d, struct diag *diag)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < d->n_touched; i++) {
        const struct touched *t = &d->touched[i];
        store_bind_blob(d->s[SET_STREAM], 1, t->agent, ID_LEN);
        store_bind_blob(d->s[SET_STREAM], 2, t->stream, ID_LEN);
        store_bind_int(d->s[SET_STREAM], 3, (int64_t)t->end);
        store_bind_int(d->s[SET_STREAM], 4, t->seen_ns);
        r = store_run(d->s[SET_STREAM], diag);
    }
    int64_t now_ns = time_now_ns();
    if (r == 0 && now_ns - d->forgotten_ns > FORGET_EVERY_NS) {
        store_bind_int(d->s[FORGET_STREAMS], 1, now_ns - STREAMS_KEEP_NS);
        store_bind_int(d->s[FORGET_STREAMS], 2, STREAMS_KEPT);
        r = store_run(d->s[FORGET_STREAMS], diag);
        d->forgotten_ns = now_ns;
    }
    return r;
}

static int try_commit(struct detect *d, struct alerts_written *ret, struct diag *diag)
{
    int r = store_begin(d->db, diag);
    if (r < 0)
        return r;
    r = alerts_write(d->eval.alerts, time_now_ns(), ret, diag);
    if (r == 0)
        r = write_streams(d, diag);
    if (r == 0) {
        store_bind_int(d->s[SET_POS], 1, (int64_t)d->pos);
        r = store_run(d->s[SET_POS], diag);
    }
    if (r == 0)
        return store_commit(d->db, diag);
    store_rollback(d->db);
    return r;
}

static void forget_uncommitted(struct detect *d)
{
    alerts_clear(d->eval.alerts);
    d->n_touched = 0;
    d->batches = 0;
}

/* Commits all that is collected, at d->pos. Without success it tries again until the program stops: the archive keeps
 * growing meanwhile and nothing is lost. 0, or -ECANCELED. */
static int commit(struct detect *d)
{
    struct diag diag = {0};
    struct alerts_written written;
    int64_t began_ns = time_monotonic_ns();
    int r;
    while ((r = try_commit(d, &written, &diag)) < 0) {
        if (atomic_load(&d->is_stopping))
            return -ECANCELED;
        log_error("detection cannot commit: %s; trying again", diag.msg);
        poll(NULL, 0, 1000);
    }
    forget_uncommitted(d);
    d->cost_ns = time_monotonic_ns() - began_ns;
    d->committed = d->pos;
    stat_add(STAT_ALERTS_NEW, (int64_t)written.added);
    stat_add(STAT_ALERTS_UPDATED, (int64_t)written.updated);
    stat_set(STAT_DETECT_POSITION, (int64_t)d->pos);
    evaluate_count(&d->eval);
    if (written.added + written.updated > 0)
        notify_raise(&d->c->alerts_changed);
    return 0;
}

/* Under a flood most of what a commit writes are updates of the same alerts: the rarer, the fewer. */
static bool is_commit_due(const struct detect *d)
{
    int64_t wait_ns = MAX(COMMIT_DELAY_NS, MIN(d->cost_ns * COMMIT_SHARE, COMMIT_LATEST));
    return d->batches >= COMMIT_BATCHES || time_monotonic_ns() - d->oldest_ns >= wait_ns;
}

static int commit_if_any(struct detect *d)
{
    return d->batches || alerts_count(d->eval.alerts) ? commit(d) : 0;
}

/* A single batch with very many alerts: write them; the position stays before the batch, so it is read again if we die
 * now, with the same alerts. */
static int on_full(void *ctx)
{
    return commit(ctx);
}

/* ---- reading back ---- */

/* Where records ingested since from_ns begin at the latest: a segment's border before them. *ret_is_all: that is the
 * very beginning. Also notes how deep it would be worth reading. */
static int find_segment(struct detect *d, int64_t from_ns, uint64_t *ret_pos, bool *ret_is_all)
{
    struct archive_segment *segments = NULL;
    size_t n = 0;
    int r = archive_segments(d->c->config.archive_dir, &segments, &n);
    if (r < 0)
        return r;
    size_t i = n, deepest = n;
    while (i > 0 && segments[i - 1].created_ns > from_ns)
        i--;
    while (deepest > 0 && segments[deepest - 1].pos + READ_BACK_MAX >= d->pos)
        deepest--;
    d->eval.deepest_ns = deepest == 0 ? INT64_MIN : deepest == n ? INT64_MAX : segments[deepest].created_ns;
    *ret_is_all = i == 0;
    *ret_pos = n == 0 ? 0 : segments[i > 0 ? i - 1 : 0].pos;
    free(segments);
    return 0;
}

/* Evaluates what was ingested since from_ns and lies before d->pos, for its state only. */
static int read_back_from(struct detect *d, uint64_t start, int64_t from_ns, struct diag *diag)
{
    struct archive_reader *reader = NULL;
    struct archive_record rec;
    int64_t records = 0, began_ns = time_monotonic_ns(), need_ns;
    int r = archive_reader_open(d->c->config.archive_dir, start, &reader, diag);
    if (r < 0)
        return r;
    while (!atomic_load(&d->is_stopping) && (r = archive_reader_next(reader, &rec, diag)) == 1 && rec.pos < d->pos) {
        if (rec.ingested_ns < from_ns)
            continue;
        r = evaluate_batch(&d->eval, &rec, EVALUATE_READ_BACK, on_full, d, &need_ns, diag);
        if (r == -ENOMEM)
            break;
        records += rec.batch.records;
    }
    archive_reader_close(reader);
    stat_add(STAT_READ_BACK, records);
    if (records > 0)
        log_info("read back %lld records in %lld ms to rebuild correlation state", (long long)records,
                 (long long)((time_monotonic_ns() - began_ns) / NS_PER_MS));
    return r == -ENOMEM ? r : 0;
}

static int read_back(struct detect *d, int64_t from_ns, struct diag *diag)
{
    uint64_t start = 0;
    bool is_all = false;
    if (d->eval.horizon_ns == 0)
        return evaluate_forget(&d->eval, INT64_MIN);
    int r = find_segment(d, from_ns, &start, &is_all);
    if (r < 0)
        return diag_set(diag, r, "cannot list the archive: %s", strerror(-r));
    r = evaluate_forget(&d->eval, is_all ? INT64_MIN : from_ns);
    return r < 0 ? r : read_back_from(d, start, is_all ? INT64_MIN : from_ns, diag);
}

/* The usual depth: for the record that comes next, or for the present. */
static int read_back_usual(struct detect *d, struct diag *diag)
{
    struct archive_record rec;
    int64_t at_ns = time_now_ns();
    int r = archive_reader_next(d->reader, &rec, diag);
    if (r == 1)
        at_ns = MIN(at_ns, rec.ingested_ns);
    r = archive_reader_seek(d->reader, d->pos);
    if (r < 0)
        return diag_set(diag, r, "cannot read the archive at %llu: %s", (unsigned long long)d->pos, strerror(-r));
    return read_back(d, at_ns - d->eval.horizon_ns - READ_BACK_SLACK, diag);
}

/* ---- following ---- */

static void note_damage(struct detect *d, const struct diag *diag)
{
    uint64_t damage = archive_reader_damage(d->reader);
    if (damage == d->damage_seen)
        return;
    log_error("archive: %s", diag->msg);
    stat_add(STAT_ARCHIVE_DAMAGE, (int64_t)(damage - d->damage_seen));
    d->damage_seen = damage;
}

static int evaluate_record(struct detect *d, const struct archive_record *rec)
{
    struct diag diag = {0};
    int64_t need_ns = 0;
    int r;
    while ((r = evaluate_batch(&d->eval, rec, EVALUATE, on_full, d, &need_ns, &diag)) == -ESTALE) {
        /* A good step back, not one event after the other; each step lowers the floor, so this ends. */
        need_ns = MIN(need_ns, d->eval.floor_ns - d->eval.horizon_ns);
        r = read_back(d, need_ns, &diag);
        if (r < 0) {
            log_error("detection cannot read back: %s", diag.msg);
            return r;
        }
    }
    if (r == -EBADMSG) {
        stat_add(STAT_BAD_BATCHES, 1);
        log_error("detection: %s", diag.msg);
        r = 0;
    }
    return r;
}

/* After a failure in the middle of a batch: back to what is committed. */
static int start_over(struct detect *d, struct diag *diag)
{
    forget_uncommitted(d);
    d->pos = d->committed;
    return read_back_usual(d, diag);
}

/* 1: a record was evaluated, 0: there is none, or negative errno. */
static int step(struct detect *d)
{
    if (d->pos >= atomic_load(&d->c->durable_end))
        return 0;
    struct archive_record rec;
    struct diag diag = {0};
    int r = archive_reader_next(d->reader, &rec, &diag);
    note_damage(d, &diag);
    if (r <= 0)
        return r;
    if (rec.pos >= atomic_load(&d->c->durable_end)) { /* beyond damage, and not yet on disk */
        r = archive_reader_seek(d->reader, d->pos);
        return r < 0 ? r : 0;
    }
    r = evaluate_record(d, &rec);
    if (r < 0)
        return r;
    d->pos = rec.next_pos;
    touch(d, &rec);
    if (d->batches++ == 0)
        d->oldest_ns = time_monotonic_ns();
    stat_add(STAT_DETECTED, rec.batch.records);
    stat_add(STAT_DETECT_LAG_EVENTS, -(int64_t)rec.batch.records);
    return 1;
}

static void wait_for_more(struct detect *d)
{
    struct pollfd fd = {.fd = d->c->archive_grown.fd, .events = POLLIN};
    if (poll(&fd, 1, IDLE_WAIT_MS) > 0)
        notify_clear(&d->c->archive_grown);
}

/* ---- reload ---- */

static void count_content(const struct content *content)
{
    stat_set(STAT_RULES, (int64_t)ruleset_count(content_ruleset(content)));
    stat_set(STAT_RULE_ERRORS, (int64_t)content_diags(content)->errors);
}

/* A set with errors is not taken: one mistyped line must not switch a rule off. It is kept for what it says of them. */
static int reload(struct detect *d)
{
    struct diag diag = {0};
    struct content *fresh = NULL;
    int r = content_load(&d->c->config, &fresh, &diag);
    if (r == 0 && content_diags(fresh)->errors > 0) {
        log_diags(content_diags(fresh));
        log_error("reload: %zu errors; the rules in force stay", content_diags(fresh)->errors);
        stat_set(STAT_RULE_ERRORS, (int64_t)content_diags(fresh)->errors);
        collector_content_reject(d->c, fresh);
        stat_add(STAT_RELOADS_FAILED, 1);
        return 0;
    }
    if (r < 0) {
        log_error("reload: %s; the rules in force stay", diag.msg);
        stat_add(STAT_RELOADS_FAILED, 1);
        return 0;
    }
    if (commit_if_any(d) < 0) {
        content_free(fresh);
        return -ECANCELED;
    }
    struct evaluator eval;
    r = evaluate_open(&eval, fresh, d->db, d->c->config.detect.state_memory, &diag);
    int missing = r == 0 ? evaluate_adopt(&eval, &d->eval) : 0;
    evaluate_close(&d->eval);
    d->eval = eval; /* of a failed open: all closed */
    collector_content_replace(d->c, fresh);
    count_content(fresh);
    stat_add(STAT_RELOADS, 1);
    log_info("reload: %zu rules in force", ruleset_count(content_ruleset(fresh)));
    if (r == 0 && missing != 0) /* the state of unchanged correlations is kept; for others all is built anew */
        r = read_back_usual(d, &diag);
    if (r < 0)
        log_error("detection cannot go on after the reload: %s", diag.msg);
    return r;
}

void detect_reload(struct collector *c)
{
    atomic_store(&c->reload_wanted, true);
    notify_raise(&c->archive_grown);
}

/* ---- the thread ---- */

/* 0 to go on, or an error that ends detection. */
static int follow(struct detect *d)
{
    int r = atomic_exchange(&d->c->reload_wanted, false) ? reload(d) : 0;
    if (r < 0)
        return r;
    struct diag diag = {0};
    bool is_idle = false;
    r = step(d);
    if (r < 0 && !atomic_load(&d->is_stopping)) {
        log_error("detection at archive position %llu: %s; starting over from %llu", (unsigned long long)d->pos,
                  strerror(-r), (unsigned long long)d->committed);
        poll(NULL, 0, IDLE_WAIT_MS);
        r = start_over(d, &diag);
        if (r < 0)
            log_error("detection cannot go on: %s", diag.msg);
        return r;
    }
    is_idle = r == 0;
    if (is_idle && (r = evaluate_advance(&d->eval, time_now_ns())) < 0)
        log_error("detection: %s; what the clock decided is lost", strerror(-r));
    if (is_idle || is_commit_due(d))
        r = commit_if_any(d);
    if (is_idle && !atomic_load(&d->is_stopping))
        wait_for_more(d);
    return MIN(r, 0);
}

static void *run(void *ctx)
{
    struct detect *d = ctx;
    struct diag diag = {0};
    int r = read_back_usual(d, &diag);
    if (r < 0)
        log_error("detection cannot begin: %s", diag.msg);
    while (r == 0 && !atomic_load(&d->is_stopping))
        r = follow(d);
    if (r == 0)
        commit_if_any(d);
    else if (!atomic_load(&d->is_stopping))
        collector_fail(d->c, r);
    return NULL;
}

static int read_checkpoint(struct detect *d, struct diag *diag)
{
    const char *const select[] = {"SELECT pos FROM checkpoint"};
    sqlite3_stmt *s = NULL;
    int r = store_prepare(d->db, select, 1, &s, diag);
    if (r < 0)
        return r;
    r = store_row(s, diag);
    if (r == 1)
        d->pos = (uint64_t)store_col_int(s, 0);
    sqlite3_finalize(s);
    return r < 0 ? r : 0;
}

static int open_all(struct detect *d, struct diag *diag)
{
    struct collector *c = d->c;
    int r = store_open(c->config.db_path, STORE_DERIVED, &d->db, diag);
    if (r == 0)
        r = store_prepare(d->db, sql, N_SQL, d->s, diag);
    if (r == 0)
        r = read_checkpoint(d, diag);
    uint64_t end = atomic_load(&c->durable_end);
    if (r == 0 && d->pos > end) {
        log_error(
            "state.db has seen the archive up to %llu, but it ends at %llu: it was cut or replaced; going on from "
            "its end",
            (unsigned long long)d->pos, (unsigned long long)end);
        d->pos = end;
    }
    d->committed = d->pos;
    if (r == 0)
        r = archive_reader_open(c->config.archive_dir, d->pos, &d->reader, diag);
    if (r == 0)
        r = evaluate_open(&d->eval, c->content, d->db, c->config.detect.state_memory, diag);
    stat_set(STAT_DETECT_POSITION, (int64_t)d->pos);
    return r;
}

static void close_all(struct detect *d)
{
    evaluate_close(&d->eval);
    archive_reader_close(d->reader);
    store_finalize(d->s, N_SQL);
    store_close(d->db);
    free(d);
}

int detect_start(struct collector *c)
{
    struct detect *d = calloc(1, sizeof(*d));
    if (!d)
        return -ENOMEM;
    d->c = c;
    struct diag diag = {0};
    int r = open_all(d, &diag);
    if (r == 0 && (r = -pthread_create(&d->thread, NULL, run, d)) < 0)
        diag_set(&diag, r, "%s", strerror(-r));
    if (r < 0) {
        log_error("cannot start detection: %s", diag.msg);
        close_all(d);
        return r;
    }
    pthread_setname_np(d->thread, "detect");
    count_content(c->content);
    c->detect = d;
    return 0;
}

void detect_stop(struct collector *c)
{
    struct detect *d = c->detect;
    atomic_store(&d->is_stopping, true);
    notify_raise(&d->c->archive_grown);
    pthread_join(d->thread, NULL);
    close_all(d);
    c->detect = NULL;
}
