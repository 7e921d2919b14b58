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

// A varint that was read.
struct sfl_wire_varint {
    uint64_t value;
    const uint8_t *after; // the place after it; NULL: it does not end
};

struct sfl_wire_varint sfl_wire_read_long_varint(const uint8_t *at, const uint8_t *end);

// Reads the varint at `at`, which ends before `end`.
static inline struct sfl_wire_varint sfl_wire_read_varint(const uint8_t *at, const uint8_t *end)
{
    // Nearly all of them have one byte.
    if (at == end || *at >= 0x80)
        return sfl_wire_read_long_varint(at, end);
    return (struct sfl_wire_varint){*at, at + 1};
}

// sfl_wire_read for any field.
const uint8_t *sfl_wire_read_any(const uint8_t *at, const uint8_t *end,
                                 struct sfl_wire_field *field_out);

// Reads the field at `at`, which must be before `end`. Returns the place after it; NULL when the
// bytes are no protobuf.
static inline const uint8_t *sfl_wire_read(const uint8_t *at, const uint8_t *end,
                                           struct sfl_wire_field *field_out)
{
    uint8_t tag = *at;
    enum sfl_wire_type type = tag & 7;
    bool is_common = (type == SFL_WIRE_TYPE_VARINT || type == SFL_WIRE_TYPE_BYTES);
    if (!is_common || tag < 8 || tag >= 0x80) {
        struct sfl_wire_field any; // so that the common ones stay in registers
        at = sfl_wire_read_any(at, end, &any);
        if (at != NULL)
            *field_out = any;
        return at;
    }
    struct sfl_wire_varint varint = sfl_wire_read_varint(at + 1, end);
    if (varint.after == NULL)
        return NULL;
    field_out->number = tag >> 3;
    field_out->type = type;
    field_out->value = varint.value;
    if (type == SFL_WIRE_TYPE_VARINT)
        return varint.after;
    if (varint.value > (uint64_t)(end - varint.after))
        return NULL;
    field_out->bytes = sfl_span_of(varint.after, (size_t)varint.value);
    return varint.after + varint.value;
}

// Takes the next field off the front of `rest`, which must not be empty. False when the bytes are
// no protobuf; `rest` stays as it is then.
static inline bool sfl_wire_next(struct sfl_span *rest, struct sfl_wire_field *field_out)
{
    const uint8_t *end = rest->data + rest->size;
    const uint8_t *at = sfl_wire_read(rest->data, end, field_out);
    if (at == NULL)
        return false;
    *rest = sfl_span_of(at, (size_t)(end - at));
    return true;
}

#endif
