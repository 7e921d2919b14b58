// SPDX-License-Identifier: Apache-2.0
// Writing fields of bytes, beside the numbers of rpc/wire.h. Field numbers are below 16.
#ifndef SFL_RPC_PUT_H
#define SFL_RPC_PUT_H

#include "base/bytes.h"
#include "rpc/wire.h"

// Writes the tag, the length and the bytes; nothing for no bytes, as proto3 wants it. Returns the
// place after them.
static inline uint8_t *sfl_put_span(uint8_t *at, uint32_t field, struct sfl_span bytes)
{
    if (bytes.size == 0)
        return at;
    at = sfl_wire_put_length(at, field, bytes.size);
    memcpy(at, bytes.data, bytes.size);
    return at + bytes.size;
}

// What a field of `size` bytes takes, its tag and length included; 0 for no bytes.
static inline uint64_t sfl_put_size(uint64_t size)
{
    return size == 0 ? 0 : 1 + sfl_wire_varint_size(size) + size;
}

#endif
