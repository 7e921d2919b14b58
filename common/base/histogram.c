// SPDX-License-Identifier: Apache-2.0
#include "base/histogram.h"

const struct sfl_bounds sfl_bounds_ms = {
    .count = 18,
    .at = {1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 30000, 60000, 120000,
           300000, 600000},
};

const struct sfl_bounds sfl_bounds_us = {
    .count = 18,
    .at = {1000, 2000, 5000, 10000, 20000, 50000, 100000, 200000, 500000, 1000000, 2000000, 5000000,
           10000000, 30000000, 60000000, 120000000, 300000000, 600000000},
};

const struct sfl_bounds sfl_bounds_bytes = {
    .count = 13,
    .at = {1 << 6, 1 << 8, 1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << 20, 1 << 22, 1 << 24,
           1 << 26, 1 << 28, 1 << 30},
};

void sfl_histogram_merge(struct sfl_histogram *histogram, const struct sfl_histogram *more)
{
    histogram->sum += more->sum;
    for (size_t i = 0; i < sizeof(more->counts) / sizeof(more->counts[0]); i++)
        histogram->counts[i] += more->counts[i];
}
