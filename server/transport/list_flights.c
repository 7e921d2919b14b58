// SPDX-License-Identifier: Apache-2.0
// Admin.ListFlights: one message for each flight.
#include "base/clock.h"
#include "rpc/wire_writer.h"
#include "transport/listing.h"

#include <stdlib.h>

enum { NUMBERS_BYTES_MAX = 160 }; // of a Flight, beside its spans

static const struct sfl_field fields[] = {
    {1, SFL_FIELD_TEXT, SFL_LISTING_REQUEST(group), .name = "group"},
    {2, SFL_FIELD_BYTES, SFL_LISTING_REQUEST(key_prefix), .name = "key_prefix"},
    {3, SFL_FIELD_U32, SFL_LISTING_REQUEST(limit), .name = "limit"},
};
static const struct sfl_schema schema = {.name = "ListFlightsRequest", SFL_SCHEMA_FIELDS(fields)};

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

static struct sfl_listing_row *create_row(const struct sfl_flight_view *view)
{
    uint64_t spans = sfl_wire_bytes_size(view->group.size) + sfl_wire_bytes_size(view->key.size) +
                     sfl_wire_bytes_size(view->leader.size);
    struct sfl_listing_row *row = malloc(sizeof(*row) + NUMBERS_BYTES_MAX + spans);
    if (row == NULL)
        return NULL;
    row->message = (uint8_t *)(row + 1);
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

// Under a shard's lock.
static bool visit(void *context, const struct sfl_flight_view *view)
{
    struct sfl_listing *listing = context;
    bool is_wanted =
        view->state != SFL_FLIGHT_SETTLED && sfl_listing_wants(listing, view->group, view->key);
    return !is_wanted || sfl_listing_add(listing, create_row(view));
}

static bool look(struct sfl_listing *listing)
{
    return sfl_engine_visit(listing->outbox.transport->engine, &listing->cursor.flights, visit,
                            listing);
}

static const struct sfl_listing_ops ops = {.schema = &schema, .look = look};

void sfl_list_flights_on_call(void *context, struct sfl_stream *stream,
                              const struct sfl_stream_events **events_out,
                              void **stream_context_out)
{
    sfl_listing_on_call(&ops, context, stream, events_out, stream_context_out);
}
