/* SPDX-License-Identifier: Apache-2.0 */
#include "rules/texts.h"

#include <errno.h>

uint32_t text_hash(struct str text)
{
    uint64_t h = text.len * UINT64_C(0x9e3779b97f4a7c15);
    size_t i = 0;
    for (; i + 8 <= text.len; i += 8) {
        uint64_t word;
        memcpy(&word, text.p + i, 8);
        h = (h ^ word) * UINT64_C(0xff51afd7ed558ccd);
        h ^= h >> 32;
    }
    if (i < text.len) {
        uint64_t word = 0;
        memcpy(&word, text.p + i, text.len - i);
        h = (h ^ word) * UINT64_C(0xff51afd7ed558ccd);
        h ^= h >> 32;
    }
    return (uint32_t)(h ^ h >> 29);
}

int text_table_init(struct text_table *t, size_t n, struct arena *arena)
{
    size_t slots = 8;
    while (slots < 2 * n)
        slots *= 2;
    *t = (struct text_table){arena_array(arena, slots, sizeof(*t->slots)), (uint32_t)(slots - 1)};
    return t->slots ? 0 : -ENOMEM;
}

static struct text_slot *find_slot(const struct text_table *t, struct str text, uint32_t hash)
{
    uint32_t i = hash;
    while (t->slots[i & t->mask].text.p &&
           !(t->slots[i & t->mask].hash == hash && str_eq(t->slots[i & t->mask].text, text)))
        i++;
    return &t->slots[i & t->mask];
}

void text_table_put(struct text_table *t, struct str text, uint32_t value)
{
    uint32_t hash = text_hash(text);
    struct str kept = {text.p ? text.p : "", text.len};
    *find_slot(t, text, hash) = (struct text_slot){kept, hash, value};
}

uint32_t text_table_find(const struct text_table *t, struct str text)
{
    const struct text_slot *s = find_slot(t, text, text_hash(text));
    return s->text.p ? s->value : TEXT_UNKNOWN;
}

int network_trie_init(struct network_trie *t, size_t n, struct arena *arena)
{
    *t = (struct network_trie){.cap = (uint32_t)(n * 128 + 1), .n = 1};
    t->nodes = arena_array(arena, t->cap, sizeof(*t->nodes));
    if (!t->nodes)
        return -ENOMEM;
    for (uint32_t i = 0; i < t->cap; i++)
        t->nodes[i].value = TEXT_UNKNOWN;
    return 0;
}

static unsigned bit_of(const uint8_t *address, unsigned i)
{
    return address[i / 8] >> (7 - i % 8) & 1;
}

void network_trie_put(struct network_trie *t, const struct cidr *network, uint32_t value)
{
    uint32_t node = 0;
    for (unsigned i = 0; i < network->bits; i++) {
        uint32_t *child = &t->nodes[node].child[bit_of(network->addr, i)];
        if (!*child)
            *child = t->n++;
        node = *child;
    }
    t->nodes[node].value = value;
}

size_t network_trie_find(const struct network_trie *t, const uint8_t address[static 16], uint32_t ret[static 129])
{
    size_t n = 0;
    uint32_t node = 0;
    for (unsigned i = 0;; i++) {
        if (t->nodes[node].value != TEXT_UNKNOWN)
            ret[n++] = t->nodes[node].value;
        if (i == 128 || !t->nodes[node].child[bit_of(address, i)])
            return n;
        node = t->nodes[node].child[bit_of(address, i)];
    }
}
