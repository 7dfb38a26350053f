/* SPDX-License-Identifier: Apache-2.0
 *
 * Loading: what a person sees of a rule, and what is refused, with which words, at which line and column.
 */
#include "tests/unit/rule_helper.h"

#include <errno.h>

static void test_what_people_see(void **state)
{
    (void)state;
    static const char yaml[] =
        "title: Đăng nhập root\ntitle_vi: Tên\nid: 929a690e-bef0-4204-a928-ef5e620d6fcc\nname: root_login\n"
        "description: D\ndescription_vi: M\nauthor: Vọng Gác\nstatus: test\ndate: 2026-11-23\nlevel: high\n"
        "references: [https://a.example, https://b.example]\ntags: [attack.t1078, tcvn14423.5-6-2-3]\n"
        "falsepositives: none known\nlogsource: {product: test, service: s, definition: any}\n"
        "detection: {s: {f: 1}, condition: s}\n"
        "tests:\n  - name: first\n    lines: [a]\n  - {name: second, expect: {alerts: 1}}\n";
    struct set s = set_of(yaml);
    assert_int_equal(s.left_out, 0);
    assert_int_equal(ruleset_count(s.rules), 1);
    const struct rule *r = ruleset_rule(s.rules, 0);
    assert_ptr_equal(r, ruleset_find(s.rules, "root_login"));
    assert_ptr_equal(r, ruleset_find(s.rules, "929a690e-bef0-4204-a928-ef5e620d6fcc"));
    assert_null(ruleset_find(s.rules, "other"));
    assert_null(ruleset_rule(s.rules, 1));
    assert_int_equal(r->kind, RULE_DETECTION);
    assert_int_equal(r->level, LEVEL_HIGH);
    assert_string_equal(r->title, "Đăng nhập root");
    assert_string_equal(r->title_vi, "Tên");
    assert_string_equal(r->description, "D");
    assert_string_equal(r->description_vi, "M");
    assert_string_equal(r->author, "Vọng Gác");
    assert_string_equal(r->status, "test");
    assert_string_equal(r->date, "2026-11-23");
    assert_int_equal(r->n_references, 2);
    assert_string_equal(r->references[1], "https://b.example");
    assert_int_equal(r->n_tags, 2);
    assert_string_equal(r->tags[1], "tcvn14423.5-6-2-3");
    assert_int_equal(r->n_falsepositives, 1);
    assert_string_equal(r->product, "test");
    assert_null(r->category);
    assert_string_equal(r->service, "s");
    assert_false(r->is_silent);
    assert_string_equal(r->file, "rule.yml");
    assert_int_equal(r->n_tests, 2);
    assert_string_equal(r->tests[1].name, "second");
    assert_int_equal(r->tests[1].line, 19);
    assert_non_null(yaml_get(yaml_get(r->tests[1].node, "expect"), "alerts")); /* the YAML is still there */
    assert_int_equal(ruleset_horizon_ns(s.rules), 0);
    set_clear(&s);
}

static void test_defaults(void **state)
{
    (void)state;
    struct set s = set_good(RULE "detection: {s: {f: 1}, condition: s}\n");
    const struct rule *r = ruleset_rule(s.rules, 0);
    assert_string_equal(r->id, "T");
    assert_null(r->title_vi);
    assert_null(r->author);
    assert_int_equal(r->level, LEVEL_MEDIUM);
    assert_int_equal(r->n_tests, 0);
    set_clear(&s);
}

struct refused {
    const char *yaml, *words;
    int line, col;
};

#define D(text) RULE "detection: " text "\n"

static const struct refused refused[] = {
    {"[a, b]", "must be a map", 1, 1},
    {"title: T\nlogsource: {product: test}\n", "exactly one of", 1, 1},
    {"title: T\ndetection: {s: {f: 1}, condition: s}\n", "needs a logsource", 1, 1},
    {"title: T\nlogsource: {definition: x}\ndetection: {s: {f: 1}, condition: s}\n", "neither product", 2, 12},
    {LOGSOURCE "detection: {s: {f: 1}, condition: s}\n", "needs a title", 1, 1},
    {"action: global\ntitle: T\n", "Sigma 1", 1, 9},
    {"title: {a: b}\n", "must be text", 1, 8},
    {RULE "level: fatal\ndetection: {s: {f: 1}, condition: s}\n", "'level'", 3, 8},
    {RULE "status: unsupported\ndetection: {s: {f: 1}, condition: s}\n", "unsupported", 3, 9},
    {RULE "taxonomy: ocsf\ndetection: {s: {f: 1}, condition: s}\n", "taxonomies", 3, 11},
    {RULE "tests: 5\ndetection: {s: {f: 1}, condition: s}\n", "must be a list", 3, 8},
    {RULE "tests: [{lines: [a]}]\ndetection: {s: {f: 1}, condition: s}\n", "with a name", 3, 9},
    {D("text"), "must be a map", 3, 12},
    {D("{s: {f: 1}}"), "no condition", 3, 12},
    {D("{condition: s}"), "no selection", 3, 12},
    {D("{s: {f: 1}, condition: t}"), "no selection is called 't'", 3, 35},
    {D("{s: {f: 1}, condition: s and}"), "ends where", 3, 40},
    {D("{s: {f: 1}, condition: s or or s}"), "no selection is called 'or'", 3, 40},
    {D("{s: {f: 1}, condition: (s}"), "not closed", 3, 37},
    {D("{s: {f: 1}, condition: s)}"), "before ')'", 3, 36},
    {D("{s: {f: 1}, condition: s s}"), "before 's'", 3, 37},
    {D("{s: {f: 1}, condition: '2 of them'}"), "not '2'", 3, 36},
    {D("{s: {f: 1}, condition: 1 of x*}"), "called 'x*'", 3, 40},
    {D("{s: {f: 1}, condition: 's | count() > 5'}"), "use a correlation", 3, 38},
    {D("{s: {f: 1}, condition: s & s}"), "before '&'", 3, 37},
    {D("{s: {f: 1}, condition: }"), "must be text", 3, 35},
    {D("{s: {f: 1}, condition: [s, {}]}"), "must be text", 3, 39},
    {D("{s: {f: 1}, timeframe: 5m, condition: s}"), "Sigma 1", 3, 24},
    {D("{s: {}, condition: s}"), "matches everything", 3, 16},
    {D("{s: [], condition: s}"), "matches nothing", 3, 16},
    {D("{s: , condition: s}"), "is empty", 3, 16},
    {D("{s: {f: []}, condition: s}"), "matches nothing", 3, 17},
    {D("{s: {f: {a: b}}, condition: s}"), "a value must be", 3, 20},
    {D("{s: {f: [[a]]}, condition: s}"), "a value must be", 3, 21},
    {D("{s: [[a]], condition: s}"), "keyword must be", 3, 17},
    {D("{s: {f|foo: 1}, condition: s}"), "modifier 'foo' is not known", 3, 19},
    {D("{s: {'f|foo': 1}, condition: s}"), "modifier 'foo' is not known", 3, 20},
    {D("{s: {f|hour: x}, condition: s}"), "compared with a number", 3, 25},
    {D("{s: {f|i: 1}, condition: s}"), "behind 're'", 3, 19},
    {D("{s: {f|re|cidr: 1}, condition: s}"), "another comparison", 3, 22},
    {D("{s: {f|contains|re: 1}, condition: s}"), "string modifiers", 3, 28},
    {D("{s: {f|re|base64: 1}, condition: s}"), "comparison before", 3, 22},
    {D("{s: {f|re: '('}, condition: s}"), "regular expression", 3, 25},
    {D("{s: {f|cidr: 10.0.0.0/99}, condition: s}"), "CIDR", 3, 25},
    {D("{s: {f|gt: abc}, condition: s}"), "a number", 3, 23},
    {D("{s: {f|exists: maybe}, condition: s}"), "true or false", 3, 27},
    {D("{s: {f|exists: [true, false]}, condition: s}"), "one value", 3, 17},
    {D("{s: {f|exists|all: true}, condition: s}"), "goes with 'neq' only", 3, 17},
    {D("{s: {f|contains: null}, condition: s}"), "null goes", 3, 29},
    {D("{s: {f|base64: 'a*'}, condition: s}"), "wildcards", 3, 27},
    {D("{s: {'|cidr': 10.0.0.0/8}, condition: s}"), "needs a field", 3, 17},
    {"a: [", "", 0, 0},
};

static void test_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        struct set s = set_of(refused[i].yaml);
        if (s.left_out != 1 || s.diags.errors == 0 || ruleset_count(s.rules) != 0)
            fail_msg("not refused: %s", refused[i].yaml);
        const struct diag *d = &s.diags.entries[0].diag;
        bool is_place = refused[i].line == 0 || (d->line == refused[i].line && d->col == refused[i].col);
        if (!strstr(d->msg, refused[i].words) || !is_place)
            fail_msg("%s\n%d:%d: %s", refused[i].yaml, d->line, d->col, d->msg);
        set_clear(&s);
    }
}

struct told {
    int line, col;
    const char *words;
};

static void check_told(const struct set *s, const struct told *want, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bool is_there = false;
        for (size_t k = 0; k < s->diags.n; k++) {
            const struct diag *d = &s->diags.entries[k].diag;
            is_there |= d->line == want[i].line && d->col == want[i].col && strstr(d->msg, want[i].words);
        }
        if (!is_there)
            fail_msg("%d:%d %s is not told", want[i].line, want[i].col, want[i].words);
    }
    assert_int_equal(s->diags.errors, n);
}

/* Every error of a document, each at its place; the document counts once. */
static void test_all_errors_in_one_pass(void **state)
{
    (void)state;
    static const struct told want[] = {
        {2, 8, "'level'"},          {3, 11, "'tags'"},        {7, 7, "'foo'"},
        {8, 14, "parenthesis"},     {8, 19, "terminating ]"}, {9, 12, "a number"},
        {11, 9, "a value must be"}, {14, 11, "'two'"},        {15, 10, "'three'"},
    };
    struct set s = set_of("title: A\nlevel: huge\ntags: [a, [b]]\nlogsource: {product: test}\ndetection:\n  s:\n"
                          "    f|foo: 1\n    g|re: ['(', '[', ok]\n    h|lt: [a, 3]\n  t:\n  - {a: {b: c}}\n  - word\n"
                          "  condition: |\n    s and two\n      or three\n"
                          "---\n" D("{s: {f: 1}, condition: s}"));
    assert_int_equal(s.left_out, 1);
    assert_int_equal(ruleset_count(s.rules), 1);
    check_told(&s, want, ARRAY_LEN(want));
    set_clear(&s);
}

static void test_all_errors_of_a_correlation(void **state)
{
    (void)state;
    static const struct told want[] = {
        {4, 3, "'rulez'"}, {5, 13, "group-by"}, {6, 13, "timespan"}, {7, 16, "alias"},
        {7, 28, "alias"},  {9, 20, "a number"}, {9, 23, "'foo'"},    {18, 9, "nosuch"},
    };
    struct set s = set_of("title: A\ncorrelation:\n  type: event_count\n  rulez: [x]\n  group-by: {a: b}\n"
                          "  timespan: 5x\n  aliases: {k: [a], l: {r: {}}}\n  rules: [a, b]\n"
                          "  condition: {gte: x, foo: 3}\n---\ntitle: B\ncorrelation:\n  type: temporal\n"
                          "  timespan: 5m\n  rules: [a, b]\n  condition: >\n    a and\n    not nosuch\n");
    assert_int_equal(s.left_out, 2);
    check_told(&s, want, ARRAY_LEN(want));
    set_clear(&s);
}

/* What is not YAML costs only its own document. */
static void test_broken_yaml_leaves_the_others(void **state)
{
    (void)state;
    static const struct told want[] = {
        {1, 1, "exactly one of"},
        {4, 5, "mapping values"},
        {10, 5, "escape"},
        {13, 8, "'level'"},
    };
    struct set s = set_of("title: A\n"
                          "--- # no document\n---\nx: y: z\n---\n" D(
                              "{s: {f: 1}, condition: s}") "---\nx: \"\\q\"\n"
                                                           "---\ntitle: B\nlevel: huge\n" LOGSOURCE
                                                           "detection: {s: {f: 1}, condition: s}\n");
    assert_int_equal(s.left_out, 4);
    assert_int_equal(ruleset_count(s.rules), 1);
    check_told(&s, want, ARRAY_LEN(want));
    set_clear(&s);
}

static void test_one_bad_document_leaves_the_others(void **state)
{
    (void)state;
    struct set s = set_of(D("{s: {f: 1}, condition: s}") "---\n" D(
        "{s: {f: 1}, condition: t}") "---\n"
                                     "title: U\nid: u\n" LOGSOURCE "detection: {s: {f: 1}, condition: s}\n---\n---\n"
                                     "title: U\nid: u\n" LOGSOURCE "detection: {s: {f: 2}, condition: s}\n");
    assert_int_equal(s.left_out, 2); /* the second, and the last, whose id is taken */
    assert_int_equal(ruleset_count(s.rules), 2);
    assert_non_null(strstr(s.diags.entries[s.diags.n - 1].diag.msg, "already used in rule.yml, line 9"));
    assert_int_equal(matches(&s, "f", "1", NULL), 2);
    set_clear(&s);
}

static void test_warnings(void **state)
{
    (void)state;
    struct set s = set_of("id: 7\ntags: [NoNamespace]\n" D("{s: {f: [a, null], g|contains|all: x}, condition: s}"));
    assert_int_equal(s.left_out, 0);
    assert_int_equal(s.diags.errors, 0);
    assert_int_equal(s.diags.warnings, 4);
    set_clear(&s);
}

static void test_mappings_refused(void **state)
{
    (void)state;
    static const struct refused bad[] = {
        {"- text\n", "a mapping is a map", 1, 3},
        {"- logsource: {product: p}\n", "needs 'when'", 1, 3},
        {"- when: {a: b}\n", "needs a logsource", 1, 3},
        {"- logsource: {produkt: p}\n  when: {a: b}\n", "product, category and service only", 1, 15},
        {"- logsource: {product: p}\n  when: {a: {b: c}}\n", "lists the values", 2, 13},
        {"- logsource: {product: p}\n  when: {a: []}\n", "lists the values", 2, 13},
        {"- logsource: {product: p}\n  when: {a: b}\n  fields: [x]\n", "map of Sigma field", 3, 11},
        {"- logsource: {product: p}\n  when: {a: b}\n  fields: {x: [y]}\n", "map of Sigma field", 3, 12},
        {"- logsource: {product: p}\n  when: {a: b}\n  felder: {x: y}\n", "not 'felder'", 3, 3},
        {"- [", "", 0, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct set s = set_begin();
        assert_int_equal(ruleset_add_mapping(s.rules, str_of(bad[i].yaml), "m.yml", &s.diags), 1);
        const struct diag *d = &s.diags.entries[0].diag;
        bool is_place = bad[i].line == 0 || (d->line == bad[i].line && d->col == bad[i].col);
        if (!strstr(d->msg, bad[i].words) || !is_place)
            fail_msg("%s\n%d:%d: %s", bad[i].yaml, d->line, d->col, d->msg);
        set_clear(&s);
    }
}

static void test_nothing_changes_after_compile(void **state)
{
    (void)state;
    struct set s = set_good(D("{s: {f: 1}, condition: s}"));
    assert_int_equal(ruleset_add(s.rules, STR("title: x"), "r.yml", &s.diags), -EINVAL);
    assert_int_equal(ruleset_add_mapping(s.rules, STR("[]"), "r.yml", &s.diags), -EINVAL);
    assert_int_equal(ruleset_placeholder(s.rules, "x", STR("y")), -EINVAL);
    assert_int_equal(ruleset_compile(s.rules, &s.diags), -EINVAL);
    set_clear(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_people_see),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_all_errors_in_one_pass),
        cmocka_unit_test(test_all_errors_of_a_correlation),
        cmocka_unit_test(test_broken_yaml_leaves_the_others),
        cmocka_unit_test(test_one_bad_document_leaves_the_others),
        cmocka_unit_test(test_warnings),
        cmocka_unit_test(test_mappings_refused),
        cmocka_unit_test(test_nothing_changes_after_compile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
