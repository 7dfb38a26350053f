/* SPDX-License-Identifier: Apache-2.0
 *
 * The agent's key and certificates on disk: see credentials.h.
 */
#include "agent/credentials.h"

#include "common/file.h"
#include "common/time.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <time.h>

#define PEM_MAX (64 * KIB)

static int path_of(const char *dir, const char *name, char *ret, size_t size)
{
    return (size_t)snprintf(ret, size, "%s/%s", dir, name) < size ? 0 : -ENAMETOOLONG;
}

static int read_pem(const char *dir, const char *name, char **ret)
{
    char path[4096];
    const char *z;
    struct buf text = BUF_INIT(PEM_MAX);
    int r = path_of(dir, name, path, sizeof(path));
    if (r == 0)
        r = file_read(path, &text);
    if (r == 0)
        r = buf_z(&text, &z);
    if (r == 0 && !(*ret = strdup(z)))
        r = -ENOMEM;
    if (text.data)
        OPENSSL_cleanse(text.data, text.cap);
    buf_clear(&text);
    return r;
}

static int write_pem(const char *dir, const char *name, const char *pem, unsigned mode)
{
    char path[4096];
    int r = path_of(dir, name, path, sizeof(path));
    return r < 0 ? r : file_write_atomic(path, str_of(pem), mode);
}

static int move(const char *dir, const char *from, const char *to)
{
    char x[4096], y[4096];
    if (path_of(dir, from, x, sizeof(x)) < 0 || path_of(dir, to, y, sizeof(y)) < 0)
        return -ENAMETOOLONG;
    return rename(x, y) == 0 ? 0 : -errno;
}

static void drop(const char *dir, const char *name)
{
    char path[4096];
    if (path_of(dir, name, path, sizeof(path)) == 0)
        unlink(path);
}

static void wipe(char **secret)
{
    if (*secret)
        OPENSSL_cleanse(*secret, strlen(*secret));
    free(*secret);
    *secret = NULL;
}

static bool is_pair(const char *cert_pem, const char *key_pem)
{
    X509 *cert = cert_parse(cert_pem, NULL);
    EVP_PKEY *key = cert ? cert_parse_key(key_pem, NULL) : NULL;
    bool fits = key && X509_check_private_key(cert, key) == 1;
    X509_free(cert);
    EVP_PKEY_free(key);
    return fits;
}

/* A replacement is decided once agent.crt.new is whole; its key is then in agent.key.new, or already in place. */
static void finish_replacement(const char *dir)
{
    char *cert CLEANUP(free_ptr) = NULL;
    char *key = NULL, *new_key = NULL;
    if (read_pem(dir, "agent.crt.new", &cert) < 0)
        return;
    bool have_new = read_pem(dir, "agent.key.new", &new_key) == 0 && is_pair(cert, new_key);
    bool have_old = read_pem(dir, "agent.key", &key) == 0 && is_pair(cert, key);
    if (have_new && move(dir, "agent.key.new", "agent.key") == 0)
        move(dir, "agent.crt.new", "agent.crt");
    else if (have_old)
        move(dir, "agent.crt.new", "agent.crt");
    else
        drop(dir, "agent.crt.new");
    wipe(&key);
    wipe(&new_key);
}

static int64_t asn1_ns(const ASN1_TIME *t)
{
    struct tm tm = {0};
    if (ASN1_TIME_to_tm(t, &tm) != 1)
        return 0;
    struct civil c = {tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec};
    return civil_to_unix_s(&c) * NS_PER_S;
}

static int read_facts(struct credentials *c, struct diag *diag)
{
    int r = cert_info(c->cert_pem, NULL, NULL, c->agent, NULL, diag);
    X509 *cert = r == 0 ? cert_parse(c->cert_pem, diag) : NULL;
    if (!cert)
        return r < 0 ? r : -EINVAL;
    c->not_before_ns = asn1_ns(X509_get0_notBefore(cert));
    c->not_after_ns = asn1_ns(X509_get0_notAfter(cert));
    X509_free(cert);
    return 0;
}

bool credentials_exist(const char *state_dir)
{
    char path[4096];
    return path_of(state_dir, "agent.crt", path, sizeof(path)) == 0 && access(path, F_OK) == 0;
}

int credentials_load(const char *state_dir, struct credentials *ret, struct diag *diag)
{
    struct credentials c = {0};
    finish_replacement(state_dir);
    int r = read_pem(state_dir, "agent.crt", &c.cert_pem);
    if (r == 0)
        r = read_pem(state_dir, "ca.crt", &c.ca_pem);
    if (r == 0)
        r = read_pem(state_dir, "agent.key", &c.key_pem);
    if (r < 0) {
        diag_set(diag, r,
                 r == -ENOENT ? "not enrolled: %s holds no certificate (run: vonggac-agent enroll)%s"
                              : "cannot read the certificate in %s: %s",
                 state_dir, r == -ENOENT ? "" : strerror(-r));
        credentials_clear(&c);
        return r;
    }
    r = read_facts(&c, diag);
    if (r == 0 && !is_pair(c.cert_pem, c.key_pem))
        r = diag_set(diag, -EINVAL, "agent.key in %s does not belong to agent.crt; enrol again", state_dir);
    if (r < 0) {
        credentials_clear(&c);
        return r;
    }
    *ret = c;
    return 0;
}

void credentials_clear(struct credentials *c)
{
    free(c->ca_pem);
    free(c->cert_pem);
    wipe(&c->key_pem);
    *c = (struct credentials){0};
}

/* OpenSSL's own checks of a client: signed by the authority, and the key is the certificate's. */
static int check_fit(const char *ca_pem, const char *cert_pem, const char *key_pem, struct diag *diag)
{
    SSL_CTX *ctx = tls_client(ca_pem, cert_pem, key_pem, diag);
    SSL_CTX_free(ctx);
    return ctx ? 0 : -EINVAL;
}

int credentials_store(const char *state_dir, const char *ca_pem, const char *cert_pem, const char *key_pem,
                      struct diag *diag)
{
    char *old_ca CLEANUP(free_ptr) = NULL;
    int r = ca_pem ? 0 : read_pem(state_dir, "ca.crt", &old_ca);
    if (r < 0)
        return diag_set(diag, r, "cannot read ca.crt in %s: %s", state_dir, strerror(-r));
    r = check_fit(ca_pem ? ca_pem : old_ca, cert_pem, key_pem, diag);
    if (r < 0)
        return r;
    if (ca_pem) /* a new identity: an old certificate must not be left beside a new authority */
        drop(state_dir, "agent.crt");
    r = ca_pem ? write_pem(state_dir, "ca.crt", ca_pem, 0644) : 0;
    if (r == 0)
        r = write_pem(state_dir, "agent.key.new", key_pem, 0600);
    if (r == 0)
        r = write_pem(state_dir, "agent.crt.new", cert_pem, 0644);
    if (r < 0)
        return diag_set(diag, r, "cannot write to %s: %s", state_dir, strerror(-r));
    r = move(state_dir, "agent.key.new", "agent.key");
    if (r == 0)
        r = move(state_dir, "agent.crt.new", "agent.crt");
    return r < 0 ? diag_set(diag, r, "cannot rename in %s: %s", state_dir, strerror(-r)) : 0;
}

bool credentials_are_due(const struct credentials *c, int64_t now_ns)
{
    return now_ns > c->not_after_ns - (c->not_after_ns - c->not_before_ns) / 3;
}
