/* SPDX-License-Identifier: Apache-2.0
 *
 * One case of tests/conformance: its rules as text, and its events as the engine takes them. The form of the files is in
 * tests/conformance/README.md.
 */
#pragma once

#include "common/buf.h"
#include "rules/matcher.h"

#include "tests/unit/test.h"

#include <stdint.h>

#define CASE_TEXT_MAX (256 * KIB)

/* ---- rules ---- */

/* Appends the lines of text, each behind `indent`. */
static inline void append_indented(struct buf *out, struct str text, const char *indent)
{
    for (size_t i = 0; i < text.len;) {
        const char *end = memchr(text.p + i, '\n', text.len - i);
        size_t len = end ? (size_t)(end - text.p) - i : text.len - i;
        assert_int_equal(buf_append_z(out, indent), 0);
        assert_int_equal(buf_append(out, text.p + i, len), 0);
        assert_int_equal(buf_append_z(out, "\n"), 0);
        i += len + 1;
    }
}

/* What stands around the author's text when a case gives only a part of a rule. */
static inline const char *case_part(const struct yaml *c, const char **ret_indent, const char **ret_head)
{
    static const struct {
        const char *key, *indent, *head;
    } parts[] = {
        {"selection", "    ", "title: rule\nlogsource: {product: test}\ndetection:\n  selection:\n"},
        {"detection", "  ", "title: rule\nlogsource: {product: test}\ndetection:\n"},
        {"correlation", "  ",
         "{title: a, logsource: {product: test}, detection: {s: {e: a}, condition: s}, name: a}\n---\n"
         "{title: b, logsource: {product: test}, detection: {s: {e: b}, condition: s}, name: b}\n---\n"
         "{title: c, logsource: {product: test}, detection: {s: {e: c}, condition: s}, name: c}\n---\n"
         "title: corr\ncorrelation:\n"},
        {"rules", "", ""},
    };
    size_t i = 0;
    while (i + 1 < ARRAY_LEN(parts) && !yaml_get(c, parts[i].key))
        i++;
    *ret_indent = parts[i].indent;
    *ret_head = parts[i].head;
    return parts[i].key;
}

/* The rules' text; *ret_before is how many lines stand in front of the author's, *ret_indent how many columns. */
static inline void case_rules(const struct yaml *c, struct buf *out, int *ret_before, int *ret_indent)
{
    const char *indent, *head, *key = case_part(c, &indent, &head);
    *ret_before = 0;
    for (const char *p = head; *p; p++)
        *ret_before += *p == '\n';
    *ret_indent = (int)strlen(indent);
    assert_int_equal(buf_append_z(out, head), 0);
    if (*indent)
        append_indented(out, yaml_str(c, key), indent);
    else
        assert_int_equal(buf_append_str(out, yaml_str(c, key)), 0);
    if (strcmp(key, "selection") == 0)
        assert_int_equal(buf_append_z(out, "  condition: selection\n"), 0);
}

/* ---- events ---- */

struct event_reader {
    const struct names *names;
    bool keeps_all; /* fields that no rule names, too */
    struct event *ev;
    struct arena *arena;
};

static inline bool is_float(struct str s, double *ret)
{
    char z[64], *end;
    if (s.len == 0 || s.len >= sizeof(z) || !strchr("+-.0123456789", s.p[0]))
        return false;
    memcpy(z, s.p, s.len);
    z[s.len] = 0;
    *ret = strtod(z, &end);
    return end == z + s.len;
}

/* A scalar as JSON would type it: what is in quotes is a string. */
static inline void event_scalar(struct event_reader *r, name_id key, const struct yaml *y)
{
    struct field f = {.key = key, .type = VALUE_STR, .s = y->text};
    int64_t i;
    double d;
    bool b;
    if (yaml_is_null(y))
        f.type = VALUE_NULL;
    else if (!y->is_quoted && parse_i64(y->text, INT64_MIN, INT64_MAX, &i) == 0)
        f.type = VALUE_INT, f.i = i;
    else if (!y->is_quoted && is_float(y->text, &d))
        f.type = VALUE_FLOAT, f.f = d;
    else if (!y->is_quoted && (str_eq(y->text, STR("true")) || str_eq(y->text, STR("false"))))
        f.type = VALUE_BOOL, b = y->text.p[0] == 't', f.b = b;
    assert_int_equal(event_add_field(r->ev, &f), 0);
}

/* Maps become dotted names, lists repeat the key. */
static inline void event_value(struct event_reader *r, struct str name, const struct yaml *y)
{
    name_id key = names_find(r->names, name);
    if (y->kind == YAML_SCALAR && (key != F_NONE || r->keeps_all))
        event_scalar(r, key, y);
    for (size_t i = 0; y->kind == YAML_LIST && i < y->n; i++)
        event_value(r, name, y->items[i]);
    for (size_t i = 0; y->kind == YAML_MAP && i < y->n; i++) {
        struct str sub = y->keys[i]->text;
        char *full = arena_array(r->arena, name.len + sub.len + 2, 1);
        assert_non_null(full);
        int n = snprintf(full, name.len + sub.len + 2, STR_FMT "%s" STR_FMT, STR_ARG(name), name.len ? "." : "",
                         STR_ARG(sub));
        event_value(r, (struct str){full, (size_t)n}, y->items[i]);
    }
}

/* A map is a JSON record; a text is a line of a log. "@t" is the event's time in seconds, "@raw" the line of an event that
 * a decoder made, "@ref" the index of the event that it is once more: they leave no field. */
static inline void event_of_case(const struct names *names, bool keeps_all, const struct yaml *y, uint32_t index,
                                 struct arena *arena, struct event *ev)
{
    struct event_reader r = {names, keeps_all, ev, arena};
    double t;
    int64_t ref = index;
    (void)yaml_int(yaml_get(y, "@ref"), 0, UINT32_MAX, &ref, NULL);
    assert_int_equal(event_init(ev, arena), 0);
    ev->ref = (struct event_ref){1, (uint32_t)ref};
    if (y->kind == YAML_SCALAR) {
        ev->raw = y->text;
        return;
    }
    ev->is_structured = yaml_get(y, "@raw") == NULL;
    ev->raw = yaml_str(y, "@raw");
    if (is_float(yaml_str(y, "@t"), &t))
        ev->ts_ns = (int64_t)(t * 1000 + (t < 0 ? -0.5 : 0.5)) * 1000000;
    struct yaml fields = {.kind = YAML_MAP,
                          .keys = arena_array(arena, y->n + 1, sizeof(struct yaml *)),
                          .items = arena_array(arena, y->n + 1, sizeof(struct yaml *))};
    assert_true(fields.keys && fields.items);
    for (size_t i = 0; i < y->n; i++) {
        if (y->keys[i]->text.len && y->keys[i]->text.p[0] == '@')
            continue;
        fields.keys[fields.n] = y->keys[i];
        fields.items[fields.n++] = y->items[i];
    }
    event_value(&r, (struct str){"", 0}, &fields);
}
