/* SPDX-License-Identifier: Apache-2.0
 *
 * Output in the order of events, whatever correlations do: a late event can make a much earlier one complete a correlation, and
 * only the end of the input rules that out. So detections wait, beyond SPOOL_MEMORY in a file without a name. Of correlations each shard
 * keeps the events, sixteen bytes each, and one text for all triggers of a group.
 */
#include "collector/cli_rules_eval.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>

#define SPOOL_MEMORY (8 * MIB)
#define WRITE_BYTES  (256 * KIB)

#define GROUP_BYTES_MAX (1 * MIB)
#define TEXTS_MAX       (4096 * MIB)

struct spool {
    struct buf waiting; /* not in the file yet */
    int fd;             /* -1: all is in `waiting` */
    size_t in_file;
    const char *map; /* of the whole file, at the end */
};

struct text { /* a correlation's line without its event: the same for every trigger of a group */
    uint64_t hash;
    const struct rule *rule;
    uint32_t key_len, len;
    char data[]; /* the group's values, then the text */
};

struct trigger {
    uint64_t event;
    const struct text *text;
};

struct eval_triggers {
    const struct eval_printer *printer;
    struct arena *arena; /* of texts */
    struct text **slots; /* open addressing, n_slots a power of two */
    size_t n_slots, n_texts;
    struct trigger *all;
    size_t n, cap;
    struct buf key, line;
};

struct eval_order {
    int fd;
    struct spool detections;
    struct buf out;
};

/* ---- spools ---- */

static void spool_clear(struct spool *s)
{
    if (s->map)
        munmap((void *)(uintptr_t)s->map, s->in_file);
    if (s->fd >= 0)
        close(s->fd);
    buf_clear(&s->waiting);
}

static int write_all(int fd, const uint8_t *p, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, p, len);
        if (n < 0 && errno != EINTR)
            return -errno;
        p += n < 0 ? 0 : n;
        len -= n < 0 ? 0 : (size_t)n;
    }
    return 0;
}

static int open_unnamed(void)
{
    char path[4096];
    const char *folder = getenv("TMPDIR");
    int n = snprintf(path, sizeof(path), "%s/vonggac-XXXXXX", folder && *folder ? folder : "/tmp");
    if (n < 0 || (size_t)n >= sizeof(path))
        return -ENAMETOOLONG;
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        return -errno;
    unlink(path);
    return fd;
}

static int spool_to_file(struct spool *s)
{
    if (s->fd < 0)
        s->fd = open_unnamed();
    if (s->fd < 0)
        return s->fd;
    int err = write_all(s->fd, s->waiting.data, s->waiting.len);
    if (err < 0)
        return err;
    s->in_file += s->waiting.len;
    buf_reset(&s->waiting);
    return 0;
}

static int spool_add(struct spool *s, struct str text)
{
    int err = buf_append_str(&s->waiting, text);
    return err < 0 || s->waiting.len < SPOOL_MEMORY ? err : spool_to_file(s);
}

/* All of it in one piece. */
static int spool_text(struct spool *s, struct str *ret)
{
    *ret = buf_str(&s->waiting);
    if (s->fd < 0)
        return 0;
    int err = s->waiting.len ? spool_to_file(s) : 0;
    if (err < 0)
        return err;
    void *map = mmap(NULL, s->in_file, PROT_READ, MAP_PRIVATE, s->fd, 0);
    if (map == MAP_FAILED)
        return -errno;
    s->map = map;
    *ret = (struct str){map, s->in_file};
    return 0;
}

/* ---- triggers ---- */

struct eval_triggers *eval_triggers_new(const struct eval_printer *printer)
{
    struct eval_triggers *t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    t->printer = printer;
    t->key = BUF_INIT(GROUP_BYTES_MAX);
    t->line = BUF_INIT(8 * GROUP_BYTES_MAX);
    t->n_slots = 1024;
    t->slots = calloc(t->n_slots, sizeof(struct text *));
    t->arena = arena_new(TEXTS_MAX);
    return t->slots && t->arena ? t : eval_triggers_free(t);
}

struct eval_triggers *eval_triggers_free(struct eval_triggers *t)
{
    if (!t)
        return NULL;
    arena_free(t->arena);
    free(t->slots);
    free(t->all);
    buf_clear(&t->key);
    buf_clear(&t->line);
    free(t);
    return NULL;
}

size_t eval_triggers_count(const struct eval_triggers *t)
{
    return t->n;
}

static uint64_t hash_of(const struct rule *rule, struct str key)
{
    uint64_t h = (uint64_t)(uintptr_t)rule;
    for (size_t i = 0; i < key.len; i++)
        h = (h ^ (uint8_t)key.p[i]) * UINT64_C(0x100000001B3);
    return h ^ h >> 32;
}

static int make_key(struct eval_triggers *t, const struct match *m)
{
    char scratch[32];
    int err = 0;
    buf_reset(&t->key);
    for (size_t i = 0; err == 0 && i < m->n_group; i++) {
        struct str value = field_text(&m->group[i], scratch);
        err = buf_append_u32(&t->key, (uint32_t)value.len);
        err = err < 0 ? err : buf_append_str(&t->key, value);
    }
    return err;
}

static struct text **slot_of(struct text **slots, size_t n, const struct text *like, struct str key)
{
    size_t i = like->hash & (n - 1);
    while (slots[i] && (slots[i]->hash != like->hash || slots[i]->rule != like->rule ||
                        !str_eq((struct str){slots[i]->data, slots[i]->key_len}, key)))
        i = (i + 1) & (n - 1);
    return &slots[i];
}

static int grow_slots(struct eval_triggers *t)
{
    if (2 * t->n_texts < t->n_slots)
        return 0;
    size_t n = 2 * t->n_slots;
    struct text **slots = calloc(n, sizeof(*slots));
    if (!slots)
        return -ENOMEM;
    for (size_t i = 0; i < t->n_slots; i++)
        if (t->slots[i])
            *slot_of(slots, n, t->slots[i], (struct str){t->slots[i]->data, t->slots[i]->key_len}) = t->slots[i];
    free(t->slots);
    t->slots = slots;
    t->n_slots = n;
    return 0;
}

/* The line as it is printed, from behind the event's number. */
static int make_text(struct eval_triggers *t, const struct match *m, uint64_t hash, struct text **ret)
{
    const size_t start = sizeof(EVAL_LINE_START "0") - 1;
    struct match bare = *m;
    bare.n_matched = 0; /* known only sometimes, depending on the threads */
    buf_reset(&t->line);
    int err = eval_print(t->printer, &bare, 0, &t->line);
    if (err < 0)
        return err;
    struct text *text = arena_alloc(t->arena, sizeof(*text) + t->key.len + t->line.len);
    if (!text)
        return -ENOMEM;
    *text = (struct text){hash, m->rule, (uint32_t)t->key.len, (uint32_t)(t->line.len - start)};
    if (t->key.len)
        memcpy(text->data, t->key.data, t->key.len);
    memcpy(text->data + t->key.len, t->line.data + start, text->len);
    *ret = text;
    return 0;
}

int eval_triggers_add(struct eval_triggers *t, const struct match *m)
{
    int err = make_key(t, m);
    err = err < 0 ? err : grow_slots(t);
    if (err < 0)
        return err;
    struct str key = {(const char *)t->key.data, t->key.len};
    const struct text like = {.hash = hash_of(m->rule, key), .rule = m->rule};
    struct text **slot = slot_of(t->slots, t->n_slots, &like, key);
    if (!*slot) {
        err = make_text(t, m, like.hash, slot);
        if (err < 0)
            return err;
        t->n_texts++;
    }
    if (t->n == t->cap) {
        size_t cap = MAX(2 * t->cap, (size_t)1024);
        struct trigger *all = reallocarray(t->all, cap, sizeof(*all));
        if (!all)
            return -ENOMEM;
        t->all = all;
        t->cap = cap;
    }
    t->all[t->n++] = (struct trigger){m->trigger->pos, *slot};
    return 0;
}

static struct str line_of(const struct text *t)
{
    return (struct str){t->data + t->key_len, t->len};
}

static int compare(const void *a, const void *b)
{
    const struct trigger *x = a, *y = b;
    if (x->event != y->event)
        return x->event < y->event ? -1 : 1;
    if (x->text == y->text)
        return 0;
    struct str p = line_of(x->text), q = line_of(y->text);
    int r = memcmp(p.p, q.p, MIN(p.len, q.len));
    return r ? r : p.len < q.len ? -1 : p.len > q.len;
}

void eval_triggers_sort(struct eval_triggers *t)
{
    if (t->n)
        qsort(t->all, t->n, sizeof(*t->all), compare);
}

/* ---- writing ---- */

static uint64_t event_of(struct str line)
{
    uint64_t event = 0;
    for (size_t i = sizeof(EVAL_LINE_START) - 1; i < line.len && line.p[i] >= '0' && line.p[i] <= '9'; i++)
        event = event * 10 + (uint64_t)(line.p[i] - '0');
    return event;
}

int eval_order_detections(struct eval_order *o, struct str lines)
{
    return spool_add(&o->detections, lines);
}

static int put_reserve(struct eval_order *o, size_t len, uint8_t **ret_to)
{
    int err = 0;
    if (o->out.len && o->out.len + len > WRITE_BYTES) {
        err = write_all(o->fd, o->out.data, o->out.len);
        buf_reset(&o->out);
    }
    return err < 0 ? err : buf_reserve(&o->out, len, ret_to);
}

/* Lines of detections up to that event. */
static int put_detections(struct eval_order *o, struct str *lines, uint64_t event)
{
    int err = 0;
    while (err == 0 && lines->len && event_of(*lines) <= event) {
        const char *newline = memchr(lines->p, '\n', lines->len);
        size_t len = newline ? (size_t)(newline - lines->p) + 1 : lines->len;
        uint8_t *to;
        err = put_reserve(o, len, &to);
        if (err == 0) {
            memcpy(to, lines->p, len);
            o->out.len += len;
        }
        lines->p += len;
        lines->len -= len;
    }
    return err;
}

static int put_trigger(struct eval_order *o, const struct trigger *t)
{
    struct str line = line_of(t->text);
    uint8_t *to;
    int err = put_reserve(o, EVAL_INDEX_MAX + line.len, &to);
    if (err < 0)
        return err;
    uint8_t *end = eval_put_index(to, t->event);
    memcpy(end, line.p, line.len);
    o->out.len += (size_t)(end - to) + line.len;
    return 0;
}

int eval_order_write(struct eval_order *o, struct eval_triggers *const *triggers, size_t n)
{
    struct str detections;
    size_t *at = calloc(n + 1, sizeof(*at));
    int err = at ? spool_text(&o->detections, &detections) : -ENOMEM;
    while (err == 0) {
        const struct trigger *first = NULL;
        size_t of = 0;
        for (size_t i = 0; i < n; i++) {
            const struct trigger *t = &triggers[i]->all[at[i]];
            if (at[i] < triggers[i]->n && (!first || compare(t, first) < 0)) {
                first = t;
                of = i;
            }
        }
        err = put_detections(o, &detections, first ? first->event : UINT64_MAX);
        if (!first)
            break;
        at[of]++;
        err = err < 0 ? err : put_trigger(o, first);
    }
    err = err < 0 ? err : write_all(o->fd, o->out.data, o->out.len);
    free(at);
    return err;
}

/* ---- life ---- */

struct eval_order *eval_order_new(int fd)
{
    struct eval_order *o = calloc(1, sizeof(*o));
    if (!o)
        return NULL;
    o->fd = fd;
    o->out = BUF_INIT(SIZE_MAX / 2);
    o->detections = (struct spool){.waiting = BUF_INIT(SIZE_MAX / 2), .fd = -1};
    return o;
}

struct eval_order *eval_order_free(struct eval_order *o)
{
    if (!o)
        return NULL;
    spool_clear(&o->detections);
    buf_clear(&o->out);
    free(o);
    return NULL;
}
