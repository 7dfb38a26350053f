/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/credentials.h"

#include "common/file.h"
#include "common/time.h"
#include "tests/unit/test.h"

#include <sys/stat.h>

static char *ca, *ca_key, *cert[2], *key[2];
static uint8_t agent[ID_LEN] = {7};

static int make_all(void **state)
{
    struct diag diag;
    char serial[CERT_SERIAL_HEX];
    (void)state;
    if (cert_make_authority("test", &ca, &ca_key, &diag) < 0)
        return -1;
    for (int i = 0; i < 2; i++) {
        struct buf csr CLEANUP(buf_clear) = BUF_INIT(16 * KIB);
        if (cert_make_request(&key[i], &csr, &diag) < 0 ||
            cert_sign_agent(ca, ca_key, buf_str(&csr), agent, 90, &cert[i], serial, &diag) < 0)
            return -1;
    }
    return 0;
}

static int free_all(void **state)
{
    (void)state;
    free(ca);
    free(ca_key);
    for (int i = 0; i < 2; i++) {
        free(cert[i]);
        free(key[i]);
    }
    return 0;
}

static void place(const char *dir, const char *name, const char *text)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    assert_int_equal(file_write_atomic(path, str_of(text), 0600), 0);
}

static bool is_there(const char *dir, const char *name)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return access(path, F_OK) == 0;
}

static void expect_pair(const char *dir, int i)
{
    struct credentials c;
    struct diag diag = {0};
    assert_int_equal(credentials_load(dir, &c, &diag), 0);
    assert_string_equal(c.cert_pem, cert[i]);
    assert_string_equal(c.key_pem, key[i]);
    assert_memory_equal(c.agent, agent, ID_LEN);
    assert_false(is_there(dir, "agent.crt.new"));
    credentials_clear(&c);
}

static void stores_and_loads(void **state)
{
    struct credentials c;
    struct diag diag = {0};
    struct stat st;
    char path[512];
    assert_false(credentials_exist(*state));
    assert_int_equal(credentials_load(*state, &c, &diag), -ENOENT);
    assert_non_null(strstr(diag.msg, "enroll"));
    assert_int_equal(credentials_store(*state, ca, cert[0], key[0], &diag), 0);
    assert_true(credentials_exist(*state));
    expect_pair(*state, 0);
    snprintf(path, sizeof(path), "%s/agent.key", (char *)*state);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(credentials_store(*state, NULL, cert[1], key[1], &diag), 0);
    expect_pair(*state, 1);
}

static void what_does_not_fit_is_refused(void **state)
{
    struct credentials c;
    struct diag diag = {0};
    assert_int_equal(credentials_store(*state, ca, cert[0], key[0], &diag), 0);
    assert_int_equal(credentials_store(*state, NULL, cert[1], key[0], &diag), -EINVAL);
    assert_int_equal(credentials_store(*state, NULL, "rubbish", key[0], &diag), -EINVAL);
    expect_pair(*state, 0);
    place(*state, "agent.key", key[1]);
    assert_int_equal(credentials_load(*state, &c, &diag), -EINVAL);
}

/* Every place where a crash may fall while pair 1 replaces pair 0. */
static void a_replacement_cut_short_leaves_a_pair(void **state)
{
    struct diag diag;
    assert_int_equal(credentials_store(*state, ca, cert[0], key[0], &diag), 0);
    place(*state, "agent.key.new", key[1]);
    expect_pair(*state, 0);
    place(*state, "agent.crt.new", cert[1]); /* both new ones are whole: from here on it is decided */
    expect_pair(*state, 1);
    assert_int_equal(credentials_store(*state, NULL, cert[0], key[0], &diag), 0);
    place(*state, "agent.key", key[1]); /* the key was renamed, the certificate was not */
    place(*state, "agent.crt.new", cert[1]);
    expect_pair(*state, 1);
    place(*state, "agent.crt.new", "rubbish");
    expect_pair(*state, 1);
}

static void the_last_third_is_due(void **state)
{
    (void)state;
    struct credentials c = {.not_before_ns = 0, .not_after_ns = 90 * NS_PER_S};
    assert_false(credentials_are_due(&c, 59 * NS_PER_S));
    assert_true(credentials_are_due(&c, 61 * NS_PER_S));
}

#define T(f) cmocka_unit_test_setup_teardown(f, tmp_dir_setup, tmp_dir_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(stores_and_loads),
        T(what_does_not_fit_is_refused),
        T(a_replacement_cut_short_leaves_a_pair),
        cmocka_unit_test(the_last_third_is_due),
    };
    return cmocka_run_group_tests(tests, make_all, free_all);
}
