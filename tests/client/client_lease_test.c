// SPDX-License-Identifier: Apache-2.0
// Leases: kept alive, taken up again on a new connection, given back, lost.
#include "asker.h"
#include "daemon.h"
#include "relay.h"
#include "worker_process.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct test_daemon daemon_;
static struct relay *relay;

static int set_up(void **state)
{
    (void)state;
    daemon_ = daemon_start("127.0.0.1:0");
    relay = relay_create(daemon_.address);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    relay_destroy(relay);
    daemon_end(&daemon_, SIGTERM);
    return 0;
}

static void expect_ok(struct process *worker, const char *value, unsigned attempt)
{
    struct worker_result result = worker_expect_done(worker);
    if (strcmp(result.status, "OK") != 0)
        fail_msg("%s: %s", result.status, result.message);
    assert_int_equal(result.outcome, SINGLEFLIGHT_OUTCOME_OK);
    assert_string_equal(result.value, value);
    assert_int_equal(result.attempt, attempt);
    worker_quit(worker);
}

// The function waits for its loss for longer than the lease; without renewals it would see it.
static enum singleflight_outcome outlive_lease(struct singleflight_leader *leader, void *context)
{
    enum singleflight_status *lost = context;
    uint64_t lease_ms = singleflight_leader_lease_ms(leader);
    *lost = singleflight_leader_wait_lost(leader, 2 * lease_ms + lease_ms / 2);
    return SINGLEFLIGHT_OUTCOME_OK;
}

static void a_lease_is_renewed_for_as_long_as_the_function_runs(void **state)
{
    (void)state;
    struct singleflight_client *client = client_of(daemon_.address);
    struct singleflight_do_options options = options_of("renewed");
    options.lease_ms = 2000; // two renewals may come late on a busy machine
    enum singleflight_status lost = SINGLEFLIGHT_UNKNOWN;
    struct singleflight_result *result;
    assert_int_equal(singleflight_do(client, &options, outlive_lease, &lost, &result),
                     SINGLEFLIGHT_OK);
    assert_int_equal(lost, SINGLEFLIGHT_OK);
    assert_true(result->led);
    assert_int_equal(result->attempt, 1);
    singleflight_result_free(result);
    singleflight_client_destroy(client);
}

static void a_leader_with_a_lease_survives_a_cut_connection(void **state)
{
    (void)state;
    struct process leader = worker_start(relay_address(relay), "cut", "lease_ms=10000 caller=l");
    worker_expect_lead(&leader, 1);
    struct process follower = worker_start(daemon_.address, "cut", "live=1");
    worker_expect(&follower, "follow 1 l");
    worker_tell(&leader, "write one ");
    worker_expect(&follower, "chunk one ");
    relay_cut(relay, false);
    worker_tell(&leader, "write two ");
    worker_expect(&follower, "chunk two "); // no restart in between
    relay_cut(relay, false);
    worker_tell(&leader, "write three");
    worker_tell(&leader, "ok");
    worker_expect(&follower, "chunk three");
    expect_ok(&leader, "one two three", 1);
    expect_ok(&follower, "one two three", 1);
}

// Cuts it at many places of a large value: what had not arrived is sent again, nothing twice.
static void a_large_value_arrives_whole_over_a_connection_that_breaks_and_breaks(void **state)
{
    (void)state;
    struct process leader = worker_start(relay_address(relay), "breaks", "lease_ms=10000 caller=l");
    worker_expect_lead(&leader, 1);
    struct process follower = worker_start(daemon_.address, "breaks", "");
    worker_expect(&follower, "follow 1 l");
    for (int i = 0; i < 10; i++) {
        worker_tell(&leader, "fill 2600000");
        relay_cut(relay, false);
    }
    worker_tell(&leader, "ok");
    struct worker_result result = worker_expect_done(&follower);
    assert_string_equal(result.status, "OK");
    assert_int_equal(result.bytes, 26000000);
    assert_int_equal(result.attempt, 1);
    assert_int_equal(worker_expect_done(&leader).bytes, 26000000);
    worker_quit(&leader);
    worker_quit(&follower);
}

static void without_a_lease_a_cut_connection_is_the_end_of_the_lead(void **state)
{
    (void)state;
    struct process leader = worker_start(relay_address(relay), "no lease", "caller=l");
    worker_expect_lead(&leader, 1);
    struct process heir = worker_start(daemon_.address, "no lease", "");
    worker_expect(&heir, "follow 1 l");
    relay_cut(relay, false);
    worker_expect(&leader, "lost ABORTED");
    worker_expect_lead(&heir, 2);
    worker_tell(&leader, "ok");
    struct worker_result result = worker_expect_done(&leader);
    assert_string_equal(result.status, "ABORTED");
    assert_non_null(strstr(result.message, "lease"));
    worker_quit(&leader);
    worker_tell(&heir, "ok");
    expect_ok(&heir, "", 2);
}

static void a_follower_joins_anew_over_a_cut_connection(void **state)
{
    (void)state;
    struct process leader = worker_start(daemon_.address, "rejoin", "caller=l");
    worker_expect_lead(&leader, 1);
    struct process plain = worker_start(relay_address(relay), "rejoin", "");
    worker_expect(&plain, "follow 1 l");
    struct process live = worker_start(relay_address(relay), "rejoin", "live=1");
    worker_expect(&live, "follow 1 l");
    worker_tell(&leader, "write one ");
    worker_expect(&live, "chunk one ");
    relay_cut(relay, false);
    worker_expect(&plain, "follow 1 l");
    worker_expect(&live, "restart 1 l"); // it is told that it all comes again
    worker_expect(&live, "follow 1 l");
    worker_expect(&live, "chunk one ");
    worker_tell(&leader, "write two");
    worker_expect(&live, "chunk two");
    worker_tell(&leader, "ok");
    expect_ok(&leader, "one two", 1);
    expect_ok(&plain, "one two", 1);
    expect_ok(&live, "one two", 1);
}

static void a_lease_that_runs_out_while_cut_off_is_lost_here_and_there(void **state)
{
    (void)state;
    struct process leader =
        worker_start(relay_address(relay), "runs out", "lease_ms=1000 caller=l");
    worker_expect_lead(&leader, 1);
    struct process heir = worker_start(daemon_.address, "runs out", "");
    worker_expect(&heir, "follow 1 l");
    relay_cut(relay, true);
    worker_expect(&leader, "lost ABORTED");
    worker_expect_lead(&heir, 2);
    relay_accept(relay);
    worker_tell(&leader, "ok");
    struct worker_result result = worker_expect_done(&leader);
    assert_string_equal(result.status, "ABORTED");
    worker_quit(&leader);
    worker_tell(&heir, "ok");
    expect_ok(&heir, "", 2);
}

static void expect_alone(struct process *worker, const char *value, unsigned long long token)
{
    struct worker_result result = worker_expect_done(worker);
    assert_string_equal(result.status, "OK");
    assert_int_equal(result.outcome, SINGLEFLIGHT_OUTCOME_OK);
    assert_string_equal(result.value, value);
    assert_true(result.led);
    assert_true(result.alone);
    assert_int_equal(result.token, token);
    worker_quit(worker);
}

static void with_fail_open_a_function_goes_on_when_its_server_is_gone(void **state)
{
    (void)state;
    struct process leader = worker_start(relay_address(relay), "goes on", "fail_open=1 caller=l");
    unsigned long long token = worker_expect_lead(&leader, 1);
    worker_tell(&leader, "write one ");
    struct process heir = worker_start(daemon_.address, "goes on", "");
    worker_expect(&heir, "follow 1 l");
    relay_cut(relay, true);
    worker_expect_lead(&heir, 2);
    worker_tell(&leader, "write two");
    worker_tell(&leader, "ok");
    expect_alone(&leader, "one two", token);
    relay_accept(relay);
    worker_tell(&heir, "ok");
    expect_ok(&heir, "", 2);
}

static void with_fail_open_an_outcome_counts_that_finds_no_server_within_the_lease(void **state)
{
    (void)state;
    struct process leader =
        worker_start(relay_address(relay), "counts", "fail_open=1 lease_ms=1000 caller=l");
    unsigned long long token = worker_expect_lead(&leader, 1);
    worker_tell(&leader, "fill 3000000"); // more than may wait to be sent
    relay_cut(relay, true);
    worker_tell(&leader, "ok");
    struct worker_result result = worker_expect_done(&leader);
    assert_string_equal(result.status, "OK");
    assert_int_equal(result.bytes, 3000000);
    assert_true(result.alone);
    assert_int_equal(result.token, token);
    relay_accept(relay);
    worker_quit(&leader);
}

static void with_fail_open_a_running_leader_outlives_its_lease(void **state)
{
    (void)state;
    struct process leader =
        worker_start(relay_address(relay), "outlives", "fail_open=1 lease_ms=1000 caller=l");
    unsigned long long token = worker_expect_lead(&leader, 1);
    struct process heir = worker_start(daemon_.address, "outlives", "");
    worker_expect(&heir, "follow 1 l");
    relay_cut(relay, true);
    worker_expect_lead(&heir, 2); // the lease is over
    worker_tell(&leader, "write more");
    worker_tell(&leader, "ok");
    expect_alone(&leader, "more", token);
    relay_accept(relay);
    worker_tell(&heir, "ok");
    expect_ok(&heir, "", 2);
}

static void cancelling_gives_a_lease_back_at_once(void **state)
{
    (void)state;
    struct process leader =
        worker_start(daemon_.address, "back", "lease_ms=600000 ends_function=1 caller=l");
    worker_expect_lead(&leader, 1);
    struct process heir = worker_start(daemon_.address, "back", "");
    worker_expect(&heir, "follow 1 l");
    worker_tell(&leader, "cancel");
    worker_expect(&leader, "lost CANCELLED");
    worker_expect_lead(&heir, 2); // not after ten minutes
    worker_tell(&leader, "ok");
    assert_string_equal(worker_expect_done(&leader).status, "CANCELLED");
    worker_quit(&leader);
    worker_tell(&heir, "ok");
    expect_ok(&heir, "", 2);
}

// As long as such a call waits, for the sake of the time that goes by.
static void wait_for_timeout(const char *key, const char *options)
{
    struct process waits = worker_start(daemon_.address, key, options);
    worker_expect(&waits, "follow 1 l");
    assert_string_equal(worker_expect_done(&waits).status, "DEADLINE_EXCEEDED");
    worker_quit(&waits);
}

static void a_deadline_holds_for_a_process_that_was_paused(void **state)
{
    (void)state;
    struct process leader = worker_start(
        daemon_.address, "paused", "lease_ms=600000 timeout_ms=1500 ends_function=1 caller=l");
    worker_expect_lead(&leader, 1);
    struct process heir = worker_start(daemon_.address, "paused", "");
    worker_expect(&heir, "follow 1 l");
    kill(leader.pid, SIGSTOP);
    wait_for_timeout("paused", "timeout_ms=1200 role=2");
    kill(leader.pid, SIGCONT);
    worker_expect(&leader, "lost DEADLINE_EXCEEDED");
    worker_expect_lead(&heir, 2); // not after ten minutes
    worker_tell(&leader, "ok");
    assert_string_equal(worker_expect_done(&leader).message, "the timeout of 1500 ms is over");
    worker_quit(&leader);
    worker_tell(&heir, "ok");
    expect_ok(&heir, "", 2);
}

static void a_new_process_takes_up_the_lease_of_one_that_died(void **state)
{
    (void)state;
    struct process first = worker_start(daemon_.address, "taken up", "lease_ms=600000 caller=l");
    uint64_t token = worker_expect_lead(&first, 1);
    struct process follower = worker_start(daemon_.address, "taken up", "live=1");
    worker_expect(&follower, "follow 1 l");
    worker_tell(&first, "write one ");
    worker_expect(&follower, "chunk one ");
    worker_kill(&first);

    char options[64];
    snprintf(options, sizeof(options), "resume_token=%llu", (unsigned long long)token);
    struct process second = worker_start(daemon_.address, "taken up", options);
    assert_true(worker_expect_lead(&second, 1) == token);
    worker_tell(&second, "write two");
    worker_expect(&follower, "chunk two");
    worker_tell(&second, "ok");
    assert_string_equal(worker_expect_done(&second).value, "two"); // what it has written itself
    worker_quit(&second);
    expect_ok(&follower, "one two", 1);

    struct process third = worker_start(daemon_.address, "taken up", options);
    assert_string_equal(worker_expect_done(&third).status, "ABORTED");
    worker_quit(&third);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lease_is_renewed_for_as_long_as_the_function_runs),
        cmocka_unit_test(a_leader_with_a_lease_survives_a_cut_connection),
        cmocka_unit_test(a_large_value_arrives_whole_over_a_connection_that_breaks_and_breaks),
        cmocka_unit_test(without_a_lease_a_cut_connection_is_the_end_of_the_lead),
        cmocka_unit_test(a_follower_joins_anew_over_a_cut_connection),
        cmocka_unit_test(a_lease_that_runs_out_while_cut_off_is_lost_here_and_there),
        cmocka_unit_test(with_fail_open_a_function_goes_on_when_its_server_is_gone),
        cmocka_unit_test(with_fail_open_an_outcome_counts_that_finds_no_server_within_the_lease),
        cmocka_unit_test(with_fail_open_a_running_leader_outlives_its_lease),
        cmocka_unit_test(cancelling_gives_a_lease_back_at_once),
        cmocka_unit_test(a_deadline_holds_for_a_process_that_was_paused),
        cmocka_unit_test(a_new_process_takes_up_the_lease_of_one_that_died),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
