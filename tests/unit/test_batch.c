/* SPDX-License-Identifier: Apache-2.0 */
#include "common/batch.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <zlib.h>
#include <zstd.h>

#include <cmocka.h>

static const char text[] = "first line\nsecond\n\nfourth line\n";
#define TEXT ((struct str){text, sizeof(text) - 1})

static struct batch sample(void)
{
    struct batch b = {
        .seq = 7,
        .start = 1000,
        .end = 1000 + sizeof(text) - 1,
        .records = 4,
        .read_first_ns = 1700000000000000001,
        .read_last_ns = 1700000000000000002,
        .tz_offset_s = 7 * 3600,
        .encoding = BATCH_TEXT,
        .flags = BATCH_DEMO,
        .source = STR("auth"),
        .type = STR("sshd"),
        .path = STR("/var/log/auth.log"),
        .host = STR("may-chủ-1"),
        .cursor = STR(""),
    };
    memset(b.agent, 0xa1, ID_LEN);
    memset(b.stream, 0xb2, ID_LEN);
    return b;
}

static void assert_str(struct str a, struct str b)
{
    assert_int_equal(a.len, b.len);
    assert_true(str_eq(a, b));
}

static struct buf encoded(const struct batch *b, struct str raw)
{
    struct buf out = BUF_INIT(BATCH_MAX);
    assert_int_equal(batch_encode(b, raw, 1, &out), 0);
    return out;
}

/* Sets the crc right again after a test has bent a byte on purpose. */
static void seal(struct buf *bytes)
{
    put_u32(bytes->data + 4, (uint32_t)crc32_z(0, bytes->data + 8, bytes->len - 8));
}

static int decode(const struct buf *bytes)
{
    struct batch b;
    struct diag diag = {0};
    int r = batch_decode(buf_str(bytes), &b, &diag);
    assert_true(r == 0 || (r == -EBADMSG && diag.msg[0]));
    return r;
}

static void round_trip(void **state)
{
    (void)state;
    struct batch b = sample(), got;
    struct buf bytes = encoded(&b, TEXT), raw = BUF_INIT(BATCH_RAW_MAX);
    assert_int_equal(batch_peek_len(bytes.data), bytes.len);
    assert_int_equal(batch_decode(buf_str(&bytes), &got, NULL), 0);
    assert_memory_equal(got.agent, b.agent, ID_LEN);
    assert_memory_equal(got.stream, b.stream, ID_LEN);
    assert_int_equal(got.seq, b.seq);
    assert_int_equal(got.start, b.start);
    assert_int_equal(got.end, b.end);
    assert_int_equal(got.records, 4);
    assert_int_equal(got.raw_len, sizeof(text) - 1);
    assert_int_equal(got.read_first_ns, b.read_first_ns);
    assert_int_equal(got.read_last_ns, b.read_last_ns);
    assert_int_equal(got.tz_offset_s, b.tz_offset_s);
    assert_int_equal(got.encoding, BATCH_TEXT);
    assert_int_equal(got.flags, BATCH_DEMO);
    assert_str(got.source, b.source);
    assert_str(got.type, b.type);
    assert_str(got.path, b.path);
    assert_str(got.host, b.host);
    assert_str(got.cursor, b.cursor);
    assert_int_equal(batch_raw(&got, &raw), 0);
    assert_str(buf_str(&raw), TEXT);
    buf_clear(&raw);
    buf_clear(&bytes);
}

/* The layout is a promise to archives already written: these are the offsets of batch.h, read without our own decoder. */
static void layout_is_as_documented(void **state)
{
    (void)state;
    struct batch b = sample();
    b.tz_offset_s = -5 * 3600;
    struct buf bytes = encoded(&b, TEXT);
    const uint8_t *h = bytes.data;
    assert_memory_equal(h, "VGB1", 4);
    assert_int_equal(get_u32(h + 4), crc32_z(0, h + 8, bytes.len - 8));
    size_t header_len = 104 + 10 + 4 + 4 + 17 + strlen("may-chủ-1");
    assert_int_equal(get_u32(h + 8), header_len);
    assert_int_equal(get_u32(h + 12), bytes.len - header_len);
    assert_int_equal(h[16], 0xa1);
    assert_int_equal(h[32], 0xb2);
    assert_int_equal(get_u64(h + 48), 7);
    assert_int_equal(get_u64(h + 56), 1000);
    assert_int_equal(get_u64(h + 64), 1000 + sizeof(text) - 1);
    assert_int_equal(get_u32(h + 72), 4);
    assert_int_equal(get_u32(h + 76), sizeof(text) - 1);
    assert_int_equal((int32_t)get_u32(h + 96), -18000);
    assert_int_equal(h[100], 1);
    assert_int_equal(h[101], 2);
    assert_memory_equal(h + 104, "\4\0auth\4\0sshd\21\0/var/log/auth.log", 4 + 4 + 17 + 6);
    char raw[sizeof(text)];
    assert_int_equal(ZSTD_decompress(raw, sizeof(raw), h + header_len, bytes.len - header_len), sizeof(text) - 1);
    buf_clear(&bytes);
}

static void appends_behind_what_is_there(void **state)
{
    (void)state;
    struct batch b = sample(), got;
    struct buf out = BUF_INIT(BATCH_MAX), raw = BUF_INIT(4096);
    assert_int_equal(buf_append_z(&out, "before"), 0);
    assert_int_equal(batch_encode(&b, TEXT, 3, &out), 0);
    assert_memory_equal(out.data, "before", 6);
    assert_int_equal(batch_decode((struct str){(char *)out.data + 6, out.len - 6}, &got, NULL), 0);
    assert_int_equal(buf_append_z(&raw, "x"), 0);
    assert_int_equal(batch_raw(&got, &raw), 0);
    assert_int_equal(raw.len, sizeof(text));
    assert_memory_equal(raw.data, "x", 1);
    buf_clear(&raw);
    buf_clear(&out);
}

static void every_flipped_byte_is_seen(void **state)
{
    (void)state;
    struct batch b = sample();
    struct buf bytes = encoded(&b, TEXT);
    for (size_t i = 0; i < bytes.len; i++) {
        bytes.data[i] ^= 0x10;
        assert_int_equal(decode(&bytes), -EBADMSG);
        bytes.data[i] ^= 0x10;
    }
    for (size_t len = 0; len < bytes.len; len++) {
        struct batch got;
        assert_int_equal(batch_decode((struct str){(char *)bytes.data, len}, &got, NULL), -EBADMSG);
    }
    assert_int_equal(decode(&bytes), 0);
    buf_clear(&bytes);
}

static void lies_with_a_right_crc_are_refused(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        uint8_t size;
        uint64_t value;
    } lies[] = {
        {72, 4, 0},                   /* no records */
        {72, 4, sizeof(text)},        /* more records than bytes */
        {76, 4, 0},                   /* no content */
        {76, 4, BATCH_RAW_MAX + 1},   /* a bomb */
        {76, 4, sizeof(text)},        /* does not fit end - start */
        {56, 8, 1000 + sizeof(text)}, /* start behind end */
        {64, 8, 1000},                /* empty range */
        {64, 8, UINT64_MAX},          /* over 63 bits */
        {48, 8, UINT64_MAX},          /* sequence over 63 bits */
        {100, 1, 0},                  /* encodings */
        {100, 1, 4},
        {101, 1, 4}, /* flags */
        {101, 1, 1}, /* irregular with four records */
        {102, 2, 1}, /* reserved */
        {96, 4, 24 * 3600 + 1},
        {104, 2, 5000}, /* strings over the header's end */
        {104, 2, 3},    /* strings that leave a rest */
    };
    struct batch b = sample();
    for (size_t i = 0; i < ARRAY_LEN(lies); i++) {
        struct buf bytes = encoded(&b, TEXT);
        for (size_t k = 0; k < lies[i].size; k++)
            bytes.data[lies[i].at + k] = (uint8_t)(lies[i].value >> (8 * k));
        seal(&bytes);
        if (decode(&bytes) != -EBADMSG)
            fail_msg("lie %zu was believed", i);
        buf_clear(&bytes);
    }
}

static void lengths_are_checked_before_reading(void **state)
{
    (void)state;
    struct batch b = sample();
    static const uint32_t headers[] = {0, 113, BATCH_HEADER_MAX + 1, UINT32_MAX};
    for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
        struct buf bytes = encoded(&b, TEXT);
        put_u32(bytes.data + 8, headers[i]);
        seal(&bytes);
        assert_int_equal(batch_peek_len(bytes.data), 0);
        assert_int_equal(decode(&bytes), -EBADMSG);
        buf_clear(&bytes);
    }
    struct buf bytes = encoded(&b, TEXT);
    put_u32(bytes.data + 12, BATCH_PAYLOAD_MAX + 1);
    assert_int_equal(batch_peek_len(bytes.data), 0);
    buf_clear(&bytes);
}

/* Puts a payload of our own behind an honest header. */
static int raw_of_payload(struct batch b, const void *payload, size_t len)
{
    struct buf raw = BUF_INIT(BATCH_RAW_MAX);
    b.payload = (struct str){payload, len};
    int r = batch_raw(&b, &raw);
    assert_true(r == 0 || raw.len == 0);
    buf_clear(&raw);
    return r;
}

static void payload_that_lies_is_refused(void **state)
{
    (void)state;
    struct batch b = sample();
    b.raw_len = sizeof(text) - 1;
    char z[4096], zeros[3000] = {0};
    size_t n = ZSTD_compress(z, sizeof(z), text, sizeof(text) - 1, 1);
    assert_int_equal(raw_of_payload(b, z, n), 0);
    assert_int_equal(raw_of_payload(b, z, n - 1), -EBADMSG);
    ZSTD_CCtx *c = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, 1);
    n = ZSTD_compress2(c, z, sizeof(z), text, sizeof(text) - 1);
    z[n / 2] = (char)(z[n / 2] ^ 0x40);
    assert_int_equal(raw_of_payload(b, z, n), -EBADMSG);

    /* Two frames whose first one promises the right size. */
    n = ZSTD_compress(z, sizeof(z), text, sizeof(text) - 1, 1);
    size_t more = ZSTD_compress(z + n, sizeof(z) - n, zeros, sizeof(zeros), 1);
    assert_int_equal(raw_of_payload(b, z, n + more), -EBADMSG);

    /* More than promised, with and without a content size. */
    n = ZSTD_compress(z, sizeof(z), zeros, sizeof(zeros), 1);
    assert_int_equal(raw_of_payload(b, z, n), -EBADMSG);
    ZSTD_CCtx_setParameter(c, ZSTD_c_contentSizeFlag, 0);
    n = ZSTD_compress2(c, z, sizeof(z), text, sizeof(text) - 1);
    ZSTD_freeCCtx(c);
    assert_int_equal(raw_of_payload(b, z, n), -EBADMSG);

    /* The right size, but not `records` lines, or no newline at the end. */
    n = ZSTD_compress(z, sizeof(z), text, sizeof(text) - 1, 1);
    b.records = 3;
    assert_int_equal(raw_of_payload(b, z, n), -EBADMSG);
    b.records = 3;
    b.raw_len -= 1;
    n = ZSTD_compress(z, sizeof(z), text, sizeof(text) - 2, 1);
    assert_int_equal(raw_of_payload(b, z, n), -EBADMSG);
    assert_int_equal(raw_of_payload(b, "not zstd", 8), -EBADMSG);
}

static void encode_refuses_what_decode_would(void **state)
{
    (void)state;
    struct buf out = BUF_INIT(BATCH_MAX);
    struct batch b = sample();
    assert_int_equal(batch_encode(&b, (struct str){text, 0}, 1, &out), -EINVAL);
    assert_int_equal(batch_encode(&b, (struct str){text, sizeof(text) - 2}, 1, &out), -EINVAL);
    b.records = 3;
    assert_int_equal(batch_encode(&b, TEXT, 1, &out), -EINVAL);
    b = sample();
    b.end++;
    assert_int_equal(batch_encode(&b, TEXT, 1, &out), -EINVAL);
    b = sample();
    b.host = (struct str){"a\0b", 3};
    assert_int_equal(batch_encode(&b, TEXT, 1, &out), -EINVAL);
    b = sample();
    char *long_path = calloc(1, BATCH_STRING_MAX + 1);
    memset(long_path, 'x', BATCH_STRING_MAX + 1);
    b.path = (struct str){long_path, BATCH_STRING_MAX + 1};
    assert_int_equal(batch_encode(&b, TEXT, 1, &out), -EMSGSIZE);
    b.path.len = BATCH_STRING_MAX;
    assert_int_equal(out.len, 0);
    assert_int_equal(batch_encode(&b, TEXT, 1, &out), 0);
    struct buf small = BUF_INIT(200);
    assert_int_equal(batch_encode(&b, TEXT, 1, &small), -ENOBUFS);
    assert_int_equal(small.len, 0);
    buf_clear(&small);
    buf_clear(&out);
    free(long_path);
}

/* Bytes that cannot be compressed and strings of full length: the largest batch there is fits the limits. */
static void largest_batch_fits(void **state)
{
    (void)state;
    struct batch b = sample(), got;
    char *raw = malloc(BATCH_RAW_MAX), *name = malloc(BATCH_STRING_MAX);
    uint32_t x = 12345;
    for (size_t i = 0; i < BATCH_RAW_MAX; i++) {
        x = x * 1664525 + 1013904223;
        raw[i] = (char)(x >> 24);
        if (raw[i] == '\n')
            raw[i] = 'n';
    }
    raw[BATCH_RAW_MAX - 1] = '\n';
    memset(name, 'n', BATCH_STRING_MAX);
    b.source = b.type = b.path = b.host = b.cursor = (struct str){name, BATCH_STRING_MAX};
    b.records = 1;
    b.end = b.start + BATCH_RAW_MAX;
    struct buf bytes = encoded(&b, (struct str){raw, BATCH_RAW_MAX}), back = BUF_INIT(BATCH_RAW_MAX);
    assert_true(bytes.len <= BATCH_MAX);
    assert_int_equal(batch_decode(buf_str(&bytes), &got, NULL), 0);
    assert_int_equal(batch_raw(&got, &back), 0);
    assert_memory_equal(back.data, raw, BATCH_RAW_MAX);
    struct buf out = BUF_INIT(BATCH_MAX);
    assert_int_equal(batch_encode(&b, (struct str){raw, BATCH_RAW_MAX + 1}, 1, &out), -EMSGSIZE);
    buf_clear(&back);
    buf_clear(&bytes);
    free(raw);
    free(name);
}

static void trim_text_at_line_borders_only(void **state)
{
    (void)state;
    struct batch b = sample(), whole, rest;
    struct buf bytes = encoded(&b, TEXT);
    assert_int_equal(batch_decode(buf_str(&bytes), &whole, NULL), 0);
    for (size_t skip = 0; skip <= TEXT.len; skip++) {
        struct buf out = BUF_INIT(BATCH_MAX), raw = BUF_INIT(BATCH_RAW_MAX);
        int r = batch_trim(&whole, b.start + skip, 1, &out);
        bool is_border = skip > 0 && skip < TEXT.len && text[skip - 1] == '\n';
        assert_int_equal(r, is_border ? 0 : -EINVAL);
        if (r == 0) {
            assert_int_equal(batch_decode(buf_str(&out), &rest, NULL), 0);
            assert_int_equal(rest.start, b.start + skip);
            assert_int_equal(rest.end, b.end);
            assert_int_equal(rest.seq, b.seq);
            assert_int_equal(batch_raw(&rest, &raw), 0);
            assert_str(buf_str(&raw), (struct str){text + skip, TEXT.len - skip});
        } else {
            assert_int_equal(out.len, 0);
        }
        buf_clear(&raw);
        buf_clear(&out);
    }
    assert_int_equal(batch_trim(&whole, 0, 1, &bytes), -EINVAL);
    assert_int_equal(batch_trim(&whole, UINT64_MAX, 1, &bytes), -EINVAL);
    buf_clear(&bytes);
}

static void trim_journal_counts_records(void **state)
{
    (void)state;
    struct batch b = sample(), whole, rest;
    b.encoding = BATCH_JOURNAL;
    b.end = b.start + 4;
    b.cursor = STR("s=abc;i=4");
    struct buf bytes = encoded(&b, TEXT);
    assert_int_equal(batch_decode(buf_str(&bytes), &whole, NULL), 0);
    static const char *const rests[] = {NULL, "second\n\nfourth line\n", "\nfourth line\n", "fourth line\n"};
    for (unsigned skip = 1; skip < 4; skip++) {
        struct buf out = BUF_INIT(BATCH_MAX), raw = BUF_INIT(BATCH_RAW_MAX);
        assert_int_equal(batch_trim(&whole, b.start + skip, 1, &out), 0);
        assert_int_equal(batch_decode(buf_str(&out), &rest, NULL), 0);
        assert_int_equal(rest.records, 4 - skip);
        assert_str(rest.cursor, b.cursor);
        assert_int_equal(batch_raw(&rest, &raw), 0);
        assert_str(buf_str(&raw), str_of(rests[skip]));
        buf_clear(&raw);
        buf_clear(&out);
    }
    buf_clear(&bytes);
}

static void irregular_is_stored_whole(void **state)
{
    (void)state;
    struct batch b = sample(), got;
    b.flags = BATCH_IRREGULAR;
    b.records = 1;
    b.end = b.start + 1000000; /* a long line that was cut */
    struct buf bytes = encoded(&b, STR("start of a long line\n")), out = BUF_INIT(BATCH_MAX);
    assert_int_equal(batch_decode(buf_str(&bytes), &got, NULL), 0);
    assert_int_equal(got.end - got.start, 1000000);
    assert_int_equal(batch_trim(&got, b.start + 5, 1, &out), -EINVAL);
    buf_clear(&out);
    buf_clear(&bytes);
}

static void ids(void **state)
{
    (void)state;
    uint8_t a[ID_LEN], b[ID_LEN];
    char textual[ID_TEXT_LEN];
    id_random(a);
    id_random(b);
    assert_memory_not_equal(a, b, ID_LEN);
    assert_int_equal(a[6] >> 4, 4);
    assert_int_equal(a[8] >> 6, 2);
    id_format(a, textual);
    assert_int_equal(strlen(textual), 36);
    assert_int_equal(id_parse(str_of(textual), b), 0);
    assert_memory_equal(a, b, ID_LEN);
    assert_int_equal(id_parse(STR("00112233-4455-6677-8899-AABBccddeeff"), a), 0);
    id_format(a, textual);
    assert_string_equal(textual, "00112233-4455-6677-8899-aabbccddeeff");
    static const char *const bad[] = {
        "",
        "00112233-4455-6677-8899-aabbccddeef",
        "00112233-4455-6677-8899-aabbccddeefff",
        "00112233-4455-6677-8899-aabbccddeefg",
        "001122334455-6677-8899-aabbccddeeff--",
        "00112233-4455-6677-8899aa-bbccddeeff",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(id_parse(str_of(bad[i]), a), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(layout_is_as_documented),
        cmocka_unit_test(appends_behind_what_is_there),
        cmocka_unit_test(every_flipped_byte_is_seen),
        cmocka_unit_test(lies_with_a_right_crc_are_refused),
        cmocka_unit_test(lengths_are_checked_before_reading),
        cmocka_unit_test(payload_that_lies_is_refused),
        cmocka_unit_test(encode_refuses_what_decode_would),
        cmocka_unit_test(largest_batch_fits),
        cmocka_unit_test(trim_text_at_line_borders_only),
        cmocka_unit_test(trim_journal_counts_records),
        cmocka_unit_test(irregular_is_stored_whole),
        cmocka_unit_test(ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
