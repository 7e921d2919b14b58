// SPDX-License-Identifier: Apache-2.0
// A run from its weather to its end.
#include "run.h"

static uint32_t below(struct run *run, uint32_t limit)
{
    return choice_below(&run->choice, limit);
}

static bool one_in(struct run *run, uint32_t n)
{
    return choice_one_in(&run->choice, n);
}

static struct climate some_climate(struct run *run)
{
    struct climate climate = {
        .keys = 1 + below(run, MODEL_KEYS),
        .callers = 60 + below(run, MODEL_CALLERS - 60),
        .steps = 600 + below(run, 2000),
        .homes_late = one_in(run, 2),
        .homes_fail = one_in(run, 4),
        .memory_fails = one_in(run, 4),
        .late_ticks = one_in(run, 3),
        .clocks_cross = one_in(run, 3),
        .settled_late = one_in(run, 2),
        .slow_one_in = one_in(run, 2) ? 4 : 0,
        .lease_one_in = 1 + below(run, 8),
        .fresh_one_in = one_in(run, 2) ? 2 + below(run, 8) : 0,
        .live_one_in = 1 + below(run, 4),
        .join_weight = 15 + below(run, 35),
        .drains = one_in(run, 4),
        .shuts = one_in(run, 2),
    };
    if (one_in(run, 25)) { // a crowd: one key, and more followers than a batch takes
        climate.keys = 1;
        climate.callers = MODEL_CALLERS;
        climate.join_weight = 84;
    }
    if (one_in(run, 5))
        run->limits.value_bytes_max = 200 + below(run, 2000);
    if (one_in(run, 6))
        run->limits.held_bytes_max = 500 + below(run, 20000);
    if (one_in(run, 6))
        run->limits.retained_bytes_max = below(run, 2000);
    if (one_in(run, 6))
        run->limits.callers_max = 3 + below(run, 60);
    if (one_in(run, 6))
        run->limits.flights_max = 1 + below(run, 5);
    if (one_in(run, 6))
        run->limits.texts_bytes_max = below(run, 300);
    return climate;
}

static void drain(struct run *run)
{
    run_trace(run, "the drain begins");
    struct sfl_event event = {.type = SFL_EVENT_DRAIN, .now_ms = run->now_ms};
    struct sfl_effects effects;
    run->model.draining = true;
    do {
        run_observe(run, &event, &effects);
        int f = run_flight_heard(run);
        if (f != NOBODY)
            model_drain_one(&run->model, f);
        run_compare(run);
    } while (effects.more);
    model_drain(&run->model);
}

void run_play(struct run *run, struct choice choice, unsigned steps)
{
    run_open(run);
    run->choice = choice;
    run->climate = some_climate(run);
    if (steps == 0)
        steps = run->climate.steps;
    for (run->step = 0; run->step < steps && !choice_is_used_up(&run->choice); run->step++) {
        if (run->climate.drains && run->step == steps - steps / 8)
            drain(run);
        run_act(run);
    }
    run_end(run);
    run_close(run);
}
