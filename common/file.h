/* SPDX-License-Identifier: Apache-2.0
 *
 * Small file jobs done right once: bounded reads, atomic and durable writes, walking a folder of YAML files.
 * Blocking. Paths are NUL-terminated.
 */
#pragma once

#include "common/buf.h"
#include "common/diag.h"

/* Appends the whole file. 0, -E2BIG when it is over out->max, or the errno of open/read. */
int file_read(const char *path, struct buf *out);

/* Writes path.tmp, fsyncs, renames over path, fsyncs the folder. Mode as given, never wider in between. 0 or negative errno. */
int file_write_atomic(const char *path, struct str data, unsigned mode);

int file_mkdirs(const char *path, unsigned mode); /* like mkdir -p */

/* Calls on_file for every regular file under `path` (or path itself) whose name ends in `suffix`, sorted by path, so
 * that every run sees the same order. Follows no symlinked folder; depth at most 16. Stops when on_file returns
 * non-zero and returns that. */
typedef int (*file_fn)(const char *path, void *ctx);
int file_walk(const char *path, const char *suffix, file_fn on_file, void *ctx);
