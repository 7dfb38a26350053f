/* SPDX-License-Identifier: Apache-2.0
 *
 * What a hit costs in a correlation, by type, with KEYS groups alive at a time: bench_correlate [KEYS [EVENTS]]. Each key comes every
 * 150 s of event time, in an order that changes with each round: two of its events are in the window of 5 min, and two more are kept
 * for those that come late. The condition is just
 * not met: no alerts are paid for. Two rows a type: the correlator alone on hits in chunks, as eval's shards run it, in CPU time of its one
 * thread; and the whole of matcher_eval, one event at a time, which is also detection by a rule of one field.
 */
#include "rules/correlator.h"
#include "tests/bench/bench.h"

#include <time.h>

#define CHUNK   4096
#define ROUND_S 150

static const struct type {
    const char *name, *yaml;
} types[] = {
    {"event_count", "type: event_count\n  condition: {gte: 5}"},
    {"event_count, a range", "type: event_count\n  condition: {gt: 5, lt: 9}"},
    {"value_count", "type: value_count\n  condition: {field: v, gte: 5}"},
    {"value_sum", "type: value_sum\n  condition: {field: v, gt: 1000000}"},
    {"value_avg", "type: value_avg\n  condition: {field: v, gt: 1000000}"},
    {"value_percentile", "type: value_percentile\n  condition: {field: v, percentile: 95, gt: 1000000}"},
    {"temporal", "type: temporal\n  rules: [a, b]"},
    {"temporal_ordered", "type: temporal_ordered\n  rules: [a, b]"},
    {"temporal, a and not b", "type: temporal\n  rules: [b, c]\n  condition: b and not c"},
};

struct bench {
    struct names *names;
    struct ruleset *rules;
    name_id f, g, v;
    uint32_t *order; /* of keys, changed after each round */
    size_t n_keys, at;
    uint64_t i, random;
    struct arena *arena;
};

static void ignore(const struct match *m, void *ctx)
{
    (void)m;
    ++*(uint64_t *)ctx;
}

static uint64_t next_random(struct bench *b)
{
    b->random ^= b->random << 13;
    b->random ^= b->random >> 7;
    return b->random ^= b->random << 17;
}

static void shuffle(struct bench *b)
{
    for (size_t i = b->n_keys; i > 1; i--) {
        size_t k = next_random(b) % i;
        uint32_t swap = b->order[i - 1];
        b->order[i - 1] = b->order[k];
        b->order[k] = swap;
    }
}

static void next_event(struct bench *b, struct event *ev)
{
    static char key[16];
    if (b->i % CHUNK == 0)
        arena_reset(b->arena);
    if (b->at == b->n_keys) {
        shuffle(b);
        b->at = 0;
    }
    uint32_t k = b->order[b->at++];
    int len = snprintf(key, sizeof(key), "10.%u.%u.%u", k >> 16 & 255, k >> 8 & 255, k & 255);
    event_init(ev, b->arena);
    event_add_str(ev, b->f, STR("a"));
    event_add_str(ev, b->g, (struct str){key, (size_t)len});
    event_add_int(ev, b->v, (int64_t)(next_random(b) % 1000));
    ev->ts_ns = (int64_t)(b->i * ROUND_S * (uint64_t)NS_PER_S / b->n_keys);
    ev->ref.pos = b->i++;
}

static bool load(struct bench *b, const struct type *t)
{
    static char yaml[2000];
    struct diags diags;
    bool has_rules = strstr(t->yaml, "rules:");
    snprintf(yaml, sizeof(yaml),
             "name: a\ntitle: a\nlogsource: {product: x}\ndetection: {s: {f: a}, condition: s}\n---\n"
             "name: b\ntitle: b\nlogsource: {product: x}\ndetection: {s: {f: b}, condition: s}\n---\n"
             "name: c\ntitle: c\nlogsource: {product: x}\ndetection: {s: {f: a}, condition: s}\n---\n"
             "title: q\ncorrelation:\n  timespan: 5m\n  group-by: [g]\n  %s%s\n",
             has_rules ? "" : "rules: [a]\n  ", t->yaml);
    diags_init(&diags, 10);
    b->names = names_new();
    b->rules = ruleset_new(b->names);
    b->random = 88172645463325252;
    b->at = b->i = 0;
    bool is_good = ruleset_without_mapping(b->rules) == 0 &&
                   ruleset_add(b->rules, str_of(yaml), t->name, &diags) == 0 &&
                   ruleset_compile(b->rules, &diags) == 0 && names_intern(b->names, STR("f"), &b->f) == 0 &&
                   names_intern(b->names, STR("g"), &b->g) == 0 && names_intern(b->names, STR("v"), &b->v) == 0;
    if (!is_good && diags.n)
        fprintf(stderr, "%s: line %d: %s\n", t->name, diags.entries[0].diag.line, diags.entries[0].diag.msg);
    diags_clear(&diags);
    return is_good;
}

static int64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * NS_PER_S + t.tv_nsec;
}

static void print(const struct type *t, const char *what, uint64_t events, int64_t took_ns,
                  const struct matcher_stats *s)
{
    char title[80];
    snprintf(title, sizeof(title), "%s, %s", t->name, what);
    bench_print(title, events, 0, took_ns);
    printf("    %llu keys, %.0f bytes each; %llu triggers, %llu evicted\n", (unsigned long long)s->groups,
           (double)s->group_bytes / (double)(s->groups ? s->groups : 1), (unsigned long long)s->correlation_hits,
           (unsigned long long)s->evicted);
}

static const struct matcher_options options = {
    .memory_max = 256 * MIB, .lateness_ns = MATCHER_LATENESS_NS, .keep_ns = MATCHER_KEEP_NS, .without_refs = true};

static void run_chunks(struct bench *b, const struct type *t, uint64_t n)
{
    struct correlator *co = correlator_new(b->rules, &options, 1);
    struct hit_batch *hits = hit_batch_new(co);
    struct matcher *m = matcher_new(b->rules, 1 * MIB);
    struct matcher_stats s = {0};
    uint64_t matches = 0, warm = 3 * b->n_keys;
    int64_t took_ns = 0;
    for (uint64_t i = 0; i < warm + n;) {
        for (uint64_t k = 0; k < CHUNK; k++, i++) {
            struct event ev;
            next_event(b, &ev);
            matcher_detect(m, &ev, hits, ignore, &matches);
        }
        int64_t start_ns = cpu_ns();
        correlator_begin(co, &hits, 1, INT64_MIN);
        for (unsigned level = 1; level <= correlator_levels(co); level++)
            correlator_run(co, 0, level, ignore, &matches);
        correlator_end(co);
        took_ns += i > warm ? cpu_ns() - start_ns : 0;
        hit_batch_reset(hits);
    }
    correlator_stats(co, &s);
    print(t, "alone", n, took_ns, &s);
    matcher_free(m);
    hit_batch_free(hits);
    correlator_free(co);
}

static void run_whole(struct bench *b, const struct type *t, uint64_t n)
{
    struct matcher *m = matcher_new_with(b->rules, &options);
    struct matcher_stats s;
    struct event *events = calloc(CHUNK, sizeof(*events));
    uint64_t matches = 0, warm = 3 * b->n_keys;
    int64_t took_ns = 0;
    for (uint64_t i = 0; i < warm + n; i += CHUNK) {
        for (size_t k = 0; k < CHUNK; k++) {
            next_event(b, &events[k]);
            struct str *key = &events[k].fields[1].s;
            key->p = arena_strndup(b->arena, key->p, key->len);
        }
        int64_t start_ns = cpu_ns();
        for (size_t k = 0; k < CHUNK; k++)
            matcher_eval(m, &events[k], ignore, &matches);
        took_ns += i >= warm ? cpu_ns() - start_ns : 0;
    }
    matcher_stats(m, &s);
    print(t, "with detection", n, took_ns, &s);
    matcher_free(m);
    free(events);
}

int main(int argc, char **argv)
{
    struct bench b = {.n_keys = argc > 1 ? strtoul(argv[1], NULL, 10) : 50000, .arena = arena_new(256 * MIB)};
    uint64_t n = argc > 2 ? strtoul(argv[2], NULL, 10) : 1000000;
    b.order = b.n_keys && b.n_keys < 1 << 24 ? calloc(b.n_keys, sizeof(*b.order)) : NULL;
    if (!b.order || !b.arena) {
        fprintf(stderr, "Usage: bench_correlate [KEYS [EVENTS]]\n");
        return 2;
    }
    for (size_t i = 0; i < b.n_keys; i++)
        b.order[i] = (uint32_t)i;
    bool is_good = true;
    for (size_t i = 0; i < ARRAY_LEN(types) && is_good; i++) {
        is_good = load(&b, &types[i]);
        if (is_good) {
            run_chunks(&b, &types[i], n);
            b.at = b.i = 0;
            run_whole(&b, &types[i], n);
        }
        ruleset_free(b.rules);
        names_free(b.names);
    }
    arena_free(b.arena);
    free(b.order);
    return !is_good;
}
