/* SPDX-License-Identifier: Apache-2.0
 * Tokens and agents in state.db: a token works as often and as long as it was made for, enrolling is all or nothing,
 * and everything leaves its audit row. */
#include "collector/agents.h"
#include "collector/store.h"
#include "common/time.h"
#include "tests/unit/test.h"

static sqlite3 *db;
static struct diag diag;
static const struct agent_certificate cert = {"0a1b", INT64_C(2000000000) * NS_PER_S};

static int setup(void **state)
{
    char path[600];
    if (tmp_dir_setup(state) < 0)
        return -1;
    snprintf(path, sizeof(path), "%s/state.db", (char *)*state);
    return store_open(path, STORE_DURABLE, &db, &diag);
}

static int teardown(void **state)
{
    db = store_close(db);
    return tmp_dir_teardown(state);
}

static int64_t ask(const char *sql)
{
    sqlite3_stmt *s = NULL;
    assert_int_equal(store_prepare(db, &sql, 1, &s, &diag), 0);
    assert_int_equal(store_row(s, &diag), 1);
    int64_t v = store_col_int(s, 0);
    sqlite3_finalize(s);
    return v;
}

static struct str new_token(uint8_t secret[FRAME_TOKEN_LEN], int64_t ttl_ns, int64_t uses)
{
    assert_int_equal(agents_token_new(db, ttl_ns, uses, STR("for tests"), STR("cli:0"), secret, &diag), 0);
    return (struct str){(const char *)secret, FRAME_TOKEN_LEN};
}

static int enrol(struct str token, uint8_t first, int64_t now_ns)
{
    uint8_t id[ID_LEN] = {first};
    return agents_enrol(db, token, id, STR("web-1"), &cert, now_ns, &diag);
}

static void a_token_works_as_often_as_made_for(void **state)
{
    (void)state;
    uint8_t secret[FRAME_TOKEN_LEN];
    struct str token = new_token(secret, 3600 * NS_PER_S, 2);
    int64_t now_ns = time_now_ns();
    assert_int_equal(agents_token_check(db, token, now_ns, &diag), 0);
    assert_int_equal(enrol(token, 1, now_ns), 0);
    assert_int_equal(enrol(token, 2, now_ns), 0);
    assert_int_equal(enrol(token, 3, now_ns), -EACCES);
    assert_int_equal(agents_token_check(db, token, now_ns, &diag), -EACCES);
    assert_int_equal(ask("SELECT count(*) FROM agents"), 2);
    assert_int_equal(ask("SELECT count(*) FROM audit WHERE action = 'agent.enrol' AND user = 'system'"), 2);
    assert_int_equal(ask("SELECT count(*) FROM audit WHERE action = 'agent.token' AND user = 'cli:0'"), 1);
}

static void a_token_expires(void **state)
{
    (void)state;
    uint8_t secret[FRAME_TOKEN_LEN];
    struct str token = new_token(secret, 60 * NS_PER_S, 1);
    int64_t later_ns = time_now_ns() + 61 * NS_PER_S;
    assert_int_equal(agents_token_check(db, token, later_ns, &diag), -EACCES);
    assert_int_equal(enrol(token, 1, later_ns), -EACCES);
    assert_int_equal(ask("SELECT count(*) FROM agents"), 0);
}

static void an_unknown_token_is_nothing(void **state)
{
    (void)state;
    uint8_t secret[FRAME_TOKEN_LEN];
    struct str token = new_token(secret, 3600 * NS_PER_S, 1);
    secret[31] ^= 1;
    assert_int_equal(agents_token_check(db, token, time_now_ns(), &diag), -EACCES);
    assert_int_equal(enrol(token, 1, time_now_ns()), -EACCES);
    assert_int_equal(enrol((struct str){NULL, 0}, 1, time_now_ns()), -EACCES);
}

static void the_secret_is_not_in_the_database(void **state)
{
    (void)state;
    uint8_t secret[FRAME_TOKEN_LEN];
    new_token(secret, 3600 * NS_PER_S, 1);
    sqlite3_stmt *s = NULL;
    const char *sql = "SELECT hash FROM tokens";
    assert_int_equal(store_prepare(db, &sql, 1, &s, &diag), 0);
    assert_int_equal(store_row(s, &diag), 1);
    struct str hash = store_col_blob(s, 0);
    assert_int_equal(hash.len, 32);
    assert_memory_not_equal(hash.p, secret, 32);
    sqlite3_finalize(s);
}

static void a_failed_enrolment_gives_the_use_back(void **state)
{
    (void)state;
    uint8_t secret[FRAME_TOKEN_LEN];
    struct str token = new_token(secret, 3600 * NS_PER_S, 2);
    int64_t now_ns = time_now_ns();
    assert_int_equal(enrol(token, 1, now_ns), 0);
    assert_int_equal(enrol(token, 1, now_ns), -EEXIST); /* the same id: cannot be */
    assert_int_equal(ask("SELECT uses_left FROM tokens"), 1);
    assert_int_equal(ask("SELECT count(*) FROM audit WHERE action = 'agent.enrol'"), 1);
}

static void revoking(void **state)
{
    (void)state;
    uint8_t secret[FRAME_TOKEN_LEN], id[ID_LEN] = {1}, stranger[ID_LEN] = {2};
    assert_int_equal(enrol(new_token(secret, 3600 * NS_PER_S, 1), 1, time_now_ns()), 0);
    assert_int_equal(agents_lookup(db, id, &diag), 0);
    assert_int_equal(agents_lookup(db, stranger, &diag), -ENOENT);
    const struct agent_certificate newer = {"ff", cert.not_after_ns + 1};
    assert_int_equal(agents_renew(db, id, &newer, &diag), 0);
    assert_int_equal(ask("SELECT serial = 'ff' FROM agents"), 1);
    assert_int_equal(agents_renew(db, stranger, &newer, &diag), -ENOENT);

    assert_int_equal(agents_revoke(db, stranger, STR("cli:0"), 5, &diag), -ENOENT);
    assert_int_equal(agents_revoke(db, id, STR("cli:0"), 5, &diag), 0);
    assert_int_equal(agents_revoke(db, id, STR("cli:0"), 6, &diag), -EALREADY);
    assert_int_equal(ask("SELECT revoked_ns FROM agents"), 5);
    assert_int_equal(agents_lookup(db, id, &diag), -EKEYREVOKED);
    assert_int_equal(agents_renew(db, id, &cert, &diag), -EKEYREVOKED);
    assert_int_equal(ask("SELECT serial = 'ff' FROM agents"), 1);
    assert_int_equal(ask("SELECT count(*) FROM audit WHERE action = 'agent.revoke'"), 1);
}

#define WITH_DB(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_DB(a_token_works_as_often_as_made_for),    WITH_DB(a_token_expires),
        WITH_DB(an_unknown_token_is_nothing),           WITH_DB(the_secret_is_not_in_the_database),
        WITH_DB(a_failed_enrolment_gives_the_use_back), WITH_DB(revoking),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
