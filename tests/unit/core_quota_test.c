// SPDX-License-Identifier: Apache-2.0
// What one group may use: it is refused beyond that, with words that say so, and no other group
// notices.
#include "support/world.h"

#include <stdio.h>

#define OTHER .group = sfl_span_of_text("other")

static struct world *open_with(struct sfl_quota_limits quota)
{
    // What a test leaves out is no limit.
    uint64_t *limits[] = {&quota.flights_max, &quota.callers_max, &quota.held_bytes_max,
                          &quota.retained_bytes_max, &quota.joins_per_second};
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        if (*limits[i] == 0)
            *limits[i] = SFL_QUOTA_NONE;
    }
    return world_open_with_quota(&quota);
}
#define WORLD(...) open_with((struct sfl_quota_limits){__VA_ARGS__})

static void a_group_over_its_flights_is_refused_and_no_other(void **state)
{
    (void)state;
    struct world *w = WORLD(.flights_max = 2);
    JOIN_KEY(w, "A", "1");
    JOIN_KEY(w, "B", "2");
    JOIN_KEY(w, "C", "3");
    HEAR(w, "C", "RESOURCE_EXHAUSTED: flights of this group: its quota of 2 is reached");
    HEAR(w, "A", "lead token=1 attempt=1");
    HEAR(w, "B", "lead token=2 attempt=1");
    assert_int_equal(world_stats(w).refused, 1);
    JOIN_KEY(w, "D", "3", OTHER);
    HEAR(w, "D", "lead token=3 attempt=1");
    JOIN_KEY(w, "E", "1"); // one that runs may be followed
    HEAR(w, "E", "follow attempt=1 leader=A running=0");
    world_finish(w, "B", "OK");
    HEAR(w, "B", "result OK \"\" callers=1 attempt=1 token=2 led");
    JOIN_KEY(w, "F", "3");
    HEAR(w, "F", "lead token=4 attempt=1");
    world_close(w);
}

static void a_group_over_its_callers_is_refused_and_no_other(void **state)
{
    (void)state;
    struct world *w = WORLD(.callers_max = 2);
    JOIN(w, "A");
    JOIN(w, "B");
    JOIN(w, "C");
    HEAR(w, "A", "lead token=1 attempt=1");
    HEAR(w, "B", "follow attempt=1 leader=A running=0");
    HEAR(w, "C", "RESOURCE_EXHAUSTED: callers of this group: its quota of 2 is reached");
    JOIN(w, "D", OTHER);
    HEAR(w, "D", "lead token=2 attempt=1");
    world_leave(w, "B");
    HEAR(w, "B", "CANCELLED: the stream broke");
    JOIN(w, "E");
    HEAR(w, "E", "follow attempt=1 leader=A running=0");
    world_close(w);
}

static void a_flight_that_cannot_be_joined_takes_nothing(void **state)
{
    (void)state;
    struct world *w = WORLD(.flights_max = 2, .callers_max = 1);
    JOIN_KEY(w, "A", "1");
    HEAR(w, "A", "lead token=1 attempt=1");
    for (int i = 0; i < 3; i++) {
        JOIN_KEY(w, "B", "2");
        HEAR(w, "B", "RESOURCE_EXHAUSTED: callers of this group: its quota of 1 is reached");
    }
    world_finish(w, "A", "OK");
    HEAR(w, "A", "result OK \"\" callers=1 attempt=1 token=1 led");
    JOIN_KEY(w, "B", "2");
    HEAR(w, "B", "lead token=2 attempt=1");
    world_close(w);
}

// In a world with this limit, "O" of another group has used it up; when O is gone, two flights of
// the group come in.
static void check_that_nothing_is_taken(struct world *w, const char *refusal)
{
    JOIN_KEY(w, "O", "0", OTHER);
    HEAR(w, "O", "lead token=1 attempt=1");
    for (int i = 0; i < 3; i++) {
        JOIN_KEY(w, "A", "1");
        HEAR(w, "A", refusal);
    }
    world_leave(w, "O");
    HEAR(w, "O", "CANCELLED: the stream broke");
    for (int i = 0; i < 3; i++) {
        char lead[32];
        snprintf(lead, sizeof(lead), "lead token=%d attempt=1", i + 2);
        JOIN_KEY(w, "A", "1");
        HEAR(w, "A", lead);
        world_leave(w, "A");
        HEAR(w, "A", "CANCELLED: the stream broke");
    }
    world_close(w);
}

static void what_a_limit_of_the_server_refuses_takes_nothing_of_the_quota(void **state)
{
    (void)state;
    struct world *w = WORLD(.flights_max = 1, .callers_max = 1);
    world_limits(w)->flights_max = 1;
    check_that_nothing_is_taken(w, "RESOURCE_EXHAUSTED: flights: the limit of 1 is reached");
    w = WORLD(.flights_max = 1, .callers_max = 1);
    world_limits(w)->callers_max = 1;
    check_that_nothing_is_taken(w, "RESOURCE_EXHAUSTED: callers: the limit of 1 is reached");
}

static void a_value_over_the_quota_is_an_outcome_that_says_so(void **state)
{
    (void)state;
    struct world *w = WORLD(.held_bytes_max = 10);
    JOIN_KEY(w, "A", "1");
    HEAR(w, "A", "lead token=1 attempt=1");
    world_chunk(w, "A", 0, "12345678");
    JOIN_KEY(w, "B", "2");
    HEAR(w, "B", "lead token=2 attempt=1");
    world_finish(w, "B", "OK 123");
    HEAR(w, "B",
         "result ERROR \"\" callers=1 attempt=1 token=2 led texts=\"8 singleflight.LimitExceeded: "
         "bytes held for results of this group: its quota of 10 is reached\"");
    JOIN_KEY(w, "C", "2", OTHER);
    HEAR(w, "C", "lead token=3 attempt=1");
    world_finish(w, "C", "OK 123");
    HEAR(w, "C", "result OK \"\" callers=1 attempt=1 token=3 led");
    world_finish(w, "A", "OK 90");
    HEAR(w, "A", "result OK \"\" callers=1 attempt=1 token=1 led");
    JOIN_KEY(w, "D", "2");
    HEAR(w, "D", "lead token=4 attempt=1");
    world_finish(w, "D", "OK 1234567890");
    HEAR(w, "D", "result OK \"\" callers=1 attempt=1 token=4 led");
    world_close(w);
}

static void bytes_count_until_the_last_reader_has_them(void **state)
{
    (void)state;
    struct world *w = WORLD(.held_bytes_max = 10);
    JOIN_KEY(w, "A", "1");
    JOIN_KEY(w, "B", "1");
    HEAR(w, "A", "lead token=1 attempt=1");
    HEAR(w, "B", "follow attempt=1 leader=A running=0");
    world_settled_late(w, true);
    world_finish(w, "A", "OK 12345678");
    HEAR(w, "A", "result OK \"\" callers=2 attempt=1 token=1 shared led");
    JOIN_KEY(w, "C", "2");
    HEAR(w, "C", "lead token=2 attempt=1");
    world_finish(w, "C", "OK 123");
    HEAR(w, "C",
         "result ERROR \"\" callers=1 attempt=1 token=2 led texts=\"8 singleflight.LimitExceeded: "
         "bytes held for results of this group: its quota of 10 is reached\"");
    world_settled_late(w, false);
    world_take_settled(w);
    HEAR(w, "B", "result OK \"12345678\" callers=2 attempt=1 token=1 shared");
    JOIN_KEY(w, "C", "2");
    HEAR(w, "C", "lead token=3 attempt=1");
    world_finish(w, "C", "OK 1234567890");
    HEAR(w, "C", "result OK \"\" callers=1 attempt=1 token=3 led");
    world_close(w);
}

static void an_outcome_over_the_quota_is_not_retained(void **state)
{
    (void)state;
    struct world *w = WORLD(.retained_bytes_max = 4);
    JOIN_KEY(w, "A", "1", .retain_ms = 100);
    HEAR(w, "A", "lead token=1 attempt=1");
    world_finish(w, "A", "OK 123");
    HEAR(w, "A", "result OK \"\" callers=1 attempt=1 token=1 led retain=100");
    JOIN_KEY(w, "B", "2", .retain_ms = 100);
    HEAR(w, "B", "lead token=2 attempt=1");
    world_finish(w, "B", "OK 45");
    HEAR(w, "B", "result OK \"\" callers=1 attempt=1 token=2 led retain_refused");
    JOIN_KEY(w, "C", "2", .retain_ms = 100, OTHER);
    HEAR(w, "C", "lead token=3 attempt=1");
    world_finish(w, "C", "OK 45");
    HEAR(w, "C", "result OK \"\" callers=1 attempt=1 token=3 led retain=100");
    world_pass(w, 100);
    JOIN_KEY(w, "D", "2", .retain_ms = 100);
    HEAR(w, "D", "lead token=4 attempt=1");
    world_finish(w, "D", "OK 4567");
    HEAR(w, "D", "result OK \"\" callers=1 attempt=1 token=4 led retain=100");
    world_close(w);
}

#define TOO_OFTEN "RESOURCE_EXHAUSTED: joins of this group: its quota of 2 a second is reached"

static void a_group_that_joins_too_often_is_refused(void **state)
{
    (void)state;
    struct world *w = WORLD(.joins_per_second = 2);
    JOIN(w, "A");
    HEAR(w, "A", "lead token=1 attempt=1");
    JOIN(w, "B");
    HEAR(w, "B", "follow attempt=1 leader=A running=0");
    JOIN(w, "C");
    HEAR(w, "C", TOO_OFTEN);
    JOIN(w, "D", OTHER);
    HEAR(w, "D", "lead token=2 attempt=1");
    world_pass(w, 499);
    JOIN(w, "C");
    HEAR(w, "C", TOO_OFTEN);
    world_pass(w, 1);
    JOIN(w, "C");
    HEAR(w, "C", "follow attempt=1 leader=A running=500");
    JOIN(w, "E");
    HEAR(w, "E", TOO_OFTEN);
    world_pass(w, 1000); // a second's worth, however long nobody came
    world_pass(w, 1000);
    const char *const come[] = {"E", "F"};
    for (size_t i = 0; i < 2; i++) {
        JOIN(w, come[i]);
        HEAR(w, come[i], "follow attempt=1 leader=A running=2500");
    }
    JOIN(w, "G");
    HEAR(w, "G", TOO_OFTEN);
    world_close(w);
}

static void a_leader_that_comes_back_is_never_too_often(void **state)
{
    (void)state;
    struct world *w = WORLD(.joins_per_second = 1);
    JOIN(w, "A", .lease_ms = 1000);
    HEAR(w, "A", "lead token=1 attempt=1 lease=1000");
    world_leave(w, "A");
    HEAR(w, "A", "CANCELLED: the stream broke");
    JOIN(w, "B", .resume_token = 1);
    HEAR(w, "B", "lead token=1 attempt=1 lease=1000");
    world_close(w);
}

static void a_token_that_is_made_up_counts_as_a_join(void **state)
{
    (void)state;
    struct world *w = WORLD(.joins_per_second = 1);
    JOIN(w, "A", .lease_ms = 1000);
    HEAR(w, "A", "lead token=1 attempt=1 lease=1000");
    JOIN(w, "B", .resume_token = 7);
    HEAR(w, "B", "RESOURCE_EXHAUSTED: joins of this group: its quota of 1 a second is reached");
    world_close(w);
}

static void who_cannot_open_a_flight_makes_no_group(void **state)
{
    (void)state;
    struct world *w = WORLD(.flights_max = 1);
    JOIN(w, "A", OTHER, .role = SFL_ROLE_FOLLOW_ONLY);
    HEAR(w, "A", "NOT_FOUND: nothing to follow: no flight runs for this key");
    JOIN(w, "B", OTHER, .resume_token = 7);
    HEAR(w, "B", "ABORTED: fenced: token 7, now 0");
    assert_int_equal(world_table(w)->groups.count, 0);
    JOIN(w, "C", OTHER);
    HEAR(w, "C", "lead token=1 attempt=1");
    assert_int_equal(world_table(w)->groups.count, 1);
    world_close(w);
}

static void a_smaller_quota_holds_at_once_and_takes_nothing_back(void **state)
{
    (void)state;
    struct world *w = WORLD(.flights_max = 1000);
    JOIN_KEY(w, "A", "1");
    JOIN_KEY(w, "B", "2");
    HEAR(w, "A", "lead token=1 attempt=1");
    HEAR(w, "B", "lead token=2 attempt=1");
    struct sfl_quota_limits less = sfl_quota_unlimited;
    less.flights_max = 1;
    sfl_quota_set(world_quota(w), &less);
    JOIN_KEY(w, "C", "3");
    HEAR(w, "C", "RESOURCE_EXHAUSTED: flights of this group: its quota of 1 is reached");
    world_finish(w, "A", "OK");
    HEAR(w, "A", "result OK \"\" callers=1 attempt=1 token=1 led");
    JOIN_KEY(w, "C", "3");
    HEAR(w, "C", "RESOURCE_EXHAUSTED: flights of this group: its quota of 1 is reached");
    world_finish(w, "B", "OK");
    HEAR(w, "B", "result OK \"\" callers=1 attempt=1 token=2 led");
    JOIN_KEY(w, "C", "3");
    HEAR(w, "C", "lead token=3 attempt=1");
    world_close(w);
}

static void the_longest_overdue_of_the_group_gives_its_room(void **state)
{
    (void)state;
    struct world *w = WORLD(.flights_max = 2, .joins_per_second = 5);
    JOIN_KEY(w, "O", "0", .lease_ms = 1000, OTHER);
    HEAR(w, "O", "lead token=1 attempt=1 lease=1000");
    JOIN_KEY(w, "A", "1", .lease_ms = 1000);
    HEAR(w, "A", "lead token=2 attempt=1 lease=1000");
    world_pass(w, 5000);
    JOIN_KEY(w, "B", "2");
    HEAR(w, "B", "lead token=3 attempt=1");
    JOIN_KEY(w, "C", "3");
    HEAR(w, "A", "ABORTED: fenced: token 2, now 0 (its room was needed)");
    HEAR(w, "C", "lead token=4 attempt=1");
    JOIN_KEY(w, "D", "4");
    HEAR(w, "D", "RESOURCE_EXHAUSTED: flights of this group: its quota of 2 is reached");
    SILENCE(w, "O");
    world_close(w);
}

static void without_memory_for_its_quota_a_group_is_refused(void **state)
{
    (void)state;
    struct world *w = WORLD(.flights_max = 2);
    memory_fail(world_memory(w), 1, 100);
    JOIN(w, "A");
    HEAR(w, "A", "RESOURCE_EXHAUSTED: groups: the limit of 10000 is reached");
    memory_fail_never(world_memory(w));
    JOIN(w, "A");
    HEAR(w, "A", "lead token=1 attempt=1");
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_group_over_its_flights_is_refused_and_no_other),
        cmocka_unit_test(a_group_over_its_callers_is_refused_and_no_other),
        cmocka_unit_test(a_flight_that_cannot_be_joined_takes_nothing),
        cmocka_unit_test(what_a_limit_of_the_server_refuses_takes_nothing_of_the_quota),
        cmocka_unit_test(a_value_over_the_quota_is_an_outcome_that_says_so),
        cmocka_unit_test(bytes_count_until_the_last_reader_has_them),
        cmocka_unit_test(an_outcome_over_the_quota_is_not_retained),
        cmocka_unit_test(a_group_that_joins_too_often_is_refused),
        cmocka_unit_test(a_leader_that_comes_back_is_never_too_often),
        cmocka_unit_test(a_token_that_is_made_up_counts_as_a_join),
        cmocka_unit_test(who_cannot_open_a_flight_makes_no_group),
        cmocka_unit_test(a_smaller_quota_holds_at_once_and_takes_nothing_back),
        cmocka_unit_test(the_longest_overdue_of_the_group_gives_its_room),
        cmocka_unit_test(without_memory_for_its_quota_a_group_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
