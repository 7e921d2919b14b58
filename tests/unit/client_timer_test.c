// SPDX-License-Identifier: Apache-2.0
#include "src/timer.h"

#include "base/bytes.h"
#include "base/list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define TIMERS 500

struct probe {
    struct sfl_timer timer;
    struct sfl_timers *timers;
    uint64_t again_ms; // arms itself anew for this time; 0: not
    unsigned fired;
};

static uint64_t last_fired_ms;

static void on_fire(struct sfl_timer *timer)
{
    struct probe *probe = SFL_CONTAINER_OF(timer, struct probe, timer);
    assert_true(timer->at_ms >= last_fired_ms);
    last_fired_ms = timer->at_ms;
    probe->fired++;
    if (probe->again_ms != 0)
        sfl_timers_arm(probe->timers, timer, probe->again_ms);
    probe->again_ms = 0;
}

static struct probe probe_of(struct sfl_timers *timers)
{
    return (struct probe){.timer.fire = on_fire, .timers = timers};
}

static void nothing_is_due_without_timers(void **state)
{
    (void)state;
    struct sfl_timers timers = {0};
    assert_int_equal(sfl_timers_next_ms(&timers), UINT64_MAX);
    sfl_timers_fire(&timers, UINT64_MAX);
}

static void a_timer_fires_once_when_its_time_has_come(void **state)
{
    (void)state;
    last_fired_ms = 0;
    struct sfl_timers timers = {0};
    struct probe probe = probe_of(&timers);
    sfl_timers_arm(&timers, &probe.timer, 100);
    assert_int_equal(sfl_timers_next_ms(&timers), 100);
    sfl_timers_fire(&timers, 99);
    assert_int_equal(probe.fired, 0);
    sfl_timers_fire(&timers, 100);
    sfl_timers_fire(&timers, 200);
    assert_int_equal(probe.fired, 1);
}

static void one_that_arms_itself_for_the_past_fires_again(void **state)
{
    (void)state;
    last_fired_ms = 0;
    struct sfl_timers timers = {0};
    struct probe probe = probe_of(&timers);
    probe.again_ms = 150;
    sfl_timers_arm(&timers, &probe.timer, 100);
    sfl_timers_fire(&timers, 200);
    assert_int_equal(probe.fired, 2);
    assert_false(probe.timer.armed);
}

// Against the plain rule: what is armed and due fires, in order; nothing else does.
static void many_timers_fire_in_order_whatever_is_moved_and_disarmed(void **state)
{
    (void)state;
    last_fired_ms = 0;
    srand(7);
    struct sfl_timers timers = {0};
    static struct probe probes[TIMERS];
    for (size_t i = 0; i < TIMERS; i++)
        probes[i] = probe_of(&timers);
    for (size_t step = 0; step < 20 * TIMERS; step++) {
        struct probe *probe = &probes[(size_t)rand() % TIMERS];
        if (rand() % 4 == 0)
            sfl_timers_disarm(&timers, &probe->timer);
        else
            sfl_timers_arm(&timers, &probe->timer, (uint64_t)rand() % 10000 + 1);
    }
    bool was_armed[TIMERS];
    for (size_t i = 0; i < TIMERS; i++)
        was_armed[i] = probes[i].timer.armed;
    sfl_timers_fire(&timers, 5000);
    for (size_t i = 0; i < TIMERS; i++)
        assert_int_equal(probes[i].fired, was_armed[i] && probes[i].timer.at_ms <= 5000);
    sfl_timers_fire(&timers, 10000);
    assert_int_equal(sfl_timers_next_ms(&timers), UINT64_MAX);
    for (size_t i = 0; i < TIMERS; i++)
        assert_int_equal(probes[i].fired, was_armed[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_due_without_timers),
        cmocka_unit_test(a_timer_fires_once_when_its_time_has_come),
        cmocka_unit_test(one_that_arms_itself_for_the_past_fires_again),
        cmocka_unit_test(many_timers_fire_in_order_whatever_is_moved_and_disarmed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
