// SPDX-License-Identifier: Apache-2.0
// Counting the followers' deadlines takes a walk over them, so changes are merged: a leader is told
// at most every AUDIENCE_PAUSE_MS.
#include "core/step.h"

enum { AUDIENCE_PAUSE_MS = 10 };

// The latest deadline of all followers; UINT64_MAX when one of them has none.
static uint64_t latest_deadline(const struct sfl_flight *flight)
{
    uint64_t latest_ms = 0;
    const struct sfl_link *link = sfl_list_first(&flight->followers);
    for (; link != NULL; link = sfl_list_next(&flight->followers, link)) {
        const struct sfl_caller *follower = SFL_CONTAINER_OF(link, struct sfl_caller, in_followers);
        if (follower->deadline_ms > latest_ms)
            latest_ms = follower->deadline_ms;
        if (latest_ms == UINT64_MAX)
            break;
    }
    return latest_ms;
}

static uint64_t from_now(const struct sfl_step *step, uint64_t latest_ms)
{
    if (latest_ms == UINT64_MAX)
        return 0;
    return latest_ms > step->now_ms ? latest_ms - step->now_ms : 1;
}

static void tell(struct sfl_step *step, struct sfl_flight *flight)
{
    uint64_t latest_ms = latest_deadline(flight);
    if (flight->audience_started && flight->audience_followers == flight->follower_count &&
        flight->audience_latest_ms == latest_ms)
        return;
    flight->audience_started = true;
    flight->audience_followers = flight->follower_count;
    flight->audience_latest_ms = latest_ms;
    flight->audience_sent_at_ms = step->now_ms;

    struct sfl_effect *effect = sfl_step_push(step, SFL_EFFECT_AUDIENCE);
    effect->caller = flight->leader;
    effect->audience.followers = flight->follower_count;
    effect->audience.latest_deadline_ms =
        flight->follower_count == 0 ? 0 : from_now(step, latest_ms);
}

void sfl_flight_audience_changed(struct sfl_step *step, struct sfl_flight *flight)
{
    if (flight->state != SFL_FLIGHT_LED || !flight->leader->audience)
        return;
    if (!flight->audience_started && flight->follower_count == 0)
        return;
    uint64_t free_at_ms = flight->audience_sent_at_ms + AUDIENCE_PAUSE_MS;
    if (flight->audience_started && step->now_ms < free_at_ms)
        sfl_deadline_arm(&step->table->deadlines, &flight->audience_deadline, free_at_ms);
    else
        tell(step, flight);
}

void sfl_flight_audience_reset(struct sfl_step *step, struct sfl_flight *flight)
{
    sfl_deadline_disarm(&step->table->deadlines, &flight->audience_deadline);
    flight->audience_started = false;
    sfl_flight_audience_changed(step, flight);
}
