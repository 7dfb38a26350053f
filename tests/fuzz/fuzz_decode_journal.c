/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a journal entry.
 */
#include "tests/fuzz/decode_target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct decode_input in = decoders_fixture_input((struct str){(const char *)data, size});
    in.encoding = BATCH_JOURNAL;
    decode_target_run(&in);
    return 0;
}
