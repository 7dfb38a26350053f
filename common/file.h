/* SPDX-License-Identifier: Apache-2.0
 *
 * Small file jobs done right once: bounded reads, atomic and durable writes, walking a folder of YAML files.
 * Blocking. Paths are NUL-terminated.
 */
#pragma once

#include "common/buf.h"
#include "common/diag.h"

/* Appends the whole file. 0, -E2BIG when it is over what out has room for, -ENOMEM, or the errno of open/read; then
 * out is as it was. */
int file_read(const char *path, struct buf *out);

/* Writes path.tmp, fsyncs, renames over path, fsyncs the folder. Mode as given whatever the umask, never wider in
 * between. One writer a path. 0 or negative errno. */
int file_write_atomic(const char *path, struct str data, unsigned mode);

/* Like mkdir -p; every folder it makes gets `mode` (less the umask). 0, -ENOTDIR or another errno. */
int file_mkdirs(const char *path, unsigned mode);

/* Calls on_file for every regular file under `path` whose name ends in `suffix`, sorted by path (strcmp), so that every
 * run sees the same order; when path is itself a file, for it alone whatever its name. Skips names that begin with a
 * dot; follows no symlinked folder below path. Lists everything before the first call. Stops when on_file returns
 * non-zero and returns that. -ELOOP: more than 16 folders deep; -E2BIG: more than 200,000 files; or an errno. */
typedef int (*file_fn)(const char *path, void *ctx);
int file_walk(const char *path, const char *suffix, file_fn on_file, void *ctx);
