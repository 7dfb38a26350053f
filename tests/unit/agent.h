/* SPDX-License-Identifier: Apache-2.0
 *
 * What the agent's tests share: an agent without its uplink in a folder of its own, and in place of a collector a reader
 * of the spool that keeps the collector's contract: the highest end of each stream, repeats dropped, overlaps trimmed,
 * gaps remarked.
 */
#pragma once

#include "agent/config.h"
#include "agent/counters.h"
#include "agent/files.h"
#include "common/file.h"
#include "common/time.h"
#include "tests/unit/test.h"

#include <fcntl.h>
#include <sys/stat.h>

#define GOT_MAX 256

struct got { /* one stream as the collector would have it */
    uint8_t id[ID_LEN];
    char path[512], source[128];
    uint64_t end;
    struct buf text;
    size_t irregular, records;
};

struct agent_env {
    const char *dir;
    struct agent_config cfg;
    struct event_base *base;
    struct registry *registry;
    struct spool *spool;
    struct sink sink;
    struct input_env input;
    const struct input *kind;
    void *instance;
    struct got got[GOT_MAX];
    size_t n_got, gaps, repeats;
    uint64_t last_seq;
    uint64_t spool_max;
};

static inline void path_in(const struct agent_env *a, const char *name, char ret[static 512])
{
    snprintf(ret, 512, "%s/%s", a->dir, name);
}

/* Appends to a file (made when missing), as a log writer does. */
static inline void append_bytes(const struct agent_env *a, const char *name, const void *p, size_t len)
{
    char path[512];
    path_in(a, name, path);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, p, len), len);
    close(fd);
}

static inline void append(const struct agent_env *a, const char *name, const char *text)
{
    append_bytes(a, name, text, strlen(text));
}

static inline void rename_in(const struct agent_env *a, const char *from, const char *to)
{
    char x[512], y[512];
    path_in(a, from, x);
    path_in(a, to, y);
    assert_int_equal(rename(x, y), 0);
}

static inline void remove_in(const struct agent_env *a, const char *name)
{
    char path[512];
    path_in(a, name, path);
    assert_int_equal(unlink(path), 0);
}

static inline void truncate_in(const struct agent_env *a, const char *name)
{
    char path[512];
    path_in(a, name, path);
    assert_int_equal(truncate(path, 0), 0);
}

static inline void copy_in(const struct agent_env *a, const char *from, const char *to)
{
    char x[512], y[512];
    path_in(a, from, x);
    path_in(a, to, y);
    struct buf text CLEANUP(buf_clear) = BUF_INIT(64 * MIB);
    assert_int_equal(file_read(x, &text), 0);
    unlink(y);
    append_bytes(a, to, text.data, text.len);
}

static inline void note_found(const struct batch *b, bool damaged, void *ctx)
{
    registry_found_spooled(ctx, b, damaged);
}

/* Starts as after a boot: positions from disk, then the spool. extra: more YAML. */
static inline void agent_start(struct agent_env *a, const struct input *kind, const char *yaml)
{
    struct diag diag = {0};
    struct diags diags;
    char path[512];
    uint8_t id[ID_LEN] = {1};
    diags_init(&diags, 16);
    if (agent_config_parse(str_of(yaml), "test", &a->cfg, &diags) < 0)
        fail_msg("configuration: %s", diags.n ? diags.entries[0].diag.msg : "?");
    diags_clear(&diags);
    a->base = event_base_new();
    path_in(a, "state", path);
    assert_int_equal(file_mkdirs(path, 0700), 0);
    path_in(a, "state/positions", path);
    assert_int_equal(registry_open(path, &a->registry, &diag), 0);
    path_in(a, "state/spool", path);
    assert_int_equal(spool_open(path, a->spool_max ? a->spool_max : 64 * MIB, 256 * KIB, a->registry->acked_seq,
                                note_found, a->registry, &a->spool, &diag),
                     0);
    a->registry->next_seq = MAX(a->registry->next_seq, spool_last_seq(a->spool) + 1);
    sink_init(&a->sink, a->spool, a->registry, id);
    a->sink.host = "here";
    a->input = (struct input_env){a->base, &a->cfg, a->registry, &a->sink};
    a->kind = kind;
    assert_int_equal(kind->open(&a->input, &a->instance, &diag), 0);
    if (kind == &in_files) {
        struct files_tuning quick = {50 * NS_PER_MS, 5 * NS_PER_MS, 150 * NS_PER_MS, 5 * NS_PER_S};
        files_tune(a->instance, &quick);
    }
}

/* As kill -9: nothing is flushed or saved. */
static inline void agent_kill(struct agent_env *a)
{
    a->kind->close(a->instance);
    sink_clear(&a->sink);
    a->spool = spool_close(a->spool);
    a->registry = registry_free(a->registry);
    event_base_free(a->base);
    agent_config_clear(&a->cfg);
    a->last_seq = 0;
}

static inline void agent_stop(struct agent_env *a)
{
    a->kind->flush(a->instance);
    assert_int_equal(registry_save(a->registry, true), 0);
    agent_kill(a);
}

static inline struct got *got_stream(struct agent_env *a, const struct batch *b)
{
    for (size_t i = 0; i < a->n_got; i++)
        if (memcmp(a->got[i].id, b->stream, ID_LEN) == 0)
            return &a->got[i];
    assert_true(a->n_got < GOT_MAX);
    struct got *g = &a->got[a->n_got++];
    memcpy(g->id, b->stream, ID_LEN);
    snprintf(g->path, sizeof(g->path), STR_FMT, STR_ARG(b->path));
    snprintf(g->source, sizeof(g->source), STR_FMT, STR_ARG(b->source));
    g->text = BUF_INIT(256 * MIB);
    g->end = b->start;
    return g;
}

static inline void got_batch(struct agent_env *a, const struct batch *b)
{
    struct got *g = got_stream(a, b);
    struct buf raw CLEANUP(buf_clear) = BUF_INIT(BATCH_RAW_MAX);
    assert_int_equal(batch_raw(b, &raw), 0);
    assert_true(b->seq > a->last_seq);
    a->last_seq = b->seq;
    if (b->end <= g->end) {
        a->repeats++;
        return;
    }
    a->gaps += b->start > g->end;
    size_t skip = b->start < g->end ? (size_t)(g->end - b->start) : 0;
    if (skip > 0 && b->encoding != BATCH_TEXT) { /* records: skip as many lines */
        size_t lines = skip;
        for (skip = 0; lines > 0; lines--)
            skip = (size_t)((uint8_t *)memchr(raw.data + skip, '\n', raw.len - skip) - raw.data) + 1;
    }
    assert_true(skip == 0 || !(b->flags & BATCH_IRREGULAR));
    assert_int_equal(buf_append(&g->text, raw.data + skip, raw.len - skip), 0);
    g->end = b->end;
    g->records += b->records;
    g->irregular += (b->flags & BATCH_IRREGULAR) != 0;
}

static inline void on_acked(const struct spool_entry *e, void *ctx)
{
    struct agent_env *a = ctx;
    struct stream *s = registry_find(a->registry, e->stream);
    if (s)
        registry_acked(a->registry, s, e->end, str_of(e->cursor));
    a->registry->acked_seq = e->seq;
}

/* Takes everything out of the spool, acknowledged. */
static inline void agent_collect(struct agent_env *a)
{
    struct str bytes;
    struct batch b;
    for (;;) {
        while (spool_read(a->spool, &bytes, &b) > 0)
            got_batch(a, &b);
        const struct spool_entry *e = spool_oldest(a->spool);
        if (!e)
            break;
        assert_true(spool_ack(a->spool, b.seq, on_acked, a) > 0);
    }
    spool_release(a->spool, a->registry->acked_seq);
}

static inline void agent_run(struct agent_env *a, int ms)
{
    struct timeval tv = {ms / 1000, ms % 1000 * 1000};
    event_base_loopexit(a->base, &tv);
    event_base_dispatch(a->base);
    if (sink_may_resume(&a->sink))
        a->kind->resume(a->instance);
}

/* All text of streams with this path, in the order of their first batch. */
static inline void got_text(const struct agent_env *a, const char *name, struct buf *out)
{
    char path[512];
    path_in(a, name, path);
    buf_reset(out);
    for (size_t i = 0; i < a->n_got; i++)
        if (strcmp(a->got[i].path, path) == 0)
            assert_int_equal(buf_append(out, a->got[i].text.data, a->got[i].text.len), 0);
}

/* Runs until the text of that path is `want`, at most 20 s; then a little longer to see that nothing follows. */
static inline void expect_bytes(struct agent_env *a, const char *name, const void *want, size_t len)
{
    struct buf text CLEANUP(buf_clear) = BUF_INIT(256 * MIB);
    int64_t end = time_monotonic_ns() + 20 * NS_PER_S;
    do {
        agent_run(a, 10);
        agent_collect(a);
        got_text(a, name, &text);
    } while (text.len < len && time_monotonic_ns() < end);
    agent_run(a, 120);
    agent_collect(a);
    got_text(a, name, &text);
    if (len < 2000 && text.len > 0 && (text.len != len || memcmp(text.data, want, len) != 0))
        print_message("%s: got '%.*s'\n", name, (int)text.len, (char *)text.data);
    assert_int_equal(text.len, len);
    if (len)
        assert_memory_equal(text.data, want, len);
    assert_int_equal(a->gaps, 0);
}

static inline void expect(struct agent_env *a, const char *name, const char *want)
{
    expect_bytes(a, name, want, strlen(want));
}

static inline int agent_setup(void **state)
{
    struct agent_env *a = calloc(1, sizeof(*a));
    void *dir;
    if (!a || tmp_dir_setup(&dir) < 0)
        return -1;
    a->dir = dir;
    *state = a;
    return 0;
}

static inline int agent_teardown(void **state)
{
    struct agent_env *a = *state;
    void *dir = (void *)(uintptr_t)a->dir;
    for (size_t i = 0; i < a->n_got; i++)
        buf_clear(&a->got[i].text);
    free(a);
    return tmp_dir_teardown(&dir);
}
