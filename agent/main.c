/* SPDX-License-Identifier: Apache-2.0
 *
 * vonggac-agent: the commands, their options and the configuration they read.
 */
#include "agent/commands.h"

#include "agent/dial.h"
#include "common/file.h"
#include "common/log.h"

#include <errno.h>

#define COLLECTOR_FILE "collector"

static const struct command commands[] = {
    {"run", "[--config FILE]", "follow the sources and send them; stays in the foreground", command_run},
    {"enroll", "[--config FILE] [--collector HOST[:PORT]] [--token-file FILE|-] [--user NAME] [--force]",
     "get a certificate from the collector with a token (from a file or standard input)", command_enroll},
    {"status", "[--config FILE] [--json]", "what the running agent is doing", command_status},
    {"check", "[--config FILE]", "check configuration, access to the sources, certificate and connection",
     command_check},
};

static void usage(FILE *out)
{
    fprintf(out, "Usage: vonggac-agent COMMAND [OPTION]...\n"
                 "Sends this machine's logs to a Vọng Gác collector: each line exactly once, over mutual TLS.\n\n");
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        fprintf(out, "  %s %s\n      %s\n", commands[i].name, commands[i].usage, commands[i].help);
    fprintf(out,
            "\n  --help         this text\n"
            "  --help-config  every option of the configuration file\n"
            "  --version      the version\n\n"
            "The configuration is read from %s unless --config names another.\n"
            "Exit status: 0 done, 1 failed, 2 wrong usage.\n",
            CONFIG_DEFAULT);
}

static int set_option(const struct command_option *o, const char *value, bool has_value)
{
    if (o->flag && has_value) {
        fprintf(stderr, "vonggac-agent: --%s takes no value\n", o->name);
        return -EINVAL;
    }
    if (o->flag)
        *o->flag = true;
    else
        *o->value = value;
    return 0;
}

int options_parse(int argc, char **argv, const struct command_option *opts, size_t n)
{
    for (int i = 1; i < argc; i++) {
        struct str arg = str_of(argv[i]);
        const char *eq = strchr(argv[i], '=');
        struct str name = {arg.p + 2, (eq ? (size_t)(eq - arg.p) : arg.len) - 2};
        const struct command_option *o = NULL;
        for (size_t k = 0; k < n && str_starts(arg, STR("--")); k++)
            if (str_eq(name, str_of(opts[k].name)))
                o = &opts[k];
        if (!o) {
            fprintf(stderr, "vonggac-agent %s: unknown argument '%s' (see --help)\n", argv[0], argv[i]);
            return -EINVAL;
        }
        bool needs_next = o->value && !eq;
        if (needs_next && i + 1 == argc) {
            fprintf(stderr, "vonggac-agent %s: --%s needs a value\n", argv[0], o->name);
            return -EINVAL;
        }
        int r = set_option(o, eq ? eq + 1 : needs_next ? argv[++i] : NULL, eq != NULL);
        if (r < 0)
            return r;
    }
    return 0;
}

static int collector_path(const struct agent_config *cfg, char *ret, size_t size)
{
    return (size_t)snprintf(ret, size, "%s/" COLLECTOR_FILE, cfg->state_dir) < size ? 0 : -ENAMETOOLONG;
}

static void enrolled_collector_load(struct agent_config *cfg)
{
    char path[4096];
    struct buf text CLEANUP(buf_clear) = BUF_INIT(512);
    uint16_t port = (uint16_t)cfg->collector_port;
    if (collector_path(cfg, path, sizeof(path)) < 0 || file_read(path, &text) < 0)
        return;
    if (dial_parse(str_trim(buf_str(&text)), &cfg->collector_host, &port) == 0)
        cfg->collector_port = port;
}

int enrolled_collector_save(const struct agent_config *cfg, const char *host, uint16_t port)
{
    char path[4096];
    struct buf text CLEANUP(buf_clear) = BUF_INIT(512);
    int r = collector_path(cfg, path, sizeof(path));
    if (r == 0)
        r = buf_printf(&text, strchr(host, ':') ? "[%s]:%u\n" : "%s:%u\n", host, port);
    return r < 0 ? r : file_write_atomic(path, buf_str(&text), 0644);
}

int config_open(const char *path, struct agent_config *cfg)
{
    struct diags diags;
    diags_init(&diags, 50);
    int r = agent_config_load(path, cfg, &diags);
    log_diags(&diags);
    if (r < 0 && diags.n == 0)
        fprintf(stderr, "vonggac-agent: %s: %s\n", path, strerror(-r));
    diags_clear(&diags);
    if (r < 0)
        agent_config_clear(cfg);
    else if (!cfg->collector_host)
        enrolled_collector_load(cfg);
    return r;
}

int main(int argc, char **argv)
{
    log_init("vonggac-agent", LOG_LEVEL_INFO);
    const char *word = argc > 1 ? argv[1] : "";
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0) {
        usage(stdout);
        return EXIT_OK;
    }
    if (strcmp(word, "--version") == 0) {
        printf("vonggac-agent %s\n", VONGGAC_VERSION);
        return EXIT_OK;
    }
    if (strcmp(word, "--help-config") == 0) {
        agent_config_help();
        return EXIT_OK;
    }
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        if (strcmp(word, commands[i].name) != 0)
            continue;
        if (argc > 2 && strcmp(argv[2], "--help") == 0) {
            printf("Usage: vonggac-agent %s %s\n%s\n", commands[i].name, commands[i].usage, commands[i].help);
            return EXIT_OK;
        }
        return commands[i].run(argc - 1, argv + 1);
    }
    if (*word)
        fprintf(stderr, "vonggac-agent: unknown command '%s'\n", word);
    usage(stderr);
    return EXIT_USAGE;
}
