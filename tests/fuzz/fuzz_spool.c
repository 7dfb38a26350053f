/* SPDX-License-Identifier: Apache-2.0
 *
 * A spool file as a disk may give it back: scanning it must end, stay inside the file, and give only batches that decode,
 * each behind the one before; opening it must leave a spool that takes and gives batches.
 */
#include "agent/spool.h"
#include "agent/spool_scan.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
    if (!ok)
        abort();
}

static void scan(int fd, uint64_t size)
{
    struct buf bytes CLEANUP(buf_clear) = BUF_INIT(BATCH_MAX);
    struct batch b, again;
    uint64_t off = 0, at;
    while (spool_scan(fd, size, off, &bytes, &b, &at) > 0) {
        require(at >= off && at + bytes.len <= size && bytes.len >= BATCH_HEADER_MIN);
        require(batch_decode(buf_str(&bytes), &again, NULL) == 0);
        off = at + bytes.len;
    }
}

static void on_found(const struct batch *b, bool damaged, void *ctx)
{
    uint64_t *last = ctx;
    (void)damaged;
    require(b->seq > *last);
    *last = b->seq;
}

static void open_and_use(const char *dir)
{
    struct buf out CLEANUP(buf_clear) = BUF_INIT(BATCH_MAX);
    struct spool *sp;
    struct diag diag;
    struct str bytes;
    struct batch b = {.end = 2, .records = 1, .encoding = BATCH_TEXT};
    uint64_t last = 0;
    require(spool_open(dir, 64 * MIB, 8 * MIB, 0, on_found, &last, &sp, &diag) == 0);
    b.seq = spool_last_seq(sp) + 1;
    if (b.seq <= INT64_MAX) {
        require(batch_encode(&b, STR("x\n"), 1, &out) == 0);
        require(spool_append(sp, buf_str(&out), b.seq) == 0);
        uint64_t newest = 0;
        while (spool_in_flight(sp) < SPOOL_WINDOW_MAX && spool_read(sp, &bytes, &b) > 0)
            newest = b.seq;
        require(newest == spool_last_seq(sp) || spool_in_flight(sp) == SPOOL_WINDOW_MAX);
    }
    spool_close(sp);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char dir[64], path[128];
    int fd = memfd_create("spool", MFD_CLOEXEC);
    require(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    scan(fd, size);
    close(fd);
    snprintf(dir, sizeof(dir), "/tmp/fuzz-spool-%d", (int)getpid());
    snprintf(path, sizeof(path), "%s/%016x.spool", dir, 1);
    struct diag diag;
    struct spool *sp;
    uint64_t last = 0;
    require(spool_open(dir, MIB, MIB, 0, on_found, &last, &sp, &diag) == 0); /* makes the folder */
    spool_close(sp);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    require(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    close(fd);
    open_and_use(dir);
    unlink(path);
    spool_open(dir, MIB, MIB, 0, on_found, &last, &sp, &diag);
    spool_close(sp);
    rmdir(dir);
    return 0;
}
