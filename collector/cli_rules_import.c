/* SPDX-License-Identifier: Apache-2.0
 *
 * `vonggac rules import DIR --to DIR`: of a SigmaHQ checkout, the rules that can find something here: those that load, and whose
 * log source a mapping knows. Files are copied byte for byte under their own names and paths, so that authors, references
 * and ids stay; the licence (DRL 1.1 wants it to go with the rules) goes with them. What is left out is counted by reason.
 */
#include "collector/cli_rules.h"
#include "collector/rule_import.h"
#include "common/file.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#define ROOTS_MAX 64

enum verdict { TAKEN, NO_RULE, BAD_STATUS, LOW_LEVEL, NO_SOURCE, NO_VALUE, NOT_LOADED, VERDICTS };

static const char *const verdict_texts[VERDICTS] = {
    [TAKEN] = "taken",
    [NO_RULE] = "no rule in it",
    [BAD_STATUS] = "status not wanted",
    [LOW_LEVEL] = "level too low",
    [NO_SOURCE] = "no mapping for its log source",
    [NO_VALUE] = "placeholder without a value",
    [NOT_LOADED] = "does not load",
};
static const char *const verdict_names[VERDICTS] = {"taken",     "no_rule",     "status",    "level",
                                                    "logsource", "placeholder", "not_loaded"};

struct file {
    char *path; /* as loaded; owned */
    enum verdict verdict;
    size_t n_rules;
};

struct import_job {
    struct rules_job rules;
    const char *to, *min_level;
    struct cli_list states;
    bool is_dry, is_quiet;
    enum rule_level level;
    const char *from;
    char *roots[ROOTS_MAX];
    size_t n_roots;
    struct file *files;
    size_t n_files, cap_files;
    const char **licences; /* relative to from */
    size_t n_licences, counts[VERDICTS], done[RULE_IMPORT_WHATS], n_taken_rules;
};

/* ---- what to look at ---- */

static bool is_licence(const char *name)
{
    return strncmp(name, "LICENSE", 7) == 0 || strncmp(name, "LICENCE", 7) == 0;
}

static bool is_folder(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* A checkout keeps its rules in rules, rules-emerging-threats and so on, beside tests and what is retired. Without such
 * folders all of DIR is looked at. */
static int find_roots(struct import_job *job)
{
    DIR *d = opendir(job->from);
    if (!d)
        return -errno;
    int r = 0;
    for (struct dirent *e; r == 0 && (e = readdir(d));) {
        char *path;
        if (strncmp(e->d_name, "rules", 5) != 0 || job->n_roots == ROOTS_MAX)
            continue;
        if (asprintf(&path, "%s/%s", job->from, e->d_name) < 0)
            r = -ENOMEM;
        else if (is_folder(path))
            job->roots[job->n_roots++] = path;
        else
            free(path);
    }
    closedir(d);
    if (r == 0 && job->n_roots == 0) {
        job->roots[0] = strdup(job->from);
        r = job->roots[0] ? 0 : -ENOMEM;
        job->n_roots = r == 0;
    }
    return r;
}

static int add_file(const char *path, void *ctx)
{
    struct import_job *job = ctx;
    bool is_yaml = str_ends(str_of(path), STR(".yml")) || str_ends(str_of(path), STR(".yaml"));
    if (!is_yaml || strchr(path, '\n')) /* the manifest has a path a line */
        return 0;
    if (job->n_files == job->cap_files) {
        size_t cap = job->cap_files ? 2 * job->cap_files : 1024;
        struct file *grown = reallocarray(job->files, cap, sizeof(*grown));
        if (!grown)
            return -ENOMEM;
        job->files = grown;
        job->cap_files = cap;
    }
    char *copy = strdup(path);
    if (!copy)
        return -ENOMEM;
    job->files[job->n_files++] = (struct file){.path = copy};
    return 0;
}

static int compare_files(const void *a, const void *b)
{
    return strcmp(((const struct file *)a)->path, ((const struct file *)b)->path);
}

static struct file *find_file(struct import_job *job, const char *path)
{
    struct file key = {.path = (char *)(uintptr_t)path};
    return job->n_files ? bsearch(&key, job->files, job->n_files, sizeof(key), compare_files) : NULL;
}

static int list_files(struct import_job *job)
{
    int r = find_roots(job);
    for (size_t i = 0; r == 0 && i < job->n_roots; i++)
        r = file_walk(job->roots[i], "", add_file, job);
    if (r == 0 && job->n_files)
        qsort(job->files, job->n_files, sizeof(*job->files), compare_files);
    return r;
}

/* ---- which of them ---- */

static void judge_as(struct file *f, enum verdict v)
{
    if (f)
        f->verdict = MAX(f->verdict, v); /* the reason that is hardest to change is told */
}

static bool is_state_wanted(const struct import_job *job, const char *status)
{
    for (size_t i = 0; i < job->states.n; i++)
        if (status && strcmp(job->states.items[i], status) == 0)
            return true;
    return job->states.n == 0 && (!status || strcmp(status, "deprecated") != 0);
}

static void judge_rule(struct import_job *job, const struct rule *rule)
{
    struct file *f = find_file(job, rule->file);
    if (!f)
        return;
    f->n_rules++;
    if (!is_state_wanted(job, rule->status))
        judge_as(f, BAD_STATUS);
    if (rule->level < job->level)
        judge_as(f, LOW_LEVEL);
    if (!rules_job_can_match(rule))
        judge_as(f, NO_SOURCE);
}

static void judge_all(struct import_job *job)
{
    const struct ruleset *rs = content_ruleset(job->rules.content);
    const struct diags *ds = content_diags(job->rules.content);
    for (size_t i = 0; i < ruleset_count(rs); i++)
        judge_rule(job, ruleset_rule(rs, i));
    for (size_t i = 0; i < ds->n; i++) {
        const struct diag_entry *e = &ds->entries[i];
        if (!e->is_warning)
            judge_as(find_file(job, e->file), strstr(e->diag.msg, "status 'unsupported'")     ? BAD_STATUS
                                              : strncmp(e->diag.msg, "placeholder ", 12) == 0 ? NO_VALUE
                                                                                              : NOT_LOADED);
    }
    for (size_t i = 0; i < job->n_files; i++) {
        struct file *f = &job->files[i];
        if (f->verdict == TAKEN && f->n_rules == 0)
            f->verdict = NO_RULE;
        job->counts[f->verdict]++;
        job->n_taken_rules += f->verdict == TAKEN ? f->n_rules : 0;
    }
}

/* ---- doing it ---- */

static void on_file(enum rule_import_what what, const char *path, void *ctx)
{
    static const char *const words[] = {"add", "update", NULL, "remove", "keep, changed or not ours"};
    struct import_job *job = ctx;
    job->done[what]++;
    if (words[what] && !job->rules.is_json && (!job->is_quiet || what == RULE_IMPORT_KEPT))
        printf("%s: %s\n", words[what], path);
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The licence files at the top of DIR. */
static int add_licences(struct import_job *job, const char **paths, size_t *n, size_t max)
{
    DIR *d = opendir(job->from);
    if (!d)
        return -errno;
    int r = 0;
    for (struct dirent *e; r == 0 && *n < max && (e = readdir(d));) {
        char path[PATH_MAX];
        int len = snprintf(path, sizeof(path), "%s/%s", job->from, e->d_name);
        if (!is_licence(e->d_name) || len < 0 || (size_t)len >= sizeof(path) || is_folder(path))
            continue;
        paths[*n] = arena_strndup(job->rules.arena, e->d_name, strlen(e->d_name));
        r = paths[(*n)++] ? 0 : -ENOMEM;
        job->n_licences++;
    }
    closedir(d);
    return r;
}

static int import(struct import_job *job)
{
    enum { LICENCES_MAX = 8 };
    size_t n = 0, skip = strlen(job->from) + 1;
    struct diag diag = {0};
    const char **paths CLEANUP(free_ptr) = reallocarray(NULL, job->n_files + LICENCES_MAX, sizeof(*paths));
    if (!paths)
        return cli_fail("%s", strerror(ENOMEM));
    for (size_t i = 0; i < job->n_files; i++)
        if (job->files[i].verdict == TAKEN)
            paths[n++] = job->files[i].path + skip;
    int r = add_licences(job, paths, &n, n + LICENCES_MAX);
    if (r < 0)
        return cli_fail("%s: %s", job->from, strerror(-r));
    if (job->n_licences == 0)
        fprintf(stderr, "vonggac: %s has no licence file; rules of SigmaHQ may only be passed on with theirs\n",
                job->from);
    if (n)
        qsort(paths, n, sizeof(*paths), compare_texts);
    struct rule_import what = {job->from, job->to, paths, n, job->is_dry};
    r = rule_import_run(&what, on_file, job, &diag);
    return r < 0 ? cli_fail("%s", diag.msg) : CLI_OK;
}

static void print_summary(const struct import_job *job)
{
    const size_t *done = job->done;
    if (job->rules.is_json) {
        printf(
            "{\"files\":%zu,\"rules\":%zu,\"added\":%zu,\"updated\":%zu,\"unchanged\":%zu,\"removed\":%zu,\"kept\":%zu,"
            "\"dry_run\":%s,\"left_out\":{",
            job->counts[TAKEN], job->n_taken_rules, done[RULE_IMPORT_ADDED], done[RULE_IMPORT_UPDATED],
            done[RULE_IMPORT_UNCHANGED], done[RULE_IMPORT_REMOVED], done[RULE_IMPORT_KEPT],
            job->is_dry ? "true" : "false");
        for (size_t v = TAKEN + 1; v < VERDICTS; v++)
            printf("%s\"%s\":%zu", v > TAKEN + 1 ? "," : "", verdict_names[v], job->counts[v]);
        puts("}}");
        return;
    }
    printf(
        "%zu of %zu files, %zu rules%s; with licence: %zu added, %zu updated, %zu unchanged, %zu removed, %zu kept as "
        "they are\n",
        job->counts[TAKEN], job->n_files, job->n_taken_rules, job->is_dry ? " (nothing was changed)" : "",
        done[RULE_IMPORT_ADDED], done[RULE_IMPORT_UPDATED], done[RULE_IMPORT_UNCHANGED], done[RULE_IMPORT_REMOVED],
        done[RULE_IMPORT_KEPT]);
    for (size_t v = TAKEN + 1; v < VERDICTS; v++)
        if (job->counts[v])
            printf("left out: %6zu  %s\n", job->counts[v], verdict_texts[v]);
}

/* ---- the command ---- */

static int check_words(struct import_job *job)
{
    static const char *const levels[] = {"informational", "low", "medium", "high", "critical"};
    static const char *const states[] = {"stable", "test", "experimental", "deprecated"};
    bool is_known = !job->min_level;
    for (size_t i = 0; job->min_level && i < ARRAY_LEN(levels); i++) {
        if (strcmp(job->min_level, levels[i]) != 0)
            continue;
        job->level = (enum rule_level)i;
        is_known = true;
    }
    if (!is_known)
        return cli_usage(job->rules.self, "--min-level is informational, low, medium, high or critical");
    for (size_t i = 0; i < job->states.n; i++) {
        is_known = false;
        for (size_t k = 0; k < ARRAY_LEN(states); k++)
            is_known |= strcmp(job->states.items[i], states[k]) == 0;
        if (!is_known)
            return cli_usage(job->rules.self, "--status is stable, test, experimental or deprecated");
    }
    if (!job->to)
        return cli_usage(job->rules.self, "where to? Give --to DIR");
    if (job->rules.paths.n != 1)
        return cli_usage(job->rules.self, "import takes one folder");
    return CLI_OK;
}

/* The path without symbolic links, as far as it exists yet. 0 or negative errno. */
static int resolve(const char *path, char ret[static PATH_MAX])
{
    char head[PATH_MAX];
    if (strlen(path) >= sizeof(head))
        return -ENAMETOOLONG;
    snprintf(head, sizeof(head), "%s", path);
    while (!realpath(head, ret)) {
        char *slash = strrchr(head, '/');
        if (errno != ENOENT)
            return -errno;
        if (slash && slash != head)
            *slash = '\0';
        else
            snprintf(head, sizeof(head), "%s", slash ? "/" : ".");
    }
    return 0;
}

static bool is_within(const char *path, const char *folder)
{
    size_t len = strlen(folder);
    return strncmp(path, folder, len) == 0 && (path[len] == '/' || !path[len] || folder[len - 1] == '/');
}

/* A folder that is brought into itself would be taken for our own, and tidied up some day. */
static int check_apart(const struct import_job *job)
{
    char from[PATH_MAX], to[PATH_MAX];
    int r = resolve(job->from, from);
    r = r < 0 ? r : resolve(job->to, to);
    if (r < 0)
        return cli_fail("%s", strerror(-r));
    if (is_within(to, from) || (is_folder(job->to) && is_within(from, to)))
        return cli_fail("%s and %s lie within each other", job->from, job->to);
    return CLI_OK;
}

static int look_and_import(struct import_job *job)
{
    char *from = job->rules.paths.items[0];
    for (size_t len = strlen(from); len > 1 && from[len - 1] == '/'; len--)
        from[len - 1] = '\0';
    job->from = from;
    int r = check_apart(job);
    if (r != CLI_OK)
        return r;
    r = list_files(job);
    if (r < 0)
        return cli_fail("%s: %s", from, strerror(-r));
    job->rules.paths = (struct strlist){job->roots, job->n_roots};
    if (rules_job_load(&job->rules, false) < 0)
        return CLI_FAILED;
    judge_all(job);
    r = import(job);
    if (r == CLI_OK)
        print_summary(job);
    return r;
}

int cli_rules_import(const struct command *self, int argc, char **argv)
{
    struct import_job job = {.rules = {.self = self}};
    const struct cli_option options[] = {
        {"to", "DIR", "the folder to keep like it", .text = &job.to},
        {"min-level", "LEVEL", "only rules of this level or above", .text = &job.min_level},
        {"status", "STATUS", "only rules of this status (may be repeated; default: all but deprecated)",
         .list = &job.states},
        {"dry-run", NULL, "change nothing, only say what would be", .flag = &job.is_dry},
        {"quiet", NULL, "no line a file", .flag = &job.is_quiet},
        RULES_JOB_OPTIONS(&job.rules),
    };
    int r = rules_job_parse(&job.rules, options, ARRAY_LEN(options), argc, argv);
    if (r != 0)
        return r > 0 ? CLI_OK : CLI_USAGE;
    r = check_words(&job);
    if (r == CLI_OK)
        r = look_and_import(&job);
    rules_job_clear(&job.rules);
    for (size_t i = 0; i < job.n_roots; i++)
        free(job.roots[i]);
    for (size_t i = 0; i < job.n_files; i++)
        free(job.files[i].path);
    free(job.files);
    return r;
}
