// SPDX-License-Identifier: Apache-2.0
#include "base/trim.h"

// Less than this is not worth a look at the heap.
#define GROWTH_MIN (UINT64_C(32) << 20)

// What a caller or stream takes, at most.
#define OPEN_BYTES (UINT64_C(16) << 10)

// What a stream took is freed some time after it has gone, so memory is given back twice: at these
// looks in a row that find a storm over.
#define LOOKS_FIRST 2
#define LOOKS_LAST 8

// True when the process is much larger than it was, and nobody who is there is the reason.
static bool is_storm_over(const struct sfl_trim *trim, uint64_t open, uint64_t resident_bytes)
{
    uint64_t growth = resident_bytes - trim->low_bytes;
    return growth >= GROWTH_MIN && open <= growth / 4 / OPEN_BYTES;
}

bool sfl_trim_is_due(struct sfl_trim *trim, const struct sfl_trim_look *look)
{
    if (look->resident_bytes == 0) // nobody knows, for want of a descriptor
        return false;
    bool is_quiet = look->calls == trim->calls;
    trim->calls = look->calls;
    if (trim->low_bytes == 0 || look->resident_bytes < trim->low_bytes)
        trim->low_bytes = look->resident_bytes;
    if (!is_quiet || !is_storm_over(trim, look->open, look->resident_bytes)) {
        trim->quiet_looks = 0;
        return false;
    }
    trim->quiet_looks++;
    if (trim->quiet_looks < LOOKS_LAST)
        return trim->quiet_looks == LOOKS_FIRST;
    // What is still there is in use, such as retained outcomes.
    trim->quiet_looks = 0;
    trim->low_bytes = look->resident_bytes;
    return true;
}
