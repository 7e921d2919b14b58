// SPDX-License-Identifier: Apache-2.0
// What outlives the process of a flight that runs, and how such a flight comes back.
#include "core/step_private.h"

static const uint64_t LONGEST_MS = UINT64_MAX / 2; // that a lead is taken to be old

void sfl_step_unlead(struct sfl_step *step, struct sfl_flight *flight, uint64_t token)
{
    struct sfl_effect *effect = sfl_step_push(step, SFL_EFFECT_UNLEAD);
    effect->flight = flight;
    effect->token = token;
}

void sfl_flight_unlead(struct sfl_step *step, struct sfl_flight *flight)
{
    sfl_link_remove(&flight->in_list); // of orphans
    if (flight->lead_kept)
        sfl_step_unlead(step, flight, flight->token);
    flight->lead_kept = false;
}

void sfl_flight_keep_forgotten(struct sfl_step *step, struct sfl_flight *flight)
{
    // The next attempt's lead may be on its way.
    bool may_wait = flight->state == SFL_FLIGHT_FINDING_HOME && flight->lease_ms > 0;
    if (flight->lead_kept || (may_wait && step->table->keeps))
        sfl_step_push(step, SFL_EFFECT_KEEP_LEAD)->flight = flight;
}

void sfl_flight_orphan(struct sfl_table *table, struct sfl_flight *flight)
{
    flight->state = SFL_FLIGHT_ORPHANED;
    if (flight->lead_kept && !flight->overdue)
        sfl_list_append(&table->orphans, &flight->in_list);
}

void sfl_flight_place_running(struct sfl_table *table, struct sfl_flight *flight)
{
    flight->place = SFL_PLACE_RUNNING;
    sfl_index_insert(&table->flights, flight->hash, flight);
    SFL_COUNT(table, flight->group, flights_now, 1);
}

// True when there is a flight that a lead with this place and token cannot stand beside.
static bool is_taken(const struct sfl_table *table, const struct sfl_left_lead *lead, uint64_t hash)
{
    const struct sfl_join *join = lead->join;
    if (sfl_table_find(table, SFL_PLACE_RETAINED, hash, join->group, join->key, lead->token) !=
        NULL)
        return true; // the lead has ended with this outcome
    return !lead->forgotten &&
           sfl_table_find(table, SFL_PLACE_RUNNING, hash, join->group, join->key, 0) != NULL;
}

static struct sfl_flight *create(struct sfl_table *table, const struct sfl_left_lead *lead,
                                 uint64_t hash)
{
    const struct sfl_join *join = lead->join;
    struct sfl_bytes *name = NULL;
    if (!sfl_index_reserve(&table->flights))
        return NULL;
    if (join->name.size > 0) {
        name = sfl_bytes_copy(table->allocator, join->name);
        if (name == NULL)
            return NULL;
    }
    struct sfl_flight *flight = sfl_flight_create(table, join, hash);
    if (flight == NULL) {
        sfl_bytes_unref(name);
        return NULL;
    }
    flight->leader_name = name;
    if (lead->error == NULL && lead->begun_for_ms == lead->led_for_ms)
        return flight;
    struct sfl_past *past = sfl_flight_make_past(table, flight);
    if (past != NULL) {
        past->kept = lead->error;
    } else if (lead->error != NULL) {
        flight->state = SFL_FLIGHT_SETTLED;
        sfl_flight_bury_if_done(table, flight);
        return NULL;
    }
    return flight;
}

// Without memory for it, whoever comes back for it later is told that it did not outlive the
// restart.
static void remember_restored(struct sfl_table *table, uint64_t token)
{
    struct sfl_tokens *tokens = &table->restored;
    if (tokens->count == tokens->capacity) {
        size_t capacity = tokens->capacity == 0 ? 16 : 2 * tokens->capacity;
        uint64_t *items = sfl_alloc(table->allocator, capacity * sizeof(items[0]));
        if (items == NULL)
            return;
        if (tokens->count > 0)
            memcpy(items, tokens->items, tokens->count * sizeof(items[0]));
        sfl_table_forget_restored(table);
        tokens->items = items;
        tokens->capacity = capacity;
    }
    tokens->items[tokens->count++] = token;
}

void sfl_table_forget_restored(struct sfl_table *table)
{
    struct sfl_tokens *tokens = &table->restored;
    if (tokens->items != NULL)
        sfl_free(table->allocator, tokens->items, tokens->capacity * sizeof(tokens->items[0]));
    tokens->items = NULL;
}

bool sfl_table_has_restored(const struct sfl_table *table, uint64_t token)
{
    const struct sfl_tokens *tokens = &table->restored;
    size_t low = 0;
    size_t high = tokens->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (tokens->items[middle] > token)
            low = middle + 1;
        else
            high = middle;
    }
    return low < tokens->count && tokens->items[low] == token;
}

bool sfl_table_restore_lead(struct sfl_table *table, const struct sfl_left_lead *lead,
                            uint64_t hash, uint64_t now_ms)
{
    struct sfl_effects none = {.count = 0};
    struct sfl_step step = {.table = table, .now_ms = now_ms, .effects = &none};
    if (is_taken(table, lead, hash) ||
        !sfl_share_take(&table->shares.flights, 1, table->limits->flights_max))
        return false;
    struct sfl_flight *flight = create(table, lead, hash);
    if (flight == NULL) {
        sfl_share_give(&table->shares.flights, 1);
        return false;
    }
    // Whoever leads it has begun; a quota is for those who have not.
    sfl_quota_add_flight(sfl_flight_quota(flight));
    remember_restored(table, lead->token);
    flight->token = lead->token;
    flight->attempt = lead->attempt;
    flight->next_sequence = 0;
    // A clock that began after the lead makes no harm: differences are what counts.
    flight->led_since_ms = now_ms - (lead->led_for_ms < LONGEST_MS ? lead->led_for_ms : LONGEST_MS);
    if (flight->past != NULL) {
        flight->past->kept_led_ms = now_ms - lead->error_led_for_ms;
        flight->past->first_led_ms = now_ms - lead->begun_for_ms;
    }
    sfl_flight_place_running(table, flight);
    if (lead->forgotten)
        flight->place = SFL_PLACE_FORGOTTEN;
    flight->lead_kept = true;
    sfl_flight_orphan(table, flight);
    sfl_flight_account(table, flight);
    sfl_flight_extend_lease(&step, flight);
    return true;
}

bool sfl_table_is_at_rest(const struct sfl_table *table, uint64_t *callers_out)
{
    uint64_t flights = 0;
    uint64_t callers = 0;
    const struct sfl_link *link = sfl_list_first(&table->orphans);
    for (; link != NULL; link = sfl_list_next(&table->orphans, link)) {
        flights++;
        callers += SFL_CONTAINER_OF(link, const struct sfl_flight, in_list)->follower_count;
    }
    *callers_out = callers;
    return flights == table->stats.flights_now && callers == table->stats.callers_now;
}
