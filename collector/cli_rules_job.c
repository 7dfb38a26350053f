/* SPDX-License-Identifier: Apache-2.0
 *
 * See cli_rules.h.
 */
#include "collector/cli_placeholders.h"
#include "collector/cli_rules.h"
#include "common/file.h"
#include "rules/plan.h"

#include <errno.h>
#include <stdio.h>

#define PATHS_MAX        1000
#define SAMPLES_MAX      1000
#define SAMPLE_YAML_MAX  (64 * MIB)
#define CONFIG_DIAGS_MAX 50

/* ---- placeholders ---- */

static int take_sample(struct rules_job *job, struct yaml *name, struct yaml *values)
{
    if (job->samples.n == SAMPLES_MAX || yaml_get(&job->samples, name->text.p))
        return 0;
    job->samples.keys[job->samples.n] = name;
    job->samples.items[job->samples.n++] = values;
    return 0;
}

static bool may_have_samples(struct str text)
{
    static const char word[] = "test_placeholders";
    return text.len && memmem(text.p, text.len, word, sizeof(word) - 1);
}

static int find_samples(const char *path, void *ctx)
{
    struct rules_job *job = ctx;
    CLEANUP(buf_clear) struct buf text = BUF_INIT(YAML_BYTES_MAX);
    struct yaml **docs;
    size_t n;
    if (!str_ends(str_of(path), STR(".yml")) && !str_ends(str_of(path), STR(".yaml")))
        return 0;
    if (file_read(path, &text) < 0 || !may_have_samples(buf_str(&text)) ||
        yaml_parse(buf_str(&text), job->arena, &docs, &n, NULL) < 0)
        return 0; /* loading will say what is wrong */
    for (size_t i = 0; i < n; i++) {
        const struct yaml *samples = docs[i] ? yaml_get(docs[i], "test_placeholders") : NULL;
        for (size_t k = 0; samples && samples->kind == YAML_MAP && k < samples->n; k++)
            take_sample(job, samples->keys[k], samples->items[k]);
    }
    return 0;
}

static int use_samples(struct rules_job *job)
{
    job->samples.kind = YAML_MAP;
    job->samples.keys = arena_array(job->arena, SAMPLES_MAX, sizeof(struct yaml *));
    job->samples.items = arena_array(job->arena, SAMPLES_MAX, sizeof(struct yaml *));
    if (!job->samples.keys || !job->samples.items)
        return -ENOMEM;
    for (size_t i = 0; i < job->config.rules.n; i++)
        file_walk(job->config.rules.items[i], "", find_samples, job);
    job->config.placeholders = &job->samples;
    return 0;
}

/* 0, or a negative errno that has been told. */
static int use_placeholders(struct rules_job *job)
{
    int r = job->config_path ? 0 : use_samples(job);
    const struct yaml *given = NULL;
    if (r == 0 && job->placeholders_path) {
        r = cli_placeholders(job->placeholders_path, job->arena, &given);
        if (r < 0)
            return r;
        r = cli_placeholders_join(given, job->config.placeholders, job->arena, &job->config.placeholders);
    }
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
    job->arena = arena_new(SAMPLE_YAML_MAX);
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
