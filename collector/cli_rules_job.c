/* SPDX-License-Identifier: Apache-2.0
 *
 * See cli_rules.h.
 */
#include "collector/cli_placeholders.h"
#include "collector/cli_rules.h"
#include "rules/plan.h"

#include <errno.h>
#include <stdio.h>

#define PATHS_MAX        1000
#define PLACEHOLDERS_MAX (64 * MIB)
#define CONFIG_DIAGS_MAX 50

/* ---- placeholders ---- */

/* 0, or a negative errno that has been told. */
static int use_placeholders(struct rules_job *job)
{
    const struct yaml *given = NULL;
    job->options.takes_samples = !job->config_path;
    if (!job->placeholders_path)
        return 0;
    int r = cli_placeholders(job->placeholders_path, job->arena, &given);
    if (r < 0)
        return r;
    r = cli_placeholders_join(given, job->config.placeholders, job->arena, &job->config.placeholders);
    if (r < 0)
        cli_fail("%s", strerror(-r));
    return r;
}

/* ---- what to load ---- */

int rules_job_parse(struct rules_job *job, const struct cli_option *options, size_t n, int argc, char **argv)
{
    int n_operands;
    int r = cli_parse(job->self, options, n, PATHS_MAX, argc, argv, &n_operands);
    if (r == 0 && n_operands == 0 && !job->config_path) {
        cli_usage(job->self, "which rules? Give files or folders");
        return -EINVAL;
    }
    if (r == 0)
        job->paths = (struct strlist){argv, (size_t)n_operands};
    return r;
}

static struct strlist as_strlist(const struct cli_list *list)
{
    return (struct strlist){(char **)(uintptr_t)list->items, list->n}; /* only read */
}

/* Where nothing is installed (a build tree) rules can be checked nevertheless. */
static void need_no_mappings(struct rules_job *job)
{
    for (size_t i = 0; i < job->config.mappings.n; i++)
        if (access(job->config.mappings.items[i], R_OK) == 0)
            return;
    if (!job->options.is_without_mapping)
        fprintf(stderr, "vonggac: no field mappings are installed; give --mappings, or no log source is known\n");
    job->config.mappings.n = 0;
}

static int prepare(struct rules_job *job)
{
    struct diags ds;
    diags_init(&ds, CONFIG_DIAGS_MAX);
    int r = collector_config_load(job->config_path, &job->config, &ds); /* NULL: the defaults */
    for (size_t i = 0; i < ds.n; i++)
        cli_fail("%s:%d: %s", ds.entries[i].file, ds.entries[i].diag.line, ds.entries[i].diag.msg);
    diags_clear(&ds);
    if (r < 0)
        return r;
    job->own[0] = job->config.rules;
    job->own[1] = job->config.mappings;
    job->own[2] = job->config.decoders;
    job->config.rules = job->paths.n ? job->paths : job->config.rules;
    if (job->mappings.n)
        job->config.mappings = as_strlist(&job->mappings);
    else if (!job->config_path)
        need_no_mappings(job);
    job->config.decoders = job->decoders.n ? as_strlist(&job->decoders) : job->config.decoders;
    job->arena = arena_new(PLACEHOLDERS_MAX);
    if (!job->arena)
        cli_fail("%s", strerror(ENOMEM));
    return job->arena ? use_placeholders(job) : -ENOMEM;
}

int rules_job_load(struct rules_job *job, bool has_decoders)
{
    struct diag diag = {0};
    int r = prepare(job);
    if (r < 0)
        return r;
    job->options.is_without_decoders = !has_decoders;
    r = content_load_with(&job->config, &job->options, &job->content, &diag);
    if (r < 0)
        cli_fail("%s", diag.msg);
    return r;
}

void rules_job_clear(struct rules_job *job)
{
    job->content = content_free(job->content);
    job->arena = arena_free(job->arena);
    if (!job->config.arena)
        return;
    job->config.rules = job->own[0];
    job->config.mappings = job->own[1];
    job->config.decoders = job->own[2];
    collector_config_clear(&job->config);
}

static bool can_match(const struct rule_entry *e)
{
    if (e->kind != ENTRY_CORRELATION)
        return !e->pub.is_unmapped;
    for (size_t i = 0; i < e->correlation->n_rules; i++)
        if (!can_match(e->correlation->rules[i]))
            return false;
    return true;
}

bool rules_job_can_match(const struct rule *rule)
{
    return can_match((const struct rule_entry *)rule); /* its first member */
}

/* ---- output ---- */

void rules_job_complain(const struct rules_job *job)
{
    const struct diags *ds = content_diags(job->content);
    for (size_t i = 0; i < ds->n; i++)
        if (!ds->entries[i].is_warning)
            fprintf(stderr, "%s:%d:%d: %s\n", ds->entries[i].file, ds->entries[i].diag.line, ds->entries[i].diag.col,
                    ds->entries[i].diag.msg);
}

void print_json_string(const char *z)
{
    CLEANUP(buf_clear) struct buf b = BUF_INIT(64 * KIB);
    if (z && buf_append_json(&b, str_of(z)) == 0)
        fwrite(b.data, 1, b.len, stdout);
    else
        fputs("\"\"", stdout);
}
