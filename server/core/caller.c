// SPDX-License-Identifier: Apache-2.0
// A caller becomes a participant of a flight, and ceases to be one.
#include "core/caller.h"

#include "core/step_private.h"

void sfl_caller_init(struct sfl_caller *caller)
{
    *caller = (struct sfl_caller){0};
    sfl_deadline_init(&caller->deadline, SFL_DEADLINE_CALLER);
}

static struct sfl_audience_told *create_told(struct sfl_table *table, struct sfl_caller *caller)
{
    struct sfl_audience_told *told = sfl_alloc(table->allocator, sizeof(*told));
    if (told == NULL)
        return NULL;
    *told = (struct sfl_audience_told){.caller = caller};
    sfl_deadline_init(&told->deadline, SFL_DEADLINE_AUDIENCE);
    return told;
}

// Frees what sfl_caller_attach allocated.
static void free_belongings(struct sfl_table *table, struct sfl_caller *caller)
{
    sfl_bytes_unref(caller->name);
    caller->name = NULL;
    if (caller->audience == NULL)
        return;
    sfl_deadline_disarm(&table->deadlines, &caller->audience->deadline);
    sfl_free(table->allocator, caller->audience, sizeof(*caller->audience));
    caller->audience = NULL;
}

static void give_place(struct sfl_table *table, const struct sfl_flight *flight)
{
    sfl_share_give(&table->shares.callers, 1);
    sfl_quota_give_caller(sfl_flight_quota(flight));
}

enum sfl_reason sfl_caller_attach(struct sfl_step *step, struct sfl_caller *caller,
                                  struct sfl_flight *flight, const struct sfl_join *join)
{
    struct sfl_table *table = step->table;
    if (!sfl_quota_take_caller(sfl_flight_quota(flight)))
        return SFL_REASON_CALLERS_QUOTA;
    if (!sfl_share_take(&table->shares.callers, 1, table->limits->callers_max)) {
        sfl_quota_give_caller(sfl_flight_quota(flight));
        return SFL_REASON_CALLERS_LIMIT;
    }
    if (join->name.size > 0)
        caller->name = sfl_bytes_copy(table->allocator, join->name);
    if (join->audience)
        caller->audience = create_told(table, caller);
    if ((join->name.size > 0 && caller->name == NULL) ||
        (join->audience && caller->audience == NULL)) {
        free_belongings(table, caller);
        give_place(table, flight);
        return SFL_REASON_NO_MEMORY;
    }
    caller->flight = flight;
    caller->role = join->role;
    caller->live = join->live;
    caller->detaches = join->detach;
    caller->half_closed = false;
    caller->admitted = false;
    caller->count_id = 0;
    caller->joined_ms = (uint32_t)step->now_ms;
    caller->deadline.at_ms = join->deadline_ms;
    if (join->ends_at_deadline && join->deadline_ms != UINT64_MAX)
        sfl_deadline_arm(&table->deadlines, &caller->deadline, join->deadline_ms);
    SFL_COUNT(table, flight->group, callers_now, 1);
    return SFL_REASON_NONE;
}

void sfl_caller_detach(struct sfl_table *table, struct sfl_caller *caller)
{
    struct sfl_flight *flight = caller->flight;
    if (flight->leader == caller) {
        flight->leader = NULL;
    } else if (flight->fenced == caller) {
        flight->fenced = NULL;
    } else {
        sfl_flight_uncount(table, flight, caller);
        sfl_link_remove(&caller->in_followers);
        sfl_link_remove(&caller->in_live);
        flight->follower_count--;
    }
    sfl_deadline_disarm(&table->deadlines, &caller->deadline);
    free_belongings(table, caller);
    caller->flight = NULL;
    give_place(table, flight);
    SFL_COUNT(table, flight->group, callers_now, -1);
}

void sfl_step_refuse(struct sfl_step *step, struct sfl_caller *caller,
                     const struct sfl_refusal *refusal)
{
    struct sfl_effect *effect = sfl_step_push(step, SFL_EFFECT_REFUSE);
    effect->caller = caller;
    effect->refusal = *refusal;
    sfl_bytes_ref(refusal->name);
}

void sfl_step_count_refusal(struct sfl_step *step, struct sfl_group *group, enum sfl_reason reason)
{
    if (!sfl_reason_is_limit(reason))
        return;
    SFL_COUNT(step->table, group, refused, 1);
    step->table->tally.refused[reason]++;
}
