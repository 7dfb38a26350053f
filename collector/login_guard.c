/* SPDX-License-Identifier: Apache-2.0
 * See login_guard.h. */
#include "collector/login_guard.h"

#include "collector/users.h"

#include <arpa/inet.h>
#include <sodium.h>

#define ENTRIES 1024

struct entry {
    uint64_t key; /* keyed hash of address or name; 0: free */
    int64_t touched_ns;
    int64_t value_ns; /* addresses: when the bucket was last full; names: locked until */
    int64_t failures;
};

struct table {
    struct entry entries[ENTRIES];
};

struct login_guard {
    uint8_t hash_key[crypto_shorthash_KEYBYTES];
    struct table addresses, names;
};

struct login_guard *login_guard_new(void)
{
    struct login_guard *g = calloc(1, sizeof(*g));
    if (g)
        crypto_shorthash_keygen(g->hash_key);
    return g;
}

struct login_guard *login_guard_free(struct login_guard *g)
{
    free(g);
    return NULL;
}

static uint64_t key_of(const struct login_guard *g, const void *p, size_t len)
{
    uint8_t out[crypto_shorthash_BYTES];
    crypto_shorthash(out, p, len, g->hash_key);
    uint64_t key = get_u64(out);
    return key ? key : 1;
}

/* An IPv6 host owns a whole /64 and can try from any address of it. */
static uint64_t key_of_address(const struct login_guard *g, const char *address)
{
    struct in6_addr a6;
    if (inet_pton(AF_INET6, address, &a6) == 1)
        return key_of(g, &a6, 8);
    return key_of(g, address, strlen(address));
}

/* Linear: a thousand comparisons are nothing beside the hash of the password that follows. */
static struct entry *entry_of(struct table *t, uint64_t key, bool make)
{
    struct entry *oldest = &t->entries[0];
    for (size_t i = 0; i < ENTRIES; i++) {
        struct entry *e = &t->entries[i];
        if (e->key == key)
            return e;
        if (e->touched_ns < oldest->touched_ns)
            oldest = e;
    }
    if (!make)
        return NULL;
    *oldest = (struct entry){.key = key};
    return oldest;
}

bool login_guard_admit(struct login_guard *g, const char *address, int64_t now_ns, int64_t *ret_wait_s)
{
    struct entry *e = entry_of(&g->addresses, key_of_address(g, address), true);
    e->touched_ns = now_ns;
    /* value_ns is the moment up to which tries are paid for; the bucket is full when it lies in the past. */
    int64_t paid = MAX(e->value_ns, now_ns) + LOGIN_TRY_REFILL_NS;
    int64_t over = paid - now_ns - LOGIN_TRIES_BURST * LOGIN_TRY_REFILL_NS;
    if (over > 0) {
        *ret_wait_s = over / NS_PER_S + 1;
        return false;
    }
    e->value_ns = paid;
    return true;
}

int64_t login_guard_unknown(struct login_guard *g, struct str name, int64_t now_ns, bool count)
{
    struct entry *e = entry_of(&g->names, key_of(g, name.p ? name.p : "", name.len), count);
    if (!e)
        return 0;
    if (e->value_ns && e->value_ns <= now_ns)
        e->failures = e->value_ns = 0;
    if (count && !e->value_ns) {
        e->touched_ns = now_ns;
        if (++e->failures >= USER_FAILURES_MAX)
            e->value_ns = now_ns + USER_LOCK_NS;
    }
    return e->value_ns > now_ns ? e->value_ns : 0;
}
