/* SPDX-License-Identifier: Apache-2.0
 *
 * The status file: written by run, read and told by `vonggac-agent status`.
 */
#include "agent/status.h"

#include "agent/commands.h"
#include "agent/counters.h"
#include "common/file.h"
#include "common/time.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>

#define STATUS_MAX (256 * KIB)

static int path_of(const char *state_dir, char *ret, size_t size)
{
    return (size_t)snprintf(ret, size, "%s/status.json", state_dir) < size ? 0 : -ENAMETOOLONG;
}

static int member(struct buf *out, const char *name, const char *value)
{
    int r = buf_printf(out, ",\n \"%s\": ", name);
    return r < 0 ? r : buf_append_json(out, str_of(value));
}

int status_write(const char *state_dir, const struct sink *sink, const struct uplink *uplink, const char *collector,
                 bool running)
{
    char path[4096], id[ID_TEXT_LEN];
    struct uplink_status up;
    struct buf out CLEANUP(buf_clear) = BUF_INIT(STATUS_MAX);
    uplink_status(uplink, &up);
    id_format(sink->agent, id);
    int r = path_of(state_dir, path, sizeof(path));
    if (r == 0)
        r = buf_printf(&out,
                       "{\"time_ns\": %" PRId64 ",\n \"pid\": %d,\n \"since_ns\": %" PRId64
                       ",\n \"certificate_until_ns\": %" PRId64,
                       time_now_ns(), running ? (int)getpid() : 0, up.since_ns, up.cert_until_ns);
    const char *const members[][2] = {
        {"version", VONGGAC_VERSION},
        {"agent", id},
        {"host", sink->host},
        {"collector", collector},
        {"state", running ? uplink_state_name(up.state) : "stopped"},
        {"address", up.peer},
        {"error", up.last_error},
    };
    for (size_t i = 0; i < ARRAY_LEN(members) && r == 0; i++)
        r = member(&out, members[i][0], members[i][1]);
    if (r == 0)
        r = buf_append_z(&out, ",\n \"metrics\": ");
    if (r == 0)
        r = metrics_json(agent_metrics, M_COUNT, &out);
    if (r == 0)
        r = buf_append_z(&out, "}\n");
    return r < 0 ? r : file_write_atomic(path, buf_str(&out), 0644);
}

/* --- the command --- */

static int64_t metric(const json_t *o, enum agent_metric m)
{
    return json_integer_value(json_object_get(json_object_get(o, "metrics"), agent_metrics[m].name));
}

static const char *text(const json_t *o, const char *name)
{
    const char *z = json_string_value(json_object_get(o, name));
    return z ? z : "";
}

static void say_date(const char *what, int64_t ns)
{
    char at[TIME_RFC3339_LEN];
    time_format_rfc3339(ns, at);
    printf("%-13s %.10s %.8s UTC\n", what, at, at + 11);
}

/* What a person should look into: every row that should be zero and is not. */
static void say_trouble(const json_t *o)
{
    static const enum agent_metric rows[] = {
        M_FILES_UNREADABLE, M_FILES_OVER_LIMIT, M_FILES_NO_DESCRIPTOR, M_FILES_GONE,      M_BYTES_LOST,
        M_LINES_CUT,        M_READ_ERRORS,      M_JOURNAL_CURSOR_LOST, M_JOURNAL_ERRORS,  M_JOURNAL_MISSING,
        M_JOURNAL_CUT,      M_SPOOL_FULL,       M_SPOOL_DAMAGED_BYTES, M_POSITION_ERRORS, M_SPOOL_WRITE_ERRORS,
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (metric(o, rows[i]) != 0)
            printf("attention     %s: %lld\n", agent_metrics[rows[i]].help, (long long)metric(o, rows[i]));
}

static bool say(const json_t *o)
{
    int64_t time_ns = json_integer_value(json_object_get(o, "time_ns")), age = time_now_ns() - time_ns;
    bool stopped = json_integer_value(json_object_get(o, "pid")) == 0, old = age > STATUS_OLD_NS;
    bool up = !stopped && !old && strcmp(text(o, "state"), "connected") == 0;
    printf("%-13s %s (version %s)\n", "agent", text(o, "agent"), text(o, "version"));
    printf("%-13s %s\n", "state", stopped ? "stopped" : old ? "not running, or it hangs" : text(o, "state"));
    if (stopped || old)
        say_date("last seen", time_ns);
    printf("%-13s %s %s\n", "collector", text(o, "collector"), text(o, "address"));
    if (!up && *text(o, "error"))
        printf("%-13s %s\n", "reason", text(o, "error"));
    if (json_integer_value(json_object_get(o, "certificate_until_ns")) > 0)
        say_date("certificate", json_integer_value(json_object_get(o, "certificate_until_ns")));
    printf("%-13s %lld files, %lld lines and entries, %lld batches acknowledged of %lld\n", "since start",
           (long long)metric(o, M_FILES), (long long)metric(o, M_RECORDS), (long long)metric(o, M_ACKED),
           (long long)metric(o, M_BATCHES));
    printf("%-13s %lld bytes waiting\n", "spool", (long long)metric(o, M_SPOOL_BYTES));
    say_trouble(o);
    return up;
}

int command_status(int argc, char **argv)
{
    const char *config = CONFIG_DEFAULT;
    bool as_json = false, ok = false;
    const struct command_option opts[] = {{.name = "config", .value = &config}, {.name = "json", .flag = &as_json}};
    struct agent_config cfg;
    char path[4096];
    struct buf file CLEANUP(buf_clear) = BUF_INIT(STATUS_MAX);
    if (options_parse(argc, argv, opts, ARRAY_LEN(opts)) < 0)
        return EXIT_USAGE;
    if (config_open(config, &cfg) < 0)
        return EXIT_FAILED;
    int r = path_of(cfg.state_dir, path, sizeof(path));
    if (r == 0)
        r = file_read(path, &file);
    agent_config_clear(&cfg);
    if (r < 0) {
        fprintf(stderr, "vonggac-agent status: %s: %s\n", path,
                r == -ENOENT ? "the agent has not run yet" : strerror(-r));
        return EXIT_FAILED;
    }
    json_t *o = json_loadb((const char *)file.data, file.len, 0, NULL);
    if (!json_is_object(o)) {
        fprintf(stderr, "vonggac-agent status: %s is damaged\n", path);
    } else if (as_json) {
        fwrite(file.data, 1, file.len, stdout);
        ok = true;
    } else {
        ok = say(o);
    }
    json_decref(o);
    return ok ? EXIT_OK : EXIT_FAILED;
}
