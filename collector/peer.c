/* SPDX-License-Identifier: Apache-2.0
 *
 * See peer.h. TLS 1.3 may want to write while we read (a key update) and the other way round, so each direction
 * remembers what it waits for. Reading stops after READ_BURST to let other connections have their turn; the rest may
 * then lie inside OpenSSL where the kernel cannot tell of it, hence event_active.
 */
#include "collector/peer.h"

#include <errno.h>
#include <event2/event.h>
#include <openssl/err.h>
#include <stdio.h>
#include <sys/socket.h>

#define READ_BURST (512 * KIB)

enum peer_state { PEER_HANDSHAKE, PEER_OPEN, PEER_CLOSING, PEER_DRAINING };

struct peer {
    const struct peer_ops *ops;
    void *ctx;
    int fd;
    SSL *ssl;
    struct event *ev_read, *ev_write;
    enum peer_state state;
    bool is_waiting;                         /* on_head said -EAGAIN */
    bool read_wants_write, write_wants_read; /* see above */
    bool send_failed;
    uint8_t head[FRAME_HEADER];
    size_t head_len;
    uint8_t *frame; /* being received: head and body */
    size_t frame_len, frame_need;
    struct buf out;
};

static void on_readable(evutil_socket_t fd, short what, void *ctx);
static void on_writable(evutil_socket_t fd, short what, void *ctx);

int peer_new(struct event_base *loop, SSL_CTX *tls, int fd, const struct peer_ops *ops, void *ctx, struct peer **ret)
{
    struct peer *p = calloc(1, sizeof(*p));
    if (!p) {
        close(fd);
        return -ENOMEM;
    }
    *p = (struct peer){.ops = ops, .ctx = ctx, .fd = fd, .out = BUF_INIT(PEER_OUT_MAX)};
    p->ssl = SSL_new(tls);
    p->ev_read = event_new(loop, fd, EV_READ | EV_PERSIST, on_readable, p);
    p->ev_write = event_new(loop, fd, EV_WRITE | EV_PERSIST, on_writable, p);
    if (!p->ssl || !p->ev_read || !p->ev_write || SSL_set_fd(p->ssl, fd) != 1 || event_add(p->ev_read, NULL) < 0) {
        ERR_clear_error();
        peer_free(p);
        return -ENOMEM;
    }
    SSL_set_accept_state(p->ssl);
    SSL_set_mode(p->ssl,
                 SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_set_read_ahead(p->ssl, 1); /* one read a record, not two */
    *ret = p;
    return 0;
}

struct peer *peer_free(struct peer *p)
{
    if (!p)
        return NULL;
    if (p->ev_read)
        event_free(p->ev_read);
    if (p->ev_write)
        event_free(p->ev_write);
    SSL_free(p->ssl);
    close(p->fd);
    free(p->frame);
    buf_clear(&p->out);
    free(p);
    return NULL;
}

int peer_identity(struct peer *p, uint8_t ret_agent[static ID_LEN], char ret_serial_hex[static CERT_SERIAL_HEX])
{
    return tls_peer_agent(p->ssl, ret_agent, ret_serial_hex);
}

/* What an OpenSSL call that returned n <= 0 means: 0 the other side closed, -EAGAIN with *ret_wants_write, or an error. */
static int ssl_result(struct peer *p, int n, bool *ret_other_direction, int other)
{
    int saved = errno;
    int what = SSL_get_error(p->ssl, n);
    *ret_other_direction = what == other;
    switch (what) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return -EAGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    case SSL_ERROR_SYSCALL:
        return saved ? -saved : -ECONNRESET;
    default:
        return -EPROTO;
    }
}

/* The last thing done with p: the owner may have freed it when this returns. */
static void gone(struct peer *p, int err)
{
    char why[256] = "";
    if (err == -EPROTO)
        tls_handshake_error(p->ssl, why, sizeof(why));
    else if (err < 0)
        snprintf(why, sizeof(why), "%s", strerror(-err));
    ERR_clear_error();
    event_del(p->ev_read);
    event_del(p->ev_write);
    p->ops->on_gone(p, p->ctx, err, why);
}

/* Read events are wanted unless the owner said to wait, write events when something waits to be written. */
static void update_events(struct peer *p)
{
    bool want_read = !p->is_waiting || p->write_wants_read || p->state >= PEER_CLOSING;
    bool want_write = p->read_wants_write || (p->out.len > 0 && !p->write_wants_read && p->state != PEER_HANDSHAKE) ||
                      p->state == PEER_CLOSING;
    if (want_read)
        event_add(p->ev_read, NULL);
    else
        event_del(p->ev_read);
    if (want_write)
        event_add(p->ev_write, NULL);
    else
        event_del(p->ev_write);
}

/* 0, -EAGAIN, or an error that ends the connection. */
static int do_handshake(struct peer *p)
{
    ERR_clear_error();
    errno = 0;
    int n = SSL_accept(p->ssl);
    if (n != 1) {
        int r = ssl_result(p, n, &p->read_wants_write, SSL_ERROR_WANT_WRITE);
        return r == 0 ? -ECONNRESET : r;
    }
    p->read_wants_write = false;
    p->state = PEER_OPEN;
    p->ops->on_open(p, p->ctx);
    return 0;
}

/* Bytes read (> 0), 0 at the end, -EAGAIN, or an error. */
static int tls_read(struct peer *p, uint8_t *to, size_t max)
{
    ERR_clear_error();
    errno = 0;
    int n = SSL_read(p->ssl, to, (int)MIN(max, (size_t)INT32_MAX));
    if (n > 0) {
        p->read_wants_write = false;
        return n;
    }
    return ssl_result(p, n, &p->read_wants_write, SSL_ERROR_WANT_WRITE);
}

/* The head is complete: is this frame welcome? 0 with memory taken, or what on_head said. */
static int begin_frame(struct peer *p)
{
    ssize_t need = frame_need((struct str){(const char *)p->head, FRAME_HEADER});
    if (need < FRAME_HEADER) {
        peer_bye(p, BYE_PROTOCOL, "unknown or oversized frame");
        return -EBADMSG;
    }
    int r = p->ops->on_head(p, p->ctx, p->head[4], (size_t)need);
    p->is_waiting = r == -EAGAIN;
    if (r < 0)
        return r;
    p->frame = malloc((size_t)need);
    if (!p->frame)
        return -ENOMEM;
    memcpy(p->frame, p->head, FRAME_HEADER);
    p->frame_len = FRAME_HEADER;
    p->frame_need = (size_t)need;
    return 0;
}

static void end_frame(struct peer *p)
{
    uint8_t *bytes = p->frame;
    p->frame = NULL;
    p->head_len = 0;
    p->ops->on_frame(p, p->ctx, bytes, p->frame_need);
}

/* 1: go on, 0: the other side closed, or negative errno (-EAGAIN: nothing more now). */
static int read_step(struct peer *p, size_t *budget)
{
    if (p->head_len < FRAME_HEADER) {
        int n = tls_read(p, p->head + p->head_len, FRAME_HEADER - p->head_len);
        if (n <= 0)
            return n;
        p->head_len += (size_t)n;
        return 1;
    }
    if (!p->frame) {
        int r = begin_frame(p);
        if (r < 0)
            return r == -ENOMEM ? r : -EAGAIN; /* waiting, or a BYE is on its way */
    }
    if (p->frame_len < p->frame_need) {
        int n = tls_read(p, p->frame + p->frame_len, p->frame_need - p->frame_len);
        if (n <= 0)
            return n;
        p->frame_len += (size_t)n;
        *budget -= MIN(*budget, (size_t)n);
    }
    if (p->frame_len == p->frame_need)
        end_frame(p);
    return 1;
}

/* 0 to stay, 1 when the other side closed, or an error that ends the connection. */
static int do_read(struct peer *p)
{
    size_t budget = READ_BURST;
    while (p->state == PEER_OPEN && budget > 0) {
        int r = read_step(p, &budget);
        if (r == 0)
            return 1;
        if (r == -EAGAIN)
            return 0;
        if (r < 0)
            return r;
        budget--;
    }
    if (p->state == PEER_OPEN)
        event_active(p->ev_read, EV_READ, 0);
    return 0;
}

static int do_write(struct peer *p)
{
    while (p->out.len > 0) {
        ERR_clear_error();
        errno = 0;
        int n = SSL_write(p->ssl, p->out.data, (int)p->out.len);
        if (n <= 0) {
            int r = ssl_result(p, n, &p->write_wants_read, SSL_ERROR_WANT_READ);
            return r == -EAGAIN ? 0 : r == 0 ? -ECONNRESET : r;
        }
        p->write_wants_read = false;
        buf_consume(&p->out, (size_t)n);
    }
    if (p->state == PEER_CLOSING) {
        SSL_shutdown(p->ssl);
        ERR_clear_error();
        shutdown(p->fd, SHUT_WR);
        p->state = PEER_DRAINING;
    }
    return 0;
}

/* What a closing peer still sends is thrown away undecrypted. 1 at its end. */
static int do_drain(struct peer *p)
{
    uint8_t scratch[16 * KIB];
    for (int i = 0; i < 8; i++) {
        ssize_t n = read(p->fd, scratch, sizeof(scratch));
        if (n == 0)
            return 1;
        if (n < 0)
            return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    }
    return 0;
}

static void step(struct peer *p, bool readable)
{
    int r = 0;
    if (p->send_failed) {
        gone(p, -ENOBUFS);
        return;
    }
    if (p->state == PEER_HANDSHAKE) {
        r = do_handshake(p);
        readable = r == 0; /* the first frame may have come with the handshake's last bytes */
        if (r == -EAGAIN)
            r = 0;
    }
    if (r == 0 && p->state == PEER_OPEN && (readable || p->read_wants_write))
        r = do_read(p);
    /* An answer is written at once: the socket nearly always takes it, and one wake-up is saved. */
    if (r == 0 && !p->send_failed && (p->state == PEER_OPEN || p->state == PEER_CLOSING))
        r = do_write(p);
    if (r == 0 && readable && p->state == PEER_DRAINING)
        r = do_drain(p);
    if (r != 0)
        gone(p, r > 0 ? 0 : r);
    else
        update_events(p);
}

static void on_readable(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd, (void)what;
    step(ctx, true);
}

static void on_writable(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd, (void)what;
    step(ctx, false);
}

void peer_send(struct peer *p, const struct frame *f)
{
    if (p->state != PEER_OPEN)
        return;
    int r = frame_encode(f, &p->out);
    if (r < 0)
        p->send_failed = true;
    event_add(p->ev_write, NULL);
}

void peer_bye(struct peer *p, enum bye_code code, const char *reason)
{
    if (p->state == PEER_OPEN) {
        struct frame f = {.type = FRAME_BYE, .bye = {.code = (uint16_t)code, .reason = str_of(reason)}};
        peer_send(p, &f);
    }
    if (p->state < PEER_CLOSING)
        p->state = PEER_CLOSING;
    free(p->frame);
    p->frame = NULL;
    event_add(p->ev_write, NULL); /* the next write ends our side, also when there is nothing to say */
}

void peer_resume(struct peer *p)
{
    if (!p->is_waiting)
        return;
    p->is_waiting = false;
    update_events(p);
    event_active(p->ev_read, EV_READ, 0);
}

void peer_stop(struct peer *p)
{
    p->is_waiting = true;
    event_del(p->ev_read);
}
