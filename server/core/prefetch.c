// SPDX-License-Identifier: Apache-2.0
// In a large table every flight is far from the processor: a step that waits for each part of it in
// turn waits longer than it works. Parts that are asked for together come together.
#include "base/prefetch.h"
#include "core/step_private.h"

enum { OUTCOME_BYTES = 256 }; // with the beginning of its value

static void prefetch_bytes(const void *memory, size_t size)
{
    for (size_t at = 0; at < size; at += SFL_CACHE_LINE)
        sfl_prefetch((const uint8_t *)memory + at);
}

void sfl_flight_prefetch_end(const struct sfl_table *table, struct sfl_flight *flight)
{
    sfl_index_prefetch(&table->flights, flight->hash);
    sfl_prefetch(sfl_page_of(flight));
}

void sfl_table_prefetch_key(const struct sfl_table *table, uint64_t hash, enum sfl_ahead ahead)
{
    if (ahead == SFL_AHEAD_FAR) {
        sfl_index_prefetch(&table->flights, hash);
        return;
    }
    struct sfl_index_walk walk = {0};
    const struct sfl_flight *flight = sfl_index_next(&table->flights, hash, &walk);
    if (flight == NULL)
        return;
    if (ahead == SFL_AHEAD_NEAR)
        prefetch_bytes(flight, sizeof(*flight));
    else if (sfl_flight_has_ended(flight) && flight->outcome != NULL)
        prefetch_bytes(flight->outcome, OUTCOME_BYTES);
}

void sfl_table_prefetch_caller(const struct sfl_table *table, const struct sfl_caller *caller,
                               enum sfl_ahead ahead)
{
    if (!sfl_caller_is_joined(caller))
        return;
    if (ahead == SFL_AHEAD_FAR)
        prefetch_bytes(caller->flight, sizeof(*caller->flight));
    else if (ahead == SFL_AHEAD_NEAR)
        sfl_flight_prefetch_end(table, caller->flight);
}
