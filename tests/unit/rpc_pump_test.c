// SPDX-License-Identifier: Apache-2.0
// Pumps of common/rpc: waking, ticking, deferring.
#include "rpc/pump.h"
#include "rpc_harness.h"

#include "base/clock.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

// A record of what the hooks saw.
struct ticks {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned count;
    bool was_on_pump;
    uint64_t due_ms; // what next_tick_ms answers; UINT64_MAX after each tick
    uint64_t ticked_ms;
    void (*on_tick)(struct ticks *ticks); // called in each tick, may be NULL
    struct sfl_pump_work works[3];
    struct sfl_pump_work again;
    char order[16];
};

static void ticks_init(struct ticks *ticks)
{
    memset(ticks, 0, sizeof(*ticks));
    ticks->due_ms = UINT64_MAX;
    pthread_mutex_init(&ticks->lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&ticks->changed, &attributes);
    pthread_condattr_destroy(&attributes);
}

static void ticks_deinit(struct ticks *ticks)
{
    pthread_cond_destroy(&ticks->changed);
    pthread_mutex_destroy(&ticks->lock);
}

static uint64_t next_tick_ms(void *context)
{
    struct ticks *ticks = context;
    pthread_mutex_lock(&ticks->lock);
    uint64_t due_ms = ticks->due_ms;
    pthread_mutex_unlock(&ticks->lock);
    return due_ms;
}

static void on_tick(void *context)
{
    struct ticks *ticks = context;
    if (ticks->on_tick != NULL)
        ticks->on_tick(ticks);
    pthread_mutex_lock(&ticks->lock);
    ticks->count++;
    ticks->was_on_pump = sfl_pump_is_current();
    ticks->due_ms = UINT64_MAX;
    ticks->ticked_ms = sfl_clock_now_ms();
    pthread_cond_broadcast(&ticks->changed);
    pthread_mutex_unlock(&ticks->lock);
}

static void wait_for_ticks(struct ticks *ticks, unsigned count)
{
    struct timespec bound = harness_bound();
    int waited = 0;
    pthread_mutex_lock(&ticks->lock);
    while (ticks->count < count && waited == 0)
        waited = pthread_cond_timedwait(&ticks->changed, &ticks->lock, &bound);
    unsigned seen = ticks->count;
    pthread_mutex_unlock(&ticks->lock);
    assert_true(seen >= count);
}

static struct sfl_pumps *create_pumps(unsigned count, struct ticks *ticks)
{
    struct sfl_pump_hooks hooks = {next_tick_ms, on_tick, ticks};
    struct sfl_pumps *pumps;
    assert_int_equal(sfl_pumps_create(count, &hooks, &pumps), SFL_OK);
    return pumps;
}

static void a_wake_makes_a_waiting_pump_tick(void **state)
{
    (void)state;
    struct ticks ticks;
    ticks_init(&ticks);
    struct sfl_pumps *pumps = create_pumps(2, &ticks);

    assert_int_equal(sfl_pumps_count(pumps), 2);
    assert_false(sfl_pump_is_current());
    for (unsigned i = 1; i <= 100; i++) {
        sfl_pump_wake(sfl_pumps_get(pumps, i % 2));
        wait_for_ticks(&ticks, i);
    }
    assert_true(ticks.was_on_pump);

    sfl_pumps_destroy(pumps);
    ticks_deinit(&ticks);
}

struct waker {
    struct sfl_pump *pump;
    atomic_uint *promised;
};

static void *wake_often(void *argument)
{
    struct waker *waker = argument;
    for (unsigned i = 0; i < 5000; i++) {
        atomic_fetch_add(waker->promised, 1);
        sfl_pump_wake(waker->pump);
    }
    return NULL;
}

static atomic_uint promised;
static atomic_uint kept;

static void keep(struct ticks *ticks)
{
    (void)ticks;
    atomic_store(&kept, atomic_load(&promised));
}

static void wakes_from_many_threads_merge_and_none_is_lost(void **state)
{
    (void)state;
    struct ticks ticks;
    ticks_init(&ticks);
    ticks.on_tick = keep;
    atomic_store(&promised, 0);
    atomic_store(&kept, 0);
    struct sfl_pumps *pumps = create_pumps(1, &ticks);
    struct waker waker = {sfl_pumps_get(pumps, 0), &promised};

    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, wake_often, &waker), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    // The last wake is followed by a tick that sees all that was promised before it.
    struct timespec bound = harness_bound();
    int waited = 0;
    pthread_mutex_lock(&ticks.lock);
    while (atomic_load(&kept) < 20000 && waited == 0)
        waited = pthread_cond_timedwait(&ticks.changed, &ticks.lock, &bound);
    pthread_mutex_unlock(&ticks.lock);
    assert_int_equal(atomic_load(&kept), 20000);

    sfl_pumps_destroy(pumps);
    assert_in_range(ticks.count, 1, 20000);
    ticks_deinit(&ticks);
}

static void a_pump_ticks_when_the_time_has_come_and_not_before(void **state)
{
    (void)state;
    struct ticks ticks;
    ticks_init(&ticks);
    uint64_t due_ms = sfl_clock_now_ms() + 120;
    ticks.due_ms = due_ms;
    struct sfl_pumps *pumps = create_pumps(1, &ticks);

    wait_for_ticks(&ticks, 1);
    assert_true(ticks.ticked_ms >= due_ms);

    sfl_pumps_destroy(pumps);
    assert_int_equal(ticks.count, 1);
    ticks_deinit(&ticks);
}

static struct ticks *deferring;

static void note(char sign)
{
    size_t size = strlen(deferring->order);
    assert_true(size + 1 < sizeof(deferring->order));
    deferring->order[size] = sign;
}

static void run_note(struct sfl_pump_work *work)
{
    note((char)('a' + (work - deferring->works)));
    if (work == &deferring->works[0])
        sfl_pump_defer(&deferring->again);
}

static void run_again(struct sfl_pump_work *work)
{
    note('x');
    assert_ptr_equal(work, &deferring->again);
    if (deferring->order[strlen(deferring->order) - 2] != 'x')
        sfl_pump_defer(work);
}

static void defer_some(struct ticks *ticks)
{
    if (ticks->count > 0)
        return;
    note('(');
    for (int i = 0; i < 3; i++)
        sfl_pump_defer(&ticks->works[i]);
    sfl_pump_defer(&ticks->works[1]); // queued already
    note(')');
}

static void deferred_work_runs_later_once_and_in_order(void **state)
{
    (void)state;
    struct ticks ticks;
    ticks_init(&ticks);
    deferring = &ticks;
    for (int i = 0; i < 3; i++)
        ticks.works[i].run = run_note;
    ticks.again.run = run_again;
    ticks.on_tick = defer_some;
    struct sfl_pumps *pumps = create_pumps(1, &ticks);

    sfl_pump_wake(sfl_pumps_get(pumps, 0));
    wait_for_ticks(&ticks, 1);
    sfl_pumps_destroy(pumps); // runs what is still queued

    assert_string_equal(ticks.order, "()abcxx");
    ticks_deinit(&ticks);
}

enum { CROWD = 5000 };

// Works that are deferred all at once, and one that comes while they wait.
static struct {
    struct sfl_pump *pump;
    struct sfl_pump_work works[CROWD];
    struct sfl_pump_work late;
    unsigned ran;
    unsigned ran_before_tick;
    unsigned ran_before_late;
} crowd;

static void run_in_crowd(struct sfl_pump_work *work)
{
    // As long as a send takes.
    uint64_t end_ns = sfl_clock_now_ns() + 10000;
    while (sfl_clock_now_ns() < end_ns)
        continue;
    if (work == &crowd.works[0])
        sfl_pump_wake(crowd.pump);
    crowd.ran++;
}

static void run_late(struct sfl_pump_work *work)
{
    (void)work;
    crowd.ran_before_late = crowd.ran;
}

static void defer_crowd(struct ticks *ticks)
{
    if (ticks->count == 0) {
        for (unsigned i = 0; i < CROWD; i++)
            sfl_pump_defer(&crowd.works[i]);
    } else {
        crowd.ran_before_tick = crowd.ran;
        sfl_pump_defer(&crowd.late);
    }
}

static void a_crowd_of_works_does_not_hold_up_what_comes_after_it(void **state)
{
    (void)state;
    struct ticks ticks;
    ticks_init(&ticks);
    ticks.on_tick = defer_crowd;
    for (unsigned i = 0; i < CROWD; i++)
        crowd.works[i].run = run_in_crowd;
    crowd.late.run = run_late;
    struct sfl_pumps *pumps = create_pumps(1, &ticks);

    crowd.pump = sfl_pumps_get(pumps, 0);
    sfl_pump_wake(crowd.pump);
    wait_for_ticks(&ticks, 2);
    sfl_pumps_destroy(pumps);

    assert_int_equal(crowd.ran, CROWD);
    assert_in_range(crowd.ran_before_tick, 1, CROWD / 10);
    assert_in_range(crowd.ran_before_late, 1, CROWD / 10);
    ticks_deinit(&ticks);
}

// A crowd of work after work, and what is to be cleaned up meanwhile.
static struct {
    struct sfl_pump_work work;
    struct sfl_pump_work cleanup;
    unsigned left; // of the crowd
    unsigned left_at_cleanup;
    bool is_cleaned_up;
} members;

static void run_member(struct sfl_pump_work *work)
{
    if (members.left > 0 && !members.is_cleaned_up) {
        members.left--;
        sfl_pump_defer_crowd(work);
    }
}

static void run_cleanup(struct sfl_pump_work *work)
{
    (void)work;
    members.is_cleaned_up = true;
    members.left_at_cleanup = members.left;
}

static void defer_members_and_cleanup(struct ticks *ticks)
{
    (void)ticks;
    sfl_pump_defer_cleanup(&members.cleanup);
    sfl_pump_defer_crowd(&members.work);
}

// Returns how much of a crowd of `count` was left when the cleanup ran.
static unsigned left_at_cleanup(unsigned count)
{
    struct ticks ticks;
    ticks_init(&ticks);
    ticks.on_tick = defer_members_and_cleanup;
    memset(&members, 0, sizeof(members));
    members.work.run = run_member;
    members.cleanup.run = run_cleanup;
    members.left = count;
    struct sfl_pumps *pumps = create_pumps(1, &ticks);
    sfl_pump_wake(sfl_pumps_get(pumps, 0));
    wait_for_ticks(&ticks, 1);
    sfl_pumps_destroy(pumps);
    ticks_deinit(&ticks);
    assert_true(members.is_cleaned_up);
    return members.left_at_cleanup;
}

static void cleanup_waits_for_a_crowd_but_not_for_ever(void **state)
{
    (void)state;
    assert_int_equal(left_at_cleanup(100), 0);
    assert_in_range(left_at_cleanup(UINT_MAX), 1, UINT_MAX - 1);
}

static void off_the_pumps_deferred_work_runs_at_once(void **state)
{
    (void)state;
    struct ticks ticks = {.works[2].run = run_note};
    deferring = &ticks;
    sfl_pump_defer(&ticks.works[2]);
    sfl_pump_defer(&ticks.works[2]);
    sfl_pump_defer_cleanup(&ticks.works[2]);
    assert_string_equal(ticks.order, "ccc");
    assert_false(sfl_pump_should_yield());
}

static atomic_bool has_yielded;

static void work_until_others_are_due(struct ticks *ticks)
{
    (void)ticks;
    uint64_t end_ns = sfl_clock_now_ns() + 10000000000;
    while (!sfl_pump_should_yield() && sfl_clock_now_ns() < end_ns)
        continue;
    atomic_store(&has_yielded, sfl_clock_now_ns() < end_ns);
}

static atomic_uint posted_runs;

static void note_posted(struct sfl_pump_work *work)
{
    (void)work;
    if (sfl_pump_is_current())
        atomic_fetch_add(&posted_runs, 1);
}

static void what_other_threads_post_runs_on_a_pump_once_each(void **state)
{
    enum { POSTS = 1000 };
    static struct sfl_pump_work works[POSTS];
    (void)state;
    struct sfl_pumps *pumps;
    assert_int_equal(sfl_pumps_create(3, NULL, &pumps), SFL_OK);
    atomic_store(&posted_runs, 0);
    for (unsigned i = 0; i < POSTS; i++) {
        works[i].run = note_posted;
        sfl_pumps_post(pumps, &works[i]);
    }
    sfl_pumps_destroy(pumps); // runs what has been posted
    assert_int_equal(atomic_load(&posted_runs), POSTS);
}

static void what_takes_long_is_asked_to_yield(void **state)
{
    (void)state;
    struct ticks ticks;
    ticks_init(&ticks);
    ticks.on_tick = work_until_others_are_due;
    struct sfl_pumps *pumps = create_pumps(1, &ticks);
    sfl_pump_wake(sfl_pumps_get(pumps, 0));
    wait_for_ticks(&ticks, 1);
    sfl_pumps_destroy(pumps);
    assert_true(atomic_load(&has_yielded));
    ticks_deinit(&ticks);
}

static void pumps_may_be_made_again(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        struct sfl_pumps *pumps;
        assert_int_equal(sfl_pumps_create(i + 1, NULL, &pumps), SFL_OK);
        sfl_pump_wake(sfl_pumps_get(pumps, i));
        sfl_pumps_destroy(pumps);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wake_makes_a_waiting_pump_tick),
        cmocka_unit_test(wakes_from_many_threads_merge_and_none_is_lost),
        cmocka_unit_test(a_pump_ticks_when_the_time_has_come_and_not_before),
        cmocka_unit_test(deferred_work_runs_later_once_and_in_order),
        cmocka_unit_test(a_crowd_of_works_does_not_hold_up_what_comes_after_it),
        cmocka_unit_test(cleanup_waits_for_a_crowd_but_not_for_ever),
        cmocka_unit_test(off_the_pumps_deferred_work_runs_at_once),
        cmocka_unit_test(what_other_threads_post_runs_on_a_pump_once_each),
        cmocka_unit_test(what_takes_long_is_asked_to_yield),
        cmocka_unit_test(pumps_may_be_made_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
