// SPDX-License-Identifier: Apache-2.0
// Who comes in, and as what.
#include "support/world.h"

static void join_nothing_known_begins_a_flight_and_leads(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A");
    HEAR(w, "A", "lead token=1 attempt=1");
    assert_string_equal(world_list(w, "k"),
                        "LED attempt=1 token=1 leader=A callers=1 running=0 value=0");
    world_close(w);
}

static void join_a_flight_runs_follows(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A");
    HEAR(w, "A", "lead token=1 attempt=1");
    world_pass(w, 30);
    JOIN(w, "B");
    HEAR(w, "B", "follow attempt=1 leader=A running=30");
    JOIN_KEY(w, "C", "another");
    HEAR(w, "C", "lead token=2 attempt=1");
    world_close(w);
}

static void join_a_flight_runs_live_gets_the_chunks_so_far(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A");
    HEAR(w, "A", "lead token=1 attempt=1");
    world_chunk(w, "A", 0, "one ");
    world_chunk(w, "A", 1, "two ");
    JOIN(w, "L", .live = true);
    HEAR(w, "L", "follow attempt=1 leader=A running=0");
    HEAR(w, "L", "chunk \"one two \"");
    JOIN(w, "F");
    HEAR(w, "F", "follow attempt=1 leader=A running=0");
    world_chunk(w, "A", 2, "three ");
    HEAR(w, "L", "chunk \"three \"");
    SILENCE(w, "F"); // without live, nothing before the outcome
    world_finish(w, "A", "OK four");
    HEAR(w, "A", "result OK \"\" callers=3 attempt=1 token=1 shared led");
    HEAR(w, "L", "result OK \"four\" callers=3 attempt=1 token=1 shared");
    HEAR(w, "F", "result OK \"one two three four\" callers=3 attempt=1 token=1 shared");
    assert_string_equal(world_value(w, "L"), "one two three four");
    world_close(w);
}

static void join_an_outcome_is_retained_and_young_enough_gets_result_at_once(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .retain_ms = 1000);
    HEAR(w, "A", "lead token=1 attempt=1");
    world_finish(w, "A", "OK v");
    HEAR(w, "A", "result OK \"\" callers=1 attempt=1 token=1 led retain=1000");
    world_pass(w, 400);
    JOIN(w, "B", .max_age_ms = 400);
    HEAR(w, "B", "result OK \"v\" callers=1 attempt=1 token=1 shared retained age=400 retain=600");
    JOIN(w, "C", .max_age_ms = 399);
    HEAR(w, "C", "lead token=2 attempt=1");
    world_close(w);
}

static void join_lead_only_while_another_leads_is_aborted_saying_who_and_since_when(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A");
    HEAR(w, "A", "lead token=1 attempt=1");
    world_pass(w, 250);
    JOIN(w, "B", .role = SFL_ROLE_LEAD_ONLY);
    HEAR(w, "B", "ABORTED: caller \"A\" leads since 250 ms");
    world_finish(w, "A", "OK v");
    world_skip(w, "A");
    JOIN(w, "B", .role = SFL_ROLE_LEAD_ONLY);
    HEAR(w, "B", "lead token=2 attempt=1");
    world_close(w);
}

static void join_lead_only_counts_an_orphaned_flight_as_led(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .lease_ms = 5000);
    HEAR(w, "A", "lead token=1 attempt=1 lease=5000");
    world_leave(w, "A");
    HEAR(w, "A", "CANCELLED: the stream broke");
    world_pass(w, 70);
    JOIN(w, "B", .role = SFL_ROLE_LEAD_ONLY);
    HEAR(w, "B", "ABORTED: caller \"A\" leads since 70 ms");
    JOIN(w, "C", .role = SFL_ROLE_FOLLOW_ONLY);
    HEAR(w, "C", "follow attempt=1 leader=A running=70");
    world_close(w);
}

static void join_follow_only_nothing_known_is_not_found(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .role = SFL_ROLE_FOLLOW_ONLY);
    HEAR(w, "A", "NOT_FOUND: nothing to follow: no flight runs for this key");
    assert_string_equal(world_list(w, "k"), "");
    world_close(w);
}

static void join_with_another_fingerprint_is_refused_and_the_flight_is_untouched(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .fingerprint = sfl_span_of_text("one"), .retain_ms = 100);
    HEAR(w, "A", "lead token=1 attempt=1");
    JOIN(w, "B", .fingerprint = sfl_span_of_text("two"));
    HEAR(w, "B",
         "FAILED_PRECONDITION: fingerprint: differs from that of the flight of the same key");
    JOIN(w, "C", .fingerprint = sfl_span_of_text("one"));
    HEAR(w, "C", "follow attempt=1 leader=A running=0");
    JOIN(w, "D"); // nothing to compare
    HEAR(w, "D", "follow attempt=1 leader=A running=0");
    // Before the role, and for a retained outcome too.
    JOIN(w, "B", .fingerprint = sfl_span_of_text("two"), .role = SFL_ROLE_LEAD_ONLY);
    HEAR(w, "B",
         "FAILED_PRECONDITION: fingerprint: differs from that of the flight of the same key");
    world_finish(w, "A", "OK v");
    HEAR(w, "A", "result OK \"\" callers=3 attempt=1 token=1 shared led retain=100");
    HEAR(w, "C", "result OK \"v\" callers=3 attempt=1 token=1 shared retain=100");
    HEAR(w, "D", "result OK \"v\" callers=3 attempt=1 token=1 shared retain=100");
    JOIN(w, "B", .fingerprint = sfl_span_of_text("two"));
    HEAR(w, "B",
         "FAILED_PRECONDITION: fingerprint: differs from that of the flight of the same key");
    JOIN(w, "E", .fingerprint = sfl_span_of_text("one"));
    HEAR(w, "E", "result OK \"v\" callers=3 attempt=1 token=1 shared retained age=0 retain=100");
    world_close(w);
}

static void a_flight_without_a_fingerprint_takes_every_caller(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A");
    HEAR(w, "A", "lead token=1 attempt=1");
    JOIN(w, "B", .fingerprint = sfl_span_of_text("two"));
    HEAR(w, "B", "follow attempt=1 leader=A running=0");
    world_close(w);
}

static void equal_keys_in_two_groups_are_two_flights(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .group = sfl_span_of_text("x"), .key = sfl_span_of_text("yz"));
    JOIN(w, "B", .group = sfl_span_of_text("xy"), .key = sfl_span_of_text("z"));
    HEAR(w, "A", "lead token=1 attempt=1");
    HEAR(w, "B", "lead token=2 attempt=1");
    world_close(w);
}

static void a_key_may_hold_any_bytes(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .key = sfl_span_of("a\0b", 3));
    JOIN(w, "B", .key = sfl_span_of("a\0c", 3));
    JOIN(w, "C", .key = sfl_span_of("a\0b", 3));
    HEAR(w, "A", "lead token=1 attempt=1");
    HEAR(w, "B", "lead token=2 attempt=1");
    HEAR(w, "C", "follow attempt=1 leader=A running=0");
    world_close(w);
}

static void the_options_of_the_opener_hold_for_the_flight(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .retain_ms = 50, .run_limit_ms = 700);
    HEAR(w, "A", "lead token=1 attempt=1 run_limit=700");
    JOIN(w, "B", .retain_ms = 9000, .lease_ms = 4000, .run_limit_ms = 1, .max_attempts = 1,
         .on_leader_loss = SFL_LEADER_LOSS_FAIL);
    HEAR(w, "B", "follow attempt=1 leader=A running=0");
    world_leave(w, "A");
    HEAR(w, "A", "CANCELLED: the stream broke");
    HEAR(w, "B", "lead token=2 attempt=2 run_limit=700");
    world_finish(w, "B", "OK v");
    HEAR(w, "B", "result OK \"\" callers=1 attempt=2 token=2 led retain=50");
    world_close(w);
}

static void a_home_that_is_found_late_makes_the_opener_lead_then(void **state)
{
    (void)state;
    struct world *w = world_open();
    world_homes_late(w, true);
    JOIN(w, "A");
    SILENCE(w, "A");
    JOIN(w, "B", .live = true);
    HEAR(w, "B", "follow attempt=1 leader= running=0");
    assert_string_equal(world_list(w, "k"),
                        "FINDING_HOME attempt=0 token=0 leader= callers=2 running=0 value=0");
    world_pass(w, 40);
    world_home(w, true);
    HEAR(w, "A", "lead token=1 attempt=1");
    world_chunk(w, "A", 0, "x");
    HEAR(w, "B", "chunk \"x\"");
    world_close(w);
}

static void a_home_that_is_not_found_ends_all_with_unavailable(void **state)
{
    (void)state;
    struct world *w = world_open();
    world_homes_late(w, true);
    JOIN(w, "A");
    JOIN(w, "B");
    HEAR(w, "B", "follow attempt=1 leader= running=0");
    world_home(w, false);
    HEAR(w, "A", "UNAVAILABLE: the coordinator cannot be reached; try again");
    HEAR(w, "B", "UNAVAILABLE: the coordinator cannot be reached; try again");
    assert_string_equal(world_list(w, "k"), "");
    world_close(w);
}

static void when_the_opener_leaves_before_its_home_is_found_the_next_one_leads(void **state)
{
    (void)state;
    struct world *w = world_open();
    world_homes_late(w, true);
    JOIN(w, "A");
    JOIN(w, "B");
    HEAR(w, "B", "follow attempt=1 leader= running=0");
    world_leave(w, "A");
    HEAR(w, "A", "CANCELLED: the stream broke");
    world_home(w, true);
    HEAR(w, "B", "lead token=1 attempt=1");
    world_close(w);
}

static void when_all_leave_before_the_home_is_found_the_flight_is_gone(void **state)
{
    (void)state;
    struct world *w = world_open();
    world_homes_late(w, true);
    JOIN(w, "A");
    world_leave(w, "A");
    HEAR(w, "A", "CANCELLED: the stream broke");
    world_home(w, true);
    assert_string_equal(world_list(w, "k"), "");
    assert_int_equal(sfl_budget_used(&world_usage(w)->flights), 0);
    assert_int_equal(world_count(w, SFL_EFFECT_RELEASE_HOME), 1);
    world_close(w);
}

static void an_opener_that_half_closed_hears_who_leads_instead(void **state)
{
    (void)state;
    struct world *w = world_open();
    world_homes_late(w, true);
    JOIN(w, "A", .live = true);
    JOIN(w, "B");
    HEAR(w, "B", "follow attempt=1 leader= running=0");
    world_half_close(w, "A");
    SILENCE(w, "A");
    world_home(w, true);
    HEAR(w, "B", "lead token=1 attempt=1");
    HEAR(w, "A", "follow attempt=1 leader=B running=0");
    world_chunk(w, "B", 0, "x");
    HEAR(w, "A", "chunk \"x\"");
    world_close(w);
}

static void a_lead_only_opener_that_half_closed_is_told_that_another_leads(void **state)
{
    (void)state;
    struct world *w = world_open();
    world_homes_late(w, true);
    JOIN(w, "A", .role = SFL_ROLE_LEAD_ONLY);
    JOIN(w, "B");
    world_half_close(w, "A");
    world_home(w, true);
    HEAR(w, "A", "ABORTED: caller \"B\" leads since 0 ms");
    HEAR(w, "B", "follow attempt=1 leader= running=0");
    HEAR(w, "B", "lead token=1 attempt=1");
    world_close(w);
}

static void without_memory_a_join_is_refused_and_nothing_changes(void **state)
{
    (void)state;
    for (uint32_t nth = 1; nth < 8; nth++) {
        struct world *w = world_open();
        memory_fail(world_memory(w), nth, 1);
        JOIN(w, "A");
        memory_fail_never(world_memory(w));
        if (world_is_joined(w, "A")) {
            HEAR(w, "A", "lead token=1 attempt=1"); // what failed can be done without
        } else {
            HEAR(w, "A", "NO_MEMORY: out of memory");
            assert_string_equal(world_list(w, "k"), "");
            assert_int_equal(sfl_budget_used(&world_usage(w)->flights), 0);
            assert_int_equal(sfl_budget_used(&world_usage(w)->callers), 0);
        }
        world_close(w);
    }
}

static void keys_around_the_size_that_a_flight_holds_itself_are_kept_in_full(void **state)
{
    (void)state;
    for (size_t size = SFL_NEAR_NAMES - 2; size <= SFL_NEAR_NAMES + 2; size++) {
        char key[SFL_NEAR_NAMES + 3] = "";
        memset(key, 'k', size);
        struct world *w = world_open();
        JOIN_KEY(w, "A", key);
        HEAR(w, "A", "lead token=1 attempt=1");
        JOIN_KEY(w, "B", key);
        HEAR(w, "B", "follow attempt=1 leader=A running=0");
        key[size - 1] = 'l';
        JOIN_KEY(w, "C", key);
        HEAR(w, "C", "lead token=2 attempt=1");
        world_close(w);
    }
}

static void without_memory_for_a_long_key_a_join_is_refused_and_nothing_changes(void **state)
{
    (void)state;
    char key[SFL_NEAR_NAMES + 2] = "";
    memset(key, 'k', sizeof(key) - 1);
    struct world *w = world_open();
    JOIN(w, "A"); // so that there is an index, a group and a page
    HEAR(w, "A", "lead token=1 attempt=1");
    memory_fail(world_memory(w), 1, 1);
    JOIN_KEY(w, "B", key);
    HEAR(w, "B", "NO_MEMORY: out of memory");
    JOIN_KEY(w, "C", key);
    HEAR(w, "C", "lead token=2 attempt=1");
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(join_nothing_known_begins_a_flight_and_leads),
        cmocka_unit_test(join_a_flight_runs_follows),
        cmocka_unit_test(join_a_flight_runs_live_gets_the_chunks_so_far),
        cmocka_unit_test(join_an_outcome_is_retained_and_young_enough_gets_result_at_once),
        cmocka_unit_test(join_lead_only_while_another_leads_is_aborted_saying_who_and_since_when),
        cmocka_unit_test(join_lead_only_counts_an_orphaned_flight_as_led),
        cmocka_unit_test(join_follow_only_nothing_known_is_not_found),
        cmocka_unit_test(join_with_another_fingerprint_is_refused_and_the_flight_is_untouched),
        cmocka_unit_test(a_flight_without_a_fingerprint_takes_every_caller),
        cmocka_unit_test(equal_keys_in_two_groups_are_two_flights),
        cmocka_unit_test(a_key_may_hold_any_bytes),
        cmocka_unit_test(the_options_of_the_opener_hold_for_the_flight),
        cmocka_unit_test(a_home_that_is_found_late_makes_the_opener_lead_then),
        cmocka_unit_test(a_home_that_is_not_found_ends_all_with_unavailable),
        cmocka_unit_test(when_the_opener_leaves_before_its_home_is_found_the_next_one_leads),
        cmocka_unit_test(when_all_leave_before_the_home_is_found_the_flight_is_gone),
        cmocka_unit_test(an_opener_that_half_closed_hears_who_leads_instead),
        cmocka_unit_test(a_lead_only_opener_that_half_closed_is_told_that_another_leads),
        cmocka_unit_test(without_memory_a_join_is_refused_and_nothing_changes),
        cmocka_unit_test(keys_around_the_size_that_a_flight_holds_itself_are_kept_in_full),
        cmocka_unit_test(without_memory_for_a_long_key_a_join_is_refused_and_nothing_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
