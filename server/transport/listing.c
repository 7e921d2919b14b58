// SPDX-License-Identifier: Apache-2.0
// Admin.ListFlights: one message for each flight, made in pieces as the client reads.
#include "base/clock.h"
#include "base/status.h"
#include "rpc/wire_writer.h"
#include "transport/decode.h"
#include "transport/transport.h"

#include <stdlib.h>

enum {
    LIMIT_DEFAULT = 1000,
    KEY_PREFIX_MAX = 1024,
    NUMBERS_BYTES_MAX = 160, // of a Flight, beside its spans
};

struct request {
    struct sfl_span group;
    struct sfl_span key_prefix;
    uint32_t limit;
};

#define REQUEST(member) offsetof(struct request, member)
static const struct sfl_field fields[] = {
    {1, SFL_FIELD_TEXT, REQUEST(group), .name = "group"},
    {2, SFL_FIELD_BYTES, REQUEST(key_prefix), .name = "key_prefix"},
    {3, SFL_FIELD_U32, REQUEST(limit), .name = "limit"},
};
static const struct sfl_schema schema = {.name = "ListFlightsRequest", SFL_SCHEMA_FIELDS(fields)};

// One flight that waits to be sent.
struct row {
    struct sfl_link link;
    size_t size;
    uint8_t message[];
};

struct listing {
    struct sfl_outbox outbox;
    bool has_request;
    struct sfl_bytes *group; // of the request, and so is the prefix
    struct sfl_bytes *key_prefix;
    uint32_t left; // how many flights may still be sent
    struct sfl_engine_cursor cursor;
    bool is_at_end;
    bool has_no_memory;
    struct sfl_list rows;
};

static struct listing *listing_of(struct sfl_outbox *outbox)
{
    return SFL_CONTAINER_OF(outbox, struct listing, outbox);
}

// --- out ---

// The Flight.State of a flight; 0 for one that has ended.
static uint64_t wire_state(enum sfl_flight_state state)
{
    switch (state) {
    case SFL_FLIGHT_FINDING_HOME:
        return 1;
    case SFL_FLIGHT_LED:
        return 2;
    case SFL_FLIGHT_ORPHANED:
        return 3;
    case SFL_FLIGHT_RETAINED:
        return 4;
    case SFL_FLIGHT_NEXT:
    case SFL_FLIGHT_SETTLED:
        return 0;
    }
    return 0;
}

// Of a retained one: how it ended, and when.
static uint8_t *put_outcome(uint8_t *at, const struct sfl_flight_view *view)
{
    int32_t code;
    struct sfl_span message;
    sfl_read_texts(view->outcome->texts, &code, &message);
    at = sfl_wire_put_number(at, 13, (uint64_t)view->outcome->kind);
    at = sfl_wire_put_number(at, 14, (uint64_t)(int64_t)code);
    return sfl_wire_put_number(at, 15, sfl_clock_wall_us() / 1000 - view->ended_ms_ago);
}

static struct row *create_row(const struct sfl_flight_view *view)
{
    uint64_t spans = sfl_wire_bytes_size(view->group.size) + sfl_wire_bytes_size(view->key.size) +
                     sfl_wire_bytes_size(view->leader.size);
    struct row *row = malloc(sizeof(*row) + NUMBERS_BYTES_MAX + spans);
    if (row == NULL)
        return NULL;
    uint8_t *at = sfl_wire_put_bytes(row->message, 1, view->group);
    at = sfl_wire_put_bytes(at, 2, view->key);
    at = sfl_wire_put_number(at, 3, wire_state(view->state));
    at = sfl_wire_put_number(at, 4, view->token);
    at = sfl_wire_put_number(at, 5, view->attempt);
    at = sfl_wire_put_bytes(at, 6, view->leader);
    at = sfl_wire_put_number(at, 7, view->callers);
    at = sfl_wire_put_number(at, 8, view->running_ms);
    at = sfl_wire_put_number(at, 9, view->value_bytes);
    at = sfl_wire_put_number(at, 10, view->expires_ms);
    at = sfl_wire_put_number(at, 12, view->forgotten);
    if (view->outcome != NULL)
        at = put_outcome(at, view);
    at = sfl_wire_put_number(at, 16, view->state == SFL_FLIGHT_NEXT);
    at = sfl_wire_put_number(at, 17, view->overdue);
    row->size = (size_t)(at - row->message);
    return row;
}

static bool is_wanted(const struct listing *listing, const struct sfl_flight_view *view)
{
    struct sfl_span group = sfl_bytes_span(listing->group);
    return view->state != SFL_FLIGHT_SETTLED &&
           (group.size == 0 || sfl_span_equal(group, view->group)) &&
           sfl_span_starts_with(view->key, sfl_bytes_span(listing->key_prefix));
}

// Under a shard's lock.
static bool visit(void *context, const struct sfl_flight_view *view)
{
    struct listing *listing = context;
    if (!is_wanted(listing, view))
        return true;
    struct row *row = create_row(view);
    if (row == NULL) {
        listing->has_no_memory = true;
        return false;
    }
    sfl_list_append(&listing->rows, &row->link);
    return --listing->left > 0;
}

// Looks for more flights, a piece of the table at a time, until there is one to send. False when
// the turn is over before.
static bool look(struct listing *listing)
{
    struct sfl_engine *engine = listing->outbox.transport->engine;
    while (sfl_list_is_empty(&listing->rows) && !listing->is_at_end) {
        bool has_more = sfl_engine_visit(engine, &listing->cursor, visit, listing);
        listing->is_at_end = !has_more || listing->left == 0 || listing->has_no_memory;
        if (sfl_pump_should_yield())
            break;
    }
    return !sfl_list_is_empty(&listing->rows) || listing->is_at_end;
}

static enum sfl_fill fill(struct sfl_outbox *outbox, struct sfl_message *message)
{
    struct listing *listing = listing_of(outbox);
    sfl_outbox_lock(outbox);
    bool has_request = listing->has_request;
    sfl_outbox_unlock(outbox);
    if (!has_request)
        return SFL_FILL_NOTHING;
    if (!look(listing))
        return SFL_FILL_LATER;
    struct sfl_link *link = sfl_list_pop(&listing->rows);
    if (link == NULL) {
        if (listing->has_no_memory)
            sfl_message_set_status(message, sfl_status_code(SFL_NO_MEMORY),
                                   sfl_status_text(SFL_NO_MEMORY));
        return SFL_FILL_FINISH;
    }
    struct row *row = SFL_CONTAINER_OF(link, struct row, link);
    sfl_message_refer(message, sfl_span_of(row->message, row->size), free, row);
    return SFL_FILL_SEND;
}

static void free_listing(struct sfl_outbox *outbox)
{
    struct listing *listing = listing_of(outbox);
    struct sfl_link *link = NULL;
    while ((link = sfl_list_pop(&listing->rows)) != NULL)
        free(SFL_CONTAINER_OF(link, struct row, link));
    sfl_bytes_unref(listing->group);
    sfl_bytes_unref(listing->key_prefix);
    free(listing);
}

static const struct sfl_outbox_ops outbox_ops = {.fill = fill, .free = free_listing};

// --- in ---

static void refuse(struct listing *listing, enum sfl_status status, const struct sfl_fault *fault)
{
    sfl_outbox_end(&listing->outbox, sfl_status_code(status), fault, true);
}

static bool check(const struct listing *listing, const struct request *request,
                  struct sfl_fault *fault)
{
    struct sfl_refusal refusal = sfl_limits_check_key(listing->outbox.transport->limits,
                                                      request->group, sfl_span_of_text("any"));
    if (refusal.reason != SFL_REASON_NONE)
        *fault = (struct sfl_fault){"group", "is no name that a group can have"};
    else if (request->key_prefix.size > KEY_PREFIX_MAX)
        *fault = (struct sfl_fault){"key_prefix", "is longer than 1024 bytes"};
    return fault->what == NULL;
}

static void on_message(void *context, struct sfl_span message)
{
    struct listing *listing = context;
    struct request request = {.limit = 0};
    struct sfl_fault fault = {0};
    if (listing->has_request)
        return;
    if (!sfl_schema_read(&schema, message, &request, &fault) || fault.what != NULL ||
        !check(listing, &request, &fault)) {
        refuse(listing, SFL_INVALID_ARGUMENT, &fault);
        return;
    }
    listing->group = sfl_bytes_copy(&sfl_heap, request.group);
    listing->key_prefix = sfl_bytes_copy(&sfl_heap, request.key_prefix);
    if (listing->group == NULL || listing->key_prefix == NULL) {
        fault = (struct sfl_fault){NULL, sfl_status_text(SFL_NO_MEMORY)};
        refuse(listing, SFL_NO_MEMORY, &fault);
        return;
    }
    listing->left = request.limit == 0 ? LIMIT_DEFAULT : request.limit;
    sfl_outbox_lock(&listing->outbox);
    listing->has_request = true;
    sfl_outbox_wake_locked(&listing->outbox);
    sfl_outbox_unlock(&listing->outbox);
}

static void on_half_close(void *context)
{
    static const struct sfl_fault no_request = {NULL, "the request is missing"};
    struct listing *listing = context;
    if (!listing->has_request)
        refuse(listing, SFL_INVALID_ARGUMENT, &no_request);
}

static void on_sent(void *context)
{
    struct listing *listing = context;
    sfl_outbox_on_sent(&listing->outbox);
}

static void on_closed(void *context, int code, const char *text)
{
    struct listing *listing = context;
    (void)code;
    (void)text;
    sfl_outbox_on_closed(&listing->outbox);
    sfl_outbox_unref(&listing->outbox);
}

static const struct sfl_stream_events events = {
    .on_message = on_message,
    .on_half_close = on_half_close,
    .on_sent = on_sent,
    .on_closed = on_closed,
};

void sfl_list_flights_on_call(void *context, struct sfl_stream *stream,
                              const struct sfl_stream_events **events_out,
                              void **stream_context_out)
{
    struct listing *listing = calloc(1, sizeof(*listing));
    if (listing == NULL) {
        sfl_transport_refuse_stream(stream, events_out, stream_context_out);
        return;
    }
    sfl_outbox_init(&listing->outbox, &outbox_ops, context, stream);
    sfl_list_init(&listing->rows);
    *events_out = &events;
    *stream_context_out = listing;
}
