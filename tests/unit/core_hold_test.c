// SPDX-License-Identifier: Apache-2.0
// on_leader_loss HOLD: the loss is the flight's outcome, and nobody tries again.
#include "support/world.h"

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
        cmocka_unit_test(without_memory_for_it_the_followers_end_with_aborted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
