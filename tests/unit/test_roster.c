/* SPDX-License-Identifier: Apache-2.0
 * Who is silent: once when it begins, once when it ends, with grace after a start; and what is kept in state.db. */
#include "collector/roster.h"
#include "collector/store.h"
#include "tests/unit/test.h"

#define S        NS_PER_S
#define AGENT_S  300
#define SOURCE_S 86400
#define T0       (INT64_C(1800000000) * S)
#define LONG_AGO (T0 - 30 * 86400 * S)

static struct {
    unsigned calls;
    bool is_silent, is_source;
    int64_t last_seen_ns;
} got;

static void on_change(void *ctx, const struct roster_agent *a, const struct roster_source *source, bool is_silent,
                      int64_t last_seen_ns)
{
    (void)ctx, (void)a;
    got.calls++;
    got.is_silent = is_silent;
    got.is_source = source != NULL;
    got.last_seen_ns = last_seen_ns;
}

static struct roster *roster;
static struct roster_agent *agent;

static int setup(void **state)
{
    (void)state;
    uint8_t id[ID_LEN] = {7};
    memset(&got, 0, sizeof(got));
    roster = roster_new(AGENT_S * S, SOURCE_S * S, on_change, NULL);
    return roster_add(roster, id, &agent);
}

static int teardown(void **state)
{
    (void)state;
    roster = roster_free(roster);
    return 0;
}

static void an_agent_goes_silent_once(void **state)
{
    (void)state;
    roster_heard(roster, agent, T0);
    roster_check(roster, T0 + AGENT_S * S, LONG_AGO);
    assert_int_equal(got.calls, 0);
    roster_check(roster, T0 + AGENT_S * S + 1, LONG_AGO);
    assert_int_equal(got.calls, 1);
    assert_true(got.is_silent);
    assert_false(got.is_source);
    assert_int_equal(got.last_seen_ns, T0);
    roster_check(roster, T0 + 9 * AGENT_S * S, LONG_AGO);
    assert_int_equal(got.calls, 1);

    roster_heard(roster, agent, T0 + 10 * AGENT_S * S);
    assert_int_equal(got.calls, 2);
    assert_false(got.is_silent);
    assert_int_equal(got.last_seen_ns, T0);
    roster_check(roster, T0 + 12 * AGENT_S * S, LONG_AGO);
    assert_int_equal(got.calls, 3); /* and again */
}

static void never_seen_or_revoked_is_not_silent(void **state)
{
    (void)state;
    roster_check(roster, T0, LONG_AGO);
    assert_int_equal(got.calls, 0);
    roster_heard(roster, agent, T0);
    agent->is_revoked = true;
    roster_check(roster, T0 + 10 * AGENT_S * S, LONG_AGO);
    assert_int_equal(got.calls, 0);
}

static void a_start_gives_time_to_come_back(void **state)
{
    (void)state;
    roster_heard(roster, agent, LONG_AGO);
    roster_check(roster, T0 + AGENT_S * S, T0);
    assert_int_equal(got.calls, 0);
    roster_check(roster, T0 + AGENT_S * S + 1, T0);
    assert_int_equal(got.calls, 1);
}

static void a_source_goes_silent_while_its_agent_speaks(void **state)
{
    (void)state;
    roster_heard(roster, agent, T0);
    roster_heard_source(roster, agent, STR("auth"), T0);
    roster_heard_source(roster, agent, STR("nginx"), T0);
    int64_t later = T0 + SOURCE_S * S + 1;
    roster_heard_source(roster, agent, STR("nginx"), later - 5 * S);
    roster_heard(roster, agent, later);
    roster_check(roster, later, LONG_AGO);
    assert_int_equal(got.calls, 1);
    assert_true(got.is_source && got.is_silent);
    assert_int_equal(got.last_seen_ns, T0);
    roster_check(roster, later, LONG_AGO);
    assert_int_equal(got.calls, 1);
    roster_heard_source(roster, agent, STR("auth"), later + S);
    assert_int_equal(got.calls, 2);
    assert_true(got.is_source && !got.is_silent);
}

static void a_silent_agent_explains_its_sources(void **state)
{
    (void)state;
    roster_heard(roster, agent, T0);
    roster_heard_source(roster, agent, STR("auth"), T0);
    int64_t later = T0 + 2 * SOURCE_S * S;
    roster_check(roster, later, LONG_AGO);
    assert_int_equal(got.calls, 1);
    assert_false(got.is_source);
    roster_heard(roster, agent, later + S); /* back: its lines may be on their way */
    roster_check(roster, later + 2 * S, LONG_AGO);
    assert_int_equal(got.calls, 2);
    roster_heard(roster, agent, later + 2 * AGENT_S * S);
    roster_check(roster, later + 2 * AGENT_S * S, LONG_AGO);
    assert_int_equal(got.calls, 3);
    assert_true(got.is_source && got.is_silent);
}

static void sources_are_bounded(void **state)
{
    (void)state;
    char name[300];
    for (int i = 0; i < 2 * ROSTER_SOURCES_MAX; i++) {
        int len = snprintf(name, sizeof(name), "source-%d", i);
        roster_heard_source(roster, agent, (struct str){name, (size_t)len}, T0);
    }
    assert_int_equal(agent->n_sources, ROSTER_SOURCES_MAX);
    memset(name, 'x', sizeof(name));
    roster_heard_source(roster, agent, (struct str){name, sizeof(name)}, T0); /* no room: ignored */
    assert_int_equal(agent->n_sources, ROSTER_SOURCES_MAX);
}

static void odd_names_are_one_source(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        roster_heard_source(roster, agent, (struct str){"a\0b", 3}, T0);
        roster_heard_source(roster, agent, (struct str){NULL, 0}, T0);
    }
    assert_int_equal(agent->n_sources, 2);
}

static void only_flat_numbers_are_statistics(void **state)
{
    (void)state;
    const char *const bad[] = {"",
                               "[]",
                               "{\"a\": \"x\"}",
                               "{\"a\": {\"b\": 1}}",
                               "{\"a\": 1",
                               "{\"a\":1}x",
                               "{\"a\":[1]}",
                               "7",
                               "{\"a\":1,\"a\":2}"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(roster_stats(agent, str_of(bad[i])), -EBADMSG);
    assert_string_equal(agent->stats_json, "{}");
    assert_int_equal(roster_stats(agent, STR("{ \"lines\": 12, \"rate\": 1.5 }")), 0);
    assert_string_equal(agent->stats_json, "{\"lines\":12,\"rate\":1.5}");
    char big[32 * KIB];
    memset(big, ' ', sizeof(big));
    assert_int_equal(roster_stats(agent, (struct str){big, sizeof(big)}), -EBADMSG);
}

static void agents_are_found_by_id(void **state)
{
    (void)state;
    uint8_t id[ID_LEN] = {0};
    for (uint32_t i = 0; i < 500; i++) {
        put_u32(id, i * 2654435761u);
        struct roster_agent *a = NULL, *again = NULL;
        assert_int_equal(roster_add(roster, id, &a), 0);
        assert_int_equal(roster_add(roster, id, &again), 0);
        assert_ptr_equal(a, again);
    }
    for (uint32_t i = 0; i < 500; i++) {
        put_u32(id, i * 2654435761u);
        assert_non_null(roster_find(roster, id));
    }
    put_u32(id, 1);
    assert_null(roster_find(roster, id));
}

static void survives_in_the_database(void **state)
{
    char path[600];
    snprintf(path, sizeof(path), "%s/state.db", (char *)*state);
    struct diag diag = {0};
    sqlite3 *db = NULL;
    assert_int_equal(store_open(path, STORE_DURABLE, &db, &diag), 0);
    uint8_t id[ID_LEN] = {7};
    assert_int_equal(setup(NULL), 0);
    char sql[300];
    snprintf(sql, sizeof(sql),
             "INSERT INTO agents (id, host, enrolled_ns, serial, not_after_ns) VALUES ('%s', 'old', 1, 'x', 2)",
             agent->id_text);
    assert_int_equal(store_exec(db, sql, &diag), 0);
    roster_hello(agent, STR("web-1"), STR("0.1.0"));
    roster_stats(agent, STR("{\"n\":1}"));
    roster_heard(roster, agent, T0);
    roster_heard_source(roster, agent, STR("auth"), T0);
    roster_check(roster, T0 + 2 * AGENT_S * S, LONG_AGO);
    assert_int_equal(roster_save(roster, db, &diag), 0);
    roster_free(roster);

    roster = roster_new(AGENT_S * S, SOURCE_S * S, on_change, NULL);
    assert_int_equal(roster_load(roster, db, &diag), 0);
    agent = roster_find(roster, id);
    assert_non_null(agent);
    assert_string_equal(agent->host, "web-1");
    assert_string_equal(agent->version, "0.1.0");
    assert_string_equal(agent->stats_json, "{\"n\":1}");
    assert_int_equal(agent->last_seen_ns, T0);
    assert_int_equal(agent->n_sources, 1);
    memset(&got, 0, sizeof(got));
    roster_check(roster, T0 + 3 * AGENT_S * S, LONG_AGO);
    assert_int_equal(got.calls, 0); /* it was told before the restart */
    roster_heard(roster, agent, T0 + 3 * AGENT_S * S);
    assert_int_equal(got.calls, 1);

    assert_int_equal(store_exec(db, "UPDATE agents SET revoked_ns = 5, host = 'other'", &diag), 0);
    assert_int_equal(roster_refresh(roster, db, &diag), 0);
    assert_true(agent->is_revoked);
    assert_string_equal(agent->host, "web-1"); /* the roster's own columns are not read again */
    teardown(NULL);
    store_close(db);
}

#define WITH_ROSTER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_ROSTER(an_agent_goes_silent_once),
        WITH_ROSTER(never_seen_or_revoked_is_not_silent),
        WITH_ROSTER(a_start_gives_time_to_come_back),
        WITH_ROSTER(a_source_goes_silent_while_its_agent_speaks),
        WITH_ROSTER(a_silent_agent_explains_its_sources),
        WITH_ROSTER(sources_are_bounded),
        WITH_ROSTER(odd_names_are_one_source),
        WITH_ROSTER(only_flat_numbers_are_statistics),
        WITH_ROSTER(agents_are_found_by_id),
        cmocka_unit_test_setup_teardown(survives_in_the_database, tmp_dir_setup, tmp_dir_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
