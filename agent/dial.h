/* SPDX-License-Identifier: Apache-2.0
 *
 * A blocking connection to the collector for commands (enroll, check): one frame out, one frame in, with time limits. The
 * running agent uses uplink.h instead.
 */
#pragma once

#include "common/frame.h"
#include "common/tls.h"

struct dialed {
    int fd;
    SSL *ssl;
    struct buf in; /* holds the last frame received */
};

/* Connects and shakes hands; every step may take timeout_s. 0, or negative errno with diag. */
int dial(const char *host, uint16_t port, SSL_CTX *tls, int timeout_s, struct dialed *ret, struct diag *diag);
int dial_send(struct dialed *d, const struct frame *f, struct diag *diag);
int dial_receive(struct dialed *d, struct frame *ret, struct diag *diag); /* borrows from d */
void dial_close(struct dialed *d);

/* "host", "host:port", "[v6]:port" or a bare IPv6 address. ret_host owned. 0, -EINVAL, -ENOMEM; ret_port is left alone
 * when none is given. */
int dial_parse(struct str s, char **ret_host, uint16_t *ret_port);
