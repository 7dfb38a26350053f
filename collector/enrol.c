/* SPDX-License-Identifier: Apache-2.0
 * See enrol.h. */
#include "collector/enrol.h"

#include "collector/agents.h"
#include "collector/pem.h"
#include "common/cert.h"
#include "common/time.h"

#include <errno.h>
#include <netinet/in.h>
#include <sodium.h>

#define CANDIDATES 8

int enrol_open(struct enrol *e, const struct collector_config *config, sqlite3 *db, struct diag *diag)
{
    *e = (struct enrol){.db = db};
    randombytes_buf(&e->secret, sizeof(e->secret));
    int r = pem_read(config->tls.authority, &e->authority_pem, diag);
    if (r == 0)
        r = pem_read(config->tls.authority_key, &e->authority_key_pem, diag);
    if (r < 0)
        enrol_close(e);
    return r;
}

void enrol_close(struct enrol *e)
{
    free(e->authority_pem);
    pem_free(e->authority_key_pem);
    *e = (struct enrol){0};
}

void enrol_address_key(const struct sockaddr *sa, uint8_t ret_key[static 16])
{
    memset(ret_key, 0, 16);
    if (sa->sa_family == AF_INET) {
        ret_key[10] = ret_key[11] = 0xff;
        memcpy(ret_key + 12, &((const struct sockaddr_in *)sa)->sin_addr, 4);
    } else if (sa->sa_family == AF_INET6) {
        const struct in6_addr *a = &((const struct sockaddr_in6 *)sa)->sin6_addr;
        memcpy(ret_key, a, IN6_IS_ADDR_V4MAPPED(a) ? 16 : 8);
    }
}

bool enrol_may_try(struct enrol *e, const uint8_t key[static 16], int64_t now_ns)
{
    uint64_t hash = ((get_u64(key) ^ e->secret) * UINT64_C(0x9e3779b97f4a7c15)) ^ (get_u64(key + 8) + e->secret);
    hash = (hash ^ hash >> 29) * UINT64_C(0xbf58476d1ce4e5b9);
    struct enrol_address *oldest = NULL;
    for (size_t i = 0; i < CANDIDATES; i++) {
        struct enrol_address *a = &e->addresses[((hash >> 32) + i) % ENROL_ADDRESSES];
        if (a->tries && memcmp(a->key, key, sizeof(a->key)) == 0) {
            if (now_ns - a->since_ns >= ENROL_WINDOW_NS) {
                a->tries = 0;
                a->since_ns = now_ns;
            }
            if (a->tries >= ENROL_TRIES_MAX)
                return false;
            a->tries++;
            return true;
        }
        if (!oldest || a->since_ns < oldest->since_ns)
            oldest = a;
    }
    memcpy(oldest->key, key, sizeof(oldest->key));
    oldest->since_ns = now_ns;
    oldest->tries = 1;
    return true;
}

static int sign(struct enrol *e, struct str csr_der, const uint8_t agent[static ID_LEN], char **ret_pem,
                char serial[static CERT_SERIAL_HEX], struct agent_certificate *ret_cert, struct diag *diag)
{
    int r =
        cert_sign_agent(e->authority_pem, e->authority_key_pem, csr_der, agent, CERT_AGENT_DAYS, ret_pem, serial, diag);
    if (r < 0)
        return r;
    *ret_cert = (struct agent_certificate){.serial_hex = serial};
    r = cert_info(*ret_pem, NULL, &ret_cert->not_after_ns, NULL, NULL, diag);
    if (r < 0) {
        free(*ret_pem);
        *ret_pem = NULL;
    }
    return r;
}

int enrol_agent(struct enrol *e, struct str token, struct str host, struct str csr_der,
                uint8_t ret_agent[static ID_LEN], char **ret_cert_pem, struct diag *diag)
{
    int64_t now_ns = time_now_ns();
    if (token.len != FRAME_TOKEN_LEN)
        return diag_set(diag, -EACCES, "token of %zu bytes", token.len);
    int r = agents_token_check(e->db, token, now_ns, diag);
    if (r == -EACCES)
        return diag_set(diag, r, "token unknown, used up or expired");
    if (r < 0)
        return r;
    char serial[CERT_SERIAL_HEX], *pem = NULL;
    struct agent_certificate cert;
    id_random(ret_agent);
    r = sign(e, csr_der, ret_agent, &pem, serial, &cert, diag);
    if (r < 0)
        return r;
    host.len = MIN(host.len, (size_t)AGENTS_HOST_MAX);
    r = agents_enrol(e->db, token, ret_agent, host, &cert, now_ns, diag); /* checks the token again, and uses it */
    if (r < 0) {
        free(pem);
        return r;
    }
    *ret_cert_pem = pem;
    return 0;
}

int enrol_renew(struct enrol *e, const uint8_t agent[static ID_LEN], struct str csr_der, char **ret_cert_pem,
                struct diag *diag)
{
    char serial[CERT_SERIAL_HEX], *pem = NULL;
    struct agent_certificate cert;
    int r = sign(e, csr_der, agent, &pem, serial, &cert, diag);
    if (r < 0)
        return r;
    r = agents_renew(e->db, agent, &cert, diag);
    if (r < 0) {
        free(pem);
        return r;
    }
    *ret_cert_pem = pem;
    return 0;
}
