/* SPDX-License-Identifier: Apache-2.0
 *
 * Sigma's time modifiers (2.1.0, appendix "modifiers"): one number out of a date. "It is not designed to handle timezone or format
 * conversions": the number is the one that is written, whatever the zone behind it says; only a count of seconds, which
 * shows no number, is taken as UTC.
 */
#pragma once

#include "common/event.h"

enum date_part { DATE_NONE, DATE_MINUTE, DATE_HOUR, DATE_DAY, DATE_WEEK, DATE_MONTH, DATE_YEAR };

/* Understands RFC 3339 (also ' ' for 'T', '/' for '-', or the day alone), "23/Nov/2026:13:55:36", "Nov  2 15:40:14" (which has
 * no year, hence no week), and numbers since 1970: seconds below 1e11, milliseconds below 1e14, microseconds below 1e17,
 * else nanoseconds. Weeks are ISO 8601's. Returns false where there is no such number. */
bool date_part(struct str text, enum date_part part, int64_t *ret);

bool date_part_can_be(enum date_part part, double n); /* whether a calendar has that number */
