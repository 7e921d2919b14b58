// SPDX-License-Identifier: Apache-2.0
// Counts once a second, for the rates and the history.
#ifndef SFL_ADMIN_SAMPLER_H
#define SFL_ADMIN_SAMPLER_H

#include "admin/history.h"

#include <uv.h>

struct sfl_sampler {
    const struct sfl_admin_sources *sources;
    uv_timer_t timer;
    uint64_t next_point_ms;
    struct sfl_admin_counts counts; // the newest
    struct sfl_rates rates;
    struct sfl_history history;
    // After each look. `point`: it is in the history as of now; otherwise NULL.
    void (*on_second)(void *context, const struct sfl_history_point *point);
    void *context;
};

// Begins at once. `sources` is borrowed. False when the loop takes no timer. The timer's handle is
// closed by the owner, who may use its data.
bool sfl_sampler_init(struct sfl_sampler *sampler, uv_loop_t *loop,
                      const struct sfl_admin_sources *sources,
                      void (*on_second)(void *context, const struct sfl_history_point *point),
                      void *context);

#endif
