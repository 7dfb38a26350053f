/* SPDX-License-Identifier: Apache-2.0
 *
 * The fields hold what strangers sent, so the order of looking matters. Both servers escape quotes inside fields: hence
 * `[time] "` with a bare quote cannot be forged by a user name, and the first bare quote ends the request. A request
 * that holds bare quotes all the same (nginx with escape=none) ends where ` status ` follows. Called for each line of
 * a web server, and as a cheap test for lines of unknown origin: one search for '[' and five byte comparisons.
 */
#include "rules/access.h"

#include "common/time.h"
#include "rules/address.h"

#include <errno.h>

#define HEAD_MAX   4096 /* everything before '[' */
#define TIME_LEN   26   /* 10/Oct/2000:13:55:36 -0700 */
#define METHOD_MAX 24

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static struct str skip(struct str s, size_t n)
{
    return (struct str){s.p + n, s.len - n};
}

/* Finds `[10/Oct/2000:13:55:36 -0700] "`; at: the index of '['. */
static bool find_time(struct str line, size_t *ret_at, int64_t *ret_ts_ns)
{
    size_t limit = MIN(line.len, HEAD_MAX), i = 0;
    while (i < limit) {
        const char *p = memchr(line.p + i, '[', limit - i);
        if (!p)
            return false;
        i = (size_t)(p - line.p);
        size_t len;
        if (line.len - i >= TIME_LEN + 4 && p[TIME_LEN + 1] == ']' && p[3] == '/' && p[TIME_LEN + 2] == ' ' &&
            p[TIME_LEN + 3] == '"' && time_parse_clf((struct str){p + 1, TIME_LEN}, ret_ts_ns, &len) == 0 &&
            len == TIME_LEN) {
            *ret_at = i;
            return true;
        }
        i++;
    }
    return false;
}

static bool next_word(struct str *s, struct str *ret)
{
    while (s->len && s->p[0] == ' ')
        *s = skip(*s, 1);
    if (s->len == 0)
        return false;
    const char *sp = memchr(s->p, ' ', s->len);
    size_t len = sp ? (size_t)(sp - s->p) : s->len;
    *ret = (struct str){s->p, len};
    *s = skip(*s, len);
    return true;
}

static bool is_host_like(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.p[i];
        if (!(is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' || c == ':' || c == '-' ||
              c == '_' || c == '%' || c == '[' || c == ']' || c == ','))
            return false;
    }
    return s.len > 0;
}

static bool is_dash(struct str s)
{
    return s.len == 1 && s.p[0] == '-';
}

/* Is `first` a virtual host, with the client behind it? `rest` is what follows the first word. */
static bool is_vhost(struct str first, struct str rest)
{
    struct str second, third, ip, host;
    int64_t port;
    if (!next_word(&rest, &second) || is_dash(second) || !is_host_like(second))
        return false;
    bool has_third = next_word(&rest, &third);
    if (address_split_port(first, &host, &port))
        return true;
    if (!address_ip(first, &ip))
        return address_ip(second, &ip) || (has_third && is_dash(third));
    return address_ip(second, &ip) && has_third && is_dash(third) && next_word(&rest, &third);
}

static void set_client(struct str client, struct access *ret)
{
    if (is_dash(client))
        return;
    if (!address_split_port(client, &ret->client, &ret->client_port))
        ret->client = client;
}

/* `[vhost] client ident user`: the user may hold spaces, or be missing. */
static bool parse_head(struct str head, struct access *ret)
{
    struct str word, ident;
    head = str_trim(head);
    if (!next_word(&head, &word) || !is_host_like(word))
        return false;
    if (is_vhost(word, head)) {
        if (!address_split_port(word, &ret->vhost, &ret->vhost_port))
            ret->vhost = word;
        next_word(&head, &word);
    }
    struct str client = word;
    while (word.len > 1 && word.p[word.len - 1] == ',') { /* a chain from X-Forwarded-For: the first is the client */
        if (client.p == word.p)
            client.len--;
        if (!next_word(&head, &word))
            return false;
    }
    set_client(client, ret);
    if (!next_word(&head, &ident))
        return false;
    struct str user = str_trim(head);
    if (user.len && !is_dash(user) && !str_eq(user, STR("\"\"")))
        ret->user = user;
    return true;
}

/* Index of the first quote at or after `from` that no backslash precedes, or s.len. */
static size_t find_quote(struct str s, size_t from)
{
    for (size_t i = from; i < s.len;) {
        const char *q = memchr(s.p + i, '"', s.len - i);
        if (!q)
            return s.len;
        size_t at = (size_t)(q - s.p), slashes = 0;
        while (at - slashes > from && s.p[at - slashes - 1] == '\\')
            slashes++;
        if (slashes % 2 == 0)
            return at;
        i = at + 1;
    }
    return s.len;
}

/* ` 200`, ` -`: what must follow the request. Returns its length, 0 when it does not. */
static size_t status_len(struct str s)
{
    size_t len = 0;
    if (s.len >= 4 && s.p[0] == ' ' && is_digit(s.p[1]) && is_digit(s.p[2]) && is_digit(s.p[3]))
        len = 4;
    else if (s.len >= 2 && s.p[0] == ' ' && s.p[1] == '-')
        len = 2;
    return len && (s.len == len || s.p[len] == ' ') ? len : 0;
}

/* ` "..."` at the start of *s. A missing closing quote (a cut line) ends with the line. */
static struct str take_quoted(struct str *s)
{
    struct str ret = {0};
    if (s->len < 2 || s->p[0] != ' ' || s->p[1] != '"')
        return ret;
    size_t end = find_quote(*s, 2);
    ret = (struct str){s->p + 2, end - 2};
    *s = skip(*s, MIN(end + 1, s->len));
    return is_dash(ret) ? (struct str){0} : ret;
}

bool access_parse(struct str line, struct access *ret)
{
    size_t at;
    *ret = (struct access){.status = -1, .bytes = -1, .client_port = -1, .vhost_port = -1};
    if (line.len == 0 || !find_time(line, &at, &ret->ts_ns) || !parse_head((struct str){line.p, at}, ret))
        return false;

    struct str rest = skip(line, at + TIME_LEN + 4);
    size_t end = 0, len = 0;
    for (; len == 0; end++) {
        end = find_quote(rest, end);
        if (end >= rest.len)
            return false;
        len = status_len(skip(rest, end + 1));
    }
    ret->request = (struct str){rest.p, end - 1};
    rest = skip(rest, end);
    if (len == 4)
        ret->status = (rest.p[1] - '0') * 100 + (rest.p[2] - '0') * 10 + (rest.p[3] - '0');
    rest = skip(rest, len);

    struct str word, tail = rest;
    if (next_word(&tail, &word) && (is_dash(word) || parse_i64(word, 0, INT64_MAX, &ret->bytes) == 0))
        rest = tail;
    ret->referrer = take_quoted(&rest);
    ret->agent = take_quoted(&rest);
    return true;
}

static bool is_token_char(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_upper(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] < 'A' || s.p[i] > 'Z')
            return false;
    }
    return s.len > 0;
}

/* Length of " HTTP/1.1" at the end of s, or 0. */
static size_t version_len(struct str s)
{
    const char *sp = s.len ? memrchr(s.p, ' ', s.len) : NULL;
    if (!sp)
        return 0;
    size_t len = s.len - (size_t)(sp - s.p);
    if (len < 7 || len > 9 || memcmp(sp, " HTTP/", 6) != 0 || !is_digit(sp[6]))
        return 0;
    return len == 7 || (len == 9 && sp[7] == '.' && is_digit(sp[8])) ? len : 0;
}

bool access_request(struct str request, struct access_request *ret)
{
    *ret = (struct access_request){0};
    size_t i = 0;
    while (i < request.len && i <= METHOD_MAX && is_token_char(request.p[i]))
        i++;
    if (i == 0 || i > METHOD_MAX || i >= request.len || request.p[i] != ' ')
        return false;
    ret->method = (struct str){request.p, i};
    struct str rest = skip(request, i + 1);
    size_t len = version_len(rest);
    if (len) {
        ret->version = (struct str){rest.p + rest.len - len + 6, len - 6};
        rest.len -= len;
    } else if (!is_upper(ret->method) || rest.len == 0 || (rest.p[0] != '/' && !memmem(rest.p, rest.len, "://", 3))) {
        return false;
    }
    ret->target = rest;
    return true;
}

static int hex_byte(struct str s, size_t i)
{
    int v = 0;
    if (s.len - i < 4 || s.p[i] != '\\' || s.p[i + 1] != 'x')
        return -1;
    for (size_t k = i + 2; k < i + 4; k++) {
        char c = s.p[k];
        int h = is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
        if (h < 0)
            return -1;
        v = v << 4 | h;
    }
    return v;
}

/* A run of \xHH at s[i] that is one character of UTF-8 (RFC 3629): its bytes to out. Returns how many, 0 when it is not. */
static size_t take_utf8(struct str s, size_t i, char out[static 4])
{
    int lead = hex_byte(s, i);
    size_t n = lead >= 0xC2 && lead < 0xE0 ? 2 : lead >= 0xE0 && lead < 0xF0 ? 3 : lead >= 0xF0 && lead < 0xF5 ? 4 : 0;
    if (n == 0)
        return 0;
    out[0] = (char)lead;
    for (size_t k = 1; k < n; k++) {
        int c = i + 4 * k < s.len ? hex_byte(s, i + 4 * k) : -1;
        int min = k > 1 ? 0x80 : lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
        int max = k > 1 ? 0xBF : lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
        if (c < min || c > max)
            return 0;
        out[k] = (char)c;
    }
    return n;
}

int access_unescape(struct str s, struct arena *arena, struct str *ret)
{
    *ret = s;
    if (s.len == 0 || memchr(s.p, '\\', s.len) == NULL)
        return 0;
    char *out = arena_strndup(arena, s.p, s.len);
    if (!out)
        return -ENOMEM;
    size_t n = 0;
    for (size_t i = 0; i < s.len;) {
        char utf8[4];
        size_t len;
        int byte = hex_byte(s, i);
        if (byte >= 0x20 && byte < 0x7F) {
            out[n++] = (char)byte;
            i += 4;
        } else if (byte >= 0x80 && (len = take_utf8(s, i, utf8)) > 0) {
            memcpy(out + n, utf8, len);
            n += len;
            i += 4 * len;
        } else if (s.p[i] == '\\' && i + 1 < s.len && (s.p[i + 1] == '"' || s.p[i + 1] == '\\')) {
            out[n++] = s.p[i + 1];
            i += 2;
        } else {
            out[n++] = s.p[i++];
        }
    }
    *ret = (struct str){out, n};
    return 0;
}
