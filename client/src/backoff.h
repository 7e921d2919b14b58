// SPDX-License-Identifier: Apache-2.0
// Exponential backoff with full jitter: each wait is random between 0 and a bound that doubles.
#ifndef SFL_CLIENT_BACKOFF_H
#define SFL_CLIENT_BACKOFF_H

#include <stdint.h>

struct sfl_backoff {
    uint64_t min_ms;   // the first bound
    uint64_t max_ms;   // the last bound; at least min_ms
    uint64_t bound_ms; // of the next wait; 0: min_ms
};

// How long to wait before the next try, given 64 random bits.
uint64_t sfl_backoff_next_ms(struct sfl_backoff *backoff, uint64_t random);

// It worked: the next wait is short again.
void sfl_backoff_reset(struct sfl_backoff *backoff);

#endif
