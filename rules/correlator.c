/* SPDX-License-Identifier: Apache-2.0
 *
 * See correlator.h. Time: each hit carries the newest time of its batch up to its event, so a shard knows for each hit what the
 * watermark was when its event came, as on one thread, although the chunk was detected in parallel. Moments are decided at the end
 * of the chunk: no hit that counts can come before the watermark by then.
 */
#include "rules/correlator_impl.h"

#include <errno.h>
#include <sys/random.h>

#define AHEAD         12
#define EXPIRE_SHARES 4  /* looked at with each chunk of events that comes with a new second, ... */
#define EXPIRE_PART   16 /* ... or this part of them */

struct correlator *correlator_new(const struct ruleset *rs, const struct matcher_options *options, size_t n_shards)
{
    struct correlator *co = calloc(1, sizeof(*co));
    if (!co)
        return NULL;
    co->rs = rs;
    co->options = *options;
    co->options.lateness_ns = MAX(options->lateness_ns, 0);
    co->n_shards = MAX(MIN(n_shards, (size_t)CORRELATOR_SHARDS_MAX), (size_t)1);
    for (size_t i = 0; i < rs->n_correlations; i++)
        co->levels = MAX(co->levels, rs->correlations[i]->entry->height);
    co->newest_ns = co->next_newest_ns = co->decided_ns = co->next_decided_ns = INT64_MIN;
    co->is_idle = true;
    co->shards = calloc(co->n_shards, sizeof(*co->shards));
    bool is_good = co->shards && getentropy(co->secret, sizeof(co->secret)) == 0;
    for (size_t i = 0; is_good && i < co->n_shards; i++) {
        struct shard *s = &co->shards[i];
        s->new_begin = SIZE_MAX;
        s->without_refs = options->without_refs;
        s->out = hit_batch_new(co);
        is_good = groups_init(&s->groups, rs, &co->options, options->memory_max / co->n_shards) == 0 && s->out;
    }
    return is_good ? co : correlator_free(co);
}

struct correlator *correlator_free(struct correlator *co)
{
    for (size_t i = 0; co && co->shards && i < co->n_shards; i++) {
        groups_clear(&co->shards[i].groups);
        hit_batch_free(co->shards[i].out);
    }
    if (co)
        free(co->shards);
    free(co);
    return NULL;
}

unsigned correlator_levels(const struct correlator *co)
{
    return co->levels;
}

/* ---- a chunk ---- */

static bool is_anything_due(const struct correlator *co)
{
    for (size_t i = 0; i < co->n_batches; i++)
        for (size_t k = 0; k < co->batches[i]->n_lists; k++)
            if (co->batches[i]->lists[k].len)
                return true;
    for (size_t i = 0; i < co->n_shards; i++)
        for (size_t level = 1; level <= co->levels; level++) {
            const struct heap *h = &co->shards[i].groups.heaps[level];
            if (h->n && (h->all[0].ts_ns < co->next_decided_ns || co->next_decided_ns == INT64_MAX))
                return true;
        }
    return false;
}

void correlator_begin(struct correlator *co, struct hit_batch *const *batches, size_t n, int64_t now_ns)
{
    co->batches = batches;
    co->n_batches = n;
    for (size_t i = 0; i < n; i++)
        if (batches[i]->has_events)
            co->next_newest_ns = MAX(co->next_newest_ns, batches[i]->newest_ns);
    int64_t clock_ns = MAX(co->next_newest_ns, now_ns);
    if (clock_ns == INT64_MAX && now_ns == INT64_MAX)
        co->next_decided_ns = INT64_MAX;
    else
        co->next_decided_ns = MAX(co->decided_ns, time_minus(clock_ns, co->options.lateness_ns));
    co->is_idle = !is_anything_due(co);
    for (size_t i = 0; !co->is_idle && i < co->n_shards; i++)
        hit_batch_reset(co->shards[i].out);
}

/* Groups are met at random: what hits to come will need is fetched while this one is at work. */
struct ahead {
    size_t at, n;
    uint32_t hashes[AHEAD];
};

static void look_ahead(const struct groups *gs, const struct hit_list *list, struct ahead *a)
{
    const struct hit *h = hit_next(list, &a->at);
    size_t mask = gs->n_buckets - 1, i = a->n++;
    a->hashes[i % AHEAD] = h ? (uint32_t)h->hash : 0;
    __builtin_prefetch(&gs->buckets[a->hashes[i % AHEAD] & mask]);
    if (i < AHEAD)
        return;
    const struct group *g = gs->buckets[a->hashes[(i - AHEAD / 3) % AHEAD] & mask];
    __builtin_prefetch(g);
    g = gs->buckets[a->hashes[(i - 2 * AHEAD / 3) % AHEAD] & mask];
    if (g && g->n)
        __builtin_prefetch(g->cells + (g->n - 1) * (size_t)share_of(gs, g)->cell_size);
}

static int run_list(struct correlator *co, struct shard *s, const struct hit_list *list, int64_t newest_ns)
{
    int ret = 0;
    size_t at = 0;
    struct ahead ahead = {0};
    for (size_t i = 0; i < AHEAD && ahead.at < list->len; i++)
        look_ahead(&s->groups, list, &ahead);
    for (const struct hit *h; (h = hit_next(list, &at));) {
        look_ahead(&s->groups, list, &ahead);
        s->cause_ns = MAX(newest_ns, h->newest_ns);
        groups_set_now(&s->groups, s->cause_ns);
        int64_t late_ns = MAX(co->decided_ns, time_minus(s->cause_ns, co->options.lateness_ns));
        int err = correlate_hit(s, h, late_ns);
        ret = err < 0 ? err : ret;
    }
    return ret;
}

int correlator_run(struct correlator *co, size_t shard, unsigned level, match_fn on_match, void *ctx)
{
    struct shard *s = &co->shards[shard];
    size_t list = (level - 1) * co->n_shards + shard;
    int64_t newest_ns = co->newest_ns;
    int ret = 0;
    if (co->is_idle)
        return 0;
    s->groups.floor_ns = co->decided_ns;
    s->fn = on_match;
    s->ctx = ctx;
    for (size_t i = 0; i < co->n_batches; i++) {
        int err = run_list(co, s, &co->batches[i]->lists[list], newest_ns);
        ret = err < 0 ? err : ret;
        newest_ns = co->batches[i]->has_events ? MAX(newest_ns, co->batches[i]->newest_ns) : newest_ns;
    }
    for (size_t i = 0; i < co->n_shards && level > 1; i++) {
        int err = run_list(co, s, &co->shards[i].out->lists[list], INT64_MIN);
        ret = err < 0 ? err : ret;
    }
    int err = correlate_decide(s, level, co->next_decided_ns);
    if (level == co->levels)
        groups_trim(&s->groups);
    return err < 0 ? err : ret;
}

void correlator_end(struct correlator *co)
{
    for (size_t i = 0; i < co->n_shards && co->next_newest_ns / NS_PER_S != co->newest_ns / NS_PER_S; i++) {
        struct groups *gs = &co->shards[i].groups;
        groups_set_now(gs, co->next_newest_ns);
        groups_expire(gs, MAX(EXPIRE_SHARES, gs->n_shares / EXPIRE_PART));
    }
    co->newest_ns = co->next_newest_ns;
    co->decided_ns = co->next_decided_ns;
    co->batches = NULL;
    co->n_batches = 0;
}

void correlator_stats(const struct correlator *co, struct matcher_stats *ret)
{
    for (size_t i = 0; i < co->n_shards; i++) {
        const struct shard *s = &co->shards[i];
        ret->groups += s->groups.n;
        ret->group_bytes += groups_bytes(&s->groups);
        ret->evicted += s->groups.evicted;
        ret->evicted_live += s->groups.evicted_live;
        ret->dropped_hits += s->groups.dropped;
        ret->correlation_hits += s->triggers;
        ret->late_hits += s->late;
    }
}

/* ---- another rule set ---- */

int correlator_adopt(struct correlator *co, struct correlator *from)
{
    if (co->n_shards != from->n_shards || co->options.lateness_ns != from->options.lateness_ns)
        return -EINVAL;
    bool *is_found = calloc(co->rs->n_correlations + 1, sizeof(*is_found));
    if (!is_found)
        return -ENOMEM;
    for (size_t i = 0; i < co->n_shards; i++) {
        memset(is_found, 0, co->rs->n_correlations * sizeof(*is_found));
        groups_adopt(&co->shards[i].groups, &from->shards[i].groups, is_found);
    }
    memcpy(co->secret, from->secret, sizeof(co->secret));
    co->newest_ns = co->next_newest_ns = from->newest_ns;
    co->decided_ns = co->next_decided_ns = from->decided_ns;
    int missing = 0;
    for (size_t i = 0; i < co->rs->n_correlations; i++)
        missing += !is_found[i];
    free(is_found);
    return missing;
}
