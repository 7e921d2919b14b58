// SPDX-License-Identifier: Apache-2.0
// Leaving, losing the lead, and who leads next.
#include "support/world.h"

static void a_caller_cancels_only_that_caller_leaves(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A");
    JOIN(w, "B");
    JOIN(w, "C");
    HEAR(w, "A", "lead token=1 attempt=1");
    HEAR(w, "B", "follow attempt=1 leader=A running=0");
    HEAR(w, "C", "follow attempt=1 leader=A running=0");
    world_fail(w, "B", SFL_REASON_CANCELLED);
    HEAR(w, "B", "CANCELLED: cancelled by the caller");
    world_finish(w, "A", "OK v");
    HEAR(w, "A", "result OK \"\" callers=2 attempt=1 token=1 shared led");
    HEAR(w, "C", "result OK \"v\" callers=2 attempt=1 token=1 shared");
    world_close(w);
}

static void a_callers_deadline_passes_only_that_caller_leaves(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A");
    JOIN(w, "B", .deadline_ms = 100);
    JOIN(w, "C", .deadline_ms = 101);
    world_skip(w, "A");
    world_skip(w, "B");
    world_skip(w, "C");
    world_pass(w, 99);
    SILENCE(w, "B");
    world_pass(w, 1);
    HEAR(w, "B", "DEADLINE_EXCEEDED: the caller's deadline passed");
    SILENCE(w, "A");
    SILENCE(w, "C");
    world_finish(w, "A", "OK v");
    HEAR(w, "A", "result OK \"\" callers=2 attempt=1 token=1 shared led");
    HEAR(w, "C", "result OK \"v\" callers=2 attempt=1 token=1 shared");
    world_pass(w, 1000); // C's deadline went with it
    world_close(w);
}

static void the_leader_leaves_without_finish_the_oldest_follower_that_may_lead_leads(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A");
    JOIN(w, "B", .role = SFL_ROLE_FOLLOW_ONLY, .live = true);
    JOIN(w, "C", .live = true);
    JOIN(w, "D", .live = true);
    JOIN(w, "E");
    HEAR(w, "A", "lead token=1 attempt=1");
    world_chunk(w, "A", 0, "void ");
    world_skip(w, "B");
    world_skip(w, "C");
    world_skip(w, "D");
    world_skip(w, "E");
    world_leave(w, "A");
    HEAR(w, "A", "CANCELLED: the stream broke");
    HEAR(w, "C", "lead token=2 attempt=2"); // and no restart
    HEAR(w, "B", "restart attempt=2 leader=C");
    HEAR(w, "D", "restart attempt=2 leader=C");
    SILENCE(w, "E"); // it has seen nothing that could be void
    world_chunk(w, "C", 0, "good");
    HEAR(w, "B", "chunk \"good\"");
    HEAR(w, "D", "chunk \"good\"");
    world_finish(w, "C", "OK .");
    HEAR(w, "C", "result OK \"\" callers=4 attempt=2 token=2 shared led");
    HEAR(w, "B", "result OK \".\" callers=4 attempt=2 token=2 shared");
    HEAR(w, "D", "result OK \".\" callers=4 attempt=2 token=2 shared");
    HEAR(w, "E", "result OK \"good.\" callers=4 attempt=2 token=2 shared");
    assert_string_equal(world_value(w, "B"), "good.");
    world_close(w);
}

static void the_leaders_run_limit_runs_out_it_is_fenced_and_another_leads(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .run_limit_ms = 500);
    JOIN(w, "B");
    HEAR(w, "A", "lead token=1 attempt=1 run_limit=500");
    world_skip(w, "B");
    world_pass(w, 499);
    SILENCE(w, "A");
    world_pass(w, 1);
    HEAR(w, "A", "ABORTED: fenced: token 1, now 2 (its run limit of 500 ms ran out)");
    HEAR(w, "B", "lead token=2 attempt=2 run_limit=500");
    world_close(w);
}

static void run_limit_counts_from_each_lead(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .run_limit_ms = 500);
    JOIN(w, "B");
    JOIN(w, "C");
    world_pass(w, 300);
    world_leave(w, "A");
    world_skip(w, "A");
    world_skip(w, "C");
    HEAR(w, "B", "follow attempt=1 leader=A running=0");
    HEAR(w, "B", "lead token=2 attempt=2 run_limit=500");
    world_pass(w, 499);
    SILENCE(w, "B");
    world_pass(w, 1);
    HEAR(w, "B", "ABORTED: fenced: token 2, now 3 (its run limit of 500 ms ran out)");
    HEAR(w, "C", "lead token=3 attempt=3 run_limit=500");
    world_close(w);
}

static void a_run_limit_of_zero_is_the_servers(void **state)
{
    (void)state;
    struct world *w = world_open();
    world_limits(w)->run_limit_ms_max = 900;
    JOIN(w, "A");
    world_pass(w, 899);
    HEAR(w, "A", "lead token=1 attempt=1");
    SILENCE(w, "A");
    world_pass(w, 1);
    HEAR(w, "A", "ABORTED: fenced: token 1, now 0 (its run limit of 900 ms ran out)");
    world_close(w);
}

static void the_leader_is_lost_and_nobody_may_lead_followers_end_with_aborted(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .run_limit_ms = 500);
    JOIN(w, "B", .role = SFL_ROLE_FOLLOW_ONLY);
    world_skip(w, "A");
    world_skip(w, "B");
    world_pass(w, 500);
    HEAR(w, "A", "ABORTED: fenced: token 1, now 0 (its run limit of 500 ms ran out)");
    HEAR(w, "B",
         "ABORTED: the leader was lost (its run limit of 500 ms ran out), and no caller that waits "
         "may lead");
    JOIN(w, "C"); // the key is free
    HEAR(w, "C", "lead token=2 attempt=1");
    world_close(w);
}

static void the_leader_is_lost_and_attempts_are_used_up_followers_end_with_aborted(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .max_attempts = 2);
    JOIN(w, "B");
    JOIN(w, "C");
    world_leave(w, "A");
    HEAR(w, "B", "follow attempt=1 leader=A running=0");
    HEAR(w, "B", "lead token=2 attempt=2");
    world_leave(w, "B");
    HEAR(w, "B", "CANCELLED: the stream broke");
    HEAR(w, "C", "follow attempt=1 leader=A running=0");
    HEAR(w, "C",
         "ABORTED: the leader was lost (its stream ended), and all 2 attempts are "
         "used up");
    world_skip(w, "A");
    assert_string_equal(world_list(w, "k"), ""); // neither retained nor listed
    world_close(w);
}

static void the_leader_is_lost_and_on_leader_loss_is_fail_followers_end_with_aborted(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .on_leader_loss = SFL_LEADER_LOSS_FAIL, .retain_error_ms = 1000);
    JOIN(w, "B");
    world_skip(w, "A");
    world_skip(w, "B");
    world_fail(w, "A", SFL_REASON_MALFORMED);
    HEAR(w, "A", "INVALID_ARGUMENT: malformed message");
    HEAR(w, "B",
         "ABORTED: the leader was lost (its stream ended with an error), and "
         "on_leader_loss is FAIL");
    assert_string_equal(world_list(w, "k"), "");
    world_close(w);
}

static void a_lost_leader_still_posts_and_nothing_of_it_reaches_anyone(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .run_limit_ms = 100);
    JOIN(w, "B");
    JOIN(w, "L", .live = true);
    world_chunk(w, "A", 0, "void");
    world_pass(w, 100);
    world_skip(w, "B");
    world_skip(w, "L");
    HEAR(w, "A", "lead token=1 attempt=1 run_limit=100");
    HEAR(w, "A", "ABORTED: fenced: token 1, now 2 (its run limit of 100 ms ran out)");
    world_chunk(w, "A", 1, "late");
    world_renew(w, "A");
    world_finish(w, "A", "OK wrong");
    world_half_close(w, "A");
    world_leave(w, "A");
    SILENCE(w, "A");
    SILENCE(w, "L");
    world_finish(w, "B", "OK right");
    HEAR(w, "B", "result OK \"\" callers=2 attempt=2 token=2 shared led");
    HEAR(w, "L", "result OK \"right\" callers=2 attempt=2 token=2 shared");
    world_close(w);
}

static void a_lost_leader_that_posts_before_the_next_token_is_known_is_fenced_by_none(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .run_limit_ms = 100);
    JOIN(w, "B");
    world_skip(w, "B");
    HEAR(w, "A", "lead token=1 attempt=1 run_limit=100");
    world_homes_late(w, true);
    world_pass(w, 100);
    SILENCE(w, "A");
    world_chunk(w, "A", 0, "late");
    HEAR(w, "A", "ABORTED: fenced: token 1, now 0 (its run limit of 100 ms ran out)");
    world_home(w, true);
    HEAR(w, "B", "lead token=2 attempt=2 run_limit=100");
    world_close(w);
}

static void the_next_leaders_sequence_begins_anew(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A");
    JOIN(w, "B");
    world_chunk(w, "A", 0, "one");
    world_chunk(w, "A", 1, "");
    world_leave(w, "A");
    world_skip(w, "A");
    world_chunk(w, "B", 0, "x");
    world_chunk(w, "B", 1, "y");
    world_finish(w, "B", "OK z");
    HEAR(w, "B", "follow attempt=1 leader=A running=0");
    HEAR(w, "B", "lead token=2 attempt=2");
    HEAR(w, "B", "result OK \"\" callers=1 attempt=2 token=2 led");
    world_close(w);
}

static void a_chunk_out_of_sequence_costs_the_lead(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .lease_ms = 60000);
    JOIN(w, "B");
    world_skip(w, "B");
    HEAR(w, "A", "lead token=1 attempt=1 lease=60000");
    world_chunk(w, "A", 0, "a");
    world_chunk(w, "A", 2, "c");
    HEAR(w, "A", "INVALID_ARGUMENT: chunk.sequence: 2, expected 1");
    HEAR(w, "B", "lead token=2 attempt=2 lease=60000"); // at once, lease or not
    world_chunk(w, "B", 1, "b");
    HEAR(w, "B", "INVALID_ARGUMENT: chunk.sequence: 1, expected 0");
    world_close(w);
}

static void a_chunk_that_comes_twice_costs_the_lead(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A");
    world_chunk(w, "A", 0, "a");
    world_chunk(w, "A", 0, "a");
    HEAR(w, "A", "lead token=1 attempt=1");
    HEAR(w, "A", "INVALID_ARGUMENT: chunk.sequence: 0, expected 1");
    world_close(w);
}

static void empty_chunks_count_in_the_sequence_and_reach_nobody(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .lease_ms = 1000);
    JOIN(w, "L", .live = true);
    world_skip(w, "L");
    world_chunk(w, "A", 0, "");
    world_chunk(w, "A", 1, "x");
    HEAR(w, "L", "chunk \"x\"");
    SILENCE(w, "L");
    JOIN(w, "A2", .resume_token = 1);
    HEAR(w, "A2", "lead token=1 attempt=1 lease=1000 next=2");
    world_skip(w, "A");
    world_close(w);
}

static void a_follower_that_takes_a_leaders_step_is_refused_and_leaves(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A");
    JOIN(w, "B");
    JOIN(w, "C");
    JOIN(w, "D");
    world_skip(w, "B");
    world_skip(w, "C");
    world_skip(w, "D");
    world_chunk(w, "B", 0, "x");
    HEAR(w, "B", "INVALID_ARGUMENT: step out of order: this caller does not lead");
    world_renew(w, "C");
    HEAR(w, "C", "INVALID_ARGUMENT: step out of order: this caller does not lead");
    world_finish(w, "D", "OK x");
    HEAR(w, "D", "INVALID_ARGUMENT: step out of order: this caller does not lead");
    world_finish(w, "A", "OK v");
    HEAR(w, "A", "lead token=1 attempt=1");
    HEAR(w, "A", "result OK \"\" callers=1 attempt=1 token=1 led");
    world_close(w);
}

static void a_half_closed_follower_waits_on_but_is_never_promoted(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A");
    JOIN(w, "B");
    JOIN(w, "C");
    world_skip(w, "B");
    world_skip(w, "C");
    world_half_close(w, "B");
    world_leave(w, "A");
    world_skip(w, "A");
    SILENCE(w, "B");
    HEAR(w, "C", "lead token=2 attempt=2");
    world_finish(w, "C", "OK v");
    HEAR(w, "B", "result OK \"v\" callers=2 attempt=2 token=2 shared");
    world_skip(w, "C");
    world_close(w);
}

static void a_leader_that_half_closes_without_finish_leaves(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A");
    JOIN(w, "B");
    world_skip(w, "B");
    world_half_close(w, "A");
    HEAR(w, "A", "lead token=1 attempt=1");
    HEAR(w, "A", "ABORTED: fenced: token 1, now 2 (its stream ended)");
    HEAR(w, "B", "lead token=2 attempt=2");
    world_half_close(w, "B");
    HEAR(w, "B", "ABORTED: fenced: token 2, now 0 (its stream ended)");
    assert_string_equal(world_list(w, "k"), "");
    world_close(w);
}

static void when_the_leader_and_all_others_leave_the_flight_is_gone(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A");
    JOIN(w, "B");
    world_fail(w, "B", SFL_REASON_CANCELLED);
    world_fail(w, "A", SFL_REASON_CANCELLED);
    world_skip(w, "A");
    world_skip(w, "B");
    assert_string_equal(world_list(w, "k"), "");
    assert_int_equal(sfl_budget_used(&world_usage(w)->flights), 0);
    world_close(w);
}

static void a_candidate_that_leaves_while_the_home_is_sought_is_passed_over(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A");
    JOIN(w, "B");
    JOIN(w, "C");
    world_skip(w, "A");
    world_skip(w, "B");
    world_skip(w, "C");
    world_homes_late(w, true);
    world_leave(w, "A");
    world_leave(w, "B");
    JOIN(w, "D");
    HEAR(w, "D", "follow attempt=2 leader= running=0");
    world_home(w, true);
    HEAR(w, "C", "lead token=2 attempt=2");
    world_skip(w, "A");
    HEAR(w, "B", "CANCELLED: the stream broke");
    world_close(w);
}

static void tokens_grow_across_flights_and_attempts(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A");
    JOIN(w, "B");
    HEAR(w, "A", "lead token=1 attempt=1");
    world_leave(w, "A");
    world_skip(w, "A");
    HEAR(w, "B", "follow attempt=1 leader=A running=0");
    HEAR(w, "B", "lead token=2 attempt=2");
    world_finish(w, "B", "OK v");
    world_skip(w, "B");
    JOIN(w, "C");
    HEAR(w, "C", "lead token=3 attempt=1");
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_caller_cancels_only_that_caller_leaves),
        cmocka_unit_test(a_callers_deadline_passes_only_that_caller_leaves),
        cmocka_unit_test(the_leader_leaves_without_finish_the_oldest_follower_that_may_lead_leads),
        cmocka_unit_test(the_leaders_run_limit_runs_out_it_is_fenced_and_another_leads),
        cmocka_unit_test(run_limit_counts_from_each_lead),
        cmocka_unit_test(a_run_limit_of_zero_is_the_servers),
        cmocka_unit_test(the_leader_is_lost_and_nobody_may_lead_followers_end_with_aborted),
        cmocka_unit_test(the_leader_is_lost_and_attempts_are_used_up_followers_end_with_aborted),
        cmocka_unit_test(the_leader_is_lost_and_on_leader_loss_is_fail_followers_end_with_aborted),
        cmocka_unit_test(a_lost_leader_still_posts_and_nothing_of_it_reaches_anyone),
        cmocka_unit_test(a_lost_leader_that_posts_before_the_next_token_is_known_is_fenced_by_none),
        cmocka_unit_test(the_next_leaders_sequence_begins_anew),
        cmocka_unit_test(a_chunk_out_of_sequence_costs_the_lead),
        cmocka_unit_test(a_chunk_that_comes_twice_costs_the_lead),
        cmocka_unit_test(empty_chunks_count_in_the_sequence_and_reach_nobody),
        cmocka_unit_test(a_follower_that_takes_a_leaders_step_is_refused_and_leaves),
        cmocka_unit_test(a_half_closed_follower_waits_on_but_is_never_promoted),
        cmocka_unit_test(a_leader_that_half_closes_without_finish_leaves),
        cmocka_unit_test(when_the_leader_and_all_others_leave_the_flight_is_gone),
        cmocka_unit_test(a_candidate_that_leaves_while_the_home_is_sought_is_passed_over),
        cmocka_unit_test(tokens_grow_across_flights_and_attempts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
