/* SPDX-License-Identifier: Apache-2.0
 *
 * The agent without its network: bench_agent [FOLDER]. Lines in files go through the file input, compression and the spool,
 * and are acknowledged at once: one file of a million lines, then the same lines in 2,000 files; then what it costs to
 * follow 2,000 files in which nothing happens. The folder decides which disk is measured; what is written is removed again.
 */
#include "agent/files.h"
#include "common/file.h"
#include "tests/bench/bench.h"
#include "tests/bench/gen.h"

#include <errno.h>
#include <ftw.h>

#define LINES   1000000
#define FILES   2000
#define IDLE_MS 5000

struct bench {
    char dir[512];
    struct agent_config cfg;
    struct event_base *base;
    struct registry *registry;
    struct spool *spool;
    struct sink sink;
    struct input_env env;
    void *files;
    uint64_t lines, bytes;
};

static void on_found(const struct batch *b, bool damaged, void *ctx)
{
    (void)b, (void)damaged, (void)ctx;
}

static void on_acked(const struct spool_entry *e, void *ctx)
{
    struct bench *b = ctx;
    struct stream *s = registry_find(b->registry, e->stream);
    if (s)
        registry_acked(b->registry, s, e->end, str_of(e->cursor));
    b->registry->acked_seq = e->seq;
}

/* A collector that has everything on disk at once. */
static void on_spooled(void *ctx)
{
    struct bench *b = ctx;
    struct str bytes;
    struct batch batch;
    while (spool_read(b->spool, &bytes, &batch) > 0) {
        b->lines += batch.records;
        b->bytes += batch.raw_len;
        spool_ack(b->spool, batch.seq, on_acked, b);
    }
    spool_release(b->spool, b->registry->acked_seq);
}

static int write_files(const char *dir, unsigned files)
{
    struct gen g;
    gen_init(&g, 1);
    for (unsigned i = 0; i < files; i++) {
        char path[600], line[GEN_LINE_MAX];
        snprintf(path, sizeof(path), "%s/logs/%u.log", dir, i);
        FILE *f = fopen(path, "w");
        if (!f)
            return -errno;
        for (unsigned k = 0; k < LINES / files; k++) {
            size_t n = gen_line(&g, line);
            fwrite(line, 1, n, f);
        }
        if (fclose(f) != 0)
            return -errno;
    }
    return 0;
}

static int open_agent(struct bench *b, struct diag *diag)
{
    char yaml[2048], path[600];
    uint8_t id[ID_LEN] = {1};
    struct diags diags;
    diags_init(&diags, 4);
    snprintf(yaml, sizeof(yaml), "files:\n  - name: bench\n    paths: [%s/logs/*.log]\n", b->dir);
    int r = agent_config_parse(str_of(yaml), "bench", &b->cfg, &diags);
    diags_clear(&diags);
    b->base = event_base_new();
    snprintf(path, sizeof(path), "%s/positions", b->dir);
    if (r == 0)
        r = registry_open(path, &b->registry, diag);
    snprintf(path, sizeof(path), "%s/spool", b->dir);
    if (r == 0)
        r = spool_open(path, 1024 * MIB, SPOOL_SEGMENT_MAX, 0, on_found, NULL, &b->spool, diag);
    if (r < 0)
        return r;
    sink_init(&b->sink, b->spool, b->registry, id);
    b->sink.host = "bench";
    b->sink.on_spooled = on_spooled;
    b->sink.ctx = b;
    b->env = (struct input_env){b->base, &b->cfg, b->registry, &b->sink};
    return 0;
}

static void close_agent(struct bench *b)
{
    if (b->files)
        in_files.close(b->files);
    sink_clear(&b->sink);
    spool_close(b->spool);
    registry_free(b->registry);
    event_base_free(b->base);
    agent_config_clear(&b->cfg);
}

static int64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

static void idle(struct bench *b)
{
    const struct timeval wait = {IDLE_MS / 1000, IDLE_MS % 1000 * 1000};
    int64_t cpu = cpu_ns();
    event_base_loopexit(b->base, &wait);
    event_base_dispatch(b->base);
    printf("%-34s %12.2f %% of one core\n", "agent, 2,000 files at rest",
           (double)(cpu_ns() - cpu) / ((double)IDLE_MS * NS_PER_MS) * 100);
}

static int measure(const char *dir, unsigned files, struct diag *diag)
{
    struct bench b = {0};
    char what[64], path[600];
    snprintf(b.dir, sizeof(b.dir), "%s/%u-files", dir, files);
    snprintf(path, sizeof(path), "%s/logs", b.dir);
    int r = file_mkdirs(path, 0700);
    if (r == 0)
        r = write_files(b.dir, files);
    if (r == 0)
        r = open_agent(&b, diag);
    int64_t start_ns = time_monotonic_ns(), cpu = cpu_ns();
    if (r == 0)
        r = in_files.open(&b.env, &b.files, diag);
    while (r == 0 && b.lines < LINES / files * files)
        event_base_loop(b.base, EVLOOP_ONCE);
    if (r == 0) {
        int64_t took_ns = time_monotonic_ns() - start_ns;
        cpu = cpu_ns() - cpu;
        snprintf(what, sizeof(what), "agent, %u file%s", files, files > 1 ? "s" : "");
        bench_print(what, b.lines, b.bytes, took_ns);
        bench_print("  counted in CPU time", b.lines, b.bytes, cpu);
    }
    if (r == 0 && files > 1)
        idle(&b);
    close_agent(&b);
    return r;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    return remove(path);
}

int main(int argc, char **argv)
{
    char dir[400];
    struct diag diag = {0};
    snprintf(dir, sizeof(dir), "%.300s/vonggac-bench-XXXXXX", argc > 1 ? argv[1] : "/tmp");
    if (!mkdtemp(dir)) {
        perror(dir);
        return 1;
    }
    int r = measure(dir, 1, &diag);
    if (r == 0)
        r = measure(dir, FILES, &diag);
    if (r < 0)
        fprintf(stderr, "bench_agent: %s\n", diag.msg[0] ? diag.msg : strerror(-r));
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return r < 0;
}
