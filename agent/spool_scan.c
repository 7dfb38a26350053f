/* SPDX-License-Identifier: Apache-2.0
 *
 * Finding batches: see spool_scan.h. The usual case is one read and one check; only damage leads to a search for the
 * magic, and a magic inside some payload is told from a real start by the crc.
 */
#include "agent/spool_scan.h"

#include <errno.h>
#include <sys/types.h>

#define CHUNK (64 * KIB)
#define BLOCK 4096

static const char magic[4] = {'V', 'G', 'B', '1'};

/* Like pread, but all or nothing of len. */
static bool read_all(int fd, uint8_t *p, size_t len, uint64_t off)
{
    size_t have = 0;
    while (have < len) {
        ssize_t n = pread(fd, p + have, len - have, (off_t)(off + have));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        have += (size_t)n;
    }
    return true;
}

/* 1: a valid batch starts at off. 0: none does. */
static int try_at(int fd, uint64_t size, uint64_t off, struct buf *bytes, struct batch *ret)
{
    uint8_t *p;
    size_t have = (size_t)MIN(size - off, CHUNK);
    buf_reset(bytes);
    int r = buf_reserve(bytes, have, &p);
    if (r < 0)
        return r;
    if (have < BATCH_HEADER_MIN || !read_all(fd, p, have, off))
        return 0;
    size_t len = batch_peek_len(p);
    if (len == 0 || len > size - off)
        return 0;
    if (len > have) {
        bytes->len = have;
        r = buf_reserve(bytes, len - have, &p);
        if (r < 0)
            return r == -ENOBUFS ? 0 : r;
        if (!read_all(fd, p, len - have, off + have))
            return 0;
    }
    bytes->len = len;
    return batch_decode(buf_str(bytes), ret, NULL) == 0;
}

/* Where the magic comes next, at or behind off; size when it does not. Uses bytes as scratch. */
static int find_magic(int fd, uint64_t size, uint64_t off, struct buf *bytes, uint64_t *ret)
{
    uint8_t *p;
    buf_reset(bytes);
    int r = buf_reserve(bytes, CHUNK, &p);
    while (r == 0 && off + sizeof(magic) <= size) {
        size_t n = (size_t)MIN(size - off, CHUNK);
        if (!read_all(fd, p, n, off)) { /* go on block by block over an unreadable place */
            n = (size_t)MIN(n, BLOCK - off % BLOCK);
            if (!read_all(fd, p, n, off)) {
                off += n;
                continue;
            }
        }
        const uint8_t *hit = memmem(p, n, magic, sizeof(magic));
        if (hit) {
            *ret = off + (uint64_t)(hit - p);
            return 0;
        }
        off += n == size - off ? n : MAX(n, sizeof(magic)) - (sizeof(magic) - 1);
    }
    *ret = size;
    return r;
}

int spool_scan(int fd, uint64_t size, uint64_t off, struct buf *bytes, struct batch *ret, uint64_t *ret_at)
{
    while (off < size) {
        int r = try_at(fd, size, off, bytes, ret);
        if (r != 0) {
            *ret_at = off;
            return r;
        }
        r = find_magic(fd, size, off + 1, bytes, &off);
        if (r < 0)
            return r;
    }
    return 0;
}
