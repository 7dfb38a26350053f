/* SPDX-License-Identifier: Apache-2.0
 *
 * OpenSSL contexts for the one way we speak: TLS 1.3 only, ALPN "vonggac/1", peer verified, no renegotiation, no session
 * tickets, no compression. There is no option to turn verification off.
 */
#pragma once

#include "common/cert.h"

#include <openssl/ssl.h>

/* Collector: presents its certificate together with the authority's (so that an enrolling agent can check the
 * fingerprint); asks for a client certificate and fails the handshake when one is given that is not a valid, unexpired
 * clientAuth certificate of this authority. A client without one passes: tls_peer_agent then says -ENOENT and the caller
 * allows ENROL only. A client that does not offer our ALPN name fails the handshake. */
SSL_CTX *tls_server(const char *ca_pem, const char *cert_pem, const char *key_pem, struct diag *diag);

/* Agent: presents cert_pem and key_pem (both NULL while enrolling). The server must hold a serverAuth certificate of
 * the authority ca_pem. */
SSL_CTX *tls_client(const char *ca_pem, const char *cert_pem, const char *key_pem, struct diag *diag);

/* Agent, enrolling: no ca_pem yet. The chain must contain a self-signed authority certificate with this fingerprint that
 * signed the server's; afterwards tls_peer_authority gives it as PEM (owned; 0, -ENOENT before the handshake, -ENOMEM). */
SSL_CTX *tls_client_pinned(const uint8_t fingerprint[CERT_FINGERPRINT_LEN], struct diag *diag);
int tls_peer_authority(SSL *ssl, char **ret_pem);

/* Client connection with SNI and host-name check (DNS name or IP literal, RFC 6125; no wildcards, no common name), in
 * connect state, without a socket yet. NULL: diag says why. */
SSL *tls_connect_to(SSL_CTX *ctx, const char *host, struct diag *diag);

/* After the handshake: who is it? 0, -ENOENT when no certificate was given, -EINVAL when its common name is not an agent's id
 * (the authority signed something that is no agent: close). */
int tls_peer_agent(SSL *ssl, uint8_t ret_agent[static ID_LEN], char ret_serial_hex[static CERT_SERIAL_HEX]);

/* Why the handshake failed, as one line: OpenSSL's reason and, where it was the peer's certificate, what was wrong with it.
 * Empties this thread's error queue. tls_error (cert.h) is the form without a connection. */
void tls_handshake_error(const SSL *ssl, char *ret, size_t size);
