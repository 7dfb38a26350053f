/* SPDX-License-Identifier: Apache-2.0
 *
 * A mapping file from anywhere, and a rule for each log source that the seeds name.
 */
#include "rules/matcher.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char rules[] =
    "title: a\nlogsource: {product: test}\ndetection: {s: {F: a, G|fieldref: F}, condition: s or not s}\n"
    "---\ntitle: b\nlogsource: {category: web}\ndetection: {s: {F: a}, condition: s}\n"
    "---\ntitle: c\nlogsource: {product: test, service: x}\ndetection: {s: [a], condition: s}\n"
    "---\ntitle: d\ncorrelation: {type: event_count, rules: [a], group-by: [F], timespan: 1m, condition: {gte: 1}}\n";

static void on_match(const struct match *m, void *ctx)
{
    *(size_t *)ctx += m->n_matched + m->n_group;
}

static void try_event(const struct ruleset *rs)
{
    struct arena *arena = arena_new(1 * MIB);
    struct matcher *m = matcher_new(rs, 64 * KIB);
    struct event ev;
    size_t sum = 0;
    if (!arena || !m || event_init(&ev, arena) < 0)
        abort();
    for (name_id id = 1; id < F_ECS_COUNT + 20; id++)
        event_add_str(&ev, id, id % 2 ? STR("a") : STR("test"));
    matcher_eval(m, &ev, on_match, &sum);
    matcher_free(m);
    arena_free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct diags diags;
    diags_init(&diags, 20);
    struct names *names = names_new();
    struct ruleset *rs = names ? ruleset_new(names) : NULL;
    if (!rs)
        abort();
    ruleset_add_mapping(rs, (struct str){(const char *)data, size}, "fuzz", &diags);
    ruleset_add(rs, STR(rules), "rules", &diags);
    if (ruleset_compile(rs, &diags) >= 0)
        try_event(rs);
    ruleset_free(rs);
    names_free(names);
    diags_clear(&diags);
    return 0;
}
