/* SPDX-License-Identifier: Apache-2.0
 *
 * `vonggac rules check` and `vonggac rules test`: does what stands in these files load, and does it find what it should?
 *
 * Without --config there are no values for placeholders, so that a rule for "%admin_networks%" could not be checked at all.
 * Then the samples that a rule itself names are taken: `test_placeholders: {admin_networks: [10.0.9.0/24]}`.
 */
#include "collector/cli.h"

#include "collector/rule_test.h"
#include "common/file.h"

#include <errno.h>
#include <stdio.h>

#define PATHS_MAX        1000
#define SAMPLES_MAX      1000
#define SAMPLE_YAML_MAX  (64 * MIB)
#define CONFIG_DIAGS_MAX 50

struct job { /* what both commands are asked for */
    const struct command *self;
    const char *config_path;
    struct cli_list mappings, decoders;
    bool is_json, is_quiet;
    struct strlist paths; /* operands; borrowed */
    struct collector_config config;
    struct strlist own[3]; /* the configuration's lists, put back before it is cleared */
    struct arena *arena;
    struct yaml samples; /* map */
};

/* ---- samples of placeholders ---- */

static int take_sample(struct job *job, struct yaml *name, struct yaml *values)
{
    if (job->samples.n == SAMPLES_MAX || yaml_get(&job->samples, name->text.p))
        return 0;
    job->samples.keys[job->samples.n] = name;
    job->samples.items[job->samples.n++] = values;
    return 0;
}

static int find_samples(const char *path, void *ctx)
{
    struct job *job = ctx;
    CLEANUP(buf_clear) struct buf text = BUF_INIT(YAML_BYTES_MAX);
    struct yaml **docs;
    size_t n;
    if (!str_ends(str_of(path), STR(".yml")) && !str_ends(str_of(path), STR(".yaml")))
        return 0;
    if (file_read(path, &text) < 0 || yaml_parse(buf_str(&text), job->arena, &docs, &n, NULL) < 0)
        return 0; /* loading will say what is wrong */
    for (size_t i = 0; i < n; i++) {
        const struct yaml *samples = docs[i] ? yaml_get(docs[i], "test_placeholders") : NULL;
        for (size_t k = 0; samples && samples->kind == YAML_MAP && k < samples->n; k++)
            take_sample(job, samples->keys[k], samples->items[k]);
    }
    return 0;
}

static int use_samples(struct job *job)
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

/* ---- what to load ---- */

static int parse(struct job *job, int argc, char **argv)
{
    const struct cli_option options[] = {
        {"config", "FILE", "take mappings, decoders and placeholders from this collector.yml",
         .text = &job->config_path},
        {"mappings", "PATH", "field mappings (default: those installed)", .list = &job->mappings},
        {"decoders", "PATH", "decoders (default: those installed)", .list = &job->decoders},
        {"json", NULL, "print one JSON object", .flag = &job->is_json},
        {"quiet", NULL, "print only what is wrong", .flag = &job->is_quiet},
    };
    int n;
    int r = cli_parse(job->self, options, ARRAY_LEN(options), PATHS_MAX, argc, argv, &n);
    if (r == 0 && n == 0 && !job->config_path) {
        cli_usage(job->self, "which rules? Give files or folders");
        return -EINVAL;
    }
    if (r == 0)
        job->paths = (struct strlist){argv, (size_t)n};
    return r;
}

static struct strlist as_strlist(const struct cli_list *list)
{
    return (struct strlist){(char **)(uintptr_t)list->items, list->n}; /* only read */
}

static int prepare(struct job *job)
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
    job->config.mappings = job->mappings.n ? as_strlist(&job->mappings) : job->config.mappings;
    job->config.decoders = job->decoders.n ? as_strlist(&job->decoders) : job->config.decoders;
    job->arena = arena_new(SAMPLE_YAML_MAX);
    r = !job->arena ? -ENOMEM : job->config_path ? 0 : use_samples(job);
    if (r < 0)
        cli_fail("%s", strerror(-r));
    return r;
}

static void finish(struct job *job)
{
    arena_free(job->arena);
    if (!job->config.arena)
        return;
    job->config.rules = job->own[0];
    job->config.mappings = job->own[1];
    job->config.decoders = job->own[2];
    collector_config_clear(&job->config);
}

static int load(struct job *job, struct content **ret)
{
    struct diag diag = {0};
    int r = content_load(&job->config, ret, &diag);
    if (r < 0)
        cli_fail("%s", diag.msg);
    return r;
}

/* ---- check ---- */

static void print_json_string(const char *z)
{
    CLEANUP(buf_clear) struct buf b = BUF_INIT(64 * KIB);
    if (buf_append_json(&b, str_of(z)) == 0)
        fwrite(b.data, 1, b.len, stdout);
    else
        fputs("\"\"", stdout);
}

static void print_entries_json(const struct diags *ds, bool is_warning)
{
    const char *separator = "";
    for (size_t i = 0; i < ds->n; i++) {
        const struct diag_entry *e = &ds->entries[i];
        if (e->is_warning != is_warning)
            continue;
        printf("%s{\"file\":", separator);
        print_json_string(e->file);
        printf(",\"line\":%d,\"column\":%d,\"%s\":", e->diag.line, e->diag.col, is_warning ? "warning" : "error");
        print_json_string(e->diag.msg);
        putchar('}');
        separator = ",";
    }
}

static void print_check(const struct job *job, size_t loaded, const struct diags *ds)
{
    if (job->is_json) {
        printf("{\"loaded\":%zu,\"rejected\":[", loaded);
        print_entries_json(ds, false);
        fputs("],\"warnings\":[", stdout);
        print_entries_json(ds, true);
        puts("]}");
        return;
    }
    for (size_t i = 0; i < ds->n; i++) {
        const struct diag_entry *e = &ds->entries[i];
        if (!e->is_warning || !job->is_quiet)
            printf("%s:%d:%d: %s%s\n", e->file, e->diag.line, e->diag.col, e->is_warning ? "warning: " : "",
                   e->diag.msg);
    }
    if (ds->dropped)
        printf("and %zu more\n", ds->dropped);
    if (!job->is_quiet || ds->errors)
        printf("%zu loaded, %zu rejected, %zu warnings\n", loaded, ds->errors, ds->warnings);
}

int cli_rules_check(const struct command *self, int argc, char **argv)
{
    struct job job = {.self = self};
    int r = parse(&job, argc, argv);
    if (r != 0)
        return r > 0 ? CLI_OK : CLI_USAGE;
    struct content *content = NULL;
    bool is_well = false;
    if (prepare(&job) == 0) {
        job.config.decoders.n = 0; /* rules are checked, not decoders */
        if (load(&job, &content) == 0) {
            const struct diags *ds = content_diags(content);
            print_check(&job, ruleset_count(content_ruleset(content)), ds);
            is_well = ds->errors == 0;
        }
    }
    content_free(content);
    finish(&job);
    return is_well ? CLI_OK : CLI_FAILED;
}

/* ---- test ---- */

struct tally {
    const struct job *job;
    size_t passed, failed;
};

static void on_result(const struct rule_test_result *r, void *ctx)
{
    struct tally *t = ctx;
    t->passed += r->has_passed;
    t->failed += !r->has_passed;
    if (t->job->is_json) {
        printf("%s{\"file\":", t->passed + t->failed > 1 ? "," : "");
        print_json_string(r->rule->file);
        printf(",\"line\":%d,\"rule\":", r->test->line);
        print_json_string(r->rule->title);
        fputs(",\"test\":", stdout);
        print_json_string(r->test->name);
        printf(",\"passed\":%s,\"why\":", r->has_passed ? "true" : "false");
        print_json_string(r->why);
        putchar('}');
    } else if (!r->has_passed) {
        printf("FAILED %s:%d: %s: %s: %s\n", r->rule->file, r->test->line, r->rule->title, r->test->name, r->why);
    } else if (!t->job->is_quiet) {
        printf("passed %s: %s\n", r->rule->title, r->test->name);
    }
}

static int run_tests(struct job *job, const struct content *content)
{
    struct tally tally = {.job = job};
    const struct diags *ds = content_diags(content);
    for (size_t i = 0; i < ds->n; i++)
        if (!ds->entries[i].is_warning)
            fprintf(stderr, "%s:%d:%d: %s\n", ds->entries[i].file, ds->entries[i].diag.line, ds->entries[i].diag.col,
                    ds->entries[i].diag.msg);
    if (job->is_json)
        fputs("{\"tests\":[", stdout);
    int r = rule_tests_run(content, on_result, &tally);
    if (r < 0)
        return cli_fail("%s", strerror(-r));
    if (job->is_json)
        printf("],\"passed\":%zu,\"failed\":%zu,\"rejected\":%zu}\n", tally.passed, tally.failed, ds->errors);
    else
        printf("%zu passed, %zu failed\n", tally.passed, tally.failed);
    return tally.failed || ds->errors ? CLI_FAILED : CLI_OK;
}

int cli_rules_test(const struct command *self, int argc, char **argv)
{
    struct job job = {.self = self};
    int r = parse(&job, argc, argv);
    if (r != 0)
        return r > 0 ? CLI_OK : CLI_USAGE;
    struct content *content = NULL;
    int ret = CLI_FAILED;
    if (prepare(&job) == 0 && load(&job, &content) == 0)
        ret = run_tests(&job, content);
    content_free(content);
    finish(&job);
    return ret;
}
