// SPDX-License-Identifier: Apache-2.0
// The tests of golang.org/x/sync/singleflight, across processes: see tests/GO_COUNTERPARTS.md.
// Each caller is a process of its own; none sleeps: a caller that waits says `follow`.
#include "daemon.h"
#include "worker_process.h"

#include "asker.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define FOLLOWERS 9

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

static struct process start_leader(const char *key)
{
    struct process leader = worker_start(daemon_.address, key, "caller=leader");
    worker_expect_lead(&leader, 1);
    return leader;
}

static void start_followers(struct process *followers, size_t count, const char *key)
{
    for (size_t i = 0; i < count; i++)
        followers[i] = worker_start(daemon_.address, key, "");
    for (size_t i = 0; i < count; i++)
        worker_expect(&followers[i], "follow 1 leader");
}

// TestDo
static void do_returns_the_value(void **state)
{
    (void)state;
    struct process leader = start_leader("go-do");
    worker_tell(&leader, "write bar");
    worker_tell(&leader, "ok");
    struct worker_result result = worker_expect_done(&leader);
    assert_string_equal(result.status, "OK");
    assert_int_equal(result.outcome, SINGLEFLIGHT_OUTCOME_OK);
    assert_string_equal(result.value, "bar");
    assert_false(result.shared);
    worker_quit(&leader);
}

// TestDoErr
static void do_returns_the_error_and_no_value(void **state)
{
    (void)state;
    struct process leader = start_leader("go-do-err");
    worker_tell(&leader, "error 7 some error");
    struct worker_result result = worker_expect_done(&leader);
    assert_string_equal(result.status, "OK");
    assert_int_equal(result.outcome, SINGLEFLIGHT_OUTCOME_ERROR);
    assert_int_equal(result.code, 7);
    assert_string_equal(result.message, "some error");
    assert_int_equal(result.bytes, 0);
    worker_quit(&leader);
}

// TestDoDupSuppress
static void duplicates_are_suppressed_across_processes(void **state)
{
    (void)state;
    struct process leader = start_leader("go-dup");
    struct process followers[FOLLOWERS];
    start_followers(followers, FOLLOWERS, "go-dup");
    worker_tell(&leader, "write bar");
    worker_tell(&leader, "ok");
    struct worker_result led = worker_expect_done(&leader);
    assert_true(led.led);
    assert_true(led.shared);
    assert_int_equal(led.callers, FOLLOWERS + 1);
    for (size_t i = 0; i < FOLLOWERS; i++) {
        struct worker_result result = worker_expect_done(&followers[i]);
        assert_string_equal(result.value, "bar");
        assert_false(result.led);
        assert_true(result.shared);
        assert_int_equal(result.token, led.token);
        worker_quit(&followers[i]);
    }
    worker_quit(&leader);
}

// TestForget
static void forget_lets_the_next_caller_start_anew(void **state)
{
    (void)state;
    struct process first = start_leader("go-forget");
    struct singleflight_client *client = client_of(daemon_.address);
    struct singleflight_forgotten forgotten;
    assert_int_equal(singleflight_forget(client, NULL, "go-forget", 9, false, 0, &forgotten),
                     SINGLEFLIGHT_OK);
    assert_true(forgotten.flight);
    singleflight_client_destroy(client);

    struct process second = start_leader("go-forget"); // it leads, too
    struct process third[1];
    start_followers(third, 1, "go-forget");
    worker_tell(&first, "write 1");
    worker_tell(&first, "ok");
    struct worker_result result = worker_expect_done(&first);
    assert_string_equal(result.value, "1");
    assert_false(result.shared);
    worker_tell(&second, "write 2");
    worker_tell(&second, "ok");
    assert_string_equal(worker_expect_done(&second).value, "2");
    assert_string_equal(worker_expect_done(&third[0]).value, "2");
    worker_quit(&first);
    worker_quit(&second);
    worker_quit(&third[0]);
}

// TestDoChan: the workers are asynchronous callers already, so here is the other way around, a
// blocking one that gets what an asynchronous one made.
static void an_asynchronous_do_serves_a_blocking_one(void **state)
{
    (void)state;
    struct process leader = worker_start(daemon_.address, "go-chan", "audience=1");
    worker_expect_lead(&leader, 1);
    struct singleflight_client *client = client_of(daemon_.address);
    struct singleflight_do_options options = options_of("go-chan");
    options.role = SINGLEFLIGHT_ROLE_FOLLOW_ONLY;
    struct asker asker;
    asker_start(&asker, client, &options, NULL, NULL);
    worker_expect(&leader, "audience 1");
    worker_tell(&leader, "write bar");
    worker_tell(&leader, "ok");
    struct singleflight_result *result = asker_join(&asker);
    assert_value(result, "bar");
    singleflight_result_free(result);
    singleflight_client_destroy(client);
    assert_string_equal(worker_expect_done(&leader).value, "bar");
    worker_quit(&leader);
}

// TestPanicDo
static void a_panic_reaches_every_caller(void **state)
{
    (void)state;
    struct process leader = start_leader("go-panic");
    struct process followers[FOLLOWERS];
    start_followers(followers, FOLLOWERS, "go-panic");
    worker_tell(&leader, "panic invalid memory address or nil pointer dereference");
    assert_int_equal(worker_expect_done(&leader).outcome, SINGLEFLIGHT_OUTCOME_PANIC);
    for (size_t i = 0; i < FOLLOWERS; i++) {
        struct worker_result result = worker_expect_done(&followers[i]);
        assert_int_equal(result.outcome, SINGLEFLIGHT_OUTCOME_PANIC);
        assert_string_equal(result.message, "invalid memory address or nil pointer dereference");
        worker_quit(&followers[i]);
    }
    worker_quit(&leader);
}

// TestGoexitDo
static enum singleflight_outcome exit_function(struct singleflight_leader *leader, void *context)
{
    (void)gate_function(leader, context);
    pthread_exit(NULL);
}

struct exiting {
    struct singleflight_client *client;
    struct gate gate;
};

static void *exiting_thread(void *argument)
{
    struct exiting *exiting = argument;
    struct singleflight_do_options options = options_of("go-exit");
    options.caller = "leader";
    (void)singleflight_do(exiting->client, &options, exit_function, &exiting->gate, NULL);
    return exiting; // never: the thread ends inside the function
}

static void a_thread_that_exits_in_the_function_abandons_the_flight(void **state)
{
    (void)state;
    struct exiting exiting = {.client = client_of(daemon_.address), .gate = GATE_INIT};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, exiting_thread, &exiting), 0);
    gate_wait_entered(&exiting.gate, 1);
    struct process followers[FOLLOWERS];
    start_followers(followers, FOLLOWERS, "go-exit");
    gate_open(&exiting.gate);
    void *returned = &exiting;
    assert_int_equal(pthread_join(thread, &returned), 0);
    assert_null(returned);
    for (size_t i = 0; i < FOLLOWERS; i++) {
        struct worker_result result = worker_expect_done(&followers[i]);
        assert_string_equal(result.status, "OK");
        assert_int_equal(result.outcome, SINGLEFLIGHT_OUTCOME_ABANDONED);
        worker_quit(&followers[i]);
    }
    singleflight_client_destroy(exiting.client);
}

// TestPanicDoChan: in Go the program dies. Here it does, too; but the work goes on elsewhere.
static void a_leader_that_crashes_is_replaced(void **state)
{
    (void)state;
    struct process leader = start_leader("go-panic-chan");
    struct process followers[2];
    start_followers(&followers[0], 1, "go-panic-chan");
    start_followers(&followers[1], 1, "go-panic-chan");
    worker_tell(&leader, "crash");
    process_wait(leader.pid);
    process_close(&leader);
    worker_expect_lead(&followers[0], 2);
    worker_tell(&followers[0], "write saved");
    worker_tell(&followers[0], "ok");
    for (size_t i = 0; i < 2; i++) {
        struct worker_result result = worker_expect_done(&followers[i]);
        assert_string_equal(result.value, "saved");
        assert_int_equal(result.attempt, 2);
        worker_quit(&followers[i]);
    }
}

// TestPanicDoSharedByDoChan
static enum singleflight_outcome panic_function(struct singleflight_leader *leader, void *context)
{
    struct process *follower = context;
    start_followers(follower, 1, "go-panic-shared");
    return singleflight_leader_panic(leader, "shared panic", "panic_function");
}

static void a_panic_of_a_blocking_do_reaches_an_asynchronous_one(void **state)
{
    (void)state;
    struct singleflight_client *client = client_of(daemon_.address);
    struct singleflight_do_options options = options_of("go-panic-shared");
    options.caller = "leader";
    struct process follower;
    struct singleflight_result *result;
    assert_int_equal(singleflight_do(client, &options, panic_function, &follower, &result),
                     SINGLEFLIGHT_OK);
    assert_int_equal(result->outcome, SINGLEFLIGHT_OUTCOME_PANIC);
    assert_string_equal(result->stack, "panic_function");
    singleflight_result_free(result);
    struct worker_result shared = worker_expect_done(&follower);
    assert_int_equal(shared.outcome, SINGLEFLIGHT_OUTCOME_PANIC);
    assert_string_equal(shared.message, "shared panic");
    worker_quit(&follower);
    singleflight_client_destroy(client);
}

// ExampleGroup
static void the_example_prints_one_value_for_both(void **state)
{
    (void)state;
    struct process first = start_leader("go-example");
    struct process second[1];
    start_followers(second, 1, "go-example");
    worker_tell(&first, "write func 1");
    worker_tell(&first, "ok");
    struct worker_result one = worker_expect_done(&first);
    struct worker_result two = worker_expect_done(&second[0]);
    assert_string_equal(one.value, "func 1");
    assert_string_equal(two.value, "func 1");
    assert_true(one.shared);
    assert_true(two.shared);
    worker_quit(&first);
    worker_quit(&second[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(do_returns_the_value),
        cmocka_unit_test(do_returns_the_error_and_no_value),
        cmocka_unit_test(duplicates_are_suppressed_across_processes),
        cmocka_unit_test(forget_lets_the_next_caller_start_anew),
        cmocka_unit_test(an_asynchronous_do_serves_a_blocking_one),
        cmocka_unit_test(a_panic_reaches_every_caller),
        cmocka_unit_test(a_thread_that_exits_in_the_function_abandons_the_flight),
        cmocka_unit_test(a_leader_that_crashes_is_replaced),
        cmocka_unit_test(a_panic_of_a_blocking_do_reaches_an_asynchronous_one),
        cmocka_unit_test(the_example_prints_one_value_for_both),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
