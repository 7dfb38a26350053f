/* SPDX-License-Identifier: Apache-2.0
 *
 * Encoding and decoding of frames; the table is in frame.h and ARCHITECTURE.md. Every body is read to its last byte: a
 * frame with bytes left over is malformed, so that there is one way to say a thing. The version field, not spare bytes, is
 * how the protocol grows. Called by the agent's uplink and the collector's in_agent on their read buffers.
 */
#include "common/frame.h"

#include <errno.h>

#define FRAME_WORD 4 /* the length word in front, which does not count itself */

/* A place in a body. Once something did not fit, ok stays false and everything read is empty. */
struct cursor {
    const uint8_t *p;
    size_t left;
    bool ok;
};

static const uint8_t *take(struct cursor *c, size_t n)
{
    static const uint8_t zeros[8];
    if (!c->ok || c->left < n) {
        c->ok = false;
        return zeros;
    }
    const uint8_t *p = c->p;
    c->p += n;
    c->left -= n;
    return p;
}

static uint16_t take_u16(struct cursor *c)
{
    return get_u16(take(c, 2));
}

static uint32_t take_u32(struct cursor *c)
{
    return get_u32(take(c, 4));
}

static uint64_t take_u64(struct cursor *c)
{
    return get_u64(take(c, 8));
}

static struct str take_bytes(struct cursor *c, size_t len)
{
    const uint8_t *p = take(c, len);
    return c->ok ? (struct str){(const char *)p, len} : (struct str){0};
}

static struct str take_string(struct cursor *c)
{
    return take_bytes(c, take_u16(c));
}

static struct str take_string32(struct cursor *c)
{
    return take_bytes(c, take_u32(c));
}

static bool type_is_known(uint8_t type)
{
    return type >= FRAME_HELLO && type <= FRAME_ENROL;
}

static size_t max_of(uint8_t type)
{
    return type == FRAME_BATCH ? FRAME_MAX : FRAME_SMALL_MAX;
}

ssize_t frame_need(struct str bytes)
{
    if (bytes.len < FRAME_HEADER)
        return 0;
    const uint8_t *h = (const uint8_t *)bytes.p;
    uint64_t total = (uint64_t)get_u32(h) + FRAME_WORD;
    if (!type_is_known(h[4]) || h[5] || h[6] || h[7])
        return -EBADMSG;
    if (total < FRAME_HEADER || total > max_of(h[4]))
        return -EBADMSG;
    return (ssize_t)total;
}

static void read_body(struct cursor *c, struct frame *f)
{
    switch (f->type) {
    case FRAME_HELLO:
        f->hello.version = take_u16(c);
        f->hello.host = take_string(c);
        f->hello.program_version = take_string(c);
        break;
    case FRAME_WELCOME:
        f->welcome.version = take_u16(c);
        f->welcome.window_batches = take_u32(c);
        f->welcome.heartbeat_s = take_u32(c);
        break;
    case FRAME_BATCH:
        f->batch = take_bytes(c, c->left);
        break;
    case FRAME_ACK:
        f->ack_seq = take_u64(c);
        break;
    case FRAME_STATS:
        f->stats = take_bytes(c, c->left);
        break;
    case FRAME_RENEW:
        f->renew.csr_der = take_string(c);
        break;
    case FRAME_CERT:
        f->cert.agent_pem = take_string32(c);
        f->cert.authority_pem = take_string32(c);
        break;
    case FRAME_BYE:
        f->bye.code = take_u16(c);
        f->bye.reason = take_string(c);
        break;
    case FRAME_ENROL:
        f->enrol.secret = take_string(c);
        f->enrol.host = take_string(c);
        f->enrol.csr_der = take_string(c);
        c->ok = c->ok && f->enrol.secret.len == FRAME_TOKEN_LEN;
        break;
    }
}

int frame_decode(struct str bytes, struct frame *ret, struct diag *diag)
{
    ssize_t need = frame_need(bytes);
    if (need <= 0 || (size_t)need != bytes.len)
        return diag_set(diag, -EBADMSG, "frame: unknown type or wrong length");
    const uint8_t *h = (const uint8_t *)bytes.p;
    struct frame f = {.type = (enum frame_type)h[4]};
    struct cursor c = {h + FRAME_HEADER, bytes.len - FRAME_HEADER, true};
    read_body(&c, &f);
    if (!c.ok || c.left > 0)
        return diag_set(diag, -EBADMSG, "frame: body of type %d is too %s", f.type, c.ok ? "long" : "short");
    *ret = f;
    return 0;
}

static int put_string(struct buf *out, struct str s)
{
    if (s.len > UINT16_MAX)
        return -EMSGSIZE;
    int r = buf_append_u16(out, (uint16_t)s.len);
    return r < 0 ? r : buf_append_str(out, s);
}

static int put_string32(struct buf *out, struct str s)
{
    if (s.len > FRAME_SMALL_MAX)
        return -EMSGSIZE;
    int r = buf_append_u32(out, (uint32_t)s.len);
    return r < 0 ? r : buf_append_str(out, s);
}

static int write_body(const struct frame *f, struct buf *out)
{
    int r;
    switch (f->type) {
    case FRAME_HELLO:
        r = buf_append_u16(out, f->hello.version);
        r = r < 0 ? r : put_string(out, f->hello.host);
        return r < 0 ? r : put_string(out, f->hello.program_version);
    case FRAME_WELCOME:
        r = buf_append_u16(out, f->welcome.version);
        r = r < 0 ? r : buf_append_u32(out, f->welcome.window_batches);
        return r < 0 ? r : buf_append_u32(out, f->welcome.heartbeat_s);
    case FRAME_BATCH:
        return buf_append_str(out, f->batch);
    case FRAME_ACK:
        return buf_append_u64(out, f->ack_seq);
    case FRAME_STATS:
        return buf_append_str(out, f->stats);
    case FRAME_RENEW:
        return put_string(out, f->renew.csr_der);
    case FRAME_CERT:
        r = put_string32(out, f->cert.agent_pem);
        return r < 0 ? r : put_string32(out, f->cert.authority_pem);
    case FRAME_BYE:
        r = buf_append_u16(out, f->bye.code);
        return r < 0 ? r : put_string(out, f->bye.reason);
    case FRAME_ENROL:
        if (f->enrol.secret.len != FRAME_TOKEN_LEN)
            return -EMSGSIZE;
        r = put_string(out, f->enrol.secret);
        r = r < 0 ? r : put_string(out, f->enrol.host);
        return r < 0 ? r : put_string(out, f->enrol.csr_der);
    }
    return -EMSGSIZE;
}

int frame_encode(const struct frame *f, struct buf *out)
{
    size_t start = out->len;
    uint8_t head[FRAME_HEADER] = {0};
    head[4] = (uint8_t)f->type;
    int r = buf_append(out, head, sizeof(head));
    if (r < 0)
        return r;
    r = write_body(f, out);
    if (r == 0 && out->len - start > max_of(head[4]))
        r = -EMSGSIZE;
    if (r < 0) {
        out->len = start;
        return r;
    }
    put_u32(out->data + start, (uint32_t)(out->len - start - FRAME_WORD));
    return 0;
}
