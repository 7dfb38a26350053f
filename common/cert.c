/* SPDX-License-Identifier: Apache-2.0
 *
 * Makes and reads certificates with OpenSSL 3's EVP interface. The hard thing is that a certificate says no more than it
 * must: extensions are ours and fixed, whatever a request asks for; roles are told apart by extended key usage alone
 * (tls.c insists on it). Called by `vonggac authority`, enrolment and renewal, and tls.c.
 */
#include "common/cert.h"

#include <arpa/inet.h>
#include <errno.h>
#include <time.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <sodium.h>

#define BACKDATE_S   300 /* for peers whose clock is behind */
#define DAYS_MAX     36500
#define SERIAL_LEN   16
#define RSA_BITS_OK  2048
#define RSA_BITS_MAX 8192 /* verifying larger ones is a cheap way to keep us busy */
#define CSR_MAX      (16 * KIB)

static void free_x509(X509 **p)
{
    X509_free(*p);
}

static void free_key(EVP_PKEY **p)
{
    EVP_PKEY_free(*p);
}

static void free_bio(BIO **p)
{
    BIO_free_all(*p);
}

static void free_request(X509_REQ **p)
{
    X509_REQ_free(*p);
}

void tls_error(char *ret, size_t size)
{
    unsigned long e = ERR_get_error();
    const char *reason = e ? ERR_reason_error_string(e) : NULL;
    if (reason)
        snprintf(ret, size, "%s", reason);
    else if (e)
        ERR_error_string_n(e, ret, size);
    else
        snprintf(ret, size, "no reason given");
    ERR_clear_error();
}

int tls_diag(struct diag *diag, int err, const char *what)
{
    char reason[160];
    tls_error(reason, sizeof(reason));
    return diag_set(diag, err, "%s: %s", what, reason);
}

static int no_passphrase(char *to, int size, int writing, void *ctx)
{
    (void)to, (void)size, (void)writing, (void)ctx;
    return 0; /* the default would ask on the terminal */
}

X509 *cert_parse(const char *pem, struct diag *diag)
{
    BIO *CLEANUP(free_bio) bio = BIO_new_mem_buf(pem, -1);
    X509 *cert = bio ? PEM_read_bio_X509(bio, NULL, no_passphrase, NULL) : NULL;
    if (!cert)
        tls_diag(diag, -EINVAL, "not a certificate in PEM form");
    return cert;
}

EVP_PKEY *cert_parse_key(const char *pem, struct diag *diag)
{
    BIO *CLEANUP(free_bio) bio = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
    if (!key)
        tls_diag(diag, -EINVAL, "not an unencrypted private key in PEM form");
    return key;
}

/* Takes what was written to bio as an owned text and wipes it there, for it may be a key. */
static int text_of(BIO *bio, char **ret)
{
    char *p;
    long n = BIO_get_mem_data(bio, &p);
    char *text = n > 0 ? malloc((size_t)n + 1) : NULL;
    if (!text)
        return -ENOMEM;
    memcpy(text, p, (size_t)n);
    text[n] = '\0';
    OPENSSL_cleanse(p, (size_t)n);
    *ret = text;
    return 0;
}

int cert_to_pem(X509 *cert, char **ret_pem)
{
    BIO *CLEANUP(free_bio) bio = BIO_new(BIO_s_mem());
    return bio && PEM_write_bio_X509(bio, cert) == 1 ? text_of(bio, ret_pem) : -ENOMEM;
}

static int key_to_pem(EVP_PKEY *key, char **ret_pem)
{
    BIO *CLEANUP(free_bio) bio = BIO_new(BIO_s_mem());
    return bio && PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1 ? text_of(bio, ret_pem)
                                                                                          : -ENOMEM;
}

/* Both or none. */
static int pair_to_pem(X509 *cert, EVP_PKEY *key, char **ret_cert_pem, char **ret_key_pem, struct diag *diag)
{
    char *cert_pem;
    if (cert_to_pem(cert, &cert_pem) < 0)
        return diag_set(diag, -ENOMEM, "out of memory");
    if (key_to_pem(key, ret_key_pem) < 0) {
        free(cert_pem);
        return diag_set(diag, -ENOMEM, "out of memory");
    }
    *ret_cert_pem = cert_pem;
    return 0;
}

struct authority {
    X509 *cert;
    EVP_PKEY *key;
};

static void authority_clear(struct authority *a)
{
    X509_free(a->cert);
    EVP_PKEY_free(a->key);
}

static int authority_parse(const char *cert_pem, const char *key_pem, struct authority *ret, struct diag *diag)
{
    ret->cert = cert_parse(cert_pem, diag);
    ret->key = ret->cert ? cert_parse_key(key_pem, diag) : NULL;
    if (!ret->key)
        return -EINVAL;
    if (X509_check_private_key(ret->cert, ret->key) != 1)
        return tls_diag(diag, -EINVAL, "the key is not the authority's");
    if (X509_check_ca(ret->cert) != 1)
        return diag_set(diag, -EINVAL, "the authority's certificate may not sign others");
    if (X509_cmp_current_time(X509_get0_notAfter(ret->cert)) <= 0)
        return diag_set(diag, -EINVAL, "the authority's certificate has expired");
    return 0;
}

static int set_serial(X509 *cert)
{
    uint8_t serial[SERIAL_LEN];
    id_random(serial);
    serial[0] = (uint8_t)((serial[0] & 0x3f) | 0x40); /* positive, and always of full length */
    BIGNUM *n = BN_bin2bn(serial, sizeof(serial), NULL);
    bool ok = n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(cert));
    BN_free(n);
    return ok ? 0 : -ENOMEM;
}

static int set_times(X509 *cert, int days, const X509 *issuer)
{
    if (!X509_gmtime_adj(X509_getm_notBefore(cert), -BACKDATE_S) ||
        !X509_time_adj_ex(X509_getm_notAfter(cert), days, 0, NULL))
        return -ENOMEM;
    if (issuer && ASN1_TIME_compare(X509_get0_notAfter(cert), X509_get0_notAfter(issuer)) > 0 &&
        X509_set1_notAfter(cert, X509_get0_notAfter(issuer)) != 1)
        return -ENOMEM;
    return 0;
}

static int add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool ok = ext && X509_add_ext(cert, ext, -1) == 1;
    X509_EXTENSION_free(ext);
    return ok ? 0 : -ENOMEM;
}

/* A certificate for `key` without role, unsigned. issuer NULL: signs itself. */
static X509 *cert_begin(const char *common_name, EVP_PKEY *key, X509 *issuer, int days)
{
    X509 *cert = X509_new();
    if (!cert)
        return NULL;
    X509_NAME *name = X509_get_subject_name(cert);
    if (X509_set_version(cert, X509_VERSION_3) != 1 || set_serial(cert) < 0 || set_times(cert, days, issuer) < 0 ||
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)common_name, -1, -1, 0) != 1 ||
        X509_set_issuer_name(cert, issuer ? X509_get_subject_name(issuer) : name) != 1 ||
        X509_set_pubkey(cert, key) != 1 || add_extension(cert, cert, NID_subject_key_identifier, "hash") < 0) {
        X509_free(cert);
        return NULL;
    }
    return cert;
}

static int cert_sign(X509 *cert, EVP_PKEY *issuer_key)
{
    const EVP_MD *md = EVP_PKEY_is_a(issuer_key, "ED25519") ? NULL : EVP_sha256(); /* Ed25519 brings its own */
    return X509_sign(cert, issuer_key, md) > 0 ? 0 : -EIO;
}

/* A signed end certificate; the caller's usage is the only role it has. */
static X509 *cert_issue(const struct authority *ca, const char *common_name, EVP_PKEY *key, int days, const char *usage,
                        GENERAL_NAMES *alt_names)
{
    X509 *cert = cert_begin(common_name, key, ca->cert, days);
    if (cert && add_extension(cert, ca->cert, NID_authority_key_identifier, "keyid:always") == 0 &&
        add_extension(cert, ca->cert, NID_basic_constraints, "critical,CA:FALSE") == 0 &&
        add_extension(cert, ca->cert, NID_key_usage, "critical,digitalSignature") == 0 &&
        add_extension(cert, ca->cert, NID_ext_key_usage, usage) == 0 &&
        (!alt_names || X509_add1_ext_i2d(cert, NID_subject_alt_name, alt_names, 0, X509V3_ADD_DEFAULT) == 1) &&
        cert_sign(cert, ca->key) == 0)
        return cert;
    X509_free(cert);
    return NULL;
}

static int check_days(int days, struct diag *diag)
{
    if (days < 1 || days > DAYS_MAX)
        return diag_set(diag, -EINVAL, "days of validity must be from 1 to %d", DAYS_MAX);
    return 0;
}

int cert_make_authority(const char *common_name, char **ret_cert_pem, char **ret_key_pem, struct diag *diag)
{
    if (!common_name[0])
        return diag_set(diag, -EINVAL, "an authority needs a name");
    EVP_PKEY *CLEANUP(free_key) key = EVP_EC_gen("P-256");
    if (!key)
        return tls_diag(diag, -EIO, "cannot make a key");
    X509 *CLEANUP(free_x509) cert = cert_begin(common_name, key, NULL, CERT_AUTHORITY_DAYS);
    if (!cert)
        return tls_diag(diag, -EINVAL, "cannot make the authority's certificate (is its name over 64 characters?)");
    if (add_extension(cert, cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") < 0 ||
        add_extension(cert, cert, NID_key_usage, "critical,keyCertSign,cRLSign") < 0 || cert_sign(cert, key) < 0)
        return tls_diag(diag, -EIO, "cannot sign the authority's certificate");
    return pair_to_pem(cert, key, ret_cert_pem, ret_key_pem, diag);
}

/* Host names as RFC 1123 has them. A wildcard would let one certificate stand for machines nobody named. */
static bool dns_name_is_valid(const char *name)
{
    size_t len = strlen(name), label = 0;
    if (len == 0 || len > 253)
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = name[i];
        bool is_alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        bool is_edge = i == 0 || i + 1 == len || name[i - 1] == '.' || name[i + 1] == '.';
        if (c == '.' ? is_edge : !is_alnum && (c != '-' || is_edge))
            return false;
        label = c == '.' ? 0 : label + 1;
        if (label > 63)
            return false;
    }
    return true;
}

static GENERAL_NAME *general_name(const char *name)
{
    uint8_t ip[16];
    int ip_len = inet_pton(AF_INET, name, ip) == 1 ? 4 : inet_pton(AF_INET6, name, ip) == 1 ? 16 : 0;
    GENERAL_NAME *gn = GENERAL_NAME_new();
    ASN1_STRING *value = ip_len ? ASN1_OCTET_STRING_new() : ASN1_IA5STRING_new();
    if (!gn || !value || ASN1_STRING_set(value, ip_len ? (const void *)ip : name, ip_len ? ip_len : -1) != 1) {
        GENERAL_NAME_free(gn);
        ASN1_STRING_free(value);
        return NULL;
    }
    GENERAL_NAME_set0_value(gn, ip_len ? GEN_IPADD : GEN_DNS, value);
    return gn;
}

static int alt_names_of(const char *const *names, size_t n, GENERAL_NAMES **ret, struct diag *diag)
{
    if (n == 0 || n > CERT_NAMES_MAX)
        return diag_set(diag, -EINVAL, "a server needs 1 to %d names", CERT_NAMES_MAX);
    uint8_t ip[16];
    for (size_t i = 0; i < n; i++)
        if (inet_pton(AF_INET6, names[i], ip) != 1 && !dns_name_is_valid(names[i]))
            return diag_set(diag, -EINVAL, "'%.100s' is neither a host name nor an address", names[i]);
    GENERAL_NAMES *list = sk_GENERAL_NAME_new_null();
    for (size_t i = 0; i < n && list; i++) {
        GENERAL_NAME *gn = general_name(names[i]);
        if (gn && sk_GENERAL_NAME_push(list, gn) > 0)
            continue;
        GENERAL_NAME_free(gn);
        GENERAL_NAMES_free(list);
        list = NULL;
    }
    *ret = list;
    return list ? 0 : diag_set(diag, -ENOMEM, "out of memory");
}

int cert_make_server(const char *ca_cert_pem, const char *ca_key_pem, const char *const *names, size_t n_names,
                     int days, char **ret_cert_pem, char **ret_key_pem, struct diag *diag)
{
    struct authority CLEANUP(authority_clear) ca = {0};
    int r = authority_parse(ca_cert_pem, ca_key_pem, &ca, diag);
    if (r < 0 || (r = check_days(days, diag)) < 0)
        return r;
    EVP_PKEY *CLEANUP(free_key) key = EVP_EC_gen("P-256");
    if (!key)
        return tls_diag(diag, -EIO, "cannot make a key");
    GENERAL_NAMES *alt_names;
    r = alt_names_of(names, n_names, &alt_names, diag);
    if (r < 0)
        return r;
    X509 *CLEANUP(free_x509) cert = cert_issue(&ca, "vonggac-collector", key, days, "serverAuth", alt_names);
    GENERAL_NAMES_free(alt_names);
    if (!cert)
        return tls_diag(diag, -EIO, "cannot sign the server's certificate");
    return pair_to_pem(cert, key, ret_cert_pem, ret_key_pem, diag);
}

int cert_make_request(char **ret_key_pem, struct buf *ret_csr_der, struct diag *diag)
{
    EVP_PKEY *CLEANUP(free_key) key = EVP_EC_gen("P-256");
    X509_REQ *CLEANUP(free_request) req = X509_REQ_new();
    if (!key || !req || X509_REQ_set_version(req, X509_REQ_VERSION_1) != 1 || X509_REQ_set_pubkey(req, key) != 1 ||
        X509_REQ_sign(req, key, EVP_sha256()) <= 0)
        return tls_diag(diag, -EIO, "cannot make a certificate request");
    unsigned char *der = NULL;
    int n = i2d_X509_REQ(req, &der);
    size_t had = ret_csr_der->len;
    int r = n > 0 ? buf_append(ret_csr_der, der, (size_t)n) : -ENOMEM;
    OPENSSL_free(der);
    if (r == 0)
        r = key_to_pem(key, ret_key_pem);
    if (r < 0) {
        ret_csr_der->len = had;
        return diag_set(diag, r, "cannot keep the certificate request: %s", strerror(-r));
    }
    return 0;
}

static bool curve_is_good(EVP_PKEY *key)
{
    char name[64], encoding[16];
    if (EVP_PKEY_get_group_name(key, name, sizeof(name), NULL) != 1 ||
        EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_EC_ENCODING, encoding, sizeof(encoding), NULL) != 1)
        return false;
    if (strcmp(encoding, OSSL_PKEY_EC_ENCODING_GROUP) != 0) /* curves spelled out: CVE-2020-0601 */
        return false;
    int nid = OBJ_sn2nid(name);
    return nid == NID_X9_62_prime256v1 || nid == NID_secp384r1;
}

static bool key_is_good(EVP_PKEY *key)
{
    switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_EC:
        if (!curve_is_good(key))
            return false;
        break;
    case EVP_PKEY_RSA:
        if (EVP_PKEY_get_bits(key) < RSA_BITS_OK || EVP_PKEY_get_bits(key) > RSA_BITS_MAX)
            return false;
        break;
    case EVP_PKEY_ED25519:
        return true;
    default:
        return false;
    }
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    bool ok = ctx && EVP_PKEY_public_check(ctx) == 1;
    EVP_PKEY_CTX_free(ctx);
    return ok;
}

/* The request's public key, borrowed from *ret_req, when the sender has shown that it holds the private one. */
static int request_parse(struct str der, X509_REQ **ret_req, EVP_PKEY **ret_key, struct diag *diag)
{
    const unsigned char *p = (const unsigned char *)der.p;
    if (der.len == 0 || der.len > CSR_MAX)
        return diag_set(diag, -EBADMSG, "certificate request: %zu bytes cannot be one", der.len);
    *ret_req = d2i_X509_REQ(NULL, &p, (long)der.len);
    if (!*ret_req || p != (const unsigned char *)der.p + der.len)
        return tls_diag(diag, -EBADMSG, "certificate request: malformed");
    EVP_PKEY *key = X509_REQ_get0_pubkey(*ret_req);
    if (!key || !key_is_good(key))
        return tls_diag(diag, -EBADMSG, "certificate request: this kind or size of key is not accepted");
    if (X509_REQ_verify(*ret_req, key) != 1)
        return tls_diag(diag, -EBADMSG, "certificate request: its signature is wrong");
    *ret_key = key;
    return 0;
}

int cert_sign_agent(const char *ca_cert_pem, const char *ca_key_pem, struct str csr_der, const uint8_t agent[ID_LEN],
                    int days, char **ret_cert_pem, char ret_serial_hex[static CERT_SERIAL_HEX], struct diag *diag)
{
    struct authority CLEANUP(authority_clear) ca = {0};
    int r = authority_parse(ca_cert_pem, ca_key_pem, &ca, diag);
    if (r < 0 || (r = check_days(days, diag)) < 0)
        return r;
    X509_REQ *CLEANUP(free_request) req = NULL;
    EVP_PKEY *key = NULL;
    r = request_parse(csr_der, &req, &key, diag);
    if (r < 0)
        return r;
    char name[ID_TEXT_LEN];
    id_format(agent, name);
    X509 *CLEANUP(free_x509) cert = cert_issue(&ca, name, key, days, "clientAuth", NULL);
    if (!cert)
        return tls_diag(diag, -EIO, "cannot sign the agent's certificate");
    r = cert_info_x509(cert, NULL, NULL, NULL, ret_serial_hex, diag);
    return r < 0 ? r : cert_to_pem(cert, ret_cert_pem);
}

static int serial_of(X509 *cert, char ret[CERT_SERIAL_HEX])
{
    static const char hex[] = "0123456789abcdef";
    const ASN1_INTEGER *serial = X509_get0_serialNumber(cert);
    const unsigned char *p = ASN1_STRING_get0_data(serial);
    int n = ASN1_STRING_length(serial);
    if (n < 1 || n > (CERT_SERIAL_HEX - 1) / 2)
        return -EINVAL;
    for (int i = 0; i < n; i++) {
        ret[2 * i] = hex[p[i] >> 4];
        ret[2 * i + 1] = hex[p[i] & 15];
    }
    ret[2 * n] = '\0';
    return 0;
}

static int agent_of(X509 *cert, uint8_t ret[ID_LEN])
{
    const X509_NAME *name = X509_get_subject_name(cert);
    int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
    if (at < 0 || X509_NAME_entry_count(name) != 1)
        return -EINVAL;
    const ASN1_STRING *cn = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at));
    return id_parse((struct str){(const char *)ASN1_STRING_get0_data(cn), (size_t)ASN1_STRING_length(cn)}, ret);
}

int cert_info_x509(X509 *cert, uint8_t ret_fingerprint[CERT_FINGERPRINT_LEN], int64_t *ret_not_after_ns,
                   uint8_t ret_agent[ID_LEN], char ret_serial_hex[CERT_SERIAL_HEX], struct diag *diag)
{
    struct tm tm;
    unsigned n = CERT_FINGERPRINT_LEN;
    if (ret_agent && agent_of(cert, ret_agent) < 0)
        return diag_set(diag, -EINVAL, "the certificate's common name is not an agent's id");
    if (ret_serial_hex && serial_of(cert, ret_serial_hex) < 0)
        return diag_set(diag, -EINVAL, "the certificate's serial number is too long");
    if (ret_not_after_ns) {
        if (ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) != 1)
            return tls_diag(diag, -EINVAL, "the certificate's end of validity is malformed");
        *ret_not_after_ns = (int64_t)timegm(&tm) * NS_PER_S;
    }
    if (ret_fingerprint && X509_digest(cert, EVP_sha256(), ret_fingerprint, &n) != 1)
        return tls_diag(diag, -EINVAL, "cannot hash the certificate");
    return 0;
}

int cert_info(const char *pem, uint8_t ret_fingerprint[CERT_FINGERPRINT_LEN], int64_t *ret_not_after_ns,
              uint8_t ret_agent[ID_LEN], char ret_serial_hex[CERT_SERIAL_HEX], struct diag *diag)
{
    X509 *CLEANUP(free_x509) cert = cert_parse(pem, diag);
    if (!cert)
        return -EINVAL;
    return cert_info_x509(cert, ret_fingerprint, ret_not_after_ns, ret_agent, ret_serial_hex, diag);
}

static const char token_prefix[] = "vg1.";
#define TOKEN_PREFIX_LEN (sizeof(token_prefix) - 1)
#define TOKEN_BYTES      (CERT_FINGERPRINT_LEN + 32)

void token_format(const uint8_t fingerprint[CERT_FINGERPRINT_LEN], const uint8_t secret[32],
                  char ret[static TOKEN_TEXT_LEN])
{
    uint8_t both[TOKEN_BYTES];
    memcpy(both, fingerprint, CERT_FINGERPRINT_LEN);
    memcpy(both + CERT_FINGERPRINT_LEN, secret, 32);
    memcpy(ret, token_prefix, TOKEN_PREFIX_LEN);
    sodium_bin2base64(ret + TOKEN_PREFIX_LEN, TOKEN_TEXT_LEN - TOKEN_PREFIX_LEN, both, sizeof(both),
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    OPENSSL_cleanse(both, sizeof(both));
}

int token_parse(struct str s, uint8_t ret_fingerprint[CERT_FINGERPRINT_LEN], uint8_t ret_secret[32])
{
    uint8_t both[TOKEN_BYTES];
    char again[TOKEN_TEXT_LEN];
    size_t n;
    s = str_trim(s);
    if (s.len != TOKEN_TEXT_LEN - 1 || !str_starts(s, str_of(token_prefix)))
        return -EINVAL;
    if (sodium_base642bin(both, sizeof(both), s.p + TOKEN_PREFIX_LEN, s.len - TOKEN_PREFIX_LEN, NULL, &n, NULL,
                          sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0 ||
        n != sizeof(both))
        return -EINVAL;
    /* libsodium takes some bytes over 127 for letters: only the spelling we would write is a token. */
    token_format(both, both + CERT_FINGERPRINT_LEN, again);
    int r = sodium_memcmp(again, s.p, s.len) == 0 ? 0 : -EINVAL;
    if (r == 0) {
        memcpy(ret_fingerprint, both, CERT_FINGERPRINT_LEN);
        memcpy(ret_secret, both + CERT_FINGERPRINT_LEN, 32);
    }
    OPENSSL_cleanse(both, sizeof(both));
    OPENSSL_cleanse(again, sizeof(again));
    return r;
}
