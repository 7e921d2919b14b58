// SPDX-License-Identifier: Apache-2.0
// What live followers are told while the leader is still at work: in batches, however many they
// are.
#include "core/step_private.h"

void sfl_flight_tell_live(struct sfl_step *step, struct sfl_flight *flight,
                          enum sfl_effect_type type)
{
    if (sfl_list_is_empty(&flight->live))
        return; // those who are behind already will hear of this too
    sfl_list_append_all(&step->table->behind, &flight->live);
    struct sfl_effect *effect = sfl_step_push(step, type);
    effect->flight = flight;
}

bool sfl_caller_must_restart(const struct sfl_caller *caller, uint32_t attempt)
{
    return caller->live && caller->told_attempt != attempt;
}

bool sfl_table_take_live(struct sfl_table *table, struct sfl_live *live_out)
{
    struct sfl_link *link;
    live_out->count = 0;
    for (unsigned i = 0; i < SFL_LIVE_BATCH && (link = sfl_list_pop(&table->behind)) != NULL; i++) {
        struct sfl_caller *caller = SFL_CONTAINER_OF(link, struct sfl_caller, in_live);
        struct sfl_flight *flight = caller->flight;
        bool follows = caller->told_attempt == 0;
        // A flight that has ended tells its followers so, and with that all that they do not know.
        bool is_told = !sfl_flight_has_ended(flight);
        if (caller->live || !is_told)
            sfl_list_append(&flight->live, &caller->in_live);
        if (!is_told)
            continue;
        bool restarts = !follows && sfl_caller_must_restart(caller, flight->attempt);
        caller->told_attempt = flight->attempt;
        live_out->items[live_out->count].caller = caller;
        live_out->items[live_out->count].restarts = restarts;
        live_out->items[live_out->count++].follows = follows;
    }
    live_out->more = !sfl_list_is_empty(&table->behind);
    return live_out->count > 0 || live_out->more;
}
