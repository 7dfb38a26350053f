/* SPDX-License-Identifier: Apache-2.0
 *
 * See streams.h. Two open-addressing tables with linear probing and a secret in the hash, since stream ids are chosen by
 * agents: one of streams, one that counts streams per agent. Nothing is removed from either but by building them anew.
 */
#include "collector/streams.h"

#include "collector/store.h"

#include <errno.h>
#include <sys/random.h>

#define SLOTS_MIN   1024
#define AGENT_SHARE 8

struct slot {
    uint8_t agent[ID_LEN], stream[ID_LEN];
    uint64_t end;
    int64_t seen_ns;
    bool is_used;
};

struct owner {
    uint8_t agent[ID_LEN];
    size_t streams; /* 0: free */
};

struct streams {
    struct slot *slots;
    size_t n, n_slots;
    struct owner *owners;
    size_t n_owners, n_owner_slots;
    size_t max;
    uint64_t secret[2];
};

static uint64_t mix(uint64_t a, uint64_t b)
{
    __uint128_t m = (__uint128_t)(a ^ UINT64_C(0x9e3779b97f4a7c15)) * (b | 1);
    return (uint64_t)m ^ (uint64_t)(m >> 64);
}

static size_t hash_id(const struct streams *s, const uint8_t id[static ID_LEN], uint64_t seed)
{
    return (size_t)mix(mix(get_u64(id) ^ s->secret[0], seed ^ s->secret[1]), get_u64(id + 8) ^ s->secret[1]);
}

static size_t hash_pair(const struct streams *s, const uint8_t *agent, const uint8_t *stream)
{
    return hash_id(s, stream, hash_id(s, agent, 1));
}

/* The slot of the stream, or the free one where it belongs. */
static struct slot *find(const struct streams *s, const uint8_t *agent, const uint8_t *stream)
{
    size_t i = hash_pair(s, agent, stream) & (s->n_slots - 1);
    while (s->slots[i].is_used &&
           (memcmp(s->slots[i].stream, stream, ID_LEN) != 0 || memcmp(s->slots[i].agent, agent, ID_LEN) != 0))
        i = (i + 1) & (s->n_slots - 1);
    return &s->slots[i];
}

static struct owner *find_owner(const struct streams *s, const uint8_t *agent)
{
    size_t i = hash_id(s, agent, 2) & (s->n_owner_slots - 1);
    while (s->owners[i].streams && memcmp(s->owners[i].agent, agent, ID_LEN) != 0)
        i = (i + 1) & (s->n_owner_slots - 1);
    return &s->owners[i];
}

struct streams *streams_new(size_t max)
{
    struct streams *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    s->max = max;
    s->n_slots = s->n_owner_slots = SLOTS_MIN;
    s->slots = calloc(s->n_slots, sizeof(*s->slots));
    s->owners = calloc(s->n_owner_slots, sizeof(*s->owners));
    if (!s->slots || !s->owners || getrandom(s->secret, sizeof(s->secret), 0) != sizeof(s->secret))
        return streams_free(s);
    return s;
}

struct streams *streams_free(struct streams *s)
{
    if (s) {
        free(s->slots);
        free(s->owners);
        free(s);
    }
    return NULL;
}

size_t streams_count(const struct streams *s)
{
    return s->n;
}

enum stream_verdict streams_judge(const struct streams *s, const struct batch *b, uint64_t *ret_stored)
{
    const struct slot *slot = find(s, b->agent, b->stream);
    if (!slot->is_used)
        return STREAM_STORE;
    *ret_stored = slot->end;
    if (b->end <= slot->end)
        return STREAM_REPEAT;
    if (b->start < slot->end)
        return STREAM_OVERLAP;
    return b->start > slot->end ? STREAM_GAP : STREAM_STORE;
}

/* Builds both tables anew, with room for at least `want` streams, leaving out those not seen since then. */
static int rebuild(struct streams *s, size_t want, int64_t seen_before_ns)
{
    struct streams fresh = *s;
    fresh.n = fresh.n_owners = 0;
    for (fresh.n_slots = SLOTS_MIN; fresh.n_slots < want * 2;)
        fresh.n_slots *= 2;
    for (fresh.n_owner_slots = SLOTS_MIN; fresh.n_owner_slots < (s->n_owners + 1) * 2;)
        fresh.n_owner_slots *= 2;
    fresh.slots = calloc(fresh.n_slots, sizeof(*fresh.slots));
    fresh.owners = calloc(fresh.n_owner_slots, sizeof(*fresh.owners));
    if (!fresh.slots || !fresh.owners) {
        free(fresh.slots);
        free(fresh.owners);
        return -ENOMEM;
    }
    for (size_t i = 0; i < s->n_slots; i++) {
        const struct slot *old = &s->slots[i];
        if (!old->is_used || old->seen_ns < seen_before_ns)
            continue;
        *find(&fresh, old->agent, old->stream) = *old;
        fresh.n++;
        struct owner *o = find_owner(&fresh, old->agent);
        if (o->streams++ == 0) {
            memcpy(o->agent, old->agent, ID_LEN);
            fresh.n_owners++;
        }
    }
    free(s->slots);
    free(s->owners);
    *s = fresh;
    return 0;
}

size_t streams_forget(struct streams *s, int64_t seen_before_ns)
{
    size_t before = s->n;
    return rebuild(s, s->n, seen_before_ns) < 0 ? 0 : before - s->n; /* without memory it only forgets later */
}

/* Room for one more stream of that agent. */
static int reserve(struct streams *s, const uint8_t *agent, int64_t now_ns)
{
    if (s->n >= s->max || find_owner(s, agent)->streams >= MAX(s->max / AGENT_SHARE, 1))
        streams_forget(s, now_ns - STREAMS_KEEP_NS);
    if (s->n >= s->max)
        return -ENOSPC;
    if (find_owner(s, agent)->streams >= MAX(s->max / AGENT_SHARE, 1))
        return -EDQUOT;
    if ((s->n + 1) * 2 > s->n_slots || (s->n_owners + 1) * 2 > s->n_owner_slots)
        return rebuild(s, (s->n + 1) * 2, INT64_MIN);
    return 0;
}

int streams_reserve(struct streams *s, const struct batch *b, int64_t now_ns)
{
    return find(s, b->agent, b->stream)->is_used ? 0 : reserve(s, b->agent, now_ns);
}

int streams_advance(struct streams *s, const uint8_t agent[static ID_LEN], const uint8_t stream[static ID_LEN],
                    uint64_t end, int64_t now_ns)
{
    struct slot *slot = find(s, agent, stream);
    if (!slot->is_used) {
        int r = reserve(s, agent, now_ns);
        if (r < 0)
            return r;
        slot = find(s, agent, stream);
        memcpy(slot->agent, agent, ID_LEN);
        memcpy(slot->stream, stream, ID_LEN);
        slot->is_used = true;
        s->n++;
        struct owner *o = find_owner(s, agent);
        if (o->streams++ == 0) {
            memcpy(o->agent, agent, ID_LEN);
            s->n_owners++;
        }
    }
    slot->end = MAX(slot->end, end);
    slot->seen_ns = MAX(slot->seen_ns, now_ns);
    return 0;
}

int streams_load(struct streams *s, sqlite3 *db, struct diag *diag)
{
    const char *const sql[] = {"SELECT agent, stream, end, seen_ns FROM streams ORDER BY seen_ns"};
    sqlite3_stmt *rows = NULL;
    int r = store_prepare(db, sql, 1, &rows, diag);
    if (r < 0)
        return r;
    while ((r = store_row(rows, diag)) == 1) {
        struct str agent = store_col_blob(rows, 0), stream = store_col_blob(rows, 1);
        if (agent.len != ID_LEN || stream.len != ID_LEN)
            continue;
        r = streams_advance(s, (const uint8_t *)agent.p, (const uint8_t *)stream.p, (uint64_t)store_col_int(rows, 2),
                            store_col_int(rows, 3));
        if (r < 0) {
            diag_set(diag, r, "cannot remember streams: %s", strerror(-r));
            break;
        }
    }
    sqlite3_finalize(rows);
    return r;
}
