// SPDX-License-Identifier: Apache-2.0
// What bench_load is asked to do, and the three things that it can do.
#ifndef SFL_TESTS_BENCH_LOAD_LOAD_H
#define SFL_TESTS_BENCH_LOAD_LOAD_H

#include "bench/load/link.h"

struct load_plan {
    struct load_options link;
    int server_pid;      // whose CPU and memory are looked at; 0 for nobody's
    double seconds;      // that are measured
    double warmup;       // seconds before them
    uint32_t flights;    // flow: in flight at the same time
    uint32_t per_flight; // flow: callers of one key
    double rate;         // flow: flights that begin per second; 0: as fast as they end
    uint64_t count;      // flow: ends after so many flights, if that comes first; 0: it does not
    bool trace;          // flow: tell begin and duration of each flight
    uint32_t followers;  // fanout: of the one flight; waiters: of each flight
    uint32_t rounds;     // fanout
    double pause;        // fanout: seconds between the last join and the finish
};

// Flights one after the other, each with `per_flight` callers of a key that nobody used before. The
// leader finishes once all callers of its flight are admitted.
void load_flow(const struct load_plan *plan);

// One flight with many followers that all wait; how long it takes from the finish to the last one
// having the result, and how much memory the server needs for that.
void load_fanout(const struct load_plan *plan);

// Callers that wait; how much memory the server needs for each.
void load_waiters(const struct load_plan *plan);

#endif
