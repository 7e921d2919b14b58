// SPDX-License-Identifier: Apache-2.0
// What the server says to a seat.
#include "src/seat_private.h"

#include <stdio.h>

// A leader's name is cut there; servers take at most 128 bytes.
#define NAME_SIZE 256

// --------------------------------------------------------------------------------------- results

static struct singleflight_result facts_of(const struct sfl_answer_result *result)
{
    return (struct singleflight_result){
        .shared = result->shared,
        .callers = result->callers,
        .attempt = result->attempt,
        .token = result->token,
        .retained = result->retained,
        .age_ms = result->age_ms,
        .retain_ms = result->retain_ms,
        .retain_refused = result->retain_refused,
    };
}

// Ends all calls with one outcome, which it takes; the merged ones count as callers of their own.
static void end_all(struct sfl_seat *seat, struct sfl_outcome *outcome,
                    const struct sfl_answer_result *result)
{
    struct singleflight_result facts = facts_of(result);
    struct singleflight_call *leading = NULL;
    if (result->led)
        leading = seat->leader != NULL ? seat->leader->call : sfl_seat_first_call(seat);
    size_t count = sfl_seat_call_count(seat);
    if (!result->retained && count > 1) {
        facts.callers += (uint32_t)count - 1;
        facts.shared = true;
    }
    sfl_outcome_share(outcome, count);
    struct singleflight_call *call;
    while ((call = sfl_seat_first_call(seat)) != NULL) {
        facts.led = call == leading;
        facts.stale =
            result->retained && !result->led && sfl_call_takes_for_stale(call, result->age_ms);
        if (facts.stale)
            sfl_call_serve_stale(call, sfl_result_of_outcome(outcome, &facts));
        else
            sfl_call_end(call, sfl_result_of_outcome(outcome, &facts));
    }
    sfl_seat_leave(seat);
}

// Takes bytes of the value: to on_chunk if the calls are live, and to the result if that is wanted.
// False: the seat is gone.
static bool take_bytes(struct sfl_seat *seat, struct sfl_span bytes)
{
    if (bytes.size == 0)
        return true;
    size_t bytes_max = seat->client->settings.result_bytes_max;
    if (bytes.size > bytes_max || seat->value_bytes > bytes_max - bytes.size) {
        char why[128];
        snprintf(why, sizeof(why), "the value is larger than result_bytes_max, which is %zu",
                 bytes_max);
        sfl_seat_end(seat, SINGLEFLIGHT_RESOURCE_EXHAUSTED, why);
        return false;
    }
    seat->value_bytes += bytes.size;
    struct singleflight_call *call = sfl_seat_first_call(seat); // live calls sit alone
    if (seat->join->options.live && call != NULL && call->events.on_chunk != NULL) {
        seat->has_told = true;
        call->events.on_chunk(call->context, bytes.data, bytes.size);
    }
    if (seat->join->options.no_value)
        return true;
    if (sfl_value_append(&seat->value, bytes) != SFL_OK) {
        sfl_seat_end(seat, SINGLEFLIGHT_RESOURCE_EXHAUSTED, "there is no memory for the value");
        return false;
    }
    return true;
}

// The server does not send the leader's own value back: its outcome is made of what it has here.
static void on_own_result(struct sfl_seat *seat, const struct sfl_answer_result *result)
{
    end_all(seat, sfl_leader_outcome(seat->leader), result);
}

static bool is_over_limit(const struct sfl_answer_outcome *outcome)
{
    return sfl_span_equal(outcome->type, sfl_span_of_text(SINGLEFLIGHT_TYPE_LIMIT_EXCEEDED));
}

// The server has made another outcome of ours: a limit that the value met, or a loss that was held.
static bool is_changed(const struct sfl_seat *seat, const struct sfl_answer_result *result)
{
    return result->has_outcome &&
           ((int)seat->leader->outcome != result->outcome.kind || is_over_limit(&result->outcome));
}

// Settled without us, while our function runs. What met a limit need not end the work.
static void lose_leader(struct sfl_seat *seat, const struct sfl_answer_outcome *outcome)
{
    char why[SFL_SEAT_WHY_SIZE] = "the flight has ended without this leader";
    enum singleflight_status status = SINGLEFLIGHT_ABORTED;
    if (is_over_limit(outcome)) {
        status = SINGLEFLIGHT_RESOURCE_EXHAUSTED;
        sfl_answer_text(outcome->message, why, sizeof(why));
    }
    sfl_call_lose(seat->leader->call, seat->leader, status, why);
}

static void on_result(struct sfl_seat *seat, const struct sfl_answer_result *result)
{
    sfl_session_remove(seat->session, seat);
    bool is_ours = seat->state == SFL_SEAT_FINISHING && result->led && !is_changed(seat, result);
    if (is_ours) {
        on_own_result(seat, result);
        return;
    }
    if (!result->has_outcome) {
        sfl_seat_end(seat, SINGLEFLIGHT_INTERNAL, "the server sent a result without an outcome");
        return;
    }
    sfl_seat_tell_restart(seat, result->attempt, "");
    if (!take_bytes(seat, result->outcome.value))
        return;
    if (!result->led && result->value_bytes != seat->value_bytes) {
        char why[128];
        snprintf(why, sizeof(why), "%llu bytes of a value of %llu have come",
                 (unsigned long long)seat->value_bytes, (unsigned long long)result->value_bytes);
        sfl_seat_end(seat, SINGLEFLIGHT_INTERNAL, why);
        return;
    }
    if (seat->leader != NULL)
        lose_leader(seat, &result->outcome);
    struct sfl_value *value = seat->value;
    seat->value = NULL;
    end_all(seat, sfl_outcome_read(&result->outcome, value), result);
}

// ------------------------------------------------------------------------------------------ ends

static void on_end(struct sfl_seat *seat, const struct sfl_answer_end *end)
{
    int code = end->code;
    char text[SFL_SEAT_WHY_SIZE];
    sfl_answer_text(end->message, text, sizeof(text));
    struct sfl_session *session = seat->session;
    bool was_answered = seat->answered;
    sfl_session_remove(session, seat);
    // Draining, or its coordinator is away: as if the stream had broken. Nobody here has cancelled
    // the call, so CANCELLED is what became of it on its way through a server that ends.
    if (code == SINGLEFLIGHT_UNAVAILABLE || code == SINGLEFLIGHT_CANCELLED) {
        if (!was_answered)
            sfl_server_on_session_refuses(seat->server, session, text);
        else
            sfl_session_retire(session);
        sfl_seat_on_session_over(seat, code, text);
        return;
    }
    sfl_server_on_session_up(seat->server, session);
    if (code == SINGLEFLIGHT_UNAUTHENTICATED) // the next one shows the token that holds now
        sfl_session_retire(session);
    if (seat->state == SFL_SEAT_CONFIRMING && code == SINGLEFLIGHT_ABORTED) {
        sfl_seat_on_session_over(seat, code, text); // somebody else leads by now: it follows
        return;
    }
    enum singleflight_status status = sfl_error_of_code(code);
    if (status == SINGLEFLIGHT_OK)
        status = SINGLEFLIGHT_INTERNAL;
    if (seat->leader != NULL)
        sfl_seat_lose(seat, status, text);
    else
        sfl_seat_end(seat, status, text);
}

// ---------------------------------------------------------------------------------------- others

// A lead that comes long after the join may be over by now: a function begins when the server has
// said that it is not.
static void begin_lead(struct sfl_seat *seat, const struct sfl_answer_lead *lead)
{
    seat->terms = (struct sfl_leader_terms){
        .token = lead->token,
        .attempt = lead->attempt,
        .lease_ms = lead->lease_ms,
        .run_limit_ms = lead->run_limit_ms,
        .result_limit = lead->result_limit,
        .keeps_value = !seat->join->options.no_value || lead->lease_ms > 0,
    };
    seat->first_sequence = lead->next_sequence;
    seat->state = SFL_SEAT_CONFIRMING;
    if (sfl_seat_hold_begin(seat, lead->silence_ms))
        sfl_seat_lead(seat);
}

static void on_lead(struct sfl_seat *seat, const struct sfl_answer_lead *lead)
{
    if (seat->join->options.role == SINGLEFLIGHT_ROLE_FOLLOW_ONLY) {
        sfl_seat_end(seat, SINGLEFLIGHT_INTERNAL, "the server told one to lead that only follows");
        return;
    }
    if (seat->leader == NULL) {
        sfl_seat_set_answered(seat);
        begin_lead(seat, lead);
        return;
    }
    if (seat->answered)
        return; // it leads already
    if (lead->token == seat->leader->terms.token) {
        sfl_seat_resumed(seat, lead);
        return;
    }
    sfl_seat_end(seat, SINGLEFLIGHT_INTERNAL, "the server resumed another lead");
}

static void observe_follow(struct sfl_seat *seat, uint32_t attempt)
{
    seat->followed_attempt = attempt;
    for (struct sfl_link *at = sfl_list_first(&seat->calls); at != NULL;
         at = sfl_list_next(&seat->calls, at))
        sfl_observe_follow(SFL_CONTAINER_OF(at, struct singleflight_call, seat_link), attempt);
}

static void on_follow(struct sfl_seat *seat, const struct sfl_answer_follow *follow)
{
    if (seat->state == SFL_SEAT_JOINING || seat->state == SFL_SEAT_FOLLOWING)
        observe_follow(seat, follow->attempt);
    if (seat->state != SFL_SEAT_JOINING)
        return;
    sfl_seat_set_answered(seat);
    seat->state = SFL_SEAT_FOLLOWING;
    char leader[NAME_SIZE];
    sfl_answer_text(follow->leader, leader, sizeof(leader));
    sfl_seat_tell_restart(seat, follow->attempt, leader);
    for (struct sfl_link *at = sfl_list_first(&seat->calls); at != NULL;
         at = sfl_list_next(&seat->calls, at)) {
        struct singleflight_call *call = SFL_CONTAINER_OF(at, struct singleflight_call, seat_link);
        if (call->events.on_follow != NULL)
            call->events.on_follow(call->context, follow->attempt, leader, follow->running_ms);
    }
}

static void on_chunk(struct sfl_seat *seat, const struct sfl_answer_chunk *chunk)
{
    if (seat->leader != NULL)
        return;
    sfl_seat_set_answered(seat);
    sfl_seat_tell_restart(seat, chunk->attempt, "");
    if (chunk->sequence != seat->next_sequence) {
        sfl_seat_end(seat, SINGLEFLIGHT_INTERNAL, "a chunk of the value is missing");
        return;
    }
    seat->next_sequence++;
    take_bytes(seat, chunk->data);
}

static void on_restart(struct sfl_seat *seat, const struct sfl_answer_restart *restart)
{
    if (seat->leader != NULL)
        return;
    sfl_seat_clear_value(seat);
    seat->is_void = seat->join->options.live;
    char leader[NAME_SIZE];
    sfl_answer_text(restart->leader, leader, sizeof(leader));
    sfl_seat_tell_restart(seat, restart->attempt, leader);
}

static void on_audience(struct sfl_seat *seat, const struct sfl_answer_audience *audience)
{
    seat->has_audience = true;
    seat->followers = audience->followers;
    seat->latest_deadline_ms = audience->latest_deadline_ms;
    bool is_for_nobody =
        seat->state == SFL_SEAT_LEADING && seat->followers == 0 && sfl_list_is_empty(&seat->calls);
    if (is_for_nobody)
        sfl_seat_end(seat, SINGLEFLIGHT_CANCELLED, "nobody waits for the outcome any more");
    else
        sfl_seat_tell_audience(seat);
}

static void on_renewed(struct sfl_seat *seat, const struct sfl_answer_renewed *renewed)
{
    sfl_seat_hold_renewed(seat, renewed);
    if (seat->state == SFL_SEAT_CONFIRMING && sfl_clock_boot_ms() < seat->hold.until_ms)
        sfl_seat_lead(seat);
}

// To one that has left. A lead with a lease that crossed the `cancel` would hold the flight until
// the lease is over: it is taken back under a new id, and given up.
static void on_frame_for_nobody(struct sfl_seat *seat, const struct sfl_answer *frame)
{
    if (!sfl_answer_refuses(frame))
        sfl_server_on_session_up(seat->server, seat->session);
    if (frame->type == SFL_ANSWER_END || frame->type == SFL_ANSWER_RESULT) {
        sfl_seat_destroy(seat);
        return;
    }
    if (frame->type != SFL_ANSWER_LEAD || frame->lead.lease_ms == 0 || seat->abandons)
        return;
    seat->crossed_token = frame->lead.token;
    seat->abandons = true;
    seat->wants_join = true;
    seat->wants_cancel = true;
    sfl_session_renumber(seat->session, seat);
}

void sfl_seat_on_frame(struct sfl_seat *seat, const struct sfl_answer *frame)
{
    if (seat->state == SFL_SEAT_LEAVING) {
        on_frame_for_nobody(seat, frame);
        return;
    }
    switch ((enum sfl_answer_type)frame->type) {
    case SFL_ANSWER_LEAD:
        on_lead(seat, &frame->lead);
        return;
    case SFL_ANSWER_FOLLOW:
        on_follow(seat, &frame->follow);
        return;
    case SFL_ANSWER_CHUNK:
        on_chunk(seat, &frame->chunk);
        return;
    case SFL_ANSWER_RESTART:
        on_restart(seat, &frame->restart);
        return;
    case SFL_ANSWER_AUDIENCE:
        on_audience(seat, &frame->audience);
        return;
    case SFL_ANSWER_RESULT:
        sfl_server_on_session_up(seat->server, seat->session);
        on_result(seat, &frame->result);
        return;
    case SFL_ANSWER_END:
        on_end(seat, &frame->end);
        return;
    case SFL_ANSWER_RENEWED:
        on_renewed(seat, &frame->renewed);
        return;
    case SFL_ANSWER_NONE:
        return; // a step of a later server
    }
}
