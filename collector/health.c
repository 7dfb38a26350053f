/* SPDX-License-Identifier: Apache-2.0
 * See health.h. */
#include "collector/health.h"

#include "common/time.h"

#include <errno.h>

#define EVENT_MAX (16 * KIB)

struct health {
    uint8_t stream[ID_LEN];
    uint64_t next; /* position in the stream: one event each */
    char host[256];
};

struct health *health_new(void)
{
    struct health *h = calloc(1, sizeof(*h));
    if (!h)
        return NULL;
    id_random(h->stream);
    if (gethostname(h->host, sizeof(h->host) - 1) < 0 || !h->host[0])
        memcpy(h->host, "collector", sizeof("collector"));
    return h;
}

struct health *health_free(struct health *h)
{
    free(h);
    return NULL;
}

static int member(struct buf *out, const char *name, struct str value)
{
    int r = buf_printf(out, ",\"%s\":", name);
    return r < 0 ? r : buf_append_json(out, value);
}

static int begin_event(struct buf *out, const char *action, int64_t now_ns)
{
    char at[TIME_RFC3339_LEN];
    time_format_rfc3339(now_ns, at);
    return buf_printf(out,
                      "{\"@timestamp\":\"%s\",\"event.kind\":\"event\",\"event.module\":\"vonggac\","
                      "\"event.dataset\":\"vonggac.health\",\"event.category\":[\"host\"],\"event.type\":[\"info\"],"
                      "\"event.action\":\"%s\"",
                      at, action);
}

static int end_event(struct buf *out, const char *message, struct str about)
{
    struct buf text = BUF_INIT(EVENT_MAX);
    int r = buf_append_z(&text, message);
    if (r == 0)
        r = buf_append_str(&text, about);
    if (r == 0)
        r = member(out, "message", buf_str(&text));
    buf_clear(&text);
    return r < 0 ? r : buf_append_z(out, "}\n");
}

static int make_item(struct health *h, struct str json, int64_t now_ns, struct write_item **ret)
{
    struct batch b = {
        .seq = h->next + 1,
        .start = h->next,
        .end = h->next + 1,
        .records = 1,
        .raw_len = (uint32_t)json.len,
        .read_first_ns = now_ns,
        .read_last_ns = now_ns,
        .tz_offset_s = time_local_offset_s(now_ns),
        .encoding = BATCH_ECS,
        .source = STR("vonggac.health"),
        .type = STR("vonggac.health"),
        .path = STR(""),
        .host = str_of(h->host),
        .cursor = STR(""),
    };
    memcpy(b.stream, h->stream, ID_LEN);
    struct buf out = BUF_INIT(BATCH_MAX);
    struct write_item *item = calloc(1, sizeof(*item));
    int r = item ? batch_encode(&b, json, 1, &out) : -ENOMEM;
    if (r < 0) {
        buf_clear(&out);
        free(item);
        return r;
    }
    item->bytes = out.data; /* malloc'ed by buf; handed over */
    item->len = out.len;
    item->records = 1;
    item->raw_len = (uint32_t)json.len;
    h->next++;
    *ret = item;
    return 0;
}

int health_silence(struct health *h, const struct roster_agent *a, const struct roster_source *source, bool is_silent,
                   int64_t last_seen_ns, int64_t now_ns, struct write_item **ret)
{
    static const char *const actions[2][2] = {{"agent_back", "agent_silent"}, {"source_back", "source_silent"}};
    static const char *const messages[2][2] = {{"agent is heard again: ", "agent has gone silent: "},
                                               {"log source sends again: ", "log source has gone silent: "}};
    char last_seen[TIME_RFC3339_LEN];
    time_format_rfc3339(last_seen_ns, last_seen);
    struct buf json = BUF_INIT(EVENT_MAX);
    int r = begin_event(&json, actions[source != NULL][is_silent], now_ns);
    if (r == 0)
        r = member(&json, "host.name", str_of(a->host));
    if (r == 0)
        r = member(&json, "agent.id", str_of(a->id_text));
    if (r == 0 && source)
        r = member(&json, "vonggac.source.name", str_of(source->name));
    if (r == 0)
        r = member(&json, "vonggac.last_seen", str_of(last_seen));
    if (r == 0)
        r = end_event(&json, messages[source != NULL][is_silent], str_of(source ? source->name : a->host));
    if (r == 0)
        r = make_item(h, buf_str(&json), now_ns, ret);
    buf_clear(&json);
    return r;
}

int health_disk(struct health *h, bool is_low, int64_t free_bytes, int64_t now_ns, struct write_item **ret)
{
    struct buf json = BUF_INIT(EVENT_MAX);
    int r = begin_event(&json, is_low ? "disk_low" : "disk_ok", now_ns);
    if (r == 0)
        r = member(&json, "host.name", str_of(h->host));
    char mib[32];
    struct buf text = {.data = (uint8_t *)mib, .cap = sizeof(mib), .max = sizeof(mib)};
    if (r == 0)
        r = buf_printf(&text, "%lld MiB free", (long long)(free_bytes / (int64_t)MIB));
    if (r == 0)
        r = end_event(&json,
                      is_low ? "archive disk below its reserve: " : "archive disk has room again: ", buf_str(&text));
    if (r == 0)
        r = make_item(h, buf_str(&json), now_ns, ret);
    buf_clear(&json);
    return r;
}
