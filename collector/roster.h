/* SPDX-License-Identifier: Apache-2.0
 *
 * The agents and their log sources as the main thread knows them: who was heard when, and who has gone silent. It owns
 * the columns last_seen_ns, silent_since_ns, host, version and stats_json of `agents`, and the table `sources`; they are
 * written together every few seconds, never on the way of a batch. Losing the last seconds of them costs nothing.
 *
 * Silence is found once: a report when it begins, a report when it ends. An agent that is silent explains its sources'
 * silence, so those are not reported. After a start everybody gets a moment to come back before being called silent.
 */
#pragma once

#include "common/batch.h"

#include <sqlite3.h>

#define ROSTER_SOURCES_MAX   256 /* an agent; further ones are not watched */
#define ROSTER_STATS_MAX     (16 * KIB)
#define ROSTER_STATS_MEMBERS 128

struct roster;

struct roster_source {
    char *name;
    int64_t last_ns;         /* when a batch last came */
    int64_t silent_since_ns; /* 0: not silent */
    bool is_dirty;
};

struct roster_agent {
    uint8_t id[ID_LEN];
    char id_text[ID_TEXT_LEN];
    char *host, *version, *stats_json; /* owned; "" and "{}" until known */
    int64_t last_seen_ns;              /* 0: never */
    int64_t heard_since_ns;            /* since when it has been heard without a silence in between */
    int64_t silent_since_ns;           /* 0: not silent */
    bool is_revoked, is_dirty;
    uint64_t conn; /* its connection, for in_agent.c; 0: none */
    struct roster_source *sources;
    size_t n_sources;
};

/* silent or back; source NULL: the agent itself. last_seen_ns: before the silence. */
typedef void (*roster_fn)(void *ctx, const struct roster_agent *a, const struct roster_source *source, bool is_silent,
                          int64_t last_seen_ns);

struct roster *roster_new(int64_t agent_after_ns, int64_t source_after_ns, roster_fn on_change, void *ctx);
struct roster *roster_free(struct roster *r);

int roster_load(struct roster *r, sqlite3 *db, struct diag *diag);

/* Agents added, revoked or removed by other programs since. */
int roster_refresh(struct roster *r, sqlite3 *db, struct diag *diag);

struct roster_agent *roster_find(const struct roster *r, const uint8_t id[static ID_LEN]);    /* NULL: unknown */
int roster_add(struct roster *r, const uint8_t id[static ID_LEN], struct roster_agent **ret); /* also when known */
size_t roster_count(const struct roster *r);
const struct roster_agent *roster_at(const struct roster *r, size_t i);

void roster_heard(struct roster *r, struct roster_agent *a, int64_t now_ns);
void roster_heard_source(struct roster *r, struct roster_agent *a, struct str source, int64_t now_ns);
int roster_hello(struct roster_agent *a, struct str host, struct str version);

/* The heartbeat's JSON: kept only when it is one flat object of at most ROSTER_STATS_MEMBERS numbers. 0, -EBADMSG, -ENOMEM. */
int roster_stats(struct roster_agent *a, struct str json);

/* Finds who has gone silent. started_ns: when this program began to listen. */
void roster_check(struct roster *r, int64_t now_ns, int64_t started_ns);

/* Writes what has changed, in one transaction. Nothing is lost on failure: it stays marked for the next time. */
int roster_save(struct roster *r, sqlite3 *db, struct diag *diag);
