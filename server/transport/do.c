// SPDX-License-Identifier: Apache-2.0
// SingleFlight.Do: one stream is one caller.
#include "base/clock.h"
#include "base/status.h"
#include "tracing/trace_context.h"
#include "transport/admit.h"
#include "transport/call.h"
#include "transport/decode.h"
#include "transport/losses.h"
#include "transport/transport.h"

#include <stdlib.h>

enum {
    // What is left of a value goes in one chunk up to this size, which costs least.
    WHOLE_BYTES_MAX = 1024 * 1024,
    // A larger rest is cut: gRPC writes on for as long as it has something for a connection and the
    // peer takes it, and nobody else is served meanwhile.
    CHUNK_BYTES_MAX = 128 * 1024,
};

struct do_stream {
    struct sfl_outbox outbox;
    struct sfl_call call;
    struct sfl_admit admit;
    struct sfl_lost loss;              // of the lead, when the peer sends no more steps
    bool is_lost;                      // and it is on its way
    enum sfl_reason revoked;           // the right that it has lost meanwhile; NONE: it has it
    int closed_code;                   // how the stream closed meanwhile; -1: it has not
    struct sfl_connection *connection; // NULL on a unix socket
    struct sfl_trace_context trace;    // that the metadata names
    bool has_joined;
    bool has_spoken;
    uint8_t part; // in which it is counted from then on, see under_way.h
    bool is_over; // refused before it joined: what still comes in does not matter
};

static struct do_stream *stream_of(struct sfl_outbox *outbox)
{
    return SFL_CONTAINER_OF(outbox, struct do_stream, outbox);
}

// --- out ---

// Takes the next reply, if there is one.
static bool take_locked(struct sfl_call *call, struct sfl_reply *reply_out)
{
    // The reply's own fields come on top of the value.
    const uint64_t whole_bytes = WHOLE_BYTES_MAX + SFL_MESSAGE_ROUND_BYTES;
    uint64_t bytes = call->is_detached ? 0 : sfl_call_next_bytes_locked(call, UINT64_MAX);
    if (bytes == 0)
        return false;
    sfl_call_take_locked(call, bytes <= whole_bytes ? WHOLE_BYTES_MAX : CHUNK_BYTES_MAX, reply_out);
    return true;
}

static enum sfl_fill fill(struct sfl_outbox *outbox, struct sfl_message *message)
{
    struct sfl_call *call = &stream_of(outbox)->call;
    struct sfl_reply reply;
    sfl_outbox_lock(outbox);
    bool has_reply = take_locked(call, &reply);
    sfl_link_remove(&call->in_ready);
    if (has_reply) {
        if (sfl_reply_is_last(&reply))
            sfl_call_detach_locked(call);
        message->may_have_more = sfl_call_pending_locked(call) != 0;
    }
    sfl_outbox_unlock(outbox);
    if (!has_reply)
        return SFL_FILL_NOTHING;
    if (reply.type == SFL_REPLY_END) {
        sfl_reply_end_status(message, &reply.end);
        return SFL_FILL_FINISH;
    }
    sfl_reply_put_do(message, &reply);
    // The result and the status OK leave together.
    return reply.type == SFL_REPLY_RESULT ? SFL_FILL_FINISH : SFL_FILL_SEND;
}

static void free_stream(struct sfl_outbox *outbox)
{
    free(stream_of(outbox));
}

static const struct sfl_outbox_ops outbox_ops = {.fill = fill, .free = free_stream};

// --- in ---

static void refuse(struct do_stream *stream, const struct sfl_refusal *refusal,
                   const struct sfl_fault *fault)
{
    stream->is_over = true;
    sfl_call_refuse(&stream->call, refusal, fault);
}

static void fail(struct do_stream *stream, const struct sfl_fault *fault)
{
    static const struct sfl_refusal none = {.reason = SFL_REASON_NONE};
    if (stream->has_joined)
        sfl_call_fail(&stream->call, stream->outbox.transport->engine, fault, sfl_clock_now_ms());
    else
        refuse(stream, &none, fault);
}

static void join(struct do_stream *stream, struct sfl_request *request)
{
    static const struct sfl_fault no_fault = {0};
    struct sfl_transport *transport = stream->outbox.transport;
    uint64_t max = transport->connection_callers_max;
    struct sfl_list *relying;
    struct sfl_refusal denied;
    if (!sfl_admit_join(&stream->admit, &request->join, &relying, &denied)) {
        refuse(stream, &denied, &no_fault);
        return;
    }
    if (!sfl_connection_take(stream->connection, max)) {
        struct sfl_refusal refusal = {.reason = SFL_REASON_CONNECTION_LIMIT, .a = max};
        sfl_engine_count_refused(transport->engine, refusal.reason);
        refuse(stream, &refusal, &no_fault);
        return;
    }
    stream->has_joined = true;
    if (relying != NULL)
        sfl_list_append(relying, &stream->call.relying);
    // gRPC ends the stream at its deadline; the core needs to know it for the audience's sake.
    request->join.deadline_ms = sfl_stream_deadline_ms(stream->outbox.stream);
    request->join.ends_at_deadline = false;
    sfl_call_join(&stream->call, transport->engine, request, &stream->trace, sfl_clock_now_ms());
}

static void handle(struct do_stream *stream, struct sfl_span message)
{
    static const struct sfl_fault no_join = {"step", "the first one must be join"};
    struct sfl_request request;
    if (!sfl_decode_do(message, &request) || request.fault.what != NULL)
        fail(stream, &request.fault);
    else if (stream->has_joined)
        sfl_call_step(&stream->call, stream->outbox.transport->engine, &request,
                      sfl_clock_now_ms());
    else if (request.type == SFL_REQUEST_JOIN)
        join(stream, &request);
    else
        fail(stream, &no_join);
}

// A drain waits for callers that have said something, not for silent ones.
static void note_spoken(struct do_stream *stream)
{
    if (stream->has_spoken)
        return;
    stream->has_spoken = true;
    stream->part = (uint8_t)sfl_under_way_part();
    sfl_under_way_add(&stream->outbox.transport->calls, stream->part, 1);
}

static void on_message(void *context, struct sfl_span message)
{
    struct do_stream *stream = context;
    note_spoken(stream);
    if (stream->is_over)
        return;
    // One caller has nothing to gather, and a stream that is finished now is not read any more.
    bool is_held = sfl_outbox_hold(&stream->outbox);
    handle(stream, message);
    if (is_held)
        sfl_outbox_release(&stream->outbox);
}

// True when the caller leads: then it waits until others who are about to go have gone.
static bool loses_later(struct do_stream *stream)
{
    struct sfl_transport *transport = stream->outbox.transport;
    if (stream->is_lost)
        return true;
    sfl_losses_note_break(transport);
    if (!sfl_engine_leads(transport->engine, &stream->call.member))
        return false;
    stream->is_lost = true;
    sfl_losses_add(transport, &stream->loss);
    return true;
}

static void half_close(struct do_stream *stream)
{
    sfl_engine_half_close(stream->outbox.transport->engine, &stream->call.member,
                          sfl_clock_now_ms());
}

static void on_half_close(void *context)
{
    static const struct sfl_fault no_join = {"step", "the stream ended without a join"};
    struct do_stream *stream = context;
    if (stream->has_joined && !loses_later(stream))
        half_close(stream);
    else if (!stream->has_joined && !stream->is_over)
        fail(stream, &no_join);
}

static void on_sent(void *context)
{
    struct do_stream *stream = context;
    sfl_outbox_on_sent(&stream->outbox);
}

// The stream is over: its caller leaves, which after the last word changes nothing.
static void put_away(struct do_stream *stream, int code)
{
    if (stream->has_joined) {
        sfl_engine_leave(stream->outbox.transport->engine, &stream->call.member, SFL_REASON_BROKEN,
                         sfl_transport_is_broken(code), sfl_clock_now_ms());
        sfl_connection_give(stream->connection, 1);
    }
    sfl_connection_close(stream->connection);
    if (stream->has_spoken)
        sfl_under_way_add(&stream->outbox.transport->calls, stream->part, (uint64_t)-1);
    sfl_link_remove(&stream->call.relying);
    sfl_admit_close(&stream->admit);
    (void)sfl_call_let_go(&stream->call); // it is a part of the stream, which goes with its outbox
    sfl_outbox_unref(&stream->outbox);
}

static void revoke(struct do_stream *stream)
{
    sfl_call_revoke(&stream->call, stream->outbox.transport->engine, stream->revoked,
                    sfl_clock_now_ms());
}

static void lose(struct sfl_lost *loss)
{
    struct do_stream *stream = SFL_CONTAINER_OF(loss, struct do_stream, loss);
    stream->is_lost = false;
    if (stream->closed_code >= 0)
        put_away(stream, stream->closed_code);
    else if (stream->revoked != SFL_REASON_NONE)
        revoke(stream);
    else
        half_close(stream);
}

static void on_closed(void *context, int code, const char *text)
{
    struct do_stream *stream = context;
    (void)text;
    sfl_outbox_lock(&stream->outbox);
    sfl_call_detach_locked(&stream->call);
    sfl_outbox_unlock(&stream->outbox);
    sfl_outbox_on_closed(&stream->outbox);
    stream->closed_code = code;
    bool is_broken = code == sfl_status_code(SFL_CANCELLED);
    if (stream->is_lost || (is_broken && stream->has_joined && loses_later(stream)))
        return;
    put_away(stream, code);
}

// The rights have changed.
static bool recheck(struct sfl_admit *admit)
{
    static const struct sfl_fault no_fault = {0};
    struct do_stream *stream = SFL_CONTAINER_OF(admit, struct do_stream, admit);
    struct sfl_refusal refusal = sfl_admit_renew(admit);
    struct sfl_link *lost = NULL;
    enum sfl_reason reason = refusal.reason;
    if (stream->closed_code >= 0 || stream->is_over)
        return true;
    if (!stream->has_joined) {
        if (reason != SFL_REASON_NONE)
            refuse(stream, &refusal, &no_fault);
        return true;
    }
    if (reason == SFL_REASON_NONE &&
        sfl_admit_take_lost(admit, &lost, &reason) == SFL_LOST_RIGHT_NONE)
        return true;
    if (reason == SFL_REASON_NONE)
        return true;
    // A leader waits: it must not hand over to one that has lost its right, too.
    stream->revoked = reason;
    if (!loses_later(stream))
        revoke(stream);
    return true;
}

static const struct sfl_stream_events events = {
    .on_message = on_message,
    .on_half_close = on_half_close,
    .on_sent = on_sent,
    .on_closed = on_closed,
};

// The call is part of the stream's struct, which is freed with the outbox.
static void free_call(struct sfl_call *call)
{
    (void)call;
}

// False when there is no memory.
static bool find_connection(struct do_stream *stream, struct sfl_transport *transport)
{
    char *peer = sfl_stream_peer(stream->outbox.stream);
    if (peer == NULL)
        return false;
    // Callers on a unix socket cannot be told apart; the limit of all callers bounds them.
    bool is_counted = !sfl_peer_is_unix(peer);
    if (is_counted)
        stream->connection = sfl_connection_open(&transport->connections, peer);
    free(peer);
    return !is_counted || stream->connection != NULL;
}

void sfl_do_on_call(void *context, struct sfl_stream *rpc_stream,
                    const struct sfl_stream_events **events_out, void **stream_context_out)
{
    static const struct sfl_refusal no_memory = {.reason = SFL_REASON_NO_MEMORY};
    static const struct sfl_fault no_fault = {0};
    struct sfl_transport *transport = context;
    struct do_stream *stream = malloc(sizeof(*stream));
    if (stream == NULL) {
        sfl_transport_refuse_stream(rpc_stream, events_out, stream_context_out);
        return;
    }
    sfl_outbox_init(&stream->outbox, &outbox_ops, transport, rpc_stream);
    sfl_call_init(&stream->call, &stream->outbox, 0, free_call);
    stream->loss.lose = lose;
    stream->is_lost = false;
    stream->revoked = SFL_REASON_NONE;
    stream->closed_code = -1;
    stream->connection = NULL;
    stream->has_joined = false;
    stream->has_spoken = false;
    stream->is_over = false;
    if (transport->tracing != NULL)
        stream->trace = sfl_trace_context_read(sfl_stream_metadata(rpc_stream, "traceparent"));
    *events_out = &events;
    *stream_context_out = stream;
    struct sfl_refusal refusal = sfl_admit_open(&stream->admit, transport, rpc_stream);
    if (refusal.reason == SFL_REASON_NONE && !find_connection(stream, transport))
        refusal = no_memory;
    if (refusal.reason != SFL_REASON_NONE)
        refuse(stream, &refusal, &no_fault);
    else
        sfl_admit_watch(&stream->admit, recheck);
}
