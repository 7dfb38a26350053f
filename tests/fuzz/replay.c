/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs a libFuzzer target over every file of the folders given, as an ordinary test: what once crashed stays fixed.
 * Fails when a folder is missing or empty, so that a lost corpus is seen. Each input is also tried cut short at a few
 * places and with single bytes flipped, which costs little and finds the simple mistakes without a fuzzer.
 */
#include "common/base.h"

#include <dirent.h>
#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void run_exact(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1); /* exact allocation: a sanitizer sees reads past the end */
    if (!copy)
        abort();
    if (size)
        memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static void run_variants(uint8_t *data, size_t size)
{
    run_exact(data, size);
    for (size_t i = 1; i <= 8; i++)
        run_exact(data, size * i / 9);
    size_t step = size / 64 + 1;
    for (size_t i = 0; i < size; i += step) {
        uint8_t old = data[i];
        data[i] = (uint8_t)(old ^ (1u << (i % 8)));
        run_exact(data, size);
        data[i] = old;
    }
}

static int run_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f) {
        perror(path);
        return -1;
    }
    static uint8_t data[4 * MIB];
    size_t size = fread(data, 1, sizeof(data), f);
    fclose(f);
    run_variants(data, size);
    return 0;
}

int main(int argc, char **argv)
{
    size_t files = 0;
    for (int i = 1; i < argc; i++) {
        DIR *dir = opendir(argv[i]);
        if (!dir) {
            perror(argv[i]);
            return 1;
        }
        for (struct dirent *e; (e = readdir(dir));) {
            if (e->d_name[0] == '.')
                continue;
            char path[4096];
            snprintf(path, sizeof(path), "%s/%s", argv[i], e->d_name);
            if (run_file(path) < 0)
                return 1;
            files++;
        }
        closedir(dir);
    }
    printf("%zu inputs replayed\n", files);
    return files ? 0 : 1;
}
