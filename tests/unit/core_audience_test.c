// SPDX-License-Identifier: Apache-2.0
// What a leader learns of those that wait.
#include "support/world.h"

#include <stdio.h>

enum { GATHERED_MS = 10 }; // changes within this time are told as one

static void the_last_follower_leaves_the_leader_learns_it_and_a_later_caller_joins(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .audience = true);
    HEAR(w, "A", "lead token=1 attempt=1");
    world_pass(w, 100);
    SILENCE(w, "A"); // nothing before somebody waited
    JOIN(w, "B");
    HEAR(w, "A", "audience 1 latest=0");
    world_pass(w, 100);
    world_leave(w, "B");
    HEAR(w, "A", "audience 0");
    world_pass(w, 100);
    JOIN(w, "C");
    HEAR(w, "C", "follow attempt=1 leader=A running=300");
    HEAR(w, "A", "audience 1 latest=0");
    world_skip(w, "B");
    world_close(w);
}

static void a_leader_that_did_not_ask_hears_nothing_of_it(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A");
    HEAR(w, "A", "lead token=1 attempt=1");
    JOIN(w, "B", .audience = true);
    world_skip(w, "B");
    world_pass(w, 1000);
    SILENCE(w, "A");
    world_close(w);
}

static void latest_deadline_is_of_the_follower_that_waits_longest(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .audience = true);
    HEAR(w, "A", "lead token=1 attempt=1");
    JOIN(w, "B", .deadline_ms = 500);
    HEAR(w, "A", "audience 1 latest=500");
    world_pass(w, 100);
    JOIN(w, "C", .deadline_ms = 2000);
    HEAR(w, "A", "audience 2 latest=2000");
    world_pass(w, 100);
    JOIN(w, "D", .deadline_ms = 50);
    HEAR(w, "A", "audience 3 latest=1900"); // from now
    world_pass(w, 50);
    HEAR(w, "A", "audience 2 latest=1850");
    JOIN(w, "E");
    world_pass(w, GATHERED_MS);
    HEAR(w, "A", "audience 3 latest=0"); // somebody waits without one
    world_pass(w, 1000);
    HEAR(w, "A", "audience 2 latest=0"); // B's deadline came
    world_skip(w, "B");
    world_skip(w, "C");
    world_skip(w, "D");
    world_skip(w, "E");
    world_close(w);
}

static void many_changes_in_a_row_are_told_as_one(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .audience = true);
    HEAR(w, "A", "lead token=1 attempt=1");
    JOIN(w, "B");
    HEAR(w, "A", "audience 1 latest=0");
    JOIN(w, "C");
    JOIN(w, "D");
    JOIN(w, "E");
    world_leave(w, "B");
    SILENCE(w, "A");
    world_pass(w, GATHERED_MS);
    HEAR(w, "A", "audience 3 latest=0");
    JOIN(w, "F");
    world_leave(w, "F");
    world_pass(w, GATHERED_MS);
    SILENCE(w, "A"); // it is as it was
    world_skip(w, "B");
    world_skip(w, "C");
    world_skip(w, "D");
    world_skip(w, "E");
    world_skip(w, "F");
    world_close(w);
}

static void a_promoted_leader_is_told_of_its_own_audience(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A");
    JOIN(w, "B", .audience = true);
    JOIN(w, "C");
    HEAR(w, "B", "follow attempt=1 leader=A running=0");
    world_leave(w, "A");
    HEAR(w, "B", "lead token=2 attempt=2");
    HEAR(w, "B", "audience 1 latest=0");
    world_skip(w, "A");
    world_skip(w, "C");
    world_close(w);
}

static void a_resumed_leader_is_told_of_its_audience_again(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .audience = true, .lease_ms = 1000);
    JOIN(w, "B");
    world_leave(w, "A");
    world_skip(w, "A");
    JOIN(w, "C"); // while it is orphaned
    JOIN(w, "A2", .audience = true, .resume_token = 1);
    HEAR(w, "A2", "lead token=1 attempt=1 lease=1000");
    HEAR(w, "A2", "audience 2 latest=0");
    JOIN(w, "A3", .resume_token = 1); // does not ask
    HEAR(w, "A3", "lead token=1 attempt=1 lease=1000");
    JOIN(w, "D");
    world_pass(w, 100);
    SILENCE(w, "A3");
    world_skip(w, "A2");
    world_skip(w, "B");
    world_skip(w, "C");
    world_skip(w, "D");
    world_close(w);
}

static void a_change_that_was_held_back_is_not_told_to_the_next_leader(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .audience = true);
    JOIN(w, "B");
    JOIN(w, "C");
    HEAR(w, "A", "lead token=1 attempt=1");
    HEAR(w, "A", "audience 1 latest=0");
    world_leave(w, "A"); // the second change was held back
    HEAR(w, "A", "CANCELLED: the stream broke");
    world_pass(w, 100);
    HEAR(w, "B", "follow attempt=1 leader=A running=0");
    HEAR(w, "B", "lead token=2 attempt=2");
    SILENCE(w, "B");
    world_skip(w, "C");
    world_close(w);
}

// More than are counted at once: the count goes on by itself, and starts anew when it has to.
static void a_large_audience_is_counted_in_steps(void **state)
{
    (void)state;
    enum { FOLLOWERS = 60 };
    struct world *w = world_open();
    char name[8];
    for (unsigned i = 0; i < FOLLOWERS; i++) {
        snprintf(name, sizeof(name), "F%u", i);
        JOIN(w, name, .deadline_ms = 10000 + 10 * i);
    }
    JOIN(w, "A", .audience = true);
    for (unsigned i = 1; i < FOLLOWERS; i++) {
        snprintf(name, sizeof(name), "F%u", i);
        world_skip(w, name);
    }
    HEAR(w, "F0", "lead token=1 attempt=1");
    HEAR(w, "A", "follow attempt=1 leader=F0 running=0");
    // Only A may lead then: all others are too young.
    for (unsigned i = 1; i < FOLLOWERS; i++) {
        snprintf(name, sizeof(name), "F%u", i);
        world_half_close(w, name);
    }
    world_leave(w, "F0");
    world_skip(w, "F0");
    HEAR(w, "A", "lead token=2 attempt=2");
    world_pass(w, 0);
    HEAR(w, "A", "audience 59 latest=10590");
    // The one with the latest deadline leaves, and then two more at once.
    world_pass(w, 100);
    world_leave(w, "F59");
    world_pass(w, 0);
    HEAR(w, "A", "audience 58 latest=10480");
    world_leave(w, "F58");
    world_leave(w, "F57");
    world_pass(w, GATHERED_MS);
    HEAR(w, "A", "audience 56 latest=10450");
    for (unsigned i = 1; i < FOLLOWERS; i++) {
        snprintf(name, sizeof(name), "F%u", i);
        world_skip(w, name);
    }
    world_pass(w, 5000);
    SILENCE(w, "A");
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_large_audience_is_counted_in_steps),
        cmocka_unit_test(the_last_follower_leaves_the_leader_learns_it_and_a_later_caller_joins),
        cmocka_unit_test(a_leader_that_did_not_ask_hears_nothing_of_it),
        cmocka_unit_test(latest_deadline_is_of_the_follower_that_waits_longest),
        cmocka_unit_test(many_changes_in_a_row_are_told_as_one),
        cmocka_unit_test(a_promoted_leader_is_told_of_its_own_audience),
        cmocka_unit_test(a_resumed_leader_is_told_of_its_audience_again),
        cmocka_unit_test(a_change_that_was_held_back_is_not_told_to_the_next_leader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
