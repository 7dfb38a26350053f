/* SPDX-License-Identifier: Apache-2.0
 * The state database: schema once, modes, transactions, error numbers, the audit trail. */
#include "collector/store.h"
#include "tests/unit/test.h"

#include <sys/stat.h>
#include <sys/wait.h>

static char path[600];

static sqlite3 *open_in(const char *dir, enum store_mode mode)
{
    snprintf(path, sizeof(path), "%s/state.db", dir);
    struct diag diag = {0};
    sqlite3 *db = NULL;
    if (store_open(path, mode, &db, &diag) < 0)
        fail_msg("store_open: %s", diag.msg);
    return db;
}

static int64_t ask(sqlite3 *db, const char *sql)
{
    struct diag diag = {0};
    sqlite3_stmt *s = NULL;
    assert_int_equal(store_prepare(db, &sql, 1, &s, &diag), 0);
    assert_int_equal(store_row(s, &diag), 1);
    int64_t v = store_col_int(s, 0);
    sqlite3_finalize(s);
    return v;
}

static void opens_twice(void **state)
{
    sqlite3 *a = open_in(*state, STORE_DURABLE);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    sqlite3 *b = open_in(*state, STORE_DERIVED);
    assert_int_equal(ask(a, "PRAGMA user_version"), STORE_VERSION);
    assert_int_equal(ask(a, "PRAGMA synchronous"), 2);
    assert_int_equal(ask(b, "PRAGMA synchronous"), 1);
    assert_int_equal(ask(b, "PRAGMA foreign_keys"), 1);
    assert_int_equal(ask(b, "SELECT count(*) FROM alerts"), 0);
    store_close(a);
    store_close(b);
}

static void a_reader_needs_a_file_and_cannot_write(void **state)
{
    snprintf(path, sizeof(path), "%s/state.db", (char *)*state);
    struct diag diag = {0};
    sqlite3 *db = NULL;
    assert_int_equal(store_open(path, STORE_READER, &db, &diag), -ENOENT);
    assert_null(db);
    assert_non_null(strstr(diag.msg, path));
    store_close(open_in(*state, STORE_DURABLE));
    db = open_in(*state, STORE_READER);
    assert_int_equal(store_exec(db, "INSERT INTO checkpoint VALUES (1, 0)", &diag), -EACCES);
    store_close(db);
}

static void a_newer_file_is_refused(void **state)
{
    sqlite3 *db = open_in(*state, STORE_DURABLE);
    struct diag diag = {0};
    assert_int_equal(store_exec(db, "PRAGMA user_version = 99", &diag), 0);
    store_close(db);
    db = NULL;
    assert_int_equal(store_open(path, STORE_DURABLE, &db, &diag), -EPROTO);
    assert_int_equal(store_open(path, STORE_READER, &db, &diag), -EPROTO);
    assert_null(db);
}

static void rubbish_is_refused(void **state)
{
    snprintf(path, sizeof(path), "%s/state.db", (char *)*state);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (int i = 0; i < 5000; i++)
        fputs("not a database ", f);
    fclose(f);
    struct diag diag = {0};
    sqlite3 *db = NULL;
    assert_int_equal(store_open(path, STORE_DURABLE, &db, &diag), -EBADMSG);
    assert_true(diag.msg[0]);
}

enum { INSERT, COUNT, N_SQL };
static const char *const sql[N_SQL] = {
    [INSERT] = "INSERT INTO tokens (hash, created_ns, expires_ns, uses_left, note) VALUES (?, ?, ?, ?, ?)",
    [COUNT] = "SELECT count(*), max(note) FROM tokens",
};

static int insert(sqlite3_stmt *s, const char *hash, struct str note, struct diag *diag)
{
    store_bind_blob(s, 1, hash, strlen(hash));
    for (int i = 2; i <= 4; i++)
        store_bind_int(s, i, i);
    store_bind_str(s, 5, note);
    return store_run(s, diag);
}

static void transactions_are_whole(void **state)
{
    sqlite3 *db = open_in(*state, STORE_DURABLE);
    sqlite3_stmt *s[N_SQL];
    struct diag diag = {0};
    assert_int_equal(store_prepare(db, sql, N_SQL, s, &diag), 0);
    assert_int_equal(store_begin(db, &diag), 0);
    assert_int_equal(insert(s[INSERT], "one", STR("a"), &diag), 0);
    assert_int_equal(insert(s[INSERT], "one", STR("again"), &diag), -EEXIST);
    store_rollback(db);
    store_rollback(db); /* nothing open: fine */
    assert_int_equal(ask(db, "SELECT count(*) FROM tokens"), 0);

    assert_int_equal(store_begin(db, &diag), 0);
    assert_int_equal(insert(s[INSERT], "two", (struct str){"b\0c", 3}, &diag), 0);
    assert_int_equal(insert(s[INSERT], "three", (struct str){NULL, 0}, &diag), -EEXIST); /* NOT NULL */
    assert_int_equal(store_commit(db, &diag), 0);
    assert_int_equal(store_row(s[COUNT], &diag), 1);
    assert_int_equal(store_col_int(s[COUNT], 0), 1);
    assert_int_equal(store_col_str(s[COUNT], 1).len, 3);
    assert_int_equal(store_row(s[COUNT], &diag), 0);
    store_finalize(s, N_SQL);
    store_close(db);
}

static void a_held_lock_is_busy(void **state)
{
    sqlite3 *a = open_in(*state, STORE_DURABLE), *b = open_in(*state, STORE_DURABLE);
    sqlite3_busy_timeout(b, 10);
    struct diag diag = {0};
    assert_int_equal(store_begin(a, &diag), 0);
    assert_int_equal(store_begin(b, &diag), -EBUSY);
    assert_int_equal(store_commit(a, &diag), 0);
    assert_int_equal(store_begin(b, &diag), 0);
    store_rollback(b);
    store_close(a);
    store_close(b);
}

static void a_bad_statement_leaves_none(void **state)
{
    sqlite3 *db = open_in(*state, STORE_DURABLE);
    const char *const bad[] = {"SELECT 1", "SELECT nothing FROM nowhere"};
    sqlite3_stmt *s[2];
    struct diag diag = {0};
    assert_true(store_prepare(db, bad, 2, s, &diag) < 0);
    assert_null(s[0]);
    assert_null(s[1]);
    store_close(db);
}

static void audit_rows_stay(void **state)
{
    sqlite3 *db = open_in(*state, STORE_DURABLE);
    struct diag diag = {0};
    assert_int_equal(store_audit(db, STR("cli:0"), "agent.revoke", STR("x"), NULL, &diag), 0);
    assert_int_equal(store_exec(db, "DELETE FROM audit", &diag), -EEXIST);
    assert_int_equal(store_exec(db, "UPDATE audit SET user = 'nobody'", &diag), -EEXIST);
    assert_int_equal(ask(db, "SELECT count(*) FROM audit WHERE user = 'cli:0' AND detail_json = '{}'"), 1);
    store_close(db);
}

static void changes_count_up(void **state)
{
    sqlite3 *db = open_in(*state, STORE_DURABLE);
    struct diag diag = {0};
    int64_t change = 0;
    assert_int_equal(store_next_change(db, &change, &diag), 0);
    assert_int_equal(change, 1);
    assert_int_equal(
        store_exec(db,
                   "INSERT INTO alerts (id, change, rule_id, rule_title, rule_json, kind, level, agent, host,"
                   " event_json, matched_json, count, first_ns, last_ns, created_ns, updated_ns) VALUES"
                   " ('a', 41, 'r', 't', '{}', 'detection', 2, 'g', 'h', '{}', '[]', 1, 1, 1, 1, 1)",
                   &diag),
        0);
    assert_int_equal(store_next_change(db, &change, &diag), 0);
    assert_int_equal(change, 42);
    store_close(db);
}

/* What the test does as another process: prints nothing, exits with the number of rows. */
static int count_rows(const char *db_path)
{
    struct diag diag;
    sqlite3 *db = NULL;
    sqlite3_stmt *s = NULL;
    const char *count = "SELECT count(*) FROM tokens";
    if (store_open(db_path, STORE_READER, &db, &diag) < 0 || store_prepare(db, &count, 1, &s, &diag) < 0 ||
        store_row(s, &diag) != 1)
        return 255;
    int n = (int)store_col_int(s, 0);
    sqlite3_finalize(s);
    store_close(db); /* the last connection to go would take the log with it */
    return n;
}

static int rows_seen_by_another_process(void)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) { /* a new program: a forked one would inherit what SQLite knows of our locks */
        execl("/proc/self/exe", "test_store", "count", path, NULL);
        _exit(254);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* Opening a second connection must not drop the first one's locks. */
static void other_processes_see_every_commit(void **state)
{
    sqlite3 *a = open_in(*state, STORE_DERIVED);
    sqlite3_stmt *s[N_SQL];
    struct diag diag = {0};
    assert_int_equal(store_prepare(a, sql, N_SQL, s, &diag), 0);
    assert_int_equal(insert(s[INSERT], "one", STR("a"), &diag), 0);
    sqlite3 *b = open_in(*state, STORE_DURABLE);
    store_close(open_in(*state, STORE_READER));
    assert_int_equal(rows_seen_by_another_process(), 1);
    assert_int_equal(insert(s[INSERT], "two", STR("b"), &diag), 0);
    assert_int_equal(rows_seen_by_another_process(), 2);
    assert_int_equal(insert(s[INSERT], "three", STR("c"), &diag), 0);
    assert_int_equal(ask(b, "SELECT count(*) FROM tokens"), 3);
    assert_int_equal(rows_seen_by_another_process(), 3);
    store_finalize(s, N_SQL);
    store_close(a);
    store_close(b);
}

#define IN_DIR(test) cmocka_unit_test_setup_teardown(test, tmp_dir_setup, tmp_dir_teardown)

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "count") == 0)
        return count_rows(argv[2]);
    const struct CMUnitTest tests[] = {
        IN_DIR(opens_twice),
        IN_DIR(a_reader_needs_a_file_and_cannot_write),
        IN_DIR(a_newer_file_is_refused),
        IN_DIR(rubbish_is_refused),
        IN_DIR(transactions_are_whole),
        IN_DIR(a_held_lock_is_busy),
        IN_DIR(a_bad_statement_leaves_none),
        IN_DIR(audit_rows_stay),
        IN_DIR(changes_count_up),
        IN_DIR(other_processes_see_every_commit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
