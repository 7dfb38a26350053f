/* SPDX-License-Identifier: Apache-2.0
 *
 * Why did this event match, or not? See cli_rules_explain.h. Says of each test what it found.
 */
#include "collector/cli_rules_explain.h"

#include "collector/to_json.h"

#define VALUES_SHOWN 5
#define VALUE_SHOWN  400

static json_t *shown(struct str s)
{
    bool is_long = s.len > VALUE_SHOWN;
    while (is_long && s.len > VALUE_SHOWN - 3)
        s.len--;
    while (is_long && s.len && ((uint8_t)s.p[s.len] & 0xC0) == 0x80)
        s.len--;
    if (!is_long)
        return to_json_text(s);
    CLEANUP(buf_clear) struct buf b = BUF_INIT(VALUE_SHOWN + 8);
    buf_append_str(&b, s);
    buf_append_z(&b, "...");
    return to_json_text(buf_str(&b));
}

/* The field's values, event.original among them, one by one: NULL, or the value after `after`. */
static const struct field *next_field(const struct event *ev, name_id field, const struct field *after)
{
    return after ? event_get_next(ev, after) : event_get(ev, field);
}

static void value_get(const struct field *f, struct str raw, struct value *ret)
{
    if (f)
        value_of_field(f, ret);
    else
        value_of_text(raw, ret);
}

/* ---- log sources ---- */

static bool is_among(const struct when *w, struct str text, bool ignores_case)
{
    for (size_t i = 0; i < w->n; i++)
        if (ignores_case ? str_eq_nocase(w->values[i], text) : str_eq(w->values[i], text))
            return true;
    return false;
}

static json_t *why_not(struct explaining *x, const struct when *w, struct str found, bool is_there)
{
    struct str name = names_text(x->rs->names, w->field);
    json_t *text = is_there ? json_sprintf("%.*s is '%.*s'", STR_ARG(name), (int)MIN(found.len, (size_t)100), found.p)
                            : json_sprintf("the event has no %.*s", STR_ARG(name));
    return text ? text : json_string("another value"); /* not UTF-8 */
}

bool explain_source(struct explaining *x, const struct source *s, json_t **ret_why)
{
    *ret_why = NULL;
    for (size_t i = 0; i < s->n_when; i++) {
        const struct when *w = &s->when[i];
        const struct field *f = NULL;
        struct value v = {0};
        bool is_there = false, fits = false;
        while ((f = next_field(x->event, w->field, f))) {
            value_of_field(f, &v);
            is_there = true;
            fits |= is_among(w, v.text, s->is_declared);
        }
        if (fits || (s->is_declared && !is_there))
            continue;
        *ret_why = why_not(x, w, v.text, is_there);
        return false;
    }
    return true;
}

/* ---- tests ---- */

struct found { /* what met */
    const struct needle *needle;
    struct value value;
    bool has_value;
};

static bool test_value(struct explaining *x, const struct needle *p, const struct field *f, struct found *ret)
{
    value_get(f, x->event->raw, &ret->value);
    ret->has_value = true;
    ret->needle = p;
    return needle_match(p, &ret->value, &x->env);
}

static bool test_keyword(struct explaining *x, const struct needle *p, struct found *ret)
{
    if (!x->event->is_structured)
        return x->event->raw.len && test_value(x, p, NULL, ret);
    for (size_t i = 0; i < x->event->n; i++)
        if (test_value(x, p, &x->event->fields[i], ret))
            return true;
    return false;
}

static bool test_relation(struct explaining *x, const struct needle *p, name_id field, name_id other, struct found *ret)
{
    struct value v;
    for (const struct field *a = NULL; (a = next_field(x->event, field, a));) {
        for (const struct field *b = NULL; (b = next_field(x->event, other, b));) {
            value_of_field(a, &ret->value);
            value_of_field(b, &v);
            ret->has_value = true;
            ret->needle = p;
            if (value_relates(p, &ret->value, &v, &x->env))
                return true;
        }
    }
    return false;
}

static bool has_null(const struct event *ev, name_id field)
{
    for (const struct field *f = NULL; (f = next_field(ev, field, f));)
        if (f->type == VALUE_NULL)
            return true;
    return false;
}

static bool is_present(struct explaining *x, name_id field)
{
    return field == F_EVENT_ORIGINAL ? x->event->raw.len > 0 : event_get(x->event, field) != NULL;
}

static bool test_needle(struct explaining *x, const struct needle *p, name_id field, const name_id *map,
                        struct found *ret)
{
    *ret = (struct found){.needle = p};
    if (field == F_NONE)
        return test_keyword(x, p, ret);
    switch (p->op) {
    case NEEDLE_NULL:
        return !is_present(x, field) || has_null(x->event, field);
    case NEEDLE_EXISTS:
        return is_present(x, field);
    case NEEDLE_MISSING:
        return !is_present(x, field);
    case NEEDLE_FIELD:
        return test_relation(x, p, field, map[p->other], ret);
    default:
        break;
    }
    if (field == F_EVENT_ORIGINAL)
        return x->event->raw.len && test_value(x, p, NULL, ret);
    for (const struct field *f = NULL; (f = next_field(x->event, field, f));)
        if (test_value(x, p, f, ret))
            return true;
    return false;
}

/* Why no value met any pattern: the field is not there, or has these values. */
static void add_why(struct explaining *x, name_id field, json_t *to)
{
    if (field == F_NONE) {
        json_object_set_new(to, "why", json_string("no value of the event holds the word"));
        return;
    }
    if (!is_present(x, field)) {
        json_object_set_new(to, "why", json_string("the event does not have the field"));
        return;
    }
    json_t *values = json_array();
    size_t n = 0;
    struct value v;
    if (field == F_EVENT_ORIGINAL)
        json_array_append_new(values, shown(x->event->raw));
    for (const struct field *f = NULL; (f = next_field(x->event, field, f)) && n < VALUES_SHOWN; n++) {
        value_of_field(f, &v);
        json_array_append_new(values, f->type == VALUE_NULL ? json_null() : shown(v.text));
    }
    json_object_set_new(to, "why", json_string("no value matches"));
    json_object_set_new(to, "values", values);
}

bool explain_leaf(struct explaining *x, const struct leaf *leaf, name_id field, const name_id *map, json_t *to)
{
    struct found found;
    for (size_t i = 0; i < leaf->n; i++) {
        match_env_begin(&x->env);
        if (!test_needle(x, &leaf->needles[i], field, map, &found))
            continue;
        json_object_set_new(to, "holds", json_true());
        json_object_set_new(to, "pattern", shown(found.needle->shown));
        if (found.has_value)
            json_object_set_new(to, "value", shown(found.value.text));
        return true;
    }
    json_object_set_new(to, "holds", json_false());
    add_why(x, field, to);
    return false;
}
