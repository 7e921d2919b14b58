// SPDX-License-Identifier: Apache-2.0
#include "base/trim.h"

// What is less than this many callers, of some 12 kB each at most, is not worth a look at the heap.
#define STORM_MIN 1000

// What is left of a storm when it is over: less than one in so many.
#define LEFT 16

// What a stream took is freed some time after it has gone, so memory is given back twice: at these
// looks in a row that find it quiet.
#define LOOKS_FIRST 2
#define LOOKS_LAST 8

bool sfl_trim_is_due(struct sfl_trim *trim, uint64_t open, uint64_t calls)
{
    bool is_quiet = calls == trim->calls;
    trim->calls = calls;
    if (open > trim->high)
        trim->high = open;
    if (!is_quiet || trim->high < STORM_MIN || open > trim->high / LEFT) {
        trim->quiet_looks = 0;
        return false;
    }
    trim->quiet_looks++;
    if (trim->quiet_looks < LOOKS_LAST)
        return trim->quiet_looks == LOOKS_FIRST;
    trim->high = open;
    trim->quiet_looks = 0;
    return true;
}
