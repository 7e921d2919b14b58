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
    uint64_t value;        // of a varint
    struct sfl_span bytes; // of a field of type BYTES; borrowed from the message
};

// Takes the next field off the front of `rest`, which must not be empty. False when the bytes are
// no protobuf; `rest` is then unspecified.
bool sfl_wire_next(struct sfl_span *rest, struct sfl_wire_field *field_out);

#endif
