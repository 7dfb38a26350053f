/* SPDX-License-Identifier: Apache-2.0
 *
 * Which file is this? A name says nothing (rotation), an inode little (it is used again the moment a file is removed).
 * So a followed file is known by device, inode and *content*: the SHA-256 of its first bytes, and guards: hashes of
 * the last few bytes before positions already read. A log only grows at its end, so these facts hold as long as it is
 * the same log, and hold as well for a copy of it; they fail once it is cut and written anew, even to a larger size.
 *
 * The functions read with pread and leave the file offset alone. Bytes that cannot be read count as "does not match".
 */
#pragma once

#include "common/base.h"

#define FINGERPRINT_MAX  1024 /* bytes hashed at most; fewer while the file is shorter */
#define FINGERPRINT_COPY 256  /* with fewer bytes equal, a file at another inode is not taken for a copy */
#define GUARD_MAX        64
#define GUARD_HASH       16

struct fingerprint {
    uint32_t len; /* 0: nothing known yet */
    uint8_t sha256[32];
};

struct guard {
    uint64_t pos; /* the bytes hashed end here; 0: none */
    uint32_t len;
    uint8_t hash[GUARD_HASH]; /* SHA-256, cut */
};

struct identity {
    uint64_t dev, ino;
    struct fingerprint fp;
    struct guard guards[3]; /* the newest first; the oldest is at least GUARD_AGE_NS old: a copy may end between them */
    int64_t guard_ns;       /* when the older ones last moved on */
};

#define GUARD_AGE_NS (2 * NS_PER_S)

/* Hashes the first min(size, FINGERPRINT_MAX) bytes. 0 or negative errno (-EIO: shorter than size). */
int fingerprint_make(int fd, uint64_t size, struct fingerprint *ret);

/* Makes the fingerprint longer when the file has grown. 1: it changed, 0: nothing to do, -ESTALE: the first bytes are
 * no longer those that were hashed. */
int fingerprint_extend(struct fingerprint *fp, int fd, uint64_t size);

bool fingerprint_matches(const struct fingerprint *fp, int fd, uint64_t size);

int guard_make(int fd, uint64_t pos, struct guard *ret);
bool guard_matches(const struct guard *g, int fd, uint64_t size); /* false as well when size < pos */

/* The position moved to g->pos: makes g the newest guard. */
void identity_advance(struct identity *id, const struct guard *g, int64_t now_ns);

/* The file of this device and inode still begins with what was read from it. */
bool identity_is_same(const struct identity *id, int fd, uint64_t size);

/* Some file holds the log's content up to `pos` or further: where the unread rest of a cut file is found. */
bool identity_is_continued(const struct identity *id, int fd, uint64_t size, uint64_t pos);

enum copy_match {
    COPY_NO,
    COPY_YES,
    COPY_MAYBE, /* equal so far but shorter than anything we can compare: it may still be being written */
};

/* Is the file at another inode a copy of this log? ret_known, for COPY_YES: up to where that was compared. */
enum copy_match identity_is_copy(const struct identity *id, int fd, uint64_t size, uint64_t *ret_known);
