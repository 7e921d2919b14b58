// SPDX-License-Identifier: Apache-2.0
// A lease runs out when somebody wants the key; until then its leader is overdue.
#include "support/world.h"

#include <stdio.h>

// A leads with a lease of a second, which is over, and nobody wants the key.
static struct world *open_overdue(const struct sfl_join *join)
{
    struct world *w = world_open();
    struct sfl_join leased = *join;
    leased.lease_ms = 1000;
    world_join(w, "A", "k", &leased);
    world_skip(w, "A");
    world_pass(w, 5000);
    SILENCE(w, "A");
    return w;
}
#define OVERDUE(...) open_overdue(&(const struct sfl_join){__VA_ARGS__})

#define LOST_LEASE " (its lease of 1 s ran out)"

static void a_leader_that_nobody_waits_for_is_overdue_and_not_lost(void **state)
{
    (void)state;
    struct world *w = OVERDUE(.retain_ms = 1);
    assert_string_equal(world_list(w, "k"),
                        "LED attempt=1 token=1 leader=A callers=1 running=5000 value=0 overdue");
    assert_int_equal(world_stats(w).leaders_lost, 0);
    world_chunk(w, "A", 0, "v");
    world_finish(w, "A", "OK");
    HEAR(w, "A", "result OK \"\" callers=1 attempt=1 token=1 led retain=1");
    world_close(w);
}

static void a_renewal_restores_the_lease(void **state)
{
    (void)state;
    struct world *w = OVERDUE(0);
    world_renew_id(w, "A", 1);
    HEAR(w, "A", "renewed 1");
    assert_string_equal(
        world_list(w, "k"),
        "LED attempt=1 token=1 leader=A callers=1 running=5000 value=0 expires=1000");
    JOIN(w, "B");
    HEAR(w, "B", "follow attempt=1 leader=A running=5000");
    world_pass(w, 1000); // now somebody waits when it ends
    HEAR(w, "A", "ABORTED: fenced: token 1, now 2" LOST_LEASE);
    HEAR(w, "B", "lead token=2 attempt=2 lease=1000");
    world_close(w);
}

static void a_resume_restores_the_lease_of_an_orphaned_flight(void **state)
{
    (void)state;
    struct world *w = OVERDUE(0);
    world_leave(w, "A");
    HEAR(w, "A", "CANCELLED: the stream broke");
    assert_string_equal(
        world_list(w, "k"),
        "ORPHANED attempt=1 token=1 leader=A callers=0 running=5000 value=0 overdue");
    JOIN(w, "A2", .resume_token = 1);
    HEAR(w, "A2", "lead token=1 attempt=1 lease=1000");
    assert_string_equal(
        world_list(w, "k"),
        "LED attempt=1 token=1 leader=A2 callers=1 running=5000 value=0 expires=1000");
    world_close(w);
}

static void the_next_caller_that_may_lead_takes_it_over(void **state)
{
    (void)state;
    const struct sfl_join newcomers[] = {
        {.role = SFL_ROLE_ANY},
        {.role = SFL_ROLE_LEAD_ONLY},
        {.fresh = true},
        {.fresh = true, .role = SFL_ROLE_LEAD_ONLY},
    };
    for (size_t i = 0; i < sizeof(newcomers) / sizeof(newcomers[0]); i++) {
        struct world *w = OVERDUE(0);
        world_join(w, "B", "k", &newcomers[i]);
        HEAR(w, "A", "ABORTED: fenced: token 1, now 2" LOST_LEASE);
        HEAR(w, "B", "lead token=2 attempt=2 lease=1000"); // and no `follow` before
        assert_int_equal(world_stats(w).leaders_lost, 1);
        assert_int_equal(world_stats(w).calls, 2);
        world_close(w);
    }
}

static void an_orphaned_flight_is_taken_over_when_its_lease_is_over(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .lease_ms = 1000);
    world_leave(w, "A");
    world_skip(w, "A");
    JOIN(w, "B", .role = SFL_ROLE_LEAD_ONLY);
    HEAR(w, "B", "ABORTED: caller \"A\" leads since 0 ms"); // until then it counts as led
    world_pass(w, 1000);
    JOIN(w, "B", .role = SFL_ROLE_LEAD_ONLY);
    HEAR(w, "B", "lead token=2 attempt=2 lease=1000");
    JOIN(w, "A2", .resume_token = 1);
    HEAR(w, "A2", "ABORTED: fenced: token 1, now 2" LOST_LEASE);
    world_close(w);
}

static void whoever_only_follows_neither_ends_it_nor_takes_it_over(void **state)
{
    (void)state;
    struct world *w = OVERDUE(0);
    JOIN(w, "F", .role = SFL_ROLE_FOLLOW_ONLY);
    HEAR(w, "F", "follow attempt=1 leader=A running=5000");
    world_pass(w, 5000);
    SILENCE(w, "A");
    world_finish(w, "A", "OK v");
    HEAR(w, "A", "result OK \"\" callers=2 attempt=1 token=1 shared led");
    HEAR(w, "F", "result OK \"v\" callers=2 attempt=1 token=1 shared");
    world_close(w);
}

static void whoever_waits_when_the_lease_ends_makes_the_leader_lost_whatever_its_role(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .lease_ms = 1000);
    JOIN(w, "F", .role = SFL_ROLE_FOLLOW_ONLY);
    world_skip(w, "A");
    world_skip(w, "F");
    world_pass(w, 1000);
    HEAR(w, "A", "ABORTED: fenced: token 1, now 0" LOST_LEASE);
    HEAR(w, "F",
         "ABORTED: the leader was lost (its lease of 1 s ran out), and no caller that waits may "
         "lead");
    world_close(w);
}

static void one_that_only_follows_waits_on_when_another_takes_over(void **state)
{
    (void)state;
    struct world *w = OVERDUE(0);
    world_chunk(w, "A", 0, "old");
    JOIN(w, "F", .role = SFL_ROLE_FOLLOW_ONLY, .live = true);
    HEAR(w, "F", "follow attempt=1 leader=A running=5000");
    HEAR(w, "F", "chunk \"old\"");
    JOIN(w, "B");
    HEAR(w, "A", "ABORTED: fenced: token 1, now 2" LOST_LEASE);
    HEAR(w, "B", "lead token=2 attempt=2 lease=1000");
    HEAR(w, "F", "restart attempt=2 leader=B");
    world_finish(w, "B", "OK new");
    HEAR(w, "B", "result OK \"\" callers=2 attempt=2 token=2 shared led");
    HEAR(w, "F", "result OK \"new\" callers=2 attempt=2 token=2 shared");
    world_close(w);
}

static void the_fingerprint_is_compared_before_it_is_taken_over(void **state)
{
    (void)state;
    struct world *w = OVERDUE(.fingerprint = {(const uint8_t *)"p", 1});
    JOIN(w, "B", .fingerprint = {(const uint8_t *)"q", 1});
    HEAR(w, "B",
         "FAILED_PRECONDITION: fingerprint: differs from that of the flight of the same key");
    SILENCE(w, "A");
    world_close(w);
}

static void where_it_may_not_be_handed_on_it_ends_and_the_newcomer_begins_another(void **state)
{
    (void)state;
    const struct sfl_join openers[] = {
        {.on_leader_loss = SFL_LEADER_LOSS_FAIL},
        {.max_attempts = 1},
    };
    const char *const followers_hear[] = {
        "ABORTED: the leader was lost (its lease of 1 s ran out), and on_leader_loss is FAIL",
        "ABORTED: the leader was lost (its lease of 1 s ran out), and all 1 attempts are used up",
    };
    for (size_t i = 0; i < 2; i++) {
        struct world *w = open_overdue(&openers[i]);
        JOIN(w, "F", .role = SFL_ROLE_FOLLOW_ONLY);
        HEAR(w, "F", "follow attempt=1 leader=A running=5000");
        JOIN(w, "B", .role = SFL_ROLE_LEAD_ONLY);
        HEAR(w, "A", "ABORTED: fenced: token 1, now 0" LOST_LEASE);
        HEAR(w, "F", followers_hear[i]);
        HEAR(w, "B", "lead token=2 attempt=1");
        world_close(w);
    }
}

static void a_kept_error_of_it_is_served_to_the_newcomer(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .lease_ms = 1000, .max_attempts = 2, .retain_error_ms = 60000);
    JOIN(w, "B");
    world_pass_on(w, "A", "ERROR no");
    world_skip(w, "A");
    HEAR(w, "B", "follow attempt=1 leader=A running=0");
    HEAR(w, "B", "lead token=2 attempt=2 lease=1000");
    world_pass(w, 1000); // overdue
    JOIN(w, "C");
    HEAR(w, "B", "ABORTED: fenced: token 2, now 0" LOST_LEASE);
    HEAR(w, "C",
         "result ERROR \"no\" callers=1 attempt=1 token=1 shared retained age=0 retain=60000");
    world_close(w);
}

static void a_forgotten_flight_with_no_follower_is_lost_when_its_lease_runs_out(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .lease_ms = 1000);
    HEAR(w, "A", "lead token=1 attempt=1 lease=1000");
    assert_string_equal(world_forget(w, "k"), "flight");
    world_pass(w, 1000);
    HEAR(w, "A", "ABORTED: fenced: token 1, now 0" LOST_LEASE);
    world_close(w);
}

static void an_overdue_flight_that_is_forgotten_is_lost_at_once(void **state)
{
    (void)state;
    struct world *w = OVERDUE(0);
    assert_string_equal(world_forget(w, "k"), "flight");
    HEAR(w, "A", "ABORTED: fenced: token 1, now 0" LOST_LEASE);
    world_close(w);
}

static void run_limit_ends_it_for_good(void **state)
{
    (void)state;
    struct world *w = OVERDUE(.run_limit_ms = 6000);
    world_pass(w, 999);
    SILENCE(w, "A");
    world_pass(w, 1);
    HEAR(w, "A", "ABORTED: fenced: token 1, now 0 (its run limit of 6 s ran out)");
    world_close(w);
}

static void for_want_of_flights_the_longest_overdue_gives_its_room(void **state)
{
    (void)state;
    struct world *w = world_open();
    world_limits(w)->flights_max = 3;
    JOIN_KEY(w, "A", "a", .lease_ms = 2000);
    JOIN_KEY(w, "B", "b", .lease_ms = 1000);
    JOIN_KEY(w, "C", "c", .lease_ms = 60000);
    world_skip(w, "A");
    world_skip(w, "B");
    world_skip(w, "C");
    JOIN_KEY(w, "D", "d");
    HEAR(w, "D", "RESOURCE_EXHAUSTED: flights: the limit of 3 is reached"); // nobody is overdue
    world_pass(w, 2000);
    JOIN_KEY(w, "D", "d");
    HEAR(w, "B", "ABORTED: fenced: token 2, now 0 (its room was needed)");
    HEAR(w, "D", "lead token=4 attempt=1");
    JOIN_KEY(w, "E", "e");
    HEAR(w, "A", "ABORTED: fenced: token 1, now 0 (its room was needed)");
    HEAR(w, "E", "lead token=5 attempt=1");
    JOIN_KEY(w, "F", "f");
    HEAR(w, "F", "RESOURCE_EXHAUSTED: flights: the limit of 3 is reached");
    SILENCE(w, "C");
    world_close(w);
}

static void for_want_of_bytes_the_longest_overdue_that_holds_some_gives_its_room(void **state)
{
    (void)state;
    struct world *w = world_open();
    world_limits(w)->held_bytes_max = 10;
    JOIN_KEY(w, "A", "a", .lease_ms = 1000);
    JOIN_KEY(w, "B", "b", .lease_ms = 2000);
    world_chunk(w, "B", 0, "012345");
    JOIN_KEY(w, "F", "b", .role = SFL_ROLE_FOLLOW_ONLY, .deadline_ms = 500);
    world_pass(w, 2000);
    world_skip(w, "A");
    world_skip(w, "B");
    world_skip(w, "F");
    JOIN_KEY(w, "F2", "b", .role = SFL_ROLE_FOLLOW_ONLY);
    HEAR(w, "F2", "follow attempt=1 leader=B running=2000");
    JOIN_KEY(w, "C", "c");
    world_chunk(w, "C", 0, "01234567");
    HEAR(w, "C", "lead token=3 attempt=1");
    HEAR(w, "B", "ABORTED: fenced: token 2, now 0 (its room was needed)");
    HEAR(w, "F2", "ABORTED: the leader was lost: its room was needed");
    SILENCE(w, "A");
    world_finish(w, "C", "OK 89");
    HEAR(w, "C", "result OK \"\" callers=1 attempt=1 token=3 led");
    world_close(w);
}

static void those_without_bytes_are_no_hindrance_however_many_are_overdue_longer(void **state)
{
    (void)state;
    enum { EMPTY = 100 };
    struct world *w = world_open();
    world_limits(w)->held_bytes_max = 10;
    for (unsigned i = 0; i < EMPTY; i++) {
        char name[8];
        char key[8];
        (void)snprintf(name, sizeof(name), "E%u", i % 10);
        (void)snprintf(key, sizeof(key), "e%u", i);
        JOIN_KEY(w, name, key, .lease_ms = 1000);
        world_leave(w, name);
        world_skip(w, name);
    }
    JOIN_KEY(w, "B", "b", .lease_ms = 2000);
    world_chunk(w, "B", 0, "0123456789");
    world_skip(w, "B");
    world_pass(w, 2000);
    JOIN_KEY(w, "C", "c");
    world_chunk(w, "C", 0, "01234567");
    HEAR(w, "C", "lead token=102 attempt=1");
    HEAR(w, "B", "ABORTED: fenced: token 101, now 0 (its room was needed)");
    assert_int_equal(world_stats(w).leaders_lost, 1);
    world_close(w);
}

static void bytes_that_came_late_are_given_by_the_longest_overdue_too(void **state)
{
    (void)state;
    struct world *w = world_open();
    world_limits(w)->held_bytes_max = 10;
    JOIN_KEY(w, "A", "a", .lease_ms = 1000);
    JOIN_KEY(w, "B", "b", .lease_ms = 2000);
    world_chunk(w, "B", 0, "01234");
    world_pass(w, 2000);
    world_chunk(w, "A", 0, "56");
    world_chunk(w, "A", 1, "789");
    world_skip(w, "A");
    world_skip(w, "B");
    JOIN_KEY(w, "C", "c");
    world_chunk(w, "C", 0, "0");
    HEAR(w, "C", "lead token=3 attempt=1");
    HEAR(w, "A", "ABORTED: fenced: token 1, now 0 (its room was needed)");
    SILENCE(w, "B");
    world_close(w);
}

static void one_event_gets_the_room_of_as_many_as_it_takes(void **state)
{
    (void)state;
    enum { HOLDERS = 20 };
    struct world *w = world_open();
    world_limits(w)->held_bytes_max = HOLDERS;
    for (unsigned i = 0; i < HOLDERS; i++) {
        char name[8];
        (void)snprintf(name, sizeof(name), "h%u", i);
        JOIN_KEY(w, name, name, .lease_ms = 1000);
        world_chunk(w, name, 0, "x");
        world_leave(w, name);
        world_skip(w, name);
    }
    world_pass(w, 1000);
    JOIN_KEY(w, "C", "c");
    world_chunk(w, "C", 0, "01234567890123456789");
    HEAR(w, "C", "lead token=21 attempt=1");
    world_finish(w, "C", "OK");
    HEAR(w, "C", "result OK \"\" callers=1 attempt=1 token=21 led");
    world_close(w);
}

static void one_that_gives_its_room_leaves_an_error_that_was_passed_on(void **state)
{
    (void)state;
    struct world *w = world_open();
    world_limits(w)->flights_max = 1;
    JOIN(w, "A", .lease_ms = 1000);
    JOIN(w, "B");
    world_pass_on(w, "A", "ERROR no");
    world_skip(w, "A");
    world_skip(w, "B");
    world_pass(w, 2000);
    JOIN(w, "F", .role = SFL_ROLE_FOLLOW_ONLY);
    world_skip(w, "F");
    JOIN_KEY(w, "X", "other");
    HEAR(w, "X", "lead token=3 attempt=1");
    HEAR(w, "B", "ABORTED: fenced: token 2, now 0 (its room was needed)");
    HEAR(w, "F", "result ERROR \"no\" callers=2 attempt=1 token=1 shared");
    world_close(w);
}

// A result without room is the outcome, also for a leader that is overdue itself.
static void an_overdue_leader_does_not_give_its_room_to_itself(void **state)
{
    (void)state;
    struct world *w = world_open();
    world_limits(w)->held_bytes_max = 10;
    JOIN(w, "A", .lease_ms = 1000);
    world_chunk(w, "A", 0, "012345");
    world_skip(w, "A");
    world_pass(w, 2000);
    world_finish(w, "A", "OK 0123456789");
    HEAR(w, "A",
         "result ERROR \"\" callers=1 attempt=1 token=1 led texts=\"8 singleflight.LimitExceeded: "
         "bytes held for results: the limit of 10 is reached\"");
    world_close(w);
}

static void texts_get_room_too(void **state)
{
    (void)state;
    struct world *w = world_open();
    world_limits(w)->held_bytes_max = 12;
    JOIN_KEY(w, "A", "a", .lease_ms = 1000);
    world_chunk(w, "A", 0, "012345");
    world_skip(w, "A");
    world_pass(w, 2000);
    JOIN_KEY(w, "B", "b");
    world_skip(w, "B");
    struct sfl_bytes *texts = sfl_bytes_copy(&sfl_heap, sfl_span_of_text("message"));
    const struct sfl_finish finish = {
        .kind = SFL_OUTCOME_ERROR, .value = sfl_span_of_text("01234"), .texts = texts};
    world_finish_with(w, "B", &finish);
    sfl_bytes_unref(texts);
    HEAR(w, "A", "ABORTED: fenced: token 1, now 0 (its room was needed)");
    HEAR(w, "B", "result ERROR \"\" callers=1 attempt=1 token=2 led texts=\"message\"");
    world_close(w);
}

static void a_drain_ends_it_at_once(void **state)
{
    (void)state;
    struct world *w = OVERDUE(0);
    JOIN_KEY(w, "B", "b", .lease_ms = 1000);
    JOIN_KEY(w, "C", "c", .lease_ms = 9000);
    world_leave(w, "B"); // orphaned
    world_skip(w, "B");
    world_skip(w, "C");
    world_pass(w, 1000);
    world_drain(w);
    HEAR(w, "A", "UNAVAILABLE: the server is draining; try another replica or again");
    assert_string_equal(world_list(w, "b"), "");
    SILENCE(w, "C");
    world_pass(w, 8000); // and one that becomes it meanwhile
    HEAR(w, "C", "UNAVAILABLE: the server is draining; try another replica or again");
    world_close(w);
}

static void without_room_for_the_newcomer_the_overdue_leader_leads_on(void **state)
{
    (void)state;
    struct world *w = world_open();
    world_limits(w)->callers_max = 1;
    JOIN(w, "A", .lease_ms = 1000);
    HEAR(w, "A", "lead token=1 attempt=1 lease=1000");
    world_pass(w, 1000);
    JOIN(w, "B");
    HEAR(w, "B", "RESOURCE_EXHAUSTED: callers: the limit of 1 is reached");
    world_renew_id(w, "A", 2);
    HEAR(w, "A", "renewed 2");
    world_close(w);
}

static void a_newcomer_that_half_closes_before_the_next_token_is_known_hears_who_leads(void **state)
{
    (void)state;
    struct world *w = OVERDUE(0);
    JOIN(w, "F", .role = SFL_ROLE_FOLLOW_ONLY);
    world_skip(w, "F");
    world_homes_late(w, true);
    JOIN(w, "B", .live = true);
    JOIN(w, "C");
    HEAR(w, "C", "follow attempt=2 leader= running=0");
    world_half_close(w, "B");
    world_home(w, true);
    HEAR(w, "A", "ABORTED: fenced: token 1, now 2" LOST_LEASE);
    HEAR(w, "C", "lead token=2 attempt=2 lease=1000");
    HEAR(w, "B", "follow attempt=2 leader=C running=0");
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_leader_that_nobody_waits_for_is_overdue_and_not_lost),
        cmocka_unit_test(a_renewal_restores_the_lease),
        cmocka_unit_test(a_resume_restores_the_lease_of_an_orphaned_flight),
        cmocka_unit_test(the_next_caller_that_may_lead_takes_it_over),
        cmocka_unit_test(an_orphaned_flight_is_taken_over_when_its_lease_is_over),
        cmocka_unit_test(whoever_only_follows_neither_ends_it_nor_takes_it_over),
        cmocka_unit_test(whoever_waits_when_the_lease_ends_makes_the_leader_lost_whatever_its_role),
        cmocka_unit_test(one_that_only_follows_waits_on_when_another_takes_over),
        cmocka_unit_test(the_fingerprint_is_compared_before_it_is_taken_over),
        cmocka_unit_test(where_it_may_not_be_handed_on_it_ends_and_the_newcomer_begins_another),
        cmocka_unit_test(a_kept_error_of_it_is_served_to_the_newcomer),
        cmocka_unit_test(a_forgotten_flight_with_no_follower_is_lost_when_its_lease_runs_out),
        cmocka_unit_test(an_overdue_flight_that_is_forgotten_is_lost_at_once),
        cmocka_unit_test(run_limit_ends_it_for_good),
        cmocka_unit_test(for_want_of_flights_the_longest_overdue_gives_its_room),
        cmocka_unit_test(for_want_of_bytes_the_longest_overdue_that_holds_some_gives_its_room),
        cmocka_unit_test(those_without_bytes_are_no_hindrance_however_many_are_overdue_longer),
        cmocka_unit_test(bytes_that_came_late_are_given_by_the_longest_overdue_too),
        cmocka_unit_test(one_event_gets_the_room_of_as_many_as_it_takes),
        cmocka_unit_test(one_that_gives_its_room_leaves_an_error_that_was_passed_on),
        cmocka_unit_test(an_overdue_leader_does_not_give_its_room_to_itself),
        cmocka_unit_test(texts_get_room_too),
        cmocka_unit_test(a_drain_ends_it_at_once),
        cmocka_unit_test(without_room_for_the_newcomer_the_overdue_leader_leads_on),
        cmocka_unit_test(
            a_newcomer_that_half_closes_before_the_next_token_is_known_hears_who_leads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
