// SPDX-License-Identifier: Apache-2.0
#include "bench/bare/bare.h"

#include <stdlib.h>
#include <string.h>

enum { REQUESTS = 32 }; // calls that gRPC may take on without asking

struct do_call {
    struct bare_server *server;
    grpc_call *call;
    gpr_timespec deadline;
    grpc_metadata_array metadata;
    grpc_byte_buffer *incoming;
    struct bare_slot *slot;
    int cancelled;
    bool leads;
    bool is_admitted; // the batch with its first answer is done
    bool is_closed;   // RECV_CLOSE_ON_SERVER is done
    bool is_ended;    // the status batch is done
    bool outcome_waits;
    grpc_slice value;
    uint32_t callers;
    struct bare_tag request;
    struct bare_tag close;
    struct bare_tag answer;
    struct bare_tag end;
};

static void do_request(struct bare_server *server);

static void do_free_if_over(struct do_call *call)
{
    if (!call->is_closed || !call->is_ended)
        return;
    grpc_call_unref(call->call);
    grpc_metadata_array_destroy(&call->metadata);
    free(call);
}

static void on_close(void *owner, bool ok)
{
    struct do_call *call = owner;
    (void)ok;
    call->is_closed = true;
    do_free_if_over(call);
}

static void on_end(void *owner, bool ok)
{
    struct do_call *call = owner;
    (void)ok;
    call->is_ended = true;
    do_free_if_over(call);
}

// A DoResponse whose body is `size` bytes at `body`, and the value behind it.
static grpc_byte_buffer *do_message(enum bench_answer answer, const uint8_t *body, size_t size,
                                    grpc_slice value)
{
    uint8_t head[BENCH_STEP_MAX];
    uint8_t *at = bench_put_length(head, answer, size + GRPC_SLICE_LENGTH(value));
    memcpy(at, body, size);
    at += size;
    grpc_slice slices[2] = {
        grpc_slice_from_copied_buffer((const char *)head, (size_t)(at - head)),
        value,
    };
    grpc_byte_buffer *message =
        grpc_raw_byte_buffer_create(slices, GRPC_SLICE_LENGTH(value) == 0 ? 1 : 2);
    grpc_slice_unref(slices[0]);
    return message;
}

static void do_end(struct do_call *call, grpc_slice value, uint32_t callers)
{
    uint8_t body[BENCH_STEP_MAX];
    size_t size = bare_put_result(body, call->leads, callers, GRPC_SLICE_LENGTH(value));
    grpc_byte_buffer *message =
        do_message(BENCH_RESULT, body, size, call->leads ? grpc_empty_slice() : value);
    grpc_op ops[2] = {
        {.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = message},
        {.op = GRPC_OP_SEND_STATUS_FROM_SERVER,
         .data.send_status_from_server.status = GRPC_STATUS_OK},
    };
    bare_start(call->call, ops, 2, &call->end);
    grpc_byte_buffer_destroy(message);
}

static void on_follower_outcome(struct bare_waiter *waiter, grpc_slice value, uint32_t callers)
{
    struct do_call *call = waiter->owner;
    if (call->is_admitted) {
        do_end(call, value, callers);
        return;
    }
    call->outcome_waits = true;
    call->value = grpc_slice_ref(value);
    call->callers = callers;
}

// The leader's finish has been read.
static void do_finish(struct do_call *call)
{
    struct bench_reader reader;
    if (call->incoming == NULL || !bench_reader_init(&reader, call->incoming)) {
        // The caller is gone.
        call->slot->is_led = false;
        call->is_ended = true;
        do_free_if_over(call);
        return;
    }
    bench_read_varint(&reader);
    grpc_slice value = bare_read_value(&reader, bench_read_varint(&reader));
    bench_reader_deinit(&reader);
    grpc_byte_buffer_destroy(call->incoming);
    do_end(call, value, call->slot->count + 1);
    bare_slot_settle(call->slot, value);
    grpc_slice_unref(value);
}

// The batch with the first answer is done; a leader's also read its finish.
static void on_answer(void *owner, bool ok)
{
    struct do_call *call = owner;
    (void)ok;
    call->is_admitted = true;
    if (call->leads) {
        do_finish(call);
    } else if (call->outcome_waits) {
        do_end(call, call->value, call->callers);
        grpc_slice_unref(call->value);
    }
}

static void do_admit(struct do_call *call, uint32_t key)
{
    uint8_t body[BENCH_STEP_MAX];
    call->slot = bare_slot_of(key);
    call->leads = !call->slot->is_led;
    size_t size = call->leads ? bare_put_lead(body, bare_next_token()) : bare_put_follow(body);
    grpc_byte_buffer *message =
        do_message(call->leads ? BENCH_LEAD : BENCH_FOLLOW, body, size, grpc_empty_slice());
    grpc_op ops[3] = {
        {.op = GRPC_OP_SEND_INITIAL_METADATA},
        {.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = message},
        {.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &call->incoming},
    };
    if (call->leads)
        call->slot->is_led = true;
    else
        bare_slot_wait(call->slot,
                       &(struct bare_waiter){.owner = call, .on_outcome = on_follower_outcome});
    bare_start(call->call, ops, call->leads ? 3 : 2, &call->answer);
    grpc_byte_buffer_destroy(message);
}

static void on_request(void *owner, bool ok)
{
    struct do_call *call = owner;
    if (!ok)
        return;
    do_request(call->server);
    grpc_op close = {.op = GRPC_OP_RECV_CLOSE_ON_SERVER,
                     .data.recv_close_on_server.cancelled = &call->cancelled};
    bare_start(call->call, &close, 1, &call->close);
    struct bench_reader reader;
    uint8_t key[BENCH_KEY_BYTES];
    if (call->incoming == NULL || !bench_reader_init(&reader, call->incoming)) {
        call->is_ended = true;
        return;
    }
    // DoRequest{join{key}}: nothing else begins a call here.
    for (unsigned i = 0; i < 4; i++)
        bench_read_varint(&reader);
    bench_read_bytes(&reader, key, sizeof key);
    bench_reader_deinit(&reader);
    grpc_byte_buffer_destroy(call->incoming);
    call->incoming = NULL;
    do_admit(call, bench_key_number(key));
}

static void do_request(struct bare_server *server)
{
    struct do_call *call = calloc(1, sizeof *call);
    if (call == NULL)
        abort();
    call->server = server;
    call->request = (struct bare_tag){on_request, call};
    call->close = (struct bare_tag){on_close, call};
    call->answer = (struct bare_tag){on_answer, call};
    call->end = (struct bare_tag){on_end, call};
    grpc_metadata_array_init(&call->metadata);
    grpc_call_error error = grpc_server_request_registered_call(
        server->server, server->do_method, &call->call, &call->deadline, &call->metadata,
        &call->incoming, server->queue, server->queue, &call->request);
    if (error != GRPC_CALL_OK)
        abort();
}

void bare_do_listen(struct bare_server *server)
{
    for (unsigned i = 0; i < REQUESTS; i++)
        do_request(server);
}
