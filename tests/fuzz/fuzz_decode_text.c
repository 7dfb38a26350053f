/* SPDX-License-Identifier: Apache-2.0
 *
 * Any line through the real decoders, under every type and a few paths.
 */
#include "tests/fuzz/decode_target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void run_line(struct str line)
{
    static const struct {
        struct str type, path;
    } sources[] = {
        {{"", 0}, {"", 0}},
        {{"nginx.access", 12}, {"", 0}},
        {{"iptables.log", 12}, {"", 0}},
        {{"unheard.of", 10}, {"/var/log/apache2/access.log", 27}},
    };
    for (size_t i = 0; i < ARRAY_LEN(sources); i++) {
        struct decode_input in = decoders_fixture_input(line);
        in.type = sources[i].type;
        in.path = sources[i].path;
        decode_target_run(&in);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = {(const char *)data, size};
    while (rest.len) {
        const char *end = memchr(rest.p, '\n', rest.len);
        size_t len = end ? (size_t)(end - rest.p) : rest.len;
        run_line((struct str){rest.p, len});
        rest = (struct str){rest.p + len + (end ? 1 : 0), rest.len - len - (end ? 1 : 0)};
    }
    return 0;
}
