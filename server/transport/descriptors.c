// SPDX-License-Identifier: Apache-2.0
#include "transport/descriptors.h"

#include "google/protobuf/descriptor.pb-c.h"
#include "proto/descriptors.h"
#include "rpc/wire_reader.h"

#include <stdio.h>
#include <stdlib.h>

typedef Google__Protobuf__FileDescriptorProto file_proto;
typedef Google__Protobuf__DescriptorProto message_proto;
typedef Google__Protobuf__EnumDescriptorProto enum_proto;
typedef Google__Protobuf__FieldDescriptorProto field_proto;

struct file {
    struct sfl_span bytes;
    file_proto *proto;
};

struct sfl_descriptors {
    size_t count;
    struct file files[];
};

static size_t count_files(void)
{
    struct sfl_span rest = sfl_span_of(sfl_descriptor_set, sfl_descriptor_set_size);
    struct sfl_wire_field field;
    size_t count = 0;
    while (rest.size > 0 && sfl_wire_next(&rest, &field))
        count++;
    return count;
}

enum sfl_status sfl_descriptors_create(struct sfl_descriptors **descriptors_out)
{
    size_t count = count_files();
    struct sfl_descriptors *descriptors =
        calloc(1, sizeof(*descriptors) + count * sizeof(descriptors->files[0]));
    if (descriptors == NULL)
        return SFL_NO_MEMORY;
    struct sfl_span rest = sfl_span_of(sfl_descriptor_set, sfl_descriptor_set_size);
    for (; descriptors->count < count; descriptors->count++) {
        struct file *file = &descriptors->files[descriptors->count];
        struct sfl_wire_field field;
        if (sfl_wire_next(&rest, &field) && field.type == SFL_WIRE_TYPE_BYTES)
            file->proto = google__protobuf__file_descriptor_proto__unpack(NULL, field.bytes.size,
                                                                          field.bytes.data);
        if (file->proto == NULL) {
            sfl_descriptors_destroy(descriptors);
            return SFL_NO_MEMORY;
        }
        file->bytes = field.bytes;
    }
    *descriptors_out = descriptors;
    return SFL_OK;
}

void sfl_descriptors_destroy(struct sfl_descriptors *descriptors)
{
    for (size_t i = 0; i < descriptors->count; i++)
        google__protobuf__file_descriptor_proto__free_unpacked(descriptors->files[i].proto, NULL);
    free(descriptors);
}

size_t sfl_descriptors_count(const struct sfl_descriptors *descriptors)
{
    return descriptors->count;
}

struct sfl_span sfl_descriptors_bytes(const struct sfl_descriptors *descriptors, size_t file)
{
    return descriptors->files[file].bytes;
}

size_t sfl_descriptors_find_file(const struct sfl_descriptors *descriptors, struct sfl_span name)
{
    size_t i = 0;
    while (i < descriptors->count &&
           !sfl_span_equal(name, sfl_span_of_text(descriptors->files[i].proto->name)))
        i++;
    return i;
}

// --- names ---

static bool is_name(struct sfl_span symbol, const char *name)
{
    return sfl_span_equal(symbol, sfl_span_of_text(name));
}

// Takes "name." off the front of the symbol. False when it does not begin so.
static bool enter(struct sfl_span symbol, const char *name, struct sfl_span *rest_out)
{
    size_t size = strlen(name);
    if (symbol.size <= size || memcmp(symbol.data, name, size) != 0 || symbol.data[size] != '.')
        return false;
    *rest_out = sfl_span_of(symbol.data + size + 1, symbol.size - size - 1);
    return true;
}

static bool enums_declare(enum_proto *const *enums, size_t count, struct sfl_span symbol)
{
    for (size_t i = 0; i < count; i++) {
        if (is_name(symbol, enums[i]->name))
            return true;
        // In protobuf, values are siblings of their enum.
        for (size_t j = 0; j < enums[i]->n_value; j++) {
            if (is_name(symbol, enums[i]->value[j]->name))
                return true;
        }
    }
    return false;
}

static bool fields_declare(field_proto *const *fields, size_t count, struct sfl_span symbol)
{
    for (size_t i = 0; i < count; i++) {
        if (is_name(symbol, fields[i]->name))
            return true;
    }
    return false;
}

static bool message_declares(const message_proto *message, struct sfl_span symbol)
{
    struct sfl_span rest;
    if (is_name(symbol, message->name))
        return true;
    if (!enter(symbol, message->name, &rest))
        return false;
    for (size_t i = 0; i < message->n_nested_type; i++) {
        if (message_declares(message->nested_type[i], rest))
            return true;
    }
    for (size_t i = 0; i < message->n_oneof_decl; i++) {
        if (is_name(rest, message->oneof_decl[i]->name))
            return true;
    }
    return fields_declare(message->field, message->n_field, rest) ||
           fields_declare(message->extension, message->n_extension, rest) ||
           enums_declare(message->enum_type, message->n_enum_type, rest);
}

static bool service_declares(const Google__Protobuf__ServiceDescriptorProto *service,
                             struct sfl_span symbol)
{
    struct sfl_span rest;
    if (is_name(symbol, service->name))
        return true;
    if (!enter(symbol, service->name, &rest))
        return false;
    for (size_t i = 0; i < service->n_method; i++) {
        if (is_name(rest, service->method[i]->name))
            return true;
    }
    return false;
}

// The symbol without the file's package. False when it is of another package.
static bool enter_package(const file_proto *file, struct sfl_span symbol, struct sfl_span *rest_out)
{
    if (symbol.size > 0 && symbol.data[0] == '.')
        symbol = sfl_span_of(symbol.data + 1, symbol.size - 1);
    if (file->package != NULL && file->package[0] != '\0')
        return enter(symbol, file->package, rest_out);
    *rest_out = symbol;
    return true;
}

static bool file_declares(const file_proto *file, struct sfl_span symbol)
{
    struct sfl_span rest;
    if (!enter_package(file, symbol, &rest))
        return false;
    for (size_t i = 0; i < file->n_message_type; i++) {
        if (message_declares(file->message_type[i], rest))
            return true;
    }
    for (size_t i = 0; i < file->n_service; i++) {
        if (service_declares(file->service[i], rest))
            return true;
    }
    return enums_declare(file->enum_type, file->n_enum_type, rest) ||
           fields_declare(file->extension, file->n_extension, rest);
}

size_t sfl_descriptors_find_symbol(const struct sfl_descriptors *descriptors,
                                   struct sfl_span symbol)
{
    size_t i = 0;
    while (i < descriptors->count && !file_declares(descriptors->files[i].proto, symbol))
        i++;
    return i;
}

static bool is_message(const message_proto *message, struct sfl_span symbol)
{
    struct sfl_span rest;
    if (is_name(symbol, message->name))
        return true;
    if (!enter(symbol, message->name, &rest))
        return false;
    for (size_t i = 0; i < message->n_nested_type; i++) {
        if (is_message(message->nested_type[i], rest))
            return true;
    }
    return false;
}

bool sfl_descriptors_is_message(const struct sfl_descriptors *descriptors, struct sfl_span name)
{
    for (size_t i = 0; i < descriptors->count; i++) {
        const file_proto *file = descriptors->files[i].proto;
        struct sfl_span rest;
        if (!enter_package(file, name, &rest))
            continue;
        for (size_t j = 0; j < file->n_message_type; j++) {
            if (is_message(file->message_type[j], rest))
                return true;
        }
    }
    return false;
}

void sfl_descriptors_mark(const struct sfl_descriptors *descriptors, size_t file, bool *marks)
{
    const file_proto *proto = descriptors->files[file].proto;
    marks[file] = true;
    for (size_t i = 0; i < proto->n_dependency; i++) {
        size_t imported =
            sfl_descriptors_find_file(descriptors, sfl_span_of_text(proto->dependency[i]));
        if (imported < descriptors->count && !marks[imported])
            sfl_descriptors_mark(descriptors, imported, marks);
    }
}

void sfl_descriptors_visit_services(const struct sfl_descriptors *descriptors,
                                    void (*visit)(void *context, const char *name), void *context)
{
    char name[SFL_SERVICE_NAME_MAX];
    for (size_t i = 0; i < descriptors->count; i++) {
        const file_proto *file = descriptors->files[i].proto;
        for (size_t j = 0; j < file->n_service; j++) {
            snprintf(name, sizeof(name), "%s.%s", file->package, file->service[j]->name);
            visit(context, name);
        }
    }
}
