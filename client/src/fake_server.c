// SPDX-License-Identifier: Apache-2.0
// The server: Session, Forget and health, as the scripts say. Everything runs under the fake's
// lock.
#include "src/fake_private.h"

#include "grpc/health/v1/health.pb-c.h"
#include "src/constants.h"
#include "src/error.h"

#include <stdio.h>
#include <stdlib.h>

#define SESSION_PATH "/singleflight.v1.SingleFlight/Session"
#define FORGET_PATH "/singleflight.v1.SingleFlight/Forget"
#define HEALTH_PATH "/grpc.health.v1.Health/Check"

// One RPC; a Session has calls.
struct session {
    struct sfl_link link;
    struct singleflight_fake *fake;
    struct sfl_stream *stream;
    struct sfl_list calls; // those that have not ended
    uint8_t *outbox;       // messages of SessionResponse, one after the other: that is one, too
    size_t outbox_size;
    bool is_sending;
    bool is_half_closed; // the client says no more
    bool is_finished;
};

struct call {
    struct sfl_link link;
    uint64_t id;
    uint64_t token; // 0: it does not lead
    uint32_t attempt;
    struct sfl_fake_record *record;
};

// --------------------------------------------------------------------------------------- sending

static void send_outbox(struct session *session)
{
    if (session->is_sending || session->is_finished)
        return;
    if (session->outbox_size == 0) {
        session->is_finished = session->is_half_closed;
        if (session->is_finished)
            sfl_stream_finish(session->stream, NULL, 0, 0, "");
        return;
    }
    const struct sfl_piece piece = {sfl_span_of(session->outbox, session->outbox_size), free,
                                    session->outbox};
    session->outbox = NULL;
    session->outbox_size = 0;
    session->is_sending = sfl_stream_send(session->stream, &piece, 1) == SFL_OK;
}

// Adds the frame; it goes out with send_outbox().
static void say(struct session *session, uint64_t id, Singleflight__V1__CallResponse *frame)
{
    Singleflight__V1__SessionResponse response = SINGLEFLIGHT__V1__SESSION_RESPONSE__INIT;
    frame->id = id;
    response.n_calls = 1;
    response.calls = &frame;
    size_t size = singleflight__v1__session_response__get_packed_size(&response);
    uint8_t *outbox = sfl_fake_allocate(session->outbox_size + size);
    if (session->outbox_size > 0)
        memcpy(outbox, session->outbox, session->outbox_size);
    singleflight__v1__session_response__pack(&response, outbox + session->outbox_size);
    free(session->outbox);
    session->outbox = outbox;
    session->outbox_size += size;
}

static void say_lead(struct session *session, struct call *call, uint32_t attempt,
                     const Singleflight__V1__Join *join)
{
    Singleflight__V1__Lead lead = SINGLEFLIGHT__V1__LEAD__INIT;
    Singleflight__V1__CallResponse frame = SINGLEFLIGHT__V1__CALL_RESPONSE__INIT;
    bool resumes = join->resume_token != 0;
    call->token = resumes ? join->resume_token : ++session->fake->last_token;
    call->attempt = attempt;
    call->record->call.led = true;
    lead.token = call->token;
    lead.attempt = attempt;
    lead.lease_ms = join->lease_ms;
    lead.run_limit_ms = join->run_limit_ms;
    frame.step_case = SINGLEFLIGHT__V1__CALL_RESPONSE__STEP_LEAD;
    frame.lead = &lead;
    say(session, call->id, &frame);
}

static void say_follow(struct session *session, const struct call *call)
{
    Singleflight__V1__Follow follow = SINGLEFLIGHT__V1__FOLLOW__INIT;
    Singleflight__V1__CallResponse frame = SINGLEFLIGHT__V1__CALL_RESPONSE__INIT;
    follow.attempt = 1;
    follow.leader = (char[]){"fake"};
    frame.step_case = SINGLEFLIGHT__V1__CALL_RESPONSE__STEP_FOLLOW;
    frame.follow = &follow;
    say(session, call->id, &frame);
}

static void forget_call(struct call *call)
{
    sfl_link_remove(&call->link);
    free(call);
}

// Ends the call.
static void say_end(struct session *session, struct call *call, int code, const char *message)
{
    Singleflight__V1__End end = SINGLEFLIGHT__V1__END__INIT;
    Singleflight__V1__CallResponse frame = SINGLEFLIGHT__V1__CALL_RESPONSE__INIT;
    end.code = code;
    end.message = (char *)(uintptr_t)message;
    frame.step_case = SINGLEFLIGHT__V1__CALL_RESPONSE__STEP_END;
    frame.end = &end;
    say(session, call->id, &frame);
    forget_call(call);
}

static void say_loss(struct session *session, struct call *call)
{
    char why[128];
    snprintf(why, sizeof(why), "fenced: token %llu, now %llu (the fake has let another one lead)",
             (unsigned long long)call->token, (unsigned long long)++session->fake->last_token);
    say_end(session, call, SINGLEFLIGHT_ABORTED, why);
}

// A value too large for a message goes ahead in chunks.
static struct sfl_span say_chunks(struct session *session, const struct call *call,
                                  struct sfl_span value)
{
    for (uint64_t sequence = 0; value.size > SFL_CHUNK_BYTES_MAX; sequence++) {
        Singleflight__V1__Chunk chunk = SINGLEFLIGHT__V1__CHUNK__INIT;
        Singleflight__V1__CallResponse frame = SINGLEFLIGHT__V1__CALL_RESPONSE__INIT;
        chunk.data = (ProtobufCBinaryData){SFL_CHUNK_BYTES_MAX, (uint8_t *)(uintptr_t)value.data};
        chunk.sequence = sequence;
        chunk.attempt = 1;
        frame.step_case = SINGLEFLIGHT__V1__CALL_RESPONSE__STEP_CHUNK;
        frame.chunk = &chunk;
        say(session, call->id, &frame);
        value = sfl_span_of(value.data + SFL_CHUNK_BYTES_MAX, value.size - SFL_CHUNK_BYTES_MAX);
    }
    return value;
}

static void say_result(struct session *session, struct call *call,
                       Singleflight__V1__Outcome *outcome, uint64_t value_bytes)
{
    Singleflight__V1__Result result = SINGLEFLIGHT__V1__RESULT__INIT;
    Singleflight__V1__CallResponse frame = SINGLEFLIGHT__V1__CALL_RESPONSE__INIT;
    result.outcome = outcome;
    result.led = call->token != 0;
    result.shared = !result.led;
    result.callers = result.led ? 1 : 2;
    result.attempt = result.led ? call->attempt : 1;
    result.token = result.led ? call->token : ++session->fake->last_token;
    result.value_bytes = value_bytes;
    frame.step_case = SINGLEFLIGHT__V1__CALL_RESPONSE__STEP_RESULT;
    frame.result = &result;
    say(session, call->id, &frame);
    forget_call(call);
}

// --------------------------------------------------------------------------------- steps of calls

static void follow_script(struct session *session, struct call *call,
                          const struct sfl_fake_script *script)
{
    Singleflight__V1__Outcome outcome = SINGLEFLIGHT__V1__OUTCOME__INIT;
    say_follow(session, call);
    struct sfl_span value = say_chunks(session, call, script->value);
    outcome.kind = (Singleflight__V1__OutcomeKind)script->outcome;
    outcome.value = (ProtobufCBinaryData){value.size, (uint8_t *)(uintptr_t)value.data};
    outcome.code = script->code;
    outcome.message = script->message;
    outcome.type = script->type;
    say_result(session, call, &outcome, script->value.size);
}

// Whether the role forbids what the script wants; the call has ended then.
static bool is_against_role(struct session *session, struct call *call,
                            const Singleflight__V1__Join *join, enum sfl_fake_action action)
{
    bool follows = action == SFL_FAKE_OUTCOME || action == SFL_FAKE_TAKEOVER;
    if (join->role == SINGLEFLIGHT__V1__ROLE__ROLE_FOLLOW_ONLY && action != SFL_FAKE_OUTCOME)
        say_end(session, call, SINGLEFLIGHT_NOT_FOUND, "nothing to follow");
    else if (join->role == SINGLEFLIGHT__V1__ROLE__ROLE_LEAD_ONLY && follows)
        say_end(session, call, SINGLEFLIGHT_ABORTED, "the fake leads");
    else
        return false;
    return true;
}

static void on_join(struct session *session, uint64_t id, const Singleflight__V1__Join *join)
{
    struct singleflight_fake *fake = session->fake;
    const struct sfl_fake_script *script =
        sfl_fake_find_script(fake, join->group, sfl_span_of(join->key.data, join->key.len), false);
    enum sfl_fake_action action = script == NULL ? SFL_FAKE_LEAD : script->action;
    struct call *call = sfl_fake_allocate(sizeof(*call));
    call->id = id;
    call->record = sfl_fake_record(fake, join);
    sfl_list_append(&session->calls, &call->link);
    if (action == SFL_FAKE_REFUSE) {
        say_end(session, call, script->code, script->message);
        return;
    }
    if (is_against_role(session, call, join, action))
        return;
    if (action == SFL_FAKE_OUTCOME) {
        follow_script(session, call, script);
        return;
    }
    if (action == SFL_FAKE_TAKEOVER)
        say_follow(session, call);
    say_lead(session, call, action == SFL_FAKE_TAKEOVER ? 2 : 1, join);
    if (action == SFL_FAKE_LOSE)
        say_loss(session, call);
}

static void on_finish(struct session *session, struct call *call,
                      const Singleflight__V1__Finish *finish)
{
    if (finish->outcome == NULL || call->token == 0) {
        say_end(session, call, SINGLEFLIGHT_INVALID_ARGUMENT, "finish: of no leader");
        return;
    }
    const ProtobufCBinaryData *value = &finish->outcome->value;
    sfl_fake_record_bytes(call->record, sfl_span_of(value->data, value->len));
    sfl_fake_record_outcome(call->record, finish->outcome);
    Singleflight__V1__Outcome outcome = SINGLEFLIGHT__V1__OUTCOME__INIT;
    outcome.kind = finish->outcome->kind;
    say_result(session, call, &outcome, call->record->value.size);
}

static void on_renew(struct session *session, const struct call *call, uint64_t renew_id)
{
    Singleflight__V1__Renewed renewed = SINGLEFLIGHT__V1__RENEWED__INIT;
    Singleflight__V1__CallResponse frame = SINGLEFLIGHT__V1__CALL_RESPONSE__INIT;
    renewed.id = renew_id;
    frame.step_case = SINGLEFLIGHT__V1__CALL_RESPONSE__STEP_RENEWED;
    frame.renewed = &renewed;
    if (renew_id != 0)
        say(session, call->id, &frame);
}

static struct call *find_call(struct session *session, uint64_t id)
{
    for (struct sfl_link *at = sfl_list_first(&session->calls); at != NULL;
         at = sfl_list_next(&session->calls, at)) {
        struct call *call = SFL_CONTAINER_OF(at, struct call, link);
        if (call->id == id)
            return call;
    }
    return NULL;
}

static void on_frame(struct session *session, const Singleflight__V1__CallRequest *frame)
{
    if (frame->step_case == SINGLEFLIGHT__V1__CALL_REQUEST__STEP_JOIN) {
        on_join(session, frame->id, frame->join);
        return;
    }
    struct call *call = find_call(session, frame->id);
    if (call == NULL)
        return; // it has ended
    if (frame->step_case == SINGLEFLIGHT__V1__CALL_REQUEST__STEP_CHUNK)
        sfl_fake_record_bytes(call->record,
                              sfl_span_of(frame->chunk->data.data, frame->chunk->data.len));
    else if (frame->step_case == SINGLEFLIGHT__V1__CALL_REQUEST__STEP_RENEW)
        on_renew(session, call, frame->renew->id);
    else if (frame->step_case == SINGLEFLIGHT__V1__CALL_REQUEST__STEP_FINISH)
        on_finish(session, call, frame->finish);
    else
        say_end(session, call, SINGLEFLIGHT_CANCELLED, "cancelled");
}

void sfl_fake_lose_leads(struct singleflight_fake *fake, const char *group, struct sfl_span key)
{
    struct sfl_fake_script *script = sfl_fake_find_script(fake, group, key, true);
    for (struct sfl_link *at = sfl_list_first(&fake->sessions); at != NULL;
         at = sfl_list_next(&fake->sessions, at)) {
        struct session *session = SFL_CONTAINER_OF(at, struct session, link);
        struct sfl_link *next = NULL;
        for (struct sfl_link *of = sfl_list_first(&session->calls); of != NULL; of = next) {
            next = sfl_list_next(&session->calls, of);
            struct call *call = SFL_CONTAINER_OF(of, struct call, link);
            const struct singleflight_fake_call *asked = &call->record->call;
            if (call->token != 0 && strcmp(asked->group, script->group) == 0 &&
                sfl_span_equal(sfl_span_of(asked->key, asked->key_bytes), key))
                say_loss(session, call);
        }
        send_outbox(session);
    }
}

// ------------------------------------------------------------------------------------------ RPCs

static void on_session_message(void *context, struct sfl_span message)
{
    struct session *session = context;
    Singleflight__V1__SessionRequest *request =
        singleflight__v1__session_request__unpack(NULL, message.size, message.data);
    if (request == NULL)
        return;
    pthread_mutex_lock(&session->fake->lock);
    for (size_t i = 0; i < request->n_calls; i++)
        on_frame(session, request->calls[i]);
    send_outbox(session);
    pthread_mutex_unlock(&session->fake->lock);
    singleflight__v1__session_request__free_unpacked(request, NULL);
}

static void on_session_sent(void *context)
{
    struct session *session = context;
    pthread_mutex_lock(&session->fake->lock);
    session->is_sending = false;
    send_outbox(session);
    pthread_mutex_unlock(&session->fake->lock);
}

static void on_session_half_close(void *context)
{
    struct session *session = context;
    pthread_mutex_lock(&session->fake->lock);
    session->is_half_closed = true;
    send_outbox(session);
    pthread_mutex_unlock(&session->fake->lock);
}

static void on_closed(void *context, int code, const char *text)
{
    struct session *session = context;
    (void)code;
    (void)text;
    pthread_mutex_lock(&session->fake->lock);
    sfl_link_remove(&session->link);
    pthread_mutex_unlock(&session->fake->lock);
    struct sfl_link *link;
    while ((link = sfl_list_first(&session->calls)) != NULL)
        forget_call(SFL_CONTAINER_OF(link, struct call, link));
    sfl_stream_unref(session->stream);
    free(session->outbox);
    free(session);
}

// A unary call's answer, packed to `bytes`.
static void answer(struct session *session, const void *bytes, size_t size)
{
    const struct sfl_piece piece = {.bytes = sfl_span_of(bytes, size)};
    session->is_finished = true;
    sfl_stream_finish(session->stream, &piece, 1, 0, "");
}

static void on_forget_message(void *context, struct sfl_span message)
{
    struct session *session = context;
    Singleflight__V1__ForgetRequest *request =
        singleflight__v1__forget_request__unpack(NULL, message.size, message.data);
    if (request == NULL)
        return;
    Singleflight__V1__ForgetResponse response = SINGLEFLIGHT__V1__FORGET_RESPONSE__INIT;
    response.flight = true;
    response.ended = request->end;
    pthread_mutex_lock(&session->fake->lock);
    if (request->end)
        sfl_fake_lose_leads(session->fake, request->group,
                            sfl_span_of(request->key.data, request->key.len));
    pthread_mutex_unlock(&session->fake->lock);
    uint8_t bytes[16];
    answer(session, bytes, singleflight__v1__forget_response__pack(&response, bytes));
    singleflight__v1__forget_request__free_unpacked(request, NULL);
}

static void on_health_message(void *context, struct sfl_span message)
{
    (void)message;
    Grpc__Health__V1__HealthCheckResponse response = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    response.status = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING;
    uint8_t bytes[16];
    answer(context, bytes, grpc__health__v1__health_check_response__pack(&response, bytes));
}

static const struct sfl_stream_events session_events = {
    .on_message = on_session_message,
    .on_half_close = on_session_half_close,
    .on_sent = on_session_sent,
    .on_closed = on_closed,
};
static const struct sfl_stream_events forget_events = {
    .on_message = on_forget_message,
    .on_closed = on_closed,
};
static const struct sfl_stream_events health_events = {
    .on_message = on_health_message,
    .on_closed = on_closed,
};

static void accept_rpc(struct singleflight_fake *fake, struct sfl_stream *stream,
                       void **context_out)
{
    struct session *session = sfl_fake_allocate(sizeof(*session));
    session->fake = fake;
    session->stream = stream;
    sfl_list_init(&session->calls);
    pthread_mutex_lock(&fake->lock);
    sfl_list_append(&fake->sessions, &session->link);
    pthread_mutex_unlock(&fake->lock);
    *context_out = session;
}

static void on_session(void *context, struct sfl_stream *stream,
                       const struct sfl_stream_events **events_out, void **stream_context_out)
{
    *events_out = &session_events;
    accept_rpc(context, stream, stream_context_out);
}

static void on_forget(void *context, struct sfl_stream *stream,
                      const struct sfl_stream_events **events_out, void **stream_context_out)
{
    *events_out = &forget_events;
    accept_rpc(context, stream, stream_context_out);
}

static void on_health(void *context, struct sfl_stream *stream,
                      const struct sfl_stream_events **events_out, void **stream_context_out)
{
    *events_out = &health_events;
    accept_rpc(context, stream, stream_context_out);
}

// ----------------------------------------------------------------------------------------- server

bool sfl_fake_listen(struct singleflight_fake *fake)
{
    const struct sfl_rpc_server_options options = {.pumps = fake->pumps};
    const struct sfl_method methods[] = {
        {.path = SESSION_PATH, .on_call = on_session, .context = fake},
        {.path = FORGET_PATH, .on_call = on_forget, .context = fake},
        {.path = HEALTH_PATH, .on_call = on_health, .context = fake},
    };
    char bound[300] = "there is no memory left for a server";
    struct sfl_rpc_server *server = NULL;
    enum sfl_status status = sfl_rpc_server_create(&options, methods, 3, &server);
    if (status == SFL_OK)
        status = sfl_rpc_server_listen_unix(server, fake->address + strlen("unix:"), bound);
    if (status != SFL_OK) {
        if (server != NULL)
            sfl_rpc_server_destroy(server);
        (void)sfl_error_set(SINGLEFLIGHT_UNAVAILABLE, bound);
        return false;
    }
    sfl_rpc_server_start(server);
    fake->server = server;
    return true;
}

void sfl_fake_shut(struct singleflight_fake *fake)
{
    if (fake->server == NULL)
        return;
    (void)sfl_rpc_server_shutdown(fake->server, 0);
    sfl_rpc_server_destroy(fake->server);
    fake->server = NULL;
}
