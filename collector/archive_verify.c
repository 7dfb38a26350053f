/* SPDX-License-Identifier: Apache-2.0
 *
 * Checks that an archive is what was written: every record's crc, and that each segment is the one whose hash its successor
 * holds. A crc finds accidents; only the chain shows that somebody changed a record and its crc together. The last
 * segment has no successor yet, so of it only the records can be checked. Called by `vonggac archive verify`.
 */
#include "collector/archive_format.h"

#include <errno.h>
#include <fcntl.h>

#include <openssl/evp.h>

#define HASH_CHUNK (512 * KIB)

struct verify {
    int dir_fd;
    struct segment_file file;
    EVP_MD_CTX *hash;
    uint64_t done, total;
    archive_progress_fn on_progress;
    void *ctx;
    struct archive_totals totals;
};

/* Hashes the first `size` bytes of the open segment. */
static int hash_segment(struct verify *v, uint64_t size, uint8_t ret[static SHA256_LEN])
{
    if (EVP_DigestInit_ex(v->hash, EVP_sha256(), NULL) != 1)
        return -ENOMEM;
    for (uint64_t at = 0; at < size;) {
        const uint8_t *p;
        size_t n = (size_t)MIN(size - at, (uint64_t)HASH_CHUNK);
        int r = segment_file_bytes(&v->file, at, n, &p);
        if (r <= 0)
            return r < 0 ? r : -EIO;
        if (EVP_DigestUpdate(v->hash, p, n) != 1)
            return -ENOMEM;
        at += n;
    }
    return EVP_DigestFinal_ex(v->hash, ret, NULL) == 1 ? 0 : -ENOMEM;
}

static void count(struct verify *v, const struct record *rec)
{
    if (v->totals.records++ == 0)
        v->totals.first_ns = rec->ingested_ns;
    v->totals.last_ns = rec->ingested_ns;
    v->totals.lines += rec->batch.records;
    v->totals.raw_bytes += rec->batch.raw_len;
}

static int check_records(struct verify *v, const struct archive_segment *s, bool is_last, struct diag *diag)
{
    uint64_t offset = SEGMENT_HEADER;
    while (offset < s->size_bytes) {
        struct record rec;
        int r = segment_file_record(&v->file, offset, &rec);
        bool is_short = r == 0 || (r == 1 && offset + rec.len > s->size_bytes);
        if (is_short && is_last) {
            v->totals.tail_bytes = s->size_bytes - offset;
            return 0;
        }
        if (is_short || r == -EBADMSG)
            return diag_set(diag, -EBADMSG, "%.120s: the record at position %llu is damaged", s->path,
                            (unsigned long long)(s->pos + offset));
        if (r < 0)
            return diag_set(diag, r, "%.200s: %s", s->path, strerror(-r));
        count(v, &rec);
        offset += rec.len;
        if (v->on_progress)
            v->on_progress(v->done + offset, v->total, v->ctx);
    }
    return 0;
}

static int check_header(struct verify *v, const struct archive_segment *s, const struct archive_segment *before,
                        const uint8_t before_sha256[static SHA256_LEN], struct diag *diag)
{
    struct segment_header h;
    const uint8_t *p;
    int r = segment_file_bytes(&v->file, 0, SEGMENT_HEADER, &p);
    if (r < 0)
        return diag_set(diag, r, "%.200s: %s", s->path, strerror(-r));
    if (r == 0 || segment_header_get(p, &h) < 0)
        return diag_set(diag, -EBADMSG, "%.200s: the header is damaged", s->path);
    if (h.pos != s->pos)
        return diag_set(diag, -EBADMSG, "%.180s: the name does not fit the header", s->path);
    if (!before)
        return 0;
    if (before->pos + before->size_bytes != s->pos)
        return diag_set(diag, -EBADMSG, "%.120s: it ends at position %llu and the next segment begins at %llu",
                        before->path, (unsigned long long)(before->pos + before->size_bytes),
                        (unsigned long long)s->pos);
    if (memcmp(h.prev_sha256, before_sha256, SHA256_LEN) != 0)
        return diag_set(diag, -EBADMSG, "%.150s: its hash is not the one its successor holds", before->path);
    return 0;
}

static int check_segments(struct verify *v, const struct archive_segment *list, size_t n, struct diag *diag)
{
    uint8_t sha256[SHA256_LEN] = {0};
    int r = 0;
    for (size_t i = 0; i < n && r == 0; i++) {
        const struct archive_segment *s = &list[i];
        bool is_last = i + 1 == n;
        segment_file_close(&v->file);
        r = segment_file_open(v->dir_fd, s->pos, &v->file);
        if (r < 0)
            return diag_set(diag, r, "%.200s: %s", s->path, strerror(-r));
        r = check_header(v, s, i ? s - 1 : NULL, sha256, diag);
        if (r == 0)
            r = check_records(v, s, is_last, diag);
        if (r == 0 && !is_last) {
            r = hash_segment(v, s->size_bytes, sha256);
            if (r < 0)
                diag_set(diag, r, "%.200s: %s", s->path, strerror(-r));
        }
        v->done += s->size_bytes;
    }
    return r;
}

int archive_verify(const char *dir, archive_progress_fn on_progress, void *ctx, struct archive_totals *ret,
                   struct diag *diag)
{
    struct archive_segment *list = NULL;
    size_t n = 0;
    int r = archive_segments(dir, &list, &n);
    if (r < 0)
        return diag_set(diag, r, "%.200s: %s", dir, strerror(-r));
    struct verify v = {.file = {.fd = -1}, .on_progress = on_progress, .ctx = ctx, .totals.segments = n};
    for (size_t i = 0; i < n; i++)
        v.total += list[i].size_bytes;
    v.totals.bytes = v.total;
    v.hash = EVP_MD_CTX_new();
    v.dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (v.dir_fd < 0 || !v.hash) {
        r = v.dir_fd < 0 ? -errno : -ENOMEM;
        diag_set(diag, r, "%.200s: %s", dir, strerror(-r));
    } else {
        r = check_segments(&v, list, n, diag);
    }
    segment_file_free(&v.file);
    close_fd(&v.dir_fd);
    EVP_MD_CTX_free(v.hash);
    free(list);
    if (r == 0)
        *ret = v.totals;
    return r;
}
