/* SPDX-License-Identifier: Apache-2.0
 *
 * Syslog heads as files and relays hold them, and lines that only look like it.
 */
#include "rules/syslog.h"

#include "common/time.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define NEAR INT64_C(1773576000000000000) /* 2026-03-15T12:00:00Z */
#define TZ   25200

static struct syslog parsed;

static bool parse(const char *line)
{
    return syslog_parse(str_of(line), NEAR, TZ, &parsed);
}

static void assert_str(struct str got, const char *want)
{
    if (!str_eq(got, str_of(want)))
        fail_msg("got '" STR_FMT "', want '%s'", STR_ARG(got), want);
}

static void assert_time(const char *want)
{
    char text[TIME_RFC3339_LEN];
    time_format_rfc3339(parsed.ts_ns, text);
    assert_true(parsed.has_ts);
    assert_string_equal(text, want);
}

static void reads_rfc3164(void **state)
{
    (void)state;
    assert_true(parse("Mar  4 08:15:02 gate sshd[812]: Accepted password"));
    assert_time("2026-03-04T01:15:02.000000000Z");
    assert_true(parsed.ts_is_guessed);
    assert_str(parsed.host, "gate");
    assert_str(parsed.program, "sshd");
    assert_int_equal(parsed.pid, 812);
    assert_int_equal(parsed.pri, -1);
    assert_str(parsed.msg, "Accepted password");
}

static void reads_one_digit_day_without_padding(void **state)
{
    (void)state;
    assert_true(parse("Mar 4 08:15:02 gate cron: x"));
    assert_time("2026-03-04T01:15:02.000000000Z");
    assert_str(parsed.program, "cron");
    assert_int_equal(parsed.pid, -1);
}

static void takes_the_year_that_is_not_in_the_future(void **state)
{
    (void)state;
    assert_true(parse("Dec 31 23:59:59 gate cron: x"));
    assert_time("2025-12-31T16:59:59.000000000Z");
}

static void reads_iso_time(void **state)
{
    (void)state;
    assert_true(parse("2026-03-14T08:15:02.738197+07:00 gate sshd[812]:  spaces  "));
    assert_time("2026-03-14T01:15:02.738197000Z");
    assert_false(parsed.ts_is_guessed);
    assert_str(parsed.msg, "spaces");
    assert_true(parse("2026-03-14 08:15:02 gate sshd[812]: x"));
    assert_time("2026-03-14T01:15:02.000000000Z");
    assert_true(parsed.ts_is_guessed);
}

static void reads_pri(void **state)
{
    (void)state;
    assert_true(parse("<38>Mar 14 08:15:02 gate sshd[812]: x"));
    assert_int_equal(parsed.pri, 38);
    assert_true(parse("<191>prog[4]: no time at all"));
    assert_int_equal(parsed.pri, 191);
    assert_false(parsed.has_ts);
    assert_str(parsed.program, "prog");
    assert_str(parsed.msg, "no time at all");
    assert_false(parse("<192>Mar 14 08:15:02 gate sshd[812]: x"));
    assert_false(parse("<>Mar 14 08:15:02 gate sshd[812]: x"));
    assert_false(parse("<38>no tag here"));
}

static void reads_rfc5424(void **state)
{
    (void)state;
    assert_true(
        parse("<165>1 2026-03-14T01:15:02.003Z gate app 8710 ID47 [x@1 a=\"b \\\" ] c\"][y@1] \xEF\xBB\xBFthe text"));
    assert_time("2026-03-14T01:15:02.003000000Z");
    assert_false(parsed.ts_is_guessed);
    assert_int_equal(parsed.pri, 165);
    assert_str(parsed.host, "gate");
    assert_str(parsed.program, "app");
    assert_int_equal(parsed.pid, 8710);
    assert_str(parsed.msg, "the text");
    assert_true(parse("<165>1 - - - - - -"));
    assert_false(parsed.has_ts);
    assert_str(parsed.host, "");
    assert_str(parsed.program, "");
    assert_str(parsed.msg, "");
    assert_false(parse("<165>1 - - - - - [x a=\"b\" never closed"));
    assert_false(parse("<165>1 yesterday gate app 1 - - text"));
}

static void finds_the_tag(void **state)
{
    (void)state;
    const struct {
        const char *line, *host, *program, *msg;
        int64_t pid;
    } rows[] = {
        {"Mar 14 08:15:02 gate postfix/smtpd[7]: x", "gate", "postfix/smtpd", "x", 7},
        {"Mar 14 08:15:02 gate kernel: [ 1.5] IN=eth0", "gate", "kernel", "[ 1.5] IN=eth0", -1},
        {"Mar 14 08:15:02 sshd[7]: written on the machine itself", "", "sshd", "written on the machine itself", 7},
        {"Mar 14 08:15:02 gate -- MARK --", "gate", "", "-- MARK --", -1},
        {"Mar 14 08:15:02 gate last message repeated 3 times", "gate", "", "last message repeated 3 times", -1},
        {"Mar 14 08:15:02 gate prog[x]: y", "gate", "prog", "y", -1},
        {"Mar 14 08:15:02 gate prog[99999999999]: y", "gate", "prog", "y", -1},
        {"Mar 14 08:15:02 gate polkitd(authority=local)[3]: y", "gate", "polkitd(authority=local)", "y", 3},
        {"Mar 14 08:15:02 192.0.2.1 systemd[1]: Started x.", "192.0.2.1", "systemd", "Started x.", 1},
        {"Mar 14 08:15:02 gate []: y", "gate", "[]", "y", -1},
        {"Mar 14 08:15:02 gate sshd[7]:", "gate", "sshd", "", 7},
        {"Mar 14 08:15:02 gate", "gate", "", "", -1},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_true(parse(rows[i].line));
        assert_str(parsed.host, rows[i].host);
        assert_str(parsed.program, rows[i].program);
        assert_str(parsed.msg, rows[i].msg);
        assert_int_equal(parsed.pid, rows[i].pid);
    }
}

static void refuses_what_is_no_syslog(void **state)
{
    (void)state;
    const char *lines[] = {
        "",
        "Mar",
        "Mar 14 08:15:02",
        "Mar 14 08:15:0",
        "Foo 14 08:15:02 gate sshd: x",
        "March of the penguins, a film",
        "203.0.113.9 - - [14/Mar/2026:08:15:04 +0700] \"GET / HTTP/1.1\" 200 1",
        "2026/03/14 08:15:02 [error] 31#31: *46 x",
        "<38",
        "{\"a\":1}",
        "Mar 44 08:15:02 gate sshd: x",
    };
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        assert_false(parse(lines[i]));
}

static void unwraps_repetitions(void **state)
{
    (void)state;
    int64_t times;
    struct str inner;
    assert_true(syslog_repeated(STR("message repeated 3 times: [ Failed password]"), &times, &inner));
    assert_int_equal(times, 3);
    assert_str(inner, "Failed password");
    assert_false(syslog_repeated(STR("message repeated 3 times: [ Failed password"), &times, &inner));
    assert_false(syslog_repeated(STR("message repeated x times: [ Failed password]"), &times, &inner));
    assert_false(syslog_repeated(STR("message repeated 0 times: [ x]"), &times, &inner));
    assert_false(syslog_repeated(STR("message repeated 3 times: ]"), &times, &inner));
    assert_false(syslog_repeated(STR("message repeated ]"), &times, &inner));
    assert_false(syslog_repeated(STR(""), &times, &inner));
}

static void names_severities(void **state)
{
    (void)state;
    assert_str(syslog_severity(0), "emerg");
    assert_str(syslog_severity(7), "debug");
    assert_str(syslog_severity(8), "");
    assert_str(syslog_severity(-1), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_rfc3164),
        cmocka_unit_test(reads_one_digit_day_without_padding),
        cmocka_unit_test(takes_the_year_that_is_not_in_the_future),
        cmocka_unit_test(reads_iso_time),
        cmocka_unit_test(reads_pri),
        cmocka_unit_test(reads_rfc5424),
        cmocka_unit_test(finds_the_tag),
        cmocka_unit_test(refuses_what_is_no_syslog),
        cmocka_unit_test(unwraps_repetitions),
        cmocka_unit_test(names_severities),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
