/* SPDX-License-Identifier: Apache-2.0
 *
 * Building the index: each plan's condition becomes a program over predicates that are shared by all plans; then each field gets
 * the tables that find its predicates; then each plan is filed under its triggers. Called once, by ruleset_compile.
 */
#include "rules/index.h"

#include "rules/fold.h"
#include "rules/regex_literal.h"

#include <errno.h>

#define GATE_BYTES_MIN 2

struct builder {
    struct ruleset *rs;
    struct index *ix;
    size_t cap_predicates, cap_fields;
    uint32_t *slots; /* predicates by what they test: open addressing, 1 + id */
    size_t n_slots;
    uint32_t *uses;    /* by predicate: plans it stands in */
    uint32_t *used_by; /* by predicate: 1 + the last plan counted */
    uint64_t *classes; /* by predicate: of the sources of its plans */
    size_t cap_uses, cap_used_by, cap_classes;
    uint32_t *words; /* of the program being written */
    size_t n_words, cap_words;
    const struct leaf **leaves; /* of that plan */
    size_t n_leaves, cap_leaves;
    uint32_t plan;
    bool is_settled; /* nothing of ix is on the heap any more */
};

/* ---- predicates ---- */

/* Whether the index can find what the needle asks for. */
static bool can_find(const struct needle *p)
{
    switch (p->op) {
    case NEEDLE_EQUAL:
        return !p->is_cased;
    case NEEDLE_CIDR:
        return p->cidr.is_v4 || !cidr_has_v4(&p->cidr); /* the tables do not know how an address was written */
    case NEEDLE_PREFIX:
    case NEEDLE_SUFFIX:
        return !p->is_cased && p->text.len >= 1;
    case NEEDLE_CONTAINS:
        return !p->is_cased && p->text.len >= PAIR_BYTES;
    default:
        return false;
    }
}

static bool same_needle(const struct needle *a, const struct needle *b)
{
    if (a == b)
        return true;
    if (a->op != b->op || a->is_cased != b->is_cased)
        return false;
    switch (a->op) {
    case NEEDLE_EQUAL:
    case NEEDLE_PREFIX:
    case NEEDLE_SUFFIX:
    case NEEDLE_CONTAINS:
        return str_eq(a->text, b->text);
    case NEEDLE_CIDR:
        return a->cidr.bits == b->cidr.bits && a->cidr.is_v4 == b->cidr.is_v4 &&
               memcmp(a->cidr.addr, b->cidr.addr, sizeof(a->cidr.addr)) == 0;
    case NEEDLE_NULL:
    case NEEDLE_EXISTS:
    case NEEDLE_MISSING:
    case NEEDLE_ANY:
        return true;
    case NEEDLE_WILD:
        if (a->wild.n != b->wild.n)
            return false;
        for (size_t i = 0; i < a->wild.n; i++)
            if (a->wild.tokens[i].kind != b->wild.tokens[i].kind ||
                !str_eq(a->wild.tokens[i].text, b->wild.tokens[i].text))
                return false;
        return true;
    default:
        return false; /* too rare to share */
    }
}

static uint32_t needle_hash(const struct needle *p, name_id field)
{
    uint32_t h = text_hash(p->text.len ? p->text : p->shown);
    if (p->op == NEEDLE_WILD) /* spelt differently, yet the same */
        h = text_hash(p->wild.tokens[p->wild.n / 2].text);
    else if (p->op == NEEDLE_CIDR)
        h = text_hash((struct str){(const char *)p->cidr.addr, sizeof(p->cidr.addr)});
    return (h ^ field * UINT32_C(0x9e3779b1)) + (uint32_t)p->op * 31 + p->is_cased;
}

static int slots_grow(struct builder *b)
{
    size_t n = MAX(2 * b->n_slots, (size_t)4096);
    uint32_t *slots = calloc(n, sizeof(*slots));
    if (!slots)
        return -ENOMEM;
    for (uint32_t id = 0; id < b->ix->n_predicates; id++) {
        const struct predicate *p = &b->ix->predicates[id];
        size_t i = needle_hash(p->needle, p->field);
        while (slots[i & (n - 1)])
            i++;
        slots[i & (n - 1)] = id + 1;
    }
    free(b->slots);
    b->slots = slots;
    b->n_slots = n;
    return 0;
}

static int field_get(struct builder *b, name_id field)
{
    struct index *ix = b->ix;
    if (ix->field_of[field] || field == F_NONE)
        return 0;
    if (plan_grow(&ix->fields, &b->cap_fields, ix->n_fields, sizeof(*ix->fields)) < 0)
        return -ENOMEM;
    ix->field_of[field] = (uint16_t)ix->n_fields;
    ix->fields[ix->n_fields++] = (struct field_index){.field = field};
    return 0;
}

static int predicate_new(struct builder *b, const struct needle *needle, name_id field, name_id other, uint32_t *ret)
{
    struct index *ix = b->ix;
    size_t n = ix->n_predicates;
    if (n >= TRIGGER_PRESENT - 1 || field_get(b, field) < 0 ||
        plan_grow(&ix->predicates, &b->cap_predicates, n, sizeof(*ix->predicates)) < 0 ||
        plan_grow(&b->uses, &b->cap_uses, n, sizeof(*b->uses)) < 0 ||
        plan_grow(&b->used_by, &b->cap_used_by, n, sizeof(*b->used_by)) < 0 ||
        plan_grow(&b->classes, &b->cap_classes, n, sizeof(*b->classes)) < 0)
        return -ENOMEM;
    b->uses[n] = b->used_by[n] = 0;
    b->classes[n] = 0;
    ix->predicates[n] = (struct predicate){
        .needle = needle,
        .field = field,
        .other = other,
        .is_found = can_find(needle),
        .gate = PREDICATE_NONE,
        .same_text = PREDICATE_NONE,
    };
    ix->has_keywords |= field == F_NONE;
    *ret = ix->n_predicates++;
    return 0;
}

/* The predicate of a needle for a field, made where there is none. */
static int predicate_find(struct builder *b, const struct needle *needle, name_id field, name_id other, uint32_t *ret)
{
    if (2 * (b->ix->n_predicates + 1) > b->n_slots && slots_grow(b) < 0)
        return -ENOMEM;
    size_t i = needle_hash(needle, field);
    for (uint32_t slot; (slot = b->slots[i & (b->n_slots - 1)]); i++) {
        const struct predicate *p = &b->ix->predicates[slot - 1];
        if (p->field == field && p->other == other && same_needle(p->needle, needle)) {
            *ret = slot - 1;
            return 0;
        }
    }
    int err = predicate_new(b, needle, field, other, ret);
    if (err == 0)
        b->slots[i & (b->n_slots - 1)] = *ret + 1;
    return err;
}

/* ---- gates ---- */

static bool is_ascii(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((uint8_t)s.p[i] >= 0x80)
            return false;
    return true;
}

/* A folded text that stands in every value which the needle matches, and where; empty where there is none. */
static struct str gate_text(const struct needle *p, enum needle_op *ret_op, char literal[static REGEX_LITERAL_MAX])
{
    struct str best = {0};
    *ret_op = NEEDLE_CONTAINS;
    switch (p->op) {
    case NEEDLE_EQUAL:
    case NEEDLE_PREFIX:
    case NEEDLE_SUFFIX:
    case NEEDLE_CONTAINS:
        *ret_op = p->op;
        best = p->text;
        break;
    case NEEDLE_WILD:
        for (size_t i = 0; i < p->wild.n; i++)
            if (p->wild.tokens[i].kind == TOKEN_TEXT && p->wild.tokens[i].text.len > best.len)
                best = p->wild.tokens[i].text;
        break;
    case NEEDLE_REGEX:
        best = (struct str){literal, regex_literal(p->shown, literal)};
        break;
    default:
        break;
    }
    /* The text of one that is cased is not folded yet; bytes that are no characters would not fold by themselves. */
    bool is_folded = !p->is_cased && p->op != NEEDLE_REGEX;
    return best.len >= GATE_BYTES_MIN && (is_folded || is_ascii(best)) ? best : (struct str){0};
}

static int add_gate(struct builder *b, uint32_t id)
{
    char literal[REGEX_LITERAL_MAX];
    enum needle_op op;
    const struct needle *of = b->ix->predicates[id].needle;
    struct str text = gate_text(of, &op, literal);
    if (text.len == 0)
        return 0;
    struct needle *gate = arena_alloc(b->rs->arena, sizeof(*gate));
    char *folded = arena_alloc(b->rs->arena, FOLD_MAX(text.len));
    if (!gate || !folded)
        return -ENOMEM;
    *gate = (struct needle){.op = op, .text = {folded, fold(text, folded)}, .shown = of->shown};
    uint32_t gate_id;
    int err = predicate_find(b, gate, b->ix->predicates[id].field, F_NONE, &gate_id);
    if (err == 0)
        b->ix->predicates[id].gate = gate_id;
    return err;
}

static int predicate_get(struct builder *b, const struct needle *needle, const struct plan *plan, name_id field,
                         uint32_t *ret)
{
    uint32_t before = b->ix->n_predicates;
    name_id other = needle->op == NEEDLE_FIELD ? plan->map[needle->other] : F_NONE;
    int err = predicate_find(b, needle, field, other, ret);
    if (err == 0 && *ret == before && !b->ix->predicates[*ret].is_found)
        err = add_gate(b, *ret);
    if (err < 0)
        return err;
    for (uint32_t id = *ret; id != PREDICATE_NONE; id = b->ix->predicates[id].gate) {
        b->uses[id] += b->used_by[id] != b->plan + 1;
        b->used_by[id] = b->plan + 1;
        b->classes[id] |= UINT64_C(1) << plan->source % 64;
    }
    return 0;
}

/* ---- programs ---- */

static int word_add(struct builder *b, uint32_t word)
{
    if (plan_grow(&b->words, &b->cap_words, b->n_words, sizeof(*b->words)) < 0)
        return -ENOMEM;
    b->words[b->n_words++] = word;
    return 0;
}

static int write_leaf(struct builder *b, const struct plan *plan, const struct leaf *leaf)
{
    name_id field = leaf->field == F_NONE ? F_NONE : plan->map[leaf->field];
    if (plan_grow(&b->leaves, &b->cap_leaves, b->n_leaves, sizeof(struct leaf *)) < 0 ||
        word_add(b, (uint32_t)b->n_leaves) < 0 || word_add(b, SET_NONE) < 0)
        return -ENOMEM;
    size_t set = b->n_words - 1;
    bool is_found = true;
    b->leaves[b->n_leaves++] = leaf;
    for (size_t i = 0; i < leaf->n; i++) {
        uint32_t id;
        if (predicate_get(b, &leaf->needles[i], plan, field, &id) < 0 ||
            word_add(b, id | (b->ix->predicates[id].is_found ? 0 : NODE_IS_TRIED)) < 0)
            return -ENOMEM;
        is_found &= b->ix->predicates[id].is_found;
    }
    if (is_found && leaf->n >= SET_MIN)
        b->words[set] = b->ix->n_sets++;
    return 0;
}

static int write_node(struct builder *b, const struct plan *plan, const struct expr *e)
{
    static const enum node_kind kinds[] = {
        [EXPR_AND] = NODE_AND, [EXPR_OR] = NODE_OR, [EXPR_NOT] = NODE_NOT, [EXPR_LEAF] = NODE_LEAF};
    size_t head = b->n_words;
    int err = word_add(b, 0);
    if (err == 0 && e->kind == EXPR_LEAF)
        err = write_leaf(b, plan, e->leaf);
    for (size_t i = 0; err == 0 && i < e->n; i++)
        err = write_node(b, plan, e->kids[i]);
    if (err == 0)
        b->words[head] = NODE_HEAD(kinds[e->kind], (uint32_t)(b->n_words - head));
    return err;
}

static int write_program(struct builder *b, struct plan *plan)
{
    b->n_words = b->n_leaves = 0;
    if (write_node(b, plan, plan->entry->expr) < 0)
        return -ENOMEM;
    uint32_t *program = arena_array(b->rs->arena, b->n_words, sizeof(*program));
    const struct leaf **leaves = arena_array(b->rs->arena, b->n_leaves + 1, sizeof(*leaves));
    if (!program || !leaves)
        return -ENOMEM;
    memcpy(program, b->words, b->n_words * sizeof(*program));
    if (b->n_leaves)
        memcpy(leaves, b->leaves, b->n_leaves * sizeof(*leaves));
    plan->program = program;
    plan->leaves = leaves;
    return 0;
}

/* ---- tables of a field ---- */

static struct field_index *index_of(const struct index *ix, const struct predicate *p)
{
    return &ix->fields[ix->field_of[p->field]];
}

struct tally { /* of one field */
    uint32_t texts, networks, literals, at;
};

static void put_text(struct index *ix, struct field_index *fi, uint32_t id)
{
    struct predicate *p = &ix->predicates[id];
    p->same_text = text_table_find(&fi->texts, p->needle->text);
    if (p->same_text == TEXT_UNKNOWN) {
        text_table_put(&fi->texts, p->needle->text, id);
    } else { /* the first one leads on to us */
        struct predicate *first = &ix->predicates[p->same_text];
        p->same_text = first->same_text;
        first->same_text = id;
    }
}

static int make_tables(struct builder *b, const struct tally *tallies, struct literal *literals)
{
    struct index *ix = b->ix;
    for (uint32_t i = 0; i < ix->n_fields; i++) {
        struct field_index *fi = &ix->fields[i];
        if ((tallies[i].texts && text_table_init(&fi->texts, tallies[i].texts, b->rs->arena) < 0) ||
            (tallies[i].networks && network_trie_init(&fi->networks, tallies[i].networks, b->rs->arena) < 0))
            return -ENOMEM;
    }
    for (uint32_t id = 0; id < ix->n_predicates; id++) {
        struct predicate *p = &ix->predicates[id];
        if (p->is_found && p->needle->op == NEEDLE_EQUAL)
            put_text(ix, index_of(ix, p), id);
        else if (p->is_found && p->needle->op == NEEDLE_CIDR)
            network_trie_put(&index_of(ix, p)->networks, &p->needle->cidr, id);
    }
    for (uint32_t i = 0; i < ix->n_fields; i++)
        if (grams_build(literals + tallies[i].at - tallies[i].literals, tallies[i].literals, b->rs->arena,
                        &ix->fields[i].grams) < 0)
            return -ENOMEM;
    return 0;
}

static bool is_literal(const struct predicate *p)
{
    return p->is_found && p->needle->op != NEEDLE_EQUAL && p->needle->op != NEEDLE_CIDR;
}

static struct literal literal_of(const struct builder *b, uint32_t id)
{
    const struct needle *p = b->ix->predicates[id].needle;
    return (struct literal){
        .text = p->text,
        .at_start = p->op == NEEDLE_PREFIX,
        .at_end = p->op == NEEDLE_SUFFIX,
        .predicate = id,
        .classes = b->classes[id],
    };
}

static int build_fields(struct builder *b)
{
    struct index *ix = b->ix;
    struct tally *tallies = calloc(ix->n_fields, sizeof(*tallies));
    struct literal *literals = arena_array(b->rs->arena, ix->n_predicates + 1, sizeof(*literals));
    if (!tallies || !literals) {
        free(tallies);
        return -ENOMEM;
    }
    for (uint32_t id = 0; id < ix->n_predicates; id++) {
        const struct predicate *p = &ix->predicates[id];
        struct tally *t = &tallies[ix->field_of[p->field]];
        t->texts += p->is_found && p->needle->op == NEEDLE_EQUAL;
        t->networks += p->is_found && p->needle->op == NEEDLE_CIDR;
        t->literals += is_literal(p);
    }
    for (uint32_t i = 1; i < ix->n_fields; i++)
        tallies[i].at = tallies[i - 1].at + tallies[i - 1].literals;
    for (uint32_t id = 0; id < ix->n_predicates; id++) {
        const struct predicate *p = &ix->predicates[id];
        if (!is_literal(p))
            continue;
        literals[tallies[ix->field_of[p->field]].at++] = literal_of(b, id);
    }
    int err = make_tables(b, tallies, literals);
    free(tallies);
    return err;
}

/* ---- which sources need which fields ---- */

/* What the predicate needs of its field. */
static uint8_t needs_of(const struct builder *b, uint32_t id)
{
    const struct predicate *p = &b->ix->predicates[id];
    if (!p->is_found)
        return NEEDS_VALUE | (p->gate == PREDICATE_NONE ? 0 : needs_of(b, p->gate));
    if (p->needle->op == NEEDLE_EQUAL)
        return NEEDS_VALUE | NEEDS_TEXTS;
    if (p->needle->op == NEEDLE_CIDR)
        return NEEDS_VALUE | NEEDS_NETWORKS;
    struct literal l = literal_of(b, id);
    return (uint8_t)(NEEDS_VALUE | NEEDS_GRAMS << grams_table_of(&l));
}

static void mark_field(struct builder *b, const struct plan *plan, uint32_t id)
{
    index_of(b->ix, &b->ix->predicates[id])->sources[plan->source] |= needs_of(b, id);
}

static void mark_fields(struct builder *b, const struct plan *plan, const uint32_t *node)
{
    const uint32_t *end = node + NODE_SIZE(*node);
    if (NODE_KIND(*node) == NODE_LEAF) {
        for (const uint32_t *word = node + LEAF_WORDS; word < end; word++)
            mark_field(b, plan, *word & ~NODE_IS_TRIED);
        return;
    }
    for (const uint32_t *kid = node + 1; kid < end; kid += NODE_SIZE(*kid))
        mark_fields(b, plan, kid);
}

static int build_field_sources(struct builder *b)
{
    struct ruleset *rs = b->rs;
    for (uint32_t i = 0; i < b->ix->n_fields; i++) {
        b->ix->fields[i].sources = arena_array(rs->arena, rs->n_sources + 1, 1);
        if (!b->ix->fields[i].sources)
            return -ENOMEM;
    }
    for (size_t i = 0; i < rs->n_plans; i++)
        mark_fields(b, &rs->plans[i], rs->plans[i].program);
    return 0;
}

/* ---- plans by trigger ---- */

struct filing {   /* one plan under one trigger */
    uint64_t key; /* kind in the upper half: 0 predicate, 1 field, 2 source */
    uint32_t plan;
};

static int compare_filings(const void *a, const void *b)
{
    const struct filing *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return x->plan < y->plan ? -1 : x->plan > y->plan;
}

static struct span *span_of(struct index *ix, uint64_t key)
{
    uint32_t place = (uint32_t)key;
    switch (key >> 32) {
    case 0:
        return &ix->predicates[place].plans;
    case 1:
        return &ix->fields[place].present;
    default:
        return &ix->always[place];
    }
}

/* Sorted filings become spans of one array; a plan filed twice under one trigger counts once. */
static int write_spans(struct builder *b, struct filing *filings, size_t n)
{
    struct index *ix = b->ix;
    if (n)
        qsort(filings, n, sizeof(*filings), compare_filings);
    ix->always = arena_array(b->rs->arena, b->rs->n_sources + 1, sizeof(*ix->always));
    ix->triggered = arena_array(b->rs->arena, n + 1, sizeof(*ix->triggered));
    if (!ix->always || !ix->triggered)
        return -ENOMEM;
    uint32_t written = 0;
    for (size_t i = 0; i < n; i++) {
        if (i && compare_filings(&filings[i - 1], &filings[i]) == 0)
            continue;
        struct span *span = span_of(ix, filings[i].key);
        if (span->n++ == 0)
            span->first = written;
        ix->triggered[written++] = filings[i].plan;
    }
    return 0;
}

static int file_plan(struct filing **filings, size_t *n, size_t *cap, uint64_t key, uint32_t plan)
{
    if (plan_grow(filings, cap, *n, sizeof(**filings)) < 0)
        return -ENOMEM;
    (*filings)[(*n)++] = (struct filing){key, plan};
    return 0;
}

static int build_triggers(struct builder *b)
{
    struct index *ix = b->ix;
    struct triggers t = {0};
    struct filing *filings = NULL;
    size_t n = 0, cap = 0;
    uint32_t *values = calloc(ix->n_fields, sizeof(*values));
    int err = values ? 0 : -ENOMEM;
    for (uint32_t id = 0; err == 0 && id < ix->n_predicates; id++)
        values[ix->field_of[ix->predicates[id].field]] += ix->predicates[id].needle->op == NEEDLE_EQUAL;
    for (uint32_t i = 0; err == 0 && i < b->rs->n_plans; i++) {
        const struct plan *plan = &b->rs->plans[i];
        err = trigger_choose(ix, plan->program, b->uses, values, &t);
        if (err == 0 && t.is_always)
            err = file_plan(&filings, &n, &cap, UINT64_C(2) << 32 | plan->source, i);
        for (size_t k = 0; err == 0 && k < t.n; k++) {
            bool is_field = t.items[k] & TRIGGER_PRESENT;
            err = file_plan(&filings, &n, &cap, (uint64_t)is_field << 32 | (t.items[k] & ~TRIGGER_PRESENT), i);
        }
    }
    err = err < 0 ? err : write_spans(b, filings, n);
    free(filings);
    free(values);
    free(t.items);
    return err;
}

/* ---- sets ---- */

/* Calls for each set in the program, with its members. */
static void each_set(const uint32_t *node, void (*call)(struct index *ix, uint32_t id, uint32_t set), struct index *ix)
{
    const uint32_t *end = node + NODE_SIZE(*node);
    if (NODE_KIND(*node) == NODE_LEAF) {
        for (const uint32_t *word = node + LEAF_WORDS; word < end && node[LEAF_SET] != SET_NONE; word++)
            call(ix, *word, node[LEAF_SET]);
        return;
    }
    for (const uint32_t *kid = node + 1; kid < end; kid += NODE_SIZE(*kid))
        each_set(kid, call, ix);
}

static void count_member(struct index *ix, uint32_t id, uint32_t set)
{
    (void)set;
    ix->predicates[id].sets.n++;
}

static void add_member(struct index *ix, uint32_t id, uint32_t set)
{
    struct span *span = &ix->predicates[id].sets;
    ix->in_sets[span->first + span->n++] = set;
}

static int build_sets(struct builder *b)
{
    struct index *ix = b->ix;
    uint32_t n = 0;
    for (size_t i = 0; i < b->rs->n_plans; i++)
        each_set(b->rs->plans[i].program, count_member, ix);
    for (uint32_t id = 0; id < ix->n_predicates; id++) {
        ix->predicates[id].sets.first = n;
        n += ix->predicates[id].sets.n;
        ix->predicates[id].sets.n = 0;
    }
    ix->in_sets = arena_array(b->rs->arena, (size_t)n + 1, sizeof(*ix->in_sets));
    if (!ix->in_sets)
        return -ENOMEM;
    for (size_t i = 0; i < b->rs->n_plans; i++)
        each_set(b->rs->plans[i].program, add_member, ix);
    return 0;
}

/* ---- the whole ---- */

/* What grew on the heap moves into the arena. */
static int settle(struct builder *b)
{
    struct index *ix = b->ix;
    struct predicate *predicates = arena_array(b->rs->arena, ix->n_predicates + 1, sizeof(*predicates));
    struct field_index *fields = arena_array(b->rs->arena, ix->n_fields, sizeof(*fields));
    if (!predicates || !fields)
        return -ENOMEM;
    if (ix->n_predicates)
        memcpy(predicates, ix->predicates, ix->n_predicates * sizeof(*predicates));
    memcpy(fields, ix->fields, ix->n_fields * sizeof(*fields));
    free(ix->predicates);
    free(ix->fields);
    ix->predicates = predicates;
    ix->fields = fields;
    b->is_settled = true;
    return 0;
}

static int build(struct builder *b)
{
    struct ruleset *rs = b->rs;
    struct index *ix = b->ix;
    ix->n_names = NAMES_MAX;
    ix->field_of = arena_array(rs->arena, ix->n_names, sizeof(*ix->field_of));
    if (!ix->field_of || plan_grow(&ix->fields, &b->cap_fields, 0, sizeof(*ix->fields)) < 0)
        return -ENOMEM;
    ix->fields[ix->n_fields++] = (struct field_index){.field = F_NONE};
    for (b->plan = 0; b->plan < rs->n_plans; b->plan++)
        if (write_program(b, &rs->plans[b->plan]) < 0)
            return -ENOMEM;
    int err = settle(b);
    err = err < 0 ? err : build_fields(b);
    err = err < 0 ? err : build_field_sources(b);
    err = err < 0 ? err : build_sets(b);
    return err < 0 ? err : build_triggers(b);
}

int index_build(struct ruleset *rs)
{
    struct builder b = {.rs = rs, .ix = arena_alloc(rs->arena, sizeof(*b.ix))};
    if (!b.ix)
        return -ENOMEM;
    rs->index = b.ix;
    int err = build(&b);
    free(b.slots);
    free(b.uses);
    free(b.used_by);
    free(b.classes);
    free(b.words);
    free(b.leaves);
    if (!b.is_settled) {
        free(b.ix->predicates);
        free(b.ix->fields);
    }
    return err;
}
