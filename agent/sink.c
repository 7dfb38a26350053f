/* SPDX-License-Identifier: Apache-2.0
 *
 * Records to batches to spool: see sink.h.
 */
#include "agent/sink.h"

#include "agent/counters.h"
#include "common/log.h"
#include "common/time.h"

#include <errno.h>

#define DISK_RETRY_NS (1 * NS_PER_S)
#define RESUME_PART   16 /* of the spool must be free again before sources go on: no flapping at the edge */
#define TZ_EVERY_NS   (60 * NS_PER_S)

void sink_init(struct sink *s, struct spool *spool, struct registry *registry, const uint8_t agent[static ID_LEN])
{
    *s = (struct sink){.spool = spool, .registry = registry, .host = "", .zstd_level = 1};
    memcpy(s->agent, agent, ID_LEN);
    s->encoded = BUF_INIT(BATCH_MAX);
    s->resume_room = BATCH_MAX + (size_t)(spool_max(spool) / RESUME_PART);
}

void sink_clear(struct sink *s)
{
    buf_clear(&s->encoded);
}

static void say_full(struct sink *s, int err)
{
    s->retry_ns = time_monotonic_ns() + DISK_RETRY_NS;
    s->is_awaited = true;
    bool disk = err != -ENOBUFS;
    if (disk)
        count(M_SPOOL_WRITE_ERRORS, 1);
    if (s->is_full && s->is_disk_full == disk)
        return;
    if (disk)
        log_error("cannot write to the spool: %s; sources wait, and nothing is lost while they keep their data",
                  strerror(-err));
    else
        log_warn("the spool is full (%llu bytes, spool.max); sources wait until the collector takes some",
                 (unsigned long long)spool_bytes(s->spool));
    s->is_full = true;
    s->is_disk_full = disk;
    count(M_SPOOL_FULLS, 1);
    gauge(M_SPOOL_FULL, 1);
}

static void say_room(struct sink *s)
{
    s->is_full = s->is_disk_full = false;
    gauge(M_SPOOL_FULL, 0);
    log_info("the spool takes data again");
}

bool sink_is_full(struct sink *s)
{
    if (s->is_full && s->is_disk_full) /* only the next try can tell */
        return time_monotonic_ns() < s->retry_ns;
    if (s->is_full && spool_has_room(s->spool, s->resume_room))
        say_room(s);
    return s->is_full;
}

bool sink_may_resume(struct sink *s)
{
    if (!s->is_awaited || sink_is_full(s))
        return false;
    s->is_awaited = false;
    return true;
}

static int32_t tz_offset(struct sink *s, int64_t now_ns)
{
    if (now_ns >= s->tz_until_ns || now_ns < s->tz_until_ns - TZ_EVERY_NS) {
        s->tz_offset_s = time_local_offset_s(now_ns);
        s->tz_until_ns = now_ns + TZ_EVERY_NS;
    }
    return s->tz_offset_s;
}

static struct str header_text(const char *z)
{
    struct str s = str_of(z);
    s.len = MIN(s.len, BATCH_STRING_MAX);
    return s;
}

static int encode(struct sink *s, const struct sink_piece *p)
{
    struct batch b = {
        .seq = s->registry->next_seq,
        .start = p->start,
        .end = p->end,
        .records = p->records,
        .read_first_ns = p->read_first_ns,
        .read_last_ns = p->read_last_ns,
        .tz_offset_s = tz_offset(s, p->read_last_ns),
        .encoding = (uint8_t)p->encoding,
        .flags = (uint8_t)(p->flags | (s->demo ? BATCH_DEMO : 0)),
        .source = header_text(p->stream->source),
        .type = header_text(p->type),
        .path = p->stream->kind == STREAM_FILE ? header_text(p->stream->path) : (struct str){0},
        .host = header_text(s->host),
        .cursor = header_text(p->cursor),
    };
    memcpy(b.agent, s->agent, ID_LEN);
    memcpy(b.stream, p->stream->id, ID_LEN);
    buf_reset(&s->encoded);
    return batch_encode(&b, p->raw, s->zstd_level, &s->encoded);
}

int sink_put(struct sink *s, const struct sink_piece *p)
{
    if (!p->stream->is_durable || p->end <= p->start || p->start < p->stream->spooled)
        return -EINVAL;
    if (sink_is_full(s)) {
        s->is_awaited = true;
        return -EAGAIN;
    }
    if (!spool_has_room(s->spool, BATCH_MAX)) { /* before the work of compressing */
        say_full(s, -ENOBUFS);
        return -EAGAIN;
    }
    int r = encode(s, p);
    if (r == 0)
        r = spool_append(s->spool, buf_str(&s->encoded), s->registry->next_seq);
    if (r < 0) {
        say_full(s, r);
        return -EAGAIN;
    }
    if (s->is_full)
        say_room(s);
    s->registry->next_seq++;
    p->stream->spooled = p->end;
    if (p->cursor)
        stream_set_cursor(p->stream, str_of(p->cursor));
    count(M_RECORDS, p->records);
    count(M_RAW_BYTES, p->raw.len);
    count(M_BATCHES, 1);
    gauge(M_SPOOL_BYTES, spool_bytes(s->spool));
    if (s->on_spooled)
        s->on_spooled(s->ctx);
    return 0;
}
