// SPDX-License-Identifier: Apache-2.0
#include "base/allocator.h"

#include <stdlib.h>

static void *heap_alloc(void *context, size_t size)
{
    (void)context;
    return malloc(size);
}

static void heap_free(void *context, void *memory, size_t size)
{
    (void)context;
    (void)size;
    free(memory);
}

const struct sfl_allocator sfl_heap = {heap_alloc, heap_free, NULL};
