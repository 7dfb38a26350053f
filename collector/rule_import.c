/* SPDX-License-Identifier: Apache-2.0
 *
 * See rule_import.h. The manifest is written last: whatever stops an import in the middle, the next one finds files that it
 * would have written, with the content it would have written, and takes them for its own.
 */
#include "collector/rule_import.h"

#include "common/file.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>

#define HASH_TEXT      (2 * (size_t)crypto_hash_sha256_BYTES)
#define PATH_BYTES_MAX 4096
#define FILE_BYTES_MAX (8 * MIB)
#define MANIFEST_MAX   (64 * MIB)
#define FILE_MODE      0644
#define FOLDER_MODE    0755

struct known { /* a line of the manifest */
    char hash[HASH_TEXT + 1];
    const char *path;
    bool is_wanted;
};

struct importing {
    const struct rule_import *import;
    rule_import_fn on_file;
    void *ctx;
    struct diag *diag;
    struct buf old, fresh; /* manifests */
    struct known *known;
    size_t n_known, cap_known;
};

static int fail(struct importing *x, int err, const char *path)
{
    return diag_set(x->diag, err, "%s: %s", path, strerror(-err));
}

static void hash_of(struct str data, char ret[static HASH_TEXT + 1])
{
    uint8_t hash[crypto_hash_sha256_BYTES];
    crypto_hash_sha256(hash, (const uint8_t *)(data.p ? data.p : ""), data.len);
    sodium_bin2hex(ret, HASH_TEXT + 1, hash, sizeof(hash));
}

static int join(char ret[static PATH_BYTES_MAX], const char *folder, const char *path)
{
    int n = snprintf(ret, PATH_BYTES_MAX, "%s/%s", folder, path);
    return n < 0 || n >= PATH_BYTES_MAX ? -ENAMETOOLONG : 0;
}

/* ---- the manifest ---- */

/* The manifest decides what is removed, so it must not lead out of the folder. */
static bool is_inside(const char *path)
{
    for (const char *part = path;;) {
        size_t len = strcspn(part, "/");
        if (len == 0 || part[0] == '.')
            return false;
        if (!part[len])
            return true;
        part += len + 1;
    }
}

static bool is_hash(const char *line)
{
    return strspn(line, "0123456789abcdef") == HASH_TEXT && line[HASH_TEXT] == ' ' && line[HASH_TEXT + 1] == ' ';
}

static int add_known(struct importing *x, const char *line)
{
    if (x->n_known == x->cap_known) {
        size_t cap = x->cap_known ? 2 * x->cap_known : 1024;
        struct known *grown = reallocarray(x->known, cap, sizeof(*grown));
        if (!grown)
            return -ENOMEM;
        x->known = grown;
        x->cap_known = cap;
    }
    struct known *k = &x->known[x->n_known++];
    *k = (struct known){.path = line + HASH_TEXT + 2};
    memcpy(k->hash, line, HASH_TEXT);
    return 0;
}

static int compare_known(const void *a, const void *b)
{
    return strcmp(((const struct known *)a)->path, ((const struct known *)b)->path);
}

static int read_manifest(struct importing *x)
{
    char path[PATH_BYTES_MAX];
    int err = join(path, x->import->to, RULE_IMPORT_MANIFEST);
    err = err < 0 ? err : file_read(path, &x->old);
    if (err == -ENOENT)
        return 0;
    err = err < 0 ? err : buf_append(&x->old, "", 1);
    if (err < 0)
        return fail(x, err, path);
    size_t number = 1;
    for (char *line = (char *)x->old.data; *line; number++) {
        char *end = line + strcspn(line, "\n");
        bool is_last = !*end;
        *end = '\0';
        if (!is_hash(line) || !is_inside(line + HASH_TEXT + 2) || x->n_known == RULE_IMPORT_FILES_MAX)
            return diag_at(x->diag, -EINVAL, (int)number, 1, "%s, line %zu: not a manifest of imported rules", path,
                           number);
        err = add_known(x, line);
        if (err < 0)
            return fail(x, err, path);
        line = end + !is_last;
    }
    if (x->n_known)
        qsort(x->known, x->n_known, sizeof(*x->known), compare_known);
    return 0;
}

static struct known *find_known(struct importing *x, const char *path)
{
    struct known key = {.path = path};
    return x->n_known ? bsearch(&key, x->known, x->n_known, sizeof(key), compare_known) : NULL;
}

static int list(struct importing *x, const char *hash, const char *path)
{
    return buf_printf(&x->fresh, "%s  %s\n", hash, path);
}

/* ---- files ---- */

/* *ret_hash is empty where there is no such file. */
static int hash_there(const char *path, char ret[static HASH_TEXT + 1])
{
    CLEANUP(buf_clear) struct buf data = BUF_INIT(FILE_BYTES_MAX);
    int err = file_read(path, &data);
    ret[0] = '\0';
    if (err == -ENOENT)
        return 0;
    if (err == 0)
        hash_of(buf_str(&data), ret);
    return err == -E2BIG ? 0 : err;
}

static int write_file(const char *path, struct str data)
{
    char folder[PATH_BYTES_MAX];
    snprintf(folder, sizeof(folder), "%s", path);
    char *slash = strrchr(folder, '/');
    if (slash)
        *slash = '\0';
    int err = slash ? file_mkdirs(folder, FOLDER_MODE) : 0;
    return err < 0 ? err : file_write_atomic(path, data, FILE_MODE);
}

static int copy(struct importing *x, const char *path)
{
    CLEANUP(buf_clear) struct buf data = BUF_INIT(FILE_BYTES_MAX);
    char from[PATH_BYTES_MAX], to[PATH_BYTES_MAX], wanted[HASH_TEXT + 1], there[HASH_TEXT + 1];
    struct known *k = find_known(x, path);
    int err = join(from, x->import->from, path);
    err = err < 0 ? err : join(to, x->import->to, path);
    err = err < 0 ? err : file_read(from, &data);
    if (err < 0)
        return fail(x, err, from);
    if (k)
        k->is_wanted = true;
    hash_of(buf_str(&data), wanted);
    err = hash_there(to, there);
    if (err < 0)
        return fail(x, err, to);
    bool is_ours = k && strcmp(there, k->hash) == 0, is_there = there[0] != '\0';
    enum rule_import_what what = strcmp(there, wanted) == 0 ? RULE_IMPORT_UNCHANGED
                                 : !is_there                ? RULE_IMPORT_ADDED
                                 : is_ours                  ? RULE_IMPORT_UPDATED
                                                            : RULE_IMPORT_KEPT;
    if ((what == RULE_IMPORT_ADDED || what == RULE_IMPORT_UPDATED) && !x->import->is_dry)
        err = write_file(to, buf_str(&data));
    if (err < 0)
        return fail(x, err, to);
    x->on_file(what, path, x->ctx);
    if (what == RULE_IMPORT_KEPT) /* still ours to update, once it is again as we wrote it */
        return k ? list(x, k->hash, path) : 0;
    return list(x, wanted, path);
}

/* A file of an earlier import that is no longer wanted. */
static int drop(struct importing *x, const struct known *k)
{
    char to[PATH_BYTES_MAX], there[HASH_TEXT + 1];
    int err = join(to, x->import->to, k->path);
    err = err < 0 ? err : hash_there(to, there);
    if (err < 0)
        return fail(x, err, to);
    if (there[0] == '\0')
        return 0;
    bool is_ours = strcmp(there, k->hash) == 0;
    if (is_ours && !x->import->is_dry && unlink(to) < 0)
        return fail(x, -errno, to);
    x->on_file(is_ours ? RULE_IMPORT_REMOVED : RULE_IMPORT_KEPT, k->path, x->ctx);
    return is_ours ? 0 : list(x, k->hash, k->path);
}

static int run(struct importing *x)
{
    char manifest[PATH_BYTES_MAX];
    int err = join(manifest, x->import->to, RULE_IMPORT_MANIFEST);
    if (err < 0)
        return fail(x, err, x->import->to);
    err = x->import->is_dry ? 0 : file_mkdirs(x->import->to, FOLDER_MODE);
    if (err < 0)
        return fail(x, err, x->import->to);
    err = read_manifest(x);
    for (size_t i = 0; err == 0 && i < x->import->n; i++)
        err = copy(x, x->import->paths[i]);
    for (size_t i = 0; err == 0 && i < x->n_known; i++)
        if (!x->known[i].is_wanted)
            err = drop(x, &x->known[i]);
    if (err < 0 || x->import->is_dry)
        return err;
    err = file_write_atomic(manifest, buf_str(&x->fresh), FILE_MODE);
    return err < 0 ? fail(x, err, manifest) : 0;
}

int rule_import_run(const struct rule_import *import, rule_import_fn on_file, void *ctx, struct diag *diag)
{
    struct importing x = {import, on_file, ctx, diag, BUF_INIT(MANIFEST_MAX), BUF_INIT(MANIFEST_MAX), NULL, 0, 0};
    int err = run(&x);
    if (err < 0 && diag && !diag->msg[0])
        diag_set(diag, err, "%s", strerror(-err));
    buf_clear(&x.old);
    buf_clear(&x.fresh);
    free(x.known);
    return err;
}
