/* SPDX-License-Identifier: Apache-2.0 */
/* What the C core offers to C++ only, for the C of common/rpc. Comes with deploy/grpc/build. */
#ifndef SINGLEFLIGHTD_GRPC_H
#define SINGLEFLIGHTD_GRPC_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Once, before the first grpc_init. Makes those who wait on a completion queue look at the sockets
 * themselves, as before gRPC had an EventEngine: with its own threads in between an RPC costs twice
 * the time of the processor. And lets only errors into gRPC's log. What GRPC_EXPERIMENTS and
 * GRPC_VERBOSITY say comes before this. */
void singleflightd_grpc_prepare(void);

enum singleflightd_grpc_level {
    SINGLEFLIGHTD_GRPC_INFO,
    SINGLEFLIGHTD_GRPC_WARNING,
    SINGLEFLIGHTD_GRPC_ERROR, /* also of what ends the process */
};

/* Hands what gRPC logs to `write`, which any thread calls, and no longer to standard error. `file`
 * is static; `text`, without a zero at its end, is borrowed for the call. Once, before the first
 * grpc_init. */
void singleflightd_grpc_log_to(void (*write)(enum singleflightd_grpc_level level, const char *file,
                                             int line, const char *text, size_t size));

#ifdef __cplusplus
}
#endif

#endif
