/* SPDX-License-Identifier: Apache-2.0
 *
 * The connection to the collector: resolve, connect, TLS 1.3 with both sides verified, HELLO; then batches from the spool as
 * far as the collector's window allows, acknowledgements back to the spool and the positions, a heartbeat with all
 * counters, and the certificate's renewal. Whatever goes wrong ends in WAITING, with growing pauses.
 *
 *   WAITING -> RESOLVING -> CONNECTING -> HELLO -> UP
 *      ^___________|_____________|__________|_______|   error, time-out, BYE
 *
 * All on the caller's event loop; nothing blocks but reading the spool and, once a year, storing a certificate.
 */
#pragma once

#include "agent/credentials.h"
#include "agent/registry.h"
#include "agent/sink.h"
#include "agent/spool.h"

struct event_base;
struct uplink;

enum uplink_state { UPLINK_WAITING, UPLINK_RESOLVING, UPLINK_CONNECTING, UPLINK_HELLO, UPLINK_UP };

struct uplink_times {                     /* tests shorten them */
    int64_t retry_first_ns, retry_max_ns; /* doubling, with jitter */
    int64_t denied_ns;                    /* a person has to act first */
    int64_t answer_ns;                    /* from connecting to WELCOME */
    int64_t ack_ns;                       /* from sending a batch to its acknowledgement */
};

#define UPLINK_TIMES                                                                                                   \
    ((struct uplink_times){500 * NS_PER_MS, 30 * NS_PER_S, 60 * NS_PER_S, 20 * NS_PER_S, 60 * NS_PER_S})

struct uplink_config { /* borrowed; outlives the uplink */
    const char *collector_host;
    uint16_t collector_port;
    const char *state_dir;
    struct uplink_times times;
    struct sink *sink; /* with its spool and registry; sink->agent is set to the certificate's id */
    void (*on_acked)(void *ctx);
    void *ctx;
};

struct uplink_status {
    enum uplink_state state;
    int64_t since_ns;       /* real time */
    int64_t cert_until_ns;  /* 0: unknown */
    const char *last_error; /* "" for none; borrowed until the next call */
    const char *peer;       /* address connected to, or "" */
};

int uplink_new(struct event_base *base, const struct uplink_config *cfg, struct uplink **ret, struct diag *diag);
struct uplink *uplink_free(struct uplink *u); /* closes in order; NULL is fine; always returns NULL */
void uplink_kick(void *u);                    /* something is new in the spool; cheap, may be called often */
void uplink_status(const struct uplink *u, struct uplink_status *ret);
const char *uplink_state_name(enum uplink_state s);
