// SPDX-License-Identifier: Apache-2.0
// The clocks of the process. The core never calls these: time comes to it with each event.
#ifndef SFL_BASE_CLOCK_H
#define SFL_BASE_CLOCK_H

#include <stdint.h>

// Milliseconds of the monotonic clock. Any thread.
uint64_t sfl_clock_now_ms(void);

// The same, but up to 10 milliseconds behind it, and much cheaper: for what is patient. Any thread.
uint64_t sfl_clock_rough_ms(void);

// Milliseconds of a clock that goes on while the machine sleeps; the monotonic one stops then. Any
// thread.
uint64_t sfl_clock_boot_ms(void);

// Nanoseconds of the monotonic clock. Any thread.
uint64_t sfl_clock_now_ns(void);

// Microseconds since 1970 of the wall clock; it may jump. Any thread.
uint64_t sfl_clock_wall_us(void);

#endif
