// SPDX-License-Identifier: Apache-2.0
// Looks at the bytes of one HTTP/2 connection before gRPC does, for what gRPC 1.51 buffers without
// a bound: a message of any length, and a block of headers that never ends. Pure: bytes in, a
// verdict out. One thread at a time.
//
// It walks the frames and skips what is in them, but for two things: which streams are open, and
// where the gRPC messages in their DATA begin. A message whose prefix announces more than the limit
// is refused there: the prefix is rewritten to a few bytes, a secret mark is put in their place,
// and what follows on the stream becomes zeros. gRPC hands the mark on as a message; common/rpc
// knows it (refused.h) and ends that RPC with RESOURCE_EXHAUSTED. Nobody else on the connection
// notices.
//
// What does not begin as HTTP/2 does (TLS) is let through; its bytes count as work.
#ifndef SFL_SOCKETS_HTTP2_PRIVATE_H
#define SFL_SOCKETS_HTTP2_PRIVATE_H

#include "sockets/streams_private.h"

enum { SFL_HTTP2_HEADER_BYTES = 9, SFL_HTTP2_MARK_BYTES = 16 };

struct sfl_http2_options {
    uint64_t message_bytes_max;    // at least SFL_HTTP2_MARK_BYTES
    uint64_t unfinished_bytes_max; // of all messages that have begun to come in; 0: no limit
    uint32_t streams_max;          // open ones; 0: no limit
    uint64_t seed;                 // a secret, for the table of streams
    // Stands for a refused message; the last byte is replaced by the reason. A secret.
    uint8_t mark[SFL_HTTP2_MARK_BYTES];
    uint8_t reason_too_large;
    uint8_t reason_connection_full;
};

enum sfl_http2_verdict {
    SFL_HTTP2_PASS,
    SFL_HTTP2_HEADERS_FLOOD, // a block of headers beyond all use
    SFL_HTTP2_STREAMS_FLOOD, // more open streams than allowed, or than there is memory for
};

// Where one direction is in its frames.
struct sfl_http2_side {
    uint8_t header[SFL_HTTP2_HEADER_BYTES];
    uint8_t header_bytes; // so many are read; 9: in the payload
    uint8_t type;
    uint8_t flags;
    bool awaits_padding; // the next byte says how much of the payload is padding
    uint8_t padding;
    uint32_t number; // of the stream
    uint32_t left;   // of the payload
};

struct sfl_http2 {
    const struct sfl_http2_options *options;
    struct sfl_http2_side in;
    struct sfl_http2_side out;
    struct sfl_http2_streams streams;
    uint32_t last_number; // the greatest one that was opened
    uint8_t preface_bytes;
    bool stands_aside;
    uint32_t block_bytes; // of the headers that are coming in
    uint32_t block_frames;
    uint64_t unfinished_bytes;

    // For the caller to read and reset.
    uint32_t work; // roughly what the frames that came in cost gRPC: 1 for most of them
};

// Borrows `options`.
void sfl_http2_init(struct sfl_http2 *http2, const struct sfl_http2_options *options);
void sfl_http2_deinit(struct sfl_http2 *http2);

// Bytes from the client, in order; may change them. After another verdict than PASS the connection
// is to be ended.
enum sfl_http2_verdict sfl_http2_receive(struct sfl_http2 *http2, uint8_t *bytes, size_t size);

// Bytes that have gone to the client, in order.
void sfl_http2_sent(struct sfl_http2 *http2, const uint8_t *bytes, size_t size);

#endif
