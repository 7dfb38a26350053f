/* SPDX-License-Identifier: Apache-2.0
 *
 * The inline tests of rules: raw lines, or events, that stand in the rule's own file with the number of alerts they must
 * give. They run through the decoders and all the rules loaded, exactly as in the collector; only the alerts of the rule
 * itself count. `vonggac rules test` prints what comes out.
 *
 *     tests:
 *       - name: eight failures within two minutes
 *         lines: ['Nov 23 10:00:01 web1 sshd[9]: Failed password for ...', ...]
 *         type: nginx.access            # optional: what an administrator would say the lines are
 *         expect: {alerts: 1}
 *       - name: an event instead of lines
 *         events: [{event.dataset: vonggac.health, '@timestamp': '2026-11-23T10:00:00Z'}]
 *         expect: {alerts: 0}
 *
 * Lines without a year are taken as of 2026. An alert of a correlation is one (group, period), however often it is updated.
 */
#pragma once

#include "collector/content.h"

struct rule_test_result {
    const struct rule *rule;
    const struct rule_test *test;
    bool has_passed;
    char why[300]; /* where it has not */
};
typedef void (*rule_test_fn)(const struct rule_test_result *r, void *ctx);

/* Runs every test of every rule. 0 or -ENOMEM. */
int rule_tests_run(const struct content *content, rule_test_fn on_result, void *ctx);
