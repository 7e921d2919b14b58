// SPDX-License-Identifier: Apache-2.0
#include "bench/bare/bare.h"

#include <stdlib.h>
#include <string.h>

enum {
    REQUESTS = 16,
    TAIL_BYTES = 64 * 1024,      // answers gather in slices of this size
    MESSAGE_BYTES = 1024 * 1024, // a message is closed when it is so large
    VALUE_COPIED_MAX = 1024,     // a larger value is a slice of its own
    CALL_BITS = 20,              // the low bits of an id are the call's place on its stream
};

// A part of what is to be sent.
struct part {
    grpc_slice slice;
    bool is_open; // the frame goes on in the next part
};

struct session {
    struct bare_server *server;
    grpc_call *call;
    gpr_timespec deadline;
    grpc_metadata_array metadata;
    grpc_byte_buffer *incoming;
    int cancelled;

    struct bare_slot **calls; // the flight of each call, by its place
    size_t calls_capacity;

    struct part *parts;
    size_t part_count;
    size_t part_first;
    size_t part_capacity;
    grpc_slice tail; // frames that are no part yet
    size_t tail_used;
    bool is_sending;
    bool is_over;
    bool is_dirty; // in the list of those that flush
    bool metadata_is_sent;
    struct session *next_dirty;

    struct bare_tag request;
    struct bare_tag close;
    struct bare_tag read;
    struct bare_tag write;
};

static struct session *dirty;

static void session_request(struct bare_server *server);

static void mark_dirty(struct session *session)
{
    if (session->is_dirty || session->is_over)
        return;
    session->is_dirty = true;
    session->next_dirty = dirty;
    dirty = session;
}

static void push_part(struct session *session, grpc_slice slice, bool is_open)
{
    if (session->part_first == session->part_count)
        session->part_first = session->part_count = 0;
    if (session->part_count == session->part_capacity) {
        session->part_capacity = session->part_capacity == 0 ? 16 : session->part_capacity * 2;
        session->parts = realloc(session->parts, session->part_capacity * sizeof *session->parts);
        if (session->parts == NULL)
            abort();
    }
    session->parts[session->part_count++] = (struct part){slice, is_open};
}

// Makes a part of the frames that are in the tail.
static void close_tail(struct session *session, bool is_open)
{
    if (session->tail_used == 0)
        return;
    push_part(session, grpc_slice_sub(session->tail, 0, session->tail_used), is_open);
    grpc_slice_unref(session->tail);
    session->tail_used = 0;
}

// Room for `size` bytes at the end of the tail.
static uint8_t *tail_room(struct session *session, size_t size)
{
    if (session->tail_used != 0 && session->tail_used + size > TAIL_BYTES)
        close_tail(session, false);
    if (session->tail_used == 0)
        session->tail = grpc_slice_malloc_large(TAIL_BYTES);
    return GRPC_SLICE_START_PTR(session->tail) + session->tail_used;
}

// Adds a frame: `size` bytes of its step's body, and the value behind them.
static void put_frame(struct session *session, uint64_t id, enum bench_answer answer,
                      const uint8_t *body, size_t size, grpc_slice value)
{
    size_t value_bytes = GRPC_SLICE_LENGTH(value);
    bool is_copied = value_bytes <= VALUE_COPIED_MAX;
    size_t step = 1 + bench_varint_size(size + value_bytes) + size + value_bytes;
    uint8_t *room = tail_room(session, 2 * BENCH_STEP_MAX + VALUE_COPIED_MAX);
    uint8_t *at = bench_put_length(room, 1, 1 + bench_varint_size(id) + step);
    at = bench_put_number(at, 1, id);
    at = bench_put_length(at, answer + 1U, size + value_bytes);
    memcpy(at, body, size);
    at += size;
    if (is_copied) {
        memcpy(at, GRPC_SLICE_START_PTR(value), value_bytes);
        at += value_bytes;
    }
    session->tail_used += (size_t)(at - room);
    if (!is_copied) {
        close_tail(session, true);
        push_part(session, grpc_slice_ref(value), false);
    }
    mark_dirty(session);
}

// Takes parts, whole frames only, for one message.
static grpc_byte_buffer *take_message(struct session *session)
{
    enum { PARTS = 64 };
    grpc_slice slices[PARTS + 1];
    size_t count = 0;
    size_t bytes = 0;
    bool is_open = false;
    close_tail(session, false);
    while (session->part_first < session->part_count &&
           (is_open || (bytes < MESSAGE_BYTES && count < PARTS))) {
        struct part *part = &session->parts[session->part_first++];
        slices[count++] = part->slice;
        bytes += GRPC_SLICE_LENGTH(part->slice);
        is_open = part->is_open;
    }
    if (count == 0)
        return NULL;
    grpc_byte_buffer *message = grpc_raw_byte_buffer_create(slices, count);
    for (size_t i = 0; i < count; i++)
        grpc_slice_unref(slices[i]);
    return message;
}

static void flush(struct session *session)
{
    if (session->is_sending || session->is_over)
        return;
    grpc_byte_buffer *message = take_message(session);
    if (message == NULL)
        return;
    grpc_op ops[2] = {
        {.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = message},
        {.op = GRPC_OP_SEND_INITIAL_METADATA},
    };
    session->is_sending = true;
    bare_start(session->call, ops, session->metadata_is_sent ? 1 : 2, &session->write);
    session->metadata_is_sent = true;
    grpc_byte_buffer_destroy(message);
}

void bare_session_flush(void)
{
    while (dirty != NULL) {
        struct session *session = dirty;
        dirty = session->next_dirty;
        session->is_dirty = false;
        flush(session);
    }
}

static void on_write(void *owner, bool ok)
{
    struct session *session = owner;
    session->is_sending = false;
    if (!ok)
        session->is_over = true;
    mark_dirty(session);
}

static void on_outcome(struct bare_waiter *waiter, grpc_slice value, uint32_t callers)
{
    uint8_t body[BENCH_STEP_MAX];
    size_t size = bare_put_result(body, false, callers, GRPC_SLICE_LENGTH(value));
    put_frame(waiter->owner, waiter->id, BENCH_RESULT, body, size, value);
}

static struct bare_slot **call_of(struct session *session, uint64_t id)
{
    size_t place = id & ((1U << CALL_BITS) - 1);
    if (place >= session->calls_capacity) {
        size_t capacity = session->calls_capacity == 0 ? 1024 : session->calls_capacity;
        while (capacity <= place)
            capacity *= 2;
        session->calls = realloc(session->calls, capacity * sizeof(struct bare_slot *));
        if (session->calls == NULL)
            abort();
        session->calls_capacity = capacity;
    }
    return &session->calls[place];
}

static void join(struct session *session, uint64_t id, struct bench_reader *reader, uint64_t body)
{
    uint8_t key[BENCH_KEY_BYTES];
    uint8_t answer[BENCH_STEP_MAX];
    if (body < 2 + BENCH_KEY_BYTES)
        abort();
    bench_skip(reader, 2);
    bench_read_bytes(reader, key, sizeof key);
    bench_skip(reader, body - 2 - BENCH_KEY_BYTES);
    struct bare_slot *slot = bare_slot_of(bench_key_number(key));
    *call_of(session, id) = slot;
    if (slot->is_led) {
        bare_slot_wait(slot, &(struct bare_waiter){session, id, on_outcome});
        put_frame(session, id, BENCH_FOLLOW, answer, bare_put_follow(answer), grpc_empty_slice());
        return;
    }
    slot->is_led = true;
    size_t size = bare_put_lead(answer, bare_next_token());
    put_frame(session, id, BENCH_LEAD, answer, size, grpc_empty_slice());
}

static void finish(struct session *session, uint64_t id, struct bench_reader *reader, uint64_t body)
{
    uint8_t answer[BENCH_STEP_MAX];
    struct bare_slot *slot = *call_of(session, id);
    grpc_slice value = bare_read_value(reader, body);
    size_t size = bare_put_result(answer, true, slot->count + 1, 0);
    put_frame(session, id, BENCH_RESULT, answer, size, grpc_empty_slice());
    bare_slot_settle(slot, value);
    grpc_slice_unref(value);
}

static void read_next(struct session *session)
{
    grpc_op op = {.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &session->incoming};
    bare_start(session->call, &op, 1, &session->read);
}

static void on_read(void *owner, bool ok)
{
    struct session *session = owner;
    struct bench_reader reader;
    uint64_t id;
    uint64_t body;
    unsigned step;
    if (!ok || session->incoming == NULL || !bench_reader_init(&reader, session->incoming)) {
        session->is_over = true; // its memory stays; a run has few streams
        return;
    }
    while (bench_read_frame(&reader, &id, &step, &body)) {
        if (step == BENCH_JOIN + 1)
            join(session, id, &reader, body);
        else if (step == BENCH_FINISH + 1)
            finish(session, id, &reader, body);
        else
            bench_skip(&reader, body);
    }
    bench_reader_deinit(&reader);
    grpc_byte_buffer_destroy(session->incoming);
    read_next(session);
}

static void on_close(void *owner, bool ok)
{
    struct session *session = owner;
    (void)ok;
    session->is_over = true;
}

static void on_request(void *owner, bool ok)
{
    struct session *session = owner;
    if (!ok)
        return;
    session_request(session->server);
    grpc_op close = {.op = GRPC_OP_RECV_CLOSE_ON_SERVER,
                     .data.recv_close_on_server.cancelled = &session->cancelled};
    bare_start(session->call, &close, 1, &session->close);
    read_next(session);
}

static void session_request(struct bare_server *server)
{
    struct session *session = calloc(1, sizeof *session);
    if (session == NULL)
        abort();
    session->server = server;
    session->request = (struct bare_tag){on_request, session};
    session->close = (struct bare_tag){on_close, session};
    session->read = (struct bare_tag){on_read, session};
    session->write = (struct bare_tag){on_write, session};
    grpc_metadata_array_init(&session->metadata);
    grpc_call_error error = grpc_server_request_registered_call(
        server->server, server->session_method, &session->call, &session->deadline,
        &session->metadata, NULL, server->queue, server->queue, &session->request);
    if (error != GRPC_CALL_OK)
        abort();
}

void bare_session_listen(struct bare_server *server)
{
    for (unsigned i = 0; i < REQUESTS; i++)
        session_request(server);
}
