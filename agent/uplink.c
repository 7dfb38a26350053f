/* SPDX-License-Identifier: Apache-2.0
 *
 * The life of the connection: see uplink.h. Every way to end a connection goes through uplink_fail, so there is one place
 * that cleans up, rewinds the spool and decides how long to wait.
 */
#include "agent/uplink_inside.h"

#include "agent/counters.h"
#include "common/log.h"
#include "common/time.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <stdio.h>

#define TICK_S 1

const char *uplink_state_name(enum uplink_state s)
{
    static const char *const names[] = {"waiting", "resolving", "connecting", "greeting", "connected"};
    return names[s];
}

void uplink_set_state(struct uplink *u, enum uplink_state state)
{
    u->state = state;
    u->state_ns = time_monotonic_ns();
    u->since_ns = time_now_ns();
    gauge(M_CONNECTED, state == UPLINK_UP);
}

/* --- ending --- */

static int64_t jitter(int64_t ns)
{
    uint32_t x;
    evutil_secure_rng_get_bytes(&x, sizeof(x));
    return ns / 2 + (int64_t)((double)ns / 2 * ((double)x / UINT32_MAX));
}

static void close_connection(struct uplink *u)
{
    if (u->query)
        evdns_getaddrinfo_cancel(u->query);
    u->query = NULL;
    if (u->connecting) {
        evutil_socket_t fd = event_get_fd(u->connecting);
        event_free(u->connecting);
        close(fd);
    }
    u->connecting = NULL;
    if (u->bev) {
        SSL *ssl = bufferevent_openssl_get_ssl(u->bev);
        if (ssl && u->state >= UPLINK_HELLO)
            SSL_shutdown(ssl); /* one way: we do not wait for the answer */
        bufferevent_free(u->bev);
    }
    u->bev = NULL;
    ERR_clear_error();
    SSL_CTX_free(u->tls);
    u->tls = NULL;
    if (u->renewal_key)
        OPENSSL_cleanse(u->renewal_key, strlen(u->renewal_key));
    free(u->renewal_key);
    u->renewal_key = NULL;
    u->peer[0] = 0;
    spool_rewind(u->cfg.sink->spool);
}

static void wait_for_retry(struct uplink *u, int64_t wait_ns)
{
    if (wait_ns < 0) {
        wait_ns = jitter(u->backoff_ns);
        u->backoff_ns = MIN(u->backoff_ns * 2, u->cfg.times.retry_max_ns);
    }
    struct timeval tv = {wait_ns / NS_PER_S, wait_ns % NS_PER_S / NS_PER_US};
    evtimer_add(u->retry, &tv);
}

void uplink_fail(struct uplink *u, int64_t wait_ns, const char *fmt, ...)
{
    char why[sizeof(u->last_error)];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(why, sizeof(why), fmt, ap);
    va_end(ap);
    count(M_CONNECT_ERRORS, 1);
    if (strcmp(why, u->last_error) != 0 || u->state == UPLINK_UP) /* the same trouble again is not news */
        log_warn("collector %s: %s; trying again", u->cfg.collector_host, why);
    memcpy(u->last_error, why, sizeof(why));
    close_connection(u);
    uplink_set_state(u, UPLINK_WAITING);
    wait_for_retry(u, wait_ns);
}

void uplink_reconnect(struct uplink *u)
{
    close_connection(u);
    uplink_set_state(u, UPLINK_WAITING);
    wait_for_retry(u, 0);
}

/* --- connecting --- */

static void connect_next(struct uplink *u);

static bool is_denial(unsigned long ssl_error)
{
    switch (ERR_GET_REASON(ssl_error)) {
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
        return true;
    default:
        return false;
    }
}

static void on_broken(struct uplink *u, short what)
{
    char why[160];
    int socket_error = EVUTIL_SOCKET_ERROR();
    unsigned long ssl_error = bufferevent_get_openssl_error(u->bev);
    SSL *ssl = bufferevent_openssl_get_ssl(u->bev);
    long verify = SSL_get_verify_result(ssl);
    if (u->state == UPLINK_CONNECTING && verify != X509_V_OK) {
        uplink_fail(u, u->cfg.times.denied_ns, "its certificate is not what we trust: %s",
                    X509_verify_cert_error_string(verify));
    } else if (ssl_error && is_denial(ssl_error)) {
        uplink_fail(u, u->cfg.times.denied_ns,
                    "it refuses our certificate (%s); enrol again if this agent is still wanted",
                    ERR_reason_error_string(ssl_error));
    } else {
        const char *reason = ssl_error ? ERR_reason_error_string(ssl_error) : NULL;
        if (reason && ERR_GET_REASON(ssl_error) != SSL_R_UNEXPECTED_EOF_WHILE_READING)
            snprintf(why, sizeof(why), "%s", reason);
        else if (ssl_error || what & BEV_EVENT_EOF || socket_error == 0)
            snprintf(why, sizeof(why), "the connection was closed");
        else
            snprintf(why, sizeof(why), "%s", evutil_socket_error_to_string(socket_error));
        uplink_fail(u, -1, "%s%s", u->state == UPLINK_CONNECTING ? "TLS handshake: " : "", why);
    }
}

static void set_socket_options(evutil_socket_t fd)
{
    int on = 1, idle_s = 30, unanswered_ms = 60000;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unanswered_ms, sizeof(unanswered_ms));
}

static void on_event(struct bufferevent *bev, short what, void *ctx)
{
    struct uplink *u = ctx;
    if (bev != u->bev)
        return;
    if (what & BEV_EVENT_CONNECTED) {
        uplink_set_state(u, UPLINK_HELLO);
        uplink_say_hello(u);
    } else if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR | BEV_EVENT_TIMEOUT)) {
        if (u->state >= UPLINK_HELLO)
            uplink_on_readable(u); /* a BYE may lie before the end */
        if (bev == u->bev)
            on_broken(u, what);
    }
}

static void on_read(struct bufferevent *bev, void *ctx)
{
    struct uplink *u = ctx;
    if (bev == u->bev && u->state >= UPLINK_HELLO)
        uplink_on_readable(u);
}

static void on_drained(struct bufferevent *bev, void *ctx)
{
    struct uplink *u = ctx;
    if (bev == u->bev && u->state == UPLINK_UP)
        uplink_send_batches(u);
}

static void describe_peer(struct uplink *u, const struct uplink_address *a)
{
    char host[64], port[8];
    if (getnameinfo((const struct sockaddr *)&a->sa, a->len, host, sizeof(host), port, sizeof(port),
                    NI_NUMERICHOST | NI_NUMERICSERV) == 0)
        snprintf(u->peer, sizeof(u->peer), "[%s]:%s", host, port);
}

/* TCP stands: TLS on top. */
static void start_tls(struct uplink *u, evutil_socket_t fd)
{
    struct diag diag = {0};
    SSL *ssl = tls_connect_to(u->tls, u->cfg.collector_host, &diag);
    u->bev = ssl ? bufferevent_openssl_socket_new(u->base, fd, ssl, BUFFEREVENT_SSL_CONNECTING,
                                                  BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS)
                 : NULL;
    if (!u->bev) {
        if (ssl)
            diag_set(&diag, -ENOMEM, "out of memory");
        SSL_free(ssl);
        close(fd);
        uplink_fail(u, -1, "%s", diag.msg);
        return;
    }
    set_socket_options(fd);
    bufferevent_setcb(u->bev, on_read, on_drained, on_event, u);
    bufferevent_setwatermark(u->bev, EV_READ, 0, FRAME_SMALL_MAX * 2);
    bufferevent_setwatermark(u->bev, EV_WRITE, UPLINK_OUTPUT_LOW, 0);
    bufferevent_enable(u->bev, EV_READ | EV_WRITE);
}

static void connect_failed(struct uplink *u, int err)
{
    if (u->next_address < u->n_addresses)
        connect_next(u); /* nobody there: the next address at once */
    else
        uplink_fail(u, -1, "cannot connect to %s: %s", u->peer, strerror(err));
}

static void on_connected(evutil_socket_t fd, short what, void *ctx)
{
    struct uplink *u = ctx;
    int err = 0;
    socklen_t len = sizeof(err);
    (void)what;
    event_free(u->connecting);
    u->connecting = NULL;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
        err = errno;
    if (err == 0) {
        start_tls(u, fd);
        return;
    }
    close(fd);
    connect_failed(u, err);
}

static void connect_next(struct uplink *u)
{
    const struct uplink_address *a = &u->addresses[u->next_address++];
    describe_peer(u, a);
    int fd = socket(a->sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || (connect(fd, (const struct sockaddr *)&a->sa, a->len) < 0 && errno != EINPROGRESS)) {
        int err = errno;
        if (fd >= 0)
            close(fd);
        connect_failed(u, err);
        return;
    }
    u->connecting = event_new(u->base, fd, EV_WRITE, on_connected, u);
    if (u->connecting && event_add(u->connecting, NULL) == 0)
        return;
    close(fd);
    uplink_fail(u, -1, "out of memory");
}

static void on_resolved(int result, struct evutil_addrinfo *list, void *ctx)
{
    struct uplink *u = ctx;
    if (result == EVUTIL_EAI_CANCEL)
        return;
    u->query = NULL;
    u->n_addresses = u->next_address = 0;
    for (struct evutil_addrinfo *ai = list; ai && u->n_addresses < UPLINK_ADDRESSES_MAX; ai = ai->ai_next) {
        struct uplink_address *a = &u->addresses[u->n_addresses];
        if (ai->ai_addrlen > sizeof(a->sa))
            continue;
        memcpy(&a->sa, ai->ai_addr, ai->ai_addrlen);
        a->len = (socklen_t)ai->ai_addrlen;
        u->n_addresses++;
    }
    if (list)
        evutil_freeaddrinfo(list);
    if (u->n_addresses == 0) {
        uplink_fail(u, -1, "cannot find its address: %s", evutil_gai_strerror(result));
        return;
    }
    uplink_set_state(u, UPLINK_CONNECTING);
    connect_next(u);
}

/* evdns reads resolv.conf when it is made; a laptop's or a restarted network's changes. So one for each attempt. */
static struct evdns_base *dns_new(struct event_base *base)
{
    struct evdns_base *dns = evdns_base_new(base, EVDNS_BASE_INITIALIZE_NAMESERVERS | EVDNS_BASE_DISABLE_WHEN_INACTIVE);
    if (dns)
        return dns;
    dns = evdns_base_new(base, EVDNS_BASE_DISABLE_WHEN_INACTIVE); /* no name server: /etc/hosts alone */
    if (dns)
        evdns_base_load_hosts(dns, "/etc/hosts");
    return dns;
}

static void resolve(struct uplink *u)
{
    char port[8];
    struct evutil_addrinfo *list = NULL;
    struct evutil_addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_protocol = IPPROTO_TCP};
    snprintf(port, sizeof(port), "%u", u->cfg.collector_port);
    uplink_set_state(u, UPLINK_RESOLVING);
    hints.ai_flags = EVUTIL_AI_NUMERICHOST | EVUTIL_AI_NUMERICSERV;
    if (evutil_getaddrinfo(u->cfg.collector_host, port, &hints, &list) == 0) {
        on_resolved(0, list, u);
        return;
    }
    if (u->dns)
        evdns_base_free(u->dns, 0);
    u->dns = dns_new(u->base);
    if (!u->dns) {
        uplink_fail(u, -1, "cannot set up name resolution");
        return;
    }
    hints.ai_flags = EVUTIL_AI_NUMERICSERV | EVUTIL_AI_ADDRCONFIG;
    struct evdns_getaddrinfo_request *q =
        evdns_getaddrinfo(u->dns, u->cfg.collector_host, port, &hints, on_resolved, u);
    if (u->state == UPLINK_RESOLVING) /* else it was answered within the call */
        u->query = q;
}

/* The certificate is read anew each time: it may have been renewed, or the agent enrolled again. */
static void on_retry(evutil_socket_t fd, short what, void *ctx)
{
    struct uplink *u = ctx;
    struct diag diag = {0};
    struct credentials cred;
    (void)fd;
    (void)what;
    int r = credentials_load(u->cfg.state_dir, &cred, &diag);
    if (r < 0) {
        uplink_fail(u, u->cfg.times.retry_max_ns, "%s", diag.msg);
        return;
    }
    credentials_clear(&u->cred);
    u->cred = cred;
    memcpy(u->cfg.sink->agent, cred.agent, ID_LEN);
    u->tls = tls_client(cred.ca_pem, cred.cert_pem, cred.key_pem, &diag);
    if (!u->tls)
        uplink_fail(u, u->cfg.times.denied_ns, "%s", diag.msg);
    else if (time_now_ns() > cred.not_after_ns)
        uplink_fail(u, u->cfg.times.denied_ns, "our certificate has expired; enrol this agent again");
    else
        resolve(u);
}

static void on_tick(evutil_socket_t fd, short what, void *ctx)
{
    struct uplink *u = ctx;
    int64_t now = time_monotonic_ns();
    (void)fd;
    (void)what;
    if (u->state == UPLINK_UP)
        uplink_on_tick(u, now);
    else if (u->state != UPLINK_WAITING && now - u->state_ns > u->cfg.times.answer_ns)
        uplink_fail(u, -1, "no answer while %s", uplink_state_name(u->state));
}

static void on_send(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    uplink_send_batches(ctx);
}

/* --- the outside --- */

int uplink_new(struct event_base *base, const struct uplink_config *cfg, struct uplink **ret, struct diag *diag)
{
    struct uplink *u = calloc(1, sizeof(*u));
    if (!u)
        return diag_set(diag, -ENOMEM, "out of memory");
    u->base = base;
    u->cfg = *cfg;
    u->frame = BUF_INIT(FRAME_MAX);
    u->backoff_ns = cfg->times.retry_first_ns;
    u->retry = evtimer_new(base, on_retry, u);
    u->send = evtimer_new(base, on_send, u);
    u->tick = event_new(base, -1, EV_PERSIST, on_tick, u);
    struct timeval second = {TICK_S, 0};
    if (!u->retry || !u->send || !u->tick || event_add(u->tick, &second) < 0) {
        uplink_free(u);
        return diag_set(diag, -ENOMEM, "out of memory");
    }
    uplink_set_state(u, UPLINK_WAITING);
    wait_for_retry(u, 0);
    *ret = u;
    return 0;
}

struct uplink *uplink_free(struct uplink *u)
{
    if (!u)
        return NULL;
    close_connection(u);
    if (u->dns)
        evdns_base_free(u->dns, 0);
    if (u->retry)
        event_free(u->retry);
    if (u->send)
        event_free(u->send);
    if (u->tick)
        event_free(u->tick);
    credentials_clear(&u->cred);
    buf_clear(&u->frame);
    free(u);
    return NULL;
}

void uplink_kick(void *ctx)
{
    struct uplink *u = ctx;
    struct timeval now = {0, 0};
    if (u->state == UPLINK_UP && !evtimer_pending(u->send, NULL))
        evtimer_add(u->send, &now);
}

void uplink_status(const struct uplink *u, struct uplink_status *ret)
{
    *ret = (struct uplink_status){
        .state = u->state,
        .since_ns = u->since_ns,
        .cert_until_ns = u->cred.not_after_ns,
        .last_error = u->last_error,
        .peer = u->peer,
    };
}
