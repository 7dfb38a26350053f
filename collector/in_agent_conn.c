/* SPDX-License-Identifier: Apache-2.0
 *
 * One connection on the agents' port: from accepted to gone, and what each frame does. See in_agent.h for the states.
 * Reading is held back, connection by connection, for two reasons: the writer has no room (all wait until it has), or the
 * memory for batches being received is used up (a line of waiters; each gets its share when it is free).
 */
#include "collector/in_agent_impl.h"

#include "collector/agents.h"
#include "common/log.h"
#include "common/time.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <sodium.h>

#define STRANGER_NS     (10 * NS_PER_S)
#define CLOSING_NS      (2 * NS_PER_S)
#define ENROL_FRAME_MAX (8 * KIB)
#define RENEWALS_MAX    3 /* a connection */

/* ---- connections by id ---- */

static struct conn **slot_of(struct in_agent *in, uint64_t id)
{
    return &in->by_id[id & (in->slots - 1)];
}

/* Ids are given out so that no two live connections share a slot. */
static uint64_t next_id(struct in_agent *in)
{
    do
        in->last_id++;
    while (*slot_of(in, in->last_id));
    return in->last_id;
}

struct conn *conn_find(struct in_agent *in, uint64_t id)
{
    struct conn *conn = *slot_of(in, id);
    return conn && conn->id == id ? conn : NULL;
}

/* ---- receive memory ---- */

static void serve_waiters(struct in_agent *in)
{
    struct conn *conn;
    while ((conn = TAILQ_FIRST(&in->waiters)) && conn->want <= in->memory_left) {
        TAILQ_REMOVE(&in->waiters, conn, waiting);
        in->memory_left -= conn->want;
        conn->grant = conn->want;
        conn->want = 0;
        peer_resume(conn->peer);
    }
}

static void release_memory(struct conn *conn)
{
    struct in_agent *in = conn->in;
    if (conn->want > 0)
        TAILQ_REMOVE(&in->waiters, conn, waiting);
    in->memory_left += conn->grant;
    conn->want = conn->grant = 0;
    serve_waiters(in);
}

static int take_memory(struct conn *conn, size_t len)
{
    struct in_agent *in = conn->in;
    if (conn->grant == len)
        return 0; /* it waited for it */
    if (conn->want > 0)
        return -EAGAIN;
    if (TAILQ_EMPTY(&in->waiters) && len <= in->memory_left) {
        in->memory_left -= len;
        conn->grant = len;
        return 0;
    }
    conn->want = len;
    TAILQ_INSERT_TAIL(&in->waiters, conn, waiting);
    stat_add(STAT_MEMORY_WAITS, 1);
    return -EAGAIN;
}

/* ---- ends ---- */

static void update_gauges(struct in_agent *in)
{
    stat_set(STAT_CONNECTIONS, (int64_t)(in->n_strangers + in->n_conns));
    stat_set(STAT_AGENTS_CONNECTED, (int64_t)in->n_conns);
}

static void conn_unlist(struct conn *conn)
{
    struct in_agent *in = conn->in;
    if (conn->agent) {
        TAILQ_REMOVE(&in->conns, conn, link);
        in->n_conns--;
        if (conn->agent->conn == conn->id)
            conn->agent->conn = 0;
    } else {
        TAILQ_REMOVE(&in->strangers, conn, link);
        in->n_strangers--;
    }
    update_gauges(in);
}

void conn_free(struct conn *conn)
{
    release_memory(conn);
    conn_unlist(conn);
    *slot_of(conn->in, conn->id) = NULL;
    peer_free(conn->peer);
    free(conn);
}

void conn_bye(struct conn *conn, enum bye_code code, const char *reason)
{
    if (conn->state == CONN_CLOSING)
        return;
    conn->state = CONN_CLOSING;
    conn->deadline_ns = time_monotonic_ns() + CLOSING_NS;
    release_memory(conn);
    peer_bye(conn->peer, code, reason);
}

static void protocol_error(struct conn *conn, const char *reason)
{
    stat_add(STAT_PROTOCOL_ERRORS, 1);
    log_warn("%s%s%s: %s; closing", conn->address_text, conn->agent ? ", agent " : "",
             conn->agent ? conn->agent->id_text : "", reason);
    conn_bye(conn, BYE_PROTOCOL, reason);
}

/* ---- the handshake is done: who is it? ---- */

static void admit(struct conn *conn, struct roster_agent *agent)
{
    struct in_agent *in = conn->in;
    struct conn *old = agent->conn ? conn_find(in, agent->conn) : NULL;
    if (old) {
        stat_add(STAT_REPLACED, 1);
        conn_bye(old, BYE_REPLACED, "the same agent has connected again");
    }
    conn_unlist(conn);
    conn->agent = agent;
    agent->conn = conn->id;
    TAILQ_INSERT_TAIL(&in->conns, conn, link);
    in->n_conns++;
    update_gauges(in);
    conn->state = CONN_HELLO;
    if (in->n_conns > (size_t)in->c->config.listen.agents_max + (old != NULL))
        conn_bye(conn, BYE_SHUTDOWN, "too many agents");
}

static void on_open(struct peer *peer, void *ctx)
{
    struct conn *conn = ctx;
    struct in_agent *in = conn->in;
    uint8_t id[ID_LEN];
    char serial[CERT_SERIAL_HEX];
    struct diag diag = {0};
    int r = peer_identity(peer, id, serial);
    if (r == -ENOENT) {
        conn->state = CONN_ENROL;
        return;
    }
    if (r == 0)
        r = agents_lookup(in->db, id, &diag);
    struct roster_agent *agent = NULL;
    if (r == 0)
        r = roster_add(in->ingest.roster, id, &agent);
    if (r == 0) {
        agent->is_revoked = false;
        admit(conn, agent);
        return;
    }
    if (r == -ENOENT || r == -EKEYREVOKED) {
        stat_add(STAT_DENIED, 1);
        log_warn("%s: %s (certificate %s); denied", conn->address_text, diag.msg, serial);
        conn_bye(conn, BYE_DENIED, r == -ENOENT ? "agent unknown" : "agent revoked");
    } else {
        log_error("%s: cannot look up the agent: %s", conn->address_text, diag.msg);
        conn_bye(conn, BYE_SHUTDOWN, "try again later");
    }
}

/* ---- frames ---- */

static int on_head(struct peer *peer, void *ctx, enum frame_type type, size_t len)
{
    (void)peer;
    struct conn *conn = ctx;
    switch (conn->state) {
    case CONN_ENROL:
        if (type == FRAME_ENROL && len <= ENROL_FRAME_MAX)
            return 0;
        break;
    case CONN_HELLO:
        if (type == FRAME_HELLO)
            return 0;
        break;
    case CONN_OPEN:
        if (type == FRAME_STATS || type == FRAME_RENEW)
            return 0;
        if (type != FRAME_BATCH)
            break;
        if (!writer_has_room(conn->in->c->writer)) {
            if (!conn->is_held)
                stat_add(STAT_READ_PAUSES, 1);
            conn->is_held = true;
            return -EAGAIN;
        }
        return take_memory(conn, len);
    default:
        break;
    }
    protocol_error(conn, "frame out of turn");
    return -EBADMSG;
}

static void on_hello(struct conn *conn, const struct frame *f)
{
    if (f->hello.version != FRAME_VERSION) {
        conn_bye(conn, BYE_VERSION, "this collector speaks version 1");
        return;
    }
    if (roster_hello(conn->agent, f->hello.host, f->hello.program_version) < 0) {
        conn_bye(conn, BYE_SHUTDOWN, "out of memory");
        return;
    }
    log_info("agent %s (%s) connected from %s", conn->agent->id_text, conn->agent->host, conn->address_text);
    conn->state = CONN_OPEN;
    struct frame welcome = {
        .type = FRAME_WELCOME,
        .welcome = {FRAME_VERSION, IN_AGENT_WINDOW_BATCHES, IN_AGENT_HEARTBEAT_S},
    };
    peer_send(conn->peer, &welcome);
}

static void send_certificate(struct conn *conn, const char *pem)
{
    struct frame cert = {
        .type = FRAME_CERT,
        .cert = {str_of(pem), str_of(conn->in->enrol.authority_pem)},
    };
    peer_send(conn->peer, &cert);
}

static void on_renew(struct conn *conn, const struct frame *f)
{
    struct diag diag = {0};
    char *pem = NULL;
    if (++conn->renewals > RENEWALS_MAX) {
        protocol_error(conn, "too many renewals");
        return;
    }
    int r = enrol_renew(&conn->in->enrol, conn->agent->id, f->renew.csr_der, &pem, &diag);
    if (r < 0) {
        log_warn("agent %s: cannot renew its certificate: %s", conn->agent->id_text, diag.msg);
        conn_bye(conn, r == -EKEYREVOKED || r == -ENOENT ? BYE_DENIED : BYE_PROTOCOL, "certificate not renewed");
        return;
    }
    stat_add(STAT_RENEWED, 1);
    log_info("agent %s (%s): certificate renewed", conn->agent->id_text, conn->agent->host);
    send_certificate(conn, pem);
    free(pem);
}

static void on_enrol(struct conn *conn, const struct frame *f)
{
    struct in_agent *in = conn->in;
    struct diag diag = {0};
    char *pem = NULL, id_text[ID_TEXT_LEN];
    uint8_t id[ID_LEN];
    struct roster_agent *agent = NULL;
    int r = -EBUSY;
    if (enrol_may_try(&in->enrol, conn->address, time_monotonic_ns()))
        r = enrol_agent(&in->enrol, f->enrol.secret, f->enrol.host, f->enrol.csr_der, id, &pem, &diag);
    else
        diag_set(&diag, r, "too many tries");
    if (r < 0) {
        stat_add(STAT_ENROL_DENIED, 1);
        log_warn("%s: enrolment refused: %s", conn->address_text, diag.msg);
        conn_bye(conn, r == -EBADMSG ? BYE_PROTOCOL : BYE_DENIED,
                 r == -EACCES    ? "token unknown, used up or expired"
                 : r == -EBUSY   ? "too many tries, wait a minute"
                 : r == -EBADMSG ? "certificate request refused"
                                 : "internal error");
        return;
    }
    id_format(id, id_text);
    stat_add(STAT_ENROLLED, 1);
    log_info("agent %s (%.*s) enrolled from %s", id_text, (int)MIN(f->enrol.host.len, (size_t)AGENTS_HOST_MAX),
             f->enrol.host.p, conn->address_text);
    if (roster_add(in->ingest.roster, id, &agent) == 0)
        roster_hello(agent, f->enrol.host, STR(""));
    conn->state = CONN_ENROLLED;
    send_certificate(conn, pem);
    free(pem);
}

static void on_batch(struct conn *conn, uint8_t *bytes, size_t len)
{
    struct diag diag = {0};
    int r = ingest_batch(&conn->in->ingest, conn->agent, conn->id, &conn->last_seq, bytes, len, &diag);
    release_memory(conn);
    if (r == -EBADMSG) {
        protocol_error(conn, diag.msg);
    } else if (r < 0) {
        log_error("agent %s: %s", conn->agent->id_text, diag.msg);
        conn_bye(conn, r == -ENOMEM ? BYE_SHUTDOWN : BYE_DENIED, diag.msg);
    }
}

static void on_frame(struct peer *peer, void *ctx, uint8_t *bytes, size_t len)
{
    (void)peer;
    struct conn *conn = ctx;
    if (conn->agent) {
        conn->deadline_ns = time_monotonic_ns() + IDLE_NS;
        roster_heard(conn->in->ingest.roster, conn->agent, time_now_ns());
    }
    if (bytes[4] == FRAME_BATCH) {
        on_batch(conn, bytes, len);
        return;
    }
    struct frame f;
    struct diag diag = {0};
    if (frame_decode((struct str){(const char *)bytes, len}, &f, &diag) < 0)
        protocol_error(conn, diag.msg);
    else if (f.type == FRAME_HELLO)
        on_hello(conn, &f);
    else if (f.type == FRAME_STATS) {
        if (roster_stats(conn->agent, f.stats) < 0)
            protocol_error(conn, "statistics must be a flat JSON object of numbers");
    } else if (f.type == FRAME_RENEW)
        on_renew(conn, &f);
    else if (f.type == FRAME_ENROL) {
        on_enrol(conn, &f);
        sodium_memzero(bytes, len); /* it holds the token */
    }
    free(bytes);
}

static void on_gone(struct peer *peer, void *ctx, int err, const char *why)
{
    (void)peer;
    struct conn *conn = ctx;
    if (conn->state == CONN_STRANGER) {
        stat_add(STAT_HANDSHAKE_FAILED, 1);
        log_info("%s: TLS handshake failed: %s", conn->address_text, err < 0 ? why : "closed");
    } else if (conn->agent && conn->state != CONN_CLOSING) {
        log_info("agent %s (%s) disconnected%s%s", conn->agent->id_text, conn->agent->host, err < 0 ? ": " : "",
                 err < 0 ? why : "");
    }
    conn_free(conn);
}

static const struct peer_ops peer_ops = {on_open, on_head, on_frame, on_gone};

int conn_new(struct in_agent *in, int fd, const struct sockaddr *sa, socklen_t sa_len)
{
    struct conn *conn = calloc(1, sizeof(*conn));
    if (!conn) {
        close(fd);
        return -ENOMEM;
    }
    conn->in = in;
    conn->id = next_id(in);
    conn->deadline_ns = time_monotonic_ns() + STRANGER_NS;
    enrol_address_key(sa, conn->address);
    if (getnameinfo(sa, sa_len, conn->address_text, sizeof(conn->address_text), NULL, 0, NI_NUMERICHOST) != 0)
        conn->address_text[0] = '?';
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    int r = peer_new(in->c->loop, in->tls, fd, &peer_ops, conn, &conn->peer);
    if (r < 0) {
        free(conn);
        return r;
    }
    *slot_of(in, conn->id) = conn;
    TAILQ_INSERT_TAIL(&in->strangers, conn, link);
    in->n_strangers++;
    update_gauges(in);
    return 0;
}
