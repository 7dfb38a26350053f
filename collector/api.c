/* SPDX-License-Identifier: Apache-2.0
 *
 * See api.h. From the socket to the handler: what every request must be before a handler sees it. The routes are one
 * visible array.
 */
#include "collector/api_internal.h"

#include "collector/store.h"
#include "common/log.h"
#include "common/time.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/keyvalq_struct.h>
#include <stdio.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define LISTEN_BACKLOG 256
#define PASSWORD_QUEUE 8
#define READER_QUEUE   8
#define SEARCH_QUEUE   16
#define SWEEP_TICKS    12 /* once a minute */
#define TOUCH_BUSY_MS  20

static const struct route routes[] = {
    {EVHTTP_REQ_POST, "/api/login", ROUTE_OPEN, api_login},
    {EVHTTP_REQ_POST, "/api/logout", ROUTE_EARLY, api_logout},
    {EVHTTP_REQ_GET, "/api/me", ROUTE_EARLY, api_me},
    {EVHTTP_REQ_POST, "/api/password", ROUTE_EARLY, api_password},
    {EVHTTP_REQ_GET, "/api/alerts", 0, api_alerts},
    {EVHTTP_REQ_POST, "/api/alerts/status", 0, api_alerts_status},
    {EVHTTP_REQ_GET, "/api/alerts/*", 0, api_alert},
    {EVHTTP_REQ_GET, "/api/alerts/*/events", 0, api_alert_events},
    {EVHTTP_REQ_GET, "/api/incidents", 0, api_incidents},
    {EVHTTP_REQ_POST, "/api/incidents", 0, api_incident_create},
    {EVHTTP_REQ_GET, "/api/incidents/*", 0, api_incident},
    {EVHTTP_REQ_GET, "/api/outbox", 0, api_outbox},
    {EVHTTP_REQ_POST, "/api/outbox/*/retry", 0, api_outbox_retry},
    {EVHTTP_REQ_GET, "/api/agents", 0, api_agents},
    {EVHTTP_REQ_GET, "/api/rules", 0, api_rules},
    {EVHTTP_REQ_GET, "/api/status", ROUTE_PASSIVE, api_status},
    {EVHTTP_REQ_GET, "/api/stream", ROUTE_PASSIVE, api_stream},
    {EVHTTP_REQ_GET, "/metrics", ROUTE_OPEN, api_metrics},
};

/* --- what a request must be --- */

static const char *header(const struct api_call *call, const char *name)
{
    return evhttp_find_header(evhttp_request_get_input_headers(call->req), name);
}

static size_t count_header(const struct api_call *call, const char *name)
{
    size_t n = 0;
    for (struct evkeyval *h = TAILQ_FIRST(evhttp_request_get_input_headers(call->req)); h; h = TAILQ_NEXT(h, next))
        n += strcasecmp(h->key, name) == 0;
    return n;
}

/* A request that two programs could read in two ways is not read at all. */
static bool is_unambiguous(const struct api_call *call)
{
    static const char *const single[] = {"Content-Length", "Host",         "Content-Type", "Cookie",
                                         "Origin",         "X-CSRF-Token", "X-Real-IP"};
    const char *uri = evhttp_request_get_uri(call->req);
    for (size_t i = 0; i < ARRAY_LEN(single); i++) {
        if (count_header(call, single[i]) > 1)
            return false;
    }
    return header(call, "Host") && !header(call, "Transfer-Encoding") && uri && uri[0] == '/' && !strpbrk(uri, "#\\ ");
}

/* "host:port" of an origin such as "https://host:port". */
static const char *origin_host(const char *origin)
{
    const char *at = strstr(origin, "://");
    return at ? at + 3 : "";
}

static size_t host_len(const char *host)
{
    const char *bracket = host[0] == '[' ? strchr(host, ']') : NULL;
    return bracket ? (size_t)(bracket - host) + 1 : strcspn(host, ":");
}

/* The browser's own word on where the request comes from, when it gives it. nginx may pass the Host without its port. */
static bool is_same_origin(const struct api_call *call)
{
    const char *site = header(call, "Sec-Fetch-Site"), *origin = header(call, "Origin"), *host = header(call, "Host");
    if (site && strcmp(site, "same-origin") != 0)
        return false;
    if (!origin)
        return true;
    const char *from = origin_host(origin);
    size_t n = host_len(host);
    if (host_len(from) != n || strncasecmp(from, host, n) != 0)
        return false;
    return !host[n] || strcmp(from + n, host + n) == 0;
}

static bool has_csrf(const struct api_call *call)
{
    const char *token = header(call, "X-CSRF-Token");
    return token && http_equal_secret(str_of(token), str_of(call->session.csrf));
}

/* '*' in the pattern is one segment that is not empty; it is given back. */
static bool path_matches(const char *pattern, const char *path, struct str *ret_id)
{
    const char *star = strchr(pattern, '*');
    if (!star)
        return strcmp(pattern, path) == 0;
    size_t head = (size_t)(star - pattern);
    if (strncmp(pattern, path, head) != 0)
        return false;
    size_t len = strcspn(path + head, "/");
    *ret_id = (struct str){path + head, len};
    return len > 0 && strcmp(path + head + len, star + 1) == 0;
}

static const struct route *find_route(struct api_call *call, bool *ret_has_path)
{
    enum evhttp_cmd_type method = evhttp_request_get_command(call->req);
    if (method == EVHTTP_REQ_HEAD)
        method = EVHTTP_REQ_GET;
    for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
        struct str id = {0};
        if (!path_matches(routes[i].path, call->path, &id))
            continue;
        *ret_has_path = true;
        if (routes[i].method == method) {
            call->id = id;
            return &routes[i];
        }
    }
    return NULL;
}

/* Notes that a person used the session. When somebody else writes at this moment the next request will do. */
static int touch(struct api_call *call, int64_t now_ns, struct diag *diag)
{
    struct api *api = call->api;
    sqlite3_busy_timeout(api->db, TOUCH_BUSY_MS);
    int r = session_touch(api->db, &call->session, now_ns, diag);
    sqlite3_busy_timeout(api->db, STORE_BUSY_MS);
    return r == -EBUSY ? 0 : r;
}

/* 0, or the call has been answered. */
static int check_session(struct api_call *call)
{
    struct api *api = call->api;
    struct diag diag = {0};
    int64_t now = time_now_ns();
    int r = session_find(api->db, &api->limits, http_cookie(header(call, "Cookie"), SESSION_COOKIE), now,
                         &call->session, &diag);
    if (r == -ENOENT) {
        api_error(call, 401, "unauthenticated", "sign in first");
        return -1;
    }
    if (r == 0 && !(call->route->flags & ROUTE_PASSIVE) && !header(call, "X-Background"))
        r = touch(call, now, &diag);
    if (r < 0) {
        api_fail(call, r, &diag);
        return -1;
    }
    if (call->route->method == EVHTTP_REQ_POST && !has_csrf(call)) {
        api_error(call, 403, "csrf", "the header X-CSRF-Token is missing or wrong");
        return -1;
    }
    if (call->session.must_change && !(call->route->flags & ROUTE_EARLY)) {
        api_error(call, 403, "must_change_password", "change your password first");
        return -1;
    }
    return 0;
}

/* 0, or the call has been answered. */
static int read_body(struct api_call *call)
{
    struct evbuffer *in = evhttp_request_get_input_buffer(call->req);
    size_t len = evbuffer_get_length(in);
    const char *type = header(call, "Content-Type");
    if (len == 0) {
        call->body = json_object();
        return 0;
    }
    if (len > API_BODY_MAX) {
        api_error(call, 413, "too_large", "the request is larger than 64 KiB");
        return -1;
    }
    if (!type || !str_eq_nocase((struct str){type, strcspn(type, "; ")}, STR("application/json"))) {
        api_error(call, 415, "bad_request", "the body must be application/json");
        return -1;
    }
    json_error_t e;
    call->body = json_loadb((const char *)evbuffer_pullup(in, -1), len, JSON_REJECT_DUPLICATES, &e);
    if (!json_is_object(call->body)) {
        api_error(call, 400, "bad_request", "the body is not a JSON object: %s", call->body ? "another type" : e.text);
        return -1;
    }
    return 0;
}

static void set_address(struct api_call *call)
{
    const char *address = header(call, "X-Real-IP"); /* nginx's word: nobody else reaches the socket */
    snprintf(call->address, sizeof(call->address), "%s", address ? address : "local");
}

static void dispatch(struct api_call *call)
{
    struct diag diag = {0};
    bool has_path = false;
    const char *uri = evhttp_request_get_uri(call->req);
    if (!is_unambiguous(call)) {
        api_set_header(call, "Connection", "close");
        api_error(call, 400, "bad_request", "this request can be read in more than one way");
        return;
    }
    size_t len = strcspn(uri, "?");
    free(call->path);
    call->path = strndup(uri, len);
    call->route = call->path ? find_route(call, &has_path) : NULL;
    if (!call->route) {
        api_error(call, has_path ? 405 : 404, has_path ? "method_not_allowed" : "not_found",
                  has_path ? "no such method here" : "no such path");
        return;
    }
    int r = http_query_parse(uri[len] ? uri + len + 1 : NULL, &call->query, &diag);
    if (r < 0) {
        api_fail(call, r == -E2BIG ? -EINVAL : r, &diag);
        return;
    }
    set_address(call);
    if (call->route->method == EVHTTP_REQ_POST && !is_same_origin(call)) {
        api_error(call, 403, "csrf", "this request comes from another site");
        return;
    }
    if (!(call->route->flags & ROUTE_OPEN) && check_session(call) < 0)
        return;
    if (call->route->method == EVHTTP_REQ_POST && read_body(call) < 0)
        return;
    call->route->handle(call);
}

static void on_request(struct evhttp_request *req, void *ctx)
{
    struct api *api = ctx;
    struct api_call *call = calloc(1, sizeof(*call));
    char *path = strdup("?"); /* until it is known: for messages */
    if (!call || !path) {
        free(call);
        free(path);
        evhttp_send_error(req, 503, NULL);
        return;
    }
    call->api = api;
    call->req = req;
    call->path = path;
    api->query_deadline_ns = time_monotonic_ns() + API_QUERY_TIME_NS;
    dispatch(call);
    api->query_deadline_ns = 0;
}

/* --- the loop --- */

static int on_query_progress(void *ctx)
{
    const struct api *api = ctx;
    return api->query_deadline_ns && time_monotonic_ns() >= api->query_deadline_ns;
}

static int on_search_progress(void *ctx)
{
    const struct api *api = ctx;
    return time_monotonic_ns() >= api->search.deadline_ns;
}

void api_changed(struct api *api)
{
    streams_changed(api);
}

static void on_changed(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd, (void)what;
    struct api *api = ctx;
    notify_clear(&api->collector->alerts_changed);
    streams_changed(api);
}

static void on_stopping(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd, (void)what;
    struct api *api = ctx;
    event_base_loopbreak(api->base);
}

static void on_tick(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd, (void)what;
    struct api *api = ctx;
    struct diag diag = {0};
    status_sample(api);
    streams_changed(api); /* what no notice told of: another program's change */
    streams_tick(api);
    if (api->ticks++ % SWEEP_TICKS == 0 && session_sweep(api->db, &api->limits, time_now_ns(), &diag) < 0)
        log_warn("api: %s", diag.msg);
}

static void *run(void *ctx)
{
    struct api *api = ctx;
    event_base_dispatch(api->base);
    if (!event_base_got_break(api->base)) { /* nobody asked for it */
        log_error("api: the event loop failed");
        collector_fail(api->collector, -EIO);
    }
    /* Answers that wait for a worker are given (or refused) while their connections still exist. */
    api->searches = worker_stop(api->searches);
    api->readers = worker_stop(api->readers);
    api->passwords = worker_stop(api->passwords);
    api->streams = streams_close(api->streams);
    for (int i = 0; i < 8; i++)
        event_base_loop(api->base, EVLOOP_NONBLOCK); /* lets the last words out */
    return NULL;
}

/* --- start and stop --- */

/* Left behind by a program that was killed, or somebody's living socket? */
static int remove_stale(const char *path, struct diag *diag)
{
    struct stat st;
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    if (lstat(path, &st) < 0)
        return errno == ENOENT ? 0 : diag_set(diag, -errno, "%s: %s", path, strerror(errno));
    if (!S_ISSOCK(st.st_mode))
        return diag_set(diag, -EEXIST, "%s is in the way and is no socket", path);
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
    CLEANUP(close_fd) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0)
        return diag_set(diag, -EADDRINUSE, "%s is in use by another collector", path);
    return unlink(path) == 0 ? 0 : diag_set(diag, -errno, "%s: %s", path, strerror(errno));
}

static int listen_on(struct api *api, const char *path, struct diag *diag)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(addr.sun_path))
        return diag_set(diag, -ENAMETOOLONG, "api.socket: the path is longer than %zu bytes",
                        sizeof(addr.sun_path) - 1);
    int r = remove_stale(path, diag);
    if (r < 0)
        return r;
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* Nobody can connect before listen, so there is no moment with wider rights. */
    if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || chmod(path, 0660) < 0 ||
        listen(fd, LISTEN_BACKLOG) < 0) {
        r = diag_set(diag, -errno, "cannot listen on %s: %s", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return r;
    }
    if (!evhttp_accept_socket_with_handle(api->http, fd)) {
        close(fd);
        return diag_set(diag, -ENOMEM, "out of memory");
    }
    return 0;
}

static int open_http(struct api *api, struct diag *diag)
{
    api->http = evhttp_new(api->base);
    if (!api->http)
        return diag_set(diag, -ENOMEM, "out of memory");
    evhttp_set_allowed_methods(api->http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST);
    evhttp_set_max_headers_size(api->http, API_HEADERS_MAX);
    evhttp_set_max_body_size(api->http, API_BODY_MAX);
    evhttp_set_timeout(api->http, API_TIMEOUT_S);
    evhttp_set_default_content_type(api->http, NULL);
    evhttp_set_gencb(api->http, on_request, api);
    return listen_on(api, api->collector->config.api.socket, diag);
}

static int open_events(struct api *api)
{
    static const struct timeval tick = {.tv_sec = API_TICK_S};
    int r = notify_open(&api->stopping);
    if (r < 0)
        return r;
    api->on_stopping = event_new(api->base, api->stopping.fd, EV_READ, on_stopping, api);
    api->on_changed = event_new(api->base, api->collector->alerts_changed.fd, EV_READ | EV_PERSIST, on_changed, api);
    api->on_tick = event_new(api->base, -1, EV_PERSIST, on_tick, api);
    if (!api->on_stopping || !api->on_changed || !api->on_tick || event_add(api->on_stopping, NULL) < 0 ||
        event_add(api->on_changed, NULL) < 0 || event_add(api->on_tick, &tick) < 0)
        return -ENOMEM;
    return 0;
}

static int open_state(struct api *api, struct diag *diag)
{
    int r = store_open(api->collector->config.db_path, STORE_DURABLE, &api->db, diag);
    if (r == 0)
        r = store_open(api->collector->config.db_path, STORE_READER, &api->search.db, diag);
    if (r < 0)
        return r;
    api->search.text = event_text_new();
    api->guard = login_guard_new();
    if (!api->search.text || !api->guard)
        return -ENOMEM;
    sqlite3_progress_handler(api->db, 10000, on_query_progress, api);
    sqlite3_progress_handler(api->search.db, 10000, on_search_progress, api);
    api->search.deadline_ns = INT64_MAX;
    return event_text_register(api->search.text, api->search.db);
}

static int open_all(struct api *api, struct diag *diag)
{
    int r = open_state(api, diag);
    if (r == 0) {
        api->base = event_base_new();
        r = api->base ? open_events(api) : -ENOMEM;
    }
    if (r == 0)
        r = worker_start("api-password", PASSWORD_QUEUE, api->base, &api->passwords);
    if (r == 0)
        r = worker_start("api-reader", READER_QUEUE, api->base, &api->readers);
    if (r == 0)
        r = worker_start("api-search", SEARCH_QUEUE, api->base, &api->searches);
    if (r == 0)
        r = streams_open(api);
    if (r == 0)
        r = status_open(api);
    if (r == 0)
        r = open_http(api, diag);
    return r;
}

static void destroy(struct api *api)
{
    worker_stop(api->searches);
    worker_stop(api->readers);
    worker_stop(api->passwords);
    streams_close(api->streams);
    if (api->http)
        evhttp_free(api->http);
    struct event *events[] = {api->on_stopping, api->on_changed, api->on_tick};
    for (size_t i = 0; i < ARRAY_LEN(events); i++) {
        if (events[i])
            event_free(events[i]);
    }
    if (api->base)
        event_base_free(api->base);
    notify_close(&api->stopping);
    status_close(api->status);
    login_guard_free(api->guard);
    store_close(api->db);
    store_close(api->search.db);
    event_text_free(api->search.text);
    free(api);
}

int api_start(struct collector *c)
{
    struct api *api = calloc(1, sizeof(*api));
    struct diag diag = {0};
    if (!api)
        return -ENOMEM;
    api->collector = c;
    api->stopping.fd = -1;
    api->limits = (struct session_limits){c->config.session.idle_ns, c->config.session.max_ns};
    int r = open_all(api, &diag);
    if (r == 0)
        r = -pthread_create(&api->thread, NULL, run, api);
    if (r < 0) {
        log_error("api: %s", diag.msg[0] ? diag.msg : strerror(-r));
        destroy(api);
        return r;
    }
    pthread_setname_np(api->thread, "api");
    c->api = api;
    return 0;
}

void api_stop(struct collector *c)
{
    struct api *api = c->api;
    notify_raise(&api->stopping);
    pthread_join(api->thread, NULL);
    unlink(c->config.api.socket);
    destroy(api);
    c->api = NULL;
}
