// SPDX-License-Identifier: Apache-2.0
// Counters that one thread adds to and any may read: no locked instruction, no torn number.
#ifndef SFL_BASE_COUNTER_H
#define SFL_BASE_COUNTER_H

#include <stdatomic.h>
#include <stdint.h>

enum { SFL_CACHE_LINE = 64 };

typedef _Atomic uint64_t sfl_counter;

// By the one thread alone, or under one lock.
static inline void sfl_counter_set(sfl_counter *counter, uint64_t value)
{
    atomic_store_explicit(counter, value, memory_order_relaxed);
}

static inline uint64_t sfl_counter_get(const sfl_counter *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static inline void sfl_counter_add(sfl_counter *counter, uint64_t amount)
{
    sfl_counter_set(counter, sfl_counter_get(counter) + amount);
}

#endif
