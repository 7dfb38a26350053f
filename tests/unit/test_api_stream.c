/* SPDX-License-Identifier: Apache-2.0
 *
 * The event stream over its real socket: live, replay, reset, limits, and readers that do not read.
 */
#include "tests/unit/api_fixture.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

struct sse {
    int fd;
    struct buf text;
    bool is_closed;
};

static void sse_open(struct sse *s, const struct client *cl, const char *query, const char *last_id)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    char request[1024];
    *s = (struct sse){.text = BUF_INIT(64 * MIB)};
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", cl->f->c.config.api.socket);
    s->fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(connect(s->fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    int n =
        snprintf(request, sizeof(request), "GET /api/stream%s HTTP/1.1\r\nHost: a\r\nCookie: %s\r\n%s%s%s\r\n", query,
                 cl->cookie, last_id ? "Last-Event-ID: " : "", last_id ? last_id : "", last_id ? "\r\n" : "");
    assert_int_equal(write(s->fd, request, (size_t)n), n);
}

static void sse_close(struct sse *s)
{
    close(s->fd);
    buf_clear(&s->text);
}

static bool sse_has(struct sse *s, const char *what)
{
    return s->text.len && memmem(s->text.data, s->text.len, what, strlen(what));
}

static size_t sse_count(struct sse *s, const char *what)
{
    size_t n = 0;
    const char *z;
    assert_int_equal(buf_z(&s->text, &z), 0);
    for (const char *at = z; (at = strstr(at, what)); at++)
        n++;
    return n;
}

/* Reads what is there, waiting at most so long for something. */
static bool sse_read(struct sse *s, int wait_ms)
{
    struct pollfd p = {.fd = s->fd, .events = POLLIN};
    uint8_t *tail;
    if (s->is_closed || poll(&p, 1, wait_ms) <= 0)
        return false;
    assert_int_equal(buf_reserve(&s->text, 64 * KIB, &tail), 0);
    ssize_t n = read(s->fd, tail, 64 * KIB);
    if (n <= 0) {
        s->is_closed = true;
        return false;
    }
    s->text.len += (size_t)n;
    return true;
}

static void sse_wait(struct sse *s, const char *what)
{
    int64_t until = time_monotonic_ns() + 10 * NS_PER_S;
    while (!sse_has(s, what)) {
        if (time_monotonic_ns() > until || s->is_closed)
            fail_msg("the stream did not say %s but: %.600s", what, s->text.len ? (const char *)s->text.data : "");
        sse_read(s, 200);
    }
}

static void sse_wait_closed(struct sse *s)
{
    int64_t until = time_monotonic_ns() + 10 * NS_PER_S;
    while (!s->is_closed) {
        assert_true(time_monotonic_ns() < until);
        sse_read(s, 200);
    }
}

static void live(void **state)
{
    struct fixture *f = *state;
    struct sse s;
    add_user(f, "lan", false);
    add_alerts(f, 3, T0);
    struct client cl = login(f, "lan");
    sse_open(&s, &cl, "", NULL);
    sse_wait(&s, "event: status\n");
    assert_true(sse_has(&s, "HTTP/1.1 200 OK"));
    assert_true(sse_has(&s, "Content-Type: text/event-stream"));
    assert_true(sse_has(&s, "X-Accel-Buffering: no"));
    assert_false(sse_has(&s, "event: alert")); /* nothing is new */
    int64_t begin = time_monotonic_ns();
    add_alert(f, &(struct seed){.id = "fresh", .last_ns = T0});
    sse_wait(&s, "\"id\":\"fresh\"");
    assert_true(time_monotonic_ns() - begin < NS_PER_S);
    assert_true(sse_has(&s, "id: 4\nevent: alert\ndata: {"));
    expect(&cl, "/api/alerts/status", "{\"ids\":[\"fresh\"],\"status\":\"acknowledged\"}", 200, NULL);
    sse_wait(&s, "id: 5\nevent: alert\n");
    assert_true(sse_has(&s, "\"owner\":\"lan\""));
    expect(&cl, "/api/incidents", "{\"alert_ids\":[\"fresh\"],\"title\":\"Sự cố\",\"severity\":2}", 201, NULL);
    sse_wait(&s, "id: 6\nevent: alert\n");
    sse_wait(&s, "event: incident\ndata: {");
    sse_wait(&s, "event: outbox\ndata: {");
    assert_true(sse_has(&s, "Sự cố"));
    sse_close(&s);
}

static void status_is_the_heartbeat(void **state)
{
    struct fixture *f = *state;
    struct sse s;
    add_user(f, "lan", false);
    struct client cl = login(f, "lan");
    sse_open(&s, &cl, "", NULL);
    int64_t until = time_monotonic_ns() + 12 * NS_PER_S;
    while (time_monotonic_ns() < until && sse_count(&s, "event: status") < 3)
        sse_read(&s, 200);
    assert_int_equal(sse_count(&s, "event: status"), 3); /* at once, and every 5 s */
    sse_close(&s);
}

static void replay(void **state)
{
    struct fixture *f = *state;
    struct sse s;
    add_user(f, "lan", false);
    add_alerts(f, 350, T0);
    struct client cl = login(f, "lan");
    sse_open(&s, &cl, "", "100");
    sse_wait(&s, "event: status");
    assert_int_equal(sse_count(&s, "event: alert"), 250); /* over several pages, in order */
    int64_t last = 100;
    const char *z;
    assert_int_equal(buf_z(&s.text, &z), 0);
    for (const char *at = z; (at = strstr(at, "\nid: ")); at++) {
        int64_t id = 0;
        assert_int_equal(parse_i64((struct str){at + 5, strcspn(at + 5, "\n")}, 0, INT64_MAX, &id), 0);
        assert_int_equal(id, ++last);
    }
    assert_int_equal(last, 350);
    add_alert(f, &(struct seed){.id = "later", .last_ns = T0});
    sse_wait(&s, "id: 351\n");
    sse_close(&s);
    sse_open(&s, &cl, "?after=349", NULL);
    sse_wait(&s, "event: status");
    assert_int_equal(sse_count(&s, "event: alert"), 2);
    sse_close(&s);
    expect(&cl, "/api/stream?after=x", NULL, 400, "bad_request");
    expect(&cl, "/api/stream?before=1", NULL, 400, "bad_request");
}

static void reset_when_too_much_was_missed(void **state)
{
    struct fixture *f = *state;
    struct sse s;
    add_user(f, "lan", false);
    add_alerts(f, 1005, T0);
    struct client cl = login(f, "lan");
    sse_open(&s, &cl, "", "5"); /* exactly 1000 */
    sse_wait(&s, "event: status");
    assert_int_equal(sse_count(&s, "event: alert"), 1000);
    assert_false(sse_has(&s, "event: reset"));
    sse_close(&s);
    sse_open(&s, &cl, "", "4");
    sse_wait(&s, "id: 1005\nevent: reset\n");
    sse_wait(&s, "event: status");
    assert_int_equal(sse_count(&s, "event: alert"), 0);
    sse_close(&s);
    sse_open(&s, &cl, "", "99999"); /* from another life of the database */
    sse_wait(&s, "event: reset\n");
    sse_close(&s);
}

static void a_burst_resets_live_streams(void **state)
{
    struct fixture *f = *state;
    struct sse s;
    add_user(f, "lan", false);
    add_alerts(f, 1200, T0);
    struct client cl = login(f, "lan");
    sse_open(&s, &cl, "", NULL);
    sse_wait(&s, "event: status");
    assert_int_equal(store_exec(f->db, "UPDATE alerts SET change = change + 1200 WHERE change <= 900", NULL), 0);
    notify_raise(&f->c.alerts_changed);
    sse_wait(&s, "id: 2100\nevent: alert\n"); /* 900 at once: all come */
    assert_int_equal(sse_count(&s, "event: alert"), 900);
    assert_int_equal(store_exec(f->db, "UPDATE alerts SET change = change + 2100", NULL), 0);
    notify_raise(&f->c.alerts_changed);
    sse_wait(&s, "id: 4200\nevent: reset\n");
    sse_close(&s);
}

static void limits_of_streams(void **state)
{
    struct fixture *f = *state;
    static struct sse s[64];
    static struct client clients[17];
    add_user(f, "lan", false);
    add_user(f, "mai", false);
    add_user(f, "hoa", false);
    static const char *const names[] = {"lan", "mai", "hoa"};
    for (size_t i = 0; i < ARRAY_LEN(clients); i++) {
        static char addresses[17][24];
        snprintf(addresses[i], sizeof(addresses[i]), "192.0.2.%zu", 100 + i);
        clients[i] = (struct client){.f = f, .address = addresses[i]};
        struct answer a = try_login(&clients[i], names[i % 3], PASSWORD);
        take_session(&clients[i], &a);
    }
    for (size_t i = 0; i < ARRAY_LEN(s); i++) {
        sse_open(&s[i], &clients[i / 4], "", NULL);
        sse_wait(&s[i], "event: status");
        if (i == 3)
            expect(&clients[0], "/api/stream", NULL, 503, "busy"); /* a fifth of one session */
    }
    expect(&clients[16], "/api/stream", NULL, 503, "busy"); /* a sixty-fifth of all */
    assert_int_equal(stat_get(STAT_API_STREAMS), 64);
    for (size_t i = 0; i < ARRAY_LEN(s); i++)
        sse_close(&s[i]);
    int64_t until = time_monotonic_ns() + 5 * NS_PER_S;
    while (stat_get(STAT_API_STREAMS) > 0 && time_monotonic_ns() < until)
        usleep(10000);
    assert_int_equal(stat_get(STAT_API_STREAMS), 0); /* what was closed is forgotten */
    sse_open(&s[0], &clients[16], "", NULL);
    sse_wait(&s[0], "event: status");
    sse_close(&s[0]);
}

static void who_does_not_read_is_dropped(void **state)
{
    struct fixture *f = *state;
    struct sse deaf, good;
    add_user(f, "lan", false);
    add_alerts(f, 600, T0);
    struct client cl = login(f, "lan");
    sse_open(&deaf, &cl, "", NULL);
    sse_wait(&deaf, "event: status");
    sse_open(&good, &cl, "", NULL);
    sse_wait(&good, "event: status");
    int64_t dropped = stat_get(STAT_API_STREAMS_DROPPED);
    for (int round = 1; round <= 20 && stat_get(STAT_API_STREAMS_DROPPED) == dropped; round++) {
        char want[32];
        assert_int_equal(store_exec(f->db, "UPDATE alerts SET change = change + 600", NULL), 0);
        notify_raise(&f->c.alerts_changed);
        snprintf(want, sizeof(want), "id: %d\n", 600 * (round + 1));
        sse_wait(&good, want); /* who reads gets everything */
        buf_reset(&good.text);
    }
    assert_int_equal(stat_get(STAT_API_STREAMS_DROPPED), dropped + 1);
    assert_int_equal(stat_get(STAT_API_STREAMS), 1);
    sse_wait_closed(&deaf);
    assert_true(deaf.text.len < 4 * MIB);
    sse_close(&deaf);
    sse_close(&good);
}

static void streams_end_with_their_session(void **state)
{
    struct fixture *f = *state;
    struct sse s, idle;
    add_user(f, "lan", false);
    struct client cl = login(f, "lan"), other = login(f, "lan");
    sse_open(&s, &cl, "", NULL);
    sse_wait(&s, "event: status");
    sse_open(&idle, &other, "", NULL);
    sse_wait(&idle, "event: status");
    expect(&cl, "/api/logout", "{}", 204, NULL);
    sse_wait(&s, "event: end\ndata: {\"reason\":\"signed_out\"}");
    sse_wait_closed(&s);
    assert_false(idle.is_closed);
    /* An open stream is no presence: after 15 minutes without anybody it ends. */
    assert_int_equal(store_exec(f->db, "UPDATE sessions SET used_ns = used_ns - 900000000000", NULL), 0);
    sse_wait(&idle, "event: end\ndata: {\"reason\":\"idle\"}");
    sse_wait_closed(&idle);
    expect(&other, "/api/stream", NULL, 401, "unauthenticated");
    sse_close(&s);
    sse_close(&idle);
}

static void stopping_says_good_bye(void **state)
{
    struct fixture *f = *state;
    struct sse s;
    add_user(f, "lan", false);
    struct client cl = login(f, "lan");
    sse_open(&s, &cl, "", NULL);
    sse_wait(&s, "event: status");
    api_stop(&f->c);
    sse_wait(&s, "event: end\ndata: {\"reason\":\"shutdown\"}");
    assert_int_equal(api_start(&f->c), 0);
    expect(&cl, "/api/me", NULL, 200, NULL); /* the session outlives the program */
    sse_close(&s);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_open, fixture_close)

int main(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
    const struct CMUnitTest tests[] = {
        TEST(live),
        TEST(status_is_the_heartbeat),
        TEST(replay),
        TEST(reset_when_too_much_was_missed),
        TEST(a_burst_resets_live_streams),
        TEST(limits_of_streams),
        TEST(who_does_not_read_is_dropped),
        TEST(streams_end_with_their_session),
        TEST(stopping_says_good_bye),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
