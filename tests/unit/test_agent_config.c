/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/config.h"

#include "common/file.h"
#include "tests/unit/test.h"

static void load(const char *yaml, struct agent_config *cfg)
{
    struct diags diags;
    diags_init(&diags, 4);
    if (agent_config_parse(str_of(yaml), "agent.yml", cfg, &diags) < 0)
        fail_msg("%s", diags.n ? diags.entries[0].diag.msg : "?");
    diags_clear(&diags);
}

static void defaults(void **state)
{
    (void)state;
    struct agent_config cfg;
    load("", &cfg);
    assert_int_equal(cfg.collector_port, 4714);
    assert_string_equal(cfg.state_dir, "/var/lib/vonggac-agent");
    assert_int_equal(cfg.spool_max, 1024 * MIB);
    assert_int_equal(cfg.linger_ns, 100000000);
    assert_true(cfg.journal_enabled);
    assert_int_equal(cfg.n_sources, 0);
    assert_null(cfg.collector_host);
    agent_config_clear(&cfg);
}

static void sources(void **state)
{
    (void)state;
    struct agent_config cfg;
    load("files:\n"
         "  - name: nginx\n"
         "    paths: [/var/log/nginx/*.log, /srv/*/access.log]\n"
         "    exclude: ['*.debug.log']\n"
         "    type: nginx.access\n"
         "    start: end\n"
         "  - name: one\n"
         "    paths: /var/log/one\n",
         &cfg);
    assert_int_equal(cfg.n_sources, 2);
    assert_string_equal(cfg.sources[0].paths.items[1], "/srv/*/access.log");
    assert_string_equal(cfg.sources[0].exclude.items[0], "*.debug.log");
    assert_string_equal(cfg.sources[0].type, "nginx.access");
    assert_true(cfg.sources[0].from_end);
    assert_int_equal(cfg.sources[1].paths.n, 1);
    assert_false(cfg.sources[1].from_end);
    assert_string_equal(cfg.sources[1].type, "");
    agent_config_clear(&cfg);
}

static void mistakes_are_named_with_their_place(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *says;
        int line;
    } cases[] = {
        {"files: x\n", "list", 1},
        {"files:\n  - x\n", "map", 2},
        {"files:\n  - paths: [/a]\n", "name", 2},
        {"files:\n  - name: a b\n    paths: [/a]\n", "name", 2},
        {"files:\n  - name: a\n", "paths", 2},
        {"files:\n  - name: a\n    paths: [a]\n", "absolute", 2},
        {"files:\n  - name: a\n    paths: [/a]\n    strat: end\n", "strat", 4},
        {"files:\n  - name: a\n    paths: [/a]\n    start: middle\n", "beginning", 4},
        {"files:\n  - name: a\n    paths: [/a]\n  - name: a\n    paths: [/b]\n", "twice", 4},
        {"files:\n  - name: a\n    paths: [[/a]]\n", "path", 3},
        {"files:\n  - name: a\n    paths: [/a]\n    type:\n", "text", 4},
        {"spool:\n  max: 1KiB\n", "spool.max", 2},
        {"zstd_level: 99\n", "zstd_level", 1},
        {"lingr: 5ms\n", "linger", 1},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct agent_config cfg;
        struct diags diags;
        diags_init(&diags, 4);
        assert_true(agent_config_parse(str_of(cases[i].yaml), "agent.yml", &cfg, &diags) < 0);
        assert_true(diags.n > 0);
        if (!strstr(diags.entries[0].diag.msg, cases[i].says) || diags.entries[0].diag.line != cases[i].line)
            fail_msg("case %zu: line %d: %s", i, diags.entries[0].diag.line, diags.entries[0].diag.msg);
        diags_clear(&diags);
        agent_config_clear(&cfg);
    }
}

static void the_example_is_valid(void **state)
{
    (void)state;
    char path[4096];
    struct agent_config cfg;
    struct diags diags;
    const char *root = getenv("VONGGAC_SOURCE");
    if (!root)
        skip();
    snprintf(path, sizeof(path), "%s/agent/agent.yml.example", root);
    diags_init(&diags, 4);
    assert_int_equal(agent_config_load(path, &cfg, &diags), 0);
    assert_int_equal(cfg.n_sources, 2);
    diags_clear(&diags);
    agent_config_clear(&cfg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(sources),
        cmocka_unit_test(mistakes_are_named_with_their_place),
        cmocka_unit_test(the_example_is_valid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
