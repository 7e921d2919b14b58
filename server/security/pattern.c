// SPDX-License-Identifier: Apache-2.0
#include "security/pattern.h"

// Only the last star seen is ever tried again, so the time is the product of the two lengths.
bool sfl_pattern_matches(struct sfl_span pattern, struct sfl_span text)
{
    size_t p = 0;
    size_t t = 0;
    size_t star = SIZE_MAX; // the place behind the last star
    size_t resume = 0;      // what that star has taken ends here
    while (t < text.size) {
        if (p < pattern.size && pattern.data[p] == '*') {
            star = ++p;
            resume = t;
        } else if (p < pattern.size && pattern.data[p] == text.data[t]) {
            p++;
            t++;
        } else if (star != SIZE_MAX) {
            p = star;
            t = ++resume;
        } else {
            return false;
        }
    }
    while (p < pattern.size && pattern.data[p] == '*')
        p++;
    return p == pattern.size;
}
