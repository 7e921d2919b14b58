// SPDX-License-Identifier: Apache-2.0
// The leader's side of a seat: the lead comes, is renewed, resumed, lost, or ends with an outcome.
#include "src/seat_private.h"

#include "src/constants.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

static void tell_drained(struct sfl_seat *seat)
{
    struct singleflight_call *call = seat->leader->call;
    if (call->leader == seat->leader && !call->ended && call->events.on_drained != NULL)
        call->events.on_drained(call->context, seat->leader);
}

// With fail_open a function that has begun goes on to its end when its server is gone: what it
// makes is for the callers here. False: it is no such call, or they have all left.
static bool goes_on_alone(struct sfl_seat *seat)
{
    if (!seat->join->options.fail_open || sfl_list_is_empty(&seat->calls))
        return false;
    bool has_finished = seat->state == SFL_SEAT_FINISHING;
    sfl_seat_hold_end(seat);
    sfl_seat_leave_place(seat);
    seat->state = SFL_SEAT_ALONE;
    if (!seat->leader->call->ended)
        sfl_observe_alone(seat->leader->call, &seat->leader->terms);
    // Who waits until something is sent would wait for ever.
    if (sfl_leader_go_on_alone(seat->leader))
        tell_drained(seat);
    seat->followers = 0; // elsewhere: they hear nothing of it any more
    seat->latest_deadline_ms = 0;
    if (has_finished)
        sfl_seat_finish_alone(seat);
    else
        sfl_seat_tell_audience(seat);
    return true;
}

void sfl_seat_run_out(struct sfl_seat *seat, const char *why)
{
    if (!goes_on_alone(seat))
        sfl_seat_lose(seat, SINGLEFLIGHT_ABORTED, why);
}

// ----------------------------------------------------------------------------- the lead comes

void sfl_seat_lead(struct sfl_seat *seat)
{
    assert(seat->leader == NULL);
    struct singleflight_call *call = sfl_seat_first_call(seat);
    seat->leader = sfl_leader_begin(seat, call, &seat->terms);
    if (seat->state != SFL_SEAT_ALONE)
        seat->state = SFL_SEAT_LEADING;
    seat->is_void = seat->is_void || seat->has_told;
    sfl_seat_clear_value(seat);
    sfl_seat_hold_show(seat);
    sfl_seat_tell_restart(seat, seat->terms.attempt, call->join.options.caller);
    sfl_seat_tell_audience(seat);
    sfl_observe_lead(call, &seat->terms, seat->state == SFL_SEAT_ALONE);
    for (struct sfl_link *at = sfl_list_next(&seat->calls, &call->seat_link); at != NULL;
         at = sfl_list_next(&seat->calls, at))
        sfl_observe_follow(SFL_CONTAINER_OF(at, struct singleflight_call, seat_link),
                           seat->state == SFL_SEAT_ALONE ? 0 : seat->terms.attempt);
    sfl_call_lead(call, seat->leader);
}

void sfl_seat_on_leader_changed(struct sfl_seat *seat, bool finished)
{
    if (finished && seat->state == SFL_SEAT_ALONE) {
        sfl_seat_finish_alone(seat);
        return;
    }
    if (finished && seat->state == SFL_SEAT_LEADING) {
        struct singleflight_leader *leader = seat->leader;
        seat->state = SFL_SEAT_FINISHING;
        sfl_map_remove(&seat->client->merging, &seat->merge_node);
        if (seat->answered) // else it may still have to send its join, to resume
            sfl_link_remove(&seat->ready_link);
        bool passes_on = leader->passes_on && leader->outcome != SINGLEFLIGHT_OUTCOME_OK &&
                         seat->join->options.on_leader_loss == SINGLEFLIGHT_LEADER_LOSS_PROMOTE;
        if (passes_on)
            sfl_seat_split(seat, leader->call); // their join travels before the `finish`
        seat->wants_finish = true;
    }
    if (seat->session != NULL && seat->answered)
        sfl_session_ready(seat->session, seat);
}

// The latest deadline of the merged callers that wait beside the leader's own, from now; 0: one of
// them has none.
static uint64_t latest_of_merged_ms(const struct sfl_seat *seat, uint64_t now_ms)
{
    uint64_t latest_ms = 1;
    for (struct sfl_link *at = sfl_list_first(&seat->calls); at != NULL;
         at = sfl_list_next(&seat->calls, at)) {
        struct singleflight_call *call = SFL_CONTAINER_OF(at, struct singleflight_call, seat_link);
        if (call == seat->leader->call)
            continue;
        if (call->deadline_ms == UINT64_MAX)
            return 0;
        if (call->deadline_ms > now_ms + latest_ms)
            latest_ms = call->deadline_ms - now_ms;
    }
    return latest_ms;
}

void sfl_seat_tell_audience(struct sfl_seat *seat)
{
    if (seat->leader == NULL || !seat->join->options.audience)
        return;
    uint64_t now_ms = sfl_clock_boot_ms();
    struct singleflight_call *call = seat->leader->call;
    size_t merged = sfl_seat_call_count(seat) - (call->seat == seat ? 1 : 0);
    if (merged > 0)
        seat->has_audience = true; // somebody has waited
    if (!seat->has_audience)
        return;
    uint64_t latest_ms = seat->latest_deadline_ms;
    if (merged > 0) {
        uint64_t merged_ms = latest_of_merged_ms(seat, now_ms);
        bool endless = merged_ms == 0 || (seat->followers > 0 && latest_ms == 0);
        latest_ms = endless ? 0 : merged_ms > latest_ms ? merged_ms : latest_ms;
    }
    sfl_leader_set_audience(seat->leader, seat->followers + (uint32_t)merged, latest_ms);
    if (call->leader == seat->leader && !call->ended && call->events.on_audience != NULL)
        call->events.on_audience(call->context, seat->leader);
}

// ------------------------------------------------------------------------------- broken streams

void sfl_seat_resume(struct sfl_seat *seat)
{
    const struct sfl_leader_terms *terms = &seat->leader->terms;
    if (terms->lease_ms == 0) {
        if (goes_on_alone(seat))
            return;
        sfl_seat_lose(seat, SINGLEFLIGHT_ABORTED,
                      seat->state == SFL_SEAT_FINISHING
                          ? "the connection broke before the server confirmed the outcome: it may "
                            "or may not have reached the followers"
                          : "the lead is lost: the connection to the server broke, and there is "
                            "no lease (lease_ms) that would outlive it");
        return;
    }
    seat->answered = false;
    sfl_seat_hold_break(seat);
    sfl_seat_place(seat);
}

void sfl_seat_resumed(struct sfl_seat *seat, const struct sfl_answer_lead *lead)
{
    sfl_seat_set_answered(seat);
    uint64_t next_sequence = lead->next_sequence;
    uint64_t sent = seat->first_sequence + seat->chunk_count;
    if (next_sequence < seat->first_sequence || next_sequence > sent) {
        sfl_seat_end(seat, SINGLEFLIGHT_INTERNAL,
                     "the server resumed the lead at a chunk that was never posted");
        return;
    }
    seat->chunk_count = next_sequence - seat->first_sequence;
    size_t arrived = seat->chunk_count == 0 ? 0 : seat->chunk_ends[seat->chunk_count - 1];
    sfl_leader_rewind(seat->leader, arrived);
    seat->wants_finish = seat->state == SFL_SEAT_FINISHING;
    (void)sfl_seat_hold_begin(seat, lead->silence_ms);
    sfl_session_ready(seat->session, seat);
}

void sfl_seat_lose(struct sfl_seat *seat, enum singleflight_status status, const char *why)
{
    if (status == SINGLEFLIGHT_ABORTED)
        sfl_seat_split(seat, seat->leader->call);
    sfl_seat_end(seat, status, why);
}

// ------------------------------------------------------------------------------------------ alone

void sfl_seat_finish_alone(struct sfl_seat *seat)
{
    struct singleflight_call *leading = seat->leader->call;
    bool passes_on = seat->leader->passes_on && seat->leader->outcome != SINGLEFLIGHT_OUTCOME_OK;
    if (passes_on)
        sfl_seat_split(seat, leading);
    struct sfl_outcome *outcome = sfl_leader_outcome(seat->leader);
    const struct sfl_leader_terms *terms = &seat->leader->terms;
    struct singleflight_result facts = {
        .attempt = terms->attempt, .token = terms->token, .failed_open = true};
    size_t count = sfl_seat_call_count(seat);
    facts.callers = (uint32_t)count;
    facts.shared = count > 1;
    sfl_outcome_share(outcome, count);
    struct singleflight_call *call;
    while ((call = sfl_seat_first_call(seat)) != NULL) {
        facts.led = call == leading;
        sfl_call_end(call, sfl_result_of_outcome(outcome, &facts));
    }
    sfl_seat_destroy(seat);
}

// --------------------------------------------------------------------------------- frames to send

// Whether it has to know who waits elsewhere: a function goes on for them when its caller leaves.
static bool needs_audience(const struct sfl_seat *seat)
{
    if (seat->join->options.audience || seat->join->options.role == SINGLEFLIGHT_ROLE_FOLLOW_ONLY)
        return false; // it is asked for already; or it never leads
    for (struct sfl_link *at = sfl_list_first(&seat->calls); at != NULL;
         at = sfl_list_next(&seat->calls, at)) {
        if (SFL_CONTAINER_OF(at, struct singleflight_call, seat_link)->may_leave)
            return true;
    }
    return false;
}

static enum sfl_status add_join(struct sfl_seat *seat, struct sfl_frames *frames)
{
    bool resumes = seat->leader != NULL;
    struct sfl_join_extras extras = {
        .resume_token = resumes ? seat->terms.token : seat->join->options.resume_token,
        .audience = needs_audience(seat),
        .within = seat->founder->within_wire,
        .traceparent = sfl_span_of_text(seat->join->options.traceparent),
    };
    if (seat->crossed_token != 0)
        extras.resume_token = seat->crossed_token;
    uint64_t now_ms = seat->session->outbox_since_ms;
    if (seat->deadline_ms != UINT64_MAX && !resumes)
        extras.timeout_ms = seat->deadline_ms > now_ms ? seat->deadline_ms - now_ms : 1;
    enum sfl_status status = sfl_frames_add_join(frames, seat->id, seat->join->wire, &extras);
    if (status != SFL_OK)
        return status;
    seat->joined_ms = now_ms;
    seat->wants_join = false;
    return SFL_OK;
}

// With a lease the ends of chunks are remembered, for a resume.
static enum sfl_status note_chunk(struct sfl_seat *seat, size_t size)
{
    if (seat->leader->terms.lease_ms == 0) {
        seat->chunk_count++;
        return SFL_OK;
    }
    if (seat->chunk_count == seat->chunk_capacity) {
        size_t capacity = seat->chunk_capacity == 0 ? 16 : seat->chunk_capacity * 2;
        size_t *ends = realloc(seat->chunk_ends, capacity * sizeof(*ends));
        if (ends == NULL)
            return SFL_NO_MEMORY;
        seat->chunk_ends = ends;
        seat->chunk_capacity = capacity;
    }
    size_t before = seat->chunk_count == 0 ? 0 : seat->chunk_ends[seat->chunk_count - 1];
    seat->chunk_ends[seat->chunk_count++] = before + size;
    return SFL_OK;
}

// Takes the next part of the value out of the leader, which learns when there is room again.
static void take_part(struct sfl_seat *seat, uint8_t *to, size_t size)
{
    if (sfl_leader_take(seat->leader, to, size))
        tell_drained(seat);
}

static enum sfl_status add_chunk(struct sfl_seat *seat, struct sfl_frames *frames, size_t unsent)
{
    size_t size = unsent < SFL_CHUNK_BYTES_MAX ? unsent : SFL_CHUNK_BYTES_MAX;
    uint64_t sequence = seat->first_sequence + seat->chunk_count;
    enum sfl_status status = note_chunk(seat, size);
    if (status != SFL_OK)
        return status;
    uint8_t *data = NULL;
    status = sfl_frames_add_chunk(frames, seat->id, sequence, size, &data);
    if (status == SFL_OK)
        take_part(seat, data, size);
    return status;
}

// What is left of the value (at most one chunk) travels with the outcome.
static enum sfl_status add_finish(struct sfl_seat *seat, struct sfl_frames *frames, size_t unsent)
{
    struct singleflight_leader *leader = seat->leader; // finished: the program is done with it
    struct sfl_finish finish = sfl_outcome_to_wire(leader->outcome, &leader->failure);
    finish.value_bytes = unsent;
    // A refresh that fails keeps nothing: the old outcome is served on.
    bool is_failed_refresh =
        leader->call->refresh != NULL && leader->outcome != SINGLEFLIGHT_OUTCOME_OK;
    finish.has_retention = leader->has_retain && !is_failed_refresh;
    finish.retain_ms = leader->retain_ms;
    finish.passes_on = leader->passes_on && leader->outcome != SINGLEFLIGHT_OUTCOME_OK;
    uint8_t *value = NULL;
    enum sfl_status status = sfl_frames_add_finish(frames, seat->id, &finish, &value);
    if (status != SFL_OK)
        return status;
    seat->wants_finish = false;
    take_part(seat, value, unsent);
    return SFL_OK;
}

// The last frame of a stand-in: a plain leave, or what gives a lease back at once. After the first
// it waits for the server's answer.
static enum sfl_status add_leave(struct sfl_seat *seat, struct sfl_frames *frames)
{
    seat->wants_cancel = false;
    if (!seat->abandons)
        return sfl_frames_add_cancel(frames, seat->id);
    static const struct sfl_failure failure = {.message = (char *)"the leader left"};
    struct sfl_finish finish = sfl_outcome_to_wire(SINGLEFLIGHT_OUTCOME_ABANDONED, &failure);
    finish.passes_on = true;
    uint8_t *no_value = NULL;
    return sfl_frames_add_finish(frames, seat->id, &finish, &no_value);
}

enum sfl_status sfl_seat_next_frame(struct sfl_seat *seat, struct sfl_frames *frames,
                                    bool *more_out)
{
    *more_out = seat->wants_join && seat->wants_cancel;
    if (seat->wants_join)
        return add_join(seat, frames);
    if (seat->wants_cancel)
        return add_leave(seat, frames);
    if (seat->state == SFL_SEAT_CONFIRMING && seat->wants_renew)
        return sfl_seat_add_renew(seat, frames);
    if (seat->leader == NULL || !seat->answered)
        return SFL_OK;
    size_t unsent = sfl_leader_peek(seat->leader);
    *more_out = true;
    if (seat->wants_renew)
        return sfl_seat_add_renew(seat, frames);
    if (unsent > 0 && (!seat->wants_finish || unsent > SFL_CHUNK_BYTES_MAX))
        return add_chunk(seat, frames, unsent);
    *more_out = false;
    return seat->wants_finish ? add_finish(seat, frames, unsent) : SFL_OK;
}

bool sfl_seat_has_final_frame(const struct sfl_seat *seat)
{
    if (seat->wants_join)
        return !seat->wants_cancel;
    return seat->wants_finish && !seat->wants_renew && seat->answered &&
           sfl_leader_peek(seat->leader) <= SFL_CHUNK_BYTES_MAX;
}

bool sfl_seat_is_gone(const struct sfl_seat *seat)
{
    return seat->abandons && !seat->wants_cancel;
}
