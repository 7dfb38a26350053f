/* SPDX-License-Identifier: Apache-2.0
 *
 * See archive_format.h.
 */
#include "collector/archive_format.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <zlib.h>

#define WINDOW (512 * KIB) /* one read brings several ordinary records */

static const char segment_magic[4] = {'V', 'G', 'A', '1'};
static const char batch_magic[4] = {'V', 'G', 'B', '1'};

void segment_name(uint64_t pos, const char *suffix, char ret[static SEGMENT_NAME])
{
    snprintf(ret, SEGMENT_NAME, "%016llx%s", (unsigned long long)pos, suffix);
}

void segment_header_put(const struct segment_header *h, uint8_t to[static SEGMENT_HEADER])
{
    memset(to, 0, SEGMENT_HEADER);
    memcpy(to, segment_magic, sizeof(segment_magic));
    put_u64(to + 8, h->pos);
    put_u64(to + 16, (uint64_t)h->created_ns);
    memcpy(to + 24, h->prev_sha256, SHA256_LEN);
    put_u32(to + 60, (uint32_t)crc32_z(0, to, 60));
}

int segment_header_get(const uint8_t from[static SEGMENT_HEADER], struct segment_header *ret)
{
    if (memcmp(from, segment_magic, sizeof(segment_magic)) != 0 || get_u32(from + 60) != (uint32_t)crc32_z(0, from, 60))
        return -EBADMSG;
    ret->pos = get_u64(from + 8);
    ret->created_ns = (int64_t)get_u64(from + 16);
    memcpy(ret->prev_sha256, from + 24, SHA256_LEN);
    return 0;
}

static uint32_t record_crc(const uint8_t header[static RECORD_HEADER], uint64_t pos,
                           const uint8_t batch_head[static 16])
{
    uint8_t sum[8 + 4 + 16 + 16];
    put_u64(sum, pos);
    memcpy(sum + 8, header, 4);
    memcpy(sum + 12, header + 8, 16);
    memcpy(sum + 28, batch_head, 16);
    return (uint32_t)crc32_z(0, sum, sizeof(sum));
}

void record_header_put(uint8_t to[static RECORD_HEADER], uint64_t pos, uint32_t len, int64_t ingested_ns,
                       uint64_t durable, const uint8_t batch_head[static 16])
{
    put_u32(to, len);
    put_u64(to + 8, (uint64_t)ingested_ns);
    put_u64(to + 16, durable);
    put_u32(to + 4, record_crc(to, pos, batch_head));
}

int segment_file_open(int dir_fd, uint64_t pos, struct segment_file *ret)
{
    char name[SEGMENT_NAME];
    segment_name(pos, ".vga", name);
    int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -errno;
    ret->fd = fd;
    ret->pos = pos;
    ret->window_len = 0;
    return 0;
}

void segment_file_close(struct segment_file *f)
{
    close_fd(&f->fd);
    f->fd = -1;
    f->window_len = 0;
}

void segment_file_free(struct segment_file *f)
{
    segment_file_close(f);
    free(f->window);
    f->window = NULL;
    f->window_cap = 0;
}

int segment_file_size(const struct segment_file *f, uint64_t *ret)
{
    struct stat st;
    if (fstat(f->fd, &st) < 0)
        return -errno;
    *ret = (uint64_t)st.st_size;
    return 0;
}

static int window_grow(struct segment_file *f, size_t len)
{
    if (len <= f->window_cap)
        return 0;
    uint8_t *p = realloc(f->window, len);
    if (!p)
        return -ENOMEM;
    f->window = p;
    f->window_cap = len;
    return 0;
}

int segment_file_bytes(struct segment_file *f, uint64_t offset, size_t len, const uint8_t **ret)
{
    if (offset < f->window_at || offset - f->window_at > f->window_len ||
        f->window_len - (offset - f->window_at) < len) {
        int r = window_grow(f, MAX(len, WINDOW));
        if (r < 0)
            return r;
        f->window_at = offset;
        f->window_len = 0;
        while (f->window_len < f->window_cap) {
            ssize_t n =
                pread(f->fd, f->window + f->window_len, f->window_cap - f->window_len, (off_t)(offset + f->window_len));
            if (n < 0 && errno == EINTR)
                continue;
            if (n < 0)
                return -errno;
            if (n == 0)
                break;
            f->window_len += (size_t)n;
        }
        if (f->window_len < len)
            return 0;
    }
    *ret = f->window + (offset - f->window_at);
    return 1;
}

int segment_file_record(struct segment_file *f, uint64_t offset, struct record *ret)
{
    const uint8_t *p;
    *ret = (struct record){0};
    int r = segment_file_bytes(f, offset, RECORD_PEEK, &p);
    if (r <= 0)
        return r;
    uint32_t len = get_u32(p);
    if (len != batch_peek_len(p + RECORD_HEADER) || get_u32(p + 4) != record_crc(p, f->pos + offset, p + RECORD_HEADER))
        return -EBADMSG;
    r = segment_file_bytes(f, offset, RECORD_HEADER + len, &p);
    if (r <= 0)
        return r;
    ret->len = RECORD_HEADER + len;
    ret->ingested_ns = (int64_t)get_u64(p + 8);
    ret->durable = get_u64(p + 16);
    ret->bytes = (struct str){(const char *)p + RECORD_HEADER, len};
    if (ret->durable > f->pos + offset) /* sums that are right over a thing that cannot be */
        return -EBADMSG;
    return batch_decode(ret->bytes, &ret->batch, NULL) < 0 ? -EBADMSG : 1;
}

int segment_file_find(struct segment_file *f, uint64_t offset, uint64_t *ret_offset)
{
    uint64_t at = offset + RECORD_HEADER; /* where a batch could begin */
    for (;;) {
        const uint8_t *p;
        int r = segment_file_bytes(f, at, sizeof(batch_magic), &p);
        if (r <= 0)
            return r;
        size_t have = f->window_len - (size_t)(at - f->window_at);
        const uint8_t *hit = memmem(p, have, batch_magic, sizeof(batch_magic));
        if (!hit) {
            at += have - (sizeof(batch_magic) - 1);
            continue;
        }
        at += (uint64_t)(hit - p);
        struct record rec;
        r = segment_file_record(f, at - RECORD_HEADER, &rec);
        if (r == 1) {
            *ret_offset = at - RECORD_HEADER;
            return 1;
        }
        if (r < 0 && r != -EBADMSG)
            return r;
        at++;
    }
}
