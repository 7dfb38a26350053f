/* SPDX-License-Identifier: Apache-2.0
 *
 * Log lines to measure with: what a province's busy SSH servers write, the same bytes on every machine for the same seed.
 * Attackers come from a few thousand addresses and come back, as they do in real logs, so compression and correlation see
 * something like the truth; key fingerprints are random.
 */
#pragma once

#include "common/buf.h"

#define GEN_LINE_MAX 512

struct gen {
    uint64_t random;
    uint64_t lines; /* written so far; 400 of them are one second */
};

void gen_init(struct gen *g, uint64_t seed);

/* One auth.log line (sshd, sudo, cron, systemd-logind) with its newline. Returns its length. */
size_t gen_line(struct gen *g, char ret[static GEN_LINE_MAX]);

/* Appends whole lines as long as they fit into `bytes` more. 0, -ENOBUFS, -ENOMEM; *ret_lines: how many. */
int gen_lines(struct gen *g, size_t bytes, struct buf *out, uint32_t *ret_lines);
