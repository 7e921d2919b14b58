// SPDX-License-Identifier: Apache-2.0
// The guard of the daemon's sockets. gRPC gives up its listener for good when descriptors run out,
// and reads one connection for as long as bytes come; and it has no place where either could be
// helped. So the daemon stands between gRPC and the kernel: interpose.c defines accept4, close and
// the few other libc functions with which gRPC reaches its sockets (decision 13).
//
// Process-wide, for those functions have no context. Before sfl_guard_open and after
// sfl_guard_close, and for every descriptor that is no socket of gRPC's listeners, they do what
// libc's do.
#ifndef SFL_SOCKETS_GUARD_H
#define SFL_SOCKETS_GUARD_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct sfl_guard_options {
    uint32_t connections_max;         // above 0; well below the limit on descriptors
    uint32_t address_connections_max; // of one peer address; above 0
};

struct sfl_guard_counts {
    uint64_t connections_now;
    uint64_t refused; // connections that were closed when they were accepted
};

// To be called once, before anything listens. SFL_NO_MEMORY, also for want of descriptors.
enum sfl_status sfl_guard_open(const struct sfl_guard_options *options) SFL_MUST_USE;

// While `is_on`, sockets that begin to listen are taken to be gRPC's, and so guarded. One thread.
void sfl_guard_listeners(bool is_on);

// Any thread.
struct sfl_guard_counts sfl_guard_counts(void);

// When no socket of gRPC's is open any more and no pump runs.
void sfl_guard_close(void);

#endif
