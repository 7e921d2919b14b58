// SPDX-License-Identifier: Apache-2.0
// One process, one daemon: what a Do returns, what is merged, how calls end early.
#include "asker.h"
#include "daemon.h"
#include "worker_process.h"

#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct test_daemon daemon_;
static struct singleflight_client *client;

static int set_up(void **state)
{
    (void)state;
    daemon_ = daemon_start("127.0.0.1:0");
    client = client_of(daemon_.address);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    singleflight_client_destroy(client);
    daemon_end(&daemon_, SIGTERM);
    return 0;
}

static struct singleflight_result *ask(const struct singleflight_do_options *options,
                                       singleflight_function *function, void *context)
{
    struct singleflight_result *result = NULL;
    (void)singleflight_do(client, options, function, context, &result);
    return result;
}

// ---------------------------------------------------------------------------------- one caller

static enum singleflight_outcome say_hello(struct singleflight_leader *leader, void *context)
{
    unsigned *runs = context;
    (*runs)++;
    (void)singleflight_leader_write(leader, "hel", 3);
    (void)singleflight_leader_write(leader, "", 0);
    (void)singleflight_leader_write(leader, "lo", 2);
    return SINGLEFLIGHT_OUTCOME_OK;
}

static void the_leader_gets_its_own_value(void **state)
{
    (void)state;
    unsigned runs = 0;
    struct singleflight_do_options options = options_of("own value");
    struct singleflight_result *result = ask(&options, say_hello, &runs);
    assert_value(result, "hello");
    assert_true(result->led);
    assert_false(result->shared);
    assert_int_equal(result->callers, 1);
    assert_int_equal(result->attempt, 1);
    assert_true(result->token > 0);
    assert_false(result->retained);
    assert_false(result->failed_open);
    assert_int_equal(runs, 1);
    singleflight_result_free(result);
}

static enum singleflight_outcome fail_half_way(struct singleflight_leader *leader, void *context)
{
    (void)context;
    (void)singleflight_leader_write(leader, "half", 4);
    struct singleflight_error error = SINGLEFLIGHT_ERROR_INIT;
    error.code = -5;
    error.message = "disk full";
    error.type = "IOError";
    error.stack = "at write";
    error.details = "\0d";
    error.details_bytes = 2;
    assert_int_equal(singleflight_leader_set_error(leader, &error), SINGLEFLIGHT_OK);
    return SINGLEFLIGHT_OUTCOME_ERROR;
}

static void value_and_error_stand_side_by_side(void **state)
{
    (void)state;
    struct singleflight_do_options options = options_of("half way");
    options.retain_error_ms = 60000;
    for (int i = 0; i < 2; i++) { // its own outcome, and the retained one from the server
        struct singleflight_result *result = ask(&options, fail_half_way, NULL);
        assert_int_equal(result->status, SINGLEFLIGHT_OK);
        assert_int_equal(result->outcome, SINGLEFLIGHT_OUTCOME_ERROR);
        assert_int_equal(result->retained, i);
        assert_int_equal(result->led, !i);
        assert_int_equal(result->code, -5);
        assert_string_equal(result->message, "disk full");
        assert_string_equal(result->type, "IOError");
        assert_string_equal(result->stack, "at write");
        assert_int_equal(result->details_bytes, 2);
        assert_memory_equal(result->details, "\0d", 2);
        assert_string_equal((const char *)result->value, "half");
        singleflight_result_free(result);
    }
}

static void a_retained_value_is_served_until_it_is_forgotten(void **state)
{
    (void)state;
    unsigned runs = 0;
    struct singleflight_do_options options = options_of("retained");
    options.retain_ms = 60000;
    struct singleflight_result *result = ask(&options, say_hello, &runs);
    assert_true(result->retain_ms > 0);
    singleflight_result_free(result);
    result = ask(&options, say_hello, &runs);
    assert_value(result, "hello");
    assert_true(result->retained);
    assert_true(result->shared);
    assert_false(result->led);
    singleflight_result_free(result);
    struct singleflight_forgotten forgotten;
    assert_int_equal(singleflight_forget(client, "", "retained", 8, false, 0, &forgotten),
                     SINGLEFLIGHT_OK);
    assert_true(forgotten.retained);
    assert_false(forgotten.flight);
    singleflight_result_free(ask(&options, say_hello, &runs));
    assert_int_equal(runs, 2);
}

static enum singleflight_outcome do_not_retain(struct singleflight_leader *leader, void *context)
{
    singleflight_leader_set_retain(leader, 0);
    return say_hello(leader, context);
}

static void the_function_may_overrule_the_retention(void **state)
{
    (void)state;
    unsigned runs = 0;
    struct singleflight_do_options options = options_of("overruled");
    options.retain_ms = 60000;
    struct singleflight_result *result = ask(&options, do_not_retain, &runs);
    assert_int_equal(result->retain_ms, 0);
    singleflight_result_free(result);
}

// --------------------------------------------------------------------------------- bad requests

static void what_the_server_refuses_comes_with_its_words(void **state)
{
    (void)state;
    struct singleflight_do_options options = options_of("bad group");
    options.group = "no spaces, please";
    unsigned runs = 0;
    struct singleflight_result *result = ask(&options, say_hello, &runs);
    assert_int_equal(result->status, SINGLEFLIGHT_INVALID_ARGUMENT);
    assert_non_null(strstr(result->message, "group"));
    assert_string_equal(result->message, singleflight_last_error());
    assert_int_equal(result->outcome, SINGLEFLIGHT_OUTCOME_NONE);
    assert_int_equal(runs, 0);
    singleflight_result_free(result);
}

static void what_makes_no_sense_is_refused_here(void **state)
{
    (void)state;
    struct singleflight_do_options options = options_of("");
    struct singleflight_result *result = ask(&options, gate_function, NULL);
    assert_int_equal(result->status, SINGLEFLIGHT_INVALID_ARGUMENT);
    singleflight_result_free(result);
    options = options_of("no function");
    result = ask(&options, NULL, NULL);
    assert_int_equal(result->status, SINGLEFLIGHT_INVALID_ARGUMENT);
    assert_non_null(strstr(result->message, "function"));
    singleflight_result_free(result);
    struct singleflight_client *none = NULL;
    const char *addresses[] = {"this is: no address"};
    struct singleflight_client_options wrong = SINGLEFLIGHT_CLIENT_OPTIONS_INIT;
    wrong.addresses = addresses;
    assert_int_equal(singleflight_client_create(&wrong, &none), SINGLEFLIGHT_INVALID_ARGUMENT);
    assert_null(none);
}

static void roles_are_kept(void **state)
{
    (void)state;
    struct gate gate = GATE_INIT;
    struct singleflight_do_options options = options_of("roles");
    options.role = SINGLEFLIGHT_ROLE_FOLLOW_ONLY;
    struct singleflight_result *result = ask(&options, NULL, NULL);
    assert_int_equal(result->status, SINGLEFLIGHT_NOT_FOUND);
    singleflight_result_free(result);

    options.role = SINGLEFLIGHT_ROLE_LEAD_ONLY;
    options.caller = "the first";
    struct asker leader;
    asker_start(&leader, client, &options, gate_function, &gate);
    gate_wait_entered(&gate, 1);
    result = ask(&options, gate_function, &gate);
    assert_int_equal(result->status, SINGLEFLIGHT_ABORTED);
    assert_non_null(strstr(result->message, "the first"));
    singleflight_result_free(result);
    gate_open(&gate);
    result = asker_join(&leader);
    assert_value(result, "value");
    singleflight_result_free(result);
}

static void another_fingerprint_is_refused(void **state)
{
    (void)state;
    struct gate gate = GATE_INIT;
    struct singleflight_do_options options = options_of("fingerprint");
    options.fingerprint = "one";
    options.fingerprint_bytes = 3;
    struct asker leader;
    asker_start(&leader, client, &options, gate_function, &gate);
    gate_wait_entered(&gate, 1);
    options.fingerprint = "two";
    struct singleflight_result *result = ask(&options, gate_function, &gate);
    assert_int_equal(result->status, SINGLEFLIGHT_FAILED_PRECONDITION);
    singleflight_result_free(result);
    gate_open(&gate);
    singleflight_result_free(asker_join(&leader));
}

// -------------------------------------------------------------------------------------- merging

static void count_calls(void *context, const struct singleflight_stats *stats)
{
    *(uint64_t *)context = stats->calls;
}

static uint64_t calls_counted(void)
{
    uint64_t calls = 0;
    assert_int_equal(singleflight_get_stats(client, NULL, 0, count_calls, &calls), SINGLEFLIGHT_OK);
    return calls;
}

// Waits until the leader's audience is so large.
static void wait_for_audience(struct gate *gate, uint32_t followers)
{
    for (int i = 0; i < PATIENCE_MS; i++) {
        struct singleflight_audience audience = {0};
        (void)singleflight_leader_audience(gate->leader, &audience);
        if (audience.followers == followers)
            return;
        assert_int_equal(singleflight_leader_wait_lost(gate->leader, 1), SINGLEFLIGHT_OK);
    }
    fail_msg("there are never %u followers", followers);
}

#define MERGED 8

static void equal_calls_travel_as_one(void **state)
{
    (void)state;
    uint64_t before = calls_counted();
    struct gate gate = GATE_INIT;
    struct singleflight_do_options options = options_of("merged");
    options.audience = true;
    struct asker askers[MERGED];
    for (size_t i = 0; i < MERGED; i++)
        asker_start(&askers[i], client, &options, gate_function, &gate);
    gate_wait_entered(&gate, 1);
    wait_for_audience(&gate, MERGED - 1);
    gate_open(&gate);
    unsigned led = 0;
    for (size_t i = 0; i < MERGED; i++) {
        struct singleflight_result *result = asker_join(&askers[i]);
        assert_value(result, "value");
        assert_true(result->shared);
        assert_int_equal(result->callers, MERGED);
        led += result->led;
        singleflight_result_free(result);
    }
    assert_int_equal(led, 1);
    assert_int_equal(gate.runs, 1);
    assert_int_equal(calls_counted() - before, 1);
}

static void calls_that_do_not_merge_meet_at_the_server(void **state)
{
    (void)state;
    uint64_t before = calls_counted();
    struct gate gate = GATE_INIT;
    struct singleflight_do_options options = options_of("not merged");
    options.audience = true;
    options.no_local_merge = true;
    struct asker askers[MERGED];
    for (size_t i = 0; i < MERGED; i++)
        asker_start(&askers[i], client, &options, gate_function, &gate);
    gate_wait_entered(&gate, 1);
    wait_for_audience(&gate, MERGED - 1);
    gate_open(&gate);
    for (size_t i = 0; i < MERGED; i++) {
        struct singleflight_result *result = asker_join(&askers[i]);
        assert_value(result, "value");
        assert_int_equal(result->callers, MERGED);
        singleflight_result_free(result);
    }
    assert_int_equal(gate.runs, 1);
    assert_int_equal(calls_counted() - before, MERGED);
}

static void a_merged_callers_timeout_is_its_own(void **state)
{
    (void)state;
    struct gate gate = GATE_INIT;
    struct singleflight_do_options options = options_of("impatient");
    struct asker leader;
    asker_start(&leader, client, &options, gate_function, &gate);
    gate_wait_entered(&gate, 1);
    options.timeout_ms = 20;
    struct singleflight_result *result = ask(&options, gate_function, &gate);
    assert_int_equal(result->status, SINGLEFLIGHT_DEADLINE_EXCEEDED);
    assert_non_null(strstr(result->message, "20 ms"));
    singleflight_result_free(result);
    gate_open(&gate);
    result = asker_join(&leader);
    assert_value(result, "value");
    singleflight_result_free(result);
}

// The impatient caller leads; another one of this process waits for what it makes.
static void the_function_goes_on_for_merged_callers_when_its_own_times_out(void **state)
{
    (void)state;
    struct gate gate = GATE_INIT;
    struct singleflight_do_options options = options_of("goes on");
    options.audience = true;
    options.timeout_ms = 200;
    options.release_context = gate_release;
    struct asker impatient;
    asker_start(&impatient, client, &options, gate_function, &gate);
    gate_wait_entered(&gate, 1);
    struct asker patient;
    options.release_context = NULL;
    options.timeout_ms = 450; // fits: on the wire the first one's deadline is a second later
    asker_start(&patient, client, &options, gate_function, &gate);
    wait_for_audience(&gate, 1);
    assert_int_equal(singleflight_leader_wait_lost(gate.leader, 220), SINGLEFLIGHT_OK);
    gate_open(&gate);
    struct singleflight_result *result = asker_join(&patient);
    assert_value(result, "value");
    singleflight_result_free(result);
    result = asker_join(&impatient);
    assert_int_equal(result->status, SINGLEFLIGHT_DEADLINE_EXCEEDED);
    singleflight_result_free(result);
    gate_wait_released(&gate);
    assert_int_equal(gate.runs, 1);
}

// It is the client that ends a call in time, and gives a lease back; the server, which would keep
// it, is told a quarter more.
static void the_server_is_told_a_later_deadline(void **state)
{
    (void)state;
    struct gate gate = GATE_INIT;
    struct singleflight_do_options options = options_of("later");
    options.audience = true;
    options.no_local_merge = true;
    struct asker leader;
    asker_start(&leader, client, &options, gate_function, &gate);
    gate_wait_entered(&gate, 1);
    struct asker follower;
    options.timeout_ms = 60000;
    asker_start(&follower, client, &options, gate_function, &gate);
    wait_for_audience(&gate, 1);
    struct singleflight_audience audience;
    assert_true(singleflight_leader_audience(gate.leader, &audience));
    assert_in_range(audience.latest_deadline_ms, 65000, 75000);
    gate_open(&gate);
    singleflight_result_free(asker_join(&follower));
    singleflight_result_free(asker_join(&leader));
    assert_int_equal(gate.runs, 1);
}

static enum singleflight_outcome pass_on(struct singleflight_leader *leader, void *context)
{
    struct gate *gate = context;
    (void)gate_function(leader, gate);
    singleflight_leader_pass_on(leader);
    return singleflight_leader_error(leader, (int32_t)gate->runs, "not me");
}

static void a_failure_that_is_passed_on_lets_merged_callers_try(void **state)
{
    (void)state;
    struct gate gate = GATE_INIT;
    gate.value = NULL;
    struct singleflight_do_options options = options_of("passed on");
    options.audience = true;
    options.max_attempts = 2;
    struct asker askers[3];
    for (size_t i = 0; i < 3; i++)
        asker_start(&askers[i], client, &options, pass_on, &gate);
    gate_wait_entered(&gate, 1);
    wait_for_audience(&gate, 2);
    gate_open(&gate);
    unsigned with_code[3] = {0};
    for (size_t i = 0; i < 3; i++) {
        struct singleflight_result *result = asker_join(&askers[i]);
        assert_int_equal(result->outcome, SINGLEFLIGHT_OUTCOME_ERROR);
        assert_in_range(result->code, 1, 2);
        assert_int_equal(result->attempt, result->code);
        with_code[result->code]++;
        singleflight_result_free(result);
    }
    // The first one keeps its own error; the second try's is for all that are left.
    assert_int_equal(gate.runs, 2);
    assert_int_equal(with_code[1], 1);
    assert_int_equal(with_code[2], 2);
}

// ---------------------------------------------------------------------------------- early ends

static void a_leader_whose_time_is_over_is_told(void **state)
{
    (void)state;
    struct gate gate = GATE_INIT;
    struct singleflight_do_options options = options_of("late leader");
    options.timeout_ms = 50;
    options.release_context = gate_release;
    struct singleflight_result *result = ask(&options, lost_function, &gate);
    assert_int_equal(result->status, SINGLEFLIGHT_DEADLINE_EXCEEDED);
    singleflight_result_free(result);
    gate_wait_released(&gate);
    assert_int_equal(gate.lost, SINGLEFLIGHT_DEADLINE_EXCEEDED);
}

// Whatever its function does.
static void a_leader_returns_in_time(void **state)
{
    (void)state;
    struct gate gate = GATE_INIT;
    struct singleflight_do_options options = options_of("deaf");
    options.timeout_ms = 50;
    options.release_context = gate_release;
    struct singleflight_result *result = ask(&options, gate_function, &gate);
    assert_int_equal(result->status, SINGLEFLIGHT_DEADLINE_EXCEEDED);
    singleflight_result_free(result);
    assert_false(gate.released);
    gate_open(&gate);
    gate_wait_released(&gate);
}

static void the_context_is_released_when_nothing_runs(void **state)
{
    (void)state;
    struct gate gate = GATE_INIT;
    struct singleflight_do_options options = options_of("");
    options.release_context = gate_release;
    struct singleflight_result *result = ask(&options, gate_function, &gate);
    assert_int_equal(result->status, SINGLEFLIGHT_INVALID_ARGUMENT);
    singleflight_result_free(result);
    assert_true(gate.released);
}

static void a_timeout_of_zero_is_over_at_once(void **state)
{
    (void)state;
    struct gate gate = GATE_INIT;
    struct singleflight_do_options options = options_of("zero");
    options.timeout_ms = 0;
    struct singleflight_result *result = ask(&options, gate_function, &gate);
    assert_int_equal(result->status, SINGLEFLIGHT_DEADLINE_EXCEEDED);
    assert_int_equal(gate.runs, 0);
    singleflight_result_free(result);
}

// The caller that leads leaves; another process still waits for what it makes.
static void the_function_goes_on_for_callers_elsewhere_when_its_own_times_out(void **state)
{
    (void)state;
    struct gate gate = GATE_INIT;
    struct singleflight_do_options options = options_of("goes on elsewhere");
    options.timeout_ms = 3000;
    options.release_context = gate_release;
    options.audience = true;
    struct asker leader;
    asker_start(&leader, client, &options, gate_function, &gate);
    gate_wait_entered(&gate, 1);
    struct singleflight_client *elsewhere = client_of(daemon_.address);
    struct singleflight_do_options patient = options_of("goes on elsewhere");
    struct asker follower;
    asker_start(&follower, elsewhere, &patient, gate_function, &gate);
    wait_for_audience(&gate, 1);
    struct singleflight_result *result = asker_join(&leader);
    assert_int_equal(result->status, SINGLEFLIGHT_DEADLINE_EXCEEDED);
    singleflight_result_free(result);
    assert_int_equal(singleflight_leader_lost(gate.leader), SINGLEFLIGHT_OK);
    gate_open(&gate);
    result = asker_join(&follower);
    assert_value(result, "value");
    assert_false(result->led);
    assert_int_equal(result->attempt, 1);
    gate_wait_released(&gate);
    assert_int_equal(gate.runs, 1);
    singleflight_result_free(result);
    singleflight_client_destroy(elsewhere);
}

static void a_leader_that_runs_too_long_is_fenced(void **state)
{
    (void)state;
    struct gate gate = GATE_INIT;
    struct singleflight_do_options options = options_of("too long");
    options.run_limit_ms = 50;
    struct singleflight_result *result = ask(&options, lost_function, &gate);
    assert_int_equal(gate.lost, SINGLEFLIGHT_ABORTED);
    assert_int_equal(result->status, SINGLEFLIGHT_ABORTED);
    assert_non_null(strstr(result->message, "fenced"));
    singleflight_result_free(result);
}

static enum singleflight_outcome poll_for_loss(struct singleflight_leader *leader, void *context)
{
    struct gate *gate = context;
    struct pollfd fd = {singleflight_leader_lost_fd(leader), POLLIN, 0};
    assert_int_equal(poll(&fd, 1, PATIENCE_MS), 1);
    gate->lost = singleflight_leader_lost(leader);
    gate->outcome = (enum singleflight_outcome)singleflight_leader_write(leader, "x", 1);
    return SINGLEFLIGHT_OUTCOME_OK;
}

static void the_loss_can_be_polled_for_and_writes_are_refused_then(void **state)
{
    (void)state;
    struct gate gate = GATE_INIT;
    struct singleflight_do_options options = options_of("polled");
    options.run_limit_ms = 50;
    singleflight_result_free(ask(&options, poll_for_loss, &gate));
    assert_int_equal(gate.lost, SINGLEFLIGHT_ABORTED);
    assert_int_equal((int)gate.outcome, SINGLEFLIGHT_ABORTED);
}

static enum singleflight_outcome stand_still(struct singleflight_leader *leader, void *context)
{
    gate_enter(context, leader);
    while (singleflight_leader_lost(leader) == SINGLEFLIGHT_OK)
        pause(); // where a thread can be cancelled
    return SINGLEFLIGHT_OUTCOME_OK;
}

static void a_thread_that_is_cancelled_in_the_function_abandons_the_flight(void **state)
{
    (void)state;
    struct gate gate = GATE_INIT;
    struct singleflight_do_options options = options_of("cancelled thread");
    struct asker leader;
    asker_start(&leader, client, &options, stand_still, &gate);
    gate_wait_entered(&gate, 1);
    struct process follower = worker_start(daemon_.address, "cancelled thread", "");
    (void)worker_expect_start(&follower, "follow 1");
    pthread_cancel(leader.thread);
    void *returned = NULL;
    assert_int_equal(pthread_join(leader.thread, &returned), 0);
    assert_ptr_equal(returned, PTHREAD_CANCELED);
    assert_int_equal(worker_expect_done(&follower).outcome, SINGLEFLIGHT_OUTCOME_ABANDONED);
    worker_quit(&follower);
}

static void a_client_that_is_destroyed_takes_its_followers_along(void **state)
{
    (void)state;
    struct process leader = worker_start(daemon_.address, "destroyed", "audience=1");
    worker_expect_lead(&leader, 1);
    struct singleflight_client *second = client_of(daemon_.address);
    struct singleflight_do_options options = options_of("destroyed");
    struct asker follower;
    asker_start(&follower, second, &options, gate_function, NULL);
    worker_expect(&leader, "audience 1");
    singleflight_client_destroy(second);
    struct singleflight_result *result = asker_join(&follower);
    assert_int_equal(result->status, SINGLEFLIGHT_CANCELLED);
    singleflight_result_free(result);
    worker_expect(&leader, "audience 0");
    worker_tell(&leader, "ok");
    (void)worker_expect_done(&leader);
    worker_quit(&leader);
}

// ------------------------------------------------------------------------------------- listings

struct rows {
    unsigned count;
    enum singleflight_flight_state state;
    uint64_t token;
    char leader[64];
};

static void take_row(void *context, const struct singleflight_flight *flight)
{
    struct rows *rows = context;
    rows->count++;
    rows->state = flight->state;
    rows->token = flight->token;
    assert_string_equal(flight->address, daemon_.address);
    assert_string_equal(flight->group, "listed");
    assert_memory_equal(flight->key, "the key", 7);
    snprintf(rows->leader, sizeof(rows->leader), "%s", flight->leader);
}

static void flights_are_listed(void **state)
{
    (void)state;
    struct gate gate = GATE_INIT;
    struct singleflight_do_options options = options_of("the key");
    options.group = "listed";
    options.caller = "somebody";
    struct asker leader;
    asker_start(&leader, client, &options, gate_function, &gate);
    gate_wait_entered(&gate, 1);
    struct rows rows = {0};
    assert_int_equal(singleflight_list_flights(client, "listed", "the", 3, 0, 0, take_row, &rows),
                     SINGLEFLIGHT_OK);
    assert_int_equal(rows.count, 1);
    assert_int_equal(rows.state, SINGLEFLIGHT_FLIGHT_LED);
    assert_string_equal(rows.leader, "somebody");
    assert_true(rows.token == singleflight_leader_token(gate.leader));
    rows.count = 0;
    assert_int_equal(singleflight_list_flights(client, "none", NULL, 0, 0, 0, take_row, &rows),
                     SINGLEFLIGHT_OK);
    assert_int_equal(rows.count, 0);
    gate_open(&gate);
    singleflight_result_free(asker_join(&leader));
}

static void forget_tells_what_is_wrong(void **state)
{
    (void)state;
    assert_int_equal(singleflight_forget(client, "", "", 0, false, 0, NULL),
                     SINGLEFLIGHT_INVALID_ARGUMENT);
    assert_int_equal(singleflight_forget(client, "no good", "k", 1, false, 0, NULL),
                     SINGLEFLIGHT_INVALID_ARGUMENT);
    assert_non_null(strstr(singleflight_last_error(), "group"));
    struct singleflight_forgotten forgotten = {.flight = true, .retained = true};
    assert_int_equal(singleflight_forget(client, "", "unknown", 7, true, 0, &forgotten),
                     SINGLEFLIGHT_OK);
    assert_false(forgotten.flight);
    assert_false(forgotten.retained);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_leader_gets_its_own_value),
        cmocka_unit_test(value_and_error_stand_side_by_side),
        cmocka_unit_test(a_retained_value_is_served_until_it_is_forgotten),
        cmocka_unit_test(the_function_may_overrule_the_retention),
        cmocka_unit_test(what_the_server_refuses_comes_with_its_words),
        cmocka_unit_test(what_makes_no_sense_is_refused_here),
        cmocka_unit_test(roles_are_kept),
        cmocka_unit_test(another_fingerprint_is_refused),
        cmocka_unit_test(equal_calls_travel_as_one),
        cmocka_unit_test(calls_that_do_not_merge_meet_at_the_server),
        cmocka_unit_test(a_merged_callers_timeout_is_its_own),
        cmocka_unit_test(the_function_goes_on_for_merged_callers_when_its_own_times_out),
        cmocka_unit_test(the_server_is_told_a_later_deadline),
        cmocka_unit_test(a_failure_that_is_passed_on_lets_merged_callers_try),
        cmocka_unit_test(a_leader_whose_time_is_over_is_told),
        cmocka_unit_test(a_leader_returns_in_time),
        cmocka_unit_test(the_context_is_released_when_nothing_runs),
        cmocka_unit_test(a_timeout_of_zero_is_over_at_once),
        cmocka_unit_test(the_function_goes_on_for_callers_elsewhere_when_its_own_times_out),
        cmocka_unit_test(a_leader_that_runs_too_long_is_fenced),
        cmocka_unit_test(the_loss_can_be_polled_for_and_writes_are_refused_then),
        cmocka_unit_test(a_thread_that_is_cancelled_in_the_function_abandons_the_flight),
        cmocka_unit_test(a_client_that_is_destroyed_takes_its_followers_along),
        cmocka_unit_test(flights_are_listed),
        cmocka_unit_test(forget_tells_what_is_wrong),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
