/* SPDX-License-Identifier: Apache-2.0
 *
 * Option tables: values and defaults of every type, and each kind of mistake with its place and its hint.
 */
#include "common/config.h"

#include "common/file.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>

struct sample {
    char *host, *dir;
    int64_t port, linger_ns;
    bool demo;
    uint64_t spool_bytes;
    struct strlist rules;
    const struct yaml *files;
};

static const struct option opts[] = {
    {"collector.host", OPT_STR, offsetof(struct sample, host), .required = true, .help = "Where the collector is"},
    {"collector.port", OPT_INT, offsetof(struct sample, port), "4714", 1, 65535, .help = "Its port"},
    {"state_dir", OPT_PATH, offsetof(struct sample, dir), "/var/lib/x", .help = "State"},
    {"demo", OPT_BOOL, offsetof(struct sample, demo), "false", .help = "Demonstration"},
    {"spool.max", OPT_SIZE, offsetof(struct sample, spool_bytes), "1GiB", MIB, 0, .help = "Spool limit"},
    {"linger", OPT_DURATION, offsetof(struct sample, linger_ns), "100ms", 0, 10 * NS_PER_S, .help = "Wait"},
    {"rules", OPT_LIST, offsetof(struct sample, rules), "[a, b]", .help = "Rules"},
    {"files", OPT_NODE, offsetof(struct sample, files), .help = "Files to follow"},
};

struct fixture {
    struct sample target;
    struct arena *arena;
    struct diags diags;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    f->arena = arena_new(64 * MIB);
    diags_init(&f->diags, 10);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    config_clear(opts, ARRAY_LEN(opts), &f->target);
    arena_free(f->arena);
    diags_clear(&f->diags);
    free(f);
    return 0;
}

static int parse(struct fixture *f, struct str text)
{
    diags_clear(&f->diags);
    config_clear(opts, ARRAY_LEN(opts), &f->target);
    f->target = (struct sample){0};
    return config_parse(text, "x.yml", opts, ARRAY_LEN(opts), &f->target, f->arena, &f->diags);
}

static void test_defaults(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(parse(f, STR("collector: {host: h}\n")), 0);
    assert_string_equal(f->target.host, "h");
    assert_string_equal(f->target.dir, "/var/lib/x");
    assert_int_equal(f->target.port, 4714);
    assert_false(f->target.demo);
    assert_int_equal(f->target.spool_bytes, 1024 * MIB);
    assert_int_equal(f->target.linger_ns, 100 * NS_PER_MS);
    assert_int_equal(f->target.rules.n, 2);
    assert_string_equal(f->target.rules.items[1], "b");
    assert_null(f->target.files);
}

static void test_values(void **state)
{
    struct fixture *f = *state;
    static const char text[] = "state_dir: /tmp/s\n"
                               "collector:\n  host: '10'\n  port: 65535\n"
                               "spool.max: 64MiB\n" /* a dotted key is the same as a nested one */
                               "linger: 5s\ndemo: yes\nrules: []\n"
                               "files:\n  - {name: auth}\n";
    assert_int_equal(parse(f, str_of(text)), 0);
    assert_string_equal(f->target.host, "10");
    assert_int_equal(f->target.port, 65535);
    assert_int_equal(f->target.spool_bytes, 64 * MIB);
    assert_int_equal(f->target.linger_ns, 5 * NS_PER_S);
    assert_true(f->target.demo);
    assert_int_equal(f->target.rules.n, 0);
    assert_int_equal(f->target.files->kind, YAML_LIST);
    assert_int_equal(f->target.files->items[0]->line, 10);
    assert_int_equal(parse(f, STR("collector.host: h\nspool:\nrules:\nfiles:\n")), 0); /* commented out */
    assert_int_equal(f->target.rules.n, 0);
    assert_int_equal(f->target.spool_bytes, 1024 * MIB);
}

static void test_mistakes(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *text;
        int line, col;
        const char *msg;
    } rows[] = {
        {"collector: {host: h, prot: 1}\n", 1, 22, "unknown key collector.prot; did you mean collector.port?"},
        {"collector.host: h\ncolector:\n  port: 1\n", 2, 1, "unknown key colector; did you mean collector?"},
        {"collector.host: h\nzzzzzzzz: 1\n", 2, 1, "unknown key zzzzzzzz"},
        {"demo: true\n", 1, 1, "required key collector.host is missing"},
        {"", 1, 1, "required key collector.host is missing"},
        {"collector.host: h\ncollector:\n  port: 0\n", 3, 9, "collector.port: 0 is less than 1"},
        {"collector.host: h\ncollector.port: 65536\n", 2, 17, "collector.port: 65536 is more than 65535"},
        {"collector.host: h\ncollector.port: ssh\n", 2, 17, "collector.port: expected a whole number, found ssh"},
        {"collector.host: h\ncollector.port: '22'\n", 2, 17, "collector.port: expected a whole number"},
        {"collector.host: h\nstate_dir: rel/x\n", 2, 12, "state_dir: rel/x is not an absolute path"},
        {"collector.host: h\ndemo: maybe\n", 2, 7, "demo: expected true or false"},
        {"collector.host: h\nspool.max: 1KiB\n", 2, 12, "spool.max: 1KiB is less than 1MiB"},
        {"collector.host: h\nspool.max: 99999999TiB\n", 2, 12,
         "spool.max: 99999999TiB is more than 9223372036854775807"},
        {"collector.host: h\nspool.max: big\n", 2, 12, "spool.max: big is not a size such as 64KiB or 10MB"},
        {"collector.host: h\nlinger: 11s\n", 2, 9, "linger: 11s is more than 10s"},
        {"collector.host: h\nlinger: 11\n", 2, 9, "linger: 11 is not a duration such as 250ms, 5s, 10m, 1h or 90d"},
        {"collector.host: h\nrules: a\n", 2, 8, "rules: expected a list"},
        {"collector.host: h\nrules: [a, {b: c}]\n", 2, 12, "rules: expected a single value"},
        {"collector.host: [h]\n", 1, 17, "collector.host: expected a single value"},
        {"collector.host: \"a\\0b\"\n", 1, 17, "collector.host: contains a NUL"},
        {"collector.host:\n", 1, 1, "collector.host: the value is missing"},
        {"collector: h\n", 1, 12, "expected keys and values under collector"},
        {"- a\n", 1, 1, "expected keys and values"},
        {"collector.host: h\ncollector: {host: i}\n", 2, 13, "key collector.host is given twice"},
        {"collector.host: h\n---\na: 1\n", 3, 1, "more than one YAML document"},
        {"collector.host: h\n\"demo\\0x\": true\n", 2, 1, "unknown key demo..."},
        {"collector.host: 'h\n", 2, 1, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int r = parse(f, str_of(rows[i].text));
        const struct diag *d = f->diags.n ? &f->diags.entries[0].diag : &(struct diag){0};
        if (r != -EINVAL || d->line != rows[i].line || d->col != rows[i].col ||
            (rows[i].msg && strcmp(d->msg, rows[i].msg) != 0))
            fail_msg("row %zu: %d %d:%d: %s", i, r, d->line, d->col, d->msg);
        assert_string_equal(f->diags.entries[0].file, "x.yml");
        assert_null(f->target.host); /* a failed load leaves nothing behind */
        assert_null(f->target.dir);
    }
}

static void test_every_mistake_at_once(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(parse(f, STR("a: 1\nb: 2\ncollector.port: 0\ndemo: 5\n")), -EINVAL);
    assert_int_equal(f->diags.errors, 5);

    struct buf b = BUF_INIT(4 * MIB); /* a hundred thousand unknown keys: no hint for those nobody will see */
    for (int i = 0; i < 90000; i++)
        buf_printf(&b, "unknown_key_%d: 1\n", i);
    assert_int_equal(parse(f, buf_str(&b)), -EINVAL);
    assert_int_equal(f->diags.errors, 90001);
    assert_int_equal(f->diags.n, 10);
    buf_clear(&b);
}

static void test_load(void **state)
{
    struct fixture *f = *state;
    char path[] = "/tmp/vonggac-test-config-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(file_write_atomic(path, STR("collector.host: h\n"), 0600), 0);
    assert_int_equal(config_load(path, opts, ARRAY_LEN(opts), &f->target, f->arena, &f->diags), 0);
    assert_string_equal(f->target.host, "h");
    config_clear(opts, ARRAY_LEN(opts), &f->target);
    assert_null(f->target.host);
    unlink(path);
    assert_int_equal(config_load(path, opts, ARRAY_LEN(opts), &f->target, f->arena, &f->diags), -ENOENT);
    assert_string_equal(f->diags.entries[0].file, path);
    assert_string_equal(f->diags.entries[0].diag.msg, "cannot read: No such file or directory");
    assert_int_equal(config_load(NULL, opts, ARRAY_LEN(opts), &f->target, f->arena, &f->diags), -EINVAL);
    assert_int_equal(config_load(NULL, opts + 1, ARRAY_LEN(opts) - 1, &f->target, f->arena, &f->diags), 0);
    assert_int_equal(f->target.port, 4714);
}

static void test_bad_default(void **state)
{
    struct fixture *f = *state;
    static const struct option bad[] = {
        {"port", OPT_INT, offsetof(struct sample, port), "70000", 1, 65535},
        {"rules", OPT_LIST, offsetof(struct sample, rules), "[a"},
    };
    assert_int_equal(config_load(NULL, bad, ARRAY_LEN(bad), &f->target, f->arena, &f->diags), -EINVAL);
    assert_string_equal(f->diags.entries[0].diag.msg, "default of port: 70000 is more than 65535");
    assert_int_equal(f->diags.errors, 2);
}

static void test_help(void **state)
{
    (void)state;
    char text[4096];
    fflush(stdout);
    int old = dup(STDOUT_FILENO);
    FILE *captured = tmpfile();
    dup2(fileno(captured), STDOUT_FILENO);
    config_print_help(opts, 5);
    fflush(stdout);
    dup2(old, STDOUT_FILENO);
    close(old);
    rewind(captured);
    text[fread(text, 1, sizeof(text) - 1, captured)] = '\0';
    fclose(captured);
    assert_string_equal(text, "Key             Type        Default     Meaning\n"
                              "collector.host  text        (required)  Where the collector is\n"
                              "collector.port  number      4714        Its port\n"
                              "state_dir       path        /var/lib/x  State\n"
                              "demo            true/false  false       Demonstration\n"
                              "spool.max       size        1GiB        Spool limit\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_defaults, setup, teardown),
        cmocka_unit_test_setup_teardown(test_values, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mistakes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_mistake_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_load, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_default, setup, teardown),
        cmocka_unit_test(test_help),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
