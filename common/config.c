/* SPDX-License-Identifier: Apache-2.0
 *
 * From a YAML tree and an option table to a filled struct. The tree is walked once; each key's dotted path is an
 * option, the start of one (a section), or an error. The one hard thing is to be of help: every problem of the file is
 * reported in one pass, with its place, and an unknown key with the nearest key that exists. Called by the programs at
 * start and by --check-config.
 */
#include "common/config.h"

#include "common/file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#define KEY_MAX 128 /* bytes of a dotted path */

struct loader {
    const struct option *opts;
    size_t n;
    uint8_t *target;
    struct arena *arena;
    const char *name;
    struct diags *diags;
    bool *is_given; /* one an option */
    bool has_failed;
};

/* ---- problems ---- */

static void report(struct loader *l, const struct diag *d)
{
    diags_add(l->diags, l->name, false, d);
    l->has_failed = true;
}

static void report_at(struct loader *l, int line, int col, const char *fmt, ...) PRINTF_LIKE(4, 5);
static void report_at(struct loader *l, int line, int col, const char *fmt, ...)
{
    struct diag d = {.line = line, .col = col};
    va_list args;
    va_start(args, fmt);
    vsnprintf(d.msg, sizeof(d.msg), fmt, args);
    va_end(args);
    report(l, &d);
}

/* Levenshtein distance; SIZE_MAX when either is longer than a key can be. */
static size_t edit_distance(struct str a, struct str b)
{
    size_t row[KEY_MAX + 1];
    if (a.len > KEY_MAX || b.len > KEY_MAX)
        return SIZE_MAX;
    for (size_t j = 0; j <= b.len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            size_t replaced = diagonal + (a.p[i - 1] != b.p[j - 1]);
            diagonal = row[j];
            row[j] = MIN(replaced, MIN(row[j], row[j - 1]) + 1);
        }
    }
    return row[b.len];
}

/* The option or section nearest to `path`, or empty when nothing is near enough to be meant. */
static struct str nearest_key(const struct loader *l, struct str path)
{
    struct str best = {"", 0};
    size_t best_distance = MAX(path.len / 3, (size_t)2) + 1;
    for (size_t i = 0; i < l->n; i++) {
        struct str key = str_of(l->opts[i].key);
        for (size_t len = 1; len <= key.len; len++) { /* "listen" of "listen.port", then all of it */
            if (len < key.len && key.p[len] != '.')
                continue;
            struct str candidate = {key.p, len};
            size_t distance = edit_distance(path, candidate);
            if (distance < best_distance) {
                best = candidate;
                best_distance = distance;
            }
        }
    }
    return best;
}

static void report_unknown(struct loader *l, const struct yaml *key, struct str path)
{
    struct str hint = {"", 0};
    if (l->diags && l->diags->n < l->diags->max) /* a file of nothing but rubbish must not cost much */
        hint = nearest_key(l, path);
    report_at(l, key->line, key->col, "unknown key " STR_FMT "%s" STR_FMT "%s", STR_ARG(path),
              hint.len ? "; did you mean " : "", STR_ARG(hint), hint.len ? "?" : "");
}

/* ---- values ---- */

static void *member(const struct loader *l, const struct option *o)
{
    return l->target + o->offset;
}

static void clear_strlist(struct strlist *list)
{
    for (size_t i = 0; i < list->n; i++)
        free(list->items[i]);
    free(list->items);
    *list = (struct strlist){0};
}

static void clear_option(const struct option *o, void *target)
{
    void *p = (uint8_t *)target + o->offset;
    switch (o->type) {
    case OPT_STR:
    case OPT_PATH:
        free(*(char **)p);
        *(char **)p = NULL;
        break;
    case OPT_LIST:
        clear_strlist(p);
        break;
    case OPT_NODE:
        *(const struct yaml **)p = NULL;
        break;
    case OPT_INT:
    case OPT_BOOL:
    case OPT_SIZE:
    case OPT_DURATION:
        break;
    }
}

void config_clear(const struct option *opts, size_t n, void *target)
{
    for (size_t i = 0; i < n; i++)
        clear_option(&opts[i], target);
}

/* Options hold C strings, so a NUL inside would cut them silently. */
static int check_text(const struct option *o, const struct yaml *y, struct diag *d)
{
    if (y->kind != YAML_SCALAR)
        return diag_at(d, -EINVAL, y->line, y->col, "%s: expected a single value", o->key);
    if (memchr(y->text.p, '\0', y->text.len))
        return diag_at(d, -EINVAL, y->line, y->col, "%s: contains a NUL", o->key);
    return 0;
}

static int out_of_memory(struct diag *d)
{
    return diag_set(d, -ENOMEM, "out of memory");
}

static int set_text(const struct option *o, const struct yaml *y, char **p, struct diag *d)
{
    int r = check_text(o, y, d);
    if (r < 0)
        return r;
    if (o->type == OPT_PATH && !str_starts(y->text, STR("/")))
        return diag_at(d, -EINVAL, y->line, y->col, "%s: %.100s is not an absolute path", o->key, y->text.p);
    *p = strdup(y->text.p);
    return *p ? 0 : out_of_memory(d);
}

static int set_list(const struct option *o, const struct yaml *y, struct strlist *list, struct diag *d)
{
    if (y->kind != YAML_LIST)
        return diag_at(d, -EINVAL, y->line, y->col, "%s: expected a list", o->key);
    list->items = calloc(MAX(y->n, (size_t)1), sizeof(char *));
    if (!list->items)
        return out_of_memory(d);
    for (; list->n < y->n; list->n++) {
        int r = check_text(o, y->items[list->n], d);
        if (r < 0)
            return r;
        list->items[list->n] = strdup(y->items[list->n]->text.p);
        if (!list->items[list->n])
            return out_of_memory(d);
    }
    return 0;
}

/* A limit as one would write it: in the largest unit that divides it. */
static void format_limit(enum option_type type, int64_t v, char ret[static 32])
{
    static const struct {
        enum option_type type;
        const char *unit;
        int64_t factor;
    } units[] = {
        {OPT_SIZE, "GiB", INT64_C(1) << 30},  {OPT_SIZE, "MiB", INT64_C(1) << 20},
        {OPT_SIZE, "KiB", INT64_C(1) << 10},  {OPT_DURATION, "d", 86400 * NS_PER_S},
        {OPT_DURATION, "h", 3600 * NS_PER_S}, {OPT_DURATION, "m", 60 * NS_PER_S},
        {OPT_DURATION, "s", NS_PER_S},        {OPT_DURATION, "ms", NS_PER_MS},
        {OPT_DURATION, "us", NS_PER_US},      {OPT_DURATION, "ns", 1},
    };
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (v != 0 && type == units[i].type && v % units[i].factor == 0) {
            snprintf(ret, 32, "%" PRId64 "%s", v / units[i].factor, units[i].unit);
            return;
        }
    }
    snprintf(ret, 32, "%" PRId64, v);
}

/* is_over: larger than its C type holds, so v says nothing. */
static int check_range(const struct option *o, const struct yaml *y, bool is_over, int64_t v, struct diag *d)
{
    char limit[32];
    if (is_over || (o->max != 0 && v > o->max)) {
        format_limit(o->type, o->max ? o->max : INT64_MAX, limit);
        return diag_at(d, -EINVAL, y->line, y->col, "%s: %.40s is more than %s", o->key, y->text.p, limit);
    }
    if (v < o->min) {
        format_limit(o->type, o->min, limit);
        return diag_at(d, -EINVAL, y->line, y->col, "%s: %.40s is less than %s", o->key, y->text.p, limit);
    }
    return 0;
}

static int set_int(const struct option *o, const struct yaml *y, int64_t *p, struct diag *d)
{
    struct diag why;
    int64_t v = 0;
    int r = yaml_int(y, INT64_MIN, INT64_MAX, &v, &why);
    if (r < 0)
        return diag_at(d, r, why.line, why.col, "%s: %s", o->key, why.msg);
    r = check_range(o, y, false, v, d);
    if (r == 0)
        *p = v;
    return r;
}

static int set_bool(const struct option *o, const struct yaml *y, bool *p, struct diag *d)
{
    struct diag why;
    int r = yaml_bool(y, p, &why);
    return r < 0 ? diag_at(d, r, why.line, why.col, "%s: %s", o->key, why.msg) : 0;
}

static int set_size(const struct option *o, const struct yaml *y, uint64_t *p, struct diag *d)
{
    uint64_t v = 0;
    int r = check_text(o, y, d);
    if (r < 0)
        return r;
    r = parse_size(y->text, &v);
    if (r == -EINVAL)
        return diag_at(d, r, y->line, y->col, "%s: %.40s is not a size such as 64KiB or 10MB", o->key, y->text.p);
    r = check_range(o, y, r < 0 || v > INT64_MAX, (int64_t)MIN(v, (uint64_t)INT64_MAX), d);
    if (r == 0)
        *p = v;
    return r;
}

static int set_duration(const struct option *o, const struct yaml *y, int64_t *p, struct diag *d)
{
    int64_t v = 0;
    int r = check_text(o, y, d);
    if (r < 0)
        return r;
    r = parse_duration(y->text, &v);
    if (r == -EINVAL)
        return diag_at(d, r, y->line, y->col, "%s: %.40s is not a duration such as 250ms, 5s, 10m, 1h or 90d", o->key,
                       y->text.p);
    r = check_range(o, y, r < 0, v, d);
    if (r == 0)
        *p = v;
    return r;
}

static int set_option(struct loader *l, const struct option *o, const struct yaml *y, struct diag *d)
{
    void *p = member(l, o);
    clear_option(o, l->target);
    switch (o->type) {
    case OPT_STR:
    case OPT_PATH:
        return set_text(o, y, p, d);
    case OPT_INT:
        return set_int(o, y, p, d);
    case OPT_BOOL:
        return set_bool(o, y, p, d);
    case OPT_SIZE:
        return set_size(o, y, p, d);
    case OPT_DURATION:
        return set_duration(o, y, p, d);
    case OPT_LIST:
        return set_list(o, y, p, d);
    case OPT_NODE:
        *(const struct yaml **)p = y;
        return 0;
    }
    return -EINVAL;
}

/* ---- defaults ---- */

/* Only -ENOMEM is returned, here and below; what is wrong with a value is reported. */
static int set_default(struct loader *l, const struct option *o)
{
    struct diag d = {0}, why;
    struct yaml scalar = {.kind = YAML_SCALAR, .text = str_of(o->def)};
    const struct yaml *y = &scalar;
    if (o->type == OPT_LIST || o->type == OPT_NODE) {
        struct yaml **docs;
        size_t n;
        int r = yaml_parse(str_of(o->def), l->arena, &docs, &n, &d);
        if (r == -ENOMEM)
            return r;
        if (r < 0 || n != 1 || !docs[0]) {
            report_at(l, 0, 0, "default of %s: %s", o->key, r < 0 ? d.msg : "not one document");
            return 0;
        }
        y = docs[0];
    }
    int r = set_option(l, o, y, &why);
    if (r == -EINVAL) /* our own mistake in the table: said, and found by any test that loads it */
        report_at(l, 0, 0, "default of %s", why.msg);
    return r == -ENOMEM ? r : 0;
}

static int set_defaults(struct loader *l)
{
    for (size_t i = 0; i < l->n; i++) {
        int r = l->opts[i].def ? set_default(l, &l->opts[i]) : 0;
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- the file ---- */

static const struct option *find_option(const struct loader *l, struct str path)
{
    for (size_t i = 0; i < l->n; i++) {
        if (str_eq(str_of(l->opts[i].key), path))
            return &l->opts[i];
    }
    return NULL;
}

static bool path_is_section(const struct loader *l, struct str path)
{
    for (size_t i = 0; i < l->n; i++) {
        struct str key = str_of(l->opts[i].key);
        if (key.len > path.len && key.p[path.len] == '.' && str_starts(key, path))
            return true;
    }
    return false;
}

static int read_section(struct loader *l, const struct yaml *map, struct str prefix);

static int read_value(struct loader *l, const struct yaml *key, const struct yaml *value, struct str path)
{
    const struct option *o = find_option(l, path);
    if (!o && path_is_section(l, path)) {
        if (yaml_is_null(value)) /* every line of the section is commented out */
            return 0;
        return read_section(l, value, path);
    }
    if (!o) {
        report_unknown(l, key, path);
        return 0;
    }
    bool *is_given = &l->is_given[o - l->opts];
    if (*is_given) { /* "a.b: 1" and "a: {b: 1}" in one file */
        report_at(l, key->line, key->col, "key %s is given twice", o->key);
        return 0;
    }
    *is_given = true;
    if (yaml_is_null(value)) {
        if (o->type == OPT_LIST || o->type == OPT_NODE) /* emptied on purpose */
            clear_option(o, l->target);
        else
            report_at(l, key->line, key->col, "%s: the value is missing", o->key);
        return 0;
    }
    struct diag d = {0};
    int r = set_option(l, o, value, &d);
    if (r == -EINVAL)
        report(l, &d);
    return r == -ENOMEM ? r : 0;
}

/* Recursion is bounded by KEY_MAX and by the depth of the YAML tree. */
static int read_section(struct loader *l, const struct yaml *map, struct str prefix)
{
    char path[KEY_MAX];
    if (map->kind != YAML_MAP) {
        report_at(l, map->line, map->col, "expected keys and values%s%s", prefix.len ? " under " : "",
                  prefix.len ? prefix.p : "");
        return 0;
    }
    for (size_t i = 0; i < map->n; i++) {
        const struct yaml *key = map->keys[i];
        int n = snprintf(path, sizeof(path), STR_FMT "%s" STR_FMT, STR_ARG(prefix), prefix.len ? "." : "",
                         STR_ARG(key->text));
        if (n < 0 || (size_t)n >= sizeof(path) || memchr(key->text.p, '\0', key->text.len)) {
            report_at(l, key->line, key->col, "unknown key %.60s...", key->text.p);
            continue;
        }
        int r = read_value(l, key, map->items[i], (struct str){path, (size_t)n});
        if (r < 0)
            return r;
    }
    return 0;
}

static void check_required(struct loader *l, const struct yaml *root)
{
    for (size_t i = 0; i < l->n; i++) {
        if (l->opts[i].required && !l->is_given[i])
            report_at(l, root ? root->line : 1, root ? root->col : 1, "required key %s is missing", l->opts[i].key);
    }
}

static int read_text(struct loader *l, struct str text)
{
    struct diag d = {0};
    struct yaml **docs = NULL;
    size_t n_docs = 0;
    int r = yaml_parse(text, l->arena, &docs, &n_docs, &d);
    if (r < 0) {
        report(l, &d);
        return r;
    }
    const struct yaml *root = n_docs > 0 ? docs[0] : NULL;
    if (n_docs > 1)
        report_at(l, docs[1] ? docs[1]->line : 1, 1, "more than one YAML document");
    else if (root)
        r = read_section(l, root, (struct str){"", 0});
    if (r == 0)
        check_required(l, root);
    return r;
}

/* text: NULL for defaults only. */
static int load(const struct str *text, const char *name, const struct option *opts, size_t n, void *target,
                struct arena *arena, struct diags *diags)
{
    struct loader l = {.opts = opts, .n = n, .target = target, .arena = arena, .name = name, .diags = diags};
    l.is_given = calloc(MAX(n, (size_t)1), sizeof(bool));
    int r = l.is_given ? set_defaults(&l) : -ENOMEM;
    if (r == 0 && text)
        r = read_text(&l, *text);
    else if (r == 0)
        check_required(&l, NULL);
    if (r == 0 && l.has_failed)
        r = -EINVAL;
    if (r == -ENOMEM && !l.has_failed) {
        struct diag d;
        out_of_memory(&d);
        report(&l, &d);
    }
    free(l.is_given);
    if (r < 0)
        config_clear(opts, n, target);
    return r;
}

int config_parse(struct str text, const char *name, const struct option *opts, size_t n, void *target,
                 struct arena *arena, struct diags *diags)
{
    return load(&text, name, opts, n, target, arena, diags);
}

static void clear_buf(struct buf *b)
{
    buf_clear(b);
}

int config_load(const char *path, const struct option *opts, size_t n, void *target, struct arena *arena,
                struct diags *diags)
{
    if (!path)
        return load(NULL, "", opts, n, target, arena, diags);
    struct buf text CLEANUP(clear_buf) = BUF_INIT(YAML_BYTES_MAX);
    int r = file_read(path, &text);
    if (r < 0) {
        struct diag d;
        diag_set(&d, r, "cannot read: %s", r == -E2BIG ? "too long" : strerror(-r));
        diags_add(diags, path, false, &d);
        return r;
    }
    struct str s = buf_str(&text);
    return load(&s, path, opts, n, target, arena, diags);
}

/* ---- help ---- */

static const char *type_name(enum option_type type)
{
    switch (type) {
    case OPT_STR:
        return "text";
    case OPT_PATH:
        return "path";
    case OPT_INT:
        return "number";
    case OPT_BOOL:
        return "true/false";
    case OPT_SIZE:
        return "size";
    case OPT_DURATION:
        return "duration";
    case OPT_LIST:
        return "list";
    case OPT_NODE:
        break;
    }
    return "section";
}

static const char *default_text(const struct option *o)
{
    return o->required ? "(required)" : o->def ? o->def : "-";
}

void config_print_help(const struct option *opts, size_t n)
{
    int key = 3, def = 7;
    for (size_t i = 0; i < n; i++) {
        key = MAX(key, (int)strlen(opts[i].key));
        def = MAX(def, (int)strlen(default_text(&opts[i])));
    }
    printf("%-*s  %-10s  %-*s  %s\n", key, "Key", "Type", def, "Default", "Meaning");
    for (size_t i = 0; i < n; i++)
        printf("%-*s  %-10s  %-*s  %s\n", key, opts[i].key, type_name(opts[i].type), def, default_text(&opts[i]),
               opts[i].help);
}
