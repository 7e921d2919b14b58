// SPDX-License-Identifier: Apache-2.0
// Leads that an earlier process left behind (section 10.3).
#include "support/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool restore(struct world *w, uint64_t token, bool forgotten, uint64_t led_for_ms,
                    struct sfl_outcome *error)
{
    const struct sfl_join join = {.group = sfl_span_of_text("g"),
                                  .key = sfl_span_of_text("k"),
                                  .name = sfl_span_of_text("L"),
                                  .fingerprint = sfl_span_of_text("print"),
                                  .lease_ms = 5000,
                                  .run_limit_ms = 60000,
                                  .retain_ms = 700};
    const struct sfl_left_lead lead = {.join = &join,
                                       .token = token,
                                       .attempt = 3,
                                       .forgotten = forgotten,
                                       .led_for_ms = led_for_ms,
                                       .error = error};
    return sfl_table_restore_lead(world_table(w), &lead, world_hash("g", "k"), world_now(w));
}

static struct sfl_outcome *outcome_of(struct world *w, uint64_t token)
{
    const struct sfl_outcome_parts parts = {.kind = SFL_OUTCOME_ERROR,
                                            .attempt = 2,
                                            .token = token,
                                            .value = sfl_span_of_text("partial")};
    struct sfl_outcome *outcome;
    assert_int_equal(sfl_outcome_restore(&world_memory(w)->allocator, &world_table(w)->held,
                                         world_limits(w), &parts, &outcome),
                     SFL_REASON_NONE);
    return outcome;
}

static bool keep_view(void *context, const struct sfl_flight_view *view)
{
    *(struct sfl_flight_view *)context = *view;
    return true;
}

static void a_lead_comes_back_orphaned_with_a_whole_lease(void **state)
{
    struct world *w = world_open();
    (void)state;
    world_pass(w, 100000);
    assert_true(restore(w, 7, false, 20000, NULL));
    assert_string_equal(
        world_list(w, "k"),
        "ORPHANED attempt=3 token=7 leader=L callers=0 running=20000 value=0 expires=5000");
    JOIN(w, "F");
    HEAR(w, "F", "follow attempt=3 leader=L running=20000");
    JOIN(w, "L", .resume_token = 7);
    HEAR(w, "L", "lead token=7 attempt=3 lease=5000 run_limit=60000");
    world_chunk(w, "L", 0, "again ");
    world_finish(w, "L", "OK done");
    HEAR(w, "L", "result OK \"\" callers=2 attempt=3 token=7 shared led retain=700");
    HEAR(w, "F", "result OK \"again done\" callers=2 attempt=3 token=7 shared retain=700");
    assert_int_equal(world_count(w, SFL_EFFECT_UNLEAD), 1);
    world_close(w);
}

static void the_fingerprint_of_the_opener_holds(void **state)
{
    struct world *w = world_open();
    (void)state;
    assert_true(restore(w, 7, false, 0, NULL));
    JOIN(w, "A", .fingerprint = sfl_span_of_text("other"));
    HEAR(w, "A",
         "FAILED_PRECONDITION: fingerprint: differs from that of the flight of the same key");
    world_close(w);
}

static void the_run_limit_counts_from_the_lead(void **state)
{
    struct world *w = world_open();
    (void)state;
    assert_true(restore(w, 7, false, 59000, NULL));
    JOIN(w, "L", .resume_token = 7);
    HEAR(w, "L", "lead token=7 attempt=3 lease=5000 run_limit=60000");
    world_pass(w, 999);
    SILENCE(w, "L");
    world_pass(w, 1);
    assert_false(world_is_joined(w, "L"));
    world_skip(w, "L");
    world_close(w);
}

static void a_run_limit_that_is_over_ends_it_at_once(void **state)
{
    struct world *w = world_open();
    (void)state;
    assert_true(restore(w, 7, false, UINT64_MAX, NULL));
    world_pass(w, 1);
    assert_string_equal(world_list(w, "k"), "");
    assert_int_equal(world_count(w, SFL_EFFECT_UNLEAD), 1);
    world_close(w);
}

// As the clock of a machine that came up after the lead.
static void a_lead_of_before_the_clock_began_is_as_old_as_it_is(void **state)
{
    struct world *w = world_open();
    (void)state;
    world_limits(w)->run_limit_ms_max = 86400000;
    const struct sfl_join join = {.group = sfl_span_of_text("g"),
                                  .key = sfl_span_of_text("k"),
                                  .lease_ms = 5000,
                                  .run_limit_ms = 7200000};
    const struct sfl_left_lead lead = {
        .join = &join, .token = 7, .attempt = 3, .led_for_ms = 3600000, .begun_for_ms = 3600000};
    assert_true(sfl_table_restore_lead(world_table(w), &lead, world_hash("g", "k"), 0));
    assert_string_equal(
        world_list(w, "k"),
        "ORPHANED attempt=3 token=7 leader= callers=0 running=3600000 value=0 expires=5000");
    JOIN(w, "L", .resume_token = 7);
    HEAR(w, "L", "lead token=7 attempt=3 lease=5000 run_limit=7200000");
    for (unsigned i = 0; i < 1800; i++) { // and the run limit is over when it is
        world_renew(w, "L");
        world_pass(w, i < 1799 ? 2000 : 1999);
    }
    SILENCE(w, "L");
    world_pass(w, 1);
    HEAR(w, "L", "ABORTED: fenced: token 7, now 0 (its run limit of 7200 s ran out)");
    world_close(w);
}

static void an_outcome_of_before_the_clock_began_is_as_old_as_it_is(void **state)
{
    (void)state;
    struct world *w = world_open();
    const struct sfl_join join = {.group = sfl_span_of_text("g"), .key = sfl_span_of_text("k")};
    assert_true(sfl_table_restore(world_table(w), &join, world_hash("g", "k"), outcome_of(w, 7), 1,
                                  0 - UINT64_C(9000), 1000, 0));
    struct sfl_flight_view seen = {0};
    struct sfl_table_cursor cursor = {0};
    (void)sfl_table_visit(world_table(w), 0, &cursor, UINT64_MAX, keep_view, &seen);
    assert_int_equal(seen.ended_ms_ago, 9000);
    world_close(w);
}

// What the run limit cut off is not cut off the window, which counts from the lead.
static void a_window_from_the_lead_counts_from_the_true_one(void **state)
{
    struct world *w = world_open();
    (void)state;
    const struct sfl_join join = {.group = sfl_span_of_text("g"),
                                  .key = sfl_span_of_text("k"),
                                  .lease_ms = 5000,
                                  .run_limit_ms = 60000,
                                  .retain_error_ms = 120000,
                                  .retain_from_lead = true,
                                  .on_leader_loss = SFL_LEADER_LOSS_HOLD};
    const struct sfl_left_lead lead = {
        .join = &join, .token = 7, .attempt = 3, .led_for_ms = 3600000, .begun_for_ms = 3600000};
    assert_true(sfl_table_restore_lead(world_table(w), &lead, world_hash("g", "k"), world_now(w)));
    world_pass(w, 1);
    assert_string_equal(world_list(w, "k"), "");
    world_close(w);
}

static void a_later_attempt_remembers_when_the_first_was_led(void **state)
{
    struct world *w = world_open();
    (void)state;
    const struct sfl_join join = {.group = sfl_span_of_text("g"),
                                  .key = sfl_span_of_text("k"),
                                  .lease_ms = 5000,
                                  .run_limit_ms = 60000};
    const struct sfl_left_lead lead = {
        .join = &join, .token = 7, .attempt = 3, .led_for_ms = 100, .begun_for_ms = 30000};
    world_table(w)->runs = SFL_RUNS_ALL;
    world_pass(w, 100000);
    assert_true(sfl_table_restore_lead(world_table(w), &lead, world_hash("g", "k"), world_now(w)));
    const struct sfl_event end = {
        .type = SFL_EVENT_FORGET,
        .now_ms = world_now(w),
        .hash = world_hash("g", "k"),
        .forget = {.group = join.group, .key = join.key, .end = true},
    };
    struct sfl_effects effects;
    sfl_table_step(world_table(w), &end, &effects);
    unsigned found = 0;
    for (unsigned i = 0; i < effects.count; i++) {
        if (effects.items[i].type != SFL_EFFECT_ENDED)
            continue;
        found++;
        assert_int_equal(effects.items[i].ended.begun_ms, 70000);
        assert_int_equal(effects.items[i].ended.led_ms, 99900);
    }
    assert_int_equal(found, 1);
    world_close(w);
}

static void a_lead_that_came_back_and_ended_later_is_not_lost_with_the_restart(void **state)
{
    struct world *w = world_open_from(100);
    (void)state;
    for (uint64_t token = 40; token > 0; token--)
        assert_true(restore(w, token, token < 40, 0, NULL));
    for (uint64_t token = 1; token <= 40; token++) {
        char name[8];
        (void)snprintf(name, sizeof(name), "L%u", (unsigned)token);
        JOIN(w, name, .resume_token = token);
        world_finish(w, name, "OK");
        world_skip(w, name);
    }
    assert_string_equal(world_forget(w, "k"), "retained");
    for (uint64_t token = 1; token <= 40; token++) {
        char line[64];
        (void)snprintf(line, sizeof(line), "ABORTED: fenced: token %u, now 0", (unsigned)token);
        JOIN(w, "L", .resume_token = token);
        HEAR(w, "L", line);
    }
    JOIN(w, "M", .resume_token = 41); // this one did not come back
    HEAR(w, "M", "ABORTED: fenced: token 41, now 0 (a token of before the restart)");
    world_close(w);
}

static void a_forgotten_lead_is_found_by_a_resume_alone(void **state)
{
    struct world *w = world_open();
    (void)state;
    assert_true(restore(w, 7, true, 0, NULL));
    JOIN(w, "A");
    HEAR(w, "A", "lead token=1 attempt=1");
    JOIN(w, "L", .resume_token = 7);
    HEAR(w, "L", "lead token=7 attempt=3 lease=5000 run_limit=60000");
    world_finish(w, "L", "OK v");
    HEAR(w, "L", "result OK \"\" callers=1 attempt=3 token=7 led");
    world_close(w);
}

static void of_two_leads_of_a_key_the_greater_token_counts(void **state)
{
    struct world *w = world_open();
    (void)state;
    assert_true(restore(w, 9, false, 0, NULL));
    assert_false(restore(w, 7, false, 0, NULL));
    assert_true(restore(w, 5, true, 0, NULL));
    world_close(w);
}

static void a_lead_that_has_its_outcome_is_over(void **state)
{
    struct world *w = world_open();
    (void)state;
    const struct sfl_join join = {.group = sfl_span_of_text("g"), .key = sfl_span_of_text("k")};
    assert_true(sfl_table_restore(world_table(w), &join, world_hash("g", "k"), outcome_of(w, 7), 1,
                                  0, 1000, 0));
    assert_false(restore(w, 7, false, 0, NULL));
    assert_true(restore(w, 8, false, 0, NULL)); // a newer flight of the key
    world_close(w);
}

static void an_error_that_was_passed_on_counts_when_nobody_is_left(void **state)
{
    struct world *w = world_open();
    (void)state;
    assert_true(restore(w, 7, false, 0, outcome_of(w, 5)));
    JOIN(w, "F", .role = SFL_ROLE_FOLLOW_ONLY);
    HEAR(w, "F", "follow attempt=3 leader=L running=0");
    world_pass(w, 5000);
    HEAR(w, "F", "result ERROR \"partial\" callers=2 attempt=2 token=5 shared");
    world_close(w);
}

static void beyond_the_limit_of_flights_a_lead_is_not_taken(void **state)
{
    struct world *w = world_open();
    (void)state;
    world_limits(w)->flights_max = 1;
    JOIN_KEY(w, "A", "other");
    HEAR(w, "A", "lead token=1 attempt=1");
    assert_false(restore(w, 7, false, 0, NULL));
    world_close(w);
}

static void without_memory_a_lead_is_not_taken(void **state)
{
    struct world *w = world_open();
    (void)state;
    for (uint32_t nth = 1; nth < 6; nth++) {
        memory_fail(world_memory(w), nth, 1);
        bool is_taken = restore(w, 7, false, 0, NULL);
        memory_fail_never(world_memory(w));
        if (is_taken)
            break;
        assert_string_equal(world_list(w, "k"), "");
    }
    assert_string_not_equal(world_list(w, "k"), "");
    world_close(w);
}

static void nothing_but_what_outlives_the_process_is_at_rest(void **state)
{
    struct world *w = world_open();
    uint64_t callers = 1;
    (void)state;
    assert_true(sfl_table_is_at_rest(world_table(w), &callers));
    assert_int_equal(callers, 0);
    assert_true(restore(w, 7, false, 0, NULL));
    JOIN(w, "F");
    world_skip(w, "F");
    assert_true(sfl_table_is_at_rest(world_table(w), &callers));
    assert_int_equal(callers, 1);
    JOIN(w, "L", .resume_token = 7);
    world_skip(w, "L");
    assert_false(sfl_table_is_at_rest(world_table(w), &callers));
    world_leave(w, "L");
    world_skip(w, "L");
    assert_true(sfl_table_is_at_rest(world_table(w), &callers));
    JOIN_KEY(w, "A", "other");
    world_skip(w, "A");
    assert_false(sfl_table_is_at_rest(world_table(w), &callers));
    world_close(w);
}

static void the_end_of_a_drain_leaves_it_kept(void **state)
{
    struct world *w = world_open();
    (void)state;
    assert_true(restore(w, 7, false, 0, NULL));
    JOIN(w, "F");
    world_skip(w, "F");
    world_drain(w);
    world_shut(w);
    HEAR(w, "F", "UNAVAILABLE: the server's drain time is over; try again");
    assert_int_equal(world_count(w, SFL_EFFECT_UNLEAD), 0);
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lead_comes_back_orphaned_with_a_whole_lease),
        cmocka_unit_test(the_fingerprint_of_the_opener_holds),
        cmocka_unit_test(the_run_limit_counts_from_the_lead),
        cmocka_unit_test(a_run_limit_that_is_over_ends_it_at_once),
        cmocka_unit_test(a_lead_of_before_the_clock_began_is_as_old_as_it_is),
        cmocka_unit_test(an_outcome_of_before_the_clock_began_is_as_old_as_it_is),
        cmocka_unit_test(a_window_from_the_lead_counts_from_the_true_one),
        cmocka_unit_test(a_later_attempt_remembers_when_the_first_was_led),
        cmocka_unit_test(a_lead_that_came_back_and_ended_later_is_not_lost_with_the_restart),
        cmocka_unit_test(a_forgotten_lead_is_found_by_a_resume_alone),
        cmocka_unit_test(of_two_leads_of_a_key_the_greater_token_counts),
        cmocka_unit_test(a_lead_that_has_its_outcome_is_over),
        cmocka_unit_test(an_error_that_was_passed_on_counts_when_nobody_is_left),
        cmocka_unit_test(beyond_the_limit_of_flights_a_lead_is_not_taken),
        cmocka_unit_test(without_memory_a_lead_is_not_taken),
        cmocka_unit_test(nothing_but_what_outlives_the_process_is_at_rest),
        cmocka_unit_test(the_end_of_a_drain_leaves_it_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
