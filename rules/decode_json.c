/* SPDX-License-Identifier: Apache-2.0
 *
 * Records that are JSON already: journal entries as `journalctl -o json` prints them (systemd.journal-fields(7); a field
 * that is no UTF-8 or holds control characters is an array of bytes there), whose MESSAGE then goes the way of a
 * syslog message, and ECS records, which the collector writes about itself. A record that is not what it should be is
 * counted and still becomes an event. Called by decode_line.
 */
#include "rules/address.h"
#include "rules/decoder_impl.h"
#include "rules/json_scan.h"

#include "common/time.h"

#include <errno.h>
#include <stdio.h>

#define ECS_DEPTH_MAX 8
#define NAME_MAX_LEN  256

/* A record we cannot read: its text as message, so that nothing is hidden. */
static int keep_as_text(struct decode_ctx *c, const struct decode_input *in, struct event *ev)
{
    c->stats.bad_records++;
    ev->n = 0;
    ev->raw = in->line;
    ev->ts_ns = in->read_ns;
    ev->ts_is_guessed = true;
    int r = decode_common_fields(in, (struct str){0}, ev);
    if (r == 0)
        r = event_keep(event_add_str(ev, F_EVENT_KIND, STR("event")));
    return r == 0 && in->line.len ? event_keep(event_add_str(ev, F_MESSAGE, in->line)) : r;
}

/* ---- journal ---- */

/* [72,105]: the bytes. [ "a", "b" ]: a field given twice, the first counts. */
static int array_text(const struct json_value *v, struct arena *arena, struct str *ret)
{
    struct json_scan s;
    struct json_value item;
    char *out = arena_alloc(arena, v->text.len / 2 + 1);
    size_t n = 0;
    if (!out)
        return -ENOMEM;
    json_open_value(&s, v);
    int r;
    while ((r = json_next_element(&s, &item)) == 1) {
        int64_t byte;
        if (item.kind == JSON_STRING)
            return json_text(&item, arena, ret);
        if (item.kind != JSON_NUMBER || parse_i64(item.text, 0, 255, &byte) < 0)
            return -EBADMSG;
        out[n++] = (char)byte;
    }
    *ret = (struct str){out, n};
    return r;
}

static int journal_text(const struct json_value *v, struct arena *arena, struct str *ret)
{
    if (v->kind == JSON_STRING)
        return json_text(v, arena, ret);
    if (v->kind == JSON_ARRAY)
        return array_text(v, arena, ret);
    *ret = (struct str){0}; /* null: too long for journalctl to print */
    return 0;
}

enum journal_field {
    J_MESSAGE,
    J_IDENTIFIER,
    J_COMM,
    J_PID,
    J_SYSLOG_PID,
    J_HOST,
    J_PRIORITY,
    J_SOURCE_TS,
    J_TS,
    J_TRANSPORT,
    J_COUNT
};

static int journal_key(struct str key)
{
    static const struct str keys[J_COUNT] = {
        [J_MESSAGE] = {"MESSAGE", 7},
        [J_IDENTIFIER] = {"SYSLOG_IDENTIFIER", 17},
        [J_COMM] = {"_COMM", 5},
        [J_PID] = {"_PID", 4},
        [J_SYSLOG_PID] = {"SYSLOG_PID", 10},
        [J_HOST] = {"_HOSTNAME", 9},
        [J_PRIORITY] = {"PRIORITY", 8},
        [J_SOURCE_TS] = {"_SOURCE_REALTIME_TIMESTAMP", 26},
        [J_TS] = {"__REALTIME_TIMESTAMP", 20},
        [J_TRANSPORT] = {"_TRANSPORT", 10},
    };
    for (int i = 0; i < J_COUNT; i++) {
        if (str_eq(key, keys[i]))
            return i;
    }
    return -1;
}

static bool micros(struct str s, int64_t *ret_ns)
{
    int64_t us;
    if (parse_i64(s, 1, INT64_MAX / NS_PER_US, &us) < 0)
        return false;
    *ret_ns = us * NS_PER_US;
    return true;
}

/* The kernel's own lines come by their own way; anything else that calls itself "kernel" is not. */
static struct str journal_program(const struct str *f)
{
    bool is_kernel = str_eq(f[J_TRANSPORT], STR("kernel"));
    if (str_eq(f[J_IDENTIFIER], STR("kernel")) && f[J_TRANSPORT].len && !is_kernel)
        return f[J_COMM];
    if (f[J_IDENTIFIER].len)
        return f[J_IDENTIFIER];
    return is_kernel ? STR("kernel") : f[J_COMM];
}

static int read_journal(struct str line, struct arena *arena, struct str f[static J_COUNT])
{
    struct json_scan s;
    struct json_value key, value;
    int r = json_open_record(&s, line);
    if (r < 0)
        return r;
    while ((r = json_next_member(&s, &key, &value)) == 1) {
        int i = journal_key(key.text);
        if (i >= 0 && f[i].len == 0)
            r = journal_text(&value, arena, &f[i]);
        if (r < 0)
            return r;
    }
    return r;
}

int decode_journal(struct decode_ctx *c, const struct decode_input *in, struct event *ev)
{
    struct str f[J_COUNT] = {0};
    int r = read_journal(in->line, ev->arena, f);
    if (r == -ENOMEM)
        return r;
    if (r < 0)
        return keep_as_text(c, in, ev);
    if (micros(f[J_SOURCE_TS], &ev->ts_ns) || micros(f[J_TS], &ev->ts_ns))
        ev->ts_is_guessed = false;
    struct message m = {
        .host = f[J_HOST], .program = journal_program(f), .text = str_trim(f[J_MESSAGE]), .pid = -1, .severity = -1};
    int64_t i;
    if (parse_i64(f[J_PID], 0, INT32_MAX, &m.pid) < 0 && parse_i64(f[J_SYSLOG_PID], 0, INT32_MAX, &m.pid) < 0)
        m.pid = -1;
    if (parse_i64(f[J_PRIORITY], 0, 7, &i) == 0)
        m.severity = (int)i;
    return decode_message(c, in, &m, ev);
}

/* ---- ECS ---- */

struct ecs {
    struct decode_ctx *c;
    struct event *ev;
    char name[NAME_MAX_LEN]; /* of the member being read, dotted */
};

static int add_number(struct ecs *e, name_id key, struct str text)
{
    struct field f = {.key = key, .type = VALUE_INT};
    if (parse_i64(text, INT64_MIN, INT64_MAX, &f.i) < 0) {
        char z[64], *end;
        if (text.len >= sizeof(z))
            return -EBADMSG;
        memcpy(z, text.p, text.len);
        z[text.len] = '\0';
        f.type = VALUE_FLOAT;
        f.f = strtod(z, &end);
        if (*end != '\0')
            return -EBADMSG;
    }
    return event_add_field(e->ev, &f);
}

/* Values that are members of struct event, not fields. 1 when it was one. */
static int take_special(struct ecs *e, struct str name, struct str text)
{
    bool has_zone;
    size_t len;
    int64_t ts_ns;
    if (str_eq(name, STR("@timestamp"))) {
        if (time_parse_rfc3339(text, &ts_ns, &has_zone, &len) == 0 && len == text.len) {
            e->ev->ts_ns = ts_ns;
            e->ev->ts_is_guessed = !has_zone;
        }
        return 1;
    }
    if (str_eq(name, STR("event.original"))) {
        e->ev->raw = text;
        return 1;
    }
    return str_eq(name, STR("event.created")) || str_eq(name, STR("event.ingested"));
}

static int add_scalar(struct ecs *e, struct str name, const struct json_value *v)
{
    struct str text = v->text;
    int r = v->kind == JSON_STRING ? json_text(v, e->ev->arena, &text) : 0;
    if (r < 0)
        return r;
    if (v->kind == JSON_STRING && take_special(e, name, text))
        return 0;
    name_id key = names_find(e->c->ds->names, name);
    if (key == F_NONE) {
        e->c->stats.dropped_fields++;
        return 0;
    }
    switch (v->kind) {
    case JSON_STRING:
        r = event_add_str(e->ev, key, text);
        break;
    case JSON_NUMBER:
        r = add_number(e, key, text);
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        r = event_add_bool(e->ev, key, v->kind == JSON_TRUE);
        break;
    default:
        r = event_add_field(e->ev, &(struct field){.key = key, .type = VALUE_NULL});
    }
    if (r == -E2BIG)
        e->c->stats.dropped_fields++;
    return event_keep(r);
}

static int add_elements(struct ecs *e, struct str name, const struct json_value *array)
{
    struct json_scan s;
    struct json_value v;
    int r;
    json_open_value(&s, array);
    while ((r = json_next_element(&s, &v)) == 1) {
        if (v.kind == JSON_ARRAY || v.kind == JSON_OBJECT)
            e->c->stats.dropped_fields++;
        else
            r = add_scalar(e, name, &v);
        if (r < 0)
            return r;
    }
    return r;
}

/* {"host": {"name": "x"}} means host.name as well. name_len: of the part of e->name that leads here. */
static int add_members(struct ecs *e, struct json_scan *s, size_t name_len, int depth)
{
    struct json_value key, v;
    int r;
    while ((r = json_next_member(s, &key, &v)) == 1) {
        struct str text;
        r = json_text(&key, e->ev->arena, &text);
        if (r < 0)
            return r;
        size_t dot = name_len ? 1 : 0;
        if (text.len == 0 || name_len + dot + text.len >= sizeof(e->name) || depth > ECS_DEPTH_MAX) {
            e->c->stats.dropped_fields++;
            continue;
        }
        if (dot)
            e->name[name_len] = '.';
        memcpy(e->name + name_len + dot, text.p, text.len);
        struct str name = {e->name, name_len + dot + text.len};
        if (v.kind == JSON_OBJECT) {
            struct json_scan inner;
            json_open_value(&inner, &v);
            r = add_members(e, &inner, name.len, depth + 1);
        } else {
            r = v.kind == JSON_ARRAY ? add_elements(e, name, &v) : add_scalar(e, name, &v);
        }
        if (r < 0)
            return r;
    }
    return r;
}

/* What the record does not say itself. */
static int add_missing(const struct decode_input *in, struct event *ev)
{
    const struct {
        name_id key;
        struct str value;
    } rows[] = {
        {F_HOST_NAME, in->host},        {F_AGENT_ID, str_of(in->agent_id)},
        {F_AGENT_NAME, in->agent_name}, {F_VONGGAC_SOURCE_NAME, in->source},
        {F_EVENT_KIND, STR("event")},
    };
    int r = 0;
    for (size_t i = 0; i < ARRAY_LEN(rows) && r == 0; i++) {
        if (rows[i].value.len && !event_get(ev, rows[i].key))
            r = event_keep(event_add_str(ev, rows[i].key, rows[i].value));
    }
    return r;
}

int decode_ecs(struct decode_ctx *c, const struct decode_input *in, struct event *ev)
{
    struct ecs e = {.c = c, .ev = ev};
    struct json_scan s;
    int r = json_open_record(&s, in->line);
    if (r == 0)
        r = add_members(&e, &s, 0, 1);
    if (r == -ENOMEM)
        return r;
    if (r < 0)
        return keep_as_text(c, in, ev);
    r = add_missing(in, ev);
    return r < 0 ? r : 1;
}
