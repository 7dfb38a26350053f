/* SPDX-License-Identifier: Apache-2.0
 *
 * A segment's bytes: header, records, and the search behind damage. Each step must move forward.
 */
#include "collector/archive_format.h"

#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct window window;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!window.data) {
        window.fd = memfd_create("segment", MFD_CLOEXEC);
        window.data = malloc(WINDOW_CAP);
        if (window.fd < 0 || !window.data)
            abort();
    }
    if (ftruncate(window.fd, 0) < 0 || pwrite(window.fd, data, size, 0) != (ssize_t)size)
        abort();
    window.len = 0;
    struct segment_header header;
    if (size >= SEGMENT_HEADER)
        (void)segment_header_decode(data, &header);
    for (uint64_t off = 0; off < size;) {
        struct archive_record record;
        size_t len;
        int state = record_at(&window, off, &record, &len);
        if (state == RECORD_OK) {
            off += len;
            continue;
        }
        uint64_t next;
        if (state < 0 || record_resync(&window, off, &next) < 0)
            break;
        if (next <= off)
            abort();
        off = next;
    }
    return 0;
}
