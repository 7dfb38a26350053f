/* SPDX-License-Identifier: Apache-2.0
 * See public_address.h. Ranges: the IANA special-purpose address registries (RFC 6890). */
#include "collector/public_address.h"

#include <errno.h>

static bool ipv4_is_public(uint32_t a)
{
    static const struct {
        uint32_t net;
        int bits;
    } special[] = {
        {0x00000000, 8},  /* this network */
        {0x0a000000, 8},  /* RFC 1918 */
        {0x64400000, 10}, /* shared address space, RFC 6598 */
        {0x7f000000, 8},  /* loopback */
        {0xa9fe0000, 16}, /* link-local */
        {0xac100000, 12}, /* RFC 1918 */
        {0xc0000000, 24}, /* IETF protocol assignments */
        {0xc0a80000, 16}, /* RFC 1918 */
        {0xc6120000, 15}, /* benchmarking */
        {0xe0000000, 4},  /* multicast */
        {0xf0000000, 4},  /* reserved, broadcast */
    };
    for (size_t i = 0; i < ARRAY_LEN(special); i++) {
        if ((a ^ special[i].net) >> (32 - special[i].bits) == 0)
            return false;
    }
    return true;
}

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static bool ipv6_is_public(const uint8_t a[static 16])
{
    if ((a[0] & 0xe0) != 0x20) /* only 2000::/3 is handed out as global unicast */
        return false;
    if (a[0] == 0x20 && a[1] == 0x02) /* 6to4 carries an IPv4 address */
        return ipv4_is_public(be32(a + 2));
    return !(a[0] == 0x20 && a[1] == 0x01 && a[2] == 0 && a[3] == 0); /* Teredo hides one */
}

int public_address(struct str text, char ret[static INET6_ADDRSTRLEN], bool *ret_is_ipv6)
{
    char z[INET6_ADDRSTRLEN];
    if (text.len == 0 || text.len >= sizeof(z))
        return -EINVAL;
    memcpy(z, text.p, text.len);
    z[text.len] = '\0';
    uint8_t a[16];
    if (strlen(z) == text.len && inet_pton(AF_INET, z, a) == 1) {
        *ret_is_ipv6 = false;
        inet_ntop(AF_INET, a, ret, INET6_ADDRSTRLEN);
        return ipv4_is_public(be32(a)) ? 0 : -ENOENT;
    }
    if (strlen(z) != text.len || inet_pton(AF_INET6, z, a) != 1)
        return -EINVAL;
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    *ret_is_ipv6 = memcmp(a, mapped, sizeof(mapped)) != 0;
    if (!*ret_is_ipv6) {
        inet_ntop(AF_INET, a + 12, ret, INET6_ADDRSTRLEN);
        return ipv4_is_public(be32(a + 12)) ? 0 : -ENOENT;
    }
    inet_ntop(AF_INET6, a, ret, INET6_ADDRSTRLEN);
    return ipv6_is_public(a) ? 0 : -ENOENT;
}
