/* SPDX-License-Identifier: Apache-2.0
 *
 * Small tables of what values are compared with as a whole: texts by hash, and networks as a trie of address bits. Built once
 * in an arena, then only read, by any number of threads.
 */
#pragma once

#include "common/arena.h"
#include "rules/needle.h"

#define TEXT_UNKNOWN UINT32_MAX

struct text_table {
    struct text_slot {
        struct str text; /* p NULL: free */
        uint32_t hash, value;
    } * slots;
    uint32_t mask;
};

uint32_t text_hash(struct str text);

int text_table_init(struct text_table *t, size_t n, struct arena *arena);   /* room for n texts. 0 or -ENOMEM */
void text_table_put(struct text_table *t, struct str text, uint32_t value); /* borrows a text that is not yet there */
uint32_t text_table_find(const struct text_table *t, struct str text);      /* TEXT_UNKNOWN where there is none */

struct network_trie {
    struct network_node {
        uint32_t child[2]; /* 0: none */
        uint32_t value;    /* of the network that ends here, or TEXT_UNKNOWN */
    } * nodes;
    uint32_t n, cap;
};

int network_trie_init(struct network_trie *t, size_t n, struct arena *arena); /* room for n networks. 0 or -ENOMEM */
void network_trie_put(struct network_trie *t, const struct cidr *network, uint32_t value);

/* The values of all networks that the address (IPv4 as ::ffff:a.b.c.d) lies in, at most 129. Returns how many. */
size_t network_trie_find(const struct network_trie *t, const uint8_t address[static 16], uint32_t ret[static 129]);
