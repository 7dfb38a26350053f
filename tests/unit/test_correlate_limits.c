/* SPDX-License-Identifier: Apache-2.0
 *
 * What correlation state costs and who pays: memory that is short, time that is over, events that come too late, a flood in one group,
 * another rule set.
 */
#include "rules/correlator.h"
#include "rules/fixed.h"
#include "tests/unit/rule_helper.h"

#include <errno.h>

#define S            NS_PER_S
#define DETECTION(n) "name: " n "\ntitle: " n "\n" LOGSOURCE "detection: {s: {f: " n "}, condition: s}\n---\n"
#define CORRELATION(n, type, rest)                                                                                     \
    "name: " n "\ntitle: " n "\ncorrelation: {type: " type ", group-by: [g], timespan: 60s, " rest "}\n---\n"
#define COUNT_A(least) CORRELATION("count_a", "event_count", "rules: [a], condition: {gte: " least "}")

struct run {
    struct set *s;
    struct matcher *m;
    struct arena *arena;
    int64_t ingested_ns;
    uint64_t n_events, triggers[2]; /* of the correlations whose name ends with a, and others */
};

static void on_match(const struct match *m, void *ctx)
{
    struct run *r = ctx;
    if (m->rule->kind == RULE_CORRELATION && m->trigger)
        r->triggers[m->rule->name[strlen(m->rule->name) - 1] != 'a']++;
}

static struct run begin(struct set *s, size_t memory_max, int64_t lateness_ns, int64_t keep_ns)
{
    struct run r = {.s = s, .arena = arena_new(1 * MIB)};
    r.m = matcher_new_with(
        s->rules, &(struct matcher_options){.memory_max = memory_max, .lateness_ns = lateness_ns, .keep_ns = keep_ns});
    assert_non_null(r.m);
    return r;
}

static void end(struct run *r)
{
    matcher_free(r->m);
    arena_free(r->arena);
}

static void give(struct run *r, int64_t ts_ns, const char *rule, const char *group, int64_t v)
{
    struct event ev;
    name_id id;
    arena_reset(r->arena);
    event_begin(&ev, r->arena);
    event_text(r->s, &ev, "f", rule);
    event_text(r->s, &ev, "g", group);
    assert_int_equal(names_intern(r->s->names, STR("v"), &id), 0);
    assert_int_equal(event_add_int(&ev, id, v), 0);
    ev.ts_ns = ts_ns;
    ev.ingested_ns = r->ingested_ns;
    ev.ref.pos = r->n_events++;
    assert_int_equal(matcher_eval(r->m, &ev, on_match, r), 0);
}

static struct matcher_stats stats_of(const struct run *r)
{
    struct matcher_stats st;
    matcher_stats(r->m, &st);
    return st;
}

static const char *key(const char *prefix, int i)
{
    static char text[32];
    snprintf(text, sizeof(text), "%s-%d", prefix, i);
    return text;
}

static void test_a_noisy_rule_does_not_push_others_out(void **state)
{
    (void)state;
    struct set s = set_good(DETECTION("a") DETECTION("b") COUNT_A("3")
                                CORRELATION("noise", "event_count", "rules: [b], condition: {gte: 3}"));
    struct run r = begin(&s, 256 * KIB, 60 * S, 60 * S);
    for (int i = 0; i < 100; i++)
        give(&r, i * NS_PER_MS, "a", key("quiet", i), 0);
    for (int i = 0; i < 30000; i++) /* each key twice, so they are not strangers */
        give(&r, S + i * NS_PER_MS, "b", key("noise", i / 2), 0);
    for (int i = 0; i < 200; i++)
        give(&r, 40 * S, "a", key("quiet", i / 2), 0);
    assert_int_equal(r.triggers[0], 200); /* each window was whole: the second and, of equal time, the third */
    struct matcher_stats st = stats_of(&r);
    assert_true(st.evicted_live > 1000);
    assert_true(st.group_bytes <= 256 * KIB);
    end(&r);
    set_clear(&s);
}

static void test_made_up_keys_do_not_push_others_out(void **state)
{
    (void)state;
    struct set s = set_good(DETECTION("a") COUNT_A("4"));
    struct run r = begin(&s, 256 * KIB, 60 * S, 60 * S);
    for (int i = 0; i < 200; i++)
        give(&r, i * NS_PER_MS, "a", key("real", i / 2), 0);
    for (int i = 0; i < 30000; i++) /* a new name with each attempt */
        give(&r, S + i * NS_PER_MS, "a", key("made-up", i), 0);
    for (int i = 0; i < 200; i++)
        give(&r, 40 * S, "a", key("real", i / 2), 0);
    assert_int_equal(r.triggers[0], 200);
    assert_true(stats_of(&r).evicted_live > 1000);
    end(&r);
    set_clear(&s);
}

static void test_groups_end_with_their_time(void **state)
{
    (void)state;
    struct set s = set_good(DETECTION("a") COUNT_A("2"));
    struct run r = begin(&s, 64 * MIB, 60 * S, 120 * S);
    for (int i = 0; i < 20000; i++)
        give(&r, i * S, "a", key("host", i), 0);
    struct matcher_stats st = stats_of(&r);
    assert_in_range(st.groups, 60, 60 + 3600 + 120 + 10); /* window, period, what is kept longer */
    assert_int_equal(st.evicted, 0);                      /* their time was over */
    end(&r);
    set_clear(&s);
}

static void test_too_late(void **state)
{
    (void)state;
    struct set s =
        set_good(DETECTION("a") COUNT_A("3") CORRELATION("few", "event_count", "rules: [a], condition: {lt: 3}"));
    struct run r = begin(&s, 1 * MIB, 10 * S, 86400 * S);
    give(&r, 0, "a", "x", 0);
    give(&r, 1 * S, "a", "x", 0);
    give(&r, 100 * S, "a", "y", 0); /* the watermark is at 90 s: both of x are decided */
    assert_int_equal(r.triggers[1], 2);
    give(&r, 2 * S, "a", "x", 0); /* certain at once for the lower bound, too late for the upper one */
    assert_int_equal(r.triggers[0], 1);
    assert_int_equal(r.triggers[1], 2);
    assert_int_equal(stats_of(&r).late_hits, 1);
    give(&r, 90 * S, "a", "x", 0); /* at the bound, just not late */
    assert_int_equal(stats_of(&r).late_hits, 1);
    assert_int_equal(matcher_advance(r.m, 110 * S, on_match, &r), 0); /* nobody comes; the clock goes on */
    assert_int_equal(r.triggers[1], 3);
    assert_int_equal(matcher_advance(r.m, 111 * S, on_match, &r), 0);
    assert_int_equal(r.triggers[1], 4);
    assert_int_equal(matcher_flush(r.m, on_match, &r), 0);
    assert_int_equal(r.triggers[1], 4);
    end(&r);
    set_clear(&s);
}

static void test_a_time_to_come(void **state)
{
    (void)state;
    struct set s = set_good(DETECTION("a") CORRELATION("few", "event_count", "rules: [a], condition: {lt: 3}"));
    struct run r = begin(&s, 1 * MIB, 10 * S, 60 * S);
    r.ingested_ns = 100 * S;
    give(&r, INT64_C(4000000000) * S, "a", "x", 0);
    r.ingested_ns = 101 * S;
    give(&r, 101 * S, "a", "y", 0);
    r.ingested_ns = 120 * S;
    give(&r, 120 * S, "a", "z", 0);
    assert_int_equal(stats_of(&r).late_hits, 0);
    assert_int_equal(r.triggers[1], 1); /* that of y; the one to come waits for its time */
    assert_int_equal(matcher_flush(r.m, on_match, &r), 0);
    assert_int_equal(r.triggers[1], 3);
    end(&r);
    set_clear(&s);
}

static void test_a_flood_in_one_group(void **state)
{
    (void)state;
    struct set s = set_good(DETECTION("a") DETECTION("b")
                                CORRELATION("sum_a", "value_sum", "rules: [a], condition: {field: v, gt: 1000}")
                                    CORRELATION("both", "temporal", "rules: [a, b]"));
    struct run r = begin(&s, 64 * MIB, 3600 * S, 3600 * S);
    give(&r, 0, "b", "x", 0);
    for (int i = 0; i < 100000; i++)
        give(&r, i * (30 * S / 100000), "a", "x", 1);
    struct matcher_stats st = stats_of(&r);
    assert_true(st.dropped_hits > 0);
    assert_true(st.group_bytes < 8 * MIB);
    assert_true(r.triggers[0] > 30000);      /* decided early, long before the watermark comes */
    assert_int_equal(r.triggers[1], 100001); /* the one b is not forgotten; it is of equal time with the first a */
    end(&r);
    set_clear(&s);
}

static void test_a_flood_of_one_value(void **state)
{
    (void)state;
    struct set s =
        set_good(DETECTION("a") CORRELATION("values_a", "value_count", "rules: [a], condition: {field: v, gte: 3}")
                     CORRELATION("range", "value_count", "rules: [a], condition: {field: v, gte: 3, lt: 4}"));
    struct run r = begin(&s, 64 * MIB, 1 * S, 3600 * S);
    give(&r, 0, "a", "x", 1);
    give(&r, 1, "a", "x", 2);
    for (int i = 1; i <= 100000; i++)
        give(&r, i * (50 * S / 100000), "a", "x", 7);
    assert_true(stats_of(&r).dropped_hits > 0);
    assert_int_equal(r.triggers[0], 100000); /* the two others are not forgotten */
    assert_int_equal(matcher_flush(r.m, on_match, &r), 0);
    assert_int_equal(r.triggers[1], 100000);
    end(&r);
    set_clear(&s);
}

static void test_another_rule_set(void **state)
{
    (void)state;
#define OTHER CORRELATION("few", "event_count", "rules: [b], condition: {lt: 2}")
    static const char before[] = DETECTION("a") DETECTION("b") COUNT_A("3") OTHER;
    static const struct {
        const char *yaml;
        int missing;
        uint64_t triggers[2];
    } after[] = {
        {before, 0, {1, 1}},
        {DETECTION("z") OTHER DETECTION("a") DETECTION("b") COUNT_A("3"), 0, {1, 1}}, /* in any order, beside others */
        {DETECTION("a") COUNT_A("3"), 0, {1, 0}},
        {DETECTION("a") DETECTION("b") COUNT_A("2") OTHER, 1, {0, 1}},
        {"name: a\ntitle: a\n" LOGSOURCE "detection: {s: {f|startswith: a}, condition: s}\n---\n" DETECTION("b")
             COUNT_A("3") OTHER,
         1,
         {0, 1}},
    };
    for (size_t i = 0; i < ARRAY_LEN(after); i++) {
        struct set s = set_good(before), t = set_good(after[i].yaml);
        struct run r = begin(&s, 1 * MIB, 10 * S, 60 * S), next = begin(&t, 1 * MIB, 10 * S, 60 * S);
        give(&r, 0, "a", "x", 0);
        give(&r, 1 * S, "a", "x", 0);
        give(&r, 1 * S, "b", "x", 0);
        assert_int_equal(matcher_adopt(next.m, r.m), after[i].missing);
        next.n_events = r.n_events;
        end(&r);
        set_clear(&s);
        give(&next, 2 * S, "a", "x", 0);
        assert_int_equal(matcher_flush(next.m, on_match, &next), 0);
        assert_int_equal(next.triggers[0], after[i].triggers[0]);
        assert_int_equal(next.triggers[1], after[i].triggers[1]);
        end(&next);
        set_clear(&t);
    }
}

static void test_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int err;
        double value;
    } cases[] = {{"0", 0, 0},       {"-2.5", 0, -2.5}, {"+7", 0, 7},          {".5", 0, .5},
                 {"5.", 0, 5},      {"", -EINVAL, 0},  {"1e3", -EINVAL, 0},   {"0.0000000001", -EINVAL, 0},
                 {".", -EINVAL, 0}, {"-", -EINVAL, 0}, {"1.2.3", -EINVAL, 0}, {"1234567890123456789", -EINVAL, 0},
                 {"0.1", 0, 0.1}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        fixed f = 0;
        assert_int_equal(fixed_parse(str_of(cases[i].text), &f), cases[i].err);
        assert_true(cases[i].err || f == fixed_of_double(cases[i].value));
    }
    fixed sum = 0, one;
    for (int i = 0; i < 10; i++)
        sum += fixed_of_double(0.1); /* which ten doubles do not make 1 of */
    assert_int_equal(fixed_parse(STR("1"), &one), 0);
    assert_true(sum == one);
    assert_true(fixed_of_double(1e300) == -fixed_of_double(-1e300));
    assert_true(fixed_of_double(1e300) > fixed_of_double(1e18));
    assert_true(fixed_of_double(__builtin_nan("")) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_noisy_rule_does_not_push_others_out),
        cmocka_unit_test(test_made_up_keys_do_not_push_others_out),
        cmocka_unit_test(test_groups_end_with_their_time),
        cmocka_unit_test(test_too_late),
        cmocka_unit_test(test_a_time_to_come),
        cmocka_unit_test(test_a_flood_in_one_group),
        cmocka_unit_test(test_a_flood_of_one_value),
        cmocka_unit_test(test_another_rule_set),
        cmocka_unit_test(test_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
