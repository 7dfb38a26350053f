/* SPDX-License-Identifier: Apache-2.0
 *
 * One index over all rules. Every different test of a field's value is one *predicate*, however many rules share it. Predicates
 * that are texts (equal, prefix, suffix, contains) or networks are found all at once, field by field (grams.h, texts.h);
 * the others (wildcards, regular expressions, comparisons) are tried when a rule asks for them, most only after the text
 * that they need, their *gate*, was found.
 *
 * A rule is looked at only when an event holds one of its *triggers*: the cheapest set of predicates without which its
 * condition cannot be true. Then its *program*, the condition over predicates, decides.
 *
 *     ruleset_compile -> index_build: plans -> predicates and programs (index.c) -> triggers (trigger.c)
 *     matcher_eval: event -> active sources -> predicates found -> plans triggered -> programs
 *
 * All of it lives in the rule set's arena and is immutable.
 */
#pragma once

#include "rules/grams.h"
#include "rules/plan.h"
#include "rules/texts.h"

#define PREDICATE_NONE UINT32_MAX

struct predicate {
    const struct needle *needle;
    name_id field;      /* of the event; F_NONE: of the whole event */
    name_id other;      /* of the event, for a comparison of two fields */
    bool is_found;      /* the index finds it: what was not found is false. Otherwise it is tried when asked for */
    uint32_t gate;      /* of one that is tried: false where this one is; or PREDICATE_NONE */
    uint32_t same_text; /* another one that is found with it, or PREDICATE_NONE */
    struct span {
        uint32_t first, n;
    } plans;          /* that it triggers, in index.triggered */
    struct span sets; /* that it is in, in index.in_sets */
};

enum { NEEDS_VALUE = 1, NEEDS_TEXTS = 2, NEEDS_NETWORKS = 4, NEEDS_GRAMS = 8 /* << table */ };

struct field_index { /* what is looked for in the values of one field */
    name_id field;
    struct text_table texts; /* equal; folded */
    struct network_trie networks;
    struct grams grams;
    struct span present; /* plans triggered by any value, in index.triggered */
    uint8_t *sources;    /* by source: what of this a rule of it needs, NEEDS_ bits */
};

/* A program is words: a head with kind and size (in words, itself included), then what the kind says. */
enum node_kind {
    NODE_AND, /* nodes */
    NODE_OR,  /* nodes */
    NODE_NOT, /* one node */
    NODE_LEAF, /* place of the leaf among its plan's, its set or SET_NONE, then predicates in the order of the leaf's needles */
};
#define NODE_HEAD(kind, size) ((uint32_t)(kind) << 30 | (size))
#define NODE_KIND(head)       ((enum node_kind)((head) >> 30))
#define NODE_SIZE(head)       ((head)&UINT32_C(0x3fffffff))
#define NODE_IS_TRIED         UINT32_C(0x80000000) /* of a predicate's word: not found by the index */
#define LEAF_PLACE            1
#define LEAF_SET              2
#define LEAF_WORDS            3

/* A long list of values that the index finds is a set: finding one marks it, so that the list need not be gone through. */
#define SET_NONE UINT32_MAX
#define SET_MIN  8 /* values */

struct index {
    struct predicate *predicates;
    uint32_t n_predicates;
    struct field_index *fields; /* fields[0] is of the keywords, whether there are any or not */
    uint32_t n_fields;
    uint16_t *field_of; /* by name: place in fields, or 0; n_names of them */
    size_t n_names;
    bool has_keywords;
    uint32_t *triggered; /* plans, by place in ruleset.plans */
    struct span *always; /* by source: plans that need a look at each of its events */
    uint32_t *in_sets;
    uint32_t n_sets;
};

/* Makes rs->index of rs->plans and rs->sources. 0 or -ENOMEM. */
int index_build(struct ruleset *rs);

/* ---- trigger.c ---- */

/* What triggers a plan: predicates and present fields, any of which; or nothing can be said. */
struct triggers {
    uint32_t *items; /* a predicate, or TRIGGER_PRESENT and the place of a field */
    size_t n, cap;
    bool is_always;
};
#define TRIGGER_PRESENT UINT32_C(0x80000000)

/* How much an index costs per event is decided here: `uses` tells in how many rules each predicate stands, `values` how many
 * different values each field (by place) is compared with. Empties *ret first. 0 or -ENOMEM. */
int trigger_choose(const struct index *ix, const uint32_t *program, const uint32_t *uses, const uint32_t *values,
                   struct triggers *ret);
