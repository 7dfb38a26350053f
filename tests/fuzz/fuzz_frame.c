/* SPDX-License-Identifier: Apache-2.0
 *
 * A connection's bytes: frame after frame, as the read loops of agent and collector take them. There is one way to say a
 * thing, so whatever decodes must encode to the same bytes.
 */
#include "common/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str bytes = {(const char *)data, size};
    struct buf again = BUF_INIT(FRAME_MAX);
    for (;;) {
        ssize_t need = frame_need(bytes);
        if (need <= 0 || (size_t)need > bytes.len)
            break;
        struct str one = {bytes.p, (size_t)need};
        struct frame f;
        struct diag diag;
        if (frame_decode(one, &f, &diag) < 0)
            break;
        buf_reset(&again);
        if (frame_encode(&f, &again) < 0 || !str_eq(one, buf_str(&again)))
            abort();
        bytes.p += need;
        bytes.len -= (size_t)need;
    }
    buf_clear(&again);
    return 0;
}
