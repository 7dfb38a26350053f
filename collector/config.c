/* SPDX-License-Identifier: Apache-2.0
 *
 * See config.h. A row's default is what --help-config shows; where a default depends on another option (paths under
 * state_dir) or on the installation (content folders) the row has none and derive() fills it in, so its help says it.
 */
#include "collector/config.h"

#include "common/arena.h"
#include "common/log.h"

#include <errno.h>
#include <stdio.h>

#define AT(member) offsetof(struct collector_config, member)
#define DAY        (24 * 3600 * NS_PER_S)

/* clang-format off */
static const struct option options[] = {
    {"state_dir", OPT_PATH, AT(state_dir), "/var/lib/vonggac", 0, 0, false, "folder of state.db, archive/ and pki/"},
    {"listen.address", OPT_STR, AT(listen.address), "::", 0, 0, false, "address of the agents' port; \"::\" is every IPv6 and IPv4 address"},
    {"listen.port", OPT_INT, AT(listen.port), "4714", 0, 65535, false, "the agents' port; 0 takes a free one and logs it"},
    {"listen.agents_max", OPT_INT, AT(listen.agents_max), "1000", 1, 20000, false, "most agents connected at the same time"},
    {"listen.memory", OPT_SIZE, AT(listen.memory), "256MiB", 4 << 20, INT64_C(1) << 40, false, "most memory for batches being received; agents wait for their turn beyond it"},
    {"tls.authority", OPT_PATH, AT(tls.authority), NULL, 0, 0, false, "certificate of our authority (default: state_dir/pki/ca.crt)"},
    {"tls.authority_key", OPT_PATH, AT(tls.authority_key), NULL, 0, 0, false, "its key, to sign agents' certificates (default: state_dir/pki/ca.key)"},
    {"tls.certificate", OPT_PATH, AT(tls.certificate), NULL, 0, 0, false, "the collector's certificate (default: state_dir/pki/server.crt)"},
    {"tls.key", OPT_PATH, AT(tls.key), NULL, 0, 0, false, "its key (default: state_dir/pki/server.key)"},
    {"archive.segment_max", OPT_SIZE, AT(archive.segment_max), "256MiB", 4 << 20, INT64_C(1) << 40, false, "size at which the archive begins a new file"},
    {"archive.sync_delay", OPT_DURATION, AT(archive.sync_delay_ns), "5ms", 0, NS_PER_S, false, "longest a batch waits for others to be made durable with it"},
    {"archive.reserve", OPT_SIZE, AT(archive.reserve), "1GiB", 0, INT64_C(1) << 50, false, "below this much free space (or 2 % of the disk, if that is less) agents wait"},
    {"rules", OPT_LIST, AT(rules), NULL, 0, 0, false, "rule files or folders (default: the level-3 rules installed)"},
    {"mappings", OPT_LIST, AT(mappings), NULL, 0, 0, false, "field mapping files or folders (default: those installed)"},
    {"decoders", OPT_LIST, AT(decoders), NULL, 0, 0, false, "decoder files or folders (default: those installed)"},
    {"placeholders", OPT_NODE, AT(placeholders), NULL, 0, 0, false, "values for %name% in rules, e.g. {admin_networks: [10.0.9.0/24]}"},
    {"detect.state_memory", OPT_SIZE, AT(detect.state_memory), "256MiB", 1 << 20, INT64_C(1) << 40, false, "most memory for correlation state"},
    {"silence.agent_after", OPT_DURATION, AT(silence.agent_after_ns), "5m", NS_PER_S, 30 * DAY, false, "an agent not heard for this long is silent"},
    {"silence.source_after", OPT_DURATION, AT(silence.source_after_ns), "24h", NS_PER_S, 365 * DAY, false, "a log source without a line for this long is silent"},
    {"api.socket", OPT_PATH, AT(api.socket), "/run/vonggac/api.sock", 0, 0, false, "Unix socket of the console's API"},
    {"session.idle", OPT_DURATION, AT(session.idle_ns), "15m", 60 * NS_PER_S, 15 * 60 * NS_PER_S, false, "a console session ends when nobody has used it for this long (level 3 asks for at most 15 minutes)"},
    {"session.max", OPT_DURATION, AT(session.max_ns), "12h", 600 * NS_PER_S, DAY, false, "a console session ends this long after the sign-in"},
    {"taxii.url", OPT_STR, AT(taxii.url), NULL, 0, 0, false, "national centre: https://host:port/root/collections/ID/; nothing is sent without it"},
    {"taxii.authority", OPT_PATH, AT(taxii.authority), NULL, 0, 0, false, "file of authorities that may sign the centre's certificate (default: the system's)"},
    {"taxii.certificate", OPT_PATH, AT(taxii.certificate), NULL, 0, 0, false, "our client certificate for the centre"},
    {"taxii.key", OPT_PATH, AT(taxii.key), NULL, 0, 0, false, "its key"},
    {"taxii.user", OPT_STR, AT(taxii.user), NULL, 0, 0, false, "user name at the centre, where it asks for one"},
    {"taxii.password_file", OPT_PATH, AT(taxii.password_file), NULL, 0, 0, false, "file with that user's password in its first line"},
    {"soc.name", OPT_STR, AT(soc.name), "Vong Gac", 0, 0, false, "name of this operations centre as the national centre sees it"},
    {"log.level", OPT_STR, AT(log.level), "info", 0, 0, false, "error, warn, info or debug"},
};
/* clang-format on */

static int fill_path(char **path, const char *dir, const char *name)
{
    if (*path)
        return 0;
    return asprintf(path, "%s/%s", dir, name) < 0 ? (*path = NULL, -ENOMEM) : 0;
}

static int fill_list(struct strlist *list, const char *item)
{
    if (list->n > 0)
        return 0;
    free(list->items);
    list->items = malloc(sizeof(*list->items));
    if (!list->items)
        return -ENOMEM;
    list->items[0] = strdup(item);
    list->n = list->items[0] ? 1 : 0;
    return list->n ? 0 : -ENOMEM;
}

static int derive(struct collector_config *c)
{
    int r = fill_path(&c->tls.authority, c->state_dir, "pki/ca.crt");
    if (r == 0)
        r = fill_path(&c->tls.authority_key, c->state_dir, "pki/ca.key");
    if (r == 0)
        r = fill_path(&c->tls.certificate, c->state_dir, "pki/server.crt");
    if (r == 0)
        r = fill_path(&c->tls.key, c->state_dir, "pki/server.key");
    if (r == 0)
        r = fill_path(&c->db_path, c->state_dir, "state.db");
    if (r == 0)
        r = fill_path(&c->archive_dir, c->state_dir, "archive");
    if (r == 0)
        r = fill_list(&c->rules, VONGGAC_DATADIR "/rules/level3");
    if (r == 0)
        r = fill_list(&c->mappings, VONGGAC_DATADIR "/rules/mappings");
    if (r == 0)
        r = fill_list(&c->decoders, VONGGAC_DATADIR "/rules/decoders");
    return r;
}

static int complain(struct diags *diags, const char *file, const char *what)
{
    struct diag d = {0};
    int r = diag_set(&d, -EINVAL, "%s", what);
    diags_add(diags, file, false, &d);
    return r;
}

static int check(const struct collector_config *c, const char *file, struct diags *diags)
{
    int r = 0;
    if (collector_config_log_level(c) < 0)
        r = complain(diags, file, "log.level: must be error, warn, info or debug");
    if (c->placeholders && !yaml_is_null(c->placeholders) && c->placeholders->kind != YAML_MAP)
        r = complain(diags, file, "placeholders: must be a map of name to list of values");
    if (c->taxii.url && !str_starts(str_of(c->taxii.url), STR("https://")))
        r = complain(diags, file, "taxii.url: must begin with https://");
    if (!c->taxii.certificate != !c->taxii.key)
        r = complain(diags, file, "taxii.certificate and taxii.key: give both or none");
    if (!c->taxii.user != !c->taxii.password_file)
        r = complain(diags, file, "taxii.user and taxii.password_file: give both or none");
    return r;
}

int collector_config_load(const char *path, struct collector_config *ret, struct diags *diags)
{
    struct collector_config c = {.arena = arena_new(2 * YAML_BYTES_MAX)};
    if (!c.arena)
        return -ENOMEM;
    int r = config_load(path, options, ARRAY_LEN(options), &c, c.arena, diags);
    if (r == 0)
        r = check(&c, path, diags);
    if (r == 0)
        r = derive(&c);
    if (r < 0) {
        collector_config_clear(&c);
        return r;
    }
    *ret = c;
    return 0;
}

void collector_config_clear(struct collector_config *c)
{
    config_clear(options, ARRAY_LEN(options), c);
    free(c->db_path);
    free(c->archive_dir);
    arena_free(c->arena);
    *c = (struct collector_config){0};
}

void collector_config_help(void)
{
    config_print_help(options, ARRAY_LEN(options));
}

int collector_config_log_level(const struct collector_config *c)
{
    static const struct {
        const char *name;
        int level;
    } levels[] = {
        {"error", LOG_LEVEL_ERROR}, {"warn", LOG_LEVEL_WARN}, {"info", LOG_LEVEL_INFO}, {"debug", LOG_LEVEL_DEBUG}};
    for (size_t i = 0; i < ARRAY_LEN(levels); i++) {
        if (c->log.level && strcmp(c->log.level, levels[i].name) == 0)
            return levels[i].level;
    }
    return -EINVAL;
}
