/* SPDX-License-Identifier: Apache-2.0
 *
 * A match as one line of JSON. On streams where most events match this is the hot path, so that everything about the rule is
 * rendered once, when the rules are loaded, and found by the rule's address.
 */
#include "collector/cli_rules_eval.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#define LINE_MAX_BYTES (64 * MIB)
#define TEXTS_MAX      (1024 * MIB)
#define ROOM_SLACK     128 /* more than all that stands between names and values */

struct rendered {
    const struct rule *rule; /* NULL: empty slot */
    struct str text;         /* from ,"type" up to "matched":[ */
};

struct eval_printer {
    const struct names *names;
    struct arena *arena;
    struct rendered *slots; /* open addressing, n_slots a power of two */
    size_t n_slots;
};

static int append_member(struct buf *b, const char *name, const char *text)
{
    int err = buf_append_z(b, name);
    if (err == 0)
        err = text ? buf_append_json(b, str_of(text)) : buf_append_z(b, "null");
    return err;
}

static int render_rule(struct buf *b, const struct rule *r)
{
    static const char *const levels[] = {[LEVEL_INFORMATIONAL] = "informational",
                                         [LEVEL_LOW] = "low",
                                         [LEVEL_MEDIUM] = "medium",
                                         [LEVEL_HIGH] = "high",
                                         [LEVEL_CRITICAL] = "critical"};
    int err = append_member(b, ",\"type\":", r->kind == RULE_CORRELATION ? "correlation" : "detection");
    err = err < 0 ? err : append_member(b, ",\"rule\":{\"id\":", r->id);
    err = err < 0 ? err : append_member(b, ",\"title\":", r->title);
    err = err < 0 ? err : append_member(b, ",\"level\":", levels[r->level]);
    err = err < 0 ? err : append_member(b, ",\"author\":", r->author);
    err = err < 0 ? err : buf_append_z(b, ",\"tags\":[");
    for (size_t i = 0; err == 0 && i < r->n_tags; i++)
        err = append_member(b, i ? "," : "", r->tags[i]);
    return err < 0 ? err : buf_append_z(b, "]},\"matched\":[");
}

static struct rendered *find(const struct eval_printer *p, const struct rule *rule)
{
    uint64_t h = (uint64_t)(uintptr_t)rule * UINT64_C(0x9E3779B97F4A7C15);
    size_t i = (size_t)(h >> 32) & (p->n_slots - 1);
    while (p->slots[i].rule && p->slots[i].rule != rule)
        i = (i + 1) & (p->n_slots - 1);
    return &p->slots[i];
}

static int render_all(struct eval_printer *p, const struct ruleset *rs)
{
    CLEANUP(buf_clear) struct buf b = BUF_INIT(LINE_MAX_BYTES);
    for (size_t i = 0; i < ruleset_count(rs); i++) {
        const struct rule *rule = ruleset_rule(rs, i);
        struct rendered *slot = find(p, rule);
        buf_reset(&b);
        if (render_rule(&b, rule) < 0 || arena_str(p->arena, buf_str(&b), &slot->text) < 0)
            return -ENOMEM;
        slot->rule = rule;
    }
    return 0;
}

struct eval_printer *eval_printer_new(const struct ruleset *rs, const struct names *names)
{
    struct eval_printer *p = calloc(1, sizeof(*p));
    if (!p)
        return NULL;
    p->names = names;
    for (p->n_slots = 64; p->n_slots < 2 * ruleset_count(rs);)
        p->n_slots *= 2;
    p->arena = arena_new(TEXTS_MAX);
    p->slots = calloc(p->n_slots, sizeof(*p->slots));
    if (!p->arena || !p->slots || render_all(p, rs) < 0)
        return eval_printer_free(p);
    return p;
}

struct eval_printer *eval_printer_free(struct eval_printer *p)
{
    if (!p)
        return NULL;
    arena_free(p->arena);
    free(p->slots);
    free(p);
    return NULL;
}

/* ---- a line, into room made before ---- */

static uint8_t *put(uint8_t *to, struct str s)
{
    memcpy(to, s.p, s.len);
    return to + s.len;
}

uint8_t *eval_put_index(uint8_t *to, uint64_t index)
{
    char digits[20], *p = digits + sizeof(digits);
    do
        *--p = (char)('0' + index % 10);
    while (index /= 10);
    return put(put(to, STR(EVAL_LINE_START)), (struct str){p, (size_t)(digits + sizeof(digits) - p)});
}

static uint8_t *put_matched(uint8_t *to, const struct names *names, const struct matched *m)
{
    to = put(to, STR("{\"field\":"));
    to = m->field == F_NONE ? put(to, STR("null")) : json_write(to, names_text(names, m->field));
    to = json_write(put(to, STR(",\"value\":")), m->value);
    to = json_write(put(to, STR(",\"pattern\":")), m->pattern);
    return put(to, STR("},"));
}

static uint8_t *put_group(uint8_t *to, const struct names *names, const struct field *f, struct str value)
{
    to = json_write(to, names_text(names, f->key));
    *to++ = ':';
    to = json_write(to, value);
    *to++ = ',';
    return to;
}

static size_t room(const struct eval_printer *p, const struct match *m, struct str fixed)
{
    size_t n = fixed.len + ROOM_SLACK;
    for (size_t i = 0; i < m->n_matched; i++)
        n += JSON_WRITE_MAX(m->matched[i].value.len) + JSON_WRITE_MAX(m->matched[i].pattern.len) +
             JSON_WRITE_MAX(names_text(p->names, m->matched[i].field).len) + ROOM_SLACK;
    for (size_t i = 0; i < m->n_group; i++)
        n += JSON_WRITE_MAX(m->group[i].type == VALUE_STR ? m->group[i].s.len : 32) +
             JSON_WRITE_MAX(names_text(p->names, m->group[i].key).len) + ROOM_SLACK;
    return n;
}

int eval_print(const struct eval_printer *p, const struct match *m, uint64_t index, struct buf *out)
{
    const struct str fixed = find(p, m->rule)->text;
    char scratch[32];
    uint8_t *tail;
    int err = buf_reserve(out, room(p, m, fixed), &tail);
    if (err < 0)
        return err;
    uint8_t *to = put(eval_put_index(tail, index), fixed);
    for (size_t i = 0; i < m->n_matched; i++)
        to = put_matched(to, p->names, &m->matched[i]);
    to = put(to - (m->n_matched > 0), STR("],\"group\":{")); /* over the last comma */
    for (size_t i = 0; i < m->n_group; i++)
        to = put_group(to, p->names, &m->group[i], field_text(&m->group[i], scratch));
    to = put(to - (m->n_group > 0), STR("}}\n"));
    out->len += (size_t)(to - tail);
    return 0;
}
