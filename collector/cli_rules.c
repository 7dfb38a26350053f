/* SPDX-License-Identifier: Apache-2.0
 *
 * `vonggac rules check` and `vonggac rules test`: does what stands in these files load, and does it find what it should?
 */
#include "collector/cli_rules.h"
#include "collector/rule_test.h"

#include <errno.h>
#include <stdio.h>

#define UNMAPPED_SHOWN 20 /* rules for unknown log sources that get a line each */

/* ---- check ---- */

/* By file and place: what only compiling finds (a placeholder without a value) is told among the rest. */
static int compare_entries(const void *va, const void *vb)
{
    const struct diag_entry *a = *(const struct diag_entry *const *)va, *b = *(const struct diag_entry *const *)vb;
    int c = strcmp(a->file, b->file);
    c = c ? c : (a->diag.line > b->diag.line) - (a->diag.line < b->diag.line);
    c = c ? c : (a->diag.col > b->diag.col) - (a->diag.col < b->diag.col);
    return c ? c : (a > b) - (a < b);
}

static const struct diag_entry **sort_entries(const struct diags *ds)
{
    const struct diag_entry **sorted = reallocarray(NULL, ds->n + 1, sizeof(*sorted));
    for (size_t i = 0; sorted && i < ds->n; i++)
        sorted[i] = &ds->entries[i];
    if (sorted)
        qsort(sorted, ds->n, sizeof(*sorted), compare_entries);
    return sorted;
}

static void print_entries_json(const struct diag_entry *const *entries, size_t n, bool is_warning)
{
    const char *separator = "";
    for (size_t i = 0; i < n; i++) {
        const struct diag_entry *e = entries[i];
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

/* Rules for log sources that nobody here has are many, and alike: in text a line a log source. */
static bool is_unmapped(const struct diag_entry *e)
{
    return e->is_warning && str_starts(str_of(e->diag.msg), STR("no mapping for log source "));
}

static int compare_messages(const void *va, const void *vb)
{
    return strcmp((*(const struct diag_entry *const *)va)->diag.msg, (*(const struct diag_entry *const *)vb)->diag.msg);
}

static void print_unmapped(const struct diag_entry **entries, size_t n)
{
    size_t n_unmapped = 0;
    for (size_t i = 0; i < n; i++)
        if (is_unmapped(entries[i]))
            entries[n_unmapped++] = entries[i];
    qsort(entries, n_unmapped, sizeof(*entries), compare_messages);
    for (size_t i = 0, first = 0; i < n_unmapped; i++) {
        if (i + 1 < n_unmapped && compare_messages(&entries[i], &entries[i + 1]) == 0)
            continue;
        const char *msg = entries[i]->diag.msg;
        printf("%6zu rules: %.*s\n", i + 1 - first, (int)strcspn(msg, ":"), msg);
        first = i + 1;
    }
}

static void print_check(const struct rules_job *job, const struct diag_entry **entries, bool is_quiet)
{
    const struct diags *ds = content_diags(job->content);
    size_t loaded = ruleset_count(content_ruleset(job->content)), rejected = content_rejected(job->content);
    if (job->is_json) {
        printf("{\"loaded\":%zu,\"rejected\":[", loaded);
        print_entries_json(entries, ds->n, false);
        fputs("],\"warnings\":[", stdout);
        print_entries_json(entries, ds->n, true);
        putchar(']');
        if (ds->dropped)
            printf(",\"dropped\":%zu", ds->dropped);
        puts("}");
        return;
    }
    size_t n_unmapped = 0;
    for (size_t i = 0; i < ds->n; i++)
        n_unmapped += is_unmapped(entries[i]);
    bool is_folded = n_unmapped > UNMAPPED_SHOWN;
    for (size_t i = 0; i < ds->n; i++) {
        const struct diag_entry *e = entries[i];
        if (!e->is_warning || !(is_quiet || (is_folded && is_unmapped(e))))
            printf("%s:%d:%d: %s%s\n", e->file, e->diag.line, e->diag.col, e->is_warning ? "warning: " : "",
                   e->diag.msg);
    }
    if (is_folded && !is_quiet)
        print_unmapped(entries, ds->n);
    if (ds->dropped)
        printf("and %zu more\n", ds->dropped);
    if (!is_quiet || ds->errors)
        printf("%zu loaded, %zu rejected, %zu errors, %zu warnings\n", loaded, rejected, ds->errors, ds->warnings);
}

static int check(const struct rules_job *job, bool is_quiet)
{
    const struct diags *ds = content_diags(job->content);
    const struct diag_entry **entries = sort_entries(ds);
    if (!entries)
        return cli_fail("%s", strerror(ENOMEM));
    print_check(job, entries, is_quiet);
    free(entries);
    return ds->errors ? CLI_FAILED : CLI_OK;
}

int cli_rules_check(const struct command *self, int argc, char **argv)
{
    struct rules_job job = {.self = self, .options.is_linting = true};
    bool is_quiet = false;
    const struct cli_option options[] = {
        RULES_JOB_OPTIONS(&job),
        {"decoders", "PATH", "decoders whose fields rules may name (default: those installed)", .list = &job.decoders},
        {"quiet", NULL, "print only what is wrong", .flag = &is_quiet},
    };
    int r = rules_job_parse(&job, options, ARRAY_LEN(options), argc, argv);
    if (r != 0)
        return r > 0 ? CLI_OK : CLI_USAGE;
    int ret = rules_job_load(&job, false) == 0 ? check(&job, is_quiet) : CLI_FAILED;
    rules_job_clear(&job);
    return ret;
}

/* ---- test ---- */

struct tally {
    bool is_json, is_quiet;
    size_t passed, failed;
};

static void on_result(const struct rule_test_result *r, void *ctx)
{
    struct tally *t = ctx;
    t->passed += r->has_passed;
    t->failed += !r->has_passed;
    if (t->is_json) {
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
    } else if (!t->is_quiet) {
        printf("passed %s: %s\n", r->rule->title, r->test->name);
    }
}

static int run_tests(const struct rules_job *job, bool is_quiet)
{
    struct tally tally = {.is_json = job->is_json, .is_quiet = is_quiet};
    size_t rejected = content_rejected(job->content);
    bool is_well = content_diags(job->content)->errors == 0;
    rules_job_complain(job);
    if (job->is_json)
        fputs("{\"tests\":[", stdout);
    int r = rule_tests_run(job->content, on_result, &tally);
    if (r < 0)
        return cli_fail("%s", strerror(-r));
    if (job->is_json)
        printf("],\"passed\":%zu,\"failed\":%zu,\"rejected\":%zu}\n", tally.passed, tally.failed, rejected);
    else
        printf("%zu passed, %zu failed\n", tally.passed, tally.failed);
    return tally.failed || !is_well ? CLI_FAILED : CLI_OK;
}

int cli_rules_test(const struct command *self, int argc, char **argv)
{
    struct rules_job job = {.self = self};
    bool is_quiet = false;
    const struct cli_option options[] = {
        RULES_JOB_OPTIONS(&job),
        {"decoders", "PATH", "decoders (default: those installed)", .list = &job.decoders},
        {"quiet", NULL, "print only what is wrong", .flag = &is_quiet},
    };
    int r = rules_job_parse(&job, options, ARRAY_LEN(options), argc, argv);
    if (r != 0)
        return r > 0 ? CLI_OK : CLI_USAGE;
    int ret = rules_job_load(&job, true) == 0 ? run_tests(&job, is_quiet) : CLI_FAILED;
    rules_job_clear(&job);
    return ret;
}
