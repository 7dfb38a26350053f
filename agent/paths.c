/* SPDX-License-Identifier: Apache-2.0
 *
 * Globs and rotation names: see paths.h. glob(3) is not used since it keeps every match in memory at once and does not
 * say which folders it looked into.
 */
#include "agent/paths.h"

#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>

static bool has_wildcard(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (strchr("*?[\\", s.p[i]))
            return true;
    return false;
}

static int expand(const char *done, const char *rest, const struct path_walk *w);

/* `path` exists below a folder; `rest` is what the pattern still asks for. */
static int descend(const char *path, const char *rest, const struct path_walk *w)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return 0;
    if (*rest == 0)
        return S_ISREG(st.st_mode) ? w->on_file(path, &st, w->ctx) : 0;
    return S_ISDIR(st.st_mode) ? expand(path, rest, w) : 0;
}

static int match_folder(const char *folder, const char *component, const char *rest, const struct path_walk *w)
{
    DIR *d = opendir(*folder ? folder : "/");
    if (!d)
        return 0;
    int r = 0;
    for (struct dirent *e; r == 0 && (e = readdir(d));) {
        char path[PATH_MAX];
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
            fnmatch(component, e->d_name, FNM_PERIOD) != 0)
            continue;
        if ((size_t)snprintf(path, sizeof(path), "%s/%s", folder, e->d_name) < sizeof(path))
            r = descend(path, rest, w);
    }
    closedir(d);
    return r;
}

/* Recursion is as deep as the pattern has components, and PATH_MAX bounds that. */
static int expand(const char *done, const char *rest, const struct path_walk *w)
{
    while (*rest == '/')
        rest++;
    const char *slash = strchr(rest, '/');
    struct str component = {rest, slash ? (size_t)(slash - rest) : strlen(rest)};
    const char *after = rest + component.len;
    if (component.len == 0 || component.len > NAME_MAX)
        return 0;
    if (w->on_folder && (has_wildcard(component) || *after == 0))
        w->on_folder(*done ? done : "/", w->ctx);
    if (has_wildcard(component)) {
        char name[NAME_MAX + 1];
        memcpy(name, component.p, component.len);
        name[component.len] = 0;
        return match_folder(done, name, after, w);
    }
    char path[PATH_MAX];
    if ((size_t)snprintf(path, sizeof(path), "%s/" STR_FMT, done, STR_ARG(component)) >= sizeof(path))
        return 0;
    return descend(path, after, w);
}

int path_expand(const char *pattern, const struct path_walk *w)
{
    if (strlen(pattern) >= PATH_MAX)
        return -ENAMETOOLONG;
    return expand("", pattern, w);
}

bool path_is_excluded(const char *path, const struct strlist *patterns)
{
    for (size_t i = 0; i < patterns->n; i++) {
        const char *p = patterns->items[i];
        if (strchr(p, '/') ? fnmatch(p, path, FNM_PATHNAME) == 0 : fnmatch(p, path_name(path), 0) == 0)
            return true;
    }
    return false;
}

bool path_is_compressed(const char *name)
{
    static const char *const suffixes[] = {".gz", ".xz", ".bz2", ".zst", ".lz4", ".Z", ".lzma", ".zip", ".7z"};
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++)
        if (str_ends(str_of(name), str_of(suffixes[i])))
            return true;
    return false;
}

const char *path_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

int path_folder(const char *path, char *ret, size_t size)
{
    size_t len = (size_t)(path_name(path) - path);
    while (len > 1 && path[len - 1] == '/')
        len--;
    if (len + 1 > size)
        return -ENAMETOOLONG;
    memcpy(ret, path, len);
    ret[len] = 0;
    return 0;
}

bool path_is_sibling(const char *name, const char *base)
{
    size_t n = strlen(base);
    return strncmp(name, base, n) == 0 && (name[n] == '.' || name[n] == '-') && name[n + 1] != 0;
}

bool path_looks_rotated(const char *name, const char *base)
{
    if (!path_is_sibling(name, base) || path_is_compressed(name))
        return false;
    const char *tail = name + strlen(base) + 1;
    static const char *const words[] = {"old", "bak", "prev"};
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (strcmp(tail, words[i]) == 0)
            return true;
    return *tail >= '0' && *tail <= '9' && strspn(tail, "0123456789.-_:T") == strlen(tail);
}
