/* SPDX-License-Identifier: Apache-2.0
 *
 * The rule engine in a program of one's own: loads Sigma rules, reads one JSON event a line from standard input and prints what
 * matched. See "Embedding" in rules/README.md. Built and run as a test; with the library installed:
 *
 *     cc -std=gnu17 embed.c $(pkg-config --cflags --libs --static vonggac-rules) -o embed
 *     echo '{"product": "windows", "CommandLine": "whoami /all"}' | ./embed rule.yml ...
 */
#include "rules/json_event.h"
#include "rules/matcher.h"

#include <stdio.h>

#if RULES_API_VERSION != 2
#error "written for version 2 of the interface"
#endif

#define RULE_BYTES_MAX (4 * MIB)
#define STATE_BYTES    (64 * MIB) /* for correlations */

/* Called from within matcher_eval: everything in m is borrowed, and gone afterwards. */
static void on_match(const struct match *m, void *ctx)
{
    size_t *count = ctx;
    ++*count;
    printf("%s: %s\n", m->rule->kind == RULE_CORRELATION ? "correlation" : "detection", m->rule->title);
    for (size_t i = 0; i < m->n_matched; i++) {
        const struct matched *why = &m->matched[i];
        printf("  " STR_FMT ": '" STR_FMT "' in " STR_FMT "\n", STR_ARG(why->selection), STR_ARG(why->pattern),
               STR_ARG(why->value));
    }
}

/* The engine reads no files: its caller does. */
static int add_file(struct ruleset *rs, const char *path, struct diags *diags)
{
    CLEANUP(buf_clear) struct buf text = BUF_INIT(RULE_BYTES_MAX);
    FILE *f = fopen(path, "rb");
    uint8_t *tail;
    size_t n;
    if (!f) {
        perror(path);
        return -1;
    }
    while (buf_reserve(&text, 4096, &tail) == 0 && (n = fread(tail, 1, 4096, f)) > 0)
        text.len += n;
    fclose(f);
    return ruleset_add(rs, buf_str(&text), path, diags);
}

static int load(struct ruleset *rs, int n, char **paths)
{
    struct diags diags;
    diags_init(&diags, 100);
    int err = ruleset_without_mapping(rs); /* or ruleset_add_mapping: fields by other names, sources by their events */
    for (int i = 0; err >= 0 && i < n; i++)
        err = add_file(rs, paths[i], &diags);
    err = err < 0 ? err : ruleset_compile(rs, &diags);
    for (size_t i = 0; i < diags.n; i++)
        fprintf(stderr, "%s:%d:%d: %s\n", diags.entries[i].file, diags.entries[i].diag.line, diags.entries[i].diag.col,
                diags.entries[i].diag.msg);
    diags_clear(&diags);
    return err < 0 ? err : 0;
}

/* Any number of threads may do this with the same names and rule set, each with a matcher and a reader of its own. */
static int evaluate(const struct names *names, const struct ruleset *rs)
{
    const struct json_event_options options = {.keeps_unknown = ruleset_has_keywords(rs), .wants_time = true};
    struct json_event_reader *reader = json_event_reader_new(names, &options);
    struct matcher *matcher = matcher_new(rs, STATE_BYTES);
    char *line = NULL;
    size_t cap = 0, n_matches = 0;
    struct event ev;
    uint64_t n_events = 0;
    int err = reader && matcher ? 0 : -1;
    for (ssize_t len; err == 0 && (len = getline(&line, &cap, stdin)) > 0; n_events++) {
        if (json_event_read(reader, (struct str){line, (size_t)len}, &ev) < 0) {
            fprintf(stderr, "line %llu is not a JSON object\n", (unsigned long long)n_events + 1);
            continue;
        }
        ev.ref = (struct event_ref){.pos = n_events}; /* events are told apart by this */
        err = matcher_eval(matcher, &ev, on_match, &n_matches);
    }
    if (err == 0)
        err = matcher_flush(matcher, on_match, &n_matches); /* what waited for events that might have come */
    printf("%llu events, %zu matches\n", (unsigned long long)n_events, n_matches);
    free(line);
    matcher_free(matcher);
    json_event_reader_free(reader);
    return err;
}

int main(int argc, char **argv)
{
    struct names *names = names_new();
    struct ruleset *rs = names ? ruleset_new(names) : NULL;
    int err = rs ? load(rs, argc - 1, argv + 1) : -1;
    if (err == 0)
        err = evaluate(names, rs);
    ruleset_free(rs); /* in this order: a rule set borrows its names */
    names_free(names);
    return err == 0 ? 0 : 1;
}
