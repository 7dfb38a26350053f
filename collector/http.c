/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/http.h"

#include "common/time.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Decodes [from, end) to *to and NUL-terminates. Never longer than its source. */
static int decode_part(const char *from, const char *end, char **to, struct str *ret)
{
    char *start = *to, *out = start;
    while (from < end) {
        if (*from == '+') {
            *out++ = ' ';
            from++;
        } else if (*from == '%') {
            int high = end - from > 2 ? hex_digit(from[1]) : -1;
            int low = high >= 0 ? hex_digit(from[2]) : -1;
            if (low < 0)
                return -EINVAL;
            *out++ = (char)(high << 4 | low);
            from += 3;
        } else {
            *out++ = *from++;
        }
    }
    *ret = (struct str){start, (size_t)(out - start)};
    *out++ = '\0';
    *to = out;
    return utf8_is_valid(*ret) && !utf8_has_control(*ret) ? 0 : -EINVAL;
}

static bool has_param(const struct http_query *q, struct str name)
{
    for (size_t i = 0; i < q->n; i++) {
        if (str_eq(q->params[i].name, name))
            return true;
    }
    return false;
}

static int parse_param(struct http_query *q, const char *from, const char *end, char **to, struct diag *diag)
{
    if (q->n == HTTP_PARAMS_MAX)
        return diag_set(diag, -E2BIG, "more than %d query parameters", HTTP_PARAMS_MAX);
    const char *eq = memchr(from, '=', (size_t)(end - from));
    struct http_param p;
    int r = decode_part(from, eq ? eq : end, to, &p.name);
    if (r == 0)
        r = decode_part(eq ? eq + 1 : end, end, to, &p.value);
    if (r < 0)
        return diag_set(diag, r, "a query parameter is not percent-encoded UTF-8 without control characters");
    if (p.name.len == 0)
        return diag_set(diag, -EINVAL, "a query parameter has no name");
    if (has_param(q, p.name))
        return diag_set(diag, -EINVAL, "query parameter '" STR_FMT "' is given twice", (int)MIN(p.name.len, (size_t)40),
                        p.name.p);
    q->params[q->n++] = p;
    return 0;
}

int http_query_parse(const char *text, struct http_query *ret, struct diag *diag)
{
    struct http_query q = {0};
    text = text ? text : "";
    size_t len = strlen(text);
    if (len > HTTP_QUERY_MAX)
        return diag_set(diag, -E2BIG, "the query is longer than %zu bytes", HTTP_QUERY_MAX);
    q.text = malloc(len + 2 * HTTP_PARAMS_MAX + 2);
    if (!q.text)
        return -ENOMEM;
    char *to = q.text;
    const char *at = text, *end = text + len;
    int r = 0;
    while (at < end && r == 0) {
        const char *amp = memchr(at, '&', (size_t)(end - at));
        const char *stop = amp ? amp : end;
        if (stop > at)
            r = parse_param(&q, at, stop, &to, diag);
        at = stop + 1;
    }
    if (r < 0) {
        free(q.text);
        return r;
    }
    *ret = q;
    return 0;
}

void http_query_clear(struct http_query *q)
{
    free(q->text);
    *q = (struct http_query){0};
}

const char *http_query_get(const struct http_query *q, const char *name)
{
    for (size_t i = 0; i < q->n; i++) {
        if (str_eq(q->params[i].name, str_of(name)))
            return q->params[i].value.p;
    }
    return NULL;
}

int http_query_only(const struct http_query *q, const char *const *names, struct diag *diag)
{
    for (size_t i = 0; i < q->n; i++) {
        const char *const *known = names;
        while (*known && !str_eq(q->params[i].name, str_of(*known)))
            known++;
        if (!*known)
            return diag_set(diag, -EINVAL, "unknown query parameter '" STR_FMT "'",
                            (int)MIN(q->params[i].name.len, (size_t)40), q->params[i].name.p);
    }
    return 0;
}

struct str http_cookie(const char *header, const char *name)
{
    struct str found = {0};
    struct str want = str_of(name);
    const char *at = header ? header : "";
    while (*at) {
        size_t len = strcspn(at, ";");
        struct str pair = str_trim((struct str){at, len});
        if (pair.len > want.len && pair.p[want.len] == '=' && memcmp(pair.p, want.p, want.len) == 0) {
            if (found.p)
                return (struct str){0};
            found = (struct str){pair.p + want.len + 1, pair.len - want.len - 1};
        }
        at += len + (at[len] == ';');
    }
    return found;
}

bool http_list_next(struct str *rest, struct str *ret_item)
{
    if (!rest->p)
        return false;
    const char *comma = rest->len ? memchr(rest->p, ',', rest->len) : NULL;
    size_t len = comma ? (size_t)(comma - rest->p) : rest->len;
    *ret_item = (struct str){rest->p, len};
    *rest = comma ? (struct str){comma + 1, rest->len - len - 1} : (struct str){0};
    return true;
}

bool http_equal_secret(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || sodium_memcmp(a.p, b.p, a.len) == 0);
}

/* Length of the character at p, or 0 when it is not one. */
static size_t utf8_char(const unsigned char *p, size_t left)
{
    static const uint32_t lowest[] = {0, 0, 0x80, 0x800, 0x10000};
    if (p[0] < 0x80)
        return 1;
    size_t n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || n > left)
        return 0;
    uint32_t c = p[0] & (0xffu >> (n + 1));
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (p[i] & 0x3fu);
    }
    return c < lowest[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) ? 0 : n;
}

bool utf8_is_valid(struct str s)
{
    for (size_t i = 0, n; i < s.len; i += n) {
        n = utf8_char((const unsigned char *)s.p + i, s.len - i);
        if (n == 0)
            return false;
    }
    return true;
}

bool utf8_has_control(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if ((c < 0x20 && c != '\t' && c != '\n') || c == 0x7f)
            return true;
    }
    return false;
}

size_t utf8_count(struct str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++)
        n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
    return n;
}

/* IMF-fixdate, "Sun, 06 Nov 1994 08:49:37 GMT": the only form that may be sent today. */
static int parse_http_date(struct str s, int64_t *ret_unix_s)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    int64_t day, year, hour, minute, second;
    if (s.len != 29 || memcmp(s.p + 3, ", ", 2) != 0 || memcmp(s.p + 25, " GMT", 4) != 0 || s.p[7] != ' ' ||
        s.p[11] != ' ' || s.p[16] != ' ' || s.p[19] != ':' || s.p[22] != ':')
        return -EINVAL;
    int month = 0;
    while (month < 12 && memcmp(months + 3 * month, s.p + 8, 3) != 0)
        month++;
    if (month == 12 || parse_i64((struct str){s.p + 5, 2}, 1, 31, &day) < 0 ||
        parse_i64((struct str){s.p + 12, 4}, 1970, 9999, &year) < 0 ||
        parse_i64((struct str){s.p + 17, 2}, 0, 23, &hour) < 0 ||
        parse_i64((struct str){s.p + 20, 2}, 0, 59, &minute) < 0 ||
        parse_i64((struct str){s.p + 23, 2}, 0, 60, &second) < 0)
        return -EINVAL;
    struct civil c = {(int)year, month + 1, (int)day, (int)hour, (int)minute, (int)second};
    if (!civil_is_valid(&c))
        return -EINVAL;
    *ret_unix_s = civil_to_unix_s(&c);
    return 0;
}

int http_retry_after(struct str value, int64_t now_ns, int64_t max_s, int64_t *ret_s)
{
    struct str s = str_trim(value);
    int64_t seconds;
    int r = parse_i64(s, 0, INT64_MAX, &seconds);
    if (r == -ERANGE && s.len > 0 && s.p[0] != '-')
        seconds = max_s;
    else if (r < 0) {
        if (parse_http_date(s, &seconds) < 0)
            return -EINVAL;
        seconds = MAX(seconds - now_ns / NS_PER_S, 0);
    }
    *ret_s = MIN(seconds, max_s);
    return 0;
}
