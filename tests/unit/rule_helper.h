/* SPDX-License-Identifier: Apache-2.0
 *
 * Rules and events for the tests of the rule engine: a rule set from YAML text, with a log source "product: test" that
 * every event belongs to, and events written as name, value, name, value, ..., NULL.
 */
#pragma once

#include "rules/matcher.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define LOGSOURCE "logsource: {product: test}\n"
#define RULE      "title: T\n" LOGSOURCE

struct set {
    struct names *names;
    struct ruleset *rules;
    struct diags diags;
    int left_out; /* by adding and by compiling */
};

static inline struct set set_begin(void)
{
    static const char mapping[] = "- logsource: {product: test}\n  when: {event.dataset: [test]}\n"
                                  "  fields: {Sigma: ecs.field, Other: ecs.other}\n";
    struct set s = {.names = names_new()};
    diags_init(&s.diags, 100);
    s.rules = ruleset_new(s.names);
    assert_non_null(s.rules);
    assert_int_equal(ruleset_add_mapping(s.rules, STR(mapping), "mapping.yml", &s.diags), 0);
    return s;
}

static inline void set_compile(struct set *s)
{
    int err = ruleset_compile(s->rules, &s->diags);
    assert_true(err >= 0);
    s->left_out += err;
}

static inline struct set set_of(const char *yaml)
{
    struct set s = set_begin();
    s.left_out = ruleset_add(s.rules, str_of(yaml), "rule.yml", &s.diags);
    assert_true(s.left_out >= 0);
    set_compile(&s);
    return s;
}

static inline void set_clear(struct set *s)
{
    ruleset_free(s->rules);
    names_free(s->names);
    diags_clear(&s->diags);
}

static inline void set_print(const struct set *s)
{
    for (size_t i = 0; i < s->diags.n; i++)
        print_message("%s:%d:%d: %s\n", s->diags.entries[i].file, s->diags.entries[i].diag.line,
                      s->diags.entries[i].diag.col, s->diags.entries[i].diag.msg);
}

/* A set that must load whole. */
static inline struct set set_good(const char *yaml)
{
    struct set s = set_of(yaml);
    if (s.left_out || s.diags.errors)
        set_print(&s);
    assert_int_equal(s.left_out, 0);
    assert_int_equal(s.diags.errors, 0);
    return s;
}

static inline void event_begin(struct event *ev, struct arena *arena)
{
    assert_int_equal(event_init(ev, arena), 0);
    assert_int_equal(event_add_str(ev, F_EVENT_DATASET, STR("test")), 0);
}

static inline void event_text(struct set *s, struct event *ev, const char *name, const char *value)
{
    name_id id = 0;
    if (strcmp(name, "event.original") == 0) {
        ev->raw = str_of(value);
        return;
    }
    assert_int_equal(names_intern(s->names, str_of(name), &id), 0);
    assert_int_equal(event_add_str(ev, id, str_of(value)), 0);
}

static inline void count_match(const struct match *m, void *ctx)
{
    (void)m;
    ++*(int *)ctx;
}

/* How many rules of the set match an event of these fields. */
static inline int matches(struct set *s, ...)
{
    struct arena *arena = arena_new(1 * MIB);
    struct event ev;
    event_begin(&ev, arena);
    va_list args;
    va_start(args, s);
    for (const char *name; (name = va_arg(args, const char *));)
        event_text(s, &ev, name, va_arg(args, const char *));
    va_end(args);
    struct matcher *m = matcher_new(s->rules, 1 * MIB);
    assert_non_null(m);
    int n = 0;
    assert_int_equal(matcher_eval(m, &ev, count_match, &n), 0);
    matcher_free(m);
    arena_free(arena);
    return n;
}
