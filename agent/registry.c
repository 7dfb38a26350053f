/* SPDX-License-Identifier: Apache-2.0
 *
 * Streams in memory, loading and saving: see registry.h. The text format is in registry_text.c.
 */
#include "agent/registry.h"

#include "common/file.h"
#include "common/time.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#define BUCKETS 8192

static uint64_t id_key(const uint8_t id[static ID_LEN])
{
    return get_u64(id);
}

static void stream_free(struct stream *s)
{
    if (!s)
        return;
    free(s->source);
    free(s->path);
    free(s->cursor);
    free(s);
}

struct registry *registry_new(const char *path)
{
    struct registry *r = calloc(1, sizeof(*r));
    if (!r)
        return NULL;
    TAILQ_INIT(&r->streams);
    r->path = strdup(path);
    if (!r->path || hash_init(&r->by_id, BUCKETS) < 0)
        return registry_free(r);
    r->next_seq = 1;
    return r;
}

struct registry *registry_free(struct registry *r)
{
    if (!r)
        return NULL;
    for (struct stream *s; (s = TAILQ_FIRST(&r->streams));) {
        TAILQ_REMOVE(&r->streams, s, link);
        stream_free(s);
    }
    for (size_t i = 0; i < r->n_sources; i++)
        free(r->sources[i]);
    free(r->sources);
    hash_clear(&r->by_id);
    free(r->path);
    free(r);
    return NULL;
}

static int backup_path(const struct registry *r, char *ret, size_t size)
{
    return (size_t)snprintf(ret, size, "%s.bak", r->path) < size ? 0 : -ENAMETOOLONG;
}

static int load(const char *file, const char *path, struct registry **ret, struct diag *diag)
{
    struct buf text CLEANUP(buf_clear) = BUF_INIT(REGISTRY_FILE_MAX);
    int r = file_read(file, &text);
    if (r < 0)
        return r;
    struct registry *reg = registry_new(path);
    if (!reg)
        return -ENOMEM;
    r = registry_parse(reg, buf_str(&text), diag);
    if (r < 0) {
        registry_free(reg);
        return r;
    }
    *ret = reg;
    return 0;
}

int registry_open(const char *path, struct registry **ret, struct diag *diag)
{
    char backup[4096], moved[4096];
    struct registry *fresh = registry_new(path);
    diag->msg[0] = 0;
    if (!fresh || backup_path(fresh, backup, sizeof(backup)) < 0)
        return registry_free(fresh), fresh ? -ENAMETOOLONG : -ENOMEM;
    fresh->is_new = true;
    int r = load(path, path, ret, diag);
    if (r == -ENOENT) { /* a crash between the two renames of a save cannot lose it, but a person may have */
        *ret = fresh;
        return 0;
    }
    if (r == -EBADMSG) {
        struct diag other;
        snprintf(moved, sizeof(moved), "%.4000s.damaged", path);
        rename(path, moved);
        r = load(backup, path, ret, &other);
        if (r == -ENOENT || r == -EBADMSG) {
            *ret = fresh;
            return 0;
        }
    }
    registry_free(fresh);
    return r;
}

/* The previous file keeps its bytes under a second name, so a damaged new one costs little. */
static void keep_backup(const struct registry *r)
{
    char backup[4096];
    if (backup_path(r, backup, sizeof(backup)) < 0)
        return;
    unlink(backup);
    if (link(r->path, backup) < 0)
        return; /* the first save, or a file system without links: the backup is an extra */
}

int registry_save(struct registry *r, bool clean)
{
    struct buf text CLEANUP(buf_clear) = BUF_INIT(REGISTRY_FILE_MAX);
    int err = registry_print(r, clean, &text);
    if (err < 0)
        return err;
    keep_backup(r);
    err = file_write_atomic(r->path, buf_str(&text), 0600);
    if (err < 0)
        return err;
    struct stream *s;
    TAILQ_FOREACH(s, &r->streams, link)
    s->is_durable = true;
    r->n_not_durable = 0;
    r->is_dirty = false;
    return 0;
}

/* Room for one more: the finished stream that was seen longest ago goes first. */
static int make_room(struct registry *r)
{
    if (r->n_streams < REGISTRY_STREAMS_MAX)
        return 0;
    struct stream *oldest = NULL, *s;
    TAILQ_FOREACH(s, &r->streams, link)
    if (s->is_finished && !s->reader && s->acked >= s->spooled && (!oldest || s->seen_ns < oldest->seen_ns))
        oldest = s;
    if (!oldest)
        return -ENOSPC;
    registry_remove(r, oldest);
    return 0;
}

int registry_add(struct registry *r, enum stream_kind kind, const char *source, const char *path, struct stream **ret)
{
    int err = make_room(r);
    if (err < 0)
        return err;
    struct stream *s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->kind = kind;
    s->source = strdup(source);
    s->path = strdup(path);
    s->cursor = strdup("");
    if (!s->source || !s->path || !s->cursor) {
        stream_free(s);
        return -ENOMEM;
    }
    id_random(s->id);
    s->created_ns = s->checked_ns = s->seen_ns = time_now_ns();
    TAILQ_INSERT_TAIL(&r->streams, s, link);
    hash_put(&r->by_id, &s->by_id, id_key(s->id));
    r->n_streams++;
    r->n_not_durable++;
    r->is_dirty = true;
    *ret = s;
    return 0;
}

void registry_remove(struct registry *r, struct stream *s)
{
    if (!s->is_durable)
        r->n_not_durable--;
    TAILQ_REMOVE(&r->streams, s, link);
    hash_del(&r->by_id, &s->by_id);
    r->n_streams--;
    r->is_dirty = true;
    stream_free(s);
}

struct stream *registry_find(const struct registry *r, const uint8_t id[static ID_LEN])
{
    for (struct hash_node *n = hash_find(&r->by_id, id_key(id)); n; n = hash_find_next(n)) {
        struct stream *s = HASH_OWNER(n, struct stream, by_id);
        if (memcmp(s->id, id, ID_LEN) == 0)
            return s;
    }
    return NULL;
}

bool registry_has_source(const struct registry *r, const char *name)
{
    for (size_t i = 0; i < r->n_sources; i++)
        if (strcmp(r->sources[i], name) == 0)
            return true;
    return false;
}

int registry_add_source(struct registry *r, const char *name)
{
    if (registry_has_source(r, name))
        return 0;
    if (r->n_sources >= REGISTRY_SOURCES_MAX)
        return -ENOSPC;
    char **more = reallocarray(r->sources, r->n_sources + 1, sizeof(*more));
    if (!more)
        return -ENOMEM;
    r->sources = more;
    more[r->n_sources] = strdup(name);
    if (!more[r->n_sources])
        return -ENOMEM;
    r->n_sources++;
    r->is_dirty = true;
    return 0;
}

int stream_set_cursor(struct stream *s, struct str cursor)
{
    if (str_eq(str_of(s->cursor), cursor))
        return 0;
    char *copy = strndup(cursor.len ? cursor.p : "", cursor.len);
    if (!copy)
        return -ENOMEM;
    free(s->cursor);
    s->cursor = copy;
    return 0;
}

void registry_acked(struct registry *r, struct stream *s, uint64_t end, struct str cursor)
{
    if (end <= s->acked)
        return;
    s->acked = end;
    s->spooled = MAX(s->spooled, end);
    if (cursor.len)
        stream_set_cursor(s, cursor); /* out of memory: the older cursor only means reading some entries again */
    r->is_dirty = true;
}

/* [from, to) of s was in the spool and is damaged: a stream with a new id reads it again, if the file still exists. */
static void add_hole(struct registry *r, const struct stream *s, uint64_t from, uint64_t to)
{
    struct stream *hole;
    if (registry_add(r, s->kind, s->source, s->path, &hole) < 0)
        return;
    hole->ident = s->ident;
    hole->acked = hole->spooled = from;
    hole->until = to;
    hole->size = to;
    hole->checked_ns = s->checked_ns;
    stream_set_cursor(hole, str_of(s->cursor));
}

void registry_found_spooled(struct registry *r, const struct batch *b, bool spool_damaged)
{
    struct stream *s = registry_find(r, b->stream);
    if (!s || b->end <= s->spooled)
        return;
    if (spool_damaged && b->start > s->spooled)
        add_hole(r, s, s->spooled, b->start);
    s->spooled = b->end;
    s->size = MAX(s->size, b->end);
    if (b->cursor.len)
        stream_set_cursor(s, b->cursor);
}

void registry_prune(struct registry *r, int64_t now_ns)
{
    for (struct stream *s = TAILQ_FIRST(&r->streams), *next; s; s = next) {
        next = TAILQ_NEXT(s, link);
        if (s->reader || s->acked < s->spooled)
            continue;
        int64_t unseen_ns = now_ns - MAX(s->seen_ns, s->checked_ns);
        bool is_over = s->is_finished && (s->until > 0 || unseen_ns > REGISTRY_KEEP_NS);
        if (is_over || unseen_ns > REGISTRY_ABANDON_NS)
            registry_remove(r, s);
    }
}
