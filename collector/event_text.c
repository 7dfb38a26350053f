/* SPDX-License-Identifier: Apache-2.0
 * See event_text.h. Texts that are too long to fold are compared as far as they fit. */
#include "collector/event_text.h"

#include "rules/fold.h"
#include "rules/json_scan.h"

#include <errno.h>

#define TEXT_MAX  (256 * KIB)
#define ARENA_MAX (1 * MIB)

struct event_text {
    struct arena *arena; /* unescaped values of the event at hand */
    char *folded;        /* FOLD_MAX(TEXT_MAX) */
};

struct event_text *event_text_new(void)
{
    struct event_text *t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    t->arena = arena_new(ARENA_MAX);
    t->folded = malloc(FOLD_MAX(TEXT_MAX));
    return t->arena && t->folded ? t : event_text_free(t);
}

struct event_text *event_text_free(struct event_text *t)
{
    if (t) {
        arena_free(t->arena);
        free(t->folded);
        free(t);
    }
    return NULL;
}

char *event_text_fold(struct str s)
{
    char *out = malloc(FOLD_MAX(s.len) + 1);
    if (out)
        out[s.len ? fold(s, out) : 0] = '\0';
    return out;
}

/* The folded form of s; s itself where that is the same. */
static struct str folded(struct event_text *t, struct str s)
{
    s.len = MIN(s.len, (size_t)TEXT_MAX);
    if (s.len == 0)
        return s;
    return (struct str){t->folded, fold(s, t->folded)};
}

bool event_text_contains(struct event_text *t, struct str text, struct str needle)
{
    struct str f = folded(t, text);
    return needle.len == 0 || (f.len >= needle.len && memmem(f.p, f.len, needle.p, needle.len));
}

/* '*' is any run. Greedy from the left is right here: each piece is best found as early as possible. */
static bool matches(struct str text, struct str pattern)
{
    const char *star = pattern.len ? memchr(pattern.p, '*', pattern.len) : NULL;
    if (!star)
        return str_eq(text, pattern);
    size_t head = (size_t)(star - pattern.p);
    if (text.len < head || memcmp(text.p, pattern.p, head) != 0)
        return false;
    text = (struct str){text.p + head, text.len - head};
    pattern = (struct str){star + 1, pattern.len - head - 1};
    while ((star = pattern.len ? memchr(pattern.p, '*', pattern.len) : NULL)) {
        size_t len = (size_t)(star - pattern.p);
        const char *at = len ? memmem(text.p, text.len, pattern.p, len) : text.p;
        if (!at)
            return false;
        text = (struct str){at + len, text.len - (size_t)(at - text.p) - len};
        pattern = (struct str){star + 1, pattern.len - len - 1};
    }
    return str_ends(text, pattern);
}

static bool value_text(struct event_text *t, const struct json_value *v, struct str *ret)
{
    if (v->kind == JSON_STRING)
        return json_text(v, t->arena, ret) == 0;
    *ret = v->text;
    return v->kind != JSON_OBJECT && v->kind != JSON_ARRAY && v->kind != JSON_NULL;
}

/* A test on one value, and on each element of an array. */
struct test {
    struct str wanted;
    bool is_pattern, is_substring;
};

static bool value_passes(struct event_text *t, const struct json_value *v, const struct test *test)
{
    struct str text;
    if (v->kind == JSON_ARRAY) {
        struct json_scan s;
        struct json_value element;
        json_open_value(&s, v);
        while (json_next_element(&s, &element) == 1) {
            if (element.kind != JSON_ARRAY && value_passes(t, &element, test))
                return true;
        }
        return false;
    }
    if (!value_text(t, v, &text))
        return false;
    if (test->is_substring)
        return event_text_contains(t, text, test->wanted);
    text = folded(t, text);
    return test->is_pattern ? matches(text, test->wanted) : str_eq(text, test->wanted);
}

/* field empty: any member. */
static bool event_passes(struct event_text *t, struct str json, struct str field, const struct test *test)
{
    struct json_scan s;
    struct json_value key, value;
    arena_reset(t->arena);
    if (json_open_record(&s, json) < 0)
        return false;
    while (json_next_member(&s, &key, &value) == 1) {
        if ((field.len == 0 || str_eq(key.text, field)) && value_passes(t, &value, test))
            return true;
    }
    return false;
}

bool event_text_any_value(struct event_text *t, struct str json, struct str needle)
{
    return event_passes(t, json, (struct str){0}, &(struct test){.wanted = needle, .is_substring = true});
}

bool event_text_field(struct event_text *t, struct str json, struct str field, struct str wanted, bool is_pattern)
{
    return field.len > 0 && event_passes(t, json, field, &(struct test){.wanted = wanted, .is_pattern = is_pattern});
}

static struct str argument(sqlite3_value *v)
{
    const unsigned char *p = sqlite3_value_text(v);
    return p ? (struct str){(const char *)p, (size_t)sqlite3_value_bytes(v)} : (struct str){0};
}

static void sql_has(sqlite3_context *ctx, int n, sqlite3_value **args)
{
    struct event_text *t = sqlite3_user_data(ctx);
    struct str needle = argument(args[0]);
    bool found = false;
    for (int i = 1; i < n && !found; i++)
        found = event_text_contains(t, argument(args[i]), needle);
    sqlite3_result_int(ctx, found);
}

static void sql_event(sqlite3_context *ctx, int n, sqlite3_value **args)
{
    (void)n;
    sqlite3_result_int(ctx, event_text_any_value(sqlite3_user_data(ctx), argument(args[1]), argument(args[0])));
}

static void sql_field(sqlite3_context *ctx, int n, sqlite3_value **args)
{
    (void)n;
    sqlite3_result_int(ctx, event_text_field(sqlite3_user_data(ctx), argument(args[3]), argument(args[0]),
                                             argument(args[1]), sqlite3_value_int(args[2]) != 0));
}

int event_text_register(struct event_text *t, sqlite3 *db)
{
    const int flags = SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_DIRECTONLY;
    if (sqlite3_create_function_v2(db, "vg_has", -1, flags, t, sql_has, NULL, NULL, NULL) != SQLITE_OK ||
        sqlite3_create_function_v2(db, "vg_event", 2, flags, t, sql_event, NULL, NULL, NULL) != SQLITE_OK ||
        sqlite3_create_function_v2(db, "vg_field", 4, flags, t, sql_field, NULL, NULL, NULL) != SQLITE_OK)
        return -ENOMEM;
    return 0;
}
