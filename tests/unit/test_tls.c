/* SPDX-License-Identifier: Apache-2.0
 *
 * Real handshakes over memory: a connection "works" only when a byte has gone both ways, since a TLS 1.3 client
 * believes itself connected before the server has looked at its certificate.
 */
#include "common/tls.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cmocka.h>

struct pki {
    char *ca, *ca_key, *server, *server_key, *agent, *agent_key;
    uint8_t agent_id[ID_LEN];
    char serial[CERT_SERIAL_HEX];
};

static struct pki ours, foreign;

static void pki_make(struct pki *p)
{
    static const char *const names[] = {"soc.example.vn", "127.0.0.1", "::1"};
    struct buf csr = BUF_INIT(4096);
    assert_int_equal(cert_make_authority("Authority", &p->ca, &p->ca_key, NULL), 0);
    assert_int_equal(cert_make_server(p->ca, p->ca_key, names, 3, 10, &p->server, &p->server_key, NULL), 0);
    assert_int_equal(cert_make_request(&p->agent_key, &csr, NULL), 0);
    id_random(p->agent_id);
    assert_int_equal(cert_sign_agent(p->ca, p->ca_key, buf_str(&csr), p->agent_id, 10, &p->agent, p->serial, NULL), 0);
    buf_clear(&csr);
}

static void pki_free(struct pki *p)
{
    free(p->ca);
    free(p->ca_key);
    free(p->server);
    free(p->server_key);
    free(p->agent);
    free(p->agent_key);
}

static int setup(void **state)
{
    (void)state;
    pki_make(&ours);
    pki_make(&foreign);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    pki_free(&ours);
    pki_free(&foreign);
    return 0;
}

/* The certificate with other dates or without extended key usage, signed anew by its authority. */
static char *resigned(const char *pem, const struct pki *p, int first_day, int last_day, bool drop_usage)
{
    X509 *cert = cert_parse(pem, NULL);
    EVP_PKEY *key = cert_parse_key(p->ca_key, NULL);
    assert_non_null(X509_time_adj_ex(X509_getm_notBefore(cert), first_day, 0, NULL));
    assert_non_null(X509_time_adj_ex(X509_getm_notAfter(cert), last_day, 0, NULL));
    if (drop_usage)
        X509_EXTENSION_free(X509_delete_ext(cert, X509_get_ext_by_NID(cert, NID_ext_key_usage, -1)));
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    char *ret = NULL;
    assert_int_equal(cert_to_pem(cert, &ret), 0);
    X509_free(cert);
    EVP_PKEY_free(key);
    return ret;
}

struct session {
    SSL *client, *server;
    bool works;
    char client_error[256], server_error[256];
};

/* One step of one side: true when it has nothing more to do for now. */
static bool step(SSL *ssl, bool *failed, char error[256])
{
    if (*failed || SSL_is_init_finished(ssl))
        return true;
    int r = SSL_do_handshake(ssl);
    if (r == 1 || SSL_get_error(ssl, r) == SSL_ERROR_WANT_READ)
        return r == 1;
    *failed = true;
    tls_handshake_error(ssl, error, 256);
    return true;
}

static bool pass_byte(SSL *from, SSL *to, char error[256])
{
    char c = 'x', got = 0;
    if (SSL_write(from, &c, 1) == 1 && SSL_read(to, &got, 1) == 1 && got == c)
        return true;
    if (!error[0])
        tls_handshake_error(to, error, 256);
    return false;
}

static struct session run(SSL *client, SSL *server)
{
    struct session s = {.client = client, .server = server};
    bool client_failed = false, server_failed = false;
    BIO *a, *b;
    assert_int_equal(BIO_new_bio_pair(&a, 64 * KIB, &b, 64 * KIB), 1);
    SSL_set_bio(client, a, a);
    SSL_set_bio(server, b, b);
    for (int i = 0; i < 20; i++) {
        bool done = step(client, &client_failed, s.client_error);
        if (step(server, &server_failed, s.server_error) && done)
            break;
    }
    if (!client_failed && !server_failed)
        s.works = pass_byte(client, server, s.server_error) && pass_byte(server, client, s.client_error);
    else if (!client_failed) { /* what the client hears of the server's refusal */
        char c;
        assert_true(SSL_read(client, &c, 1) <= 0);
        tls_error(s.client_error, sizeof(s.client_error));
    }
    return s;
}

static struct session meet(SSL_CTX *client_ctx, const char *host, SSL_CTX *server_ctx)
{
    assert_non_null(client_ctx);
    assert_non_null(server_ctx);
    SSL *client = tls_connect_to(client_ctx, host, NULL), *server = SSL_new(server_ctx);
    assert_non_null(client);
    assert_non_null(server);
    SSL_set_accept_state(server);
    return run(client, server);
}

static void session_end(struct session *s, SSL_CTX *client_ctx, SSL_CTX *server_ctx)
{
    SSL_free(s->client);
    SSL_free(s->server);
    SSL_CTX_free(client_ctx);
    SSL_CTX_free(server_ctx);
}

/* Meets once and says how it went; takes both contexts. `word` must be in the message of the side that refused. */
static void must_fail(SSL_CTX *client_ctx, const char *host, SSL_CTX *server_ctx, bool by_server, const char *word)
{
    struct session s = meet(client_ctx, host, server_ctx);
    assert_false(s.works);
    const char *error = by_server ? s.server_error : s.client_error;
    if (!strstr(error, word))
        fail_msg("'%s' is not in '%s' (the other side: '%s')", word, error,
                 by_server ? s.client_error : s.server_error);
    session_end(&s, client_ctx, server_ctx);
}

static SSL_CTX *good_server(void)
{
    return tls_server(ours.ca, ours.server, ours.server_key, NULL);
}

static SSL_CTX *good_client(void)
{
    return tls_client(ours.ca, ours.agent, ours.agent_key, NULL);
}

static void agent_is_known_after_the_handshake(void **state)
{
    (void)state;
    static const char *const hosts[] = {"soc.example.vn", "127.0.0.1", "::1"};
    for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
        SSL_CTX *c = good_client(), *v = good_server();
        struct session s = meet(c, hosts[i], v);
        if (!s.works)
            fail_msg("client: %s; server: %s", s.client_error, s.server_error);
        uint8_t id[ID_LEN];
        char serial[CERT_SERIAL_HEX];
        assert_int_equal(tls_peer_agent(s.server, id, serial), 0);
        assert_memory_equal(id, ours.agent_id, ID_LEN);
        assert_string_equal(serial, ours.serial);
        assert_int_equal(SSL_version(s.server), TLS1_3_VERSION);
        session_end(&s, c, v);
    }
}

static void without_certificate_one_may_only_enrol(void **state)
{
    (void)state;
    SSL_CTX *c = tls_client(ours.ca, NULL, NULL, NULL), *v = good_server();
    struct session s = meet(c, "127.0.0.1", v);
    uint8_t id[ID_LEN];
    char serial[CERT_SERIAL_HEX];
    assert_true(s.works);
    assert_int_equal(tls_peer_agent(s.server, id, serial), -ENOENT);
    session_end(&s, c, v);
}

static void strangers_are_refused_by_the_server(void **state)
{
    (void)state;
    /* Trusts our server, but its certificate is another authority's. */
    SSL_CTX *c = tls_client(ours.ca, NULL, NULL, NULL);
    X509 *cert = cert_parse(foreign.agent, NULL);
    EVP_PKEY *key = cert_parse_key(foreign.agent_key, NULL);
    assert_int_equal(SSL_CTX_use_certificate(c, cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(c, key), 1);
    X509_free(cert);
    EVP_PKEY_free(key);
    must_fail(c, "127.0.0.1", good_server(), true, "verify failed");

    char *expired = resigned(ours.agent, &ours, -10, -1, false);
    must_fail(tls_client(ours.ca, expired, ours.agent_key, NULL), "127.0.0.1", good_server(), true, "expired");
    free(expired);
    char *early = resigned(ours.agent, &ours, 1, 5, false);
    must_fail(tls_client(ours.ca, early, ours.agent_key, NULL), "127.0.0.1", good_server(), true, "not yet valid");
    free(early);
    char *roleless = resigned(ours.agent, &ours, -1, 5, true);
    must_fail(tls_client(ours.ca, roleless, ours.agent_key, NULL), "127.0.0.1", good_server(), true, "purpose");
    free(roleless);
    must_fail(tls_client(ours.ca, ours.server, ours.server_key, NULL), "127.0.0.1", good_server(), true, "purpose");
    must_fail(tls_client(ours.ca, ours.ca, ours.ca_key, NULL), "127.0.0.1", good_server(), true, "verify failed");
}

static void false_servers_are_refused_by_the_agent(void **state)
{
    (void)state;
    must_fail(good_client(), "127.0.0.1", tls_server(foreign.ca, foreign.server, foreign.server_key, NULL), false,
              "verify failed");
    must_fail(good_client(), "127.0.0.1", tls_server(ours.ca, ours.agent, ours.agent_key, NULL), false, "purpose");
    must_fail(good_client(), "10.9.9.9", good_server(), false, "IP address mismatch");
    must_fail(good_client(), "evil.example.vn", good_server(), false, "hostname mismatch");
    must_fail(good_client(), "vonggac-collector", good_server(), false, "hostname mismatch");
    char *expired = resigned(ours.server, &ours, -10, -1, false);
    must_fail(good_client(), "127.0.0.1", tls_server(ours.ca, expired, ours.server_key, NULL), false, "expired");
    free(expired);
    char *roleless = resigned(ours.server, &ours, -1, 5, true);
    must_fail(good_client(), "127.0.0.1", tls_server(ours.ca, roleless, ours.server_key, NULL), false, "purpose");
    free(roleless);
}

static SSL_CTX *pinned_to(const char *pem)
{
    uint8_t fingerprint[CERT_FINGERPRINT_LEN];
    assert_int_equal(cert_info(pem, fingerprint, NULL, NULL, NULL, NULL), 0);
    return tls_client_pinned(fingerprint, NULL);
}

static void pinned_client_learns_the_authority(void **state)
{
    (void)state;
    SSL_CTX *c = pinned_to(ours.ca), *v = good_server();
    struct session s = meet(c, "soc.example.vn", v);
    assert_true(s.works);
    char *pem = NULL;
    assert_int_equal(tls_peer_authority(s.client, &pem), 0);
    assert_string_equal(pem, ours.ca);
    free(pem);
    session_end(&s, c, v);
}

/* A server that shows `chain` beside its own certificate. */
static SSL_CTX *server_with_chain(const struct pki *p, const char *chain)
{
    SSL_CTX *v = tls_server(p->ca, p->server, p->server_key, NULL);
    X509 *extra = cert_parse(chain, NULL);
    assert_int_equal(SSL_CTX_clear_chain_certs(v), 1);
    assert_int_equal(SSL_CTX_add1_chain_cert(v, extra), 1);
    X509_free(extra);
    return v;
}

static void pinned_client_takes_nothing_else(void **state)
{
    (void)state;
    must_fail(pinned_to(foreign.ca), "127.0.0.1", good_server(), false, "not trusted");
    must_fail(pinned_to(ours.server), "127.0.0.1", good_server(), false, "not trusted"); /* not an authority */
    /* The real authority's certificate is public: showing it must not help a server that it did not sign. */
    must_fail(pinned_to(ours.ca), "127.0.0.1", server_with_chain(&foreign, ours.ca), false, "verify failed");
    must_fail(pinned_to(ours.ca), "127.0.0.1", tls_server(ours.ca, ours.agent, ours.agent_key, NULL), false, "purpose");
    must_fail(pinned_to(ours.ca), "evil.example.vn", good_server(), false, "hostname mismatch");
    char *expired = resigned(ours.server, &ours, -10, -1, false);
    must_fail(pinned_to(ours.ca), "127.0.0.1", tls_server(ours.ca, expired, ours.server_key, NULL), false, "expired");
    free(expired);
}

static SSL_CTX *with_alpn(SSL_CTX *c, const char *wire)
{
    assert_int_equal(SSL_CTX_set_alpn_protos(c, (const unsigned char *)wire, (unsigned)strlen(wire)), 0);
    return c;
}

static void both_sides_insist_on_the_protocol(void **state)
{
    (void)state;
    must_fail(with_alpn(good_client(), "\x02h2"), "127.0.0.1", good_server(), true, "no application protocol");
    must_fail(with_alpn(good_client(), ""), "127.0.0.1", good_server(), true, "callback failed");
    SSL_CTX *v = good_server(); /* says nothing about protocols */
    SSL_CTX_set_client_hello_cb(v, NULL, NULL);
    SSL_CTX_set_alpn_select_cb(v, NULL, NULL);
    must_fail(good_client(), "127.0.0.1", v, false, "application verification failure");
    SSL_CTX *c = with_alpn(good_client(), "\x02h2\x09vonggac/1");
    v = good_server();
    struct session s = meet(c, "127.0.0.1", v);
    assert_true(s.works);
    session_end(&s, c, v);
}

static void older_protocols_are_refused(void **state)
{
    (void)state;
    SSL_CTX *c = good_client();
    assert_int_equal(SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION), 1);
    assert_int_equal(SSL_CTX_set_max_proto_version(c, TLS1_2_VERSION), 1);
    must_fail(c, "127.0.0.1", good_server(), true, "unsupported protocol");
    SSL_CTX *v = good_server();
    assert_int_equal(SSL_CTX_set_min_proto_version(v, TLS1_2_VERSION), 1);
    assert_int_equal(SSL_CTX_set_max_proto_version(v, TLS1_2_VERSION), 1);
    must_fail(good_client(), "127.0.0.1", v, true, "unsupported protocol");
}

static int sessions_seen;

static int on_new_session(SSL *ssl, SSL_SESSION *session)
{
    (void)ssl, (void)session;
    sessions_seen++;
    return 0;
}

static void nothing_to_resume_is_given(void **state)
{
    (void)state;
    SSL_CTX *c = good_client(), *v = good_server();
    SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_CLIENT);
    SSL_CTX_sess_set_new_cb(c, on_new_session);
    struct session s = meet(c, "127.0.0.1", v);
    assert_true(s.works);
    assert_int_equal(sessions_seen, 0);
    assert_false(SSL_SESSION_is_resumable(SSL_get0_session(s.client)));
    session_end(&s, c, v);
}

static void contexts_check_what_they_are_given(void **state)
{
    (void)state;
    struct diag diag = {0};
    assert_null(tls_server(ours.ca, ours.server, ours.agent_key, &diag));
    assert_true(diag.msg[0]);
    assert_null(tls_server(ours.ca, foreign.server, foreign.server_key, &diag));
    assert_non_null(strstr(diag.msg, "not signed by the authority"));
    assert_null(tls_server("", ours.server, ours.server_key, &diag));
    assert_null(tls_client(ours.ca, ours.agent, "", &diag));
    SSL_CTX *c = good_client();
    assert_null(tls_connect_to(c, "", &diag));
    SSL_CTX_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agent_is_known_after_the_handshake),  cmocka_unit_test(without_certificate_one_may_only_enrol),
        cmocka_unit_test(strangers_are_refused_by_the_server), cmocka_unit_test(false_servers_are_refused_by_the_agent),
        cmocka_unit_test(pinned_client_learns_the_authority),  cmocka_unit_test(pinned_client_takes_nothing_else),
        cmocka_unit_test(both_sides_insist_on_the_protocol),   cmocka_unit_test(older_protocols_are_refused),
        cmocka_unit_test(nothing_to_resume_is_given),          cmocka_unit_test(contexts_check_what_they_are_given),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
