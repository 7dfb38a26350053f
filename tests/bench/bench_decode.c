/* SPDX-License-Identifier: Apache-2.0
 *
 * How long a line takes to become an event: bench_decode DECODERS [FILE [TYPE]]. Decodes the lines of the file, or else the
 * sample lines of each decoder, again and again for a while, on one thread, with the arena reset as for a batch of 256 KiB.
 * Prints nanoseconds a line, lines a second, and how many lines were known.
 */
#include "common/file.h"
#include "common/time.h"
#include "rules/decoder.h"

#include <stdio.h>

#define RUN_NS    (2 * NS_PER_S)
#define SAMPLE_NS (NS_PER_S / 5)
#define TEXT_MAX  (256 * MIB)
#define BATCH_RAW (256 * KIB)

static struct decoders *decoders;

static int add(const char *path, void *ctx)
{
    struct buf text = BUF_INIT(YAML_BYTES_MAX);
    int r = file_read(path, &text);
    if (r == 0)
        r = decoders_add(decoders, buf_str(&text), path, ctx);
    buf_clear(&text);
    return r;
}

struct totals {
    uint64_t lines, known, bytes;
};

static int decode_once(struct decode_ctx *c, struct arena *arena, struct str text, struct decode_input *in,
                       struct totals *t)
{
    size_t in_batch = 0;
    while (text.len) {
        const char *end = memchr(text.p, '\n', text.len);
        size_t len = end ? (size_t)(end - text.p) : text.len;
        struct event ev;
        in->line = (struct str){text.p, len};
        int r = decode_line(c, in, arena, &ev);
        if (r < 0)
            return r;
        t->known += (uint64_t)r;
        t->lines++;
        t->bytes += len + 1;
        in_batch += len + 1;
        if (in_batch >= BATCH_RAW) {
            arena_reset(arena);
            in_batch = 0;
        }
        text = (struct str){text.p + len + (end ? 1 : 0), text.len - len - (end ? 1 : 0)};
    }
    arena_reset(arena);
    return 0;
}

static int run(const char *name, struct str text, const char *type, uint8_t encoding, int64_t run_ns)
{
    struct decode_ctx *c = decode_ctx_new(decoders);
    struct arena *arena = arena_new(256 * MIB);
    struct decode_input in = {
        .encoding = encoding,
        .source = STR("bench"),
        .type = str_of(type),
        .host = STR("bench"),
        .agent_id = "5f0c0000-0000-4000-8000-000000000001",
        .agent_name = STR("bench"),
        .read_ns = time_now_ns(),
        .tz_offset_s = 25200,
    };
    struct totals t = {0};
    int r = c && arena ? decode_once(c, arena, text, &in, &t) : -1; /* warm */
    t = (struct totals){0};
    int64_t start_ns = time_monotonic_ns(), took_ns = 0;
    while (r == 0 && took_ns < run_ns) {
        r = decode_once(c, arena, text, &in, &t);
        took_ns = time_monotonic_ns() - start_ns;
    }
    if (r == 0 && t.lines)
        printf("decode %-16s %5.0f ns/line, %5.2f M lines/s, %4.0f MB/s, %5.1f %% known\n", name,
               (double)took_ns / (double)t.lines, (double)t.lines / (double)took_ns * 1e3,
               (double)t.bytes / (double)took_ns * 1e3, 100.0 * (double)t.known / (double)t.lines);
    arena_free(arena);
    decode_ctx_free(c);
    return r;
}

/* The samples of the decoder that sample i belongs to; *i moves behind them. Only those that need no type or path. */
static int run_samples_of(size_t *i)
{
    struct buf text = BUF_INIT(TEXT_MAX);
    const char *name = decoders_sample(decoders, *i)->decoder;
    int r = 0;
    for (; *i < decoders_sample_count(decoders) && r == 0; (*i)++) {
        const struct decoder_sample *s = decoders_sample(decoders, *i);
        if (strcmp(s->decoder, name) != 0)
            break;
        if (s->encoding == BATCH_TEXT && !*s->type && !*s->path) {
            r = buf_append_str(&text, s->raw);
            if (r == 0)
                r = buf_append_z(&text, "\n");
        }
    }
    if (r == 0 && text.len)
        r = run(name, buf_str(&text), "", BATCH_TEXT, SAMPLE_NS);
    buf_clear(&text);
    return r;
}

static int run_samples(void)
{
    int r = 0;
    for (size_t i = 0; i < decoders_sample_count(decoders) && r == 0;)
        r = run_samples_of(&i);
    return r;
}

static int run_file(const char *path, const char *type)
{
    struct buf text = BUF_INIT(TEXT_MAX);
    int r = file_read(path, &text);
    if (r == 0) {
        bool is_journal = text.len && text.data[0] == '{';
        r = run(is_journal ? "journal"
                : *type    ? type
                           : "text",
                buf_str(&text), type, is_journal ? BATCH_JOURNAL : BATCH_TEXT, RUN_NS);
    }
    buf_clear(&text);
    return r;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: bench_decode DECODERS [FILE [TYPE]]\n");
        return 2;
    }
    struct names *names = names_new();
    struct diags diags;
    diags_init(&diags, 10);
    decoders = names ? decoders_new(names) : NULL;
    int r = decoders ? file_walk(argv[1], ".yml", add, &diags) : -1;
    if (r == 0)
        r = decoders_compile(decoders, &diags);
    if (r == 0)
        r = argc > 2 ? run_file(argv[2], argc > 3 ? argv[3] : "") : run_samples();
    if (r != 0)
        fprintf(stderr, "bench_decode: failed: %s\n", diags.n ? diags.entries[0].diag.msg : "file or memory");
    diags_clear(&diags);
    decoders_free(decoders);
    names_free(names);
    return r == 0 ? 0 : 1;
}
