/* SPDX-License-Identifier: Apache-2.0
 *
 * An access line's parts to ECS fields. Called by decoder.c for decoders with `parser: access`.
 */
#include "rules/access.h"
#include "rules/address.h"
#include "rules/decoder_impl.h"
#include "rules/url.h"

/* Target and what it means; a request that is none is kept whole. */
static int add_request(const struct access *a, struct event *ev, bool *has_domain)
{
    struct access_request req;
    struct str target, decoded;
    struct url url;
    bool is_http = access_request(a->request, &req);
    int r = access_unescape(is_http ? req.target : a->request, ev->arena, &target);
    if (r == 0)
        r = url_decode(target, ev->arena, &decoded);
    if (r == 0)
        r = event_keep(event_add_str(ev, F_URL_ORIGINAL, target));
    if (r == 0)
        r = event_keep(event_add_str(ev, F_VONGGAC_URL_DECODED, decoded));
    if (r < 0 || !is_http)
        return r;
    url_split(target, &url);
    *has_domain = url.domain.len > 0;
    r = event_put_str(ev, F_HTTP_REQUEST_METHOD, req.method);
    if (r == 0)
        r = event_put_str(ev, F_HTTP_VERSION, req.version);
    if (r == 0)
        r = event_put_str(ev, F_URL_DOMAIN, url.domain);
    if (r == 0)
        r = event_put_str(ev, F_URL_PATH, url.path);
    return r == 0 && url.has_query ? event_keep(event_add_str(ev, F_URL_QUERY, url.query)) : r;
}

static int add_unescaped(struct event *ev, name_id key, struct str s)
{
    int r = access_unescape(s, ev->arena, &s);
    return r == 0 ? event_put_str(ev, key, s) : r;
}

static int add_client(const struct access *a, struct event *ev)
{
    struct str ip;
    int r = event_put_str(ev, F_SOURCE_ADDRESS, a->client);
    if (r == 0 && address_ip(a->client, &ip))
        r = event_put_str(ev, F_SOURCE_IP, ip);
    return r == 0 ? event_put_int(ev, F_SOURCE_PORT, a->client_port) : r;
}

int decode_access(const struct decoder *d, struct str msg, struct event *ev)
{
    struct access a;
    bool has_domain = false;
    if (!access_parse(msg, &a))
        return 0;
    ev->ts_ns = a.ts_ns;
    ev->ts_is_guessed = false;
    int r = event_put_consts(ev, d->consts, d->n_consts);
    if (r == 0)
        r = add_client(&a, ev);
    if (r == 0)
        r = add_unescaped(ev, F_USER_NAME, a.user);
    if (r == 0)
        r = add_request(&a, ev, &has_domain);
    if (r == 0 && !has_domain)
        r = event_put_str(ev, F_URL_DOMAIN, a.vhost);
    if (r == 0)
        r = event_put_int(ev, F_HTTP_RESPONSE_STATUS_CODE, a.status);
    if (r == 0)
        r = event_put_int(ev, F_HTTP_RESPONSE_BODY_BYTES, a.bytes);
    if (r == 0)
        r = add_unescaped(ev, F_HTTP_REQUEST_REFERRER, a.referrer);
    if (r == 0)
        r = add_unescaped(ev, F_USER_AGENT_ORIGINAL, a.agent);
    if (r == 0)
        r = event_put_str(ev, F_EVENT_OUTCOME,
                          a.status < 0     ? STR("unknown")
                          : a.status < 400 ? STR("success")
                                           : STR("failure"));
    return r < 0 ? r : 1;
}
