/* SPDX-License-Identifier: Apache-2.0
 *
 * A small intrusive hash from a 64-bit key to nodes that live inside their owners' structs. Several nodes may share a
 * key: the caller walks them and compares what matters. The number of buckets is fixed at init; who puts nodes in
 * bounds how many there are.
 */
#pragma once

#include "common/base.h"

#include <errno.h>

struct hash_node {
    struct hash_node *next;
    uint64_t key;
};

struct hash {
    struct hash_node **buckets;
    size_t mask, n;
};

#define HASH_OWNER(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

static inline uint64_t hash_mix(uint64_t x) /* the finaliser of SplitMix64 */
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static inline uint64_t hash_z(const char *z) /* FNV-1a */
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (; *z; z++)
        h = (h ^ (uint8_t)*z) * UINT64_C(0x100000001b3);
    return h;
}

static inline int hash_init(struct hash *h, size_t buckets_pow2)
{
    h->buckets = calloc(buckets_pow2, sizeof(h->buckets[0]));
    h->mask = buckets_pow2 - 1;
    h->n = 0;
    return h->buckets ? 0 : -ENOMEM;
}

static inline void hash_clear(struct hash *h) /* the nodes belong to others */
{
    free(h->buckets);
    h->buckets = NULL;
}

static inline struct hash_node **hash_bucket(const struct hash *h, uint64_t key)
{
    return &h->buckets[hash_mix(key) & h->mask];
}

static inline void hash_put(struct hash *h, struct hash_node *node, uint64_t key)
{
    struct hash_node **b = hash_bucket(h, key);
    node->key = key;
    node->next = *b;
    *b = node;
    h->n++;
}

static inline void hash_del(struct hash *h, struct hash_node *node) /* fine when it is not in */
{
    for (struct hash_node **p = hash_bucket(h, node->key); *p; p = &(*p)->next) {
        if (*p == node) {
            *p = node->next;
            h->n--;
            return;
        }
    }
}

static inline struct hash_node *hash_same(struct hash_node *node, uint64_t key)
{
    while (node && node->key != key)
        node = node->next;
    return node;
}

static inline struct hash_node *hash_find(const struct hash *h, uint64_t key)
{
    return hash_same(*hash_bucket(h, key), key);
}

static inline struct hash_node *hash_find_next(const struct hash_node *node)
{
    return hash_same(node->next, node->key);
}
