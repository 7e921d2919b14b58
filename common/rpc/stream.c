// SPDX-License-Identifier: Apache-2.0
#include "rpc/stream.h"

#include "base/clock.h"
#include "rpc/message_private.h"
#include "rpc/refused.h"
#include "rpc/stream_private.h"

#include <grpc/byte_buffer.h>
#include <grpc/slice.h>
#include <grpc/support/alloc.h>

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATE_OVER (1u << 31)     // the end came in: nothing is started any more
#define STATE_FINISHED (1u << 30) // server: our status is given
#define STATE_CLOSING (1u << 29)  // `close` is under way, or done
#define STATE_COUNT (STATE_CLOSING - 1)

// A server waits for the end together with the sending of a last message up to this size: one batch
// less for each RPC. When the peer takes nothing more, the end is then seen only when gRPC gives
// the connection up; a longer message is not held that long.
#define SHORT_LAST_MESSAGE_BYTES 16384

// --- the count of batches under way ---

static bool is_over(struct sfl_stream *stream)
{
    return (atomic_load_explicit(&stream->state, memory_order_acquire) & STATE_OVER) != 0;
}

static bool is_finished(struct sfl_stream *stream)
{
    return (atomic_load_explicit(&stream->state, memory_order_acquire) & STATE_FINISHED) != 0;
}

// Counts one more batch and sets `flags`, unless the stream is over. Returns the state before.
static unsigned begin_batch(struct sfl_stream *stream, unsigned flags)
{
    unsigned state = atomic_load_explicit(&stream->state, memory_order_relaxed);
    do {
        if (state & STATE_OVER)
            return state;
    } while (!atomic_compare_exchange_weak_explicit(&stream->state, &state, (state | flags) + 1,
                                                    memory_order_acq_rel, memory_order_relaxed));
    assert(!(state & STATE_FINISHED));
    return state;
}

static void start_batch(struct sfl_stream *stream, const grpc_op *ops, size_t count,
                        struct sfl_operation *operation)
{
    sfl_operation_start(operation);
    // Only our own mistakes are refused here: what the peer or the network does comes with the
    // completion.
    grpc_call_error error = grpc_call_start_batch(stream->call, ops, count, operation, NULL);
    assert(error == GRPC_CALL_OK);
    (void)error;
}

static void end_batch(struct sfl_stream *stream)
{
    unsigned before = atomic_fetch_sub_explicit(&stream->state, 1, memory_order_acq_rel);
    assert((before & STATE_COUNT) > 0);
    // Zero is reached only after the end: until then `read` or `close` is under way.
    if ((before & STATE_COUNT) == 1)
        sfl_stream_unref(stream);
}

static grpc_op await_close_op(struct sfl_stream *stream)
{
    return (grpc_op){.op = GRPC_OP_RECV_CLOSE_ON_SERVER,
                     .data.recv_close_on_server.cancelled = &stream->cancelled};
}

// Server: begins to wait for the end, once. The caller's own batch is under way or still counted.
static void await_close(struct sfl_stream *stream)
{
    unsigned state = atomic_load_explicit(&stream->state, memory_order_relaxed);
    do {
        if (state & STATE_CLOSING)
            return;
    } while (!atomic_compare_exchange_weak_explicit(&stream->state, &state,
                                                    (state | STATE_CLOSING) + 1,
                                                    memory_order_acq_rel, memory_order_relaxed));
    grpc_op op = await_close_op(stream);
    start_batch(stream, &op, 1, &stream->close);
}

// --- the end ---

// A client's own end may cross the server's: then gRPC may drop a message that has come in, and yet
// give the OK that came with it. So an OK counts only when this side has not ended the call; sets
// `*text_out` then.
static int own_end(struct sfl_stream *stream, const char **text_out)
{
    int cancel_code = atomic_load_explicit(&stream->cancel_code, memory_order_acquire);
    if (cancel_code != 0) {
        *text_out = "cancelled while the answer came in";
        return cancel_code;
    }
    // gRPC may see the deadline a moment before our clock does.
    if (stream->deadline_ms != UINT64_MAX && sfl_clock_now_ms() + 2 >= stream->deadline_ms) {
        *text_out = "the deadline passed while the answer came in";
        return GRPC_STATUS_DEADLINE_EXCEEDED;
    }
    return GRPC_STATUS_OK;
}

static void tell_client_closed(struct sfl_stream *stream)
{
    char *text = grpc_slice_to_c_string(stream->text);
    const char *told = text;
    int code = (int)stream->code;
    if (code == GRPC_STATUS_OK)
        code = own_end(stream, &told);
    stream->events->on_closed(stream->context, code, told);
    gpr_free(text);
}

static void tell_closed(struct sfl_stream *stream)
{
    if (stream->events->on_closed == NULL)
        return;
    if (!stream->is_server) {
        tell_client_closed(stream);
        return;
    }
    int code = stream->cancelled ? GRPC_STATUS_CANCELLED : GRPC_STATUS_OK;
    if (stream->refused_code != 0)
        code = stream->refused_code;
    stream->events->on_closed(stream->context, code, "");
}

// The status that the peer has been given, or would have been. Who cancels may do so while another
// thread gives one; then that is not looked at.
static int handled_code(struct sfl_stream *stream)
{
    if (!stream->cancelled)
        return stream->given_code;
    int code = atomic_load_explicit(&stream->cancel_code, memory_order_acquire);
    return code == 0 ? GRPC_STATUS_CANCELLED : code;
}

static void count_handled(struct sfl_stream *stream)
{
    int code = handled_code(stream);
    if (code >= 0 && code < SFL_CODES)
        sfl_counter_add(&stream->handled[code], 1);
}

// Comes after each of the two batches whose end on_closed waits for; the batch is still counted.
static void close_if_ended(struct sfl_stream *stream)
{
    if (!stream->has_ended || stream->is_reading)
        return;
    sfl_silence_over(stream);
    if (stream->is_server)
        count_handled(stream);
    tell_closed(stream);
    if (stream->owner_calls->on_over != NULL)
        stream->owner_calls->on_over(stream->owner);
}

// The wait for the end is over; its batch is still counted.
static void end(struct sfl_stream *stream)
{
    atomic_fetch_or_explicit(&stream->state, STATE_OVER, memory_order_acq_rel);
    stream->has_ended = true;
    close_if_ended(stream);
    if (stream->holds_read) {
        stream->holds_read = false;
        end_batch(stream);
    }
}

static void on_close(struct sfl_operation *operation, bool ok)
{
    struct sfl_stream *stream = SFL_CONTAINER_OF(operation, struct sfl_stream, close);
    (void)ok; // it always succeeds; what counts is in the fields that it filled
    end(stream);
    end_batch(stream);
}

void sfl_stream_cancel(struct sfl_stream *stream, int code, const char *text)
{
    assert(code != GRPC_STATUS_OK);
    if (is_over(stream))
        return;
    int none = 0;
    atomic_compare_exchange_strong_explicit(&stream->cancel_code, &none, code, memory_order_acq_rel,
                                            memory_order_relaxed);
    grpc_call_cancel_with_status(stream->call, (grpc_status_code)code, text, NULL);
}

// --- reading ---

static void start_read(struct sfl_stream *stream)
{
    stream->is_reading = true;
    grpc_op op = {.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &stream->incoming};
    start_batch(stream, &op, 1, &stream->read);
}

// The next message, unless the callee wants none for now. Then nothing is read that would tell the
// end, so `close` has to.
static void read_on(struct sfl_stream *stream)
{
    if (!stream->is_paused) {
        start_read(stream);
        return;
    }
    stream->holds_read = true;
    await_close(stream);
}

void sfl_stream_pause(struct sfl_stream *stream)
{
    assert(stream->is_server);
    stream->is_paused = true;
}

void sfl_stream_resume(struct sfl_stream *stream)
{
    stream->is_paused = false;
    if (!stream->holds_read || is_over(stream))
        return;
    stream->holds_read = false;
    if (is_finished(stream))
        end_batch(stream);
    else
        start_read(stream);
}

static void refuse_message(struct sfl_stream *stream, enum sfl_status status)
{
    char text[100];
    if (status == SFL_RESOURCE_EXHAUSTED)
        snprintf(text, sizeof(text), "message: larger than the limit of %" PRIu64 " bytes",
                 stream->message_bytes_max);
    else
        snprintf(text, sizeof(text), "%s",
                 status == SFL_NO_MEMORY ? "no memory for a message"
                                         : "a message cannot be decompressed");
    stream->refused_code = sfl_status_code(status);
    sfl_stream_cancel(stream, sfl_status_code(status), text);
}

// The reason is not in the message: it was refused before gRPC saw it.
static void refuse_unseen(struct sfl_stream *stream, enum sfl_refused reason)
{
    if (reason != SFL_REFUSED_CONNECTION_FULL) {
        refuse_message(stream, SFL_RESOURCE_EXHAUSTED);
        return;
    }
    stream->refused_code = sfl_status_code(SFL_RESOURCE_EXHAUSTED);
    sfl_stream_cancel(stream, stream->refused_code,
                      "message: connection-bytes-limit: too much is coming in on this connection");
}

// Hands a message to the callee. Takes `buffer`.
static void deliver(struct sfl_stream *stream, grpc_byte_buffer *buffer)
{
    enum sfl_refused refused = sfl_refused_read(buffer);
    if (stream->refused_code != 0) {
        // What still comes of an RPC that was ended over a message.
    } else if (refused != SFL_REFUSED_NOT) {
        refuse_unseen(stream, refused);
    } else if (!is_finished(stream) && stream->events->on_message != NULL) {
        struct sfl_message_view view;
        enum sfl_status status = sfl_message_view_init(&view, buffer, stream->message_bytes_max);
        if (status == SFL_OK)
            stream->events->on_message(stream->context, view.bytes);
        else
            refuse_message(stream, status);
        sfl_message_view_deinit(&view);
    }
    grpc_byte_buffer_destroy(buffer);
}

static void on_read(struct sfl_operation *operation, bool ok)
{
    struct sfl_stream *stream = SFL_CONTAINER_OF(operation, struct sfl_stream, read);
    unsigned state = atomic_load_explicit(&stream->state, memory_order_acquire);
    grpc_byte_buffer *buffer = stream->incoming;
    stream->incoming = NULL;
    stream->is_reading = false;
    if (buffer != NULL) {
        sfl_silence_spoken(stream);
        deliver(stream, buffer);
        // What comes after our status is nobody's concern. A client reads on to the end: gRPC holds
        // the status back until everything before it is read.
        if (!is_finished(stream)) {
            read_on(stream);
            return;
        }
    } else if (ok && stream->is_server && (state & (STATE_OVER | STATE_FINISHED)) == 0 &&
               !grpc_call_failed_before_recv_message(stream->call)) {
        if (stream->events->on_half_close != NULL)
            stream->events->on_half_close(stream->context);
    }
    if (stream->is_server)
        await_close(stream);
    close_if_ended(stream);
    end_batch(stream);
}

// --- writing ---

static void on_write(struct sfl_operation *operation, bool ok)
{
    struct sfl_stream *stream = SFL_CONTAINER_OF(operation, struct sfl_stream, write);
    unsigned state = atomic_load_explicit(&stream->state, memory_order_acquire);
    // From on_sent on, the next write may be under way.
    bool is_end = stream->write_awaits_close;
    if (stream->outgoing != NULL)
        grpc_byte_buffer_destroy(stream->outgoing);
    stream->outgoing = NULL;
    if ((state & STATE_OVER) == 0) {
        // A server's call that takes no more messages is as good as over; this makes sure of it. A
        // client's ends with the status that is on its way.
        if (!ok && stream->is_server)
            grpc_call_cancel(stream->call, NULL);
        if (ok && (state & STATE_FINISHED) == 0 && stream->events->on_sent != NULL)
            stream->events->on_sent(stream->context);
    }
    if (is_end)
        end(stream);
    end_batch(stream);
}

// The initial metadata of a server goes out with the first batch that sends anything.
static size_t add_metadata(struct sfl_stream *stream, grpc_op *ops, size_t count)
{
    if (!stream->is_server || stream->metadata_is_sent)
        return count;
    stream->metadata_is_sent = true;
    ops[count] = (grpc_op){.op = GRPC_OP_SEND_INITIAL_METADATA};
    return count + 1;
}

static size_t add_message(struct sfl_stream *stream, grpc_op *ops, size_t count)
{
    ops[count] =
        (grpc_op){.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = stream->outgoing};
    return count + 1;
}

enum sfl_status sfl_stream_send(struct sfl_stream *stream, const struct sfl_piece *pieces,
                                size_t count)
{
    if (is_over(stream)) {
        sfl_message_release(pieces, count);
        return SFL_UNAVAILABLE;
    }
    assert(stream->outgoing == NULL);
    stream->outgoing = sfl_message_create(pieces, count);
    if (begin_batch(stream, 0) & STATE_OVER) {
        grpc_byte_buffer_destroy(stream->outgoing);
        stream->outgoing = NULL;
        return SFL_UNAVAILABLE;
    }
    grpc_op ops[2];
    size_t op_count = add_metadata(stream, ops, 0);
    op_count = add_message(stream, ops, op_count);
    start_batch(stream, ops, op_count, &stream->write);
    return SFL_OK;
}

void sfl_stream_finish(struct sfl_stream *stream, const struct sfl_piece *pieces, size_t count,
                       int code, const char *text)
{
    assert(stream->is_server);
    if (is_over(stream)) {
        sfl_message_release(pieces, count);
        return;
    }
    assert(stream->outgoing == NULL);
    stream->given_code = code;
    if (count > 0)
        stream->outgoing = sfl_message_create(pieces, count);
    bool is_short = stream->outgoing == NULL ||
                    grpc_byte_buffer_length(stream->outgoing) <= SHORT_LAST_MESSAGE_BYTES;
    unsigned flags = is_short ? STATE_FINISHED | STATE_CLOSING : STATE_FINISHED;
    unsigned before = begin_batch(stream, flags);
    if (before & STATE_OVER) {
        if (stream->outgoing != NULL)
            grpc_byte_buffer_destroy(stream->outgoing);
        stream->outgoing = NULL;
        return;
    }
    grpc_op ops[4];
    size_t op_count = add_metadata(stream, ops, 0);
    if (count > 0)
        op_count = add_message(stream, ops, op_count);
    grpc_slice details = grpc_slice_from_copied_string(text == NULL ? "" : text);
    ops[op_count++] = (grpc_op){.op = GRPC_OP_SEND_STATUS_FROM_SERVER,
                                .data.send_status_from_server = {
                                    .status = (grpc_status_code)code,
                                    .status_details = &details,
                                }};
    stream->write_awaits_close = is_short && !(before & STATE_CLOSING);
    if (stream->write_awaits_close)
        ops[op_count++] = await_close_op(stream);
    start_batch(stream, ops, op_count, &stream->write);
    grpc_slice_unref(details);
    if (!is_short)
        await_close(stream);
}

static void on_half_close_sent(struct sfl_operation *operation, bool ok)
{
    struct sfl_stream *stream = SFL_CONTAINER_OF(operation, struct sfl_stream, half_close);
    (void)ok; // when it failed the status is on its way
    end_batch(stream);
}

void sfl_stream_half_close(struct sfl_stream *stream)
{
    assert(!stream->is_server);
    if (begin_batch(stream, 0) & STATE_OVER)
        return;
    grpc_op op = {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT};
    start_batch(stream, &op, 1, &stream->half_close);
}

// --- life ---

static void destroy(struct sfl_stream *stream)
{
    grpc_call_unref(stream->call);
    grpc_slice_unref(stream->text);
    if (!stream->is_server) {
        grpc_metadata_array_destroy(&stream->initial_metadata);
        grpc_metadata_array_destroy(&stream->trailing_metadata);
    }
    const struct sfl_stream_owner *owner_calls = stream->owner_calls;
    void *owner = stream->owner;
    free(stream);
    if (owner_calls->on_free != NULL)
        owner_calls->on_free(owner);
}

static void on_cleanup(struct sfl_pump_work *work)
{
    destroy(SFL_CONTAINER_OF(work, struct sfl_stream, cleanup));
}

static void on_begun(struct sfl_operation *operation, bool ok)
{
    struct sfl_stream *stream = SFL_CONTAINER_OF(operation, struct sfl_stream, begin);
    (void)ok; // when it failed the status is on its way
    end_batch(stream);
}

static struct sfl_stream *create(grpc_call *call, unsigned batches,
                                 const struct sfl_stream_owner *owner_calls, void *owner)
{
    struct sfl_stream *stream = calloc(1, sizeof(*stream));
    if (stream == NULL)
        return NULL;
    atomic_init(&stream->references, 2);
    atomic_init(&stream->state, batches);
    atomic_init(&stream->cancel_code, 0);
    stream->call = call;
    stream->owner_calls = owner_calls;
    stream->owner = owner;
    stream->begin.on_done = on_begun;
    stream->read.on_done = on_read;
    stream->write.on_done = on_write;
    stream->half_close.on_done = on_half_close_sent;
    stream->close.on_done = on_close;
    stream->cleanup.run = on_cleanup;
    stream->text = grpc_empty_slice();
    return stream;
}

struct sfl_stream *sfl_stream_accept(grpc_call *call, gpr_timespec deadline,
                                     uint64_t message_bytes_max,
                                     const struct sfl_stream_owner *owner_calls, void *owner)
{
    struct sfl_stream *stream = create(call, 0, owner_calls, owner);
    if (stream == NULL)
        return NULL;
    stream->is_server = true;
    stream->message_bytes_max = message_bytes_max;
    stream->deadline_ms = sfl_operation_monotonic_ms(deadline);
    return stream;
}

void sfl_stream_serve(struct sfl_stream *stream, const struct sfl_stream_events *events,
                      void *context)
{
    stream->events = events;
    stream->context = context;
    if (is_finished(stream))
        return;
    // Not begin_batch: the end cannot have come in before this function leaves the pump thread, and
    // another thread may finish the stream meanwhile.
    atomic_fetch_add_explicit(&stream->state, 1, memory_order_acq_rel);
    read_on(stream);
}

static grpc_op send_metadata_op(const struct sfl_stream_opening *opening)
{
    return (grpc_op){.op = GRPC_OP_SEND_INITIAL_METADATA,
                     .data.send_initial_metadata = {.metadata = opening->metadata,
                                                    .count = opening->metadata_count}};
}

// The batch with which a client's RPC begins, when its first message goes with it.
static void start_opening(struct sfl_stream *stream, const struct sfl_stream_opening *opening)
{
    grpc_op ops[3] = {send_metadata_op(opening)};
    size_t count = add_message(stream, ops, 1);
    if (opening->is_last)
        ops[count++] = (grpc_op){.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT};
    start_batch(stream, ops, count, &stream->write);
}

// What a client receives, in batches that do not wait for what it sends: the socket may not take
// it. The status needs the initial metadata to be asked for.
static void start_receiving(struct sfl_stream *stream, const struct sfl_stream_opening *opening)
{
    grpc_op begin[] = {
        {.op = GRPC_OP_RECV_INITIAL_METADATA,
         .data.recv_initial_metadata.recv_initial_metadata = &stream->initial_metadata},
        send_metadata_op(opening),
    };
    grpc_op close = {.op = GRPC_OP_RECV_STATUS_ON_CLIENT,
                     .data.recv_status_on_client = {.trailing_metadata = &stream->trailing_metadata,
                                                    .status = &stream->code,
                                                    .status_details = &stream->text}};
    grpc_op read = {.op = GRPC_OP_RECV_MESSAGE,
                    .data.recv_message.recv_message = &stream->incoming};
    start_batch(stream, begin, opening->has_message ? 1 : 2, &stream->begin);
    start_batch(stream, &close, 1, &stream->close);
    start_batch(stream, &read, 1, &stream->read);
}

struct sfl_stream *sfl_stream_begin(grpc_call *call, uint64_t deadline_ms,
                                    uint64_t message_bytes_max,
                                    const struct sfl_stream_opening *opening,
                                    const struct sfl_stream_events *events, void *context,
                                    const struct sfl_stream_owner *owner_calls, void *owner)
{
    // All batches are counted before the first one is started.
    unsigned batches = opening->has_message ? 4 : 3;
    struct sfl_stream *stream = create(call, batches, owner_calls, owner);
    if (stream == NULL) {
        sfl_message_release(opening->pieces, opening->count);
        grpc_call_unref(call);
        return NULL;
    }
    stream->deadline_ms = deadline_ms;
    stream->message_bytes_max = message_bytes_max;
    stream->events = events;
    stream->context = context;
    grpc_metadata_array_init(&stream->initial_metadata);
    grpc_metadata_array_init(&stream->trailing_metadata);
    stream->is_reading = true;
    if (opening->has_message) {
        stream->outgoing = sfl_message_create(opening->pieces, opening->count);
        start_opening(stream, opening);
    }
    start_receiving(stream, opening);
    return stream;
}

uint64_t sfl_stream_deadline_ms(const struct sfl_stream *stream)
{
    return stream->deadline_ms;
}

struct sfl_span sfl_stream_metadata(const struct sfl_stream *stream, const char *key)
{
    assert(stream->asked != NULL);
    for (size_t i = 0; i < stream->asked->count; i++) {
        const grpc_metadata *entry = &stream->asked->metadata[i];
        if (grpc_slice_str_cmp(entry->key, key) == 0)
            return sfl_span_of(GRPC_SLICE_START_PTR(entry->value), GRPC_SLICE_LENGTH(entry->value));
    }
    return sfl_span_of(NULL, 0);
}

char *sfl_stream_peer(struct sfl_stream *stream)
{
    char *peer = grpc_call_get_peer(stream->call);
    char *copy = strdup(peer);
    gpr_free(peer);
    return copy;
}

struct sfl_stream *sfl_stream_ref(struct sfl_stream *stream)
{
    atomic_fetch_add_explicit(&stream->references, 1, memory_order_relaxed);
    return stream;
}

// gRPC takes as long to free a call as to send a short message, so whoever waits for one goes
// first.
void sfl_stream_unref(struct sfl_stream *stream)
{
    unsigned before = atomic_fetch_sub_explicit(&stream->references, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before == 1)
        sfl_pump_defer_cleanup(&stream->cleanup);
}
