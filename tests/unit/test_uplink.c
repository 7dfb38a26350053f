/* SPDX-License-Identifier: Apache-2.0
 *
 * The uplink against a small collector on loopback that speaks real TLS with real certificates and does what each test
 * tells it: acknowledge, stay silent, say goodbye, talk rubbish.
 */
#include "agent/uplink.h"

#include "agent/counters.h"
#include "common/file.h"
#include "common/frame.h"
#include "common/time.h"
#include "tests/unit/test.h"

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <jansson.h>
#include <signal.h>

#define DAYS 100

struct peer { /* the collector of a test */
    struct evconnlistener *listener;
    struct bufferevent *bev;
    SSL_CTX *tls;
    uint16_t port;
    /* what it is told */
    uint32_t window;
    bool is_silent;       /* no acknowledgements */
    size_t ack_every;     /* 0: each */
    uint64_t ack_instead; /* this number in place of the right one */
    int bye;              /* said to HELLO */
    const char *rubbish;  /* said to HELLO */
    size_t drop_after;    /* batches of a connection; then it hangs up */
    bool renews;
    /* what it saw */
    size_t connections, batches, stats, renewals, in_connection, unacked, most_unacked;
    uint64_t seqs[20000];
    size_t n_seqs;
    uint8_t agent[ID_LEN], batch_agent[ID_LEN];
    char host[64];
};

struct env {
    char *dir;
    char *ca, *ca_key, *cert, *key;
    uint8_t agent[ID_LEN];
    struct event_base *base;
    struct peer peer;
    struct registry *registry;
    struct spool *spool;
    struct sink sink;
    struct stream *stream;
    struct uplink *uplink;
    struct uplink_times times;
    size_t acked_calls;
};

/* --- the peer --- */

static void say(struct peer *p, const struct frame *f)
{
    struct buf out CLEANUP(buf_clear) = BUF_INIT(FRAME_MAX);
    assert_int_equal(frame_encode(f, &out), 0);
    bufferevent_write(p->bev, out.data, out.len);
}

static void hang_up(struct peer *p)
{
    if (p->bev)
        bufferevent_free(p->bev);
    p->bev = NULL;
}

static void on_hello(struct peer *p, const struct frame *f)
{
    snprintf(p->host, sizeof(p->host), STR_FMT, STR_ARG(f->hello.host));
    assert_int_equal(tls_peer_agent(bufferevent_openssl_get_ssl(p->bev), p->agent, (char[CERT_SERIAL_HEX]){0}), 0);
    if (p->rubbish) {
        bufferevent_write(p->bev, p->rubbish, strlen(p->rubbish));
        return;
    }
    struct frame bye = {.type = FRAME_BYE, .bye = {(uint16_t)p->bye, STR("not now")}};
    struct frame welcome = {.type = FRAME_WELCOME, .welcome = {FRAME_VERSION, p->window, 1}};
    say(p, p->bye ? &bye : &welcome);
}

static void on_batch(struct peer *p, struct str bytes)
{
    struct batch b;
    struct frame ack = {.type = FRAME_ACK};
    assert_int_equal(batch_decode(bytes, &b, NULL), 0);
    memcpy(p->batch_agent, b.agent, ID_LEN);
    p->seqs[p->n_seqs++] = b.seq;
    p->batches++;
    p->in_connection++;
    p->unacked++;
    p->most_unacked = MAX(p->most_unacked, p->unacked);
    if (p->drop_after && p->in_connection == p->drop_after) {
        hang_up(p);
        return;
    }
    if (p->is_silent || (p->ack_every && p->unacked < p->ack_every))
        return;
    ack.ack_seq = p->ack_instead ? p->ack_instead : b.seq;
    p->unacked = 0;
    say(p, &ack);
}

static void on_renew(struct env *e, struct str csr)
{
    struct diag diag;
    char *pem = NULL, serial[CERT_SERIAL_HEX];
    e->peer.renewals++;
    assert_int_equal(cert_sign_agent(e->ca, e->ca_key, csr, e->agent, DAYS, &pem, serial, &diag), 0);
    struct frame f = {.type = FRAME_CERT, .cert = {str_of(pem), str_of(e->ca)}};
    say(&e->peer, &f);
    free(pem);
}

static void on_frame(struct env *e, struct str bytes)
{
    struct frame f;
    struct diag diag;
    assert_int_equal(frame_decode(bytes, &f, &diag), 0);
    if (f.type == FRAME_HELLO)
        on_hello(&e->peer, &f);
    else if (f.type == FRAME_BATCH)
        on_batch(&e->peer, f.batch);
    else if (f.type == FRAME_RENEW)
        on_renew(e, f.renew.csr_der);
    else if (f.type == FRAME_STATS) {
        json_t *o = json_loadb(f.stats.p, f.stats.len, 0, NULL);
        assert_true(json_is_integer(json_object_get(o, "vonggac_agent_batches_total")));
        json_decref(o);
        e->peer.stats++;
    }
}

static void on_read(struct bufferevent *bev, void *ctx)
{
    struct env *e = ctx;
    struct evbuffer *in = bufferevent_get_input(bev);
    while (e->peer.bev == bev) {
        struct str head = {(const char *)evbuffer_pullup(in, FRAME_HEADER), FRAME_HEADER};
        ssize_t need = head.p ? frame_need(head) : 0;
        assert_true(need >= 0);
        if (need == 0 || evbuffer_get_length(in) < (size_t)need)
            return;
        char *copy = malloc((size_t)need);
        evbuffer_remove(in, copy, (size_t)need);
        on_frame(e, (struct str){copy, (size_t)need});
        free(copy);
    }
}

static void on_peer_event(struct bufferevent *bev, short what, void *ctx)
{
    struct env *e = ctx;
    if ((what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) && bev == e->peer.bev)
        hang_up(&e->peer);
}

static void on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *sa, int len, void *ctx)
{
    struct env *e = ctx;
    (void)l, (void)sa, (void)len;
    hang_up(&e->peer);
    e->peer.connections++;
    e->peer.in_connection = e->peer.unacked = 0;
    e->peer.bev = bufferevent_openssl_socket_new(e->base, fd, SSL_new(e->peer.tls), BUFFEREVENT_SSL_ACCEPTING,
                                                 BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
    bufferevent_setcb(e->peer.bev, on_read, NULL, on_peer_event, e);
    bufferevent_enable(e->peer.bev, EV_READ | EV_WRITE);
}

static void listen_as(struct env *e, const char *ca, const char *ca_key, const char *name)
{
    struct diag diag;
    char *cert = NULL, *key = NULL;
    const char *names[] = {name};
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sin);
    assert_int_equal(cert_make_server(ca, ca_key, names, 1, DAYS, &cert, &key, &diag), 0);
    SSL_CTX_free(e->peer.tls);
    e->peer.tls = tls_server(ca, cert, key, &diag);
    assert_non_null(e->peer.tls);
    free(cert);
    free(key);
    if (e->peer.listener)
        return;
    e->peer.listener = evconnlistener_new_bind(e->base, on_accept, e, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 16,
                                               (struct sockaddr *)&sin, sizeof(sin));
    assert_non_null(e->peer.listener);
    getsockname(evconnlistener_get_fd(e->peer.listener), (struct sockaddr *)&sin, &len);
    e->peer.port = ntohs(sin.sin_port);
    e->peer.window = 16;
}

/* --- the agent's side --- */

static void no_found(const struct batch *b, bool damaged, void *ctx)
{
    (void)b, (void)damaged, (void)ctx;
}

static void enrol(struct env *e)
{
    struct diag diag;
    struct buf csr CLEANUP(buf_clear) = BUF_INIT(16 * KIB);
    char serial[CERT_SERIAL_HEX];
    free(e->cert);
    free(e->key);
    e->cert = e->key = NULL;
    id_random(e->agent);
    assert_int_equal(cert_make_request(&e->key, &csr, &diag), 0);
    assert_int_equal(cert_sign_agent(e->ca, e->ca_key, buf_str(&csr), e->agent, DAYS, &e->cert, serial, &diag), 0);
    assert_int_equal(credentials_store(e->dir, e->ca, e->cert, e->key, &diag), 0);
}

static void on_acked(void *ctx)
{
    ((struct env *)ctx)->acked_calls++;
}

static int setup(void **state)
{
    struct env *e = calloc(1, sizeof(*e));
    struct diag diag;
    char path[512];
    void *dir;
    if (!e || tmp_dir_setup(&dir) < 0)
        return -1;
    *state = e;
    e->dir = dir;
    e->base = event_base_new();
    assert_int_equal(cert_make_authority("test", &e->ca, &e->ca_key, &diag), 0);
    enrol(e);
    listen_as(e, e->ca, e->ca_key, "127.0.0.1");
    snprintf(path, sizeof(path), "%s/positions", e->dir);
    assert_int_equal(registry_open(path, &e->registry, &diag), 0);
    assert_int_equal(registry_add(e->registry, STREAM_FILE, "src", "/x", &e->stream), 0);
    assert_int_equal(registry_save(e->registry, false), 0);
    snprintf(path, sizeof(path), "%s/spool", e->dir);
    assert_int_equal(spool_open(path, 64 * MIB, 64 * KIB, 0, no_found, NULL, &e->spool, &diag), 0);
    sink_init(&e->sink, e->spool, e->registry, e->agent);
    e->sink.host = "web01";
    e->times = (struct uplink_times){10 * NS_PER_MS, 50 * NS_PER_MS, 400 * NS_PER_MS, 5 * NS_PER_S, 2 * NS_PER_S};
    return 0;
}

static void start(struct env *e)
{
    struct diag diag;
    const struct uplink_config cfg = {
        .collector_host = "127.0.0.1",
        .collector_port = e->peer.port,
        .state_dir = e->dir,
        .times = e->times,
        .sink = &e->sink,
        .on_acked = on_acked,
        .ctx = e,
    };
    assert_int_equal(uplink_new(e->base, &cfg, &e->uplink, &diag), 0);
    e->sink.on_spooled = uplink_kick;
    e->sink.ctx = e->uplink;
}

static int teardown(void **state)
{
    struct env *e = *state;
    void *dir = e->dir;
    uplink_free(e->uplink);
    hang_up(&e->peer);
    evconnlistener_free(e->peer.listener);
    SSL_CTX_free(e->peer.tls);
    sink_clear(&e->sink);
    spool_close(e->spool);
    registry_free(e->registry);
    event_base_free(e->base);
    free(e->ca);
    free(e->ca_key);
    free(e->cert);
    free(e->key);
    free(e);
    return tmp_dir_teardown(&dir);
}

static void put(struct env *e, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char line[64];
        int len = snprintf(line, sizeof(line), "line %zu\n", i);
        struct sink_piece piece = {
            .stream = e->stream,
            .start = e->stream->spooled,
            .end = e->stream->spooled + (uint64_t)len,
            .records = 1,
            .encoding = BATCH_TEXT,
            .raw = {line, (size_t)len},
        };
        assert_int_equal(sink_put(&e->sink, &piece), 0);
    }
}

static void run_ms(struct env *e, int ms)
{
    struct timeval tv = {ms / 1000, ms % 1000 * 1000};
    event_base_loopexit(e->base, &tv);
    event_base_dispatch(e->base);
}

#define run_until(e, condition)                                                                                        \
    do {                                                                                                               \
        int64_t end_ = time_monotonic_ns() + 20 * NS_PER_S;                                                            \
        while (!(condition) && time_monotonic_ns() < end_)                                                             \
            run_ms(e, 10);                                                                                             \
        assert_true(condition);                                                                                        \
    } while (0)

static bool is_all_acked(const struct env *e)
{
    return e->stream->acked == e->stream->spooled && e->stream->acked > 0;
}

static const char *error_of(const struct env *e)
{
    struct uplink_status s;
    uplink_status(e->uplink, &s);
    return s.last_error;
}

static bool is_up(const struct env *e)
{
    struct uplink_status s;
    uplink_status(e->uplink, &s);
    return s.state == UPLINK_UP;
}

/* --- tests --- */

static void delivers_and_moves_positions(void **state)
{
    struct env *e = *state;
    put(e, 1000);
    start(e);
    run_until(e, is_all_acked(e));
    assert_int_equal(e->peer.batches, 1000);
    for (size_t i = 0; i < 1000; i++)
        assert_int_equal(e->peer.seqs[i], i + 1);
    assert_string_equal(e->peer.host, "web01");
    assert_memory_equal(e->peer.agent, e->agent, ID_LEN);
    assert_int_equal(e->registry->acked_seq, 1000);
    assert_true(e->acked_calls > 0);
    put(e, 5); /* and what comes later is sent at once */
    run_until(e, is_all_acked(e));
    assert_int_equal(e->peer.batches, 1005);
    assert_int_equal(e->peer.connections, 1);
    run_until(e, e->peer.stats >= 3); /* the heartbeat asked for is one second */
}

static void keeps_to_the_window(void **state)
{
    struct env *e = *state;
    e->peer.window = 4;
    e->peer.ack_every = 4;
    put(e, 400);
    start(e);
    run_until(e, is_all_acked(e));
    assert_int_equal(e->peer.most_unacked, 4);
}

static void sends_again_what_was_not_acknowledged(void **state)
{
    struct env *e = *state;
    e->peer.drop_after = 7;
    e->peer.ack_every = 3;
    put(e, 50);
    start(e);
    run_until(e, is_all_acked(e) || e->stream->acked > e->stream->spooled - 30);
    e->peer.drop_after = 0;
    e->peer.ack_every = 0;
    run_until(e, is_all_acked(e));
    assert_true(e->peer.connections > 3);
    assert_true(e->peer.batches > 50);
    uint64_t next = 1; /* nothing is left out, whatever is repeated */
    for (size_t i = 0; i < e->peer.n_seqs; i++) {
        assert_true(e->peer.seqs[i] <= next);
        next = MAX(next, e->peer.seqs[i] + 1);
    }
    assert_int_equal(next, 51);
}

static void waits_long_when_denied(void **state)
{
    struct env *e = *state;
    e->peer.bye = BYE_DENIED;
    put(e, 1);
    start(e);
    run_until(e, strstr(error_of(e), "not now") != NULL);
    assert_non_null(strstr(error_of(e), "enrol again"));
    size_t before = e->peer.connections;
    run_ms(e, 250);
    assert_int_equal(e->peer.connections, before);
    e->peer.bye = 0;
    run_until(e, is_all_acked(e));
    assert_string_equal(error_of(e), "");
}

static void comes_back_soon_after_a_shutdown(void **state)
{
    struct env *e = *state;
    e->peer.bye = BYE_SHUTDOWN;
    start(e);
    run_until(e, e->peer.connections >= 5);
    e->peer.bye = 0;
    run_until(e, is_up(e));
}

static void sends_nothing_to_a_stranger(void **state)
{
    struct env *e = *state;
    struct diag diag;
    char *ca = NULL, *ca_key = NULL;
    assert_int_equal(cert_make_authority("test", &ca, &ca_key, &diag), 0); /* same name, another authority */
    listen_as(e, ca, ca_key, "127.0.0.1");
    put(e, 3);
    start(e);
    run_until(e, e->peer.connections >= 2);
    assert_non_null(strstr(error_of(e), "not what we trust"));
    assert_int_equal(e->peer.batches, 0);
    listen_as(e, e->ca, e->ca_key, "other.example"); /* ours, but another host's */
    size_t before = e->peer.connections;
    run_until(e, e->peer.connections >= before + 2);
    assert_non_null(strstr(error_of(e), "not what we trust"));
    assert_int_equal(e->peer.batches, 0);
    free(ca);
    free(ca_key);
}

static void a_foreign_certificate_of_ours_is_told_clearly(void **state)
{
    struct env *e = *state;
    struct diag diag;
    char *ca = NULL, *ca_key = NULL, *cert = NULL, *key = NULL;
    const char *names[] = {"127.0.0.1"};
    /* the collector trusts another authority than the one that signed both of us */
    assert_int_equal(cert_make_authority("other", &ca, &ca_key, &diag), 0);
    assert_int_equal(cert_make_server(e->ca, e->ca_key, names, 1, DAYS, &cert, &key, &diag), 0);
    SSL_CTX_free(e->peer.tls);
    e->peer.tls = tls_server(e->ca, cert, key, &diag);
    X509 *x = cert_parse(ca, &diag);
    X509_STORE *store = X509_STORE_new();
    X509_STORE_add_cert(store, x);
    SSL_CTX_set_cert_store(e->peer.tls, store);
    put(e, 1);
    start(e);
    run_until(e, strstr(error_of(e), "refuses our certificate") != NULL);
    assert_int_equal(e->peer.batches, 0);
    X509_free(x);
    free(ca);
    free(ca_key);
    free(cert);
    free(key);
}

static void a_wrong_acknowledgement_ends_the_connection(void **state)
{
    struct env *e = *state;
    e->peer.ack_instead = 1000000;
    put(e, 3);
    start(e);
    run_until(e, e->peer.connections >= 2);
    assert_int_equal(e->stream->acked, 0);
    e->peer.ack_instead = 0;
    run_until(e, is_all_acked(e));
}

static void silence_ends_the_connection(void **state)
{
    struct env *e = *state;
    e->peer.is_silent = true;
    e->times.retry_first_ns = e->times.retry_max_ns = 500 * NS_PER_MS;
    put(e, 3);
    start(e);
    run_until(e, strstr(error_of(e), "no acknowledgement") != NULL);
    e->peer.is_silent = false;
    run_until(e, is_all_acked(e));
}

static void rubbish_ends_the_connection(void **state)
{
    struct env *e = *state;
    static const char *const rubbish[] = {"HTTP/1.1 400 Bad Request\r\n\r\n", "\xff\xff\xff\xff\x04zzz",
                                          "\x05zzzzzzzzzzzzzzzz"};
    start(e);
    for (size_t i = 0; i < ARRAY_LEN(rubbish); i++) {
        e->peer.rubbish = rubbish[i];
        size_t before = e->peer.connections;
        run_until(e, e->peer.connections >= before + 2);
        assert_false(is_up(e));
    }
    e->peer.rubbish = NULL;
    run_until(e, is_up(e));
}

static void batches_of_an_old_identity_go_out_under_the_new(void **state)
{
    struct env *e = *state;
    put(e, 3);
    enrol(e);
    start(e);
    run_until(e, is_all_acked(e));
    assert_memory_equal(e->peer.agent, e->agent, ID_LEN);
    assert_memory_equal(e->peer.batch_agent, e->agent, ID_LEN);
    assert_memory_equal(e->sink.agent, e->agent, ID_LEN);
}

static char *pem_text(X509 *x)
{
    char *pem = NULL;
    assert_int_equal(cert_to_pem(x, &pem), 0);
    return pem;
}

static void renews_a_certificate_near_its_end(void **state)
{
    struct env *e = *state;
    struct diag diag;
    struct credentials cred;
    X509 *x = cert_parse(e->cert, &diag);
    EVP_PKEY *ca_key = cert_parse_key(e->ca_key, &diag);
    X509_gmtime_adj(X509_getm_notBefore(x), -80 * 86400L);
    X509_gmtime_adj(X509_getm_notAfter(x), 20 * 86400L); /* 20 of 100 days are left */
    assert_true(X509_sign(x, ca_key, EVP_sha256()) > 0);
    char *old = pem_text(x);
    assert_int_equal(credentials_store(e->dir, NULL, old, e->key, &diag), 0);
    start(e);
    run_until(e, e->peer.connections == 2 && is_up(e));
    assert_int_equal(e->peer.renewals, 1);
    run_ms(e, 50);
    assert_int_equal(e->peer.renewals, 1);
    assert_int_equal(credentials_load(e->dir, &cred, &diag), 0);
    assert_string_not_equal(cred.cert_pem, old);
    assert_memory_equal(cred.agent, e->agent, ID_LEN);
    assert_false(credentials_are_due(&cred, time_now_ns()));
    credentials_clear(&cred);
    put(e, 2);
    run_until(e, is_all_acked(e));
    free(old);
    X509_free(x);
    EVP_PKEY_free(ca_key);
}

static void nobody_there_is_tried_again(void **state)
{
    struct env *e = *state;
    put(e, 1);
    evconnlistener_disable(e->peer.listener);
    uint16_t right = e->peer.port;
    int fd = socket(AF_INET, SOCK_STREAM, 0); /* a port where nobody listens */
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sin);
    assert_int_equal(bind(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
    getsockname(fd, (struct sockaddr *)&sin, &len);
    e->peer.port = ntohs(sin.sin_port);
    start(e);
    run_until(e, strstr(error_of(e), "refused") != NULL);
    close(fd);
    e->uplink = uplink_free(e->uplink);
    e->peer.port = right;
    evconnlistener_enable(e->peer.listener);
    start(e);
    run_until(e, is_all_acked(e));
}

static void damage_in_the_spool_is_passed_over(void **state)
{
    struct env *e = *state;
    char path[512];
    put(e, 20);
    snprintf(path, sizeof(path), "%s/spool/%016x.spool", e->dir, 1);
    FILE *f = fopen(path, "r+");
    assert_non_null(f);
    fseek(f, 1000, SEEK_SET);
    fputs("damage", f);
    fclose(f);
    int64_t before = metric_of(M_SPOOL_DAMAGED_BYTES);
    start(e);
    run_until(e, e->registry->acked_seq == 20);
    assert_int_equal(e->peer.batches, 19);
    assert_true(metric_of(M_SPOOL_DAMAGED_BYTES) > before);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(delivers_and_moves_positions),
        T(keeps_to_the_window),
        T(sends_again_what_was_not_acknowledged),
        T(waits_long_when_denied),
        T(comes_back_soon_after_a_shutdown),
        T(sends_nothing_to_a_stranger),
        T(a_foreign_certificate_of_ours_is_told_clearly),
        T(a_wrong_acknowledgement_ends_the_connection),
        T(silence_ends_the_connection),
        T(rubbish_ends_the_connection),
        T(batches_of_an_old_identity_go_out_under_the_new),
        T(renews_a_certificate_near_its_end),
        T(nobody_there_is_tried_again),
        T(damage_in_the_spool_is_passed_over),
    };
    signal(SIGPIPE, SIG_IGN); /* as run does */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
