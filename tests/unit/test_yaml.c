/* SPDX-License-Identifier: Apache-2.0
 *
 * The YAML tree: what is kept, what is refused and where, and the limits against hostile files.
 */
#include "common/yaml.h"

#include "common/buf.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <errno.h>

static struct arena *arena;
static struct yaml **docs;
static size_t n_docs;
static struct diag diag;

static int setup(void **state)
{
    (void)state;
    arena = arena_new(256 * MIB);
    diag = (struct diag){0};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena = arena_free(arena);
    return 0;
}

static int parse(struct str text)
{
    return yaml_parse(text, arena, &docs, &n_docs, &diag);
}

static struct yaml *parse_one(const char *z)
{
    if (parse(str_of(z)) < 0)
        fail_msg("%d:%d: %s", diag.line, diag.col, diag.msg);
    assert_int_equal(n_docs, 1);
    return docs[0];
}

static void test_tree(void **state)
{
    (void)state;
    const struct yaml *y = parse_one("a: 1\nb:\n  - x\n  - 'y'\n  - \"z\\0z\"\n  - |\n    block\nc: {d: [], e: ~}\n");
    assert_int_equal(y->kind, YAML_MAP);
    assert_int_equal(y->n, 3);
    const struct yaml *b = yaml_get(y, "b");
    assert_int_equal(b->kind, YAML_LIST);
    assert_int_equal(b->n, 4);
    assert_int_equal(b->line, 3);
    assert_int_equal(b->col, 3);
    assert_false(b->items[0]->is_quoted);
    assert_true(b->items[1]->is_quoted);
    assert_true(b->items[3]->is_quoted);
    assert_true(str_eq(b->items[2]->text, STR("z\0z")));
    assert_string_equal(b->items[3]->text.p, "block\n");
    assert_int_equal(b->items[1]->line, 4);
    assert_int_equal(b->items[1]->col, 5);
    const struct yaml *c = yaml_get(y, "c");
    assert_int_equal(yaml_get(c, "d")->n, 0);
    assert_true(yaml_is_null(yaml_get(c, "e")));
    assert_null(yaml_get(c, "f"));
    assert_null(yaml_get(b, "f"));
    assert_true(str_eq(yaml_str(y, "a"), STR("1")));
    assert_int_equal(yaml_str(y, "b").len, 0);
}

static void test_scalars(void **state)
{
    (void)state;
    const struct yaml *y =
        parse_one("- 42\n- '42'\n- ''\n- \n- null\n- true\n- no\n- 'true'\n- -7\n- !!str 5\n- 1.5\n");
    int64_t i;
    bool b;
    assert_int_equal(yaml_int(y->items[0], 0, 100, &i, &diag), 0);
    assert_int_equal(i, 42);
    assert_int_equal(yaml_int(y->items[0], 0, 41, &i, &diag), -EINVAL);
    assert_string_equal(diag.msg, "42 is not between 0 and 41");
    assert_int_equal(diag.line, 1);
    assert_int_equal(diag.col, 3);
    assert_int_equal(yaml_int(y->items[1], 0, 100, &i, &diag), -EINVAL);
    assert_int_equal(yaml_int(y->items[8], -7, 0, &i, &diag), 0);
    assert_int_equal(yaml_int(y->items[10], -7, 10, &i, &diag), -EINVAL);
    assert_int_equal(yaml_int(NULL, 0, 1, &i, &diag), -EINVAL);
    assert_false(yaml_is_null(y->items[2]));
    assert_true(yaml_is_null(y->items[3]));
    assert_true(yaml_is_null(y->items[4]));
    assert_true(yaml_is_null(NULL));
    assert_false(yaml_is_null(y));
    assert_int_equal(yaml_bool(y->items[5], &b, &diag), 0);
    assert_true(b);
    assert_int_equal(yaml_bool(y->items[6], &b, &diag), 0);
    assert_false(b);
    assert_int_equal(yaml_bool(y->items[7], &b, &diag), -EINVAL);
    assert_int_equal(yaml_bool(y, &b, &diag), -EINVAL);
    assert_true(y->items[9]->is_quoted);
}

static void test_documents(void **state)
{
    (void)state;
    assert_int_equal(parse(STR("")), 0);
    assert_int_equal(n_docs, 0);
    assert_int_equal(parse((struct str){NULL, 0}), 0);
    assert_int_equal(parse(STR("# only a comment\n")), 0);
    assert_int_equal(n_docs, 0);
    assert_int_equal(parse(STR("---\n---\na: 1\n--- ''\n")), 0);
    assert_int_equal(n_docs, 3);
    assert_null(docs[0]);
    assert_non_null(docs[1]);
    assert_non_null(docs[2]);
    assert_int_equal(parse(STR("\xEF\xBB\xBF"
                               "a: 1\n")),
                     0);
    assert_non_null(yaml_get(docs[0], "a"));
}

/* Where does `word` stand? Its text is that of the first scalar under "k". */
static void check_place(const char *yaml, const char *word, int line, int col)
{
    const struct yaml *y = yaml_get(parse_one(yaml), "k");
    const char *at = y->text.p ? strstr(y->text.p, word) : NULL;
    int got_line, got_col;
    assert_non_null(at);
    yaml_place(y, (size_t)(at - y->text.p), &got_line, &got_col);
    if (got_line != line || got_col != col)
        fail_msg("%s: '%s' at %d:%d, not %d:%d", yaml, word, got_line, got_col, line, col);
}

static void test_places(void **state)
{
    (void)state;
    check_place("k: one two", "two", 1, 8);
    check_place("k: 'one two'", "two", 1, 9);
    check_place("k: 'it''s two'", "two", 1, 11);
    check_place("k: \"one two\"", "two", 1, 9);
    check_place("k: \"a\\x41\\u00e9\\n two\"", "two", 1, 19);
    check_place("k: \"a\\n\\tb two\"", "two", 1, 12);
    check_place("k: \"a \\\n  two\"", "two", 2, 3);
    check_place("k: đặt two", "two", 1, 8);
    check_place("k: one\n  and\n\n   two\n", "two", 4, 4);
    check_place("k: 'one\n  and\n   two'\n", "two", 3, 4);
    check_place("k: |\n  one\n    and two\n", "two", 3, 9);
    check_place("k: >-\n  one\n  and\n\n  two\n", "two", 5, 3);
    check_place("# c\r\nk: |\r\n  one\r\n  two\r\n", "two", 4, 3);
    check_place("é: ü\nk: !!str one two", "two", 2, 14);
    check_place("k: &a 'one two'", "two", 1, 12);
    check_place("\xef\xbb\xbfé: ü\nk: |\n  đ two", "two", 3, 5);
    check_place("é: [ü, {\"x\\ty\": 1}]\nk: 'a''b two'", "two", 2, 10);
}

static void test_aliases(void **state)
{
    (void)state;
    const struct yaml *y = parse_one("a: &x [1, 2]\nb: *x\nc: &x 3\nd: *x\n*x : 4\n");
    assert_ptr_equal(yaml_get(y, "a"), yaml_get(y, "b"));
    assert_true(str_eq(yaml_str(y, "d"), STR("3")));
    assert_true(str_eq(yaml_str(y, "3"), STR("4")));
}

static void test_errors(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int line, col;
        const char *contains;
    } rows[] = {
        {"a: 1\nb: 2\na: 3\n", 3, 1, "key a is given twice (first on line 1)"},
        {"a: 1\n'a': 2\n", 2, 1, "given twice"},
        {"x: {b: 1, b: 2}\n", 1, 11, "given twice"},
        {"a: &x {b: 1}\nc:\n  <<: *x\n", 3, 3, "merge keys"},
        {"[a]: 1\n", 1, 1, "key must be a scalar"},
        {"a: *x\n", 1, 4, "*x has no anchor"},
        {"a: &x 1\n---\nb: *x\n", 3, 4, "*x has no anchor"},
        {"a: &x [1, *x]\n", 1, 11, "inside its own anchor"},
        {"a: !ruby/object 1\n", 1, 4, "tag !ruby/object is not supported"},
        {"a: !!binary aGk=\n", 1, 4, "is not supported"},
        {"a: [1, 2\nb: 3\n", 2, 2, ""},
        {"a: 'x\n", 2, 1, "unexpected end"},
        {"a:\n\t- 1\n", 2, 1, ""},
        {"a: 1\n  b: 2\n", 2, 4, ""},
        {"ok: 1\nb: \xC3\xA9\xFF\n", 2, 5, "not valid text"},
        {"a: \x01\n", 1, 4, "not valid text"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        diag = (struct diag){0};
        int r = parse(str_of(rows[i].text));
        if (r != -EINVAL || diag.line != rows[i].line || diag.col != rows[i].col || !strstr(diag.msg, rows[i].contains))
            fail_msg("row %zu: %d %d:%d: %s", i, r, diag.line, diag.col, diag.msg);
    }
}

static void test_limits(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(16 * MIB);
    for (int i = 0; i < YAML_DEPTH_MAX; i++)
        buf_append_z(&b, "[");
    for (int i = 0; i < YAML_DEPTH_MAX; i++)
        buf_append_z(&b, "]");
    assert_int_equal(parse(buf_str(&b)), 0);
    buf_reset(&b);
    for (int i = 0; i < 100000; i++)
        buf_append_z(&b, "[");
    assert_int_equal(parse(buf_str(&b)), -E2BIG);
    assert_int_equal(diag.col, YAML_DEPTH_MAX + 1);

    buf_reset(&b); /* one node for the list itself */
    for (int i = 0; i < YAML_NODES_MAX - 1; i++)
        buf_append_z(&b, "- x\n");
    assert_int_equal(parse(buf_str(&b)), 0);
    assert_int_equal(docs[0]->n, YAML_NODES_MAX - 1);
    buf_append_z(&b, "- x\n");
    assert_int_equal(parse(buf_str(&b)), -E2BIG);
    assert_int_equal(diag.line, YAML_NODES_MAX);

    buf_reset(&b);
    buf_append_z(&b, "a: ");
    while (b.len < YAML_BYTES_MAX)
        buf_append_z(&b, "x");
    assert_int_equal(parse(buf_str(&b)), 0);
    buf_append_z(&b, "x");
    assert_int_equal(parse(buf_str(&b)), -E2BIG);
    buf_clear(&b);

    struct arena *small = arena_new(1000);
    assert_int_equal(yaml_parse(STR("[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15]"), small, &docs, &n_docs, &diag), -ENOMEM);
    arena_free(small);
}

static void test_alias_bombs(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(MIB); /* the billion laughs: ten times ten times ten... */
    buf_append_z(&b, "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for (int i = 1; i < 10; i++) {
        buf_printf(&b, "a%d: &a%d [", i, i);
        for (int k = 0; k < 10; k++)
            buf_printf(&b, "*a%d,", i - 1);
        buf_append_z(&b, "]\n");
    }
    assert_int_equal(parse(buf_str(&b)), -E2BIG);
    assert_int_equal(diag.line, 6); /* 111,111 nodes on line 5 still fit, ten times as many do not */

    buf_reset(&b); /* as deep as it likes, in a flat text */
    buf_append_z(&b, "- &a0 x\n");
    for (int i = 1; i < 100; i++)
        buf_printf(&b, "- &a%d [*a%d]\n", i, i - 1);
    assert_int_equal(parse(buf_str(&b)), -E2BIG);
    assert_int_equal(diag.line, YAML_DEPTH_MAX);

    buf_reset(&b);
    for (int i = 0; i <= YAML_ANCHORS_MAX; i++)
        buf_printf(&b, "- &a%d x\n", i);
    assert_int_equal(parse(buf_str(&b)), -E2BIG);
    assert_int_equal(diag.line, YAML_ANCHORS_MAX + 1);
    buf_clear(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_tree, setup, teardown),
        cmocka_unit_test_setup_teardown(test_scalars, setup, teardown),
        cmocka_unit_test_setup_teardown(test_documents, setup, teardown),
        cmocka_unit_test_setup_teardown(test_places, setup, teardown),
        cmocka_unit_test_setup_teardown(test_aliases, setup, teardown),
        cmocka_unit_test_setup_teardown(test_errors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_alias_bombs, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
