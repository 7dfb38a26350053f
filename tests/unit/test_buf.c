/* SPDX-License-Identifier: Apache-2.0
 *
 * Buffers: limits, whole-or-nothing appends, JSON strings of any bytes.
 */
#include "common/buf.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <errno.h>

#define assert_buf(b, z) assert_true(str_eq(buf_str(b), str_of(z)))

static void test_append_and_limit(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(10);
    assert_int_equal(buf_append(&b, NULL, 0), 0);
    assert_int_equal(buf_append_z(&b, "12345678"), 0);
    assert_int_equal(buf_append_z(&b, "abc"), -ENOBUFS);
    assert_buf(&b, "12345678");
    assert_int_equal(buf_append_str(&b, STR("90")), 0);
    assert_int_equal(buf_append_u16(&b, 1), -ENOBUFS);
    assert_true(b.cap <= 10);
    const char *z;
    assert_int_equal(buf_z(&b, &z), 0); /* full, and still terminated */
    assert_string_equal(z, "1234567890");
    buf_consume(&b, 4);
    assert_buf(&b, "567890");
    buf_consume(&b, 100);
    assert_int_equal(b.len, 0);
    buf_clear(&b);
    assert_int_equal(b.max, 10);
    assert_int_equal(buf_z(&b, &z), 0);
    assert_string_equal(z, "");
    buf_clear(&b);
}

static void test_reserve(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(1000);
    uint8_t *tail;
    assert_int_equal(buf_reserve(&b, 1001, &tail), -ENOBUFS);
    assert_int_equal(buf_reserve(&b, SIZE_MAX, &tail), -ENOBUFS);
    assert_int_equal(buf_reserve(&b, 1000, &tail), 0);
    memset(tail, 'x', 1000);
    b.len = 1000;
    assert_int_equal(buf_reserve(&b, 0, &tail), 0);
    assert_int_equal(buf_reserve(&b, 1, &tail), -ENOBUFS);
    buf_clear(&b);
}

static void test_integers(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(100);
    assert_int_equal(buf_append_u16(&b, 0x0201), 0);
    assert_int_equal(buf_append_u32(&b, 0x06050403), 0);
    assert_int_equal(buf_append_u64(&b, UINT64_C(0x0E0D0C0B0A090807)), 0);
    for (uint8_t i = 0; i < 14; i++)
        assert_int_equal(b.data[i], i + 1);
    buf_clear(&b);
}

static void test_printf(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(400);
    assert_int_equal(buf_printf(&b, "%s-%d", "a", 5), 0);
    assert_buf(&b, "a-5");
    assert_int_equal(buf_printf(&b, "%300d", 7), 0);
    assert_int_equal(b.len, 303);
    assert_int_equal(buf_printf(&b, "%300d", 7), -ENOBUFS);
    assert_int_equal(b.len, 303);
    assert_int_equal(buf_printf(&b, "%97d", 7), 0); /* exactly full */
    assert_int_equal(b.len, 400);
    buf_clear(&b);
}

static void test_json(void **state)
{
    (void)state;
    static const struct {
        struct str in;
        const char *out;
    } rows[] = {
        {{NULL, 0}, "\"\""},
        {{"a\"b\\c/", 6}, "\"a\\\"b\\\\c/\""},
        {{"\n\r\t\0\x1F\x7F", 6}, "\"\\n\\r\\t\\u0000\\u001f\x7F\""},
        {{"V\xE1\xBB\x8Dng", 6}, "\"V\xE1\xBB\x8Dng\""},
        {{"\xFF"
          "a\xC3",
          3},
         "\"\xEF\xBF\xBD"
         "a\xEF\xBF\xBD\""},
        {{"\xED\xA0\x80", 3}, "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""},
    };
    struct buf b = BUF_INIT(100);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        buf_reset(&b);
        assert_int_equal(buf_append_json(&b, rows[i].in), 0);
        assert_buf(&b, rows[i].out);
    }
    buf_clear(&b);
    struct buf small = BUF_INIT(5);
    assert_int_equal(buf_append_z(&small, "x"), 0);
    assert_int_equal(buf_append_json(&small, STR("abc")), -ENOBUFS);
    assert_buf(&small, "x");
    buf_clear(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_append_and_limit), cmocka_unit_test(test_reserve), cmocka_unit_test(test_integers),
        cmocka_unit_test(test_printf),           cmocka_unit_test(test_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
