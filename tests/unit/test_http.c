/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/http.h"

#include "common/time.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void query_decodes(void **state)
{
    (void)state;
    struct http_query q;
    assert_int_equal(http_query_parse("q=%C4%90%C4%83ng+nh%e1%ba%adp&status=new%2Cclosed&empty=&flag", &q, NULL), 0);
    assert_int_equal(q.n, 4);
    assert_string_equal(http_query_get(&q, "q"), "Đăng nhập");
    assert_string_equal(http_query_get(&q, "status"), "new,closed");
    assert_string_equal(http_query_get(&q, "empty"), "");
    assert_string_equal(http_query_get(&q, "flag"), "");
    assert_null(http_query_get(&q, "none"));
    http_query_clear(&q);
    assert_int_equal(http_query_parse(NULL, &q, NULL), 0);
    assert_int_equal(q.n, 0);
    http_query_clear(&q);
    assert_int_equal(http_query_parse("&&a=b==c&", &q, NULL), 0);
    assert_string_equal(http_query_get(&q, "a"), "b==c");
    http_query_clear(&q);
}

static void query_refuses(void **state)
{
    (void)state;
    static const char *const bad[] = {"a=%",      "a=%4",    "a=%zz",     "a=%00", "a=%ff",       "a=%c0%80",
                                      "a=%0d%0a", "a=1&a=2", "a=1&%61=2", "=x",    "a=%ed%a0%80", "a=%f4%90%80%80"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct http_query q;
        struct diag d = {0};
        assert_int_equal(http_query_parse(bad[i], &q, &d), -EINVAL);
        assert_true(d.msg[0] != '\0');
    }
    char many[HTTP_PARAMS_MAX * 8 + 8];
    size_t n = 0;
    for (int i = 0; i <= HTTP_PARAMS_MAX; i++)
        n += (size_t)snprintf(many + n, sizeof(many) - n, "p%d=1&", i);
    struct http_query q;
    assert_int_equal(http_query_parse(many, &q, NULL), -E2BIG);
    char *huge = malloc(HTTP_QUERY_MAX + 2);
    memset(huge, 'a', HTTP_QUERY_MAX + 1);
    huge[HTTP_QUERY_MAX + 1] = '\0';
    assert_int_equal(http_query_parse(huge, &q, NULL), -E2BIG);
    free(huge);
}

static void query_knows_its_names(void **state)
{
    (void)state;
    static const char *const names[] = {"limit", "cursor", NULL};
    struct http_query q;
    struct diag d;
    assert_int_equal(http_query_parse("limit=3&cursor=x", &q, NULL), 0);
    assert_int_equal(http_query_only(&q, names, &d), 0);
    http_query_clear(&q);
    assert_int_equal(http_query_parse("limit=3&curser=x", &q, NULL), 0);
    assert_int_equal(http_query_only(&q, names, &d), -EINVAL);
    assert_non_null(strstr(d.msg, "curser"));
    http_query_clear(&q);
}

static void cookies(void **state)
{
    (void)state;
    assert_true(str_eq(http_cookie("a=1; __Host-vonggac=tok; b=2", "__Host-vonggac"), STR("tok")));
    assert_true(str_eq(http_cookie("__Host-vonggac=tok", "__Host-vonggac"), STR("tok")));
    assert_int_equal(http_cookie("x__Host-vonggac=tok", "__Host-vonggac").len, 0);
    assert_int_equal(http_cookie("__Host-vonggac=a; __Host-vonggac=b", "__Host-vonggac").len, 0); /* which one? */
    assert_int_equal(http_cookie(NULL, "a").len, 0);
    assert_int_equal(http_cookie("", "a").len, 0);
}

static void lists(void **state)
{
    (void)state;
    struct str rest = STR("new,,closed"), item;
    assert_true(http_list_next(&rest, &item) && str_eq(item, STR("new")));
    assert_true(http_list_next(&rest, &item) && item.len == 0);
    assert_true(http_list_next(&rest, &item) && str_eq(item, STR("closed")));
    assert_false(http_list_next(&rest, &item));
    assert_true(http_equal_secret(STR("abc"), STR("abc")));
    assert_false(http_equal_secret(STR("abc"), STR("abd")));
    assert_false(http_equal_secret(STR("abc"), STR("ab")));
}

static void retry_after(void **state)
{
    (void)state;
    const int64_t now = INT64_C(784111777) * NS_PER_S; /* Sun, 06 Nov 1994 08:49:37 GMT */
    int64_t s = -1;
    assert_int_equal(http_retry_after(STR("120"), now, 900, &s), 0);
    assert_int_equal(s, 120);
    assert_int_equal(http_retry_after(STR(" 0 "), now, 900, &s), 0);
    assert_int_equal(s, 0);
    assert_int_equal(http_retry_after(STR("99999999999999999999"), now, 900, &s), 0);
    assert_int_equal(s, 900);
    assert_int_equal(http_retry_after(STR("Sun, 06 Nov 1994 08:50:07 GMT"), now, 900, &s), 0);
    assert_int_equal(s, 30);
    assert_int_equal(http_retry_after(STR("Sun, 06 Nov 1994 08:00:00 GMT"), now, 900, &s), 0);
    assert_int_equal(s, 0);
    assert_int_equal(http_retry_after(STR("Sun, 06 Nov 2094 08:00:00 GMT"), now, 900, &s), 0);
    assert_int_equal(s, 900);
    static const char *const bad[] = {"",
                                      "-1",
                                      "soon",
                                      "Sun, 06 Nox 1994 08:49:37 GMT",
                                      "Sun, 31 Feb 1994 08:49:37 GMT",
                                      "1.5",
                                      "Sun, 06 Nov 1994 08:49:37 UTC"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(http_retry_after(str_of(bad[i]), now, 900, &s), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(query_decodes), cmocka_unit_test(query_refuses), cmocka_unit_test(query_knows_its_names),
        cmocka_unit_test(cookies),       cmocka_unit_test(lists),         cmocka_unit_test(retry_after),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
