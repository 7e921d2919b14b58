// SPDX-License-Identifier: Apache-2.0
// A lease runs out when somebody wants the key. Until then its leader is overdue: it keeps the
// lead, and a renewal or a resume restores the lease.
#include "core/step_private.h"

// So that a step is short, however many are overdue.
enum { PLACE_LOOKS = 64, GROUP_LOOKS = 1024 };

static struct sfl_flight *flight_of(const struct sfl_link *link)
{
    return SFL_CONTAINER_OF(link, struct sfl_flight, in_list);
}

bool sfl_flight_is_wanted(const struct sfl_flight *flight)
{
    return flight->follower_count > 0 || flight->beside != NULL ||
           flight->place == SFL_PLACE_FORGOTTEN;
}

// The place of a flight that holds bytes is among those that are overdue for about as long; one
// that begins to hold them late may have to look for it.
static void append_holder(struct sfl_table *table, struct sfl_flight *flight)
{
    struct sfl_link *before = sfl_list_last(&table->overdue_holders);
    for (unsigned i = 0; i < PLACE_LOOKS && before != NULL &&
                         flight_of(before)->lease_until_ms > flight->lease_until_ms;
         i++)
        before = sfl_list_previous(&table->overdue_holders, before);
    if (before == NULL)
        sfl_list_prepend(&table->overdue_holders, &flight->in_list);
    else
        sfl_link_insert_after(before, &flight->in_list);
}

static void append_overdue(struct sfl_table *table, struct sfl_flight *flight)
{
    sfl_link_remove(&flight->in_list); // of orphans
    if (flight->held_bytes > 0)
        append_holder(table, flight);
    else
        sfl_list_append(&table->overdue, &flight->in_list);
}

void sfl_flight_overdue_holds(struct sfl_table *table, struct sfl_flight *flight)
{
    append_overdue(table, flight);
}

void sfl_flight_begin_overdue(struct sfl_table *table, struct sfl_flight *flight)
{
    flight->overdue = true;
    append_overdue(table, flight);
    atomic_fetch_add_explicit(&table->usage->overdue, 1, memory_order_relaxed);
    sfl_flight_arm(&table->pages, flight, sfl_flight_run_until_ms(flight));
}

void sfl_flight_end_overdue(struct sfl_table *table, struct sfl_flight *flight)
{
    if (!flight->overdue)
        return;
    flight->overdue = false;
    sfl_link_remove(&flight->in_list);
    atomic_fetch_sub_explicit(&table->usage->overdue, 1, memory_order_relaxed);
}

static bool may_give(const struct sfl_flight *flight, struct sfl_span group,
                     const struct sfl_caller *asker)
{
    return (asker == NULL || flight->leader != asker) &&
           (group.size == 0 || sfl_span_equal(sfl_flight_group(flight), group));
}

// The longest overdue in a list that may give its room; NULL: none among those that are looked at.
static struct sfl_flight *first_of(const struct sfl_list *list, struct sfl_span group,
                                   const struct sfl_caller *asker)
{
    const struct sfl_link *link = sfl_list_first(list);
    for (unsigned i = 0; i < GROUP_LOOKS && link != NULL; i++) {
        if (may_give(flight_of(link), group, asker))
            return flight_of(link);
        link = sfl_list_next(list, link);
    }
    return NULL;
}

// The one that gives its room first; NULL: none.
static struct sfl_flight *find_overdue(const struct sfl_table *table, enum sfl_room room,
                                       struct sfl_span group, const struct sfl_caller *asker)
{
    struct sfl_flight *holder = first_of(&table->overdue_holders, group, asker);
    if (room == SFL_ROOM_BYTES)
        return holder;
    struct sfl_flight *other = first_of(&table->overdue, group, asker);
    if (holder == NULL || other == NULL)
        return holder == NULL ? other : holder;
    return holder->lease_until_ms < other->lease_until_ms ? holder : other;
}

uint64_t sfl_table_overdue_since_ms(const struct sfl_table *table, enum sfl_room room,
                                    struct sfl_span group, const struct sfl_caller *asker)
{
    const struct sfl_flight *flight = find_overdue(table, room, group, asker);
    return flight == NULL ? UINT64_MAX : flight->lease_until_ms;
}

void sfl_step_make_room(struct sfl_step *step, const struct sfl_event *event)
{
    struct sfl_flight *flight = find_overdue(step->table, event->room, event->group, event->caller);
    if (flight != NULL)
        sfl_flight_give_room(step, flight);
}

// With a data directory it is still there after the next start.
bool sfl_step_drain_overdue(struct sfl_step *step)
{
    struct sfl_flight *flight =
        find_overdue(step->table, SFL_ROOM_FLIGHT, sfl_span_of(NULL, 0), NULL);
    if (flight == NULL)
        return false;
    struct sfl_refusal refusal = {.reason = SFL_REASON_DRAINING};
    sfl_flight_abort(step, flight, &refusal);
    return true;
}
