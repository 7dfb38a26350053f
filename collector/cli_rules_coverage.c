/* SPDX-License-Identifier: Apache-2.0
 *
 * `vonggac rules coverage`: what the rules look for, by MITRE ATT&CK and by the clauses of the law (tags `attack.`, `tcvn`), and
 * which log sources they need. A rule counts as usable when a mapping knows its log source: what nobody feeds covers nothing.
 * --navigator writes a layer for MITRE's ATT&CK Navigator (layer format 4.5).
 */
#include "collector/cli_rules.h"
#include "common/file.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>

#define TITLES_SHOWN 40 /* rules that a technique's comment lists */
#define LAYER_MAX    (64 * MIB)

static const char *const levels[] = {"informational", "low", "medium", "high", "critical"};

struct coverage {
    json_t *levels, *tactics, *techniques, *logsources, *clauses; /* name -> {rules, usable, titles} */
    size_t n_rules, n_usable, n_silent;
    bool is_usable_only, is_out_of_memory;
};

/* ---- counting ---- */

static void increment(json_t *entry, const char *key, size_t by)
{
    json_t *n = json_object_get(entry, key);
    json_integer_set(n, json_integer_value(n) + (json_int_t)by);
}

static void count(struct coverage *c, json_t *map, const char *name, const struct rule *rule, bool is_usable)
{
    json_t *entry = json_object_get(map, name);
    if (!entry) {
        entry = json_pack("{s:i, s:i, s:[]}", "rules", 0, "usable", 0, "titles");
        if (json_object_set_new(map, name, entry) < 0) { /* a tag that is not UTF-8 cannot come out of YAML */
            c->is_out_of_memory = true;
            return;
        }
    }
    increment(entry, "rules", 1);
    increment(entry, "usable", is_usable);
    if (!c->is_usable_only || is_usable)
        json_array_append_new(json_object_get(entry, "titles"), json_string(rule->title));
}

static bool is_technique(const char *name) /* t1234 or t1234.567 */
{
    size_t digits = (name[0] | 0x20) == 't' ? strspn(name + 1, "0123456789") : 0;
    const char *rest = name + 1 + digits;
    return digits == 4 && (!*rest || (*rest == '.' && strspn(rest + 1, "0123456789") == 3 && !rest[4]));
}

static bool is_tactic(const char *name)
{
    return *name && name[strspn(name, "abcdefghijklmnopqrstuvwxyz-_")] == '\0';
}

static void count_tag(struct coverage *c, const struct rule *rule, const char *tag, bool is_usable)
{
    char name[64];
    if (strncmp(tag, "tcvn", 4) == 0)
        count(c, c->clauses, tag, rule, is_usable);
    if (strncmp(tag, "attack.", 7) != 0)
        return;
    snprintf(name, sizeof(name), "%s", tag + 7);
    if (is_technique(name)) {
        name[0] = 'T';
        count(c, c->techniques, name, rule, is_usable);
    } else if (is_tactic(name)) {
        for (char *p = name; *p; p++)
            *p = *p == '_' ? '-' : *p;
        count(c, c->tactics, name, rule, is_usable);
    }
}

static void count_source(struct coverage *c, const struct rule *rule, bool is_usable)
{
    char name[256];
    snprintf(name, sizeof(name), "%s%.80s%s%.80s%s%.80s", rule->product ? " product=" : "",
             rule->product ? rule->product : "", rule->category ? " category=" : "",
             rule->category ? rule->category : "", rule->service ? " service=" : "",
             rule->service ? rule->service : "");
    count(c, c->logsources, name + 1, rule, is_usable);
}

static void count_rules(struct coverage *c, const struct ruleset *rs)
{
    for (size_t i = 0; i < ruleset_count(rs); i++) {
        const struct rule *rule = ruleset_rule(rs, i);
        bool is_usable = rules_job_can_match(rule);
        if (rule->kind == RULE_DETECTION)
            count_source(c, rule, is_usable);
        if (rule->is_silent) { /* its correlation speaks for it */
            c->n_silent++;
            continue;
        }
        c->n_rules++;
        c->n_usable += is_usable;
        count(c, c->levels, levels[rule->level], rule, is_usable);
        for (size_t t = 0; t < rule->n_tags; t++)
            count_tag(c, rule, rule->tags[t], is_usable);
    }
}

/* ---- Navigator ---- */

static json_t *comment_of(json_t *titles)
{
    CLEANUP(buf_clear) struct buf text = BUF_INIT(64 * KIB);
    size_t n = json_array_size(titles);
    for (size_t i = 0; i < n && i < TITLES_SHOWN; i++)
        buf_printf(&text, "%s%.400s", i ? "\n" : "", json_string_value(json_array_get(titles, i)));
    if (n > TITLES_SHOWN)
        buf_printf(&text, "\nand %zu more", n - TITLES_SHOWN);
    return json_stringn((const char *)text.data, text.len);
}

static json_t *make_layer(const struct coverage *c)
{
    json_t *techniques = json_array(), *entry;
    json_int_t most = 1;
    const char *name, *counted = c->is_usable_only ? "usable" : "rules";
    json_object_foreach(c->techniques, name, entry)
    {
        json_int_t score = json_integer_value(json_object_get(entry, counted));
        most = MAX(most, score);
        if (score > 0)
            json_array_append_new(techniques, json_pack("{s:s, s:I, s:o, s:b, s:b}", "techniqueID", name, "score",
                                                        score, "comment", comment_of(json_object_get(entry, "titles")),
                                                        "enabled", 1, "showSubtechniques", strchr(name, '.') == NULL));
    }
    return json_pack(
        "{s:s, s:{s:s, s:s}, s:s, s:s, s:i, s:{s:b, s:b, s:s, s:s}, s:o, s:{s:[s, s], s:i, s:I}}", "name", "Vọng Gác",
        "versions", "navigator", "4.9.0", "layer", "4.5", "domain", "enterprise-attack", "description",
        c->is_usable_only ? "Score: number of rules whose log source is received" : "Score: number of rules", "sorting",
        3, "layout", "showID", 1, "showName", 1, "layout", "side", "expandedSubtechniques", "annotated", "techniques",
        techniques, "gradient", "colors", "#ffffff", "#2f6f4f", "minValue", 0, "maxValue", most);
}

static int write_layer(const struct coverage *c, const char *path)
{
    json_t *layer = make_layer(c);
    char *text = layer ? json_dumps(layer, JSON_INDENT(1)) : NULL;
    json_decref(layer);
    if (!text)
        return cli_fail("%s", strerror(ENOMEM));
    int r = 0;
    if (strcmp(path, "-") == 0)
        puts(text);
    else
        r = file_write_atomic(path, str_of(text), 0644);
    free(text);
    return r < 0 ? cli_fail("%s: %s", path, strerror(-r)) : CLI_OK;
}

/* ---- printing ---- */

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void print_row(const char *name, const json_t *entry)
{
    printf("%6lld %6lld  %s\n", (long long)json_integer_value(json_object_get(entry, "rules")),
           (long long)json_integer_value(json_object_get(entry, "usable")), name);
}

static void print_table(const char *heading, json_t *map)
{
    size_t n = 0;
    const char **names CLEANUP(free_ptr) = reallocarray(NULL, json_object_size(map) + 1, sizeof(*names)), *name;
    json_t *entry;
    if (!names || json_object_size(map) == 0)
        return;
    json_object_foreach(map, name, entry) names[n++] = name;
    qsort(names, n, sizeof(*names), compare_names);
    printf("\n rules usable  %s (%zu)\n", heading, n);
    for (size_t i = 0; i < n; i++)
        print_row(names[i], json_object_get(map, names[i]));
}

static void print_text(const struct coverage *c)
{
    size_t n_known = 0;
    const char *name;
    json_t *entry;
    json_object_foreach(c->logsources, name, entry) n_known += json_integer_value(json_object_get(entry, "usable")) > 0;
    printf(
        "%zu rules, %zu of them usable: a mapping knows their log source (%zu of %zu log sources); %zu more only feed "
        "correlations\n",
        c->n_rules, c->n_usable, n_known, json_object_size(c->logsources), c->n_silent);
    printf("\n rules usable  level\n");
    for (size_t i = ARRAY_LEN(levels); i-- > 0;)
        if ((entry = json_object_get(c->levels, levels[i])))
            print_row(levels[i], entry);
    print_table("tactic", c->tactics);
    print_table("technique", c->techniques);
    print_table("clause", c->clauses);
    print_table("log source", c->logsources);
}

static int print_json(const struct coverage *c)
{
    json_t *all =
        json_pack("{s:I, s:I, s:I, s:O, s:O, s:O, s:O, s:O}", "rules", (json_int_t)c->n_rules, "usable",
                  (json_int_t)c->n_usable, "silent", (json_int_t)c->n_silent, "levels", c->levels, "tactics",
                  c->tactics, "techniques", c->techniques, "clauses", c->clauses, "logsources", c->logsources);
    int r = all ? json_dumpf(all, stdout, JSON_COMPACT | JSON_SORT_KEYS) : -1;
    json_decref(all);
    putchar('\n');
    return r < 0 ? cli_fail("%s", strerror(ENOMEM)) : CLI_OK;
}

/* ---- the command ---- */

static int cover(const struct rules_job *job, struct coverage *c, const char *navigator)
{
    rules_job_complain(job);
    count_rules(c, content_ruleset(job->content));
    if (c->is_out_of_memory)
        return cli_fail("%s", strerror(ENOMEM));
    int r = navigator ? write_layer(c, navigator) : CLI_OK;
    if (r != CLI_OK || (navigator && strcmp(navigator, "-") == 0))
        return r;
    if (job->is_json)
        return print_json(c);
    print_text(c);
    return CLI_OK;
}

int cli_rules_coverage(const struct command *self, int argc, char **argv)
{
    struct rules_job job = {.self = self};
    struct coverage c = {0};
    const char *navigator = NULL;
    const struct cli_option options[] = {
        {"navigator", "FILE", "write a layer for MITRE's ATT&CK Navigator ('-': only that, to stdout)",
         .text = &navigator},
        {"usable", NULL, "score only rules whose log source we have", .flag = &c.is_usable_only},
        RULES_JOB_OPTIONS(&job),
    };
    int r = rules_job_parse(&job, options, ARRAY_LEN(options), argc, argv);
    if (r != 0)
        return r > 0 ? CLI_OK : CLI_USAGE;
    json_t **const maps[] = {&c.levels, &c.tactics, &c.techniques, &c.logsources, &c.clauses};
    for (size_t i = 0; i < ARRAY_LEN(maps); i++) {
        *maps[i] = json_object();
        c.is_out_of_memory |= !*maps[i];
    }
    int ret = rules_job_load(&job, false) == 0 ? cover(&job, &c, navigator) : CLI_FAILED;
    for (size_t i = 0; i < ARRAY_LEN(maps); i++)
        json_decref(*maps[i]);
    rules_job_clear(&job);
    return ret;
}
