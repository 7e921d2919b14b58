// SPDX-License-Identifier: Apache-2.0
// Fresh: callers that join no flight that was led before they came wait in the key's next one.
#include "support/world.h"

#include <stdio.h>

#define FRESH .fresh = true

// A leads, and B waits in the next flight.
static struct world *open_with_next(void)
{
    struct world *w = world_open();
    JOIN(w, "A", .retain_ms = 60000);
    HEAR(w, "A", "lead token=1 attempt=1");
    JOIN(w, "B", FRESH);
    HEAR(w, "B", "follow attempt=0 leader= running=0");
    return w;
}

static void with_nothing_running_a_fresh_caller_leads_and_takes_nothing_retained(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .retain_ms = 60000);
    world_finish(w, "A", "OK old");
    world_skip(w, "A");
    JOIN(w, "B", FRESH, .retain_ms = 70000);
    HEAR(w, "B", "lead token=2 attempt=1");
    JOIN(w, "C");
    HEAR(w, "C",
         "result OK \"old\" callers=1 attempt=1 token=1 shared retained age=0 retain=60000");
    world_finish(w, "B", "OK new");
    HEAR(w, "B", "result OK \"\" callers=1 attempt=1 token=2 led retain=70000");
    JOIN(w, "C");
    HEAR(w, "C",
         "result OK \"new\" callers=1 attempt=1 token=2 shared retained age=0 retain=70000");
    world_close(w);
}

static void the_next_flight_begins_when_the_running_one_has_ended(void **state)
{
    (void)state;
    struct world *w = open_with_next();
    JOIN(w, "C", FRESH, .live = true);
    JOIN(w, "D", FRESH);
    HEAR(w, "C", "follow attempt=0 leader= running=0");
    HEAR(w, "D", "follow attempt=0 leader= running=0");
    assert_string_equal(world_list(w, "k"),
                        "NEXT attempt=0 token=0 leader= callers=3 running=0 value=0; "
                        "LED attempt=1 token=1 leader=A callers=1 running=0 value=0");
    world_pass(w, 10);
    world_finish(w, "A", "OK old");
    HEAR(w, "A", "result OK \"\" callers=1 attempt=1 token=1 led retain=60000");
    HEAR(w, "B", "lead token=2 attempt=1");
    HEAR(w, "C", "follow attempt=1 leader=B running=0");
    HEAR(w, "D", "follow attempt=1 leader=B running=0");
    world_chunk(w, "B", 0, "ne");
    HEAR(w, "C", "chunk \"ne\"");
    world_finish(w, "B", "OK w");
    HEAR(w, "B", "result OK \"\" callers=3 attempt=1 token=2 shared led");
    HEAR(w, "C", "result OK \"w\" callers=3 attempt=1 token=2 shared");
    HEAR(w, "D", "result OK \"new\" callers=3 attempt=1 token=2 shared");
    assert_int_equal(world_stats(w).calls, 4);
    assert_int_equal(world_stats(w).executions, 2);
    world_close(w);
}

static void its_retained_outcome_replaces_the_older_one(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .retain_ms = 60000);
    JOIN(w, "B", FRESH, .retain_ms = 90000);
    world_finish(w, "A", "OK old");
    world_finish(w, "B", "OK new");
    world_skip(w, "A");
    world_skip(w, "B");
    JOIN(w, "C");
    HEAR(w, "C",
         "result OK \"new\" callers=1 attempt=1 token=2 shared retained age=0 retain=90000");
    world_close(w);
}

static void it_begins_when_the_running_one_is_lost_for_good(void **state)
{
    (void)state;
    struct world *w = open_with_next();
    world_leave(w, "A");
    HEAR(w, "A", "CANCELLED: the stream broke");
    HEAR(w, "B", "lead token=2 attempt=1");
    world_close(w);
}

static void it_waits_while_the_running_one_is_handed_on(void **state)
{
    (void)state;
    struct world *w = open_with_next();
    JOIN(w, "C");
    HEAR(w, "C", "follow attempt=1 leader=A running=0");
    world_leave(w, "A");
    HEAR(w, "A", "CANCELLED: the stream broke");
    HEAR(w, "C", "lead token=2 attempt=2");
    SILENCE(w, "B");
    world_finish(w, "C", "OK");
    HEAR(w, "C", "result OK \"\" callers=1 attempt=2 token=2 led retain=60000");
    HEAR(w, "B", "lead token=3 attempt=1");
    world_close(w);
}

static void others_join_the_running_one_while_there_is_one_then_the_next(void **state)
{
    (void)state;
    struct world *w = open_with_next();
    JOIN(w, "C");
    HEAR(w, "C", "follow attempt=1 leader=A running=0");
    world_finish_retain(w, "A", "OK old", 0);
    HEAR(w, "A", "result OK \"\" callers=2 attempt=1 token=1 shared led");
    HEAR(w, "C", "result OK \"old\" callers=2 attempt=1 token=1 shared");
    HEAR(w, "B", "lead token=2 attempt=1");
    JOIN(w, "D");
    HEAR(w, "D", "follow attempt=1 leader=B running=0");
    JOIN(w, "E", FRESH); // it was led before E came
    HEAR(w, "E", "follow attempt=0 leader= running=0");
    world_finish(w, "B", "OK new");
    HEAR(w, "B", "result OK \"\" callers=2 attempt=1 token=2 shared led");
    HEAR(w, "D", "result OK \"new\" callers=2 attempt=1 token=2 shared");
    HEAR(w, "E", "lead token=3 attempt=1");
    world_close(w);
}

static void fresh_callers_are_not_in_the_running_flights_audience(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .audience = true);
    HEAR(w, "A", "lead token=1 attempt=1");
    JOIN(w, "B", FRESH);
    world_pass(w, 100);
    SILENCE(w, "A");
    world_finish(w, "A", "OK");
    HEAR(w, "A", "result OK \"\" callers=1 attempt=1 token=1 led");
    world_skip(w, "B");
    world_close(w);
}

static void
the_options_and_fingerprint_of_its_first_caller_hold_when_that_one_has_left(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .fingerprint = {(const uint8_t *)"a", 1});
    JOIN(w, "B", FRESH, .fingerprint = {(const uint8_t *)"b", 1}, .lease_ms = 7000);
    JOIN(w, "C", FRESH, .fingerprint = {(const uint8_t *)"a", 1});
    HEAR(w, "C",
         "FAILED_PRECONDITION: fingerprint: differs from that of the flight of the same key");
    JOIN(w, "D", FRESH, .lease_ms = 9000);
    HEAR(w, "D", "follow attempt=0 leader= running=0");
    world_leave(w, "B");
    world_finish(w, "A", "OK");
    HEAR(w, "D", "lead token=2 attempt=1 lease=7000");
    world_skip(w, "A");
    world_skip(w, "B");
    world_close(w);
}

static void when_all_have_left_there_is_no_next_flight(void **state)
{
    (void)state;
    struct world *w = open_with_next();
    world_leave(w, "B");
    HEAR(w, "B", "CANCELLED: the stream broke");
    assert_string_equal(world_list(w, "k"),
                        "LED attempt=1 token=1 leader=A callers=1 running=0 value=0");
    JOIN(w, "F", FRESH, .role = SFL_ROLE_FOLLOW_ONLY);
    HEAR(w, "F", "NOT_FOUND: nothing to follow: no flight runs for this key");
    JOIN(w, "C", FRESH, .deadline_ms = 50);
    HEAR(w, "C", "follow attempt=0 leader= running=0");
    world_pass(w, 50);
    HEAR(w, "C", "DEADLINE_EXCEEDED: the caller's deadline passed");
    world_finish(w, "A", "OK");
    world_skip(w, "A");
    world_close(w);
}

static void whoever_only_follows_ends_when_its_turn_comes_and_nobody_may_lead(void **state)
{
    (void)state;
    struct world *w = open_with_next();
    JOIN(w, "F", FRESH, .role = SFL_ROLE_FOLLOW_ONLY);
    HEAR(w, "F", "follow attempt=0 leader= running=0");
    world_half_close(w, "B");
    world_finish(w, "A", "OK");
    world_skip(w, "A");
    HEAR(w, "F", "ABORTED: its turn came, and no caller that waits may lead");
    HEAR(w, "B", "ABORTED: its turn came, and no caller that waits may lead");
    world_close(w);
}

static void whoever_only_leads_is_refused_while_another_leads(void **state)
{
    (void)state;
    struct world *w = open_with_next();
    JOIN(w, "L", FRESH, .role = SFL_ROLE_LEAD_ONLY);
    HEAR(w, "L", "ABORTED: caller \"A\" leads since 0 ms");
    world_skip(w, "B");
    world_close(w);
}

static void who_waits_behind_a_leased_lead_makes_it_lost_when_the_lease_ends(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .lease_ms = 1000);
    JOIN(w, "B", FRESH);
    world_skip(w, "A");
    world_skip(w, "B");
    world_pass(w, 1000);
    HEAR(w, "A", "ABORTED: fenced: token 1, now 0 (its lease of 1 s ran out)");
    HEAR(w, "B", "lead token=2 attempt=1");
    world_close(w);
}

static void forget_forgets_both_and_the_next_one_still_waits(void **state)
{
    (void)state;
    struct world *w = open_with_next();
    assert_string_equal(world_forget(w, "k"), "flight");
    JOIN(w, "C", FRESH);
    HEAR(w, "C", "lead token=2 attempt=1"); // another flight runs now
    JOIN(w, "D", FRESH);
    HEAR(w, "D", "follow attempt=0 leader= running=0");
    SILENCE(w, "B");
    world_finish(w, "A", "OK old");
    HEAR(w, "A", "result OK \"\" callers=1 attempt=1 token=1 led");
    HEAR(w, "B", "lead token=3 attempt=1");
    world_finish_retain(w, "B", "OK forgotten", 60000);
    HEAR(w, "B", "result OK \"\" callers=1 attempt=1 token=3 led");
    SILENCE(w, "D");
    world_finish(w, "C", "OK");
    world_skip(w, "C");
    HEAR(w, "D", "lead token=4 attempt=1");
    world_close(w);
}

static void if_unshared_looks_at_both(void **state)
{
    (void)state;
    struct world *w = open_with_next();
    assert_string_equal(world_forget_if_unshared(w, "k"), "nothing");
    world_leave(w, "B");
    assert_string_equal(world_forget_if_unshared(w, "k"), "flight");
    world_skip(w, "B");
    world_close(w);
}

static void in_a_drain_no_next_flight_begins(void **state)
{
    (void)state;
    struct world *w = open_with_next();
    JOIN_KEY(w, "C", "c");
    JOIN_KEY(w, "D", "c", FRESH);
    world_skip(w, "C");
    world_skip(w, "D");
    world_drain(w);
    HEAR(w, "B", "UNAVAILABLE: the server is draining; try another replica or again");
    HEAR(w, "D", "UNAVAILABLE: the server is draining; try another replica or again");
    world_finish(w, "A", "OK");
    HEAR(w, "A", "result OK \"\" callers=1 attempt=1 token=1 led retain=60000");
    world_close(w);
}

static void one_that_was_not_led_yet_is_fresh(void **state)
{
    (void)state;
    struct world *w = world_open();
    world_homes_late(w, true);
    JOIN(w, "A");
    JOIN(w, "B", FRESH);
    HEAR(w, "B", "follow attempt=1 leader= running=0");
    world_home(w, true);
    HEAR(w, "A", "lead token=1 attempt=1");
    world_close(w);
}

static void a_full_table_refuses_another_next_flight(void **state)
{
    (void)state;
    struct world *w = world_open();
    world_limits(w)->flights_max = 1;
    JOIN(w, "A");
    world_skip(w, "A");
    JOIN(w, "B", FRESH);
    HEAR(w, "B", "RESOURCE_EXHAUSTED: flights: the limit of 1 is reached");
    world_close(w);
}

// More than are told in one batch; some hear of the leader together with the result.
static void all_who_wait_hear_who_leads_before_the_result(void **state)
{
    (void)state;
    enum { CROWD = 50 };
    struct world *w = open_with_next();
    char name[16];
    for (int i = 0; i < CROWD; i++) {
        snprintf(name, sizeof(name), "C%d", i);
        JOIN(w, name, FRESH, .live = i % 2 == 0);
        HEAR(w, name, "follow attempt=0 leader= running=0");
    }
    world_live_late(w, true);
    world_finish_retain(w, "A", "OK", 0);
    world_skip(w, "A");
    HEAR(w, "B", "lead token=2 attempt=1");
    world_chunk(w, "B", 0, "a");
    world_finish(w, "B", "OK b");
    HEAR(w, "B", "result OK \"\" callers=51 attempt=1 token=2 shared led");
    for (int i = 0; i < CROWD; i++) {
        snprintf(name, sizeof(name), "C%d", i);
        HEAR(w, name, "follow attempt=1 leader=B running=0");
        HEAR(w, name, "result OK \"ab\" callers=51 attempt=1 token=2 shared");
    }
    world_live_late(w, false);
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(with_nothing_running_a_fresh_caller_leads_and_takes_nothing_retained),
        cmocka_unit_test(the_next_flight_begins_when_the_running_one_has_ended),
        cmocka_unit_test(its_retained_outcome_replaces_the_older_one),
        cmocka_unit_test(it_begins_when_the_running_one_is_lost_for_good),
        cmocka_unit_test(it_waits_while_the_running_one_is_handed_on),
        cmocka_unit_test(others_join_the_running_one_while_there_is_one_then_the_next),
        cmocka_unit_test(fresh_callers_are_not_in_the_running_flights_audience),
        cmocka_unit_test(
            the_options_and_fingerprint_of_its_first_caller_hold_when_that_one_has_left),
        cmocka_unit_test(when_all_have_left_there_is_no_next_flight),
        cmocka_unit_test(whoever_only_follows_ends_when_its_turn_comes_and_nobody_may_lead),
        cmocka_unit_test(whoever_only_leads_is_refused_while_another_leads),
        cmocka_unit_test(who_waits_behind_a_leased_lead_makes_it_lost_when_the_lease_ends),
        cmocka_unit_test(forget_forgets_both_and_the_next_one_still_waits),
        cmocka_unit_test(if_unshared_looks_at_both),
        cmocka_unit_test(in_a_drain_no_next_flight_begins),
        cmocka_unit_test(one_that_was_not_led_yet_is_fresh),
        cmocka_unit_test(a_full_table_refuses_another_next_flight),
        cmocka_unit_test(all_who_wait_hear_who_leads_before_the_result),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
