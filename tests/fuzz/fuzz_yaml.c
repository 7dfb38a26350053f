/* SPDX-License-Identifier: Apache-2.0
 *
 * The YAML tree of any bytes: within its limits, and safe to walk as its readers do.
 */
#include "common/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
    if (!ok)
        abort();
}

static size_t walk(const struct yaml *y, int depth)
{
    size_t count = 1;
    int64_t i;
    bool b;
    require(depth <= YAML_DEPTH_MAX && y->line >= 1 && y->col >= 1);
    if (y->kind == YAML_SCALAR)
        require(y->text.p[y->text.len] == '\0');
    (void)yaml_int(y, INT64_MIN, INT64_MAX, &i, NULL);
    (void)yaml_bool(y, &b, NULL);
    for (size_t k = 0; y->kind != YAML_SCALAR && k < y->n; k++) {
        if (y->kind == YAML_MAP) {
            require(y->keys[k]->kind == YAML_SCALAR);
            count += walk(y->keys[k], depth + 1);
            if (k < 100 && !memchr(y->keys[k]->text.p, '\0', y->keys[k]->text.len))
                require(yaml_get(y, y->keys[k]->text.p) == y->items[k]); /* no key hides another */
        }
        count += walk(y->items[k], depth + 1);
    }
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_new(64 * MIB);
    struct yaml **docs = NULL;
    size_t n = 0, count = 0;
    struct diag diag = {0};
    if (!arena)
        return 0;
    if (yaml_parse((struct str){(const char *)data, size}, arena, &docs, &n, &diag) == 0) {
        for (size_t i = 0; i < n; i++)
            count += docs[i] ? walk(docs[i], 1) : 1;
        require(count <= YAML_NODES_MAX);
    } else {
        require(diag.msg[0] != '\0');
    }
    arena_free(arena);
    return 0;
}
