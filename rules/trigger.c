/* SPDX-License-Identifier: Apache-2.0
 *
 * Choosing what an event must hold before a rule is looked at. Of conditions that must all hold, the rarest is enough; of
 * alternatives, all are needed; of a negation nothing can be said. How rare something is can only be guessed without having
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

/* Share of events for which the node's best triggers hold: 1 or more when it has none. */
static double node_share(const struct choosing *c, const uint32_t *node)
{
    const uint32_t *end = node + NODE_SIZE(*node);
    double share = 0, one;
    switch (NODE_KIND(*node)) {
    case NODE_AND:
        share = 1;
        for (const uint32_t *kid = node + 1; kid < end; kid += NODE_SIZE(*kid))
            share = fmin(share, node_share(c, kid));
        return share;
    case NODE_OR:
        for (const uint32_t *kid = node + 1; kid < end; kid += NODE_SIZE(*kid)) {
            one = node_share(c, kid);
            share = one >= 1 ? INFINITY : share + one;
        }
        break;
    case NODE_NOT:
        return INFINITY;
    case NODE_LEAF:
        for (const uint32_t *word = node + 2; word < end; word++) {
            trigger_of(c, *word, &one);
            share = one >= 1 ? INFINITY : share + one;
        }
        break;
    }
    return isinf(share) ? share : fmin(share, 0.99); /* however many alternatives: better than looking always */
}

static int collect(const struct choosing *c, const uint32_t *node, struct triggers *ret)
{
    const uint32_t *end = node + NODE_SIZE(*node), *best = NULL;
    double share = INFINITY, one;
    int err = 0;
    switch (NODE_KIND(*node)) {
    case NODE_AND:
        for (const uint32_t *kid = node + 1; kid < end; kid += NODE_SIZE(*kid)) {
            one = node_share(c, kid);
            best = one < share ? kid : best;
            share = fmin(share, one);
        }
        return best ? collect(c, best, ret) : 0;
    case NODE_OR:
        for (const uint32_t *kid = node + 1; kid < end && err == 0; kid += NODE_SIZE(*kid))
            err = collect(c, kid, ret);
        break;
    case NODE_LEAF:
        for (const uint32_t *word = node + 2; word < end && err == 0; word++)
            err = triggers_add(ret, trigger_of(c, *word, &one));
        break;
    case NODE_NOT:
        break;
    }
    return err;
}

int trigger_choose(const struct index *ix, const uint32_t *program, const uint32_t *uses, const uint32_t *values,
                   struct triggers *ret)
{
    struct choosing c = {ix, uses, values};
    ret->n = 0;
    ret->is_always = node_share(&c, program) >= 1;
    return ret->is_always ? 0 : collect(&c, program, ret);
}
