// SPDX-License-Identifier: Apache-2.0
// Leases: renewal, broken streams, and the way back.
#include "support/world.h"

static void the_leaders_lease_runs_out_it_is_fenced_and_another_leads(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .lease_ms = 1000);
    JOIN(w, "B");
    world_skip(w, "B");
    HEAR(w, "A", "lead token=1 attempt=1 lease=1000");
    world_pass(w, 999);
    SILENCE(w, "A");
    world_pass(w, 1);
    HEAR(w, "A", "ABORTED: fenced: token 1, now 2 (its lease of 1 s ran out)");
    HEAR(w, "B", "lead token=2 attempt=2 lease=1000");
    world_close(w);
}

static void renew_moves_the_end_of_the_lease(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .lease_ms = 1000);
    HEAR(w, "A", "lead token=1 attempt=1 lease=1000");
    for (int n = 0; n < 5; n++) {
        world_pass(w, 900);
        world_renew(w, "A");
    }
    JOIN(w, "B");
    HEAR(w, "B", "follow attempt=1 leader=A running=4500");
    world_pass(w, 999);
    SILENCE(w, "A");
    world_pass(w, 1);
    HEAR(w, "A", "ABORTED: fenced: token 1, now 2 (its lease of 1 s ran out)");
    HEAR(w, "B", "lead token=2 attempt=2 lease=1000");
    world_close(w);
}

static void chunks_do_not_renew_a_lease(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .lease_ms = 1000);
    HEAR(w, "A", "lead token=1 attempt=1 lease=1000");
    world_pass(w, 900);
    world_chunk(w, "A", 0, "x");
    JOIN(w, "B");
    world_skip(w, "B");
    world_pass(w, 100);
    HEAR(w, "A", "ABORTED: fenced: token 1, now 2 (its lease of 1 s ran out)");
    HEAR(w, "B", "lead token=2 attempt=2 lease=1000");
    world_close(w);
}

static void renew_without_a_lease_does_nothing(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .run_limit_ms = 1000);
    HEAR(w, "A", "lead token=1 attempt=1 run_limit=1000");
    world_pass(w, 900);
    world_renew(w, "A");
    SILENCE(w, "A");
    world_pass(w, 100);
    HEAR(w, "A", "ABORTED: fenced: token 1, now 0 (its run limit of 1 s ran out)");
    world_close(w);
}

static void a_renewal_with_an_id_is_answered_once_and_in_order(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .lease_ms = 1000);
    HEAR(w, "A", "lead token=1 attempt=1 lease=1000");
    world_renew_id(w, "A", 7);
    world_renew(w, "A"); // one without an id never is
    world_renew_id(w, "A", 3);
    world_renew_id(w, "A", 3); // ids are given back, and not compared
    HEAR(w, "A", "renewed 7");
    HEAR(w, "A", "renewed 3");
    HEAR(w, "A", "renewed 3");
    SILENCE(w, "A");
    world_close(w);
}

static void a_renewal_without_a_lease_is_answered_and_does_nothing_else(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .run_limit_ms = 1000);
    HEAR(w, "A", "lead token=1 attempt=1 run_limit=1000");
    world_pass(w, 900);
    world_renew_id(w, "A", UINT64_MAX);
    HEAR(w, "A", "renewed 18446744073709551615");
    world_pass(w, 100);
    HEAR(w, "A", "ABORTED: fenced: token 1, now 0 (its run limit of 1 s ran out)");
    world_close(w);
}

static void a_renewal_of_a_lost_leader_is_not_answered(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .lease_ms = 1000);
    JOIN(w, "B");
    HEAR(w, "A", "lead token=1 attempt=1 lease=1000");
    HEAR(w, "B", "follow attempt=1 leader=A running=0");
    world_homes_late(w, true);
    world_pass(w, 1000); // the next token is not known yet
    world_renew_id(w, "A", 1);
    HEAR(w, "A", "ABORTED: fenced: token 1, now 0 (its lease of 1 s ran out)");
    world_homes_late(w, false);
    world_home(w, true);
    HEAR(w, "B", "lead token=2 attempt=2 lease=1000");
    world_close(w);
}

static void renewal_does_not_pass_the_run_limit(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .lease_ms = 1000, .run_limit_ms = 1500);
    JOIN(w, "B", .role = SFL_ROLE_FOLLOW_ONLY);
    HEAR(w, "A", "lead token=1 attempt=1 lease=1000 run_limit=1500");
    world_skip(w, "B");
    world_pass(w, 900);
    world_renew(w, "A");
    world_pass(w, 600);
    HEAR(w, "A", "ABORTED: fenced: token 1, now 0 (its run limit of 1500 ms ran out)");
    HEAR(
        w, "B",
        "ABORTED: the leader was lost (its run limit of 1500 ms ran out), and no caller that waits "
        "may lead");
    world_close(w);
}

static void the_leaders_stream_breaks_with_a_lease_it_comes_back_and_its_chunks_stay(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .lease_ms = 2000);
    JOIN(w, "B");
    JOIN(w, "L", .live = true);
    world_chunk(w, "A", 0, "one ");
    world_leave(w, "A");
    HEAR(w, "A", "lead token=1 attempt=1 lease=2000");
    HEAR(w, "A", "CANCELLED: the stream broke");
    world_pass(w, 1900);
    assert_string_equal(world_list(w, "k"),
                        "ORPHANED attempt=1 token=1 leader=A callers=2 running=1900 value=4 "
                        "expires=100");
    JOIN(w, "A2", .resume_token = 1);
    HEAR(w, "A2", "lead token=1 attempt=1 lease=2000 next=1");
    world_pass(w, 1999); // the resume renewed
    world_chunk(w, "A2", 1, "two");
    world_finish(w, "A2", "OK");
    HEAR(w, "A2", "result OK \"\" callers=3 attempt=1 token=1 shared led");
    HEAR(w, "B", "follow attempt=1 leader=A running=0");
    HEAR(w, "B", "result OK \"one two\" callers=3 attempt=1 token=1 shared");
    HEAR(w, "L", "follow attempt=1 leader=A running=0");
    HEAR(w, "L", "chunk \"one \"");
    HEAR(w, "L", "chunk \"two\""); // no restart
    HEAR(w, "L", "result OK \"\" callers=3 attempt=1 token=1 shared");
    world_close(w);
}

static void an_orphaned_flight_whose_lease_runs_out_goes_to_the_next(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .lease_ms = 1000);
    JOIN(w, "B");
    world_skip(w, "A");
    world_skip(w, "B");
    world_pass(w, 400);
    world_leave(w, "A");
    HEAR(w, "A", "CANCELLED: the stream broke");
    world_pass(w, 599);
    SILENCE(w, "B");
    world_pass(w, 1);
    HEAR(w, "B", "lead token=2 attempt=2 lease=1000");
    JOIN(w, "A2", .resume_token = 1);
    HEAR(w, "A2", "ABORTED: fenced: token 1, now 2 (its lease of 1 s ran out)");
    world_close(w);
}

static void with_a_lease_every_end_without_finish_is_a_broken_stream(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .lease_ms = 2000, .deadline_ms = 300);
    HEAR(w, "A", "lead token=1 attempt=1 lease=2000");
    world_pass(w, 300);
    HEAR(w, "A", "DEADLINE_EXCEEDED: the caller's deadline passed");
    JOIN(w, "B", .resume_token = 1);
    HEAR(w, "B", "lead token=1 attempt=1 lease=2000");
    world_pass(w, 200);
    world_half_close(w, "B");
    HEAR(w, "B",
         "ABORTED: the leader sends no more; token 1 may be resumed on a new stream "
         "within 1800 ms");
    JOIN(w, "C", .resume_token = 1);
    HEAR(w, "C", "lead token=1 attempt=1 lease=2000");
    world_leave(w, "C");
    HEAR(w, "C", "CANCELLED: the stream broke");
    JOIN(w, "D", .resume_token = 1);
    HEAR(w, "D", "lead token=1 attempt=1 lease=2000");
    world_close(w);
}

static void a_leader_whose_stream_ends_with_a_status_is_lost_lease_or_not(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .lease_ms = 60000);
    JOIN(w, "B");
    world_skip(w, "B");
    world_skip(w, "A");
    world_fail(w, "A", SFL_REASON_MALFORMED);
    HEAR(w, "A", "INVALID_ARGUMENT: malformed message");
    HEAR(w, "B", "lead token=2 attempt=2 lease=60000");
    JOIN(w, "A2", .resume_token = 1);
    HEAR(w, "A2", "ABORTED: fenced: token 1, now 2 (its stream ended with an error)");
    world_close(w);
}

static void to_give_up_at_once_a_leader_finishes_with_abandoned_and_pass_on(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .lease_ms = 60000);
    JOIN(w, "B");
    world_skip(w, "A");
    world_skip(w, "B");
    world_pass_on(w, "A", "ABANDONED");
    HEAR(w, "A", "result ABANDONED \"\" callers=1 attempt=1 token=1 led");
    HEAR(w, "B", "lead token=2 attempt=2 lease=60000");
    world_close(w);
}

static void a_resume_takes_over_from_an_older_stream(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .lease_ms = 2000);
    world_chunk(w, "A", 0, "one ");
    HEAR(w, "A", "lead token=1 attempt=1 lease=2000");
    JOIN(w, "A2", .resume_token = 1);
    HEAR(w, "A2", "lead token=1 attempt=1 lease=2000 next=1");
    HEAR(w, "A", "ABORTED: fenced: token 1, now 0 (it was resumed on another stream)");
    world_chunk(w, "A", 1, "wrong");
    SILENCE(w, "A");
    JOIN(w, "F");
    HEAR(w, "F", "follow attempt=1 leader=A2 running=0");
    world_finish(w, "A2", "OK two");
    HEAR(w, "A2", "result OK \"\" callers=2 attempt=1 token=1 shared led");
    HEAR(w, "F", "result OK \"one two\" callers=2 attempt=1 token=1 shared");
    world_close(w);
}

static void a_resume_finds_forgotten_flights(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .lease_ms = 2000);
    JOIN(w, "F");
    assert_string_equal(world_forget(w, "k"), "flight");
    JOIN(w, "N", .lease_ms = 3000);
    HEAR(w, "N", "lead token=2 attempt=1 lease=3000");
    world_leave(w, "A");
    world_skip(w, "A");
    JOIN(w, "A2", .resume_token = 1);
    HEAR(w, "A2", "lead token=1 attempt=1 lease=2000");
    world_finish(w, "A2", "OK old");
    HEAR(w, "A2", "result OK \"\" callers=2 attempt=1 token=1 shared led");
    HEAR(w, "F", "follow attempt=1 leader=A running=0");
    HEAR(w, "F", "result OK \"old\" callers=2 attempt=1 token=1 shared");
    SILENCE(w, "N");
    world_close(w);
}

static void a_resume_of_a_forgotten_flight_that_has_a_newer_leader_hears_its_token(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .lease_ms = 1000);
    JOIN(w, "B");
    world_forget(w, "k");
    world_leave(w, "A");
    world_pass(w, 1000);
    world_skip(w, "A");
    HEAR(w, "B", "follow attempt=1 leader=A running=0");
    HEAR(w, "B", "lead token=2 attempt=2 lease=1000");
    JOIN(w, "A2", .resume_token = 1);
    HEAR(w, "A2", "ABORTED: fenced: token 1, now 2 (its lease of 1 s ran out)");
    world_close(w);
}

static void a_resume_whose_outcome_is_retained_gets_it_with_led(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .lease_ms = 2000, .retain_ms = 500);
    world_finish(w, "A", "OK v");
    world_skip(w, "A");
    world_pass(w, 100);
    JOIN(w, "A2", .resume_token = 1);
    HEAR(w, "A2", "result OK \"\" callers=1 attempt=1 token=1 led retained age=100 retain=400");
    world_pass(w, 400);
    JOIN(w, "A3", .resume_token = 1);
    HEAR(w, "A3", "ABORTED: fenced: token 1, now 0");
    world_close(w);
}

static void a_resume_with_any_other_token_is_fenced(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "X", .resume_token = 77);
    HEAR(w, "X", "ABORTED: fenced: token 77, now 0");
    JOIN(w, "A", .lease_ms = 2000);
    JOIN(w, "B");
    world_skip(w, "B");
    world_pass(w, 2000);
    world_skip(w, "A");
    world_skip(w, "B");
    JOIN(w, "A2", .resume_token = 1);
    HEAR(w, "A2", "ABORTED: fenced: token 1, now 2 (its lease of 2 s ran out)");
    JOIN(w, "X2", .resume_token = 99);
    HEAR(w, "X2", "ABORTED: fenced: token 99, now 0");
    JOIN_KEY(w, "X3", "other", .resume_token = 2);
    HEAR(w, "X3", "ABORTED: fenced: token 2, now 0");
    world_close(w);
}

static void a_resume_needs_no_fingerprint_and_no_role(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .lease_ms = 2000, .fingerprint = sfl_span_of_text("f"));
    world_leave(w, "A");
    world_skip(w, "A");
    JOIN(w, "A2", .resume_token = 1);
    HEAR(w, "A2", "lead token=1 attempt=1 lease=2000");
    world_close(w);
}

static void while_the_next_leader_is_sought_a_resume_is_fenced(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .lease_ms = 1000);
    JOIN(w, "B");
    world_leave(w, "A");
    world_homes_late(w, true);
    world_pass(w, 1000);
    JOIN(w, "A2", .resume_token = 1);
    HEAR(w, "A2", "ABORTED: fenced: token 1, now 0 (its lease of 1 s ran out)");
    world_home(w, true);
    world_skip(w, "A");
    HEAR(w, "B", "follow attempt=1 leader=A running=0");
    HEAR(w, "B", "lead token=2 attempt=2 lease=1000");
    world_close(w);
}

static void a_leader_that_resumed_can_lead_to_the_end_of_a_new_lease_only(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .lease_ms = 1000);
    world_pass(w, 500);
    JOIN(w, "A2", .resume_token = 1);
    world_skip(w, "A");
    HEAR(w, "A2", "lead token=1 attempt=1 lease=1000");
    JOIN(w, "B");
    world_skip(w, "B");
    world_pass(w, 999);
    SILENCE(w, "A2");
    world_pass(w, 1);
    HEAR(w, "A2", "ABORTED: fenced: token 1, now 2 (its lease of 1 s ran out)");
    HEAR(w, "B", "lead token=2 attempt=2 lease=1000");
    world_close(w);
}

static void a_half_close_that_comes_after_the_lease_ran_out_promises_no_time(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .lease_ms = 1000);
    HEAR(w, "A", "lead token=1 attempt=1 lease=1000");
    world_pass_without_tick(w, 1500); // the clock's thread is late
    world_half_close(w, "A");
    HEAR(w, "A",
         "ABORTED: the leader sends no more; token 1 may be resumed on a new stream "
         "within 0 ms");
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_leaders_lease_runs_out_it_is_fenced_and_another_leads),
        cmocka_unit_test(renew_moves_the_end_of_the_lease),
        cmocka_unit_test(chunks_do_not_renew_a_lease),
        cmocka_unit_test(renew_without_a_lease_does_nothing),
        cmocka_unit_test(a_renewal_with_an_id_is_answered_once_and_in_order),
        cmocka_unit_test(a_renewal_without_a_lease_is_answered_and_does_nothing_else),
        cmocka_unit_test(a_renewal_of_a_lost_leader_is_not_answered),
        cmocka_unit_test(renewal_does_not_pass_the_run_limit),
        cmocka_unit_test(the_leaders_stream_breaks_with_a_lease_it_comes_back_and_its_chunks_stay),
        cmocka_unit_test(an_orphaned_flight_whose_lease_runs_out_goes_to_the_next),
        cmocka_unit_test(with_a_lease_every_end_without_finish_is_a_broken_stream),
        cmocka_unit_test(a_leader_whose_stream_ends_with_a_status_is_lost_lease_or_not),
        cmocka_unit_test(to_give_up_at_once_a_leader_finishes_with_abandoned_and_pass_on),
        cmocka_unit_test(a_resume_takes_over_from_an_older_stream),
        cmocka_unit_test(a_resume_finds_forgotten_flights),
        cmocka_unit_test(a_resume_of_a_forgotten_flight_that_has_a_newer_leader_hears_its_token),
        cmocka_unit_test(a_resume_whose_outcome_is_retained_gets_it_with_led),
        cmocka_unit_test(a_resume_with_any_other_token_is_fenced),
        cmocka_unit_test(a_resume_needs_no_fingerprint_and_no_role),
        cmocka_unit_test(while_the_next_leader_is_sought_a_resume_is_fenced),
        cmocka_unit_test(a_leader_that_resumed_can_lead_to_the_end_of_a_new_lease_only),
        cmocka_unit_test(a_half_close_that_comes_after_the_lease_ran_out_promises_no_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
