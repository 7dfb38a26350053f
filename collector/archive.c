/* SPDX-License-Identifier: Apache-2.0
 *
 * The archive's writer: append, group fsync, roll-over, and recovery at open. The crash rule is in archive.h. The hard thing is
 * to never call bytes durable that are not: after a failed fdatasync the kernel forgets which pages it could not write, so
 * the archive stays failed, and open flushes and then drops the cache before it reads what really is on the disk.
 * Called by the collector's writer thread; archive_end by any thread.
 */
#include "collector/archive_format.h"

#include "common/file.h"
#include "common/time.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <openssl/evp.h>

#define COPY_CHUNK (256 * KIB)

struct archive {
    int dir_fd, lock_fd, fd;
    uint64_t segment_max;
    uint64_t first, size; /* of the segment being written: position of its first byte, bytes */
    EVP_MD_CTX *hash;     /* of those bytes */
    bool is_failed;
    uint64_t cut_bytes;
    _Atomic uint64_t durable;
};

/* Behind the last record. Without any in this segment that is where the one before ended. */
static uint64_t end_of(const struct archive *a)
{
    return a->first + (a->size > SEGMENT_HEADER ? a->size : 0);
}

/* ---- files ---- */

static int write_all(int fd, struct iovec *iov, int n, uint64_t offset)
{
    while (n > 0) {
        ssize_t done = pwritev(fd, iov, n, (off_t)offset);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return done < 0 ? -errno : -EIO;
        offset += (uint64_t)done;
        while (n > 0 && (size_t)done >= iov->iov_len) {
            done -= (ssize_t)iov->iov_len;
            iov++;
            n--;
        }
        if (n > 0) {
            iov->iov_base = (uint8_t *)iov->iov_base + done;
            iov->iov_len -= (size_t)done;
        }
    }
    return 0;
}

static int hash_restart(struct archive *a)
{
    if (!a->hash)
        a->hash = EVP_MD_CTX_new();
    return a->hash && EVP_DigestInit_ex(a->hash, EVP_sha256(), NULL) == 1 ? 0 : -ENOMEM;
}

static int hash_add(struct archive *a, const void *p, size_t len)
{
    return EVP_DigestUpdate(a->hash, p, len) == 1 ? 0 : -ENOMEM;
}

/* Makes the file <pos>.vga with its header, durable before anybody can see it under that name. */
static int create_segment_file(struct archive *a, const char *tmp, uint64_t pos, const uint8_t *header, int *ret_fd)
{
    char name[SEGMENT_NAME];
    segment_name(pos, ".vga", name);
    unlinkat(a->dir_fd, tmp, 0); /* of a roll-over that died in the middle */
    int fd = openat(a->dir_fd, tmp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (fd < 0)
        return -errno;
    struct iovec iov = {(void *)(uintptr_t)header, SEGMENT_HEADER};
    int r = write_all(fd, &iov, 1, 0);
    if (r == 0 && (fsync(fd) < 0 || renameat(a->dir_fd, tmp, a->dir_fd, name) < 0 || fsync(a->dir_fd) < 0))
        r = -errno;
    if (r < 0) {
        unlinkat(a->dir_fd, tmp, 0);
        close(fd);
        return r;
    }
    *ret_fd = fd;
    return 0;
}

/* Begins a segment at `pos` and lets the present one go, if there is one; its bytes must be durable. */
static int begin_segment(struct archive *a, uint64_t pos, int64_t created_ns)
{
    struct segment_header h = {.pos = pos, .created_ns = created_ns};
    uint8_t header[SEGMENT_HEADER];
    char tmp[SEGMENT_NAME];
    int fd = -1;
    if (a->fd >= 0 && EVP_DigestFinal_ex(a->hash, h.prev_sha256, NULL) != 1)
        return -ENOMEM;
    segment_header_put(&h, header);
    segment_name(pos, ".tmp", tmp);
    int r = create_segment_file(a, tmp, pos, header, &fd);
    if (r < 0)
        return r;
    close_fd(&a->fd);
    a->fd = fd;
    a->first = pos;
    a->size = SEGMENT_HEADER;
    atomic_store(&a->durable, pos);
    r = hash_restart(a);
    return r < 0 ? r : hash_add(a, header, sizeof(header));
}

/* ---- recovery ---- */

/* The highest `durable` that any record of the file names. */
static int find_durable(struct segment_file *f, uint64_t *ret)
{
    uint64_t offset = SEGMENT_HEADER;
    *ret = 0;
    for (;;) {
        struct record rec;
        int r = segment_file_record(f, offset, &rec);
        if (r < 0 && r != -EBADMSG)
            return r;
        if (r == 1)
            *ret = MAX(*ret, rec.durable);
        if (rec.len > 0) {
            offset += rec.len;
            continue;
        }
        r = segment_file_find(f, offset + 1, &offset);
        if (r <= 0)
            return r;
    }
}

/* The offset of the first record at or behind the durable position that is not whole: where the file ends from now on. */
static int find_end(struct segment_file *f, uint64_t *ret)
{
    uint64_t durable, size;
    int r = find_durable(f, &durable);
    if (r == 0)
        r = segment_file_size(f, &size);
    if (r < 0)
        return r;
    uint64_t offset = durable > f->pos + SEGMENT_HEADER ? MIN(durable - f->pos, size) : SEGMENT_HEADER;
    struct record rec;
    while ((r = segment_file_record(f, offset, &rec)) == 1)
        offset += rec.len;
    if (r < 0 && r != -EBADMSG)
        return r;
    *ret = offset;
    return 0;
}

/* Copies what lies behind `offset` to <position>.cut: whole records are evidence, even if they have to come again. */
static int save_cut(struct archive *a, struct segment_file *f, uint64_t offset)
{
    char name[SEGMENT_NAME];
    segment_name(f->pos + offset, ".cut", name);
    int fd = openat(a->dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (fd < 0)
        return -errno;
    uint64_t size, at = offset;
    int r = segment_file_size(f, &size);
    while (r == 0 && at < size) {
        const uint8_t *p;
        size_t n = (size_t)MIN(size - at, (uint64_t)COPY_CHUNK);
        r = segment_file_bytes(f, at, n, &p);
        if (r < 1)
            break;
        struct iovec iov = {(void *)(uintptr_t)p, n};
        r = write_all(fd, &iov, 1, at - offset);
        at += n;
    }
    if (r == 0 && (fsync(fd) < 0 || fsync(a->dir_fd) < 0))
        r = -errno;
    close(fd);
    return r;
}

static int cut_tail(struct archive *a, struct segment_file *f, uint64_t offset)
{
    uint64_t size, other;
    int r = segment_file_size(f, &size);
    if (r < 0 || offset >= size)
        return r;
    r = segment_file_find(f, offset, &other);
    if (r == 1)
        r = save_cut(a, f, offset);
    if (r < 0)
        return r;
    if (ftruncate(a->fd, (off_t)offset) < 0 || fsync(a->fd) < 0)
        return -errno;
    a->cut_bytes = size - offset;
    f->window_len = 0;
    return 0;
}

static int hash_file(struct archive *a, struct segment_file *f, uint64_t end)
{
    int r = hash_restart(a);
    for (uint64_t at = 0; r == 0 && at < end;) {
        const uint8_t *p;
        size_t n = (size_t)MIN(end - at, (uint64_t)COPY_CHUNK);
        r = segment_file_bytes(f, at, n, &p);
        if (r <= 0)
            return r < 0 ? r : -EIO;
        r = hash_add(a, p, n);
        at += n;
    }
    return r;
}

static int recover_file(struct archive *a, struct segment_file *f, const char *path, struct diag *diag)
{
    /* What an earlier process could not write must not be read from memory as if it were on the disk. */
    if (fdatasync(a->fd) < 0)
        return diag_set(diag, -errno, "%.200s: fdatasync: %s", path, strerror(errno));
    (void)posix_fadvise(a->fd, 0, 0, POSIX_FADV_DONTNEED);
    uint64_t size, end = 0;
    int r = segment_file_size(f, &size);
    if (r == 0 && size < SEGMENT_HEADER)
        return diag_set(diag, -EBADMSG, "%.200s is shorter than a segment's header", path);
    if (r == 0)
        r = find_end(f, &end);
    if (r == 0)
        r = cut_tail(a, f, end);
    if (r == 0)
        r = hash_file(a, f, end);
    if (r < 0)
        return diag_set(diag, r, "%.200s: cannot recover: %s", path, strerror(-r));
    a->size = end;
    atomic_store(&a->durable, end_of(a));
    return 0;
}

static int open_last(struct archive *a, const struct archive_segment *last, struct diag *diag)
{
    struct segment_file f = {.fd = -1};
    a->fd = open(last->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    int r = a->fd < 0 ? -errno : segment_file_open(a->dir_fd, last->pos, &f);
    if (r < 0)
        return diag_set(diag, r, "%.200s: %s", last->path, strerror(-r));
    a->first = last->pos;
    r = recover_file(a, &f, last->path, diag);
    segment_file_free(&f);
    return r;
}

static int lock(struct archive *a, const char *dir, struct diag *diag)
{
    int r = file_mkdirs(dir, 0750);
    if (r < 0)
        return diag_set(diag, r, "%.200s: %s", dir, strerror(-r));
    a->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (a->dir_fd >= 0)
        a->lock_fd = openat(a->dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (a->lock_fd < 0)
        return diag_set(diag, -errno, "%.200s: %s", dir, strerror(errno));
    if (flock(a->lock_fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK ? diag_set(diag, -EBUSY, "another process writes the archive in %.150s", dir)
                                    : diag_set(diag, -errno, "%.200s/lock: %s", dir, strerror(errno));
    return 0;
}

static int open_or_begin(struct archive *a, const char *dir, struct diag *diag)
{
    int r = lock(a, dir, diag);
    if (r < 0)
        return r;
    struct archive_segment *segments = NULL;
    size_t n = 0;
    r = archive_segments(dir, &segments, &n);
    if (r < 0)
        return diag_set(diag, r, "%.200s: %s", dir, strerror(-r));
    if (n > 0) {
        r = open_last(a, &segments[n - 1], diag);
    } else {
        r = begin_segment(a, 0, time_now_ns());
        if (r < 0)
            diag_set(diag, r, "%.200s: cannot begin the archive: %s", dir, strerror(-r));
    }
    free(segments);
    return r;
}

static void archive_free(struct archive *a)
{
    close_fd(&a->fd);
    close_fd(&a->lock_fd);
    close_fd(&a->dir_fd);
    EVP_MD_CTX_free(a->hash);
    free(a);
}

int archive_open(const char *dir, uint64_t segment_max, struct archive **ret, struct diag *diag)
{
    struct archive *a = calloc(1, sizeof(*a));
    if (!a)
        return diag_set(diag, -ENOMEM, "out of memory");
    a->dir_fd = a->lock_fd = a->fd = -1;
    a->segment_max = segment_max;
    int r = open_or_begin(a, dir, diag);
    if (r < 0) {
        archive_free(a);
        return r;
    }
    *ret = a;
    return 0;
}

struct archive *archive_close(struct archive *a)
{
    if (a) {
        archive_sync(a);
        archive_free(a);
    }
    return NULL;
}

uint64_t archive_cut_bytes(const struct archive *a)
{
    return a->cut_bytes;
}

/* ---- writing ---- */

static int fail(struct archive *a, int err)
{
    a->is_failed = true;
    return err;
}

static int append(struct archive *a, struct str batch, int64_t ingested_ns, uint64_t *ret_pos)
{
    if (a->size > SEGMENT_HEADER && a->size + RECORD_HEADER + batch.len > a->segment_max) {
        int r = archive_sync(a);
        if (r == 0)
            r = begin_segment(a, a->first + a->size, ingested_ns);
        if (r < 0)
            return r;
    }
    uint64_t pos = a->first + a->size;
    uint8_t header[RECORD_HEADER];
    record_header_put(header, pos, (uint32_t)batch.len, ingested_ns, atomic_load(&a->durable),
                      (const uint8_t *)batch.p);
    struct iovec iov[] = {{header, sizeof(header)}, {(void *)(uintptr_t)batch.p, batch.len}};
    int r = write_all(a->fd, iov, 2, a->size);
    if (r == 0)
        r = hash_add(a, header, sizeof(header));
    if (r == 0)
        r = hash_add(a, batch.p, batch.len);
    if (r < 0)
        return r;
    a->size += sizeof(header) + batch.len;
    *ret_pos = pos;
    return 0;
}

int archive_append(struct archive *a, struct str batch_bytes, int64_t ingested_ns, uint64_t *ret_pos)
{
    if (a->is_failed)
        return -EIO;
    if (batch_bytes.len < 16 || batch_peek_len((const uint8_t *)batch_bytes.p) != batch_bytes.len)
        return -EINVAL;
    int r = append(a, batch_bytes, ingested_ns, ret_pos);
    return r < 0 ? fail(a, r) : 0;
}

int archive_sync(struct archive *a)
{
    if (a->is_failed)
        return -EIO;
    uint64_t end = end_of(a);
    if (end == atomic_load(&a->durable))
        return 0;
    if (fdatasync(a->fd) < 0)
        return fail(a, -errno);
    atomic_store(&a->durable, end);
    return 0;
}

uint64_t archive_end(const struct archive *a)
{
    return atomic_load(&a->durable);
}
