/* SPDX-License-Identifier: Apache-2.0
 *
 * Slices, globs, checked numbers, and the diagnostics built on them.
 */
#include "common/base.h"
#include "common/diag.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>

static void test_slices(void **state)
{
    (void)state;
    struct str none = {NULL, 0};
    assert_true(str_eq(none, STR("")));
    assert_false(str_eq(STR("a"), STR("b")));
    assert_true(str_eq_nocase(STR("SshD"), STR("sSHd")));
    assert_false(str_eq_nocase(STR("[a"), STR("{a"))); /* 0x20 apart, but not letters */
    assert_true(str_starts(STR("abc"), STR("ab")));
    assert_true(str_starts(none, none));
    assert_false(str_starts(STR("a"), STR("ab")));
    assert_true(str_ends(STR("a.yml"), STR(".yml")));
    assert_false(str_ends(STR("yml"), STR(".yml")));
    assert_true(str_ends(none, none));
    assert_true(str_eq(str_trim(STR(" \t\r\na b\v\f ")), STR("a b")));
    assert_int_equal(str_trim(STR("   ")).len, 0);
    assert_int_equal(str_trim(none).len, 0);
    assert_int_equal(str_of(NULL).len, 0);
}

static void test_glob(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *s;
        bool is_match;
    } rows[] = {
        {"", "", true},          {"", "a", false},         {"*", "", true},          {"*", "a/b", true},
        {"a*", "abc", true},     {"*c", "abc", true},      {"a*c", "abd", false},    {"a?c", "abc", true},
        {"?", "", false},        {"a?", "a", false},       {"**a**", "xxa", true},   {"*ab*ab", "abab", true},
        {"*.log", ".log", true}, {"*.log", "a.lo", false}, {"a*b*c", "aXbX", false}, {"a*b*c", "abbcbc", true},
        {"*a?b", "aaab", true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (str_glob(str_of(rows[i].pattern), str_of(rows[i].s)) != rows[i].is_match)
            fail_msg("%s on %s", rows[i].pattern, rows[i].s);
    }
    char pattern[201], s[2001]; /* exponential for a matcher that backtracks into every star */
    for (size_t i = 0; i < 200; i++)
        pattern[i] = i % 2 ? 'a' : '*';
    pattern[200] = 'b';
    memset(s, 'a', sizeof(s));
    assert_false(str_glob((struct str){pattern, sizeof(pattern)}, (struct str){s, sizeof(s)}));
}

static void test_utf8(void **state)
{
    (void)state;
    assert_int_equal(utf8_char_len(STR("")), 0);
    assert_int_equal(utf8_char_len(STR("a")), 1);
    assert_int_equal(utf8_char_len(STR("\xC3\xA9")), 2);
    assert_int_equal(utf8_char_len(STR("\xE1\xBB\x8D")), 3);
    assert_int_equal(utf8_char_len(STR("\xF0\x9F\x98\x80")), 4);
    assert_int_equal(utf8_char_len(STR("\xC0\x80")), 0);         /* overlong */
    assert_int_equal(utf8_char_len(STR("\xE0\x9F\xBF")), 0);     /* overlong */
    assert_int_equal(utf8_char_len(STR("\xED\xA0\x80")), 0);     /* surrogate */
    assert_int_equal(utf8_char_len(STR("\xF4\x90\x80\x80")), 0); /* over U+10FFFF */
    assert_int_equal(utf8_char_len(STR("\xE1\xBB")), 0);         /* cut */
    assert_int_equal(utf8_char_len(STR("\x80")), 0);
}

static void test_numbers(void **state)
{
    (void)state;
    int64_t i;
    uint64_t u;
    assert_int_equal(parse_i64(STR("-9223372036854775808"), INT64_MIN, INT64_MAX, &i), 0);
    assert_true(i == INT64_MIN);
    assert_int_equal(parse_i64(STR("9223372036854775808"), INT64_MIN, INT64_MAX, &i), -ERANGE);
    assert_int_equal(parse_i64(STR("-9223372036854775809"), INT64_MIN, INT64_MAX, &i), -ERANGE);
    assert_int_equal(parse_u64(STR("18446744073709551615"), 0, UINT64_MAX, &u), 0);
    assert_true(u == UINT64_MAX);
    assert_int_equal(parse_u64(STR("18446744073709551616"), 0, UINT64_MAX, &u), -ERANGE);
    assert_int_equal(parse_u64(STR("65536"), 0, 65535, &u), -ERANGE);
    assert_int_equal(parse_i64(STR("-1"), 0, 10, &i), -ERANGE);
    static const char *const bad[] = {"", "-", "+1", " 1", "1 ", "0x1", "1.0", "--1", "99999999999999999999x"};
    for (size_t n = 0; n < ARRAY_LEN(bad); n++)
        assert_int_equal(parse_i64(str_of(bad[n]), INT64_MIN, INT64_MAX, &i), -EINVAL);
    assert_int_equal(parse_u64(STR("-1"), 0, UINT64_MAX, &u), -EINVAL);
}

static void test_units(void **state)
{
    (void)state;
    uint64_t u;
    int64_t d;
    assert_int_equal(parse_size(STR("64KiB"), &u), 0);
    assert_true(u == 65536);
    assert_int_equal(parse_size(STR("10MB"), &u), 0);
    assert_true(u == 10000000);
    assert_int_equal(parse_size(STR("3"), &u), 0);
    assert_true(u == 3);
    assert_int_equal(parse_size(STR("16777216TiB"), &u), -ERANGE);
    assert_int_equal(parse_size(STR("5 MB"), &u), -EINVAL);
    assert_int_equal(parse_size(STR("KiB"), &u), -EINVAL);
    assert_int_equal(parse_size((struct str){NULL, 0}, &u), -EINVAL);
    assert_int_equal(parse_duration(STR("250ms"), &d), 0);
    assert_true(d == 250 * NS_PER_MS);
    assert_int_equal(parse_duration(STR("90d"), &d), 0);
    assert_true(d == 90 * 86400 * NS_PER_S);
    assert_int_equal(parse_duration(STR("0"), &d), 0);
    assert_true(d == 0);
    assert_int_equal(parse_duration(STR("5"), &d), -EINVAL);
    assert_int_equal(parse_duration(STR("-5s"), &d), -EINVAL);
    assert_int_equal(parse_duration(STR("1h30m"), &d), -EINVAL);
    assert_int_equal(parse_duration(STR("106752d"), &d), -ERANGE);
}

static void test_little_endian(void **state)
{
    (void)state;
    uint8_t bytes[9];
    put_u64(bytes + 1, UINT64_C(0xF102030405060708));
    assert_int_equal(bytes[1], 8);
    assert_int_equal(bytes[8], 0xF1);
    assert_true(get_u64(bytes + 1) == UINT64_C(0xF102030405060708));
    assert_int_equal(get_u16(bytes + 1), 0x0708);
}

static void test_diag(void **state)
{
    (void)state;
    struct diag d;
    assert_int_equal(diag_set(NULL, -EINVAL, "x"), -EINVAL);
    assert_int_equal(diag_at(&d, -E2BIG, 3, 7, "key %d", 5), -E2BIG);
    assert_string_equal(d.msg, "key 5");
    assert_int_equal(d.line, 3);
    assert_int_equal(d.col, 7);
    diag_set(&d, 0, "rule: %s", d.msg); /* built from itself */
    assert_string_equal(d.msg, "rule: key 5");
    assert_int_equal(d.line, 0);

    char text[300]; /* two-byte characters: 255 bytes fit, so the last one would be cut in half */
    for (size_t i = 0; i + 2 < sizeof(text); i += 2) {
        text[i] = '\xC3';
        text[i + 1] = '\xA9';
    }
    text[298] = '\0';
    diag_set(&d, 0, "%s", text);
    assert_int_equal(strlen(d.msg), 254);
}

static void test_diags_are_bounded(void **state)
{
    (void)state;
    struct diags ds;
    struct diag d;
    diags_init(&ds, 20);
    diags_add(NULL, "f", false, &d);
    for (int i = 0; i < 30; i++) {
        diag_at(&d, 0, i, 1, "problem %d", i);
        diags_add(&ds, "a.yml", i < 25, &d);
    }
    assert_int_equal(ds.n, 20);
    assert_int_equal(ds.warnings, 25);
    assert_int_equal(ds.errors, 5);
    assert_int_equal(ds.dropped, 10);
    assert_string_equal(ds.entries[19].diag.msg, "problem 19");
    assert_string_equal(ds.entries[19].file, "a.yml");
    diags_clear(&ds);
    assert_int_equal(ds.n, 0);
    assert_int_equal(ds.max, 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slices), cmocka_unit_test(test_glob),
        cmocka_unit_test(test_utf8),   cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_units),  cmocka_unit_test(test_little_endian),
        cmocka_unit_test(test_diag),   cmocka_unit_test(test_diags_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
