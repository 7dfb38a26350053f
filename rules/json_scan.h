/* SPDX-License-Identifier: Apache-2.0
 *
 * A reader for JSON records (RFC 8259) on the event path: walks the members of an object or the elements of an array
 * without building a tree. Values are slices of the text; nested ones are skipped over and can be walked in turn.
 * Depth is bounded, nothing is allocated except what json_text has to unescape.
 */
#pragma once

#include "common/arena.h"

#define JSON_DEPTH_MAX 64

enum json_kind { JSON_STRING, JSON_NUMBER, JSON_TRUE, JSON_FALSE, JSON_NULL, JSON_ARRAY, JSON_OBJECT };

struct json_value {
    enum json_kind kind;
    struct str text; /* string: between the quotes, still escaped; otherwise as it stands, brackets included */
    bool is_escaped; /* string: has at least one backslash */
};

struct json_scan {
    const char *p, *end;
    char close; /* '}' or ']' */
    bool is_first, is_nested;
};

/* Starts on a whole record that must be one object. 0 or -EBADMSG. */
int json_open_record(struct json_scan *s, struct str text);

/* Starts on an array or object found before. */
void json_open_value(struct json_scan *s, const struct json_value *v);

/* 1 and the next member (or element), 0 at the end, -EBADMSG. After the end of a record nothing but white space may
 * follow. */
int json_next_member(struct json_scan *s, struct json_value *ret_key, struct json_value *ret);
int json_next_element(struct json_scan *s, struct json_value *ret);

/* The text of a string value: borrows when nothing is escaped, else lives in arena. Lone surrogates become U+FFFD.
 * 0, -EBADMSG (bad escape), -ENOMEM. */
int json_text(const struct json_value *v, struct arena *arena, struct str *ret);
