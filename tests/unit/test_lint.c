/* SPDX-License-Identifier: Apache-2.0
 *
 * Warnings of what loads and is probably a mistake: each at its place, and none for rules that are as they should be.
 */
#include "rule_helper.h"

#include <errno.h>

#define D(detection) "title: T\n" LOGSOURCE "detection:\n" detection

static struct set lint(const char *yaml)
{
    struct set s = {.names = names_new()};
    name_id id;
    diags_init(&s.diags, 100);
    assert_int_equal(names_intern(s.names, STR("decoded.field"), &id), 0); /* as a decoder does */
    s.rules = ruleset_new(s.names);
    assert_int_equal(ruleset_lint(s.rules), 0);
    assert_int_equal(ruleset_add_mapping(s.rules,
                                         STR("- logsource: {product: test}\n  when: {event.dataset: [test]}\n"
                                             "  fields: {f: ecs.f, g: ecs.g, h: ecs.h, '1': ecs.one}\n"),
                                         "mapping.yml", &s.diags),
                     0);
    s.left_out = ruleset_add(s.rules, str_of(yaml), "rule.yml", &s.diags);
    set_compile(&s);
    assert_int_equal(s.left_out, 0);
    return s;
}

static void test_warned(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *words;
        int line, col;
    } cases[] = {
        {D("  s: {f: '*'}\n  condition: s\n"), "matches every value", 4, 10},
        {D("  s: {f|contains: ''}\n  condition: s\n"), "matches every value", 4, 19},
        {D("  s: {f|startswith: [a, '']}\n  condition: s\n"), "matches every value", 4, 25},
        {D("  s: {f|re: 'a*'}\n  condition: s\n"), "even an empty one", 4, 13},
        {D("  s: {f|re: '(a+)+abc'}\n  condition: s\n"), "repeat within a repeat", 4, 13},
        {D("  s: {f|re: '(?:\\w+\\s?)*abc'}\n  condition: s\n"), "repeat within a repeat", 4, 13},
        {D("  s: {f|re: '.*abc'}\n  condition: s\n"), "leading '.*'", 4, 13},
        {D("  s: {f|re: 'abc.*[^a]+.*\\w+z'}\n  condition: s\n"), "many unbounded repeats", 4, 13},
        {D("  s: {f|re: '[0-9]{4}'}\n  condition: s\n"), "tried on every value", 4, 13},
        {D("  s: {f|cidr: 0.0.0.0/0}\n  condition: s\n"), "every address", 4, 15},
        {D("  s: {f|contains: 'a\\d+b'}\n  condition: s\n"), "looks like a regular expression", 4, 19},
        {D("  s: {f|hour: 24}\n  condition: s\n"), "no date has such a number", 4, 15},
        {D("  s: {f|month: 1.5}\n  condition: s\n"), "no date has such a number", 4, 16},
        {D("  s: {f: '^root$'}\n  condition: s\n"), "looks like a regular expression", 4, 10},
        {D("  s: {f|contains|all: a}\n  condition: s\n"), "no meaning with a single value", 4, 7},
        {D("  s: {f: 1}\n  t: {f: 2}\n  condition: s\n"), "does not use selection 't'", 5, 3},
        {D("  s: {f: 1}\n  condition: s and not s\n"), "never be true", 5, 14},
        {D("  s: {f: 1}\n  t: {f: 2}\n  condition: s and (t and not s)\n"), "never be true", 6, 14},
        {D("  s: {f: 1}\n  condition: s or not s\n"), "always true", 5, 14},
        {D("  s: {f|exists: false}\n  t: {f: 1}\n  condition: all of them\n"), "never be true", 6, 14},
        {D("  s: {f: 1}\n  condition: not s\n"), "looks at every event", 5, 14},
        {D("  s: {f: ~}\n  condition: s\n"), "looks at every event", 5, 14},
        {D("  s: {f: 1, nosuch: 2}\n  condition: s\n"), "'nosuch' is unknown for this log source", 4, 13},
        {D("  s: {f|fieldref: nosuch}\n  condition: s\n"), "'nosuch' is unknown for this log source", 4, 7},
        {"title: T\nlogsource: {product: test, produkt: x}\ndetection: {s: {f: 1}, condition: s}\n", "'produkt'", 2,
         28},
        {D("  s: {f: 1}\n  condition: s\n") "---\ntitle: C\ncorrelation: {type: event_count, rules: [T], timespan: 1m, "
                                            "group-by: [f, who], condition: {gte: 2}}\n",
         "'who'", 8, 42},
        {D("  s: {nosuch|contains|all: [ab, cd]}\n  condition: s\n"), "'nosuch' is unknown", 4, 7},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct set s = lint(cases[i].yaml);
        const struct diag *d = s.diags.n ? &s.diags.entries[0].diag : NULL;
        if (s.diags.warnings != 1 || !strstr(d->msg, cases[i].words) || d->line != cases[i].line ||
            d->col != cases[i].col)
            fail_msg("%s%zu warnings, %d:%d %s", cases[i].yaml, s.diags.warnings, d ? d->line : 0, d ? d->col : 0,
                     d ? d->msg : "");
        set_clear(&s);
    }
}

static void test_not_warned(void **state)
{
    (void)state;
    static const char *const cases[] = {
        D("  s: {f|hour: [0, 23], g|week: 53, h|year: 2026}\n  condition: s\n"),
        D("  s: {f: a, g|contains|all: [ab, cd], source.ip: 1.2.3.4, decoded.field: x}\n  condition: s\n"),
        D("  s: {f|re: '^cmd(\\.exe)?\\s+/c.*powershell'}\n  condition: s\n"),
        D("  s: {f|re: '(?i)(?:[a-z]+\\.)+example'}\n  condition: s\n"),
        D("  s: {f|endswith: '\\windows\\system32\\*.exe'}\n  t: {g|exists: true}\n  condition: s and t\n"),
        D("  s: {f: 1}\n  f_a: {g: ~}\n  f_b: {h: 2}\n  condition: s and not 1 of f_*\n"),
        D("  s: {f|base64offset|contains: [foobar, x]}\n  condition: s\n"),
        D("  k: [root, 'login*']\n  condition: k\n"),
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct set s = lint(cases[i]);
        if (s.diags.warnings)
            fail_msg("%s%d:%d %s", cases[i], s.diags.entries[0].diag.line, s.diags.entries[0].diag.col,
                     s.diags.entries[0].diag.msg);
        set_clear(&s);
    }
}

/* A collector that loads rules is not lectured. */
static void test_only_when_asked(void **state)
{
    (void)state;
    struct set s = set_of(D("  s: {f: '*', nosuch: 1}\n  t: {g: 1}\n  condition: s and not s\n"));
    assert_int_equal(s.diags.n, 0);
    assert_int_equal(ruleset_lint(s.rules), -EINVAL);
    set_clear(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_warned),
        cmocka_unit_test(test_not_warned),
        cmocka_unit_test(test_only_when_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
