/* SPDX-License-Identifier: Apache-2.0
 *
 * `vonggac rules explain PATH... [--id ID] [--event FILE|-]`: what becomes of a rule, what it costs, and why an event matches it
 * or does not. The event is one JSON object, as `vonggac decode` prints them.
 */
#include "collector/cli_rules_explain.h"

#include "common/file.h"
#include "rules/json_event.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#define EVENT_MAX (64 * MIB)
#define ENV_MAX   (64 * MIB)

struct explain_job {
    struct rules_job rules;
    const char *id, *event_path, *mapping;
    struct buf text; /* the event */
    struct json_event_reader *reader;
    struct event event;
};

static int read_stream(struct buf *out)
{
    uint8_t *tail;
    ssize_t n;
    do {
        int err = buf_reserve(out, 64 * KIB, &tail);
        if (err < 0)
            return err;
        n = read(STDIN_FILENO, tail, 64 * KIB);
        out->len += n > 0 ? (size_t)n : 0;
    } while (n > 0 || (n < 0 && errno == EINTR));
    return n < 0 ? -errno : 0;
}

/* 0, or a negative errno that has been told. */
static int read_event(struct explain_job *job)
{
    const struct json_event_options o = {.keeps_unknown = ruleset_has_keywords(content_ruleset(job->rules.content)),
                                         .wants_time = true};
    int err = strcmp(job->event_path, "-") == 0 ? read_stream(&job->text) : file_read(job->event_path, &job->text);
    if (err == 0) {
        job->reader = json_event_reader_new(content_names(job->rules.content), &o);
        err = job->reader ? json_event_read(job->reader, str_trim(buf_str(&job->text)), &job->event) : -ENOMEM;
    }
    if (err == -EBADMSG)
        cli_fail("%s: not one JSON object, at byte %zu", job->event_path, json_event_bad_at(job->reader) + 1);
    else if (err < 0)
        cli_fail("%s: %s", job->event_path, strerror(-err));
    return err;
}

static bool is_asked_for(const struct explain_job *job, const struct rule *rule)
{
    if (!job->id)
        return !rule->is_silent; /* those are told below their correlation */
    return strcmp(rule->id, job->id) == 0 || strcmp(rule->title, job->id) == 0 ||
           (rule->name && strcmp(rule->name, job->id) == 0);
}

static int explain_rules(struct explain_job *job, struct explaining *x)
{
    size_t n = 0;
    for (size_t i = 0; i < x->rs->n_loaded; i++) {
        if (!is_asked_for(job, &x->rs->loaded[i]->pub))
            continue;
        json_t *rule = explain_rule(x, x->rs->loaded[i]);
        if (!rule)
            return cli_fail("%s", strerror(ENOMEM));
        if (job->rules.is_json) {
            json_dumpf(rule, stdout, JSON_COMPACT);
            putchar('\n');
        } else {
            if (n)
                putchar('\n');
            explain_print(rule);
        }
        json_decref(rule);
        n++;
    }
    if (n)
        return content_rejected(job->rules.content) ? CLI_FAILED : CLI_OK;
    return job->id ? cli_fail("no rule '%s' was loaded", job->id) : cli_fail("no rule was loaded");
}

static int explain(struct explain_job *job)
{
    struct explaining x = {.rs = content_ruleset(job->rules.content)};
    rules_job_complain(&job->rules);
    if (job->event_path && read_event(job) < 0)
        return CLI_FAILED;
    x.event = job->event_path ? &job->event : NULL;
    struct arena *arena = arena_new(ENV_MAX);
    int r = arena && match_env_init(&x.env, arena) == 0 ? explain_rules(job, &x) : cli_fail("%s", strerror(ENOMEM));
    match_env_clear(&x.env);
    arena_free(arena);
    return r;
}

int cli_rules_explain(const struct command *self, int argc, char **argv)
{
    struct explain_job job = {.rules = {.self = self}, .text = BUF_INIT(EVENT_MAX)};
    const struct cli_option options[] = {
        {"id", "ID", "only the rule with this id, name or title", .text = &job.id},
        {"event", "FILE|-", "say why this event (one JSON object) matches or does not", .text = &job.event_path},
        {"mapping", "none", "the rules' own field names instead of mappings", .text = &job.mapping},
        RULES_JOB_OPTIONS(&job.rules),
    };
    int r = rules_job_parse(&job.rules, options, ARRAY_LEN(options), argc, argv);
    if (r != 0)
        return r > 0 ? CLI_OK : CLI_USAGE;
    if (job.mapping && strcmp(job.mapping, "none") != 0)
        return cli_usage(self, "--mapping is 'none' or left out");
    job.rules.options.is_without_mapping = job.mapping != NULL;
    int ret = rules_job_load(&job.rules, false) == 0 ? explain(&job) : CLI_FAILED;
    json_event_reader_free(job.reader);
    buf_clear(&job.text);
    rules_job_clear(&job.rules);
    return ret;
}
