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
    const char *path;          /* file the line came from, or "" */
    uint8_t encoding;          /* enum batch_encoding */
    const struct yaml *expect; /* map of ECS name to value, a list for an array, ~ for a field that must be absent */
};

/* What samples (and rule tests without a time of their own) are read at: 2026-03-15T12:00:00Z, by a sender in UTC+7. */
#define DECODER_SAMPLE_READ_NS     INT64_C(1773576000000000000)
#define DECODER_SAMPLE_TZ_OFFSET_S 25200

struct decoders *decoders_new(struct names *names);  /* borrows names, which must outlive it. NULL: out of memory */
struct decoders *decoders_free(struct decoders *ds); /* NULL is fine; always returns NULL */

/* One file: one or more YAML documents, each a decoder. Returns the number of decoders left out, or -ENOMEM. */
int decoders_add(struct decoders *ds, struct str text, const char *file, struct diags *diags);

/* Builds the dispatch; after this the set is immutable. 0 or -ENOMEM. */
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

/* Fills ev (event_init done here) from the line; strings borrow from the line, from the other strings of `in`, from the
 * decoders, or live in arena. Always yields an event. Returns 1 when a decoder knew the line, 0 when none did, -ENOMEM. */
int decode_line(struct decode_ctx *c, const struct decode_input *in, struct arena *arena, struct event *ev);

/* Name of the decoder that won the last line, or NULL. */
const char *decode_winner(const struct decode_ctx *c);

struct decode_why { /* borrowed from the decoders */
    const char *decoder, *file, *pattern;
    int line; /* of the pattern in its file */
};
bool decode_explain(const struct decode_ctx *c, struct decode_why *ret); /* false when no decoder won the last line */

struct decode_stats {
    uint64_t lines, known;
    uint64_t limit_hits;     /* a regex gave up at its match limit: counted as no match */
    uint64_t bad_records;    /* journal and ECS records that are not the JSON they should be */
    uint64_t dropped_fields; /* ECS records: names no rule or decoder knows, or more than EVENT_FIELDS_MAX */
};
void decode_stats(const struct decode_ctx *c, struct decode_stats *ret);
