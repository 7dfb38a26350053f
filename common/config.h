/* SPDX-License-Identifier: Apache-2.0
 *
 * Configuration by option tables: one row per option gives its type, place in a struct, default, limits and help. The
 * parser, validation, `--help-config` and the reference page all come from the table. Keys are dotted paths in the
 * YAML file ("listen.port"). Unknown keys are errors with a hint at the nearest known one. No secret is an option
 * value: options name files that hold secrets.
 */
#pragma once

#include "common/diag.h"
#include "common/yaml.h"

enum option_type {
    OPT_STR,      /* char *, owned by the struct */
    OPT_PATH,     /* char *, must be absolute */
    OPT_INT,      /* int64_t, min and max apply */
    OPT_BOOL,     /* bool */
    OPT_SIZE,     /* uint64_t bytes, "64KiB" */
    OPT_DURATION, /* int64_t ns, "5s" */
    OPT_LIST,     /* struct strlist: list of scalars */
    OPT_NODE,     /* const struct yaml *: the subtree, for the owner to read; lives as long as the config's arena */
};

struct strlist {
    char **items; /* owned */
    size_t n;
};

struct option {
    const char *key;
    enum option_type type;
    size_t offset;    /* of the member in the target struct */
    const char *def;  /* as one would write it (OPT_LIST and OPT_NODE: YAML); NULL: none (zero value) */
    int64_t min, max; /* OPT_INT, OPT_SIZE (bytes), OPT_DURATION (ns); max 0: no upper limit */
    bool required;
    const char *help; /* one line, English */
};

/* Fills `target` (zeroed by the caller) with defaults and then with the file's values. Reports every problem of the file
 * in diags, each with line and column. `arena` holds OPT_NODE subtrees and must outlive the target. A key with nothing
 * behind it empties OPT_LIST and OPT_NODE and is an error for the rest. path NULL: defaults only. 0, -EINVAL (also when
 * a required key is missing), -ENOENT, -EACCES, -E2BIG, -ENOMEM; on failure the target owns nothing. */
int config_load(const char *path, const struct option *opts, size_t n, void *target, struct arena *arena,
                struct diags *diags);
int config_parse(struct str text, const char *name, const struct option *opts, size_t n, void *target,
                 struct arena *arena, struct diags *diags);
void config_clear(const struct option *opts, size_t n, void *target); /* frees what the options own */

void config_print_help(const struct option *opts, size_t n); /* to stdout, for --help-config */
