// SPDX-License-Identifier: Apache-2.0
#include "transport/call.h"

#include "base/clock.h"
#include "base/references.h"
#include "tracing/tracing.h"
#include "transport/transport.h"

#include <assert.h>

// What is pending: a bit for each type of reply but chunks, which are there while the reader has
// something to read.
enum {
    PENDING_FOLLOW = 1 << SFL_REPLY_FOLLOW,
    PENDING_RESTART = 1 << SFL_REPLY_RESTART,
    PENDING_LEAD = 1 << SFL_REPLY_LEAD,
    PENDING_RENEWED = 1 << SFL_REPLY_RENEWED,
    PENDING_AUDIENCE = 1 << SFL_REPLY_AUDIENCE,
    PENDING_RESULT = 1 << SFL_REPLY_RESULT,
    PENDING_END = 1 << SFL_REPLY_END,
    PENDING_LAST_WORD = PENDING_RESULT | PENDING_END,
};

enum { SMALL_REPLY_BYTES = 256 };

// --- life ---

void sfl_call_init(struct sfl_call *call, struct sfl_outbox *outbox, uint64_t id,
                   void (*free)(struct sfl_call *call))
{
    sfl_caller_init(&call->member.caller);
    call->outbox = outbox;
    call->free = free;
    atomic_init(&call->references, 1);
    call->id = id;
    call->deadline_ms = UINT64_MAX;
    sfl_link_init(&call->in_stream);
    sfl_link_init(&call->relying);
    sfl_link_init(&call->in_ready);
    call->fault = (struct sfl_fault){NULL, NULL};
    call->pending = 0; // so nothing but these of what is to be told is there
    call->is_detached = false;
    call->awaits_disk = false;
    call->follow.leader = NULL;
    call->restart.leader = NULL;
    call->reader = (struct sfl_reader){0};
    call->detaches = false;
    call->renewals = NULL;
    call->traced = NULL;
}

static void drop_reader(struct sfl_call *call)
{
    if (call->reader.value != NULL)
        sfl_value_unref(call->reader.value);
    call->reader = (struct sfl_reader){0};
}

// Drops what the call holds.
static void clear(struct sfl_call *call)
{
    drop_reader(call);
    sfl_bytes_unref(call->follow.leader);
    sfl_bytes_unref(call->restart.leader);
    if (call->renewals != NULL)
        sfl_renewals_destroy(call->renewals, &call->outbox->renewals_room);
    call->renewals = NULL;
    if (call->pending & PENDING_RESULT)
        sfl_told_result_release(&call->result);
    else if (call->pending & PENDING_END)
        sfl_reply_end_release(&call->end);
    sfl_tracing_end(call->traced);
}

bool sfl_call_let_go(struct sfl_call *call)
{
    struct sfl_outbox *outbox = call->outbox;
    if (!sfl_references_is_last(&call->references)) {
        // The engine may still look at the outbox; sfl_call_drop_engines drops this one with the
        // call.
        sfl_outbox_ref(outbox);
        if (!sfl_references_drop(&call->references))
            return false;
        sfl_outbox_unref(outbox);
    }
    clear(call);
    return true;
}

void sfl_call_drop_engines(struct sfl_call *call)
{
    if (!sfl_references_drop(&call->references))
        return;
    struct sfl_outbox *outbox = call->outbox;
    clear(call);
    call->free(call);
    sfl_outbox_unref(outbox);
}

// --- what is to be told ---

static void make_ready_locked(struct sfl_call *call)
{
    if (!sfl_link_is_linked(&call->in_ready))
        sfl_list_append(&call->outbox->ready, &call->in_ready);
    sfl_outbox_wake_locked(call->outbox);
}

bool sfl_call_is_to_be_told_locked(const struct sfl_call *call)
{
    return !call->is_detached && !(call->pending & PENDING_LAST_WORD);
}

// Begins to change what is pending. False when nobody is there to be told; the lock is then not
// held.
static bool begin(struct sfl_call *call)
{
    sfl_outbox_lock(call->outbox);
    if (sfl_call_is_to_be_told_locked(call))
        return true;
    sfl_outbox_unlock(call->outbox);
    return false;
}

static void end(struct sfl_call *call, unsigned pending)
{
    call->pending |= pending;
    make_ready_locked(call);
    sfl_outbox_unlock(call->outbox);
}

static void trace_end(struct sfl_call *call)
{
    char text[SFL_REFUSAL_TEXT_MAX];
    int code = sfl_reply_end_describe(&call->end, text);
    sfl_traced_set_refusal(call->traced, code, text);
}

static void set_end_locked(struct sfl_call *call, const struct sfl_refusal *refusal,
                           const struct sfl_fault *fault)
{
    call->pending &= ~(unsigned)(PENDING_RESTART | PENDING_AUDIENCE);
    drop_reader(call);
    call->end = (struct sfl_reply_end){.refusal = *refusal, .fault = *fault};
    if (refusal->reason != SFL_REASON_NONE)
        sfl_bytes_ref(call->end.refusal.name);
    if (call->traced != NULL)
        trace_end(call);
}

// True while the outcome is known, and the value that comes before it is still being read: for the
// engine the call is over, for the caller it is not.
static bool is_catching_up_locked(const struct sfl_call *call)
{
    return (call->pending & PENDING_RESULT) && !call->is_detached &&
           sfl_call_unread_locked(call) > 0;
}

// True while the engine has said its last word, and the caller is still to hear it.
static bool is_owed_its_result_locked(const struct sfl_call *call)
{
    return is_catching_up_locked(call) ||
           (call->awaits_disk && sfl_call_is_to_be_told_locked(call));
}

// Ends such a call: it gets no more of the value, and no result.
static void give_up_locked(struct sfl_call *call, enum sfl_reason reason)
{
    static const struct sfl_fault none = {0};
    struct sfl_refusal refusal = {.reason = reason};
    sfl_told_result_release(&call->result);
    call->pending &= ~(unsigned)PENDING_RESULT;
    call->awaits_disk = false;
    set_end_locked(call, &refusal, &none);
    call->pending |= PENDING_END;
}

void sfl_call_refuse(struct sfl_call *call, const struct sfl_refusal *refusal,
                     const struct sfl_fault *fault)
{
    if (!begin(call))
        return;
    set_end_locked(call, refusal, fault);
    end(call, PENDING_END);
}

static void show_value_locked(struct sfl_call *call, struct sfl_value *value, uint32_t attempt,
                              uint64_t value_bytes)
{
    struct sfl_reader *reader = &call->reader;
    if (value != reader->value) {
        drop_reader(call);
        reader->value = sfl_value_ref(value);
    }
    reader->attempt = attempt;
    reader->visible = value_bytes;
}

// What a follower has been shown before comes to it as chunks in any case; the rest of a small
// value travels inside the result.
static void show_outcome_locked(struct sfl_call *call, const struct sfl_outcome *outcome)
{
    if (!sfl_reply_value_is_inline(outcome))
        show_value_locked(call, outcome->value, outcome->attempt, outcome->value_bytes);
    else if (outcome->value != call->reader.value)
        drop_reader(call);
}

void sfl_call_on_lead(void *context, struct sfl_member *member, const struct sfl_lead *lead)
{
    struct sfl_call *call = sfl_call_of(member);
    (void)context;
    if (!begin(call))
        return;
    // A promoted follower has no use for what it was to read.
    call->pending &= ~(unsigned)PENDING_RESTART;
    drop_reader(call);
    call->lead = *lead;
    sfl_trace_lead(call->traced, lead->attempt, lead->token);
    if (call->detaches)
        call->deadline_ms = UINT64_MAX;
    end(call, PENDING_LEAD);
}

void sfl_call_on_follow(void *context, struct sfl_member *member, const struct sfl_follow *follow)
{
    struct sfl_call *call = sfl_call_of(member);
    (void)context;
    if (!begin(call))
        return;
    sfl_bytes_unref(call->follow.leader);
    call->follow = (struct sfl_reply_follow){.attempt = follow->attempt,
                                             .running_ms = follow->running_ms,
                                             .leader = sfl_bytes_ref(follow->leader)};
    sfl_trace_follow(call->traced, follow->attempt);
    show_value_locked(call, follow->value, follow->attempt, follow->value_bytes);
    end(call, PENDING_FOLLOW);
}

void sfl_call_on_chunk(void *context, struct sfl_member *member, struct sfl_value *value,
                       uint64_t value_bytes)
{
    struct sfl_call *call = sfl_call_of(member);
    (void)context;
    if (!begin(call))
        return;
    show_value_locked(call, value, call->reader.attempt, value_bytes);
    end(call, 0);
}

void sfl_call_on_restart(void *context, struct sfl_member *member, uint32_t attempt,
                         const struct sfl_bytes *leader)
{
    struct sfl_call *call = sfl_call_of(member);
    (void)context;
    if (!begin(call))
        return;
    drop_reader(call);
    sfl_trace_restart(call->traced, attempt);
    call->reader.attempt = attempt;
    sfl_bytes_unref(call->restart.leader);
    // A reference is taken of bytes that nobody changes.
    call->restart = (struct sfl_reply_restart){
        .attempt = attempt, .leader = sfl_bytes_ref((struct sfl_bytes *)(uintptr_t)leader)};
    end(call, PENDING_RESTART);
}

void sfl_call_on_audience(void *context, struct sfl_member *member,
                          const struct sfl_audience *audience)
{
    struct sfl_call *call = sfl_call_of(member);
    (void)context;
    if (!begin(call))
        return;
    call->audience = *audience;
    end(call, PENDING_AUDIENCE);
}

void sfl_call_on_renewed(void *context, struct sfl_member *member, uint64_t id)
{
    struct sfl_call *call = sfl_call_of(member);
    (void)context;
    if (!begin(call))
        return;
    sfl_renewals_add(call->renewals, id);
    end(call, PENDING_RENEWED);
}

void sfl_call_set_result_locked(struct sfl_call *call, const struct sfl_told_result *said)
{
    if (said->result.led)
        drop_reader(call);
    else
        show_outcome_locked(call, said->result.outcome);
    call->result = *said;
    sfl_trace_result(call->traced, &said->result);
    call->pending |= PENDING_RESULT;
    make_ready_locked(call);
}

static void say_refusal(struct sfl_call *call, const struct sfl_refusal *refusal)
{
    static const struct sfl_fault none = {0};
    struct sfl_refusal said = *refusal;
    // Only then has the fault been set, on this thread; otherwise another one may be setting it.
    bool is_fault = refusal->reason == SFL_REASON_MALFORMED && call->fault.what != NULL;
    if (is_fault)
        said.reason = SFL_REASON_NONE;
    sfl_call_refuse(call, &said, is_fault ? &call->fault : &none);
    sfl_call_drop_engines(call);
}

// `said` comes with its references.
static void say_result(struct sfl_call *call, struct sfl_told_result *said)
{
    if (begin(call)) {
        sfl_call_set_result_locked(call, said);
        sfl_outbox_unlock(call->outbox);
    } else {
        sfl_told_result_release(said);
    }
    sfl_call_drop_engines(call);
}

// It is as if there had been no room for it.
static void refuse_to_retain(struct sfl_result *result)
{
    result->retain_ms = 0;
    result->retain_refused = true;
}

static void on_kept(void *argument, bool is_kept)
{
    struct sfl_call *call = argument;
    sfl_kept_waits_disarm(&call->outbox->transport->kept, &call->member.caller.deadline);
    sfl_outbox_lock(call->outbox);
    bool is_awaited = call->awaits_disk;
    call->awaits_disk = false;
    struct sfl_told_result said = call->result;
    sfl_outbox_unlock(call->outbox);
    if (!is_awaited) { // it has been told something else
        sfl_call_drop_engines(call);
        return;
    }
    if (!is_kept && said.result.retain_ms > 0)
        refuse_to_retain(&said.result);
    say_result(call, &said);
}

// The caller is not joined any more, so its deadline is ours.
static bool await_kept(struct sfl_call *call, const struct sfl_told_result *said)
{
    struct sfl_transport *transport = call->outbox->transport;
    uint64_t token = said->result.outcome->token;
    sfl_outbox_lock(call->outbox);
    call->result = *said; // not pending yet, and nothing else comes of the engine any more
    call->awaits_disk = true;
    sfl_outbox_unlock(call->outbox);
    if (call->deadline_ms != UINT64_MAX)
        sfl_kept_waits_arm(&transport->kept, &call->member.caller.deadline, call->deadline_ms);
    return sfl_engine_await_kept(transport->engine, token, on_kept, call);
}

void sfl_call_on_result(void *context, struct sfl_member *member, const struct sfl_result *result)
{
    struct sfl_call *call = sfl_call_of(member);
    struct sfl_told_result said = {.result = *result};
    (void)context;
    if (result->led && !result->retained)
        sfl_trace_mark(call->traced, result->outcome);
    // A leader goes on from here, and may acknowledge a message: so its outcome is safe by then,
    // and no restart makes it lead again.
    struct sfl_engine *engine = call->outbox->transport->engine;
    if (result->led && (result->retain_ms > 0 || result->lead_was_kept) &&
        sfl_engine_keeps(engine)) {
        if (!await_kept(call, &said))
            on_kept(call, false); // it may be kept, but nobody can say so
        return;
    }
    say_result(call, &said);
}

void sfl_call_on_refuse(void *context, struct sfl_member *member, const struct sfl_refusal *refusal)
{
    (void)context;
    say_refusal(sfl_call_of(member), refusal);
}

// --- what the caller does ---

static void begin_trace(struct sfl_call *call, struct sfl_tracing *tracing,
                        const struct sfl_request *request, const struct sfl_trace_context *trace)
{
    struct sfl_trace_context parent = sfl_trace_context_read(request->traceparent);
    if (request->traceparent.size == 0 && trace != NULL)
        parent = *trace;
    call->traced = sfl_tracing_begin(tracing, &parent, request->join.group);
}

void sfl_call_join(struct sfl_call *call, struct sfl_engine *engine,
                   const struct sfl_request *request, const struct sfl_trace_context *trace,
                   uint64_t now_ms)
{
    const struct sfl_join *join = &request->join;
    struct sfl_tracing *tracing = call->outbox->transport->tracing;
    if (tracing != NULL)
        begin_trace(call, tracing, request, trace);
    // The engine's is the second one. Nobody else knows of the call yet.
    atomic_store_explicit(&call->references, 2, memory_order_relaxed);
    if (join->ends_at_deadline)
        call->deadline_ms = join->deadline_ms;
    call->detaches = join->detach;
    sfl_engine_join(engine, &call->member, join, now_ms);
}

void sfl_call_fail(struct sfl_call *call, struct sfl_engine *engine, const struct sfl_fault *fault,
                   uint64_t now_ms)
{
    if (call->fault.what == NULL)
        call->fault = *fault;
    sfl_engine_leave(engine, &call->member, SFL_REASON_MALFORMED, false, now_ms);
}

static void finish(struct sfl_call *call, struct sfl_engine *engine,
                   const struct sfl_posted_finish *posted, uint64_t now_ms)
{
    struct sfl_finish finish = {
        .kind = posted->outcome.kind,
        .value = posted->outcome.value,
        .details_bytes = posted->outcome.details.size,
        .has_retention = posted->has_retention,
        .retention_ms = posted->retention_ms,
        .pass_on = posted->pass_on,
    };
    if (!sfl_encode_texts(&posted->outcome, &finish.texts)) {
        sfl_engine_leave(engine, &call->member, SFL_REASON_NO_MEMORY, false, now_ms);
        return;
    }
    sfl_engine_finish(engine, &call->member, &finish, now_ms);
    sfl_bytes_unref(finish.texts);
}

// Room for the answer is made before the engine gives it.
static enum sfl_reason reserve_answer(struct sfl_call *call)
{
    sfl_outbox_lock(call->outbox);
    enum sfl_reason reason = sfl_renewals_reserve(&call->renewals, &call->outbox->renewals_room);
    sfl_outbox_unlock(call->outbox);
    return reason;
}

static void renew(struct sfl_call *call, struct sfl_engine *engine, uint64_t id, uint64_t now_ms)
{
    enum sfl_reason reason = id == 0 ? SFL_REASON_NONE : reserve_answer(call);
    if (reason == SFL_REASON_NONE)
        sfl_engine_renew(engine, &call->member, id, now_ms);
    else
        sfl_engine_leave(engine, &call->member, reason, false, now_ms);
}

// Ends the call, whoever has the last word to say.
static void end_early(struct sfl_call *call, struct sfl_engine *engine, enum sfl_reason reason,
                      bool broken, uint64_t now_ms)
{
    sfl_engine_leave(engine, &call->member, reason, broken, now_ms);
    sfl_outbox_lock(call->outbox);
    if (is_owed_its_result_locked(call)) {
        give_up_locked(call, reason);
        make_ready_locked(call);
    }
    sfl_outbox_unlock(call->outbox);
}

static void cancel(struct sfl_call *call, struct sfl_engine *engine, uint64_t now_ms)
{
    end_early(call, engine, SFL_REASON_CANCELLED, true, now_ms);
}

void sfl_call_revoke(struct sfl_call *call, struct sfl_engine *engine, enum sfl_reason reason,
                     uint64_t now_ms)
{
    end_early(call, engine, reason, false, now_ms);
}

void sfl_call_expire(struct sfl_deadline *deadline)
{
    struct sfl_call *call = SFL_CONTAINER_OF(deadline, struct sfl_call, member.caller.deadline);
    sfl_outbox_lock(call->outbox);
    if (is_owed_its_result_locked(call)) {
        give_up_locked(call, SFL_REASON_DEADLINE);
        make_ready_locked(call);
    }
    sfl_outbox_unlock(call->outbox);
}

void sfl_call_step(struct sfl_call *call, struct sfl_engine *engine,
                   const struct sfl_request *request, uint64_t now_ms)
{
    static const struct sfl_fault second_join = {"join", "this caller has joined already"};
    switch ((enum sfl_request_type)request->type) {
    case SFL_REQUEST_JOIN:
        sfl_call_fail(call, engine, &second_join, now_ms);
        return;
    case SFL_REQUEST_CHUNK:
        sfl_engine_chunk(engine, &call->member, &request->chunk, now_ms);
        return;
    case SFL_REQUEST_RENEW:
        renew(call, engine, request->renew.id, now_ms);
        return;
    case SFL_REQUEST_FINISH:
        finish(call, engine, &request->finish, now_ms);
        return;
    case SFL_REQUEST_CANCEL:
        cancel(call, engine, now_ms);
        return;
    case SFL_REQUEST_NONE:
        return;
    }
}

// --- what is told ---

void sfl_call_detach_locked(struct sfl_call *call)
{
    call->is_detached = true;
    sfl_link_remove(&call->in_ready);
}

// The part of the value that travels inside the result, once the chunks are told.
static uint64_t inline_bytes(const struct sfl_call *call)
{
    const struct sfl_result *result = &call->result.result;
    return result->led ? 0 : result->outcome->value_bytes - call->reader.cursor.position;
}

// The type of the next reply, which must be there.
static inline enum sfl_reply_type next_type(const struct sfl_call *call)
{
    unsigned pending = sfl_call_pending_locked(call);
    assert(pending != 0);
    return (enum sfl_reply_type)__builtin_ctz(pending);
}

static uint64_t next_chunk_bytes(const struct sfl_call *call, uint64_t chunk_bytes_max)
{
    uint64_t unread = sfl_call_unread_locked(call);
    return SMALL_REPLY_BYTES + (unread < chunk_bytes_max ? unread : chunk_bytes_max);
}

uint64_t sfl_call_next_bytes_locked(const struct sfl_call *call, uint64_t chunk_bytes_max)
{
    if (sfl_call_pending_locked(call) == 0)
        return 0;
    switch (next_type(call)) {
    case SFL_REPLY_FOLLOW:
    case SFL_REPLY_RESTART:
    case SFL_REPLY_LEAD:
    case SFL_REPLY_RENEWED:
    case SFL_REPLY_AUDIENCE:
        return SMALL_REPLY_BYTES;
    case SFL_REPLY_CHUNK:
        return next_chunk_bytes(call, chunk_bytes_max);
    case SFL_REPLY_RESULT:
        return sfl_reply_texts_bytes(call->result.result.outcome) + inline_bytes(call);
    case SFL_REPLY_END:
        break;
    }
    return SFL_STATUS_TEXT_MAX;
}

bool sfl_call_ends_chunks_locked(const struct sfl_call *call)
{
    return call->reader.sequence > 0 && next_type(call) == SFL_REPLY_RESULT;
}

static void take_lead(const struct sfl_call *call, struct sfl_reply_lead *told)
{
    const struct sfl_transport *transport = call->outbox->transport;
    const struct sfl_lead *lead = &call->lead;
    told->lead = *lead;
    told->result_limit = transport->limits->value_bytes_max;
    told->silence_ms = lead->lease_ms > 0 ? lead->lease_ms : transport->silence_ms;
}

static uint64_t take_renewed(struct sfl_call *call)
{
    bool is_last = false;
    uint64_t id = sfl_renewals_take(call->renewals, &is_last);
    if (!is_last)
        call->pending |= PENDING_RENEWED;
    return id;
}

static void take_chunk(struct sfl_call *call, uint64_t chunk_bytes_max,
                       struct sfl_reply_chunk *chunk)
{
    struct sfl_reader *reader = &call->reader;
    *chunk = (struct sfl_reply_chunk){
        .data = sfl_value_read(reader->value, reader->visible, &reader->cursor,
                               (size_t)chunk_bytes_max),
        .sequence = reader->sequence++,
        .attempt = reader->attempt,
        .value = sfl_value_ref(reader->value),
    };
}

static void take_result(struct sfl_call *call, struct sfl_reply_result *result)
{
    result->told = call->result;
    result->cursor = call->reader.cursor;
    result->inline_bytes = inline_bytes(call);
}

void sfl_call_take_locked(struct sfl_call *call, uint64_t chunk_bytes_max,
                          struct sfl_reply *reply_out)
{
    if (call->deadline_ms != UINT64_MAX && is_catching_up_locked(call) &&
        sfl_clock_now_ms() >= call->deadline_ms)
        give_up_locked(call, SFL_REASON_DEADLINE);
    enum sfl_reply_type type = next_type(call);
    reply_out->type = type;
    reply_out->id = call->id;
    call->pending &= ~(1U << type);
    switch (type) {
    case SFL_REPLY_FOLLOW:
        reply_out->follow = call->follow;
        call->follow.leader = NULL;
        break;
    case SFL_REPLY_RESTART:
        reply_out->restart = call->restart;
        call->restart.leader = NULL;
        break;
    case SFL_REPLY_CHUNK:
        take_chunk(call, chunk_bytes_max, &reply_out->chunk);
        break;
    case SFL_REPLY_LEAD:
        take_lead(call, &reply_out->lead);
        break;
    case SFL_REPLY_RENEWED:
        reply_out->renewed_id = take_renewed(call);
        break;
    case SFL_REPLY_AUDIENCE:
        reply_out->audience = call->audience;
        break;
    case SFL_REPLY_RESULT:
        take_result(call, &reply_out->result);
        sfl_trace_told(call->traced);
        break;
    case SFL_REPLY_END:
        reply_out->end = call->end;
        sfl_trace_told(call->traced);
        break;
    }
}
