// SPDX-License-Identifier: Apache-2.0
// A blocking Do that is served a stale outcome returns at once; its function makes a new one.
#include "asker.h"
#include "daemon.h"
#include "fake.h"

#include "singleflight/v1/singleflight.pb-c.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SESSION_PATH "/singleflight.v1.SingleFlight/Session"

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
                                       struct gate *gate)
{
    struct singleflight_result *result = NULL;
    (void)singleflight_do(client, options, gate_function, gate, &result);
    return result;
}

static struct singleflight_do_options stale_options(const char *key)
{
    struct singleflight_do_options options = options_of(key);
    options.retain_ms = 600000;
    options.stale_ms = 600000;
    options.release_context = gate_release;
    return options;
}

// Returns when the outcome is older than what any refresh would take for new.
static void retain(const char *key, const char *value)
{
    struct gate gate = GATE_INIT;
    gate.value = value;
    gate.open = true;
    struct singleflight_do_options options = options_of(key);
    options.retain_ms = 600000;
    for (uint64_t age_ms = 0; age_ms < 2;) {
        struct singleflight_result *result = ask(&options, &gate);
        assert_value(result, value);
        age_ms = result->age_ms;
        singleflight_result_free(result);
    }
}

static void a_stale_outcome_is_served_and_refreshed(void **state)
{
    (void)state;
    retain("refreshed", "old");
    struct gate gate = GATE_INIT;
    gate.value = "new";
    const struct singleflight_do_options options = stale_options("refreshed");
    struct singleflight_result *result = ask(&options, &gate);
    assert_value(result, "old");
    assert_true(result->stale);
    assert_true(result->retained);
    singleflight_result_free(result);
    gate_wait_entered(&gate, 1);
    assert_false(gate.released);
    gate_open(&gate);
    gate_wait_released(&gate);

    struct gate never = GATE_INIT;
    struct singleflight_do_options plain = options_of("refreshed");
    result = ask(&plain, &never);
    for (int i = 0; i < PATIENCE_MS && strncmp(result->value, "new", 3) != 0; i++) {
        singleflight_result_free(result); // the finish is on its way
        result = ask(&plain, &never);
    }
    assert_value(result, "new");
    assert_false(result->stale);
    assert_int_equal(never.runs, 0);
    singleflight_result_free(result);
}

static void with_nothing_retained_it_leads(void **state)
{
    (void)state;
    struct gate gate = GATE_INIT;
    gate.open = true;
    const struct singleflight_do_options options = stale_options("nothing");
    struct singleflight_result *result = ask(&options, &gate);
    assert_value(result, "value");
    assert_true(result->led);
    assert_false(result->stale);
    singleflight_result_free(result);
    gate_wait_released(&gate);
}

static void it_is_refused_like_any_other(void **state)
{
    (void)state;
    struct gate gate = GATE_INIT;
    struct singleflight_do_options options = stale_options("refused");
    options.fresh = true;
    struct singleflight_result *result = ask(&options, &gate);
    assert_int_equal(result->status, SINGLEFLIGHT_INVALID_ARGUMENT);
    assert_non_null(strstr(result->message, "stale_ms"));
    assert_true(gate.released);
    singleflight_result_free(result);
}

// ------------------------------------------------------------------ an outcome of one's own

// What is said to the first call of a session, packed; to be freed.
static struct sfl_span pack(Singleflight__V1__CallResponse *frame)
{
    frame->id = 1;
    Singleflight__V1__SessionResponse response = SINGLEFLIGHT__V1__SESSION_RESPONSE__INIT;
    response.n_calls = 1;
    response.calls = &frame;
    size_t size = singleflight__v1__session_response__get_packed_size(&response);
    uint8_t *bytes = malloc(size);
    assert_non_null(bytes);
    singleflight__v1__session_response__pack(&response, bytes);
    return sfl_span_of(bytes, size);
}

static struct sfl_span pack_lead(void)
{
    Singleflight__V1__Lead lead = SINGLEFLIGHT__V1__LEAD__INIT;
    lead.token = 17;
    lead.attempt = 1;
    lead.lease_ms = 600000;
    Singleflight__V1__CallResponse frame = SINGLEFLIGHT__V1__CALL_RESPONSE__INIT;
    frame.step_case = SINGLEFLIGHT__V1__CALL_RESPONSE__STEP_LEAD;
    frame.lead = &lead;
    return pack(&frame);
}

// To a leader that resumes when its outcome is there already.
static struct sfl_span pack_own_result(void)
{
    Singleflight__V1__Outcome outcome = SINGLEFLIGHT__V1__OUTCOME__INIT;
    outcome.kind = SINGLEFLIGHT__V1__OUTCOME_KIND__OUTCOME_KIND_OK;
    Singleflight__V1__Result own = SINGLEFLIGHT__V1__RESULT__INIT;
    own.outcome = &outcome;
    own.led = true;
    own.retained = true;
    own.age_ms = 50;
    own.callers = 1;
    own.attempt = 1;
    own.token = 17;
    Singleflight__V1__CallResponse frame = SINGLEFLIGHT__V1__CALL_RESPONSE__INIT;
    frame.step_case = SINGLEFLIGHT__V1__CALL_RESPONSE__STEP_RESULT;
    frame.result = &own;
    return pack(&frame);
}

// The connection breaks between the finish and its answer.
static void what_this_call_has_made_is_never_stale(void **state)
{
    (void)state;
    const struct fake_answer answers[] = {
        {.message = pack_lead(), .ends_second = true, .code = SINGLEFLIGHT_UNAVAILABLE},
        {.message = pack_own_result()},
    };
    struct fake fake;
    fake_start(&fake, SESSION_PATH, answers, 2);
    struct singleflight_client *own_client = client_of(fake.address);
    struct singleflight_do_options options = stale_options("own");
    options.lease_ms = 600000;
    struct gate gate = GATE_INIT;
    gate.open = true;
    struct singleflight_result *result = NULL;
    (void)singleflight_do(own_client, &options, gate_function, &gate, &result);
    assert_value(result, "value");
    assert_true(result->led);
    assert_false(result->stale);
    singleflight_result_free(result);
    gate_wait_released(&gate);
    singleflight_client_destroy(own_client);
    assert_int_equal(gate.runs, 1);
    fake_stop(&fake);
    for (size_t i = 0; i < 2; i++)
        free((void *)answers[i].message.data);
}

// ---------------------------------------------------------------------------------- no thread

static atomic_bool has_no_threads;

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *argument);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *argument)
{
    if (atomic_load(&has_no_threads) && sfl_pump_is_current()) // gRPC gets its threads
        return EAGAIN;
    return __real_pthread_create(thread, attributes, run, argument);
}

static enum singleflight_outcome pass_on(struct singleflight_leader *leader, void *context)
{
    gate_function(leader, context);
    atomic_store(&has_no_threads, true);
    singleflight_leader_pass_on(leader);
    return SINGLEFLIGHT_OUTCOME_ERROR;
}

static void wait_for_followers(struct gate *gate, uint32_t followers)
{
    struct singleflight_audience audience = {0};
    for (int i = 0; i < PATIENCE_MS && audience.followers < followers; i++) {
        (void)singleflight_leader_audience(gate->leader, &audience);
        assert_int_equal(singleflight_leader_wait_lost(gate->leader, 1), SINGLEFLIGHT_OK);
    }
    assert_int_equal(audience.followers, followers);
}

// The second that is to lead has no thread for its function: the third one leads.
static void without_a_thread_the_lead_is_passed_on(void **state)
{
    (void)state;
    struct gate gates[3] = {GATE_INIT, GATE_INIT, GATE_INIT};
    struct singleflight_do_options all[3] = {options_of("passed"), stale_options("passed"),
                                             options_of("passed")};
    all[0].audience = true;
    gates[2].open = true;
    struct asker askers[3];
    for (size_t i = 0; i < 3; i++) {
        all[i].no_local_merge = true;
        asker_start(&askers[i], client, &all[i], i == 0 ? pass_on : gate_function, &gates[i]);
        if (i == 0)
            gate_wait_entered(&gates[0], 1);
        else
            wait_for_followers(&gates[0], (uint32_t)i);
    }
    gate_open(&gates[0]);
    struct singleflight_result *results[3];
    for (size_t i = 0; i < 3; i++)
        results[i] = asker_join(&askers[i]);
    atomic_store(&has_no_threads, false);
    assert_value(results[2], "value");
    assert_true(results[2]->led);
    assert_int_equal(gates[1].runs, 0);
    assert_int_equal(results[1]->outcome, SINGLEFLIGHT_OUTCOME_ABANDONED);
    assert_non_null(strstr(results[1]->message, "thread"));
    assert_true(gates[1].released);
    for (size_t i = 0; i < 3; i++)
        singleflight_result_free(results[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stale_outcome_is_served_and_refreshed),
        cmocka_unit_test(with_nothing_retained_it_leads),
        cmocka_unit_test(it_is_refused_like_any_other),
        cmocka_unit_test(what_this_call_has_made_is_never_stale),
        cmocka_unit_test(without_a_thread_the_lead_is_passed_on),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
