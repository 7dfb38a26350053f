/* SPDX-License-Identifier: Apache-2.0
 *
 * Metrics: both printed forms, and counting from several threads.
 */
#include "common/metrics.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>

static struct metric table[] = {
    {"vonggac_test_lines_total", "Lines read", METRIC_COUNTER, 0},
    {"vonggac_test_queue_bytes", "Queue \\ now\nhere", METRIC_GAUGE, 0},
};

static void test_print(void **state)
{
    (void)state;
    metric_set(&table[0], 5);
    metric_add(&table[0], 2);
    metric_set(&table[1], -3);
    struct buf b = BUF_INIT(1000);
    const char *z;
    assert_int_equal(metrics_print(table, ARRAY_LEN(table), &b), 0);
    assert_int_equal(buf_z(&b, &z), 0);
    assert_string_equal(z, "# HELP vonggac_test_lines_total Lines read\n"
                           "# TYPE vonggac_test_lines_total counter\n"
                           "vonggac_test_lines_total 7\n"
                           "# HELP vonggac_test_queue_bytes Queue \\\\ now\\nhere\n"
                           "# TYPE vonggac_test_queue_bytes gauge\n"
                           "vonggac_test_queue_bytes -3\n");
    buf_reset(&b);
    assert_int_equal(metrics_json(table, ARRAY_LEN(table), &b), 0);
    assert_true(str_eq(buf_str(&b), STR("{\"vonggac_test_lines_total\":7,\"vonggac_test_queue_bytes\":-3}")));
    buf_reset(&b);
    assert_int_equal(metrics_json(table, 0, &b), 0);
    assert_true(str_eq(buf_str(&b), STR("{}")));
    buf_clear(&b);
    struct buf small = BUF_INIT(50);
    assert_int_equal(metrics_print(table, ARRAY_LEN(table), &small), -ENOBUFS);
    assert_int_equal(metrics_json(table, ARRAY_LEN(table), &small), -ENOBUFS);
    assert_int_equal(small.len, 0);
    buf_clear(&small);
}

static void *count(void *arg)
{
    (void)arg;
    for (int i = 0; i < 100000; i++)
        metric_add(&table[0], 1);
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    metric_set(&table[0], 0);
    pthread_t threads[4];
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count, NULL), 0);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(metric_get(&table[0]), 400000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_print),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
