/* SPDX-License-Identifier: Apache-2.0
 *
 * What the commands of `vonggac rules` share: the options that say what to load, and loading it. Each command puts
 * RULES_JOB_OPTIONS into its option table:
 *
 *     rules_job_parse -> rules_job_load -> (work with job->content) -> rules_job_clear
 *
 * Without --config there are no values for placeholders, so that a rule for "%admin_networks%" could not be checked at all.
 * Then the samples that a rule itself names are taken (`test_placeholders: {admin_networks: [10.0.9.0/24]}`), below those
 * of --placeholders.
 */
#pragma once

#include "collector/cli.h"
#include "collector/content.h"

struct rules_job {
    const struct command *self;
    const char *config_path, *placeholders_path;
    struct cli_list mappings, decoders;
    bool is_json;
    struct content_options options;
    struct strlist paths; /* operands; borrowed */
    struct content *content;

    struct collector_config config;
    struct strlist own[3]; /* the configuration's lists, put back before it is cleared */
    struct arena *arena;
};

/* clang-format off */
#define RULES_JOB_OPTIONS(job)                                                                                       \
    {"config", "FILE", "take mappings, decoders and placeholders from this collector.yml", .text = &(job)->config_path}, \
    {"mappings", "PATH", "field mappings (default: those installed)", .list = &(job)->mappings},                     \
    {"placeholders", "FILE", "values for %names% in rules: a YAML map", .text = &(job)->placeholders_path},          \
    {"json", NULL, "print JSON", .flag = &(job)->is_json}
/* clang-format on */

/* Reads the command line. 0: go on. 1: --help was printed. -EINVAL: wrong, and told. */
int rules_job_parse(struct rules_job *job, const struct cli_option *options, size_t n, int argc, char **argv);

/* Loads what is asked for: job->content. What hinders that is printed; errors of single rules are in content_diags.
 * 0 or negative errno. */
int rules_job_load(struct rules_job *job, bool has_decoders);
void rules_job_clear(struct rules_job *job);

/* Errors that left rules out, as file:line:column: message on stderr. */
void rules_job_complain(const struct rules_job *job);

/* Whether its log source is known; of a correlation, those of all the rules below it. */
bool rules_job_can_match(const struct rule *rule);

void print_json_string(const char *z); /* on stdout, with quotes; "" for NULL */
