/* SPDX-License-Identifier: Apache-2.0
 *
 * What rotation did. At start every unfinished stream's file is looked for: at its path; in the folder under another
 * name (rename rotation); as a copy (copytruncate). While running the open descriptor takes care of renames, and what
 * is left is: a file cut in place, whose unread rest may lie in a copy, and files that came and went between two looks.
 * What cannot be found is counted and named, never passed over in silence.
 */
#include "agent/files.h"

#include "agent/counters.h"
#include "agent/paths.h"
#include "common/log.h"
#include "common/time.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>

#define SIBLINGS_MAX 256

static int open_regular(const char *path, struct stat *ret)
{
    int fd = open(path, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (fstat(fd, ret) == 0 && S_ISREG(ret->st_mode))
        return fd;
    close(fd);
    return -ENOENT;
}

static int64_t mtime_ns(const struct stat *st)
{
    return (int64_t)st->st_mtim.tv_sec * NS_PER_S + st->st_mtim.tv_nsec;
}

/* --- is this file one we know? --- */

struct stream *files_stream_of(struct files *f, int fd, const struct stat *st)
{
    struct stream *s;
    TAILQ_FOREACH(s, &f->env->registry->streams, link)
    {
        if (s->kind == STREAM_FILE && s->until == 0 && !s->reader && !s->is_removed &&
            s->ident.ino == (uint64_t)st->st_ino && s->ident.dev == (uint64_t)st->st_dev &&
            (uint64_t)st->st_size >= s->spooled && identity_is_same(&s->ident, fd, (uint64_t)st->st_size))
            return s;
    }
    return NULL;
}

static bool is_intact(const struct tail *t, struct stat *ret)
{
    return fstat(t->fd, ret) == 0 && (uint64_t)ret->st_size >= t->pos &&
           identity_is_same(&t->stream->ident, t->fd, (uint64_t)ret->st_size);
}

/* The original is still followed. Its file is at least as long, and the same at the other's end? 1, 0; -EAGAIN: it has
 * just been cut, maybe while we looked, and its own turn will find that out. */
static int compare_ends(const struct tail *original, int fd, uint64_t size)
{
    struct guard end;
    struct stat before, after;
    if (!is_intact(original, &before))
        return -EAGAIN;
    bool same = (uint64_t)before.st_size >= size && guard_make(fd, size, &end) == 0 &&
                guard_matches(&end, original->fd, (uint64_t)before.st_size);
    return same ? 1 : is_intact(original, &after) ? 0 : -EAGAIN;
}

/* So short that it can only be compared with the original's first bytes. As compare_ends. */
static int compare_heads(const struct tail *original, const struct fingerprint *fp)
{
    struct fingerprint head;
    struct stat st;
    if (!is_intact(original, &st))
        return -EAGAIN;
    return fingerprint_make(original->fd, fp->len, &head) == 0 && memcmp(head.sha256, fp->sha256, 32) == 0;
}

/* What `s` knows of the file: see files_is_copy. */
static int compare_with(const struct stream *s, int fd, uint64_t size, const struct fingerprint *fp,
                        uint64_t *ret_known)
{
    const struct tail *t = s->reader;
    uint64_t known;
    if (size < s->ident.fp.len)
        return t && t->state != TAIL_COPY ? compare_heads(t, fp) : 0;
    enum copy_match m = identity_is_copy(&s->ident, fd, size, &known);
    if (m == COPY_NO)
        return 0;
    int r = m == COPY_YES;
    if (t && t->state != TAIL_COPY)
        r = compare_ends(t, fd, size);
    else if (!t && size > s->spooled)
        r = 0; /* it goes on where the stream has ended */
    if (r == 0)
        *ret_known = MAX(*ret_known, known);
    return r;
}

int files_is_copy(struct files *f, int fd, const struct stat *st, struct stream **ret, uint64_t *ret_known)
{
    struct stream *s;
    uint64_t size = (uint64_t)st->st_size;
    struct fingerprint fp;
    *ret_known = 0;
    if (fingerprint_make(fd, size, &fp) < 0 || fp.len < FINGERPRINT_COPY)
        return 0;
    TAILQ_FOREACH(s, &f->env->registry->streams, link)
    {
        if (s->kind != STREAM_FILE || s->until > 0 || s->ident.fp.len < FINGERPRINT_COPY ||
            (s->ident.fp.len == fp.len && memcmp(s->ident.fp.sha256, fp.sha256, sizeof(fp.sha256)) != 0))
            continue;
        int r = compare_with(s, fd, size, &fp, ret_known);
        *ret = s;
        if (r != 0)
            return r;
    }
    return 0;
}

/* --- looking through the folder of a log --- */

struct folder {
    char path[PATH_MAX];
    char base[NAME_MAX + 1];
};

/* Where rotation happens: the folder of the real file when the path is a symbolic link. */
static int folder_of(const char *path, struct folder *ret)
{
    char *real CLEANUP(free_ptr) = realpath(path, NULL);
    const char *p = real ? real : path;
    if ((size_t)snprintf(ret->base, sizeof(ret->base), "%s", path_name(p)) >= sizeof(ret->base))
        return -ENAMETOOLONG;
    return path_folder(p, ret->path, sizeof(ret->path));
}

typedef void (*entry_fn)(const char *path, const struct dirent *e, void *ctx);

static void each_entry(const struct folder *folder, entry_fn fn, void *ctx)
{
    DIR *d = opendir(folder->path);
    if (!d)
        return;
    for (struct dirent *e; (e = readdir(d));) {
        char path[PATH_MAX];
        if (e->d_name[0] != '.' &&
            (size_t)snprintf(path, sizeof(path), "%s/%s", folder->path, e->d_name) < sizeof(path))
            fn(path, e, ctx);
    }
    closedir(d);
}

struct search {
    struct files *f;
    const struct stream *stream;
    const struct folder *folder;
    uint64_t pos;
    int fd; /* found so far, or -1 */
    int64_t mtime_ns;
};

/* The file itself under another name. */
static void try_renamed(const char *path, const struct dirent *e, void *ctx)
{
    struct search *q = ctx;
    const struct identity *id = &q->stream->ident;
    struct stat st;
    if (q->fd >= 0 || (e->d_ino != id->ino && !path_is_sibling(e->d_name, q->folder->base)))
        return;
    if (stat(path, &st) < 0 || (uint64_t)st.st_ino != id->ino || (uint64_t)st.st_dev != id->dev)
        return;
    int fd = open_regular(path, &st);
    if (fd >= 0 && (uint64_t)st.st_ino == id->ino && (uint64_t)st.st_size >= q->pos &&
        identity_is_same(id, fd, (uint64_t)st.st_size))
        q->fd = fd;
    else if (fd >= 0)
        close(fd);
}

/* A copy that goes at least as far as we have read. The newest wins. */
static void try_copy(const char *path, const struct dirent *e, void *ctx)
{
    struct search *q = ctx;
    struct stat st;
    if (!path_is_sibling(e->d_name, q->folder->base) || path_is_compressed(e->d_name))
        return;
    int fd = open_regular(path, &st);
    if (fd < 0)
        return;
    bool fits = !files_find(q->f, (uint64_t)st.st_dev, (uint64_t)st.st_ino) && mtime_ns(&st) > q->mtime_ns &&
                identity_is_continued(&q->stream->ident, fd, (uint64_t)st.st_size, q->pos);
    if (!fits) {
        close(fd);
        return;
    }
    if (q->fd >= 0)
        close(q->fd);
    q->fd = fd;
    q->mtime_ns = mtime_ns(&st);
}

static int search_folder(struct files *f, const struct stream *s, const struct folder *folder, entry_fn fn)
{
    struct search q = {.f = f, .stream = s, .folder = folder, .pos = s->spooled, .fd = -1, .mtime_ns = INT64_MIN};
    each_entry(folder, fn, &q);
    return q.fd;
}

/* --- rotated files that nobody has seen --- */

struct sibling {
    struct tail *tail; /* followed already, under its own name (it matches a glob); or NULL, and an open file: */
    int fd;
    uint64_t known; /* up to here its content has been read elsewhere */
    char *path;
    struct timespec mtime, ctime;
};

struct siblings {
    struct files *f;
    const struct folder *folder;
    int64_t after_ns;
    size_t n, dropped;
    struct sibling items[SIBLINGS_MAX];
};

/* NULL when it is nothing to be read; else its place in the list, for the caller to fill. */
static struct sibling *add_sibling(struct siblings *list, const char *path, const struct stat *st)
{
    if (list->n == SIBLINGS_MAX) {
        list->dropped++;
        return NULL;
    }
    struct sibling *one = &list->items[list->n];
    *one = (struct sibling){.fd = -1, .path = strdup(path), .mtime = st->st_mtim, .ctime = st->st_ctim};
    if (!one->path)
        return NULL;
    list->n++;
    return one;
}

static void try_sibling(const char *path, const struct dirent *e, void *ctx)
{
    struct siblings *list = ctx;
    struct stat st;
    struct stream *original;
    struct sibling *one;
    uint64_t known;
    if (!path_looks_rotated(e->d_name, list->folder->base) || stat(path, &st) < 0 || st.st_size == 0 ||
        mtime_ns(&st) < list->after_ns - FILES_MTIME_SLACK)
        return;
    struct tail *t = files_find(list->f, (uint64_t)st.st_dev, (uint64_t)st.st_ino);
    if (t) {
        if (strcmp(t->lane, path) == 0 && !tail_is_drained(t) && (one = add_sibling(list, path, &st)))
            one->tail = t;
        return;
    }
    int fd = open_regular(path, &st);
    if (fd < 0)
        return;
    bool is_new = !files_is_known_copy(list->f, &st) && !files_stream_of(list->f, fd, &st) &&
                  files_is_copy(list->f, fd, &st, &original, &known) == 0;
    one = is_new ? add_sibling(list, path, &st) : NULL;
    if (!one) {
        close(fd);
        return;
    }
    one->fd = fd;
    one->known = known;
}

static int compare_times(struct timespec a, struct timespec b)
{
    if (a.tv_sec != b.tv_sec)
        return a.tv_sec < b.tv_sec ? -1 : 1;
    return a.tv_nsec < b.tv_nsec ? -1 : a.tv_nsec > b.tv_nsec;
}

static int older_first(const void *a, const void *b)
{
    const struct sibling *x = a, *y = b;
    int r = compare_times(x->mtime, y->mtime);
    return r ? r : compare_times(x->ctime, y->ctime); /* renamed first: the clock of file times is coarse */
}

static bool is_behind(const struct tail *t, const struct tail *other)
{
    while (t && t != other)
        t = t->waits_for;
    return t != NULL;
}

/* One more link of the chain. Returns its new end. */
static struct tail *chain_sibling(struct files *f, const struct file_source *source, const char *lane,
                                  const struct sibling *one, struct tail *older)
{
    struct tail *t = one->tail;
    if (t && (t->waits_for || is_behind(older, t)))
        return older;
    if (!t) {
        log_info("%s was rotated before it was seen; reading it", one->path);
        int r = files_follow(f, source, lane, one->path, one->fd, NULL, one->known, TAIL_ROTATED, &t);
        if (r < 0) {
            log_error("%s cannot be followed: %s; it is not read", one->path, strerror(-r));
            count(M_FILES_GONE, 1);
            return older;
        }
    }
    files_wait_for(t, older);
    files_wake_now(f, older ? older : t);
    return t;
}

struct tail *files_fill_gap(struct files *f, const struct file_source *source, const char *lane, int64_t after_ns,
                            struct tail *older)
{
    struct folder folder;
    struct siblings *list = folder_of(lane, &folder) == 0 ? calloc(1, sizeof(*list)) : NULL;
    if (!list)
        return older;
    list->f = f;
    list->folder = &folder;
    list->after_ns = after_ns;
    each_entry(&folder, try_sibling, list);
    qsort(list->items, list->n, sizeof(list->items[0]), older_first);
    for (size_t i = 0; i < list->n; i++) {
        older = chain_sibling(f, source, lane, &list->items[i], older);
        free(list->items[i].path);
    }
    if (list->dropped > 0) {
        log_error("%s was rotated more than %d times unseen; %zu files are not read", lane, SIBLINGS_MAX,
                  list->dropped);
        count(M_FILES_GONE, list->dropped);
    }
    free(list);
    return older;
}

/* --- giving up on a file --- */

static void give_up(struct files *f, struct stream *s, const char *why)
{
    uint64_t end = s->until > 0 ? s->until : s->size;
    uint64_t known = end > s->spooled ? end - s->spooled : 0;
    if (known > 0) {
        count(M_BYTES_LOST, known);
        log_error("%s %s, and at least %llu bytes behind position %llu were never read", s->path, why,
                  (unsigned long long)known, (unsigned long long)s->spooled);
    } else {
        log_info("%s %s; it was read up to byte %llu, and nothing behind that is known", s->path, why,
                 (unsigned long long)s->spooled);
    }
    s->is_finished = true;
    f->env->registry->is_dirty = true;
}

/* What copytruncate left: the rest is read from there under the old stream. NULL: no copy was found. */
static struct tail *follow_copy(struct files *f, const struct file_source *source, struct stream *s,
                                const struct folder *folder)
{
    struct stat st;
    struct tail *t;
    int fd = search_folder(f, s, folder, try_copy);
    if (fd < 0)
        return NULL;
    if (fstat(fd, &st) < 0 || files_add_copy(f, s, &st) < 0) {
        close(fd);
        return NULL;
    }
    if (files_follow(f, source, s->path, s->path, fd, s, s->spooled, s->until ? TAIL_HOLE : TAIL_COPY, &t) < 0)
        return NULL;
    count(M_COPIES_RECOVERED, 1);
    return t;
}

void files_replaced(struct files *f, struct tail *t)
{
    struct stream *s = t->stream;
    struct folder folder;
    count(M_TRUNCATIONS, 1);
    t->stream = NULL;
    s->reader = NULL;
    s->is_rotated = true;
    if (t->state == TAIL_COPY || t->state == TAIL_HOLE) {
        give_up(f, s, "changed while the rest of it was being read");
        files_drop(f, t);
        return;
    }
    struct tail *rest = folder_of(t->lane, &folder) == 0 ? follow_copy(f, t->source, s, &folder) : NULL;
    if (rest)
        log_info("%s was cut; reading the rest from its copy", t->lane);
    else
        give_up(f, s, "was cut or overwritten");
    int64_t now = time_now_ns();
    rest = files_fill_gap(f, t->source, t->lane, tail_checked_ns(t), rest);
    t->gap_ns = t->content_ns = now;
    t->pos = t->scanned = 0;
    t->limit = UINT64_MAX;
    t->pending_ns = 0;
    t->was_cut = true;
    if (rest) {
        files_wait_for(t, rest);
        files_wake_now(f, rest);
    } else {
        files_wake_now(f, t);
    }
}

/* --- start --- */

static const struct file_source *source_of(const struct files *f, const struct stream *s)
{
    for (size_t i = 0; i < f->env->cfg->n_sources; i++)
        if (strcmp(f->env->cfg->sources[i].name, s->source) == 0)
            return &f->env->cfg->sources[i];
    return NULL;
}

/* Still at its path? */
static int open_at_path(const struct stream *s)
{
    struct stat st;
    int fd = open_regular(s->path, &st);
    if (fd < 0)
        return fd;
    if ((uint64_t)st.st_ino == s->ident.ino && (uint64_t)st.st_dev == s->ident.dev &&
        (uint64_t)st.st_size >= s->spooled && identity_is_same(&s->ident, fd, (uint64_t)st.st_size))
        return fd;
    close(fd);
    return -ENOENT;
}

struct recovered {
    struct stream *stream;
    const struct file_source *source;
    struct tail *tail; /* NULL: nothing was found */
    bool is_at_path;
};

/* Finds the file of one stream. It waits for the older ones of its lane. */
static int recover_one(struct files *f, struct recovered *rec)
{
    struct stream *s = rec->stream;
    struct folder folder;
    bool is_hole = s->until > 0;
    if (f->n_tails >= (size_t)f->env->cfg->files_max)
        return -EMFILE; /* the scan counts it */
    struct tail *older = is_hole ? NULL : files_newest_of_lane(f, s->path);
    int fd = open_at_path(s);
    if (fd == -EACCES || fd == -EMFILE || fd == -ENFILE)
        return fd; /* stays unfinished, and the scan tries again */
    rec->is_at_path = fd >= 0;
    enum tail_state state = is_hole ? TAIL_HOLE : rec->is_at_path ? TAIL_ACTIVE : TAIL_ROTATED;
    if (fd < 0 && folder_of(s->path, &folder) < 0)
        return -ENAMETOOLONG;
    if (fd < 0)
        fd = search_folder(f, s, &folder, try_renamed);
    if (fd >= 0)
        files_follow(f, rec->source, s->path, s->path, fd, s, s->spooled, state, &rec->tail);
    else
        rec->tail = follow_copy(f, rec->source, s, &folder);
    if (rec->tail) {
        files_wait_for(rec->tail, older);
        return 0;
    }
    if (!s->is_rotated)
        count(M_FILES_GONE, 1);
    give_up(f, s, "is gone, or was overwritten, since the agent last ran");
    return 0;
}

static size_t collect_unfinished(struct files *f, struct recovered *list)
{
    size_t n = 0;
    struct stream *s;
    TAILQ_FOREACH(s, &f->env->registry->streams, link)
    {
        const struct file_source *source = source_of(f, s);
        if (s->kind == STREAM_FILE && !s->is_finished && !s->reader && source)
            list[n++] = (struct recovered){.stream = s, .source = source};
    }
    return n;
}

static bool is_newest_of_lane(const struct recovered *list, size_t i, size_t n)
{
    for (size_t k = i + 1; k < n; k++)
        if (list[k].stream->until == 0 && strcmp(list[k].stream->path, list[i].stream->path) == 0)
            return false;
    return list[i].stream->until == 0;
}

/* First every stream finds its file; only then is it known which of the rotated files nobody has seen. */
void files_recover(struct files *f)
{
    size_t n_streams = f->env->registry->n_streams;
    struct recovered *list = n_streams ? calloc(n_streams, sizeof(*list)) : NULL;
    size_t n = list ? collect_unfinished(f, list) : 0;
    for (size_t i = 0; i < n; i++)
        if (recover_one(f, &list[i]) < 0)
            list[i].is_at_path = true; /* cannot be told now */
    for (size_t i = 0; i < n; i++) {
        const struct recovered *r = &list[i];
        if (!r->is_at_path && is_newest_of_lane(list, i, n))
            files_fill_gap(f, r->source, r->stream->path, r->stream->checked_ns, r->tail);
    }
    free(list);
    struct tail *t;
    TAILQ_FOREACH(t, &f->tails, link)
    files_wake_now(f, t);
}
