/* SPDX-License-Identifier: Apache-2.0
 *
 * Interned names: the fixed ids of ecs.def, new ones, the limit.
 */
#include "common/names.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>

static void test_ecs(void **state)
{
    (void)state;
    struct names *n = names_new();
    assert_non_null(n);
    assert_int_equal(names_find(n, STR("source.ip")), F_SOURCE_IP);
    assert_int_equal(names_find(n, STR("@timestamp")), F_TIMESTAMP);
    assert_string_equal(names_text(n, F_VONGGAC_URL_DECODED).p, "vonggac.url.decoded");
    assert_int_equal(names_find(n, STR("Source.ip")), F_NONE);
    assert_int_equal(names_find(n, STR("")), F_NONE);
    assert_int_equal(names_text(n, F_NONE).len, 0);
    assert_int_equal(names_text(n, F_ECS_COUNT).len, 0);
    assert_null(names_free(n));
    assert_null(names_free(NULL));
}

static void test_intern(void **state)
{
    (void)state;
    struct names *n = names_new();
    name_id id, again;
    char text[] = "my.field";
    assert_int_equal(names_intern(n, str_of(text), &id), 0);
    assert_int_equal(id, F_ECS_COUNT);
    text[0] = 'M';
    assert_string_equal(names_text(n, id).p, "my.field"); /* a copy */
    assert_int_equal(names_intern(n, STR("my.field"), &again), 0);
    assert_int_equal(again, id);
    assert_int_equal(names_intern(n, STR("user.name"), &again), 0);
    assert_int_equal(again, F_USER_NAME);
    char big[257];
    memset(big, 'x', sizeof(big));
    assert_int_equal(names_intern(n, (struct str){big, 257}, &id), -EINVAL);
    assert_int_equal(names_intern(n, (struct str){big, 256}, &id), 0);
    assert_int_equal(names_intern(n, STR(""), &id), -EINVAL);
    names_free(n);
}

static void test_limit(void **state)
{
    (void)state;
    struct names *n = names_new();
    char text[257]; /* the longest names, so that the limit is the number and not the memory */
    int r = 0;
    size_t added = 0;
    name_id id = F_NONE;
    while (r == 0) {
        snprintf(text, sizeof(text), "%0256zu", added);
        r = names_intern(n, str_of(text), &id);
        added += r == 0;
    }
    assert_int_equal(r, -ENOSPC);
    assert_int_equal(added, NAMES_MAX - F_ECS_COUNT);
    snprintf(text, sizeof(text), "%0256zu", added - 1);
    assert_int_equal(names_find(n, str_of(text)), NAMES_MAX - 1);
    assert_int_equal(names_intern(n, STR("user.name"), &id), 0); /* known ones still work */
    names_free(n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ecs),
        cmocka_unit_test(test_intern),
        cmocka_unit_test(test_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
