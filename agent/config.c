/* SPDX-License-Identifier: Apache-2.0
 *
 * agent.yml: one option table, and files[] which is a list of maps and so is read by hand.
 */
#include "agent/config.h"

#include "agent/registry.h"

#include <errno.h>
#include <stdio.h>

#define LIST_MAX 256

#define OPT(k, t, member, ...)                                                                                         \
    {                                                                                                                  \
        .key = k, .type = t, .offset = offsetof(struct agent_config, member), __VA_ARGS__                              \
    }

static const struct option options[] = {
    OPT("collector.host", OPT_STR, collector_host, .help = "name or address of the collector; default: as enrolled"),
    OPT("collector.port", OPT_INT, collector_port, .def = "4714", .min = 1, .max = 65535, .help = "its TCP port"),
    OPT("state_dir", OPT_PATH, state_dir, .def = "/var/lib/vonggac-agent",
        .help = "keys, positions and spool; must belong to the user the agent runs as"),
    OPT("spool.max", OPT_SIZE, spool_max, .def = "1GiB", .min = 4 * 1024 * 1024,
        .help = "disk space for what the collector has not taken yet; when full, sources wait"),
    OPT("linger", OPT_DURATION, linger_ns, .def = "100ms", .min = 1000000, .max = 60 * NS_PER_S,
        .help = "how long a line may wait for others to share its batch"),
    OPT("zstd_level", OPT_INT, zstd_level, .def = "1", .min = 1, .max = 19, .help = "compression level"),
    OPT("host", OPT_STR, host, .help = "host name to report; default: this machine's"),
    OPT("demo", OPT_BOOL, demo, .def = "false", .help = "mark everything sent as a demonstration"),
    OPT("files", OPT_NODE, files_node,
        .help = "list of {name, paths: [globs], exclude: [globs], type, start: beginning|end}"),
    OPT("files_max", OPT_INT, files_max, .def = "4096", .min = 1, .max = 16384, .help = "followed files at most"),
    OPT("journal.enabled", OPT_BOOL, journal_enabled, .def = "true", .help = "read the systemd journal"),
    OPT("journal.directory", OPT_PATH, journal_directory, .help = "journal files to read; default: the system's"),
    OPT("journal.since", OPT_DURATION, journal_since_ns, .def = "24h", .max = 3650 * 86400 * NS_PER_S,
        .help = "how far back to read when the journal is met for the first time"),
    OPT("log.level", OPT_STR, log_level, .def = "info", .help = "error, warn, info or debug"),
};

static int fail(struct diags *diags, const char *file, const struct yaml *at, const char *msg, struct str what)
{
    struct diag d;
    int r = diag_at(&d, -EINVAL, at ? at->line : 0, at ? at->col : 0, "%s" STR_FMT, msg, STR_ARG(what));
    diags_add(diags, file, false, &d);
    return r;
}

/* A scalar or a list of scalars. */
static int read_list(const struct yaml *y, const char *file, struct strlist *ret, struct diags *diags)
{
    size_t n = y->kind == YAML_LIST ? y->n : 1;
    if (y->kind == YAML_MAP || n > LIST_MAX)
        return fail(diags, file, y, "must be a list of paths", (struct str){0});
    ret->items = calloc(n ? n : 1, sizeof(ret->items[0]));
    if (!ret->items)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        const struct yaml *one = y->kind == YAML_LIST ? y->items[i] : y;
        if (yaml_is_null(one) || one->kind != YAML_SCALAR || one->text.len == 0)
            return fail(diags, file, one ? one : y, "must be a path", (struct str){0});
        ret->items[ret->n] = strdup(one->text.p);
        if (!ret->items[ret->n++])
            return -ENOMEM;
    }
    return 0;
}

static bool is_name(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", s.p[i]) || s.p[i] == 0)
            return false;
    return s.len > 0 && s.len <= 64;
}

static int read_text(const struct yaml *y, const char *file, size_t max, char **ret, struct diags *diags)
{
    if (yaml_is_null(y) || y->kind != YAML_SCALAR || y->text.len > max)
        return fail(diags, file, y, "must be a short text", (struct str){0});
    *ret = strdup(y->text.p);
    return *ret ? 0 : -ENOMEM;
}

static int read_key(struct file_source *s, struct str key, const struct yaml *v, const struct yaml *at,
                    const char *file, struct diags *diags)
{
    if (str_eq(key, STR("name")))
        return read_text(v, file, 64, &s->name, diags);
    if (str_eq(key, STR("type")))
        return read_text(v, file, 128, &s->type, diags);
    if (str_eq(key, STR("paths")))
        return read_list(v, file, &s->paths, diags);
    if (str_eq(key, STR("exclude")))
        return read_list(v, file, &s->exclude, diags);
    if (!str_eq(key, STR("start")))
        return fail(diags, file, at, "unknown key (known: name, paths, exclude, type, start): ", key);
    s->from_end = str_eq(v->text, STR("end"));
    if (v->kind != YAML_SCALAR || (!s->from_end && !str_eq(v->text, STR("beginning"))))
        return fail(diags, file, v, "start must be 'beginning' or 'end'", (struct str){0});
    return 0;
}

static int check_source(const struct agent_config *cfg, const struct file_source *s, const struct yaml *at,
                        const char *file, struct diags *diags)
{
    if (!s->name || !is_name(str_of(s->name)))
        return fail(diags, file, at, "needs a name of letters, digits, '.', '_' and '-', at most 64", (struct str){0});
    for (const struct file_source *other = cfg->sources; other < s; other++)
        if (strcmp(other->name, s->name) == 0)
            return fail(diags, file, at, "this name is used twice: ", str_of(s->name));
    if (s->paths.n == 0)
        return fail(diags, file, at, "needs paths", (struct str){0});
    for (size_t i = 0; i < s->paths.n; i++)
        if (s->paths.items[i][0] != '/')
            return fail(diags, file, at, "a path must be absolute: ", str_of(s->paths.items[i]));
    return 0;
}

static int read_source(struct agent_config *cfg, const struct yaml *y, const char *file, struct diags *diags)
{
    struct file_source *s = &cfg->sources[cfg->n_sources++];
    if (!y || y->kind != YAML_MAP)
        return fail(diags, file, y ? y : cfg->files_node, "each entry of files is a map", (struct str){0});
    for (size_t i = 0; i < y->n; i++) {
        int r = read_key(s, y->keys[i]->text, y->items[i], y->keys[i], file, diags);
        if (r < 0)
            return r;
    }
    if (!s->type)
        s->type = strdup("");
    if (!s->type)
        return -ENOMEM;
    return check_source(cfg, s, y, file, diags);
}

static int read_sources(struct agent_config *cfg, const char *file, struct diags *diags)
{
    const struct yaml *list = cfg->files_node;
    if (yaml_is_null(list))
        return 0;
    if (list->kind != YAML_LIST || list->n > SOURCES_MAX)
        return fail(diags, file, list, "files must be a list of at most 256 entries", (struct str){0});
    cfg->sources = calloc(list->n ? list->n : 1, sizeof(cfg->sources[0]));
    if (!cfg->sources)
        return -ENOMEM;
    int r = 0;
    for (size_t i = 0; i < list->n; i++) {
        int one = read_source(cfg, list->items[i], file, diags);
        r = one < 0 ? one : r;
    }
    return r;
}

static int start(struct agent_config *ret)
{
    *ret = (struct agent_config){0};
    ret->arena = arena_new(16 * MIB);
    return ret->arena ? 0 : -ENOMEM;
}

int agent_config_load(const char *path, struct agent_config *ret, struct diags *diags)
{
    int r = start(ret);
    if (r == 0)
        r = config_load(path, options, ARRAY_LEN(options), ret, ret->arena, diags);
    return r < 0 ? r : read_sources(ret, path, diags);
}

int agent_config_parse(struct str text, const char *name, struct agent_config *ret, struct diags *diags)
{
    int r = start(ret);
    if (r == 0)
        r = config_parse(text, name, options, ARRAY_LEN(options), ret, ret->arena, diags);
    return r < 0 ? r : read_sources(ret, name, diags);
}

static void clear_list(struct strlist *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->items[i]);
    free(l->items);
}

void agent_config_clear(struct agent_config *cfg)
{
    for (size_t i = 0; i < cfg->n_sources; i++) {
        free(cfg->sources[i].name);
        free(cfg->sources[i].type);
        clear_list(&cfg->sources[i].paths);
        clear_list(&cfg->sources[i].exclude);
    }
    free(cfg->sources);
    config_clear(options, ARRAY_LEN(options), cfg);
    arena_free(cfg->arena);
    *cfg = (struct agent_config){0};
}

void agent_config_help(void)
{
    config_print_help(options, ARRAY_LEN(options));
}
