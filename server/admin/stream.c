// SPDX-License-Identifier: Apache-2.0
// /api/v1/events: what runs, told whenever it changes (server-sent events).
//
// A stream holds one message that is on its way, and beside it the newest of what it has to tell: a
// reader that is slow misses what lay between. Its connection is suspended while there is nothing.
#include "admin/answer.h"
#include "admin/json.h"
#include "admin/routes.h"
#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

enum {
    READ_TIMEOUT_S = 30, // a reader that takes nothing for so long is gone
    HEARTBEAT_TICKS = 10,
    BLOCK_BYTES = 32768,
};

struct stream {
    struct sfl_link link; // in admin->streams
    struct sfl_admin *admin;
    struct MHD_Connection *connection;
    struct sfl_viewer viewer;
    struct sfl_query *query;
    bool is_suspended;
    bool is_over; // its rights are gone
    // What is looked at now.
    struct sfl_look look;
    bool is_looking;
    struct sfl_flights_window flights;
    struct sfl_runs_window runs;
    // What is to be told: texts are JSON of malloc(), NULL when there is nothing new.
    bool has_status;
    char *new_flights;
    char *new_runs;
    uint64_t flights_mark; // of what was told last
    uint64_t runs_mark;
    uint64_t points_told; // up to this number
    bool has_told_history;
    unsigned ticks;
    // What is on its way.
    char *bytes;
    size_t size;
    size_t capacity;
    size_t sent;
};

// --- the message ---

static void put(struct stream *stream, const char *text)
{
    size_t size = strlen(text);
    if (stream->capacity - stream->size < size) {
        size_t capacity = (stream->size + size) * 2;
        char *bytes = realloc(stream->bytes, capacity);
        if (bytes == NULL) { // without memory it ends, and its reader comes back
            stream->is_over = true;
            return;
        }
        stream->bytes = bytes;
        stream->capacity = capacity;
    }
    memcpy(stream->bytes + stream->size, text, size);
    stream->size += size;
}

// Takes `json`; NULL: there was no memory for it.
static void put_event(struct stream *stream, const char *name, char *json)
{
    if (json == NULL) {
        stream->is_over = true;
        return;
    }
    put(stream, "event: ");
    put(stream, name);
    put(stream, "\ndata: ");
    put(stream, json);
    put(stream, "\n\n");
    free(json);
}

// The points that are new; when they are many, all of them from the beginning.
static void put_history(struct stream *stream)
{
    const struct sfl_history *history = &stream->admin->sampler.history;
    uint64_t new_points = history->added - stream->points_told;
    if (!stream->has_told_history || new_points > 1)
        put_event(stream, "history", sfl_json_history(history, sfl_clock_wall_us() / 1000));
    else if (new_points == 1)
        put_event(stream, "point",
                  sfl_json_point(sfl_history_at(history, sfl_history_count(history) - 1)));
    stream->has_told_history = true;
    stream->points_told = history->added;
}

// Puts together what is new, if anything is.
static void compose(struct stream *stream)
{
    struct sfl_admin *admin = stream->admin;
    stream->size = 0;
    stream->sent = 0;
    if (stream->has_status) {
        put_event(stream, "status", sfl_api_status(admin, &admin->sampler.counts, &stream->viewer));
        stream->has_status = false;
        put_history(stream);
        if (stream->ticks % HEARTBEAT_TICKS == 0)
            put(stream, ": alive\n\n");
    }
    if (stream->new_flights != NULL)
        put_event(stream, "flights", stream->new_flights);
    if (stream->new_runs != NULL)
        put_event(stream, "runs", stream->new_runs);
    stream->new_flights = NULL;
    stream->new_runs = NULL;
}

static ssize_t on_read(void *context, uint64_t position, char *bytes, size_t size)
{
    struct stream *stream = context;
    (void)position;
    if (stream->sent == stream->size && !stream->is_over)
        compose(stream);
    size_t left = stream->size - stream->sent;
    if (left == 0 && stream->is_over)
        return MHD_CONTENT_READER_END_OF_STREAM;
    if (left == 0) {
        stream->is_suspended = true;
        MHD_suspend_connection(stream->connection);
        return 0;
    }
    if (left > size)
        left = size;
    memcpy(bytes, stream->bytes + stream->sent, left);
    stream->sent += left;
    return (ssize_t)left;
}

static void resume(struct stream *stream)
{
    if (!stream->is_suspended)
        return;
    stream->is_suspended = false;
    MHD_resume_connection(stream->connection);
    sfl_admin_kick(stream->admin);
}

// --- looking ---

static void on_looked(struct sfl_look *look)
{
    struct stream *stream = SFL_CONTAINER_OF(look, struct stream, look);
    uint64_t now_ms = sfl_clock_wall_us() / 1000;
    uint64_t flights_mark = sfl_flights_window_mark(&stream->flights, now_ms);
    uint64_t runs_mark = sfl_runs_window_mark(&stream->runs);
    stream->is_looking = false;
    if (flights_mark != stream->flights_mark) {
        free(stream->new_flights);
        stream->new_flights = sfl_json_flights(&stream->flights, &stream->viewer);
        stream->flights_mark = flights_mark;
    }
    if (runs_mark != stream->runs_mark) {
        free(stream->new_runs);
        stream->new_runs = sfl_json_runs(&stream->runs);
        stream->runs_mark = runs_mark;
    }
    sfl_flights_window_deinit(&stream->flights);
    sfl_runs_window_deinit(&stream->runs);
    resume(stream);
}

static void begin_look(struct stream *stream)
{
    if (stream->is_looking)
        return;
    stream->is_looking = true;
    sfl_walk_add(&stream->admin->walk, &stream->look);
}

void sfl_streams_tick(struct sfl_admin *admin)
{
    struct sfl_link *next;
    for (struct sfl_link *link = sfl_list_first(&admin->streams); link != NULL; link = next) {
        struct stream *stream = SFL_CONTAINER_OF(link, struct stream, link);
        next = sfl_list_next(&admin->streams, link);
        if (!sfl_viewer_renew(&stream->viewer))
            stream->is_over = true;
        stream->ticks++;
        stream->has_status = true;
        if (!stream->is_over)
            begin_look(stream);
        resume(stream);
    }
}

// --- life ---

static void on_closed(void *context)
{
    struct stream *stream = context;
    sfl_walk_cancel(&stream->look);
    sfl_link_remove(&stream->link);
    sfl_flights_window_deinit(&stream->flights);
    sfl_runs_window_deinit(&stream->runs);
    sfl_viewer_deinit(&stream->viewer);
    free(stream->query);
    free(stream->new_flights);
    free(stream->new_runs);
    free(stream->bytes);
    free(stream);
}

// Takes the request's viewer and query.
static struct stream *create(struct sfl_request *request)
{
    struct stream *stream = calloc(1, sizeof(*stream));
    if (stream == NULL)
        return NULL;
    stream->admin = request->admin;
    stream->connection = request->connection;
    stream->viewer = request->viewer;
    stream->query = request->query;
    request->viewer = (struct sfl_viewer){.identity = NULL};
    request->query = NULL;
    sfl_flights_window_init(&stream->flights, stream->query, &stream->admin->window_bytes);
    sfl_runs_window_init(&stream->runs, stream->query, &stream->admin->window_bytes);
    stream->look = (struct sfl_look){
        .viewer = &stream->viewer,
        .flights = &stream->flights,
        .runs = &stream->runs,
        .on_done = on_looked,
    };
    stream->has_status = true;
    sfl_list_append(&stream->admin->streams, &stream->link);
    return stream;
}

enum MHD_Result sfl_answer_events(struct sfl_request *request)
{
    enum MHD_Result result;
    if (!sfl_request_open_viewer(request, &result) ||
        !sfl_request_read_query(request, SFL_QUERY_EVENTS, &result))
        return result;
    if (request->admin->connections.streams >= SFL_STREAMS_MAX)
        return sfl_answer_error(request->connection, MHD_HTTP_TOO_MANY_REQUESTS,
                                "16 pages are being shown already");
    if (!sfl_request_may_stream(request))
        return sfl_answer_error(request->connection, MHD_HTTP_TOO_MANY_REQUESTS,
                                "this address is shown 6 pages already");
    struct stream *stream = create(request);
    if (stream == NULL)
        return MHD_NO;
    struct MHD_Response *response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_BYTES,
                                                                      on_read, stream, on_closed);
    if (response == NULL) {
        on_closed(stream);
        return MHD_NO;
    }
    sfl_request_become_stream(request);
    MHD_set_connection_option(request->connection, MHD_CONNECTION_OPTION_TIMEOUT,
                              (unsigned)READ_TIMEOUT_S);
    begin_look(stream);
    return sfl_answer_response(request->connection, MHD_HTTP_OK, "text/event-stream; charset=utf-8",
                               response);
}

void sfl_streams_wake(struct sfl_admin *admin)
{
    for (struct sfl_link *link = admin->streams.head.next; link != &admin->streams.head;
         link = link->next) {
        struct stream *stream = SFL_CONTAINER_OF(link, struct stream, link);
        stream->is_over = true;
        resume(stream);
    }
}
