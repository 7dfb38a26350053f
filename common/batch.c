/* SPDX-License-Identifier: Apache-2.0
 *
 * Encoding, checking and trimming of batches; the byte table is in batch.h and ARCHITECTURE.md. Batches come from
 * machines that may be in an attacker's hands, so batch_decode believes nothing that it has not checked, and batch_raw
 * never writes more than the header promised. Called by the agent (encode), the collector's ingest (decode, trim) and
 * everything that reads the archive (decode, raw).
 *
 * zstd contexts are kept one a thread: a fresh one for every batch costs 1 to 6 % more time and, through the holes it leaves
 * in the heap, twice the memory of a batch-making process (bench_batch). A context handed through every caller would put zstd
 * into all their interfaces. Nothing but memory outlives a call.
 */
#include "common/batch.h"

#include <errno.h>
#include <pthread.h>
#include <sys/random.h>
#include <zlib.h>
#include <zstd.h>

static const char magic[4] = {'V', 'G', 'B', '1'};

#define TZ_OFFSET_MAX (24 * 3600)

struct contexts {
    ZSTD_CCtx *c;
    ZSTD_DCtx *d;
};

static pthread_key_t contexts_key;
static pthread_once_t contexts_once = PTHREAD_ONCE_INIT;
static bool contexts_key_ok;

static void contexts_free(void *p)
{
    struct contexts *ctx = p;
    ZSTD_freeCCtx(ctx->c);
    ZSTD_freeDCtx(ctx->d);
    free(ctx);
}

static void contexts_make_key(void)
{
    contexts_key_ok = pthread_key_create(&contexts_key, contexts_free) == 0;
}

static struct contexts *contexts_get(void)
{
    pthread_once(&contexts_once, contexts_make_key);
    if (!contexts_key_ok)
        return NULL;
    struct contexts *ctx = pthread_getspecific(contexts_key);
    if (ctx)
        return ctx;
    ctx = calloc(1, sizeof(*ctx));
    if (!ctx)
        return NULL;
    if (pthread_setspecific(contexts_key, ctx) != 0) {
        free(ctx);
        return NULL;
    }
    return ctx;
}

static ZSTD_CCtx *compressor(void)
{
    struct contexts *ctx = contexts_get();
    if (ctx && !ctx->c)
        ctx->c = ZSTD_createCCtx();
    return ctx ? ctx->c : NULL;
}

static ZSTD_DCtx *decompressor(void)
{
    struct contexts *ctx = contexts_get();
    if (ctx && !ctx->d)
        ctx->d = ZSTD_createDCtx();
    return ctx ? ctx->d : NULL;
}

static size_t count_lines(struct str raw)
{
    size_t n = 0;
    const char *p = raw.p, *end = raw.p + raw.len;
    while (p < end && (p = memchr(p, '\n', (size_t)(end - p)))) {
        n++;
        p++;
    }
    return n;
}

/* What must hold of positions and counts, whoever made the batch. NULL when all is well, else what is wrong. */
static const char *check_ranges(const struct batch *b)
{
    if (b->raw_len == 0 || b->raw_len > BATCH_RAW_MAX)
        return "raw length out of range";
    if (b->records == 0 || b->records > b->raw_len)
        return "number of records out of range";
    if (b->seq > INT64_MAX || b->end > INT64_MAX)
        return "sequence or position out of range";
    if (b->start >= b->end)
        return "positions do not grow";
    if (b->encoding < BATCH_TEXT || b->encoding > BATCH_ECS)
        return "unknown encoding";
    if (b->flags & ~(BATCH_IRREGULAR | BATCH_DEMO))
        return "unknown flags";
    if (b->tz_offset_s < -TZ_OFFSET_MAX || b->tz_offset_s > TZ_OFFSET_MAX)
        return "offset from UTC out of range";
    if (b->flags & BATCH_IRREGULAR)
        return b->records == 1 ? NULL : "an irregular batch holds exactly one record";
    uint64_t units = b->encoding == BATCH_TEXT ? b->raw_len : b->records;
    return b->end - b->start == units ? NULL : "positions do not fit the content";
}

static bool string_is_valid(struct str s)
{
    return s.len <= BATCH_STRING_MAX && (s.len == 0 || !memchr(s.p, '\0', s.len));
}

static uint8_t *put_string(uint8_t *p, struct str s)
{
    put_u16(p, (uint16_t)s.len);
    if (s.len)
        memcpy(p + 2, s.p, s.len);
    return p + 2 + s.len;
}

/* Everything in front of the payload but the crc. */
static void put_header(uint8_t *h, const struct batch *b, size_t header_len, size_t payload_len)
{
    memcpy(h, magic, sizeof(magic));
    put_u32(h + 8, (uint32_t)header_len);
    put_u32(h + 12, (uint32_t)payload_len);
    memcpy(h + 16, b->agent, ID_LEN);
    memcpy(h + 32, b->stream, ID_LEN);
    put_u64(h + 48, b->seq);
    put_u64(h + 56, b->start);
    put_u64(h + 64, b->end);
    put_u32(h + 72, b->records);
    put_u32(h + 76, b->raw_len);
    put_u64(h + 80, (uint64_t)b->read_first_ns);
    put_u64(h + 88, (uint64_t)b->read_last_ns);
    put_u32(h + 96, (uint32_t)b->tz_offset_s);
    h[100] = b->encoding;
    h[101] = b->flags;
    put_u16(h + 102, 0);
    uint8_t *p = h + BATCH_HEADER_MIN;
    p = put_string(p, b->source);
    p = put_string(p, b->type);
    p = put_string(p, b->path);
    p = put_string(p, b->host);
    put_string(p, b->cursor);
}

static uint32_t crc_of(const uint8_t *bytes, size_t len)
{
    return (uint32_t)crc32_z(0, bytes + 8, len - 8);
}

static int compress_into(struct str raw, int level, uint8_t *dst, size_t dst_size, size_t *ret_len)
{
    ZSTD_CCtx *c = compressor();
    if (!c)
        return -ENOMEM;
    ZSTD_CCtx_reset(c, ZSTD_reset_session_and_parameters);
    if (ZSTD_isError(ZSTD_CCtx_setParameter(c, ZSTD_c_compressionLevel, level)) ||
        ZSTD_isError(ZSTD_CCtx_setParameter(c, ZSTD_c_contentSizeFlag, 1)) ||
        ZSTD_isError(ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, 1)))
        return -EINVAL;
    size_t n = ZSTD_compress2(c, dst, dst_size, raw.p, raw.len);
    if (ZSTD_isError(n))
        return -ENOMEM; /* the destination is large enough for anything */
    *ret_len = n;
    return 0;
}

int batch_encode(const struct batch *b, struct str raw, int level, struct buf *out)
{
    if (raw.len > BATCH_RAW_MAX)
        return -EMSGSIZE;
    const struct str strings[] = {b->source, b->type, b->path, b->host, b->cursor};
    size_t header_len = BATCH_HEADER_MIN;
    for (size_t i = 0; i < ARRAY_LEN(strings); i++) {
        if (strings[i].len > BATCH_STRING_MAX)
            return -EMSGSIZE;
        if (!string_is_valid(strings[i]))
            return -EINVAL;
        header_len += 2 + strings[i].len;
    }
    struct batch full = *b;
    full.raw_len = (uint32_t)raw.len;
    if (check_ranges(&full) || raw.p[raw.len - 1] != '\n' || count_lines(raw) != full.records)
        return -EINVAL;

    uint8_t *head;
    size_t payload_max = ZSTD_compressBound(raw.len), payload_len;
    int r = buf_reserve(out, header_len + payload_max, &head);
    if (r < 0)
        return r;
    r = compress_into(raw, level, head + header_len, payload_max, &payload_len);
    if (r < 0)
        return r;
    put_header(head, &full, header_len, payload_len);
    put_u32(head + 4, crc_of(head, header_len + payload_len));
    out->len += header_len + payload_len;
    return 0;
}

size_t batch_peek_len(const uint8_t head[static 16])
{
    if (memcmp(head, magic, sizeof(magic)) != 0)
        return 0;
    uint32_t header_len = get_u32(head + 8), payload_len = get_u32(head + 12);
    if (header_len < BATCH_HEADER_MIN + 5 * 2 || header_len > BATCH_HEADER_MAX)
        return 0;
    if (payload_len == 0 || payload_len > BATCH_PAYLOAD_MAX)
        return 0;
    return (size_t)header_len + payload_len;
}

static int get_strings(const uint8_t *p, const uint8_t *end, struct batch *b, struct diag *diag)
{
    struct str *const strings[] = {&b->source, &b->type, &b->path, &b->host, &b->cursor};
    for (size_t i = 0; i < ARRAY_LEN(strings); i++) {
        if (end - p < 2 || (size_t)(end - p - 2) < get_u16(p))
            return diag_set(diag, -EBADMSG, "batch: strings run over the header");
        *strings[i] = (struct str){(const char *)p + 2, get_u16(p)};
        if (!string_is_valid(*strings[i]))
            return diag_set(diag, -EBADMSG, "batch: a string is too long or holds a zero byte");
        p += 2 + strings[i]->len;
    }
    return p == end ? 0 : diag_set(diag, -EBADMSG, "batch: bytes left behind the strings");
}

int batch_decode(struct str bytes, struct batch *ret, struct diag *diag)
{
    const uint8_t *h = (const uint8_t *)bytes.p;
    if (bytes.len < BATCH_HEADER_MIN)
        return diag_set(diag, -EBADMSG, "batch: %zu bytes are too few", bytes.len);
    size_t len = batch_peek_len(h);
    if (len == 0)
        return diag_set(diag, -EBADMSG, "batch: no magic, or a length out of range");
    if (len != bytes.len)
        return diag_set(diag, -EBADMSG, "batch: %zu bytes where the header says %zu", bytes.len, len);
    if (get_u32(h + 4) != crc_of(h, len))
        return diag_set(diag, -EBADMSG, "batch: crc does not match");

    uint32_t header_len = get_u32(h + 8);
    struct batch b = {
        .seq = get_u64(h + 48),
        .start = get_u64(h + 56),
        .end = get_u64(h + 64),
        .records = get_u32(h + 72),
        .raw_len = get_u32(h + 76),
        .read_first_ns = (int64_t)get_u64(h + 80),
        .read_last_ns = (int64_t)get_u64(h + 88),
        .tz_offset_s = (int32_t)get_u32(h + 96),
        .encoding = h[100],
        .flags = h[101],
        .payload = {(const char *)h + header_len, len - header_len},
    };
    memcpy(b.agent, h + 16, ID_LEN);
    memcpy(b.stream, h + 32, ID_LEN);
    const char *wrong = get_u16(h + 102) ? "reserved bytes are not zero" : check_ranges(&b);
    if (wrong)
        return diag_set(diag, -EBADMSG, "batch: %s", wrong);
    int r = get_strings(h + BATCH_HEADER_MIN, h + header_len, &b, diag);
    if (r < 0)
        return r;
    *ret = b;
    return 0;
}

int batch_raw(const struct batch *b, struct buf *out)
{
    /* One frame, of exactly the promised size: a second frame or a lying size would slip past the limit. */
    if (ZSTD_getFrameContentSize(b->payload.p, b->payload.len) != b->raw_len ||
        ZSTD_findFrameCompressedSize(b->payload.p, b->payload.len) != b->payload.len)
        return -EBADMSG;
    ZSTD_DCtx *d = decompressor();
    uint8_t *tail;
    if (!d || buf_reserve(out, b->raw_len, &tail) < 0)
        return -ENOMEM;
    size_t n = ZSTD_decompressDCtx(d, tail, b->raw_len, b->payload.p, b->payload.len);
    if (ZSTD_isError(n) || n != b->raw_len)
        return -EBADMSG;
    struct str raw = {(const char *)tail, n};
    if (tail[n - 1] != '\n' || count_lines(raw) != b->records)
        return -EBADMSG;
    out->len += n;
    return 0;
}

/* Offset in raw of the record at `skip` units behind the start, or raw.len when there is no border. */
static size_t border_of(const struct batch *b, struct str raw, uint64_t skip)
{
    if (b->encoding == BATCH_TEXT)
        return raw.p[skip - 1] == '\n' ? (size_t)skip : raw.len;
    const char *p = raw.p;
    for (; skip > 0; skip--)
        p = (const char *)memchr(p, '\n', (size_t)(raw.p + raw.len - p)) + 1;
    return (size_t)(p - raw.p);
}

int batch_trim(const struct batch *b, uint64_t from, int level, struct buf *out)
{
    if (b->flags & BATCH_IRREGULAR || from <= b->start || from >= b->end)
        return -EINVAL;
    struct buf CLEANUP(buf_clear) whole = BUF_INIT(BATCH_RAW_MAX);
    int r = batch_raw(b, &whole);
    if (r < 0)
        return r;
    struct str raw = buf_str(&whole);
    size_t at = border_of(b, raw, from - b->start);
    if (at == raw.len)
        return -EINVAL;
    struct batch rest = *b;
    raw = (struct str){raw.p + at, raw.len - at};
    rest.start = from;
    rest.records = (uint32_t)count_lines(raw);
    return batch_encode(&rest, raw, level, out);
}

void id_random(uint8_t ret[static ID_LEN])
{
    for (size_t have = 0; have < ID_LEN;) {
        ssize_t n = getrandom(ret + have, ID_LEN - have, 0);
        if (n > 0)
            have += (size_t)n;
        else if (errno != EINTR)
            abort(); /* a kernel without random numbers: no id of ours could be trusted */
    }
    ret[6] = (uint8_t)((ret[6] & 0x0f) | 0x40);
    ret[8] = (uint8_t)((ret[8] & 0x3f) | 0x80);
}

static bool has_dash_before(size_t byte)
{
    return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

void id_format(const uint8_t id[static ID_LEN], char ret[static ID_TEXT_LEN])
{
    static const char hex[] = "0123456789abcdef";
    char *p = ret;
    for (size_t i = 0; i < ID_LEN; i++) {
        if (has_dash_before(i))
            *p++ = '-';
        *p++ = hex[id[i] >> 4];
        *p++ = hex[id[i] & 15];
    }
    *p = '\0';
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int id_parse(struct str s, uint8_t ret[static ID_LEN])
{
    uint8_t id[ID_LEN];
    if (s.len != ID_TEXT_LEN - 1)
        return -EINVAL;
    const char *p = s.p;
    for (size_t i = 0; i < ID_LEN; i++) {
        if (has_dash_before(i) && *p++ != '-')
            return -EINVAL;
        int high = hex_digit(p[0]), low = hex_digit(p[1]);
        if (high < 0 || low < 0)
            return -EINVAL;
        id[i] = (uint8_t)(high << 4 | low);
        p += 2;
    }
    memcpy(ret, id, ID_LEN);
    return 0;
}
