/* SPDX-License-Identifier: Apache-2.0
 *
 * Addresses as logs write them.
 */
#include "rules/address.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void knows_addresses(void **state)
{
    (void)state;
    const struct {
        const char *text, *ip;
    } rows[] = {
        {"192.0.2.1", "192.0.2.1"},
        {"255.255.255.255", "255.255.255.255"},
        {"2001:db8::1", "2001:db8::1"},
        {"[2001:db8::1]", "2001:db8::1"},
        {"fe80::1%eth0", "fe80::1"},
        {"[fe80::1%eth0]", "fe80::1"},
        {"::ffff:192.0.2.1", "192.0.2.1"},
        {"::FFFF:192.0.2.1", "192.0.2.1"},
        {"::", "::"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct str ip;
        assert_true(address_ip(str_of(rows[i].text), &ip));
        assert_true(str_eq(ip, str_of(rows[i].ip)));
    }
    const char *none[] = {"",
                          "[]",
                          "192.0.2",
                          "192.0.2.256",
                          "192.0.2.1.",
                          "192.0.2.1 ",
                          "1.2.3.4.5",
                          "0192.0.2.1",
                          "host.example.net",
                          "UNKNOWN",
                          "2001:db8::1::2",
                          "12345::",
                          ":",
                          "::ffff:192.0.2.300",
                          "-"};
    for (size_t i = 0; i < ARRAY_LEN(none); i++) {
        struct str ip;
        if (address_ip(str_of(none[i]), &ip))
            fail_msg("taken for an address: %s", none[i]);
    }
}

static void splits_ports(void **state)
{
    (void)state;
    struct str host;
    int64_t port;
    assert_true(address_split_port(STR("www.example.net:443"), &host, &port));
    assert_true(str_eq(host, STR("www.example.net")));
    assert_int_equal(port, 443);
    assert_true(address_split_port(STR("[2001:db8::1]:22"), &host, &port));
    assert_true(str_eq(host, STR("[2001:db8::1]")));
    const char *none[] = {"", "x", ":1", "x:", "x:65536", "2001:db8::1", "x:y"};
    for (size_t i = 0; i < ARRAY_LEN(none); i++)
        assert_false(address_split_port(str_of(none[i]), &host, &port));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(knows_addresses),
        cmocka_unit_test(splits_ports),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
