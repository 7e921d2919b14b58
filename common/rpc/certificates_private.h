// SPDX-License-Identifier: Apache-2.0
// Private to common/rpc: how gRPC gets at the certificates.
#ifndef SFL_RPC_CERTIFICATES_PRIVATE_H
#define SFL_RPC_CERTIFICATES_PRIVATE_H

#include "rpc/certificates.h"

#include <grpc/grpc_security.h>
#if __has_include(<grpc/credentials.h>)
#include <grpc/credentials.h> // newer ones declare credentials here
#endif

// Credentials for one port. NULL: no memory.
grpc_server_credentials *sfl_certificates_for_port(struct sfl_certificates *certificates);

#endif
