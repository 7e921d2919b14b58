// SPDX-License-Identifier: Apache-2.0
// What people look at: flights and counters.
#include "core/step_private.h"

static uint64_t until(uint64_t at_ms, uint64_t now_ms)
{
    return at_ms > now_ms ? at_ms - now_ms : 0;
}

static uint64_t value_bytes(const struct sfl_flight *flight)
{
    if (flight->state == SFL_FLIGHT_RETAINED)
        return flight->outcome->value_bytes;
    return flight->value == NULL ? 0 : flight->value->size;
}

// What has been restored may be from before the clock began to count: the difference is right.
static struct sfl_flight_view view_of(const struct sfl_flight *flight, uint64_t now_ms)
{
    struct sfl_flight_view view = {
        .group = sfl_flight_group(flight),
        .key = sfl_flight_key(flight),
        .leader = sfl_bytes_span(flight->kept_won ? NULL : flight->leader_name),
        .state = flight->state,
        .forgotten = flight->place == SFL_PLACE_FORGOTTEN,
        .overdue = flight->overdue,
        .token = flight->token,
        .attempt = flight->attempt,
        .callers = flight->follower_count + (flight->leader != NULL ? 1 : 0),
        .value_bytes = value_bytes(flight),
    };
    if (flight->state == SFL_FLIGHT_RETAINED) {
        view.callers = flight->callers;
        view.expires_ms = until(flight->retained_until_ms, now_ms);
        view.outcome = flight->outcome;
        view.ended_ms_ago = now_ms - flight->ended_at_ms;
    } else if (sfl_flight_has_attempt(flight)) {
        view.running_ms = now_ms - flight->led_since_ms;
        if (flight->lease_ms > 0)
            view.expires_ms = until(flight->lease_until_ms, now_ms);
    }
    return view;
}

uint64_t sfl_table_hits(const struct sfl_table *table, uint64_t hash, struct sfl_span group,
                        struct sfl_span key, uint64_t token)
{
    const struct sfl_flight *flight =
        sfl_table_find(table, SFL_PLACE_RETAINED, hash, group, key, token);
    return flight == NULL ? 0 : flight->hits;
}

bool sfl_table_visit(const struct sfl_table *table, uint64_t now_ms,
                     struct sfl_table_cursor *cursor, uint64_t slots,
                     bool (*visit)(void *context, const struct sfl_flight_view *view),
                     void *context)
{
    if (now_ms < table->now_ms) // read before the lock was held
        now_ms = table->now_ms;
    while (cursor->slot < sfl_index_slots(&table->flights)) {
        if (slots-- == 0)
            return true;
        const struct sfl_flight *flight = sfl_index_at(&table->flights, cursor->slot++);
        if (flight == NULL)
            continue;
        struct sfl_flight_view view = view_of(flight, now_ms);
        if (!visit(context, &view))
            return true;
    }
    return false;
}

bool sfl_table_visit_groups(const struct sfl_table *table, struct sfl_table_cursor *cursor,
                            uint64_t slots,
                            void (*visit)(void *context, struct sfl_span name,
                                          const struct sfl_stats *stats),
                            void *context)
{
    for (; cursor->slot < sfl_index_slots(&table->groups); cursor->slot++) {
        if (slots-- == 0)
            return true;
        const struct sfl_group *group = sfl_index_at(&table->groups, cursor->slot);
        if (group != NULL)
            visit(context, sfl_span_of(group->name, group->name_size), &group->stats);
    }
    return false;
}

struct sfl_stats sfl_table_stats(const struct sfl_table *table, struct sfl_span group)
{
    if (group.size == 0)
        return table->stats;
    const struct sfl_group *found = sfl_table_find_group(table, group);
    return found == NULL ? (struct sfl_stats){0} : found->stats;
}
