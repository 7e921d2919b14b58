// SPDX-License-Identifier: Apache-2.0
// Memory of what comes and goes with each call. The client's thread keeps what is freed on it at
// hand, up to a bound; the program's threads, of which there may be many, keep nothing.
#ifndef SFL_CLIENT_MEMORY_H
#define SFL_CLIENT_MEMORY_H

#include "base/local_heap.h"
#include "rpc/pump.h"

// Memory that is not cleared; NULL when there is none. Any thread, and so is freeing.
static inline void *sfl_memory_alloc(size_t size)
{
    return sfl_alloc(&sfl_local_heap, size);
}

// `size` is what was asked for.
static inline void sfl_memory_free(void *memory, size_t size)
{
    sfl_free(sfl_pump_is_current() ? &sfl_local_heap : &sfl_heap, memory, size);
}

#endif
