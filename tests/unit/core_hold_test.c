// SPDX-License-Identifier: Apache-2.0
// on_leader_loss HOLD: the loss is the flight's outcome, and nobody tries again.
#include "support/world.h"

#include <string.h>

#define HOLD .on_leader_loss = SFL_LEADER_LOSS_HOLD

static void the_loss_is_the_outcome_for_every_follower(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", HOLD);
    JOIN(w, "B");
    JOIN(w, "C", .live = true);
    world_chunk(w, "A", 0, "half");
    world_leave(w, "A");
    HEAR(w, "A", "lead token=1 attempt=1");
    HEAR(w, "A", "CANCELLED: the stream broke");
    HEAR(w, "B", "follow attempt=1 leader=A running=0");
    HEAR(w, "B",
         "result ABANDONED \"half\" callers=3 attempt=1 token=1 shared texts=\"0 : the leader was "
         "lost: its stream ended\"");
    HEAR(w, "C", "follow attempt=1 leader=A running=0");
    HEAR(w, "C", "chunk \"half\""); // and no restart: it is of that attempt
    HEAR(w, "C",
         "result ABANDONED \"\" callers=3 attempt=1 token=1 shared texts=\"0 : the leader was "
         "lost: its stream ended\"");
    assert_int_equal(world_stats(w).leaders_lost, 1);
    assert_int_equal(world_stats(w).executions, 1);
    world_close(w);
}

static void it_is_retained_as_an_error_and_nobody_leads_until_it_is_forgotten(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", HOLD, .run_limit_ms = 3000, .retain_ms = 1, .retain_error_ms = 60000);
    HEAR(w, "A", "lead token=1 attempt=1 run_limit=3000");
    world_pass(w, 3000);
    HEAR(w, "A", "ABORTED: fenced: token 1, now 0 (its run limit of 3 s ran out)");
    JOIN(w, "B", HOLD);
    HEAR(w, "B",
         "result ABANDONED \"\" callers=1 attempt=1 token=1 shared retained age=0 retain=60000 "
         "texts=\"0 : the leader was lost: its run limit of 3 s ran out\"");
    assert_string_equal(world_forget(w, "k"), "retained");
    JOIN(w, "B", HOLD);
    HEAR(w, "B", "lead token=2 attempt=1");
    world_close(w);
}

static void a_lost_leader_that_resumes_gets_it_too(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", HOLD, .lease_ms = 1000, .retain_error_ms = 60000);
    JOIN(w, "B");
    world_skip(w, "A");
    world_skip(w, "B");
    world_leave(w, "A");
    world_pass(w, 1000);
    HEAR(w, "A", "CANCELLED: the stream broke");
    HEAR(w, "B",
         "result ABANDONED \"\" callers=2 attempt=1 token=1 shared retain=60000 texts=\"0 : the "
         "leader was lost: its lease of 1 s ran out\"");
    JOIN(w, "A2", .resume_token = 1);
    HEAR(w, "A2",
         "result ABANDONED \"\" callers=2 attempt=1 token=1 shared led retained age=0 retain=60000 "
         "texts=\"0 : the leader was lost: its lease of 1 s ran out\"");
    world_close(w);
}

static void pass_on_has_no_effect_with_it(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", HOLD);
    JOIN(w, "B");
    world_pass_on(w, "A", "ERROR no");
    HEAR(w, "A", "lead token=1 attempt=1");
    HEAR(w, "A", "result ERROR \"\" callers=2 attempt=1 token=1 shared led");
    HEAR(w, "B", "follow attempt=1 leader=A running=0");
    HEAR(w, "B", "result ERROR \"no\" callers=2 attempt=1 token=1 shared");
    world_close(w);
}

static void who_meets_an_overdue_leader_gets_it_as_a_follower(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", HOLD, .lease_ms = 1000);
    HEAR(w, "A", "lead token=1 attempt=1 lease=1000");
    world_pass(w, 2000);
    JOIN(w, "B");
    HEAR(w, "A", "ABORTED: fenced: token 1, now 0 (its lease of 1 s ran out)");
    HEAR(w, "B", "follow attempt=1 leader=A running=2000");
    HEAR(w, "B",
         "result ABANDONED \"\" callers=2 attempt=1 token=1 shared texts=\"0 : the leader was "
         "lost: its lease of 1 s ran out\"");
    world_close(w);
}

static void a_step_error_is_a_loss(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", HOLD);
    JOIN(w, "B");
    world_chunk(w, "A", 7, "x");
    HEAR(w, "A", "lead token=1 attempt=1");
    HEAR(w, "A", "INVALID_ARGUMENT: chunk.sequence: 7, expected 0");
    HEAR(w, "B", "follow attempt=1 leader=A running=0");
    HEAR(w, "B",
         "result ABANDONED \"\" callers=2 attempt=1 token=1 shared texts=\"0 : the leader was "
         "lost: its stream ended with an error\"");
    world_close(w);
}

static void where_it_is_kept_it_is_there_before_the_lead_is_gone(void **state)
{
    (void)state;
    struct world *w = world_open();
    const struct sfl_join join = {.group = sfl_span_of_text("g"),
                                  .key = sfl_span_of_text("k"),
                                  .lease_ms = 1000,
                                  .on_leader_loss = SFL_LEADER_LOSS_HOLD,
                                  .retain_error_ms = 60000};
    const struct sfl_left_lead lead = {.join = &join, .token = 7, .attempt = 1};
    assert_true(sfl_table_restore_lead(world_table(w), &lead, world_hash("g", "k"), 0));
    JOIN(w, "L", .resume_token = 7);
    world_skip(w, "L");
    world_fail(w, "L", SFL_REASON_CANCELLED);
    assert_string_equal(world_kept(w), "retain unlead ");
    world_skip(w, "L");
    world_close(w);
}

static void a_fresh_caller_and_one_that_only_leads_get_it_from_an_overdue_leader_too(void **state)
{
    (void)state;
    const struct sfl_join newcomers[] = {{.fresh = true}, {.role = SFL_ROLE_LEAD_ONLY}};
    for (size_t i = 0; i < 2; i++) {
        struct world *w = world_open();
        JOIN(w, "A", HOLD, .lease_ms = 1000, .retain_error_ms = 60000);
        world_skip(w, "A");
        world_pass(w, 2000);
        world_join(w, "B", "k", &newcomers[i]);
        HEAR(w, "B", "follow attempt=1 leader=A running=2000");
        HEAR(w, "B",
             "result ABANDONED \"\" callers=2 attempt=1 token=1 shared retain=60000 texts=\"0 : "
             "the leader was lost: its lease of 1 s ran out\"");
        world_skip(w, "A");
        JOIN(w, "C", .fresh = true); // it takes nothing that is retained, as ever
        HEAR(w, "C", "lead token=2 attempt=1");
        world_close(w);
    }
}

static void an_overdue_leader_that_gives_its_room_leaves_it_without_the_value(void **state)
{
    (void)state;
    struct world *w = world_open();
    world_limits(w)->held_bytes_max = 100;
    JOIN(w, "A", HOLD, .lease_ms = 1000, .retain_error_ms = 60000);
    world_chunk(w, "A", 0, "012345");
    world_skip(w, "A");
    world_pass(w, 2000);
    JOIN(w, "F", .role = SFL_ROLE_FOLLOW_ONLY, .live = true);
    HEAR(w, "F", "follow attempt=1 leader=A running=2000");
    HEAR(w, "F", "chunk \"012345\"");
    JOIN_KEY(w, "X", "other");
    char value[98] = {0};
    memset(value, 'x', sizeof(value) - 1);
    world_chunk(w, "X", 0, value);
    HEAR(w, "X", "lead token=2 attempt=1");
    HEAR(w, "A", "ABORTED: fenced: token 1, now 0 (its room was needed)");
    HEAR(w, "F", "restart attempt=1 leader=A");
    HEAR(w, "F",
         "result ABANDONED \"\" callers=2 attempt=1 token=1 shared retain=60000 texts=\"0 : the "
         "leader was lost: its room was needed\"");
    JOIN(w, "B", HOLD);
    HEAR(w, "B",
         "result ABANDONED \"\" callers=2 attempt=1 token=1 shared retained age=0 retain=60000 "
         "texts=\"0 : the leader was lost: its room was needed\"");
    world_close(w);
}

static void without_memory_for_it_the_followers_end_with_aborted(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", HOLD);
    JOIN(w, "B");
    HEAR(w, "A", "lead token=1 attempt=1");
    HEAR(w, "B", "follow attempt=1 leader=A running=0");
    memory_fail(world_memory(w), 1, 100);
    world_leave(w, "A");
    memory_fail_never(world_memory(w));
    HEAR(w, "A", "CANCELLED: the stream broke");
    HEAR(w, "B", "ABORTED: the leader was lost: its stream ended");
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_loss_is_the_outcome_for_every_follower),
        cmocka_unit_test(it_is_retained_as_an_error_and_nobody_leads_until_it_is_forgotten),
        cmocka_unit_test(a_lost_leader_that_resumes_gets_it_too),
        cmocka_unit_test(pass_on_has_no_effect_with_it),
        cmocka_unit_test(who_meets_an_overdue_leader_gets_it_as_a_follower),
        cmocka_unit_test(a_step_error_is_a_loss),
        cmocka_unit_test(where_it_is_kept_it_is_there_before_the_lead_is_gone),
        cmocka_unit_test(a_fresh_caller_and_one_that_only_leads_get_it_from_an_overdue_leader_too),
        cmocka_unit_test(an_overdue_leader_that_gives_its_room_leaves_it_without_the_value),
        cmocka_unit_test(without_memory_for_it_the_followers_end_with_aborted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
