/* SPDX-License-Identifier: Apache-2.0
 *
 * Files read ahead come in order, whole, with what is wrong with each; and one may stop in the middle.
 */
#include "collector/yaml_ahead.h"

#include "common/file.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>

#define FILES 300

static char folder[] = "/tmp/vonggac-ahead-XXXXXX";
static char *paths[FILES];

static int setup(void **state)
{
    (void)state;
    char text[64];
    if (!mkdtemp(folder))
        return -1;
    for (int i = 0; i < FILES; i++) {
        if (asprintf(&paths[i], "%s/%03d.yml", folder, i) < 0)
            return -1;
        snprintf(text, sizeof(text), i % 7 == 3 ? "a: [\n" : "n: %d\n---\nm: %d\n", i, i);
        if (i % 11 != 5 && file_write_atomic(paths[i], str_of(text), 0644) < 0)
            return -1;
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < FILES; i++) {
        unlink(paths[i]);
        free(paths[i]);
    }
    return rmdir(folder);
}

static void check_file(const struct yaml_file *f, int i)
{
    int64_t n;
    assert_ptr_equal(f->path, paths[i]);
    assert_int_equal(f->read_err, i % 11 == 5 ? -ENOENT : 0);
    if (f->read_err < 0)
        return;
    assert_int_equal(f->err, i % 7 == 3 ? -EINVAL : 0);
    if (f->err < 0) {
        assert_true(f->diag.line > 0);
        return;
    }
    assert_int_equal(f->n, 2);
    assert_int_equal(yaml_int(yaml_get(f->docs[0], "n"), 0, FILES, &n, NULL), 0);
    assert_int_equal(n, i);
}

/* With a thread and, few as they are, without; taking some arenas. */
static void test_in_order(void **state)
{
    (void)state;
    static const size_t counts[] = {0, 1, 5, 15, 16, 17, 31, 32, 33, FILES};
    for (size_t c = 0; c < ARRAY_LEN(counts); c++) {
        struct yaml_ahead *a = yaml_ahead_new(paths, counts[c]);
        struct yaml_file *f;
        size_t n = 0;
        assert_non_null(a);
        while ((f = yaml_ahead_next(a))) {
            check_file(f, (int)n++);
            if (n % 5 == 0)
                f->arena = arena_free(f->arena);
        }
        assert_int_equal(n, counts[c]);
        assert_null(yaml_ahead_next(a));
        yaml_ahead_free(a);
    }
}

static void test_stop_in_the_middle(void **state)
{
    (void)state;
    for (int stop = 0; stop < 60; stop += 7) {
        struct yaml_ahead *a = yaml_ahead_new(paths, FILES);
        for (int i = 0; i < stop; i++)
            check_file(yaml_ahead_next(a), i);
        assert_null(yaml_ahead_free(a));
    }
    yaml_ahead_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in_order),
        cmocka_unit_test(test_stop_in_the_middle),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
