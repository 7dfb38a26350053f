/* SPDX-License-Identifier: Apache-2.0
 *
 * Frames between agent and collector, inside mutual TLS 1.3 (ALPN "vonggac/1"). Little-endian:
 *   0 u32 length of what follows this word | 4 u8 type | 5 u8 zero[3] | 8 body
 *
 *      agent                                     collector
 *      HELLO   u16 version, strings: host,   ->
 *              program version
 *                                            <-  WELCOME u16 version, u32 window_batches, u32 heartbeat_s
 *      BATCH   one batch (batch.h)           ->
 *                                            <-  ACK     u64 seq: every batch up to seq is on disk
 *      STATS   JSON object of counters       ->          (heartbeat: at least every heartbeat_s)
 *      RENEW   PKCS #10 request, DER         ->
 *                                            <-  CERT    strings: agent certificate PEM, authority PEM
 *                                            <-  BYE     u16 code, string reason; then close
 *   Without a client certificate only this is allowed, once, within 10 s:
 *      ENROL   strings: token secret (raw 32 bytes), host; PKCS #10 DER -> CERT or BYE
 *
 * A string is u16 length and bytes; the DER of ENROL and RENEW is u16 length and bytes too; PEM in CERT is u32 length and
 * bytes. Anything unknown, oversized or out of turn closes the connection with BYE.
 */
#pragma once

#include "common/batch.h"

#define FRAME_HEADER    8
#define FRAME_MAX       (FRAME_HEADER + BATCH_MAX)
#define FRAME_SMALL_MAX (64 * KIB) /* every type but BATCH */
#define FRAME_VERSION   1
#define FRAME_ALPN      "vonggac/1"
#define FRAME_TOKEN_LEN 32

enum frame_type {
    FRAME_HELLO = 1,
    FRAME_WELCOME = 2,
    FRAME_BATCH = 3,
    FRAME_ACK = 4,
    FRAME_STATS = 5,
    FRAME_RENEW = 6,
    FRAME_CERT = 7,
    FRAME_BYE = 8,
    FRAME_ENROL = 9,
};

enum bye_code {
    BYE_PROTOCOL = 1, /* malformed or out of turn */
    BYE_VERSION = 2,
    BYE_DENIED = 3,   /* token unknown, used or expired; certificate revoked */
    BYE_REPLACED = 4, /* the same agent connected again */
    BYE_SHUTDOWN = 5, /* come back later */
};

struct frame {
    enum frame_type type;
    union {
        struct {
            uint16_t version;
            struct str host, program_version;
        } hello;
        struct {
            uint16_t version;
            uint32_t window_batches, heartbeat_s;
        } welcome;
        struct str batch; /* bytes for batch_decode */
        uint64_t ack_seq;
        struct str stats;
        struct {
            struct str csr_der;
        } renew;
        struct {
            struct str agent_pem, authority_pem;
        } cert;
        struct {
            uint16_t code;
            struct str reason;
        } bye;
        struct {
            struct str secret, host, csr_der;
        } enrol;
    };
};

/* How many bytes the frame at the start of `bytes` takes in all: > 0 and maybe more than bytes.len; 0: need 8 bytes
 * first; -EBADMSG: unknown type or a length over that type's limit. Call it before buffering more. */
ssize_t frame_need(struct str bytes);

/* Decodes one whole frame (bytes.len == frame_need). Borrows from bytes. 0 or -EBADMSG. */
int frame_decode(struct str bytes, struct frame *ret, struct diag *diag);

int frame_encode(const struct frame *f, struct buf *out); /* 0, -ENOBUFS, -ENOMEM, -EMSGSIZE */
