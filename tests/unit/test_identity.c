/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/identity.h"

#include "common/buf.h"
#include "common/file.h"
#include "tests/unit/test.h"

#include <fcntl.h>

static int file_with(void **state, const char *name, const void *p, size_t len)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", (char *)*state, name);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, p, len), len);
    return fd;
}

static uint8_t content[8192];

static void fill(void)
{
    for (size_t i = 0; i < sizeof(content); i++)
        content[i] = (uint8_t)(i * 31 + i / 251);
}

static struct identity identity_of(int fd, uint64_t size, uint64_t pos)
{
    struct identity id = {.dev = 1, .ino = 2};
    struct guard g;
    assert_int_equal(fingerprint_make(fd, size, &id.fp), 0);
    assert_int_equal(guard_make(fd, pos, &g), 0);
    identity_advance(&id, &g, 0);
    return id;
}

static void fingerprints_grow_with_the_file(void **state)
{
    fill();
    struct fingerprint fp, whole;
    int fd = file_with(state, "a", content, 10);
    assert_int_equal(fingerprint_make(fd, 10, &fp), 0);
    assert_int_equal(fp.len, 10);
    assert_int_equal(fingerprint_make(fd, 11, &whole), -EIO);
    assert_int_equal(fingerprint_extend(&fp, fd, 10), 0);
    assert_int_equal(pwrite(fd, content + 10, 5000, 10), 5000);
    assert_true(fingerprint_matches(&fp, fd, 5010));
    assert_int_equal(fingerprint_extend(&fp, fd, 5010), 1);
    assert_int_equal(fp.len, FINGERPRINT_MAX);
    assert_int_equal(fingerprint_make(fd, 5010, &whole), 0);
    assert_memory_equal(&fp, &whole, sizeof(fp));
    assert_int_equal(fingerprint_extend(&fp, fd, 5010), 0);
    assert_false(fingerprint_matches(&fp, fd, 1000));
    assert_int_equal(pwrite(fd, "x", 1, 1023), 1);
    assert_int_equal(fingerprint_extend(&fp, fd, 5010), -ESTALE);
    assert_false(fingerprint_matches(&fp, fd, 5010));
    close(fd);
}

static void the_guard_sees_what_the_fingerprint_cannot(void **state)
{
    fill();
    int fd = file_with(state, "a", content, 8000);
    struct identity id = identity_of(fd, 8000, 6000);
    assert_true(identity_is_same(&id, fd, 8000));
    assert_true(identity_is_continued(&id, fd, 8000, 6000));
    assert_false(identity_is_continued(&id, fd, 8000, 8001));
    assert_false(identity_is_same(&id, fd, 5999)); /* cut */
    assert_int_equal(pwrite(fd, "changed", 7, 5990), 7);
    assert_false(identity_is_same(&id, fd, 8000));
    close(fd);
}

static void copies_are_told_by_content(void **state)
{
    fill();
    int fd = file_with(state, "a", content, 8000);
    struct identity id = identity_of(fd, 8000, 6000);
    struct guard g;
    uint64_t known;
    int copy = file_with(state, "b", content, 7000);
    assert_int_equal(identity_is_copy(&id, copy, 7000, &known), COPY_YES);
    assert_int_equal(known, 6000);
    int shorter = file_with(state, "c", content, 5000); /* still being written? */
    assert_int_equal(identity_is_copy(&id, shorter, 5000, &known), COPY_MAYBE);
    int other = file_with(state, "d", content, 2000); /* the same head, other lines */
    assert_int_equal(pwrite(other, content, 5000, 2000), 5000);
    assert_int_equal(identity_is_copy(&id, other, 7000, &known), COPY_NO);
    /* a copy that ends between two positions */
    assert_int_equal(guard_make(fd, 7500, &g), 0);
    identity_advance(&id, &g, GUARD_AGE_NS);
    assert_int_equal(identity_is_copy(&id, copy, 7000, &known), COPY_YES);
    assert_int_equal(identity_is_copy(&id, other, 7000, &known), COPY_NO);
    struct identity small = identity_of(fd, 255, 255);
    assert_int_equal(identity_is_copy(&small, copy, 7000, &known), COPY_NO); /* too little to go by */
    close(fd);
    close(copy);
    close(shorter);
    close(other);
}

static void older_guards_are_really_older(void **state)
{
    (void)state;
    struct identity id = {0};
    for (uint64_t i = 1; i <= 100; i++) {
        struct guard g = {.pos = i};
        identity_advance(&id, &g, (int64_t)i * 100 * NS_PER_MS);
        assert_int_equal(id.guards[0].pos, i);
        if (i > 60)
            assert_in_range(i - id.guards[2].pos, 20, 41); /* 2 to 4 s at one a 100 ms */
    }
}

#define T(f) cmocka_unit_test_setup_teardown(f, tmp_dir_setup, tmp_dir_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(fingerprints_grow_with_the_file),
        T(the_guard_sees_what_the_fingerprint_cannot),
        T(copies_are_told_by_content),
        cmocka_unit_test(older_guards_are_really_older),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
