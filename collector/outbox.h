/* SPDX-License-Identifier: Apache-2.0
 *
 * The outbox: pushes what incidents queued to the national centre, over TAXII, from a thread of its own (blocking). The
 * rows are the queue (delivery.h), so the peer may be away for a week and the collector may be killed at any moment: what
 * is sent twice has the same ids, and what the peer said it holds is not sent again.
 *
 * Oldest first, one request in flight. When nothing gets through to the peer at all, everything waits together; when one
 * row fails by itself, the others go on.
 */
#pragma once

struct collector;
struct outbox;

/* A part of the collector (main.c): 0, or a negative errno after logging why. Without taxii.url nothing is sent and rows
 * stay queued. */
int outbox_start(struct collector *c);
void outbox_stop(struct collector *c); /* ends a transfer under way; returns within a second or so */
