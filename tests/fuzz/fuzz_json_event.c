/* SPDX-License-Identifier: Apache-2.0
 *
 * Lines of JSON from anywhere, through one reader: what it remembers of a line's keys must not spoil the next. A line of its own
 * size, so that a byte read beyond its end is seen; and once more, when its keys are known, with the same result.
 */
#include "rules/json_event.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_same(const struct field *a, const struct field *b)
{
    return a->key == b->key && a->type == b->type &&
           (a->type == VALUE_STR ? str_eq(a->s, b->s) : a->type != VALUE_INT || a->i == b->i);
}

static void try_line(struct json_event_reader *one, struct json_event_reader *other, struct str line)
{
    static struct field first[EVENT_FIELDS_MAX];
    char *exact = malloc(MAX(line.len, (size_t)1));
    struct event ev, again;
    if (!exact)
        abort();
    memcpy(exact, line.p, line.len);
    int err = json_event_read(one, (struct str){exact, line.len}, &ev), other_err;
    memcpy(first, ev.fields, ev.n * sizeof(first[0]));
    for (int i = 0; i < 2; i++) {
        other_err = json_event_read(other, (struct str){exact, line.len}, &again);
        if (err != other_err || (err == 0 && ev.n != again.n))
            abort();
        for (size_t k = 0; err == 0 && k < ev.n; k++)
            if (!is_same(&first[k], &again.fields[k]))
                abort();
    }
    free(exact);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const known[] = {"a", "b", "a.b", "a.b.c", "@timestamp", "Image"};
    const struct json_event_options options = {.keeps_unknown = true, .wants_time = true};
    struct names *names = names_new();
    for (size_t i = 0; names && i < ARRAY_LEN(known); i++) {
        name_id id;
        if (names_intern(names, str_of(known[i]), &id) < 0)
            abort();
    }
    struct json_event_reader *one = names ? json_event_reader_new(names, &options) : NULL;
    struct json_event_reader *other = names ? json_event_reader_new(names, &options) : NULL;
    if (!one || !other)
        abort();
    const char *p = (const char *)data, *end = p + size;
    while (p < end) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        const char *line_end = newline ? newline : end;
        try_line(one, other, (struct str){p, (size_t)(line_end - p)});
        p = newline ? newline + 1 : end;
    }
    json_event_reader_free(one);
    json_event_reader_free(other);
    names_free(names);
    return 0;
}
