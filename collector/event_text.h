/* SPDX-License-Identifier: Apache-2.0
 *
 * Free text over stored events, for the alert list's search box: words anywhere in an event's values, and values of one
 * field. Letters match whatever their case, Vietnamese ones too (rules/fold.h). Works on the event's flat JSON as it
 * lies in the database, without building a tree. One thread an instance.
 */
#pragma once

#include "common/base.h"

#include <sqlite3.h>

struct event_text;

struct event_text *event_text_new(void); /* NULL: out of memory */
struct event_text *event_text_free(struct event_text *t);

/* Folded copy, NUL-terminated, owned by the caller. NULL: out of memory. */
char *event_text_fold(struct str s);

/* Does `text` contain the folded needle? */
bool event_text_contains(struct event_text *t, struct str text, struct str needle);

/* Does any value of the JSON object contain it? Names of members do not count. */
bool event_text_any_value(struct event_text *t, struct str json, struct str needle);

/* Has the member that value? `wanted` is folded; with is_pattern a '*' in it stands for any run of characters. An array
 * has it when an element has. */
bool event_text_field(struct event_text *t, struct str json, struct str field, struct str wanted, bool is_pattern);

/* Makes them SQL functions of this connection; t must live as long:
 *   vg_has(needle, text, ...)                       any of the texts
 *   vg_event(needle, event_json)
 *   vg_field(field, wanted, is_pattern, event_json) */
int event_text_register(struct event_text *t, sqlite3 *db);
