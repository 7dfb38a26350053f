/* SPDX-License-Identifier: Apache-2.0
 *
 * Journal entry to JSON: see journal_json.h. An entry that comes out too long is printed again with large values cut,
 * and if that is not enough with the fields at its end left out.
 */
#include "agent/journal_json.h"

#include <errno.h>

struct printer {
    struct buf *out;
    size_t end; /* out->len may not go beyond */
    bool small; /* cut large values */
    uint64_t cut;
};

static int print(struct printer *p, struct str s)
{
    return p->out->len + s.len > p->end ? -ENOBUFS : buf_append_str(p->out, s);
}

/* What journalctl prints as a string: UTF-8 without control characters other than tab and newline. */
static bool is_text(struct str s)
{
    const uint8_t *p = (const uint8_t *)s.p;
    for (size_t i = 0, len; i < s.len; i += len) {
        len = utf8_char_len((struct str){s.p + i, s.len - i});
        bool control = (p[i] < ' ' && p[i] != '\t' && p[i] != '\n') || p[i] == 0x7f;
        if (len == 0 || control || (len == 2 && p[i] == 0xc2 && p[i + 1] < 0xa0))
            return false;
    }
    return true;
}

static int print_bytes(struct printer *p, struct str s)
{
    int r = print(p, STR("["));
    for (size_t i = 0; i < s.len && r == 0; i++) {
        if (p->out->len + 8 > p->end)
            return -ENOBUFS;
        r = buf_printf(p->out, "%s%u", i ? "," : "", (uint8_t)s.p[i]);
    }
    return r < 0 ? r : print(p, STR("]"));
}

static int print_string(struct printer *p, struct str s)
{
    int r = p->out->len + s.len + 2 > p->end ? -ENOBUFS : buf_append_json(p->out, s);
    return r < 0 ? r : p->out->len > p->end ? -ENOBUFS : 0;
}

static int print_value(struct printer *p, const struct journal_field *f)
{
    struct str v = f->value;
    if (p->small && v.len > JOURNAL_FIELD_MAX) {
        bool keep = str_eq(f->name, STR("MESSAGE"));
        if (v.len > JOURNAL_TEXT_MAX || !keep)
            p->cut++;
        if (!keep)
            return print(p, STR("null"));
        v.len = MIN(v.len, JOURNAL_TEXT_MAX);
        while (v.len > 0 && ((uint8_t)v.p[v.len - 1] & 0xc0) == 0x80) /* not in the middle of a character */
            v.len--;
        if (v.len > 0 && (uint8_t)v.p[v.len - 1] >= 0xc0)
            v.len--;
    }
    return is_text(v) ? print_string(p, v) : print_bytes(p, v);
}

/* One name and its value, or the array of its values. */
static int print_field(struct printer *p, const struct journal_field *f, size_t same)
{
    int r = print(p, STR(","));
    if (r == 0)
        r = print_string(p, f->name);
    if (r == 0)
        r = print(p, same > 1 ? STR(":[") : STR(":"));
    for (size_t i = 0; i < same && r == 0; i++) {
        if (i > 0)
            r = print(p, STR(","));
        if (r == 0)
            r = print_value(p, f + i);
    }
    return r == 0 && same > 1 ? print(p, STR("]")) : r;
}

static int print_head(struct printer *p, const struct journal_entry *e)
{
    int r = print(p, STR("{\"__CURSOR\":"));
    if (r == 0)
        r = print_string(p, str_of(e->cursor));
    if (r == 0)
        r = buf_printf(p->out, ",\"__REALTIME_TIMESTAMP\":\"%llu\",\"__MONOTONIC_TIMESTAMP\":\"%llu\"",
                       (unsigned long long)e->realtime_us, (unsigned long long)e->monotonic_us);
    return r;
}

static int print_entry(struct printer *p, const struct journal_entry *e, bool may_drop)
{
    p->end -= 2; /* for the closing */
    int r = print_head(p, e);
    for (size_t i = 0, same; i < e->n && r == 0; i += same) {
        size_t before = p->out->len;
        same = 1;
        while (i + same < e->n && str_eq(e->fields[i].name, e->fields[i + same].name))
            same++;
        r = print_field(p, &e->fields[i], same);
        if (r == -ENOBUFS && may_drop) {
            p->out->len = before;
            p->cut += same;
            r = 0;
        }
    }
    p->end += 2;
    return r < 0 ? r : print(p, STR("}\n"));
}

/* Values of one name together, in the order of the entry. MESSAGE first, so that it is the last to be left out. */
static void group(struct journal_field *fields, size_t n)
{
    size_t done = 0;
    for (size_t i = 0; i < n; i++) {
        if (str_eq(fields[i].name, STR("MESSAGE"))) {
            struct journal_field f = fields[i];
            memmove(fields + done + 1, fields + done, (i - done) * sizeof(f));
            fields[done++] = f;
        }
    }
    for (size_t i = done; i < n;) {
        size_t end = i + 1;
        for (size_t k = i + 1; k < n; k++) {
            if (!str_eq(fields[k].name, fields[i].name))
                continue;
            struct journal_field f = fields[k];
            memmove(fields + end + 1, fields + end, (k - end) * sizeof(f));
            fields[end++] = f;
        }
        i = end;
    }
}

int journal_entry_print(struct journal_entry *e, size_t max, struct buf *out, uint64_t *ret_cut)
{
    size_t start = out->len;
    group(e->fields, e->n);
    for (int attempt = 0; attempt < 3; attempt++) {
        struct printer p = {.out = out, .end = start + max, .small = attempt > 0};
        int r = print_entry(&p, e, attempt == 2);
        *ret_cut = p.cut;
        if (r == 0)
            return 0;
        out->len = start;
        if (r != -ENOBUFS)
            return r;
    }
    return -ENOBUFS;
}
