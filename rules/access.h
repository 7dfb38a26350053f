/* SPDX-License-Identifier: Apache-2.0
 *
 * Access-log lines of web servers: common, combined and vhost_combined as Apache httpd documents them (mod_log_config)
 * and nginx's "combined" (ngx_http_log_module), with anything behind. Slices borrow from the line.
 */
#pragma once

#include "common/arena.h"

struct access {
    struct str client; /* address or name as written, without a port; empty for "-" */
    int64_t client_port;
    struct str vhost; /* empty where the format has none */
    int64_t vhost_port;
    struct str user; /* empty where nobody signed in */
    int64_t ts_ns;
    struct str request;         /* between its quotes, still escaped; may be "-" or empty */
    int64_t status, bytes;      /* -1 where the line says "-" or nothing */
    struct str referrer, agent; /* still escaped; empty for "-" */
};

/* False when the line has not the shape `client ident user [time] "request" status ...`: then it is no access line. */
bool access_parse(struct str line, struct access *ret);

struct access_request {
    struct str method, target, version; /* version like "1.1", empty for HTTP/0.9 */
};

/* "GET /x HTTP/1.1". False for what is no HTTP request (TLS on a plain port, rubbish, "-"). */
bool access_request(struct str request, struct access_request *ret);

/* Takes off the log's own escapes where they stand for printable text: \" \\ \x22 and \xHH runs that are UTF-8. Other
 * bytes stay escaped, so that what was binary stays readable. Borrows when nothing is escaped. 0 or -ENOMEM. */
int access_unescape(struct str s, struct arena *arena, struct str *ret);
