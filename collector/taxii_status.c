/* SPDX-License-Identifier: Apache-2.0
 * See taxii_status.h. */
#include "collector/taxii_status.h"

#include "collector/http.h"

#include <errno.h>
#include <stdio.h>

static const char *const list_names[] = {"successes", "failures", "pendings"};

static bool id_is_safe(const char *id)
{
    size_t len = strlen(id);
    return len > 0 && len <= TAXII_ID_MAX &&
           strspn(id, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-") == len;
}

static json_t *parse_object(struct str body, const char *what, struct diag *diag)
{
    json_error_t e;
    json_t *doc = json_loadb(body.p ? body.p : "", body.len, JSON_REJECT_DUPLICATES, &e);
    if (doc && json_is_object(doc))
        return doc;
    diag_set(diag, -EBADMSG, "%s is not a JSON object: %s", what, doc ? "another type" : e.text);
    json_decref(doc);
    return NULL;
}

/* A count may be absent where it is optional, but never negative or of another type. */
static int get_count(const json_t *doc, const char *key, int64_t *ret, struct diag *diag)
{
    const json_t *v = json_object_get(doc, key);
    if (v && (!json_is_integer(v) || json_integer_value(v) < 0))
        return diag_set(diag, -EBADMSG, "the status resource's %s is not a count", key);
    *ret = v ? json_integer_value(v) : 0;
    return 0;
}

static int check_lists(const json_t *doc, struct diag *diag)
{
    for (size_t i = 0; i < ARRAY_LEN(list_names); i++) {
        const json_t *list = json_object_get(doc, list_names[i]);
        if (list && !json_is_null(list) && !json_is_array(list))
            return diag_set(diag, -EBADMSG, "the status resource's %s is not a list", list_names[i]);
    }
    return 0;
}

int taxii_status_parse(struct str body, struct taxii_status *ret, struct diag *diag)
{
    struct taxii_status s = {.doc = parse_object(body, "the status resource", diag)};
    if (!s.doc)
        return -EBADMSG;
    const char *id = json_string_value(json_object_get(s.doc, "id"));
    const char *state = json_string_value(json_object_get(s.doc, "status"));
    int r = 0;
    if (!id || !id_is_safe(id))
        r = diag_set(diag, -EBADMSG, "the status resource has no usable id");
    else if (!state || (strcmp(state, "complete") != 0 && strcmp(state, "pending") != 0))
        r = diag_set(diag, -EBADMSG, "the status resource is neither complete nor pending");
    if (r == 0)
        r = get_count(s.doc, "total_count", &s.total, diag);
    if (r == 0)
        r = get_count(s.doc, "success_count", &s.success, diag);
    if (r == 0)
        r = get_count(s.doc, "failure_count", &s.failure, diag);
    if (r == 0)
        r = get_count(s.doc, "pending_count", &s.pending, diag);
    if (r == 0)
        r = check_lists(s.doc, diag);
    if (r < 0) {
        json_decref(s.doc);
        return r;
    }
    snprintf(s.id, sizeof(s.id), "%s", id);
    s.is_complete = strcmp(state, "complete") == 0;
    *ret = s;
    return 0;
}

void taxii_status_clear(struct taxii_status *s)
{
    json_decref(s->doc);
    s->doc = NULL;
}

bool taxii_status_entry(const json_t *doc, size_t *index, struct taxii_entry *ret)
{
    for (;;) {
        size_t at = (*index)++, list_at = 0;
        const json_t *list = json_object_get(doc, list_names[0]);
        while (at >= json_array_size(list)) {
            at -= json_array_size(list);
            if (++list_at == ARRAY_LEN(list_names))
                return false;
            list = json_object_get(doc, list_names[list_at]);
        }
        const json_t *entry = json_array_get(list, at);
        const char *id = json_string_value(json_object_get(entry, "id"));
        if (!id)
            continue;
        const char *version = json_string_value(json_object_get(entry, "version"));
        const char *message = json_string_value(json_object_get(entry, "message"));
        *ret = (struct taxii_entry){(enum taxii_verdict)list_at, id, version ? version : "", message ? message : ""};
        return true;
    }
}

int taxii_root_parse(struct str body, uint64_t *ret_max_content_length, struct diag *diag)
{
    json_t *doc = parse_object(body, "the API root", diag);
    if (!doc)
        return -EBADMSG;
    const json_t *max = json_object_get(doc, "max_content_length");
    int r = 0;
    if (!json_is_integer(max) || json_integer_value(max) <= 0)
        r = diag_set(diag, -EBADMSG, "the API root has no max_content_length");
    else
        *ret_max_content_length = (uint64_t)json_integer_value(max);
    json_decref(doc);
    return r;
}

int taxii_url_split(const char *url, char **ret_root, char **ret_collection, struct diag *diag)
{
    struct str u = str_of(url);
    struct str scheme = STR("https://");
    if (!str_starts(u, scheme))
        return diag_set(diag, -EINVAL, "taxii.url must begin with https://");
    if (strpbrk(url, "?#@\\ \t\r\n\"<>") || !utf8_is_valid(u) || utf8_has_control(u))
        return diag_set(diag, -EINVAL, "taxii.url must be a plain address without user, query or fragment");
    while (u.len > 0 && u.p[u.len - 1] == '/')
        u.len--;
    /* ".../collections/ID" from the right */
    size_t id_at = u.len;
    while (id_at > 0 && u.p[id_at - 1] != '/')
        id_at--;
    struct str word = STR("/collections/");
    if (id_at == u.len || id_at < word.len + scheme.len || memcmp(u.p + id_at - word.len, word.p, word.len) != 0)
        return diag_set(diag, -EINVAL, "taxii.url must end in /collections/ID/");
    size_t root_len = id_at - word.len + 1;
    if (root_len <= scheme.len + 1)
        return diag_set(diag, -EINVAL, "taxii.url names no host");
    char *root = NULL, *collection = NULL;
    if (asprintf(&root, "%.*s", (int)root_len, u.p) < 0)
        return -ENOMEM;
    if (asprintf(&collection, "%.*s/", (int)u.len, u.p) < 0) {
        free(root);
        return -ENOMEM;
    }
    *ret_root = root;
    *ret_collection = collection;
    return 0;
}
