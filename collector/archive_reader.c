/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads the archive by position, beside a writer in this or another process. The hard thing is the end of the last
 * segment: bytes there that are no record may be one being written, a torn tail that open has not cut yet, or damage. So in
 * the last segment they are skipped only once a whole record stands behind them; until then they are the present end.
 * Called by detection, ingest's start, export and verify's users; one thread a reader.
 */
#include "collector/archive_format.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

struct archive_reader {
    char *dir;
    int dir_fd;
    struct segment_file file; /* fd < 0: none open yet */
    uint64_t pos;
    uint64_t damage;
    uint64_t searched_pos, searched_size; /* here nothing was found in a file of that size */
    struct timespec listed;               /* the folder, when it was last seen without a segment behind this one */
};

static bool parse_name(const char *name, uint64_t *ret)
{
    char expected[SEGMENT_NAME];
    uint64_t pos = 0;
    for (int i = 0; i < 16; i++) {
        char c = name[i];
        if (c >= '0' && c <= '9')
            pos = pos << 4 | (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            pos = pos << 4 | (uint64_t)(c - 'a' + 10);
        else
            return false;
    }
    segment_name(pos, ".vga", expected);
    *ret = pos;
    return strcmp(name, expected) == 0;
}

static int by_position(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Positions of all segments, sorted; owned. */
static int list_positions(const char *dir, uint64_t **ret, size_t *ret_n)
{
    DIR *d = opendir(dir);
    if (!d)
        return -errno;
    uint64_t *list = NULL, pos;
    size_t n = 0, cap = 0;
    int r = 0;
    for (struct dirent *e; r == 0 && (errno = 0, e = readdir(d));) {
        if (!parse_name(e->d_name, &pos))
            continue;
        if (n == cap) {
            cap = cap ? 2 * cap : 64;
            uint64_t *more = reallocarray(list, cap, sizeof(*list));
            if (!more) {
                r = -ENOMEM;
                break;
            }
            list = more;
        }
        list[n++] = pos;
    }
    if (r == 0 && errno)
        r = -errno;
    closedir(d);
    if (r < 0) {
        free(list);
        return r;
    }
    if (n)
        qsort(list, n, sizeof(*list), by_position);
    *ret = list;
    *ret_n = n;
    return 0;
}

/* What archive_segments tells of one; -ENOENT when it has just been removed. */
static int describe(const char *dir, int dir_fd, uint64_t pos, struct archive_segment *ret)
{
    struct segment_file CLEANUP(segment_file_free) f = {.fd = -1};
    struct segment_header h;
    const uint8_t *p;
    char name[SEGMENT_NAME];
    segment_name(pos, ".vga", name);
    *ret = (struct archive_segment){.pos = pos};
    if ((size_t)snprintf(ret->path, sizeof(ret->path), "%s/%s", dir, name) >= sizeof(ret->path))
        return -ENAMETOOLONG;
    int r = segment_file_open(dir_fd, pos, &f);
    if (r == 0)
        r = segment_file_size(&f, &ret->size_bytes);
    if (r < 0)
        return r;
    if (segment_file_bytes(&f, 0, SEGMENT_HEADER, &p) == 1 && segment_header_get(p, &h) == 0) {
        ret->created_ns = h.created_ns;
        memcpy(ret->prev_sha256, h.prev_sha256, SHA256_LEN);
    }
    return 0;
}

int archive_segments(const char *dir, struct archive_segment **ret, size_t *ret_n)
{
    uint64_t *positions = NULL;
    size_t n = 0, done = 0;
    int r = list_positions(dir, &positions, &n);
    if (r < 0)
        return r;
    int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0)
        r = -errno;
    struct archive_segment *list = calloc(n ? n : 1, sizeof(*list));
    if (!list)
        r = -ENOMEM;
    for (size_t i = 0; i < n && r == 0; i++) {
        r = describe(dir, dir_fd, positions[i], &list[done]);
        if (r == 0)
            done++;
        else if (r == -ENOENT)
            r = 0;
    }
    close_fd(&dir_fd);
    free(positions);
    if (r < 0) {
        free(list);
        return r;
    }
    *ret = list;
    *ret_n = done;
    return 0;
}

/* The segment that holds `pos`: the last that begins at or before it, or else the oldest. */
static int find_segment(const char *dir, uint64_t pos, bool *ret_any, uint64_t *ret_first, bool *ret_is_last)
{
    uint64_t *list = NULL;
    size_t n = 0, i = 0;
    int r = list_positions(dir, &list, &n);
    if (r < 0)
        return r;
    while (i + 1 < n && list[i + 1] <= pos)
        i++;
    *ret_any = n > 0;
    *ret_is_last = i + 1 >= n;
    if (n > 0)
        *ret_first = list[i];
    free(list);
    return 0;
}

/* The first segment that begins behind `pos`. 1, 0 (none) or negative errno. */
static int find_next_segment(const char *dir, uint64_t pos, uint64_t *ret)
{
    uint64_t *list = NULL;
    size_t n = 0, i = 0;
    int r = list_positions(dir, &list, &n);
    if (r < 0)
        return r;
    while (i < n && list[i] <= pos)
        i++;
    if (i < n)
        *ret = list[i];
    free(list);
    return i < n;
}

struct archive_reader *archive_reader_close(struct archive_reader *r)
{
    if (r) {
        segment_file_free(&r->file);
        close_fd(&r->dir_fd);
        free(r->dir);
        free(r);
    }
    return NULL;
}

int archive_reader_open(const char *dir, uint64_t pos, struct archive_reader **ret, struct diag *diag)
{
    struct archive_reader *r = calloc(1, sizeof(*r));
    if (!r)
        return diag_set(diag, -ENOMEM, "out of memory");
    r->file.fd = -1;
    r->dir = strdup(dir);
    r->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int err = r->dir_fd < 0 ? -errno : !r->dir ? -ENOMEM : archive_reader_seek(r, pos);
    if (err == 0) {
        *ret = r;
        return 0;
    }
    archive_reader_close(r);
    if (err == -ERANGE)
        return diag_set(diag, err, "the archive in %.150s ends before position %llu", dir, (unsigned long long)pos);
    return diag_set(diag, err, "%.200s: %s", dir, strerror(-err));
}

/* Puts the segment at `first` in place of the present one. */
static int switch_to(struct archive_reader *r, uint64_t first)
{
    int old = r->file.fd;
    int err = segment_file_open(r->dir_fd, first, &r->file);
    if (err == 0) {
        close_fd(&old);
        r->listed = (struct timespec){0};
    }
    return err;
}

static int seek_once(struct archive_reader *r, uint64_t pos)
{
    bool any = false, is_last = false;
    uint64_t first = 0, size = 0;
    int err = find_segment(r->dir, pos, &any, &first, &is_last);
    if (err < 0)
        return err;
    if (!any) {
        segment_file_close(&r->file);
        r->pos = pos;
        return pos == 0 ? 0 : -ERANGE;
    }
    if (r->file.fd < 0 || r->file.pos != first)
        err = switch_to(r, first);
    if (err == 0)
        err = segment_file_size(&r->file, &size);
    if (err < 0)
        return err;
    if (is_last && pos > first + size)
        return -ERANGE;
    r->pos = pos == 0 ? first : pos; /* what retention has removed is no damage to who starts at 0 */
    return 0;
}

int archive_reader_seek(struct archive_reader *r, uint64_t pos)
{
    int err = seek_once(r, pos);
    for (int i = 0; err == -ENOENT && i < 3; i++) /* retention took the segment between listing and opening */
        err = seek_once(r, pos);
    return err;
}

uint64_t archive_reader_damage(const struct archive_reader *r)
{
    return r->damage;
}

/* Goes on at `to`, which lies behind bytes that are lost. */
static void skip(struct archive_reader *r, uint64_t to, struct diag *diag)
{
    r->damage += to - r->pos;
    diag_set(diag, 0, "%llu bytes at position %llu in %.150s are damaged or missing", (unsigned long long)(to - r->pos),
             (unsigned long long)r->pos, r->dir);
    r->pos = to;
}

static bool folder_is_unchanged(struct archive_reader *r)
{
    struct stat st;
    if (fstat(r->dir_fd, &st) < 0)
        return false;
    bool same = st.st_mtim.tv_sec == r->listed.tv_sec && st.st_mtim.tv_nsec == r->listed.tv_nsec;
    r->listed = st.st_mtim;
    return same;
}

/* Reads anew: whether a record has been completed at r->pos since we last looked. Once something stands behind it, its
 * writing is over, and the answer is final. */
static bool is_whole_now(struct archive_reader *r)
{
    struct record rec;
    r->file.window_len = 0;
    return segment_file_record(&r->file, r->pos - r->file.pos, &rec) == 1;
}

/* There is no record at r->pos nor behind it in this segment of `size` bytes. 1: look again, 0: there is nothing more. */
static int leave_segment(struct archive_reader *r, uint64_t size, struct diag *diag)
{
    uint64_t end = r->file.pos + size, next;
    if (r->pos == end &&
        size > 0) { /* the ordinary way: a segment of that name says that this one has grown no further */
        int err = switch_to(r, end);
        if (err == 0 || err != -ENOENT)
            return err == 0 ? 1 : err;
    }
    if (folder_is_unchanged(r))
        return 0;
    int err = find_next_segment(r->dir, r->file.pos, &next);
    if (err <= 0)
        return err;
    uint64_t size_now;
    err = segment_file_size(&r->file, &size_now);
    if (err < 0)
        return err;
    if (size_now != size || is_whole_now(r)) { /* it grew before the next one began */
        r->listed = (struct timespec){0};
        return 1;
    }
    err = switch_to(r, next);
    if (err < 0)
        return err;
    if (next > r->pos)
        skip(r, next, diag);
    return 1;
}

/* Bytes at r->pos that are no whole record; `len` is how many where that is known. 1: look again, 0: the present end. */
static int pass_damage(struct archive_reader *r, uint64_t len, struct diag *diag)
{
    uint64_t offset = r->pos - r->file.pos, size, found;
    int err = segment_file_size(&r->file, &size);
    if (err < 0)
        return err;
    if (offset < size && (r->searched_pos != r->pos || r->searched_size != size)) {
        err = segment_file_find(&r->file, offset + MAX(len, UINT64_C(1)), &found);
        if (err == 1 && !is_whole_now(r))
            skip(r, r->file.pos + found, diag);
        if (err != 0)
            return err;
        r->searched_pos = r->pos;
        r->searched_size = size;
    }
    return leave_segment(r, size, diag);
}

/* The record at r->pos, as segment_file_record. */
static int read_here(struct archive_reader *r, struct record *ret)
{
    uint64_t offset = r->pos - r->file.pos;
    int err = segment_file_record(&r->file, offset, ret);
    if (err != -EBADMSG)
        return err;
    r->file.window_len = 0; /* the bytes in memory may be of a tail that has been cut and written anew */
    return segment_file_record(&r->file, offset, ret);
}

int archive_reader_next(struct archive_reader *r, struct archive_record *ret, struct diag *diag)
{
    if (diag)
        diag->msg[0] = '\0';
    for (;;) {
        struct record rec;
        int err = r->file.fd < 0 ? archive_reader_seek(r, r->pos) : 0;
        if (err < 0 || r->file.fd < 0)
            return err;
        if (r->pos < r->file.pos)
            skip(r, r->file.pos, diag); /* removed by retention before we came to it */
        if (r->pos < r->file.pos + SEGMENT_HEADER)
            r->pos = r->file.pos + SEGMENT_HEADER;
        err = read_here(r, &rec);
        if (err == 1) {
            *ret = (struct archive_record){r->pos, r->pos + rec.len, rec.ingested_ns, rec.batch, rec.bytes};
            r->pos = ret->next_pos;
            return 1;
        }
        if (err == 0 || err == -EBADMSG)
            err = pass_damage(r, rec.len, diag);
        if (err <= 0)
            return err;
    }
}
