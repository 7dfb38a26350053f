/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/login_guard.h"
#include "collector/sql.h"
#include "collector/users.h"

#include <errno.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static int open_db(void **state)
{
    sqlite3 *db = NULL;
    char path[] = "/tmp/vonggac-users-XXXXXX";
    int fd = mkstemp(path);
    if (fd < 0 || sodium_init() < 0)
        return -1;
    close(fd);
    int r = store_open(path, STORE_DURABLE, &db, NULL);
    unlink(path); /* the open files stay usable, and nothing is left behind */
    *state = db;
    return r;
}

static int close_db(void **state)
{
    store_close(*state);
    return 0;
}

static void add(sqlite3 *db, const char *name, const char *hash)
{
    struct user u = {.must_change = true};
    snprintf(u.name, sizeof(u.name), "%s", name);
    snprintf(u.display_name, sizeof(u.display_name), "Người %s", name);
    snprintf(u.password, sizeof(u.password), "%s", hash);
    assert_int_equal(user_add(db, &u, STR("cli:0"), NULL), 0);
}

static int64_t count(sqlite3 *db, const char *sql)
{
    int64_t n = -1;
    assert_int_equal(sql_int(db, &n, NULL, sql, ""), 0);
    return n;
}

static void names(void **state)
{
    (void)state;
    assert_true(user_name_is_valid(STR("lan.nguyen-2_x")));
    static const char *const bad[] = {"", "Lan", ".lan", "-lan", "lan nguyen", "lân", "lan/..", "a\"b"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(user_name_is_valid(str_of(bad[i])));
    char longest[USER_NAME_MAX + 2];
    memset(longest, 'a', sizeof(longest));
    assert_true(user_name_is_valid((struct str){longest, USER_NAME_MAX}));
    assert_false(user_name_is_valid((struct str){longest, USER_NAME_MAX + 1}));
}

static void password_rules(void **state)
{
    (void)state;
    struct str user = STR("lan");
    assert_int_equal(password_check(STR("Mat-khau-dai-14"), user, NULL), 0);
    assert_int_equal(password_check(STR("MậtKhẩu 2026 dài"), user, NULL), 0);
    static const char *const bad[] = {
        "Short-1a",         "all-lower-case-1",      "ALL-UPPER-CASE-1", "No-Digits-In-Here", "NoOtherSigns123",
        "xx-LAN-Passw0rd!", "Bad\xff-utf8-Passw0rd", "Mậtậtậtậtậ1-", /* 12 characters, though 22 bytes */
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct diag d = {0};
        assert_int_equal(password_check(str_of(bad[i]), user, &d), -EINVAL);
        assert_true(d.msg[0] != '\0');
    }
    char huge[PASSWORD_MAX + 2];
    memset(huge, 'x', sizeof(huge));
    memcpy(huge, "Aa1-", 4);
    assert_int_equal(password_check((struct str){huge, PASSWORD_MAX}, user, NULL), 0);
    assert_int_equal(password_check((struct str){huge, PASSWORD_MAX + 1}, user, NULL), -EINVAL);
}

static void one_time_passwords_pass_the_rules_and_differ(void **state)
{
    (void)state;
    char first[PASSWORD_ONE_TIME], second[PASSWORD_ONE_TIME];
    password_one_time(first);
    password_one_time(second);
    assert_int_equal(strlen(first), PASSWORD_ONE_TIME - 1);
    assert_string_not_equal(first, second);
    assert_int_equal(password_check(str_of(first), STR("admin"), NULL), 0);
}

static void hash_is_argon2id_of_64_mib(void **state)
{
    (void)state;
    char hash[PASSWORD_HASH_MAX];
    assert_int_equal(password_hash(STR("Mat-khau-dai-14"), hash), 0);
    assert_non_null(strstr(hash, "$argon2id$v=19$m=65536,t=3,p=1$"));
    assert_true(password_fits(hash, STR("Mat-khau-dai-14")));
    assert_false(password_fits(hash, STR("Mat-khau-dai-15")));
    assert_false(password_fits(hash, STR("")));
    assert_false(password_is_outdated(hash));
    char cheap[PASSWORD_HASH_MAX];
    assert_int_equal(crypto_pwhash_argon2id_str(cheap, "x", 1, 1, 8192), 0);
    assert_true(password_is_outdated(cheap));
}

static void locks_at_the_fifth_failure(void **state)
{
    sqlite3 *db = *state;
    add(db, "lan", "x");
    int64_t now = 1000 * NS_PER_S, until = -1;
    struct user u;
    for (int i = 1; i <= USER_FAILURES_MAX; i++) {
        assert_int_equal(user_find(db, STR("lan"), &u, NULL), 0);
        assert_int_equal(user_failed(db, &u, now, "203.0.113.7", &until, NULL), 0);
        assert_int_equal(until, i < USER_FAILURES_MAX ? 0 : now + USER_LOCK_NS);
    }
    assert_int_equal(count(db, "SELECT count(*) FROM audit WHERE action = 'user.login_failed' AND object = 'lan'"), 5);
    assert_int_equal(count(db, "SELECT count(*) FROM audit WHERE action = 'user.locked'"), 1);
    assert_int_equal(user_find(db, STR("lan"), &u, NULL), 0);
    assert_int_equal(u.locked_until_ns, now + USER_LOCK_NS);
    /* After the lock the count begins anew. */
    assert_int_equal(user_failed(db, &u, now + USER_LOCK_NS, "203.0.113.7", &until, NULL), 0);
    assert_int_equal(until, 0);
    assert_int_equal(user_find(db, STR("lan"), &u, NULL), 0);
    assert_int_equal(u.failed, 1);
    assert_int_equal(user_signed_in(db, &u, "203.0.113.7", NULL), 0);
    assert_int_equal(user_find(db, STR("lan"), &u, NULL), 0);
    assert_int_equal(u.failed, 0);
    assert_int_equal(user_unlock(db, STR("lan"), STR("cli:0"), NULL), 0);
    assert_int_equal(user_unlock(db, STR("nobody"), STR("cli:0"), NULL), -ENOENT);
}

static void adds_and_remembers(void **state)
{
    sqlite3 *db = *state;
    add(db, "lan", "hash-0");
    struct user u;
    assert_int_equal(user_find(db, STR("lan"), &u, NULL), 0);
    assert_string_equal(u.display_name, "Người lan");
    assert_true(u.must_change);
    assert_false(u.is_admin);
    struct diag d;
    assert_int_equal(user_add(db, &u, STR("cli:0"), &d), -EEXIST);
    assert_int_equal(user_find(db, STR("mai"), &u, NULL), -ENOENT);
    assert_int_equal(user_set_password(db, STR("mai"), "x", false, STR("cli:0"), NULL), -ENOENT);
    char hash[16];
    for (int i = 1; i <= 12; i++) {
        snprintf(hash, sizeof(hash), "hash-%d", i);
        assert_int_equal(user_set_password(db, STR("lan"), hash, false, STR("lan"), NULL), 0);
    }
    char old[PASSWORD_HISTORY][PASSWORD_HASH_MAX];
    size_t n = 0;
    assert_int_equal(user_history(db, STR("lan"), old, &n, NULL), 0);
    assert_int_equal(n, PASSWORD_HISTORY);
    assert_string_equal(old[0], "hash-12");
    assert_string_equal(old[9], "hash-3");
    assert_int_equal(count(db, "SELECT count(*) FROM password_history"), PASSWORD_HISTORY);
    assert_int_equal(user_find(db, STR("lan"), &u, NULL), 0);
    assert_string_equal(u.password, "hash-12");
    assert_false(u.must_change);
    assert_int_equal(count(db, "SELECT count(*) FROM audit WHERE action = 'user.password'"), 12);
}

static void guard_brakes_addresses(void **state)
{
    (void)state;
    struct login_guard *g = login_guard_new();
    int64_t now = 1000 * NS_PER_S, wait = 0;
    for (int i = 0; i < LOGIN_TRIES_BURST; i++)
        assert_true(login_guard_admit(g, "203.0.113.7", now, &wait));
    assert_false(login_guard_admit(g, "203.0.113.7", now, &wait));
    assert_true(wait >= 1 && wait <= 7);
    assert_true(login_guard_admit(g, "203.0.113.8", now, &wait));
    assert_true(login_guard_admit(g, "203.0.113.7", now + wait * NS_PER_S, &wait));
    /* A whole /64 is one sender. */
    for (int i = 0; i < LOGIN_TRIES_BURST; i++) {
        char address[64];
        snprintf(address, sizeof(address), "2001:db8::%x", i);
        assert_true(login_guard_admit(g, address, now, &wait));
    }
    assert_false(login_guard_admit(g, "2001:db8::ffff:1", now, &wait));
    assert_true(login_guard_admit(g, "2001:db8:0:1::1", now, &wait));
    for (int i = 0; i < 5000; i++) { /* a flood is no failure */
        char address[64];
        snprintf(address, sizeof(address), "198.51.%d.%d", i / 256, i % 256);
        assert_true(login_guard_admit(g, address, now + i, &wait));
    }
    login_guard_free(g);
}

static void guard_locks_unknown_names_like_known_ones(void **state)
{
    (void)state;
    struct login_guard *g = login_guard_new();
    int64_t now = 1000 * NS_PER_S;
    for (int i = 1; i < USER_FAILURES_MAX; i++)
        assert_int_equal(login_guard_unknown(g, STR("ghost"), now, true), 0);
    assert_int_equal(login_guard_unknown(g, STR("ghost"), now, false), 0);
    assert_int_equal(login_guard_unknown(g, STR("ghost"), now, true), now + USER_LOCK_NS);
    assert_int_equal(login_guard_unknown(g, STR("ghost"), now + 1, true), now + USER_LOCK_NS); /* not prolonged */
    assert_int_equal(login_guard_unknown(g, STR("other"), now, false), 0);
    assert_int_equal(login_guard_unknown(g, STR("ghost"), now + USER_LOCK_NS, true), 0);
    login_guard_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(password_rules),
        cmocka_unit_test(one_time_passwords_pass_the_rules_and_differ),
        cmocka_unit_test(hash_is_argon2id_of_64_mib),
        cmocka_unit_test_setup_teardown(locks_at_the_fifth_failure, open_db, close_db),
        cmocka_unit_test_setup_teardown(adds_and_remembers, open_db, close_db),
        cmocka_unit_test(guard_brakes_addresses),
        cmocka_unit_test(guard_locks_unknown_names_like_known_ones),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
