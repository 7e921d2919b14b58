// SPDX-License-Identifier: Apache-2.0
// Messages read by tables: bytes become a struct whose spans point into the message.
//
// protobuf-c is not used where it counts: it ends a string at its first NUL, takes any bytes for a
// string and any number for an enum, and asks for memory for every part of every message. The
// tables are checked against protobuf-c's descriptors of the same messages by unit tests.
#ifndef SFL_RPC_SCHEMA_H
#define SFL_RPC_SCHEMA_H

#include "base/bytes.h"

// What is wrong with a message. All texts have static storage; `what` is NULL when nothing is.
struct sfl_fault {
    const char *where; // a field, such as "join.group"; may be NULL
    const char *what;
};

enum { SFL_FAULT_TEXT_MAX = 192 };

// Writes "where: what", always ended by 0.
void sfl_fault_text(const struct sfl_fault *fault, char text_out[static SFL_FAULT_TEXT_MAX]);

enum sfl_field_type {
    SFL_FIELD_U64,
    SFL_FIELD_U32,
    SFL_FIELD_I32,
    SFL_FIELD_BOOL,
    SFL_FIELD_ENUM,    // int; 0 to `enum_max` are known
    SFL_FIELD_BYTES,   // struct sfl_span
    SFL_FIELD_TEXT,    // struct sfl_span, valid UTF-8
    SFL_FIELD_MESSAGE, // read by `message` into the struct at `offset`
    SFL_FIELD_LIST,    // repeated: each is read by `list->message` into the next element
};

struct sfl_schema;

// Where the elements of a repeated field go, and how many there may be. The field's offset is that
// of the first one. An element is cleared when it comes.
struct sfl_field_list {
    const struct sfl_schema *message;
    size_t element_size;
    uint32_t count_max;
    size_t count_offset;  // of the uint32_t that counts them, beside the field's offset
    const char *too_many; // what the fault says
};

struct sfl_field {
    uint32_t number;
    enum sfl_field_type type;
    size_t offset;     // into the struct that is filled
    const char *name;  // as faults say it: the path from the step on
    unsigned choice;   // above 0: member of the oneof, and what the oneof's int is set to
    unsigned enum_max; // ENUM
    const struct sfl_schema *message;
    size_t presence;                   // MESSAGE: above 0, where the bool is that says it was there
    const struct sfl_field_list *list; // LIST
};

struct sfl_schema {
    const char *name; // of the message
    const struct sfl_field *fields;
    size_t field_count;
    // The oneof, if any: an int that is 0 or the choice of the member that is set, and the union
    // that is cleared when another member comes. `union_size` is 0 without a oneof.
    size_t choice_offset;
    size_t union_offset;
    size_t union_size;
};

// The table of a schema's initialiser.
#define SFL_SCHEMA_FIELDS(array)                                                                   \
    .fields = (array), .field_count = sizeof(array) / sizeof((array)[0])

// Fills `into`, which the caller has cleared (but for a union, which is cleared when a member
// comes). Unknown fields are skipped, a field that comes twice counts as protobuf says (the last
// wins, messages are merged). Spans are borrowed from `message`.
//
// False when the bytes are no such message at all: `fault` says so, and `into` is unspecified. True
// otherwise; then `fault` says what is wrong with the first field that may not be as it is, or is
// untouched, and the other fields are filled.
bool sfl_schema_read(const struct sfl_schema *schema, struct sfl_span message, void *into,
                     struct sfl_fault *fault);

#endif
