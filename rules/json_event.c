/* SPDX-License-Identifier: Apache-2.0
 *
 * See json_event.h. Two things make it fast. Strings are scanned sixteen bytes at a time, and copied only from their first
 * escape on. And a key is compared with the one that followed the same key in the events before: logs repeat their keys in
 * order, so that the end of the key need not even be searched; only what is new is hashed, and only what was never seen has
 * its dotted name made.
 *
 * Every step checks the end of the line; nothing is read behind it, so a line may end where a page does.
 */
#include "rules/json_event.h"

#include "common/time.h"
#include "rules/json_string.h"

#include <errno.h>
#include <math.h>

#define NAME_MAX_LEN  256                /* names.h takes no longer ones */
#define SPELLING_MAX  (6 * NAME_MAX_LEN) /* of a key that can still be that short: \u0041 */
#define KEY_BYTES_MAX (4 * MIB)
#define SLOTS         (2 * JSON_EVENT_KEYS_MAX)
#define NO_TIME       0xFF /* rank of a field that is no time */
#define UNKNOWN       0    /* key not remembered */
#define RECORD        1    /* what stands for the record itself */

struct key { /* one spelling of a key in one object */
    const char *text;
    uint32_t hash;
    uint16_t len, parent, next; /* next: what followed it last time */
    name_id id;
    uint8_t time_rank;
};

struct json_event_reader {
    const struct names *names;
    struct json_event_options options;
    struct arena *arena; /* of key texts */
    struct key keys[JSON_EVENT_KEYS_MAX];
    size_t n_keys;
    uint16_t slots[SLOTS];
    char *text; /* unescaped strings of this event */
    size_t text_cap;
    struct field fields[EVENT_FIELDS_MAX + 1];
    uint64_t dropped;
    size_t bad_at;
    /* during json_event_read */
    const char *p, *end;
    char *out;
    struct event *ev;
    char path[NAME_MAX_LEN]; /* of the object being read, dotted */
    size_t path_len;         /* NAME_MAX_LEN + 1: too long */
    uint16_t last;           /* the key before */
    uint8_t time_rank;       /* of ev->ts_ns */
    int depth, arrays;       /* objects and arrays, arrays around what is being read */
};

static const char *const time_names[] = {
    "@timestamp",
    "timestamp",
    "EventTime",
    "TimeCreated",
    "TimeCreated.SystemTime",
    "TimeCreated.#attributes.SystemTime",
    "System.TimeCreated.SystemTime",
    "System.TimeCreated.#attributes.SystemTime",
    "Event.System.TimeCreated.SystemTime",
    "Event.System.TimeCreated.#attributes.SystemTime",
    "eventTime",
    "UtcTime",
    "CreationUtcTime",
    "TimeGenerated",
    "Timestamp",
    "_time",
    "time",
    "ts",
    "event.created",
};

/* ---- life ---- */

struct json_event_reader *json_event_reader_new(const struct names *names, const struct json_event_options *o)
{
    struct json_event_reader *r = calloc(1, sizeof(*r));
    if (!r)
        return NULL;
    r->names = names;
    r->options = *o;
    r->n_keys = RECORD + 1;
    r->keys[UNKNOWN].text = r->keys[RECORD].text = "";
    r->arena = arena_new(KEY_BYTES_MAX);
    return r->arena ? r : json_event_reader_free(r);
}

struct json_event_reader *json_event_reader_free(struct json_event_reader *r)
{
    if (!r)
        return NULL;
    arena_free(r->arena);
    free(r->text);
    free(r);
    return NULL;
}

size_t json_event_bad_at(const struct json_event_reader *r)
{
    return r->bad_at;
}

uint64_t json_event_dropped_fields(const struct json_event_reader *r)
{
    return r->dropped;
}

/* ---- strings ---- */

/* r->p is behind the opening quote; moves it behind the closing one. */
static int read_string(struct json_event_reader *r, struct str *ret)
{
    const char *start = r->p, *p = json_find_special(start, r->end);
    r->p = p;
    if (p < r->end && *p == '"') {
        *ret = (struct str){start, (size_t)(p - start)};
        r->p++;
        return 0;
    }
    if (p >= r->end || *p != '\\')
        return -EBADMSG;
    char *out = r->out;
    memcpy(out, start, (size_t)(p - start));
    r->out += p - start;
    p = json_unescape(p, r->end, &r->out);
    if (!p || p == r->end)
        return -EBADMSG;
    r->p = p + 1;
    *ret = (struct str){out, (size_t)(r->out - out)};
    return 0;
}

/* ---- keys ---- */

static uint32_t hash_key(struct str s, uint16_t parent)
{
    uint64_t h = s.len * UINT64_C(0x9E3779B97F4A7C15) ^ parent;
    for (; s.len >= 8; s.p += 8, s.len -= 8) {
        uint64_t w;
        memcpy(&w, s.p, 8);
        h = (h ^ w) * UINT64_C(0xFF51AFD7ED558CCD);
        h ^= h >> 32;
    }
    for (size_t i = 0; i < s.len; i++)
        h = (h ^ (uint8_t)s.p[i]) * UINT64_C(0x100000001B3);
    h *= UINT64_C(0xC4CEB9FE1A85EC53);
    return (uint32_t)(h >> 32);
}

/* Appends to the path of the object being read. False: longer than any name. */
static bool path_append(struct json_event_reader *r, struct str key)
{
    size_t dot = r->path_len ? 1 : 0;
    if (r->path_len + dot + key.len > NAME_MAX_LEN || key.len == 0) {
        r->path_len = NAME_MAX_LEN + 1;
        return false;
    }
    if (dot)
        r->path[r->path_len] = '.';
    memcpy(r->path + r->path_len + dot, key.p, key.len);
    r->path_len += dot + key.len;
    return true;
}

/* Reads a key once more, for its escapes. */
static int unescape_key(struct json_event_reader *r, const char *spelling, struct str *ret)
{
    const char *behind = r->p;
    r->p = spelling;
    int err = read_string(r, ret);
    if (err == 0)
        r->p = behind;
    return err;
}

/* What a key never seen before means. `spelling` is as it stands in the line. */
static int resolve_key(struct json_event_reader *r, struct str spelling, uint16_t parent, struct key *ret)
{
    size_t path_len = r->path_len;
    char *out = r->out;
    struct str key;
    int err = unescape_key(r, spelling.p, &key);
    if (err < 0)
        return err;
    *ret = (struct key){.len = (uint16_t)MIN(spelling.len, (size_t)UINT16_MAX), .parent = parent, .time_rank = NO_TIME};
    if (path_append(r, key)) {
        struct str name = {r->path, r->path_len};
        ret->id = names_find(r->names, name);
        for (size_t i = ARRAY_LEN(time_names); r->options.wants_time && i-- > 0;)
            if (str_eq(name, str_of(time_names[i])))
                ret->time_rank = (uint8_t)i;
    }
    r->path_len = path_len;
    r->out = out;
    return 0;
}

/* Finds or remembers the key that ends before the quote at r->p - 1. *ret is valid until the next call. */
static int find_key(struct json_event_reader *r, struct str spelling, uint16_t parent, uint16_t *ret)
{
    uint32_t hash = hash_key(spelling, parent);
    size_t i = hash & (SLOTS - 1);
    for (; r->slots[i] != UNKNOWN; i = (i + 1) & (SLOTS - 1)) {
        const struct key *k = &r->keys[r->slots[i]];
        if (k->hash == hash && k->parent == parent && str_eq((struct str){k->text, k->len}, spelling)) {
            *ret = r->slots[i];
            return 0;
        }
    }
    struct key key;
    int err = resolve_key(r, spelling, parent, &key);
    if (err < 0)
        return err;
    key.hash = hash;
    bool is_kept = r->n_keys < JSON_EVENT_KEYS_MAX && parent != UNKNOWN && spelling.len <= NAME_MAX_LEN;
    key.text = is_kept ? arena_strndup(r->arena, spelling.p, spelling.len) : NULL;
    *ret = key.text ? (uint16_t)r->n_keys++ : UNKNOWN;
    if (key.text)
        r->slots[i] = *ret;
    r->keys[*ret] = key;
    return 0;
}

/* As memcmp; keys are short, and a call for each costs more than the comparison. */
static inline bool is_same(const char *a, const char *b, size_t len)
{
    uint64_t x, y;
    if (len < sizeof(x)) {
        while (len > 0 && *a == *b)
            a++, b++, len--;
        return len == 0;
    }
    for (size_t at = 0;; at = MIN(at + sizeof(x), len - sizeof(x))) { /* the last eight may be looked at twice */
        memcpy(&x, a + at, sizeof(x));
        memcpy(&y, b + at, sizeof(y));
        if (x != y || at + sizeof(x) == len)
            return x == y;
    }
}

/* r->p is behind the opening quote of a key in the object `parent`; moves it behind the closing one. */
static int read_key(struct json_event_reader *r, uint16_t parent, uint16_t *ret)
{
    uint16_t guess = r->keys[r->last].next;
    const struct key *g = &r->keys[guess];
    if (guess != UNKNOWN && g->parent == parent && r->end - r->p > g->len && r->p[g->len] == '"' &&
        is_same(r->p, g->text, g->len)) {
        r->p += g->len + 1;
        *ret = r->last = guess;
        return 0;
    }
    const char *start = r->p, *p = json_find_special(start, r->end);
    while (p < r->end && *p == '\\' && r->end - p >= 2) /* read_string looks closer when the key is new */
        p = json_find_special(p + 2, r->end);
    r->p = p;
    if (p >= r->end || *p != '"')
        return -EBADMSG;
    r->p++;
    int err = find_key(r, (struct str){start, (size_t)(p - start)}, parent, ret);
    if (err < 0)
        return err;
    r->keys[r->last].next = *ret;
    r->last = *ret;
    return 0;
}

/* ---- values ---- */

static int64_t scale_of(double magnitude)
{
    return magnitude < 1e11 ? NS_PER_S : magnitude < 1e14 ? NS_PER_MS : magnitude < 1e17 ? NS_PER_US : 1;
}

static int time_of_double(double v, int64_t *ret)
{
    double ns = v * (double)scale_of(fabs(v));
    if (!isfinite(v) || ns >= 9.2e18 || ns <= -9.2e18)
        return -EINVAL;
    *ret = (int64_t)ns;
    return 0;
}

static int time_of_int(int64_t v, int64_t *ret)
{
    return __builtin_mul_overflow(v, scale_of(fabs((double)v)), ret) ? -EINVAL : 0;
}

static int time_of_text(struct str s, int64_t *ret)
{
    bool has_zone;
    size_t len;
    int64_t i;
    char z[64], *end;
    if (time_parse_rfc3339(s, ret, &has_zone, &len) == 0)
        return len == s.len ? 0 : -EINVAL;
    if (parse_i64(s, INT64_MIN, INT64_MAX, &i) == 0)
        return time_of_int(i, ret);
    if (s.len == 0 || s.len >= sizeof(z) || s.p[0] < '-' || s.p[0] > '9')
        return -EINVAL;
    memcpy(z, s.p, s.len);
    z[s.len] = '\0';
    double v = strtod(z, &end);
    return *end == '\0' ? time_of_double(v, ret) : -EINVAL;
}

int json_event_time(const struct field *f, int64_t *ret_ts_ns)
{
    switch ((enum value_type)f->type) {
    case VALUE_STR:
        return time_of_text(str_trim(f->s), ret_ts_ns);
    case VALUE_INT:
        return time_of_int(f->i, ret_ts_ns);
    case VALUE_FLOAT:
        return time_of_double(f->f, ret_ts_ns);
    default:
        return -EINVAL;
    }
}

struct member {  /* what is being read */
    uint16_t at; /* in r->keys */
    const struct key *key;
    const char *spelling; /* in the line */
};

/* Where the next value is made: one more place than an event may have fields, so that there always is one. */
static struct field *next_field(struct json_event_reader *r)
{
    return &r->fields[r->ev->n];
}

/* Keeps what is in next_field, if anybody wants it. */
static void add_field(struct json_event_reader *r, const struct key *key)
{
    struct field *f = next_field(r);
    int64_t ts_ns;
    if (key->time_rank < r->time_rank && json_event_time(f, &ts_ns) == 0) {
        r->ev->ts_ns = ts_ns;
        r->ev->ts_is_guessed = false;
        r->time_rank = key->time_rank;
    }
    name_id id = key->id; /* not read back from the field: that would wait until it is stored */
    if (id == F_EVENT_ORIGINAL && f->type == VALUE_STR) { /* not among the fields, but a value for keywords */
        r->ev->raw = f->s;
        id = F_NONE;
    }
    if (id == F_NONE && !r->options.keeps_unknown)
        return;
    f->key = id;
    if (r->ev->n < EVENT_FIELDS_MAX)
        r->ev->n++;
    else
        r->dropped++;
}

static bool is_digit(const char *p, const char *end)
{
    return p < end && *p >= '0' && *p <= '9';
}

static const char *skip_digits(const char *p, const char *end)
{
    while (is_digit(p, end))
        p++;
    return p;
}

/* The number from start to r->p, whose grammar is checked. */
static void make_float(struct json_event_reader *r, const char *start, struct field *ret)
{
    size_t len = (size_t)(r->p - start);
    memcpy(r->out, start, len); /* there is room for the line; not kept */
    r->out[len] = '\0';
    *ret = (struct field){.type = VALUE_FLOAT, .f = strtod(r->out, NULL)};
}

/* RFC 8259 section 6. */
static int read_number(struct json_event_reader *r, struct field *ret)
{
    const char *start = r->p, *p = start + (*start == '-'), *digits = p;
    uint64_t v = 0;
    for (; is_digit(p, r->end); p++)
        v = v * 10 + (uint64_t)(*p - '0');
    r->p = p;
    if (p == digits || (*digits == '0' && p - digits > 1))
        return -EBADMSG;
    if (p - digits <= 18 && (p >= r->end || (*p != '.' && (*p | 0x20) != 'e'))) {
        *ret = (struct field){.type = VALUE_INT, .i = digits == start ? (int64_t)v : -(int64_t)v};
        return 0;
    }
    bool is_int = true;
    if (p < r->end && *p == '.') {
        if (!is_digit(p + 1, r->end))
            return -EBADMSG;
        p = skip_digits(p + 1, r->end);
        is_int = false;
    }
    if (p < r->end && (*p | 0x20) == 'e') {
        p += 1 + (r->end - p >= 2 && (p[1] == '+' || p[1] == '-'));
        if (!is_digit(p, r->end))
            return -EBADMSG;
        p = skip_digits(p, r->end);
        is_int = false;
    }
    r->p = p;
    *ret = (struct field){.type = VALUE_INT};
    if (!is_int || parse_i64((struct str){start, (size_t)(p - start)}, INT64_MIN, INT64_MAX, &ret->i) < 0)
        make_float(r, start, ret);
    return 0;
}

/* ---- structure ---- */

static void skip_space(struct json_event_reader *r)
{
    while (r->p < r->end && (*r->p == ' ' || *r->p == '\t' || *r->p == '\n' || *r->p == '\r'))
        r->p++;
}

/* Over one byte and the white space around it. */
static bool take(struct json_event_reader *r, char c)
{
    const char *p = r->p, *end = r->end;
    if (p < end && *p != c) {
        skip_space(r);
        p = r->p;
    }
    if (p >= end || *p != c)
        return false;
    r->p = p + 1;
    if (r->p < end && (uint8_t)*r->p <= ' ')
        skip_space(r);
    return true;
}

static int read_value(struct json_event_reader *r, const struct member *m);

static int read_array(struct json_event_reader *r, const struct member *m)
{
    int err;
    r->arrays++;
    do
        err = read_value(r, m);
    while (err == 0 && take(r, ','));
    r->arrays--;
    return err < 0 ? err : take(r, ']') ? 0 : -EBADMSG;
}

static int read_member(struct json_event_reader *r, uint16_t parent)
{
    if (r->p >= r->end || *r->p != '"')
        return -EBADMSG;
    r->p++;
    struct member m = {.spelling = r->p};
    int err = read_key(r, parent, &m.at);
    if (err < 0)
        return err;
    m.key = &r->keys[m.at];
    struct key unknown;
    if (m.at == UNKNOWN) { /* will be overwritten by the next such key */
        unknown = *m.key;
        m.key = &unknown;
    }
    return take(r, ':') ? read_value(r, &m) : -EBADMSG;
}

/* r->p is behind the opening brace and white space, r->path names the object. */
static int read_members(struct json_event_reader *r, uint16_t parent)
{
    int err;
    if (take(r, '}'))
        return 0;
    do
        err = read_member(r, parent);
    while (err == 0 && take(r, ','));
    return err < 0 ? err : take(r, '}') ? 0 : -EBADMSG;
}

static int read_object(struct json_event_reader *r, const struct member *m)
{
    size_t path_len = r->path_len;
    char *out = r->out;
    struct str name = {m->spelling, SPELLING_MAX + 1};
    int err = m->key->len <= SPELLING_MAX ? unescape_key(r, m->spelling, &name) : 0;
    if (err < 0)
        return err;
    path_append(r, name);
    r->out = out;
    err = read_members(r, m->at);
    r->path_len = path_len;
    return err;
}

static int read_nested(struct json_event_reader *r, const struct member *m)
{
    if (r->depth >= JSON_EVENT_DEPTH_MAX)
        return -E2BIG;
    r->depth++;
    bool is_object = *r->p++ == '{';
    int err = 0;
    skip_space(r);
    if (r->p < r->end && *r->p == (is_object ? '}' : ']')) { /* there, but no value */
        r->p++;
        *next_field(r) = (struct field){.type = VALUE_NULL};
        if (r->arrays == 0)
            add_field(r, m->key);
    } else {
        err = is_object ? read_object(r, m) : read_array(r, m);
    }
    r->depth--;
    return err;
}

static int read_literal(struct json_event_reader *r, struct str word, const struct field *value)
{
    if ((size_t)(r->end - r->p) < word.len || memcmp(r->p, word.p, word.len) != 0)
        return -EBADMSG;
    r->p += word.len;
    *next_field(r) = *value;
    return 0;
}

static int read_value(struct json_event_reader *r, const struct member *m)
{
    int err;
    if (r->p >= r->end)
        return -EBADMSG;
    switch (*r->p) {
    case '"':
        r->p++;
        next_field(r)->type = VALUE_STR;
        err = read_string(r, &next_field(r)->s);
        break;
    case '{':
    case '[':
        return read_nested(r, m);
    case 't':
        err = read_literal(r, STR("true"), &(struct field){.type = VALUE_BOOL, .b = true});
        break;
    case 'f':
        err = read_literal(r, STR("false"), &(struct field){.type = VALUE_BOOL});
        break;
    case 'n':
        err = read_literal(r, STR("null"), &(struct field){.type = VALUE_NULL});
        break;
    default:
        err = read_number(r, next_field(r));
    }
    if (err == 0)
        add_field(r, m->key);
    return err;
}

/* ---- a line ---- */

static int prepare(struct json_event_reader *r, struct str line)
{
    size_t need = line.len + 2 * JSON_SLACK; /* nothing is longer unescaped, and keys do not stay */
    if (need > r->text_cap) {
        char *grown = realloc(r->text, need);
        if (!grown)
            return -ENOMEM;
        r->text = grown;
        r->text_cap = need;
    }
    r->out = r->text;
    r->p = line.p;
    r->end = line.p + line.len;
    r->path_len = 0;
    r->depth = 1;
    r->arrays = 0;
    r->last = RECORD;
    r->time_rank = NO_TIME;
    return 0;
}

int json_event_read(struct json_event_reader *r, struct str line, struct event *ret)
{
    int err = prepare(r, line);
    if (err < 0)
        return err;
    *ret = (struct event){.fields = r->fields, .cap = EVENT_FIELDS_MAX, .is_structured = true, .ts_is_guessed = true};
    r->ev = ret;
    err = line.len && take(r, '{') ? read_members(r, RECORD) : -EBADMSG;
    skip_space(r);
    if (err == 0 && r->p != r->end)
        err = -EBADMSG;
    r->bad_at = err < 0 ? (size_t)(r->p - line.p) : 0;
    return err;
}
