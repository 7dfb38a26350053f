/* SPDX-License-Identifier: Apache-2.0
 *
 * Arenas: alignment, zeroing, the limit, reuse after reset.
 */
#include "common/arena.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <errno.h>

static void test_alloc(void **state)
{
    (void)state;
    struct arena *a = arena_new(64 * MIB);
    assert_non_null(a);
    for (size_t i = 0; i < 5000; i++) {
        uint8_t *p = arena_alloc(a, i % 300);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 16, 0);
        for (size_t k = 0; k < i % 300; k++)
            assert_int_equal(p[k], 0);
        memset(p, 0xEE, i % 300);
    }
    assert_true(arena_used(a) >= 5000 * 149);
    uint8_t *big = arena_alloc(a, 5 * MIB);
    assert_non_null(big);
    big[5 * MIB - 1] = 1;
    arena_reset(a);
    assert_int_equal(arena_used(a), 0);
    uint8_t *again = arena_alloc(a, 5 * MIB); /* reused, and zeroed again */
    assert_ptr_equal(again, big);
    assert_int_equal(again[5 * MIB - 1], 0);
    assert_null(arena_free(a));
    assert_null(arena_free(NULL));
}

static void test_limit(void **state)
{
    (void)state;
    struct arena *a = arena_new(10000);
    assert_null(arena_alloc(a, 10001));
    assert_null(arena_alloc(a, SIZE_MAX));
    assert_null(arena_array(a, SIZE_MAX / 2, 4));
    assert_non_null(arena_alloc(a, 10000));
    assert_null(arena_alloc(a, 1));
    struct str s;
    assert_int_equal(arena_str(a, STR("x"), &s), -ENOMEM);
    arena_reset(a);
    size_t got = 0;
    while (arena_alloc(a, 100))
        got++;
    assert_in_range(got, 80, 10000 / 112);
    arena_free(a);

    struct arena *none = arena_new(0);
    assert_null(arena_alloc(none, 1));
    arena_reset(none);
    arena_free(none);
}

static void test_strings(void **state)
{
    (void)state;
    struct arena *a = arena_new(MIB);
    struct str s;
    assert_int_equal(arena_str(a, STR("a\0b"), &s), 0);
    assert_int_equal(s.len, 3);
    assert_memory_equal(s.p, "a\0b\0", 4);
    assert_int_equal(arena_str(a, (struct str){NULL, 0}, &s), 0);
    assert_int_equal(s.len, 0);
    assert_string_equal(s.p, "");
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alloc),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_strings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
