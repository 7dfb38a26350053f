/* SPDX-License-Identifier: Apache-2.0
 *
 * See rule_test.h. Each test gets a matcher of its own, so that no test sees what another left behind.
 */
#include "collector/rule_test.h"

#include "common/time.h"
#include "rules/matcher.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#define NOW_NS       (INT64_C(1798761600) * NS_PER_S) /* 2027-01-01: lines without a year are of 2026 */
#define STATE_MEMORY (64 * MIB)
#define EVENT_MEMORY (16 * MIB)
#define ALERTS_MAX   1000

struct run {
    const struct content *content;
    const struct rule *rule;
    const struct rule_test *test;
    struct decode_ctx *decode;
    struct matcher *matcher;
    struct arena *arena;  /* of one event */
    struct arena *alerts; /* of the test */
    struct str seen[ALERTS_MAX];
    size_t n_alerts;
    uint64_t records;
    struct rule_test_result result;
};

static int fail(struct run *r, const char *fmt, ...) PRINTF_LIKE(2, 3);
static int fail(struct run *r, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(r->result.why, sizeof(r->result.why), fmt, args);
    va_end(args);
    return -EINVAL;
}

/* ---- alerts ---- */

/* What tells alerts of one correlation apart: period and group. */
static int alert_key(struct run *r, const struct match *m, struct str *ret)
{
    CLEANUP(buf_clear) struct buf key = BUF_INIT(64 * KIB);
    int err = buf_printf(&key, "%" PRId64, m->period_start_ns);
    for (size_t i = 0; err == 0 && i < m->n_group; i++) {
        err = buf_append(&key, "", 1);
        err = err < 0 ? err : buf_append_str(&key, m->group[i].s);
    }
    return err < 0 ? err : arena_str(r->alerts, buf_str(&key), ret);
}

static void on_match(const struct match *m, void *ctx)
{
    struct run *r = ctx;
    struct str key = {0};
    if (m->rule != r->rule || r->n_alerts == ALERTS_MAX)
        return;
    if (m->rule->kind == RULE_CORRELATION && alert_key(r, m, &key) < 0)
        return;
    for (size_t i = 0; m->rule->kind == RULE_CORRELATION && i < r->n_alerts; i++)
        if (str_eq(r->seen[i], key))
            return;
    r->seen[r->n_alerts++] = key;
}

static int evaluate(struct run *r, struct event *ev)
{
    ev->ref = (struct event_ref){.pos = r->records++, .line = 0};
    return matcher_eval(r->matcher, ev, on_match, r);
}

/* ---- lines and events ---- */

static int run_line(struct run *r, struct str line)
{
    struct event ev;
    struct decode_input in = {
        .line = line,
        .encoding = BATCH_TEXT,
        .source = STR("test"),
        .type = yaml_str(r->test->node, "type"),
        .path = yaml_str(r->test->node, "path"),
        .host = STR("test-host"),
        .agent_name = STR("test-host"),
        .read_ns = NOW_NS,
        .ingested_ns = NOW_NS,
    };
    int err = decode_line(r->decode, &in, r->arena, &ev);
    return err < 0 ? err : evaluate(r, &ev);
}

static bool is_plain_bool(const struct yaml *y, bool *ret)
{
    return !y->is_quoted && yaml_bool(y, ret, NULL) == 0;
}

static int add_value(struct event *ev, name_id key, const struct yaml *y)
{
    int64_t i;
    bool b;
    if (yaml_is_null(y))
        return event_add_field(ev, &(struct field){.key = key, .type = VALUE_NULL});
    if (is_plain_bool(y, &b))
        return event_add_bool(ev, key, b);
    if (!y->is_quoted && parse_i64(y->text, INT64_MIN, INT64_MAX, &i) == 0)
        return event_add_int(ev, key, i);
    return event_add_str(ev, key, y->text);
}

static int add_field(struct run *r, struct event *ev, const struct yaml *key, const struct yaml *value)
{
    size_t n = value->kind == YAML_LIST ? value->n : 1, len;
    bool has_zone;
    if (value->kind == YAML_MAP)
        return fail(r, "line %d: a field of an event is a value or a list of values", value->line);
    if (str_eq(key->text, STR("event.original"))) {
        ev->raw = value->text;
        return 0;
    }
    if (str_eq(key->text, STR("@timestamp")))
        return time_parse_rfc3339(value->text, &ev->ts_ns, &has_zone, &len) < 0
                   ? fail(r, "line %d: @timestamp is not RFC 3339", value->line)
                   : 0;
    name_id id = names_find(content_names(r->content), key->text);
    for (size_t i = 0; id != F_NONE && i < n; i++) { /* what no rule can name need not be there */
        int err = add_value(ev, id, value->kind == YAML_LIST ? value->items[i] : value);
        if (err < 0)
            return err;
    }
    return 0;
}

static int run_event(struct run *r, const struct yaml *node)
{
    struct event ev;
    if (node->kind != YAML_MAP)
        return fail(r, "line %d: an event is a map of ECS names", node->line);
    if (event_init(&ev, r->arena) < 0)
        return -ENOMEM;
    ev.ts_ns = ev.created_ns = ev.ingested_ns = NOW_NS;
    for (size_t i = 0; i < node->n; i++) {
        int err = add_field(r, &ev, node->keys[i], node->items[i]);
        if (err < 0)
            return err;
    }
    return evaluate(r, &ev);
}

static int run_records(struct run *r, const struct yaml *list, bool is_lines)
{
    if (list->kind != YAML_LIST)
        return fail(r, "line %d: '%s' must be a list", list->line, is_lines ? "lines" : "events");
    for (size_t i = 0; i < list->n; i++) {
        arena_reset(r->arena);
        if (is_lines && list->items[i]->kind != YAML_SCALAR)
            return fail(r, "line %d: a raw line must be text", list->items[i]->line);
        int err = is_lines ? run_line(r, list->items[i]->text) : run_event(r, list->items[i]);
        if (err < 0)
            return err;
    }
    return 0;
}

/* ---- one test ---- */

static int check_keys(struct run *r)
{
    static const char *const known[] = {"name", "lines", "events", "type", "path", "expect"};
    const struct yaml *node = r->test->node;
    for (size_t i = 0; i < node->n; i++) {
        bool is_known = false;
        for (size_t k = 0; k < ARRAY_LEN(known); k++)
            is_known |= str_eq(node->keys[i]->text, str_of(known[k]));
        if (!is_known)
            return fail(r, "line %d: a test has no '%.60s'", node->keys[i]->line, node->keys[i]->text.p);
    }
    return 0;
}

static int run_test(struct run *r)
{
    const struct yaml *node = r->test->node, *lines = yaml_get(node, "lines"), *events = yaml_get(node, "events");
    const struct yaml *expect = yaml_get(yaml_get(node, "expect"), "alerts");
    struct diag diag = {0};
    int64_t want;
    int err = check_keys(r);
    if (err < 0)
        return err;
    if (!lines == !events)
        return fail(r, "a test has either lines or events");
    if (!expect || yaml_int(expect, 0, ALERTS_MAX, &want, &diag) < 0)
        return fail(r, "a test says expect: {alerts: N}");
    if (r->rule->is_silent || r->rule->is_unmapped)
        return fail(r, "the rule %s",
                    r->rule->is_silent ? "is silent: test the correlation that refers to it"
                                       : "cannot match: no mapping knows its log source");
    err = run_records(r, lines ? lines : events, lines != NULL);
    if (err == 0)
        err = matcher_flush(r->matcher, on_match, r); /* nothing more will come: what waited is decided */
    if (err < 0)
        return err;
    if ((int64_t)r->n_alerts != want)
        return fail(r, "%zu alert%s, not %" PRId64, r->n_alerts, r->n_alerts == 1 ? "" : "s", want);
    r->result.has_passed = true;
    return 0;
}

static int run_fresh(struct run *r, const struct rule *rule, const struct rule_test *test)
{
    r->rule = rule;
    r->test = test;
    r->n_alerts = 0;
    r->records = 0;
    r->result = (struct rule_test_result){.rule = rule, .test = test};
    arena_reset(r->alerts);
    r->matcher = matcher_new(content_ruleset(r->content), STATE_MEMORY);
    int err = r->matcher ? run_test(r) : -ENOMEM;
    r->matcher = matcher_free(r->matcher);
    return err == -ENOMEM ? err : 0;
}

static int run_all(struct run *r, rule_test_fn on_result, void *ctx)
{
    const struct ruleset *rs = content_ruleset(r->content);
    for (size_t i = 0; i < ruleset_count(rs); i++) {
        const struct rule *rule = ruleset_rule(rs, i);
        for (size_t t = 0; t < rule->n_tests; t++) {
            int err = run_fresh(r, rule, &rule->tests[t]);
            if (err < 0)
                return err;
            on_result(&r->result, ctx);
        }
    }
    return 0;
}

int rule_tests_run(const struct content *content, rule_test_fn on_result, void *ctx)
{
    struct run *r = calloc(1, sizeof(*r));
    if (!r)
        return -ENOMEM;
    r->content = content;
    r->decode = decode_ctx_new(content_decoders(content));
    r->arena = arena_new(EVENT_MEMORY);
    r->alerts = arena_new(EVENT_MEMORY);
    int err = r->decode && r->arena && r->alerts ? run_all(r, on_result, ctx) : -ENOMEM;
    decode_ctx_free(r->decode);
    arena_free(r->arena);
    arena_free(r->alerts);
    free(r);
    return err;
}
