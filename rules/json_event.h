/* SPDX-License-Identifier: Apache-2.0
 *
 * Other people's events: a line of JSON (RFC 8259) straight into a struct event, in one pass and without a tree.
 *
 *   - {"a": {"b": 1}} and {"a.b": 1} are the field a.b. The elements of an array are values of its field, nested arrays and
 *     objects in arrays included. An empty array or object is null, unless it stands in an array: then it is nothing.
 *   - A key that comes twice is an array. An integer that int64 cannot hold is a float. A lone surrogate becomes U+FFFD.
 *   - Bytes that are not UTF-8 stay as they are, although RFC 8259 section 8.1 forbids them: a log line is evidence, and whoever
 *     prints it must be able to escape any byte anyway. Everything else of the grammar is checked, also in what is skipped.
 *   - The time is that of the first of these fields that has one: @timestamp, timestamp, EventTime, TimeCreated (also .SystemTime,
 *     .#attributes.SystemTime, and below System. or Event.System.), eventTime, UtcTime, CreationUtcTime, TimeGenerated, Timestamp,
 *     _time, time, ts, event.created. RFC 3339 and "YYYY-MM-DD hh:mm:ss[.fff]" (UTC unless it says otherwise); numbers, and
 *     texts that are one, are seconds since 1970 below 1e11, milliseconds below 1e14, microseconds below 1e17, else nanoseconds.
 *
 * One reader a thread. It remembers keys (at most JSON_EVENT_KEYS_MAX), which is all that grows.
 */
#pragma once

#include "common/event.h"

#define JSON_EVENT_DEPTH_MAX 64
#define JSON_EVENT_KEYS_MAX  8192

struct json_event_reader;

struct json_event_options {
    bool
        keeps_unknown; /* fields that `names` does not have get the key F_NONE (for keywords); otherwise they are left out */
    bool wants_time;
};

/* Borrows names, which must no longer change. NULL: out of memory. */
struct json_event_reader *json_event_reader_new(const struct names *names, const struct json_event_options *o);
struct json_event_reader *json_event_reader_free(struct json_event_reader *r); /* NULL is fine; always returns NULL */

/* One object. *ret borrows from line and reader until the next call. An event without time has ts_ns 0 and ts_is_guessed.
 * 0, -EBADMSG (not one JSON object; see json_event_bad_at), -E2BIG (nested deeper than JSON_EVENT_DEPTH_MAX), -ENOMEM. */
int json_event_read(struct json_event_reader *r, struct str line, struct event *ret);

size_t json_event_bad_at(const struct json_event_reader *r);           /* offset in the line that was refused last */
uint64_t json_event_dropped_fields(const struct json_event_reader *r); /* beyond EVENT_FIELDS_MAX, over all events */

/* A text or number as the time rules above have it. 0 or -EINVAL. */
int json_event_time(const struct field *f, int64_t *ret_ts_ns);
