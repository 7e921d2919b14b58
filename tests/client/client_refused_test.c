// SPDX-License-Identifier: Apache-2.0
// UNAUTHENTICATED and PERMISSION_DENIED are answers: no second try, no failing open. And what a new
// token does.
#include "asker.h"
#include "fake.h"

#include "singleflight/v1/singleflight.pb-c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define SESSION_PATH "/singleflight.v1.SingleFlight/Session"
#define FORGET_PATH "/singleflight.v1.SingleFlight/Forget"

static char token_path[] = "/tmp/client_refused_test.XXXXXX";

static int set_up(void **state)
{
    (void)state;
    int descriptor = mkstemp(token_path);
    assert_true(descriptor >= 0);
    close(descriptor);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    return unlink(token_path);
}

static void write_token(const char *token)
{
    char path[64];
    snprintf(path, sizeof(path), "%s.new", token_path);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "%s\n", token);
    fclose(file);
    assert_int_equal(rename(path, token_path), 0);
}

static struct singleflight_client *client_for(const struct fake *fake)
{
    struct singleflight_client_options options = SINGLEFLIGHT_CLIENT_OPTIONS_INIT;
    options.token_file = token_path;
    options.fail_open = true;
    options.connect_timeout_ms = 30000;
    return client_with(fake->address, options);
}

// The end of the first call of a stream, packed; to be freed.
static struct sfl_span pack_end(int code)
{
    Singleflight__V1__End end = SINGLEFLIGHT__V1__END__INIT;
    Singleflight__V1__CallResponse frame = SINGLEFLIGHT__V1__CALL_RESPONSE__INIT;
    Singleflight__V1__CallResponse *frames = &frame;
    Singleflight__V1__SessionResponse response = SINGLEFLIGHT__V1__SESSION_RESPONSE__INIT;
    end.code = code;
    end.message = (char[]){"not you"};
    frame.id = 1;
    frame.step_case = SINGLEFLIGHT__V1__CALL_RESPONSE__STEP_END;
    frame.end = &end;
    response.n_calls = 1;
    response.calls = &frames;
    size_t size = singleflight__v1__session_response__get_packed_size(&response);
    uint8_t *bytes = malloc(size);
    assert_non_null(bytes);
    singleflight__v1__session_response__pack(&response, bytes);
    return sfl_span_of(bytes, size);
}

static enum singleflight_status ask(struct singleflight_client *client)
{
    struct gate gate = GATE_INIT;
    struct singleflight_do_options options = options_of("k");
    struct singleflight_result *result = NULL;
    enum singleflight_status status =
        singleflight_do(client, &options, gate_function, &gate, &result);
    assert_int_equal(gate.runs, 0);
    singleflight_result_free(result);
    return status;
}

static void a_session_that_is_refused_refuses_its_calls(void **state)
{
    (void)state;
    const struct fake_answer answers[] = {
        {.ends = true, .code = SINGLEFLIGHT_UNAUTHENTICATED},
        {.ends = true, .code = SINGLEFLIGHT_PERMISSION_DENIED},
    };
    struct fake fake;
    write_token("secret");
    fake_start(&fake, SESSION_PATH, answers, 2);
    struct singleflight_client *client = client_for(&fake);
    assert_int_equal(ask(client), SINGLEFLIGHT_UNAUTHENTICATED);
    assert_int_equal(atomic_load(&fake.rpcs), 1);
    assert_string_equal(fake.authorization[0], "Bearer secret");
    assert_int_equal(ask(client), SINGLEFLIGHT_PERMISSION_DENIED);
    assert_int_equal(atomic_load(&fake.rpcs), 2);
    singleflight_client_destroy(client);
    fake_stop(&fake);
}

static void a_call_that_is_refused_ends(void **state)
{
    (void)state;
    struct sfl_span denied = pack_end(SINGLEFLIGHT_PERMISSION_DENIED);
    const struct fake_answer answers[] = {{.message = denied}};
    struct fake fake;
    write_token("secret");
    fake_start(&fake, SESSION_PATH, answers, 1);
    struct singleflight_client *client = client_for(&fake);
    assert_int_equal(ask(client), SINGLEFLIGHT_PERMISSION_DENIED);
    assert_int_equal(atomic_load(&fake.rpcs), 1);
    singleflight_client_destroy(client);
    fake_stop(&fake);
    free((void *)denied.data);
}

static void after_an_unknown_token_the_next_call_has_its_own_session(void **state)
{
    (void)state;
    struct sfl_span unknown = pack_end(SINGLEFLIGHT_UNAUTHENTICATED);
    const struct fake_answer answers[] = {{.message = unknown}};
    struct fake fake;
    write_token("secret");
    fake_start(&fake, SESSION_PATH, answers, 1);
    struct singleflight_client *client = client_for(&fake);
    assert_int_equal(ask(client), SINGLEFLIGHT_UNAUTHENTICATED);
    assert_int_equal(ask(client), SINGLEFLIGHT_UNAUTHENTICATED);
    assert_int_equal(atomic_load(&fake.rpcs), 2);
    singleflight_client_destroy(client);
    fake_stop(&fake);
    free((void *)unknown.data);
}

// Asks until the client has looked at its file again, which it does once a second at most.
static void a_new_token_is_shown_by_a_new_session(void **state)
{
    (void)state;
    struct sfl_span denied = pack_end(SINGLEFLIGHT_PERMISSION_DENIED);
    const struct fake_answer answers[] = {{.message = denied}};
    struct fake fake;
    write_token("first");
    fake_start(&fake, SESSION_PATH, answers, 1);
    struct singleflight_client *client = client_for(&fake);
    assert_int_equal(ask(client), SINGLEFLIGHT_PERMISSION_DENIED);
    write_token("second");
    struct singleflight_do_options options = options_of("k");
    options.no_local_merge = true;
    options.timeout_ms = 100;
    struct gate gate = GATE_INIT;
    while (atomic_load(&fake.rpcs) < 2) // the server says nothing to those on the old session
        (void)singleflight_do(client, &options, gate_function, &gate, NULL);
    assert_string_equal(fake.authorization[1], "Bearer second");
    singleflight_client_destroy(client);
    fake_stop(&fake);
    free((void *)denied.data);
}

static void a_forget_that_is_refused_is_not_tried_again(void **state)
{
    (void)state;
    const struct fake_answer answers[] = {{.ends = true, .code = SINGLEFLIGHT_PERMISSION_DENIED}};
    struct fake fake;
    write_token("secret");
    fake_start(&fake, FORGET_PATH, answers, 1);
    struct singleflight_client *client = client_for(&fake);
    assert_int_equal(singleflight_forget(client, NULL, "k", 1, false, 30000, NULL),
                     SINGLEFLIGHT_PERMISSION_DENIED);
    assert_int_equal(atomic_load(&fake.rpcs), 1);
    assert_string_equal(fake.authorization[0], "Bearer secret");
    singleflight_client_destroy(client);
    fake_stop(&fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_session_that_is_refused_refuses_its_calls),
        cmocka_unit_test(a_call_that_is_refused_ends),
        cmocka_unit_test(after_an_unknown_token_the_next_call_has_its_own_session),
        cmocka_unit_test(a_new_token_is_shown_by_a_new_session),
        cmocka_unit_test(a_forget_that_is_refused_is_not_tried_again),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
