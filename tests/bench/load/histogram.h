// SPDX-License-Identifier: Apache-2.0
// Counts of durations in classes that are 1/256 of their value wide.
#ifndef SFL_TESTS_BENCH_LOAD_HISTOGRAM_H
#define SFL_TESTS_BENCH_LOAD_HISTOGRAM_H

#include <stdint.h>
#include <stdio.h>

enum { HISTOGRAM_BITS = 8, HISTOGRAM_CLASSES = (64 - HISTOGRAM_BITS + 1) << HISTOGRAM_BITS };

struct histogram {
    uint64_t total;
    uint64_t counts[HISTOGRAM_CLASSES];
};

static inline void histogram_add(struct histogram *histogram, uint64_t value)
{
    unsigned shift = 0;
    if (value >> HISTOGRAM_BITS != 0)
        shift = 64 - HISTOGRAM_BITS - (unsigned)__builtin_clzll(value);
    histogram->counts[((uint64_t)shift << HISTOGRAM_BITS) + (value >> shift)]++;
    histogram->total++;
}

// The value that `part` (0 to 1) of all values do not exceed; 0 when there are none.
static inline uint64_t histogram_at(const struct histogram *histogram, double part)
{
    uint64_t wanted = (uint64_t)(part * (double)histogram->total);
    uint64_t seen = 0;
    for (uint64_t i = 0; i < HISTOGRAM_CLASSES; i++) {
        seen += histogram->counts[i];
        if (seen > wanted)
            return (i & ((1U << HISTOGRAM_BITS) - 1)) << (i >> HISTOGRAM_BITS);
    }
    return 0;
}

// So many values have a median worth telling; who measures goes on until there are so many.
enum { HISTOGRAM_VALUES_MIN = 20 };

// Prints `, "NAME50_us": …` for the median, and the same with 99 and 999, each only when ten values
// or more lie beyond it: otherwise it would be the luck of the few worst ones.
static inline void histogram_print(const struct histogram *histogram, const char *name)
{
    static const struct {
        const char *suffix;
        double part;
        uint64_t values_min;
    } points[] = {{"50", 0.5, HISTOGRAM_VALUES_MIN}, {"99", 0.99, 1000}, {"999", 0.999, 10000}};
    for (unsigned i = 0; i < sizeof points / sizeof points[0]; i++) {
        if (histogram->total >= points[i].values_min)
            printf(", \"%s%s_us\": %.2f", name, points[i].suffix,
                   (double)histogram_at(histogram, points[i].part) / 1e3);
    }
}

#endif
