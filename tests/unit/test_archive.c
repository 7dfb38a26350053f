/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/archive.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <zlib.h>

#include <cmocka.h>

static char dir[64];

static int setup(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/test_archive.XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    struct archive_segment *segments = NULL;
    size_t n = 0;
    archive_segments(dir, &segments, &n);
    for (size_t i = 0; i < n; i++)
        unlink(segments[i].path);
    free(segments);
    char path[128];
    snprintf(path, sizeof(path), "%s/lock", dir);
    unlink(path);
    return rmdir(dir);
}

/* Batch number i: one line that says so. */
static void append(struct archive *a, uint64_t i, uint64_t *ret_pos)
{
    char line[64];
    int len = snprintf(line, sizeof(line), "line %llu of the test\n", (unsigned long long)i);
    struct batch b = {.seq = i,
                      .start = i * 100,
                      .end = i * 100 + (uint64_t)len,
                      .records = 1,
                      .encoding = BATCH_TEXT,
                      .source = STR("test"),
                      .host = STR("host")};
    b.agent[0] = 1;
    b.stream[0] = 2;
    struct buf out = BUF_INIT(BATCH_MAX);
    assert_int_equal(batch_encode(&b, (struct str){line, (size_t)len}, 1, &out), 0);
    assert_int_equal(archive_append(a, buf_str(&out), 1000 + (int64_t)i, ret_pos), 0);
    buf_clear(&out);
}

static struct archive *open_archive(uint64_t segment_max)
{
    struct archive *a = NULL;
    struct diag diag = {0};
    int err = archive_open(dir, segment_max, &a, &diag);
    if (err)
        fail_msg("archive_open: %s", diag.msg);
    return a;
}

static void fill(uint64_t from, uint64_t to, uint64_t segment_max)
{
    struct archive *a = open_archive(segment_max);
    uint64_t pos;
    for (uint64_t i = from; i < to; i++)
        append(a, i, &pos);
    assert_int_equal(archive_sync(a), 0);
    archive_close(a);
}

/* Reads everything; returns how many records, checks that their numbers grow, and that numbers in [hole, hole+n_hole) lack. */
static uint64_t read_all(uint64_t *ret_damage)
{
    struct archive_reader *r = NULL;
    assert_int_equal(archive_reader_open(dir, 0, &r, NULL), 0);
    struct archive_record record;
    uint64_t n = 0, last_next = 0;
    int64_t last = -1;
    int state;
    while ((state = archive_reader_next(r, &record, NULL)) == 1) {
        assert_true((int64_t)record.batch.seq > last);
        assert_int_equal(record.ingested_ns, 1000 + (int64_t)record.batch.seq);
        assert_true(record.pos >= last_next);
        last = (int64_t)record.batch.seq;
        last_next = record.next_pos;
        n++;
    }
    assert_int_equal(state, 0);
    if (ret_damage)
        *ret_damage = archive_reader_damage(r);
    archive_reader_close(r);
    return n;
}

static void test_round_trip(void **state)
{
    (void)state;
    fill(0, 10, 64 * MIB);
    fill(10, 20, 64 * MIB);
    uint64_t damage = 1, records = 0;
    assert_int_equal(read_all(&damage), 20);
    assert_int_equal(damage, 0);
    assert_int_equal(archive_verify(dir, &records, NULL), 0);
    assert_int_equal(records, 20);
}

static void test_second_writer_is_refused(void **state)
{
    (void)state;
    struct archive *a = open_archive(MIB), *b = NULL;
    struct diag diag = {0};
    assert_int_equal(archive_open(dir, MIB, &b, &diag), -EWOULDBLOCK);
    assert_non_null(strstr(diag.msg, "another collector"));
    archive_close(a);
}

static char *segment_path(size_t i, uint64_t *ret_size)
{
    struct archive_segment *segments;
    size_t n;
    assert_int_equal(archive_segments(dir, &segments, &n), 0);
    assert_true(i < n);
    char *path = strdup(segments[i].path);
    *ret_size = segments[i].size_bytes;
    free(segments);
    return path;
}

static void test_torn_tail(void **state)
{
    (void)state;
    fill(0, 3, MIB);
    uint64_t before, after;
    free(segment_path(0, &before));
    fill(3, 4, MIB);
    char *path = segment_path(0, &after);
    uint8_t whole[4096];
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0 && after <= sizeof(whole));
    assert_int_equal(pread(fd, whole, after, 0), (ssize_t)after);
    for (uint64_t cut = before; cut <= after; cut++) {
        assert_int_equal(ftruncate(fd, 0), 0);
        assert_int_equal(pwrite(fd, whole, cut, 0), (ssize_t)cut);
        assert_int_equal(read_all(NULL), cut == after ? 4 : 3);
        archive_close(open_archive(MIB));
        struct stat st;
        assert_int_equal(fstat(fd, &st), 0);
        assert_int_equal((uint64_t)st.st_size, cut == after ? after : before);
        fill(50, 51, MIB); /* what comes next is readable */
        assert_int_equal(read_all(NULL), cut == after ? 5 : 4);
    }
    close(fd);
    free(path);
}

static void test_damage_in_the_middle(void **state)
{
    (void)state;
    struct archive *a = open_archive(MIB);
    uint64_t pos[6];
    for (uint64_t i = 0; i < 6; i++)
        append(a, i, &pos[i]);
    archive_close(a);
    uint64_t size;
    char *path = segment_path(0, &size);
    int fd = open(path, O_RDWR);
    uint8_t byte;
    for (uint64_t off = pos[2]; off < pos[3]; off++) {
        assert_int_equal(pread(fd, &byte, 1, (off_t)off), 1);
        byte ^= 0x5a;
        assert_int_equal(pwrite(fd, &byte, 1, (off_t)off), 1);
        uint64_t damage;
        assert_int_equal(read_all(&damage), 5);
        assert_int_equal(damage, pos[3] - pos[2]);
        uint64_t records;
        struct diag diag = {0};
        assert_int_equal(archive_verify(dir, &records, &diag), -EBADMSG);
        assert_non_null(strstr(diag.msg, path));
        byte ^= 0x5a;
        assert_int_equal(pwrite(fd, &byte, 1, (off_t)off), 1);
    }
    /* Opening for append keeps what lies behind the damage. */
    byte = 0xff;
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)pos[2] + 40), 1);
    fill(6, 7, MIB);
    assert_int_equal(read_all(NULL), 6);
    close(fd);
    free(path);
}

static void append_until_segments(struct archive *a, size_t wanted, uint64_t *next)
{
    size_t n = 0;
    while (n < wanted) {
        uint64_t pos;
        for (int i = 0; i < 1000; i++)
            append(a, (*next)++, &pos);
        struct archive_segment *segments;
        assert_int_equal(archive_segments(dir, &segments, &n), 0);
        free(segments);
    }
}

static void test_roll_and_chain(void **state)
{
    (void)state;
    struct archive *a = open_archive(0); /* the smallest segment there is */
    uint64_t count = 0, records = 0;
    append_until_segments(a, 4, &count);
    archive_close(a);
    assert_int_equal(read_all(NULL), count);
    assert_int_equal(archive_verify(dir, &records, NULL), 0);
    assert_int_equal(records, count);

    /* A reader can start at any record. */
    struct archive_reader *r = NULL, *from = NULL;
    struct archive_record record, again;
    assert_int_equal(archive_reader_open(dir, 0, &r, NULL), 0);
    assert_int_equal(archive_reader_open(dir, 0, &from, NULL), 0);
    for (uint64_t i = 0; archive_reader_next(r, &record, NULL) == 1; i++) {
        if (i % 997)
            continue;
        assert_int_equal(archive_reader_seek(from, record.pos), 0);
        assert_int_equal(archive_reader_next(from, &again, NULL), 1);
        assert_int_equal(again.batch.seq, record.batch.seq);
    }
    assert_int_equal(archive_reader_seek(from, UINT64_MAX / 2), -ERANGE);
    archive_reader_close(r);
    archive_reader_close(from);

    /* A rewritten record in a closed segment, crc and all, breaks the chain: here, a record removed from the end. */
    uint64_t size;
    char *path = segment_path(1, &size);
    assert_int_equal(truncate(path, (off_t)size - 1), 0);
    struct diag diag = {0};
    assert_int_equal(archive_verify(dir, &records, &diag), -EBADMSG);
    assert_non_null(strstr(diag.msg, path));
    free(path);
}

static void test_chain_names_the_segment(void **state)
{
    (void)state;
    struct archive *a = open_archive(0);
    uint64_t count = 0, records, size;
    append_until_segments(a, 3, &count);
    archive_close(a);
    /* Change one byte of the first segment's created time and mend its header's crc: only the chain can tell. */
    char *first = segment_path(0, &size), *second = segment_path(1, &size);
    uint8_t header[64];
    int fd = open(first, O_RDWR);
    assert_int_equal(pread(fd, header, sizeof(header), 0), sizeof(header));
    header[16] ^= 1;
    put_u32(header + 60, (uint32_t)crc32(0, header, 60));
    assert_int_equal(pwrite(fd, header, sizeof(header), 0), sizeof(header));
    close(fd);
    struct diag diag = {0};
    assert_int_equal(archive_verify(dir, &records, &diag), -EBADMSG);
    assert_non_null(strstr(diag.msg, second));
    free(first);
    free(second);
}

static void test_missing_segment_is_skipped(void **state)
{
    (void)state;
    struct archive *a = open_archive(0);
    uint64_t count = 0, size;
    append_until_segments(a, 4, &count);
    archive_close(a);
    uint64_t all = read_all(NULL);
    char *path = segment_path(1, &size);
    unlink(path);
    free(path);
    uint64_t some = read_all(NULL);
    assert_true(some > 0 && some < all);
}

struct follow {
    atomic_bool done;
    atomic_uint_fast64_t written;
};

static void *writer_main(void *arg)
{
    struct follow *f = arg;
    struct archive *a = open_archive(0);
    uint64_t pos;
    for (uint64_t i = 0; i < 20000; i++) {
        append(a, i, &pos);
        if (i % 100 == 0)
            archive_sync(a);
        atomic_store(&f->written, i + 1);
    }
    archive_close(a);
    atomic_store(&f->done, true);
    return NULL;
}

static void test_follow_a_writer(void **state)
{
    (void)state;
    struct follow f = {0};
    fill(0, 0, 0);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, writer_main, &f), 0);
    struct archive_reader *r = NULL;
    assert_int_equal(archive_reader_open(dir, 0, &r, NULL), 0);
    uint64_t expected = 0;
    while (expected < 20000) {
        struct archive_record record;
        bool was_done = atomic_load(&f.done);
        int got = archive_reader_next(r, &record, NULL);
        assert_true(got >= 0);
        if (got)
            assert_int_equal(record.batch.seq, expected++);
        else if (was_done)
            fail_msg("the reader stopped at %llu", (unsigned long long)expected);
    }
    assert_int_equal(archive_reader_damage(r), 0);
    archive_reader_close(r);
    pthread_join(thread, NULL);
}

static void test_failure_is_final(void **state)
{
    (void)state;
    struct archive *a = open_archive(MIB);
    uint64_t pos;
    append(a, 1, &pos);
    assert_int_equal(archive_append(a, STR("short"), 1, &pos), -EMSGSIZE);
    assert_int_equal(archive_sync(a), 0); /* a refused batch is not a failure of the disk */
    /* Every descriptor of the segment is closed behind its back: the next write fails, and so does all that follows. */
    for (int fd = 3; fd < 64; fd++) {
        char link[64], target[256];
        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        ssize_t n = readlink(link, target, sizeof(target) - 1);
        if (n <= 4)
            continue;
        target[n] = 0;
        if (strcmp(target + n - 4, ".vga") == 0) {
            int null = open("/dev/full", O_WRONLY);
            assert_true(null >= 0 && dup2(null, fd) == fd);
            close(null);
        }
    }
    struct batch b = {.seq = 2, .start = 0, .end = 2, .records = 1, .encoding = BATCH_TEXT, .host = STR("h")};
    struct buf out = BUF_INIT(BATCH_MAX);
    assert_int_equal(batch_encode(&b, STR("x\n"), 1, &out), 0);
    assert_int_equal(archive_append(a, buf_str(&out), 1, &pos), -ENOSPC);
    assert_int_equal(archive_append(a, buf_str(&out), 1, &pos), -EIO);
    assert_int_equal(archive_sync(a), -EIO);
    buf_clear(&out);
    archive_close(a);
    assert_int_equal(read_all(NULL), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
        cmocka_unit_test_setup_teardown(test_second_writer_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_torn_tail, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damage_in_the_middle, setup, teardown),
        cmocka_unit_test_setup_teardown(test_roll_and_chain, setup, teardown),
        cmocka_unit_test_setup_teardown(test_chain_names_the_segment, setup, teardown),
        cmocka_unit_test_setup_teardown(test_missing_segment_is_skipped, setup, teardown),
        cmocka_unit_test_setup_teardown(test_follow_a_writer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failure_is_final, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
