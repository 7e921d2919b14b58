// SPDX-License-Identifier: Apache-2.0
// Forget.
#include "support/world.h"

static void forget_the_flight_keeps_its_callers_but_new_callers_start_another(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A");
    JOIN(w, "B");
    assert_string_equal(world_forget(w, "k"), "flight");
    JOIN(w, "C");
    JOIN(w, "D");
    HEAR(w, "A", "lead token=1 attempt=1");
    HEAR(w, "B", "follow attempt=1 leader=A running=0");
    HEAR(w, "C", "lead token=2 attempt=1");
    HEAR(w, "D", "follow attempt=1 leader=C running=0");
    assert_string_equal(world_list(w, "k"),
                        "LED attempt=1 token=1 leader=A callers=2 running=0 value=0 forgotten; "
                        "LED attempt=1 token=2 leader=C callers=2 running=0 value=0");
    world_finish(w, "C", "OK new");
    HEAR(w, "C", "result OK \"\" callers=2 attempt=1 token=2 shared led");
    HEAR(w, "D", "result OK \"new\" callers=2 attempt=1 token=2 shared");
    SILENCE(w, "B"); // settled by identity, never by key
    world_finish(w, "A", "OK old");
    HEAR(w, "A", "result OK \"\" callers=2 attempt=1 token=1 shared led");
    HEAR(w, "B", "result OK \"old\" callers=2 attempt=1 token=1 shared");
    world_close(w);
}

static void forget_a_retained_outcome_is_gone(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .retain_ms = 1000);
    world_finish(w, "A", "OK v");
    world_skip(w, "A");
    assert_string_equal(world_forget(w, "k"), "retained");
    assert_int_equal(sfl_budget_used(&world_usage(w)->held_bytes), 0);
    JOIN(w, "B");
    HEAR(w, "B", "lead token=2 attempt=1");
    assert_string_equal(world_forget(w, "k"), "flight");
    assert_string_equal(world_forget(w, "k"), "nothing");
    world_pass(w, 2000); // the retention's deadline went with it
    world_close(w);
}

static void forget_takes_flight_and_retained_outcome_together(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .retain_ms = 1000);
    world_finish(w, "A", "OK v");
    world_pass(w, 10);
    JOIN(w, "B", .max_age_ms = 1);
    assert_string_equal(world_forget(w, "k"), "flight retained");
    world_skip(w, "A");
    world_skip(w, "B");
    world_close(w);
}

static void
a_value_forgotten_while_it_is_produced_its_callers_get_it_and_it_is_not_retained(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .retain_ms = 1000);
    JOIN(w, "B");
    world_forget(w, "k");
    world_finish(w, "A", "OK v");
    HEAR(w, "A", "lead token=1 attempt=1");
    HEAR(w, "A", "result OK \"\" callers=2 attempt=1 token=1 shared led");
    HEAR(w, "B", "follow attempt=1 leader=A running=0");
    HEAR(w, "B", "result OK \"v\" callers=2 attempt=1 token=1 shared");
    assert_string_equal(world_list(w, "k"), "");
    world_close(w);
}

static void a_forgotten_flight_ends_without_touching_what_is_retained_since(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .retain_ms = 1000);
    world_forget(w, "k");
    JOIN(w, "B", .retain_ms = 1000);
    world_finish(w, "B", "OK new");
    world_finish(w, "A", "OK old");
    world_skip(w, "A");
    world_skip(w, "B");
    JOIN(w, "C");
    HEAR(w, "C",
         "result OK \"new\" callers=1 attempt=1 token=2 shared retained age=0 "
         "retain=1000");
    world_close(w);
}

static void forget_if_unshared_with_followers_waiting_does_nothing(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A");
    JOIN(w, "B");
    assert_string_equal(world_forget_if_unshared(w, "k"), "nothing");
    JOIN(w, "C");
    HEAR(w, "C", "follow attempt=1 leader=A running=0");
    world_skip(w, "A");
    world_skip(w, "B");
    world_close(w);
}

static void forget_if_unshared_without_followers_forgets(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A");
    JOIN(w, "B");
    world_fail(w, "B", SFL_REASON_CANCELLED);
    assert_string_equal(world_forget_if_unshared(w, "k"), "flight");
    world_skip(w, "A");
    world_skip(w, "B");
    world_close(w);
}

static void forget_if_unshared_looks_at_followers_only_a_retained_outcome_is_dropped(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .retain_ms = 1000);
    JOIN(w, "B");
    world_finish(w, "A", "OK v");
    world_skip(w, "A");
    world_skip(w, "B");
    assert_string_equal(world_forget_if_unshared(w, "k"), "retained");
    world_close(w);
}

static void forget_nothing_known_says_so(void **state)
{
    (void)state;
    struct world *w = world_open();
    assert_string_equal(world_forget(w, "k"), "nothing");
    assert_int_equal(world_stats(w).forgets, 0);
    world_close(w);
}

static void a_forgotten_flight_keeps_its_promotions_and_limits(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .run_limit_ms = 100, .max_attempts = 2);
    JOIN(w, "B");
    JOIN(w, "C");
    world_forget(w, "k");
    JOIN(w, "N");
    world_skip(w, "B");
    world_skip(w, "C");
    world_pass(w, 100);
    HEAR(w, "A", "lead token=1 attempt=1 run_limit=100");
    HEAR(w, "A", "ABORTED: fenced: token 1, now 3 (its run limit of 100 ms ran out)");
    HEAR(w, "B", "lead token=3 attempt=2 run_limit=100");
    HEAR(w, "N", "lead token=2 attempt=1"); // tokens of all of them grow together
    world_pass(w, 100);
    HEAR(w, "B", "ABORTED: fenced: token 3, now 0 (its run limit of 100 ms ran out)");
    HEAR(w, "C",
         "ABORTED: the leader was lost (its run limit of 100 ms ran out), and all 2 attempts are "
         "used up");
    SILENCE(w, "N");
    world_close(w);
}

static void the_home_is_released_once_for_each_flight(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A");
    world_forget(w, "k");
    assert_int_equal(world_count(w, SFL_EFFECT_RELEASE_HOME), 1);
    world_finish(w, "A", "OK");
    assert_int_equal(world_count(w, SFL_EFFECT_RELEASE_HOME), 1);
    JOIN(w, "B");
    world_finish(w, "B", "OK");
    assert_int_equal(world_count(w, SFL_EFFECT_RELEASE_HOME), 2);
    world_skip(w, "A");
    world_skip(w, "B");
    world_close(w);
}

static void without_memory_forget_still_frees_the_key(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A");
    JOIN(w, "B");
    memory_fail(world_memory(w), 1, 1);
    assert_string_equal(world_forget(w, "k"), "flight");
    memory_fail_never(world_memory(w));
    JOIN(w, "C");
    HEAR(w, "C", "lead token=2 attempt=1");
    world_finish(w, "A", "OK v");
    HEAR(w, "B", "follow attempt=1 leader=A running=0");
    HEAR(w, "B", "result OK \"v\" callers=2 attempt=1 token=1 shared");
    world_skip(w, "A");
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forget_the_flight_keeps_its_callers_but_new_callers_start_another),
        cmocka_unit_test(forget_a_retained_outcome_is_gone),
        cmocka_unit_test(forget_takes_flight_and_retained_outcome_together),
        cmocka_unit_test(
            a_value_forgotten_while_it_is_produced_its_callers_get_it_and_it_is_not_retained),
        cmocka_unit_test(a_forgotten_flight_ends_without_touching_what_is_retained_since),
        cmocka_unit_test(forget_if_unshared_with_followers_waiting_does_nothing),
        cmocka_unit_test(forget_if_unshared_without_followers_forgets),
        cmocka_unit_test(forget_if_unshared_looks_at_followers_only_a_retained_outcome_is_dropped),
        cmocka_unit_test(forget_nothing_known_says_so),
        cmocka_unit_test(a_forgotten_flight_keeps_its_promotions_and_limits),
        cmocka_unit_test(the_home_is_released_once_for_each_flight),
        cmocka_unit_test(without_memory_forget_still_frees_the_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
