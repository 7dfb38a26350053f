/* SPDX-License-Identifier: Apache-2.0
 *
 * YAML as a tree with line and column, for configuration, rules, mappings and decoders. A bounded layer over libyaml:
 * limits on bytes, nodes, depth and aliases; duplicate keys are an error. Scalars keep their text and whether they
 * were quoted, since Sigma tells '' from null and "42" from 42.
 */
#pragma once

#include "common/arena.h"
#include "common/diag.h"

#define YAML_BYTES_MAX   (4 * MIB)
#define YAML_NODES_MAX   200000
#define YAML_DEPTH_MAX   64
#define YAML_ANCHORS_MAX 256

enum yaml_kind { YAML_SCALAR, YAML_LIST, YAML_MAP };

struct yaml {
    enum yaml_kind kind;
    int line, col;   /* 1-based, where the node starts */
    bool is_quoted;  /* scalar in quotes or block style: always a string */
    struct str text; /* scalar; NUL-terminated as well */
    const char
        *source; /* scalar that is not written as its text (lines, escapes, a tag): as it is written; else NULL */
    struct yaml **keys;  /* map: scalar nodes */
    struct yaml **items; /* list elements or map values */
    size_t n;
};

/* Parses every document of `text` (UTF-8). Nodes live in `arena`. 0, -EINVAL with line and column in diag, -E2BIG (a
 * limit), -ENOMEM. An empty document yields a NULL entry. An alias shares its anchor's node: the tree may hold a node
 * at several places, never within itself. Merge keys and application tags are errors. */
int yaml_parse(struct str text, struct arena *arena, struct yaml ***ret_docs, size_t *ret_n, struct diag *diag);

/* The same for a part of a file that begins on that line. */
int yaml_parse_at(struct str text, int first_line, struct arena *arena, struct yaml ***ret_docs, size_t *ret_n,
                  struct diag *diag);

/* Line and column of the byte at `offset` of a scalar's text, within folded lines, block scalars and escapes too. */
void yaml_place(const struct yaml *y, size_t offset, int *ret_line, int *ret_col);

const struct yaml *yaml_get(const struct yaml *map, const char *key); /* NULL where absent or not a map */
bool yaml_is_null(const struct yaml *y); /* NULL pointer, ~, null, Null, NULL or empty plain scalar */

/* 0, or -EINVAL with the place in diag: absent, quoted, of another kind, out of range. */
int yaml_int(const struct yaml *y, int64_t min, int64_t max, int64_t *ret, struct diag *diag);
int yaml_bool(const struct yaml *y, bool *ret,
              struct diag *diag);                             /* true or false, as YAML 1.2 core; also yes and no */
struct str yaml_str(const struct yaml *map, const char *key); /* scalar text, or empty */
