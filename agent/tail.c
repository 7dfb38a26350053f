/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading one followed file: see tail.h.
 *
 * The order inside a turn matters: first read, then check that the content is still what we know, then hand over. A file
 * that is cut and written anew between two turns, or in the middle of one, is thereby noticed before a wrong byte gets
 * into the stream.
 */
#include "agent/tail.h"

#include "agent/counters.h"
#include "common/time.h"

#include <errno.h>
#include <sys/stat.h>

static ssize_t read_at(int fd, uint8_t *p, size_t len, uint64_t off)
{
    ssize_t n;
    do
        n = pread(fd, p, len, (off_t)off);
    while (n < 0 && errno == EINTR);
    return n;
}

static int look(struct tail *t)
{
    struct stat st;
    if (fstat(t->fd, &st) < 0)
        return -errno;
    uint64_t size = (uint64_t)st.st_size;
    if (size != t->size)
        t->grown_ns = time_monotonic_ns();
    t->size = size;
    t->seen_mtime = st.st_mtim;
    return 0;
}

bool tail_has_grown(struct tail *t)
{
    return look(t) == 0 && (t->size < t->pos || MIN(t->size, t->limit) > MAX(t->pos, t->scanned));
}

/* Is what lies before our position still there? Makes the fingerprint longer while the file is short. */
static bool is_same_log(struct tail *t, struct sink *sink, int64_t now_ns)
{
    struct identity *id = &t->stream->ident;
    int r = fingerprint_extend(&id->fp, t->fd, t->size);
    if (r < 0)
        return false;
    if (r > 0)
        sink->registry->is_dirty = true;
    if (id->guards[0].pos > 0 && id->guards[0].pos <= t->pos && !guard_matches(&id->guards[0], t->fd, t->size))
        return false;
    t->stream->size = MAX(t->stream->size, MIN(t->size, t->limit));
    t->mtime = t->seen_mtime;
    t->content_ns = now_ns;
    t->stream->checked_ns = tail_checked_ns(t);
    return true;
}

static enum tail_result put(struct tail *t, struct sink *sink, uint64_t end, uint32_t records, uint8_t flags,
                            struct str raw, int64_t now_ns)
{
    struct guard g;
    if (guard_make(t->fd, end, &g) < 0 || !is_same_log(t, sink, now_ns))
        return TAIL_REPLACED;
    struct sink_piece piece = {
        .stream = t->stream,
        .start = t->pos,
        .end = end,
        .records = records,
        .read_first_ns = t->pending_ns ? t->pending_ns : now_ns,
        .read_last_ns = now_ns,
        .encoding = BATCH_TEXT,
        .flags = flags,
        .type = t->source->type,
        .raw = raw,
    };
    int r = sink_put(sink, &piece);
    if (r < 0) {
        errno = -r;
        return r == -EAGAIN ? TAIL_BLOCKED : TAIL_ERROR;
    }
    identity_advance(&t->stream->ident, &g, now_ns);
    sink->registry->is_dirty = true;
    t->pos = end;
    t->scanned = end;
    return TAIL_IDLE;
}

/* Hands over one record for [pos, end), of which `len` bytes are the line without its newline. */
static enum tail_result put_irregular(struct tail *t, struct sink *sink, uint8_t *buffer, uint64_t end, uint64_t len,
                                      int64_t now_ns)
{
    size_t keep = (size_t)MIN(len, BATCH_LINE_MAX - 1);
    ssize_t n = read_at(t->fd, buffer, keep, t->pos);
    if (n < 0)
        return TAIL_ERROR;
    if ((size_t)n != keep)
        return TAIL_REPLACED;
    buffer[keep] = '\n';
    enum tail_result r = put(t, sink, end, 1, BATCH_IRREGULAR, (struct str){(char *)buffer, keep + 1}, now_ns);
    if (r == TAIL_IDLE && keep < len) {
        count(M_LINES_CUT, 1);
        count(M_LINE_BYTES_CUT, len - keep);
    }
    return r;
}

/* Whole lines at the start of p that are short enough. ret_long: the length of the over-long line behind them, or 0. */
static size_t whole_lines(const uint8_t *p, size_t n, uint32_t *ret_lines, size_t *ret_long)
{
    size_t off = 0;
    const uint8_t *nl;
    *ret_lines = 0;
    *ret_long = 0;
    while (off < n && (nl = memchr(p + off, '\n', n - off))) {
        size_t len = (size_t)(nl - p) + 1 - off;
        if (len > BATCH_LINE_MAX) {
            *ret_long = len;
            break;
        }
        off += len;
        (*ret_lines)++;
    }
    return off;
}

static enum tail_result after_put(const struct tail *t, enum tail_result r)
{
    return r == TAIL_IDLE && !tail_is_drained(t) ? TAIL_MORE : r;
}

/* Looks for the newline of the line at pos, from where the last search ended. */
static enum tail_result search_newline(struct tail *t, struct sink *sink, uint8_t *buffer, int64_t now_ns,
                                       bool *ret_again)
{
    uint64_t end = MIN(t->size, t->limit);
    *ret_again = false;
    if (t->scanned >= end)
        return TAIL_IDLE;
    ssize_t n = read_at(t->fd, buffer, (size_t)MIN(end - t->scanned, BATCH_RAW_TARGET), t->scanned);
    if (n < 0)
        return TAIL_ERROR;
    const uint8_t *nl = n ? memchr(buffer, '\n', (size_t)n) : NULL;
    if (!nl) {
        t->scanned += (uint64_t)n;
        return n > 0 && t->scanned < end ? TAIL_MORE : TAIL_IDLE;
    }
    uint64_t line_end = t->scanned + (uint64_t)(nl - buffer) + 1;
    if (line_end - t->pos <= BATCH_LINE_MAX) {
        t->scanned = t->pos;
        *ret_again = true; /* an ordinary line after all: read it with those behind it */
        return TAIL_MORE;
    }
    enum tail_result r = put_irregular(t, sink, buffer, line_end, line_end - 1 - t->pos, now_ns);
    return after_put(t, r);
}

static enum tail_result read_lines(struct tail *t, struct sink *sink, uint8_t *buffer, int64_t now_ns)
{
    uint64_t end = MIN(t->size, t->limit);
    ssize_t got = read_at(t->fd, buffer, (size_t)MIN(end - t->pos, BATCH_RAW_TARGET), t->pos);
    if (got < 0)
        return TAIL_ERROR;
    uint32_t lines;
    size_t too_long, n = (size_t)got, whole = whole_lines(buffer, n, &lines, &too_long);
    if (whole == 0 && too_long > 0)
        return after_put(t, put_irregular(t, sink, buffer, t->pos + too_long, too_long - 1, now_ns));
    if (whole == 0) {
        t->scanned = t->pos + n;
        return n > 0 && t->scanned < end ? TAIL_MORE : TAIL_IDLE;
    }
    enum tail_result r = put(t, sink, t->pos + whole, lines, 0, (struct str){(char *)buffer, whole}, now_ns);
    if (r != TAIL_IDLE)
        return r;
    if (too_long == 0)
        t->scanned = t->pos + (n - whole); /* what is left in the buffer holds no newline */
    return t->scanned < end ? TAIL_MORE : TAIL_IDLE;
}

/* Written over with exactly as many bytes as we have read? Only asked when the file was modified. */
static enum tail_result check_idle(struct tail *t, struct sink *sink, int64_t now_ns)
{
    if (t->seen_mtime.tv_sec == t->mtime.tv_sec && t->seen_mtime.tv_nsec == t->mtime.tv_nsec)
        return TAIL_IDLE;
    return is_same_log(t, sink, now_ns) ? TAIL_IDLE : TAIL_REPLACED;
}

enum tail_result tail_read(struct tail *t, struct sink *sink, uint8_t *buffer, int64_t now_ns)
{
    if (look(t) < 0)
        return TAIL_ERROR;
    if (t->size < t->pos || t->size < t->stream->ident.fp.len)
        return TAIL_REPLACED;
    if (t->size < t->scanned)
        t->scanned = t->pos; /* only an unfinished line was taken back */
    uint64_t end = MIN(t->size, t->limit);
    if (end == MAX(t->pos, t->scanned))
        return check_idle(t, sink, now_ns);
    if (sink_is_full(sink))
        return TAIL_BLOCKED;
    if (t->scanned > t->pos) {
        bool again;
        enum tail_result r = search_newline(t, sink, buffer, now_ns, &again);
        if (!again)
            return r;
    }
    return read_lines(t, sink, buffer, now_ns);
}

enum tail_result tail_flush(struct tail *t, struct sink *sink, uint8_t *buffer, int64_t now_ns)
{
    uint64_t end = MIN(t->size, t->limit);
    if (t->pos >= end || t->scanned < end)
        return t->pos >= end ? TAIL_IDLE : TAIL_MORE; /* a newline may still be found: read on first */
    if (sink_is_full(sink))
        return TAIL_BLOCKED;
    enum tail_result r = put_irregular(t, sink, buffer, end, end - t->pos, now_ns);
    if (r == TAIL_IDLE)
        count(M_LINES_UNFINISHED, 1);
    return r;
}
