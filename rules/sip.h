/* SPDX-License-Identifier: Apache-2.0
 *
 * SipHash-1-3 (Aumasson, Bernstein): group keys and values come from attackers, so the hash has a secret key.
 */
#pragma once

#include "common/base.h"

#define SIP_ROTL(x, b) ((x) << (b) | (x) >> (64 - (b)))

static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1], v[1] = SIP_ROTL(v[1], 13) ^ v[0], v[0] = SIP_ROTL(v[0], 32);
    v[2] += v[3], v[3] = SIP_ROTL(v[3], 16) ^ v[2];
    v[0] += v[3], v[3] = SIP_ROTL(v[3], 21) ^ v[0];
    v[2] += v[1], v[1] = SIP_ROTL(v[1], 17) ^ v[2], v[2] = SIP_ROTL(v[2], 32);
}

static inline uint64_t sip_hash(const uint64_t secret[2], uint64_t salt, const void *bytes, size_t len)
{
    const uint8_t *p = bytes;
    uint64_t v[4] = {secret[0] ^ 0x736f6d6570736575, secret[1] ^ 0x646f72616e646f6d ^ salt,
                     secret[0] ^ 0x6c7967656e657261, secret[1] ^ 0x7465646279746573};
    uint64_t last = (uint64_t)len << 56;
    for (; len >= 8; p += 8, len -= 8) {
        uint64_t word = get_u64(p);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    for (size_t i = 0; i < len; i++)
        last |= (uint64_t)p[i] << 8 * i;
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}
