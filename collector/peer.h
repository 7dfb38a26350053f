/* SPDX-License-Identifier: Apache-2.0
 *
 * One TLS connection on the agents' port, as whole frames in and frames out. It reads a frame's eight bytes of head,
 * asks its owner whether such a frame may come now, and only then takes memory for it: what a connection can hold is
 * one frame, and the owner decides which. OpenSSL is driven directly rather than through a libevent bufferevent, since
 * a bufferevent buffers first and asks later. Main thread only.
 *
 *     HANDSHAKE --on_open--> OPEN --peer_bye--> CLOSING (out drains, then what still comes is read and thrown away,
 *         |                   |                    |     so that the BYE is not lost to a reset)
 *         +-------------------+----on_gone---------+
 *
 * peer_free may be called from on_gone and outside of callbacks, never in on_open, on_head or on_frame.
 */
#pragma once

#include "common/frame.h"
#include "common/tls.h"

struct event_base;
struct peer;

#define PEER_OUT_MAX (128 * KIB) /* a peer that does not read its acknowledgements is closed beyond this */

struct peer_ops {
    void (*on_open)(struct peer *p, void *ctx); /* the handshake is done */
    /* 0: take it; -EAGAIN: not now, reading stops until peer_resume asks again; other errors: the owner has called
     * peer_bye. `len` is the whole frame's length. */
    int (*on_head)(struct peer *p, void *ctx, enum frame_type type, size_t len);
    void (*on_frame)(struct peer *p, void *ctx, uint8_t *bytes, size_t len); /* the owner takes bytes (free) */
    /* The connection is over. err: 0 the other side closed, else negative errno; why says it for the log. */
    void (*on_gone)(struct peer *p, void *ctx, int err, const char *why);
};

/* Takes fd (non-blocking), also when it fails. 0, -ENOMEM. */
int peer_new(struct event_base *loop, SSL_CTX *tls, int fd, const struct peer_ops *ops, void *ctx, struct peer **ret);
struct peer *peer_free(struct peer *p); /* closes at once; NULL is fine; always returns NULL */

int peer_identity(struct peer *p, uint8_t ret_agent[static ID_LEN], char ret_serial_hex[static CERT_SERIAL_HEX]);

void peer_send(struct peer *p, const struct frame *f); /* what fails closes the connection: on_gone, later */
void peer_bye(struct peer *p, enum bye_code code, const char *reason); /* then nothing more is received */
void peer_resume(struct peer *p); /* after -EAGAIN from on_head; harmless otherwise */
void peer_stop(struct peer *p);   /* receive nothing more: the program is about to end */
