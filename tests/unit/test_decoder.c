/* SPDX-License-Identifier: Apache-2.0
 *
 * The decoder engine: what is wrong with a file is said with its place; who gets a line; what captures become; journal
 * and ECS records; limits.
 */
#include "rules/decoder_impl.h"
#include "tests/unit/decoders_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct decoders_fixture fx;
static struct event ev;

static void load(const char *yaml)
{
    decoders_fixture_init(&fx);
    fx.left_out = decoders_add(fx.ds, str_of(yaml), "t.yml", &fx.diags);
    assert_int_equal(decoders_fixture_finish(&fx), 0);
}

static int decode(struct decode_input in)
{
    arena_reset(fx.arena);
    return decode_line(fx.ctx, &in, fx.arena, &ev);
}

static int decode_text(const char *line)
{
    return decode(decoders_fixture_input(str_of(line)));
}

static struct str text(const char *name)
{
    static char scratch[32];
    const struct field *f = event_get(&ev, names_find(fx.names, str_of(name)));
    return f ? field_text(f, scratch) : STR("(absent)");
}

static void assert_field(const char *name, const char *want)
{
    struct str got = text(name);
    if (!str_eq(got, str_of(want)))
        fail_msg("%s is '" STR_FMT "', want '%s'", name, STR_ARG(got), want);
}

/* ---- loading ---- */

static void says_what_is_wrong_and_where(void **state)
{
    (void)state;
    const struct {
        const char *yaml, *msg;
        int line, col;
    } rows[] = {
        {"doc: x", "a decoder needs a name", 1, 1},
        {"name: a\npattern: []", "unknown key 'pattern' in a decoder", 2, 1},
        {"name: a\nwhen: {programs: x}", "unknown key 'programs' in when", 2, 8},
        {"name: a\nwhen: {program: []}\npatterns: []", "a text or a list of up to 256 texts is wanted", 2, 17},
        {"name: a\npatterns:\n  - match: '%{x:nosuch}'", "unknown placeholder type 'nosuch'", 3, 12},
        {"name: a\npatterns:\n  - match: '%{x}'", "'x': a placeholder is %{field:type}", 3, 12},
        {"name: a\npatterns:\n  - match: '%{a b:word}'", "'a b' is no field name", 3, 12},
        {"name: a\npatterns:\n  - match: 'a %{x:word'", "placeholder without '}' at character 3", 3, 12},
        {"name: a\npatterns:\n  - match: 'a (b'", NULL, 3, 12}, /* PCRE2's own words */
        {"name: a\npatterns:\n  - match: '(?<n>b)'", "named groups are not allowed: write %{field:type}", 3, 12},
        {"name: a\npatterns:\n  - match: '%{x:flag}'", "type 'flag' is for kv maps only", 3, 12},
        {"name: a\npatterns:\n  - {match: a, st: {}}", "unknown key 'st' in a pattern", 3, 16},
        {"name: a\npatterns:\n  - {set: {}}", "a pattern needs match", 3, 5},
        {"name: a\npatterns:\n  - {match: a, set: {x: {y: z}}}", "a value must be a text, a number or true or false", 3,
         25},
        {"name: a\npatterns: [{match: '%{:kv}'}]", "a kv map and a placeholder of type kv need each other", 1, 1},
        {"name: a\npatterns: [{match: x}]\nkv: {A: b}", "'b': a placeholder is %{field:type}", 3, 9},
        {"name: a\npatterns: [{match: x}]\nkv: {A: ':int'}", "':int' names no field", 3, 9},
        {"name: a\nparser: magic", "parser is patterns or access", 2, 9},
        {"name: a\nparser: access\npatterns: [{match: x}]", "parser access takes no patterns", 1, 1},
        {"name: a\npatterns: []", "a decoder without patterns must name programs", 1, 1},
        {"name: a\npatterns: [{match: x}]\nsamples: [{line: x}]", "a sample needs line and a map expect", 3, 11},
        {"- a", "a decoder must be a map", 1, 1},
        {"name: [", NULL, 0, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        decoders_fixture_init(&fx);
        assert_int_equal(decoders_add(fx.ds, str_of(rows[i].yaml), "t.yml", &fx.diags), 1);
        assert_int_equal(fx.diags.errors, 1);
        const struct diag_entry *e = &fx.diags.entries[0];
        assert_string_equal(e->file, "t.yml");
        if (rows[i].msg)
            assert_string_equal(e->diag.msg, rows[i].msg);
        else
            assert_true(strlen(e->diag.msg) > 5);
        if (rows[i].line) {
            assert_int_equal(e->diag.line, rows[i].line);
            assert_int_equal(e->diag.col, rows[i].col);
        }
        assert_int_equal(decoders_count(fx.ds), 0);
        decoders_fixture_clear(&fx);
    }
}

static void keeps_the_good_documents(void **state)
{
    (void)state;
    decoders_fixture_init(&fx);
    const char *yaml = "name: a\npatterns: [{match: x}]\n---\nname: a\npatterns: [{match: y}]\n---\nname: b\n"
                       "patterns: [{match: y}]\nsamples: [{line: y, expect: {}}]";
    assert_int_equal(decoders_add(fx.ds, str_of(yaml), "t.yml", &fx.diags), 1);
    assert_string_equal(fx.diags.entries[0].diag.msg, "decoder 'a' exists already, in t.yml");
    assert_int_equal(fx.diags.entries[0].diag.line, 4);
    assert_int_equal(decoders_count(fx.ds), 2);
    assert_int_equal(decoders_sample_count(fx.ds), 1);
    assert_string_equal(decoders_sample(fx.ds, 0)->decoder, "b");
    assert_null(decoders_sample(fx.ds, 1));
    decoders_fixture_clear(&fx);
}

static void works_without_any_decoder(void **state)
{
    (void)state;
    load("# nothing\n");
    assert_int_equal(decode_text("Mar 14 08:15:02 gate sshd[812]: hello"), 0);
    assert_field("message", "hello");
    assert_field("event.dataset", "system.syslog");
    assert_field("event.kind", "event");
    assert_field("host.name", "gate");
    assert_null(decode_winner(fx.ctx));
    assert_int_equal(decode_text("what is this"), 0);
    assert_field("message", "what is this");
    assert_field("host.name", "sender");
    assert_true(ev.ts_is_guessed);
    assert_true(ev.ts_ns == DECODER_SAMPLE_READ_NS);
    assert_int_equal(decode_text(""), 0);
    struct decode_stats st;
    decode_stats(fx.ctx, &st);
    assert_int_equal(st.lines, 3);
    assert_int_equal(st.known, 0);
    decoders_fixture_clear(&fx);
}

/* ---- who gets the line ---- */

static void type_goes_before_path_before_program_before_content(void **state)
{
    (void)state;
    load("{name: content, when: {starts: ['h']}, patterns: [{match: 'hello.*'}]}\n---\n"
         "{name: program, when: {program: [p]}, patterns: [{match: 'hello.*'}]}\n---\n"
         "{name: path, when: {path: ['/var/*.x']}, patterns: [{match: 'hello.*'}]}\n---\n"
         "{name: type, when: {type: [t]}, patterns: [{match: 'hello.*'}]}");
    struct decode_input in = decoders_fixture_input(STR("Mar 14 08:15:02 gate p[1]: hello"));
    in.type = STR("t");
    in.path = STR("/var/log/a.x");
    assert_int_equal(decode(in), 1);
    assert_string_equal(decode_winner(fx.ctx), "type");
    in.type = STR("other");
    assert_int_equal(decode(in), 1);
    assert_string_equal(decode_winner(fx.ctx), "path");
    in.path = STR("/srv/a.x");
    assert_int_equal(decode(in), 1);
    assert_string_equal(decode_winner(fx.ctx), "program");
    assert_int_equal(decode_text("Mar 14 08:15:02 gate q[1]: hello"), 1);
    assert_string_equal(decode_winner(fx.ctx), "content");
    assert_int_equal(decode_text("Mar 14 08:15:02 gate q[1]: jello"), 0);
    assert_int_equal(decode_text("hello"), 0); /* no header: only what says `bare` or is selected */
    decoders_fixture_clear(&fx);
}

static void a_wrong_type_does_not_hide_the_line(void **state)
{
    (void)state;
    load("{name: a, when: {type: [t]}, patterns: [{match: 'never'}]}\n---\n"
         "{name: b, when: {program: [p]}, patterns: [{match: 'hello'}]}");
    struct decode_input in = decoders_fixture_input(STR("Mar 14 08:15:02 gate p[1]: hello"));
    in.type = STR("t");
    assert_int_equal(decode(in), 1);
    assert_string_equal(decode_winner(fx.ctx), "b");
    decoders_fixture_clear(&fx);
}

static void guards_must_hold(void **state)
{
    (void)state;
    load("{name: a, when: {program: [p], starts: ['x', 'y'], contains: ['1', '2']}, set: {event.dataset: d}, patterns: "
         "[{match: '.*'}]}");
    assert_int_equal(decode_text("Mar 14 08:15:02 gate p: x 1"), 1);
    assert_int_equal(decode_text("Mar 14 08:15:02 gate p: y 2"), 1);
    assert_int_equal(decode_text("Mar 14 08:15:02 gate p: x 3"), 0);
    assert_int_equal(decode_text("Mar 14 08:15:02 gate p: z 1"), 0);
    assert_field("event.dataset", "system.syslog");
    decoders_fixture_clear(&fx);
}

static void unknown_messages_of_a_program_keep_its_dataset(void **state)
{
    (void)state;
    load("{name: a, when: {program: [p]}, set: {event.dataset: d, event.module: m}, patterns: [{match: 'known'}]}");
    assert_int_equal(decode_text("Mar 14 08:15:02 gate p[9]: something else"), 0);
    assert_field("event.dataset", "d");
    assert_field("event.module", "m");
    assert_field("message", "something else");
    assert_field("process.pid", "9");
    assert_field("process.name", "p");
    assert_null(decode_winner(fx.ctx));
    decoders_fixture_clear(&fx);
}

/* ---- patterns ---- */

static void patterns_are_tried_in_order_and_whole(void **state)
{
    (void)state;
    load("name: a\nwhen: {program: p}\npatterns:\n"
         "  - {match: 'ab?c', set: {n: 1}}\n"
         "  - {match: 'a|xyz', set: {n: 2}}\n"
         "  - {match: 'a.*', set: {n: 3}}\n"
         "  - {match: 'ab\\.\\[c\\]', set: {n: 4}}\n"
         "  - {match: '\\d+x', set: {n: 5}}\n"
         "  - {match: '%%{:word}%', set: {n: 6}}");
    const struct {
        const char *msg, *n;
    } rows[] = {{"ac", "1"},   {"abc", "1"},    {"a", "2"},   {"xyz", "2"},
                {"abcd", "3"}, {"ab.[c]", "3"}, {"42x", "5"}, {"%w%", "6"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char line[100];
        snprintf(line, sizeof(line), "Mar 14 08:15:02 gate p: %s", rows[i].msg);
        assert_int_equal(decode_text(line), 1);
        assert_field("n", rows[i].n);
    }
    assert_int_equal(decode_text("Mar 14 08:15:02 gate p: xxyz"), 0);
    assert_int_equal(decode_text("Mar 14 08:15:02 gate p: xyzz"), 0);
    struct decode_why why;
    assert_int_equal(decode_text("Mar 14 08:15:02 gate p: abc"), 1);
    assert_true(decode_explain(fx.ctx, &why));
    assert_string_equal(why.pattern, "ab?c");
    assert_int_equal(why.line, 4);
    decoders_fixture_clear(&fx);
}

static void captures_become_typed_fields(void **state)
{
    (void)state;
    load("name: a\nwhen: {program: p}\npatterns:\n"
         "  - match: '%{source.ip:ip} %{port:port} %{n:int} %{user.name,user.target.name:user} %{q:quoted} %{m:mac} "
         "%{l:lower}'\n"
         "  - match: 'h %{source.address:host}( %{opt:word})?'\n");
    assert_int_equal(
        decode_text("Mar 14 08:15:02 gate p: ::ffff:192.0.2.1 22 -5 a b \"q \\\" r\" 00:00:5e:00:53:af TCP"), 1);
    assert_field("source.ip", "192.0.2.1");
    assert_field("source.address", "::ffff:192.0.2.1");
    assert_field("port", "22");
    assert_field("n", "-5");
    assert_int_equal(event_get(&ev, names_find(fx.names, STR("n")))->type, VALUE_INT);
    assert_field("user.name", "a b");
    assert_field("user.target.name", "a b");
    assert_field("q", "q \\\" r");
    assert_field("m", "00-00-5E-00-53-AF");
    assert_field("l", "tcp");
    assert_int_equal(decode_text("Mar 14 08:15:02 gate p: 999.0.2.1 22 -5 a \"q\" 00:00:5e:00:53:af TCP"),
                     0); /* no address */
    assert_field("source.ip", "(absent)");
    assert_field("port", "(absent)");
    assert_int_equal(decode_text("Mar 14 08:15:02 gate p: 192.0.2.1 70000 -5 a \"q\" 00:00:5e:00:53:af TCP"), 0);
    assert_int_equal(decode_text("Mar 14 08:15:02 gate p: h pc.example.net"), 1);
    assert_field("source.address", "pc.example.net");
    assert_field("source.ip", "(absent)");
    assert_field("opt", "(absent)");
    assert_int_equal(decode_text("Mar 14 08:15:02 gate p: h 2001:db8::1 x"), 1);
    assert_field("source.ip", "2001:db8::1");
    assert_field("opt", "x");
    decoders_fixture_clear(&fx);
}

static void pattern_set_overrides_and_removes(void **state)
{
    (void)state;
    load("name: a\nwhen: {program: p}\nset: {a: 1, b: two, c: [x, y], d: true}\npatterns:\n"
         "  - {match: 'one', set: {a: '5', c: z, d: ~, e: [p, q]}}");
    assert_int_equal(decode_text("Mar 14 08:15:02 gate p: one"), 1);
    assert_field("a", "5");
    assert_int_equal(event_get(&ev, names_find(fx.names, STR("a")))->type, VALUE_STR);
    assert_field("b", "two");
    assert_field("c", "z");
    assert_field("d", "(absent)");
    const struct field *e = event_get(&ev, names_find(fx.names, STR("e")));
    assert_true(str_eq(e->s, STR("p")));
    assert_true(str_eq(event_get_next(&ev, e)->s, STR("q")));
    assert_int_equal(decode_text("Mar 14 08:15:02 gate p: unknown"), 0);
    assert_field("d", "true");
    assert_int_equal(event_get(&ev, names_find(fx.names, STR("a")))->type, VALUE_INT);
    decoders_fixture_clear(&fx);
}

static void strips_what_levels_put_around_a_message(void **state)
{
    (void)state;
    load("{name: a, when: {program: p}, strip: {start: ['error: '], end: [' [x]']}, patterns: [{match: 'm "
         "%{u:user}'}]}");
    assert_int_equal(decode_text("Mar 14 08:15:02 gate p: error: m v [x]"), 1);
    assert_field("u", "v");
    assert_field("message", "error: m v [x]");
    assert_int_equal(decode_text("Mar 14 08:15:02 gate p: m v"), 1);
    decoders_fixture_clear(&fx);
}

static void a_regex_that_runs_wild_is_no_match(void **state)
{
    (void)state;
    load("{name: a, when: {program: p}, patterns: [{match: '((a|aa)+)+[bd]'}, {match: 'a+c'}]}");
    char line[400] = "Mar 14 08:15:02 gate p: ";
    size_t n = strlen(line);
    memset(line + n, 'a', 300);
    line[n + 300] = 'c';
    assert_int_equal(decode_text(line), 1); /* the second pattern still gets its turn */
    struct decode_stats st;
    decode_stats(fx.ctx, &st);
    assert_true(st.limit_hits > 0);
    decoders_fixture_clear(&fx);
}

static void kv_takes_the_first_of_each_key(void **state)
{
    (void)state;
    load("name: a\nwhen: {program: p}\nkv: {A: a:int, B: b:text, F: f:flag, IP: source.ip:ip}\npatterns: [{match: 'x "
         "%{:kv}'}]");
    assert_int_equal(decode_text("Mar 14 08:15:02 gate p: x  A=1 B= C=9 F A=2 F=1 IP=999 noise [B=inner]"), 1);
    assert_field("a", "1");
    assert_field("b", "(absent)");
    assert_field("f", "F");
    assert_field("source.ip", "(absent)");
    assert_int_equal(decode_text("Mar 14 08:15:02 gate p: x IP=192.0.2.1 B=x=y"), 1);
    assert_field("source.ip", "192.0.2.1");
    assert_field("b", "x=y");
    decoders_fixture_clear(&fx);
}

static void keeps_origin_and_times(void **state)
{
    (void)state;
    load("{name: a, when: {program: p}, patterns: [{match: 'm'}]}");
    struct decode_input in = decoders_fixture_input(STR("<38>Mar 14 08:15:02 gate p: m\r\n"));
    in.agent_id = "5f0c0000-0000-4000-8000-000000000001";
    in.agent_name = STR("gate-agent");
    in.source = STR("auth");
    in.path = STR("/var/log/auth.log");
    in.ingested_ns = in.read_ns + 5;
    assert_int_equal(decode(in), 1);
    assert_field("agent.id", in.agent_id);
    assert_field("agent.name", "gate-agent");
    assert_field("vonggac.source.name", "auth");
    assert_field("log.file.path", "/var/log/auth.log");
    assert_field("log.level", "info");
    assert_true(ev.created_ns == in.read_ns);
    assert_true(ev.ingested_ns == in.read_ns + 5);
    assert_true(str_eq(ev.raw, in.line));
    decoders_fixture_clear(&fx);
}

/* ---- records ---- */

static int decode_record(const char *json, uint8_t encoding)
{
    struct decode_input in = decoders_fixture_input(str_of(json));
    in.encoding = encoding;
    return decode(in);
}

static void reads_journal_entries(void **state)
{
    (void)state;
    load("{name: a, when: {program: p}, patterns: [{match: 'm %{u:user}'}]}\n---\n"
         "{name: k, when: {program: kernel}, patterns: [{match: 'm %{k:user}'}]}");
    assert_int_equal(
        decode_record("{\"MESSAGE\":\"m \\\"x\\\"\",\"SYSLOG_IDENTIFIER\":\"p\",\"_PID\":\"7\",\"PRIORITY\":\"3\","
                      "\"_HOSTNAME\":\"gate\",\"__REALTIME_TIMESTAMP\":\"1773450904123457\","
                      "\"_SOURCE_REALTIME_TIMESTAMP\":\"1773450904123456\"}",
                      BATCH_JOURNAL),
        1);
    assert_field("u", "\"x\"");
    assert_field("process.pid", "7");
    assert_field("log.level", "err");
    assert_field("host.name", "gate");
    assert_true(ev.ts_ns == INT64_C(1773450904123456000));
    assert_false(ev.ts_is_guessed);

    assert_int_equal(decode_record("{\"MESSAGE\":[109,32,27,91],\"_COMM\":\"p\",\"SYSLOG_PID\":\"8\"}", BATCH_JOURNAL),
                     1);
    assert_field("u", "\x1b[");
    assert_field("process.pid", "8");
    assert_field("host.name", "sender");
    assert_true(ev.ts_is_guessed);

    assert_int_equal(decode_record("{\"MESSAGE\":[\"m one\",\"m two\"],\"SYSLOG_IDENTIFIER\":\"p\"}", BATCH_JOURNAL),
                     1);
    assert_field("u", "one");
    assert_int_equal(decode_record("{\"MESSAGE\":null,\"SYSLOG_IDENTIFIER\":\"p\"}", BATCH_JOURNAL), 0);
    assert_field("process.name", "p");

    assert_int_equal(decode_record("{\"MESSAGE\":\"m x\",\"_TRANSPORT\":\"kernel\"}", BATCH_JOURNAL), 1);
    assert_field("k", "x");
    assert_int_equal(decode_record("{\"MESSAGE\":\"m x\",\"_TRANSPORT\":\"syslog\",\"SYSLOG_IDENTIFIER\":\"kernel\","
                                   "\"_COMM\":\"logger\"}",
                                   BATCH_JOURNAL),
                     0);
    assert_field("process.name", "logger"); /* nobody but the kernel speaks for it */
    decoders_fixture_clear(&fx);
}

static void counts_records_that_are_not_json(void **state)
{
    (void)state;
    load("# nothing\n");
    struct decode_stats st;
    const char *bad[] = {"", "{", "not json", "{\"MESSAGE\":\"a\"", "{\"MESSAGE\":[300]}", "{\"MESSAGE\":\"\\x\"}"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(decode_record(bad[i], BATCH_JOURNAL), 0);
    assert_field("message", "{\"MESSAGE\":\"\\x\"}");
    assert_int_equal(decode_record("{\"host.name\":", BATCH_ECS), 0);
    assert_field("event.kind", "event");
    decode_stats(fx.ctx, &st);
    assert_int_equal(st.bad_records, ARRAY_LEN(bad) + 1);
    decoders_fixture_clear(&fx);
}

static void reads_ecs_records(void **state)
{
    (void)state;
    load("# nothing\n");
    assert_int_equal(
        decode_record("{\"@timestamp\":\"2026-03-14T01:15:04Z\",\"event.dataset\":\"vonggac.health\","
                      "\"event.category\":[\"host\",\"network\"],\"source.port\":22,\"vonggac.last_seen\":1.5,"
                      "\"host\":{\"name\":\"h\",\"id\":null},\"message\":true,\"no.such.name\":1,"
                      "\"event.original\":\"raw line\",\"event.type\":[[1],{}]}",
                      BATCH_ECS),
        1);
    assert_field("event.dataset", "vonggac.health");
    assert_field("source.port", "22");
    assert_field("vonggac.last_seen", "1.5");
    assert_field("host.name", "h");
    assert_field("host.id", "");
    assert_field("message", "true");
    assert_field("event.kind", "event");
    const struct field *f = event_get(&ev, F_EVENT_CATEGORY);
    assert_true(str_eq(f->s, STR("host")));
    assert_true(str_eq(event_get_next(&ev, f)->s, STR("network")));
    assert_true(str_eq(ev.raw, STR("raw line")));
    assert_true(ev.ts_ns == INT64_C(1773450904) * NS_PER_S);
    assert_false(ev.ts_is_guessed);
    struct decode_stats st;
    decode_stats(fx.ctx, &st);
    assert_int_equal(st.dropped_fields, 3);
    decoders_fixture_clear(&fx);
}

static void a_full_event_counts_what_it_drops(void **state)
{
    (void)state;
    load("# nothing\n");
    char json[8192] = "{\"event.type\":[0";
    size_t n = strlen(json);
    for (int i = 0; i < EVENT_FIELDS_MAX + 9; i++)
        n += (size_t)snprintf(json + n, sizeof(json) - n, ",%d", i);
    snprintf(json + n, sizeof(json) - n, "]}");
    assert_int_equal(decode_record(json, BATCH_ECS), 1);
    assert_int_equal(ev.n, EVENT_FIELDS_MAX);
    struct decode_stats st;
    decode_stats(fx.ctx, &st);
    assert_int_equal(st.dropped_fields, 10);
    decoders_fixture_clear(&fx);
}

static void says_when_memory_is_out(void **state)
{
    (void)state;
    load("# nothing\n");
    struct arena *tiny = arena_new(64);
    struct decode_input in = decoders_fixture_input(STR("x"));
    assert_true(decode_line(fx.ctx, &in, tiny, &ev) < 0);
    arena_free(tiny);
    decoders_fixture_clear(&fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_what_is_wrong_and_where),
        cmocka_unit_test(keeps_the_good_documents),
        cmocka_unit_test(works_without_any_decoder),
        cmocka_unit_test(type_goes_before_path_before_program_before_content),
        cmocka_unit_test(a_wrong_type_does_not_hide_the_line),
        cmocka_unit_test(guards_must_hold),
        cmocka_unit_test(unknown_messages_of_a_program_keep_its_dataset),
        cmocka_unit_test(patterns_are_tried_in_order_and_whole),
        cmocka_unit_test(captures_become_typed_fields),
        cmocka_unit_test(pattern_set_overrides_and_removes),
        cmocka_unit_test(strips_what_levels_put_around_a_message),
        cmocka_unit_test(a_regex_that_runs_wild_is_no_match),
        cmocka_unit_test(kv_takes_the_first_of_each_key),
        cmocka_unit_test(keeps_origin_and_times),
        cmocka_unit_test(reads_journal_entries),
        cmocka_unit_test(counts_records_that_are_not_json),
        cmocka_unit_test(reads_ecs_records),
        cmocka_unit_test(a_full_event_counts_what_it_drops),
        cmocka_unit_test(says_when_memory_is_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
