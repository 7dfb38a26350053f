/* SPDX-License-Identifier: Apache-2.0
 *
 * Blocking client connection: see dial.h.
 */
#include "agent/dial.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

static int connect_within(int fd, const struct addrinfo *ai, int timeout_s)
{
    if (connect(fd, ai->ai_addr, ai->ai_addrlen) == 0)
        return 0;
    if (errno != EINPROGRESS)
        return -errno;
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    int r = poll(&p, 1, timeout_s * 1000);
    if (r <= 0)
        return r == 0 ? -ETIMEDOUT : -errno;
    int err = 0;
    socklen_t len = sizeof(err);
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len);
    return -err;
}

/* A connected, blocking socket with time limits, or negative errno. */
static int open_socket(const struct addrinfo *ai, int timeout_s)
{
    int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    int r = connect_within(fd, ai, timeout_s);
    struct timeval tv = {timeout_s, 0};
    if (r == 0 && (fcntl(fd, F_SETFL, 0) < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) < 0 ||
                   setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) < 0))
        r = -errno;
    if (r < 0) {
        close(fd);
        return r;
    }
    return fd;
}

static int open_any(const char *host, uint16_t port, int timeout_s, struct diag *diag)
{
    char service[8];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    snprintf(service, sizeof(service), "%u", port);
    int r = getaddrinfo(host, service, &hints, &list);
    if (r != 0)
        return diag_set(diag, -ENOENT, "cannot find the address of %s: %s", host, gai_strerror(r));
    int fd = -ENOENT;
    for (const struct addrinfo *ai = list; ai && fd < 0; ai = ai->ai_next)
        fd = open_socket(ai, timeout_s);
    freeaddrinfo(list);
    return fd >= 0 ? fd : diag_set(diag, fd, "cannot connect to %s port %u: %s", host, port, strerror(-fd));
}

int dial(const char *host, uint16_t port, SSL_CTX *tls, int timeout_s, struct dialed *ret, struct diag *diag)
{
    char why[160];
    int fd = open_any(host, port, timeout_s, diag);
    if (fd < 0)
        return fd;
    SSL *ssl = tls_connect_to(tls, host, diag);
    if (!ssl) {
        close(fd);
        return -EINVAL;
    }
    if (SSL_set_fd(ssl, fd) != 1 || SSL_connect(ssl) != 1) {
        tls_handshake_error(ssl, why, sizeof(why));
        SSL_free(ssl);
        close(fd);
        return diag_set(diag, -EPROTO, "%s port %u: TLS handshake failed: %s", host, port, why);
    }
    *ret = (struct dialed){.fd = fd, .ssl = ssl, .in = BUF_INIT(FRAME_SMALL_MAX)};
    return 0;
}

int dial_send(struct dialed *d, const struct frame *f, struct diag *diag)
{
    struct buf out CLEANUP(buf_clear) = BUF_INIT(FRAME_SMALL_MAX);
    int r = frame_encode(f, &out);
    if (r < 0)
        return diag_set(diag, r, "cannot encode the request: %s", strerror(-r));
    if (SSL_write(d->ssl, out.data, (int)out.len) != (int)out.len)
        return diag_set(diag, -EIO, "the collector closed the connection");
    return 0;
}

static int read_to(struct dialed *d, size_t len)
{
    uint8_t *p;
    while (d->in.len < len) {
        int r = buf_reserve(&d->in, len - d->in.len, &p);
        if (r < 0)
            return r;
        r = SSL_read(d->ssl, p, (int)(len - d->in.len));
        if (r <= 0)
            return -EIO;
        d->in.len += (size_t)r;
    }
    return 0;
}

int dial_receive(struct dialed *d, struct frame *ret, struct diag *diag)
{
    char why[160];
    buf_reset(&d->in);
    int r = read_to(d, FRAME_HEADER);
    ssize_t need = r == 0 ? frame_need(buf_str(&d->in)) : 0;
    if (need < 0 || need > (ssize_t)FRAME_SMALL_MAX)
        return diag_set(diag, -EBADMSG, "the collector sent something that is no answer");
    if (r == 0)
        r = read_to(d, (size_t)need);
    if (r < 0) {
        tls_handshake_error(d->ssl, why, sizeof(why));
        return diag_set(diag, r, "the collector did not answer: %s", why);
    }
    return frame_decode(buf_str(&d->in), ret, diag);
}

void dial_close(struct dialed *d)
{
    if (d->ssl) {
        SSL_shutdown(d->ssl);
        SSL_free(d->ssl);
        close(d->fd);
    }
    buf_clear(&d->in);
    *d = (struct dialed){.fd = -1};
}

int dial_parse(struct str s, char **ret_host, uint16_t *ret_port)
{
    struct str host = s, port = {0};
    const char *colon = s.p ? memrchr(s.p, ':', s.len) : NULL;
    if (s.len && s.p[0] == '[') {
        const char *end = memchr(s.p, ']', s.len);
        if (!end)
            return -EINVAL;
        host = (struct str){s.p + 1, (size_t)(end - s.p - 1)};
        size_t rest = s.len - (size_t)(end + 1 - s.p);
        if (rest > 0 && end[1] != ':')
            return -EINVAL;
        if (rest > 0)
            port = (struct str){end + 2, rest - 1};
    } else if (colon && memchr(s.p, ':', s.len) == colon) { /* exactly one: not a bare IPv6 address */
        host.len = (size_t)(colon - s.p);
        port = (struct str){colon + 1, s.len - host.len - 1};
    }
    uint64_t number = 0;
    if (host.len == 0 || host.len > 253 || memchr(host.p, 0, host.len) ||
        (port.p && parse_u64(port, 1, 65535, &number) < 0))
        return -EINVAL;
    char *copy = strndup(host.p, host.len);
    if (!copy)
        return -ENOMEM;
    *ret_host = copy;
    if (port.p)
        *ret_port = (uint16_t)number;
    return 0;
}
