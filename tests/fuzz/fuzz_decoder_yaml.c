/* SPDX-License-Identifier: Apache-2.0
 *
 * Any text as a decoder file; what loads must also decode its own samples without harm.
 */
#include "tests/unit/decoders_fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void run_samples(struct decoders_fixture *f)
{
    for (size_t i = 0; i < decoders_sample_count(f->ds); i++) {
        const struct decoder_sample *s = decoders_sample(f->ds, i);
        struct decode_input in = decoders_fixture_input(s->raw);
        struct event ev;
        in.type = str_of(s->type);
        in.path = str_of(s->path);
        in.encoding = s->encoding;
        arena_reset(f->arena);
        if (decode_line(f->ctx, &in, f->arena, &ev) < 0)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct decoders_fixture f;
    decoders_fixture_init(&f);
    if (!f.names || !f.ds || !f.arena)
        abort();
    if (decoders_add(f.ds, (struct str){(const char *)data, size}, "fuzz.yml", &f.diags) < 0 ||
        decoders_compile(f.ds, &f.diags) < 0)
        abort();
    f.ctx = decode_ctx_new(f.ds);
    if (!f.ctx)
        abort();
    run_samples(&f);
    decoders_fixture_clear(&f);
    return 0;
}
