/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/content.h"

#include "collector/rule_test.h"
#include "common/file.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

static const char mapping[] = "- logsource: {product: test}\n  when: {event.dataset: [test]}\n";

/* Evaluated by events; the last test is meant to fail. */
static const char rule[] =
    "title: Counted\ncorrelation: {type: event_count, rules: [base], group-by: [g], timespan: 1m, condition: {gte: "
    "2}}\n"
    "tests:\n"
    "  - name: two in a minute\n    expect: {alerts: 1}\n    events:\n"
    "      - {event.dataset: test, f: 10.1.2.3, g: x, '@timestamp': '2026-11-23T10:00:00Z'}\n"
    "      - {event.dataset: test, f: 10.1.2.4, g: x, '@timestamp': '2026-11-23T10:00:59Z'}\n"
    "  - name: two groups and one more event of the first\n    expect: {alerts: 2}\n    events:\n"
    "      - {event.dataset: test, f: 10.1.2.3, g: x}\n      - {event.dataset: test, f: 10.1.2.3, g: [y, x]}\n"
    "      - {event.dataset: test, f: 10.1.2.3, g: x}\n      - {event.dataset: test, f: 10.1.2.3, g: y}\n"
    "      - {event.dataset: test, f: 10.1.2.3, g: x}\n"
    "  - name: wrong on purpose\n    expect: {alerts: 1}\n    events:\n"
    "      - {event.dataset: test, f: 192.0.2.1, g: x}\n"
    "  - name: a slip of the pen\n    expect: {alerts: 1}\n    evnts: []\n"
    "---\n"
    "title: Base\nname: base\nlogsource: {product: test}\ndetection: {s: {f|cidr|expand: '%nets%'}, condition: s}\n"
    "tests:\n  - name: silent\n    expect: {alerts: 0}\n    lines: [a line]\n";

struct folder {
    char path[64];
    char file[200];
};

static void write_file(struct folder *f, const char *name, const char *text)
{
    snprintf(f->file, sizeof(f->file), "%s/%s", f->path, name);
    assert_int_equal(file_write_atomic(f->file, str_of(text), 0600), 0);
}

static int setup(void **state)
{
    struct folder *f = calloc(1, sizeof(*f));
    snprintf(f->path, sizeof(f->path), "/tmp/vonggac-content-XXXXXX");
    assert_non_null(mkdtemp(f->path));
    *state = f;
    return 0;
}

static int remove_file(const char *path, void *ctx)
{
    (void)ctx;
    return unlink(path) < 0 ? -errno : 0;
}

static int teardown(void **state)
{
    struct folder *f = *state;
    char sub[100];
    file_walk(f->path, "", remove_file, NULL);
    snprintf(sub, sizeof(sub), "%s/rules", f->path);
    rmdir(sub);
    rmdir(f->path);
    free(f);
    return 0;
}

static struct yaml *placeholders(struct arena *arena)
{
    struct yaml **docs;
    size_t n;
    assert_int_equal(
        yaml_parse(STR("{nets: [10.0.0.0/8, 'fd00::/8'], one: single, bad: [[x]]}"), arena, &docs, &n, NULL), 0);
    return docs[0];
}

struct tally {
    int passed, failed;
    char whys[1000];
};

static void on_result(const struct rule_test_result *r, void *ctx)
{
    struct tally *t = ctx;
    size_t len = strlen(t->whys);
    t->passed += r->has_passed;
    t->failed += !r->has_passed;
    snprintf(t->whys + len, sizeof(t->whys) - len, "%s%s", r->why, r->has_passed ? "" : "|");
}

static void test_loads_folders_and_runs_inline_tests(void **state)
{
    struct folder *f = *state;
    char rules[100], maps[100];
    snprintf(rules, sizeof(rules), "%s/rules", f->path);
    snprintf(maps, sizeof(maps), "%s/map.txt", f->path); /* named itself, so its ending does not matter */
    assert_int_equal(mkdir(rules, 0700), 0);
    write_file(f, "map.txt", mapping);
    write_file(f, "rules/a.yml", rule);
    write_file(f, "rules/b.yaml", "title: B\nlogsource: {product: test}\ndetection: {s: {f: 1}, condition: t}\n");
    write_file(f, "rules/README.md", "no rule: [");
    struct arena *arena = arena_new(1 * MIB);
    struct content *c;
    struct diag diag = {0};
    char *rule_paths[] = {rules}, *map_paths[] = {maps};
    struct collector_config config = {
        .rules = {rule_paths, 1}, .mappings = {map_paths, 1}, .placeholders = placeholders(arena)};
    assert_int_equal(content_load(&config, &c, &diag), 0);
    assert_int_equal(ruleset_count(content_ruleset(c)), 2);
    const struct diags *ds = content_diags(c);
    assert_int_equal(ds->errors, 2); /* the placeholder that is no text; rule B */
    assert_string_equal(ds->entries[0].file, "placeholders");
    assert_non_null(strstr(ds->entries[1].file, "rules/b.yaml"));
    struct tally tally = {0};
    assert_int_equal(rule_tests_run(c, on_result, &tally), 0);
    assert_int_equal(tally.passed, 2);
    assert_int_equal(tally.failed, 3);
    assert_non_null(strstr(tally.whys, "0 alerts, not 1|"));
    assert_non_null(strstr(tally.whys, "a test has no 'evnts'|"));
    assert_non_null(strstr(tally.whys, "is silent"));
    content_free(c);
    arena_free(arena);
}

static void test_nothing_to_go_on_with(void **state)
{
    struct folder *f = *state;
    char nowhere[100];
    snprintf(nowhere, sizeof(nowhere), "%s/nowhere", f->path);
    char *paths[] = {nowhere};
    struct collector_config config = {.rules = {paths, 1}};
    struct content *c = NULL;
    struct diag diag = {0};
    assert_int_equal(content_load(&config, &c, &diag), -ENOENT);
    assert_null(c);
    assert_non_null(strstr(diag.msg, "nowhere"));
    config.rules.n = 0; /* no rules at all is a choice */
    assert_int_equal(content_load(&config, &c, &diag), 0);
    assert_int_equal(ruleset_count(content_ruleset(c)), 0);
    assert_int_equal(content_diags(c)->errors, 0);
    content_free(c);
}

static void test_a_file_too_large_is_told_and_skipped(void **state)
{
    struct folder *f = *state;
    char *big = malloc(YAML_BYTES_MAX + 2);
    memset(big, '#', YAML_BYTES_MAX + 1);
    big[YAML_BYTES_MAX + 1] = 0;
    write_file(f, "big.yml", big);
    write_file(f, "good.yml", "title: G\nlogsource: {product: test}\ndetection: {s: {f: 1}, condition: s}\n");
    free(big);
    char *paths[] = {f->path};
    struct collector_config config = {.rules = {paths, 1}};
    struct content *c = NULL;
    struct diag diag = {0};
    assert_int_equal(content_load(&config, &c, &diag), 0);
    assert_int_equal(content_diags(c)->errors, 1);
    assert_non_null(strstr(content_diags(c)->entries[0].file, "big.yml"));
    assert_int_equal(ruleset_count(content_ruleset(c)), 1);
    content_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_loads_folders_and_runs_inline_tests, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nothing_to_go_on_with, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_file_too_large_is_told_and_skipped, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
