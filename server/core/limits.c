// SPDX-License-Identifier: Apache-2.0
#include "core/limits.h"

#include <assert.h>

const struct sfl_limits sfl_limits_default = {
    .value_bytes_max = UINT64_C(64) << 20,
    .texts_bytes_max = (UINT64_C(4) << 20) - 4096,
    .held_bytes_max = UINT64_C(1) << 30,
    .retained_bytes_max = UINT64_C(768) << 20,
    .flights_max = 1000000,
    .callers_max = 1000000,
    .key_bytes_max = 1024,
    .group_bytes_max = 128,
    .retain_ms_max = UINT64_C(7) * 24 * 3600 * 1000,
    .lease_ms_min = 1000,
    .lease_ms_max = 600 * 1000,
    .run_limit_ms_max = UINT64_C(24) * 3600 * 1000,
};

bool sfl_usage_take(_Atomic uint64_t *used, uint64_t amount, uint64_t max)
{
    if (amount == 0)
        return true; // most outcomes have no texts, and a counter that all threads share is dear
    uint64_t before = atomic_fetch_add_explicit(used, amount, memory_order_relaxed);
    if (amount <= max && before <= max - amount)
        return true;
    sfl_usage_give(used, amount);
    return false;
}

void sfl_usage_give(_Atomic uint64_t *used, uint64_t amount)
{
    if (amount == 0)
        return;
    uint64_t before = atomic_fetch_sub_explicit(used, amount, memory_order_relaxed);
    assert(before >= amount);
    (void)before;
}
