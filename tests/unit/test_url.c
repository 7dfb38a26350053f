/* SPDX-License-Identifier: Apache-2.0
 *
 * Targets taken apart, and every layer of encoding taken off.
 */
#include "rules/url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void assert_str(struct str got, struct str want)
{
    if (!str_eq(got, want))
        fail_msg("got '" STR_FMT "', want '" STR_FMT "'", STR_ARG(got), STR_ARG(want));
}

static void splits_targets(void **state)
{
    (void)state;
    const struct {
        const char *target, *scheme, *domain, *path, *query;
        int64_t port;
        bool has_query;
    } rows[] = {
        {"/a/b?c=d?e", "", "", "/a/b", "c=d?e", -1, true},
        {"/a?", "", "", "/a", "", -1, true},
        {"/", "", "", "/", "", -1, false},
        {"*", "", "", "*", "", -1, false},
        {"", "", "", "", "", -1, false},
        {"http://www.example.net/a?b", "http", "www.example.net", "/a", "b", -1, true},
        {"http://user:pw@www.example.net:8080", "http", "www.example.net", "", "", 8080, false},
        {"https://[2001:db8::1]:8443/x", "https", "2001:db8::1", "/x", "", 8443, false},
        {"http://www.example.net?q", "http", "www.example.net", "", "q", -1, true},
        {"mail.example.net:25", "", "mail.example.net", "", "", 25, false},
        {"/redirect?to=http://x.example/", "", "", "/redirect", "to=http://x.example/", -1, true},
        {"://x", "", "", "://x", "", -1, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct url u;
        url_split(str_of(rows[i].target), &u);
        assert_str(u.scheme, str_of(rows[i].scheme));
        assert_str(u.domain, str_of(rows[i].domain));
        assert_str(u.path, str_of(rows[i].path));
        assert_str(u.query, str_of(rows[i].query));
        assert_int_equal(u.port, rows[i].port);
        assert_int_equal(u.has_query, rows[i].has_query);
    }
}

static void decodes_every_layer(void **state)
{
    (void)state;
    const struct {
        const char *target, *want;
    } rows[] = {
        {"/plain/path", "/plain/path"},
        {"", ""},
        {"/%2e%2E/etc", "/../etc"},
        {"/%252e%252e%252fetc", "/../etc"},
        {"/%25252e", "/."},
        {"/%2525252e", "/%2e"}, /* three rounds, then enough */
        {"/%%32%65%%32%65/x", "/../x"},
        {"/a+b?c+d=e+f", "/a+b?c d=e f"},
        {"/?a=%2B%2Bb", "/?a=++b"},
        {"/%u0041%u00e9%u1ec7", "/A\xC3\xA9\xE1\xBB\x87"},
        {"/..%uff0f..%u2215..%u2216", "/../../..\\"},
        {"/..%c0%af..%c1%9c", "/../..\\"},
        {"/%e0%80%af%f0%80%80%af", "///"},
        {"/%e0%9f%bf", "/\xDF\xBF"},
        {"/t%C3%ACm", "/t\xC3\xACm"},
        {"/a%00.php", "/a\\0.php"},
        {"/a%2500.php", "/a\\0.php"},
        {"/a%c0%80b", "/a\\0b"},
        {"/a\\b%5cc", "/a\\b\\c"},
        {"/%zz%1%", "/%zz%1%"},
        {"/%u12", "/%u12"},
        {"/%ff", "/\xFF"},
        {"/%c0", "/\xC0"},
        {"/%f0%80", "/\xF0\x80"},
        {"/?q=%3Cscript%3E", "/?q=<script>"},
    };
    struct arena *arena = arena_new(MIB);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct str got;
        assert_int_equal(url_decode(str_of(rows[i].target), arena, &got), 0);
        assert_str(got, str_of(rows[i].want));
    }
    arena_free(arena);
}

static void borrows_what_needs_no_decoding(void **state)
{
    (void)state;
    struct arena *arena = arena_new(MIB);
    struct str target = STR("/index.html?a=b"), got;
    assert_int_equal(url_decode(target, arena, &got), 0);
    assert_ptr_equal(got.p, target.p);
    assert_int_equal(arena_used(arena), 0);
    arena_free(arena);
}

static void keeps_raw_nul_bytes(void **state)
{
    (void)state;
    struct arena *arena = arena_new(MIB);
    struct str got;
    assert_int_equal(url_decode(STR("/a\0%41"), arena, &got), 0);
    assert_str(got, STR("/a\0A"));
    arena_free(arena);
}

static void says_when_memory_is_out(void **state)
{
    (void)state;
    struct arena *arena = arena_new(1);
    struct str got;
    static char target[64 * 1024];
    memset(target, '%', sizeof(target));
    assert_true(url_decode((struct str){target, sizeof(target)}, arena, &got) < 0);
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(splits_targets),
        cmocka_unit_test(decodes_every_layer),
        cmocka_unit_test(borrows_what_needs_no_decoding),
        cmocka_unit_test(keeps_raw_nul_bytes),
        cmocka_unit_test(says_when_memory_is_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
