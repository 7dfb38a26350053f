/* SPDX-License-Identifier: Apache-2.0
 *
 * The archive on a real disk: bench_archive [FOLDER]. Appends ready batches of 256 KiB of auth-log lines and syncs after every
 * 1, 8 and 32 of them, reads them back, decompresses, verifies. The folder decides what is measured: give one on the disk
 * that will hold the archive. What is written there is removed again.
 */
#include "collector/archive.h"
#include "tests/bench/bench.h"
#include "tests/bench/gen.h"

#include <errno.h>

#define BATCHES     64
#define APPENDS     2048 /* 512 MiB of lines, about 100 MiB of archive */
#define SEGMENT_MAX (32 * MIB)

static struct buf batches[BATCHES];
static uint32_t lines[BATCHES], raw_len[BATCHES];

static int make(void)
{
    struct gen g;
    struct buf raw = BUF_INIT(BATCH_RAW_TARGET);
    gen_init(&g, 1);
    int r = 0;
    for (size_t i = 0; i < BATCHES && r == 0; i++) {
        buf_reset(&raw);
        batches[i] = BUF_INIT(BATCH_MAX);
        r = gen_lines(&g, BATCH_RAW_TARGET, &raw, &lines[i]);
        raw_len[i] = (uint32_t)raw.len;
        struct batch b = {.seq = i, .end = raw.len, .records = lines[i], .encoding = BATCH_TEXT, .host = STR("bench")};
        if (r == 0)
            r = batch_encode(&b, buf_str(&raw), 1, &batches[i]);
    }
    buf_clear(&raw);
    return r;
}

static void remove_archive(const char *dir)
{
    struct archive_segment *list = NULL;
    size_t n = 0;
    char path[4096];
    if (archive_segments(dir, &list, &n) == 0)
        for (size_t i = 0; i < n; i++)
            unlink(list[i].path);
    free(list);
    snprintf(path, sizeof(path), "%s/lock", dir);
    unlink(path);
    rmdir(dir);
}

static int measure_append(const char *dir, unsigned group, struct diag *diag)
{
    struct archive *a;
    uint64_t events = 0, raw = 0, stored = 0, pos;
    int r = archive_open(dir, SEGMENT_MAX, &a, diag);
    if (r < 0)
        return r;
    int64_t start_ns = time_monotonic_ns();
    for (unsigned i = 0; i < APPENDS && r == 0; i++) {
        size_t k = i % BATCHES;
        r = archive_append(a, buf_str(&batches[k]), time_now_ns(), &pos);
        if (r == 0 && (i + 1) % group == 0)
            r = archive_sync(a);
        events += lines[k];
        raw += raw_len[k];
        stored += batches[k].len;
    }
    int64_t took_ns = time_monotonic_ns() - start_ns;
    archive_close(a);
    if (r < 0)
        return diag_set(diag, r, "append: %s", strerror(-r));
    char what[64];
    snprintf(what, sizeof(what), "archive append, sync after %u", group);
    bench_print(what, events, raw, took_ns);
    printf("%34s %12.0f batches/s, %.1f MB/s to disk\n", "", APPENDS / (double)took_ns * 1e9,
           (double)stored / (double)took_ns * 1e3);
    return 0;
}

static int measure_read(const char *dir, bool with_raw, struct diag *diag)
{
    struct archive_reader *reader;
    struct archive_record rec;
    struct buf raw = BUF_INIT(BATCH_RAW_MAX);
    uint64_t events = 0, bytes = 0;
    int r = archive_reader_open(dir, 0, &reader, diag);
    if (r < 0)
        return r;
    int64_t start_ns = time_monotonic_ns();
    while ((r = archive_reader_next(reader, &rec, diag)) == 1) {
        buf_reset(&raw);
        if (with_raw && (r = batch_raw(&rec.batch, &raw)) < 0)
            break;
        events += rec.batch.records;
        bytes += rec.batch.raw_len;
    }
    if (r == 0)
        bench_print(with_raw ? "archive read and decompress" : "archive read", events, bytes,
                    time_monotonic_ns() - start_ns);
    archive_reader_close(reader);
    buf_clear(&raw);
    return r;
}

static int measure_verify(const char *dir, struct diag *diag)
{
    struct archive_totals t;
    int64_t start_ns = time_monotonic_ns();
    int r = archive_verify(dir, NULL, NULL, &t, diag);
    if (r == 0)
        bench_print("archive verify", t.lines, t.raw_bytes, time_monotonic_ns() - start_ns);
    return r;
}

int main(int argc, char **argv)
{
    static const unsigned groups[] = {1, 8, 32};
    char dir[4096];
    struct diag diag = {.msg = "out of memory"};
    const char *tmp = getenv("TMPDIR");
    snprintf(dir, sizeof(dir), "%s/vonggac-bench-XXXXXX", argc > 1 ? argv[1] : tmp ? tmp : "/tmp");
    if (!mkdtemp(dir)) {
        fprintf(stderr, "bench_archive: %s: %s\n", dir, strerror(errno));
        return 1;
    }
    int r = make();
    for (size_t i = 0; i < ARRAY_LEN(groups) && r == 0; i++) {
        remove_archive(dir);
        r = measure_append(dir, groups[i], &diag);
    }
    r = r < 0 ? r : measure_read(dir, false, &diag);
    r = r < 0 ? r : measure_read(dir, true, &diag);
    r = r < 0 ? r : measure_verify(dir, &diag);
    if (r < 0)
        fprintf(stderr, "bench_archive: %s\n", diag.msg);
    remove_archive(dir);
    for (size_t i = 0; i < BATCHES; i++)
        buf_clear(&batches[i]);
    return r < 0 ? 1 : 0;
}
