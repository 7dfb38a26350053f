/* SPDX-License-Identifier: Apache-2.0
 *
 * Whole lines from a file descriptor, about CHUNK_BYTES at a time; what a pipe has is given at once. A line that is longer than
 * EVAL_LINE_MAX is given as its start, and the rest of it skipped.
 */
#include "collector/cli_rules_eval.h"

#include <errno.h>

#define CHUNK_BYTES (256 * KIB)

void eval_input_init(struct eval_input *in, int fd)
{
    *in = (struct eval_input){.fd = fd, .rest = BUF_INIT(3 * EVAL_LINE_MAX)};
}

void eval_input_clear(struct eval_input *in)
{
    buf_clear(&in->rest);
}

/* Bytes, 0 at the end, or a negative errno. */
static ssize_t read_some(struct eval_input *in, char *p, size_t n)
{
    ssize_t r;
    do
        r = read(in->fd, p, n);
    while (r < 0 && errno == EINTR);
    in->is_end = r <= 0;
    return r < 0 ? -errno : r;
}

static int grow(struct eval_chunk *to)
{
    size_t cap = MAX(2 * to->cap, CHUNK_BYTES);
    char *data = realloc(to->data, cap);
    if (!data)
        return -ENOMEM;
    to->data = data;
    to->cap = cap;
    return 0;
}

/* Keeps what stands behind the last newline of the bytes from `from` on for the next chunk. False: there is none. */
static bool cut_lines(struct eval_input *in, struct eval_chunk *to, size_t from, int *ret_err)
{
    const char *newline = to->len > from ? memrchr(to->data + from, '\n', to->len - from) : NULL;
    if (!newline)
        return false;
    size_t whole = (size_t)(newline - to->data) + 1, more = to->len - whole;
    to->len = whole;
    *ret_err = buf_append(&in->rest, to->data + whole, more);
    return true;
}

/* Reads until there is a newline. */
static int read_lines(struct eval_input *in, struct eval_chunk *to)
{
    size_t from = 0;
    int err = 0;
    while (to->cap < MAX(in->rest.len + 1, CHUNK_BYTES))
        if (grow(to) < 0)
            return -ENOMEM;
    to->len = in->rest.len;
    if (in->rest.len)
        memcpy(to->data, in->rest.data, in->rest.len);
    buf_reset(&in->rest);
    while (!cut_lines(in, to, from, &err)) { /* behind a line that is too long, the rest may hold whole lines */
        if (to->len > EVAL_LINE_MAX) {
            to->is_too_long = in->is_skipping = true;
            return 0;
        }
        if (to->len == to->cap && grow(to) < 0)
            return -ENOMEM;
        ssize_t n = read_some(in, to->data + to->len, to->cap - to->len);
        if (n <= 0)
            return (int)n;
        from = to->len;
        to->len += (size_t)n;
    }
    return err;
}

/* Over the rest of a line that is too long. */
static int skip_line(struct eval_input *in, struct eval_chunk *to)
{
    while (in->is_skipping) {
        ssize_t n = read_some(in, to->data, to->cap);
        if (n <= 0) {
            in->is_skipping = false;
            return (int)n;
        }
        const char *newline = memchr(to->data, '\n', (size_t)n);
        if (!newline)
            continue;
        in->is_skipping = false;
        return buf_append(&in->rest, newline + 1, (size_t)(to->data + n - newline - 1));
    }
    return 0;
}

/* A chunk is at most a few times EVAL_LINE_MAX: offsets fit. */
static int find_lines(struct eval_chunk *c)
{
    const char *end = c->data + c->len;
    c->n_lines = 0;
    for (const char *p = c->data; p < end;) {
        const char *newline = c->is_too_long ? NULL : memchr(p, '\n', (size_t)(end - p));
        if (c->n_lines == c->cap_lines) {
            size_t cap = MAX(2 * c->cap_lines, (size_t)4096);
            uint32_t *ends = reallocarray(c->ends, cap, sizeof(*ends));
            if (!ends)
                return -ENOMEM;
            c->ends = ends;
            c->cap_lines = cap;
        }
        p = newline ? newline : end;
        c->ends[c->n_lines++] = (uint32_t)(p - c->data);
        p++;
    }
    return 0;
}

void eval_chunk_clear(struct eval_chunk *c)
{
    free(c->data);
    free(c->ends);
    *c = (struct eval_chunk){0};
}

int eval_input_next(struct eval_input *in, struct eval_chunk *to)
{
    to->len = 0;
    to->is_too_long = false;
    while (in->is_skipping && to->cap < CHUNK_BYTES)
        if (grow(to) < 0)
            return -ENOMEM;
    int err = skip_line(in, to);
    if (err == 0 && !in->is_end)
        err = read_lines(in, to);
    if (err == 0 && to->len)
        err = find_lines(to);
    if (err < 0)
        in->is_end = true;
    if (err < 0 || to->len == 0)
        return err;
    to->seq = in->next_seq++;
    to->first_index = in->next_index;
    in->next_index += to->n_lines;
    return 1;
}
