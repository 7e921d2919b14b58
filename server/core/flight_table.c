// SPDX-License-Identifier: Apache-2.0
// A table as a whole: its beginning and end, and who looks up what is in it.
#include "core/flight_table.h"

#include "core/step_private.h"

void sfl_table_init(struct sfl_table *table, const struct sfl_table_options *options)
{
    *table = (struct sfl_table){
        .allocator = options->allocator,
        .limits = options->limits,
        .hash_seed = options->hash_seed,
        .now_ms = options->now_ms,
        .keeps = options->keeps,
        .runs = options->runs,
        .usage = options->usage,
        .describe = options->describe,
        .first_token = options->first_token,
    };
    sfl_shares_init(&table->shares, options->usage);
    table->held.all = &table->shares.held_bytes;
    table->quota_of = options->quota_of;
    table->quota_done = options->quota_done;
    table->quota_context = options->quota_context;
    sfl_index_init(&table->flights, options->allocator);
    sfl_index_init(&table->groups, options->allocator);
    sfl_list_init(&table->next);
    sfl_list_init(&table->overdue);
    sfl_list_init(&table->overdue_holders);
    sfl_list_init(&table->settled);
    sfl_list_init(&table->behind);
    sfl_list_init(&table->orphans);
    sfl_list_init(&table->dead);
    sfl_deadlines_init(&table->deadlines, options->now_ms);
    sfl_pages_init(&table->pages, options->allocator, &table->deadlines);
}

void sfl_table_deinit(struct sfl_table *table)
{
    assert(table->stats.flights_now == 0 && sfl_list_is_empty(&table->settled));
    for (uint64_t i = 0; i < sfl_index_slots(&table->flights); i++) {
        struct sfl_flight *flight = sfl_index_at(&table->flights, i);
        if (flight == NULL)
            continue;
        sfl_flight_give_retained(table, flight);
        sfl_list_append(&table->dead, &flight->in_list);
    }
    while (!sfl_list_is_empty(&table->dead))
        sfl_table_collect(table);
    sfl_pages_deinit(&table->pages);
    sfl_index_deinit(&table->flights);
    sfl_table_free_groups(table);
    sfl_table_forget_restored(table);
    sfl_shares_deinit(&table->shares);
}

struct sfl_flight *sfl_table_find(const struct sfl_table *table, enum sfl_flight_place place,
                                  uint64_t hash, struct sfl_span group, struct sfl_span key,
                                  uint64_t token)
{
    struct sfl_index_walk walk = {0};
    struct sfl_flight *flight;
    while ((flight = sfl_table_next(table, hash, group, key, &walk)) != NULL) {
        if (flight->place == place && (token == 0 || flight->token == token))
            return flight;
    }
    return NULL;
}

uint64_t sfl_table_next_deadline_ms(const struct sfl_table *table)
{
    return sfl_deadlines_next_ms(&table->deadlines);
}
