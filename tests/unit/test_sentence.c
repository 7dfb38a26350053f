/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/public_address.h"
#include "collector/sentence.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void expect(const struct sentence_facts *f, enum sentence_language language, const char *want)
{
    struct buf out = BUF_INIT(4 * KIB);
    const char *z;
    assert_int_equal(sentence_write(f, language, &out), 0);
    assert_int_equal(buf_z(&out, &z), 0);
    assert_string_equal(z, want);
    buf_clear(&out);
}

static void correlation(void **state)
{
    (void)state;
    const struct sentence_group group[] = {{STR("source.ip"), STR("203.0.113.7")}, {STR("host.name"), STR("web01")}};
    struct sentence_facts f = {.is_correlation = true,
                               .title = STR("Dò mật khẩu SSH"),
                               .host = STR("web01"),
                               .user = STR("root"),
                               .source_ip = STR("203.0.113.7"),
                               .group = group,
                               .n_group = 2,
                               .count = 12,
                               .first_ns = 1000 * NS_PER_S,
                               .last_ns = 1125 * NS_PER_S};
    expect(&f, SENTENCE_VI, "Dò mật khẩu SSH: 12 lần trong 2 phút 5 giây từ địa chỉ 203.0.113.7, trên máy web01.");
    f.title = STR("SSH brute force");
    expect(&f, SENTENCE_EN, "SSH brute force: 12 times in 2 minutes 5 seconds from 203.0.113.7, on host web01.");
    f.last_ns = f.first_ns + NS_PER_S / 2;
    expect(&f, SENTENCE_EN, "SSH brute force: 12 times in less than a second from 203.0.113.7, on host web01.");
    f.last_ns = f.first_ns + 3601 * NS_PER_S; /* the second is not worth the words */
    expect(&f, SENTENCE_EN, "SSH brute force: 12 times in 1 hour from 203.0.113.7, on host web01.");
    f.last_ns = f.first_ns + (2 * 86400 + 3600) * NS_PER_S;
    expect(&f, SENTENCE_EN, "SSH brute force: 12 times in 2 days 1 hour from 203.0.113.7, on host web01.");
    f.n_group = 0;
    f.last_ns = f.first_ns + 60 * NS_PER_S;
    expect(&f, SENTENCE_EN, "SSH brute force: 12 times in 1 minute on host web01.");
}

static void other_groups(void **state)
{
    (void)state;
    const struct sentence_group group[] = {
        {STR("user.name"), STR("lan")}, {STR("destination.port"), STR("22")}, {STR("url.path"), STR("/a\nb")}};
    struct sentence_facts f = {
        .is_correlation = true, .title = STR("T"), .group = group, .n_group = 3, .count = 2, .last_ns = 2 * NS_PER_S};
    expect(&f, SENTENCE_VI, "T: 2 lần trong 2 giây tài khoản lan, cổng đích 22, url.path = /a b.");
    f.is_public = true;
    expect(&f, SENTENCE_VI, "T: 2 lần trong 2 giây cổng đích 22.");
}

static void detection(void **state)
{
    (void)state;
    struct sentence_facts f = {.title = STR("Tấn công SQL injection"),
                               .host = STR("web01"),
                               .user = STR("lan"),
                               .source_ip = STR("10.1.2.3"),
                               .destination_ip = STR("198.51.100.9"),
                               .count = 1,
                               .matched_field = STR("url.query"),
                               .matched_value = STR("id=1 union select 1")};
    expect(
        &f, SENTENCE_VI,
        "Tấn công SQL injection: 1 lần trên máy web01, từ địa chỉ 10.1.2.3, đến địa chỉ 198.51.100.9, tài khoản lan; "
        "khớp url.query = \"id=1 union select 1\".");
    f.is_public = true;
    expect(&f, SENTENCE_EN, "Tấn công SQL injection: once on host web01, to 198.51.100.9.");
}

static void long_values_are_cut_between_characters(void **state)
{
    (void)state;
    struct sentence_facts f = {.title = STR("T"), .count = 1};
    f.host = STR("1234567890123456789012345678901234567890123456789012345678901234567890123456789đuôi");
    expect(&f, SENTENCE_EN,
           "T: once on host 1234567890123456789012345678901234567890123456789012345678901234567890123456789….");
}

static void addresses(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out; /* out NULL: internal; "": no address */
    } cases[] = {
        {"203.0.113.7", "203.0.113.7"},
        {"8.8.8.8", "8.8.8.8"},
        {"10.0.0.1", NULL},
        {"172.16.0.1", NULL},
        {"172.32.0.1", "172.32.0.1"},
        {"192.168.1.1", NULL},
        {"192.169.1.1", "192.169.1.1"},
        {"127.0.0.1", NULL},
        {"169.254.169.254", NULL},
        {"100.64.0.1", NULL},
        {"100.128.0.1", "100.128.0.1"},
        {"0.0.0.0", NULL},
        {"224.0.0.1", NULL},
        {"255.255.255.255", NULL},
        {"2001:DB8:0:0::1", "2001:db8::1"},
        {"::1", NULL},
        {"::", NULL},
        {"fe80::1", NULL},
        {"fd12::1", NULL},
        {"ff02::1", NULL},
        {"::ffff:10.0.0.1", NULL},
        {"::ffff:203.0.113.7", "203.0.113.7"},
        {"2002:0a00:0001::1", NULL},
        {"2001:0:1::1", NULL},
        {"", ""},
        {"web01", ""},
        {"1.2.3.4.5", ""},
        {"1.2.3.4 ", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[INET6_ADDRSTRLEN] = "";
        bool is_ipv6;
        int r = public_address(str_of(cases[i].in), text, &is_ipv6);
        assert_int_equal(r, !cases[i].out ? -ENOENT : *cases[i].out ? 0 : -EINVAL);
        if (r == 0)
            assert_string_equal(text, cases[i].out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(correlation), cmocka_unit_test(other_groups),
        cmocka_unit_test(detection),   cmocka_unit_test(long_values_are_cut_between_characters),
        cmocka_unit_test(addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
