// SPDX-License-Identifier: Apache-2.0
// Many callers on a few Session streams. Frames gather while completions are handled, and leave in
// one message per stream.
#include "bench/frames.h"
#include "bench/load/link.h"

#include <stdlib.h>
#include <string.h>

// The low bits of an id say which call of the stream it is, the high ones make it grow.
enum { PLACE_BITS = 20, OUTBOX_MAX = 3 * 1024 * 1024 };

struct member {
    uint64_t id; // 0: not joined
    uint64_t bytes;
};

struct stream {
    struct load_link *link;
    unsigned index;
    grpc_call *call;
    grpc_metadata_array initial_metadata;
    grpc_metadata_array trailing_metadata;
    grpc_byte_buffer *incoming;
    grpc_status_code code;
    grpc_slice text;
    uint64_t sequence;
    uint8_t *outbox;
    size_t outbox_size;
    size_t outbox_capacity;
    bool is_sending;
    bool is_posting; // a leader of this stream posts a large value
    uint32_t poster;
    uint64_t posted;
    struct load_tag opened;
    struct load_tag read;
    struct load_tag write;
    struct load_tag over;
};

struct session_state {
    struct stream *streams;
    struct member *members;
};

static struct stream *stream_of(struct load_link *link, uint32_t caller)
{
    struct session_state *state = link->state;
    return &state->streams[caller % link->options.streams];
}

// Room for a frame at the end of what gathers. A message must stay under the server's limit, so
// the programs here never let more gather than fits in one.
static void put(struct stream *stream, const void *bytes, size_t size)
{
    size_t needed = stream->outbox_size + size;
    if (needed > OUTBOX_MAX)
        load_die("more than one message has gathered on a stream");
    if (needed > stream->outbox_capacity) {
        stream->outbox_capacity = needed < 64 * 1024 ? 64 * 1024 : needed * 2;
        stream->outbox = realloc(stream->outbox, stream->outbox_capacity);
        if (stream->outbox == NULL)
            load_die("out of memory");
    }
    memcpy(stream->outbox + stream->outbox_size, bytes, size);
    stream->outbox_size = needed;
}

static void stream_flush(struct stream *stream)
{
    if (stream->is_sending || stream->outbox_size == 0)
        return;
    grpc_slice slice =
        grpc_slice_from_copied_buffer((const char *)stream->outbox, stream->outbox_size);
    grpc_byte_buffer *message = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    stream->outbox_size = 0;
    stream->is_sending = true;
    grpc_op op = {.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = message};
    load_start(stream->call, &op, 1, &stream->write);
    grpc_byte_buffer_destroy(message);
}

static void session_flush(struct load_link *link)
{
    struct session_state *state = link->state;
    for (unsigned i = 0; i < link->options.streams; i++)
        stream_flush(&state->streams[i]);
}

static void session_join(struct load_link *link, uint32_t caller, uint32_t key)
{
    struct session_state *state = link->state;
    struct stream *stream = stream_of(link, caller);
    struct member *member = &state->members[caller];
    struct bench_head head;
    member->id = ++stream->sequence << PLACE_BITS | caller / link->options.streams;
    member->bytes = 0;
    bench_session_head(&head, member->id,
                       &(struct bench_what){.step = BENCH_JOIN,
                                            .number = key,
                                            .retain_ms = link->options.retain_ms});
    put(stream, head.bytes, head.size);
}

static void put_value(struct stream *stream, enum bench_step step, uint64_t id, uint32_t sequence,
                      size_t size)
{
    struct bench_head head;
    struct bench_head tail;
    bench_session_head(&head, id, &(struct bench_what){step, sequence, size, 0});
    bench_tail(&tail, sequence);
    put(stream, head.bytes, head.size);
    put(stream, stream->link->value, size);
    put(stream, tail.bytes, tail.size);
}

// Posts the next piece of a large value, or finishes with the last one.
static void post_next(struct stream *stream)
{
    struct session_state *state = stream->link->state;
    uint64_t id = state->members[stream->poster].id;
    uint64_t left = stream->link->options.value_bytes - stream->posted;
    uint32_t sequence = (uint32_t)(stream->posted / LOAD_POST_BYTES);
    if (left > LOAD_POST_BYTES) {
        put_value(stream, BENCH_POST, id, sequence, LOAD_POST_BYTES);
        stream->posted += LOAD_POST_BYTES;
        return;
    }
    put_value(stream, BENCH_FINISH, id, 0, left);
    stream->is_posting = false;
}

static void session_finish(struct load_link *link, uint32_t caller)
{
    struct session_state *state = link->state;
    struct stream *stream = stream_of(link, caller);
    if (link->options.value_bytes <= LOAD_POST_BYTES) {
        put_value(stream, BENCH_FINISH, state->members[caller].id, 0, link->options.value_bytes);
        return;
    }
    if (stream->is_posting)
        load_die("two large values on one stream");
    stream->is_posting = true;
    stream->poster = caller;
    stream->posted = 0;
    post_next(stream);
}

static void on_written(void *owner, bool ok)
{
    struct stream *stream = owner;
    stream->is_sending = false;
    if (ok && stream->is_posting && stream->outbox_size < LOAD_POST_BYTES)
        post_next(stream);
    // When it failed, the status says why.
}

static void on_frame(struct stream *stream, uint64_t id, unsigned answer, uint64_t body)
{
    struct load_link *link = stream->link;
    struct session_state *state = link->state;
    const struct load_events *events = &link->options.events;
    uint32_t place = (uint32_t)(id & ((1U << PLACE_BITS) - 1));
    uint32_t caller = place * link->options.streams + stream->index;
    if (caller >= link->options.callers || state->members[caller].id != id)
        load_die("an answer to a call that was not made");
    struct member *member = &state->members[caller];
    if (answer == BENCH_LEAD) {
        events->on_lead(events->context, caller);
    } else if (answer == BENCH_FOLLOW) {
        events->on_follow(events->context, caller);
    } else if (answer == BENCH_CHUNK) {
        member->bytes += body;
    } else if (answer == BENCH_RESULT) {
        member->id = 0;
        events->on_result(events->context, caller, member->bytes + body);
    } else {
        load_die("a call got answer %u", answer);
    }
}

static void read_next(struct stream *stream)
{
    grpc_op op = {.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &stream->incoming};
    load_start(stream->call, &op, 1, &stream->read);
}

static void on_read(void *owner, bool ok)
{
    struct stream *stream = owner;
    struct bench_reader reader;
    uint64_t id;
    uint64_t body;
    unsigned field;
    if (!ok || stream->incoming == NULL)
        return; // the status says why
    if (!bench_reader_init(&reader, stream->incoming))
        load_die("a message cannot be read");
    while (bench_read_frame(&reader, &id, &field, &body)) {
        if (field == BENCH_END + 1) {
            char text[400] = "";
            bench_read_bytes(&reader, text, body < sizeof text ? body : sizeof text - 1);
            load_die("a call on a Session ended: %s", text);
        }
        bench_skip(&reader, body);
        on_frame(stream, id, field - 1, body);
    }
    if (!bench_reader_is_done(&reader) || reader.failed)
        load_die("a message of a Session is malformed");
    bench_reader_deinit(&reader);
    grpc_byte_buffer_destroy(stream->incoming);
    stream->incoming = NULL;
    read_next(stream);
}

static void on_opened(void *owner, bool ok)
{
    (void)owner;
    (void)ok;
}

static void on_over(void *owner, bool ok)
{
    struct stream *stream = owner;
    (void)ok;
    load_die("a Session ended with status %d: %.*s", stream->code,
             (int)GRPC_SLICE_LENGTH(stream->text), (char *)GRPC_SLICE_START_PTR(stream->text));
}

static void stream_open(struct stream *stream)
{
    struct load_link *link = stream->link;
    grpc_metadata_array_init(&stream->initial_metadata);
    grpc_metadata_array_init(&stream->trailing_metadata);
    stream->opened = (struct load_tag){on_opened, stream};
    stream->read = (struct load_tag){on_read, stream};
    stream->write = (struct load_tag){on_written, stream};
    stream->over = (struct load_tag){on_over, stream};
    stream->call = grpc_channel_create_call(
        link->channels[stream->index % link->options.connections], NULL, GRPC_PROPAGATE_DEFAULTS,
        link->queue, grpc_slice_from_static_string(BENCH_SESSION), NULL,
        gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    grpc_op ops[2] = {
        {.op = GRPC_OP_SEND_INITIAL_METADATA},
        {.op = GRPC_OP_RECV_INITIAL_METADATA,
         .data.recv_initial_metadata.recv_initial_metadata = &stream->initial_metadata},
    };
    load_start(stream->call, ops, 2, &stream->opened);
    grpc_op status = {
        .op = GRPC_OP_RECV_STATUS_ON_CLIENT,
        .data.recv_status_on_client = {.trailing_metadata = &stream->trailing_metadata,
                                       .status = &stream->code,
                                       .status_details = &stream->text}};
    load_start(stream->call, &status, 1, &stream->over);
    read_next(stream);
}

void load_session_open(struct load_link *link)
{
    static const struct load_wire wire = {
        .join = session_join, .finish = session_finish, .flush = session_flush};
    struct session_state *state = load_calloc(1, sizeof *state);
    link->wire = &wire;
    link->state = state;
    if (link->options.callers / link->options.streams >= 1U << PLACE_BITS)
        load_die("too many callers on one stream");
    state->members = load_calloc(link->options.callers, sizeof *state->members);
    state->streams = load_calloc(link->options.streams, sizeof *state->streams);
    for (unsigned i = 0; i < link->options.streams; i++) {
        state->streams[i].link = link;
        state->streams[i].index = i;
        stream_open(&state->streams[i]);
    }
}
