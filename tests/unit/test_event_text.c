/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/event_text.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const char event[] =
    "{\"@timestamp\":\"2026-11-23T00:00:00Z\",\"message\":\"Failed password for ROOT from 203.0.113.7 port 22\","
    "\"user.name\":[\"root\",\"Đặng Lan\"],\"source.port\":22,\"process.command_line\":\"C:\\\\Windows\\\\cmd.exe /c "
    "\\\"dir\\\"\","
    "\"url.query\":\"a=1?b*c\",\"flag\":true,\"nothing\":null,\"deep\":{\"x\":\"inner\"}}";

static bool has(struct event_text *t, const char *word)
{
    char *folded = event_text_fold(str_of(word));
    bool found = event_text_any_value(t, str_of(event), str_of(folded));
    free(folded);
    return found;
}

static bool field(struct event_text *t, const char *name, const char *value, bool is_pattern)
{
    char *folded = event_text_fold(str_of(value));
    bool found = event_text_field(t, str_of(event), str_of(name), str_of(folded), is_pattern);
    free(folded);
    return found;
}

static void words(void **state)
{
    struct event_text *t = *state;
    assert_true(has(t, "failed PASSWORD"));
    assert_true(has(t, "203.0.113"));
    assert_true(has(t, "đặng lan"));
    assert_true(has(t, "ĐẶNG"));
    assert_true(has(t, "c:\\windows\\CMD"));
    assert_true(has(t, "\"dir\""));
    assert_true(has(t, "22"));
    assert_true(has(t, "true"));
    assert_false(has(t, "user.name")); /* a member's name is no text of the event */
    assert_false(has(t, "dang lan"));
    assert_false(has(t, "null"));
}

static void fields(void **state)
{
    struct event_text *t = *state;
    assert_true(field(t, "user.name", "ROOT", false));
    assert_true(field(t, "user.name", "đặng lan", false));
    assert_false(field(t, "user.name", "roo", false)); /* the whole value */
    assert_true(field(t, "user.name", "roo*", true));
    assert_true(field(t, "message", "*from*22", true));
    assert_true(field(t, "message", "failed*password*", true));
    assert_false(field(t, "message", "*22*from*", true));
    assert_true(field(t, "message", "*", true));
    assert_false(field(t, "absent", "*", true));
    assert_false(field(t, "nothing", "*", true));
    assert_true(field(t, "source.port", "22", false));
    assert_false(field(t, "source.port", "2", false));
    assert_true(field(t, "url.query", "a=1?b*c", false)); /* quoted: the star is a star */
    assert_true(field(t, "url.query", "a=1?*", true));
    assert_false(field(t, "url.query", "a=1xb*", true)); /* '?' is itself */
    assert_false(field(t, "deep", "inner", false));
    assert_false(field(t, "deep", "*", true));
}

static void broken_json_has_nothing(void **state)
{
    struct event_text *t = *state;
    static const char *const bad[] = {"", "{", "[]", "{\"a\"", "{\"a\":\"b", "{\"a\":[\"b\"", "nonsense"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(event_text_any_value(t, str_of(bad[i]), STR("zzz")));
        assert_false(event_text_field(t, str_of(bad[i]), STR("a"), STR("zzz"), false));
    }
}

static int open_text(void **state)
{
    *state = event_text_new();
    return *state ? 0 : -1;
}

static int close_text(void **state)
{
    event_text_free(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words),
        cmocka_unit_test(fields),
        cmocka_unit_test(broken_json_has_nothing),
    };
    return cmocka_run_group_tests(tests, open_text, close_text);
}
