/* SPDX-License-Identifier: Apache-2.0
 *
 * What the commands of `vonggac` share: option tables and complaints. See cli.h.
 */
#include "collector/cli.h"

#include "common/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

PRINTF_LIKE(1, 0) static void complain(const char *fmt, va_list args)
{
    fputs("vonggac: ", stderr);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
}

int cli_fail(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    complain(fmt, args);
    va_end(args);
    return CLI_FAILED;
}

int cli_usage(const struct command *self, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    complain(fmt, args);
    va_end(args);
    fprintf(stderr, "Try 'vonggac %s --help'.\n", self->name);
    return CLI_USAGE;
}

static void print_help(const struct command *self, const struct cli_option *options, size_t n)
{
    printf("Usage: vonggac %s [OPTIONS]%s%s\n\n%s\n\nOptions:\n", self->name, self->args[0] ? " " : "", self->args,
           self->help);
    for (size_t i = 0; i < n; i++) {
        char left[64];
        snprintf(left, sizeof(left), "--%s%s%s", options[i].name, options[i].arg ? " " : "",
                 options[i].arg ? options[i].arg : "");
        printf("  %-24s %s\n", left, options[i].help);
    }
    printf("  %-24s %s\n", "--help", "print this");
}

static const struct cli_option *find(const struct cli_option *options, size_t n, struct str name)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(str_of(options[i].name), name))
            return &options[i];
    return NULL;
}

static int set_value(const struct command *self, const struct cli_option *o, const char *value)
{
    if (o->text) {
        *o->text = value;
    } else if (o->list->n < CLI_LIST_MAX) {
        o->list->items[o->list->n++] = value;
    } else {
        cli_usage(self, "--%s more than %d times", o->name, CLI_LIST_MAX);
        return -EINVAL;
    }
    return 0;
}

/* Reads the option at argv[*i] and moves *i to the last word that belongs to it. */
static int take_option(const struct command *self, const struct cli_option *options, size_t n, int argc, char **argv,
                       int *i)
{
    const char *word = argv[*i], *equals = strchr(word, '=');
    struct str name = {word + 2, equals ? (size_t)(equals - word - 2) : strlen(word + 2)};
    const struct cli_option *o = word[1] == '-' ? find(options, n, name) : NULL;
    if (!o) {
        cli_usage(self, "unknown option '%s'", word);
        return -EINVAL;
    }
    if (o->flag) {
        if (equals) {
            cli_usage(self, "--%s takes no value", o->name);
            return -EINVAL;
        }
        *o->flag = true;
        return 0;
    }
    if (equals)
        return set_value(self, o, equals + 1);
    if (*i + 1 >= argc) {
        cli_usage(self, "--%s needs a value", o->name);
        return -EINVAL;
    }
    return set_value(self, o, argv[++*i]);
}

int cli_parse(const struct command *self, const struct cli_option *options, size_t n, int max_operands, int argc,
              char **argv, int *ret_n)
{
    int operands = 0;
    bool options_end = false;
    for (int i = 1; i < argc; i++) {
        char *word = argv[i];
        if (options_end || word[0] != '-' || !word[1]) { /* "-" alone is stdin, an operand */
            if (operands == max_operands) {
                cli_usage(self, "one word too many: '%s'", word);
                return -EINVAL;
            }
            argv[operands++] = word; /* operands <= i: nothing unread is overwritten */
        } else if (strcmp(word, "--") == 0) {
            options_end = true;
        } else if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
            print_help(self, options, n);
            return 1;
        } else if (take_option(self, options, n, argc, argv, &i) < 0) {
            return -EINVAL;
        }
    }
    *ret_n = operands;
    return 0;
}

int cli_config(const char *path, struct collector_config *ret)
{
    struct diags ds;
    diags_init(&ds, 50);
    int r = collector_config_load(path ? path : COLLECTOR_CONFIG_DEFAULT, ret, &ds);
    log_diags(&ds);
    diags_clear(&ds);
    return r;
}
