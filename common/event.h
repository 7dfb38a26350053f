/* SPDX-License-Identifier: Apache-2.0
 *
 * The event: a flat list of typed fields, used by decoders, rules and the collector alike. Keys are interned ECS names.
 * A key that occurs more than once is an array: rules match when any element does. An event owns nothing: its fields
 * and strings live in the arena of its batch or in the batch's bytes.
 */
#pragma once

#include "common/arena.h"
#include "common/buf.h"
#include "common/names.h"

#define EVENT_FIELDS_MAX 1024

enum value_type { VALUE_STR, VALUE_INT, VALUE_FLOAT, VALUE_BOOL, VALUE_NULL };

struct field {
    name_id key;
    uint8_t type; /* enum value_type */
    union {
        struct str s; /* borrows */
        int64_t i;
        double f;
        bool b;
    };
};

/* Where an event rests: the position of its record in the archive, and its line within that record's batch.
 * The same event has the same reference for ever. Equal to no other event of this collector. */
struct event_ref {
    uint64_t pos;
    uint32_t line;
};

struct event {
    struct field *fields; /* borrows from arena */
    uint16_t n, cap;
    struct arena *arena; /* borrowed: where fields and copied strings go */
    int64_t ts_ns;       /* @timestamp: when it happened, UTC */
    int64_t created_ns;  /* when the agent read it */
    int64_t ingested_ns; /* when the collector received it */
    bool is_structured;  /* the record was JSON: what a person reads of it are its fields, `raw` only spells them */
    bool ts_is_guessed;  /* year or zone was missing and filled in, or there was no time at all */
    struct str raw;      /* event.original: the line as it came. Not repeated in `fields`. */
    struct event_ref ref;
};

/* Empties ev and prepares it for at most EVENT_FIELDS_MAX fields out of `arena`. 0 or -ENOMEM. */
int event_init(struct event *ev, struct arena *arena);

/* Append a field. 0, -ENOMEM, or -E2BIG when the event is full. The str form borrows s. Appending may move the fields:
 * pointers from event_get are good until then. */
int event_add_str(struct event *ev, name_id key, struct str s);
int event_add_int(struct event *ev, name_id key, int64_t i);
int event_add_bool(struct event *ev, name_id key, bool b);
int event_add_field(struct event *ev, const struct field *f);

/* First field with that key, or NULL. `next` continues after a field found before (arrays). F_EVENT_ORIGINAL is not
 * among the fields: read ev->raw. */
const struct field *event_get(const struct event *ev, name_id key);
const struct field *event_get_next(const struct event *ev, const struct field *after);
struct str event_get_str(const struct event *ev, name_id key); /* empty where absent or not a string */

/* A value as the text a person or a string comparison sees: numbers in decimal, true/false, "" for null.
 * Uses `scratch` (at least 32 bytes) for anything that is not a string. */
struct str field_text(const struct field *f, char scratch[static 32]);

/* One JSON object without newline: flat ECS names, arrays where a key repeats, times as RFC 3339 with nanoseconds,
 * event.original last. What the struct itself holds is printed from there; created and ingested only when not 0.
 * 0, -ENOBUFS, -ENOMEM. */
int event_to_json(const struct event *ev, const struct names *names, struct buf *out);
