/* SPDX-License-Identifier: Apache-2.0 */
#include "common/cert.h"

#include "common/time.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include <cmocka.h>

struct pki {
    char *ca, *ca_key, *server, *server_key, *agent, *agent_key;
    uint8_t agent_id[ID_LEN];
    char serial[CERT_SERIAL_HEX];
};

static int setup(void **state)
{
    static struct pki p;
    static const char *const names[] = {"soc.example.vn", "10.1.2.3", "2001:db8::7"};
    struct diag diag = {0};
    struct buf csr = BUF_INIT(4096);
    assert_int_equal(cert_make_authority("Sở Thông tin", &p.ca, &p.ca_key, &diag), 0);
    assert_int_equal(cert_make_server(p.ca, p.ca_key, names, 3, CERT_SERVER_DAYS, &p.server, &p.server_key, &diag), 0);
    assert_int_equal(cert_make_request(&p.agent_key, &csr, &diag), 0);
    id_random(p.agent_id);
    assert_int_equal(
        cert_sign_agent(p.ca, p.ca_key, buf_str(&csr), p.agent_id, CERT_AGENT_DAYS, &p.agent, p.serial, &diag), 0);
    buf_clear(&csr);
    *state = &p;
    return 0;
}

static int teardown(void **state)
{
    struct pki *p = *state;
    free(p->ca);
    free(p->ca_key);
    free(p->server);
    free(p->server_key);
    free(p->agent);
    free(p->agent_key);
    return 0;
}

static bool is_critical(const X509 *cert, int nid)
{
    int at = X509_get_ext_by_NID(cert, nid, -1);
    assert_true(at >= 0);
    assert_int_equal(X509_get_ext_by_NID(cert, nid, at), -1);
    return X509_EXTENSION_get_critical(X509_get_ext(cert, at));
}

static void authority_may_sign_and_nothing_else(void **state)
{
    struct pki *p = *state;
    X509 *cert = cert_parse(p->ca, NULL);
    assert_non_null(cert);
    assert_int_equal(X509_get_version(cert), X509_VERSION_3);
    assert_int_equal(X509_check_ca(cert), 1);
    assert_int_equal(X509_get_pathlen(cert), 0);
    assert_int_equal(X509_get_key_usage(cert), KU_KEY_CERT_SIGN | KU_CRL_SIGN);
    assert_true(is_critical(cert, NID_basic_constraints));
    assert_true(is_critical(cert, NID_key_usage));
    assert_false(is_critical(cert, NID_subject_key_identifier));
    assert_int_equal(X509_self_signed(cert, 1), 1);
    X509_free(cert);
}

static void check_leaf(struct pki *p, const char *pem, uint32_t usage, int days)
{
    X509 *ca = cert_parse(p->ca, NULL), *cert = cert_parse(pem, NULL);
    assert_int_equal(X509_check_ca(cert), 0);
    assert_int_equal(X509_get_key_usage(cert), KU_DIGITAL_SIGNATURE);
    assert_int_equal(X509_get_extended_key_usage(cert), usage);
    assert_true(is_critical(cert, NID_basic_constraints));
    assert_true(is_critical(cert, NID_key_usage));
    assert_false(is_critical(cert, NID_ext_key_usage));
    assert_false(is_critical(cert, NID_subject_key_identifier));
    assert_int_equal(ASN1_OCTET_STRING_cmp(X509_get0_authority_key_id(cert), X509_get0_subject_key_id(ca)), 0);
    assert_int_equal(X509_verify(cert, X509_get0_pubkey(ca)), 1);
    assert_int_equal(ASN1_STRING_length(X509_get0_serialNumber(cert)), 16);
    int64_t end, now = time_now_ns();
    assert_int_equal(cert_info(pem, NULL, &end, NULL, NULL, NULL), 0);
    assert_true(end > now + (days * 86400 - 60) * NS_PER_S && end < now + (days * 86400 + 60) * NS_PER_S);
    assert_int_equal(X509_cmp_current_time(X509_get0_notBefore(cert)), -1);
    X509_free(ca);
    X509_free(cert);
}

static void leaves_have_one_role(void **state)
{
    struct pki *p = *state;
    check_leaf(p, p->server, XKU_SSL_SERVER, CERT_SERVER_DAYS);
    check_leaf(p, p->agent, XKU_SSL_CLIENT, CERT_AGENT_DAYS);
    X509 *cert = cert_parse(p->server, NULL);
    assert_int_equal(X509_check_host(cert, "soc.example.vn", 0, 0, NULL), 1);
    assert_int_equal(X509_check_host(cert, "other.example.vn", 0, 0, NULL), 0);
    assert_int_equal(X509_check_ip_asc(cert, "10.1.2.3", 0), 1);
    assert_int_equal(X509_check_ip_asc(cert, "2001:db8:0::7", 0), 1);
    assert_int_equal(X509_check_ip_asc(cert, "10.1.2.4", 0), 0);
    X509_free(cert);
}

static void info_tells_who_and_which(void **state)
{
    struct pki *p = *state;
    uint8_t id[ID_LEN], fp[CERT_FINGERPRINT_LEN], fp2[CERT_FINGERPRINT_LEN];
    char serial[CERT_SERIAL_HEX];
    struct diag diag = {0};
    assert_int_equal(cert_info(p->agent, fp, NULL, id, serial, &diag), 0);
    assert_memory_equal(id, p->agent_id, ID_LEN);
    assert_string_equal(serial, p->serial);
    assert_int_equal(strlen(serial), 32);
    assert_int_equal(cert_info(p->ca, fp2, NULL, NULL, NULL, &diag), 0);
    assert_memory_not_equal(fp, fp2, sizeof(fp));
    assert_int_equal(cert_info(p->server, NULL, NULL, id, NULL, &diag), -EINVAL);
    assert_int_equal(cert_info("rubbish", fp, NULL, NULL, NULL, &diag), -EINVAL);
    assert_int_equal(cert_info(p->agent_key, fp, NULL, NULL, NULL, &diag), -EINVAL);
    assert_true(diag.msg[0]);
}

static struct buf request_for(EVP_PKEY *key, const EVP_MD *md)
{
    struct buf out = BUF_INIT(16 * KIB);
    X509_REQ *req = X509_REQ_new();
    X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(req), "CN", MBSTRING_ASC,
                               (const unsigned char *)"00000000-0000-4000-8000-000000000000", -1, -1, 0);
    assert_int_equal(X509_REQ_set_pubkey(req, key), 1);
    assert_true(X509_REQ_sign(req, key, md) > 0);
    unsigned char *der = NULL;
    int n = i2d_X509_REQ(req, &der);
    assert_int_equal(buf_append(&out, der, (size_t)n), 0);
    OPENSSL_free(der);
    X509_REQ_free(req);
    return out;
}

static int sign(struct pki *p, struct str csr, char **ret_pem)
{
    char serial[CERT_SERIAL_HEX];
    struct diag diag = {0};
    int r = cert_sign_agent(p->ca, p->ca_key, csr, p->agent_id, 30, ret_pem, serial, &diag);
    assert_true(r == 0 || diag.msg[0]);
    return r;
}

static int sign_key(struct pki *p, EVP_PKEY *key, const EVP_MD *md)
{
    struct buf csr = request_for(key, md);
    char *pem = NULL;
    uint8_t id[ID_LEN];
    int r = sign(p, buf_str(&csr), &pem);
    if (r == 0) { /* the subject of the request is not what it gets */
        assert_int_equal(cert_info(pem, NULL, NULL, id, NULL, NULL), 0);
        assert_memory_equal(id, p->agent_id, ID_LEN);
    }
    free(pem);
    buf_clear(&csr);
    EVP_PKEY_free(key);
    return r;
}

static EVP_PKEY *explicit_curve(void)
{
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_id(EVP_PKEY_EC, NULL);
    assert_int_equal(EVP_PKEY_keygen_init(ctx), 1);
    assert_int_equal(EVP_PKEY_CTX_set_ec_paramgen_curve_nid(ctx, NID_X9_62_prime256v1), 1);
    assert_int_equal(EVP_PKEY_CTX_set_ec_param_enc(ctx, OPENSSL_EC_EXPLICIT_CURVE), 1);
    assert_int_equal(EVP_PKEY_keygen(ctx, &key), 1);
    EVP_PKEY_CTX_free(ctx);
    return key;
}

static void only_strong_keys_are_signed(void **state)
{
    struct pki *p = *state;
    assert_int_equal(sign_key(p, EVP_EC_gen("P-256"), EVP_sha256()), 0);
    assert_int_equal(sign_key(p, EVP_EC_gen("P-384"), EVP_sha384()), 0);
    assert_int_equal(sign_key(p, EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), NULL), 0);
    assert_int_equal(sign_key(p, EVP_RSA_gen(2048), EVP_sha256()), 0);
    assert_int_equal(sign_key(p, EVP_RSA_gen(1024), EVP_sha256()), -EBADMSG);
    assert_int_equal(sign_key(p, EVP_EC_gen("P-224"), EVP_sha256()), -EBADMSG);
    assert_int_equal(sign_key(p, EVP_EC_gen("secp256k1"), EVP_sha256()), -EBADMSG);
    assert_int_equal(sign_key(p, EVP_PKEY_Q_keygen(NULL, NULL, "ED448"), NULL), -EBADMSG);
    assert_int_equal(sign_key(p, explicit_curve(), EVP_sha256()), -EBADMSG);
}

static void bent_requests_are_refused(void **state)
{
    struct pki *p = *state;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    struct buf csr = request_for(key, EVP_sha256());
    char *pem = NULL;
    for (size_t i = 0; i < csr.len; i++) {
        csr.data[i] ^= 1;
        assert_int_equal(sign(p, buf_str(&csr), &pem), -EBADMSG);
        csr.data[i] ^= 1;
        assert_int_equal(sign(p, (struct str){(char *)csr.data, i}, &pem), -EBADMSG);
    }
    assert_int_equal(buf_append_z(&csr, "x"), 0);
    assert_int_equal(sign(p, buf_str(&csr), &pem), -EBADMSG);
    assert_null(pem);
    buf_clear(&csr);
    EVP_PKEY_free(key);
}

static void authority_is_checked(void **state)
{
    struct pki *p = *state;
    char *cert = NULL, *key = NULL;
    const char *const names[] = {"a"};
    struct diag diag = {0};
    assert_int_equal(cert_make_server(p->ca, p->agent_key, names, 1, 1, &cert, &key, &diag), -EINVAL);
    assert_int_equal(cert_make_server(p->server, p->server_key, names, 1, 1, &cert, &key, &diag), -EINVAL);
    assert_int_equal(cert_make_server(p->ca, "no key", names, 1, 1, &cert, &key, &diag), -EINVAL);
    assert_int_equal(cert_make_server(p->ca, p->ca_key, names, 1, 0, &cert, &key, &diag), -EINVAL);
    assert_int_equal(cert_make_authority("", &cert, &key, &diag), -EINVAL);
    char too_long[66] = {0};
    memset(too_long, 'x', 65);
    assert_int_equal(cert_make_authority(too_long, &cert, &key, &diag), -EINVAL);
    assert_null(cert);
    assert_null(key);
}

static void server_names_are_checked(void **state)
{
    struct pki *p = *state;
    static const char *const bad[] = {"",      "*.example.vn", "a b",       "a,DNS:b",     "-a",
                                      "a-.vn", ".a",           "a.",        "a..b",        "a_b",
                                      "a/b",   "xn--\xc3\xa9", "1.2.3.4/5", "fe80::1%eth0"};
    char *cert = NULL, *key = NULL;
    struct diag diag = {0};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (cert_make_server(p->ca, p->ca_key, &bad[i], 1, 1, &cert, &key, &diag) != -EINVAL)
            fail_msg("'%s' was accepted", bad[i]);
    assert_int_equal(cert_make_server(p->ca, p->ca_key, bad, 0, 1, &cert, &key, &diag), -EINVAL);
    const char *const good[] = {"a", "A-1.example.vn", "::1", "127.0.0.1"};
    assert_int_equal(cert_make_server(p->ca, p->ca_key, good, 4, 1, &cert, &key, &diag), 0);
    free(cert);
    free(key);
}

static void leaf_does_not_outlive_its_authority(void **state)
{
    struct pki *p = *state;
    char *cert = NULL, *key = NULL;
    const char *const names[] = {"a"};
    int64_t ca_end, end;
    assert_int_equal(cert_make_server(p->ca, p->ca_key, names, 1, 36500, &cert, &key, NULL), 0);
    assert_int_equal(cert_info(p->ca, NULL, &ca_end, NULL, NULL, NULL), 0);
    assert_int_equal(cert_info(cert, NULL, &end, NULL, NULL, NULL), 0);
    assert_int_equal(end, ca_end);
    free(cert);
    free(key);
}

static void token_round_trips_and_is_strict(void **state)
{
    (void)state;
    uint8_t fp[32], secret[32], fp2[32], secret2[32];
    char text[TOKEN_TEXT_LEN], spaced[TOKEN_TEXT_LEN + 4];
    for (unsigned i = 0; i < 32; i++) {
        fp[i] = (uint8_t)(i * 7);
        secret[i] = (uint8_t)(255 - i);
    }
    token_format(fp, secret, text);
    assert_int_equal(strlen(text), TOKEN_TEXT_LEN - 1);
    assert_memory_equal(text, "vg1.AAcOFRwj", 12);
    snprintf(spaced, sizeof(spaced), " %s\r\n", text);
    assert_int_equal(token_parse(str_of(spaced), fp2, secret2), 0);
    assert_memory_equal(fp, fp2, 32);
    assert_memory_equal(secret, secret2, 32);
    for (size_t i = 0; i < TOKEN_TEXT_LEN - 1; i++) {
        char old = text[i];
        text[i] = '!';
        assert_int_equal(token_parse(str_of(text), fp2, secret2), -EINVAL);
        text[i] = old;
        assert_int_equal(token_parse((struct str){text, i}, fp2, secret2), -EINVAL);
    }
    text[TOKEN_TEXT_LEN - 2]++; /* bits behind the last byte: a second spelling of the same token */
    assert_int_equal(token_parse(str_of(text), fp2, secret2), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(authority_may_sign_and_nothing_else),
        cmocka_unit_test(leaves_have_one_role),
        cmocka_unit_test(info_tells_who_and_which),
        cmocka_unit_test(only_strong_keys_are_signed),
        cmocka_unit_test(bent_requests_are_refused),
        cmocka_unit_test(authority_is_checked),
        cmocka_unit_test(server_names_are_checked),
        cmocka_unit_test(leaf_does_not_outlive_its_authority),
        cmocka_unit_test(token_round_trips_and_is_strict),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
