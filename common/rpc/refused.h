// SPDX-License-Identifier: Apache-2.0
// Messages that were refused before gRPC saw them. Whoever stands between the socket and gRPC
// (server/sockets) puts a mark in the place of such a message: 16 bytes that nobody else knows, of
// which the last is the reason. gRPC hands the mark on as a message, and here it is recognised.
#ifndef SFL_RPC_REFUSED_H
#define SFL_RPC_REFUSED_H

#include <stdint.h>

struct grpc_byte_buffer; // gRPC's, whose headers only this folder includes

enum { SFL_REFUSED_MARK_BYTES = 16 };

enum sfl_refused {
    SFL_REFUSED_NOT = 0,
    SFL_REFUSED_TOO_LARGE = 1,       // above the limit on a message
    SFL_REFUSED_CONNECTION_FULL = 2, // too much is coming in on its connection already
};

// Makes the mark of this process, and says what it is. Until then no message is one. Once, before
// anything is served.
void sfl_refused_make_mark(uint8_t mark_out[static SFL_REFUSED_MARK_BYTES]);

// What a message says that has come in.
enum sfl_refused sfl_refused_read(const struct grpc_byte_buffer *message);

#endif
