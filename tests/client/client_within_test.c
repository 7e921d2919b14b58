// SPDX-License-Identifier: Apache-2.0
// Calls inside the functions of calls.
#include "asker.h"
#include "daemon.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
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

struct nested {
    const char *keys[3]; // asked for one inside the other; NULL: no more
    struct singleflight_client *clients[3];
    enum singleflight_status innermost;
    char why[128];
};

struct level {
    struct nested *nested;
    size_t number;
};

static enum singleflight_outcome ask_inside(struct singleflight_leader *leader, void *context)
{
    (void)leader;
    struct level *level = context;
    struct level inner = {level->nested, level->number + 1};
    if (inner.number == 3 || inner.nested->keys[inner.number] == NULL)
        return SINGLEFLIGHT_OUTCOME_OK;
    struct singleflight_do_options options = options_of(inner.nested->keys[inner.number]);
    struct singleflight_result *result = NULL;
    inner.nested->innermost =
        singleflight_do(inner.nested->clients[inner.number], &options, ask_inside, &inner, &result);
    if (result->status != SINGLEFLIGHT_OK)
        snprintf(inner.nested->why, sizeof(inner.nested->why), "%s", result->message);
    singleflight_result_free(result);
    return SINGLEFLIGHT_OUTCOME_OK;
}

static enum singleflight_status ask_nested(struct nested *nested)
{
    struct level outer = {nested, 0};
    struct singleflight_do_options options = options_of(nested->keys[0]);
    struct singleflight_result *result = NULL;
    enum singleflight_status status =
        singleflight_do(nested->clients[0], &options, ask_inside, &outer, &result);
    singleflight_result_free(result);
    return status;
}

static void a_call_for_the_key_of_its_own_function_is_refused(void **state)
{
    (void)state;
    struct nested nested = {.keys = {"own", "own"}, .clients = {client, client, client}};
    assert_int_equal(ask_nested(&nested), SINGLEFLIGHT_OK);
    assert_int_equal(nested.innermost, SINGLEFLIGHT_FAILED_PRECONDITION);
    assert_non_null(strstr(nested.why, "wait for itself"));
}

static void so_is_one_with_another_key_between(void **state)
{
    (void)state;
    struct nested nested = {.keys = {"A", "B", "A"}, .clients = {client, client, client}};
    assert_int_equal(ask_nested(&nested), SINGLEFLIGHT_OK);
    assert_non_null(strstr(nested.why, "wait for itself"));
}

static void a_call_for_another_key_inside_is_like_any_other(void **state)
{
    (void)state;
    struct nested nested = {.keys = {"A", "B", "C"}, .clients = {client, client, client}};
    assert_int_equal(ask_nested(&nested), SINGLEFLIGHT_OK);
    assert_int_equal(nested.innermost, SINGLEFLIGHT_OK);
    assert_string_equal(nested.why, "");
}

// The server is told of the lead that the other client has.
static void a_call_through_another_client_is_refused_by_the_server(void **state)
{
    (void)state;
    struct singleflight_client *other = client_of(daemon_.address);
    struct nested nested = {.keys = {"own", "own"}, .clients = {client, other, other}};
    assert_int_equal(ask_nested(&nested), SINGLEFLIGHT_OK);
    assert_int_equal(nested.innermost, SINGLEFLIGHT_FAILED_PRECONDITION);
    assert_non_null(strstr(nested.why, "wait for itself"));
    singleflight_client_destroy(other);
}

// ---------------------------------------------------------------------------------------- a ring

struct half {
    const char *own;
    const char *other;
    struct half *peer;
    struct gate entered; // open once this half leads
    enum singleflight_status inner;
};

// Leads its own key, and, once the peer leads its own, asks for that one.
static enum singleflight_outcome ask_the_other(struct singleflight_leader *leader, void *context)
{
    (void)leader;
    struct half *half = context;
    gate_enter(&half->entered, leader);
    gate_wait_entered(&half->peer->entered, 1);
    struct singleflight_do_options options = options_of(half->other);
    half->inner = singleflight_do(client, &options, ask_the_other, half, NULL);
    return SINGLEFLIGHT_OUTCOME_OK;
}

static void two_functions_that_wait_for_each_other_do_not(void **state)
{
    (void)state;
    struct half halves[2] = {
        {.own = "ring A", .other = "ring B", .entered = GATE_INIT},
        {.own = "ring B", .other = "ring A", .entered = GATE_INIT},
    };
    struct asker askers[2];
    struct singleflight_do_options options[2];
    for (size_t i = 0; i < 2; i++) {
        halves[i].peer = &halves[1 - i];
        options[i] = options_of(halves[i].own);
        asker_start(&askers[i], client, &options[i], ask_the_other, &halves[i]);
    }
    for (size_t i = 0; i < 2; i++) {
        struct singleflight_result *result = asker_join(&askers[i]);
        assert_int_equal(result->status, SINGLEFLIGHT_OK);
        singleflight_result_free(result);
    }
    // One of them is refused; the other gets what that one makes.
    assert_true((halves[0].inner == SINGLEFLIGHT_FAILED_PRECONDITION) !=
                (halves[1].inner == SINGLEFLIGHT_FAILED_PRECONDITION));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_for_the_key_of_its_own_function_is_refused),
        cmocka_unit_test(so_is_one_with_another_key_between),
        cmocka_unit_test(a_call_for_another_key_inside_is_like_any_other),
        cmocka_unit_test(a_call_through_another_client_is_refused_by_the_server),
        cmocka_unit_test(two_functions_that_wait_for_each_other_do_not),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
