/* SPDX-License-Identifier: Apache-2.0 */
#include "rules/hit_batch.h"

#include "rules/correlator_impl.h"

#include <errno.h>

#define LIST_MIN 512

struct hit_batch *hit_batch_new(const struct correlator *co)
{
    struct hit_batch *b = calloc(1, sizeof(*b));
    if (!b)
        return NULL;
    b->co = co;
    b->n_lists = co->levels * co->n_shards;
    b->lists = calloc(b->n_lists + 1, sizeof(*b->lists));
    hit_batch_reset(b);
    return b->lists ? b : hit_batch_free(b);
}

struct hit_batch *hit_batch_free(struct hit_batch *b)
{
    for (size_t i = 0; b && b->lists && i < b->n_lists; i++)
        free(b->lists[i].data);
    if (b)
        free(b->lists);
    free(b);
    return NULL;
}

void hit_batch_reset(struct hit_batch *b)
{
    b->newest_ns = INT64_MIN;
    b->has_events = false;
    for (size_t i = 0; b->lists && i < b->n_lists; i++)
        b->lists[i].len = 0;
}

size_t hit_batch_bytes(const struct hit_batch *b)
{
    size_t bytes = 0;
    for (size_t i = 0; i < b->n_lists; i++)
        bytes += b->lists[i].len;
    return bytes;
}

static struct hit *reserve(struct hit_list *list, size_t size)
{
    if (list->cap - list->len < size) {
        size_t cap = MAX(list->cap * 2, list->len + size + LIST_MIN);
        uint8_t *data = realloc(list->data, cap);
        if (!data)
            return NULL;
        list->data = data;
        list->cap = cap;
    }
    list->len += size;
    return (struct hit *)(void *)(list->data + list->len - size);
}

static int add(struct hit_batch *to, const struct edge *edge, uint64_t value, const uint8_t *key, uint32_t len,
               size_t above_len, const struct hit *common)
{
    const struct correlator *co = to->co;
    uint64_t hash = sip_hash(co->secret, edge->to->digest, key, len);
    size_t level = edge->to->entry->height - 1U, shard = (size_t)((hash >> 32) * co->n_shards >> 32);
    struct hit *h = reserve(&to->lists[level * co->n_shards + shard], (sizeof(*h) + len + above_len + 7) & ~(size_t)7);
    if (!h)
        return -ENOMEM;
    *h = *common;
    h->edge = edge;
    h->hash = hash;
    h->value = value;
    h->key_len = len;
    h->above_len = (uint32_t)above_len;
    memcpy(h->data, key, len + above_len); /* one stands behind the other in the keys, too */
    return 0;
}

/* Where the keys of n edges end. */
static const uint8_t *keys_end(const uint8_t *keys, const struct edge *edges, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t len = get_u32(keys);
        keys += 4 + (len == KEY_MISSING ? 0 : len + (wants_value(edges[i].to) ? 8 : 0));
    }
    return keys;
}

int hit_batch_add(struct hit_batch *to, const struct edge *edges, size_t n, const uint8_t *keys,
                  const struct hit *common)
{
    int ret = 0;
    for (size_t i = 0; i < n; i += edges[i].size) {
        const uint8_t *above = keys_end(keys, edges + i, 1), *end = keys_end(above, edges + i + 1, edges[i].size - 1);
        uint32_t len = get_u32(keys);
        uint64_t value = 0;
        keys += 4;
        if (len != KEY_MISSING && wants_value(edges[i].to)) {
            value = get_u64(keys);
            keys += 8;
        }
        if (len != KEY_MISSING && add(to, &edges[i], value, keys, len, (size_t)(end - above), common) < 0)
            ret = -ENOMEM;
        keys = end;
    }
    return ret;
}

void hit_batch_fill_times(struct hit_batch *b, int64_t ts_ns)
{
    for (size_t i = 0; i < b->n_lists; i++) {
        size_t at = 0;
        for (const struct hit *h; (h = hit_next(&b->lists[i], &at)) && h->ts_ns == INT64_MIN;) {
            struct hit *own = (struct hit *)(uintptr_t)h; /* the list is b's */
            own->ts_ns = ts_ns;
            own->newest_ns = MAX(h->newest_ns, ts_ns);
        }
    }
    if (b->has_events)
        b->newest_ns = MAX(b->newest_ns, ts_ns);
}
