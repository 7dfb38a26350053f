/* SPDX-License-Identifier: Apache-2.0
 *
 * The API over its real socket: who may ask. Alerts and the stream have tests of their own.
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

/* Sends a request and leaves, at once or a little later, without waiting for the answer. */
static void leave(struct fixture *f, const char *request, useconds_t after_us)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", f->c.config.api.socket);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(write(fd, request, strlen(request)), (ssize_t)strlen(request));
    usleep(after_us);
    close(fd);
}

static void clients_that_leave_early(void **state)
{
    struct fixture *f = *state;
    add_user(f, "lan", false);
    add_user(f, "may", false); /* who leaves; more sign-ins than a user keeps sessions */
    add_alerts(f, 300, T0);
    struct client cl = login(f, "lan");
    static const char *const paths[] = {"/api/alerts?limit=500&q=nothing", "/api/alerts/alert-00001/events",
                                        "/api/stream?after=1", "/api/rules"};
    char request[1024];
    for (useconds_t wait = 0; wait < 60; wait += 3) {
        snprintf(request, sizeof(request),
                 "POST /api/login HTTP/1.1\r\nHost: a\r\nX-Real-IP: 198.51.100.%u\r\nContent-Type: application/json\r\n"
                 "Content-Length: 44\r\n\r\n{\"user\":\"may\",\"password\":\"" PASSWORD "\"}",
                 wait);
        leave(f, request, wait * 1000);
        for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
            snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: a\r\nCookie: %s\r\n\r\n", paths[i], cl.cookie);
            leave(f, request, wait * 100);
        }
    }
    expect(&cl, "/api/me", NULL, 200, NULL);
    int64_t until = time_monotonic_ns() + 10 * NS_PER_S;
    while (stat_get(STAT_API_STREAMS) > 0 && time_monotonic_ns() < until)
        usleep(10000);
    assert_int_equal(stat_get(STAT_API_STREAMS), 0);
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
        TEST(clients_that_leave_early),
        TEST(agents_rules_and_status),
        TEST(the_socket_is_not_taken_from_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
