/* SPDX-License-Identifier: Apache-2.0
 *
 * Access lines: both servers' escapes, forged fields, requests that are none, and lines that are no access lines.
 */
#include "rules/access.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define TIME " [14/Mar/2026:08:15:04 +0700] "

static struct access a;

static bool parse(const char *line)
{
    return access_parse(str_of(line), &a);
}

static void assert_str(struct str got, const char *want)
{
    if (!str_eq(got, str_of(want)))
        fail_msg("got '" STR_FMT "', want '%s'", STR_ARG(got), want);
}

static void reads_combined(void **state)
{
    (void)state;
    assert_true(parse("192.0.2.7 - lan" TIME
                      "\"GET / HTTP/1.1\" 200 512 \"https://www.example.net/\" \"curl/7\" \"more\" 0.01"));
    assert_str(a.client, "192.0.2.7");
    assert_int_equal(a.client_port, -1);
    assert_str(a.user, "lan");
    assert_str(a.request, "GET / HTTP/1.1");
    assert_int_equal(a.status, 200);
    assert_int_equal(a.bytes, 512);
    assert_str(a.referrer, "https://www.example.net/");
    assert_str(a.agent, "curl/7");
    assert_true(a.ts_ns == INT64_C(1773450904) * 1000000000);
}

static void reads_common(void **state)
{
    (void)state;
    assert_true(parse("192.0.2.7 - -" TIME "\"GET / HTTP/1.1\" 404 -"));
    assert_int_equal(a.status, 404);
    assert_int_equal(a.bytes, -1);
    assert_str(a.user, "");
    assert_str(a.referrer, "");
    assert_true(parse("192.0.2.7 - -" TIME "\"GET / HTTP/1.1\" 404"));
    assert_int_equal(a.bytes, -1);
}

static void tells_client_from_virtual_host(void **state)
{
    (void)state;
    const struct {
        const char *head, *vhost, *client;
        int64_t vhost_port, client_port;
    } rows[] = {
        {"www.example.net:443 192.0.2.7 - -", "www.example.net", "192.0.2.7", 443, -1},
        {"www.example.net 192.0.2.7 - -", "www.example.net", "192.0.2.7", -1, -1},
        {"198.51.100.1:80 192.0.2.7 - -", "198.51.100.1", "192.0.2.7", 80, -1},
        {"198.51.100.1 192.0.2.7 - -", "198.51.100.1", "192.0.2.7", -1, -1},
        {"www.example.net:80 pc.example.org - lan", "www.example.net", "pc.example.org", 80, -1},
        {"www.example.net pc.example.org - lan", "www.example.net", "pc.example.org", -1, -1},
        {"pc.example.org - lan", "", "pc.example.org", -1, -1},
        {"2001:db8::7 - -", "", "2001:db8::7", -1, -1},
        {"www.example.net:443 2001:db8::7 - -", "www.example.net", "2001:db8::7", 443, -1},
        {"192.0.2.7:50114 - -", "", "192.0.2.7", -1, 50114},
        {"192.0.2.7 -", "", "192.0.2.7", -1, -1},
        {"192.0.2.7 198.51.100.66 -", "", "192.0.2.7", -1, -1}, /* an ident that looks like an address */
        {"192.0.2.7, 10.0.0.1, 10.0.0.2 - -", "", "192.0.2.7", -1, -1},
        {"- - -", "", "", -1, -1},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char line[256];
        size_t n = strlen(rows[i].head);
        memcpy(line, rows[i].head, n);
        memcpy(line + n, TIME "\"GET / HTTP/1.1\" 200 1", sizeof(TIME "\"GET / HTTP/1.1\" 200 1"));
        if (!parse(line))
            fail_msg("not an access line: %s", line);
        assert_str(a.client, rows[i].client);
        assert_str(a.vhost, rows[i].vhost);
        assert_int_equal(a.vhost_port, rows[i].vhost_port);
        assert_int_equal(a.client_port, rows[i].client_port);
    }
}

static void cannot_be_forged_by_a_user_name(void **state)
{
    (void)state;
    assert_true(parse("192.0.2.7 - x [01/Jan/2020:00:00:00 +0000] \\\"GET /no HTTP/1.1\\\" 200 1" TIME
                      "\"GET /yes HTTP/1.1\" 404 1"));
    assert_str(a.request, "GET /yes HTTP/1.1");
    assert_int_equal(a.status, 404);
}

static void cannot_be_forged_by_a_request(void **state)
{
    (void)state;
    assert_true(parse("192.0.2.7 - -" TIME "\"GET /a\\\" 200 1 HTTP/1.1\" 404 9 \"-\" \"x\""));
    assert_str(a.request, "GET /a\\\" 200 1 HTTP/1.1");
    assert_int_equal(a.status, 404);
    assert_true(parse("192.0.2.7 - -" TIME
                      "\"GET /a\\\\\" 404 9 \"-\" \"x\"")); /* an escaped backslash ends before the quote */
    assert_str(a.request, "GET /a\\\\");
}

static void bears_bare_quotes(void **state)
{
    (void)state;
    assert_true(parse("192.0.2.7 - -" TIME "\"GET /?q=\"><b> HTTP/1.1\" 404 9 \"-\" \"x\""));
    assert_str(a.request, "GET /?q=\"><b> HTTP/1.1");
    assert_str(a.agent, "x");
}

static void reads_odd_requests(void **state)
{
    (void)state;
    assert_true(parse("192.0.2.7 - -" TIME "\"\" 400 0 \"-\" \"-\""));
    assert_str(a.request, "");
    assert_true(parse("192.0.2.7 - -" TIME "\"-\" 408 - \"-\" \"-\""));
    assert_str(a.request, "-");
    assert_true(parse("192.0.2.7 - -" TIME "\"\\x16\\x03\\x01\" 400 226 \"-\" \"-\""));
    assert_str(a.request, "\\x16\\x03\\x01");
    assert_true(parse("192.0.2.7 - -" TIME "\"GET / HTTP/1.1\" 200 1 \"-\" \"cut off in the mid"));
    assert_str(a.agent, "cut off in the mid");
    assert_true(parse("192.0.2.7 - -" TIME "\"GET / HTTP/1.1\" - 1"));
    assert_int_equal(a.status, -1);
}

static void refuses_other_lines(void **state)
{
    (void)state;
    const char *lines[] = {
        "",
        "[",
        "192.0.2.7 - - [14/Mar/2026:08:15:04 +0700]",
        "192.0.2.7 - -" TIME,
        "192.0.2.7 - -" TIME "\"",
        "192.0.2.7 - -" TIME "\"GET / HTTP/1.1\"",
        "192.0.2.7 - -" TIME "\"GET / HTTP/1.1\" 20",
        "192.0.2.7 - -" TIME "\"GET / HTTP/1.1\" 2000",
        "192.0.2.7 - -" TIME "GET / HTTP/1.1 200 1",
        "192.0.2.7" TIME "\"GET / HTTP/1.1\" 200 1",
        TIME "\"GET / HTTP/1.1\" 200 1",
        "192.0.2.7 - - [14/Foo/2026:08:15:04 +0700] \"GET / HTTP/1.1\" 200 1",
        "(x) - -" TIME "\"GET / HTTP/1.1\" 200 1",
        "2026/03/14 08:15:02 [error] 31#31: *46 open() failed, client: 192.0.2.7",
    };
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        if (parse(lines[i]))
            fail_msg("taken for an access line: %s", lines[i]);
    }
}

static void splits_requests(void **state)
{
    (void)state;
    const struct {
        const char *request, *method, *target, *version;
    } rows[] = {
        {"GET / HTTP/1.1", "GET", "/", "1.1"},
        {"GET /a b c HTTP/1.0", "GET", "/a b c", "1.0"},
        {"PRI * HTTP/2.0", "PRI", "*", "2.0"},
        {"GET / HTTP/2", "GET", "/", "2"},
        {"GET /", "GET", "/", ""},
        {"get / HTTP/1.1", "get", "/", "1.1"},
        {"OPTIONS sip:nm SIP/2.0 HTTP/1.1", "OPTIONS", "sip:nm SIP/2.0", "1.1"},
        {"GET / HTTP/1.1 HTTP/1.1", "GET", "/ HTTP/1.1", "1.1"},
    };
    struct access_request r;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_true(access_request(str_of(rows[i].request), &r));
        assert_str(r.method, rows[i].method);
        assert_str(r.target, rows[i].target);
        assert_str(r.version, rows[i].version);
    }
    const char *none[] = {
        "", "-", "HELP", "\\x16\\x03", "get /", "GET", "GET ", "GET x", "A1B2C3D4E5F6G7H8I9J0K1L2M3 / HTTP/1.1"};
    for (size_t i = 0; i < ARRAY_LEN(none); i++)
        assert_false(access_request(str_of(none[i]), &r));
}

static void unescapes_printable_text_only(void **state)
{
    (void)state;
    const struct {
        const char *text, *want;
    } rows[] = {
        {"plain", "plain"},
        {"a\\x22b\\x5Cc", "a\"b\\c"},
        {"a\\\"b\\\\c", "a\"b\\c"},
        {"\\x16\\x03\\x01", "\\x16\\x03\\x01"},
        {"\\xE1\\xBB\\x87", "\xE1\xBB\x87"},
        {"\\xC3\\xAC\\xC3", "\xC3\xAC\\xC3"},
        {"\\xC0\\xAF", "\\xC0\\xAF"},
        {"\\xED\\xA0\\x80", "\\xED\\xA0\\x80"},
        {"\\xF4\\x90\\x80\\x80", "\\xF4\\x90\\x80\\x80"},
        {"\\xE1\\xBB", "\\xE1\\xBB"},
        {"\\n\\t\\x", "\\n\\t\\x"},
        {"\\", "\\"},
        {"\\x4", "\\x4"},
        {"\\xzz", "\\xzz"},
    };
    struct arena *arena = arena_new(MIB);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct str got;
        assert_int_equal(access_unescape(str_of(rows[i].text), arena, &got), 0);
        assert_str(got, rows[i].want);
    }
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_combined),
        cmocka_unit_test(reads_common),
        cmocka_unit_test(tells_client_from_virtual_host),
        cmocka_unit_test(cannot_be_forged_by_a_user_name),
        cmocka_unit_test(cannot_be_forged_by_a_request),
        cmocka_unit_test(bears_bare_quotes),
        cmocka_unit_test(reads_odd_requests),
        cmocka_unit_test(refuses_other_lines),
        cmocka_unit_test(splits_requests),
        cmocka_unit_test(unescapes_printable_text_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
