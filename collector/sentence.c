/* SPDX-License-Identifier: Apache-2.0
 *
 * See sentence.h. Shape:
 *   vi  <title>: <count> lần trong <span> trên máy <host>, từ địa chỉ <ip>, tài khoản <user>; khớp <field> = "<value>".
 *   en  <title>: <count> times in <span> on host <host>, from <ip>, account <user>; matched <field> = "<value>".
 * What a correlation groups by is said as common to all its events; what only its last event shows is left out.
 */
#include "collector/sentence.h"

#include "collector/public_address.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#define VALUE_SHOWN_MAX 80

struct words {
    const char *once, *times, *moment, *in, *matched;
    const char *host, *source, *destination, *destination_port, *user;
    const char *units[4], *unit_plural; /* day, hour, minute, second */
};

static const struct words words[] = {
    [SENTENCE_VI] = {.once = "1 lần",
                     .times = " lần",
                     .moment = " trong chưa đầy 1 giây",
                     .in = " trong ",
                     .matched = "; khớp ",
                     .host = "trên máy ",
                     .source = "từ địa chỉ ",
                     .destination = "đến địa chỉ ",
                     .destination_port = "cổng đích ",
                     .user = "tài khoản ",
                     .units = {"ngày", "giờ", "phút", "giây"},
                     .unit_plural = ""},
    [SENTENCE_EN] = {.once = "once",
                     .times = " times",
                     .moment = " in less than a second",
                     .in = " in ",
                     .matched = "; matched ",
                     .host = "on host ",
                     .source = "from ",
                     .destination = "to ",
                     .destination_port = "destination port ",
                     .user = "account ",
                     .units = {"day", "hour", "minute", "second"},
                     .unit_plural = "s"},
};

/* Text from outside: no line breaks, nothing longer than a sentence bears. */
static int add_value(struct buf *out, struct str s)
{
    size_t len = MIN(s.len, (size_t)VALUE_SHOWN_MAX);
    while (len < s.len && len > 0 && ((unsigned char)s.p[len] & 0xc0) == 0x80)
        len--; /* not in the middle of a character */
    int r = 0;
    for (size_t i = 0; i < len && r == 0; i++) {
        char c = (unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f ? ' ' : s.p[i];
        r = buf_append(out, &c, 1);
    }
    return r == 0 && len < s.len ? buf_append_z(out, "…") : r;
}

static int add_unit(struct buf *out, const struct words *w, int64_t n, int unit)
{
    return buf_printf(out, "%" PRId64 " %s%s", n, w->units[unit], n == 1 ? "" : w->unit_plural);
}

/* The two largest units: more would be false precision. */
static int add_span(struct buf *out, const struct words *w, int64_t ns)
{
    static const int64_t seconds[] = {86400, 3600, 60, 1};
    int64_t left = ns / NS_PER_S;
    if (left == 0)
        return buf_append_z(out, w->moment);
    int unit = 0;
    while (left < seconds[unit])
        unit++;
    int r = buf_append_z(out, w->in);
    if (r == 0)
        r = add_unit(out, w, left / seconds[unit], unit);
    int64_t rest = unit < 3 ? left % seconds[unit] / seconds[unit + 1] : 0;
    if (r == 0 && rest > 0)
        r = buf_append_z(out, " ");
    if (r == 0 && rest > 0)
        r = add_unit(out, w, rest, unit + 1);
    return r;
}

/* Whether the words so far ended with the count, so that the next needs a space and the ones after it a comma. */
struct sentence {
    struct buf *out;
    const struct words *words;
    bool is_public;
    size_t parts;
};

static int add_part(struct sentence *s, const char *label, struct str value)
{
    if (value.len == 0)
        return 0;
    int r = buf_append_z(s->out, s->parts++ ? ", " : " ");
    if (r == 0)
        r = buf_append_z(s->out, label);
    return r == 0 ? add_value(s->out, value) : r;
}

static int add_address(struct sentence *s, const char *label, struct str value)
{
    char text[INET6_ADDRSTRLEN];
    bool is_ipv6;
    if (s->is_public && public_address(value, text, &is_ipv6) < 0)
        return 0;
    return add_part(s, label, value);
}

static int add_user(struct sentence *s, struct str value)
{
    return s->is_public ? 0 : add_part(s, s->words->user, value);
}

static int add_group(struct sentence *s, const struct sentence_group *g)
{
    const struct words *w = s->words;
    if (str_eq(g->field, STR("host.name")))
        return add_part(s, w->host, g->value);
    if (str_eq(g->field, STR("source.ip")))
        return add_address(s, w->source, g->value);
    if (str_eq(g->field, STR("destination.ip")))
        return add_address(s, w->destination, g->value);
    if (str_eq(g->field, STR("destination.port")))
        return add_part(s, w->destination_port, g->value);
    if (str_eq(g->field, STR("user.name")))
        return add_user(s, g->value);
    if (s->is_public)
        return 0; /* an unknown field may hold anything */
    char label[160];
    snprintf(label, sizeof(label), "%.*s = ", (int)MIN(g->field.len, (size_t)120), g->field.p);
    return add_part(s, label, g->value);
}

static int add_correlation(struct sentence *s, const struct sentence_facts *f)
{
    bool has_host = false;
    int r = 0;
    for (size_t i = 0; i < f->n_group && r == 0; i++) {
        has_host |= str_eq(f->group[i].field, STR("host.name"));
        r = add_group(s, &f->group[i]);
    }
    /* Without a group every event counts: then the host of the last one says little, but something. */
    return r == 0 && f->n_group == 0 && !has_host ? add_part(s, s->words->host, f->host) : r;
}

static int add_detection(struct sentence *s, const struct sentence_facts *f)
{
    int r = add_part(s, s->words->host, f->host);
    if (r == 0)
        r = add_address(s, s->words->source, f->source_ip);
    if (r == 0)
        r = add_address(s, s->words->destination, f->destination_ip);
    if (r == 0)
        r = add_user(s, f->user);
    if (r == 0 && f->matched_value.len > 0 && !s->is_public) {
        struct str field = f->matched_field.len ? f->matched_field : STR("event.original");
        r = buf_append_z(s->out, s->words->matched);
        if (r == 0)
            r = buf_printf(s->out, STR_FMT " = \"", (int)MIN(field.len, (size_t)120), field.p);
        if (r == 0)
            r = add_value(s->out, f->matched_value);
        if (r == 0)
            r = buf_append_z(s->out, "\"");
    }
    return r;
}

int sentence_write(const struct sentence_facts *f, enum sentence_language language, struct buf *out)
{
    const struct words *w = &words[language];
    struct sentence s = {out, w, f->is_public, 0};
    int r = buf_append_str(out, f->title);
    if (r == 0)
        r = buf_append_z(out, ": ");
    if (r == 0)
        r = f->count == 1 ? buf_append_z(out, w->once) : buf_printf(out, "%" PRId64 "%s", f->count, w->times);
    if (r == 0 && f->count > 1)
        r = add_span(out, w, MAX(f->last_ns - f->first_ns, 0));
    if (r == 0)
        r = f->is_correlation ? add_correlation(&s, f) : add_detection(&s, f);
    return r == 0 ? buf_append_z(out, ".") : r;
}
