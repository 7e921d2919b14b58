// SPDX-License-Identifier: Apache-2.0
#include "rpc/wire_reader.h"

enum {
    WIRE_GROUP_END = 4,
    VARINT_BYTES_MAX = 10,
    NUMBER_MAX = (1 << 29) - 1,
    GROUP_DEPTH_MAX = 32, // groups are deprecated and none of our messages has one
};

struct sfl_wire_varint sfl_wire_read_long_varint(const uint8_t *at, const uint8_t *end)
{
    const uint8_t *limit = end - at > VARINT_BYTES_MAX ? at + VARINT_BYTES_MAX : end;
    uint64_t value = 0;
    for (unsigned shift = 0; at < limit; shift += 7) {
        uint8_t byte = *at++;
        // Bits beyond the 64th are dropped, as every protobuf library does.
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return (struct sfl_wire_varint){value, at};
    }
    return (struct sfl_wire_varint){0, NULL};
}

static bool read_varint(struct sfl_span *rest, uint64_t *value_out)
{
    const uint8_t *end = rest->data + rest->size;
    struct sfl_wire_varint varint = sfl_wire_read_varint(rest->data, end);
    if (varint.after == NULL)
        return false;
    *value_out = varint.value;
    *rest = sfl_span_of(varint.after, (size_t)(end - varint.after));
    return true;
}

static bool take_bytes(struct sfl_span *rest, uint64_t size, struct sfl_span *bytes_out)
{
    if (size > rest->size)
        return false;
    *bytes_out = sfl_span_of(rest->data, (size_t)size);
    *rest = sfl_span_of(rest->data + size, rest->size - (size_t)size);
    return true;
}

static bool read_tag(struct sfl_span *rest, uint32_t *number_out, unsigned *type_out)
{
    uint64_t tag = 0;
    if (!read_varint(rest, &tag) || tag > UINT32_MAX || tag >> 3 == 0 || tag >> 3 > NUMBER_MAX)
        return false;
    *number_out = (uint32_t)(tag >> 3);
    *type_out = (unsigned)(tag & 7);
    return true;
}

// Reads what follows a tag of any type but that of a group.
static bool read_content(struct sfl_span *rest, unsigned type, struct sfl_wire_field *field)
{
    field->type = (enum sfl_wire_type)type;
    if (type == SFL_WIRE_TYPE_VARINT)
        return read_varint(rest, &field->value);
    if (type == SFL_WIRE_TYPE_BYTES)
        return read_varint(rest, &field->value) && take_bytes(rest, field->value, &field->bytes);
    if (type == SFL_WIRE_TYPE_FIXED64)
        return take_bytes(rest, 8, &field->bytes);
    if (type == SFL_WIRE_TYPE_FIXED32)
        return take_bytes(rest, 4, &field->bytes);
    return false;
}

// Skips to the end of the group `number`, whose start has been read.
static bool skip_group(struct sfl_span *rest, uint32_t number)
{
    uint32_t open[GROUP_DEPTH_MAX] = {number};
    size_t depth = 1;
    while (depth > 0) {
        struct sfl_wire_field ignored;
        unsigned type = 0;
        uint32_t inner = 0;
        if (!read_tag(rest, &inner, &type))
            return false;
        if (type == WIRE_GROUP_END) {
            if (inner != open[--depth])
                return false;
        } else if (type == SFL_WIRE_TYPE_GROUP) {
            if (depth == GROUP_DEPTH_MAX)
                return false;
            open[depth++] = inner;
        } else if (!read_content(rest, type, &ignored)) {
            return false;
        }
    }
    return true;
}

static bool take_field(struct sfl_span *rest, struct sfl_wire_field *field_out)
{
    unsigned type = 0;
    if (!read_tag(rest, &field_out->number, &type))
        return false;
    if (type != SFL_WIRE_TYPE_GROUP)
        return read_content(rest, type, field_out);
    field_out->type = SFL_WIRE_TYPE_GROUP;
    return skip_group(rest, field_out->number);
}

const uint8_t *sfl_wire_read_any(const uint8_t *at, const uint8_t *end,
                                 struct sfl_wire_field *field_out)
{
    struct sfl_span rest = sfl_span_of(at, (size_t)(end - at));
    return take_field(&rest, field_out) ? rest.data : NULL;
}
