/* SPDX-License-Identifier: Apache-2.0
 *
 * Events: fields, arrays, text of values, and JSON that a strict reader accepts whatever bytes went in.
 */
#include "common/event.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <errno.h>
#include <jansson.h>
#include <math.h>

struct fixture {
    struct names *names;
    struct arena *arena;
    struct event ev;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    f->names = names_new();
    f->arena = arena_new(MIB);
    *state = f;
    return event_init(&f->ev, f->arena);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    names_free(f->names);
    arena_free(f->arena);
    free(f);
    return 0;
}

static void test_fields(void **state)
{
    struct fixture *f = *state;
    struct event *ev = &f->ev;
    assert_null(event_get(ev, F_USER_NAME));
    assert_int_equal(event_get_str(ev, F_USER_NAME).len, 0);
    assert_int_equal(event_add_str(ev, F_USER_NAME, STR("root")), 0);
    assert_int_equal(event_add_int(ev, F_SOURCE_PORT, 22), 0);
    assert_int_equal(event_add_str(ev, F_USER_NAME, STR("lan")), 0);
    const struct field *a = event_get(ev, F_USER_NAME);
    const struct field *b = event_get_next(ev, a);
    assert_true(str_eq(a->s, STR("root")));
    assert_true(str_eq(b->s, STR("lan")));
    assert_null(event_get_next(ev, b));
    assert_int_equal(event_get_str(ev, F_SOURCE_PORT).len, 0); /* not a string */
}

static void test_full(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < EVENT_FIELDS_MAX; i++)
        assert_int_equal(event_add_int(&f->ev, F_PROCESS_PID, i), 0);
    assert_int_equal(event_add_bool(&f->ev, F_PROCESS_PID, true), -E2BIG);
    assert_int_equal(f->ev.n, EVENT_FIELDS_MAX);
    for (int i = 0; i < EVENT_FIELDS_MAX; i++)
        assert_int_equal(f->ev.fields[i].i, i);

    struct arena *small = arena_new(32 * sizeof(struct field));
    struct event ev;
    assert_int_equal(event_init(&ev, small), 0);
    for (int i = 0; i < 32; i++)
        assert_int_equal(event_add_int(&ev, F_PROCESS_PID, i), 0);
    assert_int_equal(event_add_int(&ev, F_PROCESS_PID, 32), -ENOMEM);
    assert_int_equal(event_init(&ev, small), -ENOMEM);
    arena_free(small);
}

static void test_text(void **state)
{
    (void)state;
    char scratch[32];
    static const struct {
        struct field f;
        const char *text;
    } rows[] = {
        {{.type = VALUE_STR, .s = {"a b", 3}}, "a b"},
        {{.type = VALUE_INT, .i = INT64_MIN}, "-9223372036854775808"},
        {{.type = VALUE_FLOAT, .f = 0.1}, "0.1"},
        {{.type = VALUE_FLOAT, .f = 1.0 / 3}, "0.33333333333333331"},
        {{.type = VALUE_FLOAT, .f = -1.7976931348623157e308}, "-1.7976931348623157e+308"},
        {{.type = VALUE_BOOL, .b = true}, "true"},
        {{.type = VALUE_BOOL, .b = false}, "false"},
        {{.type = VALUE_NULL}, ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_true(str_eq(field_text(&rows[i].f, scratch), str_of(rows[i].text)));
}

static void test_json(void **state)
{
    struct fixture *f = *state;
    struct event *ev = &f->ev;
    ev->ts_ns = INT64_C(1700000000123456789);
    ev->ts_is_guessed = true;
    ev->raw = STR("line \"1\"");
    event_add_str(ev, F_SOURCE_IP, STR("192.0.2.1"));
    event_add_str(ev, F_EVENT_CATEGORY, STR("authentication"));
    event_add_int(ev, F_SOURCE_PORT, 22);
    event_add_str(ev, F_EVENT_CATEGORY, STR("session"));
    event_add_str(ev, F_TIMESTAMP, STR("not printed twice"));
    event_add_field(ev, &(struct field){.key = F_USER_ID, .type = VALUE_NULL});
    event_add_field(ev, &(struct field){.key = F_GROUP_ID, .type = VALUE_FLOAT, .f = NAN});
    struct buf out = BUF_INIT(MIB);
    assert_int_equal(event_to_json(ev, f->names, &out), 0);
    const char *z;
    buf_z(&out, &z);
    assert_string_equal(z, "{\"@timestamp\":\"2023-11-14T22:13:20.123456789Z\",\"vonggac.time.guessed\":true,"
                           "\"source.ip\":\"192.0.2.1\",\"event.category\":[\"authentication\",\"session\"],"
                           "\"source.port\":22,\"user.id\":null,\"group.id\":null,"
                           "\"event.original\":\"line \\\"1\\\"\"}");
    buf_clear(&out);
    struct buf small = BUF_INIT(100);
    buf_append_z(&small, "before");
    assert_int_equal(event_to_json(ev, f->names, &small), -ENOBUFS);
    assert_int_equal(small.len, 6);
    buf_clear(&small);
}

static void test_json_of_any_bytes(void **state)
{
    struct fixture *f = *state;
    uint8_t bytes[1024];
    uint32_t seed = 1;
    name_id odd;
    assert_int_equal(names_intern(f->names, STR("odd\"\\\xFF\n.name"), &odd), 0);
    for (int round = 0; round < 200; round++) {
        arena_reset(f->arena);
        assert_int_equal(event_init(&f->ev, f->arena), 0);
        for (size_t i = 0; i < sizeof(bytes); i++) {
            seed = seed * 1664525u + 1013904223u;
            bytes[i] = (uint8_t)(seed >> 24);
        }
        for (size_t i = 0; i < 256; i++)
            bytes[i] = round == 0 ? (uint8_t)i : bytes[i];
        f->ev.raw = (struct str){(const char *)bytes, sizeof(bytes)};
        f->ev.ts_ns = round % 2 ? INT64_MIN : INT64_MAX;
        event_add_str(&f->ev, odd, f->ev.raw);
        struct buf out = BUF_INIT(MIB);
        assert_int_equal(event_to_json(&f->ev, f->names, &out), 0);
        json_error_t error;
        json_t *json = json_loadb((const char *)out.data, out.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
        if (!json)
            fail_msg("round %d: %s", round, error.text);
        assert_int_equal(json_object_size(json), 3);
        json_decref(json);
        assert_null(memchr(out.data, '\n', out.len));
        buf_clear(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_fields, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full, setup, teardown),
        cmocka_unit_test(test_text),
        cmocka_unit_test_setup_teardown(test_json, setup, teardown),
        cmocka_unit_test_setup_teardown(test_json_of_any_bytes, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
