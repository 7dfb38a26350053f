/* SPDX-License-Identifier: Apache-2.0
 *
 * Calendars and the three time formats. Expected values were computed independently (`date -u -d ... +%s`).
 */
#include "common/time.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <errno.h>
#include <time.h>

static void test_calendar(void **state)
{
    (void)state;
    static const struct {
        struct civil c;
        int64_t s;
    } rows[] = {
        {{1970, 1, 1, 0, 0, 0}, 0},
        {{1969, 12, 31, 23, 59, 59}, -1},
        {{2000, 2, 29, 12, 0, 0}, 951825600},
        {{2026, 11, 23, 16, 29, 0}, 1795451340},
        {{1900, 3, 1, 0, 0, 0}, -2203891200},
        {{0, 1, 1, 0, 0, 0}, INT64_C(-62167219200)},
        {{9999, 12, 31, 23, 59, 59}, INT64_C(253402300799)},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_true(civil_to_unix_s(&rows[i].c) == rows[i].s);
        struct civil c;
        civil_from_unix_s(rows[i].s, &c);
        assert_memory_equal(&c, &rows[i].c, sizeof(c));
    }
}

static void test_calendar_against_libc(void **state)
{
    (void)state;
    for (int64_t s = INT64_C(-9000000000); s < INT64_C(9000000000); s += 8641237) {
        struct civil c;
        civil_from_unix_s(s, &c);
        time_t t = (time_t)s;
        struct tm tm;
        gmtime_r(&t, &tm);
        assert_int_equal(c.year, tm.tm_year + 1900);
        assert_int_equal(c.month, tm.tm_mon + 1);
        assert_int_equal(c.day, tm.tm_mday);
        assert_int_equal(c.hour * 3600 + c.minute * 60 + c.second, tm.tm_hour * 3600 + tm.tm_min * 60 + tm.tm_sec);
        assert_true(civil_to_unix_s(&c) == s);
        assert_true(civil_is_valid(&c));
    }
}

static void test_valid(void **state)
{
    (void)state;
    assert_true(civil_is_valid(&(struct civil){2024, 2, 29, 0, 0, 0}));
    assert_true(civil_is_valid(&(struct civil){2016, 12, 31, 23, 59, 60}));
    assert_false(civil_is_valid(&(struct civil){2023, 2, 29, 0, 0, 0}));
    assert_false(civil_is_valid(&(struct civil){2100, 2, 29, 0, 0, 0}));
    assert_false(civil_is_valid(&(struct civil){2024, 4, 31, 0, 0, 0}));
    assert_false(civil_is_valid(&(struct civil){2024, 0, 1, 0, 0, 0}));
    assert_false(civil_is_valid(&(struct civil){2024, 13, 1, 0, 0, 0}));
    assert_false(civil_is_valid(&(struct civil){2024, 1, 0, 0, 0, 0}));
    assert_false(civil_is_valid(&(struct civil){2024, 1, 1, 24, 0, 0}));
    assert_false(civil_is_valid(&(struct civil){2024, 1, 1, 0, 60, 0}));
    assert_false(civil_is_valid(&(struct civil){2024, 1, 1, 0, 0, 61}));
}

#define BASE INT64_C(1795451340) /* 2026-11-23T16:29:00Z */

static void test_rfc3339(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ts_ns;
        bool has_zone;
        size_t rest; /* what is left unread */
    } rows[] = {
        {"2026-11-23T16:29:00Z", BASE * NS_PER_S, true, 0},
        {"2026-11-23t16:29:00z", BASE * NS_PER_S, true, 0},
        {"2026-11-23 23:29:00+07:00", BASE * NS_PER_S, true, 0},
        {"2026-11-23T23:29:00+0700 host", BASE * NS_PER_S, true, 5},
        {"2026-11-23 23:29:00.5+07 x", BASE * NS_PER_S + 500000000, true, 2},
        {"2026-11-23T16:29:00.123456789123Z", BASE * NS_PER_S + 123456789, true, 0},
        {"2026-11-23 16:29:00,042 INFO", BASE * NS_PER_S + 42000000, false, 5},
        {"2026-11-23 16:29:00, then", BASE * NS_PER_S, false, 6},
        {"2026-11-23 16:29:00.", BASE * NS_PER_S, false, 1},
        {"2026-11-24T16:28:00+23:59", BASE * NS_PER_S, true, 0},
        {"2026-11-22T16:30:00-23:59", BASE * NS_PER_S, true, 0},
        {"2026-11-23T16:29:00+24:00", BASE * NS_PER_S, false, 6},
        {"2026-11-23T16:29:00+07:60", BASE * NS_PER_S, false, 6},
        {"2026-11-23T16:29:00-00:00", BASE * NS_PER_S, true, 0},
        {"2016-12-31T23:59:60Z", INT64_C(1483228800) * NS_PER_S, true, 0},
        {"1969-12-31T23:59:59.25Z", -750000000, true, 0},
        {"2262-04-11T23:47:16Z", INT64_C(9223372036) * NS_PER_S, true, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t ts_ns = 0;
        bool has_zone = false;
        size_t len = 0;
        struct str s = str_of(rows[i].text);
        if (time_parse_rfc3339(s, &ts_ns, &has_zone, &len) < 0 || ts_ns != rows[i].ts_ns ||
            has_zone != rows[i].has_zone || len != s.len - rows[i].rest)
            fail_msg("%s: %lld, zone %d, read %zu", rows[i].text, (long long)ts_ns, has_zone, len);
    }
    static const char *const bad[] = {
        "",
        "2026",
        "2026-11-23",
        "2026-11-23T16:29",
        "2026-11-23T16:29:0",
        "2026-1-23T16:29:00Z",
        "2026-02-29T00:00:00Z",
        "2026-11-31T00:00:00Z",
        "2026-11-23T24:00:00Z",
        "2026-11-23T16:60:00Z",
        "2026-11-23T16:29:61Z",
        "2026-11-23T16:29:000",
        "2026-11-23X16:29:00Z",
        "x026-11-23T16:29:00Z",
        "2262-04-11T23:47:17Z",
        "0001-01-01T00:00:00Z",
        "-026-11-23T16:29:00Z",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        int64_t ts_ns;
        bool has_zone;
        size_t len;
        if (time_parse_rfc3339(str_of(bad[i]), &ts_ns, &has_zone, &len) != -EINVAL)
            fail_msg("accepted: %s", bad[i]);
    }
    assert_int_equal(time_parse_rfc3339((struct str){NULL, 0}, &(int64_t){0}, &(bool){0}, &(size_t){0}), -EINVAL);
}

static int64_t at(int year, int month, int day, int hour)
{
    return civil_to_unix_s(&(struct civil){year, month, day, hour, 0, 0}) * NS_PER_S;
}

static void expect_rfc3164(const char *text, int64_t near_ns, int32_t tz_offset_s, int64_t want_ns)
{
    int64_t ts_ns = 0;
    size_t len = 0;
    if (time_parse_rfc3164(str_of(text), near_ns, tz_offset_s, &ts_ns, &len) < 0 || ts_ns != want_ns) {
        char got[TIME_RFC3339_LEN], want[TIME_RFC3339_LEN];
        time_format_rfc3339(ts_ns, got);
        time_format_rfc3339(want_ns, want);
        fail_msg("%s: %s, not %s", text, got, want);
    }
}

static void test_rfc3164(void **state)
{
    (void)state;
    int64_t near_ns = at(2026, 11, 23, 16);
    expect_rfc3164("Nov  2 15:00:00 host", near_ns, 0, at(2026, 11, 2, 15));
    expect_rfc3164("Nov 2 15:00:00", near_ns, 0, at(2026, 11, 2, 15));
    expect_rfc3164("Nov 02 15:00:00", near_ns, 0, at(2026, 11, 2, 15));
    expect_rfc3164("nov 12 15:00:00", near_ns, 0, at(2026, 11, 12, 15));
    expect_rfc3164("Nov 24 16:00:00", near_ns, 0, at(2026, 11, 24, 16)); /* one day ahead: a clock */
    expect_rfc3164("Nov 24 17:00:00", near_ns, 0, at(2025, 11, 24, 17)); /* more: last year */
    expect_rfc3164("Dec 31 23:00:00", at(2027, 1, 1, 0), 0, at(2026, 12, 31, 23));
    expect_rfc3164("Jan  1 01:00:00", at(2026, 12, 31, 23), 0, at(2027, 1, 1, 1)); /* sender's clock is ahead */
    expect_rfc3164("Jan  1 06:00:00", at(2026, 12, 31, 23), 7 * 3600, at(2026, 12, 31, 23));
    expect_rfc3164("Dec 31 20:00:00", at(2027, 1, 1, 1), -5 * 3600, at(2027, 1, 1, 1));
    expect_rfc3164("Feb 29 10:00:00", near_ns, 0, at(2024, 2, 29, 10));
    expect_rfc3164("Feb 29 10:00:00", at(2024, 2, 28, 12), 0, at(2024, 2, 29, 10));
    expect_rfc3164("Feb 29 10:00:00", at(1903, 5, 1, 0), 0, at(1896, 2, 29, 10)); /* 1900 had none */

    size_t len = 0;
    int64_t ts_ns;
    assert_int_equal(time_parse_rfc3164(STR("Nov  2 15:40:14 host"), near_ns, 0, &ts_ns, &len), 0);
    assert_int_equal(len, 15);
    assert_int_equal(time_parse_rfc3164(STR("Nov  2 15:40:14"), INT64_MAX, 0, &ts_ns, &len), 0);
    static const char *const bad[] = {
        "",
        "Nov",
        "Nov  2",
        "Nov 31 00:00:00",
        "Feb 30 00:00:00",
        "Nov  0 00:00:00",
        "Nov   2 00:00:00",
        "Nom  2 00:00:00",
        "Nov  2 24:00:00",
        "Nov  2 00:00:61",
        "Nov  2 00:00:000",
        "Nov  22 00:00:00",
        "Nov 2 0:00:00",
        "November 2 00:00:00",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        if (time_parse_rfc3164(str_of(bad[i]), near_ns, 0, &ts_ns, &len) != -EINVAL)
            fail_msg("accepted: %s", bad[i]);
    }
    assert_int_equal(time_parse_rfc3164(STR("Nov  2 15:40:14"), INT64_MIN, 0, &ts_ns, &len), -EINVAL);
}

static void test_clf(void **state)
{
    (void)state;
    int64_t ts_ns;
    size_t len;
    assert_int_equal(time_parse_clf(STR("10/Oct/2000:13:55:36 -0700] \"GET"), &ts_ns, &len), 0);
    assert_true(ts_ns == INT64_C(971211336) * NS_PER_S);
    assert_int_equal(len, 26);
    static const char *const bad[] = {
        "10/Oct/2000:13:55:36",      "10/Oct/2000:13:55:36 0700",  "31/Sep/2000:13:55:36 -0700",
        "1/Oct/2000:13:55:36 -0700", "10/Oct/2000 13:55:36 -0700", "",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        if (time_parse_clf(str_of(bad[i]), &ts_ns, &len) != -EINVAL)
            fail_msg("accepted: %s", bad[i]);
    }
}

static void test_format(void **state)
{
    (void)state;
    char text[TIME_RFC3339_LEN];
    time_format_rfc3339(BASE * NS_PER_S + 123456789, text);
    assert_string_equal(text, "2026-11-23T16:29:00.123456789Z");
    time_format_stix(BASE * NS_PER_S + 123999999, text);
    assert_string_equal(text, "2026-11-23T16:29:00.123Z");
    time_format_rfc3339(-1, text);
    assert_string_equal(text, "1969-12-31T23:59:59.999999999Z");
    time_format_rfc3339(INT64_MIN, text);
    assert_string_equal(text, "1677-09-21T00:12:43.145224192Z");
    time_format_rfc3339(INT64_MAX, text);
    assert_string_equal(text, "2262-04-11T23:47:16.854775807Z");
}

static void test_local_offset(void **state)
{
    (void)state;
    setenv("TZ", "<+07>-7", 1);
    tzset();
    assert_int_equal(time_local_offset_s(BASE * NS_PER_S), 7 * 3600);
    setenv("TZ", "EST5EDT,M3.2.0,M11.1.0", 1);
    tzset();
    assert_int_equal(time_local_offset_s(at(2026, 1, 1, 0)), -5 * 3600);
    assert_int_equal(time_local_offset_s(at(2026, 7, 1, 0)), -4 * 3600);
    unsetenv("TZ");
    tzset();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calendar), cmocka_unit_test(test_calendar_against_libc),
        cmocka_unit_test(test_valid),    cmocka_unit_test(test_rfc3339),
        cmocka_unit_test(test_rfc3164),  cmocka_unit_test(test_clf),
        cmocka_unit_test(test_format),   cmocka_unit_test(test_local_offset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
