/* SPDX-License-Identifier: Apache-2.0
 *
 * The input that reads the systemd journal by cursor. A stream counts entries; the cursor of the last one travels in the
 * batch header and in the positions, so reading goes on exactly behind what is in the spool. When the journal has been
 * vacuumed past our cursor, reading goes on at the nearest entry that is left, and this is counted.
 *
 * Entries are collected up to the size of a batch or for `linger`; the journal keeps them until then.
 */
#include "agent/counters.h"
#include "agent/input.h"
#include "agent/journal_json.h"
#include "common/log.h"
#include "common/time.h"

#include <errno.h>
#include <event2/event.h>
#include <systemd/sd-journal.h>

#define SOURCE_NAME  "journal"
#define RETRY_NS     (30 * NS_PER_S)
#define SAVE_RETRY   (1 * NS_PER_S)
#define LOOK_NS      (5 * NS_PER_S)
#define TURN_ENTRIES 500
#define TURN_NS      (10 * NS_PER_MS)

struct journal {
    const struct input_env *env;
    sd_journal *j;
    struct stream *stream; /* what is read now: the journal, or first a hole in it */
    struct event *fd_event, *timer;
    struct buf raw, values;
    struct journal_field *fields;
    uint32_t records; /* in raw */
    int64_t pending_ns, due_ns;
    char *cursor;         /* of the last entry in raw */
    bool stands_on_entry; /* after seeking: this entry first, then the next */
    bool has_said_missing, has_said_error;
};

static void schedule(struct journal *in, int64_t wait_ns)
{
    struct timeval tv = {wait_ns / NS_PER_S, wait_ns % NS_PER_S / NS_PER_US};
    evtimer_add(in->timer, &tv);
}

static void close_journal(struct journal *in)
{
    if (in->fd_event)
        event_free(in->fd_event);
    in->fd_event = NULL;
    if (in->j)
        sd_journal_close(in->j);
    in->j = NULL;
}

static void on_error(struct journal *in, const char *what, int err)
{
    count(M_JOURNAL_ERRORS, 1);
    if (!in->has_said_error)
        log_error("journal: %s: %s; trying again every 30 s", what, strerror(-err));
    in->has_said_error = true;
    close_journal(in);
    schedule(in, RETRY_NS);
}

/* --- handing over --- */

static void drop_collected(struct journal *in)
{
    buf_reset(&in->raw);
    in->records = 0;
    in->pending_ns = 0;
    free(in->cursor);
    in->cursor = NULL;
}

/* 0, or -EAGAIN when the sink is full and what was collected stays here. */
static int hand_over(struct journal *in)
{
    if (in->records == 0)
        return 0;
    struct sink_piece piece = {
        .stream = in->stream,
        .start = in->stream->spooled,
        .end = in->stream->spooled + in->records,
        .records = in->records,
        .read_first_ns = in->pending_ns,
        .read_last_ns = time_now_ns(),
        .encoding = BATCH_JOURNAL,
        .cursor = in->cursor,
        .raw = buf_str(&in->raw),
    };
    int r = sink_put(in->env->sink, &piece);
    if (r < 0)
        return r;
    in->env->registry->is_dirty = true;
    drop_collected(in);
    return 0;
}

/* --- reading --- */

/* Collects the entry's fields. The journal's memory is only lent until the next call, so they are copied. */
static int read_fields(struct journal *in, size_t *ret_n, uint64_t *ret_cut)
{
    const void *data;
    size_t len, n = 0;
    int r;
    buf_reset(&in->values);
    sd_journal_restart_data(in->j);
    while ((r = sd_journal_enumerate_available_data(in->j, &data, &len)) > 0) {
        const char *eq = memchr(data, '=', len);
        size_t at = in->values.len;
        if (!eq || n == JOURNAL_FIELDS_MAX || buf_append(&in->values, data, len) < 0) {
            (*ret_cut)++;
            continue;
        }
        size_t name = (size_t)(eq - (const char *)data);
        /* offsets for now: the buffer may still move */
        in->fields[n++] = (struct journal_field){{(const char *)(uintptr_t)at, name},
                                                 {(const char *)(uintptr_t)(at + name + 1), len - name - 1}};
    }
    for (size_t i = 0; i < n; i++) {
        in->fields[i].name.p = (const char *)in->values.data + (uintptr_t)in->fields[i].name.p;
        in->fields[i].value.p = (const char *)in->values.data + (uintptr_t)in->fields[i].value.p;
    }
    *ret_n = n;
    return r;
}

/* 1: collected; 0: nothing to collect (an entry that cannot be read is passed over); negative errno. */
static int read_entry(struct journal *in)
{
    char *cursor CLEANUP(free_ptr) = NULL;
    sd_id128_t boot;
    uint64_t cut = 0, more_cut = 0;
    struct journal_entry e = {.fields = in->fields};
    int r = read_fields(in, &e.n, &cut);
    if (r == 0)
        r = sd_journal_get_cursor(in->j, &cursor);
    if (r >= 0)
        r = sd_journal_get_realtime_usec(in->j, &e.realtime_us);
    if (r >= 0)
        r = sd_journal_get_monotonic_usec(in->j, &e.monotonic_us, &boot);
    if (r == -EBADMSG || r == -EADDRNOTAVAIL) { /* this entry is damaged; the next one need not be */
        count(M_JOURNAL_ERRORS, 1);
        return 0;
    }
    if (r < 0)
        return r;
    e.cursor = cursor;
    r = journal_entry_print(&e, BATCH_LINE_MAX, &in->raw, &more_cut);
    if (r == -ENOBUFS) { /* cannot be: leaving out every field makes any entry fit */
        count(M_JOURNAL_ERRORS, 1);
        return 0;
    }
    if (r < 0)
        return r;
    count(M_JOURNAL_CUT, cut + more_cut);
    count(M_JOURNAL_ENTRIES, 1);
    if (in->records++ == 0) {
        in->pending_ns = time_now_ns();
        in->due_ns = time_monotonic_ns() + in->env->cfg->linger_ns;
    }
    free(in->cursor);
    in->cursor = cursor;
    cursor = NULL;
    return 1;
}

static bool is_hole_read(const struct journal *in)
{
    return in->stream->until > 0 && in->stream->spooled + in->records >= in->stream->until;
}

static int seek(struct journal *in);
static int choose_stream(struct journal *in);

/* The hole is filled: go on with the journal itself. */
static int leave_hole(struct journal *in)
{
    int r = hand_over(in);
    if (r < 0)
        return r;
    in->stream->is_finished = true;
    in->stream->reader = NULL;
    r = choose_stream(in);
    return r < 0 ? r : seek(in);
}

/* 1: there is more, 0: at the end, -EAGAIN: the sink is full. */
static int read_some(struct journal *in)
{
    int64_t end = time_monotonic_ns() + TURN_NS;
    for (int i = 0; i < TURN_ENTRIES && time_monotonic_ns() < end; i++) {
        int r = is_hole_read(in) ? leave_hole(in) : 0;
        if (r == 0 && in->raw.len >= BATCH_RAW_TARGET - BATCH_LINE_MAX)
            r = hand_over(in);
        if (r < 0)
            return r;
        r = in->stands_on_entry ? 1 : sd_journal_next(in->j);
        if (r <= 0)
            return r;
        in->stands_on_entry = false;
        r = read_entry(in);
        if (r < 0)
            return r;
    }
    return 1;
}

static void turn(struct journal *in)
{
    if (sink_is_full(in->env->sink))
        return; /* resume will call */
    if (!in->stream->is_durable && registry_save(in->env->registry, false) < 0) {
        count(M_POSITION_ERRORS, 1);
        log_error("cannot write the positions; the journal waits");
        schedule(in, SAVE_RETRY);
        return;
    }
    int r = read_some(in);
    if (r == -EAGAIN)
        return;
    if (r < 0) {
        on_error(in, "cannot read", r);
        return;
    }
    int64_t wait = in->due_ns - time_monotonic_ns();
    if (r > 0)
        schedule(in, 0);
    else if (in->records > 0 && wait > 0)
        schedule(in, wait);
    else if (hand_over(in) == 0)
        schedule(in, is_hole_read(in) ? 0 : LOOK_NS); /* in case the journal cannot wake us */
}

/* --- where to begin --- */

static int choose_stream(struct journal *in)
{
    const char *path = in->env->cfg->journal_directory ? in->env->cfg->journal_directory : "";
    struct stream *s, *whole = NULL;
    TAILQ_FOREACH(s, &in->env->registry->streams, link)
    {
        if (s->kind != STREAM_JOURNAL || s->is_finished || strcmp(s->path, path) != 0)
            continue;
        if (s->until > 0 && s->spooled < s->until) {
            in->stream = s;
            s->reader = in;
            return 0;
        }
        whole = s->until == 0 ? s : whole;
    }
    int r = whole ? 0 : registry_add(in->env->registry, STREAM_JOURNAL, SOURCE_NAME, path, &whole);
    if (r < 0)
        return r;
    in->stream = whole;
    whole->reader = in;
    return 0;
}

/* Stands so that sd_journal_next gives the first entry that is not in the spool yet. */
static int seek(struct journal *in)
{
    const char *cursor = in->stream->cursor;
    in->stands_on_entry = false;
    int r = *cursor ? sd_journal_seek_cursor(in->j, cursor) : -EINVAL;
    if (r == -EINVAL) { /* the first start, or not a cursor that this library understands */
        int64_t from_ns = time_now_ns() - in->env->cfg->journal_since_ns;
        return sd_journal_seek_realtime_usec(in->j, (uint64_t)(MAX(from_ns, 0) / NS_PER_US));
    }
    if (r >= 0)
        r = sd_journal_next(in->j);
    if (r < 0 || (r > 0 && sd_journal_test_cursor(in->j, cursor) > 0))
        return MIN(r, 0); /* on the last one we have: next is right */
    count(M_JOURNAL_CURSOR_LOST, 1);
    log_warn("journal: the entry we read last is no longer there (vacuumed); going on with the nearest behind it");
    in->stands_on_entry = r > 0;
    return 0;
}

static void follow(struct journal *in)
{
    int r = sd_journal_process(in->j); /* appended, or files came and went: next copes with both */
    if (r < 0)
        on_error(in, "cannot follow", r);
    else
        turn(in);
}

static void on_fd(evutil_socket_t fd, short what, void *ctx)
{
    struct journal *in = ctx;
    (void)fd;
    (void)what;
    follow(in);
}

static bool is_empty(sd_journal *j)
{
    return sd_journal_seek_head(j) < 0 || sd_journal_next(j) <= 0;
}

/* All of the machine's journals, not SD_JOURNAL_SYSTEM alone: what sudo says about an ordinary user is kept in that
 * user's file. */
static int open_journal(const struct agent_config *cfg, sd_journal **ret)
{
    const char *dir = cfg->journal_directory;
    return dir ? sd_journal_open_directory(ret, dir, 0) : sd_journal_open(ret, SD_JOURNAL_LOCAL_ONLY);
}

static int start(struct journal *in)
{
    int r = open_journal(in->env->cfg, &in->j);
    if (r < 0) {
        in->j = NULL;
        return r;
    }
    int fd = sd_journal_get_fd(in->j); /* from here on new files are noticed */
    if (fd < 0 || is_empty(in->j))
        return fd < 0 ? fd : -ENODATA;
    sd_journal_set_data_threshold(in->j, BATCH_LINE_MAX);
    r = choose_stream(in);
    if (r >= 0)
        r = seek(in);
    if (r < 0)
        return r;
    in->fd_event = event_new(in->env->base, fd, EV_READ | EV_PERSIST, on_fd, in);
    return in->fd_event && event_add(in->fd_event, NULL) == 0 ? 0 : -ENOMEM;
}

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
    struct journal *in = ctx;
    (void)fd;
    (void)what;
    if (in->j) {
        follow(in);
        return;
    }
    drop_collected(in);
    int r = start(in);
    if (r == -ENOENT || r == -ENODATA) {
        count(M_JOURNAL_MISSING, 1);
        if (!in->has_said_missing)
            log_warn("journal: there is none, or this user may not read it (group systemd-journal); looking again "
                     "every 30 s");
        in->has_said_missing = true;
        close_journal(in);
        schedule(in, RETRY_NS);
    } else if (r < 0) {
        on_error(in, "cannot open", r);
    } else {
        in->has_said_error = in->has_said_missing = false;
        schedule(in, 0);
    }
}

/* --- the input --- */

static bool is_enabled(const struct agent_config *cfg)
{
    return cfg->journal_enabled;
}

static void close_(void *self)
{
    struct journal *in = self;
    if (!in)
        return;
    close_journal(in);
    if (in->stream)
        in->stream->reader = NULL;
    if (in->timer)
        event_free(in->timer);
    buf_clear(&in->raw);
    buf_clear(&in->values);
    free(in->cursor);
    free(in->fields);
    free(in);
}

static int open_(const struct input_env *env, void **ret, struct diag *diag)
{
    struct journal *in = calloc(1, sizeof(*in));
    if (!in)
        return diag_set(diag, -ENOMEM, "out of memory");
    in->env = env;
    in->raw = BUF_INIT(BATCH_RAW_MAX);
    in->values = BUF_INIT(4 * MIB);
    in->fields = calloc(JOURNAL_FIELDS_MAX, sizeof(in->fields[0]));
    in->timer = evtimer_new(env->base, on_timer, in);
    if (!in->fields || !in->timer) {
        close_(in);
        return diag_set(diag, -ENOMEM, "out of memory");
    }
    schedule(in, 0);
    *ret = in;
    return 0;
}

static void resume(void *self)
{
    struct journal *in = self;
    if (in->j)
        schedule(in, 0);
}

static void flush(void *self)
{
    struct journal *in = self;
    if (in->j && in->stream && in->stream->is_durable)
        hand_over(in);
}

static void check(const struct agent_config *cfg, input_say_fn say, void *ctx)
{
    sd_journal *j = NULL;
    if (open_journal(cfg, &j) < 0 || is_empty(j))
        say(false, "journal: there is none, or this user may not read it (group systemd-journal)", ctx);
    else
        say(true, "journal: readable", ctx);
    sd_journal_close(j);
}

const struct input in_journal = {
    .name = SOURCE_NAME,
    .doc = "reads the systemd journal by cursor",
    .is_enabled = is_enabled,
    .open = open_,
    .resume = resume,
    .flush = flush,
    .close = close_,
    .check = check,
};
