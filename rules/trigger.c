/* SPDX-License-Identifier: Apache-2.0
 *
 * Choosing what an event must hold before a rule is looked at. Of conditions that must all hold, the rarest is enough; of
 * alternatives, all are needed; of a negation only that a field is there which must not be null. How rare something is can only be guessed without having
 * seen the events: long texts are rarer than short ones, and what many rules ask for (\powershell.exe) is common in events,
 * too. A bad guess costs time, never a match.
 */
#include "rules/index.h"

#include <errno.h>
#include <math.h>

#define PRESENT_SHARE 0.4 /* of events that hold a given field */

static double share_of_found(const struct index *ix, uint32_t id, const uint32_t *uses, const uint32_t *values)
{
    const struct predicate *p = &ix->predicates[id];
    double common = 0.0015 * pow(uses[id], 0.9);
    if (p->needle->op == NEEDLE_EQUAL)
        return common + 1.0 / (values[ix->field_of[p->field]] + 2.0);
    if (p->needle->op == NEEDLE_CIDR)
        return common + 0.1;
    return common + 0.25 * exp(-((double)p->needle->text.len - 1) / 3);
}

static bool holds_without_value(const struct needle *p)
{
    return p->op == NEEDLE_NULL || p->op == NEEDLE_MISSING;
}

static int triggers_add(struct triggers *t, uint32_t item)
{
    if (plan_grow(&t->items, &t->cap, t->n, sizeof(*t->items)) < 0)
        return -ENOMEM;
    t->items[t->n++] = item;
    return 0;
}

struct choosing {
    const struct index *ix;
    const uint32_t *uses, *values;
};

/* The trigger of one predicate; *ret_share is at least 1 when there is none. */
static uint32_t trigger_of(const struct choosing *c, uint32_t word, double *ret_share)
{
    uint32_t id = word & ~NODE_IS_TRIED;
    const struct predicate *p = &c->ix->predicates[id];
    if (holds_without_value(p->needle)) {
        *ret_share = 1;
        return PREDICATE_NONE;
    }
    if (p->is_found || p->gate != PREDICATE_NONE) {
        id = p->is_found ? id : p->gate;
        *ret_share = share_of_found(c->ix, id, c->uses, c->values) * (p->is_found ? 1 : 0.8);
        return id;
    }
    *ret_share = PRESENT_SHARE;
    return TRIGGER_PRESENT | c->ix->field_of[p->field];
}

/* What must be there for the predicate to be false: a field that is asked to be absent or null. */
static uint32_t trigger_of_negated(const struct choosing *c, uint32_t word, double *ret_share)
{
    const struct predicate *p = &c->ix->predicates[word & ~NODE_IS_TRIED];
    *ret_share = holds_without_value(p->needle) ? PRESENT_SHARE : 1;
    return TRIGGER_PRESENT | c->ix->field_of[p->field];
}

static uint32_t trigger_of_word(const struct choosing *c, uint32_t word, bool is_negated, double *ret_share)
{
    return is_negated ? trigger_of_negated(c, word, ret_share) : trigger_of(c, word, ret_share);
}

/* Whether all of the parts must hold; of a negated node, all parts negated. */
static bool needs_all(const uint32_t *node, bool is_negated)
{
    return (NODE_KIND(*node) == NODE_AND) != is_negated;
}

/* Takes one more part into the share of a node. */
static double join(double share, double one, bool is_all)
{
    if (is_all)
        return fmin(share, one);
    return one >= 1 ? INFINITY : share + one;
}

/* Share of events for which the node's best triggers hold: 1 or more when it has none. */
static double node_share(const struct choosing *c, const uint32_t *node, bool is_negated)
{
    const uint32_t *end = node + NODE_SIZE(*node);
    if (NODE_KIND(*node) == NODE_NOT)
        return node_share(c, node + 1, !is_negated);
    bool is_all = needs_all(node, is_negated);
    double share = is_all ? 1 : 0, one;
    if (NODE_KIND(*node) == NODE_LEAF) {
        for (const uint32_t *word = node + LEAF_WORDS; word < end; word++) {
            trigger_of_word(c, *word, is_negated, &one);
            share = join(share, one, is_all);
        }
    } else {
        for (const uint32_t *kid = node + 1; kid < end; kid += NODE_SIZE(*kid))
            share = join(share, node_share(c, kid, is_negated), is_all);
    }
    return is_all || isinf(share) ? share
                                  : fmin(share, 0.99); /* however many alternatives: better than looking always */
}

/* The rarest word of a leaf of which all must hold. */
static uint32_t rarest_trigger(const struct choosing *c, const uint32_t *node, bool is_negated)
{
    uint32_t best = PREDICATE_NONE;
    double share = INFINITY, one;
    for (const uint32_t *word = node + LEAF_WORDS; word < node + NODE_SIZE(*node); word++) {
        uint32_t trigger = trigger_of_word(c, *word, is_negated, &one);
        best = one < share ? trigger : best;
        share = fmin(share, one);
    }
    return best;
}

static const uint32_t *rarest_kid(const struct choosing *c, const uint32_t *node, bool is_negated)
{
    const uint32_t *best = NULL;
    double share = INFINITY;
    for (const uint32_t *kid = node + 1; kid < node + NODE_SIZE(*node); kid += NODE_SIZE(*kid)) {
        double one = node_share(c, kid, is_negated);
        best = one < share ? kid : best;
        share = fmin(share, one);
    }
    return best;
}

/* Only for nodes that have triggers. */
static int collect(const struct choosing *c, const uint32_t *node, bool is_negated, struct triggers *ret)
{
    const uint32_t *end = node + NODE_SIZE(*node);
    bool is_all = needs_all(node, is_negated);
    double share;
    int err = 0;
    if (NODE_KIND(*node) == NODE_NOT)
        return collect(c, node + 1, !is_negated, ret);
    if (NODE_KIND(*node) == NODE_LEAF) {
        if (is_all)
            return triggers_add(ret, rarest_trigger(c, node, is_negated));
        for (const uint32_t *word = node + LEAF_WORDS; word < end && err == 0; word++)
            err = triggers_add(ret, trigger_of_word(c, *word, is_negated, &share));
        return err;
    }
    if (is_all)
        return collect(c, rarest_kid(c, node, is_negated), is_negated, ret);
    for (const uint32_t *kid = node + 1; kid < end && err == 0; kid += NODE_SIZE(*kid))
        err = collect(c, kid, is_negated, ret);
    return err;
}

int trigger_choose(const struct index *ix, const uint32_t *program, const uint32_t *uses, const uint32_t *values,
                   struct triggers *ret)
{
    struct choosing c = {ix, uses, values};
    ret->n = 0;
    ret->is_always = node_share(&c, program, false) >= 1;
    return ret->is_always ? 0 : collect(&c, program, false, ret);
}
