/* SPDX-License-Identifier: Apache-2.0
 *
 * The API over its real socket: who may ask, what alerts and incidents answer. The stream has a test of its own.
 */
#include "tests/unit/api_fixture.h"

#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

/* --- requests --- */

static void the_socket_is_for_the_group_only(void **state)
{
    struct fixture *f = *state;
    struct stat st;
    assert_int_equal(stat(f->c.config.api.socket, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0660);
}

static void unknown_paths_and_methods(void **state)
{
    struct fixture *f = *state;
    struct client cl = {.f = f};
    expect(&cl, "/", NULL, 404, "not_found");
    expect(&cl, "/api/nothing", NULL, 404, "not_found");
    expect(&cl, "/api/alerts/", NULL, 404, "not_found");
    expect(&cl, "/api/login", NULL, 405, "method_not_allowed");
    expect(&cl, "/api/me", NULL, 401, "unauthenticated");
    expect(&cl, "/api/alerts", NULL, 401, "unauthenticated");
    expect(&cl, "/api/stream", NULL, 401, "unauthenticated");
    expect(&cl, "/api/me?x=%zz", NULL, 400, "bad_request");
    struct answer a = ask(&cl, "/metrics", NULL);
    assert_int_equal(a.status, 200);
    assert_non_null(strstr(a.headers, "text/plain; version=0.0.4"));
    done(&a);
}

/* Sends bytes as they are and returns the status, or 0 when the connection was closed without an answer. */
static int raw(struct fixture *f, const char *request)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    char answer[64] = "";
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", f->c.config.api.socket);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(write(fd, request, strlen(request)), (ssize_t)strlen(request));
    size_t n = 0;
    ssize_t got;
    while (n < 12 && (got = read(fd, answer + n, sizeof(answer) - 1 - n)) > 0)
        n += (size_t)got;
    close(fd);
    int64_t status = 0;
    return n >= 12 && parse_i64((struct str){answer + 9, 3}, 100, 999, &status) == 0 ? (int)status : 0;
}

static void ambiguous_requests_are_refused(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(raw(f, "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"), 200);
    assert_int_equal(raw(f, "GET /metrics HTTP/1.1\r\n\r\n"), 400);
    assert_int_equal(raw(f, "GET /metrics HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), 400);
    assert_int_equal(raw(f, "GET http://a/metrics HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
    assert_int_equal(raw(f, "POST /api/login HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}"),
                     400);
    assert_int_equal(
        raw(f, "POST /api/login HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"), 400);
    assert_int_equal(raw(f, "POST /api/login HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n"), 413);
    assert_int_equal(raw(f, "BREW /metrics HTTP/1.1\r\nHost: a\r\n\r\n"), 501);
}

/* --- sign-in --- */

static void sign_in_and_out(void **state)
{
    struct fixture *f = *state;
    add_user(f, "lan", false);
    struct client cl = {.f = f};
    struct answer a = try_login(&cl, "lan", "wrong");
    assert_int_equal(a.status, 401);
    assert_string_equal(a.cookie, "");
    done(&a);
    a = try_login(&cl, "lan", PASSWORD);
    assert_int_equal(a.status, 200);
    assert_string_equal(text_at(a.body, "user", NULL), "lan");
    assert_string_equal(text_at(a.body, "display_name", NULL), "Chị lan");
    assert_string_equal(text_at(a.body, "role", NULL), "analyst");
    assert_int_equal(int_at(a.body, "idle_s", NULL), 900);
    assert_non_null(strstr(a.headers, "Set-Cookie: __Host-vonggac="));
    assert_non_null(strstr(a.headers, "; Path=/; Secure; HttpOnly; SameSite=Strict"));
    assert_non_null(strstr(a.headers, "Cache-Control: no-store"));
    take_session(&cl, &a);
    expect(&cl, "/api/me", NULL, 200, NULL);
    assert_int_equal(number(f, "SELECT count(*) FROM sessions"), 1);
    assert_int_equal(number(f, "SELECT count(*) FROM audit WHERE action = 'user.login' AND user = 'lan'"), 1);
    assert_int_equal(number(f, "SELECT count(*) FROM audit WHERE action = 'user.login_failed' AND object = 'lan'"), 1);
    assert_int_equal(number(f, "SELECT count(*) FROM audit WHERE json_extract(detail_json, '$.address') = '192.0.2.1'"),
                     2);
    expect(&cl, "/api/logout", "{}", 204, NULL);
    expect(&cl, "/api/me", NULL, 401, "unauthenticated");
    assert_int_equal(number(f, "SELECT count(*) FROM sessions"), 0);
}

static void bad_sign_ins(void **state)
{
    struct fixture *f = *state;
    struct client cl = {.f = f};
    expect(&cl, "/api/login", "{}", 400, "bad_request");
    expect(&cl, "/api/login", "[]", 400, "bad_request");
    expect(&cl, "/api/login", "{\"user\":\"a\",\"password\":7}", 400, "bad_request");
    expect(&cl, "/api/login", "{\"user\":\"a\",\"password\":\"b\",\"more\":1}", 400, "bad_request");
    expect(&cl, "/api/login", "{\"user\":\"a\",\"user\":\"b\",\"password\":\"b\"}", 400, "bad_request");
    cl.extra = "Content-Type: text/plain";
    expect(&cl, "/api/login", "{\"user\":\"a\",\"password\":\"b\"}", 400, "bad_request"); /* two types */
    cl.extra = "Origin: https://evil.example";
    expect(&cl, "/api/login", "{\"user\":\"a\",\"password\":\"b\"}", 403, "csrf");
    cl.extra = "Sec-Fetch-Site: cross-site";
    expect(&cl, "/api/login", "{\"user\":\"a\",\"password\":\"b\"}", 403, "csrf");
    cl.extra = "Origin: https://console.example:8443"; /* nginx passes the name without the port */
    expect(&cl, "/api/login", "{\"user\":\"a\",\"password\":\"b\"}", 401, "unauthenticated");
}

static void every_post_wants_the_token(void **state)
{
    struct fixture *f = *state;
    add_user(f, "lan", false);
    struct client cl = login(f, "lan"), bare = cl;
    bare.csrf[0] = '\0';
    expect(&bare, "/api/logout", "{}", 403, "csrf");
    snprintf(bare.csrf, sizeof(bare.csrf), "%s", cl.csrf);
    bare.csrf[3] ^= 1;
    expect(&bare, "/api/alerts/status", "{}", 403, "csrf");
    cl.extra = "Origin: https://other.example";
    expect(&cl, "/api/logout", "{}", 403, "csrf");
    cl.extra = "Sec-Fetch-Site: same-site";
    expect(&cl, "/api/logout", "{}", 403, "csrf");
    cl.extra = "Sec-Fetch-Site: same-origin";
    expect(&cl, "/api/logout", "{}", 204, NULL);
}

static void names_that_exist_and_names_that_do_not_look_alike(void **state)
{
    struct fixture *f = *state;
    add_user(f, "lan", false);
    static const char *const names[] = {"lan", "ghost"};
    double seconds[2] = {0};
    for (size_t n = 0; n < 2; n++) {
        struct client cl = {.f = f, .address = n ? "192.0.2.8" : "192.0.2.9"};
        for (int i = 1; i <= 6; i++) {
            struct answer a = try_login(&cl, names[n], "wrong");
            assert_int_equal(a.status, i < 5 ? 401 : 423);
            assert_string_equal(text_at(json_object_get(a.body, "error"), "code", NULL),
                                i < 5 ? "unauthenticated" : "locked");
            seconds[n] += a.seconds;
            done(&a);
        }
    }
    assert_true(seconds[1] > seconds[0] / 3 && seconds[1] < seconds[0] * 3);
    struct client cl = {.f = f, .address = "192.0.2.10"};
    struct answer a = try_login(&cl, "lan", PASSWORD); /* right, but too late */
    assert_int_equal(a.status, 423);
    assert_non_null(strstr(a.headers, "Retry-After: "));
    done(&a);
    assert_int_equal(number(f, "SELECT count(*) FROM audit WHERE action = 'user.locked'"), 1);
    /* After the lock has run out. */
    assert_int_equal(store_exec(f->db, "UPDATE users SET locked_until_ns = 1", NULL), 0);
    login(f, "lan");
}

static void eager_addresses_wait(void **state)
{
    struct fixture *f = *state;
    struct client cl = {.f = f, .address = "2001:db8::5"};
    for (int i = 0; i < 10; i++) {
        char name[16];
        snprintf(name, sizeof(name), "user%d", i);
        struct answer a = try_login(&cl, name, "x");
        assert_int_equal(a.status, 401);
        done(&a);
    }
    cl.address = "2001:db8::6"; /* the same house */
    struct answer a = try_login(&cl, "other", "x");
    assert_int_equal(a.status, 429);
    assert_non_null(strstr(a.headers, "Retry-After: "));
    done(&a);
}

static void the_first_password_must_be_changed(void **state)
{
    struct fixture *f = *state;
    add_user(f, "mai", true);
    struct client cl = login(f, "mai"), second = login(f, "mai");
    expect(&cl, "/api/me", NULL, 200, NULL);
    expect(&cl, "/api/alerts", NULL, 403, "must_change_password");
    expect(&cl, "/api/stream", NULL, 403, "must_change_password");
    expect(&cl, "/api/password", "{\"old\":\"" PASSWORD "\",\"new\":\"short\"}", 400, "bad_request");
    expect(&cl, "/api/password", "{\"old\":\"" PASSWORD "\",\"new\":\"" PASSWORD "\"}", 400, "bad_request");
    expect(&cl, "/api/password", "{\"old\":\"wrong\",\"new\":\"Mat-khau-moi-2026\"}", 403, "forbidden");
    struct answer a = ask(&cl, "/api/password", "{\"old\":\"" PASSWORD "\",\"new\":\"Mat-khau-moi-2026\"}");
    struct client old = cl;
    take_session(&cl, &a);
    expect(&old, "/api/me", NULL, 401, "unauthenticated");
    expect(&second, "/api/me", NULL, 401, "unauthenticated");
    expect(&cl, "/api/alerts", NULL, 200, NULL);
    /* The old one is remembered. */
    expect(&cl, "/api/password", "{\"old\":\"Mat-khau-moi-2026\",\"new\":\"" PASSWORD "\"}", 400, "bad_request");
    assert_int_equal(number(f, "SELECT count(*) FROM audit WHERE action = 'user.password' AND user = 'mai'"), 1);
    /* Guessing the old one through a session locks as well. */
    for (int i = 0; i < 4; i++)
        expect(&cl, "/api/password", "{\"old\":\"wrong\",\"new\":\"Mat-khau-moi-2027\"}", 403, "forbidden");
    expect(&cl, "/api/password", "{\"old\":\"wrong\",\"new\":\"Mat-khau-moi-2027\"}", 423, "locked");
    expect(&cl, "/api/password", "{\"old\":\"Mat-khau-moi-2026\",\"new\":\"Mat-khau-moi-2027\"}", 423, "locked");
}

static void sessions_end_by_disuse_but_not_by_background(void **state)
{
    struct fixture *f = *state;
    add_user(f, "lan", false);
    struct client cl = login(f, "lan"), background = cl;
    background.extra = "X-Background: 1";
    assert_int_equal(store_exec(f->db, "UPDATE sessions SET used_ns = used_ns - 800000000000", NULL), 0);
    int64_t before = number(f, "SELECT used_ns FROM sessions");
    expect(&background, "/api/alerts", NULL, 200, NULL);
    expect(&cl, "/api/status", NULL, 200, NULL);
    assert_int_equal(number(f, "SELECT used_ns FROM sessions"), before);
    expect(&cl, "/api/me", NULL, 200, NULL);
    assert_true(number(f, "SELECT used_ns FROM sessions") > before);
    assert_int_equal(store_exec(f->db, "UPDATE sessions SET used_ns = used_ns - 900000000000", NULL), 0);
    expect(&cl, "/api/me", NULL, 401, "unauthenticated");
}

struct flood {
    pthread_t thread;
    struct client cl;
    long status;
};

static void *flood_one(void *ctx)
{
    struct flood *x = ctx;
    struct answer a = try_login(&x->cl, "lan", PASSWORD);
    x->status = a.status;
    done(&a);
    return NULL;
}

static void a_flood_of_sign_ins_leaves_the_others_alone(void **state)
{
    struct fixture *f = *state;
    add_user(f, "lan", false);
    struct client cl = login(f, "lan");
    static struct flood floods[30];
    static char addresses[30][32];
    for (size_t i = 0; i < ARRAY_LEN(floods); i++) {
        snprintf(addresses[i], sizeof(addresses[i]), "198.51.100.%zu", i);
        floods[i] = (struct flood){.cl = {.f = f, .address = addresses[i]}};
        assert_int_equal(pthread_create(&floods[i].thread, NULL, flood_one, &floods[i]), 0);
    }
    double slowest = 0;
    for (int i = 0; i < 20; i++) {
        struct answer a = ask(&cl, "/api/me", NULL);
        assert_int_equal(a.status, 200);
        slowest = MAX(slowest, a.seconds);
        done(&a);
    }
    size_t served = 0, busy = 0;
    for (size_t i = 0; i < ARRAY_LEN(floods); i++) {
        pthread_join(floods[i].thread, NULL);
        served += floods[i].status == 200;
        busy += floods[i].status == 503;
    }
    assert_int_equal(served + busy, ARRAY_LEN(floods));
    assert_true(busy > 0 && served >= 8);
    assert_true(slowest < 2); /* thirty hashes in a row would take longer on any machine */
    assert_int_equal(number(f, "SELECT count(*) FROM sessions"), 8); /* the most a user may have */
}

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

/* --- the rest --- */

static void agents_rules_and_status(void **state)
{
    struct fixture *f = *state;
    add_user(f, "lan", false);
    int64_t now = time_now_ns();
    static const struct {
        const char *id, *state;
        int64_t age_s, revoked, silent; /* age -1: never */
    } cases[] = {{"a", "active", 5, 0, 0}, {"b", "late", 120, 0, 0}, {"c", "silent", 400, 0, 0},
                 {"d", "silent", 5, 0, 1}, {"e", "never", -1, 0, 0}, {"f", "revoked", 5, 1, 0}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(
            sql_run(f->db, NULL,
                    "INSERT INTO agents (id, host, enrolled_ns, revoked_ns, serial, not_after_ns, last_seen_ns,"
                    " silent_since_ns, stats_json) VALUES (?1, ?1, 1, nullif(?2, 0), '00', 2, nullif(?3, 0),"
                    " nullif(?4, 0), '{\"sent\":5}')",
                    "siii", cases[i].id, cases[i].revoked,
                    cases[i].age_s < 0 ? (int64_t)0 : now - cases[i].age_s * NS_PER_S, cases[i].silent),
            0);
    }
    assert_int_equal(sql_run(f->db, NULL, "INSERT INTO sources (agent, source, last_ns) VALUES ('a', 'auth', 7)", ""),
                     0);
    struct client cl = login(f, "lan");
    struct answer a = ask(&cl, "/api/agents", NULL);
    json_t *agents = json_object_get(a.body, "agents");
    assert_int_equal(json_array_size(agents), ARRAY_LEN(cases));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_string_equal(text_at(json_array_get(agents, i), "state", NULL), cases[i].state);
    assert_int_equal(int_at(json_array_get(agents, 0), "stats", "sent"), 5);
    assert_int_equal(json_array_size(json_object_get(json_array_get(agents, 0), "sources")), 1);
    done(&a);
    a = ask(&cl, "/api/rules", NULL);
    assert_int_equal(a.status, 200);
    assert_true(json_is_array(json_object_get(a.body, "rules")) && json_is_array(json_object_get(a.body, "errors")));
    done(&a);
    a = ask(&cl, "/api/status", NULL);
    assert_string_equal(text_at(a.body, "version", NULL), VONGGAC_VERSION);
    assert_int_equal(int_at(a.body, "agents_active", NULL), 2); /* late is still heard */
    assert_int_equal(int_at(a.body, "agents_total", NULL), 5);
    assert_true(json_is_null(json_object_get(a.body, "archive_days_left")));
    done(&a);
}

static void the_socket_is_not_taken_from_another(void **state)
{
    struct fixture *f = *state;
    struct collector other = f->c;
    other.api = NULL;
    log_init("test_api", (enum log_level)0); /* it will say so, rightly */
    assert_int_equal(api_start(&other), -EADDRINUSE);
    log_init("test_api", LOG_LEVEL_ERROR);
    struct client cl = {.f = f};
    expect(&cl, "/metrics", NULL, 200, NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_open, fixture_close)

int main(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
    const struct CMUnitTest tests[] = {
        TEST(the_socket_is_for_the_group_only),
        TEST(unknown_paths_and_methods),
        TEST(ambiguous_requests_are_refused),
        TEST(sign_in_and_out),
        TEST(bad_sign_ins),
        TEST(every_post_wants_the_token),
        TEST(names_that_exist_and_names_that_do_not_look_alike),
        TEST(eager_addresses_wait),
        TEST(the_first_password_must_be_changed),
        TEST(sessions_end_by_disuse_but_not_by_background),
        TEST(a_flood_of_sign_ins_leaves_the_others_alone),
        TEST(lists_filter),
        TEST(facets_ignore_their_own_filter),
        TEST(pages_are_stable),
        TEST(an_alert_in_detail),
        TEST(the_events_behind_an_alert),
        TEST(decisions),
        TEST(incidents),
        TEST(outbox),
        TEST(agents_rules_and_status),
        TEST(the_socket_is_not_taken_from_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
