// SPDX-License-Identifier: Apache-2.0
// CANCELLED that nobody here has asked for: so gRPC ends what is on its way to a server that closes
// its listener. It is no end of a call, but of a try.
#include "asker.h"
#include "fake.h"

#include "singleflight/v1/singleflight.pb-c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define SESSION_PATH "/singleflight.v1.SingleFlight/Session"
#define FORGET_PATH "/singleflight.v1.SingleFlight/Forget"

// A client that tries again soon.
static struct singleflight_client *client_for(const struct fake *fake)
{
    struct singleflight_client_options options = SINGLEFLIGHT_CLIENT_OPTIONS_INIT;
    options.connect_timeout_ms = 30000;
    options.backoff_min_ms = 1;
    options.backoff_max_ms = 5;
    return client_with(fake->address, options);
}

// What a server says to its first call, packed; to be freed.
static struct sfl_span pack(Singleflight__V1__CallResponse *frame)
{
    Singleflight__V1__SessionResponse response = SINGLEFLIGHT__V1__SESSION_RESPONSE__INIT;
    response.n_calls = 1;
    response.calls = &frame;
    frame->id = 1;
    size_t size = singleflight__v1__session_response__get_packed_size(&response);
    uint8_t *bytes = malloc(size);
    assert_non_null(bytes);
    singleflight__v1__session_response__pack(&response, bytes);
    return sfl_span_of(bytes, size);
}

static struct sfl_span pack_result(const char *value)
{
    Singleflight__V1__Outcome outcome = SINGLEFLIGHT__V1__OUTCOME__INIT;
    Singleflight__V1__Result result = SINGLEFLIGHT__V1__RESULT__INIT;
    Singleflight__V1__CallResponse frame = SINGLEFLIGHT__V1__CALL_RESPONSE__INIT;
    outcome.kind = SINGLEFLIGHT__V1__OUTCOME_KIND__OUTCOME_KIND_OK;
    outcome.value = (ProtobufCBinaryData){strlen(value), (uint8_t *)(uintptr_t)value};
    result.outcome = &outcome;
    result.value_bytes = strlen(value);
    frame.step_case = SINGLEFLIGHT__V1__CALL_RESPONSE__STEP_RESULT;
    frame.result = &result;
    return pack(&frame);
}

static struct sfl_span pack_end(int code)
{
    Singleflight__V1__End end = SINGLEFLIGHT__V1__END__INIT;
    Singleflight__V1__CallResponse frame = SINGLEFLIGHT__V1__CALL_RESPONSE__INIT;
    end.code = code;
    end.message = (char[]){"cut off"};
    frame.step_case = SINGLEFLIGHT__V1__CALL_RESPONSE__STEP_END;
    frame.end = &end;
    return pack(&frame);
}

static void assert_do_gets(const struct fake *fake, const char *value)
{
    struct singleflight_client *client = client_for(fake);
    struct singleflight_do_options options = options_of("k");
    options.role = SINGLEFLIGHT_ROLE_FOLLOW_ONLY;
    struct singleflight_result *result = NULL;
    assert_int_equal(singleflight_do(client, &options, NULL, NULL, &result), SINGLEFLIGHT_OK);
    assert_value(result, value);
    singleflight_result_free(result);
    singleflight_client_destroy(client);
}

static void a_do_whose_stream_is_cancelled_joins_anew(void **state)
{
    (void)state;
    struct sfl_span value = pack_result("second");
    const struct fake_answer answers[] = {
        {.ends = true, .code = SINGLEFLIGHT_CANCELLED},
        {.message = value},
    };
    struct fake fake;
    fake_start(&fake, SESSION_PATH, answers, 2);
    assert_do_gets(&fake, "second");
    assert_int_equal(atomic_load(&fake.rpcs), 2);
    fake_stop(&fake);
    free((void *)value.data);
}

static void a_do_that_is_cancelled_on_its_stream_joins_anew(void **state)
{
    (void)state;
    struct sfl_span end = pack_end(SINGLEFLIGHT_CANCELLED);
    struct sfl_span value = pack_result("second");
    const struct fake_answer answers[] = {{.message = end}, {.message = value}};
    struct fake fake;
    fake_start(&fake, SESSION_PATH, answers, 2);
    assert_do_gets(&fake, "second");
    assert_int_equal(atomic_load(&fake.rpcs), 2);
    fake_stop(&fake);
    free((void *)end.data);
    free((void *)value.data);
}

static void a_forget_that_is_cancelled_is_tried_again(void **state)
{
    (void)state;
    const uint8_t flight_is_true[] = {0x08, 0x01};
    const struct fake_answer answers[] = {
        {.ends = true, .code = SINGLEFLIGHT_CANCELLED},
        {.ends = true, .message = sfl_span_of(flight_is_true, sizeof(flight_is_true))},
    };
    struct fake fake;
    fake_start(&fake, FORGET_PATH, answers, 2);
    struct singleflight_client *client = client_for(&fake);
    struct singleflight_forgotten forgotten = {0};
    assert_int_equal(singleflight_forget(client, NULL, "k", 1, false, 0, &forgotten),
                     SINGLEFLIGHT_OK);
    assert_true(forgotten.flight);
    assert_int_equal(atomic_load(&fake.rpcs), 2);
    singleflight_client_destroy(client);
    fake_stop(&fake);
}

// Nothing is tried again once a message has come; but nobody hears that it was cancelled here.
static void what_is_cut_off_after_an_answer_says_that_the_server_is_away(void **state)
{
    (void)state;
    const uint8_t flight_is_true[] = {0x08, 0x01};
    const struct fake_answer answer = {
        .message = sfl_span_of(flight_is_true, sizeof(flight_is_true)),
        .ends = true,
        .code = SINGLEFLIGHT_CANCELLED,
    };
    struct fake fake;
    fake_start(&fake, FORGET_PATH, &answer, 1);
    struct singleflight_client *client = client_for(&fake);
    assert_int_equal(singleflight_forget(client, NULL, "k", 1, false, 0, NULL),
                     SINGLEFLIGHT_UNAVAILABLE);
    assert_int_equal(atomic_load(&fake.rpcs), 1);
    singleflight_client_destroy(client);
    fake_stop(&fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_do_whose_stream_is_cancelled_joins_anew),
        cmocka_unit_test(a_do_that_is_cancelled_on_its_stream_joins_anew),
        cmocka_unit_test(a_forget_that_is_cancelled_is_tried_again),
        cmocka_unit_test(what_is_cut_off_after_an_answer_says_that_the_server_is_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
