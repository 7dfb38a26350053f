/* SPDX-License-Identifier: Apache-2.0
 *
 * Names of log files: expanding globs, and what log rotation does to a name.
 */
#pragma once

#include "common/config.h"

#include <sys/stat.h>

struct path_walk {
    /* Each regular file that matches (symbolic links followed). Non-zero stops the walk and is returned. */
    int (*on_file)(const char *path, const struct stat *st, void *ctx);
    /* Each folder whose content decides what matches; NULL: not wanted. */
    void (*on_folder)(const char *path, void *ctx);
    void *ctx;
};

/* A shell glob (*, ?, [...]; no **), absolute. Hidden names match only a pattern that starts with a dot. Folders that
 * are missing or closed to us match nothing. 0, -ENAMETOOLONG, or what on_file returned. */
int path_expand(const char *pattern, const struct path_walk *w);

/* A pattern without '/' is matched against the file's name alone. */
bool path_is_excluded(const char *path, const struct strlist *patterns);

bool path_is_compressed(const char *name); /* by its suffix */

const char *path_name(const char *path);                     /* behind the last '/' */
int path_folder(const char *path, char *ret, size_t size);   /* "/" at least; -ENAMETOOLONG */
bool path_is_sibling(const char *name, const char *base);    /* base, then '.' or '-', then anything */
bool path_looks_rotated(const char *name, const char *base); /* ... then a number, a date, "old", "bak" or "prev" */
