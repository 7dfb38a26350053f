/* SPDX-License-Identifier: Apache-2.0
 *
 * `vonggac agent`: tokens to enrol agents with, the list of agents, and revoking one. They work on state.db directly, so they
 * need no running collector; a running one notices a revocation within two seconds.
 */
#include "collector/cli.h"

#include "collector/agents.h"
#include "collector/pem.h"
#include "collector/store.h"
#include "common/cert.h"
#include "common/time.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>

#define TTL_MAX  (30 * 24 * 3600 * NS_PER_S)
#define USES_MAX 10000

#define CONFIG_OPTION(path)                                                                                            \
    {                                                                                                                  \
        "config", "FILE", "configuration (default: " COLLECTOR_CONFIG_DEFAULT ")", .text = (path)                      \
    }

static int open_store(const char *config_path, enum store_mode mode, struct collector_config *config, sqlite3 **ret)
{
    struct diag diag = {0};
    if (cli_config(config_path, config) < 0)
        return -EINVAL;
    int r = store_open(config->db_path, mode, ret, &diag);
    if (r < 0) {
        cli_fail("%s", diag.msg);
        collector_config_clear(config);
    }
    return r;
}

static void who_am_i(char ret[static 32])
{
    snprintf(ret, 32, "cli:%u", (unsigned)getuid());
}

/* ---- token ---- */

static int make_token(sqlite3 *db, const struct collector_config *config, int64_t ttl_ns, int64_t uses,
                      const char *note)
{
    uint8_t fingerprint[CERT_FINGERPRINT_LEN], secret[FRAME_TOKEN_LEN];
    char by[32], text[TOKEN_TEXT_LEN];
    char *pem = NULL;
    struct diag diag = {0};
    int r = pem_read(config->tls.authority, &pem, &diag);
    if (r == 0)
        r = cert_info(pem, fingerprint, NULL, NULL, NULL, &diag);
    free(pem);
    who_am_i(by);
    if (r == 0)
        r = agents_token_new(db, ttl_ns, uses, str_of(note), str_of(by), secret, &diag);
    if (r < 0)
        return cli_fail("%s", diag.msg);
    token_format(fingerprint, secret, text);
    puts(text);
    sodium_memzero(secret, sizeof(secret));
    sodium_memzero(text, sizeof(text));
    return CLI_OK;
}

int cli_agent_token(const struct command *self, int argc, char **argv)
{
    const char *config_path = NULL, *ttl = "1h", *uses_text = "1", *note = "";
    const struct cli_option options[] = {
        CONFIG_OPTION(&config_path),
        {"ttl", "TIME", "how long it may be used, e.g. 10m, 1h, 7d (default: 1h)", .text = &ttl},
        {"uses", "N", "how many agents may enrol with it (default: 1)", .text = &uses_text},
        {"note", "TEXT", "what it is for, kept in the audit trail", .text = &note},
    };
    int r = cli_parse(self, options, ARRAY_LEN(options), 0, argc, argv, &(int){0});
    if (r != 0)
        return r > 0 ? CLI_OK : CLI_USAGE;
    int64_t ttl_ns, uses;
    if (parse_duration(str_of(ttl), &ttl_ns) < 0 || ttl_ns < NS_PER_S || ttl_ns > TTL_MAX)
        return cli_usage(self, "--ttl: a time from 1s to 30d, not '%s'", ttl);
    if (parse_i64(str_of(uses_text), 1, USES_MAX, &uses) < 0)
        return cli_usage(self, "--uses: a number from 1 to %d, not '%s'", USES_MAX, uses_text);
    struct collector_config config;
    sqlite3 *db = NULL;
    if (open_store(config_path, STORE_DURABLE, &config, &db) < 0)
        return CLI_FAILED;
    r = make_token(db, &config, ttl_ns, uses, note);
    store_close(db);
    collector_config_clear(&config);
    return r;
}

/* ---- list ---- */

enum { ID, HOST, VERSION, ENROLLED, LAST_SEEN, SILENT, REVOKED, NOT_AFTER };
static const char list_sql[] = "SELECT id, host, version, enrolled_ns, last_seen_ns, silent_since_ns, revoked_ns,"
                               " not_after_ns FROM agents ORDER BY host, id";

static const char *state_of(sqlite3_stmt *s)
{
    if (store_col_int(s, REVOKED))
        return "revoked";
    if (!store_col_int(s, LAST_SEEN))
        return "never";
    return store_col_int(s, SILENT) ? "silent" : "active";
}

static int add_text(struct buf *out, const char *separator, const char *name, struct str value)
{
    int r = buf_printf(out, "%s\"%s\":", separator, name);
    return r < 0 ? r : buf_append_json(out, value);
}

static int add_time(struct buf *out, const char *name, int64_t ts_ns)
{
    char at[TIME_RFC3339_LEN];
    if (ts_ns == 0)
        return buf_printf(out, ",\"%s\":null", name);
    time_format_rfc3339(ts_ns, at);
    return buf_printf(out, ",\"%s\":\"%s\"", name, at);
}

static int print_json(sqlite3_stmt *s, bool is_first)
{
    struct buf out = BUF_INIT(64 * KIB);
    int r = add_text(&out, is_first ? "{" : ",\n{", "id", store_col_str(s, ID));
    if (r == 0)
        r = add_text(&out, ",", "host", store_col_str(s, HOST));
    if (r == 0)
        r = add_text(&out, ",", "version", store_col_str(s, VERSION));
    if (r == 0)
        r = add_text(&out, ",", "state", str_of(state_of(s)));
    if (r == 0)
        r = add_time(&out, "enrolled", store_col_int(s, ENROLLED));
    if (r == 0)
        r = add_time(&out, "last_seen", store_col_int(s, LAST_SEEN));
    if (r == 0)
        r = add_time(&out, "certificate_not_after", store_col_int(s, NOT_AFTER));
    if (r == 0)
        fwrite(out.data, 1, out.len, stdout);
    buf_clear(&out);
    putchar('}');
    return r;
}

/* Host names come from agents: nothing that a terminal would obey. */
static void print_plain(struct str s, int width)
{
    int n = 0;
    for (size_t i = 0; i < s.len; i++, n++)
        putchar((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f ? '?' : s.p[i]);
    printf("%*s", n < width ? width - n : 0, "");
}

static void print_line(sqlite3_stmt *s)
{
    char seen[TIME_RFC3339_LEN] = "-";
    if (store_col_int(s, LAST_SEEN)) {
        time_format_rfc3339(store_col_int(s, LAST_SEEN), seen);
        memcpy(seen + 19, "Z", 2); /* whole seconds are enough for people */
    }
    struct str id = store_col_str(s, ID);
    printf("%-36.*s  ", (int)id.len, id.p);
    print_plain(store_col_str(s, HOST), 24);
    printf("  %-8s  %-20s  ", state_of(s), seen);
    print_plain(store_col_str(s, VERSION), 0);
    putchar('\n');
}

static int list(sqlite3 *db, bool json)
{
    const char *const sql[] = {list_sql};
    sqlite3_stmt *s = NULL;
    struct diag diag = {0};
    int r = store_prepare(db, sql, 1, &s, &diag);
    if (r < 0)
        return cli_fail("%s", diag.msg);
    size_t n = 0;
    if (json)
        fputs("[", stdout);
    while ((r = store_row(s, &diag)) == 1) {
        if (!json && n == 0)
            printf("%-36s  %-24s  %-8s  %-20s  %s\n", "ID", "HOST", "STATE", "LAST SEEN", "VERSION");
        if (!json)
            print_line(s);
        else if ((r = print_json(s, n == 0)) < 0)
            break;
        n++;
    }
    sqlite3_finalize(s);
    if (json)
        fputs("]\n", stdout);
    else if (n == 0)
        fputs("no agents yet: 'vonggac agent token' makes a token to enrol one\n", stderr);
    return r < 0 ? cli_fail("%s", diag.msg) : CLI_OK;
}

int cli_agent_list(const struct command *self, int argc, char **argv)
{
    const char *config_path = NULL;
    bool json = false;
    const struct cli_option options[] = {
        CONFIG_OPTION(&config_path),
        {"json", NULL, "print a JSON array", .flag = &json},
    };
    int r = cli_parse(self, options, ARRAY_LEN(options), 0, argc, argv, &(int){0});
    if (r != 0)
        return r > 0 ? CLI_OK : CLI_USAGE;
    struct collector_config config;
    sqlite3 *db = NULL;
    if (open_store(config_path, STORE_READER, &config, &db) < 0)
        return CLI_FAILED;
    r = list(db, json);
    store_close(db);
    collector_config_clear(&config);
    return r;
}

/* ---- revoke ---- */

int cli_agent_revoke(const struct command *self, int argc, char **argv)
{
    const char *config_path = NULL;
    const struct cli_option options[] = {CONFIG_OPTION(&config_path)};
    int n = 0;
    int r = cli_parse(self, options, ARRAY_LEN(options), 1, argc, argv, &n);
    if (r != 0)
        return r > 0 ? CLI_OK : CLI_USAGE;
    uint8_t id[ID_LEN];
    if (n != 1 || id_parse(str_of(argv[0]), id) < 0)
        return cli_usage(self, "give the id of one agent, as 'vonggac agent list' shows it");
    struct collector_config config;
    struct diag diag = {0};
    sqlite3 *db = NULL;
    char by[32];
    if (open_store(config_path, STORE_DURABLE, &config, &db) < 0)
        return CLI_FAILED;
    who_am_i(by);
    r = agents_revoke(db, id, str_of(by), time_now_ns(), &diag);
    store_close(db);
    collector_config_clear(&config);
    if (r == -EALREADY) {
        printf("%s was revoked before\n", argv[0]);
        return CLI_OK;
    }
    if (r < 0)
        return cli_fail("%s", diag.msg);
    printf("%s is revoked\n", argv[0]);
    return CLI_OK;
}
