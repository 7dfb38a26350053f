/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of the API share. A request becomes a struct api_call; its route's handler answers it, at once or, after
 * api_defer, from a worker's done. Everything here runs on the API's thread.
 */
#pragma once

#include "collector/api.h"
#include "collector/collector.h"
#include "collector/event_text.h"
#include "collector/http.h"
#include "collector/login_guard.h"
#include "collector/sessions.h"
#include "collector/worker.h"

#include <event2/event.h>
#include <event2/http.h>
#include <jansson.h>

#define API_BODY_MAX       (64 * KIB)
#define API_HEADERS_MAX    (16 * KIB)
#define API_TIMEOUT_S      30
#define API_QUERY_TIME_NS  (3 * NS_PER_S)  /* a query that holds up the loop longer is ended: 503 */
#define API_SEARCH_TIME_NS (10 * NS_PER_S) /* a search has its own thread and may take longer */
#define API_ADDRESS_MAX    64

struct streams; /* api_stream.c */
struct status;  /* api_status.c */

struct api {
    struct collector *collector;
    pthread_t thread;
    struct event_base *base;
    struct evhttp *http;
    struct notify stopping;
    struct event *on_stopping, *on_changed, *on_tick;
    sqlite3 *db;
    int64_t query_deadline_ns; /* monotonic; 0: none */
    struct session_limits limits;
    struct login_guard *guard;
    struct worker *passwords; /* one thread: 64 MiB each time it hashes */
    struct worker *readers;   /* one thread: reads the archive */
    struct worker *searches;  /* one thread: walks over the alerts, on a connection of its own */
    struct {
        sqlite3 *db;
        struct event_text *text;
        int64_t deadline_ns; /* monotonic */
    } search;                /* the searches' thread only */
    struct streams *streams;
    struct status *status;
    int64_t ticks;
};

enum route_flag {
    ROUTE_OPEN = 1,    /* no session */
    ROUTE_EARLY = 2,   /* allowed while the password must be changed */
    ROUTE_PASSIVE = 4, /* does not count as use of the session */
};

struct api_call {
    struct api *api;
    struct evhttp_request *req;
    const struct route *route;
    struct http_query query;
    json_t *body;  /* POST: an object */
    char *path;    /* owned */
    struct str id; /* what stands for '*' in the route's path; in `path` */
    char address[API_ADDRESS_MAX];
    struct session session; /* but for ROUTE_OPEN */
    bool is_deferred;
};

struct route {
    enum evhttp_cmd_type method; /* EVHTTP_REQ_GET answers HEAD too */
    const char *path;            /* may hold one '*', for one segment */
    unsigned flags;
    void (*handle)(struct api_call *call);
};

/* Answers and ends the call. body: taken; NULL with 204. */
void api_reply(struct api_call *call, int status, json_t *body);
void api_error(struct api_call *call, int status, const char *code, const char *fmt, ...) PRINTF_LIKE(4, 5);

/* From an errno: -EINVAL 400, -ENOENT 404, -EEXIST 409, -EBUSY and a query that took too long 503, anything else 500
 * (logged; the client is not told what). */
void api_fail(struct api_call *call, int err, const struct diag *diag);

void api_set_header(struct api_call *call, const char *name, const char *value);

void api_call_free(struct api_call *call); /* only where the request lives on by itself: a stream */

/* The handler returns without an answer; somebody will call api_reply, api_error or api_fail later. */
void api_defer(struct api_call *call);
bool api_client_is_gone(const struct api_call *call);

/* Every member of the body must be among `names` (NULL-terminated). 0 or -EINVAL with the reason. */
int api_body_only(const struct api_call *call, const char *const *names, struct diag *diag);
/* A string member. Absent: NULL. -EINVAL: another type, no UTF-8, control characters, or longer than max characters. */
int api_body_text(const struct api_call *call, const char *name, size_t max_chars, const char **ret, struct diag *diag);
/* A list of at most max distinct, non-empty strings; *ret is owned, its items are borrowed. Repeats are left out. */
int api_body_ids(const struct api_call *call, const char *name, size_t max, const char ***ret, size_t *ret_n,
                 struct diag *diag);

/* Looks at what has changed in the database now rather than at the next notice, and tells the streams. */
void api_changed(struct api *api);

/* api_session.c */
void api_login(struct api_call *call);
void api_logout(struct api_call *call);
void api_me(struct api_call *call);
void api_password(struct api_call *call);

/* api_alerts.c */
void api_alerts(struct api_call *call);
void api_alert(struct api_call *call);
void api_alert_events(struct api_call *call);
void api_alerts_status(struct api_call *call);
int api_history(sqlite3 *db, const char *object, json_t **ret, struct diag *diag); /* audit rows of an object */

/* api_incidents.c */
void api_incidents(struct api_call *call);
void api_incident(struct api_call *call);
void api_incident_create(struct api_call *call);
void api_outbox(struct api_call *call);
void api_outbox_retry(struct api_call *call);

/* api_status.c */
void api_agents(struct api_call *call);
void api_rules(struct api_call *call);
void api_status(struct api_call *call);
void api_metrics(struct api_call *call);
int status_open(struct api *api);
struct status *status_close(struct status *s);
void status_sample(struct api *api);  /* every tick: rates */
json_t *status_json(struct api *api); /* as GET /api/status; NULL: out of memory */

/* api_stream.c */
void api_stream(struct api_call *call);
int streams_open(struct api *api);
struct streams *streams_close(struct streams *s); /* tells them "shutdown" */
void streams_changed(struct api *api);            /* alerts, incidents or deliveries changed */
void streams_tick(struct api *api);               /* status, and sessions that have ended */
void streams_end_session(struct api *api, const uint8_t hash[static SESSION_HASH_LEN]);

#define API_TICK_S 5
