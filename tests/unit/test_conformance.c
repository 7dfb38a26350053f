/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs the cases of tests/conformance: what Sigma says, as data. Every file is read, every case is tried, and each that
 * fails is named with its file and line. What a case expects was derived from the specification, never from the engine.
 */
#include "tests/unit/conformance_case.h"

#include "common/file.h"

#define CASES_DETECTION_MIN   600
#define CASES_CORRELATION_MIN 275
#define CASE_MATCHES_MAX      64
#define CASE_EVENTS_ARENA_MAX (8 * MIB)

struct run { /* one case */
    const char *file;
    const struct yaml *node;
    struct names *names;
    struct ruleset *rules;
    struct diags diags;
    struct arena *arena;
    int before, indent; /* lines and columns of the rules' text that the author did not write */
    int failures;
};

static struct {
    size_t files, cases, correlation, failed;
} totals;

PRINTF_LIKE(2, 3) static void fail_case(struct run *r, const char *fmt, ...)
{
    char msg[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(msg, sizeof(msg), fmt, args);
    va_end(args);
    print_message("%s:%d: %s: %s\n", r->file, r->node->line, yaml_str(r->node, "name").p, msg);
    r->failures++;
}

/* ---- what loading says ---- */

static bool diag_is(const struct run *r, const struct diag_entry *e, bool is_warning, struct str part)
{
    const struct yaml *line = yaml_get(r->node, "line"), *col = yaml_get(r->node, "column");
    int64_t want;
    if (e->is_warning != is_warning || !strstr(e->diag.msg, part.p))
        return false;
    if (line && (yaml_int(line, 1, 10000, &want, NULL) < 0 || e->diag.line - r->before != want))
        return false;
    return !col || (yaml_int(col, 1, 10000, &want, NULL) == 0 && e->diag.col - r->indent == want);
}

static void check_diags(struct run *r, int left_out)
{
    struct str error = yaml_str(r->node, "error"), warning = yaml_str(r->node, "warning");
    bool has_error = error.len == 0, has_warning = warning.len == 0;
    for (size_t i = 0; i < r->diags.n; i++) {
        has_error |= error.len && diag_is(r, &r->diags.entries[i], false, error);
        has_warning |= warning.len && diag_is(r, &r->diags.entries[i], true, warning);
    }
    bool is_good = has_error && has_warning && (error.len > 0) == (left_out > 0);
    if (!has_error)
        fail_case(r, "no such error: %s", error.p);
    else if (!has_warning)
        fail_case(r, "no such warning: %s", warning.p);
    else if (!is_good)
        fail_case(r, "%d documents were left out", left_out);
    for (size_t i = 0; !is_good && i < r->diags.n; i++)
        print_message("    %s, line %d, column %d: %s\n", r->diags.entries[i].is_warning ? "warning" : "error",
                      r->diags.entries[i].diag.line - r->before, r->diags.entries[i].diag.col - r->indent,
                      r->diags.entries[i].diag.msg);
}

static void add_placeholders(struct run *r)
{
    const struct yaml *all = yaml_get(r->node, "placeholders");
    for (size_t i = 0; all && i < all->n; i++) {
        const struct yaml *value = all->items[i];
        for (size_t k = 0; k < (value->kind == YAML_LIST ? value->n : 1); k++) {
            const struct yaml *one = value->kind == YAML_LIST ? value->items[k] : value;
            assert_int_equal(ruleset_placeholder(r->rules, all->keys[i]->text.p, one->text), 0);
        }
    }
}

static void load_rules(struct run *r)
{
    struct buf text = BUF_INIT(CASE_TEXT_MAX);
    case_rules(r->node, &text, &r->before, &r->indent);
    assert_int_equal(ruleset_without_mapping(r->rules), 0);
    add_placeholders(r);
    int left_out = ruleset_add(r->rules, buf_str(&text), "case", &r->diags);
    assert_true(left_out >= 0);
    int more = ruleset_compile(r->rules, &r->diags);
    assert_true(more >= 0);
    buf_clear(&text);
    check_diags(r, left_out + more);
}

/* ---- what events match ---- */

struct found {
    struct str names[CASE_MATCHES_MAX];
    size_t n;
};

static void on_match(const struct match *m, void *ctx)
{
    struct found *found = ctx;
    if (m->rule->kind == RULE_DETECTION && found->n < CASE_MATCHES_MAX)
        found->names[found->n++] = str_of(m->rule->name ? m->rule->name : m->rule->title);
}

static struct found eval_one(struct run *r, const struct yaml *event, uint32_t index)
{
    struct found found = {0};
    struct event ev;
    event_of_case(r->rules, r->names, event, index, r->arena, &ev);
    struct matcher *m = matcher_new(r->rules, 1 * MIB);
    assert_non_null(m);
    assert_int_equal(matcher_eval(m, &ev, on_match, &found), 0);
    matcher_free(m);
    return found;
}

static void check_yes_or_no(struct run *r, const char *key, bool is_wanted)
{
    const struct yaml *events = yaml_get(r->node, key);
    for (size_t i = 0; events && i < events->n; i++)
        if ((eval_one(r, events->items[i], (uint32_t)i).n == 1) != is_wanted)
            fail_case(r, "event in line %d %s", events->items[i]->line, is_wanted ? "does not match" : "matches");
}

static bool takes(struct found *found, struct str name)
{
    for (size_t i = 0; i < found->n; i++)
        if (str_eq(found->names[i], name)) {
            found->names[i] = found->names[--found->n];
            return true;
        }
    return false;
}

/* events with expect: the names of the rules that each event matches. */
static void check_expect(struct run *r)
{
    const struct yaml *events = yaml_get(r->node, "events"), *expect = yaml_get(r->node, "expect");
    if (!expect)
        return;
    if (!events || expect->kind != YAML_LIST || events->n != expect->n) {
        fail_case(r, "as many entries in expect as in events");
        return;
    }
    for (size_t i = 0; i < events->n; i++) {
        struct found found = eval_one(r, events->items[i], (uint32_t)i);
        for (size_t k = 0; k < expect->items[i]->n; k++)
            if (!takes(&found, expect->items[i]->items[k]->text))
                fail_case(r, "event %zu does not match %s", i, expect->items[i]->items[k]->text.p);
        for (size_t k = 0; k < found.n; k++)
            fail_case(r, "event %zu matches " STR_FMT, i, STR_ARG(found.names[k]));
    }
}

/* ---- correlations ---- */

/* Lines "event rule group..." of what triggered, and of the detections that were reported. */
struct story {
    struct names *names;
    struct buf triggers, detections;
};

static void add_line(struct buf *out, uint32_t event, const char *rule)
{
    assert_int_equal(buf_printf(out, "\n[%u, %s", (unsigned)event, rule), 0);
}

static void on_story(const struct match *m, void *ctx)
{
    struct story *s = ctx;
    const char *name = m->rule->name ? m->rule->name : m->rule->title;
    char scratch[32];
    if (m->rule->kind == RULE_DETECTION) {
        add_line(&s->detections, m->event->ref.line, name);
        assert_int_equal(buf_append_z(&s->detections, "]"), 0);
    } else if (m->trigger) {
        add_line(&s->triggers, m->trigger->line, name);
        for (size_t g = 0; g < m->n_group; g++) {
            struct str value = field_text(&m->group[g], scratch);
            assert_int_equal(buf_printf(&s->triggers, ", " STR_FMT, STR_ARG(value)), 0);
        }
        assert_int_equal(buf_append_z(&s->triggers, "]"), 0);
    }
}

/* Every wanted line must be there once, and nothing else. */
static void check_lines(struct run *r, const char *order, const struct yaml *want, struct buf *have)
{
    for (size_t i = 0; i < want->n; i++) {
        struct buf line = BUF_INIT(4096);
        const struct yaml *items = want->items[i];
        for (size_t k = 0; k < items->n; k++)
            assert_int_equal(buf_printf(&line, "%s" STR_FMT, k ? ", " : "\n[", STR_ARG(items->items[k]->text)), 0);
        assert_int_equal(buf_append_z(&line, "]"), 0);
        uint8_t *at = have->len ? memmem(have->data, have->len, line.data, line.len) : NULL;
        if (at) {
            memmove(at, at + line.len, (size_t)(have->data + have->len - at) - line.len);
            have->len -= line.len;
        } else {
            fail_case(r, "%s: there is no " STR_FMT, order, (int)line.len - 1, (const char *)line.data + 1);
        }
        buf_clear(&line);
    }
    if (have->len)
        fail_case(r, "%s: beyond what is wanted: " STR_FMT, order, (int)have->len - 1, (const char *)have->data + 1);
}

static int by_time(const void *a, const void *b)
{
    const struct event *const *x = a, *const *y = b;
    return (x[0]->ts_ns > y[0]->ts_ns) - (x[0]->ts_ns < y[0]->ts_ns);
}

static void tell(struct run *r, const char *order, struct event **events, size_t n)
{
    struct story story = {r->names, BUF_INIT(1 * MIB), BUF_INIT(1 * MIB)};
    const struct yaml *detections = yaml_get(r->node, "detections");
    int64_t lateness_s = 1000000000;
    (void)yaml_int(yaml_get(r->node, "lateness"), 0, lateness_s, &lateness_s, NULL);
    const struct matcher_options options = {
        .memory_max = 16 * MIB, .lateness_ns = lateness_s * NS_PER_S, .keep_ns = 1000000000 * NS_PER_S};
    struct matcher *m = matcher_new_with(r->rules, &options);
    assert_non_null(m);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(matcher_eval(m, events[i], on_story, &story), 0);
    assert_int_equal(matcher_flush(m, on_story, &story), 0);
    matcher_free(m);
    check_lines(r, order, yaml_get(r->node, "triggers"), &story.triggers);
    if (detections)
        check_lines(r, order, detections, &story.detections);
    buf_clear(&story.triggers);
    buf_clear(&story.detections);
}

/* As written, by time, and backwards: the result is one of the set of events. */
static void check_triggers(struct run *r)
{
    const struct yaml *nodes = yaml_get(r->node, "events");
    if (!yaml_get(r->node, "triggers") || !nodes)
        return;
    struct event *all = arena_array(r->arena, nodes->n + 1, sizeof(*all));
    struct event **order = arena_array(r->arena, nodes->n + 1, sizeof(*order));
    assert_true(all && order);
    for (size_t i = 0; i < nodes->n; i++) {
        event_of_case(r->rules, r->names, nodes->items[i], (uint32_t)i, r->arena, &all[i]);
        order[i] = &all[i];
    }
    tell(r, "as written", order, nodes->n);
    if (yaml_get(r->node, "lateness"))
        return; /* here the order matters */
    for (size_t i = 0; i < nodes->n; i++)
        order[i] = &all[nodes->n - 1 - i];
    tell(r, "backwards", order, nodes->n);
    qsort(order, nodes->n, sizeof(*order), by_time);
    tell(r, "by time", order, nodes->n);
}

/* ---- cases and files ---- */

static void check_form(struct run *r)
{
    static const char *const gives[] = {"name",        "spec",         "why",      "rules",  "detection", "selection",
                                        "correlation", "placeholders", "lateness", "events", "line",      "column"};
    static const char *const wants[] = {"match", "no_match", "expect", "error", "warning", "triggers", "detections"};
    bool is_testing = false;
    for (size_t i = 0; i < r->node->n; i++) {
        struct str key = r->node->keys[i]->text;
        bool is_known = false;
        for (size_t k = 0; k < ARRAY_LEN(gives); k++)
            is_known |= str_eq(key, str_of(gives[k]));
        for (size_t k = 0; k < ARRAY_LEN(wants); k++)
            is_testing |= str_eq(key, str_of(wants[k])) && (is_known = true);
        if (!is_known)
            fail_case(r, "a case has no '%s'", key.p);
    }
    if (yaml_str(r->node, "name").len == 0 || yaml_str(r->node, "spec").len == 0 || !is_testing)
        fail_case(r, "a case has a name, a spec and something that it expects");
}

static void run_case(const char *file, const struct yaml *node)
{
    struct run r = {.file = file, .node = node, .names = names_new(), .arena = arena_new(CASE_EVENTS_ARENA_MAX)};
    diags_init(&r.diags, 100);
    r.rules = ruleset_new(r.names);
    assert_true(r.rules && r.arena);
    check_form(&r);
    load_rules(&r);
    if (r.failures == 0) {
        check_yes_or_no(&r, "match", true);
        check_yes_or_no(&r, "no_match", false);
        check_expect(&r);
        check_triggers(&r);
    }
    totals.cases++;
    totals.correlation += strstr(file, "correlation") != NULL;
    totals.failed += r.failures > 0;
    ruleset_free(r.rules);
    names_free(r.names);
    diags_clear(&r.diags);
    arena_free(r.arena);
}

static int run_file(const char *path, void *ctx)
{
    (void)ctx;
    const char *slash = strrchr(path, '/');
    struct buf text = BUF_INIT(YAML_BYTES_MAX);
    struct arena *arena = arena_new(64 * MIB);
    struct diag diag = {0};
    struct yaml **docs;
    size_t n;
    assert_int_equal(file_read(path, &text), 0);
    if (yaml_parse(buf_str(&text), arena, &docs, &n, &diag) < 0)
        fail_msg("%s:%d:%d: %s", path, diag.line, diag.col, diag.msg);
    assert_int_equal(n, 1);
    assert_int_equal(docs[0]->kind, YAML_LIST);
    totals.files++;
    for (size_t i = 0; i < docs[0]->n; i++)
        run_case(slash ? slash + 1 : path, docs[0]->items[i]);
    arena_free(arena);
    buf_clear(&text);
    return 0;
}

static void test_all_cases(void **state)
{
    (void)state;
    const char *source = getenv("VONGGAC_SOURCE");
    char path[4096];
    snprintf(path, sizeof(path), "%s/tests/conformance", source ? source : ".");
    assert_int_equal(file_walk(path, ".yml", run_file, NULL), 0);
    print_message("%zu files, %zu cases, %zu of them of correlations, %zu failed\n", totals.files, totals.cases,
                  totals.correlation, totals.failed);
    assert_int_equal(totals.failed, 0);
    assert_true(totals.cases - totals.correlation >= CASES_DETECTION_MIN);
    assert_true(totals.correlation >= CASES_CORRELATION_MIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all_cases)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
