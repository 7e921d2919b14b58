// SPDX-License-Identifier: Apache-2.0
#include "core/pages.h"

#include "base/poison.h"

#include <assert.h>

enum {
    CHUNK_PAGES_MAX = 4096, // 16 MiB
    ALL_USED = (1 << SFL_PAGE_FLIGHTS) - 1,
};

struct sfl_chunk_of_pages {
    struct sfl_page *pages;
    uint64_t page_count;
    uint64_t begun;  // pages beyond have never been touched
    uint64_t in_use; // pages with flights
};

static size_t chunk_size(uint64_t page_count)
{
    return sizeof(struct sfl_chunk_of_pages) + (page_count + 1) * sizeof(struct sfl_page);
}

void sfl_pages_init(struct sfl_pages *pages, const struct sfl_allocator *allocator,
                    struct sfl_deadlines *wheel)
{
    *pages = (struct sfl_pages){.allocator = allocator, .wheel = wheel};
    sfl_list_init(&pages->open);
}

// A chunk as large as all that there are.
static struct sfl_chunk_of_pages *create_chunk(struct sfl_pages *pages)
{
    uint64_t page_count = pages->page_count == 0 ? 1 : pages->page_count;
    if (page_count > CHUNK_PAGES_MAX)
        page_count = CHUNK_PAGES_MAX;
    struct sfl_chunk_of_pages *chunk = sfl_alloc(pages->allocator, chunk_size(page_count));
    if (chunk == NULL)
        return NULL;
    uintptr_t after = (uintptr_t)(chunk + 1) + SFL_PAGE_BYTES - 1;
    *chunk = (struct sfl_chunk_of_pages){
        .pages = (struct sfl_page *)(after - after % SFL_PAGE_BYTES),
        .page_count = page_count,
    };
    pages->page_count += page_count;
    pages->newest = chunk;
    return chunk;
}

static void free_chunk(struct sfl_pages *pages, struct sfl_chunk_of_pages *chunk)
{
    for (uint64_t i = 0; i < chunk->begun; i++) {
        struct sfl_page *page = &chunk->pages[i];
        sfl_deadline_disarm(pages->wheel, &page->deadline);
        sfl_link_remove(&page->in_open);
        ASAN_UNPOISON_MEMORY_REGION(page->flights, sizeof(page->flights));
    }
    pages->page_count -= chunk->page_count;
    if (pages->newest == chunk)
        pages->newest = NULL;
    sfl_free(pages->allocator, chunk, chunk_size(chunk->page_count));
}

void sfl_pages_deinit(struct sfl_pages *pages)
{
    if (pages->spare != NULL)
        free_chunk(pages, pages->spare);
    assert(pages->page_count == 0);
}

// A page that has never been used; NULL when there is no memory.
static struct sfl_page *begin_page(struct sfl_pages *pages)
{
    struct sfl_chunk_of_pages *chunk = pages->newest;
    if (chunk == NULL || chunk->begun == chunk->page_count)
        chunk = create_chunk(pages);
    if (chunk == NULL)
        return NULL;
    struct sfl_page *page = &chunk->pages[chunk->begun++];
    sfl_deadline_init(&page->deadline, SFL_DEADLINE_PAGE);
    page->chunk = chunk;
    page->used = 0;
    sfl_link_init(&page->in_open);
    sfl_list_append(&pages->open, &page->in_open);
    ASAN_POISON_MEMORY_REGION(page->flights, sizeof(page->flights));
    return page;
}

static void use_page(struct sfl_pages *pages, struct sfl_page *page)
{
    page->chunk->in_use++;
    if (page->chunk == pages->spare)
        pages->spare = NULL;
}

struct sfl_flight *sfl_pages_take(struct sfl_pages *pages)
{
    struct sfl_link *last = sfl_list_last(&pages->open);
    struct sfl_page *page =
        last == NULL ? begin_page(pages) : SFL_CONTAINER_OF(last, struct sfl_page, in_open);
    if (page == NULL)
        return NULL;
    if (page->used == 0)
        use_page(pages, page);
    unsigned slot = (unsigned)__builtin_ctz(~page->used);
    page->used |= 1U << slot;
    if (page->used == ALL_USED)
        sfl_link_remove(&page->in_open);
    struct sfl_flight *flight = &page->flights[slot];
    ASAN_UNPOISON_MEMORY_REGION(flight, sizeof(*flight));
    return flight;
}

// Keeps the smaller one of two empty chunks.
static void keep_or_free(struct sfl_pages *pages, struct sfl_chunk_of_pages *empty)
{
    struct sfl_chunk_of_pages *spare = pages->spare;
    pages->spare = empty;
    if (spare == NULL)
        return;
    if (spare->page_count < empty->page_count) {
        pages->spare = spare;
        spare = empty;
    }
    free_chunk(pages, spare);
}

void sfl_pages_give(struct sfl_pages *pages, struct sfl_flight *flight)
{
    struct sfl_page *page = sfl_page_of(flight);
    if (page->used == ALL_USED)
        sfl_list_append(&pages->open, &page->in_open);
    page->used &= ~(1U << (flight - page->flights));
    ASAN_POISON_MEMORY_REGION(flight, sizeof(*flight));
    if (page->used > 0)
        return;
    page->chunk->in_use--;
    if (page->chunk->in_use == 0)
        keep_or_free(pages, page->chunk);
}

void sfl_flight_arm(struct sfl_pages *pages, struct sfl_flight *flight, uint64_t at_ms)
{
    struct sfl_deadline *deadline = &sfl_page_of(flight)->deadline;
    flight->due_ms = at_ms;
    if (!sfl_deadline_is_armed(deadline) || at_ms < deadline->at_ms)
        sfl_deadline_arm(pages->wheel, deadline, at_ms);
}

static struct sfl_flight *earliest_in(struct sfl_page *page)
{
    struct sfl_flight *earliest = NULL;
    for (unsigned left = page->used; left != 0; left &= left - 1) {
        struct sfl_flight *flight = &page->flights[__builtin_ctz(left)];
        if (earliest == NULL || flight->due_ms < earliest->due_ms)
            earliest = flight;
    }
    return earliest;
}

struct sfl_flight *sfl_page_take_due(struct sfl_pages *pages, struct sfl_page *page,
                                     uint64_t now_ms)
{
    struct sfl_flight *due = earliest_in(page);
    if (due == NULL)
        return NULL;
    struct sfl_flight *next = due;
    if (due->due_ms <= now_ms) {
        due->due_ms = UINT64_MAX;
        next = earliest_in(page);
    } else {
        due = NULL;
    }
    if (next->due_ms != UINT64_MAX)
        sfl_deadline_arm(pages->wheel, &page->deadline, next->due_ms);
    return due;
}
