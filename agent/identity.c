/* SPDX-License-Identifier: Apache-2.0
 *
 * Fingerprints and guards: see identity.h.
 */
#include "agent/identity.h"

#include <errno.h>
#include <openssl/evp.h>
#include <sys/types.h>

static int read_at(int fd, void *buf, size_t len, uint64_t pos)
{
    size_t have = 0;
    while (have < len) {
        ssize_t n = pread(fd, (uint8_t *)buf + have, len - have, (off_t)(pos + have));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return -EIO;
        have += (size_t)n;
    }
    return 0;
}

static int sha256(const void *p, size_t len, uint8_t ret[static 32])
{
    return EVP_Digest(p, len, ret, NULL, EVP_sha256(), NULL) == 1 ? 0 : -ENOMEM;
}

int fingerprint_make(int fd, uint64_t size, struct fingerprint *ret)
{
    uint8_t head[FINGERPRINT_MAX];
    struct fingerprint fp = {.len = (uint32_t)MIN(size, FINGERPRINT_MAX)};
    int r = read_at(fd, head, fp.len, 0);
    if (r == 0)
        r = sha256(head, fp.len, fp.sha256);
    if (r == 0)
        *ret = fp;
    return r;
}

int fingerprint_extend(struct fingerprint *fp, int fd, uint64_t size)
{
    uint8_t head[FINGERPRINT_MAX], check[32];
    struct fingerprint longer = {.len = (uint32_t)MIN(size, FINGERPRINT_MAX)};
    if (longer.len < fp->len || read_at(fd, head, longer.len, 0) < 0 || sha256(head, fp->len, check) < 0)
        return -ESTALE;
    if (fp->len > 0 && memcmp(check, fp->sha256, sizeof(check)) != 0)
        return -ESTALE;
    if (longer.len == fp->len)
        return 0;
    if (sha256(head, longer.len, longer.sha256) < 0)
        return -ESTALE;
    *fp = longer;
    return 1;
}

bool fingerprint_matches(const struct fingerprint *fp, int fd, uint64_t size)
{
    struct fingerprint now;
    if (size < fp->len)
        return false;
    return fp->len == 0 || (fingerprint_make(fd, fp->len, &now) == 0 && memcmp(now.sha256, fp->sha256, 32) == 0);
}

int guard_make(int fd, uint64_t pos, struct guard *ret)
{
    uint8_t bytes[GUARD_MAX], hash[32];
    struct guard g = {.pos = pos, .len = (uint32_t)MIN(pos, GUARD_MAX)};
    int r = read_at(fd, bytes, g.len, pos - g.len);
    if (r == 0)
        r = sha256(bytes, g.len, hash);
    if (r < 0)
        return r;
    memcpy(g.hash, hash, sizeof(g.hash));
    *ret = g;
    return 0;
}

bool guard_matches(const struct guard *g, int fd, uint64_t size)
{
    uint8_t bytes[GUARD_MAX], hash[32];
    if (size < g->pos || g->len > GUARD_MAX || g->len > g->pos)
        return false;
    return read_at(fd, bytes, g->len, g->pos - g->len) == 0 && sha256(bytes, g->len, hash) == 0 &&
           memcmp(hash, g->hash, sizeof(g->hash)) == 0;
}

void identity_advance(struct identity *id, const struct guard *g, int64_t now_ns)
{
    if (id->guards[0].pos > 0 && (id->guards[1].pos == 0 || now_ns - id->guard_ns >= GUARD_AGE_NS)) {
        id->guards[2] = id->guards[1];
        id->guards[1] = id->guards[0];
        id->guard_ns = now_ns;
    }
    id->guards[0] = *g;
}

bool identity_is_same(const struct identity *id, int fd, uint64_t size)
{
    if (!fingerprint_matches(&id->fp, fd, size))
        return false;
    return id->guards[0].pos == 0 || guard_matches(&id->guards[0], fd, size);
}

bool identity_is_continued(const struct identity *id, int fd, uint64_t size, uint64_t pos)
{
    return id->fp.len > 0 && size >= pos && identity_is_same(id, fd, size);
}

enum copy_match identity_is_copy(const struct identity *id, int fd, uint64_t size, uint64_t *ret_known)
{
    *ret_known = 0;
    if (id->fp.len < FINGERPRINT_COPY || !fingerprint_matches(&id->fp, fd, size))
        return COPY_NO;
    for (size_t i = 0; i < ARRAY_LEN(id->guards); i++) {
        const struct guard *g = &id->guards[i];
        if (g->pos == 0 || size < g->pos)
            continue;
        if (!guard_matches(g, fd, size))
            return COPY_NO;
        *ret_known = g->pos;
        return COPY_YES;
    }
    return COPY_MAYBE;
}
