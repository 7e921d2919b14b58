// SPDX-License-Identifier: Apache-2.0
// Private to common/rpc: gRPC's credentials, wherever this version of gRPC declares them.
#ifndef SFL_RPC_CREDENTIALS_H
#define SFL_RPC_CREDENTIALS_H

#include <grpc/grpc_security.h>
#if __has_include(<grpc/credentials.h>)
#include <grpc/credentials.h> // newer ones declare the insecure ones here
#endif

#endif
