// SPDX-License-Identifier: Apache-2.0
// grpc.reflection.v1 and v1alpha, which are the same on the wire.
#include "base/status.h"
#include "rpc/schema.h"
#include "rpc/wire_writer.h"
#include "transport/descriptors.h"
#include "transport/transport.h"

#include <assert.h>
#include <stdlib.h>

enum {
    QUESTIONS_MAX = 64,             // that wait for their answers
    QUESTION_BYTES_MAX = 64 * 1024, // each is sent back with its answer
    FILES_MAX = 32,
    SERVICES_BYTES_MAX = 4096,
};

enum question_type {
    QUESTION_NONE,
    QUESTION_FILE,
    QUESTION_SYMBOL,
    QUESTION_EXTENSION,
    QUESTION_EXTENSION_NUMBERS,
    QUESTION_SERVICES,
};

struct extension {
    struct sfl_span type;
    int32_t number;
};

struct question {
    struct sfl_span host;
    int type; // enum question_type
    union {
        struct sfl_span name;
        struct extension extension;
    };
};

#define EXTENSION(member) offsetof(struct extension, member)
static const struct sfl_field extension_fields[] = {
    {1, SFL_FIELD_TEXT, EXTENSION(type), .name = "file_containing_extension.containing_type"},
    {2, SFL_FIELD_I32, EXTENSION(number), .name = "file_containing_extension.extension_number"},
};
static const struct sfl_schema extension_schema = {.name = "ExtensionRequest",
                                                   SFL_SCHEMA_FIELDS(extension_fields)};

#define QUESTION(member) offsetof(struct question, member)
static const struct sfl_field question_fields[] = {
    {1, SFL_FIELD_TEXT, QUESTION(host), .name = "host"},
    {3, SFL_FIELD_TEXT, QUESTION(name), .name = "file_by_filename", .choice = QUESTION_FILE},
    {4, SFL_FIELD_TEXT, QUESTION(name), .name = "file_containing_symbol",
     .choice = QUESTION_SYMBOL},
    {5, SFL_FIELD_MESSAGE, QUESTION(extension), .name = "file_containing_extension",
     .choice = QUESTION_EXTENSION, .message = &extension_schema},
    {6, SFL_FIELD_TEXT, QUESTION(name), .name = "all_extension_numbers_of_type",
     .choice = QUESTION_EXTENSION_NUMBERS},
    {7, SFL_FIELD_TEXT, QUESTION(name), .name = "list_services", .choice = QUESTION_SERVICES},
};
static const struct sfl_schema question_schema = {
    .name = "ServerReflectionRequest",
    SFL_SCHEMA_FIELDS(question_fields),
    .choice_offset = QUESTION(type),
    .union_offset = QUESTION(name),
    .union_size = sizeof(struct question) - QUESTION(name),
};

// A question that waits for its answer, as it came.
struct waiting {
    struct sfl_link link;
    struct sfl_bytes *bytes;
};

struct reflection {
    struct sfl_outbox outbox;
    bool is_over; // the stream's thread alone
    // Under the outbox's lock.
    struct sfl_list waiting;
    unsigned waiting_count;
    bool is_half_closed;
};

static struct reflection *reflection_of(struct sfl_outbox *outbox)
{
    return SFL_CONTAINER_OF(outbox, struct reflection, outbox);
}

// --- answers ---

static void release_nothing(void *owner)
{
    (void)owner;
}

static void put_header(struct sfl_message *message, uint32_t field, uint64_t size)
{
    uint8_t header[16];
    uint8_t *end = sfl_wire_put_length(header, field, size);
    sfl_message_copy(message, header, (size_t)(end - header));
}

static void put_files(struct sfl_message *message, const struct sfl_descriptors *descriptors,
                      size_t file)
{
    bool marks[FILES_MAX] = {false};
    uint64_t size = 0;
    assert(sfl_descriptors_count(descriptors) <= FILES_MAX);
    sfl_descriptors_mark(descriptors, file, marks);
    for (size_t i = 0; i < sfl_descriptors_count(descriptors); i++) {
        if (marks[i])
            size += sfl_wire_bytes_size(sfl_descriptors_bytes(descriptors, i).size);
    }
    put_header(message, 4, size);
    // The file that was asked for comes first.
    for (size_t i = 0; i < sfl_descriptors_count(descriptors); i++) {
        size_t at = i == 0 ? file : i <= file ? i - 1 : i;
        struct sfl_span bytes = sfl_descriptors_bytes(descriptors, at);
        if (!marks[at])
            continue;
        put_header(message, 1, bytes.size);
        sfl_message_refer(message, bytes, release_nothing, NULL);
    }
}

static void put_error(struct sfl_message *message, enum sfl_status status, const char *text)
{
    uint8_t error[256];
    uint8_t *at = sfl_wire_put_number(error, 1, (uint64_t)sfl_status_code(status));
    at = sfl_wire_put_bytes(at, 2, sfl_span_of_text(text));
    put_header(message, 7, (uint64_t)(at - error));
    sfl_message_copy(message, error, (size_t)(at - error));
}

struct services {
    uint8_t *at;
    uint8_t bytes[SERVICES_BYTES_MAX];
};

static void put_service(void *context, const char *name)
{
    struct services *services = context;
    struct sfl_span span = sfl_span_of_text(name);
    uint64_t size = sfl_wire_bytes_size(span.size);
    if (services->at + size + 8 > services->bytes + sizeof(services->bytes))
        return;
    services->at = sfl_wire_put_length(services->at, 1, size);
    services->at = sfl_wire_put_bytes(services->at, 1, span);
}

static void put_services(struct sfl_message *message, const struct sfl_descriptors *descriptors)
{
    struct services services;
    services.at = services.bytes;
    sfl_descriptors_visit_services(descriptors, put_service, &services);
    put_header(message, 6, (uint64_t)(services.at - services.bytes));
    sfl_message_copy(message, services.bytes, (size_t)(services.at - services.bytes));
}

static void put_extension_numbers(struct sfl_message *message,
                                  const struct sfl_descriptors *descriptors, struct sfl_span type)
{
    // None of our messages has extensions. A name that is known is short.
    if (!sfl_descriptors_is_message(descriptors, type)) {
        put_error(message, SFL_NOT_FOUND, "all_extension_numbers_of_type: no such message");
        return;
    }
    put_header(message, 5, sfl_wire_bytes_size(type.size));
    put_header(message, 1, type.size);
    sfl_message_copy(message, type.data, type.size);
}

static void put_answer(struct sfl_message *message, const struct sfl_descriptors *descriptors,
                       const struct question *question)
{
    size_t count = sfl_descriptors_count(descriptors);
    size_t file;
    switch ((enum question_type)question->type) {
    case QUESTION_FILE:
        file = sfl_descriptors_find_file(descriptors, question->name);
        if (file < count)
            put_files(message, descriptors, file);
        else
            put_error(message, SFL_NOT_FOUND, "file_by_filename: no such file");
        return;
    case QUESTION_SYMBOL:
        file = sfl_descriptors_find_symbol(descriptors, question->name);
        if (file < count)
            put_files(message, descriptors, file);
        else
            put_error(message, SFL_NOT_FOUND, "file_containing_symbol: no such symbol");
        return;
    case QUESTION_EXTENSION:
        put_error(message, SFL_NOT_FOUND, "file_containing_extension: no such extension");
        return;
    case QUESTION_EXTENSION_NUMBERS:
        put_extension_numbers(message, descriptors, question->name);
        return;
    case QUESTION_SERVICES:
        put_services(message, descriptors);
        return;
    case QUESTION_NONE:
        put_error(message, SFL_INVALID_ARGUMENT,
                  "message_request: none is set, or one that this server does not know");
        return;
    }
}

static void release_bytes(void *owner)
{
    sfl_bytes_unref(owner);
}

// Adds a field of bytes that are part of the question.
static void put_part(struct sfl_message *message, uint32_t field, struct sfl_span part,
                     struct sfl_bytes *owner)
{
    if (part.size == 0)
        return;
    put_header(message, field, part.size);
    sfl_message_refer(message, part, release_bytes, sfl_bytes_ref(owner));
}

static enum sfl_fill fill(struct sfl_outbox *outbox, struct sfl_message *message)
{
    struct reflection *reflection = reflection_of(outbox);
    sfl_outbox_lock(outbox);
    struct sfl_link *link = sfl_list_pop(&reflection->waiting);
    bool is_done = link == NULL && reflection->is_half_closed;
    if (link != NULL)
        reflection->waiting_count--;
    sfl_outbox_unlock(outbox);
    if (link == NULL)
        return is_done ? SFL_FILL_FINISH : SFL_FILL_NOTHING;

    struct waiting *waiting = SFL_CONTAINER_OF(link, struct waiting, link);
    struct question question = {.type = QUESTION_NONE};
    struct sfl_fault fault = {0};
    enum sfl_fill what = SFL_FILL_SEND;
    if (sfl_schema_read(&question_schema, sfl_bytes_span(waiting->bytes), &question, &fault) &&
        fault.what == NULL) {
        put_part(message, 1, question.host, waiting->bytes);
        put_part(message, 2, sfl_bytes_span(waiting->bytes), waiting->bytes);
        put_answer(message, outbox->transport->descriptors, &question);
    } else {
        char text[SFL_FAULT_TEXT_MAX];
        sfl_fault_text(&fault, text);
        sfl_message_set_status(message, sfl_status_code(SFL_INVALID_ARGUMENT), text);
        what = SFL_FILL_FINISH;
    }
    sfl_bytes_unref(waiting->bytes);
    free(waiting);
    return what;
}

static void free_reflection(struct sfl_outbox *outbox)
{
    struct reflection *reflection = reflection_of(outbox);
    struct sfl_link *link = NULL;
    while ((link = sfl_list_pop(&reflection->waiting)) != NULL) {
        struct waiting *waiting = SFL_CONTAINER_OF(link, struct waiting, link);
        sfl_bytes_unref(waiting->bytes);
        free(waiting);
    }
    free(reflection);
}

static const struct sfl_outbox_ops outbox_ops = {.fill = fill, .free = free_reflection};

// --- questions ---

static bool add(struct reflection *reflection, struct sfl_span message)
{
    struct waiting *waiting = malloc(sizeof(*waiting));
    struct sfl_bytes *bytes = waiting == NULL ? NULL : sfl_bytes_copy(&sfl_heap, message);
    if (bytes == NULL) {
        free(waiting);
        return false;
    }
    waiting->bytes = bytes;
    sfl_outbox_lock(&reflection->outbox);
    bool has_room = reflection->waiting_count < QUESTIONS_MAX;
    if (has_room) {
        reflection->waiting_count++;
        sfl_list_append(&reflection->waiting, &waiting->link);
        sfl_outbox_wake_locked(&reflection->outbox);
    }
    sfl_outbox_unlock(&reflection->outbox);
    if (has_room)
        return true;
    sfl_bytes_unref(bytes);
    free(waiting);
    return false;
}

static void on_message(void *context, struct sfl_span message)
{
    static const struct sfl_fault too_much = {
        NULL, "questions: at most 64 of at most 65536 bytes may wait for their answers"};
    struct reflection *reflection = context;
    if (reflection->is_over)
        return;
    if (message.size <= QUESTION_BYTES_MAX && add(reflection, message))
        return;
    reflection->is_over = true;
    sfl_outbox_end(&reflection->outbox, sfl_status_code(SFL_RESOURCE_EXHAUSTED), &too_much, true);
}

static void on_half_close(void *context)
{
    struct reflection *reflection = context;
    sfl_outbox_lock(&reflection->outbox);
    reflection->is_half_closed = true;
    sfl_outbox_wake_locked(&reflection->outbox);
    sfl_outbox_unlock(&reflection->outbox);
}

static void on_sent(void *context)
{
    struct reflection *reflection = context;
    sfl_outbox_on_sent(&reflection->outbox);
}

static void on_closed(void *context, int code, const char *text)
{
    struct reflection *reflection = context;
    (void)code;
    (void)text;
    sfl_outbox_on_closed(&reflection->outbox);
    sfl_transport_remove_resident(reflection->outbox.transport, &reflection->outbox);
    sfl_outbox_unref(&reflection->outbox);
}

static const struct sfl_stream_events events = {
    .on_message = on_message,
    .on_half_close = on_half_close,
    .on_sent = on_sent,
    .on_closed = on_closed,
};

void sfl_reflection_on_call(void *context, struct sfl_stream *stream,
                            const struct sfl_stream_events **events_out, void **stream_context_out)
{
    struct reflection *reflection = calloc(1, sizeof(*reflection));
    if (reflection == NULL) {
        sfl_transport_refuse_stream(stream, events_out, stream_context_out);
        return;
    }
    sfl_outbox_init(&reflection->outbox, &outbox_ops, context, stream);
    sfl_list_init(&reflection->waiting);
    *events_out = &events;
    *stream_context_out = reflection;
    sfl_transport_add_resident(context, &reflection->outbox);
}
