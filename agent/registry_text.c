/* SPDX-License-Identifier: Apache-2.0
 *
 * The positions file as text: see registry.h for the format. Whatever does not fit the format exactly refuses the whole
 * file, since a wrong position would lose or repeat lines; the caller then turns to the backup.
 */
#include "agent/registry.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <zlib.h>

#define HEADING      "vonggac-agent-positions 1\n"
#define BOOT_UNKNOWN "unknown"

enum { FLAG_FINISHED = 1, FLAG_ROTATED = 2, FLAG_REMOVED = 4, FLAGS_ALL = 7 };

static void boot_id(char ret[static 64])
{
    int fd CLEANUP(close_fd) = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, ret, 36) : 0;
    ret[n > 0 ? n : 0] = 0;
    if (n != 36)
        memcpy(ret, BOOT_UNKNOWN, sizeof(BOOT_UNKNOWN));
}

/* --- printing --- */

static int print_text(struct buf *out, const char *z)
{
    static const char hex[] = "0123456789abcdef";
    if (!*z)
        return buf_append_z(out, "-");
    for (; *z; z++) {
        uint8_t c = (uint8_t)*z;
        char esc[3] = {'%', hex[c >> 4], hex[c & 15]};
        bool plain = c > ' ' && c < 0x7f && c != '%' && !(c == '-' && z[1] == 0);
        int r = plain ? buf_append(out, &c, 1) : buf_append(out, esc, 3);
        if (r < 0)
            return r;
    }
    return 0;
}

static int print_hex(struct buf *out, const uint8_t *p, size_t n)
{
    int r = n ? 0 : buf_append_z(out, "-");
    for (size_t i = 0; i < n && r == 0; i++)
        r = buf_printf(out, "%02x", p[i]);
    return r;
}

static int print_guards(struct buf *out, const struct identity *id)
{
    int r = 0;
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(id->guards) && r == 0; i++) {
        const struct guard *g = &id->guards[i];
        if (g->pos == 0)
            continue;
        r = buf_printf(out, "%s%llu:%u:", n++ ? "," : "", (unsigned long long)g->pos, g->len);
        if (r == 0)
            r = print_hex(out, g->hash, GUARD_HASH);
    }
    return r == 0 && n == 0 ? buf_append_z(out, "-") : r;
}

static int print_stream(struct buf *out, const struct stream *s)
{
    char id[ID_TEXT_LEN];
    id_format(s->id, id);
    unsigned flags = (s->is_finished ? FLAG_FINISHED : 0u) | (s->is_rotated ? FLAG_ROTATED : 0u) |
                     (s->is_removed ? FLAG_REMOVED : 0u);
    int r = buf_printf(out, "stream %s %c %u %llu %llu %u ", id, (char)s->kind, flags, (unsigned long long)s->ident.dev,
                       (unsigned long long)s->ident.ino, s->ident.fp.len);
    if (r == 0)
        r = print_hex(out, s->ident.fp.sha256, s->ident.fp.len ? sizeof(s->ident.fp.sha256) : 0);
    if (r == 0)
        r = buf_append_z(out, " ");
    if (r == 0)
        r = print_guards(out, &s->ident);
    if (r == 0)
        r = buf_printf(out, " %llu %llu %llu %lld %lld %lld ", (unsigned long long)s->acked,
                       (unsigned long long)s->until, (unsigned long long)s->size, (long long)s->created_ns,
                       (long long)s->checked_ns, (long long)s->seen_ns);
    const char *texts[] = {s->cursor, s->source, s->path};
    for (size_t i = 0; i < ARRAY_LEN(texts) && r == 0; i++) {
        r = print_text(out, texts[i]);
        if (r == 0)
            r = buf_append_z(out, i + 1 < ARRAY_LEN(texts) ? " " : "\n");
    }
    return r;
}

int registry_print(const struct registry *reg, bool clean, struct buf *out)
{
    char boot[64];
    size_t lines = 2;
    boot_id(boot);
    int r = buf_printf(out, HEADING "seq %llu %llu %s %d\n", (unsigned long long)reg->acked_seq,
                       (unsigned long long)reg->next_seq, boot, clean);
    for (size_t i = 0; i < reg->n_sources && r == 0; i++, lines++) {
        r = buf_append_z(out, "source ");
        if (r == 0)
            r = print_text(out, reg->sources[i]);
        if (r == 0)
            r = buf_append_z(out, "\n");
    }
    const struct stream *s;
    TAILQ_FOREACH(s, &reg->streams, link)
    {
        if (r < 0)
            return r;
        r = print_stream(out, s);
        lines++;
    }
    if (r < 0)
        return r;
    uint32_t crc = (uint32_t)crc32_z(0, out->data, out->len);
    return buf_printf(out, "end %zu %08x\n", lines, crc);
}

/* --- parsing: a reader over the fields of one line; the first mistake makes every later call fail --- */

struct fields {
    struct str rest;
    bool bad;
};

static struct str field(struct fields *f)
{
    const char *space = f->rest.len ? memchr(f->rest.p, ' ', f->rest.len) : NULL;
    struct str one = {f->rest.p, space ? (size_t)(space - f->rest.p) : f->rest.len};
    if (one.len == 0)
        f->bad = true;
    size_t used = one.len + (space ? 1 : 0);
    f->rest = (struct str){f->rest.p + used, f->rest.len - used};
    return one;
}

static uint64_t field_u64(struct fields *f, uint64_t max)
{
    uint64_t v = 0;
    if (parse_u64(field(f), 0, max, &v) < 0)
        f->bad = true;
    return v;
}

static int64_t field_i64(struct fields *f)
{
    int64_t v = 0;
    if (parse_i64(field(f), INT64_MIN, INT64_MAX, &v) < 0)
        f->bad = true;
    return v;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool parse_hex(struct str s, uint8_t *ret, size_t n)
{
    if (s.len != 2 * n)
        return false;
    for (size_t i = 0; i < n; i++) {
        int high = hex_digit(s.p[2 * i]), low = hex_digit(s.p[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        ret[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

/* Returns owned, or NULL with f->bad set. */
static char *field_text(struct fields *f, size_t max)
{
    struct str s = field(f);
    char *out = malloc(s.len + 1);
    size_t n = 0;
    if (!out || (s.len == 1 && s.p[0] == '-'))
        s.len = 0;
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = (uint8_t)s.p[i];
        if (c == '%' && (s.len - i < 3 || !parse_hex((struct str){s.p + i + 1, 2}, &c, 1) || c == 0))
            f->bad = true;
        if (s.p[i] == '%')
            i += 2;
        out[n++] = (char)c;
    }
    if (!out || f->bad || n > max) {
        f->bad = true;
        free(out);
        return NULL;
    }
    out[n] = 0;
    return out;
}

static bool parse_guard(struct str s, struct guard *ret)
{
    const char *a = memchr(s.p, ':', s.len);
    const char *b = a ? memchr(a + 1, ':', s.len - (size_t)(a + 1 - s.p)) : NULL;
    uint64_t len = 0;
    if (!b || parse_u64((struct str){s.p, (size_t)(a - s.p)}, 1, UINT64_MAX, &ret->pos) < 0 ||
        parse_u64((struct str){a + 1, (size_t)(b - a - 1)}, 1, GUARD_MAX, &len) < 0)
        return false;
    ret->len = (uint32_t)len;
    return ret->len <= ret->pos && parse_hex((struct str){b + 1, s.len - (size_t)(b + 1 - s.p)}, ret->hash, GUARD_HASH);
}

static void field_guards(struct fields *f, struct identity *id)
{
    struct str s = field(f);
    if (s.len == 1 && s.p[0] == '-')
        return;
    for (size_t i = 0; s.len > 0; i++) {
        const char *comma = memchr(s.p, ',', s.len);
        struct str one = {s.p, comma ? (size_t)(comma - s.p) : s.len};
        if (i >= ARRAY_LEN(id->guards) || !parse_guard(one, &id->guards[i])) {
            f->bad = true;
            return;
        }
        size_t used = one.len + (comma ? 1 : 0);
        s = (struct str){s.p + used, s.len - used};
    }
}

static void field_fingerprint(struct fields *f, struct fingerprint *fp)
{
    fp->len = (uint32_t)field_u64(f, FINGERPRINT_MAX);
    struct str hex = field(f);
    if (fp->len == 0 ? hex.len != 1 || hex.p[0] != '-' : !parse_hex(hex, fp->sha256, sizeof(fp->sha256)))
        f->bad = true;
}

static int parse_stream(struct registry *reg, struct fields *f)
{
    uint8_t id[ID_LEN];
    struct stream *s, got = {0};
    if (id_parse(field(f), id) < 0)
        return -EBADMSG;
    struct str kind = field(f);
    uint64_t flags = field_u64(f, FLAGS_ALL);
    got.ident.dev = field_u64(f, UINT64_MAX);
    got.ident.ino = field_u64(f, UINT64_MAX);
    field_fingerprint(f, &got.ident.fp);
    field_guards(f, &got.ident);
    got.acked = field_u64(f, UINT64_MAX);
    got.until = field_u64(f, UINT64_MAX);
    got.size = field_u64(f, UINT64_MAX);
    got.created_ns = field_i64(f);
    got.checked_ns = field_i64(f);
    got.seen_ns = field_i64(f);
    char *cursor CLEANUP(free_ptr) = field_text(f, BATCH_STRING_MAX);
    char *source CLEANUP(free_ptr) = field_text(f, BATCH_STRING_MAX);
    char *path CLEANUP(free_ptr) = field_text(f, 4096);
    if (f->bad || f->rest.len > 0 || kind.len != 1 || (kind.p[0] != STREAM_FILE && kind.p[0] != STREAM_JOURNAL))
        return -EBADMSG;
    if (registry_find(reg, id))
        return -EBADMSG;
    int r = registry_add(reg, (enum stream_kind)kind.p[0], source, path, &s);
    if (r < 0)
        return r == -ENOSPC ? -EBADMSG : r;
    hash_del(&reg->by_id, &s->by_id);
    memcpy(s->id, id, ID_LEN);
    hash_put(&reg->by_id, &s->by_id, get_u64(s->id));
    s->is_finished = flags & FLAG_FINISHED;
    s->is_rotated = flags & FLAG_ROTATED;
    s->is_removed = flags & FLAG_REMOVED;
    s->is_durable = true;
    reg->n_not_durable--;
    s->ident = got.ident;
    s->acked = s->spooled = got.acked;
    s->until = got.until;
    s->size = got.size;
    s->created_ns = got.created_ns;
    s->checked_ns = got.checked_ns;
    s->seen_ns = got.seen_ns;
    return stream_set_cursor(s, str_of(cursor));
}

static int parse_seq(struct registry *reg, struct fields *f)
{
    char now[64];
    boot_id(now);
    reg->acked_seq = field_u64(f, UINT64_MAX / 2);
    reg->next_seq = field_u64(f, UINT64_MAX / 2);
    struct str boot = field(f);
    bool is_same_boot = str_eq(boot, str_of(now)) && !str_eq(boot, STR(BOOT_UNKNOWN));
    reg->was_clean = field_u64(f, 1) == 1 || is_same_boot;
    return f->bad || f->rest.len > 0 || reg->next_seq <= reg->acked_seq ? -EBADMSG : 0;
}

static int parse_line(struct registry *reg, struct str line)
{
    struct fields f = {.rest = line};
    struct str word = field(&f);
    if (str_eq(word, STR("stream")))
        return parse_stream(reg, &f);
    if (str_eq(word, STR("seq")))
        return parse_seq(reg, &f);
    if (!str_eq(word, STR("source")))
        return -EBADMSG;
    char *name CLEANUP(free_ptr) = field_text(&f, BATCH_STRING_MAX);
    if (f.bad || f.rest.len > 0)
        return -EBADMSG;
    int r = registry_add_source(reg, name);
    return r == -ENOSPC ? -EBADMSG : r;
}

/* The last line vouches for all before it. */
static int check_end(struct str text, struct str *ret_body, uint64_t *ret_lines)
{
    if (text.len < 2 || text.p[text.len - 1] != '\n')
        return -EBADMSG;
    const char *before = memrchr(text.p, '\n', text.len - 1);
    size_t body = before ? (size_t)(before + 1 - text.p) : 0;
    struct fields f = {.rest = {text.p + body, text.len - body - 1}};
    uint8_t crc[4];
    struct str word = field(&f);
    *ret_lines = field_u64(&f, UINT32_MAX);
    if (!str_eq(word, STR("end")) || !parse_hex(f.rest, crc, 4) || f.bad)
        return -EBADMSG;
    uint32_t said = (uint32_t)crc[0] << 24 | (uint32_t)crc[1] << 16 | (uint32_t)crc[2] << 8 | crc[3];
    if ((uint32_t)crc32_z(0, (const uint8_t *)text.p, body) != said)
        return -EBADMSG;
    *ret_body = (struct str){text.p, body};
    return 0;
}

int registry_parse(struct registry *reg, struct str text, struct diag *diag)
{
    struct str body;
    uint64_t lines, n = 1;
    if (!str_starts(text, STR(HEADING)) || check_end(text, &body, &lines) < 0)
        return diag_set(diag, -EBADMSG, "the file is cut short or damaged");
    for (size_t off = sizeof(HEADING) - 1; off < body.len; n++) {
        const char *nl = memchr(body.p + off, '\n', body.len - off);
        size_t len = (size_t)(nl - (body.p + off));
        int r = parse_line(reg, (struct str){body.p + off, len});
        if (r < 0)
            return diag_at(diag, r, (int)n + 1, 0, "line %llu makes no sense", (unsigned long long)n + 1);
        off += len + 1;
    }
    reg->is_dirty = false;
    return n == lines ? 0 : diag_set(diag, -EBADMSG, "lines are missing");
}
