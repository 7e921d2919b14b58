// SPDX-License-Identifier: Apache-2.0
// A blocking Do that is served a stale outcome returns at once; its function makes a new one.
#include "asker.h"
#include "daemon.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stale_outcome_is_served_and_refreshed),
        cmocka_unit_test(with_nothing_retained_it_leads),
        cmocka_unit_test(it_is_refused_like_any_other),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
