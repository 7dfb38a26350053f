/* SPDX-License-Identifier: Apache-2.0
 *
 * The positions file. Its last line vouches for the rest by a crc, so the fuzzer's bytes are the body and a fitting last
 * line is added here. What is accepted must be printed and read back the same.
 */
#include "agent/registry.h"

#include <zlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
    if (!ok)
        abort();
}

static void round_trip(const struct registry *r)
{
    struct buf one CLEANUP(buf_clear) = BUF_INIT(REGISTRY_FILE_MAX),
                   two CLEANUP(buf_clear) = BUF_INIT(REGISTRY_FILE_MAX);
    struct registry *again = registry_new("x");
    struct diag diag;
    require(registry_print(r, false, &one) == 0);
    require(registry_parse(again, buf_str(&one), &diag) == 0);
    require(registry_print(again, false, &two) == 0);
    require(str_eq(buf_str(&one), buf_str(&two)));
    registry_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct diag diag;
    struct registry *r = registry_new("x");
    require(r != NULL);
    if (registry_parse(r, (struct str){(const char *)data, size}, &diag) == 0)
        round_trip(r);
    registry_free(r);

    struct buf text CLEANUP(buf_clear) = BUF_INIT(REGISTRY_FILE_MAX);
    size_t lines = 1;
    require(buf_append_z(&text, "vonggac-agent-positions 1\n") == 0 && buf_append(&text, data, size) == 0);
    if (size == 0 || data[size - 1] != '\n')
        require(buf_append_z(&text, "\n") == 0);
    for (size_t i = 26; i < text.len; i++)
        lines += text.data[i] == '\n';
    uint32_t crc = (uint32_t)crc32_z(0, text.data, text.len);
    require(buf_printf(&text, "end %zu %08x\n", lines, crc) == 0);
    r = registry_new("x");
    if (registry_parse(r, buf_str(&text), &diag) == 0)
        round_trip(r);
    registry_free(r);
    return 0;
}
