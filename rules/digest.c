/* SPDX-License-Identifier: Apache-2.0
 *
 * FNV-1a over what rules say, to find the same rule in another rule set. Rules are written by people we trust: no attacker
 * chooses them to collide.
 */
#include "rules/plan.h"

static uint64_t add(uint64_t digest, const void *p, size_t len)
{
    const uint8_t *bytes = p;
    for (size_t i = 0; i < len; i++)
        digest = (digest ^ bytes[i]) * UINT64_C(0x100000001b3);
    return digest;
}

uint64_t digest_bytes(uint64_t digest, struct str s)
{
    digest = add(digest ^ UINT64_C(0xcbf29ce484222325), &s.len, sizeof(s.len));
    return add(digest, s.p, s.len);
}

/* The parser bounds the depth. */
uint64_t digest_yaml(uint64_t digest, const struct yaml *y)
{
    if (!y)
        return digest_bytes(digest, STR("absent"));
    uint8_t head[2] = {(uint8_t)y->kind, y->is_quoted};
    digest = digest_bytes(add(digest, head, sizeof(head)), y->kind == YAML_SCALAR ? y->text : (struct str){0});
    for (size_t i = 0; y->kind != YAML_SCALAR && i < y->n; i++) {
        if (y->kind == YAML_MAP)
            digest = digest_yaml(digest, y->keys[i]);
        digest = digest_yaml(digest, y->items[i]);
    }
    return add(digest, &y->n, sizeof(y->n));
}
