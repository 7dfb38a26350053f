/* SPDX-License-Identifier: Apache-2.0
 *
 * The inside of the uplink. uplink.c: the life of a connection; uplink_frames.c: what is said on it.
 */
#pragma once

#include "agent/uplink.h"

#include "common/frame.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/dns.h>
#include <event2/event.h>
#include <event2/util.h>
#include <sys/socket.h>

#define UPLINK_ADDRESSES_MAX 8
#define UPLINK_OUTPUT_MAX    (1 * MIB)   /* what waits for the socket at most, beyond one batch */
#define UPLINK_OUTPUT_LOW    (256 * KIB) /* refilled below this */

struct uplink_address {
    struct sockaddr_storage sa;
    socklen_t len;
};

struct uplink {
    struct event_base *base;
    struct uplink_config cfg;
    enum uplink_state state;
    struct event *retry, *tick, *send;
    struct evdns_base *dns;
    struct evdns_getaddrinfo_request *query;
    struct uplink_address addresses[UPLINK_ADDRESSES_MAX];
    size_t n_addresses, next_address;
    struct event *connecting; /* TCP is on its way; owns its socket */
    struct bufferevent *bev;  /* then TLS */
    SSL_CTX *tls;
    struct credentials cred;
    char *renewal_key; /* of the request on its way */
    struct buf frame;
    uint32_t window;
    int64_t heartbeat_ns;
    int64_t state_ns; /* monotonic: when this state began */
    int64_t since_ns; /* the same, real time */
    int64_t last_ack_ns, next_stats_ns, next_renewal_ns;
    int64_t backoff_ns;
    char last_error[256];
    char peer[128];
};

/* uplink.c */
void uplink_set_state(struct uplink *u, enum uplink_state state);
/* Closes and waits. wait_ns < 0: the usual growing pause. */
void uplink_fail(struct uplink *u, int64_t wait_ns, const char *fmt, ...) PRINTF_LIKE(3, 4);
void uplink_reconnect(struct uplink *u); /* at once, and nothing is wrong */

/* uplink_frames.c */
void uplink_say_hello(struct uplink *u);
void uplink_on_readable(struct uplink *u);
void uplink_send_batches(struct uplink *u);
void uplink_on_tick(struct uplink *u, int64_t now_ns); /* while UP: heartbeat, renewal, overdue acknowledgements */
