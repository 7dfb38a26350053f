/* SPDX-License-Identifier: Apache-2.0
 *
 * What happens to a batch between the connection and the writer's queue: is it whole, is it the agent's own, have we got
 * it already? Also the main thread's view of agents and sources, and the events it writes itself when one of them goes
 * silent. Knows no sockets: in_agent.c does. Main thread only.
 */
#pragma once

#include "collector/roster.h"
#include "collector/streams.h"
#include "collector/writer.h"

#include <sqlite3.h>

struct ingest {
    struct collector *c;
    sqlite3 *db; /* borrowed: roster_save and the checkpoint */
    struct streams *streams;
    struct roster *roster;
    struct health *health;
    bool was_disk_low;
    int64_t saved_ns; /* monotonic */
    bool save_soon;
};

/* Loads streams and agents, then reads the archive from the checkpoint on, so that both know all that is stored. */
int ingest_open(struct ingest *in, struct collector *c, sqlite3 *db, struct diag *diag);
void ingest_close(struct ingest *in);

/* `frame` is a whole BATCH frame of that agent; takes frame. `conn` and the batch's seq come back with the writer's
 * done item once the batch, or what it repeats, is durable. *last_seq: of the connection, 0 before the first.
 * 0, or an error after which the connection must end, with the reason for the BYE in diag: -EBADMSG (malformed, or not
 * this agent's), -EDQUOT, -ENOSPC (too many streams), -ENOMEM. */
int ingest_batch(struct ingest *in, struct roster_agent *a, uint64_t conn, uint64_t *last_seq, uint8_t *frame,
                 size_t len, struct diag *diag);

/* Every second: silence, the disk, and every ROSTER_SAVE_NS what changed in the roster. */
void ingest_tick(struct ingest *in);
void ingest_save(struct ingest *in);
