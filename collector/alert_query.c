/* SPDX-License-Identifier: Apache-2.0
 *
 * See alert_query.h. The search box's little language: words, field:value, "quoted", -excluded (API.md).
 */
#include "collector/alert_query.h"

#include "collector/event_text.h"
#include "common/time.h"

#include <errno.h>
#include <stdio.h>

const char *const alert_status_names[ALERT_STATUS_COUNT] = {"new", "acknowledged", "escalated", "closed"};

static int parse_statuses(const char *text, unsigned *ret, struct diag *diag)
{
    struct str rest = str_of(text), item;
    if (strcmp(text, "all") == 0) {
        *ret = 0;
        return 0;
    }
    while (http_list_next(&rest, &item)) {
        unsigned i = 0;
        while (i < ALERT_STATUS_COUNT && !str_eq(item, str_of(alert_status_names[i])))
            i++;
        if (i == ALERT_STATUS_COUNT)
            return diag_set(diag, -EINVAL, "status must be a list of new, acknowledged, escalated and closed, or all");
        *ret |= 1u << i;
    }
    return 0;
}

static int parse_levels(const char *text, unsigned *ret, struct diag *diag)
{
    struct str rest = str_of(text), item;
    while (http_list_next(&rest, &item)) {
        int64_t level;
        if (parse_i64(item, 0, 4, &level) < 0)
            return diag_set(diag, -EINVAL, "level must be a list of numbers from 0 to 4");
        *ret |= 1u << level;
    }
    return 0;
}

static int parse_time(const char *name, const char *text, int64_t *ret, struct diag *diag)
{
    bool has_zone;
    size_t len;
    if (time_parse_rfc3339(str_of(text), ret, &has_zone, &len) < 0 || text[len] || !has_zone)
        return diag_set(diag, -EINVAL, "%s must be an RFC 3339 time with a zone", name);
    return 0;
}

/* A name that an ECS field can have: at least two parts, so that "10:15" and "fe80::1" stay words. */
static bool is_field_name(struct str s)
{
    if (str_eq(s, STR("message")) || str_eq(s, STR("tags")))
        return true;
    bool has_dot = false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.p[i];
        has_dot |= c == '.';
        if (!((c >= 'a' && c <= 'z') || (i > 0 && ((c >= '0' && c <= '9') || c == '.' || c == '_'))))
            return false;
    }
    return has_dot;
}

/* Takes one token off *at: what stands in quotes loses them. *ret_colon: where the first colon outside quotes is. */
static int take_token(const char **at, struct buf *out, size_t *ret_colon, bool *ret_is_quoted, struct diag *diag)
{
    bool in_quotes = false;
    const char *p = *at;
    *ret_colon = SIZE_MAX;
    *ret_is_quoted = false;
    int r = 0;
    for (; *p && r == 0 && (in_quotes || (*p != ' ' && *p != '\t' && *p != '\n')); p++) {
        if (*p == '"') {
            in_quotes = !in_quotes;
            *ret_is_quoted = true;
            continue;
        }
        if (in_quotes && *p == '\\' && (p[1] == '"' || p[1] == '\\'))
            p++;
        else if (!in_quotes && *p == ':' && *ret_colon == SIZE_MAX)
            *ret_colon = out->len;
        r = buf_append(out, p, 1);
    }
    *at = p;
    return in_quotes ? diag_set(diag, -EINVAL, "q has a quote that is not closed") : r;
}

static int add_token(struct alert_query *q, const char **at, struct diag *diag)
{
    struct buf token = BUF_INIT(HTTP_QUERY_MAX);
    struct alert_term t = {0};
    size_t colon;
    bool is_quoted;
    if (**at == '-' && (*at)[1] && (*at)[1] != ' ') {
        t.is_excluded = true;
        (*at)++;
    }
    int r = take_token(at, &token, &colon, &is_quoted, diag);
    struct str text = buf_str(&token), name = {text.p, colon == SIZE_MAX ? 0 : colon};
    if (r == 0 && q->n_terms == ALERT_QUERY_TERMS_MAX)
        r = diag_set(diag, -EINVAL, "q has more than %d words", ALERT_QUERY_TERMS_MAX);
    if (r == 0 && is_field_name(name)) {
        struct str value = {text.p + colon + 1, text.len - colon - 1};
        if (value.len == 0 && !is_quoted)
            r = diag_set(diag, -EINVAL, "q: a value must follow '" STR_FMT ":'", STR_ARG(name));
        t.is_pattern = !is_quoted && value.len > 0 && memchr(value.p, '*', value.len);
        t.field = r == 0 ? strndup(name.p, name.len) : NULL;
        t.value = r == 0 ? event_text_fold(value) : NULL;
    } else if (r == 0) {
        t.value = event_text_fold(text);
    }
    buf_clear(&token);
    if (r == 0 && !t.value)
        r = -ENOMEM;
    if (r == 0 && (t.field || t.value[0])) { /* an empty word asks for nothing */
        q->terms[q->n_terms++] = t;
        return 0;
    }
    free(t.field);
    free(t.value);
    return r;
}

static int parse_terms(const char *text, struct alert_query *q, struct diag *diag)
{
    int r = 0;
    while (r == 0 && *(text += strspn(text, " \t\n")))
        r = add_token(q, &text, diag);
    return r;
}

static int parse_cursor(const char *text, struct alert_query *q, struct diag *diag)
{
    const char *first = strchr(text, '.'), *second = first ? strchr(first + 1, '.') : NULL;
    if (!second || strlen(second + 1) > ALERT_ID_MAX ||
        parse_i64((struct str){text, (size_t)(first - text)}, INT64_MIN, INT64_MAX, &q->cursor_level) < 0 ||
        parse_i64((struct str){first + 1, (size_t)(second - first - 1)}, INT64_MIN, INT64_MAX, &q->cursor_ns) < 0)
        return diag_set(diag, -EINVAL, "cursor is not one that was given");
    snprintf(q->cursor_id, sizeof(q->cursor_id), "%s", second + 1);
    q->has_cursor = true;
    return 0;
}

static int parse_sort(const char *text, enum alert_sort *ret, struct diag *diag)
{
    static const char *const names[] = {"last", "level", "first"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(text, names[i]) == 0) {
            *ret = (enum alert_sort)i;
            return 0;
        }
    }
    return diag_set(diag, -EINVAL, "sort must be last, level or first");
}

static int parse_flag(const char *name, const char *text, bool *ret, struct diag *diag)
{
    if (strcmp(text, "0") != 0 && strcmp(text, "1") != 0)
        return diag_set(diag, -EINVAL, "%s must be 0 or 1", name);
    *ret = text[0] == '1';
    return 0;
}

static int parse_param(const char *name, const char *value, struct alert_query *q, struct diag *diag)
{
    int64_t limit = 0;
    int r = 0;
    if (strcmp(name, "status") == 0) {
        r = parse_statuses(value, &q->statuses, diag);
    } else if (strcmp(name, "level") == 0) {
        r = parse_levels(value, &q->levels, diag);
    } else if (strcmp(name, "rule") == 0) {
        r = (q->rule = strdup(value)) ? 0 : -ENOMEM;
    } else if (strcmp(name, "host") == 0) {
        r = (q->host = strdup(value)) ? 0 : -ENOMEM;
    } else if (strcmp(name, "q") == 0) {
        r = parse_terms(value, q, diag);
    } else if (strcmp(name, "from") == 0) {
        r = parse_time(name, value, &q->from_ns, diag);
    } else if (strcmp(name, "to") == 0) {
        r = parse_time(name, value, &q->to_ns, diag);
    } else if (strcmp(name, "demo") == 0) {
        r = parse_flag(name, value, &q->hides_demo, diag);
        q->hides_demo = !q->hides_demo;
    } else if (strcmp(name, "sort") == 0) {
        r = parse_sort(value, &q->sort, diag);
    } else if (strcmp(name, "limit") == 0) {
        if (parse_i64(str_of(value), 1, ALERT_QUERY_LIMIT_MAX, &limit) < 0)
            r = diag_set(diag, -EINVAL, "limit must be a number from 1 to %d", ALERT_QUERY_LIMIT_MAX);
        q->limit = (size_t)limit;
    } else if (strcmp(name, "cursor") == 0) {
        r = parse_cursor(value, q, diag);
    } else {
        r = parse_flag(name, value, &q->wants_groups, diag); /* group: the only one left */
    }
    return r;
}

int alert_query_parse(const struct http_query *params, struct alert_query *ret, struct diag *diag)
{
    static const char *const names[] = {"status", "level", "rule",  "host",   "q",     "from", "to",
                                        "demo",   "sort",  "limit", "cursor", "group", NULL};
    struct alert_query q = {.from_ns = INT64_MIN, .to_ns = INT64_MAX, .limit = 100};
    bool has_status = http_query_get(params, "status");
    if (!has_status)
        q.statuses = 7; /* all but closed */
    int r = http_query_only(params, names, diag);
    for (size_t i = 0; i < params->n && r == 0; i++)
        r = parse_param(params->params[i].name.p, params->params[i].value.p, &q, diag);
    if (r < 0) {
        alert_query_clear(&q);
        return r;
    }
    *ret = q;
    return 0;
}

void alert_query_clear(struct alert_query *q)
{
    for (size_t i = 0; i < q->n_terms; i++) {
        free(q->terms[i].field);
        free(q->terms[i].value);
    }
    free(q->rule);
    free(q->host);
    *q = (struct alert_query){0};
}
