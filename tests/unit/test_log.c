/* SPDX-License-Identifier: Apache-2.0
 *
 * Logging: what reaches stderr, in both forms, escaped and rate-limited. Each test points stderr at a file of its own.
 */
#include "common/log.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>

static int real_stderr;
static FILE *captured;

/* journal_stream: NULL for none, "" for what stderr really is. */
static void capture(const char *journal_stream)
{
    fflush(stderr);
    captured = tmpfile();
    assert_non_null(captured);
    real_stderr = dup(STDERR_FILENO);
    dup2(fileno(captured), STDERR_FILENO);
    if (journal_stream) {
        struct stat st;
        char value[64];
        fstat(STDERR_FILENO, &st);
        snprintf(value, sizeof(value), "%llu:%llu", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
        setenv("JOURNAL_STREAM", journal_stream[0] ? journal_stream : value, 1);
    } else {
        unsetenv("JOURNAL_STREAM");
    }
}

static const char *release(void)
{
    static char text[200000];
    dup2(real_stderr, STDERR_FILENO);
    close(real_stderr);
    rewind(captured);
    size_t n = fread(text, 1, sizeof(text) - 1, captured);
    text[n] = '\0';
    fclose(captured);
    return text;
}

static void test_plain(void **state)
{
    (void)state;
    capture(NULL);
    log_init("prog", LOG_LEVEL_INFO);
    errno = ENOSPC;
    log_warn("disk %d%%", 91);
    log_debug("not shown");
    assert_int_equal(errno, ENOSPC);
    const char *text = release();
    char want[64];
    snprintf(want, sizeof(want), "Z prog[%d] warning: disk 91%%\n", (int)getpid());
    assert_string_equal(text + strlen("2026-11-23T16:29:00.123"), want);
}

static void test_journal(void **state)
{
    (void)state;
    capture("");
    log_init("prog", LOG_LEVEL_DEBUG);
    log_error("e");
    log_debug("d");
    assert_string_equal(release(), "<3>e\n<7>d\n");
    static const char *const others[] = {"1:2", "x", "1:", ":1", "1:2:3"}; /* inherited from elsewhere, or rubbish */
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        capture(others[i]);
        log_init("prog", LOG_LEVEL_INFO);
        log_error("e");
        assert_non_null(strstr(release(), " error: e\n"));
    }
}

static void test_escapes(void **state)
{
    (void)state;
    capture("");
    log_init("prog", LOG_LEVEL_INFO);
    log_info("%s", "a\nb\x1B[31m\t\x7F\xFF\xC2\x9B V\xE1\xBB\x8Dng");
    assert_string_equal(release(), "<6>a\\nb\\x1b[31m\\t\\x7f\\xff\\x9b V\xE1\xBB\x8Dng\n");
}

static void test_long_line(void **state)
{
    (void)state;
    static char big[10000];
    memset(big, 'x', sizeof(big) - 1);
    capture("");
    log_init("prog", LOG_LEVEL_INFO);
    log_info("%s", big);
    memset(big, '\1', sizeof(big) - 1);
    log_info("%s", big);
    const char *text = release();
    const char *first_end = strchr(text, '\n');
    assert_non_null(first_end);
    assert_true(first_end - text > 4000 && first_end - text < 4096);
    assert_int_equal(text[strlen(text) - 1], '\n');
}

static void burst(int n)
{
    for (int i = 0; i < n; i++)
        log_warn("burst %d", i);
}

static void test_rate_limit(void **state)
{
    (void)state;
    capture("");
    log_init("prog", LOG_LEVEL_INFO);
    burst(LOG_BURST + 25);
    log_info("another site is not held back");
    log_flush();
    log_flush();
    const char *text = release();
    assert_non_null(strstr(text, "<4>burst 9\n"));
    assert_null(strstr(text, "burst 10\n"));
    assert_non_null(strstr(text, "<6>another site is not held back\n<4>held back 25 more like this: burst %d\n"));
    assert_null(strstr(strstr(text, "held back 25") + 1, "held back 2"));
}

static void test_window_ends(void **state)
{
    (void)state;
    struct log_site site = {0};
    capture("");
    log_init("prog", LOG_LEVEL_INFO);
    for (int i = 0; i < LOG_BURST + 3; i++)
        log_write(&site, LOG_LEVEL_INFO, "one");
    site.window_start_ns -= LOG_INTERVAL_NS; /* as if it had been that long ago */
    log_info("two");                         /* another site says it */
    log_write(&site, LOG_LEVEL_INFO, "three");
    assert_non_null(strstr(release(), "<6>held back 3 more like this: one\n<6>two\n<6>three\n"));
}

static void *log_from_thread(void *arg)
{
    (void)arg;
    for (int i = 0; i < 200; i++) {
        struct log_site site = {0}; /* a fresh one each time: never limited */
        log_write(&site, LOG_LEVEL_INFO, "0123456789012345678901234567890123456789");
    }
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    capture("");
    log_init("prog", LOG_LEVEL_INFO);
    pthread_t threads[4];
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, log_from_thread, NULL), 0);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        pthread_join(threads[i], NULL);
    const char *text = release();
    assert_int_equal(strlen(text), 4 * 200 * strlen("<6>0123456789012345678901234567890123456789\n"));
    for (const char *p = text; *p; p += strlen("<6>0123456789012345678901234567890123456789\n"))
        assert_memory_equal(p, "<6>0123456789012345678901234567890123456789\n", 44);
}

static void test_diags(void **state)
{
    (void)state;
    struct diags ds;
    struct diag d;
    diags_init(&ds, 3);
    diag_at(&d, 0, 3, 7, "bad");
    diags_add(&ds, "a.yml", false, &d);
    diag_set(&d, 0, "odd");
    diags_add(&ds, "b.yml", true, &d);
    diags_add(&ds, NULL, true, &d);
    diags_add(&ds, "c.yml", true, &d);
    capture("");
    log_init("prog", LOG_LEVEL_INFO);
    log_diags(&ds);
    assert_string_equal(release(), "<3>a.yml:3:7: bad\n<4>b.yml: odd\n<4>odd\n<4>1 more problems are not shown\n");
    diags_clear(&ds);
}

static void test_level_names(void **state)
{
    (void)state;
    enum log_level level;
    assert_int_equal(log_level_parse(STR("warning"), &level), 0);
    assert_int_equal(level, LOG_LEVEL_WARN);
    assert_int_equal(log_level_parse(STR("loud"), &level), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),     cmocka_unit_test(test_journal),    cmocka_unit_test(test_escapes),
        cmocka_unit_test(test_long_line), cmocka_unit_test(test_rate_limit), cmocka_unit_test(test_window_ends),
        cmocka_unit_test(test_threads),   cmocka_unit_test(test_diags),      cmocka_unit_test(test_level_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
