/* SPDX-License-Identifier: Apache-2.0
 *
 * Certificates: our own authority, the collector's and the agents' certificates (X.509 v3, ECDSA P-256, RFC 5280), and
 * the enrolment token. Roles are told apart by extended key usage: the collector's certificate is serverAuth only, an
 * agent's clientAuth only with its id as common name. Private keys are written 0600 and never leave the machine that
 * made them. PEM texts are NUL-terminated and owned by the caller. Blocking, thread-safe.
 */
#pragma once

#include "common/batch.h"

#include <openssl/types.h>

#define CERT_FINGERPRINT_LEN 32 /* SHA-256 of the DER */
#define CERT_SERIAL_HEX      41 /* 20 bytes as hex, and NUL */

#define CERT_AUTHORITY_DAYS 3650
#define CERT_SERVER_DAYS    730
#define CERT_AGENT_DAYS     365

#define CERT_NAMES_MAX 32

/* Makes a self-signed authority that signs end certificates only (path length 0). common_name: UTF-8, 1 to 64 characters. */
int cert_make_authority(const char *common_name, char **ret_cert_pem, char **ret_key_pem, struct diag *diag);

/* Makes a key and a serverAuth certificate for the names (DNS names without wildcard, or IP literals; at most
 * CERT_NAMES_MAX). 0, -EINVAL (a name, the days, or the authority: not one, expired, not its key), -ENOMEM, -EIO. Like every
 * certificate here it starts 5 minutes ago and does not outlive its authority. */
int cert_make_server(const char *ca_cert_pem, const char *ca_key_pem, const char *const *names, size_t n_names,
                     int days, char **ret_cert_pem, char **ret_key_pem, struct diag *diag);

/* Agent side: a new key, and a PKCS #10 request whose subject the authority will ignore. */
int cert_make_request(char **ret_key_pem, struct buf *ret_csr_der, struct diag *diag);

/* Collector side: checks the request's own signature and its key (EC P-256 or P-384, Ed25519, RSA of 2048 to 8192 bits) and
 * issues a clientAuth certificate with CN = agent id; nothing but the key is taken from the request. ret_serial_hex, lower
 * case: what revocation goes by. 0, -EBADMSG (the request), -EINVAL (days or authority), -ENOMEM, -EIO. */
int cert_sign_agent(const char *ca_cert_pem, const char *ca_key_pem, struct str csr_der, const uint8_t agent[ID_LEN],
                    int days, char **ret_cert_pem, char ret_serial_hex[static CERT_SERIAL_HEX], struct diag *diag);

/* Facts of the first certificate in a PEM text. Any ret may be NULL. 0, or -EINVAL: not a certificate, or the agent's id is
 * asked for and its common name is not one. */
int cert_info(const char *pem, uint8_t ret_fingerprint[CERT_FINGERPRINT_LEN], int64_t *ret_not_after_ns,
              uint8_t ret_agent[ID_LEN], char ret_serial_hex[CERT_SERIAL_HEX], struct diag *diag);

/* The same on OpenSSL's types, for tls.c. parse: returns owned, NULL with diag when it is none; never asks for a passphrase. */
int cert_info_x509(X509 *cert, uint8_t ret_fingerprint[CERT_FINGERPRINT_LEN], int64_t *ret_not_after_ns,
                   uint8_t ret_agent[ID_LEN], char ret_serial_hex[CERT_SERIAL_HEX], struct diag *diag);
X509 *cert_parse(const char *pem, struct diag *diag);
EVP_PKEY *cert_parse_key(const char *pem, struct diag *diag);
int cert_to_pem(X509 *cert, char **ret_pem); /* 0 or -ENOMEM */

/* The oldest reason in this thread's OpenSSL error queue, as one line; empties the queue. diag form: "<what>: <reason>",
 * returns err. */
void tls_error(char *ret, size_t size);
int tls_diag(struct diag *diag, int err, const char *what);

/* The enrolment token a person carries: "vg1." + base64url(authority fingerprint[32] + secret[32]), without padding. parse
 * takes white space around it (it comes from a file or a paste) and nothing else: 0 or -EINVAL. */
#define TOKEN_TEXT_LEN 91
void token_format(const uint8_t fingerprint[CERT_FINGERPRINT_LEN], const uint8_t secret[32],
                  char ret[static TOKEN_TEXT_LEN]);
int token_parse(struct str s, uint8_t ret_fingerprint[CERT_FINGERPRINT_LEN], uint8_t ret_secret[32]);
