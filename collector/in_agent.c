/* SPDX-License-Identifier: Apache-2.0
 *
 * See in_agent.h: the listener, what comes back from the writer, what is looked at every second, start and stop.
 */
#include "collector/in_agent_impl.h"

#include "collector/listen.h"
#include "collector/pem.h"
#include "collector/store.h"
#include "common/log.h"
#include "common/time.h"

#include <errno.h>
#include <event2/event.h>

#define ACCEPT_PAUSE_S 1
#define CERT_WARN_NS   (30 * 24 * 3600 * NS_PER_S)

/* ---- accepting ---- */

static size_t strangers_from(struct in_agent *in, const uint8_t *address)
{
    size_t n = 0;
    struct conn *conn;
    TAILQ_FOREACH(conn, &in->strangers, link)
    n += memcmp(conn->address, address, sizeof(conn->address)) == 0;
    return n;
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

static int start_listening(struct in_agent *in, struct diag *diag)
{
    const struct collector_config *config = &in->c->config;
    int fd = -1;
    int r = listen_tcp(config->listen.address, (uint16_t)config->listen.port, &fd, &in->port, diag);
    if (r < 0)
        return r;
    in->listener = evconnlistener_new(in->c->loop, on_accept, in, LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_CLOSE_ON_FREE, 0, fd);
    if (!in->listener) {
        close(fd);
        return diag_set(diag, -ENOMEM, "out of memory");
    }
    evconnlistener_set_error_cb(in->listener, on_accept_error);
    log_info("agents' port: %s port %u", config->listen.address, in->port);
    return 0;
}

uint16_t in_agent_port(const struct in_agent *in)
{
    return in->port;
}

static int open_tls(struct in_agent *in, struct diag *diag)
{
    char *cert_pem = NULL, *key_pem = NULL;
    int64_t not_after_ns = 0;
    int r = pem_read(in->c->config.tls.certificate, &cert_pem, diag);
    if (r == 0)
        r = pem_read(in->c->config.tls.key, &key_pem, diag);
    if (r == 0)
        r = cert_info(cert_pem, NULL, &not_after_ns, NULL, NULL, diag);
    if (r == 0 && !(in->tls = tls_server(in->enrol.authority_pem, cert_pem, key_pem, diag)))
        r = -EINVAL;
    free(cert_pem);
    pem_free(key_pem);
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
    return r < 0 ? r : start_listening(in, diag);
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

int in_agent_start(struct collector *c)
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
    c->in_agent = in;
    return 0;
}

void in_agent_stop(struct collector *c)
{
    struct in_agent *in = c->in_agent;
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
    c->in_agent = NULL;
}
