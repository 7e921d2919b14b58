// SPDX-License-Identifier: Apache-2.0
// A reader of protobuf's wire format: one field at a time, without copying and without memory of
// its own (https://protobuf.dev/programming-guides/encoding/).
#ifndef SFL_RPC_WIRE_READER_H
#define SFL_RPC_WIRE_READER_H

#include "base/bytes.h"

enum sfl_wire_type {
    SFL_WIRE_TYPE_VARINT = 0,
    SFL_WIRE_TYPE_FIXED64 = 1,
    SFL_WIRE_TYPE_BYTES = 2,
    SFL_WIRE_TYPE_GROUP = 3, // its end is read with it
    SFL_WIRE_TYPE_FIXED32 = 5,
};

struct sfl_wire_field {
    uint32_t number; // 1 to 2^29 - 1
    enum sfl_wire_type type;
    uint64_t value;        // of a varint; unspecified for other types
    struct sfl_span bytes; // of a field of type BYTES; borrowed from the message
};

// Reads the varint at `at`, which ends before `end`. Returns the place after it; NULL when it does
// not end.
const uint8_t *sfl_wire_read_long_varint(const uint8_t *at, const uint8_t *end,
                                         uint64_t *value_out);

static inline const uint8_t *sfl_wire_read_varint(const uint8_t *at, const uint8_t *end,
                                                  uint64_t *value_out)
{
    // Nearly all of them have one byte.
    if (at == end || *at >= 0x80)
        return sfl_wire_read_long_varint(at, end, value_out);
    *value_out = *at;
    return at + 1;
}

// sfl_wire_next for any field.
bool sfl_wire_next_of_any_type(struct sfl_span *rest, struct sfl_wire_field *field_out);

// Takes the next field off the front of `rest`, which must not be empty. False when the bytes are
// no protobuf; `rest` is then unspecified.
static inline bool sfl_wire_next(struct sfl_span *rest, struct sfl_wire_field *field_out)
{
    const uint8_t *at = rest->data;
    const uint8_t *end = at + rest->size;
    unsigned tag = *at++;
    unsigned type = tag & 7;
    bool is_common = (type == SFL_WIRE_TYPE_VARINT || type == SFL_WIRE_TYPE_BYTES);
    if (!is_common || tag < 8 || tag >= 0x80)
        return sfl_wire_next_of_any_type(rest, field_out);
    field_out->number = tag >> 3;
    field_out->type = (enum sfl_wire_type)type;
    at = sfl_wire_read_varint(at, end, &field_out->value);
    if (at == NULL)
        return false;
    if (type == SFL_WIRE_TYPE_BYTES) {
        uint64_t size = field_out->value;
        if (size > (uint64_t)(end - at))
            return false;
        field_out->bytes = sfl_span_of(at, (size_t)size);
        at += size;
    }
    *rest = sfl_span_of(at, (size_t)(end - at));
    return true;
}

#endif
