/* SPDX-License-Identifier: Apache-2.0
 *
 * What handlers say and read: answers, errors in the API's one form, members of a request's body.
 */
#include "collector/api_internal.h"

#include "common/log.h"
#include "common/time.h"

#include <errno.h>
#include <event2/buffer.h>
#include <stdio.h>

/* --- answers --- */

static const char *reason_of(int status)
{
    static const struct {
        int status;
        const char *reason;
    } reasons[] = {{200, "OK"},
                   {201, "Created"},
                   {204, "No Content"},
                   {400, "Bad Request"},
                   {401, "Unauthorized"},
                   {403, "Forbidden"},
                   {404, "Not Found"},
                   {405, "Method Not Allowed"},
                   {409, "Conflict"},
                   {413, "Content Too Large"},
                   {415, "Unsupported Media Type"},
                   {423, "Locked"},
                   {429, "Too Many Requests"},
                   {500, "Internal Server Error"},
                   {503, "Service Unavailable"}};
    for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
        if (reasons[i].status == status)
            return reasons[i].reason;
    }
    return "";
}

void api_call_free(struct api_call *call)
{
    http_query_clear(&call->query);
    json_decref(call->body);
    free(call->path);
    free(call);
}

void api_set_header(struct api_call *call, const char *name, const char *value)
{
    evhttp_add_header(evhttp_request_get_output_headers(call->req), name, value);
}

static int add_json(const char *p, size_t len, void *ctx)
{
    return evbuffer_add(ctx, p, len);
}

void api_reply(struct api_call *call, int status, json_t *body)
{
    struct evbuffer *out = NULL;
    api_set_header(call, "Cache-Control", "no-store");
    if (body) {
        out = evbuffer_new();
        if (!out || json_dump_callback(body, add_json, out, JSON_COMPACT) < 0) {
            log_error("api: an answer to %s could not be written", call->path);
            status = 500;
            if (out)
                evbuffer_drain(out, evbuffer_get_length(out));
        }
        json_decref(body);
        api_set_header(call, "Content-Type", "application/json");
        api_set_header(call, "X-Content-Type-Options", "nosniff");
    }
    if (out && evhttp_request_get_command(call->req) == EVHTTP_REQ_HEAD)
        evbuffer_drain(out, evbuffer_get_length(out));
    stat_add(STAT_API_REQUESTS, 1);
    stat_add(STAT_API_ERRORS, status >= 500);
    evhttp_send_reply(call->req, status, reason_of(status), out);
    if (out)
        evbuffer_free(out);
    api_call_free(call);
}

void api_error(struct api_call *call, int status, const char *code, const char *fmt, ...)
{
    char message[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(message, sizeof(message), fmt, ap);
    va_end(ap);
    json_t *text = json_string(message);
    if (!text)
        text = json_string("the message is not valid text");
    api_reply(call, status, json_pack("{s:{s:s, s:o}}", "error", "code", code, "message", text));
}

void api_fail(struct api_call *call, int err, const struct diag *diag)
{
    if (call->api->query_deadline_ns && time_monotonic_ns() >= call->api->query_deadline_ns) {
        api_error(call, 503, "busy", "this would take too long; ask for a shorter time");
        return;
    }
    switch (err) {
    case -EINVAL:
        api_error(call, 400, "bad_request", "%s", diag->msg);
        break;
    case -ENOENT:
        api_error(call, 404, "not_found", "%s", diag->msg[0] ? diag->msg : "there is no such thing");
        break;
    case -EEXIST:
        api_error(call, 409, "conflict", "%s", diag->msg);
        break;
    case -EBUSY:
        api_error(call, 503, "busy", "the database is busy; try again");
        break;
    default:
        log_error("api: %s: %s", call->path, diag->msg[0] ? diag->msg : strerror(-err));
        api_error(call, 500, "internal", "the collector failed; its log says why");
    }
}

void api_defer(struct api_call *call)
{
    call->is_deferred = true;
}

bool api_client_is_gone(const struct api_call *call)
{
    return !evhttp_request_get_connection(call->req);
}

/* --- bodies --- */

int api_body_only(const struct api_call *call, const char *const *names, struct diag *diag)
{
    const char *key;
    json_t *value;
    json_object_foreach(call->body, key, value)
    {
        const char *const *known = names;
        while (*known && strcmp(*known, key) != 0)
            known++;
        if (!*known)
            return diag_set(diag, -EINVAL, "unknown member '%.40s'", key);
    }
    return 0;
}

static bool is_text(const json_t *v, size_t max_chars)
{
    struct str s = {json_string_value(v), json_string_length(v)};
    return json_is_string(v) && !utf8_has_control(s) && utf8_count(s) <= max_chars;
}

int api_body_text(const struct api_call *call, const char *name, size_t max_chars, const char **ret, struct diag *diag)
{
    const json_t *v = json_object_get(call->body, name);
    if (v && !json_is_null(v) && !is_text(v, max_chars))
        return diag_set(diag, -EINVAL, "%s must be a text of at most %zu characters", name, max_chars);
    *ret = json_string_value(v);
    return 0;
}

int api_body_ids(const struct api_call *call, const char *name, size_t max, const char ***ret, size_t *ret_n,
                 struct diag *diag)
{
    const json_t *list = json_object_get(call->body, name);
    if (!json_is_array(list) || json_array_size(list) == 0 || json_array_size(list) > max)
        return diag_set(diag, -EINVAL, "%s must be a list of 1 to %zu ids", name, max);
    const char **ids = calloc(json_array_size(list), sizeof(*ids));
    json_t *seen = json_object(), *v;
    size_t n = 0, i;
    int r = ids && seen ? 0 : -ENOMEM;
    json_array_foreach(list, i, v)
    {
        if (r < 0)
            break;
        if (!is_text(v, 64) || json_string_length(v) == 0)
            r = diag_set(diag, -EINVAL, "%s must be a list of ids", name);
        else if (!json_object_get(seen, json_string_value(v))) {
            ids[n++] = json_string_value(v);
            r = json_object_set_new(seen, json_string_value(v), json_true()) < 0 ? -ENOMEM : 0;
        }
    }
    json_decref(seen);
    if (r < 0) {
        free(ids);
        return r;
    }
    *ret = ids;
    *ret_n = n;
    return 0;
}
