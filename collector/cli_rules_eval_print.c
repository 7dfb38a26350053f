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

static int append_index(struct buf *b, uint64_t v)
{
    char digits[20], *p = digits + sizeof(digits);
    do
        *--p = (char)('0' + v % 10);
    while (v /= 10);
    int err = buf_append_str(b, STR("{\"event\":"));
    return err < 0 ? err : buf_append(b, p, (size_t)(digits + sizeof(digits) - p));
}

static int append_matched(struct buf *b, const struct names *names, const struct matched *m, bool is_first)
{
    int err = is_first ? buf_append_str(b, STR("{\"field\":")) : buf_append_str(b, STR(",{\"field\":"));
    if (err == 0)
        err = m->field == F_NONE ? buf_append_str(b, STR("null")) : buf_append_json(b, names_text(names, m->field));
    err = err < 0 ? err : buf_append_str(b, STR(",\"value\":"));
    err = err < 0 ? err : buf_append_json(b, m->value);
    err = err < 0 ? err : buf_append_str(b, STR(",\"pattern\":"));
    err = err < 0 ? err : buf_append_json(b, m->pattern);
    return err < 0 ? err : buf_append_str(b, STR("}"));
}

static int append_group(struct buf *b, const struct eval_printer *p, const struct match *m)
{
    char scratch[32];
    int err = 0;
    for (size_t i = 0; err == 0 && i < m->n_group; i++) {
        err = buf_append_z(b, i ? "," : "");
        err = err < 0 ? err : buf_append_json(b, names_text(p->names, m->group[i].key));
        err = err < 0 ? err : buf_append_str(b, STR(":"));
        err = err < 0 ? err : buf_append_json(b, field_text(&m->group[i], scratch));
    }
    return err;
}

static int append_line(struct buf *b, const struct eval_printer *p, const struct match *m, uint64_t index)
{
    int err = append_index(b, index);
    err = err < 0 ? err : buf_append_str(b, find(p, m->rule)->text);
    for (size_t i = 0; err == 0 && i < m->n_matched; i++)
        err = append_matched(b, p->names, &m->matched[i], i == 0);
    err = err < 0 ? err : buf_append_str(b, STR("],\"group\":{"));
    err = err < 0 ? err : append_group(b, p, m);
    return err < 0 ? err : buf_append_str(b, STR("}}\n"));
}

int eval_print(const struct eval_printer *p, const struct match *m, uint64_t index, struct buf *out)
{
    size_t before = out->len;
    int err = append_line(out, p, m, index);
    if (err < 0)
        out->len = before;
    return err;
}
