// SPDX-License-Identifier: Apache-2.0
// What the kernel knows of a process: the server under test, or ourselves.
#ifndef SFL_TESTS_BENCH_LOAD_PROCESS_H
#define SFL_TESTS_BENCH_LOAD_PROCESS_H

#include <stdint.h>

// Each is 0 when `pid` is 0 or there is no such process.

// CPU time used so far by all its threads, in microseconds; as fine as the kernel's clock tick.
uint64_t process_cpu_us(int pid);
// Memory that it has now, and the most that it has had since the last reset.
uint64_t process_rss_bytes(int pid);
uint64_t process_rss_peak_bytes(int pid);
void process_rss_peak_reset(int pid);

// How often its threads have gone to sleep so far: each waits for somebody to wake it.
uint64_t process_switches(int pid);

// Our own CPU time in microseconds.
uint64_t process_own_cpu_us(void);

#endif
