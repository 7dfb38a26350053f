/* SPDX-License-Identifier: Apache-2.0
 *
 * The JSON walk: values and nesting, escapes, and texts that are not JSON.
 */
#include "rules/json_scan.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static int walk(struct str text)
{
    struct json_scan s;
    struct json_value key, v;
    int r = json_open_record(&s, text), n = 0;
    if (r < 0)
        return r;
    while ((r = json_next_member(&s, &key, &v)) == 1)
        n++;
    return r < 0 ? r : n;
}

static void walks_members(void **state)
{
    (void)state;
    struct json_scan s, inner;
    struct json_value key, v;
    const char *text =
        " { \"a\" : \"x\" , \"b\":-1.5e3,\"c\":true,\"d\":false,\"e\":null,\"f\":[1,\"2\",{}],\"g\":{\"h\":[]} } ";
    const enum json_kind kinds[] = {JSON_STRING, JSON_NUMBER, JSON_TRUE,  JSON_FALSE,
                                    JSON_NULL,   JSON_ARRAY,  JSON_OBJECT};
    assert_int_equal(json_open_record(&s, str_of(text)), 0);
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        assert_int_equal(json_next_member(&s, &key, &v), 1);
        assert_int_equal(v.kind, kinds[i]);
        assert_int_equal(key.text.p[0], 'a' + (int)i);
        if (v.kind == JSON_ARRAY) {
            json_open_value(&inner, &v);
            assert_int_equal(json_next_element(&inner, &v), 1);
            assert_true(str_eq(v.text, STR("1")));
            assert_int_equal(json_next_element(&inner, &v), 1);
            assert_true(str_eq(v.text, STR("2")));
            assert_int_equal(json_next_element(&inner, &v), 1);
            assert_int_equal(v.kind, JSON_OBJECT);
            assert_int_equal(json_next_element(&inner, &v), 0);
        }
    }
    assert_int_equal(json_next_member(&s, &key, &v), 0);
}

static void refuses_what_is_not_json(void **state)
{
    (void)state;
    assert_int_equal(walk(STR("{}")), 0);
    assert_int_equal(walk(STR("{\"a\":1,\"b\":2}")), 2);
    const char *bad[] = {
        "",
        " ",
        "[]",
        "{",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":}",
        "{\"a\":1",
        "{\"a\":1,",
        "{\"a\":1,}",
        "{\"a\":1 \"b\":2}",
        "{a:1}",
        "{\"a\":tru}",
        "{\"a\":+}",
        "{\"a\":\"x}",
        "{\"a\":\"x\\",
        "{\"a\":\"\n\"}",
        "{\"a\":[1}",
        "{\"a\":{]}",
        "{\"a\":[}",
        "{\"a\":1}x",
        "{\"a\":1}{}",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        if (walk(str_of(bad[i])) != -EBADMSG)
            fail_msg("taken for JSON: %s", bad[i]);
    }
}

static void bounds_depth(void **state)
{
    (void)state;
    char text[300];
    for (int depth = JSON_DEPTH_MAX; depth <= JSON_DEPTH_MAX + 1; depth++) {
        size_t n = (size_t)snprintf(text, sizeof(text), "{\"a\":");
        memset(text + n, '[', (size_t)depth);
        memset(text + n + depth, ']', (size_t)depth);
        text[n + 2 * (size_t)depth] = '}';
        int r = walk((struct str){text, n + 2 * (size_t)depth + 1});
        assert_int_equal(r, depth <= JSON_DEPTH_MAX ? 1 : -EBADMSG);
    }
}

static int text_of(const char *escaped, struct arena *arena, struct str *ret)
{
    struct json_value v = {.kind = JSON_STRING, .text = str_of(escaped), .is_escaped = strchr(escaped, '\\') != NULL};
    return json_text(&v, arena, ret);
}

static void takes_off_escapes(void **state)
{
    (void)state;
    const struct {
        const char *text, *want;
    } rows[] = {
        {"plain", "plain"},
        {"\\\"\\\\\\/\\b\\f\\n\\r\\t", "\"\\/\b\f\n\r\t"},
        {"\\u0041\\u00e9\\u1EC7", "A\xC3\xA9\xE1\xBB\x87"},
        {"\\ud83d\\ude00", "\xF0\x9F\x98\x80"},
        {"\\ud83dx", "\xEF\xBF\xBDx"},
        {"\\ude00", "\xEF\xBF\xBD"},
        {"\\ud83d\\u0041", "\xEF\xBF\xBD"
                           "A"},
    };
    struct arena *arena = arena_new(MIB);
    struct str got;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_int_equal(text_of(rows[i].text, arena, &got), 0);
        assert_true(str_eq(got, str_of(rows[i].want)));
    }
    assert_int_equal(text_of("a\\u0000b", arena, &got), 0);
    assert_true(str_eq(got, STR("a\0b")));
    const char *bad[] = {"\\", "\\x", "\\u12", "\\u12g4", "\\u"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(text_of(bad[i], arena, &got), -EBADMSG);
    arena_free(arena);
}

static void finds_specials_at_every_offset(void **state)
{
    (void)state;
    for (size_t at = 0; at < 24; at++) {
        char text[64] = "{\"k\":\"aaaaaaaaaaaaaaaaaaaaaaaa\"}";
        text[6 + at] = '\t'; /* must be escaped in JSON */
        assert_int_equal(walk(str_of(text)), -EBADMSG);
        text[6 + at] = '\x80';
        assert_int_equal(walk(str_of(text)), 1);
        text[6 + at] = '"';
        assert_int_equal(walk(str_of(text)), -EBADMSG);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(walks_members),
        cmocka_unit_test(refuses_what_is_not_json),
        cmocka_unit_test(bounds_depth),
        cmocka_unit_test(takes_off_escapes),
        cmocka_unit_test(finds_specials_at_every_offset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
