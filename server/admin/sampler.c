// SPDX-License-Identifier: Apache-2.0
#include "admin/sampler.h"

#include "base/clock.h"
#include "base/list.h"

enum { LOOK_MS = 1000 };

static const struct sfl_history_point *look(struct sfl_sampler *sampler)
{
    uint64_t now_ms = sfl_clock_now_ms();
    sampler->sources->count(sampler->sources->context, &sampler->counts);
    sfl_rates_add(&sampler->rates, now_ms, &sampler->counts.counters);
    if (now_ms < sampler->next_point_ms)
        return NULL;
    // A loop that was late does not make up for it.
    sampler->next_point_ms += SFL_HISTORY_STEP_MS;
    if (sampler->next_point_ms <= now_ms)
        sampler->next_point_ms = now_ms + SFL_HISTORY_STEP_MS;
    return sfl_history_add(&sampler->history, now_ms, sfl_clock_wall_us() / 1000, &sampler->counts);
}

static void on_time(uv_timer_t *timer)
{
    struct sfl_sampler *sampler = SFL_CONTAINER_OF(timer, struct sfl_sampler, timer);
    const struct sfl_history_point *point = look(sampler);
    sampler->on_second(sampler->context, point);
}

bool sfl_sampler_init(struct sfl_sampler *sampler, uv_loop_t *loop,
                      const struct sfl_admin_sources *sources,
                      void (*on_second)(void *context, const struct sfl_history_point *point),
                      void *context)
{
    sampler->sources = sources;
    sampler->on_second = on_second;
    sampler->context = context;
    sampler->next_point_ms = sfl_clock_now_ms();
    look(sampler);
    return uv_timer_init(loop, &sampler->timer) == 0 &&
           uv_timer_start(&sampler->timer, on_time, LOOK_MS, LOOK_MS) == 0;
}
