/* SPDX-License-Identifier: Apache-2.0
 *
 * The spool: see spool.h. Finding batches in damaged bytes is in spool_scan.c.
 */
#include "agent/spool.h"

#include "agent/spool_scan.h"
#include "common/file.h"
#include "common/time.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

struct segment {
    uint64_t first_seq, last_seq; /* last 0: holds no valid batch */
    uint64_t size;
};

struct spool {
    char *dir;
    int dir_fd;
    uint64_t max_bytes, segment_max, bytes;
    struct segment *segments; /* oldest first; the last one is being written while write_fd >= 0 */
    size_t n, cap;
    int write_fd, read_fd;
    size_t read_segment; /* may be n: nothing there yet */
    uint64_t read_off;
    uint64_t last_seq, acked_seq;
    uint64_t rewind_segment, rewind_off; /* by first_seq */
    struct spool_entry ring[SPOOL_WINDOW_MAX];
    size_t ring_head, ring_n;
    struct buf scratch;
    uint64_t damage;
    bool is_damaged, is_unsynced, is_dir_unsynced;
};

static void segment_name(uint64_t first_seq, char ret[static 32])
{
    snprintf(ret, 32, "%016llx.spool", (unsigned long long)first_seq);
}

static int segment_open(const struct spool *sp, uint64_t first_seq, int flags)
{
    char name[32];
    segment_name(first_seq, name);
    int fd = openat(sp->dir_fd, name, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
    return fd < 0 ? -errno : fd;
}

static void segment_unlink(struct spool *sp, uint64_t first_seq)
{
    char name[32];
    segment_name(first_seq, name);
    unlinkat(sp->dir_fd, name, 0);
}

static int add_segment(struct spool *sp, struct segment seg)
{
    if (sp->n == sp->cap) {
        size_t cap = sp->cap ? sp->cap * 2 : 16;
        struct segment *more = reallocarray(sp->segments, cap, sizeof(*more));
        if (!more)
            return -ENOMEM;
        sp->segments = more;
        sp->cap = cap;
    }
    sp->segments[sp->n++] = seg;
    return 0;
}

static void drop_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* --- opening --- */

static int by_first_seq(const void *a, const void *b)
{
    const struct segment *x = a, *y = b;
    return x->first_seq < y->first_seq ? -1 : x->first_seq > y->first_seq;
}

static int list_segments(struct spool *sp)
{
    int fd = openat(sp->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (!d) {
        int err = -errno;
        if (fd >= 0)
            close(fd);
        return err;
    }
    int r = 0;
    for (struct dirent *e; r == 0 && (e = readdir(d));) {
        char *end;
        unsigned long long seq = strtoull(e->d_name, &end, 16);
        struct stat st;
        if (end != e->d_name + 16 || strcmp(end, ".spool") != 0 || fstatat(sp->dir_fd, e->d_name, &st, 0) < 0)
            continue;
        if (S_ISREG(st.st_mode))
            r = add_segment(sp, (struct segment){.first_seq = seq, .size = (uint64_t)st.st_size});
    }
    closedir(d);
    if (sp->n > 1)
        qsort(sp->segments, sp->n, sizeof(sp->segments[0]), by_first_seq);
    return r;
}

static void note_damage(struct spool *sp, uint64_t bytes)
{
    sp->damage += bytes;
    sp->is_damaged = sp->is_damaged || bytes > 0;
}

/* Walks one file. ret_valid: where the last valid batch ends. */
static int check_segment(struct spool *sp, struct segment *seg, int fd, spool_found_fn on_found, void *ctx,
                         uint64_t *ret_valid)
{
    uint64_t off = 0, at;
    struct batch b;
    *ret_valid = 0;
    for (;;) {
        int r = spool_scan(fd, seg->size, off, &sp->scratch, &b, &at);
        if (r <= 0)
            return r;
        note_damage(sp, at - off);
        off = at + sp->scratch.len;
        *ret_valid = off;
        if (b.seq <= sp->last_seq) { /* out of order: not something we wrote here */
            note_damage(sp, sp->scratch.len);
            continue;
        }
        seg->last_seq = sp->last_seq = b.seq;
        if (b.seq > sp->acked_seq)
            on_found(&b, sp->is_damaged, ctx);
    }
}

static int check_segments(struct spool *sp, spool_found_fn on_found, void *ctx)
{
    for (size_t i = 0; i < sp->n; i++) {
        struct segment *seg = &sp->segments[i];
        uint64_t valid;
        bool is_last = i + 1 == sp->n;
        int fd = segment_open(sp, seg->first_seq, is_last ? O_RDWR : O_RDONLY);
        if (fd < 0)
            return fd;
        int r = check_segment(sp, seg, fd, on_found, ctx, &valid);
        if (r == 0 && valid < seg->size) {
            note_damage(sp, seg->size - valid);
            if (is_last && ftruncate(fd, (off_t)valid) < 0)
                r = -errno;
            seg->size = is_last ? valid : seg->size;
        }
        sp->bytes += seg->size;
        sp->last_seq = MAX(sp->last_seq, seg->first_seq - 1);
        if (is_last && r == 0)
            sp->write_fd = fd;
        else
            close(fd);
        if (r < 0)
            return r;
    }
    return 0;
}

int spool_open(const char *dir, uint64_t max_bytes, uint64_t segment_max, uint64_t acked_seq, spool_found_fn on_found,
               void *ctx, struct spool **ret, struct diag *diag)
{
    int r = file_mkdirs(dir, 0700);
    if (r < 0)
        return diag_set(diag, r, "cannot make the folder %s: %s", dir, strerror(-r));
    struct spool *sp = calloc(1, sizeof(*sp));
    if (!sp)
        return -ENOMEM;
    sp->write_fd = sp->read_fd = -1;
    sp->max_bytes = max_bytes;
    sp->segment_max = segment_max;
    sp->acked_seq = acked_seq;
    sp->scratch = BUF_INIT(BATCH_MAX);
    sp->dir = strdup(dir);
    sp->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    r = !sp->dir ? -ENOMEM : sp->dir_fd < 0 ? -errno : list_segments(sp);
    if (r == 0)
        r = check_segments(sp, on_found, ctx);
    if (r < 0) {
        spool_close(sp);
        return diag_set(diag, r, "cannot open the spool %s: %s", dir, strerror(-r));
    }
    sp->last_seq = MAX(sp->last_seq, acked_seq);
    *ret = sp;
    return 0;
}

static void clear_ring(struct spool *sp)
{
    for (size_t i = 0; i < sp->ring_n; i++)
        free(sp->ring[(sp->ring_head + i) % SPOOL_WINDOW_MAX].cursor);
    sp->ring_n = 0;
}

struct spool *spool_close(struct spool *sp)
{
    if (!sp)
        return NULL;
    clear_ring(sp);
    drop_fd(&sp->write_fd);
    drop_fd(&sp->read_fd);
    if (sp->dir_fd >= 0)
        close(sp->dir_fd);
    buf_clear(&sp->scratch);
    free(sp->segments);
    free(sp->dir);
    free(sp);
    return NULL;
}

uint64_t spool_last_seq(const struct spool *sp)
{
    return sp->last_seq;
}

bool spool_is_damaged(const struct spool *sp)
{
    return sp->is_damaged;
}

uint64_t spool_damage(struct spool *sp)
{
    uint64_t n = sp->damage;
    sp->damage = 0;
    return n;
}

uint64_t spool_bytes(const struct spool *sp)
{
    return sp->bytes;
}

uint64_t spool_max(const struct spool *sp)
{
    return sp->max_bytes;
}

uint64_t spool_acked(const struct spool *sp)
{
    return sp->acked_seq;
}

bool spool_has_room(const struct spool *sp, size_t bytes)
{
    return sp->bytes + bytes <= sp->max_bytes;
}

/* --- writing --- */

static int roll(struct spool *sp, uint64_t seq)
{
    if (sp->write_fd >= 0) {
        int r = spool_sync(sp); /* does nothing while the collector keeps up */
        if (r < 0)
            return r;
        drop_fd(&sp->write_fd);
    }
    int fd = segment_open(sp, seq, O_CREAT | O_EXCL | O_WRONLY);
    if (fd < 0)
        return fd;
    int r = add_segment(sp, (struct segment){.first_seq = seq});
    if (r < 0) {
        close(fd);
        segment_unlink(sp, seq);
        return r;
    }
    sp->write_fd = fd;
    sp->is_dir_unsynced = true;
    return 0;
}

static int write_at(int fd, struct str s, uint64_t off)
{
    size_t done = 0;
    while (done < s.len) {
        ssize_t n = pwrite(fd, s.p + done, s.len - done, (off_t)(off + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        done += (size_t)n;
    }
    return 0;
}

int spool_append(struct spool *sp, struct str batch_bytes, uint64_t seq)
{
    if (!spool_has_room(sp, batch_bytes.len))
        return -ENOBUFS;
    if (seq <= sp->last_seq)
        return -EINVAL;
    if (sp->write_fd < 0 || sp->segments[sp->n - 1].size + batch_bytes.len > sp->segment_max) {
        int r = roll(sp, seq);
        if (r < 0)
            return r;
    }
    struct segment *seg = &sp->segments[sp->n - 1];
    int r = write_at(sp->write_fd, batch_bytes, seg->size);
    if (r < 0) {
        /* What was half written must not stand before the next batch. Where even this fails the bytes lie behind the
         * size we know, and are written over. */
        (void)!ftruncate(sp->write_fd, (off_t)seg->size);
        return r;
    }
    seg->size += batch_bytes.len;
    seg->last_seq = sp->last_seq = seq;
    sp->bytes += batch_bytes.len;
    sp->is_unsynced = true;
    return 0;
}

int spool_sync(struct spool *sp)
{
    if (!sp->is_unsynced || sp->acked_seq >= sp->last_seq)
        return 0;
    if (fdatasync(sp->write_fd) < 0 || (sp->is_dir_unsynced && fsync(sp->dir_fd) < 0))
        return -errno;
    sp->is_unsynced = sp->is_dir_unsynced = false;
    return 0;
}

/* --- reading --- */

static int next_in_segment(struct spool *sp, struct batch *ret)
{
    const struct segment *seg = &sp->segments[sp->read_segment];
    uint64_t at;
    if (sp->read_off >= seg->size)
        return 0;
    if (sp->read_fd < 0) {
        int fd = segment_open(sp, seg->first_seq, O_RDONLY);
        if (fd < 0)
            return fd;
        sp->read_fd = fd;
    }
    int r = spool_scan(sp->read_fd, seg->size, sp->read_off, &sp->scratch, ret, &at);
    if (r < 0)
        return r;
    uint64_t end = r > 0 ? at : seg->size;
    note_damage(sp, end - sp->read_off);
    sp->read_off = r > 0 ? at + sp->scratch.len : seg->size;
    return r;
}

static int push_entry(struct spool *sp, const struct batch *b)
{
    struct spool_entry *e = &sp->ring[(sp->ring_head + sp->ring_n) % SPOOL_WINDOW_MAX];
    *e = (struct spool_entry){
        .seq = b->seq,
        .start = b->start,
        .end = b->end,
        .read_ns = time_monotonic_ns(),
        .segment = sp->segments[sp->read_segment].first_seq,
        .next_off = sp->read_off,
    };
    memcpy(e->stream, b->stream, ID_LEN);
    if (b->cursor.len) {
        e->cursor = strndup(b->cursor.p, b->cursor.len);
        if (!e->cursor)
            return -ENOMEM;
    }
    sp->ring_n++;
    return 0;
}

int spool_read(struct spool *sp, struct str *ret_bytes, struct batch *ret)
{
    if (sp->ring_n == SPOOL_WINDOW_MAX)
        return -ENOBUFS;
    uint64_t newest = sp->ring_n ? sp->ring[(sp->ring_head + sp->ring_n - 1) % SPOOL_WINDOW_MAX].seq : sp->acked_seq;
    while (sp->read_segment < sp->n) {
        uint64_t before = sp->read_off;
        int r = next_in_segment(sp, ret);
        if (r < 0)
            return r;
        if (r > 0 && ret->seq <= newest)
            continue;
        if (r > 0) {
            r = push_entry(sp, ret);
            if (r < 0) {
                sp->read_off = before;
                return r;
            }
            *ret_bytes = buf_str(&sp->scratch);
            return 1;
        }
        if (sp->read_segment + 1 == sp->n)
            return 0; /* the present end */
        sp->read_segment++;
        sp->read_off = 0;
        drop_fd(&sp->read_fd);
    }
    return 0;
}

void spool_rewind(struct spool *sp)
{
    clear_ring(sp);
    drop_fd(&sp->read_fd);
    sp->read_segment = 0;
    sp->read_off = 0;
    for (size_t i = 0; i < sp->n; i++) {
        if (sp->segments[i].first_seq == sp->rewind_segment) {
            sp->read_segment = i;
            sp->read_off = sp->rewind_off;
        }
    }
}

size_t spool_in_flight(const struct spool *sp)
{
    return sp->ring_n;
}

const struct spool_entry *spool_oldest(const struct spool *sp)
{
    return sp->ring_n ? &sp->ring[sp->ring_head] : NULL;
}

int spool_ack(struct spool *sp, uint64_t seq, spool_acked_fn on_acked, void *ctx)
{
    if (sp->ring_n == 0 || seq > sp->ring[(sp->ring_head + sp->ring_n - 1) % SPOOL_WINDOW_MAX].seq)
        return seq <= sp->acked_seq ? 0 : -EPROTO;
    int n = 0;
    while (sp->ring_n > 0 && sp->ring[sp->ring_head].seq <= seq) {
        struct spool_entry *e = &sp->ring[sp->ring_head];
        sp->acked_seq = e->seq;
        sp->rewind_segment = e->segment;
        sp->rewind_off = e->next_off;
        on_acked(e, ctx);
        free(e->cursor);
        e->cursor = NULL;
        sp->ring_head = (sp->ring_head + 1) % SPOOL_WINDOW_MAX;
        sp->ring_n--;
        n++;
    }
    return n;
}

static bool is_releasable(const struct spool *sp, uint64_t durable_seq)
{
    if (sp->n == 0 || sp->segments[0].last_seq > durable_seq)
        return false;
    bool is_active = sp->n == 1 && sp->write_fd >= 0;
    return !is_active || sp->segments[0].size >= SPOOL_KEEP_ACTIVE;
}

void spool_release(struct spool *sp, uint64_t durable_seq)
{
    durable_seq = MIN(durable_seq, sp->acked_seq);
    while (is_releasable(sp, durable_seq)) {
        if (sp->n == 1)
            drop_fd(&sp->write_fd);
        segment_unlink(sp, sp->segments[0].first_seq);
        sp->bytes -= sp->segments[0].size;
        sp->n--;
        memmove(sp->segments, sp->segments + 1, sp->n * sizeof(sp->segments[0]));
        if (sp->read_segment > 0) {
            sp->read_segment--;
        } else {
            sp->read_off = 0;
            drop_fd(&sp->read_fd);
        }
    }
}
