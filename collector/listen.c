/* SPDX-License-Identifier: Apache-2.0
 * See listen.h. */
#include "collector/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>

#define BACKLOG 1024

static int open_socket(const struct addrinfo *ai)
{
    int on = 1, off = 0;
    int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
        (ai->ai_family != AF_INET6 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) == 0) &&
        bind(fd, ai->ai_addr, ai->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int err = -errno;
    close(fd);
    return err;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_storage ss = {0};
    socklen_t len = sizeof(ss);
    if (getsockname(fd, (struct sockaddr *)&ss, &len) < 0)
        return 0;
    return ntohs(ss.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&ss)->sin6_port
                                          : ((struct sockaddr_in *)&ss)->sin_port);
}

int listen_tcp(const char *address, uint16_t port, int *ret_fd, uint16_t *ret_port, struct diag *diag)
{
    char service[8];
    snprintf(service, sizeof(service), "%u", port);
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV};
    struct addrinfo *ai;
    int e = getaddrinfo(address, service, &hints, &ai);
    if (e != 0)
        return diag_set(diag, -EINVAL, "listen.address %s: %s", address, gai_strerror(e));
    int fd = open_socket(ai);
    freeaddrinfo(ai);
    if (fd == -EAFNOSUPPORT && strcmp(address, "::") == 0)
        return listen_tcp("0.0.0.0", port, ret_fd, ret_port, diag);
    if (fd < 0)
        return diag_set(diag, fd, "cannot listen on %s port %s: %s", address, service, strerror(-fd));
    *ret_fd = fd;
    *ret_port = port_of(fd);
    return 0;
}
