// SPDX-License-Identifier: Apache-2.0
#include "transport/under_way.h"

unsigned sfl_under_way_part(void)
{
    static atomic_uint threads;
    static _Thread_local unsigned own; // plus one; 0: not chosen yet
    if (own == 0)
        own =
            1 + atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed) % SFL_UNDER_WAY_PARTS;
    return own - 1;
}

uint64_t sfl_under_way_count(const struct sfl_under_way *under_way)
{
    uint64_t count = 0;
    for (unsigned i = 0; i < SFL_UNDER_WAY_PARTS; i++)
        count += atomic_load(&under_way->parts[i].calls);
    return count;
}
