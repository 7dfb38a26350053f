/* SPDX-License-Identifier: Apache-2.0
 *
 * Events named by reference, read back from the archive and decoded by today's content. Blocking; any thread. Reading and
 * unpacking happen without the content's lock, decoding with it.
 */
#pragma once

#include "common/diag.h"
#include "common/event.h"

#include <jansson.h>

#define ARCHIVED_EVENTS_MAX 64

struct collector;

/* API.md: an array of Event, in the order of refs. *ret_missing: those whose record is gone or damaged. 0, -ENOMEM, or why
 * the archive cannot be opened. */
int archived_events_json(struct collector *c, const struct event_ref *refs, size_t n, json_t **ret, size_t *ret_missing,
                         struct diag *diag);
