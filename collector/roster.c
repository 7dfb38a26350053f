/* SPDX-License-Identifier: Apache-2.0
 *
 * See roster.h. Agents are kept sorted by id (there are at most some thousands, and they are added one by one by people);
 * an agent's sources are a short list.
 */
#include "collector/roster.h"

#include "collector/store.h"

#include <errno.h>
#include <jansson.h>

#define NAME_MAX_LEN 255

struct roster {
    int64_t agent_after_ns, source_after_ns;
    roster_fn on_change;
    void *ctx;
    struct roster_agent **agents;
    size_t n, cap;
};

struct roster *roster_new(int64_t agent_after_ns, int64_t source_after_ns, roster_fn on_change, void *ctx)
{
    struct roster *r = calloc(1, sizeof(*r));
    if (r)
        *r = (struct roster){agent_after_ns, source_after_ns, on_change, ctx, NULL, 0, 0};
    return r;
}

static void agent_free(struct roster_agent *a)
{
    for (size_t i = 0; i < a->n_sources; i++)
        free(a->sources[i].name);
    free(a->sources);
    free(a->host);
    free(a->version);
    free(a->stats_json);
    free(a);
}

struct roster *roster_free(struct roster *r)
{
    if (r) {
        for (size_t i = 0; i < r->n; i++)
            agent_free(r->agents[i]);
        free(r->agents);
        free(r);
    }
    return NULL;
}

size_t roster_count(const struct roster *r)
{
    return r->n;
}

const struct roster_agent *roster_at(const struct roster *r, size_t i)
{
    return r->agents[i];
}

/* Where the id is, or where it belongs. */
static size_t place(const struct roster *r, const uint8_t *id)
{
    size_t lo = 0, hi = r->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (memcmp(r->agents[mid]->id, id, ID_LEN) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

struct roster_agent *roster_find(const struct roster *r, const uint8_t id[static ID_LEN])
{
    size_t i = place(r, id);
    return i < r->n && memcmp(r->agents[i]->id, id, ID_LEN) == 0 ? r->agents[i] : NULL;
}

int roster_add(struct roster *r, const uint8_t id[static ID_LEN], struct roster_agent **ret)
{
    size_t i = place(r, id);
    if (i < r->n && memcmp(r->agents[i]->id, id, ID_LEN) == 0) {
        *ret = r->agents[i];
        return 0;
    }
    if (r->n == r->cap) {
        size_t cap = r->cap ? r->cap * 2 : 64;
        struct roster_agent **grown = reallocarray(r->agents, cap, sizeof(struct roster_agent *));
        if (!grown)
            return -ENOMEM;
        r->agents = grown;
        r->cap = cap;
    }
    struct roster_agent *a = calloc(1, sizeof(*a));
    if (!a)
        return -ENOMEM;
    memcpy(a->id, id, ID_LEN);
    id_format(id, a->id_text);
    a->host = strdup("");
    a->version = strdup("");
    a->stats_json = strdup("{}");
    if (!a->host || !a->version || !a->stats_json) {
        agent_free(a);
        return -ENOMEM;
    }
    memmove(&r->agents[i + 1], &r->agents[i], (r->n - i) * sizeof(struct roster_agent *));
    r->agents[i] = a;
    r->n++;
    *ret = a;
    return 0;
}

static int replace(char **to, struct str s)
{
    char *copy = strndup(s.p ? s.p : "", MIN(s.len, (size_t)NAME_MAX_LEN));
    if (!copy)
        return -ENOMEM;
    free(*to);
    *to = copy;
    return 0;
}

/* NULL without memory or beyond the limit. */
static struct roster_source *source_of(struct roster_agent *a, struct str name)
{
    name.len = name.p ? strnlen(name.p, MIN(name.len, (size_t)NAME_MAX_LEN)) : 0;
    for (size_t i = 0; i < a->n_sources; i++) {
        if (str_eq(str_of(a->sources[i].name), name))
            return &a->sources[i];
    }
    if (a->n_sources == ROSTER_SOURCES_MAX)
        return NULL;
    struct roster_source *grown = reallocarray(a->sources, a->n_sources + 1, sizeof(*grown));
    if (!grown)
        return NULL;
    a->sources = grown;
    grown[a->n_sources] = (struct roster_source){0};
    if (replace(&grown[a->n_sources].name, name) < 0)
        return NULL;
    return &grown[a->n_sources++];
}

static int load_agents(struct roster *r, sqlite3 *db, bool is_refresh, struct diag *diag)
{
    const char *const sql[] = {"SELECT id, host, version, stats_json, coalesce(last_seen_ns, 0),"
                               " coalesce(silent_since_ns, 0), revoked_ns IS NOT NULL FROM agents"};
    sqlite3_stmt *s = NULL;
    int e = store_prepare(db, sql, 1, &s, diag);
    if (e < 0)
        return e;
    while ((e = store_row(s, diag)) == 1) {
        uint8_t id[ID_LEN];
        if (id_parse(store_col_str(s, 0), id) < 0)
            continue;
        struct roster_agent *a = roster_find(r, id);
        bool is_known = a != NULL;
        if (!is_known && (e = roster_add(r, id, &a)) < 0)
            break;
        a->is_revoked = store_col_int(s, 6) != 0;
        if (is_known && is_refresh)
            continue;
        if (replace(&a->host, store_col_str(s, 1)) < 0 || replace(&a->version, store_col_str(s, 2)) < 0) {
            e = -ENOMEM;
            break;
        }
        struct str stats = store_col_str(s, 3);
        char *copy = strndup(stats.p, stats.len);
        if (copy) {
            free(a->stats_json);
            a->stats_json = copy;
        }
        a->last_seen_ns = store_col_int(s, 4);
        a->silent_since_ns = store_col_int(s, 5);
    }
    sqlite3_finalize(s);
    return e;
}

static int load_sources(struct roster *r, sqlite3 *db, struct diag *diag)
{
    const char *const sql[] = {"SELECT agent, source, last_ns, coalesce(silent_since_ns, 0) FROM sources"};
    sqlite3_stmt *s = NULL;
    int e = store_prepare(db, sql, 1, &s, diag);
    if (e < 0)
        return e;
    while ((e = store_row(s, diag)) == 1) {
        uint8_t id[ID_LEN];
        struct roster_agent *a = id_parse(store_col_str(s, 0), id) == 0 ? roster_find(r, id) : NULL;
        struct roster_source *source = a ? source_of(a, store_col_str(s, 1)) : NULL;
        if (source) {
            source->last_ns = store_col_int(s, 2);
            source->silent_since_ns = store_col_int(s, 3);
        }
    }
    sqlite3_finalize(s);
    return e;
}

int roster_load(struct roster *r, sqlite3 *db, struct diag *diag)
{
    int e = load_agents(r, db, false, diag);
    return e < 0 ? e : load_sources(r, db, diag);
}

int roster_refresh(struct roster *r, sqlite3 *db, struct diag *diag)
{
    return load_agents(r, db, true, diag);
}

void roster_heard(struct roster *r, struct roster_agent *a, int64_t now_ns)
{
    if (a->heard_since_ns == 0)
        a->heard_since_ns = now_ns;
    if (a->silent_since_ns) {
        int64_t last_ns = a->last_seen_ns;
        a->silent_since_ns = 0;
        a->heard_since_ns = now_ns;
        r->on_change(r->ctx, a, NULL, false, last_ns);
    }
    a->last_seen_ns = MAX(a->last_seen_ns, now_ns);
    a->is_dirty = true;
}

void roster_heard_source(struct roster *r, struct roster_agent *a, struct str name, int64_t now_ns)
{
    struct roster_source *source = source_of(a, name);
    if (!source)
        return;
    int64_t last_ns = source->last_ns;
    source->last_ns = MAX(last_ns, now_ns);
    source->is_dirty = true;
    if (source->silent_since_ns) {
        source->silent_since_ns = 0;
        r->on_change(r->ctx, a, source, false, last_ns);
    }
}

int roster_hello(struct roster_agent *a, struct str host, struct str version)
{
    a->is_dirty = true;
    int e = replace(&a->host, host);
    return e < 0 ? e : replace(&a->version, version);
}

int roster_stats(struct roster_agent *a, struct str json)
{
    if (json.len > ROSTER_STATS_MAX)
        return -EBADMSG;
    json_t *o = json_loadb(json.p ? json.p : "", json.len, JSON_REJECT_DUPLICATES, NULL);
    bool is_good = json_is_object(o) && json_object_size(o) <= ROSTER_STATS_MEMBERS;
    const char *key;
    json_t *value;
    if (is_good) {
        json_object_foreach(o, key, value) is_good = is_good && json_is_number(value);
    }
    char *text = is_good ? json_dumps(o, JSON_COMPACT) : NULL;
    json_decref(o);
    if (!is_good)
        return -EBADMSG;
    if (!text)
        return -ENOMEM;
    free(a->stats_json);
    a->stats_json = text;
    a->is_dirty = true;
    return 0;
}

static void check_sources(struct roster *r, struct roster_agent *a, int64_t now_ns, int64_t grace_from_ns)
{
    for (size_t i = 0; i < a->n_sources; i++) {
        struct roster_source *source = &a->sources[i];
        if (source->silent_since_ns || now_ns - source->last_ns <= r->source_after_ns)
            continue;
        if (now_ns - grace_from_ns <= MIN(r->agent_after_ns, r->source_after_ns))
            continue; /* it has only just come back, its lines may be on their way */
        source->silent_since_ns = now_ns;
        source->is_dirty = true;
        r->on_change(r->ctx, a, source, true, source->last_ns);
    }
}

void roster_check(struct roster *r, int64_t now_ns, int64_t started_ns)
{
    for (size_t i = 0; i < r->n; i++) {
        struct roster_agent *a = r->agents[i];
        if (a->is_revoked || a->silent_since_ns || a->last_seen_ns == 0)
            continue;
        if (now_ns - a->last_seen_ns <= r->agent_after_ns) {
            check_sources(r, a, now_ns, MAX(a->heard_since_ns, started_ns));
            continue;
        }
        if (now_ns - started_ns <= r->agent_after_ns)
            continue;
        a->silent_since_ns = now_ns;
        a->is_dirty = true;
        r->on_change(r->ctx, a, NULL, true, a->last_seen_ns);
    }
}

enum { SAVE_AGENT, SAVE_SOURCE, N_SAVE };
static const char *const save_sql[N_SAVE] = {
    [SAVE_AGENT] = "UPDATE agents SET host = ?, version = ?, stats_json = ?, last_seen_ns = nullif(?, 0),"
                   " silent_since_ns = nullif(?, 0) WHERE id = ?",
    [SAVE_SOURCE] = "INSERT INTO sources (agent, source, last_ns, silent_since_ns) VALUES (?, ?, ?, nullif(?, 0))"
                    " ON CONFLICT (agent, source) DO UPDATE SET last_ns = excluded.last_ns,"
                    " silent_since_ns = excluded.silent_since_ns",
};

static int save_agent(const struct roster_agent *a, sqlite3_stmt **s, struct diag *diag)
{
    int e = 0;
    if (a->is_dirty) {
        store_bind_z(s[SAVE_AGENT], 1, a->host);
        store_bind_z(s[SAVE_AGENT], 2, a->version);
        store_bind_z(s[SAVE_AGENT], 3, a->stats_json);
        store_bind_int(s[SAVE_AGENT], 4, a->last_seen_ns);
        store_bind_int(s[SAVE_AGENT], 5, a->silent_since_ns);
        store_bind_z(s[SAVE_AGENT], 6, a->id_text);
        e = store_run(s[SAVE_AGENT], diag);
    }
    for (size_t i = 0; e == 0 && i < a->n_sources; i++) {
        const struct roster_source *source = &a->sources[i];
        if (!source->is_dirty)
            continue;
        store_bind_z(s[SAVE_SOURCE], 1, a->id_text);
        store_bind_z(s[SAVE_SOURCE], 2, source->name);
        store_bind_int(s[SAVE_SOURCE], 3, source->last_ns);
        store_bind_int(s[SAVE_SOURCE], 4, source->silent_since_ns);
        e = store_run(s[SAVE_SOURCE], diag);
    }
    return e;
}

int roster_save(struct roster *r, sqlite3 *db, struct diag *diag)
{
    sqlite3_stmt *s[N_SAVE];
    int e = store_prepare(db, save_sql, N_SAVE, s, diag);
    if (e < 0)
        return e;
    e = store_begin(db, diag);
    for (size_t i = 0; e == 0 && i < r->n; i++)
        e = save_agent(r->agents[i], s, diag);
    if (e == 0)
        e = store_commit(db, diag);
    if (e < 0)
        store_rollback(db);
    store_finalize(s, N_SAVE);
    for (size_t i = 0; e == 0 && i < r->n; i++) {
        r->agents[i]->is_dirty = false;
        for (size_t k = 0; k < r->agents[i]->n_sources; k++)
            r->agents[i]->sources[k].is_dirty = false;
    }
    return e;
}
