// SPDX-License-Identifier: Apache-2.0
#include "base/allocator.h"

#include <stdlib.h>
#include <sys/mman.h>

enum { HUGE_PAGE = 2 * 1024 * 1024 };

// A large table is read here and there, and each place is a page that the processor must look up.
// With huge pages there are few enough for it to know them all.
static void *heap_alloc(void *context, size_t size)
{
    (void)context;
    if (size < HUGE_PAGE)
        return malloc(size);
    void *memory;
    if (posix_memalign(&memory, HUGE_PAGE, size) != 0)
        return NULL;
    // A wish, so a refusal is no error.
    (void)madvise(memory, size - size % HUGE_PAGE, MADV_HUGEPAGE);
    return memory;
}

static void heap_free(void *context, void *memory, size_t size)
{
    (void)context;
    (void)size;
    free(memory);
}

const struct sfl_allocator sfl_heap = {heap_alloc, heap_free, NULL};
