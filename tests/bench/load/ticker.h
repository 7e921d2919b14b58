// SPDX-License-Identifier: Apache-2.0
// Wakes the thread that polls a link. gRPC's own deadlines come up to a millisecond late, which
// would be most of what a flight takes.
#ifndef SFL_TESTS_BENCH_LOAD_TICKER_H
#define SFL_TESTS_BENCH_LOAD_TICKER_H

#include "bench/load/link.h"

// From `start_ns` of the monotonic clock on, every `period_ns`, until the program ends: a thread of
// its own ends the wait in load_link_poll(). Once for each link.
void load_ticker_start(struct load_link *link, uint64_t start_ns, uint64_t period_ns);

#endif
