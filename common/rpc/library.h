// SPDX-License-Identifier: Apache-2.0
// The gRPC library underneath: its start, its end and its log, and what differs between the two
// that this builds with: Debian 12's shared one (1.51.1), and the static one of deploy/grpc.
#ifndef SFL_RPC_LIBRARY_H
#define SFL_RPC_LIBRARY_H

#include <stdint.h>

// Starts gRPC; each start needs its stop, and the last stop ends it. Pumps do so. Any thread.
void sfl_library_start(void);
void sfl_library_stop(void);

// Leaves OpenSSL as it is when the process ends. By itself it clears up in exit(), while threads of
// gRPC still shake hands: at best that leaks. For programs of ours: it holds for the whole process,
// so a library must not. Once, first thing in main().
void sfl_library_skip_exit_cleanup(void);

// Sends what gRPC logs through sfl_log, as the event "grpc". For programs of ours: it holds for the
// whole process, so a library must not. Once, before the first start; the log's options are set.
void sfl_library_take_log(void);

// TLS handshakes of the process that failed since gRPC's log was taken, as far as that tells: who
// spoke no TLS, or showed no certificate that is believed. Who goes away or says nothing is not
// among them. Any thread.
uint64_t sfl_library_handshake_failures(void);

#endif
