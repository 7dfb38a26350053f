/* SPDX-License-Identifier: Apache-2.0
 *
 * Every type of correlation against its definition. The oracle knows nothing of how the engine works: it looks at each event, at all hits in
 * the window behind it, and at the words of matcher.h. The engine gets the same events in any order within the lateness bound, some of
 * them twice, in chunks of any size over 1 to 8 shards, by the clock, and after a kill and a replay, and must tell the same triggers
 * and end with the same alerts.
 */
#include "rules/correlator.h"
#include "tests/unit/rule_helper.h"

#include <math.h>

#define S NS_PER_S

/* ---- models ---- */

enum { COUNT, VALUES, SUM, AVG, PERCENTILE, TEMPORAL, ORDERED };
enum { A, B, C, N_DETECTIONS };
#define M(i) (N_DETECTIONS + (i)) /* the model of that place */

/* in: rules that count as present; has: those that hit in the window. Whether the words hold. */
typedef bool words_fn(unsigned in, unsigned has);

#define IN(r)  ((in >> (r)) & 1)
#define NOT(r) (!((has >> (r)) & 1))
static bool first_not_second(unsigned in, unsigned has)
{
    return IN(0) && NOT(1);
}
static bool either_not_third(unsigned in, unsigned has)
{
    return (IN(0) || IN(1)) && NOT(2);
}
static bool both_not_third(unsigned in, unsigned has)
{
    return IN(0) && IN(1) && NOT(2);
}
static bool first_then_either(unsigned in, unsigned has)
{
    (void)has;
    return IN(0) && (IN(1) || IN(2));
}
static bool neither_nor(unsigned in, unsigned has)
{
    return IN(0) || (NOT(1) && NOT(2));
}

static const struct model {
    const char *name, *type, *rules_text, *condition;
    int kind, rules[3], n_rules;
    const char *group; /* one field name a rule, g or h, or "" for no group */
    int span_s;
    double gt, lt, eq, neq; /* strict bounds; NAN: none */
    const char *values;     /* v, w or both */
    int percentile;
    words_fn *words;
} models[] = {
#define NONE  .gt = NAN, .lt = NAN, .eq = NAN, .neq = NAN
#define GT(x) .gt = (x), .lt = NAN, .eq = NAN, .neq = NAN
#define LT(x) .gt = NAN, .lt = (x), .eq = NAN, .neq = NAN
#define EQ(x) .gt = NAN, .lt = NAN, .eq = (x), .neq = NAN
#define NE(x) .gt = NAN, .lt = NAN, .eq = NAN, .neq = (x)
    /* 0 */
    {"c0", "event_count", "a", "{gte: 3}", COUNT, {A}, 1, "g", 60, GT(2.5)},
    {"c1", "event_count", "a, b", "{gt: 3}", COUNT, {A, B}, 2, "gg", 20, GT(3)},
    {"c2", "event_count", "b", "{gte: 5}", COUNT, {B}, 1, "", 5000, GT(4.5)},
    {"c3", "event_count", "a", "{lt: 3}", COUNT, {A}, 1, "g", 20, LT(3)},
    {"c4",
     "event_count",
     "a, c",
     "{gt: 1, lte: 4}",
     COUNT,
     {A, C},
     2,
     "gh",
     30,
     .gt = 1,
     .lt = 4.5,
     .eq = NAN,
     .neq = NAN},
    {"c5", "event_count", "b", "{eq: 2}", COUNT, {B}, 1, "h", 60, EQ(2)},
    {"c6", "event_count", "c", "{neq: 2}", COUNT, {C}, 1, "g", 40, NE(2)},
    /* 7 */
    {"v0", "value_count", "a", "{field: v, gte: 2}", VALUES, {A}, 1, "g", 60, GT(1.5), "v"},
    {"v1", "value_count", "a, b", "{field: [v, w], gt: 3}", VALUES, {A, B}, 2, "gg", 600, GT(3), "vw"},
    {"v2", "value_count", "b", "{field: w, lte: 2}", VALUES, {B}, 1, "h", 30, LT(2.5), "w"},
    {"v3", "value_count", "a, b, c", "{field: w, gte: 3, lte: 3}", VALUES, {A, B, C}, 3, "ggg", 90, EQ(3), "w"},
    /* 11 */
    {"s0", "value_sum", "a", "{field: v, gt: 10}", SUM, {A}, 1, "g", 60, GT(10), "v"},
    {"s1",
     "value_sum",
     "a, b",
     "{field: v, gte: -2.5, lt: 7.25}",
     SUM,
     {A, B},
     2,
     "gg",
     30,
     .gt = -2.6,
     .lt = 7.25,
     .eq = NAN,
     .neq = NAN,
     .values = "v"},
    {"s2", "value_avg", "a", "{field: v, lt: 1.5}", AVG, {A}, 1, "h", 60, LT(1.5), "v"},
    {"s3", "value_avg", "b, c", "{field: v, eq: 2}", AVG, {B, C}, 2, "gg", 600, EQ(2), "v"},
    {"s4", "value_percentile", "a", "{field: v, percentile: 90, gt: 6}", PERCENTILE, {A}, 1, "g", 120, GT(6), "v", 90},
    {"s5", "value_percentile", "b", "{field: v, gte: 3}", PERCENTILE, {B}, 1, "g", 20, GT(2.999), "v", 50},
    {"s6", "value_median", "a, b, c", "{field: v, eq: 1}", PERCENTILE, {A, B, C}, 3, "hhh", 600, EQ(1), "v", 50},
    /* 18 */
    {"t0", "temporal", "a, b", NULL, TEMPORAL, {A, B}, 2, "gg", 30, GT(1.5)},
    {"t1", "temporal", "a, b, c", "{gte: 2}", TEMPORAL, {A, B, C}, 3, "hhh", 20, GT(1.5)},
    {"t2", "temporal", "a, b, c", "{lt: 3}", TEMPORAL, {A, B, C}, 3, "ggg", 20, LT(3)},
    {"t3", "temporal", "a, b", "a and not b", TEMPORAL, {A, B}, 2, "gg", 20, NONE, .words = first_not_second},
    {"t4",
     "temporal",
     "a, b, c",
     "(a OR b) AND NOT c",
     TEMPORAL,
     {A, B, C},
     3,
     "ggh",
     40,
     NONE,
     .words = either_not_third},
    {"t5", "temporal", NULL, "a or not (b or c)", TEMPORAL, {A, B, C}, 3, "ggg", 15, NONE, .words = neither_nor},
    {"t6", "temporal", "a, b", NULL, TEMPORAL, {A, B}, 2, "gh", 60, GT(1.5)}, /* by an alias */
    /* 25 */
    {"o0", "temporal_ordered", "a, b, c", NULL, ORDERED, {A, B, C}, 3, "ggg", 60, NONE},
    {"o1",
     "temporal_ordered",
     "a, b, c",
     "a and b and not c",
     ORDERED,
     {A, B, C},
     3,
     "ggg",
     60,
     NONE,
     .words = both_not_third},
    {"o2",
     "temporal_ordered",
     "a, b, c",
     "a and (b or c)",
     ORDERED,
     {A, B, C},
     3,
     "hhh",
     40,
     NONE,
     .words = first_then_either},
    {"o3", "temporal_ordered", "b, a", NULL, ORDERED, {B, A}, 2, "gg", 30, NONE},
    /* 29: on top of others */
    {"x0", "temporal_ordered", "c0, b", NULL, ORDERED, {M(0), B}, 2, "gg", 120, NONE},
    {"x1", "event_count", "x0", "{gte: 2}", COUNT, {M(29)}, 1, "h", 600, GT(1.5)},
    {"x2", "temporal", "t0, c1, c5", "{gte: 2}", TEMPORAL, {M(18), M(1), M(5)}, 3, "hhh", 300, GT(1.5)},
    {"x3",
     "event_count",
     "c4, a",
     "{gt: 2, lt: 7}",
     COUNT,
     {M(4), A},
     2,
     "gg",
     60,
     .gt = 2,
     .lt = 7,
     .eq = NAN,
     .neq = NAN},
    {"x4", "value_sum", "s1, o1", "{field: v, lt: 5}", SUM, {M(12), M(26)}, 2, "gg", 100, LT(5), "v"},
    {"x5", "temporal", "x3, v0", "v0 and not x3", TEMPORAL, {M(32), M(7)}, 2, "gg", 50, NONE, .words = NULL},
    {"x6", "value_count", "x3, x0", "{field: w, gte: 2}", VALUES, {M(32), M(29)}, 2, "gg", 200, GT(1.5), "w"},
};
#define N_MODELS ARRAY_LEN(models)

static bool words_of(const struct model *m, unsigned in, unsigned has)
{
    return m->words ? m->words(in, has) : ((in >> 1) & 1) && !(has & 1); /* x5: the second and not the first */
}

static bool is_in_words(const struct model *m)
{
    return m->condition && m->condition[0] != '{';
}

static struct set make_rules(void)
{
    static char yaml[32768];
    size_t len = 0;
    for (int i = 0; i < N_DETECTIONS; i++)
        len += (size_t)snprintf(yaml + len, sizeof(yaml) - len,
                                "name: %c\ntitle: %c\n" LOGSOURCE "detection: {s: {f: %c}, condition: s}\n---\n",
                                'a' + i, 'a' + i, 'a' + i);
    for (size_t i = 0; i < N_MODELS; i++) {
        const struct model *m = &models[i];
        len += (size_t)snprintf(yaml + len, sizeof(yaml) - len,
                                "name: %s\ntitle: %s\ncorrelation:\n  type: %s\n  timespan: %ds\n  generate: true\n",
                                m->name, m->name, m->type, m->span_s);
        if (m->rules_text)
            len += (size_t)snprintf(yaml + len, sizeof(yaml) - len, "  rules: [%s]\n", m->rules_text);
        if (m->condition)
            len += (size_t)snprintf(yaml + len, sizeof(yaml) - len, "  condition: %s\n", m->condition);
        if (!*m->group) {
            ;
        } else if (strspn(m->group, "g") == strlen(m->group) || strspn(m->group, "h") == strlen(m->group)) {
            len += (size_t)snprintf(yaml + len, sizeof(yaml) - len, "  group-by: [%c]\n", m->group[0]);
        } else {
            len += (size_t)snprintf(yaml + len, sizeof(yaml) - len, "  group-by: [key]\n  aliases:\n    key:\n");
            for (int r = 0; r < m->n_rules; r++)
                len +=
                    (size_t)snprintf(yaml + len, sizeof(yaml) - len, "      %c: %c\n", 'a' + m->rules[r], m->group[r]);
        }
        len += (size_t)snprintf(yaml + len, sizeof(yaml) - len, "---\n");
    }
    assert_true(len < sizeof(yaml) - 1);
    return set_good(yaml);
}

/* ---- events ---- */

#define EVENTS_MAX 110

struct ev {
    int64_t ts_ns;
    unsigned rules; /* bits of A, B, C */
    char g, h, w;   /* 0: absent */
    bool has_v, is_text;
    double v;
    int count;
    struct event_ref ref;
};

struct random {
    uint64_t state;
};

static unsigned below(struct random *r, unsigned n)
{
    r->state = r->state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(r->state >> 33) % n;
}

static size_t make_story(uint64_t seed, struct ev *ret)
{
    struct random r = {seed * 7919 + 13};
    size_t n = 2 + below(&r, EVENTS_MAX - 2);
    static const unsigned spreads[] = {30, 90, 400, 6000};
    static const int64_t grains[] = {S, 5 * S, 10 * S, S / 3 + 1};
    unsigned spread = spreads[below(&r, 4)], n_keys = 1 + below(&r, 3);
    int64_t grain = grains[below(&r, 4)], start = (int64_t)below(&r, 3) * 3600 * S - (int64_t)spread * S / 2;
    for (size_t i = 0; i < n; i++) {
        struct ev *e = &ret[i];
        *e = (struct ev){.ref = {500 + i / 3, (uint32_t)(i % 3)}, .count = 1};
        e->ts_ns = start + (int64_t)below(&r, spread) * S / grain * grain;
        if (below(&r, 12) == 0)
            e->ts_ns += below(&r, 2) ? 1 : -1;
        e->rules = below(&r, 4) ? 1u << below(&r, 3) : 1 + below(&r, 7);
        e->g = below(&r, 15) ? "xyz"[below(&r, n_keys)] : 0;
        e->h = below(&r, 15) ? "xyz"[below(&r, n_keys)] : 0;
        e->w = below(&r, 8) ? "klmn"[below(&r, 4)] : 0;
        e->has_v = below(&r, 6);
        e->is_text = below(&r, 3) == 0;
        e->v = (double)((int)below(&r, 40) - 8) / 4;
        if (below(&r, 3))
            e->v = (double)(int)e->v;
        if (below(&r, 10) == 0)
            e->count = 2 + (int)below(&r, 3);
    }
    return n;
}

/* ---- what is told ---- */

#define ALERTS_MAX   2000
#define TRIGGERS_MAX 6000

struct alert {
    size_t model;
    char group;
    int64_t period, first, last;
    uint64_t count;
    struct event_ref refs[MATCH_REFS_MAX];
    size_t n_refs;
};

struct told {
    struct alert alerts[ALERTS_MAX];
    struct trigger {
        size_t model;
        char group;
        struct event_ref ref;
    } triggers[TRIGGERS_MAX];
    size_t n_alerts, n_triggers, n_twice;
    bool is_deaf; /* what is told while reading back is known already */
};

static struct alert *alert_at(struct told *t, size_t model, char group, int64_t period)
{
    for (size_t i = 0; i < t->n_alerts; i++)
        if (t->alerts[i].model == model && t->alerts[i].group == group && t->alerts[i].period == period)
            return &t->alerts[i];
    assert_true(t->n_alerts < ALERTS_MAX);
    t->alerts[t->n_alerts] =
        (struct alert){.model = model, .group = group, .period = period, .first = INT64_MAX, .last = INT64_MIN};
    return &t->alerts[t->n_alerts++];
}

static bool has_trigger(const struct told *t, size_t model, char group, struct event_ref ref)
{
    for (size_t i = 0; i < t->n_triggers; i++)
        if (t->triggers[i].model == model && t->triggers[i].group == group && t->triggers[i].ref.pos == ref.pos &&
            t->triggers[i].ref.line == ref.line)
            return true;
    return false;
}

static void add_trigger(struct told *t, size_t model, char group, struct event_ref ref)
{
    if (has_trigger(t, model, group, ref)) {
        t->n_twice++;
        return;
    }
    assert_true(t->n_triggers < TRIGGERS_MAX);
    t->triggers[t->n_triggers++] = (struct trigger){model, group, ref};
}

static void on_match(const struct match *m, void *ctx)
{
    struct told *t = ctx;
    size_t i = 0;
    while (i < N_MODELS && strcmp(m->rule->name, models[i].name) != 0)
        i++;
    if (i == N_MODELS || t->is_deaf)
        return;
    char group = m->n_group ? m->group[0].s.p[0] : '-';
    struct alert *a = alert_at(t, i, group, m->period_start_ns);
    a->first = m->first_ns;
    a->last = m->last_ns;
    a->count = m->count;
    a->n_refs = m->n_refs;
    memcpy(a->refs, m->refs, m->n_refs * sizeof(*m->refs));
    if (m->trigger)
        add_trigger(t, i, group, *m->trigger);
    if (m->event)
        assert_true(m->n_matched > 0);
}

/* ---- the oracle ---- */

struct hit {
    const struct ev *e;
    char group;
    unsigned mask;
    int count;
    bool is_trigger;
};

#define HITS_MAX (3 * EVENTS_MAX)

struct hits {
    struct hit all[HITS_MAX];
    size_t n;
};

static void add_hit(const struct model *m, struct hits *to, const struct ev *e, int rule, int count)
{
    char group = !*m->group ? '-' : m->group[rule] == 'g' ? e->g : e->h;
    if (!group || (m->values && strchr(m->values, 'v') && !e->has_v) || (m->values && strchr(m->values, 'w') && !e->w))
        return;
    for (size_t i = 0; i < to->n; i++) {
        if (to->all[i].e == e && to->all[i].group == group) {
            to->all[i].mask |= 1u << rule;
            return;
        }
    }
    to->all[to->n++] = (struct hit){e, group, 1u << rule, count, false};
}

static bool sees(const struct model *m, const struct hit *at, const struct hit *other)
{
    return at->group == other->group && other->e->ts_ns <= at->e->ts_ns &&
           other->e->ts_ns > at->e->ts_ns - m->span_s * S;
}

static bool is_within(const struct model *m, double x)
{
    return !(x <= m->gt) && !(x >= m->lt) && !(x < m->eq || x > m->eq) && !(x >= m->neq && x <= m->neq);
}

/* Rules of `chain`, the highest first, at times that do not grow from there down, all seen from `at`. */
static bool is_chain(const struct model *m, const struct hits *hs, const struct hit *at, unsigned chain, int64_t until)
{
    if (!chain)
        return true;
    int rule = 31 - __builtin_clz(chain);
    for (size_t i = 0; i < hs->n; i++) {
        const struct hit *h = &hs->all[i];
        if (sees(m, at, h) && h->mask >> rule & 1 && h->e->ts_ns <= until &&
            is_chain(m, hs, at, chain & ~(1u << rule), h->e->ts_ns))
            return true;
    }
    return false;
}

static bool is_sequence(const struct model *m, const struct hits *hs, const struct hit *at, unsigned has)
{
    unsigned all = (1u << m->n_rules) - 1;
    for (unsigned in = 1; in <= all; in++) {
        bool is_wanted = is_in_words(m) ? words_of(m, in, has) : in == all;
        for (int r = 0; r < m->n_rules && is_in_words(m); r++)
            if (in >> r & 1 && words_of(m, in & ~(1u << r), has))
                is_wanted = false; /* that one is not needed */
        int last = 31 - __builtin_clz(in);
        if (is_wanted && at->mask >> last & 1 && is_chain(m, hs, at, in & ~(1u << last), at->e->ts_ns))
            return true;
    }
    return false;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double percentile_of(double *values, size_t n, int percentile)
{
    qsort(values, n, sizeof(*values), compare_doubles);
    size_t rank = (size_t)percentile * (n - 1), low = rank / 100;
    return low + 1 < n ? values[low] + (double)(rank % 100) / 100 * (values[low + 1] - values[low]) : values[low];
}

static bool is_trigger(const struct model *m, const struct hits *hs, const struct hit *at)
{
    static double values[HITS_MAX * 5];
    size_t n = 0, n_distinct = 0;
    unsigned has = 0;
    double sum = 0;
    for (size_t i = 0; i < hs->n; i++) {
        const struct hit *h = &hs->all[i];
        if (!sees(m, at, h))
            continue;
        has |= h->mask;
        bool is_new = true;
        for (size_t k = 0; k < i; k++)
            if (sees(m, at, &hs->all[k]) && m->values && (!strchr(m->values, 'w') || hs->all[k].e->w == h->e->w) &&
                (!strchr(m->values, 'v') || !(hs->all[k].e->v < h->e->v || hs->all[k].e->v > h->e->v)))
                is_new = false;
        n_distinct += is_new;
        for (int k = 0; k < h->count; k++) {
            values[n++] = h->e->v;
            sum += h->e->v;
        }
    }
    switch (m->kind) {
    case COUNT:
        return is_within(m, (double)n);
    case VALUES:
        return is_within(m, (double)n_distinct);
    case SUM:
        return is_within(m, sum);
    case AVG:
        return is_within(m, sum / (double)n);
    case PERCENTILE:
        return is_within(m, percentile_of(values, n, m->percentile));
    case TEMPORAL:
        return is_in_words(m) ? words_of(m, has, has) : is_within(m, __builtin_popcount(has));
    default:
        return is_sequence(m, hs, at, has);
    }
}

static int compare_hits(const void *a, const void *b)
{
    const struct ev *x = (*(const struct hit *const *)a)->e, *y = (*(const struct hit *const *)b)->e;
    if (x->ts_ns != y->ts_ns)
        return x->ts_ns < y->ts_ns ? -1 : 1;
    if (x->ref.pos != y->ref.pos)
        return x->ref.pos < y->ref.pos ? -1 : 1;
    return (int)x->ref.line - (int)y->ref.line;
}

static int64_t period_start(const struct model *m, int64_t ts)
{
    int64_t len = MAX(m->span_s, 3600) * S, q = ts / len;
    return (ts % len < 0 ? q - 1 : q) * len;
}

static void want_alert(size_t model, const struct hits *hs, const struct hit *trigger, struct told *ret)
{
    const struct model *m = &models[model];
    int64_t period = period_start(m, trigger->e->ts_ns);
    size_t before = ret->n_alerts, n = 0;
    struct alert *a = alert_at(ret, model, trigger->group, period);
    const struct hit *covered[HITS_MAX];
    if (ret->n_alerts == before)
        return; /* done with its first trigger */
    for (size_t i = 0; i < hs->n; i++) {
        const struct hit *h = &hs->all[i];
        bool is_covered = false;
        for (size_t t = 0; t < hs->n; t++)
            is_covered |= hs->all[t].is_trigger && hs->all[t].group == a->group &&
                          period_start(m, hs->all[t].e->ts_ns) == period && sees(m, &hs->all[t], h);
        if (!is_covered)
            continue;
        covered[n++] = h;
        a->count += (uint64_t)h->count;
        a->first = MIN(a->first, h->e->ts_ns);
        a->last = MAX(a->last, h->e->ts_ns);
    }
    qsort(covered, n, sizeof(covered[0]), compare_hits);
    for (size_t i = n > MATCH_REFS_MAX ? n - MATCH_REFS_MAX : 0; i < n; i++)
        a->refs[a->n_refs++] = covered[i]->e->ref;
}

static void oracle(const struct ev *events, size_t n, struct told *ret)
{
    static struct hits hits[N_MODELS];
    ret->n_alerts = ret->n_triggers = ret->n_twice = 0;
    for (size_t k = 0; k < N_MODELS; k++) {
        const struct model *m = &models[k];
        struct hits *hs = &hits[k];
        hs->n = 0;
        for (int r = 0; r < m->n_rules; r++)
            for (size_t i = 0; i < n && m->rules[r] < N_DETECTIONS; i++)
                if (events[i].rules >> m->rules[r] & 1)
                    add_hit(m, hs, &events[i], r, events[i].count);
        for (int r = 0; r < m->n_rules; r++)
            for (size_t i = 0; m->rules[r] >= N_DETECTIONS && i < hits[m->rules[r] - N_DETECTIONS].n; i++)
                if (hits[m->rules[r] - N_DETECTIONS].all[i].is_trigger)
                    add_hit(m, hs, hits[m->rules[r] - N_DETECTIONS].all[i].e, r, 1);
        for (size_t i = 0; i < hs->n; i++)
            hs->all[i].is_trigger = is_trigger(m, hs, &hs->all[i]);
        for (size_t i = 0; i < hs->n; i++) {
            if (!hs->all[i].is_trigger)
                continue;
            add_trigger(ret, k, hs->all[i].group, hs->all[i].e->ref);
            want_alert(k, hs, &hs->all[i], ret);
        }
    }
}

static void assert_same(struct told *got, struct told *want, uint64_t seed, const char *how)
{
    for (size_t i = 0; i < want->n_triggers; i++)
        if (!has_trigger(got, want->triggers[i].model, want->triggers[i].group, want->triggers[i].ref))
            fail_msg("seed %llu, %s: %s group %c: no trigger %llu:%u", (unsigned long long)seed, how,
                     models[want->triggers[i].model].name, want->triggers[i].group,
                     (unsigned long long)want->triggers[i].ref.pos, want->triggers[i].ref.line);
    for (size_t i = 0; i < got->n_triggers; i++)
        if (!has_trigger(want, got->triggers[i].model, got->triggers[i].group, got->triggers[i].ref))
            fail_msg("seed %llu, %s: %s group %c: trigger %llu:%u too many", (unsigned long long)seed, how,
                     models[got->triggers[i].model].name, got->triggers[i].group,
                     (unsigned long long)got->triggers[i].ref.pos, got->triggers[i].ref.line);
    for (size_t i = 0; i < want->n_alerts; i++) {
        const struct alert *w = &want->alerts[i], *g = alert_at(got, w->model, w->group, w->period);
        bool is_same = g->count == w->count && g->first == w->first && g->last == w->last && g->n_refs == w->n_refs;
        for (size_t k = 0; is_same && k < w->n_refs; k++)
            is_same = g->refs[k].pos == w->refs[k].pos && g->refs[k].line == w->refs[k].line;
        if (!is_same)
            fail_msg("seed %llu, %s: %s group %c: count %llu not %llu, refs %zu not %zu", (unsigned long long)seed, how,
                     models[w->model].name, w->group, (unsigned long long)g->count, (unsigned long long)w->count,
                     g->n_refs, w->n_refs);
    }
    assert_int_equal(got->n_alerts, want->n_alerts);
}

/* ---- ways to give the events ---- */

struct way {
    struct set *s;
    struct arena *arena;
    int64_t lateness_ns;
    struct matcher_options options;
};

static struct event event_of(struct way *w, const struct ev *e)
{
    static const char *const names[] = {"a", "b", "c"};
    struct event ev;
    char text[32];
    event_begin(&ev, w->arena);
    for (int r = 0; r < N_DETECTIONS; r++)
        if (e->rules >> r & 1)
            event_text(w->s, &ev, "f", names[r]);
    const char fields[] = {e->g, e->h, e->w};
    for (int i = 0; i < 3; i++) {
        snprintf(text, sizeof(text), "%c", fields[i]);
        if (fields[i])
            event_text(w->s, &ev, (const char *const[]){"g", "h", "w"}[i], arena_strndup(w->arena, text, 1));
    }
    int len = snprintf(text, sizeof(text), "%g", e->v);
    if (e->has_v)
        event_text(w->s, &ev, "v", arena_strndup(w->arena, text, (size_t)len));
    if (e->has_v && !e->is_text) {
        struct field *f = &ev.fields[ev.n - 1];
        f->type = e->v > (double)(int)e->v || e->v < (double)(int)e->v ? VALUE_FLOAT : VALUE_INT;
        if (f->type == VALUE_INT)
            f->i = (int64_t)e->v;
        else
            f->f = e->v;
    }
    if (e->count > 1)
        assert_int_equal(event_add_int(&ev, F_VONGGAC_REPEATED, e->count), 0);
    ev.ts_ns = e->ts_ns;
    ev.ref = e->ref;
    return ev;
}

static void give(struct way *w, struct matcher *m, const struct ev *e, struct told *got)
{
    arena_reset(w->arena);
    struct event ev = event_of(w, e);
    assert_int_equal(matcher_eval(m, &ev, on_match, got), 0);
}

static int compare_arrival(const void *a, const void *b)
{
    const struct arrival {
        int64_t at_ns;
        struct ev e;
    } *x = a, *y = b;
    return x->at_ns < y->at_ns ? -1 : x->at_ns > y->at_ns;
}

/* In an order in which none comes later than the bound; some come twice. */
static size_t arrive(struct way *w, struct random *r, const struct ev *events, size_t n, struct ev *ret)
{
    static struct arrival {
        int64_t at_ns;
        struct ev e;
    } all[2 * EVENTS_MAX];
    size_t to = 0;
    unsigned late_ms = (unsigned)(w->lateness_ns / NS_PER_MS);
    for (size_t i = 0; i < n; i++)
        for (unsigned k = below(r, 10) == 0 ? 2 : 1; k; k--)
            all[to++] = (struct arrival){events[i].ts_ns + (int64_t)below(r, late_ms + 1) * NS_PER_MS, events[i]};
    qsort(all, to, sizeof(all[0]), compare_arrival);
    for (size_t i = 0; i < to; i++)
        ret[i] = all[i].e;
    return to;
}

static struct matcher *new_matcher(struct way *w)
{
    struct matcher *m = matcher_new_with(w->s->rules, &w->options);
    assert_non_null(m);
    return m;
}

static void one_by_one(struct way *w, const struct ev *events, size_t n, struct told *got)
{
    struct matcher *m = new_matcher(w);
    for (size_t i = 0; i < n; i++)
        give(w, m, &events[i], got);
    assert_int_equal(matcher_flush(m, on_match, got), 0);
    assert_int_equal(got->n_twice, 0);
    struct matcher_stats st;
    matcher_stats(m, &st);
    assert_int_equal(st.late_hits + st.dropped_hits + st.evicted, 0);
    matcher_free(m);
}

/* The clock runs ahead of the events, but not so far that one of those to come would be late. */
static void by_the_clock(struct way *w, struct random *r, const struct ev *events, size_t n, struct told *got)
{
    struct matcher *m = new_matcher(w);
    for (size_t i = 0; i < n; i++) {
        int64_t oldest = INT64_MAX;
        for (size_t k = i; k < n; k++)
            oldest = MIN(oldest, events[k].ts_ns);
        if (below(r, 3) == 0)
            assert_int_equal(matcher_advance(m, oldest + w->lateness_ns - below(r, 2), on_match, got), 0);
        give(w, m, &events[i], got);
    }
    assert_int_equal(matcher_advance(m, INT64_C(100000) * S, on_match, got), 0); /* idle: time goes on */
    assert_int_equal(got->n_twice, 0);
    matcher_free(m);
}

static void killed(struct way *w, struct random *r, const struct ev *events, size_t n, struct told *got)
{
    struct matcher *m = new_matcher(w);
    int64_t newest = INT64_MIN, reach = ruleset_horizon_ns(w->s->rules) + w->lateness_ns;
    for (size_t i = 0; i < n; i++) {
        if (below(r, 8) == 0) {
            matcher_free(m);
            m = new_matcher(w);
            got->is_deaf = true;
            size_t from = 0; /* replay may begin anywhere before what matters */
            while (from < i && below(r, 4) && newest - events[from].ts_ns > reach)
                from++;
            for (size_t k = from; k < i; k++)
                give(w, m, &events[k], got);
            got->is_deaf = false;
        }
        give(w, m, &events[i], got);
        newest = MAX(newest, events[i].ts_ns);
    }
    assert_int_equal(matcher_flush(m, on_match, got), 0);
    matcher_free(m);
}

#define BATCHES_MAX 4

static void in_chunks(struct way *w, struct random *r, const struct ev *events, size_t n, struct told *got)
{
    size_t n_shards = 1 + below(r, 8), n_batches = 1 + below(r, BATCHES_MAX), at = 0;
    unsigned chunk_max = 1 + below(r, 40);
    struct correlator *co = correlator_new(w->s->rules, &w->options, n_shards);
    struct matcher *m = new_matcher(w);
    struct hit_batch *batches[BATCHES_MAX];
    assert_non_null(co);
    for (size_t b = 0; b < n_batches; b++)
        batches[b] = hit_batch_new(co);
    for (bool is_last = false; !is_last;) {
        is_last = at == n;
        for (size_t b = 0; b < n_batches; b++) {
            hit_batch_reset(batches[b]);
            for (size_t k = below(r, chunk_max + 1); k && at < n; k--, at++) {
                arena_reset(w->arena);
                struct event ev = event_of(w, &events[at]);
                assert_int_equal(matcher_detect(m, &ev, batches[b], on_match, got), 0);
            }
        }
        correlator_begin(co, batches, n_batches, is_last ? INT64_MAX : INT64_MIN);
        for (unsigned level = 1; level <= correlator_levels(co); level++)
            for (size_t s = 0, first = below(r, (unsigned)n_shards); s < n_shards; s++)
                assert_int_equal(correlator_run(co, (first + s) % n_shards, level, on_match, got), 0);
        correlator_end(co);
    }
    assert_int_equal(got->n_twice, 0);
    for (size_t b = 0; b < n_batches; b++)
        hit_batch_free(batches[b]);
    matcher_free(m);
    correlator_free(co);
}

#define WITH(how, call)                                                                                                \
    got.n_alerts = got.n_triggers = got.n_twice = 0;                                                                   \
    call;                                                                                                              \
    assert_same(&got, &want, seed, how)

static void all_ways_tell_the_same(void **state)
{
    (void)state;
    static struct told want, got;
    static const int64_t bounds[] = {0, 5 * S, 40 * S, 300 * S};
    struct set s = make_rules();
    struct way w = {.s = &s, .arena = arena_new(4 * MIB)};
    const char *seeds = getenv("VONGGAC_SEEDS");
    uint64_t n_seeds = seeds ? strtoull(seeds, NULL, 10) : 120;
    size_t by_model[N_MODELS] = {0};
    for (uint64_t seed = 0; seed < n_seeds; seed++) {
        struct ev story[EVENTS_MAX], events[2 * EVENTS_MAX];
        struct random r = {seed};
        size_t n = make_story(seed, story);
        w.lateness_ns = bounds[seed % 4];
        w.options = (struct matcher_options){
            .memory_max = 64 * MIB, .lateness_ns = w.lateness_ns, .keep_ns = seed % 3 ? w.lateness_ns : 86400 * S};
        oracle(story, n, &want);
        for (size_t i = 0; i < want.n_triggers; i++)
            by_model[want.triggers[i].model]++;
        for (int order = 0; order < 3; order++) {
            size_t n_events = arrive(&w, &r, story, n, events);
            WITH("one by one", one_by_one(&w, events, n_events, &got));
            WITH("by the clock", by_the_clock(&w, &r, events, n_events, &got));
            WITH("in chunks", in_chunks(&w, &r, events, n_events, &got));
            WITH("killed", killed(&w, &r, events, n_events, &got));
        }
    }
    for (size_t i = 0; i < N_MODELS; i++)
        if (by_model[i] < n_seeds / 10)
            fail_msg("%s has only %zu triggers: the stories do not tell of it", models[i].name, by_model[i]);
    arena_free(w.arena);
    set_clear(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_ways_tell_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
