// SPDX-License-Identifier: Apache-2.0
// Retained outcomes.
#include "support/world.h"

static void lead_and_finish(struct world *w, const char *name, const struct sfl_join *join,
                            const char *outcome)
{
    world_join(w, name, "k", join);
    world_finish(w, name, outcome);
    world_skip(w, name);
}

static void a_retained_outcome_is_gone_when_its_time_is_over(void **state)
{
    (void)state;
    struct world *w = world_open();
    lead_and_finish(w, "A", &(struct sfl_join){.retain_ms = 100}, "OK v");
    assert_int_equal(world_count(w, SFL_EFFECT_RETAIN), 1);
    world_pass(w, 99);
    JOIN(w, "B");
    HEAR(w, "B", "result OK \"v\" callers=1 attempt=1 token=1 shared retained age=99 retain=1");
    world_pass(w, 1);
    assert_int_equal(world_count(w, SFL_EFFECT_DROP), 1);
    JOIN(w, "C");
    HEAR(w, "C", "lead token=2 attempt=1");
    world_close(w);
}

static void a_retained_outcome_is_not_served_past_its_time_when_the_tick_is_late(void **state)
{
    (void)state;
    struct world *w = world_open();
    lead_and_finish(w, "A", &(struct sfl_join){.retain_ms = 100, .lease_ms = 1000}, "OK v");
    world_pass_without_tick(w, 100);
    JOIN(w, "A2", .resume_token = 1);
    HEAR(w, "A2", "ABORTED: fenced: token 1, now 0");
    JOIN(w, "C");
    HEAR(w, "C", "lead token=2 attempt=1");
    world_close(w);
}

static void an_outcome_other_than_ok_is_retained_for_retain_error(void **state)
{
    (void)state;
    const char *const outcomes[] = {"ERROR e", "PANIC e", "ABANDONED e"};
    for (size_t i = 0; i < sizeof(outcomes) / sizeof(outcomes[0]); i++) {
        struct world *w = world_open();
        struct sfl_join join = {.retain_ms = 9000, .retain_error_ms = 50};
        lead_and_finish(w, "A", &join, outcomes[i]);
        world_pass(w, 50);
        assert_string_equal(world_list(w, "k"), "");
        lead_and_finish(w, "B", &(struct sfl_join){.retain_ms = 9000}, outcomes[i]);
        assert_string_equal(world_list(w, "k"), "");
        world_close(w);
    }
}

static void finish_overrides_how_long_the_outcome_is_retained(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .retain_ms = 100);
    world_finish_retain(w, "A", "OK v", 700);
    HEAR(w, "A", "lead token=1 attempt=1");
    HEAR(w, "A", "result OK \"\" callers=1 attempt=1 token=1 led retain=700");
    assert_string_equal(world_forget(w, "k"), "retained");
    JOIN(w, "B", .retain_ms = 100);
    world_finish_retain(w, "B", "OK v", 0);
    HEAR(w, "B", "lead token=2 attempt=1");
    HEAR(w, "B", "result OK \"\" callers=1 attempt=1 token=2 led");
    assert_string_equal(world_forget(w, "k"), "nothing");
    // It stands for retain_error as well.
    JOIN(w, "C");
    world_finish_retain(w, "C", "ERROR e", 30);
    HEAR(w, "C", "lead token=3 attempt=1");
    HEAR(w, "C", "result ERROR \"\" callers=1 attempt=1 token=3 led retain=30");
    world_close(w);
}

static void the_override_obeys_the_same_bound(void **state)
{
    (void)state;
    struct world *w = world_open();
    world_limits(w)->retain_ms_max = 1000;
    JOIN(w, "A");
    JOIN(w, "B");
    world_finish_retain(w, "A", "OK v", 1001);
    HEAR(w, "A", "lead token=1 attempt=1");
    HEAR(w, "A", "INVALID_ARGUMENT: retention.retain_ms: 1001, must be at most 1000");
    HEAR(w, "B", "follow attempt=1 leader=A running=0");
    HEAR(w, "B", "lead token=2 attempt=2");
    world_finish_retain(w, "B", "OK v", 1000);
    HEAR(w, "B", "result OK \"\" callers=1 attempt=2 token=2 led retain=1000");
    world_close(w);
}

static void it_is_served_to_every_role(void **state)
{
    (void)state;
    struct world *w = world_open();
    lead_and_finish(w, "A", &(struct sfl_join){.retain_ms = 100}, "OK v");
    JOIN(w, "B", .role = SFL_ROLE_LEAD_ONLY);
    HEAR(w, "B", "result OK \"v\" callers=1 attempt=1 token=1 shared retained age=0 retain=100");
    JOIN(w, "C", .role = SFL_ROLE_FOLLOW_ONLY);
    HEAR(w, "C", "result OK \"v\" callers=1 attempt=1 token=1 shared retained age=0 retain=100");
    JOIN(w, "D", .live = true);
    HEAR(w, "D", "result OK \"v\" callers=1 attempt=1 token=1 shared retained age=0 retain=100");
    world_close(w);
}

static void it_is_served_even_while_a_newer_flight_runs(void **state)
{
    (void)state;
    struct world *w = world_open();
    lead_and_finish(w, "A", &(struct sfl_join){.retain_ms = 1000}, "OK old");
    world_pass(w, 200);
    JOIN(w, "B", .max_age_ms = 100); // too old for B
    HEAR(w, "B", "lead token=2 attempt=1");
    JOIN(w, "C");
    HEAR(w, "C",
         "result OK \"old\" callers=1 attempt=1 token=1 shared retained age=200 "
         "retain=800");
    JOIN(w, "D", .max_age_ms = 199);
    HEAR(w, "D", "follow attempt=1 leader=B running=0");
    world_close(w);
}

static void a_newer_outcome_takes_its_place(void **state)
{
    (void)state;
    struct world *w = world_open();
    lead_and_finish(w, "A", &(struct sfl_join){.retain_ms = 1000}, "OK old");
    world_pass(w, 10);
    lead_and_finish(w, "B", &(struct sfl_join){.retain_ms = 1000, .max_age_ms = 1}, "OK new");
    JOIN(w, "C");
    HEAR(w, "C",
         "result OK \"new\" callers=1 attempt=1 token=2 shared retained age=0 "
         "retain=1000");
    assert_int_equal(sfl_budget_used(&world_usage(w)->retained), 1);
    world_close(w);
}

static void a_retained_hit_says_how_many_callers_the_flight_had(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .retain_ms = 100);
    JOIN(w, "B");
    JOIN(w, "C");
    world_finish(w, "A", "OK v");
    world_skip(w, "A");
    world_skip(w, "B");
    world_skip(w, "C");
    JOIN(w, "D");
    HEAR(w, "D", "result OK \"v\" callers=3 attempt=1 token=1 shared retained age=0 retain=100");
    JOIN(w, "E");
    HEAR(w, "E", "result OK \"v\" callers=3 attempt=1 token=1 shared retained age=0 retain=100");
    world_close(w);
}

static void without_room_it_is_not_retained_and_the_result_says_so(void **state)
{
    (void)state;
    struct world *w = world_open();
    world_limits(w)->retained_bytes_max = 10;
    JOIN(w, "A", .retain_ms = 100);
    JOIN(w, "B");
    world_finish(w, "A", "OK eleven byte");
    HEAR(w, "A", "lead token=1 attempt=1");
    HEAR(w, "A", "result OK \"\" callers=2 attempt=1 token=1 shared led retain_refused");
    HEAR(w, "B", "follow attempt=1 leader=A running=0");
    HEAR(w, "B", "result OK \"eleven byte\" callers=2 attempt=1 token=1 shared retain_refused");
    assert_int_equal(world_stats(w).retain_refused, 1);
    assert_int_equal(sfl_budget_used(&world_usage(w)->held_bytes), 0);
    JOIN(w, "C", .retain_ms = 100);
    world_finish(w, "C", "OK ten bytes.");
    HEAR(w, "C", "lead token=2 attempt=1");
    HEAR(w, "C", "result OK \"\" callers=1 attempt=1 token=2 led retain=100");
    assert_int_equal(sfl_budget_used(&world_usage(w)->retained_bytes), 10);
    world_close(w);
}

static void as_many_outcomes_are_retained_as_flights_may_run(void **state)
{
    (void)state;
    struct world *w = world_open();
    world_limits(w)->flights_max = 1;
    lead_and_finish(w, "A", &(struct sfl_join){.retain_ms = 100}, "OK v");
    JOIN_KEY(w, "B", "other", .retain_ms = 100);
    world_finish(w, "B", "OK v");
    HEAR(w, "B", "lead token=2 attempt=1");
    HEAR(w, "B", "result OK \"\" callers=1 attempt=1 token=2 led retain_refused");
    world_close(w);
}

static void to_retain_what_was_posted_takes_no_memory(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .retain_ms = 100);
    world_skip(w, "A");
    world_chunk(w, "A", 0, "v");
    memory_fail(world_memory(w), 1, UINT32_MAX);
    world_finish(w, "A", "OK");
    HEAR(w, "A", "result OK \"\" callers=1 attempt=1 token=1 led retain=100");
    JOIN(w, "B");
    HEAR(w, "B", "result OK \"v\" callers=1 attempt=1 token=1 shared retained age=0 retain=100");
    memory_fail_never(world_memory(w));
    world_close(w);
}

static void a_data_files_outcome_is_served_again(void **state)
{
    (void)state;
    struct world *w = world_open();
    world_pass(w, 5000);
    struct sfl_outcome *outcome = NULL;
    enum sfl_reason reason = sfl_outcome_create(&world_memory(w)->allocator, &world_table(w)->held,
                                                world_limits(w), NULL, NULL, &outcome);
    assert_int_equal(reason, SFL_REASON_NONE);
    outcome->kind = SFL_OUTCOME_OK;
    outcome->attempt = 2;
    outcome->token = 41;
    struct sfl_join join = {.group = sfl_span_of_text("g"), .key = sfl_span_of_text("k")};
    uint64_t hash = world_hash("g", "k");
    assert_false(sfl_table_restore(world_table(w), &join, hash, outcome, 3, 1000, 5000, 5000));
    assert_true(sfl_table_restore(world_table(w), &join, hash, outcome, 3, 1000, 9000, 5000));
    assert_false(sfl_table_restore(world_table(w), &join, hash, outcome, 3, 1000, 9000, 5000));
    JOIN(w, "A");
    HEAR(w, "A",
         "result OK \"\" callers=3 attempt=2 token=41 shared retained age=4000 "
         "retain=4000");
    world_pass(w, 4000);
    assert_string_equal(world_list(w, "k"), "");
    world_close(w);
}

static void an_outcome_that_cannot_be_kept_is_not_retained(void **state)
{
    (void)state;
    struct world *w = world_open();
    lead_and_finish(w, "A", &(struct sfl_join){.retain_ms = 9000}, "OK v");
    world_unkeep(w, "k", 1);
    // Nobody has to drop what nobody keeps.
    assert_int_equal(world_count(w, SFL_EFFECT_DROP), 0);
    assert_int_equal(world_stats(w).retain_refused, 1);
    assert_int_equal(world_stats(w).retained_now, 0);
    assert_int_equal(world_stats(w).bytes_now, 0);
    JOIN(w, "B");
    HEAR(w, "B", "lead token=2 attempt=1");
    world_close(w);
}

static void a_newer_outcome_stays_when_an_older_one_cannot_be_kept(void **state)
{
    (void)state;
    struct world *w = world_open();
    lead_and_finish(w, "A", &(struct sfl_join){.retain_ms = 9000}, "OK v");
    world_forget(w, "k");
    lead_and_finish(w, "B", &(struct sfl_join){.retain_ms = 9000}, "OK w");
    world_unkeep(w, "k", 1);
    JOIN(w, "C");
    HEAR(w, "C", "result OK \"w\" callers=1 attempt=1 token=2 shared retained age=0 retain=9000");
    world_close(w);
}

static void followers_that_hear_later_know_that_it_could_not_be_kept(void **state)
{
    (void)state;
    struct world *w = world_open();
    world_settled_late(w, true);
    JOIN(w, "A", .retain_ms = 9000);
    JOIN(w, "B");
    world_finish(w, "A", "OK v");
    world_unkeep(w, "k", 1);
    world_take_settled(w);
    world_skip(w, "A");
    HEAR(w, "B", "follow attempt=1 leader=A running=0");
    HEAR(w, "B", "result OK \"v\" callers=2 attempt=1 token=1 shared retain_refused");
    world_close(w);
}

static void a_window_from_the_lead_is_what_is_left_of_it(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .retain_ms = 60000, .retain_from_lead = true);
    world_pass(w, 20000);
    world_finish(w, "A", "OK v");
    HEAR(w, "A", "lead token=1 attempt=1");
    HEAR(w, "A", "result OK \"\" callers=1 attempt=1 token=1 led retain=40000");
    world_pass(w, 39999);
    JOIN(w, "B", .max_age_ms = 39999); // its age counts from the end
    HEAR(w, "B", "result OK \"v\" callers=1 attempt=1 token=1 shared retained age=39999 retain=1");
    world_pass(w, 1);
    JOIN(w, "B");
    HEAR(w, "B", "lead token=2 attempt=1");
    world_close(w);
}

static void when_the_run_took_longer_than_the_window_nothing_is_retained(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .retain_error_ms = 1000, .retain_from_lead = true);
    world_pass(w, 1000);
    world_finish(w, "A", "ERROR no");
    HEAR(w, "A", "lead token=1 attempt=1");
    HEAR(w, "A", "result ERROR \"\" callers=1 attempt=1 token=1 led");
    assert_int_equal(world_stats(w).retain_refused, 0);
    world_close(w);
}

static void the_window_counts_from_the_lead_of_the_winning_attempt(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .retain_ms = 5000, .retain_error_ms = 60000, .retain_from_lead = true,
         .max_attempts = 2);
    JOIN(w, "B");
    world_pass(w, 10000);
    world_pass_on(w, "A", "ERROR no"); // led at 0
    world_skip(w, "A");
    world_pass(w, 20000);
    world_leave(w, "B"); // led at 10,000, and lost: A's error wins
    world_skip(w, "B");
    JOIN(w, "C");
    HEAR(w, "C",
         "result ERROR \"no\" callers=1 attempt=1 token=1 shared retained age=0 retain=30000");
    world_forget(w, "k");
    JOIN(w, "D", .retain_ms = 5000, .retain_from_lead = true);
    world_pass(w, 1000);
    JOIN(w, "E");
    world_leave(w, "D");
    world_pass(w, 2000);
    world_finish_retain(w, "E", "OK v", 9000); // what `finish` says, too
    world_skip(w, "D");
    world_skip(w, "E");
    JOIN(w, "F");
    HEAR(w, "F", "result OK \"v\" callers=1 attempt=2 token=4 shared retained age=0 retain=7000");
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_retained_outcome_is_gone_when_its_time_is_over),
        cmocka_unit_test(a_retained_outcome_is_not_served_past_its_time_when_the_tick_is_late),
        cmocka_unit_test(an_outcome_other_than_ok_is_retained_for_retain_error),
        cmocka_unit_test(finish_overrides_how_long_the_outcome_is_retained),
        cmocka_unit_test(the_override_obeys_the_same_bound),
        cmocka_unit_test(it_is_served_to_every_role),
        cmocka_unit_test(it_is_served_even_while_a_newer_flight_runs),
        cmocka_unit_test(a_newer_outcome_takes_its_place),
        cmocka_unit_test(a_retained_hit_says_how_many_callers_the_flight_had),
        cmocka_unit_test(without_room_it_is_not_retained_and_the_result_says_so),
        cmocka_unit_test(as_many_outcomes_are_retained_as_flights_may_run),
        cmocka_unit_test(to_retain_what_was_posted_takes_no_memory),
        cmocka_unit_test(a_data_files_outcome_is_served_again),
        cmocka_unit_test(an_outcome_that_cannot_be_kept_is_not_retained),
        cmocka_unit_test(a_newer_outcome_stays_when_an_older_one_cannot_be_kept),
        cmocka_unit_test(followers_that_hear_later_know_that_it_could_not_be_kept),
        cmocka_unit_test(a_window_from_the_lead_is_what_is_left_of_it),
        cmocka_unit_test(when_the_run_took_longer_than_the_window_nothing_is_retained),
        cmocka_unit_test(the_window_counts_from_the_lead_of_the_winning_attempt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
