// SPDX-License-Identifier: Apache-2.0
// The guard of the daemon's sockets. gRPC gives up its listener for good when descriptors run out,
// reads one connection for as long as bytes come, and buffers messages and headers of any length;
// and it has no place where any of this could be helped. So the daemon stands between gRPC and the
// kernel: interpose.c defines accept4, recvmsg, close and the few other libc functions with which
// gRPC reaches its sockets (decision 13).
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
    uint64_t message_bytes_max;       // that a prefix may announce
    uint64_t unfinished_bytes_max;    // of all messages that are coming in on one connection
    uint32_t streams_max;             // open on one connection; 0: no limit
    // What stands for a refused message, but for the last byte, which is the reason
    // (rpc/refused.h).
    const uint8_t *mark; // 16 bytes, copied
    uint8_t reason_too_large;
    uint8_t reason_connection_full;
};

struct sfl_guard_counts {
    uint64_t connections_now;
    uint64_t refused; // connections that were closed when they were accepted, or for a flood
};

// To be called once, before anything listens. SFL_NO_MEMORY, also for want of descriptors.
enum sfl_status sfl_guard_open(const struct sfl_guard_options *options) SFL_MUST_USE;

// While `is_on`, sockets that begin to listen are taken to be gRPC's, and so guarded. One thread.
void sfl_guard_listeners(bool is_on);

// Any thread.
struct sfl_guard_counts sfl_guard_counts(void);

// When no socket of gRPC's is open any more, a client's neither, and no pump runs. It may be left
// out at the end of the process.
void sfl_guard_close(void);

#endif
