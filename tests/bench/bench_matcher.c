/* SPDX-License-Identifier: Apache-2.0
 *
 * What an event costs in the rules: bench_matcher RULES [FILE [TYPE]]. RULES is the tree's rules/ folder. Loads level3/ and, where
 * VONGGAC_CORPORA is set, SigmaHQ's rules for linux, web and network as well. The lines of FILE, or else a few of our own,
 * are decoded once; then the events are matched again and again on one thread. Prints nanoseconds an event.
 */
#include "common/file.h"
#include "common/time.h"
#include "rules/decoder.h"
#include "rules/matcher.h"

#include <stdio.h>

#define RUN_NS       (3 * NS_PER_S)
#define TEXT_MAX     (256 * MIB)
#define EVENTS_MAX   20000
#define STATE_MEMORY (256 * MIB)

static const char own_lines[] =
    "Nov 23 10:00:01 web1 sshd[2201]: Failed password for root from 203.0.113.9 port 40001 ssh2\n"
    "Nov 23 10:00:02 web1 sshd[2202]: Accepted publickey for lan from 192.0.2.10 port 40002 ssh2: ED25519 SHA256:AbCd\n"
    "Nov 23 10:00:03 web1 sudo:      lan : TTY=pts/0 ; PWD=/home/lan ; USER=root ; COMMAND=/usr/bin/apt update\n"
    "Nov 23 10:00:04 web1 CRON[311]: (root) CMD (   cd / && run-parts --report /etc/cron.hourly)\n"
    "203.0.113.9 - - [23/Nov/2026:10:00:05 +0700] \"GET /tin-tuc/chi-tiet?id=17&trang=2 HTTP/1.1\" 200 5120 "
    "\"https://www.example.vn/\" \"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)\"\n"
    "203.0.113.9 - - [23/Nov/2026:10:00:06 +0700] \"GET /css/main.css HTTP/1.1\" 304 0 \"-\" \"Mozilla/5.0\"\n"
    "Nov 23 10:00:07 fw1 kernel: [100.01] [UFW BLOCK] IN=eth0 OUT= SRC=203.0.113.9 DST=192.0.2.5 LEN=44 TTL=43 ID=1 "
    "PROTO=TCP "
    "SPT=52220 DPT=22 WINDOW=1024 RES=0x00 SYN URGP=0\n";

struct bench {
    struct names *names;
    struct ruleset *rules;
    struct decoders *decoders;
    struct diags diags;
    struct event *events;
    size_t n;
};

enum kind { MAPPINGS, RULES, DECODERS };

struct adding {
    struct bench *b;
    enum kind kind;
};

static int add_file(const char *path, void *ctx)
{
    struct adding *a = ctx;
    struct bench *b = a->b;
    CLEANUP(buf_clear) struct buf text = BUF_INIT(YAML_BYTES_MAX);
    int r = file_read(path, &text);
    if (r < 0)
        return r;
    r = a->kind == MAPPINGS ? ruleset_add_mapping(b->rules, buf_str(&text), path, &b->diags)
        : a->kind == RULES  ? ruleset_add(b->rules, buf_str(&text), path, &b->diags)
                            : decoders_add(b->decoders, buf_str(&text), path, &b->diags);
    return r < 0 ? r : 0;
}

static int add_folder(struct bench *b, enum kind kind, const char *root, const char *name)
{
    char path[4096];
    struct adding a = {b, kind};
    snprintf(path, sizeof(path), "%s/%s", root, name);
    int r = file_walk(path, ".yml", add_file, &a);
    if (r < 0)
        fprintf(stderr, "%s: %s\n", path, strerror(-r));
    return r;
}

static int load(struct bench *b, const char *root)
{
    static const char *const sigma[] = {"sigmahq/rules/linux", "sigmahq/rules/web", "sigmahq/rules/network"};
    const char *corpora = getenv("VONGGAC_CORPORA");
    diags_init(&b->diags, 1000);
    b->names = names_new();
    b->rules = ruleset_new(b->names);
    b->decoders = decoders_new(b->names);
    ruleset_placeholder(b->rules, "admin_networks", STR("10.0.9.0/24"));
    int r = add_folder(b, MAPPINGS, root, "mappings");
    r = r < 0 ? r : add_folder(b, DECODERS, root, "decoders");
    r = r < 0 ? r : add_folder(b, RULES, root, "level3");
    for (size_t i = 0; r >= 0 && corpora && i < ARRAY_LEN(sigma); i++)
        r = add_folder(b, RULES, corpora, sigma[i]);
    if (!corpora)
        puts("VONGGAC_CORPORA is not set: our own rules only");
    r = r < 0 ? r : ruleset_compile(b->rules, &b->diags);
    return r < 0 ? r : decoders_compile(b->decoders, &b->diags);
}

static int decode(struct bench *b, struct str text, const char *type, struct arena *arena)
{
    struct decode_ctx *c = decode_ctx_new(b->decoders);
    struct decode_input in = {.encoding = BATCH_TEXT,
                              .source = STR("bench"),
                              .type = str_of(type),
                              .host = STR("host"),
                              .agent_name = STR("host"),
                              .read_ns = time_now_ns(),
                              .ingested_ns = time_now_ns()};
    b->events = calloc(EVENTS_MAX, sizeof(*b->events));
    int r = 0;
    while (text.len && b->n < EVENTS_MAX && r >= 0) {
        const char *end = memchr(text.p, '\n', text.len);
        size_t len = end ? (size_t)(end - text.p) : text.len;
        in.line = (struct str){text.p, len};
        r = decode_line(c, &in, arena, &b->events[b->n]);
        b->events[b->n].ref.pos = b->n;
        b->n += r >= 0;
        text = (struct str){text.p + len + (end ? 1 : 0), text.len - len - (end ? 1 : 0)};
    }
    decode_ctx_free(c);
    return r < 0 ? r : 0;
}

static void count(const struct match *m, void *ctx)
{
    (void)m;
    ++*(uint64_t *)ctx;
}

static void run(struct bench *b)
{
    struct matcher *m = matcher_new(b->rules, STATE_MEMORY);
    uint64_t events = 0, matches = 0;
    int64_t start = time_monotonic_ns(), now = start;
    while (now - start < RUN_NS) {
        for (size_t i = 0; i < b->n; i++)
            matcher_eval(m, &b->events[i], count, &matches);
        events += b->n;
        now = time_monotonic_ns();
    }
    double ns = (double)(now - start) / (double)events;
    size_t able = 0;
    for (size_t i = 0; i < ruleset_count(b->rules); i++)
        able += !ruleset_rule(b->rules, i)->is_unmapped;
    printf("%zu rules loaded, %zu of them mapped; %zu events; %.0f ns an event, %.0f events/s, %.3f matches an event\n",
           ruleset_count(b->rules), able, b->n, ns, 1e9 / ns, (double)matches / (double)events);
    matcher_free(m);
}

int main(int argc, char **argv)
{
    struct bench b = {0};
    struct arena *arena = arena_new(1024 * MIB);
    struct buf text = BUF_INIT(TEXT_MAX);
    if (argc < 2) {
        fprintf(stderr, "Usage: bench_matcher RULES [FILE [TYPE]]\n");
        return 2;
    }
    int r = load(&b, argv[1]);
    if (r >= 0)
        r = argc > 2 ? file_read(argv[2], &text) : buf_append_z(&text, own_lines);
    if (r >= 0)
        r = decode(&b, buf_str(&text), argc > 3 ? argv[3] : "", arena);
    if (r >= 0)
        run(&b);
    else
        fprintf(stderr, "%s\n", strerror(-r));
    ruleset_free(b.rules);
    decoders_free(b.decoders);
    names_free(b.names);
    diags_clear(&b.diags);
    arena_free(arena);
    buf_clear(&text);
    free(b.events);
    return r < 0;
}
