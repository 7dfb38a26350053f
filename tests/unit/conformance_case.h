/* SPDX-License-Identifier: Apache-2.0
 *
 * One case of tests/conformance: its rules as text, and its events as the engine takes them. The form of the files is in
 * tests/conformance/README.md.
 */
#pragma once

#include "common/buf.h"
#include "rules/json_event.h"
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

/* A number as RFC 8259 section 6 writes it. */
static inline bool is_json_number(struct str s)
{
    double d;
    size_t i = s.len && s.p[0] == '-';
    bool has_digit = i < s.len && s.p[i] >= '0' && s.p[i] <= '9';
    bool is_padded = i + 1 < s.len && s.p[i] == '0' && strchr("0123456789xX", s.p[i + 1]);
    return has_digit && !is_padded && s.p[s.len - 1] != '.' && is_float(s, &d);
}

/* What stands in quotes is a string; else as YAML's core schema has it. Names that begin with '@' are the case's own. */
static inline void append_json(struct buf *out, const struct yaml *y)
{
    bool is_first = true;
    if (y->kind == YAML_SCALAR) {
        bool is_word = str_eq(y->text, STR("true")) || str_eq(y->text, STR("false"));
        bool is_bare = !y->is_quoted && (is_word || is_json_number(y->text));
        assert_int_equal(yaml_is_null(y) ? buf_append_z(out, "null")
                         : is_bare       ? buf_append_str(out, y->text)
                                         : buf_append_json(out, y->text),
                         0);
        return;
    }
    assert_int_equal(buf_append_z(out, y->kind == YAML_MAP ? "{" : "["), 0);
    for (size_t i = 0; i < y->n; i++) {
        if (y->kind == YAML_MAP && y->keys[i]->text.len && y->keys[i]->text.p[0] == '@')
            continue;
        assert_int_equal(buf_append_z(out, is_first ? "" : ","), 0);
        is_first = false;
        if (y->kind == YAML_MAP) {
            assert_int_equal(buf_append_json(out, y->keys[i]->text), 0);
            assert_int_equal(buf_append_z(out, ":"), 0);
        }
        append_json(out, y->items[i]);
    }
    assert_int_equal(buf_append_z(out, y->kind == YAML_MAP ? "}" : "]"), 0);
}

/* The record as a reader of NDJSON gives it, copied into the arena. */
static inline void read_record(const struct ruleset *rules, const struct names *names, const struct yaml *y,
                               struct event *ev)
{
    const struct json_event_options options = {.keeps_unknown = ruleset_has_keywords(rules)};
    struct json_event_reader *reader = json_event_reader_new(names, &options);
    struct buf text = BUF_INIT(CASE_TEXT_MAX);
    struct event read;
    assert_non_null(reader);
    append_json(&text, y);
    assert_int_equal(json_event_read(reader, buf_str(&text), &read), 0);
    for (size_t i = 0; i < read.n; i++) {
        struct field f = read.fields[i];
        if (f.type == VALUE_STR)
            assert_int_equal(arena_str(ev->arena, f.s, &f.s), 0);
        assert_int_equal(event_add_field(ev, &f), 0);
    }
    ev->is_structured = read.is_structured;
    json_event_reader_free(reader);
    buf_clear(&text);
}

/* A map is a JSON record; a text is a line of a log. "@t" is the event's time in seconds, "@raw" the line of an event that a decoder
 * made, "@ref" the index of the event that it is once more. */
static inline void event_of_case(const struct ruleset *rules, const struct names *names, const struct yaml *y,
                                 uint32_t index, struct arena *arena, struct event *ev)
{
    double t;
    int64_t ref = index;
    (void)yaml_int(yaml_get(y, "@ref"), 0, UINT32_MAX, &ref, NULL);
    assert_int_equal(event_init(ev, arena), 0);
    ev->ref = (struct event_ref){1, (uint32_t)ref};
    if (y->kind == YAML_SCALAR) {
        ev->raw = y->text;
        return;
    }
    read_record(rules, names, y, ev);
    ev->is_structured &= yaml_get(y, "@raw") == NULL;
    ev->raw = yaml_str(y, "@raw");
    if (is_float(yaml_str(y, "@t"), &t))
        ev->ts_ns = (int64_t)(t * 1000 + (t < 0 ? -0.5 : 0.5)) * 1000000;
}
