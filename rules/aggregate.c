/* SPDX-License-Identifier: Apache-2.0
 *
 * See aggregate.h. Sums are exact (fixed.h), so they do not depend on what was added and taken away before. Values that count as
 * equal have equal 64-bit hashes under a secret key: that two others share one by chance is below 10^-9 for a window of 100,000.
 */
#include "rules/aggregate.h"

#include <errno.h>

#define MAP_MIN   64
#define SMALL_MAX 64

static uint64_t value_at(const struct groups *gs, const struct group *g, size_t i)
{
    return *cell_extra(cell_at(gs, g, i));
}

static double number_at(const struct groups *gs, const struct group *g, size_t i)
{
    double d;
    memcpy(&d, cell_extra(cell_at(gs, g, i)), sizeof(d));
    return d;
}

bool bounds_hold(const struct correlation *c, fixed value, fixed divisor)
{
    for (size_t i = 0; i < c->n_bounds; i++) {
        fixed bound = c->bounds[i].value * divisor;
        bool holds = false;
        switch (c->bounds[i].op) {
        case BOUND_LT:
            holds = value < bound;
            break;
        case BOUND_LTE:
            holds = value <= bound;
            break;
        case BOUND_GT:
            holds = value > bound;
            break;
        case BOUND_GTE:
            holds = value >= bound;
            break;
        case BOUND_EQ:
            holds = value == bound;
            break;
        case BOUND_NEQ:
            holds = value != bound;
            break;
        case BOUND_OPS:
            break;
        }
        if (!holds)
            return false;
    }
    return true;
}

/* ---- value_count: hashes ---- */

static size_t map_find(const struct window *w, uint64_t hash)
{
    size_t i = (size_t)hash & (w->cap - 1);
    while (w->items[i].count && w->items[i].hash != hash)
        i = (i + 1) & (w->cap - 1);
    return i;
}

static int map_grow(struct groups *gs, const struct group *g, struct window *w)
{
    if (2 * w->n < w->cap)
        return 0;
    struct counted *old = w->items;
    uint32_t cap = w->cap;
    struct counted *items = group_alloc(gs, g, MAX(2 * cap, MAP_MIN) * sizeof(*items));
    if (!items)
        return -ENOMEM;
    w->items = items;
    w->cap = MAX(2 * cap, MAP_MIN);
    memset(items, 0, w->cap * sizeof(*items));
    for (size_t i = 0; i < cap; i++)
        if (old[i].count)
            items[map_find(w, old[i].hash)] = old[i];
    group_release(gs, g, old, cap * sizeof(*old));
    return 0;
}

static int map_add(struct groups *gs, const struct group *g, struct window *w, uint64_t hash)
{
    if (map_grow(gs, g, w) < 0)
        return -ENOMEM;
    size_t i = map_find(w, hash);
    w->n += w->items[i].count++ == 0;
    w->items[i].hash = hash;
    return 0;
}

static void map_remove(struct window *w, uint64_t hash)
{
    size_t hole = map_find(w, hash), mask = w->cap - 1;
    if (--w->items[hole].count)
        return;
    w->n--;
    for (size_t i = (hole + 1) & mask; w->items[i].count; i = (i + 1) & mask) { /* what had to step aside moves back */
        if (((i - (size_t)w->items[i].hash) & mask) < ((i - hole) & mask))
            continue;
        w->items[hole] = w->items[i];
        w->items[i].count = 0;
        hole = i;
    }
}

/* ---- value_percentile: sorted values ---- */

static size_t sorted_find(const struct window *w, double d)
{
    size_t lo = 0, hi = w->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (w->items[mid].value < d)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static int sorted_add(struct groups *gs, const struct group *g, struct window *w, double d, uint32_t count)
{
    size_t at = sorted_find(w, d);
    if (at < w->n && w->items[at].value <= d) {
        w->items[at].count += count;
        return 0;
    }
    if (group_grow(gs, g, &w->items, &w->cap, w->n, sizeof(*w->items)) < 0)
        return -ENOMEM;
    memmove(w->items + at + 1, w->items + at, (w->n - at) * sizeof(*w->items));
    w->items[at].value = d;
    w->items[at].count = count;
    w->n++;
    return 0;
}

static void sorted_remove(struct window *w, double d, uint32_t count)
{
    size_t at = sorted_find(w, d);
    w->items[at].count -= count;
    if (w->items[at].count)
        return;
    w->n--;
    memmove(w->items + at, w->items + at + 1, (w->n - at) * sizeof(*w->items));
}

static fixed nth(const struct counted *items, size_t n, uint64_t weight, uint64_t rank)
{
    size_t i = 0;
    if (weight == n)
        return fixed_of_double(items[rank].value);
    for (; i + 1 < n && rank >= items[i].count; i++)
        rank -= items[i].count;
    return fixed_of_double(items[i].value);
}

static bool percentile_holds(const struct correlation *c, const struct counted *items, size_t n, uint64_t weight)
{
    uint64_t rank = c->percentile * (weight - 1);
    fixed low = nth(items, n, weight, rank / 100);
    if (rank % 100 == 0)
        return bounds_hold(c, low, 1);
    fixed high = nth(items, n, weight, rank / 100 + 1);
    return bounds_hold(c, 100 * low + (fixed)(rank % 100) * (high - low), 100);
}

/* ---- a window that moves ---- */

int aggregate_add(struct groups *gs, const struct group *g, struct window *w, size_t i)
{
    enum correlation_type type = share_of(gs, g)->c->type;
    uint32_t count = cell_count(cell_at(gs, g, i));
    if (type == CORRELATION_VALUE_COUNT)
        return map_add(gs, g, w, value_at(gs, g, i));
    if (type == CORRELATION_VALUE_PERCENTILE && sorted_add(gs, g, w, number_at(gs, g, i), count) < 0)
        return -ENOMEM;
    w->weight += count;
    w->sum += fixed_of_double(number_at(gs, g, i)) * count;
    return 0;
}

void aggregate_remove(struct groups *gs, const struct group *g, struct window *w, size_t i)
{
    enum correlation_type type = share_of(gs, g)->c->type;
    uint32_t count = cell_count(cell_at(gs, g, i));
    if (type == CORRELATION_VALUE_COUNT) {
        map_remove(w, value_at(gs, g, i));
        return;
    }
    if (type == CORRELATION_VALUE_PERCENTILE)
        sorted_remove(w, number_at(gs, g, i), count);
    w->weight -= count;
    w->sum -= fixed_of_double(number_at(gs, g, i)) * count;
}

static bool sums_hold(const struct correlation *c, fixed sum, uint64_t weight)
{
    return bounds_hold(c, sum, c->type == CORRELATION_VALUE_AVG ? (fixed)weight : 1);
}

bool aggregate_holds(const struct correlation *c, const struct window *w)
{
    if (c->type == CORRELATION_VALUE_COUNT)
        return bounds_hold(c, (fixed)w->n * FIXED_ONE, 1);
    if (c->type == CORRELATION_VALUE_PERCENTILE)
        return percentile_holds(c, w->items, w->n, w->weight);
    return sums_hold(c, w->sum, w->weight);
}

void aggregate_reset(struct window *w)
{
    w->sum = 0;
    w->weight = 0;
    w->n = 0;
    for (size_t i = 0; i < w->cap; i++)
        w->items[i].count = 0;
}

void aggregate_free(struct groups *gs, const struct group *g, struct window *w)
{
    group_release(gs, g, w->items, w->cap * sizeof(*w->items));
}

/* ---- a small one, looked at as it is ---- */

static bool small_values_hold(const struct groups *gs, const struct group *g, size_t first, size_t end)
{
    const struct correlation *c = share_of(gs, g)->c;
    uint32_t n = 0;
    for (size_t i = end; i-- > first && (c->is_deferred || n < c->threshold);) {
        uint64_t value = value_at(gs, g, i);
        size_t k = end;
        while (k > i + 1 && value_at(gs, g, k - 1) != value)
            k--;
        n += k == i + 1;
    }
    return c->is_deferred ? bounds_hold(c, (fixed)n * FIXED_ONE, 1) : n >= c->threshold;
}

static bool small_percentile_holds(const struct groups *gs, const struct group *g, size_t first, size_t end)
{
    struct counted items[SMALL_MAX];
    uint64_t weight = 0;
    size_t n = 0;
    for (size_t i = first; i < end; i++) {
        struct counted item = {.value = number_at(gs, g, i), .count = cell_count(cell_at(gs, g, i))};
        size_t at = n++;
        for (; at && items[at - 1].value > item.value; at--)
            items[at] = items[at - 1];
        items[at] = item;
        weight += item.count;
    }
    return percentile_holds(share_of(gs, g)->c, items, n, weight);
}

bool aggregate_small_holds(const struct groups *gs, const struct group *g, size_t first, size_t end)
{
    const struct correlation *c = share_of(gs, g)->c;
    fixed sum = 0;
    uint64_t weight = 0;
    if (c->type == CORRELATION_VALUE_COUNT)
        return small_values_hold(gs, g, first, end);
    if (c->type == CORRELATION_VALUE_PERCENTILE)
        return small_percentile_holds(gs, g, first, end);
    for (size_t i = first; i < end; i++) {
        uint32_t count = cell_count(cell_at(gs, g, i));
        sum += fixed_of_double(number_at(gs, g, i)) * count;
        weight += count;
    }
    return sums_hold(c, sum, weight);
}
