/* SPDX-License-Identifier: Apache-2.0
 *
 * The archive's only writer: a thread that takes batches from a bounded queue, appends them, makes a group of them
 * durable with one fdatasync and only then gives them back as done, in the order they came. A repeat travels the same
 * way without bytes, so that its acknowledgement cannot overtake the batch it repeats.
 *
 * A failed append or sync ends the program (collector_fail): nothing after it is given back as done. While the disk is
 * below its reserve the queue is closed (writer_has_room says no) and agents wait.
 */
#pragma once

#include "collector/collector.h"

struct writer;

struct write_item {
    struct write_item *next;
    uint64_t conn; /* the connection that waits for it; 0: nobody */
    uint64_t seq;
    uint8_t *bytes; /* owned; the batch lies at `offset`; NULL for a repeat, and once it is done */
    size_t offset, len;
    uint32_t records, raw_len;
};

struct write_item *write_item_free(struct write_item *item); /* NULL is fine; always returns NULL */

/* Opens nothing: appends to c->archive, moves c->durable_end, raises c->archive_grown. */
int writer_start(struct collector *c);
void writer_stop(struct collector *c); /* writes out what is queued first */

/* Whether agents' batches are welcome. Our own events may always be pushed. */
bool writer_has_room(struct writer *w);
bool writer_is_disk_low(struct writer *w);
void writer_push(struct writer *w, struct write_item *item); /* takes item; never blocks */

/* What has become durable since, oldest first; the caller frees the items. writer_done_fd is readable when there is
 * something to take or room has come back. */
int writer_done_fd(struct writer *w);
struct write_item *writer_take_done(struct writer *w);

void writer_flush(struct writer *w); /* blocks until everything pushed is done, or the writer has failed */
