/* SPDX-License-Identifier: Apache-2.0
 *
 * A rule file from anywhere: loaded, compiled, and tried on events that many rules of "product: test" match, in and out
 * of order. What matches must be what trying every rule gives (rule_oracle.h).
 */
#include "tests/unit/rule_oracle.h"

#define EVENTS            24
#define MATCHED_MAX_RULES 4096

struct fuzz {
    const struct ruleset *rs;
    const struct names *names;
    struct matcher *m;
    struct match_env env;
    const struct rule *got[MATCHED_MAX_RULES]; /* detections, in the order of their reports */
    size_t n_got, sum;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_match(const struct match *m, void *ctx)
{
    struct fuzz *f = ctx;
    size_t *sum = &f->sum; /* touch what is handed out */
    if (m->rule->kind == RULE_DETECTION && f->n_got < MATCHED_MAX_RULES)
        f->got[f->n_got++] = m->rule;
    *sum += strlen(m->rule->title) + strlen(m->rule->id);
    for (size_t i = 0; i < m->n_matched; i++)
        *sum += m->matched[i].value.len + m->matched[i].pattern.len + m->matched[i].selection.len;
    for (size_t i = 0; i < m->n_matched; i++)
        for (size_t k = 0; k < m->matched[i].pattern.len; k++)
            *sum += (uint8_t)m->matched[i].pattern.p[k];
    for (size_t i = 0; i < m->n_group; i++)
        for (size_t k = 0; k < m->group[i].s.len; k++)
            *sum += (uint8_t)m->group[i].s.p[k];
    for (size_t i = 0; i < m->n_refs; i++)
        *sum += m->refs[i].pos;
}

static void add(struct event *ev, const struct names *names, const char *name, const struct field *value)
{
    struct field f = *value;
    f.key = names_find(names, str_of(name));
    if (f.key != F_NONE)
        event_add_field(ev, &f);
}

/* The oracle's matches, less those that are not reported or already were by way of another source. */
static void compare(struct fuzz *f, const struct event *ev)
{
    const struct oracle o = {f->rs, ev, &f->env};
    const struct rule_entry *last = NULL;
    size_t n = 0;
    match_env_begin(&f->env);
    for (size_t i = 0; i < f->rs->n_plans && n < MATCHED_MAX_RULES; i++) {
        const struct plan *plan = &f->rs->plans[i];
        if (plan->entry == last || !oracle_matches(&o, plan))
            continue;
        last = plan->entry;
        if (plan->entry->pub.is_silent)
            continue;
        if (n >= f->n_got || f->got[n++] != &plan->entry->pub)
            abort();
    }
    if (n != f->n_got)
        abort();
}

static void try_event(struct fuzz *fz, int i)
{
    const struct names *names = fz->names;
    static const int64_t times[] = {0, 1, 59, 60, -1, 3600, 3599, INT64_MIN, INT64_MAX, 30};
    static const char *const words[] = {"a", "A\xc3\xa9 b", "10.1.2.3", "x/../../etc/passwd' or 1=1",
                                        "",  "\xff\xfe*?\\"};
    struct arena *arena = arena_new(1 * MIB);
    struct event ev;
    if (!arena || event_init(&ev, arena) < 0)
        abort();
    const char *word = words[(size_t)i % ARRAY_LEN(words)];
    add(&ev, names, "event.dataset", &(struct field){.type = VALUE_STR, .s = STR("test")});
    add(&ev, names, "f", &(struct field){.type = VALUE_STR, .s = str_of(word)});
    add(&ev, names, "f", &(struct field){.type = VALUE_INT, .i = i});
    add(&ev, names, "g", &(struct field){.type = VALUE_STR, .s = STR("a")});
    add(&ev, names, "h", &(struct field){.type = i % 2 ? VALUE_NULL : VALUE_BOOL});
    add(&ev, names, "source.ip", &(struct field){.type = VALUE_STR, .s = STR("2001:db8::1")});
    ev.raw = str_of(word);
    ev.is_structured = i % 3 == 0;
    ev.ts_ns = times[(size_t)i % ARRAY_LEN(times)];
    if (ev.ts_ns != INT64_MIN && ev.ts_ns != INT64_MAX)
        ev.ts_ns *= NS_PER_S;
    ev.ref = (struct event_ref){(uint64_t)i, 0};
    fz->n_got = 0;
    if (matcher_eval(fz->m, &ev, on_match, fz) == 0)
        compare(fz, &ev);
    arena_free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char mapping[] =
        "- logsource: {product: test}\n  when: {event.dataset: [test]}\n  fields: {F: f, G: g}\n";
    struct diags diags;
    diags_init(&diags, 20);
    struct names *names = names_new();
    struct ruleset *rs = names ? ruleset_new(names) : NULL;
    if (!rs)
        abort();
    ruleset_lint(rs);
    ruleset_placeholder(rs, "p", STR("a*"));
    ruleset_placeholder(rs, "p", STR("10.0.0.0/8"));
    if (size % 4 == 3) /* rules then bring their log sources themselves */
        ruleset_without_mapping(rs);
    else
        ruleset_add_mapping(rs, STR(mapping), "mapping", &diags);
    ruleset_add(rs, (struct str){(const char *)data, size}, "fuzz", &diags);
    if (ruleset_compile(rs, &diags) >= 0) {
        static struct fuzz fz;
        struct arena *scratch = arena_new(8 * MIB);
        fz = (struct fuzz){.rs = rs, .names = names, .m = matcher_new(rs, 64 * KIB)};
        if (!fz.m || !scratch || match_env_init(&fz.env, scratch) < 0)
            abort();
        for (int i = 0; i < EVENTS; i++)
            try_event(&fz, i);
        fz.n_got = 0;
        matcher_flush(fz.m, on_match, &fz);
        match_env_clear(&fz.env);
        matcher_free(fz.m);
        arena_free(scratch);
    }
    ruleset_free(rs);
    names_free(names);
    diags_clear(&diags);
    return 0;
}
