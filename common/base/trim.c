// SPDX-License-Identifier: Apache-2.0
#include "base/trim.h"

// What is less than this many callers, of some 12 kB each at most, is not worth a look at the heap.
#define STORM_MIN 1000

// What is left of a storm when it is over: less than one in so many.
#define LEFT 16

bool sfl_trim_is_due(struct sfl_trim *trim, uint64_t open, uint64_t calls)
{
    bool is_quiet = calls == trim->calls;
    trim->calls = calls;
    if (open > trim->high)
        trim->high = open;
    if (!is_quiet || trim->high < STORM_MIN || open > trim->high / LEFT)
        return false;
    trim->high = open;
    return true;
}
