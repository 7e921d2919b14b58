// SPDX-License-Identifier: Apache-2.0
// Counting the references to an object that several threads may hold.
#ifndef SFL_BASE_REFERENCES_H
#define SFL_BASE_REFERENCES_H

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>

// True when the caller's is the only one: nobody can add to it then, and what the others wrote is
// seen.
static inline bool sfl_references_is_last(const atomic_uint *references)
{
    return atomic_load_explicit(references, memory_order_acquire) == 1;
}

// Drops one. True when it was the last: the object is the caller's to free.
static inline bool sfl_references_drop(atomic_uint *references)
{
    // The last one need not be counted down, which would cost more than all else here.
    if (sfl_references_is_last(references))
        return true;
    unsigned before = atomic_fetch_sub_explicit(references, 1, memory_order_acq_rel);
    assert(before > 0);
    return before == 1;
}

#endif
