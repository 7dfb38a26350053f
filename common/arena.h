/* SPDX-License-Identifier: Apache-2.0
 *
 * Bump allocation for everything that lives exactly as long as one batch, one rule set or one request. Freed as a
 * whole; reset keeps the largest block for reuse. alloc returns NULL when the maximum (memory taken from the system,
 * the unused ends of blocks included) or memory itself is reached. One thread at a time.
 */
#pragma once

#include "common/base.h"

struct arena;

struct arena *arena_new(size_t max_bytes);                       /* NULL: out of memory */
struct arena *arena_free(struct arena *a);                       /* NULL is fine; always returns NULL */
void arena_reset(struct arena *a);                               /* everything allocated so far becomes invalid */
void *arena_alloc(struct arena *a, size_t n);                    /* zeroed, aligned to 16 */
void *arena_array(struct arena *a, size_t n, size_t size);       /* checked multiplication */
char *arena_strndup(struct arena *a, const char *p, size_t len); /* NUL-terminated */
int arena_str(struct arena *a, struct str s, struct str *ret);   /* 0 or -ENOMEM */
size_t arena_used(const struct arena *a);                        /* bytes handed out, alignment included */
