/* SPDX-License-Identifier: Apache-2.0
 *
 * Periods of a group, and what is told of them: each new trigger with its period's state, and changes of a period by hits
 * that are no triggers.
 */
#include "rules/correlator_impl.h"

#include <errno.h>

#define PERIODS_MAX 32

/* ---- periods ---- */

static struct period *period_get(struct shard *s, struct group *g, int64_t index)
{
    struct more *m = group_more(&s->groups, g);
    if (!m)
        return NULL;
    uint32_t at = m->n_periods;
    while (at && m->periods[at - 1].index > index)
        at--;
    if (at && m->periods[at - 1].index == index)
        return &m->periods[at - 1];
    if (m->n_periods == PERIODS_MAX) {
        if (at == 0)
            return NULL; /* older than all that are kept */
        memmove(m->periods, m->periods + 1, --m->n_periods * sizeof(*m->periods));
        at--;
    }
    if (group_grow(&s->groups, g, &m->periods, &m->cap_periods, m->n_periods, sizeof(*m->periods)) < 0)
        return NULL;
    memmove(m->periods + at + 1, m->periods + at, (m->n_periods - at) * sizeof(*m->periods));
    m->n_periods++;
    m->periods[at] = (struct period){index, 0, INT64_MAX, INT64_MIN, false};
    return &m->periods[at];
}

int period_count(struct shard *s, struct group *g, int64_t period, int64_t ts_ns, uint32_t n)
{
    struct period *p = period_get(s, g, period);
    if (!p)
        return -ENOMEM;
    p->count += n;
    p->first_ns = MIN(p->first_ns, ts_ns);
    p->last_ns = MAX(p->last_ns, ts_ns);
    p->has_changed = true;
    return 0;
}

/* ---- telling ---- */

/* The newest references among the cells of the period, oldest first; they end at the end of s->refs. */
static size_t collect_refs(struct shard *s, const struct group *g, const struct period *p)
{
    const struct groups *gs = &s->groups;
    const struct correlation *c = share_of(gs, g)->c;
    size_t n = 0;
    for (size_t i = s->without_refs ? 0 : cells_after(gs, g, p->last_ns); i-- > 0 && n < MATCH_REFS_MAX;) {
        const struct cell *cell = cell_at(gs, g, i);
        if (cell->ts_ns < p->first_ns)
            break;
        if (period_of(c, cell->ts_ns) == p->index ? cell->is_in_own : cell->is_in_next)
            s->refs[MATCH_REFS_MAX - ++n] = (struct event_ref){cell->pos, cell->line};
    }
    return n;
}

static size_t read_group(const struct correlation *c, const struct group *g, struct field *ret)
{
    const uint8_t *key = g->key;
    for (size_t i = 0; i < c->n_group; i++) {
        uint16_t len = get_u16(key);
        ret[i] = (struct field){.key = c->group_names[i], .type = VALUE_STR};
        ret[i].s = (struct str){(const char *)key + 2, len};
        key += 2 + len;
    }
    return c->n_group;
}

static void tell(struct shard *s, const struct group *g, struct period *p, const struct event_ref *trigger)
{
    const struct correlation *c = share_of(&s->groups, g)->c;
    struct field group[GROUP_BY_MAX];
    int64_t start_ns;
    p->has_changed = false;
    if (c->entry->pub.is_silent)
        return;
    if (__builtin_mul_overflow(p->index, c->period_ns, &start_ns))
        start_ns = INT64_MIN;
    size_t n_refs = collect_refs(s, g, p), n_group = read_group(c, g, group);
    s->fn(
        &(struct match){
            .rule = &c->entry->pub,
            .trigger = trigger,
            .group = group,
            .n_group = n_group,
            .period_start_ns = start_ns,
            .first_ns = p->first_ns,
            .last_ns = p->last_ns,
            .count = p->count,
            .refs = s->refs + MATCH_REFS_MAX - n_refs,
            .n_refs = n_refs,
        },
        s->ctx);
}

int report_above(struct shard *s, const struct group *g, struct cell *c, const struct payload *p)
{
    const struct rule_entry *e = share_of(&s->groups, g)->c->entry;
    struct hit common = {.ts_ns = c->ts_ns, .newest_ns = s->cause_ns, .ref = {c->pos, c->line}, .count = 1};
    return hit_batch_add(s->out, e->edges, e->n_edges, p->keys, &common);
}

static int report_trigger(struct shard *s, struct group *g, struct cell *c)
{
    const struct share *share = share_of(&s->groups, g);
    int ret = 0;
    c->is_told = true;
    s->triggers++;
    for (const struct payload *p = share->has_payload ? *cell_payload(share, c) : NULL; p; p = p->next)
        ret = report_above(s, g, c, p) < 0 ? -ENOMEM : ret;
    struct period *p = period_get(s, g, period_of(share->c, c->ts_ns));
    if (!p)
        return -ENOMEM;
    struct event_ref ref = {c->pos, c->line};
    tell(s, g, p, &ref);
    return ret;
}

int report(struct shard *s, struct group *g)
{
    int ret = 0;
    for (size_t i = s->new_begin; i < s->new_end; i++) {
        struct cell *c = cell_at(&s->groups, g, i);
        if (c->is_trigger && !c->is_told)
            ret = report_trigger(s, g, c) < 0 ? -ENOMEM : ret;
    }
    s->new_begin = SIZE_MAX;
    s->new_end = 0;
    for (uint32_t i = 0; g->more && i < g->more->n_periods; i++)
        if (g->more->periods[i].has_changed)
            tell(s, g, &g->more->periods[i], NULL);
    return ret;
}
