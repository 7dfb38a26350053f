/* SPDX-License-Identifier: Apache-2.0
 *
 * A segment's bytes as a damaged disk or a hostile hand may leave them: read, verified, recovered, appended to, read again.
 * What a reader saw whole must still be there after recovery, unless open cut it; what is appended must be read. The first
 * byte of the input says whether the records' crcs are made right first.
 */
#include "collector/archive_format.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <zlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUT_MAX (64 * KIB)

static char dir[64]; /* one folder a process: made once, emptied for every input */

/* Walks as a writer would have written and sets what sums there are; the fuzzer could not guess them. */
static void mend(uint8_t *p, size_t size)
{
    if (size >= SEGMENT_HEADER)
        put_u32(p + 60, (uint32_t)crc32_z(0, p, 60));
    for (size_t at = SEGMENT_HEADER; size > at && size - at > RECORD_PEEK;) {
        uint8_t *rec = p + at, *batch = rec + RECORD_HEADER;
        size_t len = batch_peek_len(batch);
        if (len == 0 || len > size - at - RECORD_HEADER)
            return;
        put_u32(batch + 4, (uint32_t)crc32_z(0, batch + 8, len - 8));
        record_header_put(rec, at, (uint32_t)len, (int64_t)get_u64(rec + 8), get_u64(rec + 16), batch);
        at += RECORD_HEADER + len;
    }
}

static void put_file(const char *path, const uint8_t *p, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, p, size) != (ssize_t)size)
        abort();
    close(fd);
}

/* Reads to the end; every record must lie behind the one before. Gives how many there were and the last one's sequence. */
static size_t read_all(uint64_t pos, uint64_t *ret_last_seq)
{
    struct archive_reader *r = NULL;
    struct archive_record rec;
    struct diag diag;
    size_t n = 0;
    if (archive_reader_open(dir, pos, &r, &diag) < 0)
        return 0;
    uint64_t next = pos;
    while (archive_reader_next(r, &rec, &diag) == 1) {
        if (rec.pos < next || rec.next_pos <= rec.pos)
            abort();
        next = rec.next_pos;
        *ret_last_seq = rec.batch.seq;
        n++;
    }
    archive_reader_close(r);
    return n;
}

static void append_one(struct archive *a, uint64_t seq)
{
    struct buf out = BUF_INIT(4096);
    struct batch b = {.seq = seq, .end = 2, .records = 1, .encoding = BATCH_TEXT};
    uint64_t pos;
    if (batch_encode(&b, STR("x\n"), 1, &out) < 0 || archive_append(a, buf_str(&out), 1, &pos) < 0)
        abort();
    buf_clear(&out);
}

static void exercise(uint64_t pos)
{
    struct archive *a = NULL;
    struct archive_totals totals;
    struct diag diag;
    uint64_t last = 0;
    size_t before = read_all(0, &last);
    read_all(pos, &last);
    archive_verify(dir, NULL, NULL, &totals, &diag);
    if (archive_open(dir, INPUT_MAX / 2, &a, &diag) < 0)
        return;
    uint64_t cut = archive_cut_bytes(a);
    append_one(a, 12345);
    archive_close(a);
    size_t after = read_all(0, &last);
    if (last != 12345 || (cut == 0 && after != before + 1))
        abort();
    archive_verify(dir, NULL, NULL, &totals, &diag);
}

static void empty_folder(void)
{
    DIR *d = opendir(dir);
    if (!d)
        abort();
    for (struct dirent *e; (e = readdir(d));)
        unlinkat(dirfd(d), e->d_name, 0); /* "." and ".." only fail */
    closedir(d);
}

static void remove_folder(void)
{
    empty_folder();
    rmdir(dir);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[128];
    if (size < 3 || size > INPUT_MAX)
        return 0;
    if (!dir[0]) {
        snprintf(dir, sizeof(dir), "%s/vonggac-fuzz-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
        if (!mkdtemp(dir) || atexit(remove_folder) != 0)
            abort();
    }
    uint8_t *copy = malloc(size);
    if (!copy)
        return 0;
    memcpy(copy, data, size);
    if (data[0] & 1)
        mend(copy + 3, size - 3);
    snprintf(path, sizeof(path), "%s/0000000000000000.vga", dir);
    put_file(path, copy + 3, size - 3);
    exercise(get_u16(data + 1));
    empty_folder();
    free(copy);
    return 0;
}
