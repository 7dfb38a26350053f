/* SPDX-License-Identifier: Apache-2.0
 *
 * Certificates for agents: enrolment with a token, renewal with the certificate held. Knows no sockets: in_agent.c does.
 * Tries are limited per source address, so that guessing a token (256 random bits) is not even worth the traffic.
 * Main thread only; each certificate is one SQLite transaction that waits for the disk.
 */
#pragma once

#include "collector/config.h"
#include "common/frame.h"

#include <sqlite3.h>
#include <sys/socket.h>

#define ENROL_TRIES_MAX 30 /* in ENROL_WINDOW_NS from one IPv4 address or one IPv6 /64 */
#define ENROL_WINDOW_NS (60 * NS_PER_S)
#define ENROL_ADDRESSES 1024 /* remembered at a time; the oldest of a few candidates is forgotten first */

struct enrol_address {
    uint8_t key[16];
    int64_t since_ns;
    uint32_t tries;
};

struct enrol {
    sqlite3 *db; /* borrowed, durable */
    char *authority_pem, *authority_key_pem;
    struct enrol_address addresses[ENROL_ADDRESSES];
    uint64_t secret;
};

/* Reads the authority's files. 0 or negative errno with a reason. */
int enrol_open(struct enrol *e, const struct collector_config *config, sqlite3 *db, struct diag *diag);
void enrol_close(struct enrol *e);

/* What of an address is counted: IPv4 whole (also mapped into IPv6), IPv6 its /64. */
void enrol_address_key(const struct sockaddr *sa, uint8_t ret_key[static 16]);

/* Counts a try. False: too many from there. */
bool enrol_may_try(struct enrol *e, const uint8_t key[static 16], int64_t now_ns);

/* Checks the token, signs the request, uses the token once, adds the agent. 0 with the certificate (owned) and the id, or
 * -EACCES (the token), -EBADMSG (the request), or a database error. */
int enrol_agent(struct enrol *e, struct str token, struct str host, struct str csr_der,
                uint8_t ret_agent[static ID_LEN], char **ret_cert_pem, struct diag *diag);

/* A new certificate for an agent that has one. The old one stays good until it expires: an agent that crashes before it
 * has written the new one must not be locked out. Revoking goes by agent, not by certificate. */
int enrol_renew(struct enrol *e, const uint8_t agent[static ID_LEN], struct str csr_der, char **ret_cert_pem,
                struct diag *diag);
