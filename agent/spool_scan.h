/* SPDX-License-Identifier: Apache-2.0
 *
 * Finds the next whole, valid batch in a file that may be damaged: the reading half of the spool, apart so that it can
 * be fuzzed alone.
 */
#pragma once

#include "common/batch.h"

/* The first valid batch of the file `fd` (size bytes) that starts at or behind `off`. 1: `bytes` (reset first; its
 * maximum at least BATCH_MAX) holds exactly that batch, ret points into it, ret_at is where it starts; 0: there is none;
 * -ENOMEM. Unreadable disk blocks are passed over like other damage. */
int spool_scan(int fd, uint64_t size, uint64_t off, struct buf *bytes, struct batch *ret, uint64_t *ret_at);
