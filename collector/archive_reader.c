/* SPDX-License-Identifier: Apache-2.0
 *
 * The archive's readers: by position, for detection and export; segment by segment, for verify. A reader holds one file
 * open and follows the writer over segment borders. It returns what the files hold: a reader in the collector's own
 * process stops at archive_end by itself, since what lies behind is not durable yet.
 */
#include "collector/archive_format.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <sys/stat.h>

struct archive_reader {
    int dir_fd;
    struct window window; /* of the current segment; fd -1 while there is none */
    uint64_t segment_pos, off;
    uint64_t damage_bytes;
};

static void reader_leave(struct archive_reader *r)
{
    close_fd(&r->window.fd);
    r->window.fd = -1;
    r->window.len = 0;
}

static int reader_enter(struct archive_reader *r, uint64_t segment_pos, uint64_t off)
{
    int fd = segment_open(r->dir_fd, segment_pos, O_RDONLY);
    if (fd < 0)
        return fd;
    reader_leave(r);
    r->window.fd = fd;
    r->segment_pos = segment_pos;
    r->off = MAX(off, (uint64_t)SEGMENT_HEADER);
    return 0;
}

/* First segment behind the current one. 0, or -ENOENT when this is the last. */
static int next_segment(const struct archive_reader *r, uint64_t *ret)
{
    uint64_t *list;
    size_t n;
    int err = segment_list(r->dir_fd, &list, &n);
    if (err)
        return err;
    err = -ENOENT;
    for (size_t i = 0; i < n && err; i++) {
        if (list[i] > r->segment_pos) {
            *ret = list[i];
            err = 0;
        }
    }
    free(list);
    return err;
}

int archive_reader_open(const char *dir, uint64_t pos, struct archive_reader **ret, struct diag *diag)
{
    struct archive_reader *r = calloc(1, sizeof(*r));
    if (!r)
        return -ENOMEM;
    r->window.fd = -1;
    r->window.data = malloc(WINDOW_CAP);
    r->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int err = r->dir_fd < 0 ? -errno : !r->window.data ? -ENOMEM : archive_reader_seek(r, pos);
    if (err) {
        diag_set(diag, err,
                 err == -ERANGE ? "%s: position %llu is behind the archive's end"
                                : "%s: cannot read from position %llu",
                 dir, (unsigned long long)pos);
        archive_reader_close(r);
        return err;
    }
    *ret = r;
    return 0;
}

struct archive_reader *archive_reader_close(struct archive_reader *r)
{
    if (!r)
        return NULL;
    reader_leave(r);
    close_fd(&r->dir_fd);
    free(r->window.data);
    free(r);
    return NULL;
}

int archive_reader_seek(struct archive_reader *r, uint64_t pos)
{
    uint64_t *list;
    size_t n;
    int err = segment_list(r->dir_fd, &list, &n);
    if (err)
        return err;
    if (!n) {
        reader_leave(r);
        r->segment_pos = r->off = 0;
        free(list);
        return pos ? -ERANGE : 0;
    }
    size_t i = n - 1;
    while (i > 0 && list[i] > pos)
        i--;
    uint64_t start = list[i];
    free(list);
    if (pos < start)
        pos = start; /* older segments were removed by retention */
    if (r->window.fd < 0 || r->segment_pos != start) {
        err = reader_enter(r, start, pos - start);
        if (err)
            return err;
    }
    struct stat st;
    if (fstat(r->window.fd, &st) < 0)
        return -errno;
    if (pos - start > (uint64_t)st.st_size)
        return -ERANGE;
    r->off = MAX(pos - start, (uint64_t)SEGMENT_HEADER);
    return 0;
}

static int skip_damage(struct archive_reader *r, uint64_t to_off, struct diag *diag)
{
    uint64_t skipped = to_off - r->off;
    r->damage_bytes += skipped;
    diag_set(diag, -EBADMSG, "segment %016llx: %llu damaged bytes at offset %llu skipped",
             (unsigned long long)r->segment_pos, (unsigned long long)skipped, (unsigned long long)r->off);
    r->off = to_off;
    return 0;
}

static bool record_is_good(struct archive_reader *r)
{
    struct archive_record record;
    size_t len;
    r->window.len = 0;
    return record_at(&r->window, r->off, &record, &len) == RECORD_OK;
}

/* At a place where no good record starts: 0 go on, 1 this is the present end, or negative errno. */
static int step_over(struct archive_reader *r, struct diag *diag)
{
    uint64_t good_off, following;
    int err = record_resync(&r->window, r->off, &good_off);
    if (!err && record_is_good(r)) /* it was being written when it was looked at first */
        return 0;
    if (!err)
        return skip_damage(r, good_off, diag);
    if (err != -ENODATA)
        return err;
    struct stat st;
    if (fstat(r->window.fd, &st) < 0)
        return -errno;
    err = next_segment(r, &following);
    if (err)
        return err == -ENOENT ? 1 : err;
    if (r->off < (uint64_t)st.st_size && following >= r->segment_pos + (uint64_t)st.st_size)
        skip_damage(r, (uint64_t)st.st_size, diag);
    return reader_enter(r, following, 0);
}

int archive_reader_next(struct archive_reader *r, struct archive_record *ret, struct diag *diag)
{
    if (r->window.fd < 0) {
        int err = archive_reader_seek(r, 0);
        if (err || r->window.fd < 0)
            return err;
    }
    for (;;) {
        size_t len;
        int state = record_at(&r->window, r->off, ret, &len);
        if (state < 0)
            return state;
        if (state == RECORD_OK) {
            ret->pos = r->segment_pos + r->off;
            r->off += len;
            ret->next_pos = r->segment_pos + r->off;
            return 1;
        }
        r->window.len = 0; /* the file may have grown since this part was read */
        int err = step_over(r, diag);
        if (err)
            return err > 0 ? 0 : err;
    }
}

uint64_t archive_reader_damage(const struct archive_reader *r)
{
    return r->damage_bytes;
}

static int segment_facts(int dir_fd, const char *dir, uint64_t pos, struct archive_segment *ret)
{
    int fd CLEANUP(close_fd) = segment_open(dir_fd, pos, O_RDONLY);
    if (fd < 0)
        return fd;
    struct stat st;
    uint8_t bytes[SEGMENT_HEADER];
    struct segment_header header = {0};
    if (fstat(fd, &st) < 0)
        return -errno;
    /* A damaged header is told by verify; here it only lacks its facts. */
    if (read_exactly(fd, bytes, sizeof(bytes), 0) == 0)
        (void)segment_header_decode(bytes, &header);
    *ret = (struct archive_segment){.pos = pos, .size_bytes = (uint64_t)st.st_size, .created_ns = header.created_ns};
    memcpy(ret->prev_sha256, header.prev_sha256, SHA256_LEN);
    char name[SEGMENT_NAME_LEN];
    segment_name(pos, name);
    int n = snprintf(ret->path, sizeof(ret->path), "%s/%s", dir, name);
    return n < 0 || (size_t)n >= sizeof(ret->path) ? -ENAMETOOLONG : 0;
}

int archive_segments(const char *dir, struct archive_segment **ret, size_t *ret_n)
{
    int dir_fd CLEANUP(close_fd) = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0)
        return -errno;
    uint64_t *list;
    size_t n;
    int err = segment_list(dir_fd, &list, &n);
    if (err)
        return err;
    struct archive_segment *segments = calloc(n ? n : 1, sizeof(*segments));
    if (!segments)
        err = -ENOMEM;
    for (size_t i = 0; i < n && !err; i++)
        err = segment_facts(dir_fd, dir, list[i], &segments[i]);
    free(list);
    if (err) {
        free(segments);
        return err;
    }
    *ret = segments;
    *ret_n = n;
    return 0;
}

static int hash_whole(int fd, uint64_t size, uint8_t ret[static SHA256_LEN])
{
    EVP_MD_CTX *sha = EVP_MD_CTX_new();
    uint8_t chunk[64 * KIB];
    int err = sha && EVP_DigestInit_ex(sha, EVP_sha256(), NULL) == 1 ? 0 : -ENOMEM;
    for (uint64_t off = 0; !err && off < size;) {
        size_t n = (size_t)MIN(sizeof(chunk), size - off);
        err = read_exactly(fd, chunk, n, off);
        if (!err && EVP_DigestUpdate(sha, chunk, n) != 1)
            err = -ENOMEM;
        off += n;
    }
    if (!err && EVP_DigestFinal_ex(sha, ret, NULL) != 1)
        err = -ENOMEM;
    EVP_MD_CTX_free(sha);
    return err;
}

struct chain {
    bool has_previous, is_last;
    uint64_t expected_pos;
    uint8_t sha256[SHA256_LEN];
};

static int verify_segment(const struct archive_segment *s, struct chain *chain, struct window *w, uint64_t *records,
                          struct diag *diag)
{
    int fd CLEANUP(close_fd) = open(s->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return diag_set(diag, -errno, "%s: %s", s->path, strerror(errno));
    uint8_t bytes[SEGMENT_HEADER];
    struct segment_header header;
    if (read_exactly(fd, bytes, sizeof(bytes), 0) < 0 || segment_header_decode(bytes, &header) < 0 ||
        header.pos != s->pos)
        return diag_set(diag, -EBADMSG, "%s: its header is damaged", s->path);
    if (chain->has_previous && s->pos != chain->expected_pos)
        return diag_set(diag, -EBADMSG, "%s: starts at %llu, but the segment before ends at %llu", s->path,
                        (unsigned long long)s->pos, (unsigned long long)chain->expected_pos);
    if (chain->has_previous && memcmp(header.prev_sha256, chain->sha256, SHA256_LEN) != 0)
        return diag_set(diag, -EBADMSG, "%s: the segment before it is not the one it was chained to", s->path);

    *w = (struct window){.fd = fd, .data = w->data};
    uint64_t off = SEGMENT_HEADER;
    while (off < s->size_bytes) {
        struct archive_record record;
        size_t len = 0;
        int state = record_at(w, off, &record, &len);
        uint64_t next;
        if (state == RECORD_CUT && chain->is_last && record_resync(w, off, &next) == -ENODATA)
            break; /* being written, or torn by a crash and never acknowledged */
        if (state != RECORD_OK)
            return diag_set(diag, -EBADMSG, "%s: the record at offset %llu is damaged", s->path,
                            (unsigned long long)off);
        off += len;
        (*records)++;
    }
    chain->has_previous = true;
    chain->expected_pos = s->pos + s->size_bytes;
    int err = chain->is_last ? 0 : hash_whole(fd, s->size_bytes, chain->sha256);
    return err ? diag_set(diag, err, "%s: %s", s->path, strerror(-err)) : 0;
}

int archive_verify(const char *dir, uint64_t *ret_records, struct diag *diag)
{
    struct archive_segment *segments;
    size_t n;
    int err = archive_segments(dir, &segments, &n);
    if (err)
        return diag_set(diag, err, "%s: %s", dir, strerror(-err));
    struct window w = {.data = malloc(WINDOW_CAP)};
    if (!w.data)
        err = -ENOMEM;
    struct chain chain = {0};
    *ret_records = 0;
    for (size_t i = 0; i < n && !err; i++) {
        chain.is_last = i + 1 == n;
        err = verify_segment(&segments[i], &chain, &w, ret_records, diag);
    }
    free(w.data);
    free(segments);
    return err;
}
