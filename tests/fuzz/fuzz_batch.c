/* SPDX-License-Identifier: Apache-2.0
 *
 * Bytes as an agent may send them: checked, decompressed, trimmed. The crc is set right first, or the fuzzer would never get
 * past it. Whatever decodes must decompress within its limits and encode again to a batch with the same content.
 */
#include "common/batch.h"

#include <zlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_again(const struct batch *b, struct buf *raw)
{
    struct buf again = BUF_INIT(BATCH_MAX), raw_again = BUF_INIT(BATCH_RAW_MAX);
    struct batch c;
    if (batch_encode(b, buf_str(raw), 1, &again) < 0 || batch_decode(buf_str(&again), &c, NULL) < 0)
        abort();
    if (batch_raw(&c, &raw_again) < 0 || !str_eq(buf_str(raw), buf_str(&raw_again)))
        abort();
    struct buf rest = BUF_INIT(BATCH_MAX);
    if (batch_trim(b, b->start + (b->end - b->start) / 2, 1, &rest) == 0 && batch_decode(buf_str(&rest), &c, NULL) < 0)
        abort();
    buf_clear(&rest);
    buf_clear(&raw_again);
    buf_clear(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > BATCH_MAX)
        return 0;
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy)
        return 0;
    if (size)
        memcpy(copy, data, size);
    if (size >= 16)
        put_u32(copy + 4, (uint32_t)crc32_z(0, copy + 8, size - 8));
    struct batch b;
    struct diag diag;
    struct buf raw = BUF_INIT(BATCH_RAW_MAX);
    if (batch_decode((struct str){(const char *)copy, size}, &b, &diag) == 0 && batch_raw(&b, &raw) == 0)
        check_again(&b, &raw);
    buf_clear(&raw);
    free(copy);
    return 0;
}
