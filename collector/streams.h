/* SPDX-License-Identifier: Apache-2.0
 *
 * How far each stream has been stored: what makes a resend harmless. A table (agent, stream) -> highest end, filled at
 * start from state.db and from the archive behind the checkpoint, then moved on as soon as a batch is handed to the
 * writer. So "stored" here includes what is still in the writer's queue; an acknowledgement for a repeat must therefore
 * travel through that queue too. Main thread only.
 *
 * Bounded: `max` streams in all, an eighth of that for one agent. A full table first forgets streams not seen for
 * STREAMS_KEEP_NS; an agent that opens streams without end is refused, the others go on.
 */
#pragma once

#include "common/batch.h"

#include <sqlite3.h>

#define STREAMS_MAX     (1u << 20)
#define STREAMS_KEEP_NS (30 * 24 * 3600 * NS_PER_S)

struct streams;

enum stream_verdict {
    STREAM_STORE,   /* follows what is stored, or is the first of its stream */
    STREAM_GAP,     /* begins behind the stored end: store it, and count */
    STREAM_REPEAT,  /* all of it is stored: acknowledge only */
    STREAM_OVERLAP, /* only what lies behind *ret_stored is new */
};

struct streams *streams_new(size_t max); /* NULL: out of memory */
struct streams *streams_free(struct streams *s);

enum stream_verdict streams_judge(const struct streams *s, const struct batch *b, uint64_t *ret_stored);

/* [.., end) of the stream is stored. Never moves an end back. 0, -ENOMEM, -ENOSPC (the table is full), -EDQUOT (this
 * agent has too many). */
int streams_advance(struct streams *s, const uint8_t agent[static ID_LEN], const uint8_t stream[static ID_LEN],
                    uint64_t end, int64_t now_ns);

/* Whether streams_advance for this batch will succeed: to be asked before the batch is handed on. */
int streams_reserve(struct streams *s, const struct batch *b, int64_t now_ns);

size_t streams_count(const struct streams *s);
size_t streams_forget(struct streams *s, int64_t seen_before_ns); /* returns how many */

int streams_load(struct streams *s, sqlite3 *db, struct diag *diag);
