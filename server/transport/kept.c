// SPDX-License-Identifier: Apache-2.0
#include "transport/kept.h"

#include "base/clock.h"

#include <assert.h>

void sfl_kept_waits_init(struct sfl_kept_waits *waits, void (*on_earlier_tick)(void *context),
                         void *tick_context)
{
    pthread_mutex_init(&waits->lock, NULL);
    sfl_deadlines_init(&waits->deadlines, sfl_clock_now_ms());
    waits->tick_ms = UINT64_MAX;
    waits->on_earlier_tick = on_earlier_tick;
    waits->tick_context = tick_context;
}

void sfl_kept_waits_deinit(struct sfl_kept_waits *waits)
{
    assert(sfl_deadlines_next_ms(&waits->deadlines) == UINT64_MAX);
    pthread_mutex_destroy(&waits->lock);
}

void sfl_kept_waits_arm(struct sfl_kept_waits *waits, struct sfl_deadline *deadline, uint64_t at_ms)
{
    pthread_mutex_lock(&waits->lock);
    sfl_deadline_arm(&waits->deadlines, deadline, at_ms);
    uint64_t next_ms = sfl_deadlines_next_ms(&waits->deadlines);
    bool is_earlier = next_ms < waits->tick_ms;
    if (is_earlier)
        waits->tick_ms = next_ms;
    pthread_mutex_unlock(&waits->lock);
    if (is_earlier)
        waits->on_earlier_tick(waits->tick_context);
}

void sfl_kept_waits_disarm(struct sfl_kept_waits *waits, struct sfl_deadline *deadline)
{
    pthread_mutex_lock(&waits->lock);
    sfl_deadline_disarm(&waits->deadlines, deadline);
    pthread_mutex_unlock(&waits->lock);
}

uint64_t sfl_kept_waits_tick(struct sfl_kept_waits *waits, uint64_t now_ms,
                             void (*expire)(struct sfl_deadline *deadline))
{
    bool more = true;
    pthread_mutex_lock(&waits->lock);
    while (more) {
        struct sfl_deadline *due = sfl_deadlines_take(&waits->deadlines, now_ms, &more);
        if (due != NULL)
            expire(due);
    }
    waits->tick_ms = sfl_deadlines_next_ms(&waits->deadlines);
    uint64_t next_ms = waits->tick_ms;
    pthread_mutex_unlock(&waits->lock);
    return next_ms;
}
