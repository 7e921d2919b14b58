// SPDX-License-Identifier: Apache-2.0
// A flight as an object: made, taken out of the index, accounted for, buried and freed.
#include "core/flight.h"

#include "core/step_private.h"

// More than a step can bury. Many may be buried between two steps, when crowds that have ended are
// taken out.
enum { COLLECTED_AT_ONCE = 16 };

static void copy_span(uint8_t **at, struct sfl_span span)
{
    if (span.size > 0)
        memcpy(*at, span.data, span.size);
    *at += span.size;
}

// Copies group (unless the flight's group has it already), key and fingerprint. False when there is
// no memory.
static bool copy_names(struct sfl_table *table, struct sfl_flight *flight,
                       const struct sfl_join *join)
{
    flight->group_size = flight->group == NULL ? (uint16_t)join->group.size : 0;
    flight->key_size = (uint16_t)join->key.size;
    flight->fingerprint_size = (uint8_t)join->fingerprint.size;
    uint8_t *at = flight->near_names;
    size_t size = sfl_flight_names_size(flight);
    if (size > SFL_NEAR_NAMES) {
        at = sfl_alloc(table->allocator, size);
        if (at == NULL)
            return false;
        flight->far_names = at;
    }
    copy_span(&at, sfl_span_of(join->group.data, flight->group_size));
    copy_span(&at, join->key);
    copy_span(&at, join->fingerprint);
    return true;
}

struct sfl_flight *sfl_flight_create(struct sfl_table *table, const struct sfl_join *join,
                                     uint64_t hash)
{
    struct sfl_flight *flight = sfl_pages_take(&table->pages);
    if (flight == NULL)
        return NULL;
    *flight = (struct sfl_flight){
        .hash = hash,
        .state = SFL_FLIGHT_FINDING_HOME,
        .place = SFL_PLACE_NOWHERE,
        .group = sfl_table_group(table, join->group),
        .due_ms = UINT64_MAX,
        .on_leader_loss = join->on_leader_loss,
        .max_attempts = join->max_attempts,
        .retain_from_lead = join->retain_from_lead,
        .retain_ms = join->retain_ms,
        .retain_error_ms = join->retain_error_ms,
        .lease_ms = join->lease_ms,
        .run_limit_ms =
            join->run_limit_ms == 0 ? table->limits->run_limit_ms_max : join->run_limit_ms,
        .lease_until_ms = UINT64_MAX,
    };
    sfl_list_init(&flight->followers);
    sfl_list_init(&flight->live);
    if (!copy_names(table, flight, join)) {
        sfl_pages_give(&table->pages, flight);
        return NULL;
    }
    if (flight->group != NULL)
        flight->group->flights++;
    return flight;
}

enum sfl_reason sfl_group_take_flight(struct sfl_table *table, const struct sfl_group *group)
{
    struct sfl_quota_shares *quota = sfl_group_quota(group);
    if (!sfl_quota_take_flight(quota))
        return SFL_REASON_FLIGHTS_QUOTA;
    if (sfl_share_take(&table->shares.flights, 1, table->limits->flights_max))
        return SFL_REASON_NONE;
    sfl_quota_give_flight(quota);
    return SFL_REASON_FLIGHTS_LIMIT;
}

void sfl_group_give_flight(struct sfl_table *table, const struct sfl_group *group)
{
    sfl_share_give(&table->shares.flights, 1);
    sfl_quota_give_flight(sfl_group_quota(group));
}

void sfl_flight_unplace(struct sfl_table *table, struct sfl_flight *flight)
{
    sfl_index_remove(&table->flights, flight->hash, flight);
    flight->place = SFL_PLACE_NOWHERE;
}

uint64_t sfl_flight_held_bytes(const struct sfl_flight *flight)
{
    uint64_t held_bytes = flight->value == NULL ? 0 : flight->value->size;
    if (flight->past != NULL && flight->past->kept != NULL)
        held_bytes += sfl_outcome_held_bytes(flight->past->kept);
    if (flight->state == SFL_FLIGHT_RETAINED)
        held_bytes += sfl_outcome_held_bytes(flight->outcome);
    return held_bytes;
}

void sfl_flight_account(struct sfl_table *table, struct sfl_flight *flight)
{
    uint64_t held_bytes = sfl_flight_held_bytes(flight);
    SFL_COUNT(table, flight->group, bytes_now, held_bytes - flight->held_bytes);
    flight->held_bytes = held_bytes;
}

void sfl_flight_drop_value(struct sfl_table *table, struct sfl_flight *flight)
{
    sfl_value_unref(flight->value);
    flight->value = NULL;
    sfl_flight_account(table, flight);
}

void sfl_flight_bury_if_done(struct sfl_table *table, struct sfl_flight *flight)
{
    if (flight->state != SFL_FLIGHT_SETTLED || flight->home_owed || flight->follower_count > 0)
        return;
    // Its bytes go now: nobody can say when this table is stepped again.
    sfl_value_unref(flight->value);
    flight->value = NULL;
    if (!flight->told_when_dead) {
        sfl_outcome_unref(flight->outcome);
        flight->outcome = NULL;
    }
    sfl_link_remove(&flight->in_list);
    sfl_list_append(&table->dead, &flight->in_list);
}

void sfl_table_collect(struct sfl_table *table)
{
    struct sfl_link *link;
    for (unsigned i = 0; i < COLLECTED_AT_ONCE && (link = sfl_list_pop(&table->dead)) != NULL;
         i++) {
        struct sfl_flight *flight = SFL_CONTAINER_OF(link, struct sfl_flight, in_list);
        size_t names_size = sfl_flight_names_size(flight);
        sfl_bytes_unref(flight->leader_name);
        sfl_value_unref(flight->value);
        sfl_outcome_unref(flight->outcome);
        if (flight->refusal_named) // until now: how the flight ended is told after the step
            sfl_bytes_unref(flight->refusal.name);
        if (flight->past != NULL)
            sfl_flight_drop_past(table, flight);
        if (names_size > SFL_NEAR_NAMES)
            sfl_free(table->allocator, flight->far_names, names_size);
        if (flight->group != NULL)
            flight->group->flights--;
        sfl_pages_give(&table->pages, flight);
    }
}
