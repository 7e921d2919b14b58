// SPDX-License-Identifier: Apache-2.0
// Chunks while the leader still writes them, and what becomes of them when it is lost.
#include "asker.h"
#include "daemon.h"
#include "worker_process.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct test_daemon daemon_;

static int set_up(void **state)
{
    (void)state;
    daemon_ = daemon_start("127.0.0.1:0");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    daemon_end(&daemon_, SIGTERM);
    return 0;
}

static void expect_ok(struct process *worker, const char *value, unsigned attempt)
{
    struct worker_result result = worker_expect_done(worker);
    assert_string_equal(result.status, "OK");
    assert_int_equal(result.outcome, SINGLEFLIGHT_OUTCOME_OK);
    assert_string_equal(result.value, value);
    assert_int_equal(result.attempt, attempt);
    worker_quit(worker);
}

static void live_followers_read_what_is_written_at_once(void **state)
{
    (void)state;
    struct process leader = worker_start(daemon_.address, "live", "caller=l");
    worker_expect_lead(&leader, 1);
    struct process early = worker_start(daemon_.address, "live", "live=1");
    worker_expect(&early, "follow 1 l");
    worker_tell(&leader, "write one ");
    worker_expect(&early, "chunk one ");
    // One that comes later gets what it has missed.
    struct process late = worker_start(daemon_.address, "live", "live=1");
    worker_expect(&late, "follow 1 l");
    worker_expect(&late, "chunk one ");
    worker_tell(&leader, "write two");
    worker_expect(&early, "chunk two");
    worker_expect(&late, "chunk two");
    worker_tell(&leader, "ok");
    expect_ok(&leader, "one two", 1);
    expect_ok(&early, "one two", 1);
    expect_ok(&late, "one two", 1);
}

static void a_follower_that_is_not_live_gets_the_value_at_the_end_alone(void **state)
{
    (void)state;
    struct process leader = worker_start(daemon_.address, "not live", "caller=l audience=1");
    worker_expect_lead(&leader, 1);
    struct process follower = worker_start(daemon_.address, "not live", "");
    worker_expect(&follower, "follow 1 l");
    worker_expect(&leader, "audience 1");
    worker_tell(&leader, "write one ");
    worker_tell(&leader, "write two");
    worker_tell(&leader, "ok");
    expect_ok(&leader, "one two", 1);
    expect_ok(&follower, "one two", 1); // no chunk line before
}

static void when_the_leader_is_killed_live_followers_start_over(void **state)
{
    (void)state;
    struct process leader = worker_start(daemon_.address, "killed", "caller=first");
    uint64_t first_token = worker_expect_lead(&leader, 1);
    struct process heir = worker_start(daemon_.address, "killed", "live=1 caller=heir");
    worker_expect(&heir, "follow 1 first");
    struct process other = worker_start(daemon_.address, "killed", "live=1");
    worker_expect(&other, "follow 1 first");
    worker_tell(&leader, "write half");
    worker_expect(&heir, "chunk half");
    worker_expect(&other, "chunk half");
    worker_kill(&leader);

    // What the heir was told is void for it, too.
    worker_expect(&heir, "restart 2 heir");
    uint64_t second_token = worker_expect_lead(&heir, 2);
    assert_true(second_token > first_token);
    worker_expect(&other, "restart 2 heir");
    worker_tell(&heir, "write whole");
    worker_expect(&other, "chunk whole");
    worker_tell(&heir, "ok");
    expect_ok(&heir, "whole", 2);
    expect_ok(&other, "whole", 2);
}

static void a_leader_that_cancels_with_its_function_hands_over(void **state)
{
    (void)state;
    struct process leader =
        worker_start(daemon_.address, "cancels", "ends_function=1 caller=first");
    worker_expect_lead(&leader, 1);
    struct process heir = worker_start(daemon_.address, "cancels", "");
    worker_expect(&heir, "follow 1 first");
    worker_tell(&leader, "cancel");
    worker_expect(&leader, "lost CANCELLED");
    worker_expect_lead(&heir, 2);
    worker_tell(&leader, "ok"); // late: nobody hears it
    struct worker_result result = worker_expect_done(&leader);
    assert_string_equal(result.status, "CANCELLED");
    worker_quit(&leader);
    worker_tell(&heir, "write mine");
    worker_tell(&heir, "ok");
    expect_ok(&heir, "mine", 2);
}

static void a_leader_that_passes_on_keeps_its_own_error(void **state)
{
    (void)state;
    struct process leader = worker_start(daemon_.address, "passes", "caller=first");
    worker_expect_lead(&leader, 1);
    struct process heir = worker_start(daemon_.address, "passes", "");
    worker_expect(&heir, "follow 1 first");
    worker_tell(&leader, "pass_on 3 no licence here");
    worker_expect_lead(&heir, 2);
    struct worker_result result = worker_expect_done(&leader);
    assert_int_equal(result.outcome, SINGLEFLIGHT_OUTCOME_ERROR);
    assert_int_equal(result.code, 3);
    assert_string_equal(result.message, "no licence here");
    worker_quit(&leader);
    worker_tell(&heir, "ok");
    expect_ok(&heir, "", 2);
}

static void retained_values_come_as_chunks_to_live_callers(void **state)
{
    (void)state;
    struct process leader = worker_start(daemon_.address, "kept", "retain_ms=60000");
    worker_expect_lead(&leader, 1);
    worker_tell(&leader, "write kept");
    worker_tell(&leader, "ok");
    expect_ok(&leader, "kept", 1);
    struct process late = worker_start(daemon_.address, "kept", "live=1");
    worker_expect(&late, "chunk kept");
    struct worker_result result = worker_expect_done(&late);
    assert_true(result.retained);
    assert_string_equal(result.value, "kept");
    worker_quit(&late);
}

static void a_leader_learns_who_waits(void **state)
{
    (void)state;
    struct process leader = worker_start(daemon_.address, "audience", "audience=1 caller=l");
    worker_expect_lead(&leader, 1);
    struct process follower = worker_start(daemon_.address, "audience", "");
    worker_expect(&follower, "follow 1 l");
    worker_expect(&leader, "audience 1");
    worker_tell(&follower, "cancel");
    struct worker_result result = worker_expect_done(&follower);
    assert_string_equal(result.status, "CANCELLED");
    worker_expect(&leader, "audience 0");
    worker_quit(&follower);
    worker_tell(&leader, "ok");
    expect_ok(&leader, "", 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(live_followers_read_what_is_written_at_once),
        cmocka_unit_test(a_follower_that_is_not_live_gets_the_value_at_the_end_alone),
        cmocka_unit_test(when_the_leader_is_killed_live_followers_start_over),
        cmocka_unit_test(a_leader_that_cancels_with_its_function_hands_over),
        cmocka_unit_test(a_leader_that_passes_on_keeps_its_own_error),
        cmocka_unit_test(retained_values_come_as_chunks_to_live_callers),
        cmocka_unit_test(a_leader_learns_who_waits),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
