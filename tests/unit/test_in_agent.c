/* SPDX-License-Identifier: Apache-2.0
 * The agents' port over real TLS with real certificates: who gets in, who gets nothing, what is acknowledged when, and
 * that what is malformed, oversized or out of turn ends the connection. */
#include "collector/agents.h"
#include "collector/archive.h"
#include "collector/in_agent.h"
#include "collector/store.h"
#include "collector/writer.h"
#include "common/cert.h"
#include "common/file.h"
#include "common/frame.h"
#include "common/log.h"
#include "common/time.h"
#include "common/tls.h"
#include "tests/unit/test.h"

#include <arpa/inet.h>
#include <event2/event.h>
#include <openssl/pem.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

#define WAIT_MS 8000

static struct collector c;
static pthread_t loop_thread;
static sqlite3 *db;
static struct diag diag;
static char *ca_pem, *ca_key_pem;
static uint16_t port;

struct identity {
    uint8_t id[ID_LEN];
    char *cert_pem, *key_pem;
    char serial[CERT_SERIAL_HEX];
};

/* ---- the collector's side ---- */

static void on_stop(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd, (void)what, (void)ctx;
    event_base_loopbreak(c.loop);
}

static void *run_loop(void *ctx)
{
    (void)ctx;
    struct event *stop = event_new(c.loop, c.stopping.fd, EV_READ, on_stop, NULL);
    event_add(stop, NULL);
    event_base_dispatch(c.loop);
    event_free(stop);
    return NULL;
}

static void write_file(const char *path, const char *pem)
{
    assert_int_equal(file_write_atomic(path, str_of(pem), 0600), 0);
}

static int setup(void **state)
{
    if (tmp_dir_setup(state) < 0)
        return -1;
    signal(SIGPIPE, SIG_IGN);
    log_init("test", LOG_LEVEL_ERROR);
    char path[600], text[1200];
    snprintf(path, sizeof(path), "%s/c.yml", (char *)*state);
    snprintf(text, sizeof(text), "state_dir: %s\nlisten: {address: 127.0.0.1, port: 0, memory: 4MiB}\n",
             (char *)*state);
    write_file(path, text);
    struct diags ds;
    diags_init(&ds, 10);
    memset(&c, 0, sizeof(c));
    if (collector_config_load(path, &c.config, &ds) < 0 || collector_init(&c) < 0)
        return -1;
    diags_clear(&ds);

    char *server_pem, *server_key_pem;
    const char *const names[] = {"127.0.0.1"};
    assert_int_equal(file_mkdirs(c.config.archive_dir, 0700), 0);
    snprintf(path, sizeof(path), "%s/pki", (char *)*state);
    assert_int_equal(file_mkdirs(path, 0700), 0);
    assert_int_equal(cert_make_authority("Test", &ca_pem, &ca_key_pem, &diag), 0);
    assert_int_equal(cert_make_server(ca_pem, ca_key_pem, names, 1, 10, &server_pem, &server_key_pem, &diag), 0);
    write_file(c.config.tls.authority, ca_pem);
    write_file(c.config.tls.authority_key, ca_key_pem);
    write_file(c.config.tls.certificate, server_pem);
    write_file(c.config.tls.key, server_key_pem);
    free(server_pem);
    free(server_key_pem);

    assert_int_equal(store_open(c.config.db_path, STORE_DURABLE, &db, &diag), 0);
    if (archive_open(c.config.archive_dir, 64 * MIB, &c.archive, &diag) < 0)
        fail_msg("%s", diag.msg);
    c.started_ns = time_now_ns();
    c.loop = event_base_new();
    assert_int_equal(writer_start(&c), 0);
    assert_int_equal(in_agent_start(&c), 0);
    port = in_agent_port(c.in_agent);
    return pthread_create(&loop_thread, NULL, run_loop, NULL);
}

static int teardown(void **state)
{
    notify_raise(&c.stopping);
    pthread_join(loop_thread, NULL);
    in_agent_stop(&c);
    writer_stop(&c);
    c.archive = archive_close(c.archive);
    event_base_free(c.loop);
    collector_clear(&c);
    store_close(db);
    free(ca_pem);
    free(ca_key_pem);
    return tmp_dir_teardown(state);
}

/* Records in the archive, and the bytes of the last one's lines in out. */
static size_t archived(struct buf *out)
{
    struct archive_reader *r = NULL;
    struct archive_record rec;
    size_t n = 0;
    assert_int_equal(archive_reader_open(c.config.archive_dir, 0, &r, &diag), 0);
    while (archive_reader_next(r, &rec, &diag) == 1) {
        n++;
        if (out) {
            buf_reset(out);
            assert_int_equal(batch_raw(&rec.batch, out), 0);
        }
    }
    archive_reader_close(r);
    return n;
}

/* ---- an agent's side, blocking ---- */

struct client {
    SSL_CTX *ctx;
    SSL *ssl;
    int fd;
    struct buf in;
    size_t used; /* of `in`: the frame last given out */
};

static void request(char **ret_key_pem, struct buf *ret_csr)
{
    assert_int_equal(cert_make_request(ret_key_pem, ret_csr, &diag), 0);
}

/* A certificate of that authority, without any enrolment. */
static struct identity identity_of(const char *authority_pem, const char *authority_key_pem, uint8_t first)
{
    struct identity i = {.id = {first, 2, 3}};
    struct buf csr = BUF_INIT(8 * KIB);
    request(&i.key_pem, &csr);
    assert_int_equal(
        cert_sign_agent(authority_pem, authority_key_pem, buf_str(&csr), i.id, 10, &i.cert_pem, i.serial, &diag), 0);
    buf_clear(&csr);
    return i;
}

/* ... and enrolled. */
static struct identity enrolled(uint8_t first)
{
    struct identity i = identity_of(ca_pem, ca_key_pem, first);
    uint8_t secret[FRAME_TOKEN_LEN];
    struct agent_certificate cert = {i.serial, time_now_ns() + 10 * 86400 * NS_PER_S};
    assert_int_equal(agents_token_new(db, 60 * NS_PER_S, 1, STR(""), STR("cli:0"), secret, &diag), 0);
    assert_int_equal(
        agents_enrol(db, (struct str){(char *)secret, sizeof(secret)}, i.id, STR("web-1"), &cert, time_now_ns(), &diag),
        0);
    return i;
}

static void identity_clear(struct identity *i)
{
    free(i->cert_pem);
    free(i->key_pem);
}

static int connect_tcp(void)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    struct timeval wait = {.tv_sec = WAIT_MS / 1000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
    return fd;
}

/* Past tls_client's own checks: what an agent would never present, a stranger may. */
static void use_certificate(SSL_CTX *ctx, const struct identity *i)
{
    X509 *cert = cert_parse(i->cert_pem, &diag);
    EVP_PKEY *key = cert_parse_key(i->key_pem, &diag);
    assert_int_equal(SSL_CTX_use_certificate(ctx, cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(ctx, key), 1);
    X509_free(cert);
    EVP_PKEY_free(key);
}

/* identity NULL: no certificate. 0 when the handshake went through on our side. */
static int client_open(struct client *k, const struct identity *i)
{
    *k = (struct client){.in = BUF_INIT(2 * FRAME_MAX), .fd = connect_tcp()};
    k->ctx = tls_client(ca_pem, NULL, NULL, &diag);
    assert_non_null(k->ctx);
    if (i)
        use_certificate(k->ctx, i);
    k->ssl = tls_connect_to(k->ctx, "127.0.0.1", &diag);
    assert_non_null(k->ssl);
    SSL_set_fd(k->ssl, k->fd);
    return SSL_connect(k->ssl) == 1 ? 0 : -1;
}

static void client_close(struct client *k)
{
    SSL_free(k->ssl);
    SSL_CTX_free(k->ctx);
    close(k->fd);
    buf_clear(&k->in);
}

static void send_bytes(struct client *k, struct str s)
{
    size_t at = 0;
    while (at < s.len) {
        int n = SSL_write(k->ssl, s.p + at, (int)(s.len - at));
        if (n <= 0)
            return; /* the collector has closed: what it answered is looked at next */
        at += (size_t)n;
    }
}

static void send_frame(struct client *k, const struct frame *f)
{
    struct buf out = BUF_INIT(FRAME_MAX);
    assert_int_equal(frame_encode(f, &out), 0);
    send_bytes(k, buf_str(&out));
    buf_clear(&out);
}

/* The next frame; type 0 when the connection ended first. Borrows from k until the next call. */
static struct frame receive(struct client *k)
{
    struct frame f = {0};
    buf_consume(&k->in, k->used);
    k->used = 0;
    for (;;) {
        ssize_t need = frame_need(buf_str(&k->in));
        assert_true(need >= 0);
        if (need > 0 && (size_t)need <= k->in.len) {
            k->used = (size_t)need;
            assert_int_equal(frame_decode((struct str){(char *)k->in.data, k->used}, &f, &diag), 0);
            return f;
        }
        uint8_t *tail;
        assert_int_equal(buf_reserve(&k->in, 4096, &tail), 0);
        int n = SSL_read(k->ssl, tail, 4096);
        if (n <= 0) {
            buf_reset(&k->in);
            return (struct frame){0};
        }
        k->in.len += (size_t)n;
    }
}

static void expect_bye(struct client *k, enum bye_code code)
{
    struct frame f = receive(k);
    assert_int_equal(f.type, FRAME_BYE);
    if (f.bye.code != code)
        fail_msg("BYE %d (%.*s), expected %d", f.bye.code, (int)f.bye.reason.len, f.bye.reason.p, code);
    assert_int_equal(receive(k).type, 0);
}

static void hello(struct client *k)
{
    struct frame f = {.type = FRAME_HELLO, .hello = {FRAME_VERSION, STR("web-1"), STR("0.1.0")}};
    send_frame(k, &f);
    f = receive(k);
    assert_int_equal(f.type, FRAME_WELCOME);
    assert_int_equal(f.welcome.version, FRAME_VERSION);
    assert_true(f.welcome.window_batches > 0 && f.welcome.heartbeat_s > 0);
}

static void client_hello(struct client *k, const struct identity *i)
{
    assert_int_equal(client_open(k, i), 0);
    hello(k);
}

static const char lines[] = "line one\nline two\nline three\n";

static void encode_batch(const uint8_t agent[ID_LEN], uint64_t seq, uint64_t start, const char *raw, uint8_t encoding,
                         struct buf *out)
{
    struct batch b = {.stream = {9},
                      .seq = seq,
                      .start = start,
                      .end = start + strlen(raw),
                      .encoding = encoding,
                      .source = STR("auth"),
                      .type = STR(""),
                      .path = STR("/var/log/auth.log"),
                      .host = STR("web-1"),
                      .cursor = STR("")};
    memcpy(b.agent, agent, ID_LEN);
    for (const char *p = raw; (p = strchr(p, '\n')); p++)
        b.records++;
    if (encoding != BATCH_TEXT)
        b.end = start + b.records;
    assert_int_equal(batch_encode(&b, str_of(raw), 1, out), 0);
}

static void send_batch(struct client *k, const uint8_t agent[ID_LEN], uint64_t seq, uint64_t start, const char *raw)
{
    struct buf out = BUF_INIT(BATCH_MAX);
    encode_batch(agent, seq, start, raw, BATCH_TEXT, &out);
    send_frame(k, &(struct frame){.type = FRAME_BATCH, .batch = buf_str(&out)});
    buf_clear(&out);
}

static void expect_ack(struct client *k, uint64_t seq)
{
    struct frame f;
    do {
        f = receive(k);
        assert_int_equal(f.type, FRAME_ACK);
        assert_true(f.ack_seq <= seq);
    } while (f.ack_seq < seq);
}

/* ---- who gets in ---- */

static void strangers_may_only_enrol(void **state)
{
    (void)state;
    struct client k;
    struct identity nobody = {.id = {1}};
    assert_int_equal(client_open(&k, NULL), 0);
    send_frame(&k, &(struct frame){.type = FRAME_HELLO, .hello = {FRAME_VERSION, STR("x"), STR("y")}});
    expect_bye(&k, BYE_PROTOCOL);
    client_close(&k);

    assert_int_equal(client_open(&k, NULL), 0);
    send_batch(&k, nobody.id, 1, 0, lines);
    expect_bye(&k, BYE_PROTOCOL);
    client_close(&k);
    assert_int_equal(archived(NULL), 0);
}

static struct frame enrol_frame(struct str secret, struct str csr)
{
    return (struct frame){.type = FRAME_ENROL, .enrol = {secret, STR("new-host"), csr}};
}

static void a_token_enrols_once(void **state)
{
    (void)state;
    uint8_t secret[FRAME_TOKEN_LEN] = {0};
    struct str token = {(char *)secret, sizeof(secret)};
    struct identity i = {0};
    struct buf csr = BUF_INIT(8 * KIB);
    request(&i.key_pem, &csr);
    struct frame f = enrol_frame(token, buf_str(&csr));

    struct client k;
    assert_int_equal(client_open(&k, NULL), 0);
    send_frame(&k, &f);
    expect_bye(&k, BYE_DENIED);
    client_close(&k);

    assert_int_equal(agents_token_new(db, 60 * NS_PER_S, 1, STR(""), STR("cli:0"), secret, &diag), 0);
    assert_int_equal(client_open(&k, NULL), 0);
    send_frame(&k, &f);
    struct frame cert = receive(&k);
    assert_int_equal(cert.type, FRAME_CERT);
    assert_true(str_eq(cert.cert.authority_pem, str_of(ca_pem)));
    i.cert_pem = strndup(cert.cert.agent_pem.p, cert.cert.agent_pem.len);
    assert_int_equal(cert_info(i.cert_pem, NULL, NULL, i.id, i.serial, &diag), 0);
    client_close(&k);

    assert_int_equal(client_open(&k, NULL), 0); /* it is used up */
    send_frame(&k, &f);
    expect_bye(&k, BYE_DENIED);
    client_close(&k);

    client_hello(&k, &i);
    send_batch(&k, i.id, 1, 0, lines);
    expect_ack(&k, 1);
    client_close(&k);
    buf_clear(&csr);
    identity_clear(&i);
}

static void bad_requests_use_no_token(void **state)
{
    (void)state;
    uint8_t secret[FRAME_TOKEN_LEN];
    struct client k;
    assert_int_equal(agents_token_new(db, 60 * NS_PER_S, 1, STR(""), STR("cli:0"), secret, &diag), 0);
    assert_int_equal(client_open(&k, NULL), 0);
    struct frame f = enrol_frame((struct str){(char *)secret, sizeof(secret)}, STR("this is no request"));
    send_frame(&k, &f);
    expect_bye(&k, BYE_PROTOCOL);
    client_close(&k);
    assert_int_equal(agents_token_check(db, (struct str){(char *)secret, sizeof(secret)}, time_now_ns(), &diag), 0);
}

/* A refused certificate: in TLS 1.3 the client learns it with its first read. */
static void expect_nothing(const struct identity *i)
{
    struct client k;
    if (client_open(&k, i) == 0) {
        send_frame(&k, &(struct frame){.type = FRAME_HELLO, .hello = {FRAME_VERSION, STR("x"), STR("y")}});
        send_batch(&k, i->id, 1, 0, lines);
        assert_int_equal(receive(&k).type, 0);
    }
    client_close(&k);
    assert_int_equal(archived(NULL), 0);
}

static void a_foreign_certificate_gets_nothing(void **state)
{
    (void)state;
    char *other_pem, *other_key_pem;
    assert_int_equal(cert_make_authority("Test", &other_pem, &other_key_pem, &diag), 0);
    struct identity i = identity_of(other_pem, other_key_pem, 1);
    expect_nothing(&i);
    identity_clear(&i);
    free(other_pem);
    free(other_key_pem);
}

static void an_expired_certificate_gets_nothing(void **state)
{
    (void)state;
    struct identity i = enrolled(1);
    X509 *cert = cert_parse(i.cert_pem, &diag);
    EVP_PKEY *ca_key = cert_parse_key(ca_key_pem, &diag);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(cert), -7200));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(cert), -3600));
    assert_true(X509_sign(cert, ca_key, EVP_sha256()) > 0);
    free(i.cert_pem);
    assert_int_equal(cert_to_pem(cert, &i.cert_pem), 0);
    expect_nothing(&i);
    X509_free(cert);
    EVP_PKEY_free(ca_key);
    identity_clear(&i);
}

static void an_unknown_agent_is_denied(void **state)
{
    (void)state;
    struct identity i = identity_of(ca_pem, ca_key_pem, 1); /* signed, but never enrolled here */
    struct client k;
    assert_int_equal(client_open(&k, &i), 0);
    expect_bye(&k, BYE_DENIED);
    client_close(&k);
    identity_clear(&i);
}

static void a_revoked_agent_is_cut_off(void **state)
{
    (void)state;
    struct identity i = enrolled(1);
    struct client k;
    client_hello(&k, &i);
    int64_t began_ns = time_monotonic_ns();
    assert_int_equal(agents_revoke(db, i.id, STR("cli:0"), time_now_ns(), &diag), 0);
    expect_bye(&k, BYE_DENIED);
    assert_true(time_monotonic_ns() - began_ns < 2 * NS_PER_S + 500 * NS_PER_MS);
    client_close(&k);

    assert_int_equal(client_open(&k, &i), 0);
    expect_bye(&k, BYE_DENIED);
    client_close(&k);
    identity_clear(&i);
}

static void plain_text_gets_nothing(void **state)
{
    (void)state;
    int fd = connect_tcp();
    static const char text[] = "<34>1 2026-11-23T16:29:00Z host app - - - hello\n";
    assert_int_equal(send(fd, text, sizeof(text) - 1, 0), sizeof(text) - 1);
    char answer[256];
    ssize_t n = recv(fd, answer, sizeof(answer), 0);
    if (n > 0) /* at most a TLS alert */
        assert_int_equal(answer[0], 21);
    close(fd);
    assert_int_equal(archived(NULL), 0);
}

/* ---- batches ---- */

static void batches_are_stored_once(void **state)
{
    (void)state;
    struct identity i = enrolled(1);
    struct buf raw = BUF_INIT(BATCH_RAW_MAX);
    struct client k;
    client_hello(&k, &i);
    send_batch(&k, i.id, 1, 0, lines);
    expect_ack(&k, 1);
    assert_int_equal(archived(&raw), 1); /* acknowledged means there */
    assert_true(str_eq(buf_str(&raw), str_of(lines)));

    send_batch(&k, i.id, 2, 0, lines); /* again, under a new number */
    expect_ack(&k, 2);
    assert_int_equal(archived(NULL), 1);
    client_close(&k);

    client_hello(&k, &i); /* a resend after a reconnect starts where the agent likes */
    send_batch(&k, i.id, 1, 0, lines);
    send_batch(&k, i.id, 2, 9, "line two\nline three\nline four\n"); /* other borders: only what is new */
    expect_ack(&k, 2);
    assert_int_equal(archived(&raw), 2);
    assert_true(str_eq(buf_str(&raw), STR("line four\n")));
    client_close(&k);
    buf_clear(&raw);
    identity_clear(&i);
}

static void repeats_in_flight_are_stored_once(void **state)
{
    (void)state;
    struct identity i = enrolled(1);
    struct client k;
    client_hello(&k, &i);
    for (uint64_t seq = 1; seq <= 50; seq++) /* faster than any disk */
        send_batch(&k, i.id, seq, 0, lines);
    expect_ack(&k, 50);
    assert_int_equal(archived(NULL), 1);
    client_close(&k);
    identity_clear(&i);
}

static void what_is_stored_survives_a_restart(void **state)
{
    (void)state;
    struct identity i = enrolled(1);
    struct client k;
    client_hello(&k, &i);
    send_batch(&k, i.id, 1, 0, lines);
    expect_ack(&k, 1);
    client_close(&k);

    notify_raise(&c.stopping); /* nothing but the archive says what was stored: no detection ran */
    pthread_join(loop_thread, NULL);
    notify_clear(&c.stopping);
    in_agent_stop(&c);
    assert_int_equal(in_agent_start(&c), 0);
    port = in_agent_port(c.in_agent);
    pthread_create(&loop_thread, NULL, run_loop, NULL);

    client_hello(&k, &i);
    send_batch(&k, i.id, 1, 0, lines);
    expect_ack(&k, 1);
    assert_int_equal(archived(NULL), 1);
    client_close(&k);
    identity_clear(&i);
}

static void many_agents_at_once(void **state)
{
    (void)state;
    enum { AGENTS = 8, BATCHES = 40 };
    struct identity ids[AGENTS];
    struct client ks[AGENTS];
    char *big = malloc(200001);
    for (size_t n = 0; n < 200000; n++)
        big[n] = n % 100 == 99 ? '\n' : (char)('a' + (n * 2654435761u >> 7) % 26);
    big[200000] = '\0';
    for (uint8_t a = 0; a < AGENTS; a++) {
        ids[a] = enrolled((uint8_t)(a + 1));
        client_hello(&ks[a], &ids[a]);
    }
    for (uint64_t seq = 1; seq <= BATCHES; seq++) /* listen.memory is small: they take turns */
        for (size_t a = 0; a < AGENTS; a++)
            send_batch(&ks[a], ids[a].id, seq, (seq - 1) * 200000, big);
    for (size_t a = 0; a < AGENTS; a++) {
        expect_ack(&ks[a], BATCHES);
        client_close(&ks[a]);
        identity_clear(&ids[a]);
    }
    assert_int_equal(archived(NULL), AGENTS * BATCHES);
    free(big);
}

static void another_agents_batch_ends_the_connection(void **state)
{
    (void)state;
    struct identity i = enrolled(1);
    uint8_t other[ID_LEN] = {77};
    struct client k;
    client_hello(&k, &i);
    send_batch(&k, other, 1, 0, lines);
    expect_bye(&k, BYE_PROTOCOL);
    client_close(&k);
    assert_int_equal(archived(NULL), 0);
    identity_clear(&i);
}

static void an_agent_cannot_speak_for_the_collector(void **state)
{
    (void)state;
    struct identity i = enrolled(1);
    struct buf out = BUF_INIT(BATCH_MAX);
    struct client k;
    client_hello(&k, &i);
    encode_batch(i.id, 1, 0, "{\"event.dataset\":\"vonggac.health\"}\n", BATCH_ECS, &out);
    send_frame(&k, &(struct frame){.type = FRAME_BATCH, .batch = buf_str(&out)});
    expect_bye(&k, BYE_PROTOCOL);
    client_close(&k);
    assert_int_equal(archived(NULL), 0);
    buf_clear(&out);
    identity_clear(&i);
}

/* ---- manners ---- */

static void the_newest_connection_stays(void **state)
{
    (void)state;
    struct identity i = enrolled(1);
    struct client first, second;
    client_hello(&first, &i);
    client_hello(&second, &i);
    expect_bye(&first, BYE_REPLACED);
    send_batch(&second, i.id, 1, 0, lines);
    expect_ack(&second, 1);
    client_close(&first);
    client_close(&second);
    identity_clear(&i);
}

static void a_certificate_is_renewed(void **state)
{
    (void)state;
    struct identity i = enrolled(1), renewed = {0};
    struct buf csr = BUF_INIT(8 * KIB);
    struct client k;
    client_hello(&k, &i);
    request(&renewed.key_pem, &csr);
    send_frame(&k, &(struct frame){.type = FRAME_RENEW, .renew = {buf_str(&csr)}});
    struct frame f = receive(&k);
    assert_int_equal(f.type, FRAME_CERT);
    renewed.cert_pem = strndup(f.cert.agent_pem.p, f.cert.agent_pem.len);
    assert_int_equal(cert_info(renewed.cert_pem, NULL, NULL, renewed.id, renewed.serial, &diag), 0);
    assert_memory_equal(renewed.id, i.id, ID_LEN);
    assert_string_not_equal(renewed.serial, i.serial);
    client_close(&k);
    client_hello(&k, &renewed);
    client_close(&k);
    client_hello(&k, &i); /* the old one stays good: the new one may never have arrived */
    client_close(&k);
    buf_clear(&csr);
    identity_clear(&i);
    identity_clear(&renewed);
}

static void statistics_are_kept(void **state)
{
    (void)state;
    struct identity i = enrolled(1);
    struct client k;
    client_hello(&k, &i);
    send_frame(&k, &(struct frame){.type = FRAME_STATS, .stats = STR("{\"vonggac_agent_lines_total\": 12}")});
    send_frame(&k, &(struct frame){.type = FRAME_STATS, .stats = STR("{\"x\": \"<script>\"}")});
    expect_bye(&k, BYE_PROTOCOL);
    client_close(&k);
    identity_clear(&i);
}

static void malformed_frames_end_the_connection(void **state)
{
    (void)state;
    struct identity i = enrolled(1);
    static const struct {
        const char *what;
        struct str bytes;
    } rows[] = {
        {"unknown type", STR("\x08\0\0\0\x63\0\0\0xxxx")},
        {"type zero", STR("\x04\0\0\0\0\0\0\0")},
        {"oversized batch", STR("\xff\xff\xff\xff\x03\0\0\0")},
        {"oversized stats", STR("\xff\xff\xff\x00\x05\0\0\0")},
        {"too short", STR("\x01\0\0\0\x05\0\0\0")},
        {"what only a collector says", STR("\x0c\0\0\0\x04\0\0\0\x01\0\0\0\0\0\0\0")},
        {"a second hello", STR("\x0a\0\0\0\x01\0\0\0\x01\0\0\0\0\0")},
        {"enrol by an agent", STR("\x06\0\0\0\x09\0\0\0\0\0\0\0\0\0")},
        {"a batch of rubbish", STR("\x14\0\0\0\x03\0\0\0VGB1############")},
    };
    for (size_t n = 0; n < ARRAY_LEN(rows); n++) {
        struct client k;
        client_hello(&k, &i);
        send_bytes(&k, rows[n].bytes);
        struct frame f = receive(&k);
        if (f.type != FRAME_BYE || f.bye.code != BYE_PROTOCOL)
            fail_msg("%s: frame %d", rows[n].what, f.type);
        client_close(&k);
    }
    assert_int_equal(archived(NULL), 0);
    identity_clear(&i);
}

static void another_version_is_told_so(void **state)
{
    (void)state;
    struct identity i = enrolled(1);
    struct client k;
    assert_int_equal(client_open(&k, &i), 0);
    send_frame(&k, &(struct frame){.type = FRAME_HELLO, .hello = {FRAME_VERSION + 1, STR("x"), STR("y")}});
    expect_bye(&k, BYE_VERSION);
    client_close(&k);
    identity_clear(&i);
}

static void frames_may_come_byte_by_byte(void **state)
{
    (void)state;
    struct identity i = enrolled(1);
    struct buf batch = BUF_INIT(BATCH_MAX), frame = BUF_INIT(FRAME_MAX);
    struct client k;
    client_hello(&k, &i);
    encode_batch(i.id, 1, 0, lines, BATCH_TEXT, &batch);
    assert_int_equal(frame_encode(&(struct frame){.type = FRAME_BATCH, .batch = buf_str(&batch)}, &frame), 0);
    for (size_t n = 0; n < frame.len; n++)
        send_bytes(&k, (struct str){(char *)frame.data + n, 1});
    expect_ack(&k, 1);
    client_close(&k);
    buf_clear(&batch);
    buf_clear(&frame);
    identity_clear(&i);
}

static void stopping_acknowledges_what_is_stored(void **state)
{
    (void)state;
    struct identity i = enrolled(1);
    struct client k;
    client_hello(&k, &i);
    send_batch(&k, i.id, 1, 0, lines);
    expect_ack(&k, 1);
    notify_raise(&c.stopping);
    pthread_join(loop_thread, NULL);
    notify_clear(&c.stopping);
    in_agent_stop(&c);
    expect_bye(&k, BYE_SHUTDOWN);
    client_close(&k);
    assert_int_equal(in_agent_start(&c), 0); /* for the teardown */
    pthread_create(&loop_thread, NULL, run_loop, NULL);
    identity_clear(&i);
}

#define ON_PORT(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_PORT(strangers_may_only_enrol),
        ON_PORT(a_token_enrols_once),
        ON_PORT(bad_requests_use_no_token),
        ON_PORT(a_foreign_certificate_gets_nothing),
        ON_PORT(an_expired_certificate_gets_nothing),
        ON_PORT(an_unknown_agent_is_denied),
        ON_PORT(a_revoked_agent_is_cut_off),
        ON_PORT(plain_text_gets_nothing),
        ON_PORT(batches_are_stored_once),
        ON_PORT(repeats_in_flight_are_stored_once),
        ON_PORT(what_is_stored_survives_a_restart),
        ON_PORT(many_agents_at_once),
        ON_PORT(another_agents_batch_ends_the_connection),
        ON_PORT(an_agent_cannot_speak_for_the_collector),
        ON_PORT(the_newest_connection_stays),
        ON_PORT(a_certificate_is_renewed),
        ON_PORT(statistics_are_kept),
        ON_PORT(malformed_frames_end_the_connection),
        ON_PORT(another_version_is_told_so),
        ON_PORT(frames_may_come_byte_by_byte),
        ON_PORT(stopping_acknowledges_what_is_stored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
