/* SPDX-License-Identifier: Apache-2.0
 *
 * Fields in a flat list. Lists are short (a decoded line has 10 to 40 fields), so look-up is a scan over packed 24-byte
 * entries. The one hard thing is JSON of hostile bytes: every name and text goes through buf_append_json, and numbers
 * that JSON does not know become null.
 */
#include "common/event.h"

#include "common/time.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#define FIELDS_FIRST 32

int event_init(struct event *ev, struct arena *arena)
{
    struct field *fields = arena_array(arena, FIELDS_FIRST, sizeof(*fields));
    if (!fields)
        return -ENOMEM;
    *ev = (struct event){.fields = fields, .cap = FIELDS_FIRST, .arena = arena};
    return 0;
}

static int grow(struct event *ev)
{
    if (ev->cap >= EVENT_FIELDS_MAX)
        return -E2BIG;
    size_t cap = MIN((size_t)ev->cap * 2, (size_t)EVENT_FIELDS_MAX);
    struct field *fields = arena_array(ev->arena, cap, sizeof(*fields));
    if (!fields)
        return -ENOMEM;
    memcpy(fields, ev->fields, ev->n * sizeof(*fields));
    ev->fields = fields;
    ev->cap = (uint16_t)cap;
    return 0;
}

int event_add_field(struct event *ev, const struct field *f)
{
    struct field copy = *f; /* f may be one of ours, and growing moves them */
    if (ev->n >= ev->cap) {
        int r = grow(ev);
        if (r < 0)
            return r;
    }
    ev->fields[ev->n++] = copy;
    return 0;
}

int event_add_str(struct event *ev, name_id key, struct str s)
{
    return event_add_field(ev, &(struct field){.key = key, .type = VALUE_STR, .s = s});
}

int event_add_int(struct event *ev, name_id key, int64_t i)
{
    return event_add_field(ev, &(struct field){.key = key, .type = VALUE_INT, .i = i});
}

int event_add_bool(struct event *ev, name_id key, bool b)
{
    return event_add_field(ev, &(struct field){.key = key, .type = VALUE_BOOL, .b = b});
}

static const struct field *find_from(const struct event *ev, size_t i, name_id key)
{
    for (; i < ev->n; i++) {
        if (ev->fields[i].key == key)
            return &ev->fields[i];
    }
    return NULL;
}

const struct field *event_get(const struct event *ev, name_id key)
{
    return find_from(ev, 0, key);
}

const struct field *event_get_next(const struct event *ev, const struct field *after)
{
    return find_from(ev, (size_t)(after - ev->fields) + 1, after->key);
}

struct str event_get_str(const struct event *ev, name_id key)
{
    const struct field *f = event_get(ev, key);
    return f && f->type == VALUE_STR ? f->s : (struct str){NULL, 0};
}

static struct str float_text(double f, char scratch[static 32])
{
    int n = snprintf(scratch, 32, "%.15g", f);
    if (strtod(scratch, NULL) != f) /* 15 digits read nicely; 17 are always enough */
        n = snprintf(scratch, 32, "%.17g", f);
    return (struct str){scratch, (size_t)n};
}

struct str field_text(const struct field *f, char scratch[static 32])
{
    switch ((enum value_type)f->type) {
    case VALUE_STR:
        return f->s;
    case VALUE_INT:
        return (struct str){scratch, (size_t)snprintf(scratch, 32, "%" PRId64, f->i)};
    case VALUE_FLOAT:
        return float_text(f->f, scratch);
    case VALUE_BOOL:
        return f->b ? STR("true") : STR("false");
    case VALUE_NULL:
        break;
    }
    return (struct str){"", 0};
}

static int append_value(struct buf *out, const struct field *f)
{
    if (f->type == VALUE_STR)
        return buf_append_json(out, f->s);
    if (f->type == VALUE_NULL || (f->type == VALUE_FLOAT && !isfinite(f->f)))
        return buf_append_z(out, "null");
    char scratch[32];
    return buf_append_str(out, field_text(f, scratch));
}

static int append_key(struct buf *out, struct str name)
{
    int r = buf_append_z(out, ",");
    if (r == 0)
        r = buf_append_json(out, name);
    if (r == 0)
        r = buf_append_z(out, ":");
    return r;
}

static int append_array(const struct event *ev, const struct field *f, struct buf *out)
{
    int r = buf_append_z(out, "[");
    for (bool is_first = true; r == 0 && f; f = event_get_next(ev, f), is_first = false) {
        if (!is_first)
            r = buf_append_z(out, ",");
        if (r == 0)
            r = append_value(out, f);
    }
    return r < 0 ? r : buf_append_z(out, "]");
}

/* What lives in struct event itself is printed from there, and only once. */
static bool is_printed_from_struct(name_id key)
{
    return key == F_NONE || key == F_TIMESTAMP || key == F_EVENT_CREATED || key == F_EVENT_INGESTED ||
           key == F_EVENT_ORIGINAL || key == F_VONGGAC_TIME_GUESSED;
}

static int append_fields(const struct event *ev, const struct names *names, struct buf *out)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < ev->n; i++) {
        const struct field *f = &ev->fields[i];
        if (is_printed_from_struct(f->key) || event_get(ev, f->key) != f)
            continue;
        r = append_key(out, names_text(names, f->key));
        if (r == 0)
            r = event_get_next(ev, f) ? append_array(ev, f, out) : append_value(out, f);
    }
    return r;
}

static int append_time(struct buf *out, const char *prefix, int64_t ts_ns)
{
    char text[TIME_RFC3339_LEN];
    time_format_rfc3339(ts_ns, text);
    return buf_printf(out, "%s\"%s\"", prefix, text);
}

static int append_event(const struct event *ev, const struct names *names, struct buf *out)
{
    int r = append_time(out, "{\"@timestamp\":", ev->ts_ns);
    if (r == 0 && ev->created_ns)
        r = append_time(out, ",\"event.created\":", ev->created_ns);
    if (r == 0 && ev->ingested_ns)
        r = append_time(out, ",\"event.ingested\":", ev->ingested_ns);
    if (r == 0 && ev->ts_is_guessed)
        r = buf_append_z(out, ",\"vonggac.time.guessed\":true");
    if (r == 0)
        r = append_fields(ev, names, out);
    if (r == 0)
        r = buf_append_z(out, ",\"event.original\":");
    if (r == 0)
        r = buf_append_json(out, ev->raw);
    return r < 0 ? r : buf_append_z(out, "}");
}

int event_to_json(const struct event *ev, const struct names *names, struct buf *out)
{
    size_t before = out->len;
    int r = append_event(ev, names, out);
    if (r < 0)
        out->len = before;
    return r;
}
