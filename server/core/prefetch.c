// SPDX-License-Identifier: Apache-2.0
// In a large table every flight is far from the processor: a step that waits for each part of it in
// turn waits longer than it works. Parts that are asked for together come together.
#include "base/prefetch.h"
#include "core/step.h"

static void prefetch_flight(const struct sfl_flight *flight)
{
    for (size_t at = 0; at < sizeof(*flight); at += SFL_CACHE_LINE)
        sfl_prefetch((const uint8_t *)flight + at);
}

void sfl_flight_prefetch_end(const struct sfl_table *table, struct sfl_flight *flight)
{
    if (flight->place != SFL_PLACE_NOWHERE)
        sfl_index_prefetch(&table->places[flight->place], flight->hash);
    sfl_prefetch(sfl_page_of(flight));
}

static void prefetch_key(const struct sfl_index *index, uint64_t hash, enum sfl_ahead ahead)
{
    if (index->count == 0)
        return;
    if (ahead == SFL_AHEAD_FAR) {
        sfl_index_prefetch(index, hash);
        return;
    }
    struct sfl_index_walk walk = {0};
    const struct sfl_flight *flight = sfl_index_next(index, hash, &walk);
    if (flight != NULL)
        prefetch_flight(flight);
}

void sfl_table_prefetch(const struct sfl_table *table, const struct sfl_event *event,
                        enum sfl_ahead ahead)
{
    if (event->type == SFL_EVENT_JOIN || event->type == SFL_EVENT_FORGET) {
        prefetch_key(&table->places[SFL_PLACE_RUNNING], event->hash, ahead);
        prefetch_key(&table->places[SFL_PLACE_RETAINED], event->hash, ahead);
    } else if (event->caller != NULL && sfl_caller_is_joined(event->caller)) {
        if (ahead == SFL_AHEAD_FAR)
            prefetch_flight(event->caller->flight);
        else
            sfl_flight_prefetch_end(table, event->caller->flight);
    }
}
