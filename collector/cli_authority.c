/* SPDX-License-Identifier: Apache-2.0
 *
 * `vonggac authority`: makes the authority that signs the collector's and the agents' certificates, and the collector's
 * own certificate. Keys are written once and never overwritten: with a new authority every agent would have to enrol anew.
 */
#include "collector/cli.h"

#include "collector/pem.h"
#include "common/cert.h"

#include <stdio.h>
#include <sys/stat.h>

/* The names agents will connect to; this machine's own where none is given. */
static void default_names(struct cli_list *names, char host[static 256])
{
    if (names->n > 0)
        return;
    if (gethostname(host, 255) == 0 && host[0])
        names->items[names->n++] = host;
    names->items[names->n++] = "localhost";
    names->items[names->n++] = "127.0.0.1";
    names->items[names->n++] = "::1";
}

static int make_server(const struct collector_config *config, const char *ca_pem, const char *ca_key_pem,
                       struct cli_list *names)
{
    char host[256] = "", *pem = NULL, *key_pem = NULL;
    struct diag diag = {0};
    default_names(names, host);
    int r = cert_make_server(ca_pem, ca_key_pem, names->items, names->n, CERT_SERVER_DAYS, &pem, &key_pem, &diag);
    if (r < 0)
        cli_fail("cannot make the collector's certificate: %s", diag.msg);
    else if ((r = pem_write_pair(config->tls.certificate, pem, config->tls.key, key_pem, &diag)) < 0)
        cli_fail("%s", diag.msg);
    if (r == 0) {
        printf("collector's certificate %s, good for %d days, for", config->tls.certificate, CERT_SERVER_DAYS);
        for (size_t i = 0; i < names->n; i++)
            printf(" %s", names->items[i]);
        putchar('\n');
    }
    free(pem);
    pem_free(key_pem);
    return r;
}

static bool exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

static int init(const struct collector_config *config, const char *name, struct cli_list *names)
{
    const char *const paths[] = {config->tls.authority, config->tls.authority_key};
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        if (exists(paths[i]))
            return cli_fail("%s is there already; an authority is made once", paths[i]);
    }
    char *pem = NULL, *key_pem = NULL;
    struct diag diag = {0};
    int r = cert_make_authority(name, &pem, &key_pem, &diag);
    if (r < 0)
        cli_fail("cannot make the authority: %s", diag.msg);
    else if ((r = pem_write_pair(config->tls.authority, pem, config->tls.authority_key, key_pem, &diag)) < 0)
        cli_fail("%s", diag.msg);
    if (r == 0)
        printf("authority \"%s\" %s, good for %d days\n", name, config->tls.authority, CERT_AUTHORITY_DAYS);
    if (r == 0)
        r = make_server(config, pem, key_pem, names);
    free(pem);
    pem_free(key_pem);
    return r < 0 ? CLI_FAILED : CLI_OK;
}

int cli_authority_init(const struct command *self, int argc, char **argv)
{
    const char *config_path = NULL, *name = "Vong Gac";
    struct cli_list names = {0};
    const struct cli_option options[] = {
        {"config", "FILE", "configuration (default: " COLLECTOR_CONFIG_DEFAULT ")", .text = &config_path},
        {"name", "NAME", "common name of the authority (default: Vong Gac)", .text = &name},
        {"server-name", "NAME", "DNS name or address that agents connect to; may come again", .list = &names},
    };
    int r = cli_parse(self, options, ARRAY_LEN(options), 0, argc, argv, &(int){0});
    if (r != 0)
        return r > 0 ? CLI_OK : CLI_USAGE;
    struct collector_config config;
    if (cli_config(config_path, &config) < 0)
        return CLI_FAILED;
    r = init(&config, name, &names);
    collector_config_clear(&config);
    return r;
}

int cli_authority_server(const struct command *self, int argc, char **argv)
{
    const char *config_path = NULL;
    struct cli_list names = {0};
    const struct cli_option options[] = {
        {"config", "FILE", "configuration (default: " COLLECTOR_CONFIG_DEFAULT ")", .text = &config_path},
        {"server-name", "NAME", "DNS name or address that agents connect to; may come again", .list = &names},
    };
    int r = cli_parse(self, options, ARRAY_LEN(options), 0, argc, argv, &(int){0});
    if (r != 0)
        return r > 0 ? CLI_OK : CLI_USAGE;
    struct collector_config config;
    if (cli_config(config_path, &config) < 0)
        return CLI_FAILED;
    char *ca_pem = NULL, *ca_key_pem = NULL;
    struct diag diag = {0};
    r = pem_read(config.tls.authority, &ca_pem, &diag);
    if (r == 0)
        r = pem_read(config.tls.authority_key, &ca_key_pem, &diag);
    if (r < 0)
        cli_fail("%s", diag.msg);
    else
        r = make_server(&config, ca_pem, ca_key_pem, &names);
    free(ca_pem);
    pem_free(ca_key_pem);
    collector_config_clear(&config);
    return r < 0 ? CLI_FAILED : CLI_OK;
}
