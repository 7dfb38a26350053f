/* SPDX-License-Identifier: Apache-2.0
 *
 * The commands of vonggac-agent, and what they share. Exit status: 0 done, 1 failed, 2 wrong usage.
 */
#pragma once

#include "agent/config.h"

#include <stdio.h>

#define EXIT_OK     0
#define EXIT_FAILED 1
#define EXIT_USAGE  2

#define CONFIG_DEFAULT "/etc/vonggac/agent.yml"

struct command {
    const char *name, *usage, *help;
    int (*run)(int argc, char **argv); /* argv[0] is the command's name */
};

/* One option of a command: "--name VALUE" or "--name=VALUE" into *value, or "--name" into *flag. */
struct command_option {
    const char *name;
    const char **value;
    bool *flag;
};

/* No operands are taken. 0, or -EINVAL after saying what is wrong on stderr. */
int options_parse(int argc, char **argv, const struct command_option *opts, size_t n);

/* Loads the configuration, and where it names no collector, the one this agent was enrolled with. 0, or an error that
 * has been printed. */
int config_open(const char *path, struct agent_config *cfg);
int enrolled_collector_save(const struct agent_config *cfg, const char *host, uint16_t port);

int command_run(int argc, char **argv);
int command_enroll(int argc, char **argv);
int command_status(int argc, char **argv);
int command_check(int argc, char **argv);
