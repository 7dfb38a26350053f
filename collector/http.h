/* SPDX-License-Identifier: Apache-2.0
 *
 * The bytes of a request that evhttp leaves to us: query strings, cookies, single-valued headers, comma lists. Strict on
 * purpose: what cannot be read in exactly one way is an error and not a guess, since nginx in front may have read it
 * otherwise. Knows nothing of sockets, so it is tested and fuzzed by itself.
 */
#pragma once

#include "common/buf.h"
#include "common/diag.h"

#define HTTP_PARAMS_MAX 32
#define HTTP_QUERY_MAX  (8 * KIB)

struct http_param {
    struct str name, value; /* decoded; NUL-terminated as well */
};

struct http_query {
    char *text; /* owned: the decoded names and values */
    struct http_param params[HTTP_PARAMS_MAX];
    size_t n;
};

/* Splits "a=1&b=x%20y" (without '?'; NULL is empty) and decodes %XX and '+'. Refused with a reason: broken escapes, bytes
 * that are not UTF-8 or are control characters, a name twice, too many. 0, -EINVAL, -E2BIG, -ENOMEM. */
int http_query_parse(const char *text, struct http_query *ret, struct diag *diag);
void http_query_clear(struct http_query *q);
const char *http_query_get(const struct http_query *q, const char *name); /* NULL where absent */

/* 0 when every parameter is among the names (NULL-terminated list), else -EINVAL naming the stranger. */
int http_query_only(const struct http_query *q, const char *const *names, struct diag *diag);

/* Value of one cookie in a Cookie header; empty where absent or given twice. Borrows. */
struct str http_cookie(const char *header, const char *name);

/* Takes the next item of a comma list off *rest. False at the end. */
bool http_list_next(struct str *rest, struct str *ret_item);

/* Equal, in a time that depends on the lengths only. */
bool http_equal_secret(struct str a, struct str b);

/* True for valid UTF-8 (RFC 3629: shortest form, no surrogates). */
bool utf8_is_valid(struct str s);
bool utf8_has_control(struct str s); /* U+0000-001F but tab and newline, and U+007F */
size_t utf8_count(struct str s);     /* code points of valid UTF-8 */

/* RFC 9110 section 10.2.3: seconds or an HTTP date, as seconds from now, 0 to max_s. -EINVAL. */
int http_retry_after(struct str value, int64_t now_ns, int64_t max_s, int64_t *ret_s);
