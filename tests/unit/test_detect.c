/* SPDX-License-Identifier: Apache-2.0
 * Detection behind a real archive, with the real decoders: the same alerts whatever the batches, the restarts and the
 * order of arrival; a broken rule set is not taken. */
#include "collector/archive.h"
#include "collector/content.h"
#include "collector/detect.h"
#include "collector/store.h"
#include "common/file.h"
#include "common/log.h"
#include "common/time.h"
#include "tests/unit/test.h"

#include <poll.h>
#include <zlib.h>

#define WAIT_MS 10000
#define T0      INT64_C(1773550800) /* 2026-03-15T05:00:00Z, in the middle of a period */

static struct collector c;
static char dir[500];
static struct diag diag;
static uint64_t next_pos;    /* of the one stream the tests write */
static int64_t append_at_ns; /* when that is said to have come; 0: now */

static const char rules[] = "title: Failed\n"
                            "id: 11111111-1111-4111-8111-111111111111\n"
                            "name: failed\n"
                            "logsource: {product: linux, service: sshd}\n"
                            "detection: {selection: {event.outcome: failure}, condition: selection}\n"
                            "level: low\n"
                            "---\n"
                            "title: Root in\n"
                            "id: 22222222-2222-4222-8222-222222222222\n"
                            "logsource: {product: linux, service: sshd}\n"
                            "detection: {selection: {event.outcome: success, user.name: root}, condition: selection}\n"
                            "level: high\n"
                            "---\n"
                            "title: Brute force\n"
                            "id: 33333333-3333-4333-8333-333333333333\n"
                            "correlation:\n"
                            "  type: event_count\n"
                            "  rules: [failed]\n"
                            "  group-by: [source.ip]\n"
                            "  timespan: 5m\n"
                            "  condition: {gte: 5}\n"
                            "generate: true\n"
                            "level: high\n";

static void write_text(const char *name, const char *text)
{
    char path[600];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    assert_int_equal(file_write_atomic(path, str_of(text), 0600), 0);
}

static int setup(void **state)
{
    if (tmp_dir_setup(state) < 0)
        return -1;
    const char *source = getenv("VONGGAC_SOURCE");
    if (!source)
        return -1;
    log_init("test", LOG_LEVEL_ERROR);
    snprintf(dir, sizeof(dir), "%s", (char *)*state);
    char text[3000], path[600];
    snprintf(text, sizeof(text),
             "state_dir: %s\nrules: [%s/rules.yml]\nmappings: [%s/rules/mappings]\ndecoders: [%s/rules/decoders]\n",
             dir, dir, source, source);
    write_text("c.yml", text);
    write_text("rules.yml", rules);
    snprintf(path, sizeof(path), "%s/c.yml", dir);
    struct diags ds;
    diags_init(&ds, 10);
    memset(&c, 0, sizeof(c));
    if (collector_config_load(path, &c.config, &ds) < 0 || collector_init(&c) < 0)
        return -1;
    diags_clear(&ds);
    if (content_load(&c.config, &c.content, &diag) < 0)
        fail_msg("%s", diag.msg);
    assert_int_equal(content_diags(c.content)->errors, 0);
    assert_int_equal(file_mkdirs(c.config.archive_dir, 0700), 0);
    assert_int_equal(archive_open(c.config.archive_dir, 64 * MIB, &c.archive, &diag), 0);
    next_pos = 0;
    append_at_ns = 0;
    return 0;
}

static int teardown(void **state)
{
    c.archive = archive_close(c.archive);
    collector_clear(&c);
    return tmp_dir_teardown(state);
}

static void append(const char *raw, uint8_t flags)
{
    struct buf out = BUF_INIT(BATCH_MAX);
    uint64_t pos;
    struct batch b = {.agent = {1},
                      .stream = {2},
                      .seq = next_pos + 1,
                      .start = next_pos,
                      .end = next_pos + strlen(raw),
                      .read_last_ns = append_at_ns ? append_at_ns : time_now_ns(),
                      .encoding = BATCH_TEXT,
                      .flags = flags,
                      .source = STR("auth"),
                      .type = STR(""),
                      .path = STR("/var/log/auth.log"),
                      .host = STR("web-1"),
                      .cursor = STR("")};
    for (const char *p = raw; (p = strchr(p, '\n')); p++)
        b.records++;
    assert_int_equal(batch_encode(&b, str_of(raw), 1, &out), 0);
    assert_int_equal(archive_append(c.archive, buf_str(&out), append_at_ns ? append_at_ns : time_now_ns(), &pos), 0);
    assert_int_equal(archive_sync(c.archive), 0);
    next_pos = b.end;
    buf_clear(&out);
    atomic_store(&c.durable_end, archive_end(c.archive));
    notify_raise(&c.archive_grown);
}

static int line(char *out, size_t size, int64_t at_s, const char *message)
{
    char at[TIME_RFC3339_LEN];
    time_format_rfc3339((T0 + at_s) * NS_PER_S, at);
    return snprintf(out, size, "%s web-1 sshd[99]: %s\n", at, message);
}

#define FAILED(ip) "Failed password for invalid user admin from " ip " port 4022 ssh2"

static void start(void)
{
    stat_set(STAT_DETECT_POSITION, 0);
    assert_int_equal(detect_start(&c), 0);
}

static void wait_until_seen(void)
{
    for (int ms = 0; ms < WAIT_MS; ms += 5) {
        if ((uint64_t)stat_get(STAT_DETECT_POSITION) == archive_end(c.archive))
            return;
        poll(NULL, 0, 5);
    }
    fail_msg("detection did not get to the archive's end");
}

/* What the tests compare: every alert but the times of writing. */
static char *alerts_text(void)
{
    static char text[64 * KIB];
    sqlite3 *db = NULL;
    sqlite3_stmt *s = NULL;
    const char *sql =
        "SELECT group_concat(x, char(10)) FROM (SELECT id || ' ' || rule_title || ' ' || group_json || ' ' || count"
        " || ' ' || first_ns || ' ' || last_ns || ' ' || (SELECT count(*) FROM alert_events WHERE alert_id ="
        " alerts.id) AS x FROM alerts ORDER BY id)";
    assert_int_equal(store_open(c.config.db_path, STORE_READER, &db, &diag), 0);
    assert_int_equal(store_prepare(db, &sql, 1, &s, &diag), 0);
    assert_int_equal(store_row(s, &diag), 1);
    struct str t = store_col_str(s, 0);
    snprintf(text, sizeof(text), "%.*s", (int)t.len, t.p ? t.p : "");
    sqlite3_finalize(s);
    store_close(db);
    return text;
}

static int64_t ask(const char *sql)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *s = NULL;
    assert_int_equal(store_open(c.config.db_path, STORE_READER, &db, &diag), 0);
    if (store_prepare(db, &sql, 1, &s, &diag) < 0)
        fail_msg("%s", diag.msg);
    assert_int_equal(store_row(s, &diag), 1);
    int64_t v = store_col_int(s, 0);
    sqlite3_finalize(s);
    store_close(db);
    return v;
}

static void lines_become_alerts(void **state)
{
    (void)state;
    char text[4096];
    int n = line(text, sizeof(text), 0, "Accepted password for root from 198.51.100.7 port 22 ssh2");
    for (int i = 0; i < 6; i++)
        n += line(text + n, sizeof(text) - (size_t)n, 10 + i, FAILED("203.0.113.9"));
    append(text, 0);
    start();
    wait_until_seen();
    assert_int_equal(ask("SELECT count(*) FROM alerts"), 8);
    assert_int_equal(
        ask("SELECT count(*) FROM alerts WHERE rule_title = 'Root in' AND kind = 'detection' AND level = 3 AND"
            " user = 'root' AND source_ip = '198.51.100.7' AND host = 'web-1' AND count = 1 AND is_demo = 0 AND"
            " json_extract(event_json, '$.\"event.original\"') LIKE '%Accepted password%'"),
        1);
    assert_int_equal(
        ask("SELECT count(*) FROM alerts WHERE rule_title = 'Brute force' AND kind = 'correlation' AND"
            " count = 6 AND group_json = '{\"source.ip\":\"203.0.113.9\"}' AND last_ns - first_ns = 5000000000"),
        1);
    assert_int_equal(ask("SELECT count(*) FROM streams WHERE hex(agent) LIKE '01%' AND hex(stream) LIKE '02%'"), 1);
    assert_int_equal(ask("SELECT end FROM streams"), (int64_t)next_pos);
    assert_int_equal(ask("SELECT pos FROM checkpoint"), (int64_t)archive_end(c.archive));

    n = line(text, sizeof(text), 20, FAILED("203.0.113.9")); /* an update, seen at once */
    notify_clear(&c.alerts_changed);
    append(text, BATCH_DEMO);
    wait_until_seen();
    struct pollfd fd = {.fd = c.alerts_changed.fd, .events = POLLIN};
    assert_int_equal(poll(&fd, 1, 1000), 1);
    assert_int_equal(ask("SELECT count FROM alerts WHERE rule_title = 'Brute force'"), 7);
    assert_int_equal(ask("SELECT count(*) FROM alerts WHERE is_demo = 1 AND rule_title = 'Failed'"), 1);
    detect_stop(&c);
}

/* A busy quarter of an hour: three strangers, attempts every few seconds, now and then a login. */
enum { BUSY_LINES = 300 };

static void busy_line(int i, char *out, size_t size)
{
    static const char *const messages[] = {FAILED("203.0.113.1"), FAILED("203.0.113.2"), FAILED("203.0.113.3"),
                                           "Accepted password for root from 198.51.100.7 port 22 ssh2",
                                           "Accepted password for lan from 198.51.100.7 port 22 ssh2"};
    unsigned pick = ((unsigned)i * 2654435761u) >> 28;
    line(out, size, i * 3 + (int)(pick & 1), messages[pick % ARRAY_LEN(messages)]);
}

static void batches_and_restarts_change_nothing(void **state)
{
    (void)state;
    char text[BUSY_LINES * 160], one[200];
    size_t at = 0;
    for (int i = 0; i < BUSY_LINES; i++) {
        busy_line(i, text + at, sizeof(text) - at);
        at += strlen(text + at);
    }
    append(text, 0);
    start();
    wait_until_seen();
    detect_stop(&c);
    char *expected = strdup(alerts_text());
    assert_non_null(strstr(expected, "Brute force"));
    assert_non_null(strstr(expected, "Root in"));

    void *again = NULL;
    void **where = &again;
    teardown(state);
    assert_int_equal(setup(where), 0);
    *state = again;
    for (int i = 0; i < BUSY_LINES; i++) { /* a line a batch, and a new process every 23 of them */
        busy_line(i, one, sizeof(one));
        append(one, 0);
        if (i % 23 == 0) {
            start();
            wait_until_seen();
            detect_stop(&c);
        }
    }
    start();
    wait_until_seen();
    detect_stop(&c);
    assert_string_equal(alerts_text(), expected);
    free(expected);
}

static void a_lost_checkpoint_changes_nothing(void **state)
{
    (void)state;
    char one[200];
    for (int i = 0; i < 100; i++) {
        busy_line(i, one, sizeof(one));
        append(one, 0);
    }
    start();
    wait_until_seen();
    detect_stop(&c);
    char *expected = strdup(alerts_text());
    int64_t change = ask("SELECT max(change) FROM alerts");
    sqlite3 *db = NULL; /* as a power cut may leave it */
    assert_int_equal(store_open(c.config.db_path, STORE_DURABLE, &db, &diag), 0);
    assert_int_equal(store_exec(db, "DELETE FROM checkpoint; DELETE FROM streams", &diag), 0);
    store_close(db);
    start();
    wait_until_seen();
    detect_stop(&c);
    assert_string_equal(alerts_text(), expected);
    assert_int_equal(ask("SELECT max(change) FROM alerts"), change); /* nobody is told anything */
    assert_int_equal(ask("SELECT count(*) FROM streams"), 1);
    free(expected);
}

/* Makes the first segment one of that time, and rolls on to a second one. */
static void age_first_segment(int64_t created_ns)
{
    char path[700];
    uint8_t header[64];
    static char rubbish[1000 * 1000 + 2];
    for (size_t i = 0; i < 1000 * 1000; i++)
        rubbish[i] = (char)('!' + rand() % 90);
    rubbish[1000 * 1000] = '\n';
    snprintf(path, sizeof(path), "%s/%016x.vga", c.config.archive_dir, 0);
    FILE *f = fopen(path, "r+");
    assert_non_null(f);
    assert_int_equal(fread(header, sizeof(header), 1, f), 1);
    put_u64(header + 16, (uint64_t)created_ns);
    put_u32(header + 60, (uint32_t)crc32(0, header, 60));
    rewind(f);
    assert_int_equal(fwrite(header, sizeof(header), 1, f), 1);
    fclose(f);
    append(rubbish, 0);
    append(rubbish, 0);
}

static void a_late_event_finds_its_companions(void **state)
{
    (void)state;
    char one[200];
    const int64_t hours_ago = time_now_ns() / NS_PER_S - T0 - 36000;
    append_at_ns = (T0 + hours_ago) * NS_PER_S;
    c.archive = archive_close(c.archive);
    assert_int_equal(archive_open(c.config.archive_dir, 1, &c.archive, &diag), 0);
    for (int i = 0; i < 4; i++) {
        line(one, sizeof(one), hours_ago + i, FAILED("203.0.113.9"));
        append(one, 0);
    }
    age_first_segment(append_at_ns - NS_PER_S);
    append_at_ns = 0;
    start();
    wait_until_seen();
    detect_stop(&c);

    start();
    append("no time in this line\n", 0);
    wait_until_seen();
    int64_t read_back = stat_get(STAT_READ_BACK); /* what came within the last hours: the rubbish */
    assert_int_equal(stat_get(STAT_GROUPS), 0);
    line(one, sizeof(one), hours_ago + 4, FAILED("203.0.113.9")); /* the agent was away for long */
    append(one, 0);
    wait_until_seen();
    detect_stop(&c);
    assert_true(stat_get(STAT_READ_BACK) > read_back);
    assert_int_equal(ask("SELECT count FROM alerts WHERE rule_title = 'Brute force'"), 5);
}

static void wait_for(enum stat_id id, int64_t value)
{
    for (int ms = 0; ms < WAIT_MS && stat_get(id) < value; ms += 5)
        poll(NULL, 0, 5);
    assert_true(stat_get(id) >= value);
}

static void a_broken_set_is_not_taken(void **state)
{
    (void)state;
    char one[200];
    start();
    int64_t failed = stat_get(STAT_RELOADS_FAILED), done = stat_get(STAT_RELOADS);
    write_text("rules.yml", "title: Broken\nlogsource: {product: linux\n");
    detect_reload(&c);
    wait_for(STAT_RELOADS_FAILED, failed + 1);
    collector_content_lock(&c);
    assert_non_null(c.rejected);
    assert_true(content_diags(c.rejected)->errors > 0);
    collector_content_unlock(&c);
    line(one, sizeof(one), 0, "Accepted password for root from 198.51.100.7 port 22 ssh2");
    append(one, 0);
    wait_until_seen();
    assert_int_equal(ask("SELECT count(*) FROM alerts"), 1); /* the old rules are still at work */

    char *better = strdup(rules);
    memcpy(strstr(better, "gte: 5"), "gte: 3", 6);
    write_text("rules.yml", better);
    free(better);
    unsigned generation = c.content_generation;
    for (int i = 1; i < 3; i++) {
        line(one, sizeof(one), i, FAILED("203.0.113.9"));
        append(one, 0);
    }
    wait_until_seen();
    detect_reload(&c);
    wait_for(STAT_RELOADS, done + 1);
    line(one, sizeof(one), 3, FAILED("203.0.113.9"));
    append(one, 0);
    wait_until_seen();
    detect_stop(&c);
    assert_int_equal(c.content_generation, generation + 1);
    assert_null(c.rejected);
    assert_int_equal(ask("SELECT count FROM alerts WHERE rule_title = 'Brute force'"),
                     3); /* two came before the reload */
}

static void other_rules_keep_their_state(void **state)
{
    (void)state;
    char one[200];
    for (int i = 0; i < 4; i++) {
        line(one, sizeof(one), i, FAILED("203.0.113.9"));
        append(one, 0);
    }
    start();
    wait_until_seen();
    int64_t done = stat_get(STAT_RELOADS), read_back = stat_get(STAT_READ_BACK);
    char *other = strdup(rules);
    memcpy(strstr(other, "user.name: root"), "user.name: lan ", 15); /* of a rule that no correlation stands on */
    write_text("rules.yml", other);
    free(other);
    detect_reload(&c);
    wait_for(STAT_RELOADS, done + 1);
    line(one, sizeof(one), 4, FAILED("203.0.113.9"));
    append(one, 0);
    line(one, sizeof(one), 5, "Accepted password for lan from 198.51.100.7 port 22 ssh2");
    append(one, 0);
    wait_until_seen();
    detect_stop(&c);
    assert_int_equal(ask("SELECT count FROM alerts WHERE rule_title = 'Brute force'"), 5);
    assert_int_equal(ask("SELECT count(*) FROM alerts WHERE rule_title = 'Root in' AND user = 'lan'"), 1);
    assert_int_equal(stat_get(STAT_READ_BACK), read_back); /* nothing had to be read again for that */
}

static void what_waited_is_decided_by_the_clock(void **state)
{
    (void)state;
    char one[200], *few = strdup(rules);
    memcpy(strstr(few, "gte: 5"), "lt: 2 ", 6);
    write_text("rules.yml", few);
    free(few);
    line(one, sizeof(one), 0, FAILED("203.0.113.9"));
    append(one, 0);
    detect_reload(&c); /* before anything is read */
    start();
    wait_until_seen();
    for (int ms = 0; ms < WAIT_MS && ask("SELECT count(*) FROM alerts WHERE kind = 'correlation'") == 0; ms += 5)
        poll(NULL, 0, 5);
    detect_stop(&c);
    assert_int_equal(ask("SELECT count(*) FROM alerts WHERE rule_title = 'Brute force' AND count = 1 AND"
                         " source_ip = '203.0.113.9' AND json_extract(event_json, '$.\"source.ip\"') = '203.0.113.9'"),
                     1); /* its event is no longer at hand: the group stands for it */
    assert_int_equal(ask("SELECT count(*) FROM alert_events WHERE alert_id IN (SELECT id FROM alerts WHERE kind ="
                         " 'correlation')"),
                     1);
}

static void what_is_not_durable_is_not_seen(void **state)
{
    (void)state;
    char one[200];
    line(one, sizeof(one), 0, "Accepted password for root from 198.51.100.7 port 22 ssh2");
    append(one, 0);
    uint64_t durable = archive_end(c.archive);
    append(one, 0);
    atomic_store(&c.durable_end, durable); /* the second one's sync has not returned */
    start();
    for (int ms = 0; ms < WAIT_MS && (uint64_t)stat_get(STAT_DETECT_POSITION) < durable; ms += 5)
        poll(NULL, 0, 5);
    poll(NULL, 0, 100);
    assert_int_equal(ask("SELECT count(*) FROM alerts"), 1);
    atomic_store(&c.durable_end, archive_end(c.archive));
    notify_raise(&c.archive_grown);
    wait_until_seen();
    detect_stop(&c);
    assert_int_equal(ask("SELECT count(*) FROM alerts"), 2);
}

static void a_flood_of_alerts_fits(void **state)
{
    (void)state;
    enum { LINES = 8000 };
    char *text = calloc(LINES, 120), one[200];
    size_t at = 0;
    for (int i = 0; i < LINES; i++) {
        int n = line(one, sizeof(one), i / 100, FAILED("203.0.113.9"));
        memcpy(text + at, one, (size_t)n);
        at += (size_t)n;
    }
    append(text, 0);
    start();
    wait_until_seen();
    detect_stop(&c);
    assert_int_equal(ask("SELECT count(*) FROM alerts WHERE rule_title = 'Failed'"), LINES);
    assert_int_equal(ask("SELECT count FROM alerts WHERE rule_title = 'Brute force'"), LINES);
    free(text);
}

#define WITH_ARCHIVE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_ARCHIVE(lines_become_alerts),
        WITH_ARCHIVE(batches_and_restarts_change_nothing),
        WITH_ARCHIVE(a_lost_checkpoint_changes_nothing),
        WITH_ARCHIVE(a_late_event_finds_its_companions),
        WITH_ARCHIVE(a_broken_set_is_not_taken),
        WITH_ARCHIVE(other_rules_keep_their_state),
        WITH_ARCHIVE(what_waited_is_decided_by_the_clock),
        WITH_ARCHIVE(what_is_not_durable_is_not_seen),
        WITH_ARCHIVE(a_flood_of_alerts_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
