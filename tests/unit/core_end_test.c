// SPDX-License-Identifier: Apache-2.0
// Ending a flight, calls inside their own lead, leads that outlive their caller's deadline, and the
// reasons that those hear who come back.
#include "support/world.h"

#include <stdio.h>

// --- Forget with `end` ---

static void end_fences_the_leader_and_its_followers_get_the_same_text(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .retain_ms = 1000);
    JOIN(w, "B");
    assert_string_equal(world_end(w, "k", "ops"), "flight ended");
    HEAR(w, "A", "lead token=1 attempt=1");
    HEAR(w, "A", "ABORTED: fenced: token 1, now 0 (ended by ops)");
    HEAR(w, "B", "follow attempt=1 leader=A running=0");
    HEAR(w, "B", "ABORTED: fenced: token 1, now 0 (ended by ops)");
    assert_int_equal(world_stats(w).fenced, 1);
    assert_int_equal(world_stats(w).forgets, 1);
    JOIN(w, "C");
    HEAR(w, "C", "lead token=2 attempt=1");
    assert_string_equal(world_end(w, "k", ""), "flight ended");
    HEAR(w, "C", "ABORTED: fenced: token 2, now 0 (ended)");
    assert_string_equal(world_end(w, "k", "ops"), "nothing");
    world_close(w);
}

static void end_drops_what_is_retained_and_finds_orphaned_and_overdue_flights(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .retain_ms = 60000);
    world_finish(w, "A", "OK");
    JOIN(w, "B", .max_age_ms = 1, .lease_ms = 1000);
    world_skip(w, "A");
    HEAR(w, "B", "result OK \"\" callers=1 attempt=1 token=1 shared retained age=0 retain=60000");
    world_pass(w, 10);
    JOIN(w, "B", .max_age_ms = 1, .lease_ms = 1000);
    HEAR(w, "B", "lead token=2 attempt=1 lease=1000");
    world_leave(w, "B");
    HEAR(w, "B", "CANCELLED: the stream broke");
    assert_string_equal(world_end(w, "k", "x"), "flight retained ended");
    JOIN(w, "B2", .resume_token = 2);
    HEAR(w, "B2", "ABORTED: fenced: token 2, now 0");
    JOIN(w, "C", .lease_ms = 1000);
    HEAR(w, "C", "lead token=3 attempt=1 lease=1000");
    world_pass(w, 5000);
    assert_string_equal(world_end(w, "k", "x"), "flight ended");
    HEAR(w, "C", "ABORTED: fenced: token 3, now 0 (ended by x)");
    world_close(w);
}

static void the_next_flight_begins_then_forgotten(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A");
    JOIN(w, "B", .fresh = true, .retain_ms = 60000);
    world_skip(w, "A");
    world_skip(w, "B");
    assert_string_equal(world_end(w, "k", "x"), "flight ended");
    HEAR(w, "A", "ABORTED: fenced: token 1, now 0 (ended by x)");
    HEAR(w, "B", "lead token=2 attempt=1");
    assert_string_equal(world_list(w, "k"),
                        "LED attempt=1 token=2 leader=B callers=1 running=0 value=0 forgotten");
    JOIN(w, "C");
    HEAR(w, "C", "lead token=3 attempt=1");
    world_finish(w, "B", "OK");
    HEAR(w, "B", "result OK \"\" callers=1 attempt=1 token=2 led"); // and it is not retained
    world_close(w);
}

static void flights_forgotten_before_go_on(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A");
    world_forget(w, "k");
    JOIN(w, "B");
    world_skip(w, "B");
    assert_string_equal(world_end(w, "k", "x"), "flight ended");
    HEAR(w, "B", "ABORTED: fenced: token 2, now 0 (ended by x)");
    world_finish(w, "A", "OK v");
    HEAR(w, "A", "lead token=1 attempt=1");
    HEAR(w, "A", "result OK \"\" callers=1 attempt=1 token=1 led");
    world_close(w);
}

static void with_a_token_it_is_that_flight_or_none(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .retain_ms = 60000);
    world_finish(w, "A", "OK v");
    world_skip(w, "A");
    world_pass(w, 10);
    assert_string_equal(world_end_token(w, "k", 1, "x"), "nothing"); // it is over
    JOIN(w, "B", .max_age_ms = 1);
    JOIN(w, "C", .max_age_ms = 1);
    HEAR(w, "B", "lead token=2 attempt=1");
    world_skip(w, "C");
    assert_string_equal(world_end_token(w, "k", 3, "x"), "nothing");
    SILENCE(w, "B");
    assert_string_equal(world_end_token(w, "k", 2, "x"), "flight retained ended");
    HEAR(w, "B", "ABORTED: fenced: token 2, now 0 (ended by x)");
    HEAR(w, "C", "ABORTED: fenced: token 2, now 0 (ended by x)");
    assert_string_equal(world_end_token(w, "k", 2, "x"), "nothing");
    world_close(w);
}

static void with_a_token_one_that_was_forgotten_ends(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A");
    JOIN(w, "A2");
    world_skip(w, "A");
    world_skip(w, "A2");
    world_forget(w, "k");
    JOIN(w, "B");
    HEAR(w, "B", "lead token=2 attempt=1");
    assert_string_equal(world_end_token(w, "k", 1, "x"), "flight ended");
    HEAR(w, "A", "ABORTED: fenced: token 1, now 0 (ended by x)");
    HEAR(w, "A2", "ABORTED: fenced: token 1, now 0 (ended by x)");
    world_finish(w, "B", "OK v");
    HEAR(w, "B", "result OK \"\" callers=1 attempt=1 token=2 led");
    world_close(w);
}

static void if_unshared_comes_first(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A");
    JOIN(w, "B");
    world_skip(w, "A");
    world_skip(w, "B");
    assert_string_equal(world_end_if_unshared(w, "k", "x"), "nothing");
    SILENCE(w, "A");
    world_leave(w, "B");
    world_skip(w, "B");
    assert_string_equal(world_end_if_unshared(w, "k", "x"), "flight ended");
    HEAR(w, "A", "ABORTED: fenced: token 1, now 0 (ended by x)");
    world_close(w);
}

static void a_flight_that_nobody_leads_yet_ends_too(void **state)
{
    (void)state;
    struct world *w = world_open();
    world_homes_late(w, true);
    JOIN(w, "A");
    JOIN(w, "B");
    world_skip(w, "B");
    assert_string_equal(world_end(w, "k", "x"), "flight ended");
    HEAR(w, "A", "ABORTED: ended by x");
    HEAR(w, "B", "ABORTED: ended by x");
    world_close(w);
}

static void with_hold_an_ended_flight_is_not_held(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .on_leader_loss = SFL_LEADER_LOSS_HOLD, .retain_error_ms = 60000);
    HEAR(w, "A", "lead token=1 attempt=1");
    assert_string_equal(world_end(w, "k", "x"), "flight ended");
    HEAR(w, "A", "ABORTED: fenced: token 1, now 0 (ended by x)");
    JOIN(w, "B");
    HEAR(w, "B", "lead token=2 attempt=1");
    world_close(w);
}

// --- within ---

static struct sfl_lead_ref lead_of(const char *key, uint64_t token)
{
    return (struct sfl_lead_ref){sfl_span_of_text("g"), sfl_span_of_text(key), token};
}

#define ITSELF                                                                                     \
    "FAILED_PRECONDITION: would wait for itself: this call is made inside the lead with token 1"

static void a_call_inside_the_lead_that_it_would_wait_for_is_refused(void **state)
{
    (void)state;
    struct world *w = world_open();
    const struct sfl_lead_ref leads[] = {lead_of("other", 1), lead_of("k", 1)};
    JOIN(w, "A");
    world_skip(w, "A");
    const enum sfl_role roles[] = {SFL_ROLE_ANY, SFL_ROLE_LEAD_ONLY, SFL_ROLE_FOLLOW_ONLY};
    for (size_t i = 0; i < 3; i++) {
        JOIN(w, "B", .role = roles[i], .within = leads, .within_count = 2);
        HEAR(w, "B", ITSELF);
        JOIN(w, "B", .role = roles[i], .fresh = true, .within = leads, .within_count = 2);
        HEAR(w, "B", ITSELF); // it would wait for the end of that flight
    }
    JOIN(w, "B", .within = leads, .within_count = 1);
    HEAR(w, "B", "follow attempt=1 leader=A running=0");
    JOIN_KEY(w, "C", "other", .within = leads, .within_count = 2);
    HEAR(w, "C", "lead token=2 attempt=1"); // nobody leads that one
    world_close(w);
}

static void it_is_asked_after_the_fingerprint_and_before_an_overdue_lead_is_taken_over(void **state)
{
    (void)state;
    struct world *w = world_open();
    const struct sfl_lead_ref lead = lead_of("k", 1);
    JOIN(w, "A", .lease_ms = 1000, .fingerprint = {(const uint8_t *)"a", 1});
    world_skip(w, "A");
    world_pass(w, 5000);
    JOIN(w, "B", .within = &lead, .within_count = 1, .fingerprint = {(const uint8_t *)"b", 1});
    HEAR(w, "B",
         "FAILED_PRECONDITION: fingerprint: differs from that of the flight of the same key");
    JOIN(w, "B", .within = &lead, .within_count = 1);
    HEAR(w, "B", ITSELF);
    SILENCE(w, "A");
    world_close(w);
}

static void a_forgotten_flight_is_not_waited_for_nor_what_is_retained(void **state)
{
    (void)state;
    struct world *w = world_open();
    const struct sfl_lead_ref lead = lead_of("k", 1);
    JOIN(w, "A");
    world_skip(w, "A");
    world_forget(w, "k");
    JOIN(w, "B", .within = &lead, .within_count = 1, .retain_ms = 1000);
    HEAR(w, "B", "lead token=2 attempt=1");
    world_finish(w, "B", "OK v");
    world_skip(w, "B");
    JOIN(w, "C", .within = &lead, .within_count = 1);
    HEAR(w, "C", "result OK \"v\" callers=1 attempt=1 token=2 shared retained age=0 retain=1000");
    world_close(w);
}

static void what_it_is_inside_of_must_be_a_lead_that_can_be(void **state)
{
    (void)state;
    struct world *w = world_open();
    const struct sfl_lead_ref leads[] = {lead_of("k", 1), lead_of("", 1)};
    JOIN(w, "A", .within = leads, .within_count = 2);
    HEAR(w, "A", "INVALID_ARGUMENT: within: element 1 has a key or group that is none");
    world_close(w);
}

// --- detach ---

static void a_detached_lead_outlives_its_callers_deadline(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .detach = true, .deadline_ms = 100);
    JOIN(w, "B", .detach = true, .deadline_ms = 300);
    JOIN(w, "C", .detach = true, .deadline_ms = 50);
    HEAR(w, "C", "follow attempt=1 leader=A running=0");
    world_pass(w, 200);
    HEAR(w, "A", "lead token=1 attempt=1");
    SILENCE(w, "A");
    HEAR(w, "C", "DEADLINE_EXCEEDED: the caller's deadline passed"); // it followed
    world_leave(w, "A");
    HEAR(w, "A", "CANCELLED: the stream broke");
    HEAR(w, "B", "follow attempt=1 leader=A running=0");
    HEAR(w, "B", "lead token=2 attempt=2"); // promoted
    world_pass(w, 200);
    SILENCE(w, "B");
    world_finish(w, "B", "OK");
    HEAR(w, "B", "result OK \"\" callers=1 attempt=2 token=2 led");
    world_close(w);
}

static void a_detached_resume_does_too(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .lease_ms = 9000);
    world_leave(w, "A");
    world_skip(w, "A");
    JOIN(w, "A2", .resume_token = 1, .detach = true, .deadline_ms = 100);
    HEAR(w, "A2", "lead token=1 attempt=1 lease=9000");
    world_pass(w, 200);
    SILENCE(w, "A2");
    world_close(w);
}

// --- reasons ---

static void a_resume_of_a_lost_lead_hears_why_while_the_flight_runs_later_only_fenced(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .run_limit_ms = 3000);
    JOIN(w, "B");
    JOIN(w, "C");
    world_pass_on(w, "A", "ERROR no");
    world_pass(w, 3000);
    world_skip(w, "A");
    world_skip(w, "B");
    world_skip(w, "C"); // it leads with token 3
    JOIN(w, "X", .resume_token = 1);
    HEAR(w, "X", "ABORTED: fenced: token 1, now 3 (it passed on)");
    JOIN(w, "X", .resume_token = 2);
    HEAR(w, "X", "ABORTED: fenced: token 2, now 3 (its run limit of 3 s ran out)");
    JOIN(w, "X", .resume_token = 77);
    HEAR(w, "X", "ABORTED: fenced: token 77, now 0");
    world_finish(w, "C", "OK");
    world_skip(w, "C");
    JOIN(w, "X", .resume_token = 2);
    HEAR(w, "X", "ABORTED: fenced: token 2, now 0");
    world_close(w);
}

static void of_many_losses_the_latest_are_remembered(void **state)
{
    (void)state;
    struct world *w = world_open();
    char name[16];
    for (int i = 1; i <= 12; i++) {
        snprintf(name, sizeof(name), "C%d", i);
        JOIN(w, name);
    }
    for (int i = 1; i <= 11; i++) {
        snprintf(name, sizeof(name), "C%d", i);
        world_leave(w, name);
        world_skip(w, name);
    }
    world_skip(w, "C12");
    JOIN(w, "X", .resume_token = 3);
    HEAR(w, "X", "ABORTED: fenced: token 3, now 12");
    JOIN(w, "X", .resume_token = 4);
    HEAR(w, "X", "ABORTED: fenced: token 4, now 12 (its stream ended)");
    JOIN(w, "X", .resume_token = 11);
    HEAR(w, "X", "ABORTED: fenced: token 11, now 12 (its stream ended)");
    world_close(w);
}

static void without_memory_for_the_reason_it_is_only_fenced(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A");
    JOIN(w, "B");
    memory_fail(world_memory(w), 1, 1);
    world_leave(w, "A");
    memory_fail_never(world_memory(w));
    world_skip(w, "A");
    HEAR(w, "B", "follow attempt=1 leader=A running=0");
    HEAR(w, "B", "lead token=2 attempt=2");
    JOIN(w, "X", .resume_token = 1);
    HEAR(w, "X", "ABORTED: fenced: token 1, now 2");
    world_close(w);
}

static void a_token_of_before_the_restart_hears_so(void **state)
{
    (void)state;
    struct world *w = world_open_from(1000);
    JOIN(w, "X", .resume_token = 999);
    HEAR(w, "X", "ABORTED: fenced: token 999, now 0 (a token of before the restart)");
    JOIN(w, "A");
    HEAR(w, "A", "lead token=1001 attempt=1");
    JOIN(w, "X", .resume_token = 999);
    HEAR(w, "X", "ABORTED: fenced: token 999, now 1001 (a token of before the restart)");
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(end_fences_the_leader_and_its_followers_get_the_same_text),
        cmocka_unit_test(end_drops_what_is_retained_and_finds_orphaned_and_overdue_flights),
        cmocka_unit_test(the_next_flight_begins_then_forgotten),
        cmocka_unit_test(flights_forgotten_before_go_on),
        cmocka_unit_test(with_a_token_it_is_that_flight_or_none),
        cmocka_unit_test(with_a_token_one_that_was_forgotten_ends),
        cmocka_unit_test(if_unshared_comes_first),
        cmocka_unit_test(a_flight_that_nobody_leads_yet_ends_too),
        cmocka_unit_test(with_hold_an_ended_flight_is_not_held),
        cmocka_unit_test(a_call_inside_the_lead_that_it_would_wait_for_is_refused),
        cmocka_unit_test(
            it_is_asked_after_the_fingerprint_and_before_an_overdue_lead_is_taken_over),
        cmocka_unit_test(a_forgotten_flight_is_not_waited_for_nor_what_is_retained),
        cmocka_unit_test(what_it_is_inside_of_must_be_a_lead_that_can_be),
        cmocka_unit_test(a_detached_lead_outlives_its_callers_deadline),
        cmocka_unit_test(a_detached_resume_does_too),
        cmocka_unit_test(a_resume_of_a_lost_lead_hears_why_while_the_flight_runs_later_only_fenced),
        cmocka_unit_test(of_many_losses_the_latest_are_remembered),
        cmocka_unit_test(without_memory_for_the_reason_it_is_only_fenced),
        cmocka_unit_test(a_token_of_before_the_restart_hears_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
