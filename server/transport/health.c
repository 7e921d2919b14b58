// SPDX-License-Identifier: Apache-2.0
// grpc.health.v1.Health.
#include "base/status.h"
#include "rpc/wire_writer.h"
#include "transport/service.h"
#include "transport/unary.h"

#include <stdlib.h>

enum serving_status {
    SERVING = 1,
    NOT_SERVING = 2,
    SERVICE_UNKNOWN = 3,
};

struct request {
    struct sfl_span service;
};

static const struct sfl_field fields[] = {
    {1, SFL_FIELD_TEXT, offsetof(struct request, service), .name = "service"},
};
static const struct sfl_schema schema = {.name = "HealthCheckRequest", SFL_SCHEMA_FIELDS(fields)};

// The services whose health is told; "" is the server as a whole. The store is there with a data
// directory alone, and its trouble is no trouble of the others: flights go on without it.
enum service { SERVER, SINGLE_FLIGHT, ADMIN, STORE, SERVICES };
static const char *const services[SERVICES] = {"", "singleflight.v1.SingleFlight",
                                               "singleflight.v1.Admin", "store"};

// Reads a request; `service_out` is SERVICES when it names none of ours.
static bool read_request(struct sfl_span message, enum service *service_out,
                         struct sfl_fault *fault)
{
    struct request request = {.service = {NULL, 0}};
    if (!sfl_schema_read(&schema, message, &request, fault) || fault->what != NULL)
        return false;
    unsigned i = 0;
    while (i < SERVICES && !sfl_span_equal(request.service, sfl_span_of_text(services[i])))
        i++;
    *service_out = (enum service)i;
    return true;
}

static enum serving_status status_of(struct sfl_transport *transport, enum service service)
{
    if (service == SERVICES || (service == STORE && !sfl_engine_keeps(transport->engine)))
        return SERVICE_UNKNOWN;
    if (service == STORE && sfl_engine_keeper_state(transport->engine).failing)
        return NOT_SERVING;
    return sfl_transport_is_draining(transport) ? NOT_SERVING : SERVING;
}

// --- Check ---

static void handle_check(struct sfl_transport *transport, struct sfl_admit *admit,
                         struct sfl_span message, struct sfl_answer *answer)
{
    (void)admit;
    struct sfl_fault fault = {0};
    enum service service = SERVICES;
    if (!read_request(message, &service, &fault)) {
        sfl_answer_fault(answer, &fault);
        return;
    }
    enum serving_status status = status_of(transport, service);
    if (status == SERVICE_UNKNOWN) {
        fault = (struct sfl_fault){"service", "there is none of this name here"};
        sfl_answer_fault(answer, &fault);
        answer->code = sfl_status_code(SFL_NOT_FOUND);
        return;
    }
    uint8_t *at = sfl_wire_put_number(answer->message, 1, status);
    answer->size = (size_t)(at - answer->message);
}

void sfl_health_check_on_call(void *context, struct sfl_stream *stream,
                              const struct sfl_stream_events **events_out,
                              void **stream_context_out)
{
    sfl_unary_serve(context, handle_check, false, stream, events_out, stream_context_out);
}

// --- Watch ---

struct watch {
    struct sfl_outbox outbox;
    // Under the outbox's lock.
    bool has_request;
    enum service service;
    // The sender's alone.
    unsigned told; // the status that was sent last; 0 for none
};

static struct watch *watch_of(struct sfl_outbox *outbox)
{
    return SFL_CONTAINER_OF(outbox, struct watch, outbox);
}

static enum sfl_fill fill(struct sfl_outbox *outbox, struct sfl_message *message)
{
    struct watch *watch = watch_of(outbox);
    sfl_outbox_lock(outbox);
    bool has_request = watch->has_request;
    enum service service = watch->service;
    sfl_outbox_unlock(outbox);
    unsigned status = status_of(outbox->transport, service);
    if (!has_request || status == watch->told)
        return SFL_FILL_NOTHING;
    uint8_t field[16];
    uint8_t *end = sfl_wire_put_number(field, 1, status);
    sfl_message_copy(message, field, (size_t)(end - field));
    watch->told = status;
    return SFL_FILL_SEND;
}

static void free_watch(struct sfl_outbox *outbox)
{
    free(watch_of(outbox));
}

static const struct sfl_outbox_ops outbox_ops = {.fill = fill, .free = free_watch};

static void refuse(struct watch *watch, const struct sfl_fault *fault)
{
    sfl_outbox_end(&watch->outbox, sfl_status_code(SFL_INVALID_ARGUMENT), fault, true);
}

static void on_message(void *context, struct sfl_span message)
{
    struct watch *watch = context;
    struct sfl_fault fault = {0};
    enum service service = SERVICES;
    if (watch->has_request)
        return;
    if (!read_request(message, &service, &fault)) {
        refuse(watch, &fault);
        return;
    }
    sfl_outbox_lock(&watch->outbox);
    watch->has_request = true;
    watch->service = service;
    sfl_outbox_wake_locked(&watch->outbox);
    sfl_outbox_unlock(&watch->outbox);
}

static void on_half_close(void *context)
{
    static const struct sfl_fault no_request = {NULL, "the request is missing"};
    struct watch *watch = context;
    if (!watch->has_request)
        refuse(watch, &no_request);
}

static void on_sent(void *context)
{
    struct watch *watch = context;
    sfl_outbox_on_sent(&watch->outbox);
}

static void on_closed(void *context, int code, const char *text)
{
    struct watch *watch = context;
    (void)code;
    (void)text;
    sfl_outbox_on_closed(&watch->outbox);
    sfl_transport_remove_resident(watch->outbox.transport, &watch->outbox);
    sfl_outbox_unref(&watch->outbox);
}

static const struct sfl_stream_events events = {
    .on_message = on_message,
    .on_half_close = on_half_close,
    .on_sent = on_sent,
    .on_closed = on_closed,
};

void sfl_health_watch_on_call(void *context, struct sfl_stream *stream,
                              const struct sfl_stream_events **events_out,
                              void **stream_context_out)
{
    struct watch *watch = calloc(1, sizeof(*watch));
    if (watch == NULL) {
        sfl_transport_refuse_stream(stream, events_out, stream_context_out);
        return;
    }
    sfl_outbox_init(&watch->outbox, &outbox_ops, context, stream);
    *events_out = &events;
    *stream_context_out = watch;
    sfl_transport_add_resident(context, &watch->outbox);
}
