// SPDX-License-Identifier: Apache-2.0
// What differs between the versions of gRPC that the programs beside this run on.
#ifndef SFL_BENCH_LIBRARY_H
#define SFL_BENCH_LIBRARY_H

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#if __has_include(<grpc/credentials.h>)
#include <grpc/credentials.h> // newer ones declare the insecure ones here
#endif
#ifdef SFL_GRPC_IS_BUNDLED
#include <singleflightd_grpc.h>
#endif

// As the daemon starts it.
static inline void bench_library_start(void)
{
#ifdef SFL_GRPC_IS_BUNDLED
    singleflightd_grpc_prepare();
#endif
    grpc_init();
}

#endif
