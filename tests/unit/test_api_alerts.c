/* SPDX-License-Identifier: Apache-2.0
 *
 * Alerts, what is decided about them, and incidents, over the API's real socket.
 */
#include "tests/unit/api_fixture.h"

/* --- alerts --- */

static size_t listed(const struct client *cl, const char *query)
{
    char path[512];
    snprintf(path, sizeof(path), "/api/alerts?%s", query);
    struct answer a = ask(cl, path, NULL);
    if (a.status != 200)
        fail_msg("%s: %ld", path, a.status);
    size_t n = json_array_size(json_object_get(a.body, "alerts"));
    assert_int_equal(int_at(a.body, "total", NULL), n); /* all fit into one page here */
    done(&a);
    return n;
}

static void seed_some(struct fixture *f)
{
    add_alert(
        f, &(struct seed){.id = "a1",
                          .rule = "ssh",
                          .title = "SSH brute force",
                          .title_vi = "Dò mật khẩu SSH",
                          .level = 3,
                          .user = "root",
                          .source = "203.0.113.7",
                          .last_ns = T0,
                          .event = "{\"message\":\"Failed password for Đặng Lan\",\"user.name\":\"root\",\"source.ip\":"
                                   "\"203.0.113.7\",\"process.command_line\":\"C:\\\\x \\\"y\\\"\"}"});
    add_alert(f, &(struct seed){.id = "a2",
                                .rule = "ssh",
                                .title = "SSH brute force",
                                .title_vi = "Dò mật khẩu SSH",
                                .level = 3,
                                .host = "db01",
                                .source = "203.0.113.8",
                                .last_ns = T0 + NS_PER_S});
    add_alert(f, &(struct seed){.id = "a3",
                                .rule = "sqli",
                                .title = "SQL injection",
                                .level = 4,
                                .is_demo = true,
                                .last_ns = T0 + 2 * NS_PER_S,
                                .event = "{\"url.query\":\"id=1 union select\",\"user.name\":[\"a\",\"b\"]}"});
    add_alert(f, &(struct seed){
                     .id = "a4", .rule = "sudo", .title = "100% sudo_failure", .level = 1, .last_ns = T0 - NS_PER_S});
}

static void lists_filter(void **state)
{
    struct fixture *f = *state;
    add_user(f, "lan", false);
    seed_some(f);
    struct client cl = login(f, "lan");
    assert_int_equal(listed(&cl, ""), 4);
    assert_int_equal(listed(&cl, "status=closed"), 0);
    assert_int_equal(listed(&cl, "status=all"), 4);
    assert_int_equal(listed(&cl, "level=3,4"), 3);
    assert_int_equal(listed(&cl, "level=1&rule=sudo"), 1);
    assert_int_equal(listed(&cl, "rule=ssh"), 2);
    assert_int_equal(listed(&cl, "host=db01"), 1);
    assert_int_equal(listed(&cl, "demo=0"), 3);
    assert_int_equal(listed(&cl, "q=ssh"), 2);
    assert_int_equal(listed(&cl, "q=d%C3%B2%20M%E1%BA%ACT"), 2); /* dò MẬT, in the Vietnamese title */
    assert_int_equal(listed(&cl, "q=%C4%90%E1%BA%B6NG"), 1);     /* ĐẶNG, in an event */
    assert_int_equal(listed(&cl, "q=100%25"), 1);                /* no wildcard of SQL */
    assert_int_equal(listed(&cl, "q=sudo_failure"), 1);
    assert_int_equal(listed(&cl, "q=sudoxfailure"), 0);
    assert_int_equal(listed(&cl, "q=C:%5Cx"), 1); /* a colon that is no field's */
    assert_int_equal(listed(&cl, "q=user.name:ROOT"), 1);
    assert_int_equal(listed(&cl, "q=user.name:b"), 1);
    assert_int_equal(listed(&cl, "q=source.ip:203.0.113.*"), 1);
    assert_int_equal(listed(&cl, "q=%22union%20select%22"), 1);
    assert_int_equal(listed(&cl, "q=%22select%20union%22"), 0);
    assert_int_equal(listed(&cl, "q=-ssh"), 2);
    assert_int_equal(listed(&cl, "q=ssh%20-host01%20-203.0.113.8"), 1);
    assert_int_equal(listed(&cl, "q=%27%3B%20DROP%20TABLE%20alerts%3B--"), 0);
    assert_int_equal(listed(&cl, "host=%27%20OR%201%3D1%20--"), 0);
    assert_int_equal(listed(&cl, "from=2026-11-23T16:06:40Z&to=2026-11-23T16:06:41Z"), 2);
    static const char *const bad[] = {"status=nope",     "level=5",
                                      "level=",          "limit=0",
                                      "limit=501",       "sort=up",
                                      "cursor=x",        "from=yesterday",
                                      "from=2026-11-23", "group=2",
                                      "q=%22open",       "q=user.name:",
                                      "colour=red",      "q=a+b+c+d+e+f+g+h+i+j+k+l+m+n+o+p+q"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        char path[128];
        snprintf(path, sizeof(path), "/api/alerts?%s", bad[i]);
        expect(&cl, path, NULL, 400, "bad_request");
    }
    assert_int_equal(number(f, "SELECT count(*) FROM alerts"), 4);
}

static void facets_ignore_their_own_filter(void **state)
{
    struct fixture *f = *state;
    add_user(f, "lan", false);
    seed_some(f);
    struct client cl = login(f, "lan");
    struct answer a = ask(&cl, "/api/alerts?rule=ssh&level=3&group=1&q=s", NULL);
    json_t *facets = json_object_get(a.body, "facets");
    assert_int_equal(int_at(a.body, "total", NULL), 2);
    assert_int_equal(int_at(facets, "level", "3"), 2);
    assert_null(json_object_get(json_object_get(facets, "level"), "4"));
    assert_int_equal(json_array_size(json_object_get(facets, "rule")), 1); /* level 3 still holds */
    assert_int_equal(json_array_size(json_object_get(facets, "host")), 2);
    assert_int_equal(int_at(facets, "status", "new"), 2);
    assert_string_equal(text_at(json_array_get(json_object_get(facets, "rule"), 0), "title_vi", NULL),
                        "Dò mật khẩu SSH");
    assert_int_equal(json_array_size(json_object_get(a.body, "groups")), 2);
    done(&a);
    a = ask(&cl, "/api/alerts?rule=ssh&group=1", NULL);
    facets = json_object_get(a.body, "facets");
    assert_int_equal(json_array_size(json_object_get(facets, "rule")), 3); /* so a second rule can be picked */
    json_t *group = json_array_get(json_object_get(a.body, "groups"), 0);
    assert_string_equal(text_at(group, "host", NULL), "db01");
    assert_int_equal(int_at(group, "count", NULL), 1);
    assert_int_equal(int_at(group, "new", NULL), 1);
    assert_string_equal(text_at(group, "rule_title", NULL), "SSH brute force");
    done(&a);
}

/* Walks all pages; rows that come in between must neither repeat nor hide others. */
static void walk_pages(struct fixture *f, const struct client *cl, const char *sort, size_t want)
{
    char path[256], next[128] = "";
    json_t *seen = json_object();
    size_t pages = 0;
    for (;;) {
        snprintf(path, sizeof(path), "/api/alerts?limit=40&sort=%s%s%s", sort, next[0] ? "&cursor=" : "", next);
        struct answer a = ask(cl, path, NULL);
        assert_int_equal(a.status, 200);
        size_t i;
        json_t *alert;
        json_array_foreach(json_object_get(a.body, "alerts"), i, alert)
        {
            const char *id = text_at(alert, "id", NULL);
            if (json_object_get(seen, id))
                fail_msg("%s came twice", id);
            json_object_set_new(seen, id, json_true());
        }
        snprintf(next, sizeof(next), "%s", text_at(a.body, "next", NULL));
        done(&a);
        if (!next[0])
            break;
        char id[48];
        snprintf(id, sizeof(id), "new-%s-%zu", sort, pages++);
        add_alert(f, &(struct seed){.id = id, .level = 4, .last_ns = T0 + (int64_t)(10000 + pages) * NS_PER_S});
    }
    for (size_t i = 0; i < want; i++) {
        char id[16];
        snprintf(id, sizeof(id), "alert-%05zu", i);
        assert_non_null(json_object_get(seen, id));
    }
    json_decref(seen);
}

static void pages_are_stable(void **state)
{
    struct fixture *f = *state;
    add_user(f, "lan", false);
    add_alerts(f, 130, T0);
    assert_int_equal(store_exec(f->db, "UPDATE alerts SET last_ns = last_ns - last_ns % 7000000000", NULL),
                     0); /* ties */
    struct client cl = login(f, "lan");
    walk_pages(f, &cl, "last", 130);
    walk_pages(f, &cl, "level", 130);
    walk_pages(f, &cl, "first", 130);
}

static void an_alert_in_detail(void **state)
{
    struct fixture *f = *state;
    add_user(f, "lan", false);
    seed_some(f);
    struct client cl = login(f, "lan");
    struct answer a = ask(&cl, "/api/alerts/a1", NULL);
    assert_int_equal(a.status, 200);
    assert_string_equal(
        text_at(a.body, "sentence_vi", NULL),
        "Dò mật khẩu SSH: 3 lần trong 1 phút trên máy web01, từ địa chỉ 203.0.113.7, tài khoản root; khớp "
        "message = \"nothing\".");
    assert_string_equal(text_at(a.body, "sentence_en", NULL),
                        "SSH brute force: 3 times in 1 minute on host web01, from 203.0.113.7, account root; matched "
                        "message = \"nothing\".");
    assert_string_equal(json_string_value(json_array_get(json_object_get(a.body, "techniques"), 0)), "T1110");
    json_t *clause = json_array_get(json_object_get(a.body, "clauses"), 0);
    assert_string_equal(text_at(clause, "standard", NULL), "tcvn14423");
    assert_string_equal(text_at(clause, "clause", NULL), "5.6.2.3");
    assert_string_equal(text_at(a.body, "rule", "author"), "Tác giả");
    assert_string_equal(text_at(a.body, "rule", "level_name"), "high");
    assert_string_equal(text_at(a.body, "event", "user.name"), "root");
    assert_string_equal(text_at(a.body, "first", NULL), "2026-11-23T16:05:40.000000000Z");
    assert_true(json_is_null(json_object_get(a.body, "raw")));
    done(&a);
    a = ask(&cl, "/api/alerts/a4", NULL);
    assert_string_equal(text_at(a.body, "raw", NULL), "raw line");
    assert_true(json_is_null(json_object_get(a.body, "user")));
    done(&a);
    expect(&cl, "/api/alerts/none", NULL, 404, "not_found");
    expect(&cl, "/api/alerts/a1?x=1", NULL, 400, "bad_request");
}

static void the_events_behind_an_alert(void **state)
{
    struct fixture *f = *state;
    struct diag diag = {0};
    struct archive *archive = NULL;
    struct buf bytes = BUF_INIT(BATCH_MAX);
    uint64_t pos = 0;
    add_user(f, "lan", false);
    seed_some(f);
    const struct str lines =
        STR("Nov 23 16:00:01 web01 sshd[811]: Failed password for root from 203.0.113.7 port 4711 ssh2\n"
            "Nov 23 16:00:02 web01 sshd[811]: Failed password for lan from 203.0.113.7 port 4712 ssh2\n"
            "not a log line \xff at all\n");
    struct batch b = {.seq = 1,
                      .end = lines.len,
                      .records = 3,
                      .encoding = BATCH_TEXT,
                      .read_first_ns = T0,
                      .read_last_ns = T0,
                      .source = STR("auth"),
                      .host = STR("web01"),
                      .path = STR("/var/log/auth.log")};
    id_random(b.agent);
    id_random(b.stream);
    assert_int_equal(batch_encode(&b, lines, 1, &bytes), 0);
    assert_int_equal(archive_open(f->c.config.archive_dir, 64 * MIB, &archive, &diag), 0);
    assert_int_equal(archive_append(archive, buf_str(&bytes), T0, &pos), 0);
    assert_int_equal(archive_sync(archive), 0);
    for (int line = 0; line < 5; line++) /* 3 and 4 are not there */
        assert_int_equal(sql_run(f->db, NULL, "INSERT INTO alert_events (alert_id, pos, line) VALUES ('a1', ?, ?)",
                                 "ii", (int64_t)pos, (int64_t)line),
                         0);
    assert_int_equal(
        sql_run(f->db, NULL, "INSERT INTO alert_events (alert_id, pos, line) VALUES ('a1', 999999, 0)", ""), 0);
    struct client cl = login(f, "lan");
    struct answer a = ask(&cl, "/api/alerts/a1/events", NULL);
    assert_int_equal(a.status, 200);
    json_t *events = json_object_get(a.body, "events");
    assert_int_equal(json_array_size(events), 3);
    assert_int_equal(int_at(a.body, "missing", NULL), 3);
    assert_string_equal(text_at(json_array_get(events, 0), "event", "source.ip"), "203.0.113.7");
    assert_string_equal(text_at(json_array_get(events, 1), "event", "user.name"), "lan");
    assert_non_null(strstr(text_at(json_array_get(events, 2), "raw", NULL), "not a log line \xef\xbf\xbd at"));
    done(&a);
    a = ask(&cl, "/api/alerts/a2/events", NULL);
    assert_int_equal(a.status, 200);
    assert_int_equal(json_array_size(json_object_get(a.body, "events")), 0);
    done(&a);
    expect(&cl, "/api/alerts/none/events", NULL, 404, "not_found");
    archive_close(archive);
    buf_clear(&bytes);
}

/* --- decisions --- */

static void decisions(void **state)
{
    struct fixture *f = *state;
    add_user(f, "lan", false);
    seed_some(f);
    struct client cl = login(f, "lan");
    int64_t change = number(f, "SELECT max(change) FROM alerts");
    struct answer a = ask(&cl, "/api/alerts/status", "{\"ids\":[\"a1\",\"a2\",\"a1\"],\"status\":\"acknowledged\"}");
    assert_int_equal(a.status, 200);
    assert_int_equal(int_at(a.body, "changed", NULL), 2);
    json_t *first = json_array_get(json_object_get(a.body, "alerts"), 0);
    assert_string_equal(text_at(first, "owner", NULL), "lan");
    assert_string_equal(text_at(first, "status", NULL), "acknowledged");
    done(&a);
    assert_int_equal(number(f, "SELECT max(change) FROM alerts"), change + 2);
    a = ask(&cl, "/api/alerts/status", "{\"ids\":[\"a1\"],\"status\":\"acknowledged\"}"); /* nothing new */
    assert_int_equal(int_at(a.body, "changed", NULL), 0);
    done(&a);
    expect(&cl, "/api/alerts/status", "{\"ids\":[\"a1\"],\"status\":\"closed\"}", 400, "bad_request");
    expect(&cl, "/api/alerts/status", "{\"ids\":[\"a1\"],\"status\":\"closed\",\"reason\":\"bored\"}", 400,
           "bad_request");
    expect(&cl, "/api/alerts/status", "{\"ids\":[\"a1\"],\"status\":\"new\",\"reason\":\"benign\"}", 400,
           "bad_request");
    expect(&cl, "/api/alerts/status", "{\"ids\":[],\"status\":\"new\"}", 400, "bad_request");
    expect(&cl, "/api/alerts/status", "{\"ids\":[\"a1\"],\"status\":\"escalated\"}", 409, "conflict");
    /* All or none. */
    expect(&cl, "/api/alerts/status", "{\"ids\":[\"a3\",\"none\"],\"status\":\"acknowledged\"}", 404, "not_found");
    assert_int_equal(number(f, "SELECT count(*) FROM alerts WHERE status = 'acknowledged'"), 2);
    a = ask(
        &cl, "/api/alerts/status",
        "{\"ids\":[\"a1\",\"a3\"],\"status\":\"closed\",\"reason\":\"false_positive\",\"comment\":\"Quét nội bộ\"}");
    assert_int_equal(int_at(a.body, "changed", NULL), 2);
    done(&a);
    a = ask(&cl, "/api/alerts/a1", NULL);
    json_t *history = json_object_get(a.body, "history");
    assert_int_equal(json_array_size(history), 2);
    assert_string_equal(text_at(json_array_get(history, 1), "action", NULL), "alert.close");
    assert_string_equal(text_at(json_array_get(history, 1), "user", NULL), "lan");
    assert_string_equal(text_at(json_array_get(history, 1), "detail", "comment"), "Quét nội bộ");
    assert_string_equal(text_at(json_array_get(history, 1), "detail", "from"), "acknowledged");
    assert_string_equal(text_at(a.body, "close_reason", NULL), "false_positive");
    done(&a);
    a = ask(&cl, "/api/alerts/status", "{\"ids\":[\"a1\"],\"status\":\"new\"}"); /* undo */
    done(&a);
    assert_int_equal(number(f, "SELECT count(*) FROM alerts WHERE id = 'a1' AND status = 'new' AND owner IS NULL AND "
                               "close_reason IS NULL"),
                     1);
    a = ask(&cl, "/api/alerts/status", "{\"ids\":[\"a1\"],\"status\":\"new\",\"comment\":\"xem lại\"}");
    assert_int_equal(int_at(a.body, "changed", NULL), 1);
    done(&a);
    assert_int_equal(number(f, "SELECT count(*) FROM audit WHERE object = 'a1' AND action = 'alert.comment'"), 1);
}

static void incidents(void **state)
{
    struct fixture *f = *state;
    add_user(f, "lan", false);
    seed_some(f);
    struct client cl = login(f, "lan");
    expect(&cl, "/api/incidents", "{\"alert_ids\":[\"a1\"],\"title\":\" \",\"severity\":3}", 400, "bad_request");
    expect(&cl, "/api/incidents", "{\"alert_ids\":[\"a1\"],\"title\":\"x\",\"severity\":5}", 400, "bad_request");
    expect(&cl, "/api/incidents", "{\"alert_ids\":[\"a1\",\"none\"],\"title\":\"x\",\"severity\":3}", 404, "not_found");
    expect(&cl, "/api/incidents", "{\"alert_ids\":[\"a1\",\"a3\"],\"title\":\"x\",\"severity\":3}", 409, "conflict");
    assert_int_equal(number(f, "SELECT count(*) FROM incidents") + number(f, "SELECT count(*) FROM outbox"), 0);
    assert_int_equal(number(f, "SELECT count(*) FROM alerts WHERE status = 'new'"), 4);

    struct answer a =
        ask(&cl, "/api/incidents",
            "{\"alert_ids\":[\"a1\",\"a2\"],\"title\":\"Dò mật khẩu\",\"severity\":3,\"note\":\"Đã chặn\"}");
    assert_int_equal(a.status, 201);
    char id[64], path[128];
    snprintf(id, sizeof(id), "%s", text_at(a.body, "id", NULL));
    assert_int_equal(int_at(a.body, "number", NULL), 1);
    assert_int_equal(int_at(a.body, "alert_count", NULL), 2);
    assert_string_equal(text_at(a.body, "delivery_state", NULL), "queued");
    assert_string_equal(text_at(a.body, "created_by", NULL), "lan");
    done(&a);
    assert_int_equal(number(f, "SELECT count(*) FROM alerts WHERE status = 'escalated' AND incident_id IS NOT NULL"),
                     2);
    assert_int_equal(number(f, "SELECT count(*) FROM outbox WHERE state = 'queued'"), 1);
    assert_int_equal(number(f, "SELECT count(*) FROM outbox, json_each(bundle_json, '$.objects')"
                               " WHERE json_extract(value, '$.type') = 'incident'"),
                     1);
    assert_int_equal(number(f, "SELECT count(*) FROM outbox WHERE bundle_json LIKE '%Test SOC%'"), 1);
    assert_int_equal(number(f, "SELECT count(*) FROM outbox WHERE bundle_json LIKE '%root%'"),
                     0); /* no account names */
    assert_int_equal(number(f, "SELECT count(*) FROM audit WHERE action = 'alert.escalate'"), 2);
    assert_int_equal(number(f, "SELECT count(*) FROM audit WHERE action = 'incident.create'"), 1);

    expect(&cl, "/api/incidents", "{\"alert_ids\":[\"a1\"],\"title\":\"x\",\"severity\":3}", 409, "conflict");
    /* Closing and undoing keep the alert with its incident. */
    expect(&cl, "/api/alerts/status", "{\"ids\":[\"a1\"],\"status\":\"new\"}", 409, "conflict");
    expect(&cl, "/api/alerts/status", "{\"ids\":[\"a1\"],\"status\":\"closed\",\"reason\":\"true_positive\"}", 200,
           NULL);
    expect(&cl, "/api/alerts/status", "{\"ids\":[\"a1\"],\"status\":\"escalated\"}", 200, NULL);

    snprintf(path, sizeof(path), "/api/incidents/%s", id);
    a = ask(&cl, path, NULL);
    assert_int_equal(json_array_size(json_object_get(a.body, "alerts")), 2);
    assert_int_equal(json_array_size(json_object_get(a.body, "history")), 1);
    json_t *delivery = json_array_get(json_object_get(a.body, "deliveries"), 0);
    assert_string_equal(text_at(delivery, "state", NULL), "queued");
    assert_true(json_array_size(json_object_get(delivery, "objects")) >= 8);
    assert_true(json_is_null(json_object_get(json_array_get(json_object_get(delivery, "objects"), 0), "status")));
    done(&a);
    expect(&cl, "/api/incidents/none", NULL, 404, "not_found");
}

static void incidents_by_pages(void **state)
{
    struct fixture *f = *state;
    struct answer a;
    char path[128];
    add_user(f, "lan", false);
    seed_some(f);
    struct client cl = login(f, "lan");
    expect(&cl, "/api/incidents", "{\"alert_ids\":[\"a1\",\"a2\"],\"title\":\"real\",\"severity\":3}", 201, NULL);
    for (int i = 0; i < 3; i++) {
        char body[128], alert[8];
        snprintf(alert, sizeof(alert), "b%d", i);
        add_alert(f, &(struct seed){.id = alert, .last_ns = T0, .is_demo = true});
        snprintf(body, sizeof(body), "{\"alert_ids\":[\"%s\"],\"title\":\"t\",\"severity\":0}", alert);
        expect(&cl, "/api/incidents", body, 201, NULL);
    }
    a = ask(&cl, "/api/incidents?limit=3", NULL);
    assert_int_equal(json_array_size(json_object_get(a.body, "incidents")), 3);
    assert_int_equal(int_at(json_array_get(json_object_get(a.body, "incidents"), 0), "number", NULL), 4);
    assert_true(json_is_true(json_object_get(json_array_get(json_object_get(a.body, "incidents"), 0), "demo")));
    snprintf(path, sizeof(path), "/api/incidents?limit=3&cursor=%s", text_at(a.body, "next", NULL));
    done(&a);
    a = ask(&cl, path, NULL);
    assert_int_equal(json_array_size(json_object_get(a.body, "incidents")), 1);
    assert_true(json_is_null(json_object_get(a.body, "next")));
    done(&a);
}

static void outbox(void **state)
{
    struct fixture *f = *state;
    add_user(f, "lan", false);
    seed_some(f);
    struct client cl = login(f, "lan");
    expect(&cl, "/api/incidents", "{\"alert_ids\":[\"a1\"],\"title\":\"x\",\"severity\":3}", 201, NULL);
    struct answer a = ask(&cl, "/api/outbox", NULL);
    assert_int_equal(int_at(a.body, "queued", NULL), 1);
    assert_true(json_is_false(json_object_get(json_object_get(a.body, "destination"), "enabled")));
    assert_true(json_is_string(json_object_get(a.body, "oldest_queued")));
    json_t *delivery = json_array_get(json_object_get(a.body, "deliveries"), 0);
    int64_t id = int_at(delivery, "id", NULL);
    done(&a);
    char path[64];
    snprintf(path, sizeof(path), "/api/outbox/%lld/retry", (long long)id);
    assert_int_equal(store_exec(f->db, "UPDATE outbox SET state = 'rejected', next_try_ns = 9e18", NULL), 0);
    expect(&cl, path, "{}", 204, NULL);
    assert_int_equal(number(f, "SELECT count(*) FROM outbox WHERE state = 'queued' AND next_try_ns < 8e18"), 1);
    assert_int_equal(number(f, "SELECT count(*) FROM audit WHERE action = 'delivery.retry'"), 1);
    assert_int_equal(store_exec(f->db, "UPDATE outbox SET state = 'acknowledged'", NULL), 0);
    expect(&cl, path, "{}", 409, "conflict");
    expect(&cl, "/api/outbox/999/retry", "{}", 404, "not_found");
    expect(&cl, "/api/outbox/x/retry", "{}", 404, "not_found");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_open, fixture_close)

int main(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
    const struct CMUnitTest tests[] = {
        TEST(lists_filter),
        TEST(facets_ignore_their_own_filter),
        TEST(pages_are_stable),
        TEST(an_alert_in_detail),
        TEST(the_events_behind_an_alert),
        TEST(decisions),
        TEST(incidents),
        TEST(incidents_by_pages),
        TEST(outbox),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
