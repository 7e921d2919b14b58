// SPDX-License-Identifier: Apache-2.0
// A lease runs out when somebody wants the key. Until then its leader is overdue: it keeps the
// lead, and a renewal or a resume restores the lease.
#include "core/step_private.h"

enum { ROOM_LOOKS = 64 }; // so that a step is short, however many are overdue

static struct sfl_flight *flight_of(const struct sfl_link *link)
{
    return SFL_CONTAINER_OF(link, struct sfl_flight, in_list);
}

bool sfl_flight_is_wanted(const struct sfl_flight *flight)
{
    return flight->follower_count > 0 || flight->beside != NULL ||
           flight->place == SFL_PLACE_FORGOTTEN;
}

void sfl_flight_begin_overdue(struct sfl_table *table, struct sfl_flight *flight)
{
    flight->overdue = true;
    sfl_link_remove(&flight->in_list); // of orphans
    sfl_list_append(&table->overdue, &flight->in_list);
    atomic_fetch_add_explicit(&table->usage->overdue, 1, memory_order_relaxed);
    sfl_flight_arm(&table->pages, flight, flight->led_since_ms + flight->run_limit_ms);
}

void sfl_flight_end_overdue(struct sfl_table *table, struct sfl_flight *flight)
{
    if (!flight->overdue)
        return;
    flight->overdue = false;
    sfl_link_remove(&flight->in_list);
    atomic_fetch_sub_explicit(&table->usage->overdue, 1, memory_order_relaxed);
}

// The one that gives its room first; NULL: none.
static struct sfl_flight *find_overdue(const struct sfl_table *table, enum sfl_room room)
{
    const struct sfl_link *link = sfl_list_first(&table->overdue);
    for (unsigned i = 0; link != NULL && i < ROOM_LOOKS; i++) {
        if (room != SFL_ROOM_BYTES || flight_of(link)->held_bytes > 0)
            return flight_of(link);
        link = sfl_list_next(&table->overdue, link);
    }
    return NULL;
}

uint64_t sfl_table_overdue_since_ms(const struct sfl_table *table, enum sfl_room room)
{
    const struct sfl_flight *flight = find_overdue(table, room);
    return flight == NULL ? UINT64_MAX : flight->lease_until_ms;
}

// Its leader is fenced, and whoever waits for it gets ABORTED.
static void end_for(struct sfl_step *step, struct sfl_flight *flight, enum sfl_loss loss)
{
    flight->loss = loss;
    SFL_COUNT(step->table, flight->group, leaders_lost, 1);
    struct sfl_refusal refusal = sfl_flight_loss(flight, SFL_REASON_LOST, loss);
    sfl_flight_fence(flight);
    sfl_flight_abort(step, flight, &refusal);
}

void sfl_step_make_room(struct sfl_step *step, enum sfl_room room)
{
    struct sfl_flight *flight = find_overdue(step->table, room);
    if (flight != NULL)
        end_for(step, flight, SFL_LOSS_ROOM);
}

// With a data directory it is still there after the next start.
bool sfl_step_drain_overdue(struct sfl_step *step)
{
    struct sfl_link *link = sfl_list_first(&step->table->overdue);
    if (link == NULL)
        return false;
    struct sfl_refusal refusal = {.reason = SFL_REASON_DRAINING};
    sfl_flight_abort(step, flight_of(link), &refusal);
    return true;
}
