// SPDX-License-Identifier: Apache-2.0
// Private to common/rpc: between our pieces and spans and gRPC's buffers.
#ifndef SFL_RPC_MESSAGE_PRIVATE_H
#define SFL_RPC_MESSAGE_PRIVATE_H

#include "rpc/stream.h"

#include <grpc/grpc.h>

// Makes a buffer of `pieces`: neighbours that are to be copied, and short ones, become one slice;
// the others are referred to. Takes the pieces' owners. Destroying the buffer drops what gRPC has
// not taken out of it.
grpc_byte_buffer *sfl_message_create(const struct sfl_piece *pieces, size_t count);

// Gives back the owners of pieces that are not sent.
void sfl_message_release(const struct sfl_piece *pieces, size_t count);

// A received message as one span.
struct sfl_message_view {
    struct sfl_span bytes;
    grpc_slice slice; // holds the bytes
};

// Makes `buffer` readable in one piece: a message of one slice is borrowed, others are copied, and
// compressed ones unpacked, up to `bytes_max` (0: no limit). The view is to be ended in any case.
// SFL_NO_MEMORY, SFL_RESOURCE_EXHAUSTED when there is more, SFL_INTERNAL when it cannot be read.
enum sfl_status sfl_message_view_init(struct sfl_message_view *view, grpc_byte_buffer *buffer,
                                      uint64_t bytes_max) SFL_MUST_USE;
void sfl_message_view_deinit(struct sfl_message_view *view);

#endif
