/* SPDX-License-Identifier: Apache-2.0
 *
 * The `vonggac` command line: every command is a row of the array in cli.c. A name may have two words ("archive export");
 * `vonggac archive` alone then lists the group. A command describes its options as a table, from which parsing and `--help`
 * come. Exit codes are the same everywhere. Commands print to stdout; complaints go to stderr.
 */
#pragma once

#include "collector/config.h"

enum cli_exit {
    CLI_OK = 0,
    CLI_FAILED = 1, /* it was tried and did not work, or what was checked is not well */
    CLI_USAGE = 2,  /* it was asked wrongly: nothing was done */
};

struct command {
    const char *name;                                              /* one or two words */
    const char *args;                                              /* operands as the usage line shows them, or "" */
    const char *help;                                              /* one line */
    int (*run)(const struct command *self, int argc, char **argv); /* argv[0] is the name's last word; enum cli_exit */
};

#define CLI_LIST_MAX 64

struct cli_list { /* an option that may come again and again */
    const char *items[CLI_LIST_MAX];
    size_t n;
};

/* Exactly one of flag, text and list is set. Texts borrow from argv. Secrets are never option values: argv is public. */
struct cli_option {
    const char *name; /* without the dashes */
    const char *arg;  /* what the usage calls the value; NULL for a flag */
    const char *help;
    bool *flag;
    const char **text;
    struct cli_list *list;
};

/* Reads --name VALUE, --name=VALUE and -- in any order with operands, which it moves to argv[0..*ret_n).
 * 0: go on. 1: --help was asked for and printed: return CLI_OK. -EINVAL: wrong, and told: return CLI_USAGE. */
int cli_parse(const struct command *self, const struct cli_option *options, size_t n, int max_operands, int argc,
              char **argv, int *ret_n);

int cli_fail(const char *fmt, ...) PRINTF_LIKE(1, 2); /* "vonggac: ..." on stderr; returns CLI_FAILED */
int cli_usage(const struct command *self, const char *fmt, ...)
    PRINTF_LIKE(2, 3); /* the same, and where to find help; returns CLI_USAGE */

/* Loads collector.yml (NULL: COLLECTOR_CONFIG_DEFAULT). Problems are printed. 0 or negative errno; clear it after 0. */
int cli_config(const char *path, struct collector_config *ret);

/* The commands. */
int cli_agent_list(const struct command *self, int argc, char **argv);
int cli_agent_revoke(const struct command *self, int argc, char **argv);
int cli_agent_token(const struct command *self, int argc, char **argv);
int cli_archive_export(const struct command *self, int argc, char **argv);
int cli_archive_verify(const struct command *self, int argc, char **argv);
int cli_authority_init(const struct command *self, int argc, char **argv);
int cli_authority_server(const struct command *self, int argc, char **argv);
int cli_decode(const struct command *self, int argc, char **argv);
int cli_rules_check(const struct command *self, int argc, char **argv);
int cli_rules_eval(const struct command *self, int argc, char **argv);
int cli_rules_coverage(const struct command *self, int argc, char **argv);
int cli_rules_explain(const struct command *self, int argc, char **argv);
int cli_rules_import(const struct command *self, int argc, char **argv);
int cli_rules_test(const struct command *self, int argc, char **argv);
int cli_status(const struct command *self, int argc, char **argv);
int cli_user_add(const struct command *self, int argc, char **argv);
int cli_user_list(const struct command *self, int argc, char **argv);
int cli_user_passwd(const struct command *self, int argc, char **argv);
int cli_user_unlock(const struct command *self, int argc, char **argv);
int cli_version(const struct command *self, int argc, char **argv);
