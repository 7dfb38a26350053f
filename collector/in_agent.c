/* SPDX-License-Identifier: Apache-2.0
 *
 * See in_agent.h. A connection is named by a number that is never used again (`id`), since a batch may come back from
 * the writer when its connection is gone. Reading is held back, connection by connection, for two reasons: the writer
 * has no room (all wait until it has), or the memory for batches being received is used up (a line of waiters; each gets
 * its share when it is free).
 */
#include "collector/in_agent.h"

#include "collector/agents.h"
#include "collector/enrol.h"
#include "collector/ingest.h"
#include "collector/peer.h"
#include "collector/store.h"
#include "common/file.h"
#include "common/log.h"
#include "common/time.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/queue.h>

#define STRANGERS_MAX     256 /* connections that have not shown a certificate, in all */
#define STRANGERS_ADDRESS 64  /* and from one address */
#define STRANGER_NS       (10 * NS_PER_S)
#define IDLE_NS           (3 * IN_AGENT_HEARTBEAT_S * NS_PER_S)
#define CLOSING_NS        (2 * NS_PER_S)
#define ENROL_FRAME_MAX   (8 * KIB)
#define RENEWALS_MAX      3 /* a connection */
#define ACCEPT_PAUSE_S    1
#define PEM_MAX           (64 * KIB)
#define CERT_WARN_NS      (30 * 24 * 3600 * NS_PER_S)

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
    struct conn **by_id; /* open addressing by id; slots is a power of two over all connections there can be */
    size_t slots;
    uint64_t last_id;
    size_t memory_left;
    int64_t data_version;
    uint16_t port;
    bool is_stopping;
};

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

static struct conn *conn_find(struct in_agent *in, uint64_t id)
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

static void conn_free(struct conn *conn)
{
    release_memory(conn);
    conn_unlist(conn);
    *slot_of(conn->in, conn->id) = NULL;
    peer_free(conn->peer);
    free(conn);
}

static void conn_bye(struct conn *conn, enum bye_code code, const char *reason)
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

/* ---- accepting ---- */

static size_t strangers_from(struct in_agent *in, const uint8_t *address)
{
    size_t n = 0;
    struct conn *conn;
    TAILQ_FOREACH(conn, &in->strangers, link)
    n += memcmp(conn->address, address, sizeof(conn->address)) == 0;
    return n;
}

static int conn_new(struct in_agent *in, int fd, const struct sockaddr *sa, socklen_t sa_len)
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

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *sa, int sa_len, void *ctx)
{
    (void)listener;
    struct in_agent *in = ctx;
    uint8_t address[16];
    enrol_address_key(sa, address);
    stat_add(STAT_ACCEPTED, 1);
    if (in->n_strangers >= STRANGERS_MAX || strangers_from(in, address) >= STRANGERS_ADDRESS) {
        stat_add(STAT_ACCEPT_REFUSED, 1);
        close(fd);
        return;
    }
    if (conn_new(in, fd, sa, (socklen_t)sa_len) < 0)
        stat_add(STAT_ACCEPT_REFUSED, 1);
}

/* Out of descriptors or memory: accepting again at once would only spin. */
static void on_accept_error(struct evconnlistener *listener, void *ctx)
{
    struct in_agent *in = ctx;
    int err = EVUTIL_SOCKET_ERROR();
    stat_add(STAT_ACCEPT_ERRORS, 1);
    log_error("cannot accept a connection: %s; waiting %d s", evutil_socket_error_to_string(err), ACCEPT_PAUSE_S);
    evconnlistener_disable(listener);
    event_add(in->accept_again, &(struct timeval){.tv_sec = ACCEPT_PAUSE_S});
}

static void on_accept_again(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd, (void)what;
    struct in_agent *in = ctx;
    if (!in->is_stopping)
        evconnlistener_enable(in->listener);
}

/* ---- from the writer ---- */

static void send_acks(struct in_agent *in)
{
    struct conn_list due;
    TAILQ_INIT(&due);
    for (struct write_item *item = writer_take_done(in->c->writer), *next; item; item = next) {
        next = item->next;
        struct conn *conn = item->conn ? conn_find(in, item->conn) : NULL;
        if (conn && conn->state == CONN_OPEN) {
            conn->ack_seq = item->seq;
            conn->is_ack_due = true;
        }
        write_item_free(item);
    }
    struct conn *conn;
    TAILQ_FOREACH(conn, &in->conns, link)
    {
        if (!conn->is_ack_due)
            continue;
        conn->is_ack_due = false;
        struct frame ack = {.type = FRAME_ACK, .ack_seq = conn->ack_seq};
        peer_send(conn->peer, &ack);
    }
}

static void on_done(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd, (void)what;
    struct in_agent *in = ctx;
    send_acks(in);
    if (in->is_stopping || !writer_has_room(in->c->writer))
        return;
    struct conn *conn;
    TAILQ_FOREACH(conn, &in->conns, link)
    {
        if (!conn->is_held)
            continue;
        conn->is_held = false;
        conn->deadline_ns = time_monotonic_ns() + IDLE_NS;
        peer_resume(conn->peer);
    }
}

/* ---- every second ---- */

static void check_deadlines(struct in_agent *in, struct conn_list *list, int64_t now_ns)
{
    for (struct conn *conn = TAILQ_FIRST(list), *next; conn; conn = next) {
        next = TAILQ_NEXT(conn, link);
        if (conn->is_held || conn->want > 0) { /* it is we who make it wait */
            conn->deadline_ns = now_ns + IDLE_NS;
            roster_heard(in->ingest.roster, conn->agent, time_now_ns());
        }
        if (now_ns < conn->deadline_ns)
            continue;
        if (conn->state == CONN_CLOSING || conn->state == CONN_ENROLLED) {
            conn_free(conn);
            continue;
        }
        stat_add(conn->state == CONN_STRANGER ? STAT_HANDSHAKE_FAILED : STAT_TIMEOUTS, 1);
        log_info("%s%s%s: nothing came in time; closing", conn->address_text, conn->agent ? ", agent " : "",
                 conn->agent ? conn->agent->id_text : "");
        if (conn->state == CONN_STRANGER)
            conn_free(conn);
        else
            conn_bye(conn, BYE_PROTOCOL, "nothing came in time");
    }
}

/* data_version moves when another connection has committed: maybe `vonggac agent revoke`. */
static void check_revoked(struct in_agent *in)
{
    const char *const sql[] = {"PRAGMA data_version"};
    sqlite3_stmt *s = NULL;
    struct diag diag = {0};
    int64_t version = in->data_version;
    int r = store_prepare(in->db, sql, 1, &s, &diag);
    if (r == 0 && (r = store_row(s, &diag)) == 1)
        version = store_col_int(s, 0);
    sqlite3_finalize(s);
    if (r >= 0 && version == in->data_version)
        return;
    if (r >= 0)
        r = roster_refresh(in->ingest.roster, in->db, &diag);
    if (r < 0) {
        log_error("cannot look for revoked agents: %s", diag.msg);
        return;
    }
    in->data_version = version;
    struct conn *conn;
    TAILQ_FOREACH(conn, &in->conns, link)
    {
        if (!conn->agent->is_revoked || conn->state == CONN_CLOSING)
            continue;
        stat_add(STAT_DENIED, 1);
        log_warn("agent %s (%s) is revoked; closing", conn->agent->id_text, conn->agent->host);
        conn_bye(conn, BYE_DENIED, "agent revoked");
    }
}

static void on_tick(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd, (void)what;
    struct in_agent *in = ctx;
    int64_t now_ns = time_monotonic_ns();
    check_deadlines(in, &in->strangers, now_ns);
    check_deadlines(in, &in->conns, now_ns);
    check_revoked(in);
    ingest_tick(&in->ingest);
}

/* ---- start and stop ---- */

static int listen_on(struct in_agent *in, struct diag *diag)
{
    const struct collector_config *config = &in->c->config;
    char port[8];
    snprintf(port, sizeof(port), "%d", (int)config->listen.port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV}, *ai;
    int e = getaddrinfo(config->listen.address, port, &hints, &ai);
    if (e != 0)
        return diag_set(diag, -EINVAL, "listen.address %s: %s", config->listen.address, gai_strerror(e));
    int on = 1, off = 0, r = 0;
    int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        r = -errno;
    else if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
             (ai->ai_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) < 0) ||
             bind(fd, ai->ai_addr, ai->ai_addrlen) < 0 || listen(fd, 1024) < 0)
        r = -errno;
    freeaddrinfo(ai);
    if (r < 0) {
        if (fd >= 0)
            close(fd);
        return diag_set(diag, r, "cannot listen on %s port %s: %s", config->listen.address, port, strerror(-r));
    }
    in->listener = evconnlistener_new(in->c->loop, on_accept, in, LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_CLOSE_ON_FREE, 0, fd);
    if (!in->listener) {
        close(fd);
        return diag_set(diag, -ENOMEM, "out of memory");
    }
    evconnlistener_set_error_cb(in->listener, on_accept_error);
    struct sockaddr_storage ss = {0};
    socklen_t len = sizeof(ss);
    if (getsockname(fd, (struct sockaddr *)&ss, &len) == 0)
        in->port = ntohs(ss.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&ss)->sin6_port
                                                  : ((struct sockaddr_in *)&ss)->sin_port);
    log_info("agents' port: %s port %u", config->listen.address, in->port);
    return 0;
}

uint16_t in_agent_port(const struct in_agent *in)
{
    return in->port;
}

static int read_pem(const char *path, struct buf *out, const char **ret, struct diag *diag)
{
    int r = file_read(path, out);
    if (r == 0)
        r = buf_z(out, ret);
    return r < 0 ? diag_set(diag, r, "cannot read %s: %s", path, strerror(-r)) : 0;
}

static int open_tls(struct in_agent *in, struct diag *diag)
{
    struct buf cert = BUF_INIT(PEM_MAX), key = BUF_INIT(PEM_MAX);
    const char *cert_pem = NULL, *key_pem = NULL;
    int64_t not_after_ns = 0;
    int r = read_pem(in->c->config.tls.certificate, &cert, &cert_pem, diag);
    if (r == 0)
        r = read_pem(in->c->config.tls.key, &key, &key_pem, diag);
    if (r == 0)
        r = cert_info(cert_pem, NULL, &not_after_ns, NULL, NULL, diag);
    if (r == 0 && !(in->tls = tls_server(in->enrol.authority_pem, cert_pem, key_pem, diag)))
        r = -EINVAL;
    if (key.data)
        sodium_memzero(key.data, key.len);
    buf_clear(&cert);
    buf_clear(&key);
    if (r == 0 && not_after_ns - time_now_ns() < CERT_WARN_NS) {
        char at[TIME_RFC3339_LEN];
        time_format_rfc3339(not_after_ns, at);
        log_warn("the collector's certificate %s ends at %s", in->c->config.tls.certificate, at);
    }
    return r;
}

static int add_events(struct in_agent *in)
{
    in->tick = event_new(in->c->loop, -1, EV_PERSIST, on_tick, in);
    in->done = event_new(in->c->loop, writer_done_fd(in->c->writer), EV_READ | EV_PERSIST, on_done, in);
    in->accept_again = event_new(in->c->loop, -1, 0, on_accept_again, in);
    if (!in->tick || !in->done || !in->accept_again || event_add(in->done, NULL) < 0 ||
        event_add(in->tick, &(struct timeval){.tv_sec = 1}) < 0)
        return -ENOMEM;
    return 0;
}

static int open_all(struct in_agent *in, struct diag *diag)
{
    struct collector *c = in->c;
    for (in->slots = 1; in->slots < ((size_t)c->config.listen.agents_max + STRANGERS_MAX) * 4;)
        in->slots *= 2;
    in->by_id = calloc(in->slots, sizeof(struct conn *));
    in->memory_left = c->config.listen.memory;
    if (!in->by_id)
        return diag_set(diag, -ENOMEM, "out of memory");
    int r = store_open(c->config.db_path, STORE_DURABLE, &in->db, diag);
    if (r == 0)
        r = store_open(c->config.db_path, STORE_DERIVED, &in->db_lazy, diag);
    if (r < 0)
        return r;
    sqlite3_busy_timeout(in->db_lazy, 0);
    r = enrol_open(&in->enrol, &c->config, in->db, diag);
    if (r == 0)
        r = open_tls(in, diag);
    if (r == 0)
        r = ingest_open(&in->ingest, c, in->db_lazy, diag);
    if (r == 0 && add_events(in) < 0)
        r = diag_set(diag, -ENOMEM, "out of memory");
    return r < 0 ? r : listen_on(in, diag);
}

static void close_all(struct in_agent *in)
{
    if (in->listener)
        evconnlistener_free(in->listener);
    struct event *events[] = {in->tick, in->done, in->accept_again};
    for (size_t i = 0; i < ARRAY_LEN(events); i++) {
        if (events[i])
            event_free(events[i]);
    }
    while (!TAILQ_EMPTY(&in->strangers))
        conn_free(TAILQ_FIRST(&in->strangers));
    while (!TAILQ_EMPTY(&in->conns))
        conn_free(TAILQ_FIRST(&in->conns));
    ingest_close(&in->ingest);
    enrol_close(&in->enrol);
    SSL_CTX_free(in->tls);
    store_close(in->db);
    store_close(in->db_lazy);
    free(in->by_id);
    free(in);
}

int in_agent_start(struct collector *c, struct in_agent **ret)
{
    struct in_agent *in = calloc(1, sizeof(*in));
    if (!in)
        return -ENOMEM;
    in->c = c;
    TAILQ_INIT(&in->strangers);
    TAILQ_INIT(&in->conns);
    TAILQ_INIT(&in->waiters);
    struct diag diag = {0};
    int r = open_all(in, &diag);
    if (r < 0) {
        log_error("agents' port: %s", diag.msg);
        close_all(in);
        return r;
    }
    *ret = in;
    return 0;
}

struct in_agent *in_agent_stop(struct in_agent *in)
{
    if (!in)
        return NULL;
    in->is_stopping = true;
    evconnlistener_disable(in->listener);
    struct conn *conn;
    TAILQ_FOREACH(conn, &in->conns, link)
    peer_stop(conn->peer);
    writer_flush(in->c->writer);
    send_acks(in);
    TAILQ_FOREACH(conn, &in->conns, link)
    conn_bye(conn, BYE_SHUTDOWN, "the collector stops");
    /* What fits into the sockets leaves now; an agent that misses its acknowledgement sends again, which is harmless. */
    event_base_loop(in->c->loop, EVLOOP_NONBLOCK);
    ingest_save(&in->ingest);
    close_all(in);
    return NULL;
}
