/* SPDX-License-Identifier: Apache-2.0
 *
 * Small file jobs. The one hard thing is file_write_atomic: after a crash at any moment the path holds either the old
 * or the new content as a whole, which takes an fsync of the file before the rename and of the folder after it. Called
 * for positions, keys, certificates, and by everything that loads configuration or rules.
 */
#include "common/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#define WALK_DEPTH_MAX 16
#define WALK_FILES_MAX 200000

int file_read(const char *path, struct buf *out)
{
    int fd CLEANUP(close_fd) = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    size_t before = out->len;
    for (;;) {
        size_t room = MIN(out->max - MIN(out->len, out->max), 64 * KIB);
        uint8_t probe, *tail = &probe; /* when full, one more byte tells whether the file ends here */
        int r = room ? buf_reserve(out, room, &tail) : 0;
        ssize_t n = 0;
        if (r == 0) {
            do
                n = read(fd, tail, MAX(room, (size_t)1));
            while (n < 0 && errno == EINTR);
            if (n < 0)
                r = -errno;
            else if (n > 0 && room == 0)
                r = -E2BIG;
        }
        if (r < 0) {
            out->len = before;
            return r;
        }
        if (n == 0)
            return 0;
        out->len += (size_t)n;
    }
}

static int write_all(int fd, struct str data)
{
    while (data.len > 0) {
        ssize_t n = write(fd, data.p, data.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        data.p += n;
        data.len -= (size_t)n;
    }
    return 0;
}

static int write_new(const char *path, struct str data, unsigned mode)
{
    if (unlink(path) < 0 && errno != ENOENT) /* left by a crash */
        return -errno;
    int fd CLEANUP(close_fd) = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode & 0600);
    if (fd < 0)
        return -errno;
    int r = write_all(fd, data);
    if (r == 0 && fchmod(fd, mode) < 0)
        r = -errno;
    if (r == 0 && fsync(fd) < 0)
        r = -errno;
    if (r < 0)
        unlink(path);
    return r;
}

static int sync_folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder CLEANUP(free_ptr) = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    if (!folder)
        return -ENOMEM;
    int fd CLEANUP(close_fd) = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return fsync(fd) < 0 ? -errno : 0;
}

int file_write_atomic(const char *path, struct str data, unsigned mode)
{
    char *tmp CLEANUP(free_ptr) = NULL;
    if (asprintf(&tmp, "%s.tmp", path) < 0) {
        tmp = NULL;
        return -ENOMEM;
    }
    int r = write_new(tmp, data, mode);
    if (r < 0)
        return r;
    if (rename(tmp, path) < 0) {
        r = -errno;
        unlink(tmp);
        return r;
    }
    return sync_folder_of(path);
}

static int make_folder(const char *path, unsigned mode)
{
    if (mkdir(path, mode) == 0)
        return 0;
    int err = errno;
    struct stat st;
    if (stat(path, &st) < 0) /* a read-only parent says EROFS even where the folder exists */
        return -err;
    return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

int file_mkdirs(const char *path, unsigned mode)
{
    char *copy CLEANUP(free_ptr) = strdup(path);
    if (!copy)
        return -ENOMEM;
    for (char *p = copy; *p; p++) {
        if (*p != '/' || p == copy || p[-1] == '/')
            continue;
        *p = '\0';
        int r = make_folder(copy, mode);
        *p = '/';
        if (r < 0)
            return r;
    }
    return make_folder(copy, mode);
}

/* ---- walking ---- */

struct walk {
    const char *suffix;
    char **paths;
    size_t n, cap;
};

static void walk_clear(struct walk *w)
{
    for (size_t i = 0; i < w->n; i++)
        free(w->paths[i]);
    free(w->paths);
}

static int walk_push(struct walk *w, const char *path)
{
    if (w->n >= WALK_FILES_MAX)
        return -E2BIG;
    if (w->n == w->cap) {
        size_t cap = w->cap ? w->cap * 2 : 64;
        char **paths = reallocarray(w->paths, cap, sizeof(char *));
        if (!paths)
            return -ENOMEM;
        w->paths = paths;
        w->cap = cap;
    }
    w->paths[w->n] = strdup(path);
    return w->paths[w->n++] ? 0 : -ENOMEM;
}

static int walk_folder(struct walk *w, const char *path, int depth);

/* Asks the file system only where the folder does not tell (type: of readdir). */
static int walk_entry(struct walk *w, const char *folder, const char *name, unsigned char type, int depth)
{
    const char *slash = str_ends(str_of(folder), STR("/")) ? "" : "/";
    char *path CLEANUP(free_ptr) = NULL;
    if (asprintf(&path, "%s%s%s", folder, slash, name) < 0) {
        path = NULL;
        return -ENOMEM;
    }
    struct stat st = {.st_mode = type == DT_DIR ? S_IFDIR : S_IFREG};
    if (type != DT_DIR && type != DT_REG && lstat(path, &st) < 0)
        return errno == ENOENT ? 0 : -errno; /* gone since it was listed */
    if (S_ISDIR(st.st_mode))
        return depth < WALK_DEPTH_MAX ? walk_folder(w, path, depth + 1) : -ELOOP;
    if (!str_ends(str_of(name), str_of(w->suffix)))
        return 0;
    if (S_ISLNK(st.st_mode) && stat(path, &st) < 0)
        return errno == ENOENT ? 0 : -errno;
    return S_ISREG(st.st_mode) ? walk_push(w, path) : 0;
}

static int walk_folder(struct walk *w, const char *path, int depth)
{
    DIR *dir = opendir(path);
    if (!dir)
        return -errno;
    int r = 0;
    while (r == 0) {
        errno = 0;
        const struct dirent *e = readdir(dir);
        if (!e) {
            r = -errno;
            break;
        }
        if (e->d_name[0] != '.')
            r = walk_entry(w, path, e->d_name, e->d_type, depth);
    }
    closedir(dir);
    return r;
}

static int compare_paths(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int file_walk(const char *path, const char *suffix, file_fn on_file, void *ctx)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return -errno;
    if (!S_ISDIR(st.st_mode))
        return on_file(path, ctx);
    struct walk w CLEANUP(walk_clear) = {.suffix = suffix};
    int r = walk_folder(&w, path, 1);
    if (r < 0)
        return r;
    if (w.n > 0)
        qsort(w.paths, w.n, sizeof(char *), compare_paths);
    for (size_t i = 0; r == 0 && i < w.n; i++)
        r = on_file(w.paths[i], ctx);
    return r;
}
