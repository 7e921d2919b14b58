// SPDX-License-Identifier: Apache-2.0
// What a leader is told of its followers: how many, and the latest of their deadlines. Changes are
// merged: it is told at most every AUDIENCE_PAUSE_MS.
//
// The latest deadline is kept while followers come and go: they are counted from the oldest on, and
// whoever is counted carries the number of the count. Only when the last of those with the latest
// deadline leaves must all be counted anew. That goes in steps, however many they are.
#include "core/step_private.h"

enum { AUDIENCE_PAUSE_MS = 10, COUNTED_AT_ONCE = 32, COUNT_IDS = (1 << 26) - 1 };

static void begin_count(struct sfl_table *table, struct sfl_flight *flight,
                        struct sfl_audience_told *told)
{
    // A number comes again after sixty million counts. Whoever carries it from so long ago
    // would be taken for counted, and the latest deadline for a later one than it is until the next
    // count.
    table->counts_begun = (table->counts_begun + 1) % COUNT_IDS;
    told->count_id = 1 + table->counts_begun;
    told->latest_ms = 0;
    told->latest_count = 0;
    told->last_counted = &flight->followers.head;
}

static void count_one(struct sfl_audience_told *told, struct sfl_caller *follower)
{
    uint64_t at_ms = follower->deadline.at_ms;
    follower->count_id = told->count_id;
    told->last_counted = &follower->in_followers;
    if (at_ms > told->latest_ms) {
        told->latest_ms = at_ms;
        told->latest_count = 0;
    }
    told->latest_count += at_ms == told->latest_ms;
}

// Counts some more followers. True when all have been counted.
static bool count_on(struct sfl_audience_told *told, const struct sfl_flight *flight)
{
    const struct sfl_link *end = &flight->followers.head;
    for (unsigned i = 0; i < COUNTED_AT_ONCE && told->last_counted->next != end; i++)
        count_one(told,
                  SFL_CONTAINER_OF(told->last_counted->next, struct sfl_caller, in_followers));
    return told->last_counted->next == end;
}

void sfl_flight_uncount(struct sfl_table *table, struct sfl_flight *flight,
                        struct sfl_caller *caller)
{
    struct sfl_audience_told *told = flight->leader == NULL ? NULL : flight->leader->audience;
    if (told == NULL || told->count_id == 0 || caller->count_id != told->count_id)
        return;
    if (told->last_counted == &caller->in_followers)
        told->last_counted = caller->in_followers.previous;
    if (caller->deadline.at_ms != told->latest_ms || told->latest_count == 0)
        return;
    told->latest_count--;
    if (told->latest_count > 0)
        return;
    begin_count(table, flight, told);
    // Or those who come and go could keep the clock counting.
    if (told->counting)
        told->free_at_ms = table->now_ms + AUDIENCE_PAUSE_MS;
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
    told->counting = !count_on(told, flight);
    if (told->counting) {
        sfl_deadline_arm(&step->table->deadlines, &told->deadline, step->now_ms);
        return;
    }
    uint64_t latest_ms = told->latest_ms;
    if (told->started && told->told_followers == flight->follower_count &&
        told->told_latest_ms == latest_ms)
        return;
    told->started = true;
    told->told_followers = flight->follower_count;
    told->told_latest_ms = latest_ms;
    told->free_at_ms = step->now_ms + AUDIENCE_PAUSE_MS;

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
    if (told->count_id == 0)
        begin_count(step->table, flight, told);
    if (step->now_ms < told->free_at_ms)
        sfl_deadline_arm(&step->table->deadlines, &told->deadline, told->free_at_ms);
    else
        tell(step, flight);
}
