/* SPDX-License-Identifier: Apache-2.0
 *
 * What is said on the connection: see uplink.h and frame.h.
 */
#include "agent/uplink_inside.h"

#include "agent/counters.h"
#include "common/log.h"
#include "common/time.h"

#include <errno.h>
#include <openssl/crypto.h>

#define HEARTBEAT_MIN_S  1
#define HEARTBEAT_MAX_S  300
#define RENEWAL_EVERY_NS (INT64_C(3600) * NS_PER_S)

/* --- saying --- */

static int send_frame(struct uplink *u, const struct frame *f)
{
    buf_reset(&u->frame);
    int r = frame_encode(f, &u->frame);
    if (r == 0 && bufferevent_write(u->bev, u->frame.data, u->frame.len) < 0)
        r = -ENOMEM;
    if (r < 0)
        uplink_fail(u, -1, "cannot send: %s", strerror(-r));
    return r;
}

void uplink_say_hello(struct uplink *u)
{
    struct frame f = {
        .type = FRAME_HELLO,
        .hello = {.version = FRAME_VERSION, .host = str_of(u->cfg.sink->host), .program_version = STR(VONGGAC_VERSION)},
    };
    send_frame(u, &f);
}

static void send_stats(struct uplink *u)
{
    struct buf json CLEANUP(buf_clear) = BUF_INIT(FRAME_SMALL_MAX - FRAME_HEADER);
    if (metrics_json(agent_metrics, M_COUNT, &json) < 0)
        return;
    struct frame f = {.type = FRAME_STATS, .stats = buf_str(&json)};
    send_frame(u, &f);
}

/* A batch that was spooled before this agent was enrolled anew goes out under its present id. */
static int rename_sender(struct uplink *u, const struct batch *b, struct buf *out)
{
    struct buf raw CLEANUP(buf_clear) = BUF_INIT(BATCH_RAW_MAX);
    struct batch mine = *b;
    int r = batch_raw(b, &raw);
    memcpy(mine.agent, u->cred.agent, ID_LEN);
    return r < 0 ? r : batch_encode(&mine, buf_str(&raw), u->cfg.sink->zstd_level, out);
}

static int send_batch(struct uplink *u, struct str bytes, const struct batch *b)
{
    struct buf renamed CLEANUP(buf_clear) = BUF_INIT(BATCH_MAX);
    if (memcmp(b->agent, u->cred.agent, ID_LEN) != 0) {
        int r = rename_sender(u, b, &renamed);
        if (r < 0) {
            uplink_fail(u, -1, "cannot send a batch: %s", strerror(-r));
            return r;
        }
        bytes = buf_str(&renamed);
    }
    struct frame f = {.type = FRAME_BATCH, .batch = bytes};
    int r = send_frame(u, &f);
    if (r == 0) {
        count(M_SENT, 1);
        count(M_SENT_BYTES, bytes.len);
    }
    return r;
}

void uplink_send_batches(struct uplink *u)
{
    struct spool *spool = u->cfg.sink->spool;
    while (u->state == UPLINK_UP && spool_in_flight(spool) < u->window &&
           evbuffer_get_length(bufferevent_get_output(u->bev)) < UPLINK_OUTPUT_MAX) {
        struct str bytes;
        struct batch b;
        int r = spool_read(spool, &bytes, &b);
        count(M_SPOOL_DAMAGED_BYTES, spool_damage(spool));
        if (r < 0 && r != -ENOBUFS)
            log_error("cannot read the spool: %s", strerror(-r));
        if (r <= 0)
            return;
        if (spool_in_flight(spool) == 1)
            u->last_ack_ns = time_monotonic_ns(); /* nothing was owed until now */
        if (send_batch(u, bytes, &b) < 0)
            return;
    }
}

/* --- hearing --- */

static void on_welcome(struct uplink *u, const struct frame *f)
{
    if (u->state != UPLINK_HELLO || f->welcome.version != FRAME_VERSION) {
        uplink_fail(u, u->cfg.times.denied_ns, "it speaks version %u of the protocol, we speak %u", f->welcome.version,
                    FRAME_VERSION);
        return;
    }
    uint32_t s = MAX(MIN(f->welcome.heartbeat_s, HEARTBEAT_MAX_S), HEARTBEAT_MIN_S);
    u->heartbeat_ns = s * NS_PER_S;
    u->window = MAX(MIN(f->welcome.window_batches, SPOOL_WINDOW_MAX), 1);
    u->next_stats_ns = u->last_ack_ns = time_monotonic_ns();
    u->next_renewal_ns = u->last_ack_ns;
    u->last_error[0] = 0;
    uplink_set_state(u, UPLINK_UP);
    count(M_CONNECTS, 1);
    log_info("collector %s: connected to %s", u->cfg.collector_host, u->peer);
    uplink_on_tick(u, u->last_ack_ns);
    uplink_send_batches(u);
}

static void on_batch_acked(const struct spool_entry *e, void *ctx)
{
    struct registry *reg = ((struct uplink *)ctx)->cfg.sink->registry;
    struct stream *s = registry_find(reg, e->stream);
    if (s)
        registry_acked(reg, s, e->end, str_of(e->cursor));
    reg->acked_seq = e->seq;
    reg->is_dirty = true;
}

static void on_ack(struct uplink *u, uint64_t seq)
{
    int n = spool_ack(u->cfg.sink->spool, seq, on_batch_acked, u);
    if (n < 0) {
        uplink_fail(u, -1, "it acknowledged batch %llu, which was not sent", (unsigned long long)seq);
        return;
    }
    count(M_ACKED, (uint64_t)n);
    u->last_ack_ns = time_monotonic_ns();
    u->backoff_ns = u->cfg.times.retry_first_ns;
    if (n > 0 && u->cfg.on_acked)
        u->cfg.on_acked(u->cfg.ctx);
    uplink_send_batches(u);
}

static void on_certificate(struct uplink *u, const struct frame *f)
{
    struct diag diag = {0};
    uint8_t agent[ID_LEN];
    char *pem CLEANUP(free_ptr) = u->renewal_key ? strndup(f->cert.agent_pem.p, f->cert.agent_pem.len) : NULL;
    if (!pem) {
        uplink_fail(u, -1, "it sent a certificate that was not asked for");
        return;
    }
    int r = cert_info(pem, NULL, NULL, agent, NULL, &diag);
    if (r == 0 && memcmp(agent, u->cred.agent, ID_LEN) != 0)
        r = diag_set(&diag, -EINVAL, "it is another agent's");
    if (r == 0)
        r = credentials_store(u->cfg.state_dir, NULL, pem, u->renewal_key, &diag);
    OPENSSL_cleanse(u->renewal_key, strlen(u->renewal_key));
    free(u->renewal_key);
    u->renewal_key = NULL;
    if (r < 0) {
        log_error("cannot use the renewed certificate: %s", diag.msg);
        return; /* the old one still holds; the next try is in an hour */
    }
    count(M_RENEWALS, 1);
    log_info("certificate renewed");
    uplink_reconnect(u);
}

static void on_bye(struct uplink *u, const struct frame *f)
{
    static const char *const hints[] = {
        [BYE_DENIED] = "; enrol again if this agent is still wanted",
        [BYE_REPLACED] = "; is its state folder on two machines?",
    };
    uint16_t code = f->bye.code;
    const char *hint = code < ARRAY_LEN(hints) && hints[code] ? hints[code] : "";
    int64_t wait = code == BYE_DENIED || code == BYE_VERSION ? u->cfg.times.denied_ns
                   : code == BYE_REPLACED                    ? u->cfg.times.retry_max_ns
                                                             : -1;
    uplink_fail(u, wait, "it said: %.*s%s", (int)MIN(f->bye.reason.len, (size_t)120), f->bye.reason.p, hint);
}

static void on_frame(struct uplink *u, struct str bytes)
{
    struct frame f;
    struct diag diag = {0};
    if (frame_decode(bytes, &f, &diag) < 0) {
        uplink_fail(u, -1, "%s", diag.msg);
        return;
    }
    if (f.type == FRAME_BYE)
        on_bye(u, &f);
    else if (f.type == FRAME_WELCOME)
        on_welcome(u, &f);
    else if (f.type == FRAME_ACK && u->state == UPLINK_UP)
        on_ack(u, f.ack_seq);
    else if (f.type == FRAME_CERT && u->state == UPLINK_UP)
        on_certificate(u, &f);
    else
        uplink_fail(u, -1, "frame of type %d out of turn", f.type);
}

void uplink_on_readable(struct uplink *u)
{
    while (u->bev) {
        uint8_t head[FRAME_HEADER];
        struct evbuffer *in = bufferevent_get_input(u->bev);
        ev_ssize_t n = evbuffer_copyout(in, head, sizeof(head));
        ssize_t need = frame_need((struct str){(char *)head, n > 0 ? (size_t)n : 0});
        if (need < 0 || need > (ssize_t)FRAME_SMALL_MAX) {
            uplink_fail(u, -1, "malformed frame");
            return;
        }
        if (need == 0 || evbuffer_get_length(in) < (size_t)need)
            return;
        /* Out of the buffer first: what the frame leads to may free the connection. */
        uint8_t *bytes CLEANUP(free_ptr) = malloc((size_t)need);
        if (!bytes || evbuffer_remove(in, bytes, (size_t)need) != (int)need) {
            uplink_fail(u, -1, "out of memory");
            return;
        }
        on_frame(u, (struct str){(char *)bytes, (size_t)need});
    }
}

/* --- every second --- */

static void renew(struct uplink *u)
{
    struct buf csr CLEANUP(buf_clear) = BUF_INIT(16 * KIB);
    struct diag diag = {0};
    if (u->renewal_key || cert_make_request(&u->renewal_key, &csr, &diag) < 0) {
        if (diag.msg[0])
            log_error("cannot ask for a new certificate: %s", diag.msg);
        return;
    }
    struct frame f = {.type = FRAME_RENEW, .renew = {.csr_der = buf_str(&csr)}};
    send_frame(u, &f);
}

void uplink_on_tick(struct uplink *u, int64_t now_ns)
{
    if (spool_in_flight(u->cfg.sink->spool) > 0 && now_ns - u->last_ack_ns > u->cfg.times.ack_ns) {
        uplink_fail(u, -1, "no acknowledgement for %lld s", (long long)(u->cfg.times.ack_ns / NS_PER_S));
        return;
    }
    if (now_ns - u->state_ns > u->cfg.times.retry_max_ns)
        u->backoff_ns = u->cfg.times.retry_first_ns; /* it has lasted */
    if (now_ns >= u->next_stats_ns) {
        u->next_stats_ns = now_ns + u->heartbeat_ns;
        send_stats(u);
    }
    if (u->state == UPLINK_UP && now_ns >= u->next_renewal_ns) {
        u->next_renewal_ns = now_ns + RENEWAL_EVERY_NS;
        if (credentials_are_due(&u->cred, time_now_ns()))
            renew(u);
    }
}
