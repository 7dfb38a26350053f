/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON lines as events: what the fields are, what is refused, times; and random documents, whole and broken, beside what
 * jansson makes of them.
 */
#include "rules/json_event.h"

#include <errno.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#define DOCUMENT_MAX 4096
#define ROUNDS       20000

static struct names *names;
static struct json_event_reader *reader;

static int setup(void **state)
{
    static const char *const known[] = {"a",   "b",     "c",         "a.b",    "a.b.c", "b.a",         "k\n",
                                        "a.c", "c.c.c", "t\xC3\xA9", "a.\x01", "time",  "TimeCreated", "sp ace"};
    (void)state;
    names = names_new();
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        name_id id;
        assert_int_equal(names_intern(names, str_of(known[i]), &id), 0);
    }
    reader = json_event_reader_new(names, &(struct json_event_options){.keeps_unknown = true, .wants_time = true});
    return reader ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    json_event_reader_free(reader);
    names_free(names);
    return 0;
}

/* The event as name=value pairs; strings in quotes, unknown names as '?'. */
static const char *shown(const char *line)
{
    static char out[8192];
    struct event ev;
    size_t n = 0;
    int err = json_event_read(reader, str_of(line), &ev);
    if (err < 0)
        return err == -EBADMSG ? "bad" : err == -E2BIG ? "deep" : "error";
    out[0] = '\0';
    for (size_t i = 0; i < ev.n; i++) {
        char scratch[32];
        struct str name = names_text(names, ev.fields[i].key), text = field_text(&ev.fields[i], scratch);
        const char *quote = ev.fields[i].type == VALUE_STR ? "'" : "";
        if (ev.fields[i].type == VALUE_NULL)
            text = STR("null");
        n += (size_t)snprintf(out + n, sizeof(out) - n, "%s%.*s=%s%.*s%s", i ? " " : "", (int)MAX(name.len, (size_t)1),
                              name.len ? name.p : "?", quote, (int)text.len, text.p, quote);
        assert_true(n < sizeof(out));
    }
    return out;
}

static void reads_values(void **state)
{
    static const struct {
        const char *line, *want;
    } rows[] = {
        {"{}", ""},
        {" \t{ } \r", ""},
        {"{\"a\":\"x\",\"b\":1,\"c\":true}", "a='x' b=1 c=true"},
        {" { \"a\" : null , \"b\" : false } ", "a=null b=false"},
        {"{\"a\":{\"b\":{\"c\":7},\"c\":8},\"c\":9}", "a.b.c=7 a.c=8 c=9"},
        {"{\"a.b\":1}", "a.b=1"},
        {"{\"a\":[1,\"2\",[3,[]],{\"b\":4},{\"b\":5},{}],\"b\":6}", "a=1 a='2' a=3 a.b=4 a.b=5 b=6"},
        {"{\"a\":{},\"b\":[ ],\"c\":[{},[],{\"a\":[]}]}", "a=null b=null"},
        {"{\"a\":1,\"a\":2}", "a=1 a=2"},
        {"{\"unknown\":1,\"z\":{\"a\":2},\"a\":3}", "?=1 ?=2 a=3"},
        {"{\"\":1,\"a\":{\"\":{\"b\":2}}}", "?=1 ?=2"},
        {"{\"k\\n\":1,\"\\u006b\\n\":2,\"\\u0061\":{\"\\u0062\":3}}", "k\n=1 k\n=2 a.b=3"},
        {"{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u20ac\\ud83d\\ude00\"}",
         "a='\"\\/\b\f\n\r\tA\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80'"},
        {"{\"a\":\"\\ud800x\\udc00\\ud800\\u0041\"}", "a='\xEF\xBF\xBDx\xEF\xBF\xBD\xEF\xBF\xBD"
                                                      "A'"},
        {"{\"a\":\"0123456789abcdef0123456789abcde\\n0123456789abcdef0123456789\"}",
         "a='0123456789abcdef0123456789abcde\n0123456789abcdef0123456789'"},
        {"{\"a\":\"\xFF\xC3\"}", "a='\xFF\xC3'"},
        {"{\"a\":[0,-0,-1,10,9223372036854775807,-9223372036854775808]}",
         "a=0 a=0 a=-1 a=10 a=9223372036854775807 a=-9223372036854775808"},
        {"{\"a\":[1.5,-0.25,1e3,1E+2,25e-1,9223372036854775808]}",
         "a=1.5 a=-0.25 a=1000 a=100 a=2.5 a=9.2233720368547758e+18"},
    };
    (void)state;
    for (int again = 0; again < 2; again++) /* keys are new, then known */
        for (size_t i = 0; i < ARRAY_LEN(rows); i++)
            assert_string_equal(shown(rows[i].line), rows[i].want);
}

static void refuses_what_is_no_object(void **state)
{
    static const char *const rows[] = {
        "",
        " ",
        "1",
        "[]",
        "\"a\"",
        "null",
        "{",
        "}",
        "{]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{,\"a\":1}",
        "{\"a\":1 \"b\":2}",
        "{a:1}",
        "{'a':1}",
        "{\"a\":1}}",
        "{\"a\":1} x",
        "{\"a\":1}{\"a\":1}",
        "{\"a\":01}",
        "{\"a\":-}",
        "{\"a\":1.}",
        "{\"a\":.5}",
        "{\"a\":1e}",
        "{\"a\":1e+}",
        "{\"a\":+1}",
        "{\"a\":0x1}",
        "{\"a\":NaN}",
        "{\"a\":tru}",
        "{\"a\":nul",
        "{\"a\":\"x}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\u12g4\"}",
        "{\"a\":\"\\u123\"}",
        "{\"a\":\"\\",
        "{\"a\":\"\t\"}",
        "{\"a\\x\":1}",
        "{\"a\":[1,]}",
        "{\"a\":[1 2]}",
        "{\"a\":[}",
        "{\"unknown\":{\"x\":\"\\q\"}}",
        "\xEF\xBB\xBF{}",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_string_equal(shown(rows[i]), "bad");
    struct event ev;
    assert_int_equal(json_event_read(reader, STR("{\"a\":1,}"), &ev), -EBADMSG);
    assert_int_equal(json_event_bad_at(reader), 7);
}

static void bounds_depth_and_fields(void **state)
{
    static char line[64 * 1024];
    struct event ev;
    (void)state;
    for (int depth = JSON_EVENT_DEPTH_MAX - 1; depth <= JSON_EVENT_DEPTH_MAX; depth++) {
        struct buf b = BUF_INIT(sizeof(line));
        buf_append_z(&b, "{\"a\":");
        for (int i = 0; i < depth; i++)
            buf_append_z(&b, "[");
        for (int i = 0; i < depth; i++)
            buf_append_z(&b, "]");
        buf_append_z(&b, "}");
        assert_int_equal(json_event_read(reader, buf_str(&b), &ev), depth < JSON_EVENT_DEPTH_MAX ? 0 : -E2BIG);
        buf_clear(&b);
    }
    struct buf b = BUF_INIT(sizeof(line));
    buf_append_z(&b, "{\"a\":[0");
    for (int i = 1; i < EVENT_FIELDS_MAX + 10; i++)
        buf_append_z(&b, ",1");
    buf_append_z(&b, "]}");
    uint64_t before = json_event_dropped_fields(reader);
    assert_int_equal(json_event_read(reader, buf_str(&b), &ev), 0);
    assert_int_equal(ev.n, EVENT_FIELDS_MAX);
    assert_int_equal(json_event_dropped_fields(reader) - before, 10);
    buf_clear(&b);
}

/* More keys than are remembered, and keys that are too long, mean the same. */
static void forgets_nothing_it_needs(void **state)
{
    char line[1024];
    (void)state;
    for (int i = 0; i < JSON_EVENT_KEYS_MAX + 1000; i++) {
        snprintf(line, sizeof(line), "{\"key%d\":{\"a\":1},\"a\":{\"b\":2}}", i);
        assert_string_equal(shown(line), "?=1 a.b=2");
    }
    snprintf(line, sizeof(line), "{\"%0300d\":1,\"a\":{\"%0300d\":{\"c\":2},\"b\":3}}", 1, 2);
    assert_string_equal(shown(line), "?=1 ?=2 a.b=3");
}

static void leaves_out_what_nobody_asks_for(void **state)
{
    struct json_event_reader *r = json_event_reader_new(names, &(struct json_event_options){0});
    struct event ev;
    (void)state;
    assert_non_null(r);
    assert_int_equal(json_event_read(r, STR("{\"x\":1,\"event.original\":\"line\",\"a\":2,\"time\":5}"), &ev), 0);
    assert_int_equal(ev.n, 2);
    assert_true(ev.ts_is_guessed && ev.is_structured);
    assert_true(str_eq(ev.raw, STR("line")));
    json_event_reader_free(r);
}

static void finds_the_time(void **state)
{
    static const struct {
        const char *line;
        int64_t want_ms;
    } rows[] = {
        {"{\"@timestamp\":\"2020-06-10T02:50:56.537Z\"}", 1591757456537},
        {"{\"@timestamp\":\"2020-06-10T09:50:56.537+07:00\"}", 1591757456537},
        {"{\"EventTime\":\"2020-06-10 02:50:56\"}", 1591757456000},
        {"{\"UtcTime\":\"2020-06-10 02:50:56.537\"}", 1591757456537},
        {"{\"time\":1591757456}", 1591757456000},
        {"{\"time\":1591757456537}", 1591757456537},
        {"{\"time\":1591757456537000}", 1591757456537},
        {"{\"time\":1591757456537000000}", 1591757456537},
        {"{\"time\":1591757456.5}", 1591757456500},
        {"{\"time\":\"1591757456.5\"}", 1591757456500},
        {"{\"time\":\"1591757456537\"}", 1591757456537},
        {"{\"TimeCreated\":{\"SystemTime\":\"2020-06-10T02:50:56.537Z\"}}", 1591757456537},
        {"{\"Event\":{\"System\":{\"TimeCreated\":{\"#attributes\":{\"SystemTime\":\"2020-06-10T02:50:56.537Z\"}}}}}",
         1591757456537},
        {"{\"UtcTime\":\"1999-01-01 00:00:00\",\"@timestamp\":\"2020-06-10T02:50:56.537Z\",\"time\":5}", 1591757456537},
        {"{\"@timestamp\":\"yesterday\",\"UtcTime\":\"2020-06-10 02:50:56.537\"}", 1591757456537},
        {"{\"@timestamp\":\"\"}", -1},
        {"{\"@timestamp\":null,\"time\":true,\"ts\":\"nan\"}", -1},
        {"{\"ts\":1e300}", -1},
        {"{\"a\":1591757456}", -1},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct event ev;
        assert_int_equal(json_event_read(reader, str_of(rows[i].line), &ev), 0);
        assert_int_equal(ev.ts_is_guessed, rows[i].want_ms < 0);
        if (rows[i].want_ms >= 0)
            assert_int_equal(ev.ts_ns / NS_PER_MS, rows[i].want_ms);
    }
}

/* ---- beside jansson ---- */

static uint64_t seed = 88172645463325252u;

static unsigned roll(unsigned n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (unsigned)(seed >> 33) % n;
}

static void add_random_string(struct buf *b)
{
    static const char *const parts[] = {"a",
                                        "b",
                                        "c",
                                        "a.b",
                                        "\\n",
                                        "\\\\",
                                        "\\u0041",
                                        "\\ud83d\\ude00",
                                        "\xC3\xA9",
                                        "\\\"",
                                        "time",
                                        "/",
                                        "0123456789abcdef",
                                        "k",
                                        " ",
                                        "\\u1234"};
    buf_append_z(b, "\"");
    for (unsigned n = roll(roll(6) ? 4 : 40); n > 0; n--) /* now and then beyond a block of the scanner */
        buf_append_z(b, parts[roll(ARRAY_LEN(parts))]);
    buf_append_z(b, "\"");
}

static void add_random_value(struct buf *b, int depth)
{
    static const char *const scalars[] = {"0",     "-1",   "12345678901",        "1.5", "-2e-3", "true",
                                          "false", "null", "9223372036854775807"};
    static const char *const spaces[] = {"", "", "", " ", "\t"};
    unsigned kind = roll(depth > 4 ? 3 : 6), n = roll(5);
    if (kind < 2) {
        add_random_string(b);
    } else if (kind == 2) {
        buf_append_z(b, scalars[roll(ARRAY_LEN(scalars))]);
    } else {
        bool is_object = kind > 3 || depth == 0;
        buf_append_z(b, is_object ? "{" : "[");
        for (unsigned i = 0; i < n; i++) {
            buf_append_z(b, i ? "," : spaces[roll(5)]);
            buf_append_z(b, spaces[roll(5)]);
            if (is_object) {
                add_random_string(b);
                buf_append_z(b, ":");
            }
            add_random_value(b, depth + 1);
        }
        buf_append_z(b, is_object ? "}" : "]");
    }
}

struct walk {
    const struct event *ev;
    size_t at;
    int arrays; /* around what is being looked at */
};

static void check_field(struct walk *w, const char *path, const json_t *v);

static void check_members(struct walk *w, const char *path, const json_t *object)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)object, key, v)
    {
        char longer[DOCUMENT_MAX];
        snprintf(longer, sizeof(longer), "%s%s%s", path, path[0] ? "." : "", key);
        check_field(w, path[0] == '?' || !key[0] ? "?" : longer, v);
    }
}

static void check_field(struct walk *w, const char *path, const json_t *v)
{
    bool is_empty = json_is_object(v) ? json_object_size(v) == 0 : json_is_array(v) && json_array_size(v) == 0;
    if (is_empty && w->arrays)
        return;
    if (json_is_object(v) && !is_empty) {
        check_members(w, path, v);
        return;
    }
    if (json_is_array(v) && !is_empty) {
        w->arrays++;
        for (size_t i = 0; i < json_array_size(v); i++)
            check_field(w, path, json_array_get(v, i));
        w->arrays--;
        return;
    }
    assert_true(w->at < w->ev->n);
    const struct field *f = &w->ev->fields[w->at++];
    assert_int_equal(f->key, path[0] == '?' ? F_NONE : names_find(names, str_of(path)));
    switch (json_typeof(v)) {
    case JSON_STRING:
        assert_int_equal(f->type, VALUE_STR);
        assert_true(str_eq(f->s, (struct str){json_string_value(v), json_string_length(v)}));
        break;
    case JSON_INTEGER:
        assert_int_equal(f->type, VALUE_INT);
        assert_true(f->i == json_integer_value(v));
        break;
    case JSON_REAL:
        assert_int_equal(f->type, VALUE_FLOAT);
        assert_true(f->f == json_real_value(v));
        break;
    default:
        assert_int_equal(f->type, json_is_boolean(v) ? VALUE_BOOL : VALUE_NULL);
        assert_true(!json_is_boolean(v) || f->b == json_is_true(v));
    }
}

/* What we take and jansson does not, on purpose or since it stops earlier. */
static bool may_refuse(const json_error_t *error)
{
    switch (json_error_code(error)) {
    case json_error_invalid_utf8:
    case json_error_numeric_overflow:
    case json_error_duplicate_key:
    case json_error_null_byte_in_key:
    case json_error_null_character:
        return true;
    default:
        return strstr(error->text, "Unicode") != NULL; /* lone surrogates */
    }
}

static void compare(struct str line)
{
    json_error_t error;
    struct event ev;
    json_t *root = json_loadb(line.p, line.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    int err = json_event_read(reader, line, &ev);
    if (json_is_object(root) && err != 0)
        fail_msg("refused: %.*s", STR_ARG(line));
    if (!json_is_object(root) && err == 0 && !may_refuse(&error))
        fail_msg("taken: %.*s: %s", STR_ARG(line), error.text);
    if (json_is_object(root)) {
        struct walk w = {&ev, 0, 0};
        check_members(&w, "", root);
        assert_int_equal(w.at, ev.n);
    }
    json_decref(root);
}

static void agrees_with_jansson(void **state)
{
    static const char bytes[] = "{}[]\",:\\ 0123456789.eE+-tfnua";
    struct buf b = BUF_INIT(DOCUMENT_MAX);
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        buf_reset(&b);
        do {
            buf_reset(&b);
            add_random_value(&b, 0);
        } while (b.data[0] != '{' || b.len > DOCUMENT_MAX / 2);
        char *exact = malloc(b.len); /* so that a sanitizer sees a byte read too many */
        assert_non_null(exact);
        memcpy(exact, b.data, b.len);
        compare((struct str){exact, b.len});
        for (int i = 0; i < 5; i++) {
            exact[roll((unsigned)b.len)] = bytes[roll(sizeof(bytes) - 1)];
            compare((struct str){exact, b.len});
        }
        compare((struct str){exact, roll((unsigned)b.len)});
        free(exact);
    }
    buf_clear(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_values),
        cmocka_unit_test(refuses_what_is_no_object),
        cmocka_unit_test(bounds_depth_and_fields),
        cmocka_unit_test(finds_the_time),
        cmocka_unit_test(leaves_out_what_nobody_asks_for),
        cmocka_unit_test(agrees_with_jansson),
        cmocka_unit_test(forgets_nothing_it_needs),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
