// SPDX-License-Identifier: Apache-2.0
// Draining, and the end of it.
#include "support/world.h"

#include <stdio.h>

static void the_server_drains_new_joins_are_unavailable_and_running_flights_may_end(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A");
    JOIN(w, "B");
    world_skip(w, "A");
    world_skip(w, "B");
    world_drain(w);
    JOIN(w, "C");
    HEAR(w, "C", "UNAVAILABLE: the server is draining; try another replica or again");
    JOIN(w, "D", .role = SFL_ROLE_FOLLOW_ONLY);
    HEAR(w, "D", "UNAVAILABLE: the server is draining; try another replica or again");
    JOIN_KEY(w, "E", "other");
    HEAR(w, "E", "UNAVAILABLE: the server is draining; try another replica or again");
    world_leave(w, "A"); // promotions go on
    world_skip(w, "A");
    HEAR(w, "B", "lead token=2 attempt=2");
    world_finish(w, "B", "OK v");
    HEAR(w, "B", "result OK \"\" callers=1 attempt=2 token=2 led");
    world_close(w);
}

static void while_draining_resumes_retained_outcomes_and_forget_are_served(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .retain_ms = 1000);
    world_finish(w, "A", "OK v");
    JOIN_KEY(w, "L", "leased", .lease_ms = 1000);
    world_leave(w, "L");
    world_skip(w, "A");
    world_skip(w, "L");
    world_drain(w);
    JOIN(w, "B");
    HEAR(w, "B", "result OK \"v\" callers=1 attempt=1 token=1 shared retained age=0 retain=1000");
    JOIN_KEY(w, "L2", "leased", .resume_token = 2);
    HEAR(w, "L2", "lead token=2 attempt=1 lease=1000");
    assert_string_equal(world_forget(w, "k"), "retained");
    world_close(w);
}

static void when_the_drain_time_is_over_what_is_left_ends_with_unavailable(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A");
    JOIN(w, "B");
    JOIN_KEY(w, "C", "other");
    JOIN_KEY(w, "L", "leased", .lease_ms = 1000);
    world_leave(w, "L");
    JOIN_KEY(w, "F", "forgotten");
    JOIN_KEY(w, "F2", "forgotten");
    world_forget(w, "forgotten");
    const char *const all[] = {"A", "B", "C", "L", "F", "F2"};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        world_skip(w, all[i]);
    world_drain(w);
    world_shut(w);
    HEAR(w, "A", "UNAVAILABLE: the server's drain time is over; try again");
    HEAR(w, "B", "UNAVAILABLE: the server's drain time is over; try again");
    HEAR(w, "C", "UNAVAILABLE: the server's drain time is over; try again");
    HEAR(w, "F", "UNAVAILABLE: the server's drain time is over; try again");
    HEAR(w, "F2", "UNAVAILABLE: the server's drain time is over; try again");
    assert_int_equal(sfl_budget_used(&world_usage(w)->flights), 0);
    assert_int_equal(sfl_budget_used(&world_usage(w)->callers), 0);
    world_close(w);
}

static void a_home_that_is_found_after_the_end_finds_nobody(void **state)
{
    (void)state;
    struct world *w = world_open();
    world_homes_late(w, true);
    JOIN(w, "A");
    world_shut(w);
    HEAR(w, "A", "UNAVAILABLE: the server's drain time is over; try again");
    assert_int_equal(world_homes_open(w), 1);
    world_home(w, true);
    SILENCE(w, "A");
    world_close(w);
}

enum { RETAINED_AT_ONCE = 5000 };

// As a data file brings them.
static void retain_many(struct world *w, const char *prefix)
{
    for (unsigned i = 0; i < RETAINED_AT_ONCE; i++) {
        char key[16];
        struct sfl_outcome *outcome = NULL;
        snprintf(key, sizeof(key), "%s%u", prefix, i);
        struct sfl_join join = {.group = sfl_span_of_text("g"), .key = sfl_span_of_text(key)};
        assert_int_equal(sfl_outcome_create(&world_memory(w)->allocator, &world_table(w)->held,
                                            world_limits(w), NULL, NULL, &outcome),
                         SFL_REASON_NONE);
        assert_true(
            sfl_table_restore(world_table(w), &join, world_hash("g", key), outcome, 1, 0, 1000, 0));
    }
}

static void flights_end_among_however_many_retained_outcomes(void **state)
{
    (void)state;
    struct world *w = world_open();
    retain_many(w, "before");
    JOIN(w, "A");
    retain_many(w, "after");
    JOIN_KEY(w, "B", "other");
    world_skip(w, "A");
    world_skip(w, "B");
    world_shut(w);
    HEAR(w, "A", "UNAVAILABLE: the server's drain time is over; try again");
    HEAR(w, "B", "UNAVAILABLE: the server's drain time is over; try again");
    assert_int_equal(sfl_budget_used(&world_usage(w)->flights), 0);
    assert_int_equal(sfl_budget_used(&world_usage(w)->retained), 2 * RETAINED_AT_ONCE);
    world_close(w);
}

static void retained_outcomes_outlive_the_drain(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .retain_ms = 1000);
    world_finish(w, "A", "OK v");
    world_skip(w, "A");
    world_shut(w);
    JOIN(w, "B");
    HEAR(w, "B", "result OK \"v\" callers=1 attempt=1 token=1 shared retained age=0 retain=1000");
    world_close(w);
}

static unsigned count_dead(struct world *w)
{
    unsigned dead = 0;
    const struct sfl_list *list = &world_table(w)->dead;
    for (const struct sfl_link *link = sfl_list_first(list); link != NULL;
         link = sfl_list_next(list, link))
        dead++;
    return dead;
}

// Crowds that have ended are taken out without any step between: one step must not free them all.
static void the_dead_are_freed_in_steps(void **state)
{
    (void)state;
    enum { FLIGHTS = 30, AT_ONCE = 16 };
    struct world *w = world_open();
    char name[8];
    char key[8];
    world_settled_late(w, true);
    for (unsigned i = 0; i < FLIGHTS; i++) {
        snprintf(key, sizeof(key), "k%u", i);
        snprintf(name, sizeof(name), "L%u", i);
        world_join(w, name, key, &(struct sfl_join){0});
        snprintf(name, sizeof(name), "F%u", i);
        world_join(w, name, key, &(struct sfl_join){0});
        snprintf(name, sizeof(name), "L%u", i);
        world_finish(w, name, "OK");
    }
    world_settled_late(w, false);
    assert_int_equal(count_dead(w), FLIGHTS);
    world_pass(w, 1);
    assert_int_equal(count_dead(w), FLIGHTS - AT_ONCE);
    world_pass(w, 1);
    assert_int_equal(count_dead(w), 0);
    for (unsigned i = 0; i < FLIGHTS; i++) {
        snprintf(name, sizeof(name), "L%u", i);
        world_skip(w, name);
        snprintf(name, sizeof(name), "F%u", i);
        world_skip(w, name);
    }
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_dead_are_freed_in_steps),
        cmocka_unit_test(the_server_drains_new_joins_are_unavailable_and_running_flights_may_end),
        cmocka_unit_test(while_draining_resumes_retained_outcomes_and_forget_are_served),
        cmocka_unit_test(when_the_drain_time_is_over_what_is_left_ends_with_unavailable),
        cmocka_unit_test(a_home_that_is_found_after_the_end_finds_nobody),
        cmocka_unit_test(flights_end_among_however_many_retained_outcomes),
        cmocka_unit_test(retained_outcomes_outlive_the_drain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
