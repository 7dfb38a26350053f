/* SPDX-License-Identifier: Apache-2.0
 *
 * From an offset in a scalar's text back to line and column of the file, for errors that point into a condition or a key.
 * libyaml tells only where a scalar begins and ends; the hard thing is that folding, indentation and escapes lie between.
 */
#include "common/yaml.h"

struct place {
    const char *p; /* in the source, which ends with NUL */
    int line, col;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void step(struct place *at) /* one character */
{
    if (!*at->p)
        return;
    if (*at->p == '\n') {
        at->line++;
        at->col = 0;
    }
    at->col++;
    at->p++;
    while (((uint8_t)*at->p & 0xC0) == 0x80)
        at->p++;
}

static void step_blanks(struct place *at, bool has_escapes)
{
    while (is_blank(*at->p) || (has_escapes && at->p[0] == '\\' && (at->p[1] == '\n' || at->p[1] == '\r')))
        step(at);
}

static void step_escape(struct place *at)
{
    char c = at->p[1];
    for (int n = c == 'x' ? 4 : c == 'u' ? 6 : c == 'U' ? 10 : 2; n > 0; n--)
        step(at);
}

/* Over the tag, the anchor, the opening quote or the header of a block. Returns the quote, or NUL. */
static char step_into(struct place *at)
{
    while (*at->p == '&' || *at->p == '!') {
        while (*at->p && !is_blank(*at->p))
            step(at);
        step_blanks(at, false);
    }
    char first = *at->p;
    if (first == '\'' || first == '"') {
        step(at);
        return first;
    }
    if (first == '|' || first == '>')
        while (*at->p && *at->p != '\n')
            step(at);
    return '\0';
}

/* Source and text agree in everything but blanks and escapes, so they are walked side by side. */
static void find_in_source(const struct yaml *y, size_t offset, struct place *at)
{
    char quote = step_into(at);
    for (size_t i = 0; i < offset; i++) {
        char c = y->text.p[i];
        if (((uint8_t)c & 0xC0) == 0x80)
            continue;
        if (!is_blank(c))
            step_blanks(at, quote == '"');
        if (quote == '"' && *at->p == '\\')
            step_escape(at);
        else if (is_blank(*at->p) || !is_blank(c))
            step(at);
        if (quote == '\'' && c == '\'')
            step(at);
    }
    if (offset < y->text.len && !is_blank(y->text.p[offset]))
        step_blanks(at, quote == '"');
}

void yaml_place(const struct yaml *y, size_t offset, int *ret_line, int *ret_col)
{
    offset = MIN(offset, y->text.len);
    struct place at = {y->source, y->line, y->col};
    if (y->source)
        find_in_source(y, offset, &at);
    else
        at.col += (y->is_quoted ? 1 : 0);
    for (size_t i = 0; !y->source && i < offset; i++)
        at.col += ((uint8_t)y->text.p[i] & 0xC0) != 0x80;
    *ret_line = at.line;
    *ret_col = at.col;
}
