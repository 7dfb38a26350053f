/* SPDX-License-Identifier: Apache-2.0
 *
 * From `Failed %{:word} for %{user.name:user} from ...` to a regex. Three things are hard. A user name in a log is
 * chosen by a stranger, may be empty and may hold " from 192.0.2.1 port 5": type `user` is greedy, so that what the
 * program itself wrote, which comes last, wins; type `name` is for names the system has checked, shortest first. The
 * literal prefix must be one that every match begins with, or lines would be missed. And a capture that is no address or
 * number must undo the match instead of giving half an event. Called by decoder_load.c and decoder.c.
 */
#include "rules/pattern.h"

#include "rules/address.h"

#include <errno.h>
#include <stdio.h>

static const struct type_row {
    const char *name;
    enum capture_type type;
    const char *regex; /* NULL: only in kv maps */
    bool is_quoted;
} types[] = {
    {"ip", CAPTURE_IP, "\\[?[0-9A-Fa-f:.]{2,45}(?:%[\\w.-]{1,32})?\\]?", false},
    {"host", CAPTURE_HOST, "[\\w.:%\\[\\]-]{1,255}", false},
    {"port", CAPTURE_PORT, "\\d{1,5}", false},
    {"int", CAPTURE_INT, "-?\\d{1,19}", false},
    {"word", CAPTURE_TEXT, "\\S+", false},
    {"token", CAPTURE_TEXT, "[\\w.-]++", false},
    {"user", CAPTURE_USER, ".*", false},
    {"name", CAPTURE_TEXT, ".+?", false},
    {"path", CAPTURE_TEXT, "/.*?", false},
    {"text", CAPTURE_TEXT, ".*?", false},
    {"rest", CAPTURE_TEXT, ".*", false},
    {"quoted", CAPTURE_TEXT, "(?:[^\"\\\\]|\\\\.)*", true},
    {"mac", CAPTURE_MAC, "[0-9A-Fa-f]{2}(?:[:-][0-9A-Fa-f]{2}){5}", false},
    {"lower", CAPTURE_LOWER, "\\S+", false},
    {"kv", CAPTURE_KV, ".*", false},
    {"flag", CAPTURE_FLAG, NULL, false},
    {"macs", CAPTURE_MACS, NULL, false},
};

static const struct type_row *find_type(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        if (str_eq(name, str_of(types[i].name)))
            return &types[i];
    }
    return NULL;
}

/* Interns `field` with its last part replaced, for P.ip and P.address. */
static int intern_twin(struct str field, const char *from, const char *to, struct names *names, name_id *ret)
{
    char twin[257];
    if (!str_ends(field, str_of(from)))
        return 0;
    size_t stem = field.len - strlen(from);
    int n = snprintf(twin, sizeof(twin), "%.*s%s", (int)stem, field.p, to);
    return n > 0 && (size_t)n < sizeof(twin) ? names_intern(names, str_of(twin), ret) : -EINVAL;
}

static bool is_field_name(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
              c == '@' || c == '-'))
            return false;
    }
    return s.len > 0 && s.len <= 256;
}

/* Splits "field:type". */
static int split_spec(struct str spec, struct str *ret_field, const struct type_row **ret_type, struct diag *diag)
{
    const char *colon = spec.len ? memrchr(spec.p, ':', spec.len) : NULL;
    if (!colon)
        return diag_set(diag, -EINVAL, "'" STR_FMT "': a placeholder is %%{field:type}", STR_ARG(spec));
    *ret_field = (struct str){spec.p, (size_t)(colon - spec.p)};
    struct str type = {colon + 1, spec.len - ret_field->len - 1};
    *ret_type = find_type(type);
    if (!*ret_type)
        return diag_set(diag, -EINVAL, "unknown placeholder type '" STR_FMT "'", STR_ARG(type));
    return 0;
}

static int capture_init(struct capture *c, struct str field, const struct type_row *type, struct names *names,
                        struct diag *diag)
{
    *c = (struct capture){.type = (uint8_t)type->type};
    if (field.len == 0)
        return 0;
    if (!is_field_name(field))
        return diag_set(diag, -EINVAL, "'" STR_FMT "' is no field name", STR_ARG(field));
    int r = names_intern(names, field, &c->key);
    if (r == 0 && type->type == CAPTURE_IP)
        r = intern_twin(field, ".ip", ".address", names, &c->twin);
    else if (r == 0 && type->type == CAPTURE_HOST)
        r = intern_twin(field, ".address", ".ip", names, &c->twin);
    return r < 0 ? diag_set(diag, r, "field '" STR_FMT "' cannot be added: too many names", STR_ARG(field)) : 0;
}

int capture_parse(struct str spec, struct names *names, struct capture *ret, struct diag *diag)
{
    const struct type_row *type;
    struct str field;
    int r = split_spec(spec, &field, &type, diag);
    if (r == 0 && type->type == CAPTURE_KV)
        return diag_set(diag, -EINVAL, "type 'kv' inside a kv map");
    if (r == 0 && field.len == 0 && type->type != CAPTURE_MACS)
        return diag_set(diag, -EINVAL, "'" STR_FMT "' names no field", STR_ARG(spec));
    return r < 0 ? r : capture_init(ret, field, type, names, diag);
}

/* ---- compiling ---- */

struct build {
    struct buf regex;
    struct capture captures[PATTERN_CAPTURES_MAX];
    size_t n;
    uint8_t n_groups;
};

/* Each of the comma-separated fields gets a capture of the group that comes next. */
static int add_captures(struct build *b, struct str fields, const struct type_row *type, struct names *names,
                        struct diag *diag)
{
    b->n_groups++;
    for (bool is_last = false; !is_last;) {
        const char *comma = fields.len ? memchr(fields.p, ',', fields.len) : NULL;
        struct str field = comma ? (struct str){fields.p, (size_t)(comma - fields.p)} : fields;
        is_last = !comma;
        if (b->n == PATTERN_CAPTURES_MAX)
            return diag_set(diag, -EINVAL, "more than %d fields", PATTERN_CAPTURES_MAX);
        int r = capture_init(&b->captures[b->n], field, type, names, diag);
        if (r < 0)
            return r;
        b->captures[b->n++].group = b->n_groups;
        fields = (struct str){fields.p + field.len + 1, is_last ? 0 : fields.len - field.len - 1};
    }
    return 0;
}

static int add_placeholder(struct build *b, struct str spec, struct names *names, struct diag *diag)
{
    const struct type_row *type;
    struct str fields;
    int r = split_spec(spec, &fields, &type, diag);
    if (r < 0)
        return r;
    if (!type->regex)
        return diag_set(diag, -EINVAL, "type '%s' is for kv maps only", type->name);
    const char *quote = type->is_quoted ? "\"" : "";
    if (fields.len == 0 && type->type != CAPTURE_KV)
        return buf_printf(&b->regex, "%s(?:%s)%s", quote, type->regex, quote);
    r = add_captures(b, fields, type, names, diag);
    return r < 0 ? r : buf_printf(&b->regex, "%s(?<p%d>%s)%s", quote, b->n_groups, type->regex, quote);
}

/* Copies text to the regex with its placeholders replaced. */
static int translate(struct build *b, struct str text, struct names *names, struct diag *diag)
{
    int r = buf_append_z(&b->regex, "\\A(?:");
    for (size_t i = 0; r == 0 && i < text.len;) {
        if (text.p[i] == '\\' && i + 1 < text.len) {
            r = buf_append(&b->regex, text.p + i, 2);
            i += 2;
        } else if (text.p[i] == '%' && i + 1 < text.len && text.p[i + 1] == '{') {
            const char *close = memchr(text.p + i, '}', text.len - i);
            if (!close)
                return diag_set(diag, -EINVAL, "placeholder without '}' at character %zu", i + 1);
            struct str spec = {text.p + i + 2, (size_t)(close - text.p) - i - 2};
            r = add_placeholder(b, spec, names, diag);
            i = (size_t)(close - text.p) + 1;
        } else {
            r = buf_append(&b->regex, text.p + i++, 1);
        }
    }
    return r < 0 ? r : buf_append_z(&b->regex, ")\\z");
}

/* An alternative outside every group can begin with anything. */
static bool has_top_level_bar(struct str text)
{
    int depth = 0;
    bool in_class = false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.p[i];
        if (c == '\\')
            i++;
        else if (in_class)
            in_class = c != ']';
        else if (c == '[')
            in_class = true;
        else if (c == '(')
            depth++;
        else if (c == ')')
            depth--;
        else if (c == '|' && depth == 0)
            return true;
    }
    return false;
}

static bool is_word_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static int find_prefix(struct pattern *p, struct str text, struct arena *arena)
{
    char *out = arena_strndup(arena, text.p, text.len);
    if (!out)
        return -ENOMEM;
    size_t n = 0, i = has_top_level_bar(text) ? text.len : 0;
    while (i < text.len) {
        char c = text.p[i];
        if (c == '\\') {
            if (i + 1 >= text.len || is_word_char(text.p[i + 1]))
                break;
            c = text.p[i + 1];
            i += 2;
        } else if (strchr(".[](){}|^$*+?", c) || (c == '%' && i + 1 < text.len && text.p[i + 1] == '{')) {
            break;
        } else {
            i++;
        }
        if (i < text.len && strchr("*?{", text.p[i]))
            break; /* this character may be missing */
        out[n++] = c;
    }
    p->prefix = (struct str){out, n};
    return 0;
}

static int compile_regex(struct pattern *p, struct str regex, uint32_t n_groups, struct diag *diag)
{
    int code;
    size_t offset;
    uint32_t groups = 0;
    p->re = pcre2_compile((PCRE2_SPTR)regex.p, regex.len,
                          PCRE2_DOTALL | PCRE2_NO_AUTO_CAPTURE | PCRE2_NEVER_UTF | PCRE2_NEVER_UCP |
                              PCRE2_NEVER_BACKSLASH_C,
                          &code, &offset, NULL);
    if (!p->re) {
        char msg[128];
        pcre2_get_error_message(code, (PCRE2_UCHAR *)msg, sizeof(msg));
        size_t from = offset > 20 ? offset - 20 : 0;
        return diag_set(diag, -EINVAL, "bad pattern: %s, behind '%.*s'", msg, (int)(MIN(offset, regex.len) - from),
                        regex.p + from);
    }
    pcre2_pattern_info(p->re, PCRE2_INFO_CAPTURECOUNT, &groups);
    if (groups != n_groups)
        return diag_set(diag, -EINVAL, "named groups are not allowed: write %%{field:type}");
    p->has_jit = pcre2_jit_compile(p->re, PCRE2_JIT_COMPLETE) == 0; /* without it (no executable memory): slower */
    return 0;
}

int pattern_compile(struct pattern *p, struct str text, struct names *names, struct arena *arena, struct diag *diag)
{
    *p = (struct pattern){0};
    if (text.len == 0 || text.len > PATTERN_TEXT_MAX || memchr(text.p, '\0', text.len))
        return diag_set(diag, -EINVAL, "a pattern has 1 to %d characters", PATTERN_TEXT_MAX);
    struct build b = {.regex = BUF_INIT(64 * KIB)};
    int r = translate(&b, text, names, diag);
    if (r == 0)
        r = compile_regex(p, buf_str(&b.regex), b.n_groups, diag);
    buf_clear(&b.regex);
    if (r == 0)
        r = find_prefix(p, text, arena);
    if (r == 0) {
        p->text = arena_strndup(arena, text.p, text.len);
        p->captures = arena_array(arena, MAX(b.n, (size_t)1), sizeof(*p->captures));
        r = p->text && p->captures ? 0 : -ENOMEM;
    }
    if (r < 0) {
        pattern_clear(p);
        return r;
    }
    memcpy(p->captures, b.captures, b.n * sizeof(*p->captures));
    p->n_captures = b.n;
    return 0;
}

void pattern_clear(struct pattern *p)
{
    pcre2_code_free(p->re);
    p->re = NULL;
}

/* ---- values ---- */

static int add_lower(const struct capture *c, struct str text, struct event *ev)
{
    bool has_upper = false;
    for (size_t i = 0; i < text.len; i++)
        has_upper |= text.p[i] >= 'A' && text.p[i] <= 'Z';
    if (has_upper) {
        char *copy = arena_strndup(ev->arena, text.p, text.len);
        if (!copy)
            return -ENOMEM;
        for (size_t i = 0; i < text.len; i++) {
            if (copy[i] >= 'A' && copy[i] <= 'Z')
                copy[i] = (char)(copy[i] + ('a' - 'A'));
        }
        text.p = copy;
    }
    return event_add_str(ev, c->key, text);
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* Six bytes of hex with any separator, to "00-00-5E-00-53-23". */
static int add_mac(name_id key, struct str text, struct event *ev)
{
    if (text.len < 17)
        return -EINVAL;
    char *out = arena_strndup(ev->arena, text.p, 17);
    if (!out)
        return -ENOMEM;
    for (size_t i = 0; i < 17; i++) {
        if (i % 3 == 2)
            out[i] = '-';
        else if (!is_hex(out[i]))
            return -EINVAL;
        else if (out[i] >= 'a')
            out[i] = (char)(out[i] - ('a' - 'A'));
    }
    return event_add_str(ev, key, (struct str){out, 17});
}

/* netfilter prints the link-layer header: 6 bytes destination, 6 bytes source, 2 bytes type. Other links: no addresses. */
static int add_macs(struct str text, struct event *ev)
{
    if (text.len != 14 * 3 - 1)
        return 0;
    int r = add_mac(F_DESTINATION_MAC, text, ev);
    if (r == 0)
        r = add_mac(F_SOURCE_MAC, (struct str){text.p + 18, text.len - 18}, ev);
    return r == -EINVAL ? 0 : r;
}

static int add_address(const struct capture *c, struct str text, struct event *ev)
{
    struct str ip;
    bool is_ip = address_ip(text, &ip);
    if (c->type == CAPTURE_IP && !is_ip)
        return -EINVAL;
    int r = event_add_str(ev, c->key, c->type == CAPTURE_IP ? ip : text);
    if (r == 0 && c->twin != F_NONE && is_ip)
        r = event_add_str(ev, c->twin, c->type == CAPTURE_IP ? text : ip);
    return r;
}

int capture_add(const struct capture *c, struct str text, struct event *ev)
{
    int r = 0;
    int64_t i;
    switch ((enum capture_type)c->type) {
    case CAPTURE_TEXT:
    case CAPTURE_FLAG:
        r = text.len ? event_add_str(ev, c->key, text) : 0;
        break;
    case CAPTURE_USER:
        r = event_add_str(ev, c->key, text);
        break;
    case CAPTURE_IP:
    case CAPTURE_HOST:
        r = add_address(c, text, ev);
        break;
    case CAPTURE_PORT:
    case CAPTURE_INT:
        if (parse_i64(text, c->type == CAPTURE_PORT ? 0 : INT64_MIN, c->type == CAPTURE_PORT ? 65535 : INT64_MAX, &i) <
            0)
            return -EINVAL;
        r = event_add_int(ev, c->key, i);
        break;
    case CAPTURE_LOWER:
        r = text.len ? add_lower(c, text, ev) : 0;
        break;
    case CAPTURE_MAC:
        r = add_mac(c->key, text, ev);
        break;
    case CAPTURE_MACS:
        r = add_macs(text, ev);
        break;
    case CAPTURE_KV:
        break;
    }
    return r == -E2BIG ? 0 : r; /* a full event keeps what it has */
}
