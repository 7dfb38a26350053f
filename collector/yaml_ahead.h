/* SPDX-License-Identifier: Apache-2.0
 *
 * Many YAML files, read and parsed ahead on a thread of their own while the caller works on the ones before: half of the time
 * that loading rules takes. The caller gets them in the order given, whatever the thread does.
 */
#pragma once

#include "common/yaml.h"

struct yaml_file {
    const char *path;
    int read_err;        /* 0 or negative errno: the file cannot be read */
    int err;             /* 0, or what yaml_parse returned, with diag */
    struct diag diag;    /* of yaml_parse */
    struct yaml **docs;  /* where both are 0 */
    size_t n;            /* documents */
    struct arena *arena; /* holds them. Whoever takes it sets it to NULL */
};

struct yaml_ahead;

/* Borrows paths. NULL: out of memory. Few files, or no thread to be had: they are read when asked for. */
struct yaml_ahead *yaml_ahead_new(char *const *paths, size_t n);
struct yaml_ahead *yaml_ahead_free(struct yaml_ahead *a); /* NULL is fine; always returns NULL. Waits for the thread */

/* The next file, valid until the next call; NULL behind the last. Blocks. */
struct yaml_file *yaml_ahead_next(struct yaml_ahead *a);
