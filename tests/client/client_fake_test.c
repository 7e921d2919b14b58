// SPDX-License-Identifier: Apache-2.0
// The fake for users' unit tests: what it scripts, and what it tells.
#include "asker.h"
#include "singleflight/testing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct world {
    struct singleflight_fake *fake;
    struct singleflight_client *client;
};

static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    assert_non_null(world);
    assert_int_equal(singleflight_fake_create(&world->fake), SINGLEFLIGHT_OK);
    assert_int_equal(singleflight_fake_client(world->fake, NULL, &world->client), SINGLEFLIGHT_OK);
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;
    singleflight_client_destroy(world->client);
    singleflight_fake_destroy(world->fake);
    free(world);
    return 0;
}

static enum singleflight_outcome say_own(struct singleflight_leader *leader, void *context)
{
    unsigned *attempt = context;
    *attempt = singleflight_leader_attempt(leader);
    (void)singleflight_leader_write(leader, "own", 3);
    return SINGLEFLIGHT_OUTCOME_OK;
}

static struct singleflight_result *ask(struct world *world, const char *key, unsigned *attempt)
{
    struct singleflight_do_options options = options_of(key);
    struct singleflight_result *result = NULL;
    (void)singleflight_do(world->client, &options, say_own, attempt, &result);
    return result;
}

static void without_a_script_a_call_leads(void **state)
{
    struct world *world = *state;
    unsigned attempt = 0;
    struct singleflight_result *result = ask(world, "k", &attempt);
    assert_value(result, "own");
    assert_true(result->led);
    assert_int_equal(attempt, 1);
    singleflight_result_free(result);
}

static void a_scripted_outcome_is_followed(void **state)
{
    struct world *world = *state;
    unsigned attempt = 0;
    singleflight_fake_outcome(world->fake, NULL, "k", 1, "theirs", 6);
    struct singleflight_result *result = ask(world, "k", &attempt);
    assert_value(result, "theirs");
    assert_false(result->led);
    assert_int_equal(attempt, 0);
    singleflight_result_free(result);
    result = ask(world, "other", &attempt);
    assert_value(result, "own");
    singleflight_result_free(result);
    singleflight_fake_lead(world->fake, "default", "k", 1);
    result = ask(world, "k", &attempt);
    assert_value(result, "own");
    singleflight_result_free(result);
}

static void a_large_value_comes_whole(void **state)
{
    struct world *world = *state;
    size_t size = 5 * 65536 + 17;
    char *value = malloc(size);
    assert_non_null(value);
    for (size_t i = 0; i < size; i++)
        value[i] = (char)(i * 31);
    singleflight_fake_outcome(world->fake, NULL, "k", 1, value, size);
    unsigned attempt = 0;
    struct singleflight_result *result = ask(world, "k", &attempt);
    assert_int_equal(result->value_bytes, size);
    assert_memory_equal(result->value, value, size);
    singleflight_result_free(result);
    free(value);
}

static void a_scripted_error_is_followed(void **state)
{
    struct world *world = *state;
    struct singleflight_error error = SINGLEFLIGHT_ERROR_INIT;
    error.code = 7;
    error.message = "no such user";
    singleflight_fake_error(world->fake, NULL, "k", 1, &error);
    unsigned attempt = 0;
    struct singleflight_result *result = ask(world, "k", &attempt);
    assert_int_equal(result->status, SINGLEFLIGHT_OK);
    assert_int_equal(result->outcome, SINGLEFLIGHT_OUTCOME_ERROR);
    assert_int_equal(result->code, 7);
    assert_string_equal(result->message, "no such user");
    singleflight_result_free(result);
}

static void a_takeover_leads_with_the_second_attempt(void **state)
{
    struct world *world = *state;
    singleflight_fake_takeover(world->fake, NULL, "k", 1);
    unsigned attempt = 0;
    struct singleflight_result *result = ask(world, "k", &attempt);
    assert_value(result, "own");
    assert_true(result->led);
    assert_int_equal(attempt, 2);
    assert_int_equal(result->attempt, 2);
    singleflight_result_free(result);
}

static void a_lead_is_lost_while_the_function_runs(void **state)
{
    struct world *world = *state;
    singleflight_fake_lose(world->fake, NULL, "k", 1);
    struct gate gate = GATE_INIT;
    struct singleflight_do_options options = options_of("k");
    struct singleflight_result *result = NULL;
    assert_int_equal(singleflight_do(world->client, &options, lost_function, &gate, &result),
                     SINGLEFLIGHT_ABORTED);
    assert_int_equal(gate.lost, SINGLEFLIGHT_ABORTED);
    assert_non_null(strstr(result->message, "fenced"));
    singleflight_result_free(result);
}

static void a_call_is_refused_as_the_script_says(void **state)
{
    struct world *world = *state;
    singleflight_fake_refuse(world->fake, NULL, "k", 1, SINGLEFLIGHT_PERMISSION_DENIED,
                             "not for you");
    struct singleflight_do_options options = options_of("k");
    options.fail_open = true;
    unsigned attempt = 0;
    struct singleflight_result *result = NULL;
    assert_int_equal(singleflight_do(world->client, &options, say_own, &attempt, &result),
                     SINGLEFLIGHT_PERMISSION_DENIED);
    assert_string_equal(result->message, "not for you");
    assert_int_equal(attempt, 0);
    singleflight_result_free(result);
}

static void without_a_server_a_call_fails_open_or_ends(void **state)
{
    struct world *world = *state;
    singleflight_fake_set_available(world->fake, false);
    struct singleflight_do_options options = options_of("k");
    unsigned attempt = 0;
    struct singleflight_result *result = NULL;
    options.connect_timeout_ms = 100;
    assert_int_equal(singleflight_do(world->client, &options, say_own, &attempt, &result),
                     SINGLEFLIGHT_UNAVAILABLE);
    assert_int_equal(attempt, 0);
    singleflight_result_free(result);
    options.fail_open = true;
    assert_int_equal(singleflight_do(world->client, &options, say_own, &attempt, &result),
                     SINGLEFLIGHT_OK);
    assert_true(result->failed_open);
    singleflight_result_free(result);

    singleflight_fake_set_available(world->fake, true);
    options.fail_open = false;
    options.connect_timeout_ms = 20000;
    assert_int_equal(singleflight_do(world->client, &options, say_own, &attempt, &result),
                     SINGLEFLIGHT_OK);
    assert_false(result->failed_open);
    singleflight_result_free(result);
}

static void roles_hold(void **state)
{
    struct world *world = *state;
    struct singleflight_do_options options = options_of("k");
    struct singleflight_result *result = NULL;
    options.role = SINGLEFLIGHT_ROLE_FOLLOW_ONLY;
    assert_int_equal(singleflight_do(world->client, &options, NULL, NULL, &result),
                     SINGLEFLIGHT_NOT_FOUND);
    singleflight_result_free(result);
    singleflight_fake_outcome(world->fake, NULL, "k", 1, "theirs", 6);
    assert_int_equal(singleflight_do(world->client, &options, NULL, NULL, &result),
                     SINGLEFLIGHT_OK);
    singleflight_result_free(result);
    unsigned attempt = 0;
    options.role = SINGLEFLIGHT_ROLE_LEAD_ONLY;
    assert_int_equal(singleflight_do(world->client, &options, say_own, &attempt, &result),
                     SINGLEFLIGHT_ABORTED);
    singleflight_result_free(result);
}

static void what_came_is_recorded(void **state)
{
    struct world *world = *state;
    struct singleflight_do_options options = options_of("k");
    options.group = "users";
    options.retain_ms = 60000;
    options.caller = "me";
    options.traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    unsigned attempt = 0;
    assert_int_equal(singleflight_do(world->client, &options, say_own, &attempt, NULL),
                     SINGLEFLIGHT_OK);
    assert_int_equal(singleflight_fake_call_count(world->fake), 1);
    const struct singleflight_fake_call *call = singleflight_fake_call(world->fake, 0);
    assert_string_equal(call->group, "users");
    assert_memory_equal(call->key, "k", 1);
    assert_string_equal(call->caller, "me");
    assert_int_equal(call->retain_ms, 60000);
    assert_string_equal(call->traceparent, options.traceparent);
    assert_true(call->led);
    assert_int_equal(call->outcome, SINGLEFLIGHT_OUTCOME_OK);
    assert_int_equal(call->value_bytes, 3);
    assert_memory_equal(call->value, "own", 3);
    assert_null(singleflight_fake_call(world->fake, 1));
}

static void a_trace_context_that_is_none_is_left_out(void **state)
{
    struct world *world = *state;
    struct singleflight_do_options options = options_of("k");
    options.traceparent = "no such thing";
    unsigned attempt = 0;
    assert_int_equal(singleflight_do(world->client, &options, say_own, &attempt, NULL),
                     SINGLEFLIGHT_OK);
    assert_string_equal(singleflight_fake_call(world->fake, 0)->traceparent, "");
}

static void a_function_is_tested_alone(void **state)
{
    struct world *world = *state;
    struct singleflight_leader *leader = NULL;
    assert_int_equal(singleflight_fake_leader(world->fake, NULL, "k", 1, &leader), SINGLEFLIGHT_OK);
    unsigned attempt = 0;
    enum singleflight_outcome outcome = say_own(leader, &attempt);
    struct singleflight_result *result = singleflight_fake_finish(world->fake, leader, outcome);
    assert_value(result, "own");
    singleflight_result_free(result);
}

static void a_function_that_loses_the_lead_is_tested_alone(void **state)
{
    struct world *world = *state;
    struct singleflight_leader *leader = NULL;
    assert_int_equal(singleflight_fake_leader(world->fake, "g", "k", 1, &leader), SINGLEFLIGHT_OK);
    assert_int_equal(singleflight_leader_lost(leader), SINGLEFLIGHT_OK);
    singleflight_fake_lose(world->fake, "g", "k", 1);
    assert_int_equal(singleflight_leader_wait_lost(leader, 20000), SINGLEFLIGHT_ABORTED);
    struct singleflight_result *result =
        singleflight_fake_finish(world->fake, leader, SINGLEFLIGHT_OUTCOME_ABANDONED);
    assert_int_equal(result->status, SINGLEFLIGHT_ABORTED);
    singleflight_result_free(result);
}

static void a_key_that_does_not_lead_has_no_leader(void **state)
{
    struct world *world = *state;
    struct singleflight_leader *leader = NULL;
    singleflight_fake_outcome(world->fake, NULL, "k", 1, "theirs", 6);
    assert_int_equal(singleflight_fake_leader(world->fake, NULL, "k", 1, &leader),
                     SINGLEFLIGHT_ABORTED);
    assert_null(leader);
}

static void ending_a_flight_ends_its_leader(void **state)
{
    struct world *world = *state;
    struct singleflight_leader *leader = NULL;
    struct singleflight_forgotten forgotten;
    assert_int_equal(singleflight_fake_leader(world->fake, NULL, "k", 1, &leader), SINGLEFLIGHT_OK);
    assert_int_equal(singleflight_end(world->client, NULL, "k", 1, "operator", 20000, &forgotten),
                     SINGLEFLIGHT_OK);
    assert_true(forgotten.ended);
    assert_int_equal(singleflight_leader_wait_lost(leader, 20000), SINGLEFLIGHT_ABORTED);
    singleflight_result_free(
        singleflight_fake_finish(world->fake, leader, SINGLEFLIGHT_OUTCOME_NONE));
}

#define ROW(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROW(without_a_script_a_call_leads),
        ROW(a_scripted_outcome_is_followed),
        ROW(a_large_value_comes_whole),
        ROW(a_scripted_error_is_followed),
        ROW(a_takeover_leads_with_the_second_attempt),
        ROW(a_lead_is_lost_while_the_function_runs),
        ROW(a_call_is_refused_as_the_script_says),
        ROW(without_a_server_a_call_fails_open_or_ends),
        ROW(roles_hold),
        ROW(what_came_is_recorded),
        ROW(a_trace_context_that_is_none_is_left_out),
        ROW(a_function_is_tested_alone),
        ROW(a_function_that_loses_the_lead_is_tested_alone),
        ROW(a_key_that_does_not_lead_has_no_leader),
        ROW(ending_a_flight_ends_its_leader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
