// SPDX-License-Identifier: Apache-2.0
// The one place that knows how connections are secured, on either side, and where this version of
// gRPC declares it.
#ifndef SFL_RPC_CREDENTIALS_PRIVATE_H
#define SFL_RPC_CREDENTIALS_PRIVATE_H

#include "rpc/certificates.h"
#include "rpc/channel.h"

#include <grpc/grpc_security.h>
#if __has_include(<grpc/credentials.h>)
#include <grpc/credentials.h> // newer ones declare the insecure ones here
#endif

// The caller releases both. Any thread, after sfl_library_start. NULL: not encrypted. For one port;
// the certificates outlive the server. NULL is returned when there is no memory.
grpc_server_credentials *sfl_server_credentials_create(struct sfl_certificates *certificates);
grpc_channel_credentials *sfl_channel_credentials_create(const struct sfl_channel_tls *tls);

#endif
