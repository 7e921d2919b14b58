// SPDX-License-Identifier: Apache-2.0
// Admin.ListRuns: one message for each flight that has ended, the newest first.
#include "rpc/wire_writer.h"
#include "transport/listing.h"

#include <stdlib.h>

enum { NUMBERS_BYTES_MAX = 160 }; // of a Run, beside its spans

static const struct sfl_field fields[] = {
    {1, SFL_FIELD_TEXT, SFL_LISTING_REQUEST(group), .name = "group"},
    {2, SFL_FIELD_BYTES, SFL_LISTING_REQUEST(key_prefix), .name = "key_prefix"},
    {3, SFL_FIELD_U32, SFL_LISTING_REQUEST(limit), .name = "limit"},
    {4, SFL_FIELD_U64, SFL_LISTING_REQUEST(since_unix_ms), .name = "since_unix_ms"},
};
static const struct sfl_schema schema = {.name = "ListRunsRequest", SFL_SCHEMA_FIELDS(fields)};

// Its message begins with group and key.
struct run_row {
    struct sfl_listing_row row; // first
    struct sfl_span group;      // of the message
    struct sfl_span key;
    uint64_t token;
    uint64_t hits; // until the retained outcome was gone
    uint8_t bytes[];
};

static struct sfl_listing_row *create_row(const struct sfl_run *run)
{
    uint64_t spans = sfl_wire_bytes_size(run->group.size) + sfl_wire_bytes_size(run->key.size) +
                     sfl_wire_bytes_size(run->leader.size) + sfl_wire_bytes_size(run->message.size);
    struct run_row *row = malloc(sizeof(*row) + NUMBERS_BYTES_MAX + spans);
    if (row == NULL)
        return NULL;
    row->row.message = row->bytes;
    uint8_t *at = sfl_wire_put_bytes(row->bytes, 1, run->group);
    row->group = sfl_span_of(at - run->group.size, run->group.size);
    at = sfl_wire_put_bytes(at, 2, run->key);
    row->key = sfl_span_of(at - run->key.size, run->key.size);
    at = sfl_wire_put_bytes(at, 3, run->leader);
    at = sfl_wire_put_number(at, 4, run->token);
    at = sfl_wire_put_number(at, 5, run->attempts);
    at = sfl_wire_put_number(at, 6, run->begun_unix_ms);
    at = sfl_wire_put_number(at, 7, run->led_unix_ms);
    at = sfl_wire_put_number(at, 8, run->ended_unix_ms);
    at = sfl_wire_put_number(at, 9, (uint64_t)run->kind);
    at = sfl_wire_put_number(at, 10, (uint64_t)(int64_t)run->code);
    at = sfl_wire_put_bytes(at, 11, run->message);
    at = sfl_wire_put_number(at, 12, run->callers);
    at = sfl_wire_put_number(at, 13, run->value_bytes);
    row->row.size = (size_t)(at - row->bytes);
    row->token = run->token;
    row->hits = run->retained_hits;
    return &row->row;
}

// Under the lock of the runs.
static bool visit(void *context, const struct sfl_run *run)
{
    struct sfl_listing *listing = context;
    bool is_wanted = run->ended_unix_ms > listing->since_unix_ms &&
                     sfl_listing_wants(listing, run->group, run->key);
    return !is_wanted || sfl_listing_add(listing, create_row(run));
}

static bool look(struct sfl_listing *listing)
{
    struct sfl_runs *runs = listing->outbox.transport->runs;
    return runs != NULL && sfl_runs_visit(runs, &listing->cursor.runs, visit, listing);
}

// While the outcome is still retained, its flight counts the hits.
static void add_hits(const struct sfl_listing *listing, struct sfl_listing_row *row)
{
    const struct run_row *of_run = SFL_CONTAINER_OF(row, struct run_row, row);
    uint64_t hits = of_run->hits + sfl_engine_hits(listing->outbox.transport->engine, of_run->group,
                                                   of_run->key, of_run->token);
    uint8_t *at = sfl_wire_put_number(row->message + row->size, 14, hits);
    row->size = (size_t)(at - row->message);
}

static const struct sfl_listing_ops ops = {.schema = &schema, .look = look, .complete = add_hits};

void sfl_list_runs_on_call(void *context, struct sfl_stream *stream,
                           const struct sfl_stream_events **events_out, void **stream_context_out)
{
    sfl_listing_on_call(&ops, context, stream, events_out, stream_context_out);
}
