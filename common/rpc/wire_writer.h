// SPDX-License-Identifier: Apache-2.0
// A writer of protobuf's wire format (https://protobuf.dev/programming-guides/encoding/) for
// messages that are written straight to where they go. Whoever writes knows that there is room.
#ifndef SFL_RPC_WIRE_WRITER_H
#define SFL_RPC_WIRE_WRITER_H

#include "rpc/wire_reader.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    SFL_WIRE_VARINT_MAX = 10, // bytes that the longest varint takes
};

static inline size_t sfl_wire_varint_size(uint64_t value)
{
    // One byte for every seven bits from the highest one on: bits / 7, rounded up, without a
    // division. It holds for up to 64 bits.
    unsigned bits = 64 - (unsigned)__builtin_clzll(value | 1);
    return (bits * 9 + 64) / 64;
}

// Writes a varint at `at` and returns the place after it.
static inline uint8_t *sfl_wire_put_varint(uint8_t *at, uint64_t value)
{
    while (value >= 0x80) {
        *at++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *at++ = (uint8_t)value;
    return at;
}

// Writes the tag of a varint field and its value; nothing for 0, as proto3 wants it.
static inline uint8_t *sfl_wire_put_number(uint8_t *at, uint32_t field, uint64_t value)
{
    if (value == 0)
        return at;
    at = sfl_wire_put_varint(at, (uint64_t)field << 3 | SFL_WIRE_TYPE_VARINT);
    return sfl_wire_put_varint(at, value);
}

// Writes the tag and length of a field of `size` bytes that follow.
static inline uint8_t *sfl_wire_put_length(uint8_t *at, uint32_t field, uint64_t size)
{
    at = sfl_wire_put_varint(at, (uint64_t)field << 3 | SFL_WIRE_TYPE_BYTES);
    return sfl_wire_put_varint(at, size);
}

// Writes a field of bytes, whose number is below 16; nothing for no bytes, as proto3 wants it.
// Returns the place after it.
static inline uint8_t *sfl_wire_put_bytes(uint8_t *at, uint32_t field, struct sfl_span bytes)
{
    if (bytes.size == 0)
        return at;
    at = sfl_wire_put_length(at, field, bytes.size);
    memcpy(at, bytes.data, bytes.size);
    return at + bytes.size;
}

// Writes a field of 64 bits whose number is below 16, also when it is 0.
static inline uint8_t *sfl_wire_put_fixed64(uint8_t *at, uint32_t field, uint64_t value)
{
    *at++ = (uint8_t)(field << 3 | SFL_WIRE_TYPE_FIXED64);
    for (unsigned i = 0; i < 8; i++)
        *at++ = (uint8_t)(value >> (8 * i));
    return at;
}

// What a field of `size` bytes takes, its tag and length included; 0 for no bytes.
static inline uint64_t sfl_wire_bytes_size(uint64_t size)
{
    return size == 0 ? 0 : 1 + sfl_wire_varint_size(size) + size;
}

#endif
