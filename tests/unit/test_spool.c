/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/spool.h"

#include "common/file.h"
#include "tests/unit/test.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

struct found {
    uint64_t seqs[4096];
    size_t n, after_damage;
};

static void on_found(const struct batch *b, bool damaged, void *ctx)
{
    struct found *f = ctx;
    f->after_damage += damaged;
    f->seqs[f->n++] = b->seq;
}

static void on_acked(const struct spool_entry *e, void *ctx)
{
    uint64_t *last = ctx;
    assert_true(e->seq > *last);
    *last = e->seq;
}

static struct spool *open_spool(const char *dir, uint64_t max, uint64_t segment_max, uint64_t acked, struct found *f)
{
    struct diag diag = {0};
    struct spool *sp = NULL;
    *f = (struct found){0};
    assert_int_equal(spool_open(dir, max, segment_max, acked, on_found, f, &sp, &diag), 0);
    return sp;
}

/* A batch whose text depends on seq alone. */
static void make(uint64_t seq, size_t lines, struct buf *out)
{
    struct buf raw CLEANUP(buf_clear) = BUF_INIT(BATCH_RAW_MAX);
    uint32_t x = (uint32_t)seq;
    for (size_t i = 0; i < lines; i++) {
        x = x * 1664525 + 1013904223;
        assert_int_equal(buf_printf(&raw, "batch %llu line %zu %08x\n", (unsigned long long)seq, i, x), 0);
    }
    struct batch b = {
        .seq = seq,
        .start = seq * 1000000,
        .end = seq * 1000000 + raw.len,
        .records = (uint32_t)lines,
        .encoding = BATCH_TEXT,
        .source = STR("src"),
        .host = STR("host"),
        .cursor = seq % 2 ? STR("cursor") : (struct str){0},
    };
    buf_reset(out);
    assert_int_equal(batch_encode(&b, buf_str(&raw), 1, out), 0);
}

static void put(struct spool *sp, uint64_t seq, size_t lines)
{
    struct buf bytes CLEANUP(buf_clear) = BUF_INIT(BATCH_MAX);
    make(seq, lines, &bytes);
    assert_int_equal(spool_append(sp, buf_str(&bytes), seq), 0);
}

static void expect_next(struct spool *sp, uint64_t seq, size_t lines)
{
    struct buf want CLEANUP(buf_clear) = BUF_INIT(BATCH_MAX);
    struct str bytes;
    struct batch b;
    make(seq, lines, &want);
    assert_int_equal(spool_read(sp, &bytes, &b), 1);
    assert_int_equal(b.seq, seq);
    assert_int_equal(bytes.len, want.len);
    assert_memory_equal(bytes.p, want.data, want.len);
}

static void expect_end(struct spool *sp)
{
    struct str bytes;
    struct batch b;
    assert_int_equal(spool_read(sp, &bytes, &b), 0);
}

static size_t count_files(const char *dir)
{
    DIR *d = opendir(dir);
    size_t n = 0;
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static void reads_in_order_and_rewinds_to_what_is_not_acked(void **state)
{
    struct found f;
    uint64_t last = 0;
    struct spool *sp = open_spool(*state, MIB, KIB, 0, &f);
    expect_end(sp);
    for (uint64_t seq = 1; seq <= 30; seq++)
        put(sp, seq, 20);
    assert_true(count_files(*state) > 3);
    for (uint64_t seq = 1; seq <= 20; seq++)
        expect_next(sp, seq, 20);
    assert_int_equal(spool_in_flight(sp), 20);
    assert_int_equal(spool_ack(sp, 7, on_acked, &last), 7);
    assert_int_equal(last, 7);
    assert_int_equal(spool_ack(sp, 7, on_acked, &last), 0);
    assert_int_equal(spool_ack(sp, 21, on_acked, &last), -EPROTO);
    assert_int_equal(spool_oldest(sp)->seq, 8);
    spool_rewind(sp);
    assert_int_equal(spool_in_flight(sp), 0);
    for (uint64_t seq = 8; seq <= 30; seq++)
        expect_next(sp, seq, 20);
    expect_end(sp);
    put(sp, 31, 20);
    expect_next(sp, 31, 20);
    assert_int_equal(spool_ack(sp, 31, on_acked, &last), 24);
    spool_release(sp, 15);
    spool_rewind(sp);
    expect_end(sp);
    size_t some = count_files(*state);
    spool_release(sp, 31);
    assert_true(count_files(*state) < some);
    put(sp, 32, 20);
    expect_next(sp, 32, 20);
    assert_int_equal(spool_damage(sp), 0);
    spool_close(sp);
}

static void numbers_and_content_survive_a_restart(void **state)
{
    struct found f;
    uint64_t last = 0;
    struct spool *sp = open_spool(*state, MIB, 4 * KIB, 0, &f);
    for (uint64_t seq = 1; seq <= 12; seq++)
        put(sp, seq, 10);
    for (uint64_t seq = 1; seq <= 5; seq++)
        expect_next(sp, seq, 10);
    assert_int_equal(spool_ack(sp, 5, on_acked, &last), 5);
    assert_int_equal(spool_sync(sp), 0);
    spool_close(sp);
    sp = open_spool(*state, MIB, 4 * KIB, 5, &f);
    assert_int_equal(f.n, 7);
    assert_int_equal(f.seqs[0], 6);
    assert_int_equal(spool_last_seq(sp), 12);
    assert_false(spool_is_damaged(sp));
    put(sp, 13, 10);
    for (uint64_t seq = 6; seq <= 13; seq++)
        expect_next(sp, seq, 10);
    spool_close(sp);
}

static void a_lower_number_is_refused(void **state)
{
    struct found f;
    struct buf bytes CLEANUP(buf_clear) = BUF_INIT(BATCH_MAX);
    struct spool *sp = open_spool(*state, MIB, 4 * KIB, 9, &f);
    make(9, 1, &bytes);
    assert_int_equal(spool_append(sp, buf_str(&bytes), 9), -EINVAL);
    put(sp, 10, 1);
    expect_next(sp, 10, 1);
    spool_close(sp);
}

static void only_file(const char *dir, char ret[static 512])
{
    snprintf(ret, 512, "%s/%016x.spool", dir, 1);
}

static void a_torn_tail_is_cut_wherever_it_is(void **state)
{
    struct found f;
    char path[512];
    struct stat st;
    struct buf all CLEANUP(buf_clear) = BUF_INIT(MIB);
    only_file(*state, path);
    struct spool *sp = open_spool(*state, MIB, MIB, 0, &f);
    put(sp, 1, 2);
    put(sp, 2, 2);
    assert_int_equal(stat(path, &st), 0);
    size_t two = (size_t)st.st_size;
    put(sp, 3, 2);
    spool_close(sp);
    assert_int_equal(file_read(path, &all), 0);
    for (size_t len = two; len < all.len; len++) {
        assert_int_equal(file_write_atomic(path, (struct str){(char *)all.data, len}, 0600), 0);
        sp = open_spool(*state, MIB, MIB, 0, &f);
        assert_int_equal(f.n, 2);
        assert_int_equal(spool_damage(sp), len - two);
        assert_int_equal(spool_last_seq(sp), 2);
        put(sp, 4, 3);
        expect_next(sp, 1, 2);
        expect_next(sp, 2, 2);
        expect_next(sp, 4, 3);
        expect_end(sp);
        spool_close(sp);
    }
}

static void damage_costs_only_the_batch_it_touches(void **state)
{
    struct found f;
    char path[512];
    struct buf all CLEANUP(buf_clear) = BUF_INIT(MIB), one CLEANUP(buf_clear) = BUF_INIT(MIB);
    only_file(*state, path);
    struct spool *sp = open_spool(*state, MIB, MIB, 0, &f);
    for (uint64_t seq = 1; seq <= 5; seq++)
        put(sp, seq, 2);
    spool_close(sp);
    assert_int_equal(file_read(path, &all), 0);
    make(1, 2, &one);
    size_t start = 2 * one.len, end = 3 * one.len; /* all five have the same length, more or less */
    for (size_t at = start + 64; at < end - 64; at++) {
        uint8_t old = all.data[at];
        all.data[at] ^= 0x55;
        assert_int_equal(file_write_atomic(path, buf_str(&all), 0600), 0);
        all.data[at] = old;
        sp = open_spool(*state, MIB, MIB, 0, &f);
        assert_int_equal(f.n, 4);
        assert_int_equal(f.after_damage, 2);
        assert_true(spool_is_damaged(sp));
        assert_true(spool_damage(sp) > 0);
        for (uint64_t seq = 1; seq <= 5; seq++)
            if (seq != 3)
                expect_next(sp, seq, 2);
        expect_end(sp);
        spool_close(sp);
    }
}

static void damage_that_comes_while_running_is_passed_over(void **state)
{
    struct found f;
    char path[512];
    only_file(*state, path);
    struct spool *sp = open_spool(*state, MIB, MIB, 0, &f);
    for (uint64_t seq = 1; seq <= 4; seq++)
        put(sp, seq, 50);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "xxxx", 4, 200), 4);
    close(fd);
    expect_next(sp, 2, 50);
    assert_true(spool_damage(sp) > 0);
    spool_close(sp);
}

static void a_magic_in_the_damage_is_no_batch(void **state)
{
    struct found f;
    char path[512];
    struct buf b CLEANUP(buf_clear) = BUF_INIT(MIB), file CLEANUP(buf_clear) = BUF_INIT(4 * MIB);
    only_file(*state, path);
    for (int i = 0; i < 1000; i++)
        buf_append_z(&file, "VGB1VGB");
    make(1, 5, &b);
    buf_append(&file, b.data, b.len - 1); /* looks whole but for its last byte */
    buf_append(&file, b.data, b.len);
    assert_int_equal(file_write_atomic(path, buf_str(&file), 0600), 0);
    struct spool *sp = open_spool(*state, MIB, MIB, 0, &f);
    assert_int_equal(f.n, 1);
    expect_next(sp, 1, 5);
    expect_end(sp);
    spool_close(sp);
}

static void full_means_full(void **state)
{
    struct found f;
    uint64_t last = 0;
    struct buf bytes CLEANUP(buf_clear) = BUF_INIT(BATCH_MAX);
    struct spool *sp = open_spool(*state, 20 * KIB, 4 * KIB, 0, &f);
    uint64_t seq = 1;
    for (;; seq++) {
        make(seq, 30, &bytes);
        int r = spool_append(sp, buf_str(&bytes), seq);
        if (r == -ENOBUFS)
            break;
        assert_int_equal(r, 0);
    }
    assert_true(spool_bytes(sp) <= 20 * KIB && spool_bytes(sp) > 15 * KIB);
    assert_false(spool_has_room(sp, bytes.len));
    for (uint64_t i = 1; i < seq; i++)
        expect_next(sp, i, 30);
    assert_int_equal(spool_ack(sp, seq - 1, on_acked, &last), seq - 1);
    spool_release(sp, seq - 1);
    assert_true(spool_has_room(sp, bytes.len));
    put(sp, seq, 30);
    expect_next(sp, seq, 30);
    spool_close(sp);
}

static void the_window_has_a_limit(void **state)
{
    struct found f;
    struct str bytes;
    struct batch b;
    uint64_t last = 0;
    struct spool *sp = open_spool(*state, 4 * MIB, MIB, 0, &f);
    for (uint64_t seq = 1; seq <= SPOOL_WINDOW_MAX + 5; seq++)
        put(sp, seq, 1);
    for (uint64_t seq = 1; seq <= SPOOL_WINDOW_MAX; seq++)
        expect_next(sp, seq, 1);
    assert_int_equal(spool_read(sp, &bytes, &b), -ENOBUFS);
    assert_int_equal(spool_ack(sp, 1, on_acked, &last), 1);
    expect_next(sp, SPOOL_WINDOW_MAX + 1, 1);
    spool_close(sp);
}

static void a_foreign_file_is_left_alone(void **state)
{
    struct found f;
    char path[512];
    snprintf(path, sizeof(path), "%s/README", (char *)*state);
    assert_int_equal(file_write_atomic(path, STR("hello"), 0600), 0);
    struct spool *sp = open_spool(*state, MIB, MIB, 0, &f);
    put(sp, 1, 1);
    spool_close(sp);
    assert_int_equal(access(path, F_OK), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, tmp_dir_setup, tmp_dir_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(reads_in_order_and_rewinds_to_what_is_not_acked),
        T(numbers_and_content_survive_a_restart),
        T(a_lower_number_is_refused),
        T(a_torn_tail_is_cut_wherever_it_is),
        T(damage_costs_only_the_batch_it_touches),
        T(damage_that_comes_while_running_is_passed_over),
        T(a_magic_in_the_damage_is_no_batch),
        T(full_means_full),
        T(the_window_has_a_limit),
        T(a_foreign_file_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
