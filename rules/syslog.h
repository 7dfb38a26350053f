/* SPDX-License-Identifier: Apache-2.0
 *
 * The head of a syslog line, in the forms that files and relays hold: RFC 3164 ("Nov  2 15:40:14 host prog[1]: "), the
 * same with an RFC 3339 time as rsyslog and journald write it, and RFC 5424; each with or without <PRI>.
 * Slices borrow from the line. Nothing here allocates.
 */
#pragma once

#include "common/base.h"

#define SYSLOG_HOST_MAX    255
#define SYSLOG_PROGRAM_MAX 128

struct syslog {
    int pri; /* facility * 8 + severity, or -1 */
    bool has_ts, ts_is_guessed;
    int64_t ts_ns;
    struct str host;    /* empty where the line has none */
    struct str program; /* without the pid; empty where the line has none */
    int64_t pid;        /* -1 where the line has none, or it is no number */
    struct str msg;     /* white space at both ends taken off */
};

/* near_ns: about when the line was written, for the year; tz_offset_s: the writer's offset east of UTC, for times without a
 * zone. False when the line does not begin like syslog. */
bool syslog_parse(struct str line, int64_t near_ns, int32_t tz_offset_s, struct syslog *ret);

/* "message repeated 3 times: [ ...]", as rsyslog compresses repetitions. */
bool syslog_repeated(struct str msg, int64_t *ret_times, struct str *ret_inner);

/* "emerg" ... "debug" for severity 0 to 7. */
struct str syslog_severity(int severity);
