/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/cli.h"

#include "tests/unit/test.h"

static const struct command self = {"test cmd", "[FILE]...", "tests", NULL};

struct parsed {
    bool json;
    const char *dir;
    struct cli_list names;
    int operands;
};

static int parse(struct parsed *p, char **argv)
{
    const struct cli_option options[] = {
        {"json", NULL, "", .flag = &p->json},
        {"dir", "D", "", .text = &p->dir},
        {"name", "N", "", .list = &p->names},
    };
    int argc = 0;
    while (argv[argc])
        argc++;
    *p = (struct parsed){0};
    return cli_parse(&self, options, ARRAY_LEN(options), 2, argc, argv, &p->operands);
}

static void options_and_operands_in_any_order(void **state)
{
    (void)state;
    struct parsed p;
    char *argv[] = {"cmd", "one", "--name", "a", "--json", "--dir=/x=y", "--name=b", "--", "--two", NULL};
    assert_int_equal(parse(&p, argv), 0);
    assert_true(p.json);
    assert_string_equal(p.dir, "/x=y");
    assert_int_equal(p.names.n, 2);
    assert_string_equal(p.names.items[0], "a");
    assert_string_equal(p.names.items[1], "b");
    assert_int_equal(p.operands, 2);
    assert_string_equal(argv[0], "one");
    assert_string_equal(argv[1], "--two");
    char *dash[] = {"cmd", "-", NULL};
    assert_int_equal(parse(&p, dash), 0);
    assert_string_equal(dash[0], "-");
}

static void wrong_usage_is_refused(void **state)
{
    (void)state;
    struct parsed p;
    char *bad[][5] = {
        {"cmd", "--unknown", NULL}, {"cmd", "--dir", NULL},       {"cmd", "--json=yes", NULL},
        {"cmd", "-x", NULL},        {"cmd", "1", "2", "3", NULL}, {"cmd", "--jso", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(parse(&p, bad[i]), -EINVAL);
    char *help[] = {"cmd", "--json", "--help", "--unknown", NULL};
    assert_int_equal(parse(&p, help), 1);
}

static void lists_have_a_limit(void **state)
{
    (void)state;
    struct parsed p;
    char *argv[CLI_LIST_MAX + 3] = {"cmd"};
    for (size_t i = 0; i < CLI_LIST_MAX; i++)
        argv[i + 1] = "--name=x";
    assert_int_equal(parse(&p, argv), 0);
    assert_int_equal(p.names.n, CLI_LIST_MAX);
    argv[CLI_LIST_MAX + 1] = "--name=x";
    assert_int_equal(parse(&p, argv), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_and_operands_in_any_order),
        cmocka_unit_test(wrong_usage_is_refused),
        cmocka_unit_test(lists_have_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
