/* SPDX-License-Identifier: Apache-2.0
 *
 * `vonggac rules explain`: one rule as a JSON tree, which --json prints and people get as text. Built from the compiled rule set
 * (plan.h, index.h), and evaluated here once more, test by test, since the matcher stops at the first that decides.
 */
#pragma once

#include "collector/cli_rules.h"
#include "rules/index.h"

#include <jansson.h>

struct explaining {
    const struct ruleset *rs;
    const struct event *event; /* NULL: only the plan */
    struct match_env env;
};

/* ---- cli_rules_explain_plan.c ---- */

/* Everything about a rule. NULL: out of memory. */
json_t *explain_rule(struct explaining *x, const struct rule_entry *e);

/* ---- cli_rules_explain_event.c ---- */

/* Whether the event belongs to the source. Sets *ret_why (a new text) where not. */
bool explain_source(struct explaining *x, const struct source *s, json_t **ret_why);

/* Whether one value of the event's field satisfies one needle; of a leaf, whether any does. Adds to `to`, an object: "holds",
 * and "value" and "pattern" that met, or "why" none did. */
bool explain_leaf(struct explaining *x, const struct leaf *leaf, name_id field, const name_id *map, json_t *to);

/* ---- cli_rules_explain_print.c ---- */

void explain_print(const json_t *rule);
