/* SPDX-License-Identifier: Apache-2.0
 *
 * What a detection means: fields, values, modifiers and conditions, each by rules that must and must not match.
 */
#include "tests/unit/rule_helper.h"

#define SEL(items) RULE "detection: {sel: {" items "}, condition: sel}\n"

static void expect(const char *yaml, int line, int n, const char *field, const char *value)
{
    struct set s = set_good(yaml);
    int got = field ? matches(&s, field, value, NULL) : matches(&s, NULL);
    if (got != n)
        fail_msg("line %d: %d matches, not %d", line, got, n);
    set_clear(&s);
}
#define YES(yaml, field, value) expect(yaml, __LINE__, 1, field, value)
#define NO(yaml, field, value)  expect(yaml, __LINE__, 0, field, value)

static void test_values(void **state)
{
    (void)state;
    YES(SEL("f: abc"), "f", "ABC");
    NO(SEL("f: abc"), "f", "abcd");
    NO(SEL("f: abc"), "g", "abc");
    YES(SEL("f: [x, abc]"), "f", "abc");
    YES(SEL("f: 'a*c'"), "f", "abbbc");
    YES(SEL("f: 42"), "f", "42");
    YES(SEL("f: '42'"), "f", "42");
    NO(SEL("f: 42"), "f", "042");
    YES(SEL("f: true"), "f", "True");
    YES(SEL("f: ''"), "f", "");
    NO(SEL("f: ''"), "f", "x");
    NO(SEL("f: ''"), "g", "x");
    YES(SEL("f: null"), "g", "x");
    NO(SEL("f: null"), "f", "");
    NO(SEL("f: null"), "f", "x");
    YES(SEL("f: "), "g", "x");
    YES(SEL("f: '*'"), "f", "");
    NO(SEL("f: '*'"), "g", "");
    YES(SEL("Sigma: abc"), "ecs.field", "abc"); /* by the mapping */
    NO(SEL("Sigma: abc"), "Sigma", "abc");
    YES(RULE "taxonomy: ecs\ndetection: {sel: {Sigma: abc}, condition: sel}\n", "Sigma", "abc");
    YES(SEL("event.original: '*raw*'"), "event.original", "so RAW it is");
}

static void test_typed_fields(void **state)
{
    (void)state;
    struct set s = set_good(SEL("f: 42"));
    struct arena *arena = arena_new(1 * MIB);
    struct matcher *m = matcher_new(s.rules, 1 * MIB);
    name_id f = names_find(s.names, STR("f"));
    struct field fields[] = {
        {.key = f, .type = VALUE_INT, .i = 42},        {.key = f, .type = VALUE_FLOAT, .f = 42.0},
        {.key = f, .type = VALUE_STR, .s = STR("42")}, {.key = f, .type = VALUE_NULL},
        {.key = f, .type = VALUE_BOOL, .b = true},
    };
    static const int want[] = {1, 1, 1, 0, 0};
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        struct event ev;
        event_begin(&ev, arena);
        assert_int_equal(event_add_field(&ev, &fields[i]), 0);
        int n = 0;
        assert_int_equal(matcher_eval(m, &ev, count_match, &n), 0);
        assert_int_equal(n, want[i]);
    }
    matcher_free(m);
    set_clear(&s);
    arena_free(arena);
}

static void test_null_and_exists(void **state)
{
    (void)state;
    struct set s =
        set_good("name: is_null\ntitle: A\n" LOGSOURCE "detection: {sel: {f: null}, condition: sel}\n---\n"
                 "name: is_empty\ntitle: B\n" LOGSOURCE "detection: {sel: {f: ''}, condition: sel}\n---\n"
                 "name: exists\ntitle: C\n" LOGSOURCE "detection: {sel: {f|exists: true}, condition: sel}\n---\n"
                 "name: missing\ntitle: D\n" LOGSOURCE "detection: {sel: {f|exists: no}, condition: sel}\n");
    struct arena *arena = arena_new(1 * MIB);
    struct matcher *m = matcher_new(s.rules, 1 * MIB);
    struct event ev;
    int n = 0;
    event_begin(&ev, arena);
    assert_int_equal(event_add_field(&ev, &(struct field){.key = names_find(s.names, STR("f")), .type = VALUE_NULL}),
                     0);
    assert_int_equal(matcher_eval(m, &ev, count_match, &n), 0);
    assert_int_equal(n, 2);                          /* null and exists */
    assert_int_equal(matches(&s, "f", "", NULL), 2); /* empty and exists */
    assert_int_equal(matches(&s, "g", "", NULL), 2); /* null and missing */
    matcher_free(m);
    arena_free(arena);
    set_clear(&s);
}

static void test_arrays(void **state)
{
    (void)state;
    struct set s = set_good(SEL("f|contains|all: [one, two]"));
    assert_int_equal(matches(&s, "f", "one", "f", "two", NULL), 1); /* each by some element */
    assert_int_equal(matches(&s, "f", "one", "g", "two", NULL), 0);
    set_clear(&s);
    s = set_good(RULE "detection: {sel: {f: one}, other: {f: two}, condition: sel and not other}\n");
    assert_int_equal(matches(&s, "f", "one", "f", "three", NULL), 1);
    assert_int_equal(matches(&s, "f", "one", "f", "two", NULL), 0);
    set_clear(&s);
}

static void test_string_modifiers(void **state)
{
    (void)state;
    YES(SEL("f|contains: b"), "f", "aBc");
    YES(SEL("f|startswith: ab"), "f", "ABc");
    NO(SEL("f|startswith: bc"), "f", "abc");
    YES(SEL("f|endswith: bc"), "f", "aBC");
    NO(SEL("f|endswith: ab"), "f", "abc");
    YES(SEL("f|contains|all: [a, c]"), "f", "abc");
    NO(SEL("f|contains|all: [a, x]"), "f", "abc");
    YES(SEL("f|contains: 'a*c'"), "f", "xxabcxx");
    NO(SEL("f|cased: abc"), "f", "ABC");
    YES(SEL("f|contains|cased: B"), "f", "aBc");
    NO(SEL("f|contains|cased: b"), "f", "aBc");
    YES(SEL("f|neq: abc"), "f", "abd");
    NO(SEL("f|neq: abc"), "f", "ABC");
    NO(SEL("f|neq: [x, abc]"), "f", "abc");
    YES(SEL("f|neq: abc"), "g", "abc");
    YES(SEL("f|contains|windash: ' -enc '"), "f", "x /enc y");
    YES(SEL("f|windash|contains: ' -enc '"), "f", "x /enc y");
    YES(SEL("f|base64|contains: foobar"), "f", "x Zm9vYmFy y");
    YES(SEL("f|base64offset|contains: 'http://'"), "f", "eGh0dHA6Ly9i");
    NO(SEL("f|base64offset|contains: 'http://'"), "f", "http://");
    YES(SEL("f|wide|base64offset|contains: IEX"), "f", "xx SQBFAFgA yy"); /* I\0E\0X\0 */
    YES(SEL("f|utf16le|base64offset|contains: IEX"), "f", "xx SQBFAFgA yy");
}

static void test_comparisons(void **state)
{
    (void)state;
    YES(SEL("f|re: b+c$"), "f", "abbc");
    NO(SEL("f|re: B+c$"), "f", "abbc");
    YES(SEL("f|re|i: B+c$"), "f", "abbc");
    YES(SEL("f|re: ['x', '^a']"), "f", "abbc");
    NO(SEL("f|re|all: ['x', '^a']"), "f", "abbc");
    NO(SEL("f|re|neq: '^a'"), "f", "abbc");
    YES(SEL("f|cidr: 10.0.0.0/8"), "f", "10.1.2.3");
    YES(SEL("f|cidr: [192.168.0.0/16, 'fd00::/8']"), "f", "fd12::1");
    NO(SEL("f|cidr: 10.0.0.0/8"), "f", "11.1.2.3");
    YES(SEL("f|lt: 10"), "f", "9");
    NO(SEL("f|lt: 10"), "f", "10");
    YES(SEL("f|lte: 10"), "f", "10");
    YES(SEL("f|gt: -1.5"), "f", "-1");
    YES(SEL("f|gte: 400"), "f", "404");
    NO(SEL("f|gte: 400"), "f", "40x");
    NO(SEL("f|gte: 400"), "f", "");
    NO(SEL("f|gte: 0"), "f", "inf");
    NO(SEL("f|lt: 400"), "g", "1");
}

static void test_fieldref(void **state)
{
    (void)state;
    struct set s = set_good(SEL("f|fieldref: Other"));
    assert_int_equal(matches(&s, "f", "abc", "ecs.other", "ABC", NULL), 1);
    assert_int_equal(matches(&s, "f", "abc", "ecs.other", "x", "ecs.other", "abc", NULL), 1);
    assert_int_equal(matches(&s, "f", "abc", "ecs.other", "abd", NULL), 0);
    assert_int_equal(matches(&s, "f", "abc", NULL), 0);
    set_clear(&s);
    s = set_good(SEL("f|fieldref|endswith: g"));
    assert_int_equal(matches(&s, "f", "abc", "g", "bc", NULL), 1);
    assert_int_equal(matches(&s, "f", "abc", "g", "ab", NULL), 0);
    set_clear(&s);
    s = set_good(SEL("f|fieldref|neq: g"));
    assert_int_equal(matches(&s, "f", "abc", "g", "bc", NULL), 1);
    assert_int_equal(matches(&s, "f", "abc", "g", "abc", NULL), 0);
    set_clear(&s);
}

static void test_keywords(void **state)
{
    (void)state;
    static const char any[] = RULE "detection:\n  kw: [Evil Service, 'svch?st', 4711]\n  condition: kw\n";
    YES(any, "event.original", "x EVIL service y");
    YES(any, "event.original", "svchost.exe");
    YES(any, "event.original", "port 47110");
    NO(any, "event.original", "evil");
    NO(any, "f", "Evil Service"); /* only in the line as it came */
    static const char all[] = RULE "detection:\n  kw:\n    '|all': [one, two]\n  condition: kw\n";
    YES(all, "event.original", "two and ONE");
    NO(all, "event.original", "two");
    YES(RULE "detection: {kw: single, condition: kw}\n", "event.original", "a single word");
    YES(RULE "detection: {kw: {'|re': 'a.c'}, condition: kw}\n", "event.original", "xabcx");
    static const char mixed[] =
        RULE "detection:\n  sel:\n    - word\n    - f: x\n      g: y\n    - f: z\n  condition: sel\n";
    YES(mixed, "event.original", "a WORD");
    YES(mixed, "f", "z");
    NO(mixed, "f", "x");
}

static void test_maps_are_and_lists_are_or(void **state)
{
    (void)state;
    struct set s = set_good(SEL("f: a, g: [b, c]"));
    assert_int_equal(matches(&s, "f", "a", "g", "c", NULL), 1);
    assert_int_equal(matches(&s, "f", "a", NULL), 0);
    assert_int_equal(matches(&s, "g", "b", NULL), 0);
    set_clear(&s);
}

/* Truth of a condition over three selections a, b and _c. */
static void condition(const char *text, const char *want, int line)
{
    char yaml[1000];
    snprintf(yaml, sizeof(yaml), RULE "detection:\n  sel_a: {a: 1}\n  sel_b: {b: 1}\n  _c: {c: 1}\n  condition: %s\n",
             text);
    struct set s = set_good(yaml);
    for (int i = 0; i < 8; i++) {
        int got = matches(&s, "a", i & 1 ? "1" : "0", "b", i & 2 ? "1" : "0", "c", i & 4 ? "1" : "0", NULL);
        if (got != want[i] - '0')
            fail_msg("line %d: %s: wrong for case %d", line, text, i);
    }
    set_clear(&s);
}
#define COND(text, want) condition(text, want, __LINE__)

static void test_conditions(void **state)
{
    (void)state;
    /*            a: -x-x-x-x   b: --xx--xx   c: ----xxxx */
    COND("sel_a", "01010101");
    COND("not sel_a", "10101010");
    COND("sel_a and sel_b", "00010001");
    COND("sel_a or sel_b and _c", "01010111"); /* and before or */
    COND("(sel_a or sel_b) and _c", "00000111");
    COND("not sel_a and sel_b", "00100010"); /* not before and */
    COND("not (sel_a and sel_b)", "11101110");
    COND("not not sel_a", "01010101");
    COND("1 of them", "01110111");
    COND("all of them", "00010001");
    COND("any of them", "01110111");
    COND("1 of sel_*", "01110111");
    COND("all of sel_*", "00010001");
    COND("1 of *", "01110111"); /* names with underscore only when asked for */
    COND("all of *_*", "00010001");
    COND("1 of _*", "00001111");
    COND("not 1 of sel_*", "10001000");
    COND("1 of sel_* and not _c", "01110000");
    COND("sel_a AND NOT sel_b", "01000100");
    COND("[sel_a and _c, sel_b and _c]", "00000111"); /* a list: any of them */
    COND("'((sel_a))'", "01010101");
    COND("|\n    sel_a\n    or sel_b", "01110111");
}

struct why {
    size_t n;
    struct matched all[MATCHED_MAX];
};

static void keep_why(const struct match *match, void *ctx)
{
    struct why *why = ctx;
    why->n = match->n_matched;
    memcpy(why->all, match->matched, match->n_matched * sizeof(*match->matched));
    assert_int_equal(match->count, 1);
}

static void test_why(void **state)
{
    (void)state;
    struct set s = set_good(RULE "detection:\n  sel: {Sigma|contains: [zzz, 'Union*Select'], f: x}\n  neg: {g: y}\n"
                                 "  kw: [in line]\n  condition: (sel or kw) and not neg\n");
    struct arena *arena = arena_new(1 * MIB);
    struct matcher *m = matcher_new(s.rules, 1 * MIB);
    struct event ev;
    event_begin(&ev, arena);
    event_text(&s, &ev, "ecs.field", "1 UNION all select 2");
    event_text(&s, &ev, "f", "X");
    event_text(&s, &ev, "event.original", "nothing here");
    struct why why = {0};
    assert_int_equal(matcher_eval(m, &ev, keep_why, &why), 0);
    assert_int_equal(why.n, 2);
    assert_int_equal(why.all[0].field, names_find(s.names, STR("ecs.field")));
    assert_true(str_eq(why.all[0].field_name, STR("Sigma")));
    assert_true(str_eq(why.all[0].value, STR("1 UNION all select 2")));
    assert_true(str_eq(why.all[0].pattern, STR("*Union*Select*")));
    assert_true(str_eq(why.all[0].selection, STR("sel")));
    assert_true(str_eq(why.all[1].value, STR("X")));
    matcher_free(m);
    arena_free(arena);
    set_clear(&s);
}

static void test_sources(void **state)
{
    (void)state;
    struct set s = set_begin();
    static const char mapping[] = "- logsource: {category: two}\n  when: {event.dataset: [test], kind: [a]}\n"
                                  "  fields: {F: fa}\n"
                                  "- logsource: {category: two}\n  when: {event.dataset: [test, more], kind: [b, c]}\n"
                                  "  fields: {F: fb}\n";
    assert_int_equal(ruleset_add_mapping(s.rules, STR(mapping), "m.yml", &s.diags), 0);
    static const char rules[] =
        "title: A\nlogsource: {category: two}\ndetection: {s: {F: x}, condition: s}\n---\n"
        "title: B\nlogsource: {category: none}\ndetection: {s: {F: x}, condition: s}\n---\n"
        "title: C\nlogsource: {category: two, product: p}\ndetection: {s: {F: x}, condition: s}\n";
    assert_int_equal(ruleset_add(s.rules, STR(rules), "r.yml", &s.diags), 0);
    set_compile(&s);
    assert_int_equal(s.left_out, 0);
    assert_int_equal(s.diags.warnings, 2); /* B and C: no mapping, they stay and never match */
    assert_int_equal(ruleset_count(s.rules), 3);
    assert_false(ruleset_rule(s.rules, 0)->is_unmapped);
    assert_true(ruleset_rule(s.rules, 1)->is_unmapped);
    assert_int_equal(matches(&s, "kind", "a", "fa", "x", NULL), 1);
    assert_int_equal(matches(&s, "kind", "b", "fa", "x", NULL), 0);
    assert_int_equal(matches(&s, "kind", "c", "fb", "x", NULL), 1);
    assert_int_equal(matches(&s, "kind", "a", "kind", "b", "fa", "x", "fb", "x", NULL), 1); /* once a rule */
    assert_int_equal(matches(&s, "fa", "x", NULL), 0);
    set_clear(&s);
}

static void test_filters(void **state)
{
    (void)state;
    static const char yaml[] =
        "title: A\nid: 11111111-0000-4000-8000-000000000001\n" LOGSOURCE "detection: {s: {f: x}, condition: s}\n---\n"
        "title: F\n" LOGSOURCE "filter:\n  rules: [11111111-0000-4000-8000-000000000001, nobody]\n"
        "  selection: {Sigma|startswith: adm_}\n  condition: not selection\n---\n"
        "title: G\nlogsource: {product: other}\nfilter:\n  rules: [11111111-0000-4000-8000-000000000001]\n"
        "  selection: {f: never}\n  condition: selection\n";
    struct set s = set_good(yaml);
    assert_int_equal(s.diags.warnings, 2); /* nobody; another logsource */
    assert_int_equal(ruleset_count(s.rules), 1);
    assert_int_equal(matches(&s, "f", "x", NULL), 1);
    assert_int_equal(matches(&s, "f", "x", "ecs.field", "bob", NULL), 1);
    assert_int_equal(matches(&s, "f", "x", "ecs.field", "adm_bob", NULL), 0);
    set_clear(&s);
}

static void test_placeholders(void **state)
{
    (void)state;
    struct set s = set_begin();
    static const char yaml[] =
        SEL("f|cidr|expand: '%nets%'") "---\n"
                                       "name: b\ntitle: B\n" LOGSOURCE
                                       "detection: {s: {f|expand: ['a-%one%-%two%', '100\\%']}, condition: s}\n---\n"
                                       "name: c\ntitle: C\n" LOGSOURCE
                                       "detection: {s: {f: '%one%'}, condition: s}\n---\n"
                                       "name: d\ntitle: D\n" LOGSOURCE
                                       "detection: {s: {f|expand: '%nobody%'}, condition: s}\n---\n"
                                       "name: e\ntitle: E\n" LOGSOURCE
                                       "detection: {s: {f|expand: '\\%one%two%'}, condition: s}\n";
    assert_int_equal(ruleset_add(s.rules, STR(yaml), "r.yml", &s.diags), 0);
    assert_int_equal(ruleset_placeholder(s.rules, "nets", STR("10.0.0.0/8")), 0);
    assert_int_equal(ruleset_placeholder(s.rules, "nets", STR("fd00::/8")), 0);
    assert_int_equal(ruleset_placeholder(s.rules, "one", STR("1")), 0);
    assert_int_equal(ruleset_placeholder(s.rules, "one", STR("i*")), 0);
    assert_int_equal(ruleset_placeholder(s.rules, "two", STR("2")), 0);
    set_compile(&s);
    assert_int_equal(s.left_out, 1);
    assert_int_equal(s.diags.errors, 1);
    assert_non_null(strstr(s.diags.entries[0].diag.msg, "'nobody'"));
    assert_true(s.diags.entries[0].diag.line > 1 && s.diags.entries[0].diag.col > 1);
    assert_int_equal(matches(&s, "f", "fd00::1", NULL), 1);
    assert_int_equal(matches(&s, "f", "a-1-2", NULL), 1);
    assert_int_equal(matches(&s, "f", "a-iii-2", NULL), 1); /* a placeholder's value may be a pattern */
    assert_int_equal(matches(&s, "f", "a-2-2", NULL), 0);
    assert_int_equal(matches(&s, "f", "100%", NULL), 1);
    assert_int_equal(matches(&s, "f", "%one%", NULL), 1); /* without expand it is text */
    assert_int_equal(matches(&s, "f", "%one2", NULL), 1);
    set_clear(&s);
}

/* The time of an event of ours is not among its fields. */
static void test_time_of_the_event(void **state)
{
    (void)state;
    struct set s = set_good(
        SEL("'@timestamp|hour': 0, '@timestamp|year': 1970, '@timestamp|startswith': 1970-01-01T, "
            "f: x") "---\n"
                    "name: b\ntitle: B\n" LOGSOURCE "detection: {s: {'@timestamp|hour|gte': 1}, condition: s}\n---\n"
                    "name: c\ntitle: C\n" LOGSOURCE "detection: {s: {'@timestamp|exists': true}, condition: s}\n---\n"
                    "name: d\ntitle: D\n" LOGSOURCE "detection: {s: {'@timestamp': null}, condition: s}\n");
    assert_int_equal(matches(&s, "f", "x", NULL), 2);
    assert_int_equal(matches(&s, "f", "y", NULL), 1);
    assert_int_equal(matches(&s, "@timestamp", "2026-11-23T22:00:00Z", "f", "x", NULL), 2); /* its own goes first */
    set_clear(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_typed_fields),
        cmocka_unit_test(test_null_and_exists),
        cmocka_unit_test(test_arrays),
        cmocka_unit_test(test_string_modifiers),
        cmocka_unit_test(test_comparisons),
        cmocka_unit_test(test_fieldref),
        cmocka_unit_test(test_keywords),
        cmocka_unit_test(test_maps_are_and_lists_are_or),
        cmocka_unit_test(test_conditions),
        cmocka_unit_test(test_why),
        cmocka_unit_test(test_sources),
        cmocka_unit_test(test_filters),
        cmocka_unit_test(test_placeholders),
        cmocka_unit_test(test_time_of_the_event),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
