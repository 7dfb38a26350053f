/* SPDX-License-Identifier: Apache-2.0
 *
 * `vonggac rules eval`: which of these rules match these events? Events come as one JSON object a line, detections go out the
 * same way; vonggac.8 describes both. Others script against the form of the output, so it only grows.
 *
 * A word that is a folder, or ends in .yml or .yaml, is one of the rules wherever it stands: `--rules a b events.ndjson`.
 */
#include "collector/cli_rules_eval.h"
#include "collector/cli.h"
#include "collector/cli_placeholders.h"
#include "collector/content.h"
#include "common/time.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define WORDS_MAX        1000
#define PATHS_MAX        (WORDS_MAX + CLI_LIST_MAX)
#define PATH_BYTES_MAX   4096
#define PLACEHOLDERS_MAX (64 * MIB)
#define ERRORS_SHOWN_MAX 5
#define STATE_MEMORY     (4096 * MIB) /* of correlations: whoever evaluates a file wants all of it */

struct request {
    const struct command *self;
    struct cli_list rules, mappings;
    const char *placeholders, *threads, *lateness;
    bool has_stats, is_quiet;
    unsigned n_threads;
    int64_t lateness_ns;
    const char *events; /* NULL: standard input */
    char *paths[PATHS_MAX];
    size_t n_paths;
    char mapping_paths[CLI_LIST_MAX][PATH_BYTES_MAX];
    struct collector_config config; /* what is installed */
    struct arena *arena;
    struct content *content;
    double load_seconds;
};

/* ---- what is asked for ---- */

static bool is_rules(const char *word)
{
    struct stat st;
    return str_ends(str_of(word), STR(".yml")) || str_ends(str_of(word), STR(".yaml")) ||
           (stat(word, &st) == 0 && S_ISDIR(st.st_mode));
}

/* 0, or -EINVAL and told. */
static int sort_words(struct request *q, char **words, int n)
{
    for (size_t i = 0; i < q->rules.n; i++)
        q->paths[q->n_paths++] = (char *)(uintptr_t)q->rules.items[i]; /* only read */
    for (int i = 0; i < n; i++) {
        if (strcmp(words[i], "-") != 0 && is_rules(words[i])) {
            q->paths[q->n_paths++] = words[i];
        } else if (q->events) {
            cli_usage(q->self, "events come from one file, not from '%s' and '%s'", q->events, words[i]);
            return -EINVAL;
        } else {
            q->events = words[i];
        }
    }
    if (q->events && strcmp(q->events, "-") == 0)
        q->events = NULL;
    if (q->n_paths)
        return 0;
    cli_usage(q->self, "which rules? Give --rules and files or folders");
    return -EINVAL;
}

static int parse_numbers(struct request *q, unsigned *ret_threads, int64_t *ret_lateness_ns)
{
    int64_t n = 1;
    *ret_lateness_ns = MATCHER_LATENESS_NS;
    if (q->lateness && parse_duration(str_of(q->lateness), ret_lateness_ns) < 0) {
        cli_usage(q->self, "--lateness takes a duration, such as 5m");
        return -EINVAL;
    }
    if (q->threads && parse_i64(str_of(q->threads), 1, EVAL_THREADS_MAX, &n) < 0) {
        cli_usage(q->self, "--threads takes a number from 1 to %d", EVAL_THREADS_MAX);
        return -EINVAL;
    }
    *ret_threads = (unsigned)n;
    return 0;
}

static int parse(struct request *q, int argc, char **argv)
{
    const struct cli_option options[] = {
        {"rules", "PATH", "rules: a file or folder, may be repeated", .list = &q->rules},
        {"mapping", "NAME", "an installed field mapping, or a path; 'none': events have the names that rules use",
         .list = &q->mappings},
        {"placeholders", "FILE", "values for %names% in rules: a YAML map", .text = &q->placeholders},
        {"threads", "N", "evaluate on so many threads (default: 1)", .text = &q->threads},
        {"lateness", "TIME", "correlations: how far behind the newest event others may come (default: 5m)",
         .text = &q->lateness},
        {"stats", NULL, "say on stderr what was done, and how fast", .flag = &q->has_stats},
        {"quiet", NULL, "say nothing about bad lines and rejected rules", .flag = &q->is_quiet},
    };
    int n, r = cli_parse(q->self, options, ARRAY_LEN(options), WORDS_MAX, argc, argv, &n);
    if (r == 0)
        r = sort_words(q, argv, n);
    return r == 0 ? parse_numbers(q, &q->n_threads, &q->lateness_ns) : r;
}

/* ---- loading ---- */

/* The installed mapping of that name, into ret. */
static int find_mapping(const struct request *q, const char *name, char ret[static PATH_BYTES_MAX])
{
    for (size_t i = 0; i < q->config.mappings.n; i++) {
        int n = snprintf(ret, PATH_BYTES_MAX, "%s/%s.yml", q->config.mappings.items[i], name);
        if (n > 0 && n < PATH_BYTES_MAX && access(ret, R_OK) == 0)
            return 0;
    }
    cli_fail("there is no mapping '%s' (a path has a '/' in it)", name);
    return -ENOENT;
}

static int choose_mappings(struct request *q, char **paths, struct strlist *ret, struct content_options *ret_options)
{
    if (q->mappings.n == 1 && strcmp(q->mappings.items[0], "none") == 0) {
        ret_options->is_without_mapping = true;
        return 0;
    }
    int r = collector_config_load(NULL, &q->config, NULL);
    if (r < 0) {
        cli_fail("%s", strerror(-r));
        return r;
    }
    *ret = q->config.mappings;
    for (size_t i = 0; i < q->mappings.n; i++) {
        const char *name = q->mappings.items[i];
        paths[i] = (char *)(uintptr_t)name; /* only read */
        if (strchr(name, '/'))
            continue;
        r = find_mapping(q, name, q->mapping_paths[i]);
        if (r < 0)
            return r;
        paths[i] = q->mapping_paths[i];
    }
    if (q->mappings.n)
        *ret = (struct strlist){paths, q->mappings.n};
    return 0;
}

static void complain(const struct request *q)
{
    const struct diags *ds = content_diags(q->content);
    size_t shown = 0;
    if (q->is_quiet || ds->errors == 0)
        return;
    for (size_t i = 0; i < ds->n && shown < ERRORS_SHOWN_MAX; i++) {
        const struct diag_entry *e = &ds->entries[i];
        if (e->is_warning)
            continue;
        fprintf(stderr, "%s:%d:%d: %s\n", e->file, e->diag.line, e->diag.col, e->diag.msg);
        shown++;
    }
    cli_fail("%zu rules left out, %zu loaded ('vonggac rules check' says why)", content_rejected(q->content),
             ruleset_count(content_ruleset(q->content)));
}

static int load(struct request *q)
{
    struct collector_config used = {.rules = {q->paths, q->n_paths}};
    struct content_options options = {0};
    char *mapping_paths[CLI_LIST_MAX];
    struct diag diag = {0};
    int64_t start_ns = time_monotonic_ns();
    int r = choose_mappings(q, mapping_paths, &used.mappings, &options);
    if (r == 0 && q->placeholders) {
        q->arena = arena_new(PLACEHOLDERS_MAX);
        r = q->arena ? cli_placeholders(q->placeholders, q->arena, &used.placeholders) : -ENOMEM;
    }
    if (r < 0)
        return r;
    r = content_load_with(&used, &options, &q->content, &diag);
    if (r < 0) {
        cli_fail("%s", diag.msg);
        return r;
    }
    q->load_seconds = (double)(time_monotonic_ns() - start_ns) / 1e9;
    complain(q);
    return 0;
}

/* ---- running ---- */

static void print_stats(const struct request *q, const struct eval_totals *t)
{
    const struct matcher_stats *m = &t->matcher;
    struct rusage usage = {0};
    double seconds = MAX(t->seconds, 1e-9), events = (double)t->events;
    getrusage(RUSAGE_SELF, &usage);
    fprintf(stderr,
            "rules: %zu loaded in %.3f s\n"
            "events: %" PRIu64 " of %" PRIu64 " lines, %" PRIu64 " bad, %" PRIu64 " fields dropped\n"
            "detections: %" PRIu64 "\n"
            "run: %.3f s, %u threads, %.0f events/s, %.0f ns/event, %.1f MB/s\n"
            "memory: %ld KiB resident at most\n"
            "matcher: %" PRIu64 " rules tried, %" PRIu64 " regexes gave up\n",
            ruleset_count(content_ruleset(q->content)), q->load_seconds, t->events, t->lines, t->bad, t->dropped_fields,
            t->matches, t->seconds, q->n_threads, events / seconds, t->events ? seconds * 1e9 / events : 0.0,
            (double)t->bytes / seconds / 1e6, usage.ru_maxrss, m->rules_tried, m->regex_gave_up);
    if (m->correlation_hits)
        fprintf(stderr,
                "correlation: %" PRIu64 " triggers, %" PRIu64 " groups in %" PRIu64 " bytes, %" PRIu64
                " evicted (%" PRIu64 " live), %" PRIu64 " hits dropped, %" PRIu64 " late\n",
                m->correlation_hits, m->groups, m->group_bytes, m->evicted, m->evicted_live, m->dropped_hits,
                m->late_hits);
}

static int run(const struct request *q)
{
    struct eval_totals totals;
    int in = q->events ? open(q->events, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
    if (in < 0)
        return cli_fail("%s: %s", q->events, strerror(errno));
    const struct eval_job job = {
        .rs = content_ruleset(q->content),
        .names = content_names(q->content),
        .threads = q->n_threads,
        .matcher = {.memory_max = STATE_MEMORY,
                    .lateness_ns = q->lateness_ns,
                    .keep_ns = MAX(q->lateness_ns, MATCHER_KEEP_NS),
                    .without_refs = true},
        .in = in,
        .out = STDOUT_FILENO,
        .is_quiet = q->is_quiet,
    };
    int err = eval_run(&job, &totals);
    if (q->events)
        close(in);
    if (err < 0)
        return CLI_FAILED;
    if (totals.bad && !q->is_quiet)
        cli_fail("%" PRIu64 " lines are no events and were left out", totals.bad);
    if (q->has_stats)
        print_stats(q, &totals);
    return CLI_OK;
}

int cli_rules_eval(const struct command *self, int argc, char **argv)
{
    struct request *q = calloc(1, sizeof(*q));
    if (!q)
        return cli_fail("out of memory");
    q->self = self;
    int r = parse(q, argc, argv);
    int ret = r > 0 ? CLI_OK : r < 0 ? CLI_USAGE : load(q) < 0 ? CLI_FAILED : run(q);
    content_free(q->content);
    arena_free(q->arena);
    collector_config_clear(&q->config);
    free(q);
    return ret;
}
