// SPDX-License-Identifier: Apache-2.0
// Private to server/sockets: the open streams of one HTTP/2 connection, by their number.
#ifndef SFL_SOCKETS_STREAMS_PRIVATE_H
#define SFL_SOCKETS_STREAMS_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sfl_stream_state {
    SFL_STREAM_PASSES,    // messages go by as they are
    SFL_STREAM_IS_MARKED, // a message was refused: the mark is being put in its place
    SFL_STREAM_IS_VOID,   // the mark is through; whatever still comes is made zeros
};

// Where a stream is in its current message: a prefix of 5 bytes, then `length` bytes.
struct sfl_http2_stream {
    uint32_t number;      // 0: this slot is free
    uint32_t length;      // of the message, as far as the prefix is read
    uint32_t left;        // of the message's bytes
    uint32_t charge;      // bytes of it that count as unfinished
    uint8_t prefix_bytes; // so many of the prefix are read; 0 between two messages
    uint8_t state;        // enum sfl_stream_state
    uint8_t reason;       // of the refusal
};

// Open addressing with linear probing. Zeroed but for the seed: empty.
struct sfl_http2_streams {
    struct sfl_http2_stream *slots;
    uint32_t slot_count; // a power of two, or 0
    uint32_t count;
    uint64_t seed; // a secret, so that nobody can choose numbers that collide
};

void sfl_http2_streams_deinit(struct sfl_http2_streams *streams);

// NULL when it is not open. Valid until the next add or remove.
struct sfl_http2_stream *sfl_http2_streams_find(const struct sfl_http2_streams *streams,
                                                uint32_t number);

// Adds a stream that is not there. False when there is no memory.
bool sfl_http2_streams_add(struct sfl_http2_streams *streams, uint32_t number);

// Removes `stream`, which find has returned.
void sfl_http2_streams_remove(struct sfl_http2_streams *streams, struct sfl_http2_stream *stream);

#endif
