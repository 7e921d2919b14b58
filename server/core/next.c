// SPDX-License-Identifier: Apache-2.0
// The next flight of a key: callers that want a fresh outcome wait in it until the flight before it
// has ended. There is one at most for a flight that runs.
#include "core/step_private.h"

#include <assert.h>

void sfl_flight_place_next(struct sfl_table *table, struct sfl_flight *flight,
                           struct sfl_flight *before)
{
    assert(before->beside == NULL && !before->overdue);
    flight->state = SFL_FLIGHT_NEXT;
    flight->was_next = true;
    flight->place = SFL_PLACE_NEXT;
    flight->beside = before;
    before->beside = flight;
    sfl_list_append(&table->next, &flight->in_list);
    sfl_index_insert(&table->flights, flight->hash, flight);
    SFL_COUNT(table, flight->group, flights_now, 1);
}

void sfl_flight_append_waiting(struct sfl_step *step, struct sfl_flight *flight,
                               struct sfl_caller *caller)
{
    sfl_list_append(&flight->followers, &caller->in_followers);
    sfl_list_append(&flight->live, &caller->in_live); // live or not: see sfl_table_take_live
    caller->told_attempt = 0;
    caller->admitted = true;
    flight->follower_count++;
    SFL_COUNT(step->table, flight->group, calls, 1);
    SFL_COUNT(step->table, flight->group, calls_followed, 1);
    struct sfl_effect *effect = sfl_step_push(step, SFL_EFFECT_FOLLOW);
    effect->caller = caller;
    effect->follow = (struct sfl_follow){.attempt = 0};
}

struct sfl_flight *sfl_flight_part(struct sfl_flight *flight)
{
    struct sfl_flight *beside = flight->beside;
    flight->beside = NULL;
    if (beside != NULL)
        beside->beside = NULL;
    if (flight->state != SFL_FLIGHT_NEXT)
        return beside;
    sfl_link_remove(&flight->in_list);
    return NULL;
}

void sfl_flight_begin_next(struct sfl_step *step, struct sfl_flight *flight)
{
    struct sfl_refusal refusal = {.reason = SFL_REASON_NONE};
    if (step->table->draining)
        refusal.reason = SFL_REASON_DRAINING;
    else if (sfl_flight_candidate(flight) == NULL)
        refusal.reason = SFL_REASON_NOBODY_BEGINS;
    if (refusal.reason != SFL_REASON_NONE) {
        sfl_flight_abort(step, flight, &refusal);
        return;
    }
    sfl_link_remove(&flight->in_list);
    if (flight->place == SFL_PLACE_NEXT)
        flight->place = SFL_PLACE_RUNNING;
    sfl_flight_find_home(step, flight);
}

bool sfl_step_drain_next(struct sfl_step *step)
{
    struct sfl_link *link = sfl_list_first(&step->table->next);
    if (link == NULL)
        return false;
    struct sfl_refusal refusal = {.reason = SFL_REASON_DRAINING};
    sfl_flight_abort(step, SFL_CONTAINER_OF(link, struct sfl_flight, in_list), &refusal);
    return true;
}
