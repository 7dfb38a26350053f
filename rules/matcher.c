/* SPDX-License-Identifier: Apache-2.0
 *
 * An event's way through the rules: find the log sources it belongs to, find the predicates that its values satisfy, look at
 * the rules which those trigger, report what matched, and give hits to the correlations. Values are folded at most once
 * an event, whatever number of rules looks at them. index.h tells how the rules are laid out for this.
 */
#include "rules/matcher.h"

#include "common/time.h"

#include "rules/activation.h"
#include "rules/hits.h"

#include <errno.h>

#define SCRATCH_MAX (8 * MIB) /* folded text of one event */
#define VALUE_RAW   EVENT_FIELDS_MAX
#define VALUE_TIME  (EVENT_FIELDS_MAX + 1) /* @timestamp, which is no field of the event either */
#define EPOCH_MAX   (UINT32_MAX / 2)

#define SORT_BY_HAND_MAX 48

struct slot { /* where a field's values start in the event */
    uint32_t epoch;
    uint16_t first;
};

struct known {      /* about a predicate and the event at hand */
    uint32_t stamp; /* twice the epoch, and 1 when it holds */
    uint16_t value; /* then: the value that satisfies it, or VALUE_NONE */
};
#define VALUE_NONE UINT16_MAX

struct matcher {
    const struct ruleset *rs;
    const struct index *ix;
    struct arena *arena;
    struct match_env env;
    struct activations *activations;
    const struct activation *active; /* of the event */
    struct event_values event_values;
    uint32_t epoch; /* of the event: what slots, values and so on belong to */
    struct slot slots[NAMES_MAX];
    uint16_t next[EVENT_FIELDS_MAX]; /* the next value of the same field, or VALUE_RAW */
    uint32_t value_epoch[EVENT_FIELDS_MAX + 2];
    struct value values[EVENT_FIELDS_MAX + 2];
    char time_text[TIME_RFC3339_LEN];
    struct known *known;  /* by predicate */
    uint32_t *sets;       /* by set: the epoch in which one of it was found */
    uint32_t *triggered;  /* by plan: the epoch in which it was */
    uint32_t *candidates; /* plans triggered by the event */
    size_t n_candidates;
    const struct event *ev; /* during matcher_eval */
    struct hits hits;
    uint64_t events, rules_tried;
    struct matched matched[MATCHED_MAX];
    uint32_t matched_leaf[MATCHED_MAX];
    size_t n_matched;
};

/* ---- life ---- */

static int event_first(void *ctx, name_id field);
static int event_next(void *ctx, int value);
static struct str event_text(void *ctx, int value);

struct matcher *matcher_new(const struct ruleset *rs, size_t memory_max)
{
    return matcher_new_with(rs, &(struct matcher_options){.memory_max = memory_max,
                                                          .lateness_ns = MATCHER_LATENESS_NS,
                                                          .keep_ns = MATCHER_KEEP_NS});
}

struct matcher *matcher_new_with(const struct ruleset *rs, const struct matcher_options *options)
{
    struct matcher *m = calloc(1, sizeof(*m));
    if (!m)
        return NULL;
    m->rs = rs;
    m->ix = rs->index;
    m->event_values = (struct event_values){m, event_first, event_next, event_text};
    m->arena = arena_new(SCRATCH_MAX);
    m->activations = activations_new(rs);
    m->known = calloc(m->ix->n_predicates + 1, sizeof(*m->known));
    m->sets = calloc((size_t)m->ix->n_sets + 1, sizeof(*m->sets));
    m->triggered = calloc(rs->n_plans + 1, sizeof(*m->triggered));
    m->candidates = calloc(rs->n_plans + 1, sizeof(*m->candidates));
    if (hits_init(&m->hits, rs, options) < 0 || !m->arena || !m->activations || !m->known || !m->sets ||
        !m->triggered || !m->candidates || match_env_init(&m->env, m->arena) < 0)
        return matcher_free(m);
    return m;
}

struct matcher *matcher_free(struct matcher *m)
{
    if (!m)
        return NULL;
    match_env_clear(&m->env);
    hits_clear(&m->hits);
    activations_free(m->activations);
    arena_free(m->arena);
    free(m->known);
    free(m->sets);
    free(m->triggered);
    free(m->candidates);
    free(m);
    return NULL;
}

/* ---- values of the event ---- */

static void begin_event(struct matcher *m, const struct event *ev)
{
    match_env_begin(&m->env);
    m->ev = ev;
    m->n_candidates = 0;
    if (++m->epoch == EPOCH_MAX) { /* nothing of old may look like it belonged to this event */
        memset(m->slots, 0, sizeof(m->slots));
        memset(m->value_epoch, 0, sizeof(m->value_epoch));
        memset(m->known, 0, m->ix->n_predicates * sizeof(*m->known));
        memset(m->sets, 0, m->ix->n_sets * sizeof(*m->sets));
        memset(m->triggered, 0, m->rs->n_plans * sizeof(*m->triggered));
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
    if (slot->epoch == m->epoch)
        return slot->first;
    return field == F_TIMESTAMP && !m->rs->is_without_mapping ? VALUE_TIME : -1;
}

static int next_value(const struct matcher *m, int i)
{
    return i >= VALUE_RAW || m->next[i] == VALUE_RAW ? -1 : m->next[i];
}

static struct value *value_at(struct matcher *m, int i)
{
    struct value *v = &m->values[i];
    if (m->value_epoch[i] == m->epoch)
        return v;
    m->value_epoch[i] = m->epoch;
    if (i == VALUE_TIME)
        time_format_rfc3339(m->ev->ts_ns, m->time_text);
    if (i >= VALUE_RAW)
        value_of_text(i == VALUE_RAW ? m->ev->raw : str_of(m->time_text), v);
    else
        value_of_field(&m->ev->fields[i], v);
    return v;
}

const struct value *matcher_value(struct matcher *m, name_id field)
{
    int i = first_value(m, field);
    return i < 0 ? NULL : value_at(m, i);
}

struct hits *matcher_hits(struct matcher *m)
{
    return &m->hits;
}

static int event_first(void *ctx, name_id field)
{
    return first_value(ctx, field);
}

static int event_next(void *ctx, int value)
{
    return next_value(ctx, value);
}

static struct str event_text(void *ctx, int value)
{
    return value_at(ctx, value)->text;
}

/* ---- predicates that are tried ---- */

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
            if (value_relates(p, value_at(m, i), value_at(m, k), &m->env))
                return true;
    return false;
}

/* Any value of the event, or its whole text. */
static bool keyword_holds(struct matcher *m, const struct needle *p, int *ret_value)
{
    *ret_value = VALUE_RAW;
    if (!m->ev->is_structured)
        return m->ev->raw.len && needle_match(p, value_at(m, VALUE_RAW), &m->env);
    for (int i = 0; i < m->ev->n && i < EVENT_FIELDS_MAX; i++) {
        *ret_value = i;
        if (needle_match(p, value_at(m, i), &m->env))
            return true;
    }
    return false;
}

/* Whether the event's values satisfy the predicate; *ret_value is the one that does, or -1. */
static bool try_predicate(struct matcher *m, const struct predicate *p, int *ret_value)
{
    const struct needle *needle = p->needle;
    if (p->field == F_NONE)
        return keyword_holds(m, needle, ret_value);
    int first = first_value(m, p->field);
    *ret_value = first;
    switch (needle->op) {
    case NEEDLE_NULL:
        return field_has_null(m, first);
    case NEEDLE_EXISTS:
        return first >= 0;
    case NEEDLE_MISSING:
        return first < 0;
    case NEEDLE_FIELD:
        return fields_relate(m, needle, first, first_value(m, p->other));
    default:
        break;
    }
    for (int i = first; i >= 0; i = next_value(m, i)) {
        *ret_value = i;
        if (needle_match(needle, value_at(m, i), &m->env))
            return true;
    }
    return false;
}

static bool is_known(const struct matcher *m, uint32_t id)
{
    return m->known[id].stamp >> 1 == m->epoch;
}

static bool predicate_holds(struct matcher *m, uint32_t word)
{
    uint32_t id = word & ~NODE_IS_TRIED;
    if (is_known(m, id))
        return m->known[id].stamp & 1;
    if (!(word & NODE_IS_TRIED))
        return false;
    const struct predicate *p = &m->ix->predicates[id];
    int value = -1;
    bool holds = (p->gate == PREDICATE_NONE || is_known(m, p->gate)) && try_predicate(m, p, &value);
    m->known[id] = (struct known){m->epoch * 2 + holds, value < 0 ? VALUE_NONE : (uint16_t)value};
    return holds;
}

/* ---- programs ---- */

static bool run(struct matcher *m, const uint32_t *node)
{
    const uint32_t *end = node + NODE_SIZE(*node);
    switch (NODE_KIND(*node)) {
    case NODE_AND:
        for (const uint32_t *kid = node + 1; kid < end; kid += NODE_SIZE(*kid))
            if (!run(m, kid))
                return false;
        return true;
    case NODE_OR:
        for (const uint32_t *kid = node + 1; kid < end; kid += NODE_SIZE(*kid))
            if (run(m, kid))
                return true;
        return false;
    case NODE_NOT:
        return !run(m, node + 1);
    case NODE_LEAF:
        if (node[LEAF_SET] != SET_NONE)
            return m->sets[node[LEAF_SET]] == m->epoch;
        for (const uint32_t *word = node + LEAF_WORDS; word < end; word++)
            if (predicate_holds(m, *word))
                return true;
        return false;
    }
    return false;
}

/* ---- why it matched ---- */

static void explain_leaf(struct matcher *m, const struct plan *plan, const uint32_t *node)
{
    const struct leaf *leaf = plan->leaves[node[LEAF_PLACE]];
    for (size_t i = 0; i < leaf->n && m->n_matched < MATCHED_MAX; i++) {
        if (!predicate_holds(m, node[LEAF_WORDS + i]))
            continue;
        uint16_t value = m->known[node[LEAF_WORDS + i] & ~NODE_IS_TRIED].value;
        m->matched[m->n_matched++] = (struct matched){
            .field = leaf->field == F_NONE ? F_NONE : plan->map[leaf->field],
            .field_name = leaf->field_name,
            .value = value == VALUE_NONE ? (struct str){0} : value_at(m, value)->text,
            .pattern = leaf->needles[i].shown,
            .selection = leaf->selection,
        };
        return;
    }
}

/* Notes the satisfied leaves of a program that holds, without those under a "not". */
static void explain(struct matcher *m, const struct plan *plan, const uint32_t *node)
{
    enum node_kind kind = NODE_KIND(*node);
    if (kind == NODE_LEAF)
        explain_leaf(m, plan, node);
    if (kind == NODE_LEAF || kind == NODE_NOT)
        return;
    const uint32_t *end = node + NODE_SIZE(*node);
    for (const uint32_t *kid = node + 1; kid < end && m->n_matched < MATCHED_MAX; kid += NODE_SIZE(*kid))
        if (kind == NODE_AND || run(m, kid))
            explain(m, plan, kid);
}

const struct matched *matcher_explain(struct matcher *m, const struct plan *plan, size_t *ret_n)
{
    m->n_matched = 0;
    explain(m, plan, plan->program);
    *ret_n = m->n_matched;
    return m->matched;
}

/* ---- what the index finds ---- */

static void add_candidates(struct matcher *m, const struct span *span)
{
    const uint32_t *plans = m->ix->triggered + span->first;
    for (uint32_t i = 0; i < span->n; i++) {
        uint32_t plan = plans[i];
        if (m->triggered[plan] == m->epoch || !m->active->is_active[m->rs->plans[plan].source])
            continue;
        m->triggered[plan] = m->epoch;
        m->candidates[m->n_candidates++] = plan;
    }
}

static void found(struct matcher *m, uint32_t id, int value)
{
    if (is_known(m, id))
        return;
    const struct predicate *p = &m->ix->predicates[id];
    m->known[id] = (struct known){m->epoch * 2 + 1, (uint16_t)value};
    for (uint32_t i = 0; i < p->sets.n; i++)
        m->sets[m->ix->in_sets[p->sets.first + i]] = m->epoch;
    add_candidates(m, &p->plans);
}

static void find_texts(struct matcher *m, const struct field_index *fi, const struct value *v, int value)
{
    for (uint32_t id = text_table_find(&fi->texts, v->folded); id != TEXT_UNKNOWN; id = m->ix->predicates[id].same_text)
        found(m, id, value);
}

static void find_networks(struct matcher *m, const struct field_index *fi, const struct value *v, int value)
{
    uint8_t address[16];
    uint32_t ids[129];
    bool is_v4;
    if (address_parse(v->text, address, &is_v4) < 0)
        return;
    size_t n = network_trie_find(&fi->networks, address, ids);
    for (size_t i = 0; i < n; i++)
        found(m, ids[i], value);
}

static void compare_literals(struct matcher *m, const struct grams *g, const struct gram_table *t, uint32_t gram,
                             struct str text, size_t at, int value)
{
    uint32_t n;
    const struct gram_entry *entries = grams_find(t, gram, &n);
    for (uint32_t i = 0; i < n; i++) {
        const struct literal *l = &g->literals[entries[i].literal];
        if (l->classes & m->active->classes && !is_known(m, l->predicate) && literal_stands(l, entries[i].at, text, at))
            found(m, l->predicate, value);
    }
}

static void find_literals(struct matcher *m, const struct grams *g, const struct gram_table *t, struct str text,
                          int value)
{
    if (text.len == 0)
        return;
    const char *framed = text.p - 1;
    size_t end = text.len + 1; /* positions where the shortest gram can begin */
    uint32_t hits[GRAM_HITS_MAX];
    for (size_t at = 0; at < end;) {
        size_t n = grams_scan(t, framed, end, &at, hits);
        for (size_t i = 0; i < n; i++)
            compare_literals(m, g, t, gram_of(t, framed + hits[i]), text, hits[i], value);
    }
}

/* needs: which of the tables the active sources need. */
static void find_in_value(struct matcher *m, const struct field_index *fi, uint8_t needs, int value)
{
    struct value *v = value_at(m, value);
    add_candidates(m, &fi->present);
    if (v->type == VALUE_NULL)
        return;
    if (needs & ~(NEEDS_VALUE | NEEDS_NETWORKS))
        value_fold(v, &m->env);
    if (needs & NEEDS_TEXTS)
        find_texts(m, fi, v, value);
    if (needs & NEEDS_NETWORKS)
        find_networks(m, fi, v, value);
    for (unsigned t = 0; t < GRAM_TABLES; t++)
        if (needs & NEEDS_GRAMS << t)
            find_literals(m, &fi->grams, &fi->grams.tables[t], v->folded, value);
}

static void find_predicates(struct matcher *m)
{
    const struct index *ix = m->ix;
    const struct event *ev = m->ev;
    size_t n = MIN((size_t)ev->n, (size_t)EVENT_FIELDS_MAX);
    const uint8_t *needs = m->active->needs;
    for (size_t i = 0; i < n; i++) {
        uint16_t place = ix->field_of[ev->fields[i].key % NAMES_MAX];
        if (place && needs[place])
            find_in_value(m, &ix->fields[place], needs[place], (int)i);
        if (needs[0] && ev->is_structured)
            find_in_value(m, &ix->fields[0], needs[0], (int)i);
    }
    uint16_t time = ix->field_of[F_TIMESTAMP];
    if (time && needs[time] && first_value(m, F_TIMESTAMP) == VALUE_TIME)
        find_in_value(m, &ix->fields[time], needs[time], VALUE_TIME);
    if (ev->raw.len == 0)
        return;
    uint16_t original = ix->field_of[F_EVENT_ORIGINAL];
    if (original && needs[original])
        find_in_value(m, &ix->fields[original], needs[original], VALUE_RAW);
    if (needs[0] && !ev->is_structured)
        find_in_value(m, &ix->fields[0], needs[0], VALUE_RAW);
}

static int compare_plans(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* Keeps the candidates whose rules match: in the order of loading, whatever triggered them first. */
static void run_candidates(struct matcher *m)
{
    size_t n = 0;
    m->rules_tried += m->n_candidates;
    for (size_t i = 0; i < m->n_candidates; i++)
        if (run(m, m->rs->plans[m->candidates[i]].program))
            m->candidates[n++] = m->candidates[i];
    m->n_candidates = n;
    if (n > SORT_BY_HAND_MAX) {
        qsort(m->candidates, n, sizeof(*m->candidates), compare_plans);
        return;
    }
    for (size_t i = 1; i < n; i++) {
        uint32_t plan = m->candidates[i];
        size_t at = i;
        for (; at && m->candidates[at - 1] > plan; at--)
            m->candidates[at] = m->candidates[at - 1];
        m->candidates[at] = plan;
    }
}

int matcher_eval(struct matcher *m, const struct event *ev, match_fn on_match, void *ctx)
{
    int ret = 0;
    begin_event(m, ev);
    m->events++;
    hits_begin(&m->hits, m, ev, on_match, ctx);
    m->active = activations_get(m->activations, &m->event_values);
    if (m->active->n_sources) {
        find_predicates(m);
        for (size_t i = 0; i < m->active->n_sources; i++)
            add_candidates(m, &m->ix->always[m->active->sources[i]]);
        run_candidates(m);
    }
    const struct rule_entry *last = NULL; /* that matched: not again by way of another source */
    for (size_t i = 0; i < m->n_candidates; i++) {
        const struct plan *plan = &m->rs->plans[m->candidates[i]];
        if (plan->entry == last)
            continue;
        last = plan->entry;
        int err = hits_add(&m->hits, plan);
        ret = err < 0 ? err : ret;
    }
    int err = hits_end(&m->hits);
    ret = err < 0 ? err : ret;
    return m->env.is_out_of_memory ? -ENOMEM : ret;
}

void matcher_stats(const struct matcher *m, struct matcher_stats *ret)
{
    *ret = (struct matcher_stats){
        .regex_gave_up = m->env.regex_gave_up, .events = m->events, .rules_tried = m->rules_tried};
    hits_stats(&m->hits, ret);
}
