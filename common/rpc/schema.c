// SPDX-License-Identifier: Apache-2.0
#include "rpc/schema.h"

#include "base/utf8.h"
#include "rpc/wire_reader.h"

#include <stdio.h>

void sfl_fault_text(const struct sfl_fault *fault, char text_out[static SFL_FAULT_TEXT_MAX])
{
    const char *what = fault->what == NULL ? "" : fault->what;
    if (fault->where == NULL)
        snprintf(text_out, SFL_FAULT_TEXT_MAX, "%s", what);
    else
        snprintf(text_out, SFL_FAULT_TEXT_MAX, "%s: %s", fault->where, what);
}

// Most tables begin with the fields 1, 2, 3.
static const struct sfl_field *find_field(const struct sfl_schema *schema, uint32_t number)
{
    if (number <= schema->field_count && schema->fields[number - 1].number == number)
        return &schema->fields[number - 1];
    for (size_t i = 0; i < schema->field_count; i++) {
        if (schema->fields[i].number == number)
            return &schema->fields[i];
    }
    return NULL;
}

static bool is_number(enum sfl_field_type type)
{
    return type < SFL_FIELD_BYTES;
}

// A field of another wire type than its own is of another schema: unknown, as protobuf has it.
static bool is_of_type(enum sfl_wire_type wire, enum sfl_field_type type)
{
    if (wire == SFL_WIRE_TYPE_VARINT)
        return is_number(type);
    return wire == SFL_WIRE_TYPE_BYTES && !is_number(type);
}

static void *member(void *into, size_t offset)
{
    return (char *)into + offset;
}

// The first fault is the one that is told.
static void note_fault(struct sfl_fault *fault, const char *where, const char *what)
{
    if (fault->what == NULL)
        *fault = (struct sfl_fault){where, what};
}

static void choose(const struct sfl_schema *schema, const struct sfl_field *field, void *into)
{
    int *choice = member(into, schema->choice_offset);
    if (*choice == (int)field->choice)
        return;
    memset(member(into, schema->union_offset), 0, schema->union_size);
    *choice = (int)field->choice;
}

static bool store_element(const struct sfl_field *field, struct sfl_span element, void *into,
                          struct sfl_fault *fault)
{
    const struct sfl_field_list *list = field->list;
    uint32_t *count = member(into, list->count_offset);
    if (*count >= list->count_max) {
        note_fault(fault, field->name, list->too_many);
        return true;
    }
    void *at = member(into, field->offset + *count * list->element_size);
    memset(at, 0, list->element_size);
    (*count)++;
    return sfl_schema_read(list->message, element, at, fault);
}

static bool store(const struct sfl_field *field, const struct sfl_wire_field *wire, void *into,
                  struct sfl_fault *fault)
{
    void *at = member(into, field->offset);
    switch (field->type) {
    case SFL_FIELD_U64:
        *(uint64_t *)at = wire->value;
        return true;
    case SFL_FIELD_U32:
        *(uint32_t *)at = (uint32_t)wire->value;
        return true;
    case SFL_FIELD_I32:
        *(int32_t *)at = (int32_t)(uint32_t)wire->value;
        return true;
    case SFL_FIELD_BOOL:
        *(bool *)at = wire->value != 0;
        return true;
    case SFL_FIELD_ENUM:
        if ((uint32_t)wire->value > field->enum_max)
            note_fault(fault, field->name, "has a value that is not known");
        else
            *(int *)at = (int)wire->value;
        return true;
    case SFL_FIELD_TEXT:
        if (!sfl_utf8_is_valid(wire->bytes))
            note_fault(fault, field->name, "is not valid UTF-8");
        *(struct sfl_span *)at = wire->bytes;
        return true;
    case SFL_FIELD_BYTES:
        *(struct sfl_span *)at = wire->bytes;
        return true;
    case SFL_FIELD_MESSAGE:
        if (field->presence > 0)
            *(bool *)member(into, field->presence) = true;
        return sfl_schema_read(field->message, wire->bytes, at, fault);
    case SFL_FIELD_LIST:
        return store_element(field, wire->bytes, into, fault);
    }
    return false;
}

bool sfl_schema_read(const struct sfl_schema *schema, struct sfl_span message, void *into,
                     struct sfl_fault *fault)
{
    if (message.size == 0)
        return true;
    const uint8_t *at = message.data;
    const uint8_t *end = at + message.size;
    while (at < end) {
        struct sfl_wire_field wire;
        at = sfl_wire_read(at, end, &wire);
        if (at == NULL) {
            *fault = (struct sfl_fault){schema->name, "malformed message"};
            return false;
        }
        const struct sfl_field *field = find_field(schema, wire.number);
        if (field == NULL || !is_of_type(wire.type, field->type))
            continue;
        if (field->choice > 0)
            choose(schema, field, into);
        if (!store(field, &wire, into, fault))
            return false;
    }
    return true;
}
