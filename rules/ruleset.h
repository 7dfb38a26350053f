/* SPDX-License-Identifier: Apache-2.0
 *
 * A set of Sigma rules, compiled. Build it once, then share it read-only between any number of threads; each thread (or
 * each shard) makes its own matcher. No I/O, no threads, no globals: texts come in, structs come out.
 *
 *     ruleset_new -> ruleset_placeholder*, ruleset_add_mapping*, ruleset_add* -> ruleset_compile -> matcher_new (matcher.h)
 *
 * Source: Sigma specification 2.1.0 (sigma-rules, sigma-correlation-rules, sigma-modifiers appendix).
 */
#pragma once

#include "common/diag.h"
#include "common/names.h"
#include "common/yaml.h"

#define RULES_API_VERSION 2 /* README.md, "Embedding", says what may change without a new one */
#define RULESET_RULES_MAX 100000

struct ruleset;

enum rule_kind { RULE_DETECTION, RULE_CORRELATION };
enum rule_level { LEVEL_INFORMATIONAL, LEVEL_LOW, LEVEL_MEDIUM, LEVEL_HIGH, LEVEL_CRITICAL };

struct rule_test { /* an inline test: the `tests` attribute of our rules */
    const char *name;
    const struct yaml *node; /* the test's own YAML: lines or events, and what is expected */
    int line;
};

/* What people see of a rule. Everything is owned by the rule set and lives as long as it. */
struct rule {
    enum rule_kind kind;
    enum rule_level level;
    const char *id;               /* UUID; the name, or else the title, where the rule has no id */
    const char *name;             /* may be NULL */
    const char *title, *title_vi; /* title_vi NULL where there is none */
    const char *description, *description_vi, *author, *status, *date;
    const char *const *tags;
    size_t n_tags;
    const char *const *references;
    size_t n_references;
    const char *const *falsepositives;
    size_t n_falsepositives;
    const char *product, *category, *service; /* of logsource; NULL where absent */
    const char *const *group_by;              /* correlation: field names as written */
    size_t n_group_by;
    int64_t timespan_ns; /* correlation */
    bool is_silent;      /* only feeds correlations (`generate: false`): the matcher never reports it */
    bool is_unmapped;    /* no mapping knows its log source: it cannot match */
    const char *file;
    int line;
    const struct rule_test *tests;
    size_t n_tests;
};

struct ruleset *ruleset_new(struct names *names); /* borrows names, which must outlive it. NULL: out of memory */
struct ruleset *ruleset_free(struct ruleset *rs); /* NULL is fine; always returns NULL */

/* One value of a placeholder (`field|expand: '%name%'`); call it again for each further value. A rule whose placeholder has
 * no value is left out by ruleset_compile, with a message that names it. Copies. 0, -EINVAL (empty name) or -ENOMEM. */
int ruleset_placeholder(struct ruleset *rs, const char *name, struct str value);
bool ruleset_has_placeholder(const struct ruleset *rs, const char *name);

/* One file of rules/mappings: which events belong to a log source, and which ECS field each Sigma field is. */
int ruleset_add_mapping(struct ruleset *rs, struct str text, const char *file, struct diags *diags);

/* No mappings: fields keep the names that authors gave them, and an event says itself what it is, in its fields product,
 * category and service. A rule is left aside only when one of these is set on both sides and differs (in more than case).
 * Before the first ruleset_add. 0 or -ENOMEM; -EINVAL once compiled. */
int ruleset_without_mapping(struct ruleset *rs);

/* From now on also warn of what loads and is probably a mistake (lint.h): for people who write rules, not for a collector.
 * Fields that `names` holds by now are taken as known. Before mappings and rules are added; -EINVAL once compiled. */
int ruleset_lint(struct ruleset *rs);

/* One file: one or more YAML documents, each a detection, correlation or filter. A document that cannot be used is
 * reported with line and column and left out; the others stay. Returns the number of documents left out, or -ENOMEM.
 * -EINVAL once compiled. */
int ruleset_add(struct ruleset *rs, struct str text, const char *file, struct diags *diags);

/* The same for documents that are parsed already (yaml_parse; a NULL one is empty), so that others can parse ahead. Takes *arena,
 * which holds them, and sets it to NULL when a rule needs its YAML later; otherwise they are borrowed during the call. */
int ruleset_add_documents(struct ruleset *rs, struct yaml *const *docs, size_t n, struct arena **arena,
                          const char *file, struct diags *diags);

/* Resolves references, maps fields, builds the matcher's plan. After this the set is immutable. Returns the number of
 * rules left out (unknown reference, placeholder without a value, ...), or -ENOMEM. A rule whose log source no mapping
 * knows stays, never matches, and is a warning. */
int ruleset_compile(struct ruleset *rs, struct diags *diags);

size_t ruleset_count(const struct ruleset *rs);
const struct rule *ruleset_rule(const struct ruleset *rs, size_t i);
const struct rule *ruleset_find(const struct ruleset *rs, const char *id_or_name); /* NULL where unknown */

/* Whether any rule looks for words in the whole event: then a reader of events must keep fields that no rule names, too. */
bool ruleset_has_keywords(const struct ruleset *rs);

/* The longest reach into the past that any correlation's result depends on: how far a collector must read back after a
 * start, in nanoseconds of event time. 0 without correlations. */
int64_t ruleset_horizon_ns(const struct ruleset *rs);
