/* SPDX-License-Identifier: Apache-2.0
 *
 * Request targets taken apart (RFC 9112 section 3.2, RFC 3986) and made readable. Slices borrow from the target.
 */
#pragma once

#include "common/arena.h"

struct url {
    struct str scheme, domain; /* only of the absolute and the authority form */
    int64_t port;              /* -1 where there is none */
    struct str path, query;    /* query without the '?' */
    bool has_query;
};

void url_split(struct str target, struct url *ret);

/* What the target means once every encoding is off: percent-decoding up to URL_DECODE_ROUNDS times until nothing
 * changes, '+' as space in the query, %u0041, and over-long UTF-8 (%c0%af) as the character it stands for. A NUL becomes
 * the two characters \0; backslashes and bytes that are no UTF-8 stay. Borrows when there is nothing to do.
 * 0 or -ENOMEM. */
#define URL_DECODE_ROUNDS 3
int url_decode(struct str target, struct arena *arena, struct str *ret);
