// SPDX-License-Identifier: Apache-2.0
// How often a quantity was how large. Not thread-safe: whoever writes it has it for itself or holds
// a lock.
#ifndef SFL_BASE_HISTOGRAM_H
#define SFL_BASE_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

enum { SFL_BOUNDS_MAX = 18 };

// Upper bounds, in ascending order; a quantity that equals one is below it.
struct sfl_bounds {
    size_t count;
    uint64_t at[SFL_BOUNDS_MAX];
};

// 1 ms to 10 min.
extern const struct sfl_bounds sfl_bounds_ms;
// The same in microseconds.
extern const struct sfl_bounds sfl_bounds_us;
// 64 bytes to 1 GiB.
extern const struct sfl_bounds sfl_bounds_bytes;

struct sfl_histogram {
    uint64_t sum;
    uint64_t counts[SFL_BOUNDS_MAX + 1]; // between two bounds each; the first above all counts, too
};

static inline void sfl_histogram_add(struct sfl_histogram *histogram,
                                     const struct sfl_bounds *bounds, uint64_t quantity)
{
    size_t i = 0;
    while (i < bounds->count && quantity > bounds->at[i])
        i++;
    histogram->counts[i]++;
    histogram->sum += quantity;
}

// Adds what another has counted with the same bounds.
void sfl_histogram_merge(struct sfl_histogram *histogram, const struct sfl_histogram *more);

#endif
