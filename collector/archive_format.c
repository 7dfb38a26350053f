/* SPDX-License-Identifier: Apache-2.0
 *
 * Segments and records as bytes (layout in archive.h). The hard thing is a damaged record: its length cannot be trusted,
 * so the search goes on byte by byte for the next batch magic whose record has a valid crc.
 */
#include "collector/archive_format.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <zlib.h>

static const uint8_t segment_magic[4] = {'V', 'G', 'A', '1'};
static const uint8_t batch_magic[4] = {'V', 'G', 'B', '1'};

void segment_header_encode(const struct segment_header *h, uint8_t ret[static SEGMENT_HEADER])
{
    memset(ret, 0, SEGMENT_HEADER);
    memcpy(ret, segment_magic, sizeof(segment_magic));
    put_u64(ret + 8, h->pos);
    put_u64(ret + 16, (uint64_t)h->created_ns);
    memcpy(ret + 24, h->prev_sha256, SHA256_LEN);
    put_u32(ret + 60, (uint32_t)crc32(0, ret, 60));
}

int segment_header_decode(const uint8_t bytes[static SEGMENT_HEADER], struct segment_header *ret)
{
    if (memcmp(bytes, segment_magic, sizeof(segment_magic)) != 0 ||
        get_u32(bytes + 60) != (uint32_t)crc32(0, bytes, 60))
        return -EBADMSG;
    *ret = (struct segment_header){.pos = get_u64(bytes + 8), .created_ns = (int64_t)get_u64(bytes + 16)};
    memcpy(ret->prev_sha256, bytes + 24, SHA256_LEN);
    return 0;
}

void segment_name(uint64_t pos, char ret[static SEGMENT_NAME_LEN])
{
    snprintf(ret, SEGMENT_NAME_LEN, "%016llx.vga", (unsigned long long)pos);
}

int segment_open(int dir_fd, uint64_t pos, int flags)
{
    char name[SEGMENT_NAME_LEN];
    segment_name(pos, name);
    int fd = openat(dir_fd, name, flags | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 ? -errno : fd;
}

static bool name_to_pos(const char *name, uint64_t *ret)
{
    if (strlen(name) != SEGMENT_NAME_LEN - 1 || strcmp(name + 16, ".vga") != 0)
        return false;
    uint64_t pos = 0;
    for (int i = 0; i < 16; i++) {
        const char *digits = "0123456789abcdef", *d = strchr(digits, name[i]);
        if (!d)
            return false;
        pos = pos << 4 | (uint64_t)(d - digits);
    }
    *ret = pos;
    return true;
}

static int compare_pos(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

int segment_list(int dir_fd, uint64_t **ret, size_t *ret_n)
{
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    DIR *dir = fdopendir(fd);
    if (!dir) {
        int err = -errno;
        close(fd);
        return err;
    }
    uint64_t *list = NULL, pos;
    size_t n = 0, cap = 0;
    int err = 0;
    for (struct dirent *e; !err && (e = readdir(dir));) {
        if (!name_to_pos(e->d_name, &pos))
            continue;
        if (n == cap) {
            cap = cap ? cap * 2 : 64;
            uint64_t *bigger = n < SEGMENTS_MAX ? reallocarray(list, cap, sizeof(*list)) : NULL;
            if (!bigger) {
                err = n < SEGMENTS_MAX ? -ENOMEM : -E2BIG;
                break;
            }
            list = bigger;
        }
        list[n++] = pos;
    }
    closedir(dir);
    if (err) {
        free(list);
        return err;
    }
    if (n)
        qsort(list, n, sizeof(*list), compare_pos);
    *ret = list;
    *ret_n = n;
    return 0;
}

int read_exactly(int fd, void *p, size_t n, uint64_t off)
{
    for (size_t have = 0; have < n;) {
        ssize_t k = pread(fd, (char *)p + have, n - have, (off_t)(off + have));
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return -errno;
        if (k == 0)
            return -ENODATA;
        have += (size_t)k;
    }
    return 0;
}

int window_get(struct window *w, uint64_t off, size_t n, const uint8_t **ret)
{
    if (off < w->off || off + n > w->off + w->len) {
        w->off = off;
        w->len = 0;
        size_t want = MAX(n, 128 * KIB);
        while (w->len < n) {
            ssize_t k = pread(w->fd, w->data + w->len, want - w->len, (off_t)(off + w->len));
            if (k < 0 && errno == EINTR)
                continue;
            if (k < 0)
                return -errno;
            if (k == 0)
                return -ENODATA;
            w->len += (size_t)k;
        }
    }
    *ret = w->data + (off - w->off);
    return 0;
}

int record_at(struct window *w, uint64_t off, struct archive_record *ret, size_t *ret_len)
{
    const uint8_t *p;
    int err = window_get(w, off, RECORD_HEADER, &p);
    if (err)
        return err == -ENODATA ? RECORD_CUT : err;
    size_t len = get_u32(p);
    uint32_t crc = get_u32(p + 4);
    if (len < BATCH_HEADER_MIN || len > BATCH_MAX)
        return RECORD_BAD;
    err = window_get(w, off, RECORD_HEADER + len, &p);
    if (err)
        return err == -ENODATA ? RECORD_CUT : err;
    if ((uint32_t)crc32(0, p + 8, (uInt)(8 + len)) != crc)
        return RECORD_BAD;
    struct str bytes = {(const char *)p + RECORD_HEADER, len};
    if (batch_decode(bytes, &ret->batch, NULL) < 0)
        return RECORD_BAD;
    ret->ingested_ns = (int64_t)get_u64(p + 8);
    *ret_len = RECORD_HEADER + len;
    return RECORD_OK;
}

int record_resync(struct window *w, uint64_t off, uint64_t *ret_off)
{
    enum { CHUNK = 64 * 1024 };
    uint8_t *chunk = malloc(CHUNK);
    if (!chunk)
        return -ENOMEM;
    int err = -ENODATA;
    uint64_t at = off + 1 + RECORD_HEADER; /* where the next batch magic can be at the earliest */
    for (;;) {
        ssize_t n = pread(w->fd, chunk, CHUNK, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < (ssize_t)sizeof(batch_magic)) {
            err = n < 0 ? -errno : -ENODATA;
            break;
        }
        const uint8_t *p = chunk, *end = chunk + n, *hit;
        while ((hit = memmem(p, (size_t)(end - p), batch_magic, sizeof(batch_magic)))) {
            struct archive_record record;
            size_t len;
            uint64_t candidate = at + (uint64_t)(hit - chunk) - RECORD_HEADER;
            int state = record_at(w, candidate, &record, &len);
            if (state < 0 || state == RECORD_OK) {
                *ret_off = candidate;
                err = state < 0 ? state : 0;
                goto out;
            }
            p = hit + 1;
        }
        at += (uint64_t)n - (sizeof(batch_magic) - 1);
    }
out:
    free(chunk);
    return err;
}
