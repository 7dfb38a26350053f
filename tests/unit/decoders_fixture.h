/* SPDX-License-Identifier: Apache-2.0
 *
 * The decoders of rules/decoders, loaded as the programs load them, for the tests of decoding. Any problem in a file ends the test.
 */
#pragma once

#include "common/file.h"
#include "rules/decoder.h"

#include <stdio.h>

struct decoders_fixture {
    struct names *names;
    struct decoders *ds;
    struct decode_ctx *ctx;
    struct arena *arena;
    struct diags diags;
    int left_out;
};

static inline int decoders_fixture_add(const char *path, void *arg)
{
    struct decoders_fixture *f = arg;
    struct buf text = BUF_INIT(YAML_BYTES_MAX);
    int r = file_read(path, &text);
    if (r == 0)
        r = decoders_add(f->ds, buf_str(&text), path, &f->diags);
    buf_clear(&text);
    f->left_out += r > 0 ? r : 0;
    return r < 0 ? r : 0;
}

static inline int decoders_fixture_finish(struct decoders_fixture *f)
{
    int r = decoders_compile(f->ds, &f->diags);
    for (size_t i = 0; i < f->diags.n; i++)
        fprintf(stderr, "%s:%d:%d: %s\n", f->diags.entries[i].file, f->diags.entries[i].diag.line,
                f->diags.entries[i].diag.col, f->diags.entries[i].diag.msg);
    f->ctx = decode_ctx_new(f->ds);
    return r < 0 || !f->ctx || f->left_out ? -1 : 0;
}

static inline void decoders_fixture_init(struct decoders_fixture *f)
{
    *f = (struct decoders_fixture){0};
    diags_init(&f->diags, 100);
    f->names = names_new();
    f->ds = decoders_new(f->names);
    f->arena = arena_new(64 * MIB);
}

/* 0, or -1 with the reasons on stderr. */
static inline int decoders_fixture_load(struct decoders_fixture *f)
{
    const char *source = getenv("VONGGAC_SOURCE");
    char path[4096];
    decoders_fixture_init(f);
    snprintf(path, sizeof(path), "%s/rules/decoders", source ? source : ".");
    int r = file_walk(path, ".yml", decoders_fixture_add, f);
    return decoders_fixture_finish(f) < 0 || r < 0 ? -1 : 0;
}

static inline void decoders_fixture_clear(struct decoders_fixture *f)
{
    decode_ctx_free(f->ctx);
    decoders_free(f->ds);
    names_free(f->names);
    arena_free(f->arena);
    diags_clear(&f->diags);
}

static inline struct decode_input decoders_fixture_input(struct str line)
{
    return (struct decode_input){
        .line = line,
        .encoding = BATCH_TEXT,
        .host = STR("sender"),
        .read_ns = DECODER_SAMPLE_READ_NS,
        .ingested_ns = DECODER_SAMPLE_READ_NS,
        .tz_offset_s = DECODER_SAMPLE_TZ_OFFSET_S,
    };
}
