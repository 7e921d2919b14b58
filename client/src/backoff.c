// SPDX-License-Identifier: Apache-2.0
#include "src/backoff.h"

uint64_t sfl_backoff_next_ms(struct sfl_backoff *backoff, uint64_t random)
{
    uint64_t bound = backoff->bound_ms == 0 ? backoff->min_ms : backoff->bound_ms;
    if (bound > backoff->max_ms)
        bound = backoff->max_ms;
    backoff->bound_ms = bound > backoff->max_ms / 2 ? backoff->max_ms : bound * 2;
    return random % (bound + 1);
}

void sfl_backoff_reset(struct sfl_backoff *backoff)
{
    backoff->bound_ms = 0;
}
