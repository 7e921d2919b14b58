// SPDX-License-Identifier: Apache-2.0
// A leader's error that is not for everybody.
#include "support/world.h"

static void finish_with_an_error_and_pass_on_lets_the_next_one_try(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A");
    JOIN(w, "B");
    JOIN(w, "L", .live = true);
    world_chunk(w, "A", 0, "void ");
    world_skip(w, "A");
    world_skip(w, "B");
    world_skip(w, "L");
    world_pass_on(w, "A", "ERROR e1");
    // At once, with its own error, attempt and token.
    HEAR(w, "A", "result ERROR \"\" callers=1 attempt=1 token=1 led");
    HEAR(w, "B", "lead token=2 attempt=2");
    HEAR(w, "L", "restart attempt=2 leader=B");
    world_finish(w, "B", "OK good");
    HEAR(w, "B", "result OK \"\" callers=2 attempt=2 token=2 shared led");
    HEAR(w, "L", "result OK \"good\" callers=2 attempt=2 token=2 shared");
    world_close(w);
}

static void the_last_error_is_the_outcome_once_nobody_is_left_to_try(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A");
    JOIN(w, "B");
    JOIN(w, "F", .role = SFL_ROLE_FOLLOW_ONLY);
    world_pass_on(w, "A", "ERROR e1");
    world_pass_on(w, "B", "ERROR e2");
    world_skip(w, "A");
    HEAR(w, "B", "follow attempt=1 leader=A running=0");
    HEAR(w, "B", "lead token=2 attempt=2");
    HEAR(w, "B", "result ERROR \"\" callers=2 attempt=2 token=2 shared led");
    HEAR(w, "F", "follow attempt=1 leader=A running=0");
    HEAR(w, "F", "result ERROR \"e2\" callers=2 attempt=2 token=2 shared");
    world_close(w);
}

static void a_kept_error_comes_before_aborted_with_its_attempt_and_token(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A");
    JOIN(w, "B");
    JOIN(w, "F", .role = SFL_ROLE_FOLLOW_ONLY);
    world_pass_on(w, "A", "ERROR e1");
    world_leave(w, "B");
    world_skip(w, "A");
    HEAR(w, "B", "follow attempt=1 leader=A running=0");
    HEAR(w, "B", "lead token=2 attempt=2");
    HEAR(w, "B", "CANCELLED: the stream broke");
    HEAR(w, "F", "follow attempt=1 leader=A running=0");
    HEAR(w, "F", "result ERROR \"e1\" callers=2 attempt=1 token=1 shared");
    world_close(w);
}

static void when_attempts_are_used_up_the_kept_error_is_the_outcome(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .max_attempts = 2);
    JOIN(w, "B");
    JOIN(w, "C");
    world_pass_on(w, "A", "ERROR e1");
    world_leave(w, "B");
    world_skip(w, "A");
    world_skip(w, "B");
    HEAR(w, "C", "follow attempt=1 leader=A running=0");
    HEAR(w, "C", "result ERROR \"e1\" callers=2 attempt=1 token=1 shared");
    world_close(w);
}

static void pass_on_in_the_last_attempt_is_a_plain_error_for_all(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .max_attempts = 1, .retain_error_ms = 100);
    JOIN(w, "B");
    world_pass_on(w, "A", "ERROR e1");
    HEAR(w, "A", "lead token=1 attempt=1");
    HEAR(w, "A", "result ERROR \"\" callers=2 attempt=1 token=1 shared led retain=100");
    HEAR(w, "B", "follow attempt=1 leader=A running=0");
    HEAR(w, "B", "result ERROR \"e1\" callers=2 attempt=1 token=1 shared retain=100");
    world_close(w);
}

static void pass_on_with_nobody_to_pass_to_is_a_plain_error(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A");
    world_pass_on(w, "A", "PANIC p");
    HEAR(w, "A", "lead token=1 attempt=1");
    HEAR(w, "A", "result PANIC \"\" callers=1 attempt=1 token=1 led");
    assert_string_equal(world_list(w, "k"), "");
    world_close(w);
}

static void pass_on_with_on_leader_loss_fail_has_no_effect(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .on_leader_loss = SFL_LEADER_LOSS_FAIL);
    JOIN(w, "B");
    world_pass_on(w, "A", "ERROR e1");
    HEAR(w, "A", "lead token=1 attempt=1");
    HEAR(w, "A", "result ERROR \"\" callers=2 attempt=1 token=1 shared led");
    HEAR(w, "B", "follow attempt=1 leader=A running=0");
    HEAR(w, "B", "result ERROR \"e1\" callers=2 attempt=1 token=1 shared");
    world_close(w);
}

static void pass_on_with_ok_is_invalid(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A");
    JOIN(w, "B");
    world_pass_on(w, "A", "OK v");
    HEAR(w, "A", "lead token=1 attempt=1");
    HEAR(w, "A", "INVALID_ARGUMENT: pass_on: not with an outcome of kind OK");
    HEAR(w, "B", "follow attempt=1 leader=A running=0");
    HEAR(w, "B", "lead token=2 attempt=2"); // and the flight goes on
    world_close(w);
}

static void live_followers_get_the_kept_errors_own_bytes_anew(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A");
    JOIN(w, "B");
    JOIN(w, "L", .live = true, .role = SFL_ROLE_FOLLOW_ONLY);
    world_chunk(w, "A", 0, "first ");
    world_pass_on(w, "A", "ERROR e1");
    world_chunk(w, "B", 0, "second ");
    world_leave(w, "B");
    world_skip(w, "A");
    world_skip(w, "B");
    HEAR(w, "L", "follow attempt=1 leader=A running=0");
    HEAR(w, "L", "chunk \"first \"");
    HEAR(w, "L", "restart attempt=2 leader=B");
    HEAR(w, "L", "chunk \"second \"");
    HEAR(w, "L", "restart attempt=1 leader=");
    HEAR(w, "L", "result ERROR \"first e1\" callers=2 attempt=1 token=1 shared");
    assert_string_equal(world_value(w, "L"), "first e1");
    world_close(w);
}

static void a_kept_error_is_retained_as_its_leader_asked_and_under_its_token(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A", .retain_error_ms = 500, .lease_ms = 1000);
    JOIN(w, "B");
    world_pass_on(w, "A", "ERROR e1");
    world_fail(w, "B", SFL_REASON_MALFORMED);
    world_skip(w, "A");
    world_skip(w, "B");
    JOIN(w, "C");
    HEAR(w, "C",
         "result ERROR \"e1\" callers=1 attempt=1 token=1 shared retained age=0 "
         "retain=500");
    JOIN(w, "A2", .resume_token = 1);
    HEAR(w, "A2", "result ERROR \"\" callers=1 attempt=1 token=1 led retained age=0 retain=500");
    JOIN(w, "B2", .resume_token = 2); // B's own came to nothing
    HEAR(w, "B2", "ABORTED: fenced: token 2, now 0");
    world_close(w);
}

static void the_next_in_line_leaves_while_its_home_is_sought_and_the_kept_error_stands(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A");
    JOIN(w, "B");
    JOIN(w, "L", .live = true, .role = SFL_ROLE_FOLLOW_ONLY);
    world_chunk(w, "A", 0, "first ");
    world_homes_late(w, true);
    world_pass_on(w, "A", "ERROR e1");
    world_leave(w, "B");
    world_home(w, true);
    world_skip(w, "A");
    world_skip(w, "B");
    HEAR(w, "L", "follow attempt=1 leader=A running=0");
    HEAR(w, "L", "chunk \"first \"");
    HEAR(w, "L", "result ERROR \"e1\" callers=2 attempt=1 token=1 shared"); // it reads on
    world_close(w);
}

static void success_after_a_pass_on_forgets_the_kept_error(void **state)
{
    (void)state;
    struct world *w = world_open();
    JOIN(w, "A");
    JOIN(w, "B");
    world_pass_on(w, "A", "ERROR a long error that takes room");
    uint64_t held = sfl_budget_used(&world_usage(w)->held_bytes);
    assert_true(held > 0);
    world_finish(w, "B", "OK");
    world_skip(w, "A");
    world_skip(w, "B");
    assert_string_equal(world_forget(w, "k"), "nothing");
    assert_int_equal(sfl_budget_used(&world_usage(w)->held_bytes), 0);
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finish_with_an_error_and_pass_on_lets_the_next_one_try),
        cmocka_unit_test(the_last_error_is_the_outcome_once_nobody_is_left_to_try),
        cmocka_unit_test(a_kept_error_comes_before_aborted_with_its_attempt_and_token),
        cmocka_unit_test(when_attempts_are_used_up_the_kept_error_is_the_outcome),
        cmocka_unit_test(pass_on_in_the_last_attempt_is_a_plain_error_for_all),
        cmocka_unit_test(pass_on_with_nobody_to_pass_to_is_a_plain_error),
        cmocka_unit_test(pass_on_with_on_leader_loss_fail_has_no_effect),
        cmocka_unit_test(pass_on_with_ok_is_invalid),
        cmocka_unit_test(live_followers_get_the_kept_errors_own_bytes_anew),
        cmocka_unit_test(a_kept_error_is_retained_as_its_leader_asked_and_under_its_token),
        cmocka_unit_test(
            the_next_in_line_leaves_while_its_home_is_sought_and_the_kept_error_stands),
        cmocka_unit_test(success_after_a_pass_on_forgets_the_kept_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
