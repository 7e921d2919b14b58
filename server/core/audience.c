// SPDX-License-Identifier: Apache-2.0
// Counting the followers' deadlines takes a walk over them, so changes are merged: a leader is told
// at most every AUDIENCE_PAUSE_MS.
#include "core/step_private.h"

enum { AUDIENCE_PAUSE_MS = 10 };

// The latest deadline of all followers; UINT64_MAX when one of them has none.
static uint64_t latest_deadline(const struct sfl_flight *flight)
{
    uint64_t latest_ms = 0;
    const struct sfl_link *link = sfl_list_first(&flight->followers);
    for (; link != NULL; link = sfl_list_next(&flight->followers, link)) {
        const struct sfl_caller *follower = SFL_CONTAINER_OF(link, struct sfl_caller, in_followers);
        if (follower->deadline.at_ms > latest_ms)
            latest_ms = follower->deadline.at_ms;
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
    struct sfl_audience_told *told = flight->leader->audience;
    uint64_t latest_ms = latest_deadline(flight);
    if (told->started && told->followers == flight->follower_count && told->latest_ms == latest_ms)
        return;
    told->started = true;
    told->followers = flight->follower_count;
    told->latest_ms = latest_ms;
    told->sent_at_ms = step->now_ms;

    struct sfl_effect *effect = sfl_step_push(step, SFL_EFFECT_AUDIENCE);
    effect->caller = flight->leader;
    effect->audience.followers = flight->follower_count;
    effect->audience.latest_deadline_ms =
        flight->follower_count == 0 ? 0 : from_now(step, latest_ms);
}

void sfl_flight_audience_changed(struct sfl_step *step, struct sfl_flight *flight)
{
    if (flight->state != SFL_FLIGHT_LED || flight->leader->audience == NULL)
        return;
    struct sfl_audience_told *told = flight->leader->audience;
    if (!told->started && flight->follower_count == 0)
        return;
    uint64_t free_at_ms = told->sent_at_ms + AUDIENCE_PAUSE_MS;
    if (told->started && step->now_ms < free_at_ms)
        sfl_deadline_arm(&step->table->deadlines, &told->deadline, free_at_ms);
    else
        tell(step, flight);
}
