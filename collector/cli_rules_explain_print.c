/* SPDX-License-Identifier: Apache-2.0
 *
 * An explained rule as text: the tree, indented; with an event, '+' before what holds and '-' before what does not.
 */
#include "collector/cli_rules_explain.h"

#include <stdio.h>

static const char *text(const json_t *object, const char *key)
{
    const char *z = json_string_value(json_object_get(object, key));
    return z ? z : "";
}

static void indent(int depth)
{
    printf("%*s", 2 * depth, "");
}

static void print_mark(const json_t *node)
{
    const json_t *holds = json_object_get(node, "holds");
    if (holds)
        printf("%s ", json_is_true(holds) ? "+" : "-");
}

static void print_pattern(const json_t *p)
{
    printf("%s '%s'%s", text(p, "test"), text(p, "pattern"),
           json_is_true(json_object_get(p, "cased")) ? " (cased)" : "");
    const char *decided = text(p, "decided");
    if (strcmp(decided, "index") == 0)
        fputs("  [index]", stdout);
    else if (*text(p, "gate"))
        printf("  [tried where '%s' is found]", text(p, "gate"));
    else if (*decided)
        fputs("  [tried]", stdout);
}

static void print_test_outcome(const json_t *test, int depth)
{
    size_t i;
    json_t *value;
    if (!json_object_get(test, "holds"))
        return;
    indent(depth);
    if (json_is_true(json_object_get(test, "holds"))) {
        printf("found: '%s' for '%s'\n", text(test, "value"), text(test, "pattern"));
        return;
    }
    printf("%s", text(test, "why"));
    json_array_foreach(json_object_get(test, "values"), i, value)
        printf("%s%s", i ? ", " : ": ", json_is_string(value) ? json_string_value(value) : "null");
    putchar('\n');
}

static void print_test(const json_t *test, int depth)
{
    const json_t *patterns = json_object_get(test, "patterns");
    const char *field = text(test, "field"), *event_field = text(test, "event_field");
    size_t i, n = json_array_size(patterns);
    json_int_t all = json_integer_value(json_object_get(test, "patterns_in_all"));
    json_t *p;
    indent(depth);
    print_mark(test);
    printf("%s: %s", text(test, "selection"), *field ? field : "keyword");
    if (*field && strcmp(field, event_field) != 0)
        printf(" (%s)", event_field);
    if (n == 1) {
        putchar(' ');
        print_pattern(json_array_get(patterns, 0));
        putchar('\n');
    } else {
        printf(", any of %lld\n", (long long)all);
        json_array_foreach(patterns, i, p)
        {
            indent(depth + 2);
            print_pattern(p);
            putchar('\n');
        }
        if ((json_int_t)n < all) {
            indent(depth + 2);
            printf("and %lld more\n", (long long)all - (long long)n);
        }
    }
    print_test_outcome(test, depth + 1);
}

static void print_condition(const json_t *node, int depth)
{
    const char *kind = text(node, "kind");
    size_t i;
    json_t *kid;
    if (strcmp(kind, "test") == 0) {
        print_test(node, depth);
        return;
    }
    indent(depth);
    print_mark(node);
    puts(strcmp(kind, "and") == 0 ? "all of" : strcmp(kind, "or") == 0 ? "any of" : "not");
    json_array_foreach(json_object_get(node, "of"), i, kid) print_condition(kid, depth + 1);
}

static void print_when(const json_t *when, int depth)
{
    size_t i, k;
    json_t *one, *value;
    indent(depth);
    fputs("events with", stdout);
    json_array_foreach(when, i, one)
    {
        printf("%s %s", i ? " and" : "", text(one, "field"));
        json_array_foreach(json_object_get(one, "is"), k, value)
            printf("%s %s", k ? "," : " of", json_string_value(value));
    }
    puts(json_array_size(when) ? "" : " any log source");
}

static void print_trigger(const json_t *source, int depth)
{
    const json_t *trigger = json_object_get(source, "trigger");
    size_t i;
    json_t *one;
    indent(depth);
    printf("cost: %s\n", text(source, "cost"));
    indent(depth);
    printf("looks %s\n", text(trigger, "looks"));
    json_array_foreach(json_object_get(trigger, "any_of"), i, one)
    {
        indent(depth + 1);
        printf("%s %s", text(one, "field"), text(one, "test"));
        printf(*text(one, "pattern") ? " '%s'\n" : "%s\n", text(one, "pattern"));
    }
}

static void print_source(const json_t *source, int depth)
{
    const json_t *fits = json_object_get(source, "fits");
    print_when(json_object_get(source, "when"), depth);
    if (fits) {
        indent(depth + 1);
        if (json_is_true(fits))
            puts("+ the event is one of these");
        else
            printf("- the event is not one of these: %s\n", text(source, "why_not"));
    }
    print_trigger(source, depth + 1);
    indent(depth + 1);
    puts("condition");
    print_condition(json_object_get(source, "condition"), depth + 2);
}

static void print_logsource(const json_t *rule, int depth)
{
    static const char *const keys[] = {"product", "category", "service"};
    const json_t *logsource = json_object_get(rule, "logsource");
    indent(depth);
    fputs("log source:", stdout);
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        if (*text(logsource, keys[i]))
            printf(" %s=%s", keys[i], text(logsource, keys[i]));
    puts(json_array_size(json_object_get(rule, "sources")) ? "" : " (no mapping knows it: the rule never matches)");
}

static void print_rule(const json_t *rule, int depth)
{
    const json_t *matches = json_object_get(rule, "matches");
    bool is_correlation = strcmp(text(rule, "kind"), "correlation") == 0;
    size_t i;
    json_t *one;
    indent(depth);
    printf("%s (%s)\n", text(rule, "title"), text(rule, "id"));
    indent(depth);
    printf("%s:%lld\n", text(rule, "file"), (long long)json_integer_value(json_object_get(rule, "line")));
    if (matches) {
        indent(depth);
        printf("=> %s\n", json_is_true(matches) ? (is_correlation ? "the event counts for it" : "the event matches")
                                                : "the event does not match");
    }
    if (!is_correlation)
        print_logsource(rule, depth);
    json_array_foreach(json_object_get(rule, "sources"), i, one) print_source(one, depth);
    if (!is_correlation)
        return;
    indent(depth);
    printf("%s: %s within %g s%s, by", text(rule, "type"), text(rule, "condition"),
           json_real_value(json_object_get(rule, "timespan_s")),
           json_is_true(json_object_get(rule, "waits")) ? " (certain only when late events have come)" : "");
    json_array_foreach(json_object_get(rule, "group_by"), i, one) printf("%s %s", i ? "," : "", json_string_value(one));
    puts(json_array_size(json_object_get(rule, "group_by")) ? ", over" : " nothing, over");
    json_array_foreach(json_object_get(rule, "rules"), i, one) print_rule(one, depth + 1);
}

void explain_print(const json_t *rule)
{
    print_rule(rule, 0);
}
