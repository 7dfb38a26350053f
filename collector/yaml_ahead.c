/* SPDX-License-Identifier: Apache-2.0
 *
 * See yaml_ahead.h. A ring of slots: the thread fills them from `n_ready` on, as long as they are not more than SLOTS ahead of
 * `n_taken`, the files that the caller is done with. Both move by whole chunks.
 */
#include "collector/yaml_ahead.h"

#include "common/file.h"

#include <errno.h>
#include <pthread.h>

#define SLOTS     32
#define CHUNK     8  /* files handed over at once: waking costs as much as a small file */
#define FILES_MIN 16 /* fewer are not worth a thread */
#define ARENA_MAX (1024 * MIB)

struct yaml_ahead {
    char *const *paths;
    size_t n;
    bool has_thread;
    pthread_t thread;
    struct buf text;
    struct yaml_file slots[SLOTS];
    size_t at;            /* the file that the caller asks for next */
    pthread_mutex_t lock; /* for what follows */
    pthread_cond_t changed;
    size_t n_ready, n_taken;
    bool is_stopping;
};

static void read_file(struct yaml_ahead *a, size_t i)
{
    struct yaml_file *f = &a->slots[i % SLOTS];
    struct arena *arena = f->arena ? f->arena : arena_new(ARENA_MAX);
    *f = (struct yaml_file){.path = a->paths[i], .arena = arena};
    buf_reset(&a->text);
    f->read_err = arena ? file_read(f->path, &a->text) : -ENOMEM;
    if (f->read_err < 0)
        return;
    arena_reset(arena);
    f->err = yaml_parse(buf_str(&a->text), arena, &f->docs, &f->n, &f->diag);
}

static void *read_all(void *ctx)
{
    struct yaml_ahead *a = ctx;
    for (size_t i = 0; i < a->n;) {
        pthread_mutex_lock(&a->lock);
        while (!a->is_stopping && i + CHUNK > a->n_taken + SLOTS)
            pthread_cond_wait(&a->changed, &a->lock);
        bool is_stopping = a->is_stopping;
        pthread_mutex_unlock(&a->lock);
        if (is_stopping)
            break;
        size_t end = MIN(i + CHUNK, a->n);
        while (i < end)
            read_file(a, i++);
        pthread_mutex_lock(&a->lock);
        a->n_ready = i;
        pthread_cond_signal(&a->changed);
        pthread_mutex_unlock(&a->lock);
    }
    return NULL;
}

struct yaml_ahead *yaml_ahead_new(char *const *paths, size_t n)
{
    struct yaml_ahead *a = calloc(1, sizeof(*a));
    if (!a)
        return NULL;
    a->paths = paths;
    a->n = n;
    a->text = BUF_INIT(YAML_BYTES_MAX);
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->changed, NULL);
    a->has_thread = n >= FILES_MIN && pthread_create(&a->thread, NULL, read_all, a) == 0;
    return a;
}

struct yaml_ahead *yaml_ahead_free(struct yaml_ahead *a)
{
    if (!a)
        return NULL;
    if (a->has_thread) {
        pthread_mutex_lock(&a->lock);
        a->is_stopping = true;
        pthread_cond_signal(&a->changed);
        pthread_mutex_unlock(&a->lock);
        pthread_join(a->thread, NULL);
    }
    for (size_t i = 0; i < SLOTS; i++)
        arena_free(a->slots[i].arena);
    buf_clear(&a->text);
    pthread_cond_destroy(&a->changed);
    pthread_mutex_destroy(&a->lock);
    free(a);
    return NULL;
}

/* The chunk before is given back when the first file of the next is asked for. */
static void take_chunk(struct yaml_ahead *a)
{
    pthread_mutex_lock(&a->lock);
    a->n_taken = a->at;
    pthread_cond_signal(&a->changed);
    while (a->n_ready <= a->at)
        pthread_cond_wait(&a->changed, &a->lock);
    pthread_mutex_unlock(&a->lock);
}

struct yaml_file *yaml_ahead_next(struct yaml_ahead *a)
{
    if (a->at == a->n)
        return NULL;
    if (!a->has_thread)
        read_file(a, a->at);
    else if (a->at % CHUNK == 0)
        take_chunk(a);
    return &a->slots[a->at++ % SLOTS];
}
