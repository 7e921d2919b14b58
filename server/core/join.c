// SPDX-License-Identifier: Apache-2.0
// How a caller comes in: it opens a flight, follows one, gets a retained outcome, or takes back
// a lead that it holds.
#include "core/step_private.h"

#include <assert.h>

static bool fingerprint_differs(const struct sfl_flight *flight, const struct sfl_join *join)
{
    struct sfl_span openers = sfl_flight_fingerprint(flight);
    return openers.size > 0 && join->fingerprint.size > 0 &&
           !sfl_span_equal(openers, join->fingerprint);
}

static bool is_young_enough(const struct sfl_step *step, const struct sfl_flight *retained,
                            const struct sfl_join *join)
{
    if (step->now_ms >= retained->retained_until_ms)
        return false;
    return join->max_age_ms == 0 || step->now_ms - retained->ended_at_ms <= join->max_age_ms;
}

// True when the caller is refused: it asks for other arguments than the flight's.
static bool refuses_arguments(struct sfl_step *step, const struct sfl_flight *flight,
                              struct sfl_caller *caller, const struct sfl_join *join)
{
    if (!fingerprint_differs(flight, join))
        return false;
    struct sfl_refusal refusal = {.reason = SFL_REASON_OTHER_ARGUMENTS};
    sfl_step_refuse(step, caller, &refusal);
    return true;
}

static bool is_inside(const struct sfl_flight *flight, const struct sfl_join *join)
{
    for (uint32_t i = 0; i < join->within_count; i++) {
        const struct sfl_lead_ref *lead = &join->within[i];
        if (lead->token == flight->token && sfl_span_equal(lead->key, join->key) &&
            sfl_span_equal(lead->group, join->group))
            return true;
    }
    return false;
}

// True when the caller is refused: whoever leads the flight would wait for itself.
static bool refuses_to_wait_for_itself(struct sfl_step *step, const struct sfl_flight *flight,
                                       struct sfl_caller *caller, const struct sfl_join *join)
{
    if (join->within_count == 0 || !sfl_flight_has_attempt(flight) || !is_inside(flight, join))
        return false;
    struct sfl_refusal refusal = {.reason = SFL_REASON_WITHIN_ITSELF, .a = flight->token};
    sfl_step_refuse(step, caller, &refusal);
    return true;
}

// The caller is told `lead`, and nothing else, once the next token is known.
static void promote(struct sfl_step *step, struct sfl_flight *flight, struct sfl_caller *caller,
                    const struct sfl_join *join)
{
    enum sfl_reason reason = sfl_caller_attach(step, caller, flight, join);
    if (reason != SFL_REASON_NONE) {
        sfl_step_refuse_limit(step, caller, join, reason);
        return;
    }
    sfl_flight_prepend_follower(flight, caller);
    sfl_flight_lose_lease(step, flight);
}

// What there is for a new caller: a retained outcome that is young enough, or else the flight that
// runs. NULL when there is neither.
static struct sfl_flight *find_to_join(const struct sfl_step *step, const struct sfl_event *event)
{
    const struct sfl_join *join = event->join;
    struct sfl_flight *running = NULL;
    struct sfl_flight *flight;
    struct sfl_index_walk walk = {0};
    while ((flight = sfl_table_next(step->table, event->hash, join->group, join->key, &walk)) !=
           NULL) {
        if (flight->place == SFL_PLACE_RETAINED && !join->fresh &&
            is_young_enough(step, flight, join))
            return flight;
        if (flight->place == SFL_PLACE_RUNNING)
            running = flight;
    }
    return running;
}

// A caller joins what find_to_join has found for it.
static void join_found(struct sfl_step *step, const struct sfl_event *event,
                       struct sfl_flight *found);

// The leader is overdue, and here is somebody who may lead.
static void take_lead(struct sfl_step *step, struct sfl_flight *flight,
                      const struct sfl_event *event)
{
    bool is_held = flight->on_leader_loss == SFL_LEADER_LOSS_HOLD;
    if (is_held) {
        if (sfl_flight_follow(step, flight, event->caller, event->join))
            sfl_flight_lose_lease(step, flight);
    } else if (sfl_flight_may_go_on(flight)) {
        promote(step, flight, event->caller, event->join);
    } else {
        sfl_flight_lose_lease(step, flight); // which ends it
        join_found(step, event, find_to_join(step, event));
    }
}

static void join_running(struct sfl_step *step, struct sfl_flight *flight,
                         const struct sfl_event *event)
{
    struct sfl_caller *caller = event->caller;
    const struct sfl_join *join = event->join;
    if (refuses_arguments(step, flight, caller, join) ||
        refuses_to_wait_for_itself(step, flight, caller, join))
        return;
    if (flight->overdue && join->role != SFL_ROLE_FOLLOW_ONLY) {
        take_lead(step, flight, event);
    } else if (join->role == SFL_ROLE_LEAD_ONLY) {
        sfl_flight_refuse_other_leads(step, flight, caller);
    } else if (sfl_flight_follow(step, flight, caller, join)) {
        sfl_flight_audience_changed(step, flight);
    }
}

static void refuse_nothing_to_follow(struct sfl_step *step, struct sfl_caller *caller)
{
    struct sfl_refusal refusal = {.reason = SFL_REASON_NOTHING_TO_FOLLOW};
    sfl_step_refuse(step, caller, &refusal);
}

// True when the event is to wait until an overdue leader has given its room, if one is there.
static bool asks_for_room(struct sfl_step *step, const struct sfl_event *event,
                          enum sfl_reason reason)
{
    if (!event->may_ask_for_room)
        return false;
    if (reason == SFL_REASON_FLIGHTS_QUOTA)
        step->effects->needs_of = sfl_table_group(step->table, event->join->group);
    else if (reason != SFL_REASON_FLIGHTS_LIMIT)
        return false;
    step->effects->needs = SFL_ROOM_FLIGHT;
    return true;
}

// The flight and its first caller; SFL_REASON_NONE, or why not: then nothing has changed.
static enum sfl_reason open_flight(struct sfl_step *step, struct sfl_caller *caller,
                                   const struct sfl_join *join, uint64_t hash,
                                   struct sfl_flight **flight_out)
{
    struct sfl_table *table = step->table;
    const struct sfl_group *group = sfl_table_group(table, join->group);
    if (group == NULL && table->quota_of != NULL) // it was there when this caller came first
        return SFL_REASON_GROUPS_LIMIT;
    enum sfl_reason reason = sfl_group_take_flight(table, group);
    if (reason != SFL_REASON_NONE)
        return reason;
    reason = SFL_REASON_NO_MEMORY;
    struct sfl_flight *flight = NULL;
    if (sfl_index_reserve(&table->flights))
        flight = sfl_flight_create(table, join, hash);
    if (flight != NULL)
        reason = sfl_caller_attach(step, caller, flight, join);
    if (reason != SFL_REASON_NONE) {
        if (flight != NULL) {
            flight->state = SFL_FLIGHT_SETTLED;
            sfl_flight_bury_if_done(table, flight);
        }
        sfl_group_give_flight(table, group);
        return reason;
    }
    *flight_out = flight;
    return SFL_REASON_NONE;
}

static void open_or_refuse(struct sfl_step *step, const struct sfl_event *event)
{
    struct sfl_caller *caller = event->caller;
    if (event->join->role == SFL_ROLE_FOLLOW_ONLY) {
        refuse_nothing_to_follow(step, caller);
        return;
    }
    struct sfl_flight *flight = NULL;
    enum sfl_reason reason = open_flight(step, caller, event->join, event->hash, &flight);
    if (asks_for_room(step, event, reason))
        return;
    if (reason != SFL_REASON_NONE) {
        sfl_step_refuse_limit(step, caller, event->join, reason);
        return;
    }
    sfl_flight_place_running(step->table, flight);
    sfl_flight_append_follower(flight, caller);
    sfl_flight_find_home(step, flight);
}

// A fresh caller waits for the end of the flight that runs, in the next one of the key.
static void join_next(struct sfl_step *step, struct sfl_flight *running,
                      const struct sfl_event *event)
{
    struct sfl_caller *caller = event->caller;
    const struct sfl_join *join = event->join;
    struct sfl_flight *next = running->beside;
    if ((next != NULL && refuses_arguments(step, next, caller, join)) ||
        refuses_to_wait_for_itself(step, running, caller, join))
        return;
    if (join->role == SFL_ROLE_LEAD_ONLY) {
        sfl_flight_refuse_other_leads(step, running, caller);
        return;
    }
    if (next == NULL && join->role == SFL_ROLE_FOLLOW_ONLY) {
        refuse_nothing_to_follow(step, caller);
        return;
    }
    enum sfl_reason reason = next == NULL ? open_flight(step, caller, join, event->hash, &next)
                                          : sfl_caller_attach(step, caller, next, join);
    if (asks_for_room(step, event, reason))
        return;
    if (reason != SFL_REASON_NONE) {
        sfl_step_refuse_limit(step, caller, join, reason);
        return;
    }
    if (running->beside == NULL)
        sfl_flight_place_next(step->table, next, running);
    sfl_flight_append_waiting(step, next, caller);
}

// What was led before the caller came is not for it; an overdue leader's lead it may take.
static bool must_wait(const struct sfl_flight *running, const struct sfl_join *join)
{
    return join->fresh && running->attempt > 0 &&
           !(running->overdue && join->role != SFL_ROLE_FOLLOW_ONLY);
}

// The greatest token of any flight of the key, forgotten and retained ones too; 0: none is known.
// `refusal` learns how the token that came was lost, if a flight that runs knows.
static uint64_t newest_token(const struct sfl_table *table, const struct sfl_event *event,
                             struct sfl_refusal *refusal)
{
    uint64_t token = event->join->resume_token;
    uint64_t newest = 0;
    enum sfl_loss loss;
    struct sfl_index_walk walk = {0};
    const struct sfl_flight *flight;
    while ((flight = sfl_table_next(table, event->hash, event->join->group, event->join->key,
                                    &walk)) != NULL) {
        if (flight->token > newest)
            newest = flight->token;
        if (sfl_flight_recall_loss(flight, token, &loss))
            *refusal = sfl_flight_loss(flight, SFL_REASON_FENCED_FOR, loss);
    }
    return newest;
}

static void refuse_fenced(struct sfl_step *step, const struct sfl_event *event)
{
    const struct sfl_join *join = event->join;
    struct sfl_refusal refusal = {.reason = SFL_REASON_FENCED};
    if (step->table->draining && step->table->keeps) {
        // It may be a lead that the next process takes up.
        refusal.reason = SFL_REASON_DRAINING;
        sfl_step_refuse(step, event->caller, &refusal);
        return;
    }
    if (join->resume_token < step->table->first_token &&
        !sfl_table_has_restored(step->table, join->resume_token))
        refusal = (struct sfl_refusal){.reason = SFL_REASON_FENCED_FOR, .loss = SFL_LOSS_RESTART};
    uint64_t newest = newest_token(step->table, event, &refusal);
    refusal.a = join->resume_token;
    refusal.b = newest > join->resume_token ? newest : 0;
    struct sfl_group *group = sfl_table_find_group(step->table, join->group);
    SFL_COUNT(step->table, group, fenced, 1);
    sfl_step_refuse(step, event->caller, &refusal);
}

// The leader comes back on a new stream; an older stream of it ends.
static void take_over(struct sfl_step *step, struct sfl_flight *flight, struct sfl_caller *caller,
                      const struct sfl_join *join)
{
    enum sfl_reason reason = sfl_caller_attach(step, caller, flight, join);
    if (reason != SFL_REASON_NONE) {
        sfl_step_refuse_limit(step, caller, join, reason);
        return;
    }
    struct sfl_caller *older = flight->leader;
    if (older != NULL) {
        // Nobody has a newer token: it is the same lead on another stream.
        flight->loss = SFL_LOSS_RESUMED;
        sfl_caller_detach(step->table, older);
        sfl_step_refuse_fenced(step, flight, older, 0);
    }
    flight->leader = caller;
    flight->state = SFL_FLIGHT_LED;
    sfl_link_remove(&flight->in_list); // of orphans
    caller->admitted = true;
    if (caller->name != NULL) {
        sfl_bytes_unref(flight->leader_name);
        flight->leader_name = sfl_bytes_ref(caller->name);
    }
    sfl_flight_extend_lease(step, flight);
    sfl_flight_tell_lead(step, flight);
    sfl_flight_audience_changed(step, flight);
}

// The flight whose lead the caller takes back; NULL: there is none.
static struct sfl_flight *find_to_resume(const struct sfl_table *table,
                                         const struct sfl_event *event)
{
    const struct sfl_join *join = event->join;
    const enum sfl_flight_place places[] = {SFL_PLACE_RUNNING, SFL_PLACE_FORGOTTEN};
    for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        struct sfl_flight *flight = sfl_table_find(table, places[i], event->hash, join->group,
                                                   join->key, join->resume_token);
        if (flight != NULL && sfl_flight_has_attempt(flight))
            return flight;
    }
    return NULL;
}

static void resume(struct sfl_step *step, const struct sfl_event *event)
{
    const struct sfl_join *join = event->join;
    struct sfl_flight *flight = find_to_resume(step->table, event);
    if (flight != NULL) {
        take_over(step, flight, event->caller, join);
        return;
    }
    struct sfl_flight *retained = sfl_table_find(step->table, SFL_PLACE_RETAINED, event->hash,
                                                 join->group, join->key, join->resume_token);
    if (retained != NULL && step->now_ms < retained->retained_until_ms)
        sfl_flight_serve(step, retained, event->caller, true);
    else
        refuse_fenced(step, event);
}

// Serves a retained outcome, or refuses it.
static void join_retained(struct sfl_step *step, struct sfl_flight *retained,
                          struct sfl_caller *caller, const struct sfl_join *join)
{
    if (refuses_arguments(step, retained, caller, join))
        return;
    struct sfl_table *table = step->table;
    SFL_COUNT(table, retained->group, calls, 1);
    SFL_COUNT(table, retained->group, retained_hits, 1);
    SFL_COUNT(table, retained->group, executions_saved, 1);
    retained->hits++;
    sfl_flight_serve(step, retained, caller, false);
}

static void join_found(struct sfl_step *step, const struct sfl_event *event,
                       struct sfl_flight *found)
{
    const struct sfl_join *join = event->join;
    if (found != NULL && found->place == SFL_PLACE_RETAINED) {
        join_retained(step, found, event->caller, join);
    } else if (step->table->draining) {
        struct sfl_refusal refusal = {.reason = SFL_REASON_DRAINING};
        sfl_step_refuse(step, event->caller, &refusal);
    } else if (found != NULL && must_wait(found, join)) {
        join_next(step, found, event);
    } else if (found != NULL) {
        join_running(step, found, event);
    } else {
        open_or_refuse(step, event);
    }
}

// True when the caller is refused: its group joins too often, or there are too many groups to have
// a quota each. Whoever leads already may always come back.
static bool refuses_by_quota(struct sfl_step *step, const struct sfl_event *event)
{
    const struct sfl_join *join = event->join;
    bool may_open = join->role != SFL_ROLE_FOLLOW_ONLY && join->resume_token == 0;
    // Who cannot open a flight makes no group either.
    const struct sfl_group *group = may_open ? sfl_table_group(step->table, join->group)
                                             : sfl_table_find_group(step->table, join->group);
    if (group == NULL && may_open) {
        sfl_step_refuse_limit(step, event->caller, join, SFL_REASON_GROUPS_LIMIT);
        return true;
    }
    bool comes_back = join->resume_token > 0 && find_to_resume(step->table, event) != NULL;
    if (group == NULL || comes_back || sfl_quota_take_join(group->quota->quota, step->now_ms))
        return false;
    sfl_step_refuse_limit(step, event->caller, join, SFL_REASON_JOINS_QUOTA);
    return true;
}

void sfl_step_join(struct sfl_step *step, const struct sfl_event *event)
{
    const struct sfl_join *join = event->join;
    assert(!sfl_caller_is_joined(event->caller));
    struct sfl_flight *found = join->resume_token > 0 ? NULL : find_to_join(step, event);
    struct sfl_refusal refusal = sfl_limits_check_join(step->table->limits, join, found != NULL);
    if (refusal.reason != SFL_REASON_NONE) {
        sfl_step_refuse(step, event->caller, &refusal);
        return;
    }
    if (step->table->quota_of != NULL && !event->is_again && refuses_by_quota(step, event))
        return;
    if (join->resume_token > 0)
        resume(step, event);
    else
        join_found(step, event, found);
}
