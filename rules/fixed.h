/* SPDX-License-Identifier: Apache-2.0
 *
 * Numbers of correlations: 128-bit decimals with nine places. Sums of them are exact, so that a sum does not depend on the order
 * of events. A value is at most 2^63 in size and a group holds less than 2^22 hits that count at most 10,000 each: sums stay
 * below 2^131 / 2^22 of what the type holds, and nothing overflows.
 */
#pragma once

#include "common/base.h"

__extension__ typedef __int128 fixed;

#define FIXED_ONE 1000000000

/* Decimal notation: sign, up to 18 digits, and nine after the point. 0 or -EINVAL. */
int fixed_parse(struct str s, fixed *ret);

/* NaN is 0; beyond 2^63 it is taken for that. */
fixed fixed_of_double(double d);
