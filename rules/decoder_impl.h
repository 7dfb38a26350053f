/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of the decoder engine share: decoder_load.c fills these from YAML, decoder.c dispatches,
 * decode_json.c reads records that are JSON already. Inside rules/ only.
 */
#pragma once

#include "rules/decoder.h"
#include "rules/pattern.h"
#include "rules/syslog.h"

#include <errno.h>

#define DECODERS_MAX          1024
#define DECODER_PATTERNS_MAX  1024
#define DECODER_LIST_MAX      256 /* entries of one `when` list, `set` map or kv map */
#define DECODER_SAMPLES_MAX   4096
#define DECODER_KV_MAX        64
#define KV_SLOTS              256 /* a power of two, well over DECODER_KV_MAX */
#define DECODERS_MEMORY_MAX   (256 * MIB)
#define DECODER_MATCH_LIMIT   100000
#define DECODER_JIT_STACK_MAX (512 * KIB)

enum decoder_parser { PARSER_PATTERNS, PARSER_ACCESS };

struct kv_row {
    struct str key;
    struct capture capture;
};

static inline size_t kv_hash(struct str key)
{
    return (key.len * 7 + (uint8_t)key.p[0] * 31u + (uint8_t)key.p[key.len - 1]) & (KV_SLOTS - 1);
}

struct strs {
    struct str *v;
    size_t n;
};

struct decoder {
    const char *name, *file;
    int line;
    enum decoder_parser parser;
    struct strs programs, types, paths; /* where such lines come from: one hit selects the decoder */
    struct strs starts, contains;       /* what the message must hold: one of each list */
    struct strs strip_start, strip_end; /* taken off a message before its patterns see it, each at most once */
    bool is_bare;                       /* also tried on lines without a syslog header that nothing selects */
    struct field *consts;
    size_t n_consts;
    struct pattern *patterns;
    size_t n_patterns;
    uint16_t *by_byte;     /* indexes of patterns a message beginning with that byte can match, in order */
    uint32_t offsets[257]; /* of each byte's run in by_byte */
    struct kv_row *kv;
    size_t n_kv;
    uint8_t kv_slots[KV_SLOTS]; /* open addressing by kv_hash: index + 1 */
};

struct program {
    struct str name;
    uint16_t *list; /* decoders to try, in order */
    size_t n, n_selected;
};

struct decoders {
    struct names *names; /* borrowed */
    name_id repeated;    /* vonggac.repeated */
    struct arena *arena; /* everything below */
    struct decoder **v;
    size_t n, cap;
    struct decoder_sample *samples;
    size_t n_samples, cap_samples;
    /* dispatch */
    struct program *programs; /* open addressing; name.p NULL: free */
    size_t n_slots;           /* a power of two */
    struct program others;    /* for programs nobody selects */
    uint16_t *bare;
    size_t n_bare;
    bool has_routes; /* some decoder selects by type or path */
};

/* Reads one YAML document into a new decoder. 0, -EINVAL with the reason and place in diag, -ENOSPC, -ENOMEM. */
int decoder_load(struct decoders *ds, const struct yaml *doc, const char *file, struct diag *diag);
void decoder_clear(struct decoder *d);

/* Who the line is from, whatever carried it. */
struct message {
    struct str host, program, text;
    int64_t pid;  /* -1: unknown */
    int severity; /* -1: unknown */
};

/* Adding fields: an event that is full keeps what it has, so only -ENOMEM is left to go wrong. Nothing is added for an empty
 * text or a negative number. */
static inline int event_keep(int r)
{
    return r == -E2BIG ? 0 : r;
}

static inline int event_put_str(struct event *ev, name_id key, struct str s)
{
    return s.len ? event_keep(event_add_str(ev, key, s)) : 0;
}

static inline int event_put_int(struct event *ev, name_id key, int64_t i)
{
    return i >= 0 ? event_keep(event_add_int(ev, key, i)) : 0;
}

static inline int event_put_consts(struct event *ev, const struct field *consts, size_t n)
{
    if ((size_t)(ev->cap - ev->n) >= n) {
        memcpy(ev->fields + ev->n, consts, n * sizeof(*consts));
        ev->n = (uint16_t)(ev->n + n);
        return 0;
    }
    int r = 0;
    for (size_t i = 0; i < n && r == 0; i++)
        r = event_keep(event_add_field(ev, &consts[i]));
    return r;
}

/* 1, 0 (no access line) or -ENOMEM. */
int decode_access(const struct decoder *d, struct str msg, struct event *ev);

/* Fields every event has. Then the message through the decoders. Both 0 or 1 (known) or -ENOMEM. */
int decode_message(struct decode_ctx *c, const struct decode_input *in, const struct message *m, struct event *ev);
int decode_common_fields(const struct decode_input *in, struct str host, struct event *ev);

/* 1, 0 (unknown message, or not such a record) or -ENOMEM. */
int decode_journal(struct decode_ctx *c, const struct decode_input *in, struct event *ev);
int decode_ecs(struct decode_ctx *c, const struct decode_input *in, struct event *ev);

struct decode_ctx {
    const struct decoders *ds;
    pcre2_match_data *match;
    pcre2_match_context *match_context;
    pcre2_jit_stack *stack;
    struct decode_stats stats;
    const struct decoder *winner;
    const struct pattern *winner_pattern; /* NULL when the winner has no patterns */
    /* Decoders selected by the last line's type and path: lines of a batch share both. */
    struct {
        char type[BATCH_STRING_MAX], path[BATCH_STRING_MAX];
        struct str type_s, path_s;
        uint16_t list[DECODERS_MAX];
        size_t n;
        bool is_set;
    } route;
};
