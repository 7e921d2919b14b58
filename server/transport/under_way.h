// SPDX-License-Identifier: Apache-2.0
// How many calls are under way, counted in parts, so that no two pumps write to the same memory
// with each call.
#ifndef SFL_TRANSPORT_UNDER_WAY_H
#define SFL_TRANSPORT_UNDER_WAY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { SFL_UNDER_WAY_PARTS = 16 };

struct sfl_under_way_part {
    _Alignas(64) _Atomic uint64_t calls;
};

struct sfl_under_way {
    struct sfl_under_way_part parts[SFL_UNDER_WAY_PARTS];
};

// The part in which this thread counts what begins. What has begun in a part also ends in it, on
// whichever thread, so no part is ever below zero.
unsigned sfl_under_way_part(void);

// `more` may be the negative of a number: the sum wraps around as it should. Any thread.
static inline void sfl_under_way_add(struct sfl_under_way *under_way, unsigned part, uint64_t more)
{
    atomic_fetch_add_explicit(&under_way->parts[part].calls, more, memory_order_relaxed);
}

// How many are, apart from those that begin or end meanwhile. Any thread.
uint64_t sfl_under_way_count(const struct sfl_under_way *under_way);

#endif
