// SPDX-License-Identifier: Apache-2.0
// A writer of protobuf's wire format for the few messages whose parts are shared between receivers
// (https://protobuf.dev/programming-guides/encoding/). Everything else goes through protobuf-c.
#ifndef SFL_RPC_WIRE_H
#define SFL_RPC_WIRE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    SFL_WIRE_VARINT = 0,
    SFL_WIRE_BYTES = 2,
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
    at = sfl_wire_put_varint(at, (uint64_t)field << 3 | SFL_WIRE_VARINT);
    return sfl_wire_put_varint(at, value);
}

// Writes the tag and length of a field of `size` bytes that follow.
static inline uint8_t *sfl_wire_put_length(uint8_t *at, uint32_t field, uint64_t size)
{
    at = sfl_wire_put_varint(at, (uint64_t)field << 3 | SFL_WIRE_BYTES);
    return sfl_wire_put_varint(at, size);
}

#endif
