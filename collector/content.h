/* SPDX-License-Identifier: Apache-2.0
 *
 * The content in force: field names, decoders and rules, read from the files and folders of the configuration and
 * compiled. Immutable once loaded, so any thread may read it; who may hold it for how long is collector.h's business
 * (content_lock). Used by the collector (start, reload) and by `vonggac rules`, `vonggac decode` and exports.
 */
#pragma once

#include "collector/config.h"
#include "rules/decoder.h"
#include "rules/ruleset.h"

struct content;

struct content_options {
    bool is_without_mapping; /* rules keep their authors' field names: ruleset_without_mapping */
    bool is_without_decoders;
    bool takes_samples; /* placeholders without a value get those of the rules' own `test_placeholders` */
    bool is_linting;    /* also warn of what loads and is probably a mistake: ruleset_lint */
};

/* Loads mappings, rules and decoders. What cannot be used is left out and said in the content's diags; the rest stands.
 * 0, or a negative errno when there is nothing to go on with (no such folder, out of memory), then *ret is NULL and the
 * reason is in `diag`. Blocking, reads files (rules on a thread of its own); 0.2 s
 * for 3,780 rules. */
int content_load(const struct collector_config *config, struct content **ret, struct diag *diag);
int content_load_with(const struct collector_config *config, const struct content_options *options,
                      struct content **ret, struct diag *diag);
struct content *content_free(struct content *c); /* NULL is fine; always returns NULL */

const struct names *content_names(const struct content *c);
const struct ruleset *content_ruleset(const struct content *c);
const struct decoders *content_decoders(const struct content *c);
const struct diags *content_diags(const struct content *c); /* every error and warning of the load */
size_t content_rejected(const struct content *c); /* documents of rules left out, whatever number of errors each has */
