/* SPDX-License-Identifier: Apache-2.0
 *
 * Whether a rule matches an event, found the long way: every source is asked, every leaf of the condition is tried on every value.
 * No index, no sharing, no order: what the matcher must agree with.
 */
#pragma once

#include "rules/matcher.h"
#include "rules/plan.h"

struct oracle {
    const struct ruleset *rs;
    const struct event *ev;
    struct match_env *env;
};

static inline bool oracle_is_field(const struct oracle *o, size_t i, name_id field)
{
    return field != F_EVENT_ORIGINAL && i < o->ev->n && o->ev->fields[i].key == field;
}

/* The i-th value when it is one of the field (F_NONE: of any): false where it is not. */
static inline bool oracle_value(const struct oracle *o, size_t i, name_id field, struct value *ret)
{
    bool is_raw = i == o->ev->n && o->ev->raw.len;
    if (field == F_NONE ? (o->ev->is_structured ? i < o->ev->n : is_raw) : oracle_is_field(o, i, field)) {
        if (is_raw)
            value_of_text(o->ev->raw, ret);
        else
            value_of_field(&o->ev->fields[i], ret);
        return true;
    }
    if (field != F_EVENT_ORIGINAL || !is_raw)
        return false;
    value_of_text(o->ev->raw, ret);
    return true;
}

static inline bool oracle_relates(const struct oracle *o, const struct needle *p, struct value *v, name_id other)
{
    for (size_t i = 0; i <= o->ev->n; i++) {
        struct value w;
        if (oracle_value(o, i, other, &w) && value_relates(p, v, &w, o->env))
            return true;
    }
    return false;
}

static inline bool oracle_needle(const struct oracle *o, const struct needle *p, name_id field, const name_id *map)
{
    bool is_there = false, is_null = false, holds = false;
    for (size_t i = 0; i <= o->ev->n; i++) {
        struct value v;
        if (!oracle_value(o, i, field, &v))
            continue;
        is_there = true;
        is_null |= v.type == VALUE_NULL;
        if (p->op == NEEDLE_FIELD)
            holds |= oracle_relates(o, p, &v, map[p->other]);
        else if (p->op != NEEDLE_NULL && p->op != NEEDLE_EXISTS && p->op != NEEDLE_MISSING)
            holds |= needle_match(p, &v, o->env);
    }
    switch (p->op) {
    case NEEDLE_NULL:
        return is_null || !is_there;
    case NEEDLE_EXISTS:
        return is_there;
    case NEEDLE_MISSING:
        return !is_there;
    default:
        return holds;
    }
}

static inline bool oracle_expr(const struct oracle *o, const struct expr *e, const name_id *map)
{
    bool any = false, all = true;
    if (e->kind == EXPR_LEAF) {
        name_id field = e->leaf->field == F_NONE ? F_NONE : map[e->leaf->field];
        for (size_t i = 0; i < e->leaf->n; i++)
            any |= oracle_needle(o, &e->leaf->needles[i], field, map);
        return any;
    }
    for (size_t i = 0; i < e->n; i++) {
        bool one = oracle_expr(o, e->kids[i], map);
        any |= one;
        all &= one;
    }
    return e->kind == EXPR_AND ? all : e->kind == EXPR_OR ? any : !any;
}

static inline bool oracle_source(const struct oracle *o, const struct source *s)
{
    for (size_t w = 0; w < s->n_when; w++) {
        bool is_there = false, holds = false;
        for (size_t i = 0; i <= o->ev->n; i++) {
            struct value v;
            if (!oracle_value(o, i, s->when[w].field, &v))
                continue;
            is_there = true;
            for (size_t k = 0; k < s->when[w].n; k++)
                holds |=
                    s->is_declared ? str_eq_nocase(v.text, s->when[w].values[k]) : str_eq(v.text, s->when[w].values[k]);
        }
        if (!holds && !(s->is_declared && !is_there))
            return false;
    }
    return true;
}

static inline bool oracle_matches(const struct oracle *o, const struct plan *plan)
{
    return oracle_source(o, o->rs->sources[plan->source]) && oracle_expr(o, plan->entry->expr, plan->map);
}
