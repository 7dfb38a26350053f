/* SPDX-License-Identifier: Apache-2.0
 *
 * A configuration file of any bytes against a table with every type of option: what is accepted is within its limits,
 * what is refused is explained and leaves nothing behind.
 */
#include "common/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct sample {
    char *host, *dir;
    int64_t port, linger_ns;
    bool demo;
    uint64_t spool_bytes;
    struct strlist rules;
    const struct yaml *files;
};

static const struct option opts[] = {
    {"collector.host", OPT_STR, offsetof(struct sample, host), "localhost"},
    {"collector.port", OPT_INT, offsetof(struct sample, port), "4714", 1, 65535},
    {"state_dir", OPT_PATH, offsetof(struct sample, dir), .required = true},
    {"demo", OPT_BOOL, offsetof(struct sample, demo), "false"},
    {"spool.max", OPT_SIZE, offsetof(struct sample, spool_bytes), "1GiB", MIB, 0},
    {"spool.linger", OPT_DURATION, offsetof(struct sample, linger_ns), "100ms", NS_PER_MS, 10 * NS_PER_S},
    {"rules", OPT_LIST, offsetof(struct sample, rules), "[a, b]"},
    {"files", OPT_NODE, offsetof(struct sample, files)},
};

static void require(bool ok)
{
    if (!ok)
        abort();
}

static void check_values(const struct sample *s)
{
    require(s->host && s->dir && s->dir[0] == '/');
    require(s->port >= 1 && s->port <= 65535);
    require(s->spool_bytes >= MIB);
    require(s->linger_ns >= NS_PER_MS && s->linger_ns <= 10 * NS_PER_S);
    for (size_t i = 0; i < s->rules.n; i++)
        require(s->rules.items[i] != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sample target = {0};
    struct diags diags;
    struct arena *arena = arena_new(64 * MIB);
    if (!arena)
        return 0;
    diags_init(&diags, 20);
    int r =
        config_parse((struct str){(const char *)data, size}, "fuzz.yml", opts, ARRAY_LEN(opts), &target, arena, &diags);
    require((r == 0) == (diags.errors == 0));
    require(diags.n <= 20);
    if (r == 0)
        check_values(&target);
    else
        require(!target.host && !target.dir && !target.rules.items && !target.files);
    config_clear(opts, ARRAY_LEN(opts), &target);
    diags_clear(&diags);
    arena_free(arena);
    return 0;
}
