// SPDX-License-Identifier: Apache-2.0
// Where memory comes from. The core allocates through one of these alone, so that the simulator can
// let any allocation fail and count what is left at the end.
#ifndef SFL_BASE_ALLOCATOR_H
#define SFL_BASE_ALLOCATOR_H

#include <stddef.h>

struct sfl_allocator {
    // Returns memory aligned for any object, not cleared; NULL when there is none.
    void *(*alloc)(void *context, size_t size);
    // Gives back what alloc returned; `size` is what was asked for. `memory` is never NULL.
    void (*free)(void *context, void *memory, size_t size);
    void *context;
};

// The C library's heap. Safe from every thread.
extern const struct sfl_allocator sfl_heap;

static inline void *sfl_alloc(const struct sfl_allocator *allocator, size_t size)
{
    return allocator->alloc(allocator->context, size);
}

static inline void sfl_free(const struct sfl_allocator *allocator, void *memory, size_t size)
{
    allocator->free(allocator->context, memory, size);
}

#endif
