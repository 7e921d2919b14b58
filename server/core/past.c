// SPDX-License-Identifier: Apache-2.0
// What a flight remembers of its attempts before the current one. Few flights have more than one
// attempt, so it stands beside the flight, and is made when the first one is lost.
#include "core/step_private.h"

struct sfl_past *sfl_flight_make_past(struct sfl_table *table, struct sfl_flight *flight)
{
    if (flight->past != NULL)
        return flight->past;
    struct sfl_past *past = sfl_alloc(table->allocator, sizeof(*past));
    if (past == NULL)
        return NULL;
    *past = (struct sfl_past){.first_led_ms = flight->led_since_ms};
    flight->past = past;
    return past;
}

void sfl_flight_drop_past(struct sfl_table *table, struct sfl_flight *flight)
{
    struct sfl_past *past = flight->past;
    if (past == NULL)
        return;
    sfl_outcome_unref(past->kept);
    sfl_free(table->allocator, past, sizeof(*past));
    flight->past = NULL;
}

void sfl_flight_remember_loss(struct sfl_table *table, struct sfl_flight *flight)
{
    // Without memory for it, whoever comes back is told that it is fenced, and not why.
    struct sfl_past *past = sfl_flight_make_past(table, flight);
    if (past == NULL)
        return;
    uint32_t at = past->lost_count++ % SFL_LOST_REMEMBERED;
    past->lost[at].token = flight->token;
    past->lost[at].loss = flight->loss;
}

bool sfl_flight_recall_loss(const struct sfl_flight *flight, uint64_t token,
                            enum sfl_loss *loss_out)
{
    const struct sfl_past *past = flight->past;
    for (uint32_t i = 0; past != NULL && i < past->lost_count && i < SFL_LOST_REMEMBERED; i++) {
        if (past->lost[i].token != token)
            continue;
        *loss_out = past->lost[i].loss;
        return true;
    }
    return false;
}

uint64_t sfl_flight_first_led_ms(const struct sfl_flight *flight)
{
    return flight->past == NULL ? flight->led_since_ms : flight->past->first_led_ms;
}

struct sfl_refusal sfl_flight_loss(const struct sfl_flight *flight, enum sfl_reason reason,
                                   enum sfl_loss loss)
{
    struct sfl_refusal refusal = {.reason = reason, .loss = loss};
    uint64_t ms = 0;
    if (loss == SFL_LOSS_LEASE)
        ms = flight->lease_ms;
    else if (loss == SFL_LOSS_RUN_LIMIT)
        ms = flight->run_limit_ms;
    refusal.loss_ms = ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
    return refusal;
}
