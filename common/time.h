/* SPDX-License-Identifier: Apache-2.0
 *
 * Time is int64_t nanoseconds since 1970-01-01 UTC, named ts_ns. Calendars are pure functions: no locale, no TZ
 * variable, no static buffer.
 */
#pragma once

#include "common/base.h"

#define TIME_RFC3339_LEN 31 /* "2026-11-23T16:29:00.123456789Z" and NUL */

int64_t time_now_ns(void);       /* CLOCK_REALTIME */
int64_t time_monotonic_ns(void); /* CLOCK_MONOTONIC, for intervals */

struct civil {
    int year, month, day, hour, minute, second; /* month and day from 1 */
};

int64_t civil_to_unix_s(const struct civil *c); /* proleptic Gregorian, UTC; the fields must be in range */
void civil_from_unix_s(int64_t unix_s, struct civil *ret);
bool civil_is_valid(const struct civil *c); /* a leap second (60) is valid */

/* RFC 3339, also with ',' as decimal mark, ' ' in place of 'T', and "+0700". Consumes a prefix of s; *ret_len tells how
 * much. 0 or -EINVAL. Without a zone *ret_has_zone is false and the time is taken as UTC. */
int time_parse_rfc3339(struct str s, int64_t *ret_ts_ns, bool *ret_has_zone, size_t *ret_len);

/* RFC 3164 "Nov  2 15:40:14" (also "Nov 2 "): the year is the latest that does not put the time more than one day after
 * near_ns. `tz_offset_s` is the sender's offset east of UTC. 0 or -EINVAL. */
int time_parse_rfc3164(struct str s, int64_t near_ns, int32_t tz_offset_s, int64_t *ret_ts_ns, size_t *ret_len);

/* "10/Oct/2000:13:55:36 -0700" (Apache and nginx access logs). 0 or -EINVAL. */
int time_parse_clf(struct str s, int64_t *ret_ts_ns, size_t *ret_len);

void time_format_rfc3339(int64_t ts_ns, char ret[static TIME_RFC3339_LEN]); /* UTC, nine decimals */
void time_format_stix(int64_t ts_ns,
                      char ret[static TIME_RFC3339_LEN]); /* UTC, three decimals (STIX 2.1 section 3.2) */

/* This machine's offset east of UTC at that moment, in seconds. */
int32_t time_local_offset_s(int64_t ts_ns);
