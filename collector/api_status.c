/* SPDX-License-Identifier: Apache-2.0
 *
 * How the collector itself is doing: status, agents, rules, and the metrics for Prometheus.
 */
#include "collector/api_internal.h"

#include "collector/archive.h"
#include "collector/content.h"
#include "collector/sql.h"
#include "collector/stix.h"
#include "collector/to_json.h"
#include "common/time.h"

#include <errno.h>
#include <event2/buffer.h>
#include <stdio.h>
#include <sys/statvfs.h>

#define ARCHIVE_LOOK_NS (60 * NS_PER_S)   /* how old the archive's figures may be */
#define GROWTH_MIN_NS   (3600 * NS_PER_S) /* a shorter past says nothing about days to come */
#define DAY_NS          (24 * 3600 * NS_PER_S)
#define LATE_NS         (90 * NS_PER_S) /* three heartbeats */
#define METRICS_MAX     (256 * KIB)

struct status {
    int64_t sampled_ns, sampled_events; /* monotonic */
    double events_per_s;
    int64_t archive_looked_ns; /* monotonic; 0: never */
    uint64_t archive_bytes;
    double archive_growth; /* bytes a day; 0: unknown */
};

int status_open(struct api *api)
{
    struct status *s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->sampled_ns = time_monotonic_ns();
    s->sampled_events = stat_get(STAT_EVENTS);
    api->status = s;
    return 0;
}

struct status *status_close(struct status *s)
{
    free(s);
    return NULL;
}

void status_sample(struct api *api)
{
    struct status *s = api->status;
    int64_t now = time_monotonic_ns(), events = stat_get(STAT_EVENTS);
    if (now - s->sampled_ns < NS_PER_S)
        return;
    s->events_per_s = (double)(events - s->sampled_events) * (double)NS_PER_S / (double)(now - s->sampled_ns);
    s->sampled_ns = now;
    s->sampled_events = events;
}

/* Bytes a day since the newest segment that is at least a day old, or the oldest there is. */
static double growth_of(const struct archive_segment *segments, size_t n, uint64_t end, int64_t now_ns)
{
    size_t i = n;
    while (i > 0 && (i == n || segments[i].created_ns > now_ns - DAY_NS))
        i--;
    if (n == 0 || now_ns - segments[i].created_ns < GROWTH_MIN_NS || end < segments[i].pos)
        return 0;
    return (double)(end - segments[i].pos) * (double)DAY_NS / (double)(now_ns - segments[i].created_ns);
}

static void look_at_archive(struct api *api)
{
    struct status *s = api->status;
    struct archive_segment *segments = NULL;
    size_t n = 0;
    int64_t now = time_monotonic_ns();
    if (s->archive_looked_ns && now - s->archive_looked_ns < ARCHIVE_LOOK_NS)
        return;
    s->archive_looked_ns = now;
    if (archive_segments(api->collector->config.archive_dir, &segments, &n) < 0)
        return;
    s->archive_bytes = 0;
    for (size_t i = 0; i < n; i++)
        s->archive_bytes += segments[i].size_bytes;
    s->archive_growth = growth_of(segments, n, atomic_load(&api->collector->durable_end), time_now_ns());
    free(segments);
}

static uint64_t disk_free(const char *dir)
{
    struct statvfs v;
    return statvfs(dir, &v) == 0 ? (uint64_t)v.f_bavail * v.f_frsize : 0;
}

static int count_agents(struct api *api, int64_t *active, int64_t *total, struct diag *diag)
{
    int64_t since = time_now_ns() - api->collector->config.silence.agent_after_ns;
    int r = sql_int(api->db, total, diag, "SELECT count(*) FROM agents WHERE revoked_ns IS NULL", "");
    if (r == 0)
        r = sql_int(
            api->db, active, diag,
            "SELECT count(*) FROM agents WHERE revoked_ns IS NULL AND silent_since_ns IS NULL AND last_seen_ns > ?",
            "i", since);
    return r;
}

static json_t *drops(void)
{
    json_t *o = json_object();
    for (int i = 0; i < STAT_COUNT; i++) {
        int64_t v = stat_get((enum stat_id)i);
        if (v != 0 && stat_is_drop((enum stat_id)i))
            json_object_set_new(o, collector_stats[i].name, json_integer(v));
    }
    return o;
}

/* May pass 2^53. */
static json_t *big(uint64_t v)
{
    char text[24];
    snprintf(text, sizeof(text), "%llu", (unsigned long long)v);
    return json_string(text);
}

json_t *status_json(struct api *api)
{
    const struct collector *c = api->collector;
    struct status *s = api->status;
    struct diag diag;
    int64_t active = 0, total = 0, now = time_now_ns();
    look_at_archive(api);
    count_agents(api, &active, &total, &diag); /* stays 0 where the database is busy: the next time tells */
    uint64_t free_bytes = disk_free(c->config.state_dir);
    json_t *o = json_pack(
        "{s:s, s:o, s:I, s:f, s:o, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o}", "version", VONGGAC_VERSION, "now",
        to_json_time(now), "uptime_s", (json_int_t)((now - c->started_ns) / NS_PER_S), "events_per_s", s->events_per_s,
        "events_total", big((uint64_t)stat_get(STAT_EVENTS)), "rules_loaded", (json_int_t)stat_get(STAT_RULES),
        "rule_errors", (json_int_t)stat_get(STAT_RULE_ERRORS), "agents_active", (json_int_t)active, "agents_total",
        (json_int_t)total, "disk_free_bytes", big(free_bytes), "archive_bytes", big(s->archive_bytes),
        "detection_lag_events", big((uint64_t)stat_get(STAT_DETECT_LAG_EVENTS)), "drops", drops());
    json_object_set_new(o, "archive_days_left",
                        s->archive_growth > 1 ? json_real((double)free_bytes / s->archive_growth) : json_null());
    return o;
}

void api_status(struct api_call *call)
{
    static const char *const none[] = {NULL};
    struct diag diag = {0};
    int r = http_query_only(&call->query, none, &diag);
    json_t *o = r == 0 ? status_json(call->api) : NULL;
    if (o)
        api_reply(call, 200, o);
    else
        api_fail(call, r < 0 ? r : -ENOMEM, &diag);
}

void api_metrics(struct api_call *call)
{
    struct buf text = BUF_INIT(METRICS_MAX);
    struct evbuffer *out = evbuffer_new();
    int r = metrics_print(collector_stats, STAT_COUNT, &text);
    if (r == 0 && out && evbuffer_add(out, text.data, text.len) == 0) {
        api_set_header(call, "Content-Type", "text/plain; version=0.0.4");
        api_set_header(call, "Cache-Control", "no-store");
        evhttp_send_reply(call->req, 200, "OK", out);
        api_call_free(call);
    } else {
        api_fail(call, -ENOMEM, &(struct diag){0});
    }
    if (out)
        evbuffer_free(out);
    buf_clear(&text);
}

/* --- agents --- */

static const char *agent_state(const struct api *api, sqlite3_stmt *st, int64_t now_ns)
{
    int64_t silent_after = api->collector->config.silence.agent_after_ns, age = now_ns - store_col_int(st, 5);
    if (!sql_is_null(st, 4))
        return "revoked";
    if (sql_is_null(st, 5))
        return "never";
    if (!sql_is_null(st, 6) || age > silent_after)
        return "silent";
    return age > MIN(LATE_NS, silent_after / 2) ? "late" : "active";
}

static int sources_of(sqlite3 *db, struct str agent, json_t *list, struct diag *diag)
{
    SQL_STMT st = NULL;
    int r =
        sql_prepare(db, &st, diag,
                    "SELECT source, last_ns, silent_since_ns FROM sources WHERE agent = ? ORDER BY source", "S", agent);
    while (r >= 0 && (r = store_row(st, diag)) > 0) {
        json_t *o = json_pack("{s:o, s:o, s:b}", "source", to_json_text(store_col_str(st, 0)), "last",
                              to_json_time(store_col_int(st, 1)), "silent", !sql_is_null(st, 2));
        if (json_array_append_new(list, o) < 0)
            r = -ENOMEM;
    }
    return r;
}

static json_t *agent_json(const struct api *api, sqlite3_stmt *st, json_t *sources, int64_t now_ns)
{
    json_t *stats = from_json(store_col_str(st, 7));
    if (!json_is_object(stats)) {
        json_decref(stats);
        stats = json_object();
    }
    return json_pack("{s:o, s:o, s:o, s:s, s:o, s:o, s:o, s:o, s:o}", "id", to_json_text(store_col_str(st, 0)), "host",
                     to_json_text(store_col_str(st, 1)), "version", to_json_text(store_col_str(st, 2)), "state",
                     agent_state(api, st, now_ns), "enrolled", to_json_time(store_col_int(st, 3)), "last_seen",
                     to_json_time_or_null(store_col_int(st, 5), !sql_is_null(st, 5)), "certificate_not_after",
                     to_json_time(store_col_int(st, 8)), "stats", stats, "sources", sources);
}

void api_agents(struct api_call *call)
{
    static const char *const none[] = {NULL};
    sqlite3 *db = call->api->db;
    struct diag diag = {0};
    SQL_STMT st = NULL;
    json_t *list = json_array();
    int r = http_query_only(&call->query, none, &diag);
    if (r == 0)
        r = sql_prepare(db, &st, &diag,
                        "SELECT id, host, version, enrolled_ns, revoked_ns, last_seen_ns, silent_since_ns, stats_json,"
                        " not_after_ns FROM agents ORDER BY host, id",
                        "");
    while (r >= 0 && (r = store_row(st, &diag)) > 0) {
        json_t *sources = json_array();
        r = sources_of(db, store_col_str(st, 0), sources, &diag);
        if (r < 0)
            json_decref(sources);
        else if (json_array_append_new(list, agent_json(call->api, st, sources, time_now_ns())) < 0)
            r = -ENOMEM;
    }
    if (r < 0) {
        json_decref(list);
        api_fail(call, r, &diag);
        return;
    }
    api_reply(call, 200, json_pack("{s:o}", "agents", list));
}

/* --- rules --- */

static int hits_by_rule(sqlite3 *db, json_t **ret, struct diag *diag)
{
    SQL_STMT st = NULL;
    json_t *hits = json_object();
    int r = sql_prepare(
        db, &st, diag, "SELECT rule_id, count(*) FROM alerts INDEXED BY alerts_last WHERE last_ns > ? GROUP BY rule_id",
        "i", time_now_ns() - DAY_NS);
    while (r >= 0 && (r = store_row(st, diag)) > 0) {
        if (json_object_set_new_nocheck(hits, sql_z(st, 0), json_integer(store_col_int(st, 1))) < 0)
            r = -ENOMEM;
    }
    if (r < 0) {
        json_decref(hits);
        return r;
    }
    *ret = hits;
    return 0;
}

static json_t *z_or_null(const char *z)
{
    return to_json_text_or_null(str_of(z));
}

static json_t *rule_json(const struct rule *rule, const json_t *hits)
{
    json_t *tags = json_array();
    for (size_t i = 0; i < rule->n_tags; i++)
        json_array_append_new(tags, z_or_null(rule->tags[i]));
    json_t *n = json_object_get(hits, rule->id);
    return json_pack("{s:o, s:o, s:o, s:i, s:s, s:o, s:o, s:o, s:b, s:I}", "id", z_or_null(rule->id), "title",
                     z_or_null(rule->title), "title_vi", z_or_null(rule->title_vi), "level", (int)rule->level, "kind",
                     rule->kind == RULE_CORRELATION ? "correlation" : "detection", "author", z_or_null(rule->author),
                     "tags", tags, "file", z_or_null(rule->file), "silent", (int)rule->is_silent, "hits_24h",
                     (json_int_t)json_integer_value(n));
}

static json_t *errors_json(const struct diags *diags)
{
    json_t *list = json_array();
    for (size_t i = 0; diags && i < diags->n; i++) {
        const struct diag_entry *e = &diags->entries[i];
        if (e->is_warning)
            continue;
        json_array_append_new(list, json_pack("{s:o, s:i, s:i, s:o}", "file", z_or_null(e->file), "line", e->diag.line,
                                              "column", e->diag.col, "error", z_or_null(e->diag.msg)));
    }
    return list;
}

static json_t *rules_json(struct collector *c, const json_t *hits)
{
    const struct content *content = collector_content_lock(c);
    const struct ruleset *set = content_ruleset(content);
    json_t *list = json_array();
    for (size_t i = 0; i < ruleset_count(set); i++)
        json_array_append_new(list, rule_json(ruleset_rule(set, i), hits));
    /* A reload that was not taken: what was wrong with it is the news. */
    json_t *errors = errors_json(content_diags(c->rejected ? c->rejected : content));
    collector_content_unlock(c);
    return json_pack("{s:o, s:o}", "rules", list, "errors", errors);
}

void api_rules(struct api_call *call)
{
    static const char *const none[] = {NULL};
    struct diag diag = {0};
    json_t *hits = NULL;
    int r = http_query_only(&call->query, none, &diag);
    if (r == 0)
        r = hits_by_rule(call->api->db, &hits, &diag);
    if (r < 0) {
        api_fail(call, r, &diag);
        return;
    }
    json_t *answer = rules_json(call->api->collector, hits);
    json_decref(hits);
    api_reply(call, 200, answer);
}
