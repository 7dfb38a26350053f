/* SPDX-License-Identifier: Apache-2.0
 *
 * gen_authlog LINES [SEED]: auth.log lines on stdout, to fill a followed file with.
 */
#include "tests/bench/gen.h"

#include <errno.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    uint64_t lines = 0, seed = 1;
    if (argc < 2 || argc > 3 || parse_u64(str_of(argv[1]), 0, UINT64_MAX, &lines) < 0 ||
        (argc == 3 && parse_u64(str_of(argv[2]), 0, UINT64_MAX, &seed) < 0)) {
        fprintf(stderr, "usage: gen_authlog LINES [SEED]\n");
        return 2;
    }
    struct gen g;
    gen_init(&g, seed);
    for (uint64_t i = 0; i < lines; i++) {
        char line[GEN_LINE_MAX];
        size_t n = gen_line(&g, line);
        if (fwrite(line, 1, n, stdout) != n)
            break;
    }
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "gen_authlog: %s\n", strerror(errno));
        return 1;
    }
    return 0;
}
