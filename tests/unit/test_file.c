/* SPDX-License-Identifier: Apache-2.0
 *
 * Files: bounded reads, atomic writes, folders, and the order of a walk.
 */
#include "common/file.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>

static int setup(void **state)
{
    char *dir = strdup("/tmp/vonggac-test-file-XXXXXX");
    if (!dir || !mkdtemp(dir) || chdir(dir) < 0)
        return -1;
    *state = dir;
    return 0;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int teardown(void **state)
{
    int r = chdir("/") < 0 || nftw(*state, remove_entry, 16, FTW_DEPTH | FTW_PHYS) < 0;
    free(*state);
    return r;
}

static void test_read(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(10);
    assert_int_equal(file_read("none", &b), -ENOENT);
    assert_int_equal(file_read(".", &b), -EISDIR);
    assert_int_equal(file_write_atomic("ten", STR("0123456789"), 0644), 0);
    assert_int_equal(file_read("ten", &b), 0); /* exactly the limit */
    assert_true(str_eq(buf_str(&b), STR("0123456789")));
    buf_reset(&b);
    assert_int_equal(buf_append_z(&b, "x"), 0);
    assert_int_equal(file_read("ten", &b), -E2BIG);
    assert_true(str_eq(buf_str(&b), STR("x")));
    buf_clear(&b);

    struct buf big = BUF_INIT(MIB), back = BUF_INIT(MIB);
    for (int i = 0; i < 50000; i++)
        buf_printf(&big, "%d\n", i);
    assert_int_equal(file_write_atomic("big", buf_str(&big), 0600), 0);
    assert_int_equal(file_read("big", &back), 0);
    assert_true(str_eq(buf_str(&big), buf_str(&back)));
    buf_clear(&big);
    buf_clear(&back);
}

static unsigned mode_of(const char *path)
{
    struct stat st;
    return stat(path, &st) < 0 ? 0 : st.st_mode & 07777;
}

static void test_write(void **state)
{
    (void)state;
    mode_t old = umask(077);
    assert_int_equal(file_write_atomic("f", STR("one"), 0644), 0);
    umask(0);
    assert_int_equal(mode_of("f"), 0644);
    assert_int_equal(file_write_atomic("f", STR("two"), 0600), 0);
    umask(old);
    assert_int_equal(mode_of("f"), 0600);
    struct buf b = BUF_INIT(10);
    assert_int_equal(file_read("f", &b), 0);
    assert_true(str_eq(buf_str(&b), STR("two")));
    buf_clear(&b);
    assert_int_equal(access("f.tmp", F_OK), -1);
    assert_int_equal(file_write_atomic("none/f", STR("x"), 0600), -ENOENT);

    assert_int_equal(symlink("f", "g.tmp"), 0); /* a planted link is replaced, not written through */
    assert_int_equal(file_write_atomic("g", STR("three"), 0600), 0);
    assert_int_equal(file_read("f", &b), 0);
    assert_true(str_eq(buf_str(&b), STR("two")));
    buf_clear(&b);
    struct stat st;
    assert_int_equal(lstat("g", &st), 0);
    assert_true(S_ISREG(st.st_mode));
}

static void test_mkdirs(void **state)
{
    (void)state;
    assert_int_equal(file_mkdirs("a/b//c/", 0700), 0);
    assert_int_equal(mode_of("a/b/c"), 0700);
    assert_int_equal(mode_of("a"), 0700);
    assert_int_equal(file_mkdirs("a/b/c", 0755), 0);
    assert_int_equal(file_write_atomic("a/f", STR(""), 0600), 0);
    assert_int_equal(file_mkdirs("a/f", 0700), -ENOTDIR);
    assert_int_equal(file_mkdirs("a/f/g", 0700), -ENOTDIR);
    assert_int_equal(file_mkdirs("/", 0700), 0);
}

struct seen {
    char text[1000];
    int stop_after;
};

static int on_file(const char *path, void *ctx)
{
    struct seen *seen = ctx;
    size_t len = strlen(seen->text);
    snprintf(seen->text + len, sizeof(seen->text) - len, "%s ", path);
    return --seen->stop_after == 0 ? 7 : 0;
}

static void test_walk(void **state)
{
    (void)state;
    assert_int_equal(file_mkdirs("w/b/deep", 0700), 0);
    static const char *const files[] = {"w/b.yml", "w/b/z.yml", "w/b/deep/a.yml", "w/a.yml",
                                        "w/a.txt", "w/.a.yml",  "w/b-c.yml"};
    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        assert_int_equal(file_write_atomic(files[i], STR("x"), 0600), 0);
    assert_int_equal(symlink("..", "w/b/loop"), 0);
    assert_int_equal(symlink("../a.yml", "w/b/link.yml"), 0);
    assert_int_equal(symlink("nowhere", "w/b/broken.yml"), 0);
    assert_int_equal(mkfifo("w/pipe.yml", 0600), 0);

    struct seen seen = {0};
    assert_int_equal(file_walk("w", ".yml", on_file, &seen), 0);
    assert_string_equal(seen.text, "w/a.yml w/b-c.yml w/b.yml w/b/deep/a.yml w/b/link.yml w/b/z.yml ");
    seen = (struct seen){.stop_after = 2};
    assert_int_equal(file_walk("w/", ".yml", on_file, &seen), 7);
    assert_string_equal(seen.text, "w/a.yml w/b-c.yml ");
    seen = (struct seen){0};
    assert_int_equal(file_walk("w/a.txt", ".yml", on_file, &seen), 0);
    assert_string_equal(seen.text, "w/a.txt ");
    assert_int_equal(file_walk("none", ".yml", on_file, &seen), -ENOENT);
    assert_int_equal(file_mkdirs("d/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16", 0700), 0);
    assert_int_equal(file_walk("d", ".yml", on_file, &seen), 0);
    assert_int_equal(file_mkdirs("d/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17", 0700), 0);
    assert_int_equal(file_walk("d", ".yml", on_file, &seen), -ELOOP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_write, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mkdirs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_walk, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
