/* SPDX-License-Identifier: Apache-2.0
 *
 * Keeping a folder of rules like the files of another: what `vonggac rules import` does once it knows which files it wants. The
 * folder has a manifest of what was written there, `.vonggac-import`: a line "SHA-256, two spaces, path" for each file, as
 * sha256sum prints and checks it. So a second import changes only what has changed, and nothing that came from somebody
 * else, or was changed there, is ever overwritten or removed.
 */
#pragma once

#include "common/diag.h"

#define RULE_IMPORT_MANIFEST  ".vonggac-import"
#define RULE_IMPORT_FILES_MAX 200000

enum rule_import_what {
    RULE_IMPORT_ADDED,
    RULE_IMPORT_UPDATED,
    RULE_IMPORT_UNCHANGED,
    RULE_IMPORT_REMOVED,
    RULE_IMPORT_KEPT, /* it is not as we wrote it, or not ours: left alone */
    RULE_IMPORT_WHATS,
};

struct rule_import {
    const char *from, *to;    /* folders; `to` is made if need be */
    const char *const *paths; /* relative to both, ascending (strcmp), no '.' or '..' among their parts */
    size_t n;
    bool is_dry; /* change nothing, only tell */
};

typedef void (*rule_import_fn)(enum rule_import_what what, const char *path, void *ctx);

/* Copies what is wanted and removes what is no longer: one on_file a file. Blocking. 0 or negative errno with diag. */
int rule_import_run(const struct rule_import *import, rule_import_fn on_file, void *ctx, struct diag *diag);
