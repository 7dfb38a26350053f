/* SPDX-License-Identifier: Apache-2.0
 *
 * One verification for all three contexts, verify_peer: OpenSSL checks the chain, dates, host name and purpose; we add that
 * the extended key usage is there and is the one role expected (OpenSSL takes its absence for any role), and that the
 * peer speaks our protocol. A pinned context trusts nothing but the certificate with its fingerprint, which it finds in the
 * chain the peer sends. Called by in_agent and the agent's uplink.
 */
#include "common/tls.h"

#include "common/frame.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

static const unsigned char alpn[] = "\x09" FRAME_ALPN;
#define ALPN_LEN (sizeof(alpn) - 1)
_Static_assert(sizeof(FRAME_ALPN) - 1 == 9, "length byte in front of the ALPN name");

/* Where a context keeps the fingerprint it is pinned to, so that the memory goes with it. OpenSSL hands out such places
 * once a process. */
static pthread_once_t pin_once = PTHREAD_ONCE_INIT;
static int pin_index = -1;

static void pin_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl, void *argp)
{
    (void)parent, (void)ad, (void)idx, (void)argl, (void)argp;
    free(ptr);
}

static void pin_make_index(void)
{
    pin_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, pin_free);
}

static const uint8_t *pin_of(const SSL_CTX *ctx)
{
    return pin_index < 0 ? NULL : SSL_CTX_get_ex_data(ctx, pin_index);
}

static bool speaks_our_protocol(const SSL *ssl)
{
    const unsigned char *name;
    unsigned len;
    SSL_get0_alpn_selected(ssl, &name, &len);
    return len == ALPN_LEN - 1 && memcmp(name, alpn + 1, len) == 0;
}

/* The self-signed authority with that fingerprint among what the peer sent, borrowed; NULL when it is not there. */
static X509 *find_pinned(const STACK_OF(X509) * chain, const uint8_t fingerprint[CERT_FINGERPRINT_LEN])
{
    for (int i = 0; i < sk_X509_num(chain); i++) {
        X509 *cert = sk_X509_value(chain, i);
        uint8_t have[CERT_FINGERPRINT_LEN];
        if (cert_info_x509(cert, have, NULL, NULL, NULL, NULL) == 0 &&
            CRYPTO_memcmp(have, fingerprint, sizeof(have)) == 0 && X509_check_ca(cert) == 1 &&
            X509_self_signed(cert, 1) == 1)
            return cert;
    }
    return NULL;
}

static int verify_chain(X509_STORE_CTX *store, const uint8_t *pin)
{
    if (!pin)
        return X509_verify_cert(store);
    X509 *authority = find_pinned(X509_STORE_CTX_get0_untrusted(store), pin);
    STACK_OF(X509) *trusted = sk_X509_new_null();
    if (!authority || !trusted || sk_X509_push(trusted, authority) <= 0) {
        sk_X509_free(trusted);
        X509_STORE_CTX_set_error(store, authority ? X509_V_ERR_OUT_OF_MEM : X509_V_ERR_CERT_UNTRUSTED);
        return 0;
    }
    X509_STORE_CTX_set0_trusted_stack(store, trusted);
    int ok = X509_verify_cert(store);
    sk_X509_free(trusted);
    return ok;
}

static int verify_peer(X509_STORE_CTX *store, void *unused)
{
    (void)unused;
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    uint32_t wanted = SSL_is_server(ssl) ? XKU_SSL_CLIENT : XKU_SSL_SERVER;
    if (verify_chain(store, pin_of(SSL_get_SSL_CTX(ssl))) != 1)
        return 0;
    uint32_t usage = X509_get_extended_key_usage(X509_STORE_CTX_get0_cert(store)); /* all ones where absent */
    if ((usage & (XKU_SSL_CLIENT | XKU_SSL_SERVER | XKU_ANYEKU)) != wanted) {
        X509_STORE_CTX_set_error(store, X509_V_ERR_INVALID_PURPOSE);
        return 0;
    }
    if (!speaks_our_protocol(ssl)) {
        X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
        return 0;
    }
    return 1;
}

/* The select callback does not run for a client that says nothing about protocols. */
static int require_alpn(SSL *ssl, int *alert, void *unused)
{
    const unsigned char *ext;
    size_t len;
    (void)unused;
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation, &ext, &len) == 1)
        return SSL_CLIENT_HELLO_SUCCESS;
    *alert = SSL_AD_NO_APPLICATION_PROTOCOL;
    return SSL_CLIENT_HELLO_ERROR;
}

static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
                       unsigned in_len, void *unused)
{
    unsigned char *name;
    (void)ssl, (void)unused;
    if (SSL_select_next_proto(&name, out_len, alpn, ALPN_LEN, in, in_len) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = name;
    return SSL_TLSEXT_ERR_OK;
}

/* What every context of ours has in common. */
static SSL_CTX *context_new(const SSL_METHOD *method, struct diag *diag)
{
    SSL_CTX *ctx = SSL_CTX_new(method);
    if (!ctx || SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set1_groups_list(ctx, "X25519:P-256:P-384") != 1 || SSL_CTX_set_num_tickets(ctx, 0) != 1) {
        tls_diag(diag, -ENOMEM, "cannot set up TLS");
        SSL_CTX_free(ctx);
        return NULL;
    }
    SSL_CTX_set_security_level(ctx, 2); /* 112 bits: whatever the machine's openssl.cnf says */
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(ctx,
                     SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_cert_verify_callback(ctx, verify_peer, NULL);
    return ctx;
}

static int trust(SSL_CTX *ctx, X509 *ca, struct diag *diag)
{
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), ca) != 1)
        return tls_diag(diag, -ENOMEM, "cannot trust the authority");
    return 0;
}

static int present(SSL_CTX *ctx, const char *cert_pem, const char *key_pem, X509 *ca, struct diag *diag)
{
    X509 *cert = cert_parse(cert_pem, diag);
    EVP_PKEY *key = cert ? cert_parse_key(key_pem, diag) : NULL;
    int r = -EINVAL;
    if (key && X509_verify(cert, X509_get0_pubkey(ca)) != 1)
        tls_diag(diag, r, "the certificate is not signed by the authority");
    else if (key && (SSL_CTX_use_certificate(ctx, cert) != 1 || SSL_CTX_use_PrivateKey(ctx, key) != 1 ||
                     SSL_CTX_check_private_key(ctx) != 1))
        tls_diag(diag, r, "the certificate and the key do not go together");
    else if (key)
        r = 0;
    X509_free(cert);
    EVP_PKEY_free(key);
    return r;
}

SSL_CTX *tls_server(const char *ca_pem, const char *cert_pem, const char *key_pem, struct diag *diag)
{
    X509 *ca = cert_parse(ca_pem, diag);
    SSL_CTX *ctx = ca ? context_new(TLS_server_method(), diag) : NULL;
    if (ctx && (trust(ctx, ca, diag) < 0 || present(ctx, cert_pem, key_pem, ca, diag) < 0 ||
                SSL_CTX_add1_chain_cert(ctx, ca) != 1)) {
        SSL_CTX_free(ctx);
        ctx = NULL;
    }
    X509_free(ca);
    if (!ctx)
        return NULL;
    SSL_CTX_set_client_hello_cb(ctx, require_alpn, NULL);
    SSL_CTX_set_alpn_select_cb(ctx, select_alpn, NULL);
    return ctx;
}

static SSL_CTX *client_new(struct diag *diag)
{
    SSL_CTX *ctx = context_new(TLS_client_method(), diag);
    if (ctx && SSL_CTX_set_alpn_protos(ctx, alpn, ALPN_LEN) != 0) { /* 0 is success here */
        tls_diag(diag, -ENOMEM, "cannot set up TLS");
        SSL_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}

SSL_CTX *tls_client(const char *ca_pem, const char *cert_pem, const char *key_pem, struct diag *diag)
{
    X509 *ca = cert_parse(ca_pem, diag);
    SSL_CTX *ctx = ca ? client_new(diag) : NULL;
    if (ctx && (trust(ctx, ca, diag) < 0 || (cert_pem && present(ctx, cert_pem, key_pem, ca, diag) < 0))) {
        SSL_CTX_free(ctx);
        ctx = NULL;
    }
    X509_free(ca);
    return ctx;
}

SSL_CTX *tls_client_pinned(const uint8_t fingerprint[CERT_FINGERPRINT_LEN], struct diag *diag)
{
    pthread_once(&pin_once, pin_make_index);
    SSL_CTX *ctx = client_new(diag);
    if (!ctx)
        return NULL;
    uint8_t *pin = malloc(CERT_FINGERPRINT_LEN);
    if (pin)
        memcpy(pin, fingerprint, CERT_FINGERPRINT_LEN);
    if (!pin || pin_index < 0 || SSL_CTX_set_ex_data(ctx, pin_index, pin) != 1) {
        diag_set(diag, -ENOMEM, "out of memory");
        free(pin);
        SSL_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}

int tls_peer_authority(SSL *ssl, char **ret_pem)
{
    STACK_OF(X509) *chain = SSL_get_verify_result(ssl) == X509_V_OK ? SSL_get0_verified_chain(ssl) : NULL;
    if (!chain || sk_X509_num(chain) < 2)
        return -ENOENT;
    return cert_to_pem(sk_X509_value(chain, sk_X509_num(chain) - 1), ret_pem);
}

SSL *tls_connect_to(SSL_CTX *ctx, const char *host, struct diag *diag)
{
    uint8_t ip[16];
    SSL *ssl = SSL_new(ctx);
    if (!ssl) {
        tls_diag(diag, -ENOMEM, "cannot set up TLS");
        return NULL;
    }
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    bool ok;
    if (inet_pton(AF_INET, host, ip) == 1 || inet_pton(AF_INET6, host, ip) == 1)
        ok = X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1;
    else
        ok = host[0] && X509_VERIFY_PARAM_set1_host(param, host, 0) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
    if (!ok) {
        ERR_clear_error();
        diag_set(diag, -EINVAL, "'%.100s' is neither a host name nor an address", host);
        SSL_free(ssl);
        return NULL;
    }
    SSL_set_connect_state(ssl);
    return ssl;
}

int tls_peer_agent(SSL *ssl, uint8_t ret_agent[static ID_LEN], char ret_serial_hex[static CERT_SERIAL_HEX])
{
    X509 *cert = SSL_get0_peer_certificate(ssl);
    if (!cert || SSL_get_verify_result(ssl) != X509_V_OK)
        return -ENOENT;
    return cert_info_x509(cert, NULL, NULL, ret_agent, ret_serial_hex, NULL);
}

void tls_handshake_error(const SSL *ssl, char *ret, size_t size)
{
    long verify = SSL_get_verify_result(ssl);
    tls_error(ret, size);
    size_t n = strlen(ret);
    if (verify != X509_V_OK && n < size)
        snprintf(ret + n, size - n, ": %s", X509_verify_cert_error_string(verify));
}
