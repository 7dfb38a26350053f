/* SPDX-License-Identifier: Apache-2.0
 *
 * collector.yml: every option of vonggac-collector and of the `vonggac` commands that work on its files. The table in
 * config.c is the reference; `vonggac-collector --help-config` prints it.
 */
#pragma once

#include "common/config.h"

#define COLLECTOR_CONFIG_DEFAULT "/etc/vonggac/collector.yml"

struct collector_config {
    char *state_dir;
    struct {
        char *address;
        int64_t port, agents_max;
        uint64_t memory; /* bytes of batches that may be half received, over all connections */
    } listen;
    struct {
        char *authority, *authority_key, *certificate, *key; /* paths; under state_dir/pki unless given */
    } tls;
    struct {
        uint64_t segment_max, reserve;
        int64_t sync_delay_ns;
    } archive;
    struct strlist rules, mappings, decoders; /* files or folders; the installed content unless given */
    const struct yaml *placeholders;          /* map: name -> list of values */
    struct {
        uint64_t state_memory;
    } detect;
    struct {
        int64_t agent_after_ns, source_after_ns;
    } silence;
    struct {
        char *socket;
    } api;
    struct {
        int64_t idle_ns, max_ns;
    } session;
    struct {
        char *url, *authority, *certificate, *key, *user, *password_file; /* NULL where not given */
    } taxii;
    struct {
        char *name;
    } soc;
    struct {
        char *level;
    } log;

    char *db_path, *archive_dir; /* derived: state_dir/state.db, state_dir/archive */
    struct arena *arena;         /* holds `placeholders` */
};

/* Reads `path`, checks what the table cannot (a known log level, TAXII given whole) and fills in the derived paths.
 * 0 or negative errno with every problem in diags. */
int collector_config_load(const char *path, struct collector_config *ret, struct diags *diags);
void collector_config_clear(struct collector_config *c);
void collector_config_help(void);                                 /* to stdout */
int collector_config_log_level(const struct collector_config *c); /* enum log_level */
