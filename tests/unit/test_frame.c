/* SPDX-License-Identifier: Apache-2.0 */
#include "common/frame.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const char secret[FRAME_TOKEN_LEN + 1] = "0123456789abcdef0123456789abcdef";

/* Encodes f, checks the length word and the type, decodes it again and checks that every cut and every longer form fails. */
static struct frame round_trip(const struct frame *f, struct buf *out)
{
    struct frame got;
    struct diag diag;
    assert_int_equal(frame_encode(f, out), 0);
    assert_int_equal(get_u32(out->data), out->len - 4);
    assert_int_equal(out->data[4], f->type);
    assert_int_equal(frame_need(buf_str(out)), out->len);
    for (size_t len = 0; len < out->len; len++)
        assert_int_equal(frame_decode((struct str){(char *)out->data, len}, &got, &diag), -EBADMSG);

    if (f->type != FRAME_BATCH && f->type != FRAME_STATS) {
        struct buf longer = BUF_INIT(FRAME_MAX);
        assert_int_equal(buf_append_str(&longer, buf_str(out)), 0);
        assert_int_equal(buf_append_z(&longer, "x"), 0);
        put_u32(longer.data, (uint32_t)longer.len - 4);
        assert_int_equal(frame_decode(buf_str(&longer), &got, &diag), -EBADMSG);
        longer.len -= 2;
        put_u32(longer.data, (uint32_t)longer.len - 4);
        assert_int_equal(frame_decode(buf_str(&longer), &got, &diag), -EBADMSG);
        buf_clear(&longer);
    }
    assert_int_equal(frame_decode(buf_str(out), &got, &diag), 0);
    assert_int_equal(got.type, f->type);
    return got;
}

static void assert_str(struct str a, struct str b)
{
    assert_true(str_eq(a, b));
}

static void every_type_round_trips(void **state)
{
    (void)state;
    struct buf out = BUF_INIT(FRAME_MAX);
    struct frame f = {.type = FRAME_HELLO, .hello = {1, STR("web01"), STR("0.1.0")}}, got = round_trip(&f, &out);
    assert_int_equal(got.hello.version, 1);
    assert_str(got.hello.host, STR("web01"));
    assert_str(got.hello.program_version, STR("0.1.0"));

    buf_reset(&out);
    f = (struct frame){.type = FRAME_WELCOME, .welcome = {1, 64, 30}};
    got = round_trip(&f, &out);
    assert_int_equal(got.welcome.window_batches, 64);
    assert_int_equal(got.welcome.heartbeat_s, 30);

    buf_reset(&out);
    f = (struct frame){.type = FRAME_BATCH, .batch = STR("VGB1 and so on")};
    assert_str(round_trip(&f, &out).batch, f.batch);

    buf_reset(&out);
    f = (struct frame){.type = FRAME_ACK, .ack_seq = 0x0102030405060708};
    assert_int_equal(round_trip(&f, &out).ack_seq, 0x0102030405060708);

    buf_reset(&out);
    f = (struct frame){.type = FRAME_STATS, .stats = STR("{\"a\":1}")};
    assert_str(round_trip(&f, &out).stats, f.stats);

    buf_reset(&out);
    f = (struct frame){.type = FRAME_RENEW, .renew = {STR("\x30\x00der")}};
    assert_str(round_trip(&f, &out).renew.csr_der, f.renew.csr_der);

    buf_reset(&out);
    f = (struct frame){.type = FRAME_CERT, .cert = {STR("-----A"), STR("-----B-----")}};
    got = round_trip(&f, &out);
    assert_str(got.cert.agent_pem, f.cert.agent_pem);
    assert_str(got.cert.authority_pem, f.cert.authority_pem);

    buf_reset(&out);
    f = (struct frame){.type = FRAME_BYE, .bye = {BYE_DENIED, STR("certificate revoked")}};
    got = round_trip(&f, &out);
    assert_int_equal(got.bye.code, BYE_DENIED);
    assert_str(got.bye.reason, f.bye.reason);

    buf_reset(&out);
    f = (struct frame){.type = FRAME_ENROL, .enrol = {{secret, FRAME_TOKEN_LEN}, STR("web01"), STR("der")}};
    got = round_trip(&f, &out);
    assert_str(got.enrol.secret, f.enrol.secret);
    assert_str(got.enrol.host, f.enrol.host);
    assert_str(got.enrol.csr_der, f.enrol.csr_der);
    buf_clear(&out);
}

/* Bytes on the wire are a promise to agents already installed. */
static void bytes_are_as_documented(void **state)
{
    (void)state;
    struct buf out = BUF_INIT(FRAME_MAX);
    struct frame f = {.type = FRAME_HELLO, .hello = {1, STR("ab"), STR("c")}};
    assert_int_equal(frame_encode(&f, &out), 0);
    f = (struct frame){.type = FRAME_CERT, .cert = {STR("P"), STR("")}};
    assert_int_equal(frame_encode(&f, &out), 0);
    static const char want[] = "\x0d\0\0\0\x01\0\0\0\x01\0\x02\0ab\x01\0c"
                               "\x0d\0\0\0\x07\0\0\0\x01\0\0\0P\0\0\0\0";
    assert_int_equal(out.len, sizeof(want) - 1);
    assert_memory_equal(out.data, want, sizeof(want) - 1);
    buf_clear(&out);
}

static ssize_t need_of(uint32_t length, uint8_t type, uint8_t zero)
{
    uint8_t h[FRAME_HEADER] = {0};
    put_u32(h, length);
    h[4] = type;
    h[6] = zero;
    return frame_need((struct str){(char *)h, sizeof(h)});
}

static void need_refuses_before_anything_is_buffered(void **state)
{
    (void)state;
    assert_int_equal(frame_need((struct str){"\xff\xff\xff\xff\0\0\0", 7}), 0);
    assert_int_equal(need_of(4, FRAME_STATS, 0), 8);
    assert_int_equal(need_of(3, FRAME_STATS, 0), -EBADMSG);
    assert_int_equal(need_of(0, FRAME_STATS, 0), -EBADMSG);
    assert_int_equal(need_of(4, FRAME_STATS, 1), -EBADMSG);
    assert_int_equal(need_of(4, 0, 0), -EBADMSG);
    assert_int_equal(need_of(4, FRAME_ENROL + 1, 0), -EBADMSG);
    assert_int_equal(need_of(FRAME_SMALL_MAX - 4, FRAME_HELLO, 0), FRAME_SMALL_MAX);
    assert_int_equal(need_of(FRAME_SMALL_MAX - 3, FRAME_HELLO, 0), -EBADMSG);
    assert_int_equal(need_of(FRAME_MAX - 4, FRAME_BATCH, 0), FRAME_MAX);
    assert_int_equal(need_of(FRAME_MAX - 3, FRAME_BATCH, 0), -EBADMSG);
    assert_int_equal(need_of(UINT32_MAX, FRAME_BATCH, 0), -EBADMSG);
}

static void inner_lengths_are_checked(void **state)
{
    (void)state;
    struct buf out = BUF_INIT(FRAME_MAX);
    struct frame got, f = {.type = FRAME_CERT, .cert = {STR("PEM"), STR("PEM")}};
    assert_int_equal(frame_encode(&f, &out), 0);
    static const uint32_t lengths[] = {2, 4, 100, UINT32_MAX};
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        put_u32(out.data + FRAME_HEADER, lengths[i]);
        assert_int_equal(frame_decode(buf_str(&out), &got, NULL), -EBADMSG);
    }
    buf_reset(&out);
    f = (struct frame){.type = FRAME_ENROL, .enrol = {{secret, FRAME_TOKEN_LEN}, STR("h"), STR("d")}};
    assert_int_equal(frame_encode(&f, &out), 0);
    put_u16(out.data + FRAME_HEADER, FRAME_TOKEN_LEN - 1); /* a short secret, then lengths that no longer fit */
    assert_int_equal(frame_decode(buf_str(&out), &got, NULL), -EBADMSG);
    buf_clear(&out);
}

static void encode_fails_as_a_whole(void **state)
{
    (void)state;
    char *big = calloc(1, FRAME_SMALL_MAX + 10);
    struct buf out = BUF_INIT(FRAME_MAX);
    assert_int_equal(buf_append_z(&out, "kept"), 0);
    struct frame f = {.type = FRAME_STATS, .stats = {big, FRAME_SMALL_MAX}};
    assert_int_equal(frame_encode(&f, &out), -EMSGSIZE);
    f = (struct frame){.type = FRAME_RENEW, .renew = {{big, 65536}}};
    assert_int_equal(frame_encode(&f, &out), -EMSGSIZE);
    f = (struct frame){.type = FRAME_ENROL, .enrol = {{secret, 31}, STR("h"), STR("d")}};
    assert_int_equal(frame_encode(&f, &out), -EMSGSIZE);
    struct buf small = BUF_INIT(20);
    f = (struct frame){.type = FRAME_BYE, .bye = {BYE_SHUTDOWN, STR("come back later")}};
    assert_int_equal(frame_encode(&f, &small), -ENOBUFS);
    assert_int_equal(small.len, 0);
    assert_int_equal(out.len, 4);
    buf_clear(&small);
    buf_clear(&out);
    free(big);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_round_trips),
        cmocka_unit_test(bytes_are_as_documented),
        cmocka_unit_test(need_refuses_before_anything_is_buffered),
        cmocka_unit_test(inner_lengths_are_checked),
        cmocka_unit_test(encode_fails_as_a_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
