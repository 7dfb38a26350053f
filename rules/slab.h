/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory for very many small things of few sizes: no header each, and pages that stand empty go back. The caller remembers sizes.
 * Not zeroed. One thread at a time.
 */
#pragma once

#include "common/base.h"

#define SLAB_SIZE_MAX 1024 /* larger ones are the system's business */

struct slab {
    struct slab_page *open[SLAB_SIZE_MAX / 8]; /* by size: pages with room */
    struct slab_page *spare;                   /* one empty page, so that a border is not crossed for ever */
    size_t used, held;                         /* bytes asked for; bytes taken from the system for them */
};

void *slab_alloc(struct slab *s, size_t size);        /* NULL: out of memory */
void slab_free(struct slab *s, void *p, size_t size); /* NULL is fine */
void slab_clear(struct slab *s);                      /* everything must have been given back */
