/* SPDX-License-Identifier: Apache-2.0
 *
 * A tree from libyaml's events, with every limit enforced while the events arrive, so that a hostile file costs no more
 * than a large honest one. The one hard thing is aliases: an alias shares the anchor's node, but whoever walks the tree
 * meets its whole subtree again, so that subtree's size counts against YAML_NODES_MAX and its height against
 * YAML_DEPTH_MAX each time; an alias inside its own anchor is refused. Called by configuration, rules and decoders.
 */
#include "common/yaml.h"

#include <errno.h>
#include <yaml.h>

#define TAG_PREFIX "tag:yaml.org,2002:"

struct anchor {
    const char *name; /* in the arena */
    struct yaml *node;
    size_t size; /* nodes met when walking it */
    int height;
    bool is_open; /* still being read */
};

struct nodes {
    struct yaml **items;
    size_t n, cap;
};

struct reader {
    yaml_parser_t parser;
    yaml_event_t event;
    struct str text;
    int first_line;
    struct arena *arena;
    struct diag *diag;
    size_t count;            /* nodes so far, aliases expanded */
    size_t at_char, at_byte; /* a place in text: libyaml counts characters */
    struct anchor *anchors;
    size_t n_anchors, cap_anchors;
};

static int read_node(struct reader *r, int depth, struct yaml **ret, int *ret_height);

/* ---- errors and limits ---- */

static int line_of(const yaml_event_t *e)
{
    return (int)e->start_mark.line + 1;
}

static int col_of(const yaml_event_t *e)
{
    return (int)e->start_mark.column + 1;
}

static int out_of_memory(struct reader *r)
{
    return diag_set(r->diag, -ENOMEM, "out of memory, or over the limit of the arena");
}

/* libyaml's reader (encoding errors) knows only the byte offset. */
static int encoding_error(struct reader *r)
{
    size_t offset = MIN(r->parser.problem_offset, r->text.len);
    int line = r->first_line, col = 1;
    for (size_t i = 0; i < offset; i++) {
        uint8_t c = (uint8_t)r->text.p[i];
        if (c == '\n') {
            line++;
            col = 1;
        } else if ((c & 0xC0) != 0x80) {
            col++;
        }
    }
    return diag_at(r->diag, -EINVAL, line, col, "not valid text: %s", r->parser.problem);
}

static int parser_error(struct reader *r)
{
    const yaml_parser_t *p = &r->parser;
    if (p->error == YAML_MEMORY_ERROR)
        return out_of_memory(r);
    if (p->error == YAML_READER_ERROR && p->problem)
        return encoding_error(r);
    int line = (int)p->problem_mark.line + 1;
    int col = (int)p->problem_mark.column + 1;
    return diag_at(r->diag, -EINVAL, line, col, "%s%s%s", p->problem ? p->problem : "not valid YAML",
                   p->context ? " " : "", p->context ? p->context : "");
}

static int next_event(struct reader *r)
{
    yaml_event_delete(&r->event);
    return yaml_parser_parse(&r->parser, &r->event) ? 0 : parser_error(r);
}

static int count_nodes(struct reader *r, size_t n)
{
    if (n > YAML_NODES_MAX - r->count)
        return diag_at(r->diag, -E2BIG, line_of(&r->event), col_of(&r->event),
                       "more than %d nodes, aliases counted in full", YAML_NODES_MAX);
    r->count += n;
    return 0;
}

static int check_depth(struct reader *r, int depth)
{
    if (depth > YAML_DEPTH_MAX)
        return diag_at(r->diag, -E2BIG, line_of(&r->event), col_of(&r->event), "nested more than %d deep",
                       YAML_DEPTH_MAX);
    return 0;
}

static int nodes_push(struct reader *r, struct nodes *nodes, struct yaml *y)
{
    if (nodes->n == nodes->cap) {
        size_t cap = nodes->cap ? nodes->cap * 2 : 16;
        struct yaml **items = reallocarray(nodes->items, cap, sizeof(struct yaml *));
        if (!items)
            return out_of_memory(r);
        nodes->items = items;
        nodes->cap = cap;
    }
    nodes->items[nodes->n++] = y;
    return 0;
}

static int nodes_to_arena(struct reader *r, const struct nodes *nodes, struct yaml ***ret)
{
    *ret = NULL;
    if (nodes->n == 0)
        return 0;
    struct yaml **copy = arena_array(r->arena, nodes->n, sizeof(struct yaml *));
    if (!copy)
        return out_of_memory(r);
    memcpy(copy, nodes->items, nodes->n * sizeof(struct yaml *));
    *ret = copy;
    return 0;
}

static void nodes_clear(struct nodes *nodes)
{
    free(nodes->items);
}

/* ---- tags, anchors, aliases ---- */

/* The core tags are let through, since they say what a reader expects anyway; "!!str" and "!" make a plain scalar a
 * string. Anything else would change meaning behind our back. */
static int check_tag(struct reader *r, const yaml_char_t *tag, bool *ret_is_string)
{
    static const char *const known[] = {"str", "int", "float", "bool", "null", "map", "seq"};
    *ret_is_string = false;
    if (!tag)
        return 0;
    struct str s = str_of((const char *)tag);
    if (str_eq(s, STR("!"))) {
        *ret_is_string = true;
        return 0;
    }
    if (str_starts(s, STR(TAG_PREFIX))) {
        for (size_t i = 0; i < ARRAY_LEN(known); i++) {
            if (strcmp(s.p + strlen(TAG_PREFIX), known[i]) == 0) {
                *ret_is_string = i == 0;
                return 0;
            }
        }
    }
    return diag_at(r->diag, -EINVAL, line_of(&r->event), col_of(&r->event), "tag %s is not supported", s.p);
}

static struct anchor *find_anchor(struct reader *r, const char *name)
{
    for (size_t i = r->n_anchors; i-- > 0;) { /* a name given again hides the earlier one */
        if (strcmp(r->anchors[i].name, name) == 0)
            return &r->anchors[i];
    }
    return NULL;
}

/* ret_index: r->n_anchors at most; SIZE_MAX where there is no anchor. */
static int open_anchor(struct reader *r, const yaml_char_t *name, struct yaml *node, size_t *ret_index)
{
    *ret_index = SIZE_MAX;
    if (!name)
        return 0;
    if (r->n_anchors >= YAML_ANCHORS_MAX)
        return diag_at(r->diag, -E2BIG, line_of(&r->event), col_of(&r->event), "more than %d anchors",
                       YAML_ANCHORS_MAX);
    if (r->n_anchors == r->cap_anchors) {
        size_t cap = r->cap_anchors ? r->cap_anchors * 2 : 8;
        struct anchor *anchors = reallocarray(r->anchors, cap, sizeof(*anchors));
        if (!anchors)
            return out_of_memory(r);
        r->anchors = anchors;
        r->cap_anchors = cap;
    }
    const char *copy = arena_strndup(r->arena, (const char *)name, strlen((const char *)name));
    if (!copy)
        return out_of_memory(r);
    *ret_index = r->n_anchors;
    r->anchors[r->n_anchors++] = (struct anchor){.name = copy, .node = node, .is_open = true};
    return 0;
}

static void close_anchor(struct reader *r, size_t index, size_t size, int height)
{
    if (index == SIZE_MAX)
        return;
    r->anchors[index].size = size;
    r->anchors[index].height = height;
    r->anchors[index].is_open = false;
}

static int read_alias(struct reader *r, int depth, struct yaml **ret, int *ret_height)
{
    const char *name = (const char *)r->event.data.alias.anchor;
    const struct anchor *a = find_anchor(r, name);
    int line = line_of(&r->event), col = col_of(&r->event);
    if (!a)
        return diag_at(r->diag, -EINVAL, line, col, "alias *%s has no anchor before it", name);
    if (a->is_open)
        return diag_at(r->diag, -EINVAL, line, col, "alias *%s stands inside its own anchor", name);
    int err = count_nodes(r, a->size);
    if (err == 0)
        err = check_depth(r, depth + a->height - 1);
    if (err < 0)
        return err;
    *ret = a->node;
    *ret_height = a->height;
    return 0;
}

/* ---- nodes ---- */

static size_t count_chars(struct str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++)
        n += ((uint8_t)s.p[i] & 0xC0) != 0x80;
    return n;
}

/* Byte offset of a character; they are asked for in order. */
static size_t byte_of(struct reader *r, size_t at_char)
{
    while (r->at_byte < r->text.len && r->at_char < at_char) {
        r->at_byte++;
        while (r->at_byte < r->text.len && ((uint8_t)r->text.p[r->at_byte] & 0xC0) == 0x80)
            r->at_byte++;
        r->at_char++;
    }
    return r->at_byte;
}

/* Keeps a scalar as it is written when an offset in its text does not tell the column. */
static int keep_source(struct reader *r, struct yaml *y)
{
    const yaml_event_t *e = &r->event;
    yaml_scalar_style_t style = e->data.scalar.style;
    bool is_block = style == YAML_LITERAL_SCALAR_STYLE || style == YAML_FOLDED_SCALAR_STYLE;
    size_t quotes = style == YAML_SINGLE_QUOTED_SCALAR_STYLE || style == YAML_DOUBLE_QUOTED_SCALAR_STYLE ? 2 : 0;
    size_t written = e->end_mark.index - e->start_mark.index;
    if (!is_block && e->end_mark.line == e->start_mark.line && written == count_chars(y->text) + quotes)
        return 0;
    size_t from = byte_of(r, e->start_mark.index), to = byte_of(r, e->end_mark.index);
    y->source = arena_strndup(r->arena, r->text.p + from, to - from);
    return y->source ? 0 : out_of_memory(r);
}

static int read_scalar(struct reader *r, struct yaml *y)
{
    bool is_string;
    int err = check_tag(r, r->event.data.scalar.tag, &is_string);
    if (err < 0)
        return err;
    y->kind = YAML_SCALAR;
    y->is_quoted = is_string || r->event.data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    struct str text = {(const char *)r->event.data.scalar.value, r->event.data.scalar.length};
    return arena_str(r->arena, text, &y->text) < 0 ? out_of_memory(r) : keep_source(r, y);
}

static int read_list(struct reader *r, int depth, struct yaml *y, int *height)
{
    struct nodes items CLEANUP(nodes_clear) = {0};
    bool is_string;
    int err = check_tag(r, r->event.data.sequence_start.tag, &is_string);
    y->kind = YAML_LIST;
    while (err == 0) {
        err = next_event(r);
        if (err < 0 || r->event.type == YAML_SEQUENCE_END_EVENT)
            break;
        struct yaml *item = NULL;
        int item_height = 0;
        err = read_node(r, depth + 1, &item, &item_height);
        if (err == 0)
            err = nodes_push(r, &items, item);
        *height = MAX(*height, item_height + 1);
    }
    if (err == 0)
        err = nodes_to_arena(r, &items, &y->items);
    y->n = items.n;
    return err;
}

static int compare_keys(const void *va, const void *vb)
{
    const struct yaml *a = *(struct yaml *const *)va, *b = *(struct yaml *const *)vb;
    size_t len = MIN(a->text.len, b->text.len);
    int c = len ? memcmp(a->text.p, b->text.p, len) : 0;
    if (c == 0)
        c = (a->text.len > b->text.len) - (a->text.len < b->text.len);
    if (c == 0)
        c = (a->line > b->line) - (a->line < b->line);
    return c ? c : (a->col > b->col) - (a->col < b->col);
}

/* Sorts a copy: a map may have a hundred thousand keys. */
static int check_duplicates(struct reader *r, const struct nodes *keys)
{
    if (keys->n < 2)
        return 0;
    struct yaml **sorted CLEANUP(free_ptr) = reallocarray(NULL, keys->n, sizeof(struct yaml *));
    if (!sorted)
        return out_of_memory(r);
    memcpy(sorted, keys->items, keys->n * sizeof(struct yaml *));
    qsort(sorted, keys->n, sizeof(struct yaml *), compare_keys);
    for (size_t i = 1; i < keys->n; i++) {
        const struct yaml *a = sorted[i - 1], *b = sorted[i];
        if (str_eq(a->text, b->text))
            return diag_at(r->diag, -EINVAL, b->line, b->col, "key %.100s is given twice (first on line %d)", b->text.p,
                           a->line);
    }
    return 0;
}

static int read_key(struct reader *r, int depth, struct yaml **ret)
{
    int line = line_of(&r->event), col = col_of(&r->event), height = 0;
    int err = read_node(r, depth, ret, &height);
    if (err < 0)
        return err;
    if ((*ret)->kind != YAML_SCALAR)
        return diag_at(r->diag, -EINVAL, line, col, "a key must be a scalar");
    if (!(*ret)->is_quoted && str_eq((*ret)->text, STR("<<")))
        return diag_at(r->diag, -EINVAL, line, col, "merge keys (<<) are not supported");
    return 0;
}

static int read_map(struct reader *r, int depth, struct yaml *y, int *height)
{
    struct nodes keys CLEANUP(nodes_clear) = {0}, values CLEANUP(nodes_clear) = {0};
    bool is_string;
    int err = check_tag(r, r->event.data.mapping_start.tag, &is_string);
    y->kind = YAML_MAP;
    while (err == 0) {
        err = next_event(r);
        if (err < 0 || r->event.type == YAML_MAPPING_END_EVENT)
            break;
        struct yaml *key = NULL, *value = NULL;
        int value_height = 0;
        err = read_key(r, depth + 1, &key);
        if (err == 0)
            err = nodes_push(r, &keys, key);
        if (err == 0)
            err = next_event(r);
        if (err == 0)
            err = read_node(r, depth + 1, &value, &value_height);
        if (err == 0)
            err = nodes_push(r, &values, value);
        *height = MAX(*height, MAX(value_height, 1) + 1);
    }
    if (err == 0)
        err = check_duplicates(r, &keys);
    if (err == 0)
        err = nodes_to_arena(r, &keys, &y->keys);
    if (err == 0)
        err = nodes_to_arena(r, &values, &y->items);
    y->n = keys.n;
    return err;
}

/* r->event is the node's first event. Recursion is bounded by check_depth. */
static int read_node(struct reader *r, int depth, struct yaml **ret, int *ret_height)
{
    if (r->event.type == YAML_ALIAS_EVENT)
        return read_alias(r, depth, ret, ret_height);
    size_t count_before = r->count, anchor = SIZE_MAX;
    int height = 1;
    int err = check_depth(r, depth);
    if (err == 0)
        err = count_nodes(r, 1);
    if (err < 0)
        return err;
    struct yaml *y = arena_alloc(r->arena, sizeof(*y));
    if (!y)
        return out_of_memory(r);
    y->line = line_of(&r->event);
    y->col = col_of(&r->event);
    switch (r->event.type) {
    case YAML_SCALAR_EVENT:
        err = open_anchor(r, r->event.data.scalar.anchor, y, &anchor);
        if (err == 0)
            err = read_scalar(r, y);
        break;
    case YAML_SEQUENCE_START_EVENT:
        err = open_anchor(r, r->event.data.sequence_start.anchor, y, &anchor);
        if (err == 0)
            err = read_list(r, depth, y, &height);
        break;
    case YAML_MAPPING_START_EVENT:
        err = open_anchor(r, r->event.data.mapping_start.anchor, y, &anchor);
        if (err == 0)
            err = read_map(r, depth, y, &height);
        break;
    default:
        err = diag_at(r->diag, -EINVAL, y->line, y->col, "a value is missing");
        break;
    }
    if (err < 0)
        return err;
    close_anchor(r, anchor, r->count - count_before, height);
    *ret = y;
    *ret_height = height;
    return 0;
}

/* ---- documents ---- */

static bool is_empty_document(const struct yaml *y)
{
    return y->kind == YAML_SCALAR && !y->is_quoted && y->text.len == 0;
}

static int read_documents(struct reader *r, struct nodes *docs)
{
    int err = next_event(r); /* stream start */
    while (err == 0) {
        err = next_event(r);
        if (err < 0 || r->event.type == YAML_STREAM_END_EVENT)
            break;
        struct yaml *root = NULL;
        int height = 0;
        r->n_anchors = 0; /* anchors end with their document */
        err = next_event(r);
        if (err == 0)
            err = read_node(r, 1, &root, &height);
        if (err == 0)
            err = nodes_push(r, docs, is_empty_document(root) ? NULL : root);
        if (err == 0)
            err = next_event(r); /* document end */
    }
    return err;
}

int yaml_parse(struct str text, struct arena *arena, struct yaml ***ret_docs, size_t *ret_n, struct diag *diag)
{
    return yaml_parse_at(text, 1, arena, ret_docs, ret_n, diag);
}

int yaml_parse_at(struct str text, int first_line, struct arena *arena, struct yaml ***ret_docs, size_t *ret_n,
                  struct diag *diag)
{
    if (text.len > YAML_BYTES_MAX)
        return diag_set(diag, -E2BIG, "longer than %zu bytes", YAML_BYTES_MAX);
    if (str_starts(text, STR("\xef\xbb\xbf"))) /* libyaml counts it as a column of the first line */
        text = (struct str){text.p + 3, text.len - 3};
    struct reader r = {.text = text, .first_line = first_line, .arena = arena, .diag = diag};
    if (!yaml_parser_initialize(&r.parser))
        return out_of_memory(&r);
    r.parser.mark.line = (size_t)first_line - 1;
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)(text.p ? text.p : ""), text.len);

    struct nodes docs CLEANUP(nodes_clear) = {0};
    int err = read_documents(&r, &docs);
    if (err == 0)
        err = nodes_to_arena(&r, &docs, ret_docs);
    if (err == 0)
        *ret_n = docs.n;
    yaml_event_delete(&r.event);
    yaml_parser_delete(&r.parser);
    free(r.anchors);
    return err;
}

/* ---- reading the tree ---- */

const struct yaml *yaml_get(const struct yaml *map, const char *key)
{
    if (!map || map->kind != YAML_MAP)
        return NULL;
    struct str name = str_of(key);
    for (size_t i = 0; i < map->n; i++) {
        if (str_eq(map->keys[i]->text, name))
            return map->items[i];
    }
    return NULL;
}

static bool is_plain_one_of(const struct yaml *y, const char *const *words, size_t n)
{
    if (y->kind != YAML_SCALAR || y->is_quoted)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (str_eq(y->text, str_of(words[i])))
            return true;
    }
    return false;
}

bool yaml_is_null(const struct yaml *y)
{
    static const char *const words[] = {"", "~", "null", "Null", "NULL"};
    return !y || is_plain_one_of(y, words, ARRAY_LEN(words));
}

int yaml_int(const struct yaml *y, int64_t min, int64_t max, int64_t *ret, struct diag *diag)
{
    if (!y)
        return diag_set(diag, -EINVAL, "a number is missing");
    if (y->kind != YAML_SCALAR || y->is_quoted)
        return diag_at(diag, -EINVAL, y->line, y->col, "expected a whole number");
    int r = parse_i64(y->text, min, max, ret);
    if (r == -ERANGE)
        return diag_at(diag, -EINVAL, y->line, y->col, "%.40s is not between %lld and %lld", y->text.p, (long long)min,
                       (long long)max);
    if (r < 0)
        return diag_at(diag, -EINVAL, y->line, y->col, "expected a whole number, found %.100s", y->text.p);
    return 0;
}

int yaml_bool(const struct yaml *y, bool *ret, struct diag *diag)
{
    static const char *const yes[] = {"true", "True", "TRUE", "yes", "Yes", "YES"};
    static const char *const no[] = {"false", "False", "FALSE", "no", "No", "NO"};
    if (!y)
        return diag_set(diag, -EINVAL, "true or false is missing");
    if (is_plain_one_of(y, yes, ARRAY_LEN(yes)))
        *ret = true;
    else if (is_plain_one_of(y, no, ARRAY_LEN(no)))
        *ret = false;
    else
        return diag_at(diag, -EINVAL, y->line, y->col, "expected true or false");
    return 0;
}

struct str yaml_str(const struct yaml *map, const char *key)
{
    const struct yaml *y = yaml_get(map, key);
    return y && y->kind == YAML_SCALAR ? y->text : (struct str){"", 0};
}
