/* SPDX-License-Identifier: Apache-2.0
 *
 * Warnings of what loads and is probably a mistake, for `vonggac rules check`: patterns that always match, slow regular
 * expressions, selections without use, conditions that cannot be true, fields that no event has. Only where ruleset_lint
 * was called; a collector that loads rules is not told.
 */
#pragma once

#include "rules/modifier.h"

void lint_logsource_key(const struct warnings *w, const struct yaml *key);

/* The values of one leaf. needles: in the order of values, or fewer where they wait for placeholders. */
void lint_values(const struct warnings *w, const struct chain *c, const struct yaml *const *nodes, size_t n,
                 const struct leaf *leaf);

/* A whole detection, its condition parsed into expr. `body` holds the selections by their names. */
void lint_detection(const struct warnings *w, const struct yaml *body, const struct selection *selections, size_t n,
                    const struct expr *expr, bool is_filter);

/* Once compiled: fields of a detection, and those that correlations take from its events, that the mapping of its log source does not name, and that are neither ECS nor were
 * known before rules were loaded. */
void lint_fields(const struct ruleset *rs, const struct rule_entry *e, const struct mapping *m, struct diags *diags);
