/* SPDX-License-Identifier: Apache-2.0
 *
 * The archive on real files. fdatasync and pwritev are replaced below, so that the disk can fail when a test says so.
 */
#include "collector/archive.h"

#include "common/file.h"
#include "tests/unit/test.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <zlib.h>

#define SEGMENT_BIG (64 * MIB)
#define HEADER      64
#define RECORD      24 /* bytes in front of a batch */

static int sync_error;          /* errno of the next fdatasync calls, 0: they work */
static ssize_t write_left = -1; /* bytes the disk still takes, -1: any */

int fdatasync(int fd)
{
    if (sync_error) {
        errno = sync_error;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}

ssize_t pwritev(int fd, const struct iovec *iov, int n, off_t offset)
{
    struct iovec part = iov[0];
    if (write_left == 0) {
        errno = ENOSPC;
        return -1;
    }
    if (write_left < 0)
        return syscall(SYS_pwritev, fd, iov, n, offset, 0);
    part.iov_len = MIN(part.iov_len, (size_t)write_left);
    write_left -= (ssize_t)part.iov_len;
    return syscall(SYS_pwritev, fd, &part, 1, offset, 0);
}

/* A batch that says `seq` in its header and in its lines. */
static struct buf make_batch(uint64_t seq, unsigned lines)
{
    struct buf raw = BUF_INIT(BATCH_RAW_MAX), out = BUF_INIT(BATCH_MAX);
    for (unsigned i = 0; i < lines; i++)
        assert_int_equal(buf_printf(&raw, "batch %llu line %u %x\n", (unsigned long long)seq, i, i * 2654435761u), 0);
    struct batch b = {
        .seq = seq,
        .start = seq * 1000000,
        .end = seq * 1000000 + raw.len,
        .records = lines,
        .encoding = BATCH_TEXT,
        .source = STR("test"),
        .host = STR("web01"),
    };
    assert_int_equal(batch_encode(&b, buf_str(&raw), 1, &out), 0);
    buf_clear(&raw);
    return out;
}

static uint64_t append(struct archive *a, uint64_t seq, unsigned lines)
{
    struct buf batch = make_batch(seq, lines);
    uint64_t pos = 0;
    assert_int_equal(archive_append(a, buf_str(&batch), (int64_t)seq * 10, &pos), 0);
    buf_clear(&batch);
    return pos;
}

static struct archive *open_archive(const char *dir, uint64_t segment_max)
{
    struct archive *a = NULL;
    struct diag diag = {0};
    if (archive_open(dir, segment_max, &a, &diag) < 0)
        fail_msg("%s", diag.msg);
    return a;
}

static char *dir_of(void **state, const char *name)
{
    static char path[4096];
    snprintf(path, sizeof(path), "%s/%s", (const char *)*state, name);
    return path;
}

/* Sequence numbers from `pos` to the present end; `damage` is what was skipped on the way. */
static size_t read_seqs(const char *dir, uint64_t pos, uint64_t *seqs, size_t max, uint64_t *ret_damage)
{
    struct archive_reader *r = NULL;
    struct archive_record rec;
    struct diag diag = {0};
    size_t n = 0;
    assert_int_equal(archive_reader_open(dir, pos, &r, &diag), 0);
    uint64_t damage = 0;
    int err;
    while ((err = archive_reader_next(r, &rec, &diag)) == 1) {
        assert_true(n < max);
        assert_int_equal(rec.ingested_ns, rec.batch.seq * 10);
        assert_int_equal(diag.msg[0] != 0, archive_reader_damage(r) > damage);
        damage = archive_reader_damage(r);
        seqs[n++] = rec.batch.seq;
    }
    assert_int_equal(err, 0);
    *ret_damage = archive_reader_damage(r);
    archive_reader_close(r);
    return n;
}

static void assert_seqs(const char *dir, uint64_t pos, const uint64_t *expected, size_t n, uint64_t expected_damage)
{
    uint64_t seqs[64], damage;
    size_t got = read_seqs(dir, pos, seqs, ARRAY_LEN(seqs), &damage);
    assert_int_equal(got, n);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(seqs[i], expected[i]);
    assert_int_equal(damage, expected_damage);
}
#define SEQS(...) (const uint64_t[]){__VA_ARGS__}, sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t)

static void segment_path(const char *dir, uint64_t pos, char *ret, size_t size)
{
    snprintf(ret, size, "%s/%016llx.vga", dir, (unsigned long long)pos);
}

static struct buf read_file(const char *path)
{
    struct buf b = BUF_INIT(256 * MIB);
    assert_int_equal(file_read(path, &b), 0);
    return b;
}

static void write_file(const char *path, struct str data)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0640);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data.p, data.len), data.len);
    close(fd);
}

static void flip(const char *path, uint64_t offset)
{
    int fd = open(path, O_RDWR);
    char c;
    assert_int_equal(pread(fd, &c, 1, (off_t)offset), 1);
    c = (char)(c ^ 0x20);
    assert_int_equal(pwrite(fd, &c, 1, (off_t)offset), 1);
    close(fd);
}

static int verify(const char *dir, struct archive_totals *ret, struct diag *diag)
{
    return archive_verify(dir, NULL, NULL, ret, diag);
}

/* ---- ordinary life ---- */

static void what_is_appended_is_read(void **state)
{
    const char *dir = dir_of(state, "plain");
    struct archive *a = open_archive(dir, SEGMENT_BIG);
    struct buf batch = make_batch(5, 100);
    uint64_t pos, end;
    assert_int_equal(archive_end(a), 0);
    assert_int_equal(archive_append(a, buf_str(&batch), 50, &pos), 0);
    assert_int_equal(pos, HEADER);
    assert_int_equal(archive_end(a), 0); /* not before it is durable */
    assert_int_equal(archive_sync(a), 0);
    end = archive_end(a);
    assert_int_equal(end, HEADER + RECORD + batch.len);

    struct archive_reader *r = NULL;
    struct archive_record rec;
    assert_int_equal(archive_reader_open(dir, 0, &r, NULL), 0);
    assert_int_equal(archive_reader_next(r, &rec, NULL), 1);
    assert_int_equal(rec.pos, pos);
    assert_int_equal(rec.next_pos, end);
    assert_int_equal(rec.ingested_ns, 50);
    assert_int_equal(rec.batch.seq, 5);
    assert_true(str_eq(rec.bytes, buf_str(&batch)));
    assert_int_equal(archive_reader_next(r, &rec, NULL), 0);
    append(a, 6, 3);
    assert_int_equal(archive_reader_next(r, &rec, NULL), 1); /* a reader follows */
    assert_int_equal(rec.batch.seq, 6);
    assert_int_equal(archive_reader_next(r, &rec, NULL), 0);
    archive_reader_close(r);
    archive_close(a);
    buf_clear(&batch);
    assert_seqs(dir, 0, SEQS(5, 6), 0);
    assert_seqs(dir, end, SEQS(6), 0);
}

/* The layout is a promise to archives already written. */
static void layout_is_as_documented(void **state)
{
    const char *dir = dir_of(state, "layout");
    struct archive *a = open_archive(dir, SEGMENT_BIG);
    append(a, 1, 2);
    assert_int_equal(archive_sync(a), 0);
    uint64_t second = append(a, 2, 2);
    archive_close(a);
    char path[5000];
    segment_path(dir, 0, path, sizeof(path));
    struct buf b = read_file(path);
    const uint8_t *h = b.data, zeros[40] = {0};
    assert_memory_equal(h, "VGA1\0\0\0\0", 8);
    assert_int_equal(get_u64(h + 8), 0);
    assert_true((int64_t)get_u64(h + 16) > INT64_C(1600000000) * NS_PER_S);
    assert_memory_equal(h + 24, zeros, 36);
    assert_int_equal(get_u32(h + 60), crc32_z(0, h, 60));
    const uint8_t *rec = h + second;
    assert_int_equal(get_u32(rec), b.len - second - RECORD);
    assert_int_equal(get_u64(rec + 8), 20);
    assert_int_equal(get_u64(rec + 16), second);
    assert_memory_equal(rec + 24, "VGB1", 4);
    uint8_t sum[44];
    put_u64(sum, second);
    memcpy(sum + 8, rec, 4);
    memcpy(sum + 12, rec + 8, 32);
    assert_int_equal(get_u32(rec + 4), crc32_z(0, sum, sizeof(sum)));
    buf_clear(&b);
}

static void only_batches_are_appended(void **state)
{
    struct archive *a = open_archive(dir_of(state, "only"), SEGMENT_BIG);
    struct buf batch = make_batch(1, 1);
    uint64_t pos = 99;
    assert_int_equal(archive_append(a, STR("short"), 1, &pos), -EINVAL);
    assert_int_equal(archive_append(a, (struct str){(char *)batch.data, batch.len - 1}, 1, &pos), -EINVAL);
    assert_int_equal(pos, 99);
    assert_int_equal(archive_append(a, buf_str(&batch), 1, &pos), 0); /* still in order */
    buf_clear(&batch);
    archive_close(a);
}

static void a_second_writer_is_refused(void **state)
{
    const char *dir = dir_of(state, "lock");
    struct archive *a = open_archive(dir, SEGMENT_BIG), *b = NULL;
    struct diag diag = {0};
    assert_int_equal(archive_open(dir, SEGMENT_BIG, &b, &diag), -EBUSY);
    assert_non_null(strstr(diag.msg, "another process"));
    archive_close(a);
    archive_close(open_archive(dir, SEGMENT_BIG));
}

static void segments_roll_and_chain(void **state)
{
    const char *dir = dir_of(state, "roll");
    uint64_t records = 0, lines = 0, next = 0;
    for (int round = 0; round < 3; round++) { /* reopened in between: the chain goes on */
        struct archive *a = open_archive(dir, 4096);
        for (int i = 0; i < 20; i++, records++, lines += 50) {
            uint64_t pos = append(a, records, 50);
            assert_true(pos >= next);
            if (i % 3 == 0)
                assert_int_equal(archive_sync(a), 0);
        }
        assert_int_equal(archive_sync(a), 0);
        next = archive_end(a);
        archive_close(a);
    }
    struct archive_segment *list;
    size_t n;
    assert_int_equal(archive_segments(dir, &list, &n), 0);
    assert_true(n > 5);
    uint64_t end = 0;
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(list[i].pos, end);
        assert_true(list[i].size_bytes <= 4096);
        assert_true(list[i].created_ns >= 0 && (i == 0 || list[i].created_ns > 0));
        end += list[i].size_bytes;
    }
    assert_int_equal(end, next);
    struct archive_totals t;
    struct diag diag = {0};
    assert_int_equal(verify(dir, &t, &diag), 0);
    assert_int_equal(t.segments, n);
    assert_int_equal(t.bytes, end);
    assert_int_equal(t.records, records);
    assert_int_equal(t.lines, lines);
    assert_int_equal(t.tail_bytes, 0);
    assert_int_equal(t.first_ns, 0);
    assert_int_equal(t.last_ns, (records - 1) * 10);

    uint64_t seqs[64], damage;
    assert_int_equal(read_seqs(dir, 0, seqs, 64, &damage), records);
    for (size_t i = 0; i < records; i++)
        assert_int_equal(seqs[i], i);
    assert_int_equal(damage, 0);
    size_t from_third = read_seqs(dir, list[2].pos, seqs, 64, &damage);
    assert_true(from_third < records && seqs[0] > 0 && seqs[from_third - 1] == records - 1);
    free(list);
}

static void a_record_may_be_larger_than_a_segment(void **state)
{
    const char *dir = dir_of(state, "large");
    struct archive *a = open_archive(dir, 200);
    for (uint64_t i = 0; i < 4; i++)
        append(a, i, 500);
    archive_close(a);
    assert_seqs(dir, 0, SEQS(0, 1, 2, 3), 0);
}

static void readers_seek_and_know_the_end(void **state)
{
    const char *dir = dir_of(state, "seek");
    struct archive_reader *r = NULL;
    struct archive_record rec;
    assert_int_equal(archive_reader_open(dir, 0, &r, NULL), -ENOENT);
    assert_int_equal(file_mkdirs(dir, 0750), 0);
    assert_int_equal(archive_reader_open(dir, 1, &r, NULL), -ERANGE);
    assert_int_equal(archive_reader_open(dir, 0, &r, NULL), 0); /* before anything was written */
    assert_int_equal(archive_reader_next(r, &rec, NULL), 0);
    struct archive *a = open_archive(dir, 2000);
    assert_int_equal(archive_reader_next(r, &rec, NULL), 0);
    uint64_t at[10];
    for (uint64_t i = 0; i < 10; i++)
        at[i] = append(a, i, 30);
    assert_int_equal(archive_sync(a), 0);
    assert_int_equal(archive_reader_next(r, &rec, NULL), 1);
    assert_int_equal(rec.batch.seq, 0);
    for (unsigned i = 10; i-- > 0;) {
        assert_int_equal(archive_reader_seek(r, at[i]), 0);
        assert_int_equal(archive_reader_next(r, &rec, NULL), 1);
        assert_int_equal(rec.batch.seq, i);
        assert_int_equal(archive_reader_seek(r, rec.next_pos), 0);
        assert_int_equal(archive_reader_next(r, &rec, NULL), i < 9);
    }
    assert_int_equal(archive_reader_seek(r, archive_end(a)), 0);
    assert_int_equal(archive_reader_seek(r, archive_end(a) + 1), -ERANGE);
    assert_int_equal(archive_reader_seek(r, 0), 0);
    assert_int_equal(archive_reader_next(r, &rec, NULL), 1);
    assert_int_equal(rec.batch.seq, 0);
    archive_reader_close(r);
    archive_close(a);
}

static void removed_segments_are_no_surprise(void **state)
{
    const char *dir = dir_of(state, "removed");
    struct archive *a = open_archive(dir, 2000);
    uint64_t at[10];
    for (uint64_t i = 0; i < 10; i++)
        at[i] = append(a, i, 30);
    archive_close(a);
    struct archive_segment *list;
    size_t n;
    assert_int_equal(archive_segments(dir, &list, &n), 0);
    assert_true(n > 2);
    assert_int_equal(unlink(list[0].path), 0);
    uint64_t seqs[64], damage;
    struct archive_totals t;
    assert_true(read_seqs(dir, 0, seqs, 64, &damage) > 0);
    assert_int_equal(damage, 0); /* the oldest there is */
    assert_true(read_seqs(dir, at[0], seqs, 64, &damage) > 0);
    assert_int_equal(damage, list[1].pos - at[0]); /* somebody still wanted these */
    assert_int_equal(verify(dir, &t, NULL), 0);
    free(list);
}

/* ---- after a crash ---- */

#define TORN_LINES 4

static void torn_tail_at_every_byte(void **state)
{
    const char *dir = dir_of(state, "torn");
    struct archive *a = open_archive(dir, SEGMENT_BIG);
    append(a, 0, TORN_LINES);
    append(a, 1, TORN_LINES);
    assert_int_equal(archive_sync(a), 0);
    uint64_t last = append(a, 2, TORN_LINES);
    archive_close(a);
    char path[5000];
    segment_path(dir, 0, path, sizeof(path));
    struct buf whole = read_file(path);
    for (size_t len = last; len < whole.len; len++) {
        for (int zeros = 0; zeros < 2; zeros++) { /* cut short, or its end never written */
            struct buf torn = BUF_INIT(MIB);
            assert_int_equal(buf_append(&torn, whole.data, whole.len), 0);
            if (zeros)
                memset(torn.data + len, 0, torn.len - len);
            else
                torn.len = len;
            write_file(path, buf_str(&torn));
            assert_seqs(dir, 0, SEQS(0, 1), 0); /* a reader waits there and calls it no damage */
            struct archive_totals t;
            int r = verify(dir, &t, NULL);
            assert_int_equal(r, zeros ? -EBADMSG : 0); /* short may be a record being written; wrong is wrong */
            a = open_archive(dir, SEGMENT_BIG);
            assert_int_equal(archive_cut_bytes(a), torn.len - last);
            assert_int_equal(archive_end(a), last);
            assert_int_equal(append(a, 2, TORN_LINES), last);
            archive_close(a);
            assert_seqs(dir, 0, SEQS(0, 1, 2), 0);
            buf_clear(&torn);
        }
    }
    struct archive_totals t;
    assert_int_equal(verify(dir, &t, NULL), 0);
    assert_int_equal(t.records, 3);
    buf_clear(&whole);
}

/* Pages reach the disk in any order: a record that was never acknowledged may be lost while a later one is there. Keeping
 * that one would make the lost one look like a repeat when it is sent again. */
static void unsynced_records_behind_a_hole_are_cut_and_saved(void **state)
{
    const char *dir = dir_of(state, "hole");
    struct archive *a = open_archive(dir, SEGMENT_BIG);
    append(a, 0, 50);
    assert_int_equal(archive_sync(a), 0);
    uint64_t hole = append(a, 1, 50), kept = append(a, 2, 50);
    archive_close(a);
    char path[5000], cut[5000];
    segment_path(dir, 0, path, sizeof(path));
    flip(path, hole + RECORD + 300);
    struct buf before = read_file(path);
    a = open_archive(dir, SEGMENT_BIG);
    assert_int_equal(archive_end(a), hole);
    assert_int_equal(archive_cut_bytes(a), before.len - hole);
    archive_close(a);
    assert_seqs(dir, 0, SEQS(0), 0);
    snprintf(cut, sizeof(cut), "%s/%016llx.cut", dir, (unsigned long long)hole);
    struct buf saved = read_file(cut);
    assert_int_equal(saved.len, before.len - hole);
    assert_memory_equal(saved.data, before.data + hole, saved.len);
    assert_true(kept > hole);
    buf_clear(&saved);
    buf_clear(&before);
}

static void damage_in_the_middle_is_skipped_and_kept(void **state)
{
    const char *dir = dir_of(state, "middle");
    struct archive *a = open_archive(dir, SEGMENT_BIG);
    uint64_t at[5];
    for (uint64_t k = 0; k < 5; k++) {
        at[k] = append(a, k, 20);
        assert_int_equal(archive_sync(a), 0);
    }
    archive_close(a);
    char path[5000];
    segment_path(dir, 0, path, sizeof(path));
    struct buf whole = read_file(path);
    for (uint64_t off = at[2]; off < at[3]; off++) { /* one byte anywhere in the third record */
        flip(path, off);
        assert_seqs(dir, 0, SEQS(0, 1, 3, 4), at[3] - at[2]);
        struct archive_totals t;
        struct diag diag = {0};
        assert_int_equal(verify(dir, &t, &diag), -EBADMSG);
        assert_non_null(strstr(diag.msg, path));
        a = open_archive(dir, SEGMENT_BIG);
        assert_int_equal(archive_cut_bytes(a), 0);
        assert_int_equal(archive_end(a), whole.len);
        append(a, 5, 10);
        archive_close(a);
        assert_seqs(dir, 0, SEQS(0, 1, 3, 4, 5), at[3] - at[2]);
        write_file(path, buf_str(&whole));
    }
    buf_clear(&whole);
}

static void failed_sync_is_final(void **state)
{
    const char *dir = dir_of(state, "sync");
    struct archive *a = open_archive(dir, SEGMENT_BIG);
    append(a, 0, 10);
    assert_int_equal(archive_sync(a), 0);
    uint64_t end = archive_end(a), pos;
    append(a, 1, 10);
    sync_error = EIO;
    assert_int_equal(archive_sync(a), -EIO);
    sync_error = 0;
    struct buf batch = make_batch(2, 1);
    assert_int_equal(archive_sync(a), -EIO); /* even though the disk says yes now */
    assert_int_equal(archive_append(a, buf_str(&batch), 1, &pos), -EIO);
    assert_int_equal(archive_end(a), end);
    archive_close(a);
    buf_clear(&batch);
    sync_error = ENOSPC;
    struct diag diag = {0};
    assert_int_equal(archive_open(dir, SEGMENT_BIG, &a, &diag), -ENOSPC);
    assert_non_null(strstr(diag.msg, "fdatasync"));
    sync_error = 0;
    a = open_archive(dir, SEGMENT_BIG);
    append(a, 2, 10);
    archive_close(a);
}

static void full_disk_is_final_and_leaves_whole_records(void **state)
{
    const char *dir = dir_of(state, "full");
    struct buf batch = make_batch(1, 10);
    uint64_t pos;
    static const ssize_t room[] = {0, 1, RECORD, RECORD + 5, 150};
    for (size_t i = 0; i < ARRAY_LEN(room); i++) {
        struct archive *a = open_archive(dir, SEGMENT_BIG);
        uint64_t end = archive_end(a);
        write_left = room[i];
        assert_int_equal(archive_append(a, buf_str(&batch), 10, &pos), -ENOSPC);
        write_left = -1;
        assert_int_equal(archive_append(a, buf_str(&batch), 10, &pos), -EIO);
        archive_close(a);
        a = open_archive(dir, SEGMENT_BIG);
        assert_int_equal(archive_cut_bytes(a), room[i]);
        assert_int_equal(archive_append(a, buf_str(&batch), 10, &pos), 0);
        assert_int_equal(pos, end ? end : HEADER);
        archive_close(a);
    }
    buf_clear(&batch);
    struct archive_totals t;
    assert_int_equal(verify(dir, &t, NULL), 0);
    assert_int_equal(t.records, ARRAY_LEN(room));
}

static void roll_over_that_fails_leaves_no_half_segment(void **state)
{
    const char *dir = dir_of(state, "halfroll");
    struct archive *a = open_archive(dir, 1000);
    append(a, 0, 50);
    struct buf batch = make_batch(1, 50);
    uint64_t pos;
    write_left = 10;
    assert_int_equal(archive_append(a, buf_str(&batch), 10, &pos), -ENOSPC);
    write_left = -1;
    archive_close(a);
    struct archive_segment *list;
    size_t n;
    assert_int_equal(archive_segments(dir, &list, &n), 0);
    assert_int_equal(n, 1);
    free(list);
    char tmp[5000]; /* as if the process had died there */
    a = open_archive(dir, 1000);
    snprintf(tmp, sizeof(tmp), "%s/%016llx.tmp", dir, (unsigned long long)archive_end(a));
    write_file(tmp, STR("half"));
    assert_int_equal(archive_append(a, buf_str(&batch), 10, &pos), 0);
    archive_close(a);
    buf_clear(&batch);
    assert_seqs(dir, 0, SEQS(0, 1), 0);
    assert_int_equal(access(tmp, F_OK), -1);
}

/* A reader of another process looks at a tail that is then cut and written anew with other bytes. */
static void reader_sees_what_replaces_a_torn_tail(void **state)
{
    const char *dir = dir_of(state, "replace");
    struct archive *a = open_archive(dir, SEGMENT_BIG);
    append(a, 0, 10);
    assert_int_equal(archive_sync(a), 0);
    uint64_t torn = append(a, 1, 200);
    archive_close(a);
    char path[5000];
    segment_path(dir, 0, path, sizeof(path));
    flip(path, torn + 2); /* a length: the rest of the file is now of no use */
    struct archive_reader *r = NULL;
    struct archive_record rec;
    struct diag diag;
    assert_int_equal(archive_reader_open(dir, 0, &r, NULL), 0);
    assert_int_equal(archive_reader_next(r, &rec, &diag), 1);
    assert_int_equal(archive_reader_next(r, &rec, &diag), 0);
    assert_int_equal(archive_reader_next(r, &rec, &diag), 0);
    a = open_archive(dir, SEGMENT_BIG);
    append(a, 7, 200);
    append(a, 8, 200);
    assert_int_equal(archive_reader_next(r, &rec, &diag), 1);
    assert_int_equal(rec.batch.seq, 7);
    assert_int_equal(rec.pos, torn);
    assert_int_equal(archive_reader_next(r, &rec, &diag), 1);
    assert_int_equal(archive_reader_damage(r), 0);
    archive_reader_close(r);
    archive_close(a);
}

/* ---- tampering ---- */

/* Rewrites the host in the first batch of a segment and makes every crc right again. */
static void forge(const char *path, uint64_t pos)
{
    struct buf b = read_file(path);
    uint8_t *rec = b.data + HEADER, *batch = rec + RECORD, sum[44];
    uint8_t *host = memmem(batch, get_u32(batch + 8), "web01", 5);
    assert_non_null(host);
    host[4] = '2';
    put_u32(batch + 4, (uint32_t)crc32_z(0, batch + 8, get_u32(rec) - 8));
    put_u64(sum, pos + HEADER);
    memcpy(sum + 8, rec, 4);
    memcpy(sum + 12, rec + 8, 32);
    put_u32(rec + 4, (uint32_t)crc32_z(0, sum, sizeof(sum)));
    write_file(path, buf_str(&b));
    buf_clear(&b);
}

static void broken_chain_names_the_segment(void **state)
{
    const char *dir = dir_of(state, "chain");
    struct archive *a = open_archive(dir, 2000);
    for (uint64_t i = 0; i < 20; i++)
        append(a, i, 30);
    archive_close(a);
    struct archive_segment *list;
    struct archive_totals t;
    struct diag diag = {0};
    size_t n;
    assert_int_equal(archive_segments(dir, &list, &n), 0);
    assert_true(n > 4);
    assert_int_equal(verify(dir, &t, &diag), 0);

    struct buf keep = read_file(list[2].path);
    forge(list[2].path, list[2].pos);
    uint64_t seqs[64], damage;
    assert_int_equal(read_seqs(dir, 0, seqs, 64, &damage), 20); /* no crc can tell */
    assert_int_equal(damage, 0);
    assert_int_equal(verify(dir, &t, &diag), -EBADMSG);
    assert_non_null(strstr(diag.msg, list[2].path));
    assert_non_null(strstr(diag.msg, "successor"));
    write_file(list[2].path, buf_str(&keep));
    assert_int_equal(verify(dir, &t, &diag), 0);

    flip(list[2].path, 20); /* the header's time */
    assert_int_equal(verify(dir, &t, &diag), -EBADMSG);
    assert_non_null(strstr(diag.msg, list[2].path));
    assert_int_equal(read_seqs(dir, 0, seqs, 64, &damage), 20); /* records stand for themselves */
    write_file(list[2].path, buf_str(&keep));

    assert_int_equal(unlink(list[2].path), 0);
    assert_int_equal(verify(dir, &t, &diag), -EBADMSG);
    assert_non_null(strstr(diag.msg, list[1].path));
    assert_true(read_seqs(dir, 0, seqs, 64, &damage) < 20);
    assert_int_equal(damage, list[2].size_bytes);
    write_file(list[2].path, buf_str(&keep));

    assert_int_equal(truncate(list[2].path, (off_t)keep.len - 10), 0);
    assert_int_equal(verify(dir, &t, &diag), -EBADMSG);
    assert_non_null(strstr(diag.msg, list[2].path));
    assert_true(read_seqs(dir, 0, seqs, 64, &damage) < 20);
    assert_true(damage > 0);
    write_file(list[2].path, buf_str(&keep));
    assert_int_equal(unlink(list[n - 1].path), 0); /* the newest gone: nothing can tell */
    assert_int_equal(verify(dir, &t, &diag), 0);
    buf_clear(&keep);
    free(list);
}

/* Bytes of a record at another place, as when somebody copies parts of files about, are not taken for a record. */
static void records_are_bound_to_their_position(void **state)
{
    const char *dir = dir_of(state, "moved");
    struct archive *a = open_archive(dir, SEGMENT_BIG);
    uint64_t at[3];
    for (uint64_t i = 0; i < 3; i++) {
        at[i] = append(a, i, 50);
        assert_int_equal(archive_sync(a), 0);
    }
    append(a, 3, 50);
    archive_close(a);
    char path[5000];
    segment_path(dir, 0, path, sizeof(path));
    struct buf b = read_file(path);
    assert_int_equal(at[2] - at[1], at[1] - at[0]);
    memcpy(b.data + at[1], b.data + at[0], at[1] - at[0]);
    write_file(path, buf_str(&b));
    buf_clear(&b);
    assert_seqs(dir, 0, SEQS(0, 2, 3), at[2] - at[1]);
}

/* ---- beside each other ---- */

#define LIVE_RECORDS 3000

struct live {
    const char *dir;
    struct archive *a;
};

static void *write_live(void *ctx)
{
    struct live *l = ctx;
    for (uint64_t i = 0; i < LIVE_RECORDS; i++) {
        append(l->a, i, 1 + (unsigned)(i * 37 % 90));
        if (i % 16 == 0 && archive_sync(l->a) < 0)
            break;
    }
    archive_sync(l->a);
    return NULL;
}

static void reading_beside_the_writer(void **state)
{
    struct live l = {.dir = dir_of(state, "live")};
    l.a = open_archive(l.dir, 30000);
    pthread_t thread;
    struct archive_reader *r = NULL;
    struct archive_record rec;
    struct diag diag = {0};
    uint64_t expected = 0, next = 0;
    assert_int_equal(archive_reader_open(l.dir, 0, &r, NULL), 0);
    assert_int_equal(pthread_create(&thread, NULL, write_live, &l), 0);
    while (expected < LIVE_RECORDS) {
        int err = archive_reader_next(r, &rec, &diag);
        if (err < 0 || archive_reader_damage(r))
            fail_msg("record %llu: %d %s", (unsigned long long)expected, err, diag.msg);
        if (err == 0)
            continue;
        assert_int_equal(rec.batch.seq, expected);
        assert_true(rec.pos == next || rec.pos == next + HEADER);
        next = rec.next_pos;
        expected++;
    }
    pthread_join(thread, NULL);
    assert_int_equal(archive_end(l.a), next);
    assert_int_equal(archive_reader_next(r, &rec, &diag), 0);
    archive_reader_close(r);
    archive_close(l.a);
    struct archive_totals t;
    assert_int_equal(verify(l.dir, &t, NULL), 0);
    assert_int_equal(t.records, LIVE_RECORDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_appended_is_read),
        cmocka_unit_test(layout_is_as_documented),
        cmocka_unit_test(only_batches_are_appended),
        cmocka_unit_test(a_second_writer_is_refused),
        cmocka_unit_test(segments_roll_and_chain),
        cmocka_unit_test(a_record_may_be_larger_than_a_segment),
        cmocka_unit_test(readers_seek_and_know_the_end),
        cmocka_unit_test(removed_segments_are_no_surprise),
        cmocka_unit_test(torn_tail_at_every_byte),
        cmocka_unit_test(unsynced_records_behind_a_hole_are_cut_and_saved),
        cmocka_unit_test(damage_in_the_middle_is_skipped_and_kept),
        cmocka_unit_test(failed_sync_is_final),
        cmocka_unit_test(full_disk_is_final_and_leaves_whole_records),
        cmocka_unit_test(roll_over_that_fails_leaves_no_half_segment),
        cmocka_unit_test(reader_sees_what_replaces_a_torn_tail),
        cmocka_unit_test(broken_chain_names_the_segment),
        cmocka_unit_test(records_are_bound_to_their_position),
        cmocka_unit_test(reading_beside_the_writer),
    };
    return cmocka_run_group_tests(tests, tmp_dir_setup, tmp_dir_teardown);
}
