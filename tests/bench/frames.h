// SPDX-License-Identifier: Apache-2.0
// The messages of singleflight.v1, written and read by hand: the programs here are one half of
// every figure, so they must cost next to nothing.
//
// tests/bench talks to gRPC directly and knows nothing of common/ and server/: it is the baseline
// that they are measured against.
#ifndef SFL_TESTS_BENCH_FRAMES_H
#define SFL_TESTS_BENCH_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/slice.h>

#define BENCH_DO "/singleflight.v1.SingleFlight/Do"
#define BENCH_SESSION "/singleflight.v1.SingleFlight/Session"

enum {
    BENCH_KEY_BYTES = 16,
    BENCH_VARINT_MAX = 10,
    BENCH_STEP_MAX = 64, // a whole step without its value
};

// What a server says, by the field numbers of DoResponse.
enum bench_answer {
    BENCH_LEAD = 1,
    BENCH_FOLLOW = 2,
    BENCH_CHUNK = 3,
    BENCH_RESTART = 4,
    BENCH_AUDIENCE = 5,
    BENCH_RESULT = 6,
    BENCH_END = 7, // Session only
};

// What a caller says, by the field numbers of DoRequest.
enum bench_step {
    BENCH_JOIN = 1,
    BENCH_POST = 2, // a chunk
    BENCH_RENEW = 3,
    BENCH_FINISH = 4,
};

// ---- writing

size_t bench_varint_size(uint64_t value);
uint8_t *bench_put_varint(uint8_t *at, uint64_t value);
uint8_t *bench_put_number(uint8_t *at, unsigned field, uint64_t value);
uint8_t *bench_put_length(uint8_t *at, unsigned field, uint64_t size);

// Writes the key of a number: readable, always of the same length, and easy to read back.
void bench_key_write(uint8_t key[BENCH_KEY_BYTES], uint32_t number);
uint32_t bench_key_number(const uint8_t key[BENCH_KEY_BYTES]);

// A step of a caller, without its value: `head` is to be followed by `value_bytes` bytes.
struct bench_head {
    uint8_t bytes[BENCH_STEP_MAX];
    size_t size;
};

// For Do. `step` is JOIN (of key `number`), POST (with `sequence`) or FINISH.
void bench_do_head(struct bench_head *head, enum bench_step step, uint32_t key,
                   uint64_t value_bytes);
// The same as a frame of Session, for the call `id`.
void bench_session_head(struct bench_head *head, enum bench_step step, uint64_t id, uint32_t key,
                        uint64_t value_bytes);

// What comes after the value of a POST: its sequence; nothing when that is 0.
void bench_tail(struct bench_head *tail, uint64_t sequence);

// ---- reading

// A received message, slice by slice and without copying.
struct bench_reader {
    grpc_byte_buffer_reader buffer;
    const uint8_t *at;
    const uint8_t *end;
    uint64_t position; // of `end` in the message
    bool failed;
};

// False when gRPC cannot read the buffer.
bool bench_reader_init(struct bench_reader *reader, grpc_byte_buffer *buffer);
void bench_reader_deinit(struct bench_reader *reader);

// How many bytes have been read.
static inline uint64_t bench_reader_position(const struct bench_reader *reader)
{
    return reader->position - (uint64_t)(reader->end - reader->at);
}

// True at the end of the message, and when it turned out to be malformed.
bool bench_reader_is_done(struct bench_reader *reader);
uint64_t bench_read_varint(struct bench_reader *reader);
void bench_read_bytes(struct bench_reader *reader, void *bytes, size_t size);
void bench_skip(struct bench_reader *reader, uint64_t size);

// Reads the next frame {call id, step} of a Session message, from either side. `field` is the
// step's number in CallRequest or CallResponse; `body` how many bytes of it follow, which the
// caller has to read or skip. False at the end or on a malformed message.
bool bench_read_frame(struct bench_reader *reader, uint64_t *id, unsigned *field, uint64_t *body);

#endif
