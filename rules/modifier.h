/* SPDX-License-Identifier: Apache-2.0
 *
 * What stands behind a field's name: `field|modifier|modifier`. One table lists every modifier; the chain of one field is
 * parsed once, checked for sense, and then turns each value into needles. Values are transformed in the order written.
 *
 * To add a modifier: a row in the table of modifier.c, and its case in value_transform or value_finish.
 */
#pragma once

#include "rules/plan.h"

#define MODIFIERS_MAX 8

enum modifier_id {
    MODIFIER_ALL,
    MODIFIER_NEQ,
    MODIFIER_CASED,
    MODIFIER_EXPAND,
    MODIFIER_CONTAINS,
    MODIFIER_STARTSWITH,
    MODIFIER_ENDSWITH,
    MODIFIER_WINDASH,
    MODIFIER_BASE64,
    MODIFIER_BASE64OFFSET,
    MODIFIER_UTF16LE, /* also "wide" */
    MODIFIER_UTF16BE,
    MODIFIER_UTF16,
    MODIFIER_RE,
    MODIFIER_RE_I,
    MODIFIER_RE_M,
    MODIFIER_RE_S,
    MODIFIER_CIDR,
    MODIFIER_EXISTS,
    MODIFIER_FIELDREF,
    MODIFIER_LT,
    MODIFIER_LTE,
    MODIFIER_GT,
    MODIFIER_GTE,
    MODIFIER_MINUTE, /* to YEAR: in the order of enum date_part */
    MODIFIER_HOUR,
    MODIFIER_DAY,
    MODIFIER_WEEK,
    MODIFIER_MONTH,
    MODIFIER_YEAR,
};

struct chain {
    struct str field; /* before the first '|'; empty: a keyword */
    enum modifier_id ids[MODIFIERS_MAX];
    size_t n;
    bool is_all, is_neq, is_cased, is_expanding;
    enum modifier_id kind; /* RE, CIDR, EXISTS, FIELDREF, LT to GTE, MINUTE to YEAR; or ALL for a plain string */
    enum date_part part;   /* what the number is compared with, when it is a part of a date */
    unsigned regex_flags;
};

int chain_parse(const struct yaml *key, struct chain *ret, struct diag *diag); /* 0 or -EINVAL */

struct needle_list {
    struct needle *items; /* in the rule set's arena */
    size_t n, cap;
};

/* Appends the needles that one value stands for, any of which is enough: one, or three for base64offset. `text` is the value's
 * text (of an expanded placeholder it is not node's own). -EINVAL, -ENOMEM. */
int chain_needles(struct ruleset *rs, const struct chain *c, const struct yaml *node, struct str text, bool is_expanded,
                  struct needle_list *out, struct diag *diag);
