/* SPDX-License-Identifier: Apache-2.0
 *
 * The agent's configuration (agent.yml): the option table and the list of followed files.
 */
#pragma once

#include "common/arena.h"
#include "common/config.h"

#define SOURCES_MAX 256

/* One entry of files[]. */
struct file_source {
    char *name, *type;
    struct strlist paths, exclude;
    bool from_end;
};

struct agent_config {
    char *collector_host;
    int64_t collector_port;
    char *state_dir, *host, *log_level;
    uint64_t spool_max;
    int64_t linger_ns, zstd_level, files_max;
    bool demo;
    bool journal_enabled;
    char *journal_directory;
    int64_t journal_since_ns;
    const struct yaml *files_node;

    struct file_source *sources; /* from files_node */
    size_t n_sources;
    struct arena *arena;
};

/* 0, or negative errno with at least one entry in diags. clear is fine after a failure too. */
int agent_config_load(const char *path, struct agent_config *ret, struct diags *diags);
int agent_config_parse(struct str text, const char *name, struct agent_config *ret, struct diags *diags);
void agent_config_clear(struct agent_config *cfg);
void agent_config_help(void); /* to stdout */
