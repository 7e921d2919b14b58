// SPDX-License-Identifier: Apache-2.0
// The C library's heap, with small pieces kept at hand by the thread that frees them. Messages
// carry hundreds of steps, so the same sizes are freed by the hundred and then asked for by the
// hundred, which is more than malloc keeps at hand.
//
// Safe from every thread; a piece may be freed on another one. A thread keeps a bounded amount,
// and gives it back when it ends.
#ifndef SFL_BASE_LOCAL_HEAP_H
#define SFL_BASE_LOCAL_HEAP_H

#include "base/allocator.h"

enum {
    SFL_LOCAL_PIECE_MAX = 1024,            // what is larger goes to the heap
    SFL_LOCAL_BYTES_MAX = 4 * 1024 * 1024, // that a thread keeps
};

extern const struct sfl_allocator sfl_local_heap;

#endif
