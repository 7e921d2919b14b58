// SPDX-License-Identifier: Apache-2.0
// The table of states in flight.h, and what it means for a whole table, so that a program can ask.
#include "core/step_private.h"

// Keeps the first rule that does not hold.
static void keep_first(const char **broken, bool holds, const char *rule)
{
    if (!holds && *broken == NULL)
        *broken = rule;
}
#define RULE(broken, holds) keep_first(broken, holds, #holds)

static void check_followers(const struct sfl_flight *flight, const char **broken)
{
    uint32_t followers = 0;
    uint32_t live = 0;
    const struct sfl_link *link = sfl_list_first(&flight->followers);
    for (; link != NULL; link = sfl_list_next(&flight->followers, link)) {
        const struct sfl_caller *follower = SFL_CONTAINER_OF(link, struct sfl_caller, in_followers);
        RULE(broken, follower->flight == flight);
        RULE(broken, follower != flight->leader && follower != flight->fenced);
        // Who waited in a next flight is told of its leader, live or not.
        bool is_to_be_told = follower->live || follower->told_attempt == 0;
        RULE(broken, is_to_be_told == sfl_link_is_linked(&follower->in_live));
        followers++;
        live += is_to_be_told;
    }
    RULE(broken, followers == flight->follower_count);
    link = sfl_list_first(&flight->live);
    uint32_t informed = 0;
    for (; link != NULL; link = sfl_list_next(&flight->live, link))
        informed++;
    RULE(broken, informed <= live); // the others are behind
}

// Of a flight that runs, whatever its state.
static void check_running(const struct sfl_flight *flight, const char **broken)
{
    RULE(broken, flight->place == SFL_PLACE_RUNNING || flight->place == SFL_PLACE_FORGOTTEN);
    bool is_orphan = flight->state == SFL_FLIGHT_ORPHANED && flight->lead_kept;
    RULE(broken, flight->beside == NULL || flight->beside->state == SFL_FLIGHT_NEXT);
    RULE(broken, flight->beside == NULL || flight->beside->beside == flight);
    RULE(broken, (flight->overdue || is_orphan) == sfl_link_is_linked(&flight->in_list));
    RULE(broken, (flight->attempt == 0) == (flight->token == 0));
}

static void check_next(const struct sfl_flight *flight, const char **broken)
{
    const struct sfl_flight *before = flight->beside;
    RULE(broken, flight->place == SFL_PLACE_NEXT || flight->place == SFL_PLACE_FORGOTTEN);
    RULE(broken, before != NULL && before->beside == flight);
    RULE(broken, before == NULL || before->state != SFL_FLIGHT_NEXT);
    RULE(broken, before == NULL || !sfl_flight_has_ended(before));
    RULE(broken, before == NULL || before->hash == flight->hash);
    RULE(broken, before == NULL || (before->place == SFL_PLACE_FORGOTTEN) ==
                                       (flight->place == SFL_PLACE_FORGOTTEN));
    RULE(broken, sfl_link_is_linked(&flight->in_list));
    RULE(broken, flight->leader == NULL && flight->fenced == NULL);
    RULE(broken, flight->value == NULL && flight->past == NULL);
    RULE(broken, flight->token == 0 && flight->attempt == 0);
    RULE(broken, flight->due_ms == UINT64_MAX);
    RULE(broken, !flight->home_owed);
    RULE(broken, flight->follower_count > 0);
}

static void check_finding_home(const struct sfl_flight *flight, const char **broken)
{
    check_running(flight, broken);
    RULE(broken, flight->leader == NULL);
    RULE(broken, flight->home_owed);
    RULE(broken, !flight->lead_kept);
    RULE(broken, flight->value == NULL);
    RULE(broken, flight->due_ms == UINT64_MAX);
    RULE(broken, !flight->overdue);
}

// Nobody is there who could take the lead over.
static void check_overdue(const struct sfl_flight *flight, const char **broken)
{
    RULE(broken, flight->lease_ms > 0);
    RULE(broken, flight->beside == NULL);
    RULE(broken, flight->place == SFL_PLACE_RUNNING);
    RULE(broken, sfl_flight_candidate(flight) == NULL);
    RULE(broken, flight->due_ms == sfl_flight_run_until_ms(flight));
}

// Of a flight that has a current attempt, whoever leads it.
static void check_attempt(const struct sfl_flight *flight, const char **broken)
{
    uint64_t run_until_ms = sfl_flight_run_until_ms(flight);
    uint64_t lease_until_ms = flight->lease_until_ms;
    check_running(flight, broken);
    RULE(broken, flight->fenced == NULL);
    RULE(broken, !flight->home_owed);
    RULE(broken, flight->attempt > 0);
    RULE(broken, (flight->lease_ms > 0) == (lease_until_ms != UINT64_MAX));
    if (flight->overdue)
        check_overdue(flight, broken);
    else
        RULE(broken,
             flight->due_ms == (lease_until_ms < run_until_ms ? lease_until_ms : run_until_ms));
}

// A leader's count of its audience is of its oldest followers.
static void check_count(const struct sfl_flight *flight, const struct sfl_audience_told *told,
                        const char **broken)
{
    uint32_t latest_count = 0;
    bool is_counted = told->last_counted != &flight->followers.head;
    const struct sfl_link *link = sfl_list_first(&flight->followers);
    for (; link != NULL; link = sfl_list_next(&flight->followers, link)) {
        const struct sfl_caller *follower = SFL_CONTAINER_OF(link, struct sfl_caller, in_followers);
        RULE(broken, is_counted == (follower->count_id == told->count_id));
        RULE(broken, !is_counted || follower->deadline.at_ms <= told->latest_ms);
        latest_count += is_counted && follower->deadline.at_ms == told->latest_ms;
        is_counted = is_counted && link != told->last_counted;
    }
    RULE(broken, !is_counted);
    RULE(broken, latest_count == told->latest_count);
}

static void check_led(const struct sfl_flight *flight, const char **broken)
{
    const struct sfl_caller *leader = flight->leader;
    check_attempt(flight, broken);
    RULE(broken, leader != NULL);
    if (leader == NULL)
        return;
    RULE(broken, leader->flight == flight);
    RULE(broken, leader->admitted && !leader->half_closed);
    RULE(broken, !sfl_link_is_linked(&leader->in_followers));
    RULE(broken, !sfl_link_is_linked(&leader->in_live));
    if (leader->audience != NULL && leader->audience->count_id > 0)
        check_count(flight, leader->audience, broken);
}

static void check_orphaned(const struct sfl_flight *flight, const char **broken)
{
    check_attempt(flight, broken);
    RULE(broken, flight->leader == NULL);
    RULE(broken, flight->lease_ms > 0);
}

// Of a flight that has ended, with or without an outcome.
static void check_ended(const struct sfl_flight *flight, const char **broken)
{
    RULE(broken, flight->leader == NULL);
    RULE(broken, flight->fenced == NULL);
    RULE(broken, flight->value == NULL);
    RULE(broken, flight->past == NULL);
    RULE(broken, !flight->overdue);
    RULE(broken, flight->follower_count == 0 || sfl_link_is_linked(&flight->in_list));
}

static void check_retained(const struct sfl_flight *flight, const char **broken)
{
    check_ended(flight, broken);
    RULE(broken, flight->place == SFL_PLACE_RETAINED);
    RULE(broken, flight->outcome != NULL);
    RULE(broken, !flight->home_owed);
    RULE(broken, flight->due_ms == flight->retained_until_ms);
}

static void check_settled(const struct sfl_flight *flight, const char **broken)
{
    check_ended(flight, broken);
    RULE(broken, flight->place == SFL_PLACE_NOWHERE);
    RULE(broken, flight->due_ms == UINT64_MAX);
    RULE(broken, flight->home_owed || sfl_link_is_linked(&flight->in_list));
    RULE(broken, flight->follower_count == 0 || flight->outcome != NULL ||
                     flight->refusal.reason != SFL_REASON_NONE);
}

static void check_state(const struct sfl_flight *flight, const char **broken)
{
    switch (flight->state) {
    case SFL_FLIGHT_NEXT:
        check_next(flight, broken);
        break;
    case SFL_FLIGHT_FINDING_HOME:
        check_finding_home(flight, broken);
        break;
    case SFL_FLIGHT_LED:
        check_led(flight, broken);
        break;
    case SFL_FLIGHT_ORPHANED:
        check_orphaned(flight, broken);
        break;
    case SFL_FLIGHT_RETAINED:
        check_retained(flight, broken);
        break;
    case SFL_FLIGHT_SETTLED:
        check_settled(flight, broken);
        break;
    }
}

const char *sfl_flight_check(const struct sfl_flight *flight)
{
    const char *broken = NULL;
    check_state(flight, &broken);
    check_followers(flight, &broken);
    RULE(&broken, flight->fenced == NULL || flight->fenced->flight == flight);
    if (broken != NULL)
        return broken; // what follows looks into what the state promises
    RULE(&broken, flight->held_bytes == sfl_flight_held_bytes(flight));
    const struct sfl_deadline *page = &sfl_page_of((struct sfl_flight *)flight)->deadline;
    bool comes_in_time = sfl_deadline_is_armed(page) && page->at_ms <= flight->due_ms;
    RULE(&broken, flight->due_ms == UINT64_MAX || comes_in_time);
    return broken;
}

// What a walk over all flights counts.
struct census {
    uint64_t running;
    uint64_t retained;
    uint64_t callers;
    uint64_t held_bytes;
};

static void count(struct census *census, const struct sfl_flight *flight)
{
    census->callers += flight->follower_count;
    census->callers += (flight->leader != NULL) + (flight->fenced != NULL);
    census->held_bytes += flight->held_bytes;
    census->running += flight->place == SFL_PLACE_RUNNING || flight->place == SFL_PLACE_FORGOTTEN ||
                       flight->place == SFL_PLACE_NEXT;
    census->retained += flight->place == SFL_PLACE_RETAINED;
}

// Those who look for the key of a flight find it, and no other in its place.
static bool is_found(const struct sfl_table *table, const struct sfl_flight *flight)
{
    return flight->place == SFL_PLACE_FORGOTTEN ||
           sfl_table_find(table, flight->place, flight->hash, sfl_flight_group(flight),
                          sfl_flight_key(flight), 0) == flight;
}

static const char *check_index(const struct sfl_table *table, struct census *census)
{
    const char *broken = NULL;
    for (uint64_t i = 0; i < sfl_index_slots(&table->flights) && broken == NULL; i++) {
        const struct sfl_flight *flight = sfl_index_at(&table->flights, i);
        if (flight == NULL)
            continue;
        broken = sfl_flight_check(flight);
        RULE(&broken, flight->place != SFL_PLACE_NOWHERE);
        RULE(&broken, is_found(table, flight));
        count(census, flight);
    }
    return broken;
}

// Of the flights in a list, those that are not in the index.
static const char *check_list(const struct sfl_list *list, struct census *census)
{
    const char *broken = NULL;
    const struct sfl_link *link = sfl_list_first(list);
    for (; link != NULL && broken == NULL; link = sfl_list_next(list, link)) {
        const struct sfl_flight *flight = SFL_CONTAINER_OF(link, struct sfl_flight, in_list);
        if (flight->state == SFL_FLIGHT_RETAINED)
            continue;
        broken = sfl_flight_check(flight);
        RULE(&broken, flight->state == SFL_FLIGHT_SETTLED);
        count(census, flight);
    }
    return broken;
}

static const char *check_dead(const struct sfl_table *table)
{
    const char *broken = NULL;
    const struct sfl_link *link = sfl_list_first(&table->dead);
    for (; link != NULL; link = sfl_list_next(&table->dead, link)) {
        const struct sfl_flight *flight = SFL_CONTAINER_OF(link, struct sfl_flight, in_list);
        RULE(&broken, flight->state == SFL_FLIGHT_SETTLED);
        RULE(&broken, flight->follower_count == 0 && !flight->home_owed);
        RULE(&broken, flight->outcome == NULL && flight->value == NULL);
    }
    return broken;
}

const char *sfl_table_check(const struct sfl_table *table)
{
    struct census census = {0};
    const char *broken = check_index(table, &census);
    if (broken == NULL)
        broken = check_list(&table->settled, &census);
    if (broken == NULL)
        broken = check_dead(table);
    RULE(&broken, table->stats.flights_now == census.running);
    RULE(&broken, table->stats.retained_now == census.retained);
    RULE(&broken, table->stats.callers_now == census.callers);
    RULE(&broken, table->stats.bytes_now == census.held_bytes);
    const struct sfl_stats *stats = &table->stats;
    uint64_t losses = 0;
#define ADD_LOSS(name) losses += table->tally.losses[SFL_LOSS_##name];
    SFL_LEADER_LOSS_LIST(ADD_LOSS)
#undef ADD_LOSS
    RULE(&broken, stats->leaders_lost == losses);
    RULE(&broken, stats->calls == stats->calls_led + stats->calls_followed + stats->retained_hits);
    return broken;
}
