/* SPDX-License-Identifier: Apache-2.0
 *
 * `vonggac status`: is the collector well? From a running collector's counters (GET /metrics on the API's Unix socket) and
 * from state.db; without a running collector it says so, shows what the database tells, and exits 1.
 */
#include "collector/cli.h"

#include "collector/stats.h"
#include "collector/store.h"
#include "common/time.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#define ANSWER_MAX (1 * MIB)
#define WAIT_S     5

/* ---- the running collector ---- */

static int talk(int fd, struct buf *answer)
{
    static const char request[] = "GET /metrics HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    if (send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) != (ssize_t)sizeof(request) - 1)
        return -errno;
    for (;;) {
        uint8_t *tail;
        int r = buf_reserve(answer, 16 * KIB, &tail);
        if (r < 0)
            return r;
        ssize_t n = recv(fd, tail, 16 * KIB, 0);
        if (n < 0)
            return -errno;
        if (n == 0)
            return 0;
        answer->len += (size_t)n;
    }
}

/* Fills answer with the Prometheus text. 0, or why there is none. */
static int ask_collector(const char *socket_path, struct buf *answer)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    if (strlen(socket_path) >= sizeof(sa.sun_path))
        return -ENAMETOOLONG;
    memcpy(sa.sun_path, socket_path, strlen(socket_path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    const struct timeval wait = {.tv_sec = WAIT_S};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
    int r = connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ? -errno : talk(fd, answer);
    close(fd);
    if (r < 0)
        return r;
    if (!str_starts(buf_str(answer), STR("HTTP/1.0 200")) && !str_starts(buf_str(answer), STR("HTTP/1.1 200")))
        return -EPROTO;
    const char *body = memmem(answer->data, answer->len, "\r\n\r\n", 4);
    if (!body)
        return -EPROTO;
    buf_consume(answer, (size_t)(body + 4 - (const char *)answer->data));
    return 0;
}

/* "name value" lines into this program's own table of counters, so that the rest reads them as the collector does. */
static void read_metrics(struct str text)
{
    while (text.len > 0) {
        const char *newline = memchr(text.p, '\n', text.len);
        struct str line = {text.p, newline ? (size_t)(newline - text.p) : text.len};
        size_t used = line.len + (newline ? 1 : 0);
        text.p += used;
        text.len -= used;
        const char *space = line.len ? memchr(line.p, ' ', line.len) : NULL;
        if (!space || line.p[0] == '#')
            continue;
        struct str name = {line.p, (size_t)(space - line.p)};
        struct str value = {space + 1, line.len - name.len - 1};
        int64_t v;
        for (size_t i = 0; i < STAT_COUNT; i++) {
            if (str_eq(str_of(collector_stats[i].name), name) && parse_i64(value, INT64_MIN, INT64_MAX, &v) == 0)
                stat_set((enum stat_id)i, v);
        }
    }
}

/* ---- the database ---- */

enum fact { AGENTS, AGENTS_SILENT, AGENTS_REVOKED, ALERTS_OPEN, OUTBOX_QUEUED, CHECKPOINT, N_FACTS };

static const struct {
    const char *name, *text, *sql;
} facts[N_FACTS] = {
    [AGENTS] = {"agents", "agents enrolled", "SELECT count(*) FROM agents WHERE revoked_ns IS NULL"},
    [AGENTS_SILENT] = {"agents_silent", "agents silent",
                       "SELECT count(*) FROM agents WHERE revoked_ns IS NULL AND silent_since_ns IS NOT NULL"},
    [AGENTS_REVOKED] = {"agents_revoked", "agents revoked", "SELECT count(*) FROM agents WHERE revoked_ns IS NOT NULL"},
    [ALERTS_OPEN] = {"alerts_open", "alerts not closed", "SELECT count(*) FROM alerts WHERE status <> 'closed'"},
    [OUTBOX_QUEUED] = {"outbox_queued", "reports waiting to be sent",
                       "SELECT count(*) FROM outbox WHERE state = 'queued'"},
    [CHECKPOINT] = {"checkpoint", "archive position of detection", "SELECT coalesce(max(pos), 0) FROM checkpoint"},
};

static int read_facts(const char *path, int64_t ret[static N_FACTS], struct diag *diag)
{
    sqlite3 *db = NULL;
    int r = store_open(path, STORE_READER, &db, diag);
    for (size_t i = 0; r == 0 && i < N_FACTS; i++) {
        sqlite3_stmt *s = NULL;
        r = store_prepare(db, &facts[i].sql, 1, &s, diag);
        if (r == 0 && (r = store_row(s, diag)) == 1) {
            ret[i] = store_col_int(s, 0);
            r = 0;
        }
        sqlite3_finalize(s);
    }
    store_close(db);
    return r;
}

/* ---- printing ---- */

static void print_json(bool is_running, const int64_t *values)
{
    printf("{\"running\":%s", is_running ? "true" : "false");
    for (size_t i = 0; i < N_FACTS; i++)
        printf(",\"%s\":%lld", facts[i].name, (long long)values[i]);
    for (size_t i = 0; is_running && i < STAT_COUNT; i++)
        printf(",\"%s\":%lld", collector_stats[i].name, (long long)stat_get((enum stat_id)i));
    puts("}");
}

static void print_text(bool is_running, int why, const char *socket_path, const int64_t *values)
{
    static const enum stat_id shown[] = {STAT_AGENTS_CONNECTED, STAT_EVENTS, STAT_DETECT_LAG_EVENTS,
                                         STAT_ALERTS_NEW,       STAT_RULES,  STAT_RULE_ERRORS,
                                         STAT_DISK_FREE};
    if (is_running)
        puts("collector is running");
    else
        printf("collector is NOT running (%s: %s)\n", socket_path, strerror(-why));
    for (size_t i = 0; i < N_FACTS; i++)
        printf("  %-44s %lld\n", facts[i].text, (long long)values[i]);
    for (size_t i = 0; is_running && i < ARRAY_LEN(shown); i++)
        printf("  %-44s %lld\n", collector_stats[shown[i]].help, (long long)stat_get(shown[i]));
    for (size_t i = 0; is_running && i < STAT_COUNT; i++) {
        if (stat_is_drop((enum stat_id)i) && stat_get((enum stat_id)i) > 0)
            printf("! %-44s %lld\n", collector_stats[i].help, (long long)stat_get((enum stat_id)i));
    }
}

int cli_status(const struct command *self, int argc, char **argv)
{
    const char *config_path = NULL;
    bool json = false;
    const struct cli_option options[] = {
        {"config", "FILE", "configuration (default: " COLLECTOR_CONFIG_DEFAULT ")", .text = &config_path},
        {"json", NULL, "print one JSON object with every counter", .flag = &json},
    };
    int r = cli_parse(self, options, ARRAY_LEN(options), 0, argc, argv, &(int){0});
    if (r != 0)
        return r > 0 ? CLI_OK : CLI_USAGE;
    struct collector_config config;
    if (cli_config(config_path, &config) < 0)
        return CLI_FAILED;

    int64_t values[N_FACTS] = {0};
    struct diag diag = {0};
    struct buf answer = BUF_INIT(ANSWER_MAX);
    int database = read_facts(config.db_path, values, &diag);
    int running = ask_collector(config.api.socket, &answer);
    if (running == 0)
        read_metrics(buf_str(&answer));
    if (json)
        print_json(running == 0, values);
    else
        print_text(running == 0, running, config.api.socket, values);
    if (database < 0)
        cli_fail("%s", diag.msg);
    buf_clear(&answer);
    collector_config_clear(&config);
    return running == 0 && database == 0 ? CLI_OK : CLI_FAILED;
}
