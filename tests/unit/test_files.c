/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/agent.h"

#include "agent/paths.h"

#include <signal.h>
#include <sys/resource.h>

/* Long enough to be told from any other file by its first bytes. */
#define HEAD(mark)                                                                                                     \
    mark " 0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\n"     \
         "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\n"      \
         "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\n"

static void start(struct agent_env *a, const char *pattern, const char *more)
{
    char yaml[2048];
    snprintf(yaml, sizeof(yaml),
             "state_dir: %s/state\nlinger: 10ms\nfiles:\n  - name: app\n    paths: [%s/%s]\n    %s\n", a->dir, a->dir,
             pattern, more);
    agent_start(a, &in_files, yaml);
}

static int64_t rise(enum agent_metric m, int64_t before)
{
    return metric_of(m) - before;
}

static void follows_what_is_there_and_what_comes(void **state)
{
    struct agent_env *a = *state;
    append(a, "a.log", "one\ntwo\n");
    append(a, "b.txt", "not matched\n");
    start(a, "*.log", "type: x.y");
    expect(a, "a.log", "one\ntwo\n");
    append(a, "a.log", "three\n");
    append(a, "late.log", "late\n");
    expect(a, "a.log", "one\ntwo\nthree\n");
    expect(a, "late.log", "late\n");
    expect(a, "b.txt", "");
    agent_stop(a);
}

static void empty_lines_and_any_byte_pass_unchanged(void **state)
{
    struct agent_env *a = *state;
    char bytes[3 * 256 + 4];
    size_t n = 0;
    for (int k = 0; k < 3; k++)
        for (int c = 0; c < 256; c++)
            bytes[n++] = (char)c;
    memcpy(bytes + n, "\n\n\r\n", 4);
    n += 4;
    append_bytes(a, "a.log", bytes, n);
    start(a, "a.log", "");
    expect_bytes(a, "a.log", bytes, n);
    agent_stop(a);
}

static void a_partial_line_waits(void **state)
{
    struct agent_env *a = *state;
    start(a, "a.log", "");
    append(a, "a.log", "one\ntw");
    expect(a, "a.log", "one\n");
    agent_run(a, 500); /* longer than any grace: the file is not finished */
    expect(a, "a.log", "one\n");
    append(a, "a.log", "o");
    expect(a, "a.log", "one\n");
    append(a, "a.log", "\n");
    expect(a, "a.log", "one\ntwo\n");
    assert_int_equal(a->got[0].irregular, 0);
    agent_stop(a);
}

static void rename_rotation_keeps_order_and_late_lines(void **state)
{
    struct agent_env *a = *state;
    start(a, "a.log", "");
    append(a, "a.log", "1\n2\n");
    expect(a, "a.log", "1\n2\n");
    append(a, "a.log", "3\n");
    rename_in(a, "a.log", "a.log.1");
    append(a, "a.log.1", "4 late\n");
    append(a, "a.log", "5 new\n");
    expect(a, "a.log", "1\n2\n3\n4 late\n5 new\n");
    append(a, "a.log.1", "6 later still\n");
    agent_run(a, 100);
    agent_collect(a);
    assert_int_equal(a->n_got, 2);
    struct str old = buf_str(&a->got[0].text);
    assert_true(str_ends(old, STR("6 later still\n")));
    agent_stop(a);
}

static void rotated_names_that_match_too_are_not_read_twice(void **state)
{
    struct agent_env *a = *state;
    start(a, "a.log*", "");
    append(a, "a.log", "1\n");
    expect(a, "a.log", "1\n");
    for (int i = 0; i < 3; i++) {
        if (i > 0)
            rename_in(a, "a.log.1", "a.log.2");
        rename_in(a, "a.log", "a.log.1");
        append(a, "a.log", "more\n");
        agent_run(a, 150);
    }
    expect(a, "a.log", "1\nmore\nmore\nmore\n");
    expect(a, "a.log.1", "");
    agent_stop(a);
    start(a, "a.log*", ""); /* nor after a restart */
    append(a, "a.log.1", "into the old one\n");
    expect(a, "a.log.2", "");
    expect(a, "a.log.1", "");
    assert_int_equal(a->n_got, 4);
    assert_true(str_ends(buf_str(&a->got[2].text), STR("into the old one\n")));
    agent_stop(a);
}

static void an_unfinished_last_line_of_a_rotated_file(void **state)
{
    struct agent_env *a = *state;
    start(a, "a.log", "");
    append(a, "a.log", "1\nunfini");
    expect(a, "a.log", "1\n");
    rename_in(a, "a.log", "a.log.1");
    append(a, "a.log", "new\n");
    expect(a, "a.log", "1\nunfini\nnew\n");
    assert_int_equal(a->got[0].irregular, 1);
    assert_int_equal(a->got[0].end, strlen("1\nunfini"));
    agent_stop(a);
}

static void rotated_twice_between_two_looks(void **state)
{
    struct agent_env *a = *state;
    start(a, "a.log", "");
    append(a, "a.log", HEAD("first"));
    expect(a, "a.log", HEAD("first"));
    append(a, "a.log", "end of first\n");
    rename_in(a, "a.log", "a.log.2");
    append(a, "a.log.1", HEAD("second")); /* never had the followed name while we looked */
    append(a, "a.log", HEAD("third"));
    expect(a, "a.log", HEAD("first") "end of first\n" HEAD("second") HEAD("third"));
    agent_stop(a);
}

static void cut_twice_between_two_looks(void **state)
{
    struct agent_env *a = *state;
    struct buf want CLEANUP(buf_clear) = BUF_INIT(MIB), all CLEANUP(buf_clear) = BUF_INIT(MIB);
    start(a, "a.log*", "");
    append(a, "a.log", HEAD("first"));
    buf_append_z(&want, HEAD("first"));
    expect(a, "a.log", HEAD("first"));
    for (int round = 0; round < 3; round++) { /* at once; with the copies followed before the cut is noticed; killed */
        char copy[2][32], text[2][512];
        snprintf(copy[0], sizeof(copy[0]), "a.log.%d", 2 * round + 1);
        snprintf(copy[1], sizeof(copy[1]), "a.log.%d", 2 * round + 2);
        snprintf(text[0], sizeof(text[0]), "round %d, never at its place %s", round, HEAD("."));
        snprintf(text[1], sizeof(text[1]), "round %d, next %s", round, HEAD("."));
        append(a, "a.log", "end\n");
        copy_in(a, "a.log", copy[0]);
        truncate_in(a, "a.log");
        append(a, "a.log", text[0]);
        usleep(20000); /* file times come from a coarse clock */
        copy_in(a, "a.log", copy[1]);
        truncate_in(a, "a.log");
        if (round == 1)
            files_scan_now(a->instance);
        append(a, "a.log", text[1]);
        buf_printf(&want, "end\n%s%s", text[0], text[1]);
        agent_run(a, round == 2 ? 0 : 100);
        agent_collect(a);
        if (round == 2) {
            agent_kill(a);
            start(a, "a.log*", "");
        }
    }
    agent_run(a, 300);
    agent_collect(a);
    for (size_t i = 0; i < a->n_got; i++)
        buf_append(&all, a->got[i].text.data, a->got[i].text.len);
    buf_append(&all, "", 1);
    buf_append(&want, "", 1);
    assert_string_equal((char *)all.data, (char *)want.data);
    agent_stop(a);
}

static void killed_again_and_again_while_catching_up(void **state)
{
    struct agent_env *a = *state;
    struct buf want CLEANUP(buf_clear) = BUF_INIT(MIB);
    start(a, "a.log", "");
    append(a, "a.log", HEAD("file 0"));
    buf_append_z(&want, HEAD("file 0"));
    expect(a, "a.log", HEAD("file 0"));
    agent_stop(a);
    for (int i = 1; i <= 12; i++) {
        char old[32], text[512];
        snprintf(old, sizeof(old), "a.log.%d", i);
        rename_in(a, "a.log", old);
        snprintf(text, sizeof(text), "file %d %s", i, HEAD("while nobody looked"));
        append(a, "a.log", text);
        buf_append_z(&want, text);
        usleep(20000);
    }
    usleep(1100000); /* beyond the slack that is given to file times */
    for (int i = 0; i < 40; i++) {
        start(a, "a.log", "");
        agent_run(a, i % 7);
        if (i % 3 == 0)
            agent_collect(a);
        if (i % 5 == 4)
            assert_int_equal(registry_save(a->registry, false), 0);
        agent_kill(a);
    }
    start(a, "a.log", "");
    expect_bytes(a, "a.log", want.data, want.len);
    agent_stop(a);
}

static void removed_with_unread_data(void **state)
{
    struct agent_env *a = *state;
    start(a, "a.log", "");
    append(a, "a.log", "1\n");
    expect(a, "a.log", "1\n");
    append(a, "a.log", "2\n3 no newline");
    remove_in(a, "a.log");
    expect(a, "a.log", "1\n2\n3 no newline\n");
    append(a, "a.log", "4\n");
    expect(a, "a.log", "1\n2\n3 no newline\n4\n");
    agent_stop(a);
}

/* The same name and very likely the same inode, again and again. */
static void inode_reuse(void **state)
{
    struct agent_env *a = *state;
    struct buf want CLEANUP(buf_clear) = BUF_INIT(MIB);
    start(a, "a.log", "");
    for (int i = 0; i < 12; i++) {
        char line[64];
        snprintf(line, sizeof(line), "life %d, which is as long as any other\n", 100 + i);
        append(a, "a.log", line);
        buf_append_z(&want, line);
        expect_bytes(a, "a.log", want.data, want.len);
        if (i % 3 == 2) { /* the file changes while nobody looks */
            agent_stop(a);
            remove_in(a, "a.log");
            append(a, "a.log", "between\n");
            buf_append_z(&want, "between\n");
            start(a, "a.log", "");
            expect_bytes(a, "a.log", want.data, want.len);
        }
        remove_in(a, "a.log");
        agent_run(a, i % 2 ? 0 : 700); /* with and without the descriptor still open */
    }
    agent_stop(a);
}

static void copytruncate_recovers_the_rest_from_the_copy(void **state)
{
    struct agent_env *a = *state;
    int64_t recovered = metric_of(M_COPIES_RECOVERED), lost = metric_of(M_BYTES_LOST);
    start(a, "a.log*", "");
    append(a, "a.log", HEAD("first"));
    expect(a, "a.log", HEAD("first"));
    /* unread at the moment of the cut: in the copy only */
    append(a, "a.log", "unread 1\nunread 2\n");
    copy_in(a, "a.log", "a.log.1");
    truncate_in(a, "a.log");
    append(a, "a.log", "new life\n");
    expect(a, "a.log", HEAD("first") "unread 1\nunread 2\nnew life\n");
    expect(a, "a.log.1", ""); /* the copy matches the glob, and is not read as a file of its own */
    assert_int_equal(rise(M_COPIES_RECOVERED, recovered), 1);
    assert_int_equal(rise(M_BYTES_LOST, lost), 0);
    agent_stop(a);
    start(a, "a.log*", "");
    expect(a, "a.log.1", "");
    expect(a, "a.log", HEAD("first") "unread 1\nunread 2\nnew life\n");
    assert_int_equal(metric_of(M_COPIES_SKIPPED), 1);
    agent_stop(a);
}

static void copytruncate_while_the_agent_is_down(void **state)
{
    struct agent_env *a = *state;
    start(a, "a.log*", "");
    append(a, "a.log", HEAD("first"));
    expect(a, "a.log", HEAD("first"));
    agent_stop(a);
    append(a, "a.log", "unread\n");
    copy_in(a, "a.log", "a.log.2");
    truncate_in(a, "a.log");
    append(a, "a.log", HEAD("second"));
    copy_in(a, "a.log", "a.log.1");
    truncate_in(a, "a.log");
    append(a, "a.log", HEAD("third") HEAD("larger than the first ever was"));
    start(a, "a.log*", "");
    agent_run(a, 300);
    agent_collect(a);
    struct buf all CLEANUP(buf_clear) = BUF_INIT(MIB);
    for (size_t i = 0; i < a->n_got; i++)
        buf_append(&all, a->got[i].text.data, a->got[i].text.len);
    buf_append(&all, "", 1);
    assert_string_equal((char *)all.data,
                        HEAD("first") "unread\n" HEAD("second") HEAD("third") HEAD("larger than the first ever was"));
    agent_stop(a);
}

static void a_copy_met_while_it_is_written(void **state)
{
    struct agent_env *a = *state;
    start(a, "*.log", "");
    append(a, "a.log", HEAD("first") "more\n");
    expect(a, "a.log", HEAD("first") "more\n");
    append(a, "b.log", "");
    agent_run(a, 100);
    append(a, "b.log", HEAD("first"));
    expect(a, "b.log", "");
    append(a, "b.log", "more\n");
    truncate_in(a, "a.log");
    append(a, "a.log", "second\n");
    expect(a, "a.log", HEAD("first") "more\nsecond\n");
    expect(a, "b.log", "");
    agent_stop(a);
}

static void a_copy_that_goes_on_is_followed_from_there(void **state)
{
    struct agent_env *a = *state;
    start(a, "*.log", "");
    append(a, "a.log", HEAD("first"));
    expect(a, "a.log", HEAD("first"));
    copy_in(a, "a.log", "b.log");
    expect(a, "b.log", "");
    append(a, "b.log", "more\n");
    expect(a, "b.log", "more\n");
    append(a, "a.log", "other\n");
    expect(a, "a.log", HEAD("first") "other\n");
    expect(a, "b.log", "more\n");
    agent_stop(a);
    copy_in(a, "a.log", "c.log"); /* copied and written to while nobody looked */
    append(a, "c.log", "c's own\n");
    start(a, "*.log", "");
    expect(a, "c.log", "c's own\n");
    agent_stop(a);
}

static void cut_and_written_to_a_larger_size(void **state)
{
    struct agent_env *a = *state;
    start(a, "a.log", "");
    append(a, "a.log", "old 1\nold 2\n");
    expect(a, "a.log", "old 1\nold 2\n");
    truncate_in(a, "a.log");
    append(a, "a.log", HEAD("new and much longer"));
    expect(a, "a.log", "old 1\nold 2\n" HEAD("new and much longer"));
    /* and with the same first bytes, where only the guard before our position tells */
    truncate_in(a, "a.log");
    append(a, "a.log", HEAD("new and much longer") "other\n");
    agent_stop(a);
}

static void same_head_but_other_content(void **state)
{
    struct agent_env *a = *state;
    struct buf head CLEANUP(buf_clear) = BUF_INIT(MIB);
    for (int i = 0; i < 40; i++)
        buf_append_z(&head, "# a banner that every file of this program begins with\n");
    struct buf one CLEANUP(buf_clear) = BUF_INIT(MIB), two CLEANUP(buf_clear) = BUF_INIT(MIB);
    buf_append(&one, head.data, head.len);
    buf_append_z(&one, "life one, line one\n");
    buf_append(&two, head.data, head.len);
    buf_append_z(&two, "life two, line one\nand more\n");
    start(a, "*.log", "");
    append_bytes(a, "a.log", one.data, one.len);
    expect_bytes(a, "a.log", one.data, one.len);
    append_bytes(a, "b.log", two.data, two.len); /* another file, not a copy */
    expect_bytes(a, "b.log", two.data, two.len);
    truncate_in(a, "a.log"); /* cut and longer again, same first kilobyte */
    append_bytes(a, "a.log", two.data, two.len);
    struct buf both CLEANUP(buf_clear) = BUF_INIT(MIB);
    buf_append(&both, one.data, one.len);
    buf_append(&both, two.data, two.len);
    expect_bytes(a, "a.log", both.data, both.len);
    agent_stop(a);
}

static void a_writer_that_keeps_its_offset_leaves_a_hole(void **state)
{
    struct agent_env *a = *state;
    char path[512];
    path_in(a, "a.log", path);
    start(a, "a.log", "");
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644); /* no O_APPEND */
    struct buf first CLEANUP(buf_clear) = BUF_INIT(MIB);
    for (int i = 0; i < 3000; i++)
        buf_printf(&first, "line %d of the first life\n", i);
    assert_int_equal(write(fd, first.data, first.len), first.len);
    expect_bytes(a, "a.log", first.data, first.len);
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(write(fd, "after\n", 6), 6);
    buf_append_z(&first, "after\n");
    expect_bytes(a, "a.log", first.data, first.len);
    close(fd);
    agent_stop(a);
}

static void rotated_while_the_agent_is_down(void **state)
{
    struct agent_env *a = *state;
    start(a, "a.log", "");
    append(a, "a.log", HEAD("first"));
    expect(a, "a.log", HEAD("first"));
    agent_stop(a);
    append(a, "a.log", "tail of first\n");
    rename_in(a, "a.log", "a.log.1");
    append(a, "a.log", HEAD("second"));
    rename_in(a, "a.log.1", "a.log.2");
    rename_in(a, "a.log", "a.log.1");
    append(a, "a.log", "third\n");
    append(a, "a.log-notes", "not a rotated name\n");
    append(a, "a.log.3.gz", "compressed\n");
    start(a, "a.log", "");
    expect(a, "a.log", HEAD("first") "tail of first\n" HEAD("second") "third\n");
    agent_stop(a);
}

/* Lines that are hard to compress. */
static void fill_random(struct buf *out, size_t len)
{
    uint32_t x = 1;
    while (out->len < len) {
        x = x * 1664525 + 1013904223;
        buf_printf(out, "%08x%s", x, out->len % 128 < 8 ? "\n" : "");
    }
    buf_append_z(out, "\n");
}

static void gone_while_the_agent_is_down(void **state)
{
    struct agent_env *a = *state;
    int64_t lost = metric_of(M_BYTES_LOST), gone = metric_of(M_FILES_GONE);
    a->spool_max = BATCH_MAX + 300 * KIB; /* takes a batch or two, then is full */
    struct buf big CLEANUP(buf_clear) = BUF_INIT(16 * MIB);
    fill_random(&big, 4 * MIB);
    append_bytes(a, "a.log", big.data, big.len);
    start(a, "a.log", "");
    agent_run(a, 300);
    assert_true(sink_is_full(&a->sink));
    assert_int_equal(metric_of(M_SPOOL_FULL), 1);
    agent_stop(a);
    remove_in(a, "a.log");
    append(a, "a.log", "fresh\n");
    start(a, "a.log", "");
    agent_collect(a);
    uint64_t read = a->got[0].end;
    assert_true(read > 0 && read < big.len);
    assert_int_equal(rise(M_BYTES_LOST, lost), big.len - read);
    assert_int_equal(rise(M_FILES_GONE, gone), 1);
    agent_run(a, 100);
    agent_collect(a);
    assert_true(str_eq(buf_str(&a->got[1].text), STR("fresh\n")));
    agent_stop(a);
}

static void a_full_spool_makes_sources_wait(void **state)
{
    struct agent_env *a = *state;
    a->spool_max = BATCH_MAX + 300 * KIB;
    struct buf big CLEANUP(buf_clear) = BUF_INIT(16 * MIB);
    fill_random(&big, 4 * MIB);
    append_bytes(a, "a.log", big.data, big.len);
    start(a, "a.log", "");
    agent_run(a, 200);
    assert_true(spool_bytes(a->spool) <= a->spool_max);
    expect_bytes(a, "a.log", big.data, big.len); /* the collector is back, everything comes */
    assert_int_equal(metric_of(M_SPOOL_FULL), 0);
    agent_stop(a);
}

static void a_full_disk_makes_sources_wait(void **state)
{
    struct agent_env *a = *state;
    struct rlimit old, small;
    struct buf big CLEANUP(buf_clear) = BUF_INIT(16 * MIB);
    fill_random(&big, 2 * MIB);
    append_bytes(a, "a.log", big.data, big.len);
    int64_t errors = metric_of(M_SPOOL_WRITE_ERRORS);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = (struct rlimit){100 * KIB, old.rlim_max}; /* writes fail as on a full disk */
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    start(a, "a.log", "");
    agent_run(a, 200);
    agent_run(a, 1200);
    agent_run(a, 50);
    assert_true(a->sink.is_disk_full);
    assert_true(rise(M_SPOOL_WRITE_ERRORS, errors) >= 2); /* it tries again */
    assert_int_equal(metric_of(M_SPOOL_FULL), 1);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    expect_bytes(a, "a.log", big.data, big.len);
    assert_int_equal(metric_of(M_SPOOL_FULL), 0);
    agent_stop(a);
}

static void kill_and_restart_repeat_nothing(void **state)
{
    struct agent_env *a = *state;
    struct buf want CLEANUP(buf_clear) = BUF_INIT(16 * MIB);
    for (int round = 0; round < 20; round++) {
        start(a, "a.log", "");
        for (int i = 0; i < 50; i++) {
            char line[64];
            snprintf(line, sizeof(line), "round %d line %d\n", round, i);
            append(a, "a.log", line);
            buf_append_z(&want, line);
        }
        agent_run(a, round % 4 * 10);
        if (round % 3 == 1)
            agent_collect(a);
        if (round % 5 == 2)
            assert_int_equal(registry_save(a->registry, false), 0);
        agent_kill(a);
    }
    start(a, "a.log", "");
    expect_bytes(a, "a.log", want.data, want.len);
    assert_int_equal(a->n_got, 1);
    agent_stop(a);
}

static void long_lines_are_cut_and_counted(void **state)
{
    struct agent_env *a = *state;
    int64_t cut = metric_of(M_LINES_CUT), bytes = metric_of(M_LINE_BYTES_CUT);
    struct buf want CLEANUP(buf_clear) = BUF_INIT(64 * MIB), in CLEANUP(buf_clear) = BUF_INIT(64 * MIB);
    uint8_t *p;
    const size_t lengths[] = {10, BATCH_LINE_MAX - 1, BATCH_LINE_MAX, 5, 3 * MIB, 300 * KIB, 1, 0, BATCH_LINE_MAX + 7};
    uint64_t too_much = 0;
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) { /* lengths without the newline */
        size_t keep = MIN(lengths[i], BATCH_LINE_MAX - 1);
        too_much += lengths[i] - keep;
        assert_int_equal(buf_reserve(&in, lengths[i] + 1, &p), 0);
        memset(p, 'a' + (int)i, lengths[i]);
        p[lengths[i]] = '\n';
        in.len += lengths[i] + 1;
        buf_append(&want, p, keep);
        buf_append_z(&want, "\n");
    }
    append_bytes(a, "a.log", in.data, in.len);
    start(a, "a.log", "");
    expect_bytes(a, "a.log", want.data, want.len);
    assert_int_equal(a->got[0].end, in.len);
    assert_int_equal(a->got[0].irregular, 4);
    assert_int_equal(rise(M_LINES_CUT, cut), 4);
    assert_int_equal(rise(M_LINE_BYTES_CUT, bytes), too_much);
    agent_stop(a);
}

static void a_growing_endless_line_costs_one_pass(void **state)
{
    struct agent_env *a = *state;
    static char block[MIB];
    memset(block, 'x', sizeof(block));
    start(a, "a.log", "");
    for (int i = 0; i < 24; i++) {
        append_bytes(a, "a.log", block, sizeof(block));
        agent_run(a, 5);
    }
    agent_run(a, 100);
    agent_collect(a);
    assert_int_equal(a->n_got, 0); /* its end has not come */
    append(a, "a.log", "\nnext\n");
    struct buf want CLEANUP(buf_clear) = BUF_INIT(MIB);
    buf_append(&want, block, BATCH_LINE_MAX - 1);
    buf_append_z(&want, "\nnext\n");
    expect_bytes(a, "a.log", want.data, want.len);
    assert_int_equal(a->got[0].end, 24 * MIB + 6);
    agent_stop(a);
}

static void start_at_the_end_the_first_time(void **state)
{
    struct agent_env *a = *state;
    append(a, "a.log", "old\npart");
    start(a, "*.log", "start: end");
    agent_run(a, 50);
    append(a, "a.log", "ial\nnew\n");
    append(a, "b.log", "appeared later: from its beginning\n");
    expect(a, "a.log", "partial\nnew\n");
    expect(a, "b.log", "appeared later: from its beginning\n");
    agent_stop(a);
    append(a, "a.log", "while down\n");
    append(a, "c.log", "c\n");
    start(a, "*.log", "start: end");
    expect(a, "a.log", "partial\nnew\nwhile down\n");
    expect(a, "c.log", "c\n");
    agent_stop(a);
}

static void excluded_compressed_and_too_many(void **state)
{
    struct agent_env *a = *state;
    append(a, "a.log", "a\n");
    append(a, "no.log", "excluded by name\n");
    append(a, "b.log.gz", "compressed\n");
    start(a, "*.log*", "exclude: ['no.*']");
    expect(a, "a.log", "a\n");
    expect(a, "no.log", "");
    expect(a, "b.log.gz", "");
    assert_int_equal(metric_of(M_COMPRESSED_SKIPPED), 1);
    agent_stop(a);
    append(a, "c.log", "c\n");
    append(a, "d.log", "d\n");
    start(a, "*.log", "exclude: ['no.*']\nfiles_max: 2");
    agent_run(a, 100);
    agent_collect(a);
    assert_int_equal(metric_of(M_FILES), 2);
    assert_int_equal(metric_of(M_FILES_OVER_LIMIT), 1);
    agent_stop(a);
}

static void a_damaged_spool_is_read_again_from_the_file(void **state)
{
    struct agent_env *a = *state;
    char path[600];
    struct buf want CLEANUP(buf_clear) = BUF_INIT(MIB);
    start(a, "a.log", "");
    for (int i = 0; i < 10; i++) {
        char line[64];
        snprintf(line, sizeof(line), "batch number %d\n", i);
        append(a, "a.log", line);
        agent_run(a, 30);
        buf_append_z(&want, line);
    }
    agent_stop(a);
    snprintf(path, sizeof(path), "%s/state/spool/0000000000000001.spool", a->dir);
    struct stat st;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    assert_int_equal(pwrite(fd, "damage", 6, st.st_size / 2), 6);
    close(fd);
    start(a, "a.log", "");
    agent_run(a, 200);
    agent_collect(a);
    /* all lines are there exactly once, one of them under another stream */
    struct buf all CLEANUP(buf_clear) = BUF_INIT(MIB);
    assert_int_equal(a->n_got, 2);
    size_t at =
        (size_t)((char *)memmem(want.data, want.len, a->got[1].text.data, a->got[1].text.len) - (char *)want.data);
    assert_int_equal(a->got[1].end, at + a->got[1].text.len);
    buf_append(&all, a->got[0].text.data, at);
    buf_append(&all, a->got[1].text.data, a->got[1].text.len);
    buf_append(&all, a->got[0].text.data + at, a->got[0].text.len - at);
    assert_int_equal(all.len, want.len);
    assert_memory_equal(all.data, want.data, want.len);
    a->gaps = 0;
    agent_stop(a);
    start(a, "a.log", "");
    append(a, "a.log", "more\n");
    agent_run(a, 100);
    agent_collect(a);
    assert_int_equal(a->n_got, 2);
    agent_stop(a);
}

static void a_damaged_positions_file_falls_back_to_the_one_before(void **state)
{
    struct agent_env *a = *state;
    char path[512];
    start(a, "a.log", "");
    append(a, "a.log", "1\n");
    expect(a, "a.log", "1\n");
    assert_int_equal(registry_save(a->registry, false), 0);
    agent_stop(a);
    path_in(a, "state/positions", path);
    assert_int_equal(truncate(path, 60), 0);
    append(a, "a.log", "2\n");
    start(a, "a.log", "");
    expect(a, "a.log", "1\n2\n");
    assert_int_equal(a->n_got, 1);
    agent_stop(a);
}

static void thousands_of_lines_in_many_files_through_rotations(void **state)
{
    struct agent_env *a = *state;
    enum { FILES = 20, ROUNDS = 12 };
    static struct buf want[FILES];
    start(a, "f*.log", "");
    for (int f = 0; f < FILES; f++)
        want[f] = BUF_INIT(16 * MIB);
    for (int round = 0; round < ROUNDS; round++) {
        for (int f = 0; f < FILES; f++) {
            char name[32], old[32], line[200];
            snprintf(name, sizeof(name), "f%d.log", f);
            snprintf(old, sizeof(old), "f%d.log.%d", f, round);
            for (int i = 0; i < 200; i++) {
                snprintf(line, sizeof(line), "file %d round %d line %d %.*s\n", f, round, i, i % 90,
                         "..........................................................................................");
                append(a, name, line);
                buf_append_z(&want[f], line);
            }
            if ((f + round) % 4 == 0)
                rename_in(a, name, old);
        }
        agent_run(a, 20);
        if (round % 5 == 4) {
            agent_kill(a);
            start(a, "f*.log", "");
        }
    }
    for (int f = 0; f < FILES; f++) {
        char name[32];
        snprintf(name, sizeof(name), "f%d.log", f);
        expect_bytes(a, name, want[f].data, want[f].len);
        buf_clear(&want[f]);
    }
    agent_stop(a);
}

static void rotation_names(void **state)
{
    (void)state;
    assert_true(path_looks_rotated("app.log.1", "app.log"));
    assert_true(path_looks_rotated("app.log-20261123", "app.log"));
    assert_true(path_looks_rotated("app.log.2026-11-23_10:00", "app.log"));
    assert_true(path_looks_rotated("app.log.old", "app.log"));
    assert_false(path_looks_rotated("app.log.1.gz", "app.log"));
    assert_false(path_looks_rotated("app.log.err", "app.log"));
    assert_false(path_looks_rotated("app.log", "app.log"));
    assert_false(path_looks_rotated("app.log2", "app.log"));
    assert_false(path_looks_rotated("other.1", "app.log"));
}

#define T(f) cmocka_unit_test_setup_teardown(f, agent_setup, agent_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(follows_what_is_there_and_what_comes),
        T(empty_lines_and_any_byte_pass_unchanged),
        T(a_partial_line_waits),
        T(rename_rotation_keeps_order_and_late_lines),
        T(rotated_names_that_match_too_are_not_read_twice),
        T(an_unfinished_last_line_of_a_rotated_file),
        T(rotated_twice_between_two_looks),
        T(cut_twice_between_two_looks),
        T(killed_again_and_again_while_catching_up),
        T(removed_with_unread_data),
        T(inode_reuse),
        T(copytruncate_recovers_the_rest_from_the_copy),
        T(copytruncate_while_the_agent_is_down),
        T(a_copy_met_while_it_is_written),
        T(a_copy_that_goes_on_is_followed_from_there),
        T(cut_and_written_to_a_larger_size),
        T(same_head_but_other_content),
        T(a_writer_that_keeps_its_offset_leaves_a_hole),
        T(rotated_while_the_agent_is_down),
        T(gone_while_the_agent_is_down),
        T(a_full_spool_makes_sources_wait),
        T(a_full_disk_makes_sources_wait),
        T(kill_and_restart_repeat_nothing),
        T(long_lines_are_cut_and_counted),
        T(a_growing_endless_line_costs_one_pass),
        T(start_at_the_end_the_first_time),
        T(excluded_compressed_and_too_many),
        T(a_damaged_spool_is_read_again_from_the_file),
        T(a_damaged_positions_file_falls_back_to_the_one_before),
        T(thousands_of_lines_in_many_files_through_rotations),
        cmocka_unit_test(rotation_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
