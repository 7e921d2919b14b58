// SPDX-License-Identifier: Apache-2.0
// Many threads, many keys, large values.
#include "asker.h"
#include "daemon.h"
#include "worker_process.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define THREADS 100
#define LARGE_BYTES ((size_t)5 * 1024 * 1024)

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

static uint8_t byte_at(size_t place)
{
    return (uint8_t)((place * 2654435761u) >> 13);
}

// Writes the large value in pieces of uneven size.
static enum singleflight_outcome write_large(struct singleflight_leader *leader, void *context)
{
    atomic_uint *runs = context;
    atomic_fetch_add(runs, 1);
    uint8_t *value = malloc(LARGE_BYTES);
    for (size_t i = 0; i < LARGE_BYTES; i++)
        value[i] = byte_at(i);
    enum singleflight_status status = SINGLEFLIGHT_OK;
    for (size_t at = 0; at < LARGE_BYTES && status == SINGLEFLIGHT_OK;) {
        size_t size = at % 99991 + 1;
        if (size > LARGE_BYTES - at)
            size = LARGE_BYTES - at;
        status = singleflight_leader_write(leader, value + at, size);
        at += size;
    }
    free(value);
    return status == SINGLEFLIGHT_OK ? SINGLEFLIGHT_OUTCOME_OK : SINGLEFLIGHT_OUTCOME_ABANDONED;
}

static void assert_large(const struct singleflight_result *result)
{
    if (result->status != SINGLEFLIGHT_OK)
        fail_msg("%s: %s", singleflight_status_name(result->status), result->message);
    assert_int_equal(result->outcome, SINGLEFLIGHT_OUTCOME_OK);
    assert_int_equal(result->value_bytes, LARGE_BYTES);
    const uint8_t *value = result->value;
    for (size_t i = 0; i < LARGE_BYTES; i++)
        if (value[i] != byte_at(i))
            fail_msg("byte %zu is wrong", i);
}

static void large_values_go_there_and_come_back(void **state)
{
    (void)state;
    atomic_uint runs = 0;
    struct singleflight_client *writer = client_of(daemon_.address);
    struct singleflight_client *reader = client_of(daemon_.address);
    struct singleflight_do_options options = options_of("large");
    options.retain_ms = 60000;
    struct singleflight_result *result;
    (void)singleflight_do(writer, &options, write_large, &runs, &result);
    assert_large(result);
    assert_true(result->led);
    singleflight_result_free(result);
    (void)singleflight_do(reader, &options, write_large, &runs, &result);
    assert_large(result);
    assert_true(result->retained);
    singleflight_result_free(result);
    assert_int_equal(runs, 1);
    singleflight_client_destroy(writer);
    singleflight_client_destroy(reader);
}

// Eight large values at once over two sessions, each followed by the other client.
static void large_values_of_several_calls_take_turns(void **state)
{
    (void)state;
    enum { KEYS = 8 };
    atomic_uint runs = 0;
    struct singleflight_client *clients[2] = {client_of(daemon_.address),
                                              client_of(daemon_.address)};
    char keys[KEYS][16];
    struct asker askers[KEYS][2];
    for (size_t i = 0; i < KEYS; i++) {
        snprintf(keys[i], sizeof(keys[i]), "turn-%zu", i);
        struct singleflight_do_options options = options_of(keys[i]);
        options.retain_ms = 60000; // who comes after the end gets it, too
        for (size_t side = 0; side < 2; side++)
            asker_start(&askers[i][side], clients[side], &options, write_large, &runs);
    }
    for (size_t i = 0; i < KEYS; i++) {
        for (size_t side = 0; side < 2; side++) {
            struct singleflight_result *result = asker_join(&askers[i][side]);
            assert_large(result);
            singleflight_result_free(result);
        }
    }
    assert_int_equal(runs, KEYS);
    singleflight_client_destroy(clients[0]);
    singleflight_client_destroy(clients[1]);
}

static enum singleflight_outcome write_too_much(struct singleflight_leader *leader, void *context)
{
    enum singleflight_status *status = context;
    char piece[1000] = "";
    for (int i = 0; i < 11 && *status == SINGLEFLIGHT_OK; i++)
        *status = singleflight_leader_write(leader, piece, sizeof(piece));
    return SINGLEFLIGHT_OUTCOME_OK; // it does not care
}

static void a_value_over_the_limit_never_ends_ok(void **state)
{
    (void)state;
    struct singleflight_client_options limits = SINGLEFLIGHT_CLIENT_OPTIONS_INIT;
    limits.result_bytes_max = 10000;
    struct singleflight_client *small = client_with(daemon_.address, limits);
    struct singleflight_do_options options = options_of("too much");
    enum singleflight_status status = SINGLEFLIGHT_OK;
    struct singleflight_result *result;
    (void)singleflight_do(small, &options, write_too_much, &status, &result);
    assert_int_equal(status, SINGLEFLIGHT_RESOURCE_EXHAUSTED);
    assert_int_equal(result->status, SINGLEFLIGHT_OK);
    assert_int_equal(result->outcome, SINGLEFLIGHT_OUTCOME_ERROR);
    singleflight_result_free(result);

    // And a follower that cannot hold a value says so.
    struct singleflight_client *large = client_of(daemon_.address);
    atomic_uint runs = 0;
    options = options_of("too much to take");
    options.retain_ms = 60000;
    (void)singleflight_do(large, &options, write_large, &runs, &result);
    assert_large(result);
    singleflight_result_free(result);
    assert_int_equal(singleflight_do(small, &options, write_large, &runs, &result),
                     SINGLEFLIGHT_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(result->message, "10000"));
    singleflight_result_free(result);
    singleflight_client_destroy(large);
    singleflight_client_destroy(small);
}

static enum singleflight_outcome count_run(struct singleflight_leader *leader, void *context)
{
    atomic_uint *runs = context;
    atomic_fetch_add(runs, 1);
    (void)singleflight_leader_write(leader, "counted", 7);
    return SINGLEFLIGHT_OUTCOME_OK;
}

static void a_hundred_threads_on_one_key_run_it_once(void **state)
{
    (void)state;
    atomic_uint runs = 0;
    struct singleflight_client *client = client_of(daemon_.address);
    struct singleflight_do_options options = options_of("hundred");
    options.retain_ms = 60000; // also for those that come after the end
    options.timeout_ms = PATIENCE_MS;
    static struct asker askers[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        asker_start(&askers[i], client, &options, count_run, &runs);
    for (size_t i = 0; i < THREADS; i++) {
        struct singleflight_result *result = asker_join(&askers[i]);
        assert_value(result, "counted");
        singleflight_result_free(result);
    }
    assert_int_equal(runs, 1);
    singleflight_client_destroy(client);
}

// ---- asynchronous calls, all at once from one thread ----

enum { CALLS = 5000, KEYS_OF_CALLS = 500 };

struct crowd {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned done;
    unsigned led;
    unsigned wrong;
};

static void crowd_lead(void *context, struct singleflight_leader *leader)
{
    (void)context;
    (void)singleflight_leader_write(leader, "crowd", 5);
    singleflight_leader_finish(leader, SINGLEFLIGHT_OUTCOME_OK);
}

static void crowd_done(void *context, struct singleflight_result *result)
{
    struct crowd *crowd = context;
    bool right = result->status == SINGLEFLIGHT_OK && result->value_bytes == 5 &&
                 memcmp(result->value, "crowd", 5) == 0;
    pthread_mutex_lock(&crowd->lock);
    crowd->done++;
    crowd->led += result->led;
    crowd->wrong += !right;
    pthread_cond_signal(&crowd->changed);
    pthread_mutex_unlock(&crowd->lock);
    singleflight_result_free(result);
}

static void thousands_of_asynchronous_calls_all_end_well(void **state)
{
    (void)state;
    struct crowd crowd = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    struct singleflight_call_events events = SINGLEFLIGHT_CALL_EVENTS_INIT;
    events.on_lead = crowd_lead;
    events.on_done = crowd_done;
    struct singleflight_client *client = client_of(daemon_.address);
    for (unsigned i = 0; i < CALLS; i++) {
        char key[32];
        snprintf(key, sizeof(key), "crowd-%u", i % KEYS_OF_CALLS);
        struct singleflight_do_options options = options_of(key);
        options.no_local_merge = i % 2 == 0;
        assert_int_equal(singleflight_do_async(client, &options, &events, &crowd, NULL),
                         SINGLEFLIGHT_OK);
    }
    pthread_mutex_lock(&crowd.lock);
    while (crowd.done < CALLS)
        pthread_cond_wait(&crowd.changed, &crowd.lock);
    pthread_mutex_unlock(&crowd.lock);
    assert_int_equal(crowd.wrong, 0);
    assert_true(crowd.led >= KEYS_OF_CALLS);
    singleflight_client_destroy(client);
}

static void calls_that_are_cancelled_in_a_crowd_end_once(void **state)
{
    (void)state;
    struct crowd crowd = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    struct singleflight_call_events events = SINGLEFLIGHT_CALL_EVENTS_INIT;
    events.on_lead = crowd_lead;
    events.on_done = crowd_done;
    struct singleflight_client *client = client_of(daemon_.address);
    for (unsigned i = 0; i < CALLS; i++) {
        struct singleflight_do_options options = options_of("cancelled crowd");
        options.no_local_merge = i % 3 == 0;
        struct singleflight_call *call;
        assert_int_equal(singleflight_do_async(client, &options, &events, &crowd, &call),
                         SINGLEFLIGHT_OK);
        singleflight_call_cancel(call);
        singleflight_call_cancel(call);
        singleflight_call_release(call);
    }
    singleflight_client_destroy(client); // has called every on_done
    assert_int_equal(crowd.done, CALLS);
}

// Calls that begin in the callback of the one before, on the client's thread. The test's own thread
// cancels each of them, perhaps before the client has looked at it.
struct chain {
    struct crowd crowd;
    struct singleflight_client *client;
    struct singleflight_call_events events;
    struct singleflight_call *call; // the newest one; NULL: the test has taken it
    unsigned begun;
};

// Under the lock, so that no end is told before the handle is there.
static void chain_begin(struct chain *chain)
{
    struct singleflight_do_options options = options_of("chain");
    options.no_local_merge = true;
    pthread_mutex_lock(&chain->crowd.lock);
    assert_int_equal(
        singleflight_do_async(chain->client, &options, &chain->events, chain, &chain->call),
        SINGLEFLIGHT_OK);
    chain->begun++;
    pthread_cond_signal(&chain->crowd.changed);
    pthread_mutex_unlock(&chain->crowd.lock);
}

// Goes on when the test has taken the handle.
static void chain_done(void *context, struct singleflight_result *result)
{
    struct chain *chain = context;
    pthread_mutex_lock(&chain->crowd.lock);
    chain->crowd.done++;
    chain->crowd.wrong +=
        result->status != SINGLEFLIGHT_OK && result->status != SINGLEFLIGHT_CANCELLED;
    bool goes_on = chain->begun < CALLS;
    while (goes_on && chain->call != NULL)
        pthread_cond_wait(&chain->crowd.changed, &chain->crowd.lock);
    pthread_mutex_unlock(&chain->crowd.lock);
    singleflight_result_free(result);
    if (goes_on)
        chain_begin(chain);
}

static struct singleflight_call *chain_take(struct chain *chain)
{
    pthread_mutex_lock(&chain->crowd.lock);
    while (chain->call == NULL)
        pthread_cond_wait(&chain->crowd.changed, &chain->crowd.lock);
    struct singleflight_call *call = chain->call;
    chain->call = NULL;
    pthread_cond_signal(&chain->crowd.changed);
    pthread_mutex_unlock(&chain->crowd.lock);
    return call;
}

static void a_call_that_begins_in_a_callback_is_cancelled_from_elsewhere(void **state)
{
    (void)state;
    struct chain chain = {
        .crowd = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER},
        .client = client_of(daemon_.address),
        .events = SINGLEFLIGHT_CALL_EVENTS_INIT};
    chain.events.on_lead = crowd_lead;
    chain.events.on_done = chain_done;
    chain_begin(&chain);
    for (unsigned i = 0; i < CALLS; i++) {
        struct singleflight_call *call = chain_take(&chain);
        singleflight_call_cancel(call);
        singleflight_call_release(call);
    }
    singleflight_client_destroy(chain.client); // has called every on_done
    assert_int_equal(chain.begun, CALLS);
    assert_int_equal(chain.crowd.done, CALLS);
    assert_int_equal(chain.crowd.wrong, 0);
}

// A leader that writes as it is told to: up to the bound, and on when there is room.
struct paced {
    struct crowd crowd;
    size_t written;
    size_t unsent_max;
};

static void write_while_there_is_room(struct paced *paced, struct singleflight_leader *leader)
{
    static const char piece[16384];
    while (paced->written < LARGE_BYTES && singleflight_leader_unsent(leader) <= 100000) {
        assert_int_equal(singleflight_leader_write(leader, piece, sizeof(piece)), SINGLEFLIGHT_OK);
        paced->written += sizeof(piece);
        size_t unsent = singleflight_leader_unsent(leader);
        if (unsent > paced->unsent_max)
            paced->unsent_max = unsent;
    }
    if (paced->written >= LARGE_BYTES && paced->written < SIZE_MAX) {
        paced->written = SIZE_MAX;
        singleflight_leader_finish(leader, SINGLEFLIGHT_OUTCOME_OK);
    }
}

static void paced_lead(void *context, struct singleflight_leader *leader)
{
    write_while_there_is_room(context, leader);
}

static void paced_drained(void *context, struct singleflight_leader *leader)
{
    write_while_there_is_room(context, leader);
}

static void paced_done(void *context, struct singleflight_result *result)
{
    struct paced *paced = context;
    pthread_mutex_lock(&paced->crowd.lock);
    paced->crowd.wrong += result->status != SINGLEFLIGHT_OK;
    paced->crowd.done++;
    pthread_cond_signal(&paced->crowd.changed);
    pthread_mutex_unlock(&paced->crowd.lock);
    singleflight_result_free(result);
}

static void an_asynchronous_leader_is_told_when_there_is_room(void **state)
{
    (void)state;
    struct paced paced = {
        .crowd = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER}};
    struct singleflight_client_options limits = SINGLEFLIGHT_CLIENT_OPTIONS_INIT;
    limits.unsent_bytes_max = 100000;
    struct singleflight_client *client = client_with(daemon_.address, limits);
    struct singleflight_do_options options = options_of("paced");
    options.no_value = true;
    struct singleflight_call_events events = SINGLEFLIGHT_CALL_EVENTS_INIT;
    events.on_lead = paced_lead;
    events.on_drained = paced_drained;
    events.on_done = paced_done;
    assert_int_equal(singleflight_do_async(client, &options, &events, &paced, NULL),
                     SINGLEFLIGHT_OK);
    pthread_mutex_lock(&paced.crowd.lock);
    while (paced.crowd.done == 0)
        pthread_cond_wait(&paced.crowd.changed, &paced.crowd.lock);
    pthread_mutex_unlock(&paced.crowd.lock);
    assert_int_equal(paced.crowd.wrong, 0);
    assert_true(paced.unsent_max > 0);
    assert_true(paced.unsent_max <= 100000 + 16384);
    singleflight_client_destroy(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(large_values_go_there_and_come_back),
        cmocka_unit_test(large_values_of_several_calls_take_turns),
        cmocka_unit_test(a_value_over_the_limit_never_ends_ok),
        cmocka_unit_test(a_hundred_threads_on_one_key_run_it_once),
        cmocka_unit_test(thousands_of_asynchronous_calls_all_end_well),
        cmocka_unit_test(calls_that_are_cancelled_in_a_crowd_end_once),
        cmocka_unit_test(a_call_that_begins_in_a_callback_is_cancelled_from_elsewhere),
        cmocka_unit_test(an_asynchronous_leader_is_told_when_there_is_room),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
