// SPDX-License-Identifier: Apache-2.0
// When to give memory back. What a storm of calls leaves behind stays with the allocator, which
// holds its locks while it gives it back: some 60 ms after 20,000 calls, and seconds for a GiB in
// small pieces. So it waits for a quiet moment after a storm.
#ifndef SFL_BASE_TRIM_H
#define SFL_BASE_TRIM_H

#include <stdbool.h>
#include <stdint.h>

// Cleared to zero at the start. One thread.
struct sfl_trim {
    uint64_t low_bytes; // the least that the process had since memory was given back for good
    uint64_t calls;     // at the last look
    unsigned quiet_looks;
};

struct sfl_trim_look {
    uint64_t open;           // callers and streams now
    uint64_t calls;          // all that came since the start
    uint64_t resident_bytes; // 0: it cannot be known
};

// To be asked every two seconds. True when it is time, which is twice after a storm.
bool sfl_trim_is_due(struct sfl_trim *trim, const struct sfl_trim_look *look);

#endif
