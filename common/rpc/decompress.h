// SPDX-License-Identifier: Apache-2.0
// Private to common/rpc: reading compressed messages. gRPC would do it by itself, but it looks at
// the size only afterwards: 4 MiB of zeros in gzip's clothes would take 4 GiB.
#ifndef SFL_RPC_DECOMPRESS_H
#define SFL_RPC_DECOMPRESS_H

#include "base/status.h"

#include <grpc/grpc.h>

#include <stddef.h>
#include <stdint.h>

// Decompresses the whole of `buffer`, which is marked as compressed. The bytes are to be freed with
// free(). `bytes_max` 0 is no limit. SFL_RESOURCE_EXHAUSTED when they are more, SFL_INTERNAL when
// they cannot be read, SFL_NO_MEMORY.
enum sfl_status sfl_decompress(grpc_byte_buffer *buffer, uint64_t bytes_max, uint8_t **bytes_out,
                               size_t *size_out) SFL_MUST_USE;

#endif
