/* SPDX-License-Identifier: Apache-2.0
 *
 * What the fuzz targets of decoding share: the real decoders, loaded once, and the promises that every decoded event must keep.
 */
#pragma once

#include "tests/unit/decoders_fixture.h"

static inline struct decoders_fixture *decode_target(void)
{
    static struct decoders_fixture fx;
    static bool is_loaded;
    if (!is_loaded && decoders_fixture_load(&fx) < 0)
        abort();
    is_loaded = true;
    return &fx;
}

static inline void decode_target_run(const struct decode_input *in)
{
    struct decoders_fixture *fx = decode_target();
    static struct buf json = {.max = 64 * MIB};
    struct event ev;
    arena_reset(fx->arena);
    buf_reset(&json);
    int r = decode_line(fx->ctx, in, fx->arena, &ev);
    if (r != 0 && r != 1)
        abort();
    if (ev.n > ev.cap || ev.cap > EVENT_FIELDS_MAX || event_to_json(&ev, fx->names, &json) < 0)
        abort();
    for (size_t i = 0; i < ev.n; i++) {
        if (ev.fields[i].key == F_NONE)
            abort();
    }
    if (in->encoding != BATCH_ECS && !event_get(&ev, F_EVENT_KIND))
        abort();
}
