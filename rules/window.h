/* SPDX-License-Identifier: Apache-2.0
 *
 * What the window of a moment holds, by type of correlation, and whether the condition holds for it. Small windows are looked at cell by
 * cell. For larger ones the group keeps a window that goes on from moment to moment at constant cost a cell: the newest
 * moment's where triggers are certain at once, the one decided last where the watermark decides.
 */
#pragma once

#include "rules/group.h"

struct window;

#define WINDOW_HOLDS UINT64_MAX

struct windows { /* of a shard: a window for moments that are not the group's next */
    struct window *spare;
    const struct group *of;
};

/* Whether the condition holds for the window that ends with the moment whose cells are [.., end): 0; or WINDOW_HOLDS; for
 * temporal_ordered the rules that end a sequence there: only cells with one of them are triggers. 0 too without memory, which *ret_err
 * then says (-ENOMEM). is_next: it is the group's next moment, or the same one again with more cells. */
uint64_t window_holds(struct groups *gs, struct group *g, size_t end, bool is_next, struct windows *ws, int *ret_err);
void windows_done(struct groups *gs, struct windows *ws); /* before the group is changed */

/* The group's cells have changed, or are about to. */
void window_forget(struct groups *gs, struct group *g, size_t n); /* the oldest n will go */
void window_prepend(struct group *g, size_t n); /* n of them stay after all, in front, outside of it */
void window_insert(struct groups *gs, struct group *g, size_t at);                 /* one was inserted there */
void window_remask(struct groups *gs, struct group *g, size_t at, uint64_t added); /* one hit by further rules */

void window_free(struct groups *gs, const struct group *g, struct window *w); /* NULL is fine */
