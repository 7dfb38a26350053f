/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/sessions.h"

#include "collector/sql.h"

#include <errno.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static const struct session_limits limits = {900 * NS_PER_S, 43200 * NS_PER_S};
#define T0 (INT64_C(1800000000) * NS_PER_S)

static int open_db(void **state)
{
    sqlite3 *db = NULL;
    char path[] = "/tmp/vonggac-session-XXXXXX";
    int fd = mkstemp(path);
    if (fd < 0 || sodium_init() < 0)
        return -1;
    close(fd);
    int r = store_open(path, STORE_DURABLE, &db, NULL);
    unlink(path);
    struct user u = {.name = "lan", .display_name = "Lan", .password = "x", .is_admin = true};
    *state = db;
    return r < 0 ? r : user_add(db, &u, STR("cli:0"), NULL);
}

static int close_db(void **state)
{
    store_close(*state);
    return 0;
}

static void only_the_hash_is_stored(void **state)
{
    sqlite3 *db = *state;
    char token[SESSION_TEXT_LEN];
    assert_int_equal(session_create(db, STR("lan"), T0, token, NULL), 0);
    assert_int_equal(strlen(token), SESSION_TEXT_LEN - 1);
    struct session s;
    assert_int_equal(session_find(db, &limits, str_of(token), T0, &s, NULL), 0);
    assert_string_equal(s.user, "lan");
    assert_string_equal(s.display_name, "Lan");
    assert_true(s.is_admin);
    assert_int_equal(strlen(s.csrf), SESSION_TEXT_LEN - 1);
    assert_string_not_equal(s.csrf, token);
    uint8_t secret[32], want[32];
    size_t len;
    assert_int_equal(
        sodium_base642bin(secret, 32, token, strlen(token), NULL, &len, NULL, sodium_base64_VARIANT_URLSAFE_NO_PADDING),
        0);
    crypto_hash_sha256(want, secret, 32);
    assert_memory_equal(s.hash, want, 32);
}

static void rubbish_finds_nothing(void **state)
{
    sqlite3 *db = *state;
    struct session s;
    char token[SESSION_TEXT_LEN];
    assert_int_equal(session_create(db, STR("lan"), T0, token, NULL), 0);
    static const char *const bad[] = {"", "x", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
                                      "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "' OR 1=1 --"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(session_find(db, &limits, str_of(bad[i]), T0, &s, NULL), -ENOENT);
    token[5] = token[5] == 'A' ? 'B' : 'A';
    assert_int_equal(session_find(db, &limits, str_of(token), T0, &s, NULL), -ENOENT);
}

static void ends_by_disuse_and_by_age(void **state)
{
    sqlite3 *db = *state;
    char token[SESSION_TEXT_LEN];
    struct session s;
    enum session_end end;
    assert_int_equal(session_create(db, STR("lan"), T0, token, NULL), 0);
    assert_int_equal(session_find(db, &limits, str_of(token), T0 + limits.idle_ns - 1, &s, NULL), 0);
    struct session unused;
    assert_int_equal(session_find(db, &limits, str_of(token), T0 + limits.idle_ns, &unused, NULL), -ENOENT);
    assert_int_equal(session_check(db, &limits, s.hash, T0 + limits.idle_ns, &end, NULL), 0);
    assert_int_equal(end, SESSION_IDLE);

    int64_t now = T0 + limits.idle_ns - 1;
    assert_int_equal(session_touch(db, &s, now, NULL), 0);
    assert_int_equal(session_check(db, &limits, s.hash, T0 + limits.idle_ns, &end, NULL), 0);
    assert_int_equal(end, SESSION_LIVES);
    /* A second note right after the first is not worth a write, and is not made. */
    assert_int_equal(session_touch(db, &s, now + SESSION_TOUCH_NS - 1, NULL), 0);
    assert_int_equal(session_check(db, &limits, s.hash, now + limits.idle_ns, &end, NULL), 0);
    assert_int_equal(end, SESSION_IDLE);

    while ((now += limits.idle_ns / 2) < T0 + limits.max_ns)
        assert_int_equal(session_touch(db, &s, now, NULL), 0);
    assert_int_equal(session_check(db, &limits, s.hash, T0 + limits.max_ns, &end, NULL), 0);
    assert_int_equal(end, SESSION_EXPIRED);
    assert_int_equal(session_sweep(db, &limits, T0 + limits.max_ns, NULL), 0);
    assert_int_equal(session_check(db, &limits, s.hash, T0, &end, NULL), 0);
    assert_int_equal(end, SESSION_SIGNED_OUT);
}

static void the_oldest_gives_way(void **state)
{
    sqlite3 *db = *state;
    char tokens[SESSIONS_PER_USER + 1][SESSION_TEXT_LEN];
    struct session s;
    for (int i = 0; i <= SESSIONS_PER_USER; i++)
        assert_int_equal(session_create(db, STR("lan"), T0 + i, tokens[i], NULL), 0);
    assert_int_equal(session_find(db, &limits, str_of(tokens[0]), T0 + 99, &s, NULL), -ENOENT);
    for (int i = 1; i <= SESSIONS_PER_USER; i++)
        assert_int_equal(session_find(db, &limits, str_of(tokens[i]), T0 + 99, &s, NULL), 0);
}

static void ends_by_sign_out_and_password_change(void **state)
{
    sqlite3 *db = *state;
    char a[SESSION_TEXT_LEN], b[SESSION_TEXT_LEN];
    struct session s;
    assert_int_equal(session_create(db, STR("lan"), T0, a, NULL), 0);
    assert_int_equal(session_create(db, STR("lan"), T0, b, NULL), 0);
    assert_int_equal(session_find(db, &limits, str_of(a), T0, &s, NULL), 0);
    assert_int_equal(session_end(db, s.hash, NULL), 0);
    assert_int_equal(session_find(db, &limits, str_of(a), T0, &s, NULL), -ENOENT);
    assert_int_equal(session_find(db, &limits, str_of(b), T0, &s, NULL), 0);
    assert_int_equal(user_set_password(db, STR("lan"), "y", false, STR("lan"), NULL), 0);
    assert_int_equal(session_find(db, &limits, str_of(b), T0, &s, NULL), -ENOENT);
    assert_int_equal(session_create(db, STR("nobody"), T0, a, NULL), -EEXIST); /* foreign key */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(only_the_hash_is_stored, open_db, close_db),
        cmocka_unit_test_setup_teardown(rubbish_finds_nothing, open_db, close_db),
        cmocka_unit_test_setup_teardown(ends_by_disuse_and_by_age, open_db, close_db),
        cmocka_unit_test_setup_teardown(the_oldest_gives_way, open_db, close_db),
        cmocka_unit_test_setup_teardown(ends_by_sign_out_and_password_change, open_db, close_db),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
