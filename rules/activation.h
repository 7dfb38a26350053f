/* SPDX-License-Identifier: Apache-2.0
 *
 * Which log sources an event belongs to. Only a few fields decide that (event.dataset, process.name; product, category,
 * service), and of their values only those that some source names, so few answers exist: each is worked out once and then
 * found by the values.
 */
#pragma once

#include "rules/index.h"

#define WHEN_FIELDS_MAX 16 /* beyond that every event is worked out anew */

struct activation {
    bool is_known;
    uint16_t key[WHEN_FIELDS_MAX]; /* by when-field: 0 absent, 1 some other value, else 2 + place among its values */
    uint32_t *sources;             /* active ones, ascending */
    size_t n_sources;
    uint8_t *is_active; /* by source */
    uint8_t *needs;     /* by place in index.fields: NEEDS_ bits */
    uint64_t classes;   /* of the active sources */
};

struct activations; /* of one matcher */

/* How the matcher answers for the event at hand. */
struct event_values {
    void *ctx;
    int (*first)(void *ctx, name_id field); /* -1: none */
    int (*next)(void *ctx, int value);      /* -1: that was the last */
    struct str (*text)(void *ctx, int value);
};

struct activations *activations_new(const struct ruleset *rs); /* NULL: out of memory. Borrows rs */
struct activations *activations_free(struct activations *a);

/* Valid until the next call. */
const struct activation *activations_get(struct activations *a, const struct event_values *ev);
