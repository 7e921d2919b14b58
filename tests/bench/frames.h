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
#include <string.h>

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

// What is short, one byte, is written and read in place: it is nearly everything, and a function
// call for each would be half of what the bare server does.

// ---- writing

static inline size_t bench_varint_size(uint64_t value)
{
    // Seven bits to a byte, and a byte for zero.
    return (size_t)(70 - __builtin_clzll(value | 1)) / 7;
}

static inline uint8_t *bench_put_varint(uint8_t *at, uint64_t value)
{
    while (value >= 0x80) {
        *at++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *at++ = (uint8_t)value;
    return at;
}

static inline uint8_t *bench_put_number(uint8_t *at, unsigned field, uint64_t value)
{
    *at++ = (uint8_t)(field << 3);
    return bench_put_varint(at, value);
}

static inline uint8_t *bench_put_length(uint8_t *at, unsigned field, uint64_t size)
{
    *at++ = (uint8_t)(field << 3 | 2);
    return bench_put_varint(at, size);
}

// Writes the key of a number: readable, always of the same length, and easy to read back.
void bench_key_write(uint8_t key[BENCH_KEY_BYTES], uint32_t number);
uint32_t bench_key_number(const uint8_t key[BENCH_KEY_BYTES]);

// A step of a caller, without its value: `head` is to be followed by `value_bytes` bytes.
struct bench_head {
    uint8_t bytes[BENCH_STEP_MAX];
    size_t size;
};

// For Do. `step` is JOIN (of key `number`, with `retain_ms`), POST (`number` is its sequence) or
// FINISH.
struct bench_what {
    enum bench_step step;
    uint32_t number;
    uint64_t value_bytes;
    uint64_t retain_ms; // how long the outcome is to be kept; 0: not at all
};

void bench_do_head(struct bench_head *head, const struct bench_what *what);
// The same as a frame of Session, for the call `id`.
void bench_session_head(struct bench_head *head, uint64_t id, const struct bench_what *what);

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

// What is not at hand in the slice: goes on to the next one, or a varint of several bytes, or one
// that two slices share. Call the functions below instead.
bool bench_reader_next(struct bench_reader *reader);
uint64_t bench_read_long_varint(struct bench_reader *reader);
void bench_read_across(struct bench_reader *reader, void *bytes, uint64_t size);

// True at the end of the message, and when it turned out to be malformed.
static inline bool bench_reader_is_done(struct bench_reader *reader)
{
    return reader->at == reader->end && !bench_reader_next(reader);
}

static inline uint64_t bench_read_varint(struct bench_reader *reader)
{
    if (reader->at != reader->end && *reader->at < 0x80)
        return *reader->at++;
    return bench_read_long_varint(reader);
}

static inline void bench_read_bytes(struct bench_reader *reader, void *bytes, size_t size)
{
    if (size > (size_t)(reader->end - reader->at)) {
        bench_read_across(reader, bytes, size);
        return;
    }
    memcpy(bytes, reader->at, size);
    reader->at += size;
}

static inline void bench_skip(struct bench_reader *reader, uint64_t size)
{
    if (size <= (uint64_t)(reader->end - reader->at))
        reader->at += size;
    else
        bench_read_across(reader, NULL, size);
}

// Reads the next frame {call id, step} of a Session message, from either side. `field` is the
// step's number in CallRequest or CallResponse; `body` how many bytes of it follow, which the
// caller has to read or skip. False at the end or on a malformed message.
bool bench_read_frame(struct bench_reader *reader, uint64_t *id, unsigned *field, uint64_t *body);

#endif
