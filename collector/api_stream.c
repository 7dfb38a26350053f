/* SPDX-License-Identifier: Apache-2.0
 *
 * GET /api/stream: server-sent events. Changes are found by their numbers (alerts.change and so on), read once and written to
 * every stream. A new stream first catches up by pages, each asked for when the one before has left for the socket; then it
 * goes along with the others.
 *
 *     CATCHING_UP --has all up to set->alerts--> LIVE
 *
 * evhttp never drops a reader that has stalled, so it is done here: by what waits for it (STREAM_WAITING_MAX) and by the time
 * in which nothing moved (STREAM_STALL_S).
 */
#include "collector/api_internal.h"

#include "collector/alert_json.h"
#include "collector/delivery.h"
#include "collector/incidents.h"
#include "collector/sql.h"
#include "common/log.h"
#include "common/time.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/queue.h>

#define STREAMS_MAX             64
#define STREAMS_PER_SESSION_MAX 4
#define STREAM_WAITING_MAX      (1 * MIB)
#define STREAM_STALL_S          30
#define STREAM_REPLAY_MAX       1000 /* alerts; beyond it the page loads anew */
#define STREAM_PAGE             100
#define LIST_MAX                100 /* incidents or deliveries at once */
#define OBJECTS_SHOWN           100

struct stream {
    LIST_ENTRY(stream) link;
    struct streams *set;
    struct evhttp_request *req;
    struct evhttp_connection *con;
    uint8_t session[SESSION_HASH_LEN];
    int64_t sent; /* while catching up: newest change that was sent */
    bool is_live;
};

struct streams {
    struct api *api;
    LIST_HEAD(, stream) list;
    size_t n;
    int64_t alerts, incidents, deliveries; /* newest change that live streams have */
    struct event *on_more;                 /* a page was full: there is more */
};

static void catch_up(struct stream *s);

/* --- one stream's life --- */

static void forget(struct stream *s)
{
    LIST_REMOVE(s, link);
    s->set->n--;
    stat_set(STAT_API_STREAMS, (int64_t)s->set->n);
    free(s);
}

/* The connection went: evhttp has let go of the request, which is then ours to free; or frees it with the connection. */
static void on_close(struct evhttp_connection *con, void *ctx)
{
    (void)con;
    struct stream *s = ctx;
    if (!evhttp_request_get_connection(s->req))
        evhttp_send_reply_end(s->req);
    forget(s);
}

static void drop(struct stream *s)
{
    struct evhttp_connection *con = s->con;
    evhttp_connection_set_closecb(con, NULL, NULL);
    forget(s);
    evhttp_connection_free(con); /* and the request with it */
}

static size_t waiting(const struct stream *s)
{
    return evbuffer_get_length(bufferevent_get_output(evhttp_connection_get_bufferevent(s->con)));
}

/* False: the stream is gone. */
static bool stream_send(struct stream *s, const void *p, size_t len)
{
    if (waiting(s) > STREAM_WAITING_MAX) {
        log_info("api: a stream's client does not read: dropped");
        stat_add(STAT_API_STREAMS_DROPPED, 1);
        drop(s);
        return false;
    }
    struct evbuffer *out = evbuffer_new();
    if (!out || evbuffer_add(out, p, len) < 0) {
        if (out)
            evbuffer_free(out);
        drop(s);
        return false;
    }
    evhttp_send_reply_chunk(s->req, out);
    evbuffer_free(out);
    return true;
}

/* The last words; the connection closes when they are out. */
static void end(struct stream *s, const char *reason)
{
    char text[80];
    struct evhttp_request *req = s->req;
    int n = snprintf(text, sizeof(text), "event: end\ndata: {\"reason\":\"%s\"}\n\n", reason);
    if (!stream_send(s, text, (size_t)n))
        return;
    evhttp_connection_set_closecb(s->con, NULL, NULL);
    forget(s);
    evhttp_send_reply_end(req);
}

/* --- events as text --- */

static int add_json_text(const char *p, size_t len, void *ctx)
{
    return evbuffer_add(ctx, p, len);
}

/* json: taken. */
static int add_event(struct evbuffer *out, const char *name, const char *id, json_t *json)
{
    int r = json ? 0 : -ENOMEM;
    if (r == 0 && id && evbuffer_add_printf(out, "id: %s\n", id) < 0)
        r = -ENOMEM;
    if (r == 0 && evbuffer_add_printf(out, "event: %s\ndata: ", name) < 0)
        r = -ENOMEM;
    if (r == 0 && json_dump_callback(json, add_json_text, out, JSON_COMPACT) < 0)
        r = -ENOMEM;
    if (r == 0 && evbuffer_add(out, "\n\n", 2) < 0)
        r = -ENOMEM;
    json_decref(json);
    return r;
}

static int add_reset(struct evbuffer *out, int64_t change)
{
    char id[24];
    snprintf(id, sizeof(id), "%" PRId64, change);
    return add_event(out, "reset", id, json_object());
}

/* Alerts with change in (*after, upto], at most STREAM_PAGE of them; moves *after. Returns how many, or an error. */
static int add_alerts(struct api *api, struct evbuffer *out, int64_t *after, int64_t upto, struct diag *diag)
{
    SQL_STMT st = NULL;
    int n = 0;
    int r = sql_prepare(api->db, &st, diag,
                        "SELECT " ALERT_COLUMNS " FROM alerts a WHERE a.change > ? AND a.change <= ? ORDER BY a.change"
                        " LIMIT ?",
                        "iii", *after, upto, (int64_t)STREAM_PAGE);
    while (r >= 0 && (r = store_row(st, diag)) > 0) {
        *after = store_col_int(st, ALERT_CHANGE);
        r = add_event(out, "alert", sql_z(st, ALERT_CHANGE), alert_json(st));
        n++;
    }
    return r < 0 ? r : n;
}

static int add_list(struct evbuffer *out, const char *name, json_t *list)
{
    size_t i;
    json_t *item;
    int r = 0;
    json_array_foreach(list, i, item)
    {
        if (r == 0)
            r = add_event(out, name, NULL, json_incref(item));
    }
    json_decref(list);
    return r;
}

static int newest(struct api *api, const char *sql, int64_t *ret, struct diag *diag)
{
    return sql_int(api->db, ret, diag, sql, "");
}

/* --- everybody --- */

static void broadcast(struct streams *set, struct evbuffer *out)
{
    size_t len = evbuffer_get_length(out);
    if (len == 0)
        return;
    const void *p = evbuffer_pullup(out, -1);
    struct stream *s = LIST_FIRST(&set->list);
    while (s) {
        struct stream *next = LIST_NEXT(s, link);
        if (s->is_live)
            stream_send(s, p, len);
        s = next;
    }
}

/* Alerts: a page, or a reset when there are more than a person could follow. */
static int gather_alerts(struct streams *set, struct evbuffer *out, struct diag *diag)
{
    int64_t max = 0, n = 0;
    int r = newest(set->api, "SELECT coalesce(max(change), 0) FROM alerts", &max, diag);
    if (r < 0 || max == set->alerts)
        return r;
    r = sql_int(set->api->db, &n, diag, "SELECT count(*) FROM alerts WHERE change > ?", "i", set->alerts);
    if (r < 0)
        return r;
    if (n > STREAM_REPLAY_MAX || max < set->alerts) {
        set->alerts = max;
        return add_reset(out, max);
    }
    r = add_alerts(set->api, out, &set->alerts, max, diag);
    if (r < 0)
        return r;
    if (set->alerts < max) {
        static const struct timeval soon = {.tv_usec = 20000}; /* lets this page leave for the sockets first */
        event_add(set->on_more, &soon);
    }
    return 0;
}

static int gather_others(struct streams *set, struct evbuffer *out, struct diag *diag)
{
    int64_t max = 0;
    json_t *list = NULL;
    int r = newest(set->api, "SELECT coalesce(max(change), 0) FROM incidents", &max, diag);
    if (r == 0 && max != set->incidents) {
        r = incident_list(set->api->db, INCIDENT_CHANGED_AFTER, NULL, set->incidents, LIST_MAX, &list, diag);
        if (r == 0)
            r = add_list(out, "incident", list);
        set->incidents = max;
    }
    if (r == 0)
        r = newest(set->api, "SELECT coalesce(max(change), 0) FROM outbox", &max, diag);
    if (r == 0 && max != set->deliveries) {
        r = delivery_list(set->api->db, DELIVERY_CHANGED_AFTER, NULL, set->deliveries, LIST_MAX, OBJECTS_SHOWN, &list,
                          diag);
        if (r == 0)
            r = add_list(out, "outbox", list);
        set->deliveries = max;
    }
    return r;
}

void streams_changed(struct api *api)
{
    struct streams *set = api->streams;
    if (!set || set->n == 0)
        return; /* positions are taken anew when a stream comes */
    struct diag diag = {0};
    struct evbuffer *out = evbuffer_new();
    int r = out ? gather_alerts(set, out, &diag) : -ENOMEM;
    if (r == 0)
        r = gather_others(set, out, &diag);
    if (r == 0)
        broadcast(set, out);
    else
        log_warn("api: stream: %s", diag.msg);
    if (out)
        evbuffer_free(out);
}

static void on_more(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd, (void)what;
    streams_changed(((struct streams *)ctx)->api);
}

static void check_session(struct stream *s)
{
    static const char *const reasons[] = {
        [SESSION_IDLE] = "idle", [SESSION_EXPIRED] = "expired", [SESSION_SIGNED_OUT] = "signed_out"};
    struct api *api = s->set->api;
    struct diag diag = {0};
    enum session_end how = SESSION_LIVES;
    int r = session_check(api->db, &api->limits, s->session, time_now_ns(), &how, &diag);
    if (r < 0)
        log_warn("api: stream: %s", diag.msg);
    else if (how != SESSION_LIVES)
        end(s, reasons[how]);
}

void streams_tick(struct api *api)
{
    struct streams *set = api->streams;
    struct stream *s = LIST_FIRST(&set->list);
    while (s) {
        struct stream *next = LIST_NEXT(s, link);
        check_session(s);
        s = next;
    }
    if (set->n == 0)
        return;
    struct evbuffer *out = evbuffer_new();
    if (out && add_event(out, "status", NULL, status_json(api)) == 0)
        broadcast(set, out);
    if (out)
        evbuffer_free(out);
}

void streams_end_session(struct api *api, const uint8_t hash[static SESSION_HASH_LEN])
{
    struct stream *s = LIST_FIRST(&api->streams->list);
    while (s) {
        struct stream *next = LIST_NEXT(s, link);
        if (memcmp(s->session, hash, SESSION_HASH_LEN) == 0)
            end(s, "signed_out");
        s = next;
    }
}

/* --- a new one --- */

static void on_drained(struct evhttp_connection *con, void *ctx)
{
    (void)con;
    catch_up(ctx);
}

/* Sends the next page; at the end the stream goes live. */
static void catch_up(struct stream *s)
{
    struct diag diag = {0};
    struct streams *set = s->set;
    struct evbuffer *out = evbuffer_new();
    int n = out ? add_alerts(set->api, out, &s->sent, set->alerts, &diag) : -ENOMEM;
    if (n < 0) {
        log_warn("api: stream: %s", diag.msg);
        drop(s);
    } else if (n < STREAM_PAGE) {
        s->is_live = true;
        if (add_event(out, "status", NULL, status_json(set->api)) == 0)
            stream_send(s, evbuffer_pullup(out, -1), evbuffer_get_length(out));
    } else {
        evhttp_send_reply_chunk_with_cb(s->req, out, on_drained, s);
    }
    if (out)
        evbuffer_free(out);
}

/* Where to go on from: the header, else the query, else now. 0 or -EINVAL. */
static int parse_position(struct api_call *call, int64_t now, int64_t *ret, struct diag *diag)
{
    static const char *const names[] = {"after", NULL};
    const char *text = evhttp_find_header(evhttp_request_get_input_headers(call->req), "Last-Event-ID");
    int r = http_query_only(&call->query, names, diag);
    if (r < 0)
        return r;
    if (!text || !text[0])
        text = http_query_get(&call->query, "after");
    *ret = now;
    if (text && parse_i64(str_of(text), 0, INT64_MAX, ret) < 0)
        return diag_set(diag, -EINVAL, "Last-Event-ID or after is not an id of this stream");
    return 0;
}

static size_t count_session(const struct streams *set, const uint8_t *hash)
{
    size_t n = 0;
    const struct stream *s;
    LIST_FOREACH(s, &set->list, link)
    {
        n += memcmp(s->session, hash, SESSION_HASH_LEN) == 0;
    }
    return n;
}

/* Brings the set to the present, so that a new stream's replay and what comes live meet without a gap. */
static int catch_set_up(struct streams *set, struct diag *diag)
{
    if (set->n > 0) {
        streams_changed(set->api);
        return 0;
    }
    int r = newest(set->api, "SELECT coalesce(max(change), 0) FROM alerts", &set->alerts, diag);
    if (r == 0)
        r = newest(set->api, "SELECT coalesce(max(change), 0) FROM incidents", &set->incidents, diag);
    if (r == 0)
        r = newest(set->api, "SELECT coalesce(max(change), 0) FROM outbox", &set->deliveries, diag);
    return r;
}

/* The call's request becomes a stream; the call itself is no longer needed for an answer. */
static struct stream *begin(struct api_call *call, int64_t after)
{
    struct streams *set = call->api->streams;
    struct stream *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    s->set = set;
    s->req = call->req;
    s->con = evhttp_request_get_connection(call->req);
    s->sent = after;
    memcpy(s->session, call->session.hash, sizeof(s->session));
    LIST_INSERT_HEAD(&set->list, s, link);
    set->n++;
    stat_set(STAT_API_STREAMS, (int64_t)set->n);
    api_set_header(call, "Content-Type", "text/event-stream");
    api_set_header(call, "Cache-Control", "no-store");
    api_set_header(call, "X-Accel-Buffering", "no");
    api_set_header(call, "Connection", "close"); /* when it ends, so does the connection */
    evhttp_connection_set_closecb(s->con, on_close, s);
    evhttp_send_reply_start(call->req, 200, "OK");
    static const struct timeval stall = {.tv_sec = STREAM_STALL_S};
    bufferevent_set_timeouts(evhttp_connection_get_bufferevent(s->con), NULL, &stall);
    /* evhttp goes on reading to learn of a close; what a client may send meanwhile is not worth keeping. */
    bufferevent_setwatermark(evhttp_connection_get_bufferevent(s->con), EV_READ, 0, 4096);
    return s;
}

void api_stream(struct api_call *call)
{
    struct streams *set = call->api->streams;
    struct diag diag = {0};
    int64_t after = 0, missed = 0;
    if (evhttp_request_get_command(call->req) == EVHTTP_REQ_HEAD) {
        api_error(call, 405, "method_not_allowed", "a stream has no HEAD");
        return;
    }
    if (set->n >= STREAMS_MAX || count_session(set, call->session.hash) >= STREAMS_PER_SESSION_MAX) {
        api_set_header(call, "Retry-After", "5");
        api_error(call, 503, "busy", "too many streams are open");
        return;
    }
    int r = catch_set_up(set, &diag);
    if (r == 0)
        r = parse_position(call, set->alerts, &after, &diag);
    if (r == 0)
        r = sql_int(call->api->db, &missed, &diag, "SELECT count(*) FROM alerts WHERE change > ?", "i", after);
    struct stream *s = r == 0 ? begin(call, after) : NULL;
    if (!s) {
        api_fail(call, r < 0 ? r : -ENOMEM, &diag);
        return;
    }
    struct evbuffer *out = evbuffer_new();
    if (out)
        evbuffer_add_printf(out, "retry: 2000\n\n");
    if (out && (missed > STREAM_REPLAY_MAX || after > set->alerts)) {
        add_reset(out, set->alerts);
        s->sent = set->alerts;
    }
    if (!out || stream_send(s, evbuffer_pullup(out, -1), evbuffer_get_length(out)))
        catch_up(s);
    if (out)
        evbuffer_free(out);
    api_call_free(call);
}

int streams_open(struct api *api)
{
    struct streams *set = calloc(1, sizeof(*set));
    if (!set)
        return -ENOMEM;
    set->api = api;
    LIST_INIT(&set->list);
    set->on_more = event_new(api->base, -1, 0, on_more, set);
    if (!set->on_more) {
        free(set);
        return -ENOMEM;
    }
    api->streams = set;
    return 0;
}

struct streams *streams_close(struct streams *set)
{
    if (!set)
        return NULL;
    struct stream *s = LIST_FIRST(&set->list);
    while (s) {
        struct stream *next = LIST_NEXT(s, link);
        end(s, "shutdown");
        s = next;
    }
    event_free(set->on_more);
    free(set);
    return NULL;
}
