// SPDX-License-Identifier: Apache-2.0
#include "base/allocator.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { HUGE_PAGE = 2 * 1024 * 1024 };

// A large table is read here and there, and each place is a page that the processor must look up.
// With huge pages there are few enough for it to know them all. A wish, so a refusal is no error.
static void ask_for_huge_pages(void *memory, size_t size)
{
    uintptr_t first = ((uintptr_t)memory + HUGE_PAGE - 1) & ~(uintptr_t)(HUGE_PAGE - 1);
    uintptr_t end = ((uintptr_t)memory + size) & ~(uintptr_t)(HUGE_PAGE - 1);
    if (first < end)
        (void)madvise((void *)first, end - first, MADV_HUGEPAGE);
}

static void *heap_alloc(void *context, size_t size)
{
    (void)context;
    if (size < HUGE_PAGE)
        return malloc(size);
    void *memory = aligned_alloc(HUGE_PAGE, size);
    if (memory != NULL)
        ask_for_huge_pages(memory, size);
    return memory;
}

static void heap_free(void *context, void *memory, size_t size)
{
    (void)context;
    (void)size;
    free(memory);
}

const struct sfl_allocator sfl_heap = {heap_alloc, heap_free, NULL};
