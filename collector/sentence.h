/* SPDX-License-Identifier: Apache-2.0
 *
 * Why an alert fired, as one plain sentence in Vietnamese and in English, built from the rule's title, counts, times and
 * what the events have in common. One place, so that the console and what goes to the national centre say the same;
 * the public form leaves out what is nobody else's business: account names, internal addresses and matched values.
 */
#pragma once

#include "common/buf.h"

enum sentence_language { SENTENCE_VI, SENTENCE_EN };

struct sentence_group { /* of a correlation: what its events have in common */
    struct str field, value;
};

struct sentence_facts {
    bool is_correlation;
    struct str title; /* in the language wanted */
    struct str host, user, source_ip, destination_ip;
    const struct sentence_group *group;
    size_t n_group;
    int64_t count, first_ns, last_ns;
    struct str matched_field, matched_value; /* of a detection: the first test that matched; may be empty */
    bool is_public;
};

/* 0, -ENOBUFS, -ENOMEM. */
int sentence_write(const struct sentence_facts *f, enum sentence_language language, struct buf *out);
