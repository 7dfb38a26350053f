/* SPDX-License-Identifier: Apache-2.0
 *
 * What a batch costs the agent (encode) and the collector (decode: check; raw: decompress and count): auth-log lines in batches
 * of 256 KiB, one thread. The ratio is what spool, wire and archive hold for each raw byte.
 */
#include "common/batch.h"
#include "tests/bench/bench.h"
#include "tests/bench/gen.h"

#define BATCHES 64
#define RUN_NS  NS_PER_S

struct sample {
    struct batch head;
    struct buf raw, bytes;
};

static struct sample samples[BATCHES];

static int make(void)
{
    struct gen g;
    gen_init(&g, 1);
    uint64_t pos = 0;
    for (size_t i = 0; i < BATCHES; i++) {
        struct sample *s = &samples[i];
        uint32_t lines;
        s->raw = BUF_INIT(BATCH_RAW_TARGET);
        s->bytes = BUF_INIT(BATCH_MAX);
        if (gen_lines(&g, BATCH_RAW_TARGET, &s->raw, &lines) < 0)
            return -1;
        s->head = (struct batch){
            .seq = i + 1,
            .start = pos,
            .end = pos + s->raw.len,
            .records = lines,
            .encoding = BATCH_TEXT,
            .source = STR("auth"),
            .path = STR("/var/log/auth.log"),
            .host = STR("bench"),
        };
        pos += s->raw.len;
    }
    return 0;
}

static int encode(struct sample *s, int level)
{
    buf_reset(&s->bytes);
    return batch_encode(&s->head, buf_str(&s->raw), level, &s->bytes);
}

static int decode(struct sample *s, int unused)
{
    struct batch b;
    (void)unused;
    return batch_decode(buf_str(&s->bytes), &b, NULL);
}

static int decode_raw(struct sample *s, int unused)
{
    static struct buf raw = BUF_INIT(BATCH_RAW_MAX);
    struct batch b;
    (void)unused;
    buf_reset(&raw);
    int r = batch_decode(buf_str(&s->bytes), &b, NULL);
    return r < 0 ? r : batch_raw(&b, &raw);
}

static int measure(const char *what, int (*step)(struct sample *, int), int level)
{
    uint64_t events = 0, bytes = 0;
    int64_t start_ns = time_monotonic_ns(), took_ns = 0;
    for (size_t i = 0; took_ns < RUN_NS; i = (i + 1) % BATCHES) {
        struct sample *s = &samples[i];
        if (step(s, level) < 0)
            return -1;
        events += s->head.records;
        bytes += s->raw.len;
        took_ns = time_monotonic_ns() - start_ns;
    }
    bench_print(what, events, bytes, took_ns);
    return 0;
}

static void print_ratio(int level)
{
    uint64_t raw = 0, bytes = 0;
    for (size_t i = 0; i < BATCHES; i++) {
        raw += samples[i].raw.len;
        bytes += samples[i].bytes.len;
    }
    printf("%-34s %12.4f bytes a raw byte (1/%.1f)\n", level == 1 ? "batch size, level 1" : "batch size, level 3",
           (double)bytes / (double)raw, (double)raw / (double)bytes);
}

int main(void)
{
    bool ok = make() == 0;
    ok = ok && measure("batch encode, level 3", encode, 3) == 0;
    if (ok)
        print_ratio(3);
    ok = ok && measure("batch encode, level 1", encode, 1) == 0;
    if (ok)
        print_ratio(1);
    ok = ok && measure("batch decode (check only)", decode, 0) == 0;
    ok = ok && measure("batch decode and decompress", decode_raw, 0) == 0;
    for (size_t i = 0; i < BATCHES; i++) {
        buf_clear(&samples[i].raw);
        buf_clear(&samples[i].bytes);
    }
    return ok ? 0 : 1;
}
