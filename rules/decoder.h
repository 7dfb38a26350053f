/* SPDX-License-Identifier: Apache-2.0
 *
 * From a raw line to an event. What a log looks like is data: the YAML files of rules/decoders, with patterns and sample lines; this
 * library compiles them (PCRE2 with JIT) into one dispatch by type, program and content. Compile once, share read-only;
 * each thread makes its own decode_ctx. No I/O, no threads, no globals.
 *
 * A line that no decoder knows still becomes an event: message, host, times, event.kind "event", and counted.
 */
#pragma once

#include "common/batch.h"
#include "common/event.h"
#include "common/yaml.h"

struct decoders;
struct decode_ctx;

struct decoder_sample {  /* an inline sample: a line and the fields it must give */
    const char *decoder; /* name of the decoder it stands in */
    const char *file;
    int line;
    struct str raw;
    const char *type;          /* source type given with the line, or "" */
    const struct yaml *expect; /* map of ECS name to value */
};

struct decoders *decoders_new(struct names *names); /* borrows names */
struct decoders *decoders_free(struct decoders *ds);
int decoders_add(struct decoders *ds, struct str text, const char *file,
                 struct diags *diags); /* number left out, or -ENOMEM */
int decoders_compile(struct decoders *ds, struct diags *diags);
size_t decoders_count(const struct decoders *ds);
size_t decoders_sample_count(const struct decoders *ds);
const struct decoder_sample *decoders_sample(const struct decoders *ds, size_t i);

struct decode_ctx *decode_ctx_new(const struct decoders *ds);
struct decode_ctx *decode_ctx_free(struct decode_ctx *c);

struct decode_input {
    struct str line;  /* one record, without its newline */
    uint8_t encoding; /* enum batch_encoding */
    struct str source, type, path, host, agent_name;
    const char *agent_id; /* text form, or NULL */
    int64_t read_ns, ingested_ns;
    int32_t tz_offset_s;
};

/* Fills ev (event_init done here) from the line; strings borrow from the line or live in arena. Always yields an event.
 * Returns 1 when a decoder knew the line, 0 when none did, -ENOMEM. */
int decode_line(struct decode_ctx *c, const struct decode_input *in, struct arena *arena, struct event *ev);

/* Name of the decoder that won the last line, or NULL. */
const char *decode_winner(const struct decode_ctx *c);
