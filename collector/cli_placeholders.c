/* SPDX-License-Identifier: Apache-2.0
 *
 * See cli_placeholders.h.
 */
#include "collector/cli_placeholders.h"

#include "collector/cli.h"
#include "common/file.h"

#include <errno.h>

static int check_values(const char *path, const struct yaml *values)
{
    size_t n = values->kind == YAML_LIST ? values->n : 1;
    for (size_t i = 0; i < n; i++) {
        const struct yaml *v = values->kind == YAML_LIST ? values->items[i] : values;
        if (v->kind == YAML_SCALAR)
            continue;
        cli_fail("%s:%d:%d: a placeholder's value is a text or a list of texts", path, v->line, v->col);
        return -EINVAL;
    }
    return 0;
}

int cli_placeholders(const char *path, struct arena *arena, const struct yaml **ret)
{
    CLEANUP(buf_clear) struct buf text = BUF_INIT(YAML_BYTES_MAX);
    struct diag diag = {0};
    struct yaml **docs;
    size_t n;
    int err = file_read(path, &text);
    if (err < 0) {
        cli_fail("%s: %s", path, strerror(-err));
        return err;
    }
    err = yaml_parse(buf_str(&text), arena, &docs, &n, &diag);
    if (err < 0) {
        cli_fail("%s:%d:%d: %s", path, diag.line, diag.col, diag.msg);
        return err;
    }
    if (n != 1 || !docs[0] || docs[0]->kind != YAML_MAP) {
        cli_fail("%s: must be one map of names to values", path);
        return -EINVAL;
    }
    for (size_t i = 0; err == 0 && i < docs[0]->n; i++)
        err = check_values(path, docs[0]->items[i]);
    if (err == 0)
        *ret = docs[0];
    return err;
}

int cli_placeholders_join(const struct yaml *first, const struct yaml *second, struct arena *arena,
                          const struct yaml **ret)
{
    const struct yaml *const maps[] = {first, second};
    struct yaml *both = arena_alloc(arena, sizeof(*both));
    size_t n = (first ? first->n : 0) + (second ? second->n : 0);
    if (!both)
        return -ENOMEM;
    both->kind = YAML_MAP;
    both->keys = arena_array(arena, n + 1, sizeof(struct yaml *));
    both->items = arena_array(arena, n + 1, sizeof(struct yaml *));
    if (!both->keys || !both->items)
        return -ENOMEM;
    for (size_t m = 0; m < ARRAY_LEN(maps); m++) {
        for (size_t i = 0; maps[m] && i < maps[m]->n; i++) {
            if (m == 1 && yaml_get(first, maps[m]->keys[i]->text.p))
                continue;
            both->keys[both->n] = maps[m]->keys[i];
            both->items[both->n++] = maps[m]->items[i];
        }
    }
    *ret = both;
    return 0;
}
