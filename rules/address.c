/* SPDX-License-Identifier: Apache-2.0
 *
 * IPv4 is checked by hand since almost every line holds one; IPv6 goes to inet_pton. Called by decoders for each
 * captured address, so it must not cost more than a few nanoseconds for what is plainly a host name.
 */
#include "rules/address.h"

#include <arpa/inet.h>

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_ipv4(struct str s)
{
    size_t i = 0;
    for (int part = 0; part < 4; part++) {
        unsigned v = 0;
        size_t start = i;
        while (i < s.len && i - start < 3 && is_digit(s.p[i]))
            v = v * 10 + (unsigned)(s.p[i++] - '0');
        if (i == start || v > 255)
            return false;
        if (part < 3 && (i >= s.len || s.p[i++] != '.'))
            return false;
    }
    return i == s.len;
}

static bool is_ipv6(struct str s)
{
    char z[INET6_ADDRSTRLEN];
    struct in6_addr addr;
    if (s.len < 2 || s.len >= sizeof(z) || memchr(s.p, ':', s.len) == NULL)
        return false;
    memcpy(z, s.p, s.len);
    z[s.len] = '\0';
    return inet_pton(AF_INET6, z, &addr) == 1;
}

bool address_ip(struct str s, struct str *ret_ip)
{
    if (s.len >= 2 && s.p[0] == '[' && s.p[s.len - 1] == ']')
        s = (struct str){s.p + 1, s.len - 2};
    if (s.len == 0)
        return false;
    if (is_digit(s.p[0]) && is_ipv4(s)) {
        *ret_ip = s;
        return true;
    }
    const char *zone = memchr(s.p, '%', s.len);
    if (zone)
        s.len = (size_t)(zone - s.p);
    if (!is_ipv6(s))
        return false;
    if (s.len > 7 && str_eq_nocase((struct str){s.p, 7}, STR("::ffff:"))) {
        struct str v4 = {s.p + 7, s.len - 7};
        if (is_ipv4(v4))
            s = v4;
    }
    *ret_ip = s;
    return true;
}

bool address_split_port(struct str s, struct str *ret_host, int64_t *ret_port)
{
    size_t i = s.len;
    while (i > 0 && is_digit(s.p[i - 1]))
        i--;
    if (i == s.len || i < 2 || s.p[i - 1] != ':')
        return false;
    struct str host = {s.p, i - 1};
    bool is_bracketed = host.len >= 2 && host.p[0] == '[' && host.p[host.len - 1] == ']';
    if (!is_bracketed && memchr(host.p, ':', host.len) != NULL)
        return false; /* a bare IPv6 address, not a port */
    int64_t port;
    if (parse_i64((struct str){s.p + i, s.len - i}, 0, 65535, &port) < 0)
        return false;
    *ret_host = host;
    *ret_port = port;
    return true;
}
