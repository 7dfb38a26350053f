/* SPDX-License-Identifier: Apache-2.0
 *
 * A manifest from anywhere, beside one file that is as we might have written it and one that is not: nothing may be named that is
 * not below the folder.
 */
#include "collector/rule_import.h"

#include "common/file.h"

#include <errno.h>
#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char folder[] = "/tmp/vonggac-import-XXXXXX";
static char manifest[64];

static void clean_up(void)
{
    char path[64];
    unlink(manifest);
    snprintf(path, sizeof(path), "%s/a.yml", folder);
    unlink(path);
    rmdir(folder);
}

static void on_file(enum rule_import_what what, const char *path, void *ctx)
{
    size_t *n = ctx;
    *n += what;
    if (path[0] == '/' || strstr(path, ".."))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool is_ready;
    static const char *const wanted[] = {"a.yml"};
    struct diag diag;
    size_t n = 0;
    char path[64];
    if (!is_ready) {
        if (!mkdtemp(folder))
            abort();
        snprintf(manifest, sizeof(manifest), "%s/%s", folder, RULE_IMPORT_MANIFEST);
        snprintf(path, sizeof(path), "%s/a.yml", folder);
        if (file_write_atomic(path, STR("title: a\n"), 0644) < 0)
            abort();
        atexit(clean_up);
        is_ready = true;
    }
    FILE *f = fopen(manifest, "wb");
    if (!f || fwrite(data, 1, size, f) != size || fclose(f) != 0)
        abort();
    const struct rule_import import = {folder, folder, wanted, size % 2, true};
    int r = rule_import_run(&import, on_file, &n, &diag);
    if (r < 0 && r != -EINVAL && r != -E2BIG && r != -ENAMETOOLONG && r != -EISDIR && r != -ENOTDIR)
        abort();
    return 0;
}
