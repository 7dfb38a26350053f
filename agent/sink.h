/* SPDX-License-Identifier: Apache-2.0
 *
 * Where inputs put what they read: compresses a run of whole records into a batch, appends it to the spool and moves
 * the stream's position. When the spool or the disk is full nothing is taken and the inputs pause until there is room:
 * the sources themselves (files, the journal) keep the data meanwhile.
 */
#pragma once

#include "agent/registry.h"
#include "agent/spool.h"

struct sink {
    struct spool *spool;
    struct registry *registry;
    uint8_t agent[ID_LEN];
    const char *host;
    int zstd_level;
    bool demo;
    struct buf encoded;
    size_t resume_room;         /* bytes */
    bool is_full, is_disk_full; /* the latter: the disk, not our own limit */
    bool is_awaited;            /* an input was turned away: sink_may_resume */
    int64_t retry_ns;           /* monotonic: when to try the disk again */
    int32_t tz_offset_s;
    int64_t tz_until_ns;
    void (*on_spooled)(void *ctx); /* wakes the uplink; NULL is fine */
    void *ctx;
};

struct sink_piece {
    struct stream *stream; /* durable, or the piece is refused with -EINVAL */
    uint64_t start, end;
    uint32_t records;
    int64_t read_first_ns, read_last_ns;
    enum batch_encoding encoding;
    uint8_t flags;
    const char *type, *cursor; /* NULL: none */
    struct str raw;
};

void sink_init(struct sink *s, struct spool *spool, struct registry *registry, const uint8_t agent[static ID_LEN]);
void sink_clear(struct sink *s);

/* 0; -EAGAIN: full, nothing was taken; -EINVAL: our own mistake. */
int sink_put(struct sink *s, const struct sink_piece *piece);

/* True while nothing can be taken; clears itself when there is room again. Cheap. */
bool sink_is_full(struct sink *s);

/* True once after an input was turned away and there is room again: the owner then resumes the inputs. */
bool sink_may_resume(struct sink *s);
