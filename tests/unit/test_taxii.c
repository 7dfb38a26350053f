/* SPDX-License-Identifier: Apache-2.0
 *
 * What a TAXII server says. The client itself meets a real one (medallion) and a contrary one in tests/e2e.
 */
#include "collector/push.h"
#include "collector/taxii_status.h"

#include <errno.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>

#include <cmocka.h>

static const char full[] =
    "{\"id\":\"2d086da7-4bdc-4f91-900e-d77486753710\",\"status\":\"pending\",\"request_timestamp\":\"2026-11-23T00:00:"
    "00Z\","
    "\"total_count\":4,\"success_count\":1,\"successes\":[{\"id\":\"indicator--a\",\"version\":\"2026-11-23T00:00:00."
    "000Z\"}],"
    "\"failure_count\":1,\"failures\":[{\"id\":\"malware--b\",\"version\":\"2026-11-23T00:00:00.000Z\",\"message\":"
    "\"no\"}],"
    "\"pending_count\":2,\"pendings\":[{\"id\":\"x--c\",\"version\":\"\"},{\"nothing\":1},{\"id\":\"x--d\"}]}";

static void a_full_status(void **state)
{
    (void)state;
    struct taxii_status s;
    struct diag d = {0};
    assert_int_equal(taxii_status_parse(str_of(full), &s, &d), 0);
    assert_string_equal(s.id, "2d086da7-4bdc-4f91-900e-d77486753710");
    assert_false(s.is_complete);
    assert_int_equal(s.total, 4);
    assert_int_equal(s.success, 1);
    assert_int_equal(s.failure, 1);
    assert_int_equal(s.pending, 2);
    static const struct {
        enum taxii_verdict verdict;
        const char *id, *message;
    } want[] = {{TAXII_SUCCESS, "indicator--a", ""},
                {TAXII_FAILURE, "malware--b", "no"},
                {TAXII_PENDING, "x--c", ""},
                {TAXII_PENDING, "x--d", ""}}; /* the one without an id is passed over */
    struct taxii_entry e;
    size_t index = 0, n = 0;
    while (taxii_status_entry(s.doc, &index, &e)) {
        assert_true(n < ARRAY_LEN(want));
        assert_int_equal(e.verdict, want[n].verdict);
        assert_string_equal(e.id, want[n].id);
        assert_string_equal(e.message, want[n].message);
        n++;
    }
    assert_int_equal(n, ARRAY_LEN(want));
    taxii_status_clear(&s);
}

static void a_lean_status(void **state)
{
    (void)state;
    struct taxii_status s;
    assert_int_equal(taxii_status_parse(STR("{\"id\":\"a-1\",\"status\":\"complete\",\"total_count\":2,"
                                            "\"success_count\":2,\"failure_count\":0,\"pending_count\":0}"),
                                        &s, NULL),
                     0);
    assert_true(s.is_complete);
    struct taxii_entry e;
    size_t index = 0;
    assert_false(taxii_status_entry(s.doc, &index, &e));
    taxii_status_clear(&s);
}

static void rubbish(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "[]",
        "null",
        "<html>",
        "{}",
        "{\"id\":\"a\"}",
        "{\"id\":\"a\",\"status\":\"done\"}",
        "{\"id\":\"../../objects\",\"status\":\"complete\"}", /* would become part of a path */
        "{\"id\":\"\",\"status\":\"complete\"}",
        "{\"id\":7,\"status\":\"complete\"}",
        "{\"id\":\"a\",\"status\":\"complete\",\"success_count\":-1}",
        "{\"id\":\"a\",\"status\":\"complete\",\"failure_count\":\"1\"}",
        "{\"id\":\"a\",\"status\":\"complete\",\"failures\":{}}",
        "{\"id\":\"a\",\"status\":\"complete\",\"status\":\"pending\"}",
        "{\"id\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\",\"status\":\"complete\"}",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct taxii_status s;
        struct diag d = {0};
        assert_int_equal(taxii_status_parse(str_of(bad[i]), &s, &d), -EBADMSG);
        assert_true(d.msg[0] != '\0');
    }
}

static void roots(void **state)
{
    (void)state;
    uint64_t max = 0;
    assert_int_equal(taxii_root_parse(STR("{\"title\":\"t\",\"max_content_length\":9765625}"), &max, NULL), 0);
    assert_int_equal(max, 9765625);
    static const char *const bad[] = {"{}", "{\"max_content_length\":0}", "{\"max_content_length\":\"9\"}",
                                      "{\"max_content_length\":-5}", "9"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(taxii_root_parse(str_of(bad[i]), &max, NULL), -EBADMSG);
}

static void urls(void **state)
{
    (void)state;
    static const struct {
        const char *url, *root, *collection;
    } good[] = {
        {"https://ncsc.example:8443/trustgroup1/collections/472c94ae-3113-4e3e-a4dd-a9f4ac7471d4/",
         "https://ncsc.example:8443/trustgroup1/",
         "https://ncsc.example:8443/trustgroup1/collections/472c94ae-3113-4e3e-a4dd-a9f4ac7471d4/"},
        {"https://h/collections/a", "https://h/", "https://h/collections/a/"},
        {"https://[2001:db8::1]:8443/a/b/collections/x//", "https://[2001:db8::1]:8443/a/b/",
         "https://[2001:db8::1]:8443/a/b/collections/x/"},
    };
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        char *root = NULL, *collection = NULL;
        assert_int_equal(taxii_url_split(good[i].url, &root, &collection, NULL), 0);
        assert_string_equal(root, good[i].root);
        assert_string_equal(collection, good[i].collection);
        free(root);
        free(collection);
    }
    static const char *const bad[] = {"http://h/r/collections/a/",
                                      "https://h/r/",
                                      "https://h/r/collections/",
                                      "https://user:pw@h/r/collections/a/",
                                      "https://h/r/collections/a/?x",
                                      "https://h/r/collections/a/#x",
                                      "https:///collections/a/",
                                      "https://collections/a/",
                                      "ftp://h/collections/a",
                                      "https://h/r/collections/a/objects/",
                                      "",
                                      "https://h /r/collections/a"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        char *root = NULL, *collection = NULL;
        struct diag d = {0};
        assert_int_equal(taxii_url_split(bad[i], &root, &collection, &d), -EINVAL);
        assert_true(d.msg[0] != '\0');
    }
}

static void backoff_grows_to_its_limit(void **state)
{
    (void)state;
    int64_t expected = PUSH_BACKOFF_MIN_NS;
    for (int64_t n = 1; n < 100; n++) {
        for (int i = 0; i < 20; i++) {
            int64_t wait = push_backoff(n);
            assert_true(wait >= expected - expected / 5 && wait <= expected + expected / 5);
        }
        expected = MIN(expected * 2, PUSH_BACKOFF_MAX_NS);
    }
    assert_true(push_backoff(0) <= PUSH_BACKOFF_MIN_NS * 6 / 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_status), cmocka_unit_test(a_lean_status), cmocka_unit_test(rubbish),
        cmocka_unit_test(roots),         cmocka_unit_test(urls),          cmocka_unit_test(backoff_grows_to_its_limit),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
