// SPDX-License-Identifier: Apache-2.0
// SingleFlight.Session: one stream is many callers, each with an id.
#include "base/clock.h"
#include "base/status.h"
#include "transport/decode.h"
#include "transport/session_private.h"

#include <assert.h>
#include <stdlib.h>

enum {
    CHUNK_BYTES_MAX = 64 * 1024,      // then it is another call's turn
    MESSAGE_BYTES_GOAL = 256 * 1024,  // a message that has so much is sent
    MESSAGE_BYTES_SOFT = 1024 * 1024, // no further large reply beyond this
    ROUND_MAX = 32,                   // replies that are taken under one lock
    REQUESTS_A_TURN = 4096,           // then others go first
};

static struct sfl_session *session_of(struct sfl_outbox *outbox)
{
    return SFL_CONTAINER_OF(outbox, struct sfl_session, outbox);
}

// --- out ---

// Some replies, taken under one lock.
struct round {
    unsigned count;
    uint64_t bytes; // at least what the replies take
    bool has_more;  // the next one has to wait for the next message
    bool is_all;    // nothing is left to say
    bool is_done;   // and nothing will be
    struct sfl_reply replies[ROUND_MAX];
};

static void take_strays_locked(struct sfl_session *session, struct round *round)
{
    while (round->count < ROUND_MAX && round->bytes < SFL_MESSAGE_ROUND_BYTES &&
           sfl_strays_take(&session->strays, &round->replies[round->count])) {
        round->count++;
        round->bytes += SFL_STATUS_TEXT_MAX;
    }
}

// Takes one reply of the call that is first in line, which then goes to the end of the line.
static void take_reply_locked(struct sfl_session *session, struct sfl_call *call,
                              struct round *round)
{
    struct sfl_reply *reply = &round->replies[round->count++];
    sfl_call_take_locked(call, CHUNK_BYTES_MAX, reply);
    if (sfl_reply_is_last(reply)) {
        sfl_call_detach_locked(call);
        sfl_list_append(&session->ended, &call->in_ready);
        session->ended_count++;
        return;
    }
    sfl_link_remove(&call->in_ready);
    if (sfl_call_pending_locked(call) != 0)
        sfl_list_append(&session->outbox.ready, &call->in_ready);
}

static void take_replies_locked(struct sfl_session *session, size_t message_bytes,
                                struct round *round)
{
    while (round->count < ROUND_MAX && round->bytes < SFL_MESSAGE_ROUND_BYTES) {
        struct sfl_link *link = sfl_list_first(&session->outbox.ready);
        if (link == NULL)
            return;
        struct sfl_call *call = SFL_CONTAINER_OF(link, struct sfl_call, in_ready);
        uint64_t bytes = sfl_call_next_bytes_locked(call, CHUNK_BYTES_MAX);
        if (bytes == 0) { // what made it ready has been superseded
            sfl_link_remove(&call->in_ready);
            continue;
        }
        uint64_t before = message_bytes + round->bytes;
        // gRPC may hold on to the last message of a stream until the next one. So that a stream
        // that goes quiet holds no value then, the result of a value in chunks begins a message.
        if (before > 0 &&
            (before + bytes > MESSAGE_BYTES_SOFT || sfl_call_ends_chunks_locked(call))) {
            round->has_more = true;
            return;
        }
        take_reply_locked(session, call, round);
        round->bytes += bytes;
    }
}

static void take_round(struct sfl_session *session, size_t message_bytes, struct round *round)
{
    round->count = 0;
    round->bytes = 0;
    round->has_more = false;
    sfl_outbox_lock(&session->outbox);
    take_strays_locked(session, round);
    take_replies_locked(session, message_bytes, round);
    round->is_all = session->strays.count == 0 && sfl_list_is_empty(&session->outbox.ready);
    round->is_done =
        round->is_all && session->is_half_closed && session->ended_count == session->joined_count;
    sfl_outbox_unlock(&session->outbox);
}

static enum sfl_fill fill(struct sfl_outbox *outbox, struct sfl_message *message)
{
    struct sfl_session *session = session_of(outbox);
    struct round round;
    do {
        take_round(session, message->bytes, &round);
        for (unsigned i = 0; i < round.count; i++)
            sfl_reply_put_session(message, &round.replies[i]);
    } while (!round.is_all && !round.has_more && message->bytes < MESSAGE_BYTES_GOAL &&
             sfl_message_has_room(message));
    message->may_have_more = !round.is_all;
    if (round.is_done)
        return SFL_FILL_FINISH;
    return message->is_empty ? SFL_FILL_NOTHING : SFL_FILL_SEND;
}

static void free_session(struct sfl_outbox *outbox)
{
    struct sfl_session *session = session_of(outbox);
    assert(session->index.count == 0);
    sfl_index_deinit(&session->index);
    sfl_strays_deinit(&session->strays);
    sfl_connection_close(session->connection);
    free(session);
}

static const struct sfl_outbox_ops outbox_ops = {.fill = fill, .free = free_session};

// --- in ---

// The stream ends, and with it all its calls.
static void end_stream(struct sfl_session *session, enum sfl_status status,
                       const struct sfl_fault *fault, enum sfl_reason reason)
{
    session->is_over = true;
    sfl_outbox_end(&session->outbox, sfl_status_code(status), fault, true);
    sfl_session_leave_all(session, reason, false);
}

static void fail_stream(struct sfl_session *session, enum sfl_status status,
                        const struct sfl_fault *fault)
{
    end_stream(session, status, fault, SFL_REASON_MALFORMED);
}

// Whoever calls may not go on.
static void deny_stream(struct sfl_session *session, enum sfl_reason reason)
{
    const struct sfl_fault fault = {NULL, sfl_reason_text(reason)};
    sfl_losses_note_break(session->outbox.transport);
    session->is_denied = true;
    end_stream(session, sfl_reason_status(reason), &fault, reason);
}

// Ends an id that has no call.
static void answer(struct sfl_session *session, uint64_t id, const struct sfl_reply_end *end)
{
    static const struct sfl_fault no_memory = {NULL, "no memory for an answer"};
    sfl_outbox_lock(&session->outbox);
    bool is_added = sfl_strays_add(&session->strays, id, end);
    sfl_outbox_wake_locked(&session->outbox);
    sfl_outbox_unlock(&session->outbox);
    if (!is_added)
        fail_stream(session, SFL_RESOURCE_EXHAUSTED, &no_memory);
}

static void answer_fault(struct sfl_session *session, uint64_t id, const struct sfl_fault *fault)
{
    struct sfl_reply_end end = {.refusal = {.reason = SFL_REASON_NONE}, .fault = *fault};
    answer(session, id, &end);
}

static void answer_refusal(struct sfl_session *session, uint64_t id, enum sfl_reason reason,
                           uint64_t limit)
{
    struct sfl_reply_end end = {.refusal = {.reason = reason, .a = limit}};
    sfl_engine_count_refused(session->outbox.transport->engine, reason);
    answer(session, id, &end);
}

static uint64_t deadline_of(uint64_t timeout_ms, uint64_t now_ms)
{
    if (timeout_ms == 0 || timeout_ms > UINT64_MAX - now_ms)
        return UINT64_MAX;
    return now_ms + timeout_ms;
}

// A join whose id may be one.
static void join(struct sfl_session *session, struct sfl_request *request, uint64_t now_ms)
{
    uint64_t max = session->outbox.transport->connection_callers_max;
    sfl_ids_join(&session->ids, request->id);
    if (request->fault.what != NULL) {
        answer_fault(session, request->id, &request->fault);
        return;
    }
    struct sfl_list *relying;
    struct sfl_refusal denied;
    if (!sfl_admit_join(&session->admit, &request->join, &relying, &denied)) {
        const struct sfl_reply_end end = {.refusal = denied};
        answer(session, request->id, &end);
        return;
    }
    if (!sfl_connection_take(session->connection, max)) {
        answer_refusal(session, request->id, SFL_REASON_CONNECTION_LIMIT, max);
        return;
    }
    struct sfl_call *call = sfl_session_add(session, request->id);
    if (call == NULL) {
        sfl_connection_give(session->connection, 1);
        answer_refusal(session, request->id, SFL_REASON_NO_MEMORY, 0);
        return;
    }
    if (relying != NULL)
        sfl_list_append(relying, &call->relying);
    request->join.deadline_ms = deadline_of(request->timeout_ms, now_ms);
    request->join.ends_at_deadline = true;
    sfl_call_join(call, session->outbox.transport->engine, request, NULL, now_ms);
}

// A step for an id that has no call.
static void handle_stray(struct sfl_session *session, const struct sfl_request *request)
{
    static const struct sfl_fault not_growing = {
        "id", "must be greater than that of every join before it on this stream"};
    static const struct sfl_fault never_joined = {"id", "a step for a call that never joined"};
    if (request->type == SFL_REQUEST_JOIN)
        answer_fault(session, request->id, &not_growing);
    else if (!sfl_ids_have_joined(&session->ids, request->id))
        answer_fault(session, request->id,
                     request->fault.what != NULL ? &request->fault : &never_joined);
}

static void handle(struct sfl_session *session, struct sfl_request *request, uint64_t now_ms)
{
    struct sfl_engine *engine = session->outbox.transport->engine;
    if (request->type == SFL_REQUEST_JOIN && sfl_ids_may_join(&session->ids, request->id)) {
        join(session, request, now_ms);
        return;
    }
    struct sfl_call *call = sfl_session_find(session, request->id);
    if (call == NULL)
        handle_stray(session, request);
    else if (request->fault.what != NULL)
        sfl_call_fail(call, engine, &request->fault, now_ms);
    else
        sfl_call_step(call, engine, request, now_ms);
}

// Tells the engine what the next requests will touch.
static void announce(const struct sfl_session *session, const struct sfl_request *requests,
                     unsigned count)
{
    struct sfl_announced steps[SFL_ANNOUNCED_MAX];
    unsigned known = 0;
    for (unsigned i = 0; i < count; i++) {
        const struct sfl_request *request = &requests[i];
        if (request->type == SFL_REQUEST_JOIN) {
            steps[known++] =
                (struct sfl_announced){.group = request->join.group, .key = request->join.key};
            continue;
        }
        struct sfl_call *call = sfl_session_find(session, request->id);
        if (call != NULL)
            steps[known++] = (struct sfl_announced){.member = &call->member};
    }
    sfl_engine_announce(session->outbox.transport->engine, steps, known);
}

// Reads some requests off the front of a message. Fewer than there is room for: that was all, or
// the message is malformed; then the fault of the request after the last one says so.
static unsigned read_some(struct sfl_span *message, struct sfl_request *requests)
{
    unsigned count = 0;
    while (count < SFL_ANNOUNCED_MAX && sfl_decode_session_next(message, &requests[count]))
        count++;
    return count;
}

static bool has_many_strays(struct sfl_session *session)
{
    sfl_outbox_lock(&session->outbox);
    bool are_many = sfl_strays_are_many(&session->strays);
    sfl_outbox_unlock(&session->outbox);
    return are_many;
}

// Handles requests until the message is at its end, the turn is over, or too many answers wait to
// be read. What is left of the message is empty after the first.
static void handle_some(struct sfl_session *session, struct sfl_span *message)
{
    struct sfl_request requests[SFL_ANNOUNCED_MAX];
    uint64_t now_ms = sfl_clock_now_ms();
    bool is_large = sfl_engine_is_large(session->outbox.transport->engine);
    for (unsigned handled = 0; handled < REQUESTS_A_TURN; handled += SFL_ANNOUNCED_MAX) {
        unsigned count = read_some(message, requests);
        if (is_large)
            announce(session, requests, count);
        for (unsigned i = 0; i < count && !session->is_over; i++)
            handle(session, &requests[i], now_ms);
        if (session->is_over)
            return;
        if (count < SFL_ANNOUNCED_MAX) {
            message->size = 0;
            if (requests[count].fault.what != NULL)
                fail_stream(session, SFL_INVALID_ARGUMENT, &requests[count].fault);
            return;
        }
        if (has_many_strays(session))
            return;
    }
}

// Keeps the rest of a message for another turn, and reads no other one until then.
static void hold(struct sfl_session *session, struct sfl_span rest)
{
    // For their turn, or until answers to earlier ones have been read.
    static const struct sfl_fault too_many = {
        NULL, "messages of one connection that wait to be carried out: the limit of 16 MiB is "
              "reached"};
    static_assert(SFL_CONNECTION_HELD_MAX == 16 << 20, "the text says it");
    if (sfl_connection_hold(session->connection, rest.size)) {
        session->held = sfl_bytes_copy(&sfl_heap, rest);
        session->held_from = 0;
        if (session->held == NULL)
            sfl_connection_release(session->connection, rest.size);
    }
    if (session->held == NULL) {
        fail_stream(session, SFL_RESOURCE_EXHAUSTED, &too_many);
        return;
    }
    sfl_stream_pause(session->outbox.stream);
    if (!has_many_strays(session)) // otherwise on_sent goes on
        sfl_session_defer_turn(session);
}

// Goes on with the message that is held.
static void go_on_reading(struct sfl_session *session)
{
    if (session->held == NULL || has_many_strays(session))
        return;
    struct sfl_span whole = sfl_bytes_span(session->held);
    struct sfl_span rest = {whole.data + session->held_from, whole.size - session->held_from};
    handle_some(session, &rest);
    if (session->is_over)
        return;
    session->held_from = whole.size - rest.size;
    if (rest.size > 0) {
        if (!has_many_strays(session))
            sfl_session_defer_turn(session);
        return;
    }
    sfl_session_drop_held(session);
    sfl_session_count(session, sfl_session_calls_now(session));
    sfl_stream_resume(session->outbox.stream);
}

static void on_message(void *context, struct sfl_span message)
{
    struct sfl_session *session = context;
    if (session->is_over)
        return;
    sfl_session_put_ended_away(session);
    // The message counts as a call, until its calls do.
    sfl_session_count(session, session->index.count + 1);
    handle_some(session, &message);
    if (message.size > 0 && !session->is_over)
        hold(session, message);
    sfl_session_count(session, sfl_session_calls_now(session));
}

static void on_turn(struct sfl_pump_work *work)
{
    struct sfl_session *session = SFL_CONTAINER_OF(work, struct sfl_session, turn);
    session->has_turn = false;
    if (session->is_leaving) {
        sfl_session_go_on_leaving(session);
    } else {
        go_on_reading(session);
        if (!session->is_leaving) // what cannot be read ends it
            sfl_session_go_on_half_closing(session);
    }
    sfl_outbox_unref(&session->outbox);
}

static void revoke(struct sfl_session *session, struct sfl_call *call, enum sfl_reason reason)
{
    sfl_call_revoke(call, session->outbox.transport->engine, reason, sfl_clock_now_ms());
}

// The others that have lost their right are gone.
static void revoke_leaders(struct sfl_lost *loss)
{
    struct sfl_session *session = SFL_CONTAINER_OF(loss, struct sfl_session, revoked);
    struct sfl_link *link = NULL;
    for (;;) {
        enum sfl_reason reason = SFL_REASON_MAY_NOT_DO;
        if ((link = sfl_list_pop(&session->lost_doers)) == NULL) {
            reason = SFL_REASON_MAY_NOT_LEAD;
            link = sfl_list_pop(&session->lost_leaders);
        }
        if (link == NULL)
            break;
        revoke(session, SFL_CONTAINER_OF(link, struct sfl_call, relying), reason);
        if (sfl_pump_should_yield()) {
            sfl_losses_go_on(loss);
            return;
        }
    }
    session->has_revoked = false;
    sfl_outbox_unref(&session->outbox);
}

// A call that leads waits, as in losses.h: it must not hand over to one that has lost its right,
// too, and is looked at later.
static void revoke_or_wait(struct sfl_session *session, struct sfl_call *call,
                           enum sfl_reason reason)
{
    sfl_losses_note_break(session->outbox.transport);
    if (!sfl_session_leads(session, call)) {
        revoke(session, call, reason);
        return;
    }
    sfl_list_append(reason == SFL_REASON_MAY_NOT_DO ? &session->lost_doers : &session->lost_leaders,
                    &call->relying);
    if (session->has_revoked)
        return;
    session->has_revoked = true;
    sfl_outbox_ref(&session->outbox);
    sfl_losses_add(session->outbox.transport, &session->revoked);
}

// The rights have changed: calls that rely on one that is gone end, or all of them with the stream.
static bool recheck(struct sfl_admit *admit)
{
    struct sfl_session *session = SFL_CONTAINER_OF(admit, struct sfl_session, admit);
    struct sfl_refusal refusal = sfl_admit_renew(admit);
    struct sfl_link *link = NULL;
    enum sfl_reason reason;
    if (session->is_over || session->is_closed)
        return true;
    if (refusal.reason != SFL_REASON_NONE) {
        deny_stream(session, refusal.reason);
        return true;
    }
    enum sfl_lost_right lost;
    while ((lost = sfl_admit_take_lost(admit, &link, &reason)) == SFL_LOST_RIGHT_CALL) {
        revoke_or_wait(session, SFL_CONTAINER_OF(link, struct sfl_call, relying), reason);
        if (sfl_pump_should_yield())
            return false;
    }
    return lost == SFL_LOST_RIGHT_NONE;
}

static void on_half_close(void *context)
{
    struct sfl_session *session = context;
    if (session->is_over)
        return;
    sfl_outbox_lock(&session->outbox);
    session->is_half_closed = true;
    sfl_outbox_unlock(&session->outbox);
    sfl_list_append_all(&session->unaware, &session->calls);
    sfl_session_go_on_half_closing(session);
    sfl_outbox_wake(&session->outbox);
}

static void on_sent(void *context)
{
    struct sfl_session *session = context;
    sfl_session_put_ended_away(session);
    sfl_outbox_on_sent(&session->outbox);
    go_on_reading(session);
}

static void on_closed(void *context, int code, const char *text)
{
    struct sfl_session *session = context;
    (void)text;
    sfl_outbox_on_closed(&session->outbox);
    if (code == sfl_status_code(SFL_CANCELLED))
        sfl_losses_note_break(session->outbox.transport);
    session->is_closed = true;
    sfl_session_leave_all(session, SFL_REASON_BROKEN, sfl_transport_is_broken(code));
}

static const struct sfl_stream_events events = {
    .on_message = on_message,
    .on_half_close = on_half_close,
    .on_sent = on_sent,
    .on_closed = on_closed,
};

static struct sfl_connection *open_connection(struct sfl_transport *transport,
                                              struct sfl_stream *stream)
{
    char *peer = sfl_stream_peer(stream);
    if (peer == NULL)
        return NULL;
    struct sfl_connection *connection = sfl_connection_open(&transport->connections, peer);
    free(peer);
    return connection;
}

void sfl_session_on_call(void *context, struct sfl_stream *stream,
                         const struct sfl_stream_events **events_out, void **stream_context_out)
{
    struct sfl_transport *transport = context;
    struct sfl_session *session = calloc(1, sizeof(*session));
    struct sfl_connection *connection = session == NULL ? NULL : open_connection(transport, stream);
    if (connection == NULL) {
        free(session);
        sfl_transport_refuse_stream(stream, events_out, stream_context_out);
        return;
    }
    session->connection = connection;
    sfl_index_init(&session->index, &sfl_heap);
    session->part = sfl_under_way_part();
    sfl_list_init(&session->calls);
    sfl_list_init(&session->unaware);
    sfl_list_init(&session->leaders);
    session->turn.run = on_turn;
    session->loss.lose = sfl_session_on_loss;
    session->revoked.lose = revoke_leaders;
    sfl_list_init(&session->lost_leaders);
    sfl_list_init(&session->lost_doers);
    sfl_list_init(&session->ended);
    sfl_strays_init(&session->strays, connection);
    sfl_outbox_init(&session->outbox, &outbox_ops, transport, stream);
    *events_out = &events;
    *stream_context_out = session;
    sfl_transport_add_resident(transport, &session->outbox);
    struct sfl_refusal refusal = sfl_admit_open(&session->admit, transport, stream);
    if (refusal.reason != SFL_REASON_NONE)
        deny_stream(session, refusal.reason);
    else
        sfl_admit_watch(&session->admit, recheck);
}
