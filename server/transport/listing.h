// SPDX-License-Identifier: Apache-2.0
// What the listings of Admin have in common: a request that selects by group and key, and a stream
// of rows that are made in pieces as the client reads. Which rows there are, and what their
// messages say, list_flights.c and list_runs.c know.
#ifndef SFL_TRANSPORT_LISTING_H
#define SFL_TRANSPORT_LISTING_H

#include "transport/admit.h"
#include "transport/decode.h"
#include "transport/transport.h"

struct sfl_listing;

// What a request may hold; the schema says which of it a client can send.
struct sfl_listing_request {
    struct sfl_span group;
    struct sfl_span key_prefix;
    uint32_t limit;
    uint64_t since_unix_ms;
};
#define SFL_LISTING_REQUEST(member) offsetof(struct sfl_listing_request, member)

// One row that waits to be sent. Stands first in an allocation of malloc(), which holds the
// message, too.
struct sfl_listing_row {
    struct sfl_link link;
    uint8_t *message;
    size_t size;
};

struct sfl_listing_ops {
    const struct sfl_schema *schema; // of a struct sfl_listing_request
    // Looks at the next piece: calls sfl_listing_wants() and sfl_listing_add() for what is in it.
    // False when there is no more.
    bool (*look)(struct sfl_listing *listing);
    // Adds to a message what only the moment of sending knows. NULL: nothing.
    void (*complete)(const struct sfl_listing *listing, struct sfl_listing_row *row);
};

struct sfl_listing {
    struct sfl_outbox outbox;
    const struct sfl_listing_ops *ops;
    struct sfl_admit admit;
    bool has_request;
    struct sfl_bytes *group; // of the request, and so are the next two
    struct sfl_bytes *key_prefix;
    uint64_t since_unix_ms;
    uint32_t left; // how many rows may still be sent
    union {        // where `ops` is at; starts as {0}
        struct sfl_engine_cursor flights;
        struct sfl_runs_cursor runs;
    } cursor;
    bool is_at_end;
    bool has_no_memory;
    struct sfl_list rows;
};

// Whether the request asks for what is of that group and key, and whoever asks may see it.
bool sfl_listing_wants(const struct sfl_listing *listing, struct sfl_span group,
                       struct sfl_span key);

// Takes over a row; NULL: there was no memory for it. False when no more are to be looked for.
bool sfl_listing_add(struct sfl_listing *listing, struct sfl_listing_row *row);

// As an on_call of transport.h. `ops` must stay.
void sfl_listing_on_call(const struct sfl_listing_ops *ops, void *context,
                         struct sfl_stream *stream, const struct sfl_stream_events **events_out,
                         void **stream_context_out);

#endif
