/* SPDX-License-Identifier: Apache-2.0
 *
 * `vonggac`, the command line for people: finds the command, gives help. Each area's commands are in cli_<area>.c; to add one,
 * write its run function, declare it in cli.h and put its row into `commands`.
 */
#include "collector/cli.h"

#include "common/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

static const struct command commands[] = {
    {"status", "", "say whether the collector runs and is well", cli_status},
    {"agent token", "", "make a token to enrol agents with, and print it", cli_agent_token},
    {"agent list", "", "list the agents enrolled", cli_agent_list},
    {"agent revoke", "ID", "refuse an agent from now on, for ever", cli_agent_revoke},
    {"archive export", "", "print archived lines, as they came or as events", cli_archive_export},
    {"archive verify", "", "prove that the archive is what was written", cli_archive_verify},
    {"authority init", "", "make the authority and the collector's certificate", cli_authority_init},
    {"authority server", "", "make the collector's certificate anew, with the same authority", cli_authority_server},
    {"decode", "[FILE|-]", "show what becomes of log lines: one event as JSON a line", cli_decode},
    {"rules check", "[PATH]...", "say what in these rule files cannot be used, with line and column", cli_rules_check},
    {"rules eval", "[FILE|-]", "say which rules match these events: JSON lines in, JSON lines out", cli_rules_eval},
    {"rules coverage", "PATH...", "what these rules look for: ATT&CK, clauses, log sources", cli_rules_coverage},
    {"rules explain", "PATH...", "a rule's compiled plan and cost, and why an event matches it", cli_rules_explain},
    {"rules import", "DIR", "copy the rules of a SigmaHQ checkout that can match here", cli_rules_import},
    {"rules test", "[PATH]...", "run the tests that stand in these rule files", cli_rules_test},
    {"user add", "NAME", "let somebody into the console", cli_user_add},
    {"user list", "", "list who may sign in to the console", cli_user_list},
    {"user passwd", "NAME", "set a user's password, and end his sessions", cli_user_passwd},
    {"user unlock", "NAME", "take away the lock after too many wrong passwords", cli_user_unlock},
    {"version", "", "print the versions of this program and of the libraries it runs with", cli_version},
};

/* Length of the first word when the name has two, else 0. */
static size_t group_len(const char *name)
{
    const char *space = strchr(name, ' ');
    return space ? (size_t)(space - name) : 0;
}

static bool is_in_group(const struct command *c, const char *group)
{
    size_t len = group_len(c->name);
    return len > 0 && strlen(group) == len && memcmp(c->name, group, len) == 0;
}

static void print_commands(FILE *to, const char *group)
{
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (!group || is_in_group(&commands[i], group))
            fprintf(to, "  %-18s %s\n", commands[i].name, commands[i].help);
}

static void print_usage(FILE *to, const char *group)
{
    fprintf(to, "Usage: vonggac %s%sCOMMAND [OPTIONS]\n\n", group ? group : "", group ? " " : "");
    print_commands(to, group);
    fprintf(to, "\n'vonggac COMMAND --help' tells more. Exit status: 0 done, 1 failed, 2 wrong usage.\n");
}

static bool group_exists(const char *word)
{
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (is_in_group(&commands[i], word))
            return true;
    return false;
}

/* The command that the words at the front of argv name, and how many words that took. */
static const struct command *find(int argc, char **argv, int *ret_words)
{
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        const struct command *c = &commands[i];
        size_t len = group_len(c->name);
        *ret_words = len ? 2 : 1;
        if (len ? argc > 1 && is_in_group(c, argv[0]) && strcmp(c->name + len + 1, argv[1]) == 0
                : strcmp(c->name, argv[0]) == 0)
            return c;
    }
    return NULL;
}

static bool is_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0;
}

int main(int argc, char **argv)
{
    log_init("vonggac", LOG_LEVEL_INFO);
    argc--, argv++;
    if (argc == 0) {
        print_usage(stderr, NULL);
        return CLI_USAGE;
    }
    if (is_help(argv[0])) {
        print_usage(stdout, NULL);
        return CLI_OK;
    }
    if (strcmp(argv[0], "--version") == 0) {
        printf("vonggac %s\n", VONGGAC_VERSION);
        return CLI_OK;
    }
    int words;
    const struct command *c = find(argc, argv, &words);
    if (c) {
        int r = c->run(c, argc - words + 1, argv + words - 1);
        if (fflush(stdout) == 0 && !ferror(stdout))
            return r;
        fprintf(stderr, "vonggac: cannot write the output: %s\n", strerror(errno));
        return CLI_FAILED;
    }
    bool is_group = group_exists(argv[0]);
    if (is_group && argc > 1 && is_help(argv[1])) {
        print_usage(stdout, argv[0]);
        return CLI_OK;
    }
    if (is_group && argc == 1) {
        print_usage(stderr, argv[0]);
        return CLI_USAGE;
    }
    fprintf(stderr, "vonggac: no command '%s%s%s'\nTry 'vonggac%s%s --help'.\n", argv[0], is_group ? " " : "",
            is_group ? argv[1] : "", is_group ? " " : "", is_group ? argv[0] : "");
    return CLI_USAGE;
}
