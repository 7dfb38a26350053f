/* SPDX-License-Identifier: Apache-2.0
 *
 * An event's way through the rules: find the log sources it belongs to, try the rules of those, report what matched,
 * and give hits to the correlations. Values are folded at most once an event, whatever number of rules looks at them.
 *
 * The rules of a source are tried one after the other; one index over all needles would go in here, below try_source.
 */
#include "rules/matcher.h"

#include "rules/hits.h"

#include <errno.h>

#define SCRATCH_MAX (8 * MIB) /* folded text of one event */
#define VALUE_RAW   EVENT_FIELDS_MAX

struct slot { /* where a field's values start in the event */
    uint32_t epoch;
    uint16_t first;
};

struct matcher {
    const struct ruleset *rs;
    struct arena *arena;
    struct match_env env;
    uint32_t epoch; /* of the event: what slots and values belong to */
    struct slot slots[NAMES_MAX];
    uint16_t next[EVENT_FIELDS_MAX]; /* the next value of the same field, or VALUE_RAW */
    uint32_t value_epoch[EVENT_FIELDS_MAX + 1];
    struct value values[EVENT_FIELDS_MAX + 1];
    uint32_t *tried; /* by loaded rule: the epoch in which it matched */
    const struct event *ev; /* during matcher_eval */
    struct hits hits;
    struct matched matched[MATCHED_MAX];
    size_t n_matched;
};

struct matcher *matcher_new(const struct ruleset *rs, size_t memory_max)
{
    struct matcher *m = calloc(1, sizeof(*m));
    if (!m)
        return NULL;
    m->rs = rs;
    m->arena = arena_new(SCRATCH_MAX);
    m->tried = calloc(rs->n_loaded + 1, sizeof(*m->tried));
    if (hits_init(&m->hits, rs, memory_max) < 0 || !m->arena || !m->tried || match_env_init(&m->env, m->arena) < 0)
        return matcher_free(m);
    return m;
}

struct matcher *matcher_free(struct matcher *m)
{
    if (!m)
        return NULL;
    match_env_clear(&m->env);
    hits_clear(&m->hits);
    arena_free(m->arena);
    free(m->tried);
    free(m);
    return NULL;
}

/* ---- values of the event ---- */

static void index_event(struct matcher *m, const struct event *ev)
{
    m->ev = ev;
    if (++m->epoch == 0) { /* wrapped: nothing may look like it belonged to this event */
        memset(m->slots, 0, sizeof(m->slots));
        memset(m->value_epoch, 0, sizeof(m->value_epoch));
        memset(m->tried, 0, (m->rs->n_loaded + 1) * sizeof(*m->tried));
        m->epoch = 1;
    }
    for (size_t i = MIN((size_t)ev->n, (size_t)EVENT_FIELDS_MAX); i-- > 0;) {
        struct slot *slot = &m->slots[ev->fields[i].key % NAMES_MAX];
        m->next[i] = slot->epoch == m->epoch ? slot->first : VALUE_RAW;
        *slot = (struct slot){m->epoch, (uint16_t)i};
    }
}

/* Index of the field's first value, or -1. */
static int first_value(const struct matcher *m, name_id field)
{
    if (field == F_EVENT_ORIGINAL)
        return m->ev->raw.len ? VALUE_RAW : -1;
    const struct slot *slot = &m->slots[field % NAMES_MAX];
    return slot->epoch == m->epoch ? slot->first : -1;
}

static int next_value(const struct matcher *m, int i)
{
    return i == VALUE_RAW || m->next[i] == VALUE_RAW ? -1 : m->next[i];
}

static struct value *value_at(struct matcher *m, int i)
{
    struct value *v = &m->values[i];
    if (m->value_epoch[i] == m->epoch)
        return v;
    m->value_epoch[i] = m->epoch;
    if (i == VALUE_RAW)
        value_of_text(m->ev->raw, v);
    else
        value_of_field(&m->ev->fields[i], v);
    return v;
}

const struct value *matcher_value(struct matcher *m, name_id field)
{
    int i = first_value(m, field);
    return i < 0 ? NULL : value_at(m, i);
}

/* ---- leaves and trees ---- */

static bool field_has_null(struct matcher *m, int first)
{
    for (int i = first; i >= 0; i = next_value(m, i))
        if (value_at(m, i)->type == VALUE_NULL)
            return true;
    return first < 0;
}

static bool fields_relate(struct matcher *m, const struct needle *p, int first, int other)
{
    for (int i = first; i >= 0; i = next_value(m, i))
        for (int k = other; k >= 0; k = next_value(m, k))
            if (value_relates(value_at(m, i), p->relation, value_at(m, k), &m->env))
                return true;
    return false;
}

/* Whether the field's values satisfy the needle; *ret_value is the index of the one that does, or -1. */
static bool needle_holds(struct matcher *m, const struct needle *p, int first, const name_id *map, int *ret_value)
{
    *ret_value = first;
    switch (p->op) {
    case NEEDLE_NULL:
        return field_has_null(m, first);
    case NEEDLE_EXISTS:
        return first >= 0;
    case NEEDLE_MISSING:
        return first < 0;
    case NEEDLE_FIELD:
        return fields_relate(m, p, first, first_value(m, map[p->other]));
    default:
        break;
    }
    for (int i = first; i >= 0; i = next_value(m, i)) {
        *ret_value = i;
        if (needle_match(p, value_at(m, i), &m->env))
            return true;
    }
    return false;
}

/* A keyword in a structured event: any value of any field. */
static bool keyword_holds(struct matcher *m, const struct needle *p, int *ret_value)
{
    for (int i = 0; i < m->ev->n && i < EVENT_FIELDS_MAX; i++) {
        *ret_value = i;
        if (needle_match(p, value_at(m, i), &m->env))
            return true;
    }
    return false;
}

static int leaf_first(const struct matcher *m, const struct leaf *leaf, const name_id *map)
{
    return first_value(m, leaf->field == F_NONE ? F_EVENT_ORIGINAL : map[leaf->field]);
}

static bool leaf_holds(struct matcher *m, const struct leaf *leaf, const struct needle *p, int first,
                       const name_id *map, int *ret_value)
{
    return leaf->field == F_NONE && m->ev->is_structured ? keyword_holds(m, p, ret_value)
                                                         : needle_holds(m, p, first, map, ret_value);
}

static bool leaf_eval(struct matcher *m, const struct leaf *leaf, const name_id *map)
{
    int first = leaf_first(m, leaf, map), value;
    for (size_t i = 0; i < leaf->n; i++)
        if (leaf_holds(m, leaf, &leaf->needles[i], first, map, &value))
            return true;
    return false;
}

static bool eval(struct matcher *m, const struct expr *e, const name_id *map)
{
    switch (e->kind) {
    case EXPR_AND:
        for (size_t i = 0; i < e->n; i++)
            if (!eval(m, e->kids[i], map))
                return false;
        return true;
    case EXPR_OR:
        for (size_t i = 0; i < e->n; i++)
            if (eval(m, e->kids[i], map))
                return true;
        return false;
    case EXPR_NOT:
        return !eval(m, e->kids[0], map);
    case EXPR_LEAF:
        return leaf_eval(m, e->leaf, map);
    }
    return false;
}

/* ---- why it matched ---- */

static void explain_leaf(struct matcher *m, const struct leaf *leaf, const name_id *map)
{
    int first = leaf_first(m, leaf, map), value;
    for (size_t i = 0; i < leaf->n && m->n_matched < MATCHED_MAX; i++) {
        if (!leaf_holds(m, leaf, &leaf->needles[i], first, map, &value))
            continue;
        m->matched[m->n_matched++] = (struct matched){
            .field = leaf->field == F_NONE ? F_NONE : map[leaf->field],
            .field_name = leaf->field_name,
            .value = value < 0 ? (struct str){0} : value_at(m, value)->text,
            .pattern = leaf->needles[i].shown,
            .selection = leaf->selection,
        };
        return;
    }
}

/* Notes the satisfied leaves of a tree that holds, without those under a "not". */
static void explain(struct matcher *m, const struct expr *e, const name_id *map)
{
    if (e->kind == EXPR_LEAF)
        explain_leaf(m, e->leaf, map);
    for (size_t i = 0; i < e->n && e->kind != EXPR_NOT && m->n_matched < MATCHED_MAX; i++)
        if (e->kind == EXPR_AND || eval(m, e->kids[i], map))
            explain(m, e->kids[i], map);
}

const struct matched *matcher_explain(struct matcher *m, const struct plan *plan, size_t *ret_n)
{
    m->n_matched = 0;
    explain(m, plan->entry->expr, plan->map);
    *ret_n = m->n_matched;
    return m->matched;
}

/* ---- sources ---- */

static bool source_has(struct matcher *m, const struct source *s)
{
    for (size_t w = 0; w < s->n_when; w++) {
        int first = first_value(m, s->when[w].field);
        bool holds = s->is_declared && first < 0;
        for (int i = first; i >= 0 && !holds; i = next_value(m, i))
            for (size_t k = 0; k < s->when[w].n && !holds; k++)
                holds = s->is_declared ? str_eq_nocase(value_at(m, i)->text, s->when[w].values[k])
                                       : str_eq(value_at(m, i)->text, s->when[w].values[k]);
        if (!holds)
            return false;
    }
    return true;
}

static int try_source(struct matcher *m, const struct source *s)
{
    int ret = 0;
    for (size_t i = 0; i < s->n_plans; i++) {
        const struct plan *plan = &s->plans[i];
        if (m->tried[plan->entry->loaded] == m->epoch || !eval(m, plan->entry->expr, plan->map))
            continue;
        m->tried[plan->entry->loaded] = m->epoch; /* not again by way of another source */
        int err = hits_add(&m->hits, plan);
        ret = err < 0 ? err : ret;
    }
    return ret;
}

int matcher_eval(struct matcher *m, const struct event *ev, match_fn on_match, void *ctx)
{
    int ret = 0;
    arena_reset(m->arena);
    index_event(m, ev);
    hits_begin(&m->hits, m, ev, on_match, ctx);
    m->env.is_out_of_memory = false;
    for (size_t i = 0; i < m->rs->n_sources; i++) {
        if (!source_has(m, m->rs->sources[i]))
            continue;
        int err = try_source(m, m->rs->sources[i]);
        ret = err < 0 ? err : ret;
    }
    hits_end(&m->hits);
    return m->env.is_out_of_memory ? -ENOMEM : ret;
}

void matcher_stats(const struct matcher *m, struct matcher_stats *ret)
{
    *ret = (struct matcher_stats){.regex_gave_up = m->env.regex_gave_up};
    hits_stats(&m->hits, ret);
}
