/* SPDX-License-Identifier: Apache-2.0
 *
 * The archive's writer: append, sync, roll, recover. Called by the collector's writer thread only; archive_end is the one
 * thing other threads read. The hard thing is a crash: a new segment becomes visible only with a whole, durable header
 * (written under another name, then renamed), so recovery never has to guess; and what was torn off the last segment was
 * never acknowledged.
 */
#include "collector/archive_format.h"
#include "common/file.h"
#include "common/time.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <zlib.h>

struct archive {
    int dir_fd, lock_fd, fd;
    uint64_t segment_max;
    uint64_t segment_pos, segment_len;
    EVP_MD_CTX *sha; /* over the current segment so far */
    bool has_failed;
    _Atomic uint64_t durable_end;
};

static int sync_dir(int dir_fd)
{
    return fsync(dir_fd) < 0 ? -errno : 0;
}

static int write_exactly(int fd, const void *p, size_t n)
{
    for (size_t done = 0; done < n;) {
        ssize_t k = write(fd, (const char *)p + done, n - done);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return -errno;
        done += (size_t)k;
    }
    return 0;
}

static int sha_begin(struct archive *a)
{
    return EVP_DigestInit_ex(a->sha, EVP_sha256(), NULL) == 1 ? 0 : -ENOMEM;
}

static int segment_create(struct archive *a, uint64_t pos, const uint8_t prev_sha256[static SHA256_LEN])
{
    struct segment_header header = {.pos = pos, .created_ns = time_now_ns()};
    memcpy(header.prev_sha256, prev_sha256, SHA256_LEN);
    uint8_t bytes[SEGMENT_HEADER];
    segment_header_encode(&header, bytes);

    char name[SEGMENT_NAME_LEN];
    segment_name(pos, name);
    int fd =
        openat(a->dir_fd, "new-segment.tmp", O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (fd < 0)
        return -errno;
    int err = write_exactly(fd, bytes, sizeof(bytes));
    if (!err && fsync(fd) < 0)
        err = -errno;
    if (!err && renameat(a->dir_fd, "new-segment.tmp", a->dir_fd, name) < 0)
        err = -errno;
    if (!err)
        err = sync_dir(a->dir_fd);
    if (!err)
        err = sha_begin(a);
    if (!err && EVP_DigestUpdate(a->sha, bytes, sizeof(bytes)) != 1)
        err = -ENOMEM;
    if (err) {
        close(fd);
        return err;
    }
    if (a->fd >= 0)
        close(a->fd);
    a->fd = fd;
    a->segment_pos = pos;
    a->segment_len = SEGMENT_HEADER;
    return 0;
}

static int segment_roll(struct archive *a)
{
    uint8_t sha[SHA256_LEN];
    if (fdatasync(a->fd) < 0)
        return -errno;
    if (EVP_DigestFinal_ex(a->sha, sha, NULL) != 1)
        return -ENOMEM;
    return segment_create(a, a->segment_pos + a->segment_len, sha);
}

static int hash_file(EVP_MD_CTX *sha, int fd, uint64_t len)
{
    uint8_t chunk[64 * KIB];
    for (uint64_t off = 0; off < len;) {
        size_t n = (size_t)MIN(sizeof(chunk), len - off);
        int err = read_exactly(fd, chunk, n, off);
        if (err)
            return err;
        if (EVP_DigestUpdate(sha, chunk, n) != 1)
            return -ENOMEM;
        off += n;
    }
    return 0;
}

/* End of the last whole record; damage before it stays where it is. */
static int find_tail(int fd, uint64_t *ret_len)
{
    struct window w = {.fd = fd, .data = malloc(WINDOW_CAP)};
    if (!w.data)
        return -ENOMEM;
    uint64_t off = SEGMENT_HEADER, tail = SEGMENT_HEADER;
    int state;
    for (;;) {
        struct archive_record record;
        size_t len;
        state = record_at(&w, off, &record, &len);
        if (state == RECORD_OK) {
            off += len;
            tail = off;
            continue;
        }
        if (state > 0)
            state = record_resync(&w, off, &off);
        if (state < 0)
            break;
    }
    free(w.data);
    *ret_len = tail;
    return state == -ENODATA ? 0 : state;
}

static int segment_reopen(struct archive *a, uint64_t pos, struct diag *diag)
{
    int fd = segment_open(a->dir_fd, pos, O_RDWR | O_APPEND);
    if (fd < 0)
        return diag_set(diag, fd, "segment %016llx: %s", (unsigned long long)pos, strerror(-fd));
    a->fd = fd;
    uint8_t bytes[SEGMENT_HEADER];
    struct segment_header header;
    if (read_exactly(fd, bytes, sizeof(bytes), 0) < 0 || segment_header_decode(bytes, &header) < 0 || header.pos != pos)
        return diag_set(diag, -EBADMSG, "segment %016llx: its header is damaged", (unsigned long long)pos);
    int err = find_tail(fd, &a->segment_len);
    if (!err && ftruncate(fd, (off_t)a->segment_len) < 0)
        err = -errno;
    if (!err && fdatasync(fd) < 0)
        err = -errno;
    if (!err)
        err = sha_begin(a);
    if (!err)
        err = hash_file(a->sha, fd, a->segment_len);
    a->segment_pos = pos;
    return err ? diag_set(diag, err, "segment %016llx: %s", (unsigned long long)pos, strerror(-err)) : 0;
}

static int archive_lock(struct archive *a, const char *dir, struct diag *diag)
{
    int err = file_mkdirs(dir, 0750);
    if (err)
        return diag_set(diag, err, "%s: %s", dir, strerror(-err));
    a->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (a->dir_fd < 0)
        return diag_set(diag, -errno, "%s: %s", dir, strerror(errno));
    a->lock_fd = openat(a->dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (a->lock_fd < 0 || flock(a->lock_fd, LOCK_EX | LOCK_NB) < 0) {
        err = -errno;
        return diag_set(diag, err,
                        err == -EWOULDBLOCK ? "%s: another collector writes this archive" : "%s: cannot lock", dir);
    }
    return 0;
}

int archive_open(const char *dir, uint64_t segment_max, struct archive **ret, struct diag *diag)
{
    struct archive *a = calloc(1, sizeof(*a));
    if (!a)
        return -ENOMEM;
    a->dir_fd = a->lock_fd = a->fd = -1;
    a->segment_max = MAX(segment_max, (uint64_t)RECORD_MAX + SEGMENT_HEADER);
    a->sha = EVP_MD_CTX_new();
    int err = a->sha ? archive_lock(a, dir, diag) : -ENOMEM;
    uint64_t *segments = NULL;
    size_t n = 0;
    if (!err)
        err = segment_list(a->dir_fd, &segments, &n);
    if (!err && n)
        err = segment_reopen(a, segments[n - 1], diag);
    else if (!err)
        err = segment_create(a, 0, (const uint8_t[SHA256_LEN]){0});
    free(segments);
    if (err) {
        if (diag && !diag->msg[0])
            diag_set(diag, err, "%s: %s", dir, strerror(-err));
        a->has_failed = true;
        archive_close(a);
        return err;
    }
    atomic_store(&a->durable_end, a->segment_pos + a->segment_len);
    *ret = a;
    return 0;
}

struct archive *archive_close(struct archive *a)
{
    if (!a)
        return NULL;
    if (!a->has_failed)
        archive_sync(a);
    close_fd(&a->fd);
    close_fd(&a->lock_fd);
    close_fd(&a->dir_fd);
    EVP_MD_CTX_free(a->sha);
    free(a);
    return NULL;
}

static int fail(struct archive *a, int err)
{
    a->has_failed = true;
    return err;
}

int archive_append(struct archive *a, struct str batch_bytes, int64_t ingested_ns, uint64_t *ret_pos)
{
    if (a->has_failed)
        return -EIO;
    if (batch_bytes.len < BATCH_HEADER_MIN || batch_bytes.len > BATCH_MAX)
        return -EMSGSIZE;
    size_t len = RECORD_HEADER + batch_bytes.len;
    if (a->segment_len + len > a->segment_max && a->segment_len > SEGMENT_HEADER) {
        int err = segment_roll(a);
        if (err)
            return fail(a, err);
    }
    uint8_t head[RECORD_HEADER];
    put_u32(head, (uint32_t)batch_bytes.len);
    put_u64(head + 8, (uint64_t)ingested_ns);
    uLong crc = crc32(0, head + 8, 8);
    put_u32(head + 4, (uint32_t)crc32(crc, (const Bytef *)batch_bytes.p, (uInt)batch_bytes.len));

    struct iovec parts[2] = {{head, sizeof(head)}, {(void *)(uintptr_t)batch_bytes.p, batch_bytes.len}};
    ssize_t k = writev(a->fd, parts, 2);
    if (k < 0)
        return fail(a, -errno);
    if ((size_t)k < len) { /* a short write means a full disk or a signal: finish it, or learn why not */
        size_t in_batch = (size_t)k > sizeof(head) ? (size_t)k - sizeof(head) : 0;
        int err = (size_t)k < sizeof(head) ? write_exactly(a->fd, head + k, sizeof(head) - (size_t)k) : 0;
        if (!err)
            err = write_exactly(a->fd, batch_bytes.p + in_batch, batch_bytes.len - in_batch);
        if (err)
            return fail(a, err);
    }
    if (EVP_DigestUpdate(a->sha, head, sizeof(head)) != 1 ||
        EVP_DigestUpdate(a->sha, batch_bytes.p, batch_bytes.len) != 1)
        return fail(a, -ENOMEM);
    *ret_pos = a->segment_pos + a->segment_len;
    a->segment_len += len;
    return 0;
}

int archive_sync(struct archive *a)
{
    if (a->has_failed)
        return -EIO;
    if (fdatasync(a->fd) < 0)
        return fail(a, -errno);
    atomic_store_explicit(&a->durable_end, a->segment_pos + a->segment_len, memory_order_release);
    return 0;
}

uint64_t archive_end(const struct archive *a)
{
    return atomic_load_explicit(&a->durable_end, memory_order_acquire);
}
