/* SPDX-License-Identifier: Apache-2.0 */
#include "rules/fixed.h"

#include <errno.h>
#include <math.h>

#define WHOLE_DIGITS_MAX 18
#define PLACES           9
#define WHOLE_MAX        9223372036854775807.0

int fixed_parse(struct str s, fixed *ret)
{
    size_t i = s.len && (s.p[0] == '-' || s.p[0] == '+'), digits = 0, places = 0;
    fixed v = 0;
    for (; i < s.len && s.p[i] >= '0' && s.p[i] <= '9'; i++, digits++)
        v = v * 10 + (s.p[i] - '0');
    if (digits > WHOLE_DIGITS_MAX)
        return -EINVAL;
    if (i < s.len && s.p[i] == '.')
        for (i++; i < s.len && s.p[i] >= '0' && s.p[i] <= '9' && places < PLACES; i++, places++)
            v = v * 10 + (s.p[i] - '0');
    if (i != s.len || digits + places == 0)
        return -EINVAL;
    for (; places < PLACES; places++)
        v *= 10;
    *ret = s.p[0] == '-' ? -v : v;
    return 0;
}

fixed fixed_of_double(double d)
{
    if (isnan(d))
        return 0;
    d = d > WHOLE_MAX ? WHOLE_MAX : d < -WHOLE_MAX ? -WHOLE_MAX : d;
    fixed whole = (fixed)d;
    double rest = (d - (double)whole) * FIXED_ONE;
    return whole * FIXED_ONE + (fixed)(rest + (rest < 0 ? -0.5 : 0.5));
}
