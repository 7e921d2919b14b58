// SPDX-License-Identifier: Apache-2.0
#ifndef SFL_TESTS_BENCH_CORE_ENGINE_H
#define SFL_TESTS_BENCH_CORE_ENGINE_H

#include <stdint.h>

struct engine_plan {
    unsigned threads;
    unsigned shards; // 0: as many as the daemon has by default with so many pumps
    unsigned runs;
    uint64_t keys;    // open flights of each thread
    uint64_t flights; // of each thread and run; 0: for so many seconds
    double seconds;
};

// Measures, prints, and ends the process when anything is wrong.
void bench_engine(const struct engine_plan *plan);

#endif
