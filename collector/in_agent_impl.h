/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside of the agents' port: what in_agent.c (listener, timers, acknowledgements) and in_agent_conn.c (one connection's life
 * and frames) share. Nobody else includes it. A connection is named by a number that is never used again (`id`), since a
 * batch may come back from the writer when its connection is gone.
 */
#pragma once

#include "collector/enrol.h"
#include "collector/in_agent.h"
#include "collector/ingest.h"
#include "collector/peer.h"

#include <arpa/inet.h>
#include <event2/listener.h>
#include <sys/queue.h>

#define STRANGERS_MAX     256 /* connections that have not shown a certificate, in all */
#define STRANGERS_ADDRESS 64  /* and from one address */
#define IDLE_NS           (3 * IN_AGENT_HEARTBEAT_S * NS_PER_S)

enum conn_state {
    CONN_STRANGER, /* handshake */
    CONN_ENROL,    /* no certificate: one ENROL */
    CONN_ENROLLED, /* CERT is on its way, nothing more is expected */
    CONN_HELLO,    /* an agent: one HELLO */
    CONN_OPEN,
    CONN_CLOSING,
};

struct conn {
    TAILQ_ENTRY(conn) link;    /* in_agent.conns or .strangers */
    TAILQ_ENTRY(conn) waiting; /* in_agent.waiters, when want > 0 */
    struct in_agent *in;
    struct peer *peer;
    uint64_t id;
    enum conn_state state;
    int64_t deadline_ns; /* monotonic */
    uint8_t address[16];
    char address_text[INET6_ADDRSTRLEN];
    struct roster_agent *agent; /* from CONN_HELLO on */
    uint64_t last_seq, ack_seq;
    bool is_ack_due, is_held; /* held: the writer had no room */
    size_t want, grant;       /* receive memory asked for, and held */
    unsigned renewals;
};

TAILQ_HEAD(conn_list, conn);

struct in_agent {
    struct collector *c;
    SSL_CTX *tls;
    struct evconnlistener *listener;
    struct event *tick, *done, *accept_again;
    sqlite3 *db, *db_lazy; /* durable; and for what may be lost and must not wait */
    struct enrol enrol;
    struct ingest ingest;
    struct conn_list strangers, conns, waiters;
    size_t n_strangers, n_conns;
    struct conn **by_id; /* by id & (slots - 1): four times as many as there can be connections */
    size_t slots;
    uint64_t last_id;
    size_t memory_left;
    int64_t data_version;
    uint16_t port;
    bool is_stopping;
};

/* Takes fd. 0 or -ENOMEM. */
int conn_new(struct in_agent *in, int fd, const struct sockaddr *sa, socklen_t sa_len);
void conn_free(struct conn *conn); /* closes at once; not from within a peer's callbacks but on_gone */
void conn_bye(struct conn *conn, enum bye_code code, const char *reason);
struct conn *conn_find(struct in_agent *in, uint64_t id); /* NULL: gone */
