/* SPDX-License-Identifier: Apache-2.0
 *
 * The index finds the same matches as trying every rule on every event (rule_oracle.h): random rules over a small alphabet, and
 * random events put together from pieces of their values, so that near misses are many. The seed is fixed; VONGGAC_SEED
 * and VONGGAC_ROUNDS change it.
 */
#include "tests/unit/rule_oracle.h"

#include "rules/index.h"
#include "rules/regex_literal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define RULES_A_SET  60
#define EVENTS_A_SET 200
#define POOL         48

static uint64_t state_of_random;

static uint32_t rnd(uint32_t below)
{
    state_of_random = state_of_random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(state_of_random >> 33) % below;
}

/* ---- rules ---- */

static char pool[POOL][32]; /* values of this round */

static void make_pool(void)
{
    static const char *const atoms[] = {"a",
                                        "b",
                                        "A",
                                        "B",
                                        "ab",
                                        "\\",
                                        "-",
                                        "/",
                                        "1",
                                        "2",
                                        ".",
                                        " ",
                                        "\xc3\xa9",
                                        "\xe1\xbb\x86",
                                        "x",
                                        "10",
                                        "\xe2\x80\x93",
                                        "cmd",
                                        ".exe",
                                        "z"};
    for (size_t i = 0; i < POOL; i++) {
        size_t n = rnd(9), len = 0;
        for (size_t k = 0; k < n; k++)
            len += (size_t)snprintf(pool[i] + len, sizeof(pool[i]) - len, "%s", atoms[rnd(ARRAY_LEN(atoms))]);
        pool[i][len] = '\0';
    }
    snprintf(pool[0], sizeof(pool[0]), "42");
    snprintf(pool[1], sizeof(pool[1]), "10.1.2.3");
    snprintf(pool[2], sizeof(pool[2]), "0x1f");
    snprintf(pool[3], sizeof(pool[3]), "2001:db8::1");
}

static void put(struct buf *b, const char *text)
{
    assert_int_equal(buf_append_z(b, text), 0);
}

static void put_quoted(struct buf *b, const char *text)
{
    put(b, "'");
    put(b, text);
    put(b, "'");
}

static void put_string(struct buf *b)
{
    put(b, "'");
    if (rnd(4) == 0)
        put(b, rnd(3) ? "*" : "?");
    put(b, pool[rnd(POOL)]);
    if (rnd(4) == 0) {
        put(b, rnd(3) ? "*" : "?");
        put(b, pool[rnd(POOL)]);
    }
    if (rnd(4) == 0)
        put(b, "*");
    put(b, "'");
}

static void put_value(struct buf *b, const char *chain)
{
    static const char *const regexes[] = {"a+b",     "^ab.*x$",   "(ab|cmd)[0-9]", "cmd\\.exe",
                                          "(?i)CMD", "b{0,2}ab?", "x(ab)?x",       "."};
    static const char *const networks[] = {"10.0.0.0/8", "10.1.2.3",  "2001:db8::/32",
                                           "::/0",       "0.0.0.0/0", "10.1.2.0/30"};
    static const char *const plain[] = {"42", "0x1f", "1.50", "true", "null", "''", "010", "4.2e1", "-7"};
    if (strncmp(chain, "|re", 3) == 0)
        put_quoted(b, regexes[rnd(ARRAY_LEN(regexes))]);
    else if (strcmp(chain, "|cidr") == 0)
        put_quoted(b, networks[rnd(ARRAY_LEN(networks))]);
    else if (strcmp(chain, "|exists") == 0)
        put(b, rnd(2) ? "true" : "false");
    else if (strncmp(chain, "|gt", 3) == 0 || strncmp(chain, "|lt", 3) == 0)
        put(b, rnd(2) ? "31" : "42");
    else if (strncmp(chain, "|fieldref", 9) == 0)
        put(b, rnd(2) ? "g" : "h");
    else if (*chain == '\0' && rnd(3) == 0)
        put(b, plain[rnd(ARRAY_LEN(plain))]);
    else
        put_string(b);
}

static void put_item(struct buf *b)
{
    static const char *const chains[] = {"",
                                         "",
                                         "|contains",
                                         "|contains",
                                         "|startswith",
                                         "|endswith",
                                         "|contains|cased",
                                         "|startswith|cased",
                                         "|cased",
                                         "|windash|contains",
                                         "|re",
                                         "|re|i",
                                         "|cidr",
                                         "|exists",
                                         "|gt",
                                         "|gte",
                                         "|lt",
                                         "|fieldref",
                                         "|fieldref|contains",
                                         "|neq",
                                         "|contains|neq",
                                         "|endswith|cased"};
    static const char *const fields[] = {"f", "g", "h", "f", "event.original"};
    const char *chain = chains[rnd(ARRAY_LEN(chains))];
    put(b, "'");
    put(b, fields[rnd(ARRAY_LEN(fields))]);
    put(b, chain);
    uint32_t n = strcmp(chain, "|exists") == 0 ? 1 : 1 + rnd(3);
    put(b, n > 1 && rnd(4) == 0 ? "|all': " : "': ");
    put(b, "[");
    for (uint32_t i = 0; i < n; i++) {
        put(b, i ? ", " : "");
        put_value(b, chain);
    }
    put(b, "]");
}

static void put_selection(struct buf *b)
{
    if (rnd(6) == 0) { /* keywords */
        put(b, "[");
        put_string(b);
        put(b, ", ");
        put_string(b);
        put(b, "]\n");
        return;
    }
    put(b, "{");
    put_item(b);
    if (rnd(3) == 0) {
        put(b, ", ");
        put_item(b);
    }
    put(b, "}\n");
}

static void put_rule(struct buf *b, size_t i)
{
    static const char *const sources[] = {"product: p",  "product: q", "{product: p, category: c}",
                                          "category: c", "service: s", "{product: P, service: s}"};
    static const char *const conditions[] = {
        "a",         "a and b",     "a or b",        "a and not b",        "not a",
        "1 of them", "all of them", "not 1 of them", "a and (b or not c)", "b and c and not a"};
    const char *source = sources[rnd(ARRAY_LEN(sources))];
    assert_int_equal(buf_printf(b, "---\ntitle: T%zu\nlogsource: %s%s%s\ndetection:\n", i, *source == '{' ? "" : "{",
                                source, *source == '{' ? "" : "}"),
                     0);
    put(b, "  a: ");
    put_selection(b);
    put(b, "  b: ");
    put_selection(b);
    put(b, "  c: ");
    put_selection(b);
    assert_int_equal(buf_printf(b, "  condition: %s\n", conditions[rnd(ARRAY_LEN(conditions))]), 0);
}

/* ---- events ---- */

static struct str make_text(struct arena *arena)
{
    char text[256];
    size_t n = 1 + rnd(3), len = 0;
    for (size_t i = 0; i < n; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s", pool[rnd(POOL)]);
    if (rnd(20) == 0 && len)
        text[rnd((uint32_t)len)] = (char)rnd(256);
    struct str ret;
    assert_int_equal(arena_str(arena, (struct str){text, len}, &ret), 0);
    return ret;
}

static void make_field(struct event *ev, name_id key, struct arena *arena)
{
    struct field f = {.key = key, .type = VALUE_STR};
    switch (rnd(12)) {
    case 0:
        f.type = VALUE_NULL;
        break;
    case 1:
        f.type = VALUE_INT;
        f.i = rnd(2) ? 42 : 31;
        break;
    case 2:
        f.type = VALUE_FLOAT;
        f.f = rnd(2) ? 1.5 : 42;
        break;
    case 3:
        f.type = VALUE_BOOL;
        f.b = rnd(2);
        break;
    default:
        f.s = make_text(arena);
    }
    assert_int_equal(event_add_field(ev, &f), 0);
}

static void make_event(struct event *ev, const struct names *names, struct arena *arena)
{
    static const char *const fields[] = {"f", "g", "h", "unknown"};
    assert_int_equal(event_init(ev, arena), 0);
    ev->is_structured = rnd(2);
    if (rnd(3))
        event_add_str(ev, names_find(names, STR("product")), rnd(2) ? STR("p") : STR("Q"));
    if (rnd(4) == 0)
        event_add_str(ev, names_find(names, STR("category")), rnd(2) ? STR("c") : STR("d"));
    if (rnd(8) == 0)
        event_add_str(ev, names_find(names, STR("product")), STR("other"));
    for (size_t i = rnd(6); i > 0; i--)
        make_field(ev, names_find(names, str_of(fields[rnd(ARRAY_LEN(fields))])), arena);
    if (rnd(2))
        ev->raw = make_text(arena);
}

/* ---- the comparison ---- */

struct got {
    const struct rule *rules[RULES_A_SET];
    size_t n;
};

static void on_match(const struct match *m, void *ctx)
{
    struct got *got = ctx;
    assert_true(got->n < RULES_A_SET);
    got->rules[got->n++] = m->rule;
}

static size_t compare(const struct ruleset *rs, struct matcher *m, const struct event *ev, struct match_env *env)
{
    struct got got = {.n = 0};
    struct oracle o = {rs, ev, env};
    size_t n = 0;
    match_env_begin(env);
    assert_int_equal(matcher_eval(m, ev, on_match, &got), 0);
    for (size_t i = 0; i < rs->n_plans; i++) {
        const struct rule *rule = &rs->plans[i].entry->pub;
        if (!oracle_matches(&o, &rs->plans[i]))
            continue;
        if (n >= got.n || got.rules[n] != rule)
            fail_msg("seed %llu: '%s' (line %d) should match, and as number %zu", (unsigned long long)state_of_random,
                     rule->title, rule->line, n);
        n++;
    }
    if (got.n != n)
        fail_msg("'%s' (line %d) should not match", got.rules[n]->title, got.rules[n]->line);
    return n;
}

static size_t one_set(void)
{
    CLEANUP(buf_clear) struct buf yaml = BUF_INIT(64 * KIB);
    struct diags diags;
    struct names *names = names_new();
    struct ruleset *rs = ruleset_new(names);
    diags_init(&diags, 10);
    make_pool();
    assert_int_equal(ruleset_without_mapping(rs), 0);
    for (size_t i = 0; i < RULES_A_SET; i++) {
        buf_reset(&yaml);
        put_rule(&yaml, i);
        assert_true(ruleset_add(rs, buf_str(&yaml), "random", &diags) >= 0);
    }
    assert_true(ruleset_compile(rs, &diags) >= 0);
    struct matcher *m = matcher_new(rs, 1 * MIB);
    struct arena *arena = arena_new(1 * MIB), *scratch = arena_new(8 * MIB);
    struct match_env env;
    assert_non_null(m);
    assert_int_equal(match_env_init(&env, scratch), 0);
    size_t n = 0;
    for (size_t i = 0; i < EVENTS_A_SET; i++) {
        struct event ev;
        arena_reset(arena);
        make_event(&ev, names, arena);
        n += compare(rs, m, &ev, &env);
    }
    assert_true(ruleset_count(rs) > RULES_A_SET / 2);
    match_env_clear(&env);
    matcher_free(m);
    arena_free(arena);
    arena_free(scratch);
    ruleset_free(rs);
    names_free(names);
    diags_clear(&diags);
    return n;
}

static void test_random_rules(void **state)
{
    (void)state;
    const char *seed = getenv("VONGGAC_SEED"), *rounds = getenv("VONGGAC_ROUNDS");
    state_of_random = seed ? strtoull(seed, NULL, 10) : 1;
    size_t n = 0, sets = rounds ? strtoull(rounds, NULL, 10) : 60;
    for (size_t i = 0; i < sets; i++)
        n += one_set();
    assert_true(n > sets * EVENTS_A_SET); /* it does find things */
}

/* ---- parts ---- */

static void expect_literal(const char *pattern, const char *want)
{
    char literal[REGEX_LITERAL_MAX];
    size_t n = regex_literal(str_of(pattern), literal);
    if (n != strlen(want) || memcmp(literal, want, n) != 0)
        fail_msg("%s: '%.*s', not '%s'", pattern, (int)n, literal, want);
}

static void test_regex_literal(void **state)
{
    (void)state;
    expect_literal("powershell", "powershell");
    expect_literal("^cmd\\.exe$", "cmd.exe");
    expect_literal("abc?d", "ab");
    expect_literal("ab*cde", "cde");
    expect_literal("abc+d", "abc");
    expect_literal("ab{0,3}cd", "cd");
    expect_literal("ab{2}c", "ab");
    expect_literal("a{b}", "a{b}");
    expect_literal("(abc)def", "abcdef");
    expect_literal("(abc|de)fgh", "fgh");
    expect_literal("(?:abcd)+e", "e");
    expect_literal("abc|d", "");
    expect_literal("(a(b|c)d)efg", "defg");
    expect_literal("[abc]+xyz[^]x]w", "xyz");
    expect_literal("[[:alpha:]]ab", "ab");
    expect_literal("\\d{3}abc\\b", "abc");
    expect_literal("\\x41bc", "");
    expect_literal("\\Qa.b\\E", "");
    expect_literal("(?i)foo", "foo");
    expect_literal("(?x) f o o", "");
    expect_literal("(?=never)abc", "abc");
    expect_literal("a.b", "a");
    expect_literal("\\\\Temp\\\\", "\\Temp\\");
    expect_literal("", "");
    expect_literal("(", "");
    expect_literal("[", "");
    expect_literal("a\\", "");
}

static void test_networks(void **state)
{
    (void)state;
    static const char *const networks[] = {"10.0.0.0/8", "10.1.0.0/16", "0.0.0.0/0", "2001:db8::/32", "::/0"};
    struct arena *arena = arena_new(1 * MIB);
    struct network_trie trie;
    struct cidr c;
    uint32_t found[129];
    assert_int_equal(network_trie_init(&trie, ARRAY_LEN(networks), arena), 0);
    for (uint32_t i = 0; i < ARRAY_LEN(networks); i++) {
        assert_int_equal(cidr_parse(str_of(networks[i]), &c), 0);
        network_trie_put(&trie, &c, i);
    }
    assert_int_equal(cidr_parse(STR("10.1.9.9"), &c), 0);
    assert_int_equal(network_trie_find(&trie, c.addr, found), 4); /* ::/0, 0.0.0.0/0, /8, /16 */
    assert_int_equal(found[3], 1);
    assert_int_equal(cidr_parse(STR("2001:db8::9"), &c), 0);
    assert_int_equal(network_trie_find(&trie, c.addr, found), 2);
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_rules),
        cmocka_unit_test(test_regex_literal),
        cmocka_unit_test(test_networks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
