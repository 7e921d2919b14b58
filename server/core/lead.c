// SPDX-License-Identifier: Apache-2.0
// Who leads a flight, what the leader posts, and how the lead is lost.
#include "core/step_private.h"

#include <assert.h>

static struct sfl_caller *caller_of(const struct sfl_link *link)
{
    return SFL_CONTAINER_OF(link, struct sfl_caller, in_followers);
}

static bool may_lead(const struct sfl_caller *caller)
{
    return caller->role != SFL_ROLE_FOLLOW_ONLY && !caller->half_closed;
}

struct sfl_caller *sfl_flight_candidate(const struct sfl_flight *flight)
{
    const struct sfl_link *link = sfl_list_first(&flight->followers);
    while (link != NULL && !may_lead(caller_of(link)))
        link = sfl_list_next(&flight->followers, link);
    return link == NULL ? NULL : caller_of(link);
}

void sfl_flight_extend_lease(struct sfl_step *step, struct sfl_flight *flight)
{
    if (flight->lease_ms > 0)
        flight->lease_until_ms = step->now_ms + flight->lease_ms;
    if (flight->overdue)
        sfl_flight_end_overdue(step->table, flight);
    uint64_t run_until_ms = sfl_flight_run_until_ms(flight);
    uint64_t at_ms = flight->lease_until_ms < run_until_ms ? flight->lease_until_ms : run_until_ms;
    sfl_flight_arm(&step->table->pages, flight, at_ms);
}

void sfl_flight_find_home(struct sfl_step *step, struct sfl_flight *flight)
{
    flight->state = SFL_FLIGHT_FINDING_HOME;
    flight->home_owed = true;
    struct sfl_effect *effect = sfl_step_push(step, SFL_EFFECT_FIND_HOME);
    effect->flight = flight;
}

static bool attempts_are_used(const struct sfl_flight *flight)
{
    return flight->max_attempts > 0 && flight->attempt >= flight->max_attempts;
}

bool sfl_flight_may_go_on(const struct sfl_flight *flight)
{
    return flight->on_leader_loss == SFL_LEADER_LOSS_PROMOTE && !attempts_are_used(flight);
}

// Live followers may have read of a later attempt than the kept outcome's: that is void, and they
// are told so with the outcome (struct sfl_settled).
static void settle_with_kept(struct sfl_step *step, struct sfl_flight *flight)
{
    struct sfl_outcome *kept = flight->past->kept;
    flight->kept_won = kept->attempt != flight->attempt;
    sfl_flight_settle(step, flight, kept, NULL);
}

// Nobody is left to try: a leader's error that was passed on is the outcome, or there is none.
static void give_up(struct sfl_step *step, struct sfl_flight *flight, enum sfl_reason reason)
{
    if (flight->past != NULL && flight->past->kept != NULL) {
        settle_with_kept(step, flight);
        return;
    }
    struct sfl_refusal refusal = sfl_flight_loss(flight, reason, flight->loss);
    refusal.a = flight->max_attempts;
    sfl_flight_abort(step, flight, &refusal);
}

// The loss is the outcome: nobody tries again.
static void hold(struct sfl_step *step, struct sfl_flight *flight)
{
    struct sfl_refusal refusal = sfl_flight_loss(flight, SFL_REASON_LOST, flight->loss);
    struct sfl_outcome *outcome =
        sfl_flight_describe(step->table, flight, SFL_OUTCOME_ABANDONED, &refusal, flight->value);
    if (outcome == NULL) {
        sfl_flight_abort(step, flight, &refusal);
        return;
    }
    flight->value = NULL; // the outcome's now
    outcome->retain_ms = flight->retain_error_ms;
    sfl_flight_settle(step, flight, outcome, NULL);
}

// The flight has lost its leader, who has been detached or is flight->fenced.
static void end_attempt(struct sfl_step *step, struct sfl_flight *flight, enum sfl_loss loss)
{
    assert(flight->leader == NULL);
    flight->loss = loss;
    flight->due_ms = UINT64_MAX;
    sfl_flight_end_overdue(step->table, flight);
    // A held loss takes the lead's place where it is kept, so it comes there first: see settle.
    if (flight->on_leader_loss != SFL_LEADER_LOSS_HOLD)
        sfl_flight_unlead(step, flight);
    if (loss == SFL_LOSS_PASSED_ON)
        return;
    SFL_COUNT(step->table, flight->group, leaders_lost, 1);
    step->table->tally.losses[loss]++;
}

static void next_attempt(struct sfl_step *step, struct sfl_flight *flight, enum sfl_loss loss)
{
    end_attempt(step, flight, loss);
    if (flight->on_leader_loss == SFL_LEADER_LOSS_HOLD) {
        hold(step, flight);
    } else if (flight->on_leader_loss == SFL_LEADER_LOSS_FAIL) {
        give_up(step, flight, SFL_REASON_LOSS_IS_FAIL);
    } else if (attempts_are_used(flight)) {
        give_up(step, flight, SFL_REASON_ATTEMPTS_USED);
    } else if (sfl_flight_candidate(flight) == NULL) {
        give_up(step, flight, SFL_REASON_NOBODY_LEADS);
    } else {
        sfl_flight_remember_loss(step->table, flight);
        sfl_flight_drop_value(step->table, flight);
        sfl_flight_find_home(step, flight);
    }
}

// The leader's stream ends with an error of its own: it is lost at once, with or without a lease.
static void fail_leader(struct sfl_step *step, struct sfl_flight *flight,
                        const struct sfl_refusal *refusal)
{
    struct sfl_caller *leader = flight->leader;
    sfl_caller_detach(step->table, leader);
    sfl_step_count_refusal(step, flight->group, refusal->reason);
    sfl_step_refuse(step, leader, refusal);
    next_attempt(step, flight, SFL_LOSS_FAILED);
}

// The leader, if one is there, loses the lead while its stream is open: it is told once the next
// token is known.
static void lose(struct sfl_step *step, struct sfl_flight *flight, enum sfl_loss loss)
{
    sfl_flight_fence(flight);
    next_attempt(step, flight, loss);
}

void sfl_flight_give_room(struct sfl_step *step, struct sfl_flight *flight)
{
    sfl_flight_fence(flight);
    end_attempt(step, flight, SFL_LOSS_ROOM);
    if (flight->on_leader_loss == SFL_LEADER_LOSS_HOLD) {
        flight->voids_chunks = flight->value != NULL; // it is the room
        sfl_flight_drop_value(step->table, flight);
        hold(step, flight);
    } else {
        give_up(step, flight, SFL_REASON_LOST);
    }
}

void sfl_flight_lose_lease(struct sfl_step *step, struct sfl_flight *flight)
{
    lose(step, flight, SFL_LOSS_LEASE);
}

// Tells the lost leader, if one waits for it, that `now` is the token that counts.
static void tell_fenced(struct sfl_step *step, struct sfl_flight *flight, uint64_t now)
{
    struct sfl_caller *fenced = flight->fenced;
    if (fenced == NULL)
        return;
    sfl_caller_detach(step->table, fenced);
    sfl_step_refuse_fenced(step, flight, fenced, now);
}

void sfl_flight_tell_lead(struct sfl_step *step, const struct sfl_flight *flight)
{
    struct sfl_effect *effect = sfl_step_push(step, SFL_EFFECT_LEAD);
    effect->caller = flight->leader;
    effect->lead = (struct sfl_lead){
        .token = flight->token,
        .attempt = flight->attempt,
        .lease_ms = flight->lease_ms,
        .run_limit_ms = flight->run_limit_ms,
        .next_sequence = flight->next_sequence,
    };
}

static void begin_attempt(struct sfl_step *step, struct sfl_flight *flight,
                          struct sfl_caller *leader, const struct sfl_home *home)
{
    struct sfl_table *table = step->table;
    assert(home->token > flight->token);
    sfl_link_remove(&leader->in_followers);
    sfl_link_remove(&leader->in_live);
    flight->follower_count--;
    flight->leader = leader;
    sfl_bytes_unref(flight->leader_name);
    flight->leader_name = sfl_bytes_ref(leader->name);
    if (!leader->admitted) {
        SFL_COUNT(table, flight->group, calls, 1);
        SFL_COUNT(table, flight->group, calls_led, 1);
    }
    leader->admitted = true;
    SFL_COUNT(table, flight->group, executions, 1);

    flight->state = SFL_FLIGHT_LED;
    flight->attempt++;
    flight->token = home->token;
    flight->lead_kept = home->is_kept;
    flight->next_sequence = 0;
    flight->led_since_ms = step->now_ms;
    sfl_flight_extend_lease(step, flight);
}

void sfl_step_home_found(struct sfl_step *step, const struct sfl_event *event)
{
    struct sfl_flight *flight = event->home.flight;
    assert(flight->home_owed);
    flight->home_owed = false;
    if (flight->state == SFL_FLIGHT_SETTLED) {
        if (event->home.is_kept)
            sfl_step_unlead(step, flight, event->home.token);
        sfl_flight_bury_if_done(step->table, flight);
        return;
    }
    assert(flight->state == SFL_FLIGHT_FINDING_HOME);
    if (!event->home.found) {
        struct sfl_refusal refusal = {.reason = SFL_REASON_HOME_UNREACHABLE};
        sfl_flight_abort(step, flight, &refusal);
        return;
    }
    struct sfl_caller *candidate = sfl_flight_candidate(flight);
    if (candidate == NULL) {
        if (event->home.is_kept)
            sfl_step_unlead(step, flight, event->home.token);
        bool begins = flight->was_next && flight->attempt == 0;
        give_up(step, flight, begins ? SFL_REASON_NOBODY_BEGINS : SFL_REASON_NOBODY_LEADS);
        return;
    }
    tell_fenced(step, flight, event->home.token);
    begin_attempt(step, flight, candidate, &event->home);
    sfl_flight_tell_lead(step, flight);
    sfl_flight_admit_opener(step, flight);
    if (flight->attempt > 1 || flight->was_next)
        sfl_flight_tell_live(step, flight, SFL_EFFECT_RESTART);
    sfl_flight_audience_changed(step, flight);
}

// Refuses a step that only a leader may take. True when `caller` leads and the step may go on.
static bool check_leads(struct sfl_step *step, struct sfl_caller *caller)
{
    struct sfl_flight *flight = caller->flight;
    if (flight->leader == caller)
        return true;
    if (flight->fenced == caller) {
        tell_fenced(step, flight, 0);
    } else if (!sfl_flight_has_ended(flight)) {
        struct sfl_refusal refusal = {.reason = SFL_REASON_NOT_LEADING};
        sfl_step_leave(step, caller, &refusal, false);
    }
    return false;
}

void sfl_step_renew(struct sfl_step *step, const struct sfl_event *event)
{
    if (!check_leads(step, event->caller))
        return;
    sfl_flight_extend_lease(step, event->caller->flight);
    if (event->renew.id == 0)
        return;
    struct sfl_effect *effect = sfl_step_push(step, SFL_EFFECT_RENEWED);
    effect->caller = event->caller;
    effect->renewed_id = event->renew.id;
}

// A value that meets a limit ends the flight with an outcome: whoever tried again would meet it,
// too.
static void end_over_limit(struct sfl_step *step, struct sfl_flight *flight, enum sfl_reason reason,
                           const struct sfl_finish *finish)
{
    struct sfl_caller *leader = flight->leader;
    struct sfl_refusal refusal = {.reason = reason,
                                  .a = sfl_limit_of(step->table, flight->group, reason)};
    if (reason == SFL_REASON_NO_MEMORY) {
        fail_leader(step, flight, &refusal);
        return;
    }
    struct sfl_outcome *outcome =
        sfl_flight_describe(step->table, flight, SFL_OUTCOME_ERROR, &refusal, NULL);
    if (outcome == NULL) {
        refusal = (struct sfl_refusal){.reason = SFL_REASON_NO_MEMORY};
        fail_leader(step, flight, &refusal);
        return;
    }
    // The outcome has no value, and chunks that were told are void.
    flight->voids_chunks = flight->value != NULL;
    outcome->retain_ms =
        finish != NULL && finish->has_retention ? finish->retention_ms : flight->retain_error_ms;
    sfl_step_count_refusal(step, flight->group, reason);
    sfl_caller_detach(step->table, leader);
    sfl_flight_settle(step, flight, outcome, leader);
}

// True when the event is to wait until room has been made.
static bool asks_for_room(struct sfl_step *step, const struct sfl_event *event,
                          enum sfl_reason reason)
{
    if (!event->may_ask_for_room)
        return false;
    if (reason == SFL_REASON_HELD_QUOTA)
        step->effects->needs_of = event->caller->flight->group;
    else if (reason != SFL_REASON_HELD_LIMIT)
        return false;
    step->effects->needs = SFL_ROOM_BYTES;
    return true;
}

// Adds to the current attempt's value. SFL_REASON_NONE, or why it cannot be.
static enum sfl_reason append(struct sfl_table *table, struct sfl_flight *flight,
                              struct sfl_span bytes)
{
    if (bytes.size == 0)
        return SFL_REASON_NONE;
    if (flight->value != NULL)
        return sfl_value_append(flight->value, table->limits, bytes);
    return sfl_value_create(table->allocator, sfl_flight_held(table, flight), table->limits, bytes,
                            &flight->value);
}

// Adds the last of the value. What has been added stays, so it is not when the texts do not fit.
static enum sfl_reason append_last(struct sfl_table *table, struct sfl_flight *flight,
                                   const struct sfl_finish *finish)
{
    const struct sfl_limits *limits = table->limits;
    uint64_t value_bytes = flight->value == NULL ? 0 : flight->value->size;
    uint64_t texts_bytes = finish->texts == NULL ? 0 : finish->texts->size;
    if (value_bytes + finish->value.size > limits->value_bytes_max)
        return SFL_REASON_VALUE_LIMIT;
    if (texts_bytes > limits->texts_bytes_max)
        return SFL_REASON_TEXTS_LIMIT;
    struct sfl_held *held = sfl_flight_held(table, flight);
    enum sfl_reason reason = sfl_held_take(held, limits, texts_bytes);
    if (reason != SFL_REASON_NONE)
        return reason;
    reason = append(table, flight, finish->value);
    sfl_held_give(held, texts_bytes);
    return reason;
}

void sfl_step_chunk(struct sfl_step *step, const struct sfl_event *event)
{
    if (!check_leads(step, event->caller))
        return;
    struct sfl_flight *flight = event->caller->flight;
    if (event->chunk.sequence != flight->next_sequence) {
        struct sfl_refusal refusal = {
            .reason = SFL_REASON_SEQUENCE, .a = event->chunk.sequence, .b = flight->next_sequence};
        fail_leader(step, flight, &refusal);
        return;
    }
    enum sfl_reason reason = append(step->table, flight, event->chunk.data);
    if (asks_for_room(step, event, reason))
        return;
    if (reason != SFL_REASON_NONE) {
        end_over_limit(step, flight, reason, NULL);
        return;
    }
    bool is_first = flight->held_bytes == 0;
    sfl_flight_account(step->table, flight);
    flight->next_sequence++;
    if (event->chunk.data.size > 0)
        sfl_flight_tell_live(step, flight, SFL_EFFECT_CHUNK);
    if (flight->overdue && is_first && flight->held_bytes > 0)
        sfl_flight_overdue_holds(step->table, flight);
}

static struct sfl_refusal check_finish(const struct sfl_limits *limits,
                                       const struct sfl_finish *finish)
{
    if (finish->kind < SFL_OUTCOME_OK || finish->kind > SFL_OUTCOME_ABANDONED)
        return (struct sfl_refusal){.reason = SFL_REASON_OUTCOME_KIND};
    if (finish->pass_on && finish->kind == SFL_OUTCOME_OK)
        return (struct sfl_refusal){.reason = SFL_REASON_PASS_ON_OK};
    if (finish->details_bytes > SFL_DETAILS_MAX)
        return (struct sfl_refusal){
            .reason = SFL_REASON_DETAILS_SIZE, .a = finish->details_bytes, .b = SFL_DETAILS_MAX};
    if (finish->has_retention && finish->retention_ms > limits->retain_ms_max)
        return (struct sfl_refusal){
            .reason = SFL_REASON_RETENTION, .a = finish->retention_ms, .b = limits->retain_ms_max};
    return (struct sfl_refusal){.reason = SFL_REASON_NONE};
}

static uint64_t retain_of(const struct sfl_flight *flight, const struct sfl_finish *finish)
{
    if (finish->has_retention)
        return finish->retention_ms;
    return finish->kind == SFL_OUTCOME_OK ? flight->retain_ms : flight->retain_error_ms;
}

// Makes the outcome of the current attempt, which takes over the flight's value; the last of it has
// been added.
static enum sfl_reason create_outcome(struct sfl_table *table, struct sfl_flight *flight,
                                      const struct sfl_finish *finish,
                                      struct sfl_outcome **outcome_out)
{
    struct sfl_outcome *outcome = NULL;
    enum sfl_reason reason = SFL_REASON_NONE;
    reason = sfl_outcome_create(table->allocator, sfl_flight_held(table, flight), table->limits,
                                flight->value, finish->texts, &outcome);
    if (reason != SFL_REASON_NONE)
        return reason;
    outcome->kind = (enum sfl_outcome_kind)finish->kind;
    outcome->attempt = flight->attempt;
    outcome->token = flight->token;
    outcome->retain_ms = retain_of(flight, finish);
    flight->value = NULL;
    *outcome_out = outcome;
    return SFL_REASON_NONE;
}

// Makes room for the error, too: without memory for that, it is for everybody.
static bool others_may_try(struct sfl_table *table, struct sfl_flight *flight)
{
    return sfl_flight_may_go_on(flight) && sfl_flight_candidate(flight) != NULL &&
           sfl_flight_make_past(table, flight) != NULL;
}

// The leader's error is not for everybody: it is told its own, and the next one tries.
static void pass_on(struct sfl_step *step, struct sfl_flight *flight, struct sfl_caller *leader,
                    struct sfl_outcome *outcome)
{
    struct sfl_past *past = flight->past;
    sfl_outcome_unref(past->kept);
    past->kept = outcome; // counted with the next attempt, which drops the value
    past->kept_led_ms = flight->led_since_ms;
    const struct sfl_result result = {.outcome = sfl_outcome_ref(outcome),
                                      .led = true,
                                      .callers = 1,
                                      .lead_was_kept = flight->lead_kept};
    sfl_flight_unlead(step, flight);
    struct sfl_effect *effect = sfl_step_push(step, SFL_EFFECT_RESULT);
    effect->caller = leader;
    effect->result = result;
    next_attempt(step, flight, SFL_LOSS_PASSED_ON);
}

void sfl_step_finish(struct sfl_step *step, const struct sfl_event *event)
{
    struct sfl_caller *leader = event->caller;
    if (!check_leads(step, leader))
        return;
    struct sfl_flight *flight = leader->flight;
    sfl_flight_prefetch_end(step->table, flight);
    struct sfl_refusal refusal = check_finish(step->table->limits, &event->finish);
    if (refusal.reason != SFL_REASON_NONE) {
        fail_leader(step, flight, &refusal);
        return;
    }
    bool has_chunks = flight->value != NULL;
    struct sfl_outcome *outcome = NULL;
    enum sfl_reason reason = append_last(step->table, flight, &event->finish);
    if (asks_for_room(step, event, reason))
        return;
    if (reason == SFL_REASON_NONE)
        reason = create_outcome(step->table, flight, &event->finish, &outcome);
    if (outcome == NULL) {
        if (!has_chunks) // its last bytes have been told to nobody
            sfl_flight_drop_value(step->table, flight);
        end_over_limit(step, flight, reason, &event->finish);
        return;
    }
    sfl_caller_detach(step->table, leader);
    // Asked first: looking for somebody else may be a walk over many who never lead.
    if (event->finish.pass_on && others_may_try(step->table, flight))
        pass_on(step, flight, leader, outcome);
    else
        sfl_flight_settle(step, flight, outcome, leader);
}

// The leader's stream is gone, but its lease lives on.
static void orphan(struct sfl_step *step, struct sfl_flight *flight)
{
    sfl_caller_detach(step->table, flight->leader);
    sfl_flight_orphan(step->table, flight);
}

void sfl_step_leave(struct sfl_step *step, struct sfl_caller *caller,
                    const struct sfl_refusal *refusal, bool broken)
{
    struct sfl_flight *flight = caller->flight;
    bool led = flight->leader == caller;
    if (led && broken && flight->lease_ms > 0) {
        orphan(step, flight);
        sfl_step_refuse(step, caller, refusal);
        return;
    }
    sfl_caller_detach(step->table, caller);
    sfl_step_refuse(step, caller, refusal);
    if (led)
        next_attempt(step, flight, broken ? SFL_LOSS_LEFT : SFL_LOSS_FAILED);
    else if (sfl_flight_has_ended(flight))
        sfl_flight_bury_if_done(step->table, flight);
    else if (flight->state == SFL_FLIGHT_NEXT && flight->follower_count == 0)
        sfl_flight_abort(step, flight, refusal); // nobody is there to hear why
    else
        sfl_flight_audience_changed(step, flight);
}

void sfl_step_half_close(struct sfl_step *step, const struct sfl_event *event)
{
    struct sfl_caller *caller = event->caller;
    struct sfl_flight *flight = caller->flight;
    caller->half_closed = true;
    if (flight->leader != caller)
        return;
    if (flight->lease_ms == 0) {
        lose(step, flight, SFL_LOSS_LEFT);
        return;
    }
    struct sfl_refusal refusal = {.reason = SFL_REASON_LEASE_BROKEN, .a = flight->token};
    if (flight->lease_until_ms > step->now_ms)
        refusal.b = flight->lease_until_ms - step->now_ms;
    orphan(step, flight);
    sfl_step_refuse(step, caller, &refusal);
}

void sfl_flight_expire(struct sfl_step *step, struct sfl_flight *flight)
{
    if (step->now_ms >= sfl_flight_run_until_ms(flight)) {
        lose(step, flight, SFL_LOSS_RUN_LIMIT);
    } else if (sfl_flight_is_wanted(flight)) {
        lose(step, flight, SFL_LOSS_LEASE);
    } else {
        sfl_flight_begin_overdue(step->table, flight);
        if (step->table->draining)
            (void)sfl_step_drain_overdue(step);
    }
}
