/* SPDX-License-Identifier: Apache-2.0
 *
 * A page holds things of one size and is aligned to its own size, so that an address tells its page.
 */
#include "rules/slab.h"

#define PAGE_SIZE  ((size_t)16384)
#define PAGE_START ((size_t)64)

struct slab_page {
    struct slab_page *next, *prev; /* among the open ones */
    void *free;                    /* given back: each holds the address of the next */
    uint32_t live, fresh, cap;     /* fresh: never handed out yet from here on */
};

/* What a thing of that size takes. */
static size_t rounded(size_t size)
{
    return (size + 7) & ~(size_t)7;
}

static size_t class_of(size_t size)
{
    return (size - 1) / 8;
}

static void open_push(struct slab *s, size_t class, struct slab_page *page)
{
    page->prev = NULL;
    page->next = s->open[class];
    if (page->next)
        page->next->prev = page;
    s->open[class] = page;
}

static void open_remove(struct slab *s, size_t class, struct slab_page *page)
{
    *(page->prev ? &page->prev->next : &s->open[class]) = page->next;
    if (page->next)
        page->next->prev = page->prev;
}

static struct slab_page *page_new(struct slab *s, size_t class)
{
    struct slab_page *page = s->spare;
    s->spare = NULL;
    if (!page) {
        page = aligned_alloc(PAGE_SIZE, PAGE_SIZE);
        if (!page)
            return NULL;
        s->held += PAGE_SIZE;
    }
    *page = (struct slab_page){.cap = (uint32_t)((PAGE_SIZE - PAGE_START) / (8 * (class + 1)))};
    open_push(s, class, page);
    return page;
}

void *slab_alloc(struct slab *s, size_t size)
{
    if (size > SLAB_SIZE_MAX) {
        void *p = malloc(size);
        s->used += p ? rounded(size) : 0;
        s->held += p ? rounded(size) : 0;
        return p;
    }
    size_t class = class_of(size);
    struct slab_page *page = s->open[class] ? s->open[class] : page_new(s, class);
    if (!page)
        return NULL;
    void *p = page->free;
    if (p)
        memcpy(&page->free, p, sizeof(p));
    else
        p = (uint8_t *)page + PAGE_START + (size_t)page->fresh++ * 8 * (class + 1);
    if (++page->live == page->cap)
        open_remove(s, class, page);
    s->used += rounded(size);
    return p;
}

void slab_free(struct slab *s, void *p, size_t size)
{
    if (!p)
        return;
    s->used -= rounded(size);
    if (size > SLAB_SIZE_MAX) {
        s->held -= rounded(size);
        free(p);
        return;
    }
    size_t class = class_of(size);
    struct slab_page *page = (struct slab_page *)((uintptr_t)p & ~(uintptr_t)(PAGE_SIZE - 1));
    memcpy(p, &page->free, sizeof(p));
    page->free = p;
    if (page->live-- == page->cap)
        open_push(s, class, page);
    if (page->live)
        return;
    open_remove(s, class, page);
    if (!s->spare) {
        s->spare = page;
        return;
    }
    s->held -= PAGE_SIZE;
    free(page);
}

void slab_clear(struct slab *s)
{
    free(s->spare);
    *s = (struct slab){.used = 0};
}
