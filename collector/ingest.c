/* SPDX-License-Identifier: Apache-2.0
 * See ingest.h. */
#include "collector/ingest.h"

#include "collector/archive.h"
#include "collector/health.h"
#include "collector/store.h"
#include "common/frame.h"
#include "common/log.h"
#include "common/time.h"

#include <errno.h>

#define ROSTER_SAVE_NS  (10 * NS_PER_S)
#define TRIM_ZSTD_LEVEL 1

static void on_silence(void *ctx, const struct roster_agent *a, const struct roster_source *source, bool is_silent,
                       int64_t last_seen_ns)
{
    struct ingest *in = ctx;
    struct write_item *item = NULL;
    int r = health_silence(in->health, a, source, is_silent, last_seen_ns, time_now_ns(), &item);
    if (r < 0)
        log_error("cannot report that %s is %s: %s", a->id_text, is_silent ? "silent" : "back", strerror(-r));
    else
        writer_push(in->c->writer, item);
    if (is_silent)
        stat_add(STAT_SILENCES, 1);
    log_info("%s%s%s of %s (%s) %s", source ? "source " : "agent", source ? source->name : "", source ? "" : "",
             a->host, a->id_text, is_silent ? "has gone silent" : "is back");
    in->save_soon = true;
}

/* The archive behind the checkpoint is not yet in state.db: its headers say how far streams went and who was heard. */
static int follow_archive(struct ingest *in, struct diag *diag)
{
    const char *const sql[] = {"SELECT pos FROM checkpoint"};
    sqlite3_stmt *s = NULL;
    int r = store_prepare(in->db, sql, 1, &s, diag);
    if (r < 0)
        return r;
    r = store_row(s, diag);
    uint64_t pos = r == 1 ? (uint64_t)store_col_int(s, 0) : 0;
    sqlite3_finalize(s);
    if (r < 0)
        return r;
    pos = MIN(pos, atomic_load(&in->c->durable_end)); /* detect says it when the archive has lost its end */

    struct archive_reader *reader = NULL;
    r = archive_reader_open(in->c->config.archive_dir, pos, &reader, diag);
    if (r < 0)
        return r;
    struct archive_record rec;
    int64_t records = 0;
    while ((r = archive_reader_next(reader, &rec, diag)) == 1) {
        const struct batch *b = &rec.batch;
        records += b->records;
        r = streams_advance(in->streams, b->agent, b->stream, b->end, rec.ingested_ns);
        if (r < 0) {
            diag_set(diag, r, "cannot remember streams: %s", strerror(-r));
            break;
        }
        struct roster_agent *a = roster_find(in->roster, b->agent);
        if (a) {
            roster_heard(in->roster, a, rec.ingested_ns);
            roster_heard_source(in->roster, a, b->source, rec.ingested_ns);
        }
    }
    archive_reader_close(reader);
    stat_add(STAT_DETECT_LAG_EVENTS, records);
    stat_set(STAT_STREAMS, (int64_t)streams_count(in->streams));
    return r;
}

int ingest_open(struct ingest *in, struct collector *c, sqlite3 *db, struct diag *diag)
{
    *in = (struct ingest){.c = c, .db = db};
    in->streams = streams_new(STREAMS_MAX);
    in->roster = roster_new(c->config.silence.agent_after_ns, c->config.silence.source_after_ns, on_silence, in);
    in->health = health_new();
    in->saved_ns = time_monotonic_ns();
    if (!in->streams || !in->roster || !in->health) {
        ingest_close(in);
        return diag_set(diag, -ENOMEM, "out of memory");
    }
    int r = streams_load(in->streams, db, diag);
    if (r == 0)
        r = roster_load(in->roster, db, diag);
    if (r == 0)
        r = follow_archive(in, diag);
    if (r < 0)
        ingest_close(in);
    return r;
}

void ingest_close(struct ingest *in)
{
    in->streams = streams_free(in->streams);
    in->roster = roster_free(in->roster);
    in->health = health_free(in->health);
}

/* Replaces the item's bytes by what lies behind `from`. */
static int trim(struct write_item *item, const struct batch *b, uint64_t from)
{
    struct buf out = BUF_INIT(BATCH_MAX);
    int r = batch_trim(b, from, TRIM_ZSTD_LEVEL, &out);
    struct batch trimmed;
    if (r == 0)
        r = batch_decode(buf_str(&out), &trimmed, NULL);
    if (r < 0) {
        buf_clear(&out);
        return r;
    }
    item->records = trimmed.records;
    item->raw_len = trimmed.raw_len;
    free(item->bytes);
    item->bytes = out.data;
    item->offset = 0;
    item->len = out.len;
    return 0;
}

/* Decides what of the batch is to be stored; leaves item->bytes NULL when nothing is. */
static int sift(struct ingest *in, const struct batch *b, struct write_item *item, struct diag *diag)
{
    uint64_t stored = 0;
    switch (streams_judge(in->streams, b, &stored)) {
    case STREAM_REPEAT:
        stat_add(STAT_REPEATS, 1);
        free(item->bytes);
        item->bytes = NULL;
        item->len = 0;
        return 0;
    case STREAM_OVERLAP: {
        int r = trim(item, b, stored);
        if (r == -ENOMEM)
            return diag_set(diag, r, "out of memory");
        /* What cannot be trimmed is kept whole: a line stored twice is better than a line lost. */
        stat_add(r == 0 ? STAT_TRIMMED : STAT_OVERLAPS, 1);
        return 0;
    }
    case STREAM_GAP:
        stat_add(STAT_GAPS, 1);
        log_warn("a batch of %.*s begins at %llu, but only %llu is stored: the agent lost what lies between",
                 (int)b->source.len, b->source.p, (unsigned long long)b->start, (unsigned long long)stored);
        return 0;
    case STREAM_STORE:
        break;
    }
    return 0;
}

static int check(const struct roster_agent *a, const struct batch *b, uint64_t last_seq, struct diag *diag)
{
    if (memcmp(a->id, b->agent, ID_LEN) != 0) {
        stat_add(STAT_FOREIGN_BATCHES, 1);
        return diag_set(diag, -EBADMSG, "the batch is another agent's");
    }
    /* Events in our own encoding would let an agent speak for the collector: "agent X is silent". */
    if (b->encoding == BATCH_ECS)
        return diag_set(diag, -EBADMSG, "the encoding is not for agents");
    if (b->seq <= last_seq)
        return diag_set(diag, -EBADMSG, "sequence %llu after %llu", (unsigned long long)b->seq,
                        (unsigned long long)last_seq);
    return 0;
}

int ingest_batch(struct ingest *in, struct roster_agent *a, uint64_t conn, uint64_t *last_seq, uint8_t *frame,
                 size_t len, struct diag *diag)
{
    struct write_item *item = malloc(sizeof(*item));
    if (!item) {
        free(frame);
        return diag_set(diag, -ENOMEM, "out of memory");
    }
    *item = (struct write_item){.conn = conn, .bytes = frame, .offset = FRAME_HEADER, .len = len};
    stat_add(STAT_BATCHES, 1);
    stat_add(STAT_BATCH_BYTES, (int64_t)len);

    int64_t now_ns = time_now_ns();
    struct batch b;
    int r = batch_decode((struct str){(const char *)frame + FRAME_HEADER, len - FRAME_HEADER}, &b, diag);
    if (r == 0)
        r = check(a, &b, *last_seq, diag);
    if (r == 0 && (r = streams_reserve(in->streams, &b, now_ns)) < 0)
        diag_set(diag, r, "too many streams");
    if (r < 0) {
        write_item_free(item);
        return r;
    }
    item->seq = b.seq;
    item->records = b.records;
    item->raw_len = b.raw_len;
    roster_heard_source(in->roster, a, b.source, now_ns);
    uint64_t end = b.end;
    uint8_t stream[ID_LEN];
    memcpy(stream, b.stream, ID_LEN); /* b borrows from the frame, which sift may free */
    uint64_t seq = b.seq;
    r = sift(in, &b, item, diag);
    if (r < 0) {
        write_item_free(item);
        return r;
    }
    writer_push(in->c->writer, item);
    *last_seq = seq;
    streams_advance(in->streams, a->id, stream, end, now_ns); /* cannot fail: reserved above */
    stat_set(STAT_STREAMS, (int64_t)streams_count(in->streams));
    return 0;
}

static void check_disk(struct ingest *in)
{
    bool is_low = writer_is_disk_low(in->c->writer);
    if (is_low == in->was_disk_low)
        return;
    in->was_disk_low = is_low;
    struct write_item *item = NULL;
    if (health_disk(in->health, is_low, stat_get(STAT_DISK_FREE), time_now_ns(), &item) == 0)
        writer_push(in->c->writer, item);
}

void ingest_tick(struct ingest *in)
{
    roster_check(in->roster, time_now_ns(), in->c->started_ns);
    check_disk(in);
    if (in->save_soon || time_monotonic_ns() - in->saved_ns >= ROSTER_SAVE_NS)
        ingest_save(in);
}

void ingest_save(struct ingest *in)
{
    struct diag diag = {0};
    int r = roster_save(in->roster, in->db, &diag);
    if (r < 0 && r != -EBUSY) /* busy: detection is committing; the next tick tries again */
        log_warn("cannot save when agents were heard: %s", diag.msg);
    if (r == 0) {
        in->saved_ns = time_monotonic_ns();
        in->save_soon = false;
    }
}
