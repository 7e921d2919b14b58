// SPDX-License-Identifier: Apache-2.0
// What is counted, and what a listing shows.
#include "support/world.h"

#include <stdio.h>

static void calls_are_admitted_joins_and_executions_are_leads(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A");
    JOIN(w, "B");
    JOIN(w, "C", .role = SFL_ROLE_LEAD_ONLY);                          // not admitted
    JOIN(w, "D", .fingerprint = sfl_span_of_text("f"), .lease_ms = 1); // neither
    world_leave(w, "A");
    struct sfl_stats stats = world_stats(w);
    assert_int_equal(stats.calls, 2);
    assert_int_equal(stats.executions, 2); // A, and B when A was lost
    assert_int_equal(stats.leaders_lost, 1);
    assert_int_equal(stats.fenced, 0); // A left of its own accord
    assert_int_equal(stats.flights_now, 1);
    assert_int_equal(stats.callers_now, 1);
    world_skip(w, "A");
    world_skip(w, "B");
    world_skip(w, "C");
    world_skip(w, "D");
    world_close(w);
}

static void executions_saved_are_outcomes_of_callers_that_did_not_lead(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .retain_ms = 100);
    JOIN(w, "B");
    JOIN(w, "C");
    JOIN(w, "D");
    world_fail(w, "D", SFL_REASON_CANCELLED);
    world_finish(w, "A", "OK v");
    JOIN(w, "E"); // a retained hit
    struct sfl_stats stats = world_stats(w);
    assert_int_equal(stats.calls, 5);
    assert_int_equal(stats.executions, 1);
    assert_int_equal(stats.executions_saved, 3);
    assert_int_equal(stats.retained_hits, 1);
    assert_int_equal(stats.retained_now, 1);
    assert_int_equal(stats.bytes_now, 1);
    assert_int_equal(stats.flights_now, 0);
    assert_int_equal(stats.callers_now, 0);
    world_pass(w, 100);
    assert_int_equal(world_stats(w).retained_now, 0);
    assert_int_equal(world_stats(w).bytes_now, 0);
    const char *const all[] = {"A", "B", "C", "D", "E"};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        world_skip(w, all[i]);
    world_close(w);
}

static void fenced_counts_leaders_ended_so(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .lease_ms = 1000);
    JOIN(w, "B");
    world_pass(w, 1000);              // A is fenced
    JOIN(w, "A2", .resume_token = 1); // and its late resume
    JOIN(w, "B2", .resume_token = 2); // takes over from B
    struct sfl_stats stats = world_stats(w);
    assert_int_equal(stats.fenced, 3);
    assert_int_equal(stats.leaders_lost, 1);
    assert_int_equal(stats.executions, 2); // a resume is no new execution
    world_skip(w, "A");
    world_skip(w, "A2");
    world_skip(w, "B");
    world_skip(w, "B2");
    world_close(w);
}

static void forgets_count_those_that_forgot_something(void **state)
{
    (void)state;
    struct world *w = world_open();
    world_forget(w, "k");
    JOIN(w, "A");
    JOIN(w, "B");
    world_forget_if_unshared(w, "k");
    assert_int_equal(world_stats(w).forgets, 0);
    world_forget(w, "k");
    world_forget(w, "k");
    assert_int_equal(world_stats(w).forgets, 1);
    world_skip(w, "A");
    world_skip(w, "B");
    world_close(w);
}

static void groups_are_counted_apart(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .group = sfl_span_of_text("one"));
    JOIN(w, "B", .group = sfl_span_of_text("one"));
    JOIN(w, "C", .group = sfl_span_of_text("two"));
    world_chunk(w, "C", 0, "12345");
    struct sfl_stats one = sfl_table_stats(world_table(w), sfl_span_of_text("one"));
    struct sfl_stats two = sfl_table_stats(world_table(w), sfl_span_of_text("two"));
    struct sfl_stats none = sfl_table_stats(world_table(w), sfl_span_of_text("three"));
    assert_int_equal(one.calls, 2);
    assert_int_equal(one.callers_now, 2);
    assert_int_equal(one.bytes_now, 0);
    assert_int_equal(two.calls, 1);
    assert_int_equal(two.flights_now, 1);
    assert_int_equal(two.bytes_now, 5);
    assert_int_equal(none.calls, 0);
    assert_int_equal(world_stats(w).calls, 3);
    assert_int_equal(world_stats(w).bytes_now, 5);
    world_skip(w, "A");
    world_skip(w, "B");
    world_skip(w, "C");
    world_close(w);
}

static void a_listing_shows_the_current_leaders_time_and_all_callers(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .retain_ms = 1000, .run_limit_ms = 300);
    JOIN(w, "B");
    JOIN(w, "C");
    world_pass(w, 350); // A lost it at 300
    world_chunk(w, "B", 0, "abc");
    assert_string_equal(world_list(w, "k"),
                        "LED attempt=2 token=2 leader=B callers=2 running=50 value=3");
    world_finish(w, "B", "OK d");
    world_pass(w, 100);
    assert_string_equal(world_list(w, "k"),
                        "RETAINED attempt=2 token=2 leader=B callers=2 running=0 value=4 "
                        "expires=900");
    world_skip(w, "A");
    world_skip(w, "B");
    world_skip(w, "C");
    world_close(w);
}

struct stop_after {
    unsigned left;
    unsigned seen;
};

static bool see_some(void *context, const struct sfl_flight_view *view)
{
    struct stop_after *stop = context;
    (void)view;
    stop->seen++;
    return --stop->left > 0;
}

static void a_listing_can_stop_and_go_on(void **state)
{
    (void)state;
    struct world *w = world_open();
    char names[20][4];
    for (unsigned i = 0; i < 20; i++) {
        snprintf(names[i], sizeof(names[i]), "c%02u", i);
        JOIN_KEY(w, names[i], names[i]);
        world_skip(w, names[i]);
    }
    struct sfl_table_cursor cursor = {0};
    struct stop_after stop = {0};
    unsigned rounds = 0;
    do {
        stop.left = 3;
        rounds++;
    } while (sfl_table_visit(world_table(w), 0, &cursor, 1000, see_some, &stop));
    assert_int_equal(stop.seen, 20); // each once
    assert_true(rounds >= 20 / 3);
    world_close(w);
}

static void calls_are_counted_by_what_they_began_as(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .retain_ms = 100);
    JOIN(w, "B");
    JOIN(w, "W", .fresh = true); // waits in the next flight
    world_leave(w, "A");         // B leads now, and began as a follower
    world_finish_retain(w, "B", "OK v", 100);
    JOIN(w, "C");
    struct sfl_stats stats = world_stats(w);
    assert_int_equal(stats.calls_led, 1);
    assert_int_equal(stats.calls_followed, 2);
    assert_int_equal(stats.retained_hits, 1);
    assert_int_equal(stats.calls, 4);
    world_leave(w, "W");
    const char *const all[] = {"A", "B", "C", "W"};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        world_skip(w, all[i]);
    world_close(w);
}

static void a_flight_that_was_led_is_counted_by_how_it_ended(void **state)
{
    (void)state;
    struct world *w = world_open();
    const struct sfl_tally *tally = &world_table(w)->tally;
    JOIN_KEY(w, "A", "a");
    world_finish(w, "A", "OK v");
    JOIN_KEY(w, "B", "b");
    world_finish(w, "B", "ERROR v");
    JOIN_KEY(w, "C", "c");
    world_leave(w, "C"); // and nobody goes on
    JOIN_KEY(w, "D", "d");
    world_end(w, "d", "");
    JOIN_KEY(w, "E", "e");
    world_drain(w);
    world_shut(w);
    assert_int_equal(tally->ended[SFL_END_OK], 1);
    assert_int_equal(tally->ended[SFL_END_ERROR], 1);
    assert_int_equal(tally->ended[SFL_END_PANIC], 0);
    assert_int_equal(tally->ended[SFL_END_LOST], 1);
    assert_int_equal(tally->ended[SFL_END_ENDED], 1);
    assert_int_equal(tally->ended[SFL_END_DRAINED], 1);
    assert_int_equal(tally->losses[SFL_LOSS_LEFT], 1);
    const char *const all[] = {"A", "B", "C", "D", "E"};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        world_skip(w, all[i]);
    world_close(w);
}

static uint64_t count_of(const struct sfl_histogram *histogram)
{
    uint64_t count = 0;
    for (unsigned i = 0; i <= SFL_BOUNDS_MAX; i++)
        count += histogram->counts[i];
    return count;
}

static void times_are_from_the_first_lead_and_from_the_join(void **state)
{
    (void)state;
    struct world *w = world_open();
    const struct sfl_tally *tally = &world_table(w)->tally;
    JOIN(w, "A");
    world_pass(w, 30);
    JOIN(w, "B");
    world_pass(w, 40);
    JOIN(w, "C");
    world_leave(w, "A"); // B leads, and has followed until now
    world_pass(w, 150);
    world_finish(w, "B", "OK 12345");
    assert_int_equal(tally->flight_ms.sum, 220); // A's time counts
    assert_int_equal(count_of(&tally->flight_ms), 1);
    assert_int_equal(tally->wait_ms.sum, 150); // C's alone
    assert_int_equal(count_of(&tally->wait_ms), 1);
    assert_int_equal(tally->outcome_bytes.sum, 5);
    assert_int_equal(tally->outcome_bytes.counts[0], 1);
    world_skip(w, "A");
    world_skip(w, "B");
    world_skip(w, "C");
    world_close(w);
}

static void a_bound_belongs_to_what_is_below_it(void **state)
{
    (void)state;
    struct sfl_histogram histogram = {0};
    const uint64_t quantities[] = {0, 1, 2, 3, 600000, 600001};
    for (size_t i = 0; i < sizeof(quantities) / sizeof(quantities[0]); i++)
        sfl_histogram_add(&histogram, &sfl_bounds_ms, quantities[i]);
    assert_int_equal(histogram.counts[0], 2);
    assert_int_equal(histogram.counts[1], 1);
    assert_int_equal(histogram.counts[2], 1);
    assert_int_equal(histogram.counts[sfl_bounds_ms.count - 1], 1);
    assert_int_equal(histogram.counts[sfl_bounds_ms.count], 1);
    assert_int_equal(histogram.sum, 1200007);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_are_admitted_joins_and_executions_are_leads),
        cmocka_unit_test(executions_saved_are_outcomes_of_callers_that_did_not_lead),
        cmocka_unit_test(fenced_counts_leaders_ended_so),
        cmocka_unit_test(forgets_count_those_that_forgot_something),
        cmocka_unit_test(groups_are_counted_apart),
        cmocka_unit_test(calls_are_counted_by_what_they_began_as),
        cmocka_unit_test(a_flight_that_was_led_is_counted_by_how_it_ended),
        cmocka_unit_test(times_are_from_the_first_lead_and_from_the_join),
        cmocka_unit_test(a_bound_belongs_to_what_is_below_it),
        cmocka_unit_test(a_listing_shows_the_current_leaders_time_and_all_callers),
        cmocka_unit_test(a_listing_can_stop_and_go_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
