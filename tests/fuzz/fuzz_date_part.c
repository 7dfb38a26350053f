/* SPDX-License-Identifier: Apache-2.0
 *
 * Dates as fields of events hold them. A part that is found must be one that a calendar has.
 */
#include "rules/date_part.h"

#include <stdlib.h>

static void require(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int64_t least[] = {0, 0, 0, 1, 1, 1, INT64_MIN}, most[] = {0, 59, 23, 31, 53, 12, INT64_MAX};
    struct str s = {(const char *)data, size};
    int64_t n, month;
    for (enum date_part part = DATE_MINUTE; part <= DATE_YEAR; part++)
        if (date_part(s, part, &n))
            require(n >= least[part] && n <= most[part]);
    require(!date_part(s, DATE_WEEK, &n) || date_part(s, DATE_MONTH, &month));
    return 0;
}
