// SPDX-License-Identifier: Apache-2.0
// How a caller follows a flight that somebody else opened.
#include "core/step_private.h"

static void push_follow(struct sfl_step *step, struct sfl_flight *flight, struct sfl_caller *caller)
{
    struct sfl_effect *effect = sfl_step_push(step, SFL_EFFECT_FOLLOW);
    effect->caller = caller;
    if (flight->state == SFL_FLIGHT_FINDING_HOME) {
        effect->follow = (struct sfl_follow){.attempt = flight->attempt + 1};
        return;
    }
    effect->follow = (struct sfl_follow){
        .attempt = flight->attempt,
        .running_ms = step->now_ms - flight->led_since_ms,
        .leader = flight->leader_name,
    };
    if (caller->live && flight->value != NULL) {
        effect->follow.value = flight->value;
        effect->follow.value_bytes = flight->value->size;
    }
}

void sfl_flight_append_follower(struct sfl_flight *flight, struct sfl_caller *caller)
{
    sfl_list_append(&flight->followers, &caller->in_followers);
    caller->told_attempt = flight->attempt > 0 ? flight->attempt : 1;
    if (caller->live)
        sfl_list_append(&flight->live, &caller->in_live);
    flight->follower_count++;
}

void sfl_flight_prepend_follower(struct sfl_flight *flight, struct sfl_caller *caller)
{
    sfl_flight_append_follower(flight, caller);
    sfl_link_remove(&caller->in_followers);
    sfl_list_prepend(&flight->followers, &caller->in_followers);
}

void sfl_step_refuse_limit(struct sfl_step *step, struct sfl_caller *caller,
                           const struct sfl_join *join, enum sfl_reason reason)
{
    struct sfl_group *group = sfl_table_group(step->table, join->group);
    struct sfl_refusal refusal = {.reason = reason, .a = sfl_limit_of(step->table, group, reason)};
    sfl_step_count_refusal(step, group, reason);
    sfl_step_refuse(step, caller, &refusal);
}

bool sfl_flight_follow(struct sfl_step *step, struct sfl_flight *flight, struct sfl_caller *caller,
                       const struct sfl_join *join)
{
    enum sfl_reason reason = sfl_caller_attach(step, caller, flight, join);
    if (reason != SFL_REASON_NONE) {
        sfl_step_refuse_limit(step, caller, join, reason);
        return false;
    }
    sfl_flight_append_follower(flight, caller);
    caller->admitted = true;
    SFL_COUNT(step->table, flight->group, calls, 1);
    SFL_COUNT(step->table, flight->group, calls_followed, 1);
    push_follow(step, flight, caller);
    return true;
}

void sfl_flight_refuse_other_leads(struct sfl_step *step, const struct sfl_flight *flight,
                                   struct sfl_caller *caller)
{
    bool led = flight->state != SFL_FLIGHT_FINDING_HOME;
    struct sfl_refusal refusal = {.reason = SFL_REASON_OTHER_LEADS};
    if (led) {
        refusal.a = step->now_ms - flight->led_since_ms;
        refusal.name = flight->leader_name;
    }
    sfl_step_refuse(step, caller, &refusal);
}

void sfl_flight_admit_opener(struct sfl_step *step, struct sfl_flight *flight)
{
    struct sfl_link *first = sfl_list_first(&flight->followers);
    if (first == NULL)
        return;
    struct sfl_caller *opener = SFL_CONTAINER_OF(first, struct sfl_caller, in_followers);
    if (opener->admitted)
        return;
    if (opener->role == SFL_ROLE_LEAD_ONLY) {
        sfl_caller_detach(step->table, opener);
        sfl_flight_refuse_other_leads(step, flight, opener);
        return;
    }
    opener->admitted = true;
    opener->told_attempt = flight->attempt;
    SFL_COUNT(step->table, flight->group, calls, 1);
    SFL_COUNT(step->table, flight->group, calls_followed, 1);
    push_follow(step, flight, opener);
}
