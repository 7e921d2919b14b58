// SPDX-License-Identifier: Apache-2.0
// When to give memory back. What a storm of calls leaves behind stays with the allocator, which
// holds its locks while it gives it back: up to half a second for a GiB. So it waits for a quiet
// moment after a storm.
#ifndef SFL_BASE_TRIM_H
#define SFL_BASE_TRIM_H

#include <stdbool.h>
#include <stdint.h>

// Cleared to zero at the start. One thread.
struct sfl_trim {
    uint64_t high;        // the most that was open at once since memory was given back
    uint64_t calls;       // at the last look
    unsigned quiet_looks; // in a row, after a storm
};

// To be asked every few seconds. `open`: callers and streams now; `calls`: all that came since the
// start. True when it is time, twice after a storm.
bool sfl_trim_is_due(struct sfl_trim *trim, uint64_t open, uint64_t calls);

#endif
