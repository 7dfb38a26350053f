/* SPDX-License-Identifier: Apache-2.0
 *
 * An incident as STIX 2.1 objects, in the envelope that TAXII 2.1 pushes. STIX's own incident is a stub with a name only,
 * so status, severity and the like ride in a property extension of ours (its definition travels with it).
 *
 * Ids never change for the same thing, so pushing again changes nothing: addresses have the UUIDv5 the standard prescribes;
 * for the rest the standard asks for UUIDv4, and ours take the 122 free bits from SHA-256 of what the object stands for
 * where others take them from a random generator.
 *
 * Nothing internal leaves: no account names, no internal addresses (only how many were left out), no raw events. What
 * goes is marked TLP:AMBER. Title and note are the analyst's own words.
 */
#pragma once

#include "common/diag.h"

#include <jansson.h>

#define STIX_TLP_AMBER                                                                                                 \
    "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82" /* predefined, STIX 2.1 section 7.2.1.4 */
#define STIX_ID_MAX 80

struct stix_alert {
    const char *id, *rule_id;
    struct str host, source_ip, destination_ip;
    const json_t *tags;              /* array of strings; borrowed */
    const json_t *group;             /* correlation: field -> value; borrowed */
    char *sentence_vi, *sentence_en; /* in the public form */
    int64_t count, first_ns, last_ns;
};

struct stix_incident {
    const char *id; /* UUID */
    const char *title, *note, *status;
    const char *soc_name;
    int64_t number;
    int severity; /* 0 informational .. 4 critical */
    bool is_demo;
    int64_t created_ns, updated_ns;
    const struct stix_alert *alerts;
    size_t n_alerts;
};

/* {"objects": [...]}, returns owned. NULL: out of memory. */
json_t *stix_envelope(const struct stix_incident *incident);

/* "type--uuid" for a thing that has no id of its own yet. */
void stix_id(const char *type, const char *what, char ret[static STIX_ID_MAX]);

extern const char *const level_names[5]; /* informational .. critical */
