/* SPDX-License-Identifier: Apache-2.0
 *
 * Correlation against its definition. An oracle computes the alerts of a set of events straight from the words of matcher.h,
 * by looking at every window; the matcher gets the same events in any order, and after restarts, and must end with the same.
 */
#include "tests/unit/rule_helper.h"

#include <errno.h>

#define S NS_PER_S

/* ---- rules ---- */

#define DETECTION(n) "name: " n "\ntitle: " n "\n" LOGSOURCE "detection: {s: {f: " n "}, condition: s}\n---\n"
#define CORRELATION(n, type, rules, group, span, rest)                                                                 \
    "name: " n "\ntitle: " n "\ncorrelation:\n  type: " type "\n  rules: " rules "\n  group-by: " group                \
    "\n  timespan: " span "\n  generate: true\n" rest "---\n"
#define DETECTIONS DETECTION("a") DETECTION("b") DETECTION("c")

enum { COUNT, TEMPORAL, ORDERED };
enum { RULE_A, RULE_B, RULE_C, N_DETECTIONS };

struct
    model { /* what the oracle knows of a correlation: rules below 3 are detections, others 3 + place in this table */
    const char *name;
    int type, threshold, rules[4], n_rules;
    char group; /* field g or h */
    int64_t span;
};

static const struct model models[] = {
    {"count_a", COUNT, 3, {RULE_A}, 1, 'g', 60 * S},
    {"count_ab", COUNT, 4, {RULE_A, RULE_B}, 2, 'g', 60 * S},
    {"count_long", COUNT, 5, {RULE_B}, 1, 'g', 7200 * S},
    {"both", TEMPORAL, 2, {RULE_A, RULE_B}, 2, 'g', 30 * S},
    {"two_of_three", TEMPORAL, 2, {RULE_A, RULE_B, RULE_C}, 3, 'h', 20 * S},
    {"in_order", ORDERED, 3, {RULE_A, RULE_B, RULE_C}, 3, 'g', 60 * S},
    {"then_b", ORDERED, 2, {N_DETECTIONS + 0, RULE_B}, 2, 'g', 120 * S},
    {"many_then_b", COUNT, 2, {N_DETECTIONS + 6}, 1, 'h', 600 * S},
    {"mixed", TEMPORAL, 2, {N_DETECTIONS + 3, N_DETECTIONS + 1}, 2, 'h', 300 * S},
};
#define N_MODELS ARRAY_LEN(models)

static const char rules_yaml[] =
    DETECTIONS CORRELATION("count_a", "event_count", "[a]", "[g]", "60s", "  condition: {gte: 3}\n")
        CORRELATION("count_ab", "event_count", "[a, b]", "[g]", "1m", "  condition: {gt: 3}\n")
            CORRELATION("count_long", "event_count", "b", "g", "2h", "  condition: {gte: 5}\n")
                CORRELATION("both", "temporal", "[a, b]", "[g]", "30s", "")
                    CORRELATION("two_of_three", "temporal", "[a, b, c]", "[h]", "20s", "  condition: {gte: 2}\n")
                        CORRELATION("in_order", "temporal_ordered", "[a, b, c]", "[g]", "60s", "")
                            CORRELATION("then_b", "temporal_ordered", "[count_a, b]", "[g]", "2m", "") CORRELATION(
                                "many_then_b", "event_count", "[then_b]", "[h]", "10m", "  condition: {gte: 2}\n")
                                CORRELATION("mixed", "temporal", "[both, count_ab]", "[h]", "5m", "");

/* ---- events and alerts ---- */

#define EVENTS_MAX 80
#define ALERTS_MAX 2000

struct ev {
    int64_t ts_ns;
    unsigned rules; /* bit a, b, c */
    char g, h;
    struct event_ref ref;
};

struct alert {
    size_t model;
    char group;
    int64_t period, first, last;
    uint64_t count;
    struct event_ref refs[MATCH_REFS_MAX];
    size_t n_refs;
};

struct alerts {
    struct alert all[ALERTS_MAX];
    size_t n;
};

static struct alert *alert_at(struct alerts *as, size_t model, char group, int64_t period)
{
    for (size_t i = 0; i < as->n; i++)
        if (as->all[i].model == model && as->all[i].group == group && as->all[i].period == period)
            return &as->all[i];
    assert_true(as->n < ALERTS_MAX);
    as->all[as->n] =
        (struct alert){.model = model, .group = group, .period = period, .first = INT64_MAX, .last = INT64_MIN};
    return &as->all[as->n++];
}

static void on_match(const struct match *m, void *ctx)
{
    struct alerts *as = ctx;
    for (size_t i = 0; i < N_MODELS; i++) {
        if (strcmp(m->rule->name, models[i].name) != 0)
            continue;
        assert_int_equal(m->n_group, 1);
        assert_int_equal(m->group[0].s.len, 1);
        assert_string_equal(m->rule->group_by[0], models[i].group == 'g' ? "g" : "h");
        struct alert *a = alert_at(as, i, m->group[0].s.p[0], m->period_start_ns);
        a->first = m->first_ns;
        a->last = m->last_ns;
        a->count = m->count;
        a->n_refs = m->n_refs;
        memcpy(a->refs, m->refs, m->n_refs * sizeof(*m->refs));
        assert_true(!m->event || m->n_matched > 0);
    }
}

static void feed(struct set *s, struct matcher *m, const struct ev *e, struct alerts *as)
{
    static const char *const names[] = {"a", "b", "c"};
    struct arena *arena = arena_new(1 * MIB);
    struct event ev;
    event_begin(&ev, arena);
    for (int r = 0; r < N_DETECTIONS; r++)
        if (e->rules >> r & 1)
            event_text(s, &ev, "f", names[r]);
    char g[2] = {e->g, 0}, h[2] = {e->h, 0};
    if (e->g)
        event_text(s, &ev, "g", g);
    if (e->h)
        event_text(s, &ev, "h", h);
    ev.ts_ns = e->ts_ns;
    ev.ref = e->ref;
    assert_int_equal(matcher_eval(m, &ev, on_match, as), 0);
    arena_free(arena);
}

/* All the stories fit in its lateness bound. */
static struct matcher *patient_matcher(const struct set *s)
{
    struct matcher *m = matcher_new_with(
        s->rules, &(struct matcher_options){.memory_max = 64 * MIB, .lateness_ns = 86400 * S, .keep_ns = 86400 * S});
    assert_non_null(m);
    return m;
}

/* ---- the oracle ---- */

struct ohit {
    const struct ev *e;
    unsigned mask;
    bool is_trigger;
};

#define HITS_MAX 4000

struct ohits {
    struct ohit all[HITS_MAX];
    size_t n;
};

static char group_of(const struct model *m, const struct ev *e)
{
    return m->group == 'g' ? e->g : e->h;
}

static int64_t period_start(const struct model *m, int64_t ts)
{
    int64_t len = MAX(m->span, 3600 * S), q = ts / len;
    return (ts % len < 0 ? q - 1 : q) * len;
}

static bool sees(const struct model *m, const struct ohit *at, const struct ohit *other)
{
    return group_of(m, at->e) == group_of(m, other->e) && other->e->ts_ns <= at->e->ts_ns &&
           other->e->ts_ns > at->e->ts_ns - m->span;
}

/* A chain of rules 0..rule of hits that `at` sees, in the order of time, ending not after `until`. */
static bool chain(const struct model *m, const struct ohits *hs, const struct ohit *at, int rule, int64_t until)
{
    if (rule < 0)
        return true;
    for (size_t i = 0; i < hs->n; i++)
        if (sees(m, at, &hs->all[i]) && hs->all[i].mask >> rule & 1 && hs->all[i].e->ts_ns <= until &&
            chain(m, hs, at, rule - 1, hs->all[i].e->ts_ns))
            return true;
    return false;
}

static bool is_trigger(const struct model *m, const struct ohits *hs, const struct ohit *at)
{
    if (m->type == ORDERED)
        return at->mask >> (m->n_rules - 1) & 1 && chain(m, hs, at, m->n_rules - 2, at->e->ts_ns);
    int n = 0;
    unsigned mask = 0;
    for (size_t i = 0; i < hs->n; i++) {
        n += sees(m, at, &hs->all[i]);
        mask |= sees(m, at, &hs->all[i]) ? hs->all[i].mask : 0;
    }
    return (m->type == COUNT ? n : __builtin_popcount(mask)) >= m->threshold;
}

/* An event is one hit, by however many rules. */
static void add_hit(struct ohits *to, const struct ev *e, unsigned mask)
{
    for (size_t i = 0; i < to->n; i++) {
        if (to->all[i].e == e) {
            to->all[i].mask |= mask;
            return;
        }
    }
    to->all[to->n++] = (struct ohit){e, mask, false};
}

static void collect_hits(const struct model *m, const struct ev *events, size_t n, const struct ohits *below,
                         struct ohits *ret)
{
    ret->n = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned mask = 0;
        for (int r = 0; r < m->n_rules; r++)
            mask |= m->rules[r] < N_DETECTIONS && events[i].rules >> m->rules[r] & 1 ? 1u << r : 0;
        if (mask && group_of(m, &events[i]))
            add_hit(ret, &events[i], mask);
    }
    for (int r = 0; r < m->n_rules; r++) {
        const struct ohits *from = m->rules[r] < N_DETECTIONS ? NULL : &below[m->rules[r] - N_DETECTIONS];
        for (size_t i = 0; from && i < from->n; i++)
            if (from->all[i].is_trigger && group_of(m, from->all[i].e))
                add_hit(ret, from->all[i].e, 1u << r);
    }
    assert_true(ret->n < HITS_MAX);
}

static int compare_refs(const void *a, const void *b)
{
    const struct ev *x = *(const struct ev *const *)a, *y = *(const struct ev *const *)b;
    if (x->ts_ns != y->ts_ns)
        return x->ts_ns < y->ts_ns ? -1 : 1;
    return x->ref.pos < y->ref.pos ? -1 : x->ref.pos > y->ref.pos;
}

static void add_alert(size_t model, const struct ohits *hs, const struct ohit *trigger, struct alerts *ret)
{
    const struct model *m = &models[model];
    int64_t period = period_start(m, trigger->e->ts_ns);
    size_t before = ret->n;
    struct alert *a = alert_at(ret, model, group_of(m, trigger->e), period);
    if (ret->n == before)
        return; /* done with its first trigger */
    const struct ev *covered[HITS_MAX];
    size_t n = 0, distinct = 0;
    for (size_t i = 0; i < hs->n; i++) {
        bool is_covered = false;
        for (size_t t = 0; t < hs->n; t++)
            is_covered |= hs->all[t].is_trigger && group_of(m, hs->all[t].e) == a->group &&
                          period_start(m, hs->all[t].e->ts_ns) == period && sees(m, &hs->all[t], &hs->all[i]);
        if (!is_covered)
            continue;
        covered[n++] = hs->all[i].e;
        a->first = MIN(a->first, hs->all[i].e->ts_ns);
        a->last = MAX(a->last, hs->all[i].e->ts_ns);
    }
    a->count = n;
    qsort(covered, n, sizeof(covered[0]), compare_refs);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || covered[i] != covered[i - 1])
            covered[distinct++] = covered[i];
    size_t skip = distinct > MATCH_REFS_MAX ? distinct - MATCH_REFS_MAX : 0;
    for (size_t i = skip; i < distinct; i++)
        a->refs[a->n_refs++] = covered[i]->ref;
}

static void oracle(const struct ev *events, size_t n, struct alerts *ret)
{
    static struct ohits hits[N_MODELS];
    ret->n = 0;
    for (size_t k = 0; k < N_MODELS; k++) {
        collect_hits(&models[k], events, n, hits, &hits[k]);
        for (size_t i = 0; i < hits[k].n; i++)
            hits[k].all[i].is_trigger = is_trigger(&models[k], &hits[k], &hits[k].all[i]);
        for (size_t i = 0; i < hits[k].n; i++)
            if (hits[k].all[i].is_trigger)
                add_alert(k, &hits[k], &hits[k].all[i], ret);
    }
}

static void assert_same(struct alerts *got, struct alerts *want, unsigned seed)
{
    if (got->n != want->n)
        fail_msg("seed %u: %zu alerts, not %zu", seed, got->n, want->n);
    for (size_t i = 0; i < want->n; i++) {
        const struct alert *w = &want->all[i], *g = alert_at(got, w->model, w->group, w->period);
        bool is_same = g->count == w->count && g->first == w->first && g->last == w->last && g->n_refs == w->n_refs;
        for (size_t r = 0; is_same && r < w->n_refs; r++)
            is_same = g->refs[r].pos == w->refs[r].pos && g->refs[r].line == w->refs[r].line;
        if (!is_same)
            fail_msg("seed %u: %s group %c: count %llu not %llu, refs %zu not %zu", seed, models[w->model].name,
                     w->group, (unsigned long long)g->count, (unsigned long long)w->count, g->n_refs, w->n_refs);
    }
}

/* ---- random stories ---- */

static unsigned next_random(unsigned *state, unsigned below)
{
    *state = *state * 1664525 + 1013904223;
    return (*state >> 8) % below;
}

static size_t story(unsigned seed, struct ev *ret)
{
    unsigned r = seed * 2654435761u + 1;
    size_t n = 1 + next_random(&r, EVENTS_MAX);
    static const int64_t spreads[] = {20, 120, 600, 9000};
    int64_t spread = spreads[next_random(&r, 4)], step = next_random(&r, 2) ? S : 1 + S / 3;
    int64_t start =
        (int64_t)next_random(&r, 3) * 3600 * S - spread * S / 2; /* about a period's border, also before 1970 */
    for (size_t i = 0; i < n; i++) {
        ret[i] = (struct ev){
            .ts_ns = start + (int64_t)next_random(&r, (unsigned)spread) * step,
            .rules = 1 + next_random(&r, 7),
            .g = "xxy"[next_random(&r, 3)],
            .h = "pq"[next_random(&r, 2)],
            .ref = {.pos = 1000 + i, .line = (uint32_t)(i % 3)},
        };
        if (next_random(&r, 15) == 0)
            ret[i].h = 0;
        if (next_random(&r, 4))
            ret[i].rules = 1u << next_random(&r, 3);
    }
    return n;
}

static void shuffle(struct ev *events, size_t n, unsigned *random)
{
    for (size_t i = n; i > 1; i--) {
        size_t k = next_random(random, (unsigned)i);
        struct ev swap = events[i - 1];
        events[i - 1] = events[k];
        events[k] = swap;
    }
}

static int compare_time(const void *a, const void *b)
{
    const struct ev *x = a, *y = b;
    return x->ts_ns < y->ts_ns ? -1 : x->ts_ns > y->ts_ns;
}

static void test_any_order_gives_what_the_definition_says(void **state)
{
    (void)state;
    static struct alerts want, got;
    struct set s = set_good(rules_yaml);
    size_t total = 0;
    for (unsigned seed = 0; seed < 400; seed++) {
        struct ev events[EVENTS_MAX];
        size_t n = story(seed, events);
        unsigned random = seed;
        oracle(events, n, &want);
        total += want.n;
        for (int order = 0; order < 4; order++) {
            struct matcher *m = patient_matcher(&s);
            got.n = 0;
            if (order == 0)
                qsort(events, n, sizeof(events[0]), compare_time);
            else
                shuffle(events, n, &random);
            for (size_t i = 0; i < n; i++)
                feed(&s, m, &events[i], &got);
            assert_same(&got, &want, seed);
            matcher_free(m);
        }
    }
    assert_true(total > 2000); /* the stories do tell something */
    set_clear(&s);
}

static void test_a_restart_a_horizon_back_changes_nothing(void **state)
{
    (void)state;
    static struct alerts want, got, ignored;
    struct set s = set_good(rules_yaml);
    int64_t horizon = ruleset_horizon_ns(s.rules);
    /* count_long: 2 h window, 2 h period. many_then_b: 10 min + 2 min + 1 min, 1 h period. */
    assert_int_equal(horizon, 4 * 3600 * S);
    for (unsigned seed = 0; seed < 300; seed++) {
        struct ev events[EVENTS_MAX];
        size_t n = story(seed, events);
        unsigned random = seed;
        qsort(events, n, sizeof(events[0]), compare_time);
        for (size_t i = 0; seed % 3 == 0 && i < n; i++)
            events[i].ts_ns *= 4; /* some stories longer than the horizon */
        oracle(events, n, &want);
        got.n = 0;
        struct matcher *m = patient_matcher(&s);
        for (size_t i = 0; i < n; i++) {
            if (next_random(&random, 6) == 0) { /* killed: all that is kept is the alerts */
                matcher_free(m);
                m = patient_matcher(&s);
                ignored.n = 0;
                for (size_t k = 0; k < i; k++)
                    if (events[k].ts_ns >= events[i].ts_ns - horizon)
                        feed(&s, m, &events[k], &ignored);
            }
            feed(&s, m, &events[i], &got);
        }
        assert_same(&got, &want, seed);
        matcher_free(m);
    }
    set_clear(&s);
}

/* ---- single cases ---- */

static size_t run(struct set *s, const struct ev *events, size_t n, struct alerts *ret)
{
    struct matcher *m = matcher_new(s->rules, 64 * MIB);
    ret->n = 0;
    for (size_t i = 0; i < n; i++)
        feed(s, m, &events[i], ret);
    matcher_free(m);
    return ret->n;
}

static void test_window_borders(void **state)
{
    (void)state;
    static struct alerts as;
    struct set s = set_good(rules_yaml);
    struct ev e[] = {{0, 1, 'x', 'p', {1, 0}}, {30 * S, 1, 'x', 'p', {2, 0}}, {60 * S - 1, 1, 'x', 'p', {3, 0}}};
    assert_int_equal(run(&s, e, 3, &as), 1);
    assert_int_equal(as.all[0].count, 3);
    assert_int_equal(as.all[0].first, 0);
    assert_int_equal(as.all[0].last, 60 * S - 1);
    e[2].ts_ns = 60 * S; /* (t - 60s, t]: the first is out */
    assert_int_equal(run(&s, e, 3, &as), 0);
    e[2].ts_ns = 60 * S - 1;
    e[1].g = 'y';
    assert_int_equal(run(&s, e, 3, &as), 0);
    e[1].g = 0; /* no group, not counted */
    assert_int_equal(run(&s, e, 3, &as), 0);
    set_clear(&s);
}

static void test_going_on_fires_again_in_the_next_period(void **state)
{
    (void)state;
    static struct alerts as;
    struct set s = set_good(rules_yaml);
    struct ev e[60];
    for (size_t i = 0; i < 60; i++)
        e[i] = (struct ev){(3600 - 300 + (int64_t)i * 10) * S, 1, 'x', 'p', {i, 0}};
    assert_int_equal(run(&s, e, 60, &as), 4); /* of count_a and count_ab */
    const struct alert *first = alert_at(&as, 0, 'x', 0), *second = alert_at(&as, 0, 'x', 3600 * S);
    assert_int_equal(as.n, 4);
    assert_int_equal(first->count, 30);
    assert_int_equal(second->count, 30 + 5); /* its first window reaches 50 s into the period before */
    assert_int_equal(second->first, 3550 * S);
    set_clear(&s);
}

static void test_order_of_events_counts_not_order_of_arrival(void **state)
{
    (void)state;
    static struct alerts as;
    struct set s = set_good(rules_yaml);
    /* the success first, by arrival and by time: no alert of then_b */
    struct ev e[] = {{0, 2, 'x', 'p', {1, 0}},
                     {1 * S, 1, 'x', 'p', {2, 0}},
                     {2 * S, 1, 'x', 'p', {3, 0}},
                     {3 * S, 1, 'x', 'p', {4, 0}}};
    run(&s, e, 4, &as);
    for (size_t i = 0; i < as.n; i++)
        assert_string_not_equal(models[as.all[i].model].name, "then_b");
    e[0].ts_ns = 4 * S; /* first to arrive, last to happen */
    run(&s, e, 4, &as);
    bool is_found = false;
    for (size_t i = 0; i < as.n; i++)
        is_found |= strcmp(models[as.all[i].model].name, "then_b") == 0;
    assert_true(is_found);
    set_clear(&s);
}

static void keep_count(const struct match *m, void *ctx)
{
    *(uint64_t *)ctx = m->count;
}

static void test_a_folded_line_counts_for_all_it_stands_for(void **state)
{
    (void)state;
    struct set s =
        set_good(DETECTION("a") CORRELATION("q", "event_count", "[a]", "[g]", "60s", "  condition: {gte: 6}\n"));
    struct arena *arena = arena_new(1 * MIB);
    struct matcher *m = matcher_new(s.rules, 1 * MIB);
    uint64_t count = 0;
    for (int i = 0; i < 2; i++) {
        struct event ev;
        event_begin(&ev, arena);
        event_text(&s, &ev, "f", "a");
        event_text(&s, &ev, "g", "x");
        if (i)
            assert_int_equal(event_add_int(&ev, F_VONGGAC_REPEATED, 5), 0);
        ev.ts_ns = i * S;
        count = 0;
        assert_int_equal(matcher_eval(m, &ev, keep_count, &count), 0);
    }
    assert_int_equal(count, 6);
    matcher_free(m);
    arena_free(arena);
    set_clear(&s);
}

static void test_extreme_times(void **state)
{
    (void)state;
    static struct alerts as;
    struct set s = set_good(rules_yaml);
    static const int64_t times[] = {INT64_MIN, INT64_MIN + 1, -1, 0, 1, INT64_MAX - 1, INT64_MAX};
    struct ev e[70];
    for (size_t i = 0; i < 70; i++)
        e[i] = (struct ev){times[i * 3 % ARRAY_LEN(times)], 7, 'x', 'p', {i, 0}};
    assert_true(run(&s, e, 70, &as) > 0);
    set_clear(&s);
}

static void test_memory_is_bounded(void **state)
{
    (void)state;
    static struct alerts as;
    struct set s =
        set_good(DETECTIONS CORRELATION("count_a", "event_count", "[a]", "[g]", "60s", "  condition: {gte: 3}\n"));
    struct matcher *m = matcher_new(s.rules, 64 * KIB);
    struct arena *arena = arena_new(16 * MIB);
    as.n = 0;
    for (int i = 0; i < 20000; i++) {
        struct event ev;
        char group[32];
        arena_reset(arena);
        event_begin(&ev, arena);
        event_text(&s, &ev, "f", "a");
        snprintf(group, sizeof(group), "host-%d", i / 2);
        event_text(&s, &ev, "g", group);
        ev.ts_ns = i * S;
        assert_int_equal(matcher_eval(m, &ev, on_match, &as), 0);
    }
    struct matcher_stats st;
    matcher_stats(m, &st);
    assert_int_equal(st.events, 20000);
    assert_true(st.group_bytes <= 64 * KIB);
    assert_true(st.groups > 10);
    assert_int_equal(st.groups + st.evicted, 10000);
    assert_true(st.evicted_live <= st.evicted);
    matcher_free(m);
    m = matcher_new(s.rules, 16 * MIB); /* one group that never rests */
    for (int i = 0; i < 100000; i++) {
        struct event ev;
        arena_reset(arena);
        event_begin(&ev, arena);
        event_text(&s, &ev, "f", "a");
        event_text(&s, &ev, "g", "x");
        ev.ts_ns = i * NS_PER_MS;
        assert_int_equal(matcher_eval(m, &ev, on_match, &as), 0);
    }
    matcher_stats(m, &st);
    assert_true(st.group_bytes < 8 * MIB);
    assert_true(st.dropped_hits > 0);
    const struct alert *a = alert_at(&as, 0, 'x', 0);
    assert_int_equal(a->count, 100000); /* the count does not suffer */
    assert_int_equal(a->n_refs, MATCH_REFS_MAX);
    matcher_free(m);
    arena_free(arena);
    set_clear(&s);
}

/* ---- what is silent, aliases, refusals ---- */

#define SILENT(n, rest)                                                                                                \
    "name: " n "\ntitle: " n "\n" LOGSOURCE "detection: {s: {f: " n "}, condition: s}\n" rest "---\n"

static void test_generate(void **state)
{
    (void)state;
    static const char yaml[] =
        SILENT("a", "") SILENT("b", "") SILENT("c", "") "name: q\ntitle: q\ncorrelation: {type: event_count, rules: "
                                                        "[a], group-by: [g], timespan: 1m, condition: {gte: 1}}\n"
                                                        "---\n"
                                                        "name: r\ntitle: r\ncorrelation: {type: temporal, rules: [b, "
                                                        "q], group-by: [g], timespan: 1m, generate: true}\n";
    struct set s = set_good(yaml);
    assert_true(ruleset_find(s.rules, "a")->is_silent);
    assert_false(ruleset_find(s.rules, "b")->is_silent);
    assert_false(ruleset_find(s.rules, "c")->is_silent);
    assert_false(ruleset_find(s.rules, "q")->is_silent);
    assert_false(ruleset_find(s.rules, "r")->is_silent);
    assert_int_equal(matches(&s, "f", "a", "g", "x", NULL), 1);           /* q */
    assert_int_equal(matches(&s, "f", "a", "f", "b", "g", "x", NULL), 3); /* b, q, r */
    set_clear(&s);
    s = set_good(
        SILENT("a", "") "title: q\ngenerate: true\ncorrelation: {type: event_count, rules: [a], group-by: [g], "
                        "timespan: 1m, condition: {gte: 1}}\n");
    assert_false(ruleset_find(s.rules, "a")->is_silent); /* also written at the top, as the specification shows it */
    set_clear(&s);
}

static void keep_group(const struct match *m, void *ctx)
{
    if (m->rule->kind != RULE_CORRELATION)
        return;
    assert_int_equal(m->n_group, 2);
    assert_true(str_eq(m->group[0].s, STR("10.0.0.1")));
    assert_true(str_eq(m->group[1].s, STR("k")));
    ++*(int *)ctx;
}

static void test_aliases_and_mapped_fields(void **state)
{
    (void)state;
    static const char yaml[] = SILENT("a", "") SILENT(
        "b",
        "") "title: q\ncorrelation:\n  type: temporal\n  rules: [a, b]\n  group-by: [addr, Sigma]\n  timespan: 1m\n"
            "  aliases:\n    addr: {a: src, b: dst}\n";
    struct set s = set_good(yaml);
    struct arena *arena = arena_new(1 * MIB);
    struct matcher *m = matcher_new(s.rules, 1 * MIB);
    int n = 0;
    static const char *const fields[] = {"src", "dst"}, *const rules[] = {"a", "b"};
    for (int i = 0; i < 2; i++) {
        struct event ev;
        event_begin(&ev, arena);
        event_text(&s, &ev, "f", rules[i]);
        event_text(&s, &ev, fields[i], "10.0.0.1");
        event_text(&s, &ev, fields[!i], "10.9.9.9");
        event_text(&s, &ev, "ecs.field", "k");
        event_text(&s, &ev, "ecs.field", "second element"); /* of an array, the first counts */
        assert_int_equal(matcher_eval(m, &ev, keep_group, &n), 0);
    }
    assert_int_equal(n, 1);
    matcher_free(m);
    arena_free(arena);
    set_clear(&s);
}

#define COR(text) SILENT("a", "") SILENT("b", "") "title: q\nname: q\ncorrelation: {" text "}\n"
#define BASE      "type: event_count, group-by: [g], timespan: 1m, "

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *words;
    } bad[] = {
        {COR("rules: [a], timespan: 1m"), "type must be"},
        {COR("type: value_count, rules: [a], timespan: 1m, condition: {gte: 2}"), "needs a 'field'"},
        {COR("type: value_sum, rules: [a], timespan: 1m, condition: {field: [f, g], gte: 2}"),
         "only value_count takes"},
        {COR("type: value_percentile, rules: [a], timespan: 1m"), "needs a condition"},
        {COR("type: value_avg, rules: [a], timespan: 1m, condition: {field: f, gte: 1e3}"), "at most 18 digits"},
        {COR("type: value_avg, rules: [a], timespan: 1m, condition: {field: f}"), "has no number"},
        {COR("type: value_median, rules: [a], timespan: 1m, condition: {field: f, gte: 1, percentile: 5}"),
         "has no 'percentile'"},
        {COR("type: value_percentile, rules: [a], timespan: 1m, condition: {field: f, gte: 1, percentile: 101}"), ""},
        {COR("type: near, rules: [a], timespan: 1m"), "type must be"},
        {COR(BASE "condition: {gte: 2}"), "needs rules"},
        {COR(BASE "rules: [], condition: {gte: 2}"), "rules must be"},
        {COR(BASE "rules: [a, a], condition: {gte: 2}"), "'a' twice"},
        {COR(BASE "rules: [zzz], condition: {gte: 2}"), "not loaded: 'zzz'"},
        {COR(BASE "rules: [a]"), "needs a condition"},
        {COR(BASE "rules: [a], condition: {lt: -2}"), "between 0 and"},
        {COR(BASE "rules: [a], condition: {ge: 2}"), "has no 'ge'"},
        {COR(BASE "rules: [a], condition: a and b"), "words go with temporal"},
        {COR("type: temporal, rules: [a], timespan: 1m, condition: a and b"), "not in 'rules': b"},
        {COR("type: temporal, rules: [a, b], timespan: 1m, condition: a"), "does not name all 'rules', as it must: b"},
        {COR("type: temporal, rules: [a, b], timespan: 1m, condition: a and (b"), "lacks a ')'"},
        {COR("type: temporal, rules: [a, b], timespan: 1m, condition: a and b)"), "does not go on like this: )"},
        {COR("type: temporal, rules: [a, b], timespan: 1m, condition: a b"), "does not go on like this: b"},
        {COR("type: temporal, rules: [a, b], timespan: 1m, condition: a and and b"), "before 'and"},
        {COR("type: temporal, rules: [a, b], timespan: 1m, condition: a and b and not"), "before '"},
        {COR("type: temporal, rules: [a, b], timespan: 1m, condition: a and not a and b"), "can never hold"},
        {COR("type: temporal_ordered, rules: [a, b], timespan: 1m, condition: not a or not b"),
         "nothing can be in order"},
        {COR("type: temporal, timespan: 1m, condition: {gte: 2}"), "needs rules"},
        {COR(BASE "rules: [a], condition: {gte: 0}"), "without any event"},
        {COR(BASE "rules: [a], condition: {gte: many}"), "takes a number"},
        {COR(BASE "rules: [a], condition: 5"), "is a map such as"},
        {COR(BASE "rules: [a], condition: {gte: 2, field: x}"), "'field' does not go"},
        {COR(BASE "rules: [a], condition: {gte: 2}, window: 3"), "has no 'window'"},
        {COR(BASE "rules: [q], condition: {gte: 2}"), "refers to itself"},
        {COR("type: event_count, rules: [a], condition: {gte: 2}"), "timespan must be"},
        {COR("type: event_count, rules: [a], condition: {gte: 2}, timespan: 5"), "timespan must be"},
        {COR("type: event_count, rules: [a], condition: {gte: 2}, timespan: 1h30m"), "timespan must be"},
        {COR("type: event_count, rules: [a], condition: {gte: 2}, timespan: 0s"), "between 1s and 366d"},
        {COR("type: event_count, rules: [a], condition: {gte: 2}, timespan: 400d"), "between 1s and 366d"},
        {COR("type: temporal, rules: [a, b], timespan: 1m, condition: {gte: 3}"), "more different rules"},
        {COR("type: temporal_ordered, rules: [a, b], timespan: 1m, condition: {gte: 1}"), "needs all of its rules"},
        {COR("type: temporal, rules: [a, b], timespan: 1m, group-by: [x], aliases: {x: {a: f}}"),
         "names no field of rule 'b'"},
        {COR("type: temporal, rules: [a, b], timespan: 1m, aliases: [x]"), "aliases must be"},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct set s = set_of(bad[i].yaml);
        if (s.left_out != 1 || s.diags.errors != 1 || ruleset_count(s.rules) != 2)
            fail_msg("not refused: %s", bad[i].yaml);
        const struct diag *d = &s.diags.entries[0].diag;
        if (!strstr(d->msg, bad[i].words) || d->line == 0 || d->col == 0)
            fail_msg("%s\n%d:%d: %s", bad[i].yaml, d->line, d->col, d->msg);
        assert_false(ruleset_find(s.rules, "a")->is_silent); /* what is left out silences nothing */
        set_clear(&s);
    }
}

static void test_circles_and_towers(void **state)
{
    (void)state;
    struct set s = set_begin();
    char yaml[600];
    assert_int_equal(ruleset_add(s.rules, STR(SILENT("a", "")), "r.yml", &s.diags), 0);
    for (int i = 20; i >= 0; i--) { /* a tower of 20, written from the top down, and then a circle of 3 */
        char below[16] = "a";
        if (i)
            snprintf(below, sizeof(below), "n%d", i - 1);
        snprintf(yaml, sizeof(yaml), "name: n%d\ntitle: n%d\ncorrelation: {" BASE "condition: {gte: 1}, rules: [%s]}\n",
                 i, i, below);
        assert_int_equal(ruleset_add(s.rules, str_of(yaml), "r.yml", &s.diags), 0);
    }
    for (int i = 0; i < 3; i++) {
        snprintf(yaml, sizeof(yaml),
                 "name: o%d\ntitle: o%d\ncorrelation: {" BASE "condition: {gte: 1}, rules: [o%d]}\n", i, i,
                 (i + 1) % 3);
        assert_int_equal(ruleset_add(s.rules, str_of(yaml), "r.yml", &s.diags), 0);
    }
    set_compile(&s);
    assert_int_equal(s.left_out, 21 - 8 + 3);
    assert_int_equal(ruleset_count(s.rules), 1 + 8);
    assert_int_equal(matches(&s, "f", "a", "g", "x", NULL), 1); /* only the highest is not silent */
    set_clear(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_order_gives_what_the_definition_says),
        cmocka_unit_test(test_a_restart_a_horizon_back_changes_nothing),
        cmocka_unit_test(test_window_borders),
        cmocka_unit_test(test_going_on_fires_again_in_the_next_period),
        cmocka_unit_test(test_order_of_events_counts_not_order_of_arrival),
        cmocka_unit_test(test_a_folded_line_counts_for_all_it_stands_for),
        cmocka_unit_test(test_extreme_times),
        cmocka_unit_test(test_memory_is_bounded),
        cmocka_unit_test(test_generate),
        cmocka_unit_test(test_aliases_and_mapped_fields),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_circles_and_towers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
