// SPDX-License-Identifier: Apache-2.0
// One Do per caller, in the shape that costs least: the join leaves with the initial metadata, the
// finish with the half-close, and the batches wait for as many answers as are sure to come.
#include "bench/frames.h"
#include "bench/load/link.h"

#include <string.h>

struct do_state {
    void **methods; // registered on each channel
    struct do_call *calls;
    grpc_slice finish; // the whole message for a value that is not posted in pieces
    grpc_slice value;
};

struct do_call {
    struct load_link *link;
    uint32_t caller;
    grpc_call *call;
    grpc_metadata_array initial_metadata;
    grpc_metadata_array trailing_metadata;
    grpc_byte_buffer *incoming;
    grpc_status_code code;
    grpc_slice text;
    uint64_t bytes;  // received
    uint64_t posted; // of the value
    struct load_tag admitted;
    struct load_tag read;
    struct load_tag post;
    struct load_tag over;
};

// The kind of the answer that has come, which is given back; 0 when none has.
static unsigned take_answer(struct do_call *call)
{
    if (call->incoming == NULL)
        return 0;
    struct bench_reader reader;
    if (!bench_reader_init(&reader, call->incoming))
        load_die("an answer cannot be read");
    unsigned answer = (unsigned)(bench_read_varint(&reader) >> 3);
    bench_reader_deinit(&reader);
    if (answer == BENCH_CHUNK || answer == BENCH_RESULT)
        call->bytes += grpc_byte_buffer_length(call->incoming);
    grpc_byte_buffer_destroy(call->incoming);
    call->incoming = NULL;
    return answer;
}

static grpc_op read_op(struct do_call *call)
{
    return (grpc_op){.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &call->incoming};
}

static grpc_op status_op(struct do_call *call)
{
    return (grpc_op){.op = GRPC_OP_RECV_STATUS_ON_CLIENT,
                     .data.recv_status_on_client = {.trailing_metadata = &call->trailing_metadata,
                                                    .status = &call->code,
                                                    .status_details = &call->text}};
}

static void do_over(struct do_call *call)
{
    const struct load_events *events = &call->link->options.events;
    grpc_call_unref(call->call);
    call->call = NULL;
    grpc_metadata_array_destroy(&call->initial_metadata);
    grpc_metadata_array_destroy(&call->trailing_metadata);
    grpc_slice_unref(call->text);
    events->on_result(events->context, call->caller, call->bytes);
}

static _Noreturn void die_of_status(const struct do_call *call)
{
    load_die("a Do ended with status %d: %.*s", call->code, (int)GRPC_SLICE_LENGTH(call->text),
             (const char *)GRPC_SLICE_START_PTR(call->text));
}

// The status is here, perhaps together with the result.
static void on_over(void *owner, bool ok)
{
    struct do_call *call = owner;
    (void)ok;
    unsigned answer = take_answer(call);
    if (call->code != GRPC_STATUS_OK || (answer != 0 && answer != BENCH_RESULT) || call->bytes == 0)
        die_of_status(call);
    do_over(call);
}

static void wait_for_status(struct do_call *call)
{
    grpc_op op = status_op(call);
    load_start(call->call, &op, 1, &call->over);
}

static void on_read(void *owner, bool ok)
{
    struct do_call *call = owner;
    (void)ok;
    unsigned answer = take_answer(call);
    if (answer == BENCH_CHUNK) {
        grpc_op op = read_op(call);
        load_start(call->call, &op, 1, &call->read);
    } else if (answer == BENCH_RESULT || answer == 0) {
        wait_for_status(call);
    } else {
        load_die("a follower got answer %u", answer);
    }
}

static void follow(struct do_call *call)
{
    const struct load_events *events = &call->link->options.events;
    grpc_op ops[2] = {read_op(call), status_op(call)};
    // A small value is sure to come in one message, so that nothing can be left unread.
    if (call->link->options.value_bytes <= LOAD_INLINE_MAX)
        load_start(call->call, ops, 2, &call->over);
    else
        load_start(call->call, ops, 1, &call->read);
    events->on_follow(events->context, call->caller);
}

static void on_admitted(void *owner, bool ok)
{
    struct do_call *call = owner;
    const struct load_events *events = &call->link->options.events;
    (void)ok;
    unsigned answer = take_answer(call);
    if (answer == BENCH_LEAD)
        events->on_lead(events->context, call->caller);
    else if (answer == BENCH_FOLLOW)
        follow(call);
    else if (answer == 0)
        wait_for_status(call); // to tell why
    else
        load_die("a caller got answer %u before it was admitted", answer);
}

static void do_join(struct load_link *link, uint32_t caller, uint32_t key)
{
    struct do_state *state = link->state;
    struct do_call *call = &state->calls[caller];
    unsigned connection = caller % link->options.connections;
    struct bench_head head;
    bench_do_head(&head, &(struct bench_what){.step = BENCH_JOIN,
                                              .number = key,
                                              .retain_ms = link->options.retain_ms});
    grpc_slice slice = grpc_slice_from_copied_buffer((const char *)head.bytes, head.size);
    grpc_byte_buffer *message = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    call->bytes = 0;
    call->posted = 0;
    grpc_metadata_array_init(&call->initial_metadata);
    grpc_metadata_array_init(&call->trailing_metadata);
    call->text = grpc_empty_slice();
    call->call = grpc_channel_create_registered_call(
        link->channels[connection], NULL, GRPC_PROPAGATE_DEFAULTS, link->queue,
        state->methods[connection], gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    grpc_op ops[4] = {
        {.op = GRPC_OP_SEND_INITIAL_METADATA},
        {.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = message},
        {.op = GRPC_OP_RECV_INITIAL_METADATA,
         .data.recv_initial_metadata.recv_initial_metadata = &call->initial_metadata},
        read_op(call),
    };
    load_start(call->call, ops, 4, &call->admitted);
    grpc_byte_buffer_destroy(message);
}

// A step with `size` bytes of the value, and what follows them.
static grpc_byte_buffer *value_message(const struct do_state *state, enum bench_step step,
                                       uint32_t sequence, size_t size)
{
    struct bench_head head;
    struct bench_head tail;
    bench_do_head(&head, &(struct bench_what){step, sequence, size, 0});
    bench_tail(&tail, sequence);
    grpc_slice slices[3] = {
        grpc_slice_from_copied_buffer((const char *)head.bytes, head.size),
        grpc_slice_sub_no_ref(state->value, 0, size),
        grpc_slice_from_copied_buffer((const char *)tail.bytes, tail.size),
    };
    grpc_byte_buffer *message = grpc_raw_byte_buffer_create(slices, tail.size == 0 ? 2 : 3);
    grpc_slice_unref(slices[0]);
    grpc_slice_unref(slices[2]);
    return message;
}

static void send_finish(struct do_call *call, grpc_byte_buffer *message)
{
    grpc_op ops[4] = {
        {.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = message},
        {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT},
        read_op(call),
        status_op(call),
    };
    load_start(call->call, ops, 4, &call->over);
    grpc_byte_buffer_destroy(message);
}

// Posts the next piece of a large value, or finishes with the last one.
static void post_next(struct do_call *call)
{
    struct do_state *state = call->link->state;
    uint64_t left = call->link->options.value_bytes - call->posted;
    uint32_t sequence = (uint32_t)(call->posted / LOAD_POST_BYTES);
    if (left <= LOAD_POST_BYTES) {
        send_finish(call, value_message(state, BENCH_FINISH, 0, left));
        return;
    }
    call->posted += LOAD_POST_BYTES;
    grpc_byte_buffer *message = value_message(state, BENCH_POST, sequence, LOAD_POST_BYTES);
    grpc_op op = {.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = message};
    load_start(call->call, &op, 1, &call->post);
    grpc_byte_buffer_destroy(message);
}

static void on_posted(void *owner, bool ok)
{
    if (!ok)
        load_die("a chunk could not be sent");
    post_next(owner);
}

static void do_finish(struct load_link *link, uint32_t caller)
{
    struct do_state *state = link->state;
    struct do_call *call = &state->calls[caller];
    if (link->options.value_bytes > LOAD_POST_BYTES) {
        post_next(call);
        return;
    }
    send_finish(call, grpc_raw_byte_buffer_create(&state->finish, 1));
}

static void do_flush(struct load_link *link)
{
    (void)link; // nothing gathers
}

// A small finish is the same for every flight: one slice for all.
static grpc_slice finish_slice(const struct load_link *link)
{
    struct bench_head head;
    size_t size = link->options.value_bytes;
    if (size > LOAD_POST_BYTES)
        return grpc_empty_slice();
    bench_do_head(&head, &(struct bench_what){.step = BENCH_FINISH, .value_bytes = size});
    grpc_slice slice = grpc_slice_malloc(head.size + size);
    memcpy(GRPC_SLICE_START_PTR(slice), head.bytes, head.size);
    memcpy(GRPC_SLICE_START_PTR(slice) + head.size, link->value, size);
    return slice;
}

void load_do_open(struct load_link *link)
{
    static const struct load_wire wire = {.join = do_join, .finish = do_finish, .flush = do_flush};
    struct do_state *state = load_calloc(1, sizeof *state);
    size_t value_bytes = link->options.value_bytes;
    link->wire = &wire;
    link->state = state;
    state->methods = load_calloc(link->options.connections, sizeof *state->methods);
    for (unsigned i = 0; i < link->options.connections; i++)
        state->methods[i] = grpc_channel_register_call(link->channels[i], BENCH_DO, NULL, NULL);
    state->value = grpc_slice_from_static_buffer(
        link->value, value_bytes < LOAD_POST_BYTES ? value_bytes : LOAD_POST_BYTES);
    state->finish = finish_slice(link);
    state->calls = load_calloc(link->options.callers, sizeof *state->calls);
    for (uint32_t i = 0; i < link->options.callers; i++) {
        struct do_call *call = &state->calls[i];
        call->link = link;
        call->caller = i;
        call->admitted = (struct load_tag){on_admitted, call};
        call->read = (struct load_tag){on_read, call};
        call->post = (struct load_tag){on_posted, call};
        call->over = (struct load_tag){on_over, call};
    }
}
