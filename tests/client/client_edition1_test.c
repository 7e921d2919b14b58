// SPDX-License-Identifier: Apache-2.0
// A program that was compiled with the header of the first edition, and meets this library.
#include "daemon.h"
#include "edition1.h"

#include <errno.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static struct test_daemon daemon_;
static struct singleflight_client *client;

// What INIT does not set in a struct may hold anything where it has padding.
#define DIRT 0xA5

static struct singleflight_do_options options_of(const char *key)
{
    const struct singleflight_do_options init = SINGLEFLIGHT_DO_OPTIONS_INIT;
    struct singleflight_do_options options;
    size_t end = offsetof(struct singleflight_do_options, no_value) + sizeof(bool);
    memset(&options, DIRT, sizeof(options));
    memcpy(&options, &init, end);
    options.key = key;
    options.key_bytes = strlen(key);
    return options;
}

static int set_up(void **state)
{
    (void)state;
    daemon_ = daemon_start("127.0.0.1:0");
    const char *address = daemon_.address;
    struct singleflight_client_options options = SINGLEFLIGHT_CLIENT_OPTIONS_INIT;
    options.addresses = &address;
    options.address_count = 1;
    assert_int_equal(singleflight_client_create(&options, &client), SINGLEFLIGHT_OK);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    singleflight_client_destroy(client);
    daemon_end(&daemon_, SIGTERM);
    return 0;
}

static enum singleflight_outcome write_value(struct singleflight_leader *leader, void *context)
{
    unsigned *runs = context;
    (*runs)++;
    (void)!singleflight_leader_write(leader, "value", 5);
    return SINGLEFLIGHT_OUTCOME_OK;
}

// The first call: it waits for the connection, and for its function.
static void no_timeout_is_none(void **state)
{
    (void)state;
    const struct singleflight_do_options options = options_of("none");
    unsigned runs = 0;
    struct singleflight_result *result = NULL;
    assert_int_equal(singleflight_do(client, &options, write_value, &runs, &result),
                     SINGLEFLIGHT_OK);
    assert_int_equal(result->value_bytes, 5);
    assert_true(result->led);
    singleflight_result_free(result);
    assert_int_equal(runs, 1);
}

// `fresh` would run the function again, `retain_from_lead` would keep nothing of a long one.
static void padding_is_no_option(void **state)
{
    (void)state;
    struct singleflight_do_options options = options_of("padding");
    options.retain_ms = 600000;
    unsigned runs = 0;
    for (int i = 0; i < 2; i++)
        assert_int_equal(singleflight_do(client, &options, write_value, &runs, NULL),
                         SINGLEFLIGHT_OK);
    assert_int_equal(runs, 1);
}

static void on_lead(void *context, struct singleflight_leader *leader)
{
    (void)context;
    singleflight_leader_finish(leader, SINGLEFLIGHT_OUTCOME_OK);
}

static void on_done(void *context, struct singleflight_result *result)
{
    sem_t *done = context;
    assert_int_equal(result->status, SINGLEFLIGHT_OK);
    singleflight_result_free(result);
    sem_post(done);
}

static void an_asynchronous_call_ends(void **state)
{
    (void)state;
    struct singleflight_call_events events = SINGLEFLIGHT_CALL_EVENTS_INIT;
    events.on_lead = on_lead;
    events.on_done = on_done;
    const struct singleflight_do_options options = options_of("asynchronous");
    sem_t done;
    sem_init(&done, 0, 0);
    assert_int_equal(singleflight_do_async(client, &options, &events, &done, NULL),
                     SINGLEFLIGHT_OK);
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_MS / 1000;
    int error;
    do {
        error = sem_timedwait(&done, &until);
    } while (error != 0 && errno == EINTR);
    assert_int_equal(error, 0);
    sem_destroy(&done);
}

static void nothing_is_written_behind_what_was_forgotten(void **state)
{
    (void)state;
    unsigned char room[sizeof(struct singleflight_forgotten) + 8];
    memset(room, DIRT, sizeof(room));
    struct singleflight_forgotten *forgotten = (struct singleflight_forgotten *)room;
    assert_int_equal(singleflight_forget(client, NULL, "padding", 7, false, 0, forgotten),
                     SINGLEFLIGHT_OK);
    assert_true(forgotten->retained);
    for (size_t i = sizeof(*forgotten); i < sizeof(room); i++)
        assert_int_equal(room[i], DIRT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_timeout_is_none),
        cmocka_unit_test(padding_is_no_option),
        cmocka_unit_test(an_asynchronous_call_ends),
        cmocka_unit_test(nothing_is_written_behind_what_was_forgotten),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
