// SPDX-License-Identifier: Apache-2.0
// Leaders that are cut off in silence, whose bytes are swallowed or held back for a while: there is
// no moment at which two of a key both hear that they still lead.
#include "asker.h"
#include "base/hash.h"
#include "daemon.h"
#include "relay.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum {
    CLIENTS = 3,
    THREADS_PER_CLIENT = 2,
    THREADS = CLIENTS * THREADS_PER_CLIENT,
    KEYS = 2,
    LEASE_MS = 1000,
    FAULTS = 14,
    SILENCE_MS = 2200,
};

struct world {
    struct test_daemon daemon;
    struct relay *relays[CLIENTS];
    struct singleflight_client *clients[CLIENTS];
    _Atomic(uint64_t)
        newest[KEYS]; // the greatest token of a key whose leader has heard that it leads
    atomic_uint takeovers;
    atomic_uint both; // a leader heard that it leads, after another had heard so with a later token
    atomic_bool is_over;
};

struct asking_thread {
    struct world *world;
    struct singleflight_client *client;
    uint64_t random;
    size_t key;
    pthread_t thread;
};

static uint64_t next_random(uint64_t *state)
{
    (*state)++;
    return sfl_hash_stable(sfl_span_of(state, sizeof(*state)), 1);
}

static void note_newest(struct world *world, size_t key, uint64_t token)
{
    uint64_t newest = atomic_load(&world->newest[key]);
    while (newest < token && !atomic_compare_exchange_weak(&world->newest[key], &newest, token))
        ;
}

// Asks over and over, for a second or two.
static enum singleflight_outcome ask_whether_it_leads(struct singleflight_leader *leader,
                                                      void *context)
{
    struct asking_thread *thread = context;
    struct world *world = thread->world;
    uint64_t token = singleflight_leader_token(leader);
    if (singleflight_leader_attempt(leader) > 1)
        atomic_fetch_add(&world->takeovers, 1);
    unsigned looks = (unsigned)(next_random(&thread->random) % 700);
    for (unsigned i = 0; i < looks && !atomic_load(&world->is_over); i++) {
        uint64_t newest = atomic_load(&world->newest[thread->key]);
        if (singleflight_leader_lost(leader) == SINGLEFLIGHT_OK) {
            if (newest > token)
                atomic_fetch_add(&world->both, 1);
            note_newest(world, thread->key, token);
        }
        if (singleflight_leader_wait_lost(leader, 2) != SINGLEFLIGHT_OK)
            break;
    }
    return SINGLEFLIGHT_OUTCOME_OK;
}

static void *ask_on_and_on(void *argument)
{
    struct asking_thread *thread = argument;
    while (!atomic_load(&thread->world->is_over)) {
        thread->key = next_random(&thread->random) % KEYS;
        struct singleflight_do_options options = options_of(thread->key == 0 ? "a" : "b");
        options.lease_ms = LEASE_MS;
        options.no_local_merge = true;
        struct singleflight_result *result = NULL;
        (void)singleflight_do(thread->client, &options, ask_whether_it_leads, thread, &result);
        singleflight_result_free(result);
    }
    return NULL;
}

// So much time goes by; nobody ends it earlier.
static void let_time_pass(uint64_t span_ms)
{
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t never = PTHREAD_COND_INITIALIZER;
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    uint64_t until_ns = (uint64_t)until.tv_nsec + span_ms * 1000000;
    until.tv_sec += (time_t)(until_ns / 1000000000);
    until.tv_nsec = (long)(until_ns % 1000000000);
    pthread_mutex_lock(&lock);
    while (pthread_cond_timedwait(&never, &lock, &until) == 0)
        ;
    pthread_mutex_unlock(&lock);
}

static void break_things(struct world *world)
{
    uint64_t random = 7;
    for (unsigned i = 0; i < FAULTS; i++) {
        struct relay *relay = world->relays[next_random(&random) % CLIENTS];
        relay_silence(relay, next_random(&random) % 2);
        let_time_pass(SILENCE_MS / 4 + next_random(&random) % SILENCE_MS);
        relay_accept(relay);
        let_time_pass(next_random(&random) % 300);
    }
}

static void never_do_two_hear_that_they_lead(void **state)
{
    (void)state;
    struct world world = {.daemon = daemon_start("127.0.0.1:0")};
    struct singleflight_client_options options = SINGLEFLIGHT_CLIENT_OPTIONS_INIT;
    options.connect_timeout_ms = PATIENCE_MS;
    options.backoff_max_ms = 100;
    options.keepalive_time_ms = 1000;
    options.keepalive_timeout_ms = 1000;
    for (size_t i = 0; i < CLIENTS; i++) {
        world.relays[i] = relay_create(world.daemon.address);
        world.clients[i] = client_with(relay_address(world.relays[i]), options);
    }
    struct asking_thread threads[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        threads[i] = (struct asking_thread){
            .world = &world, .client = world.clients[i % CLIENTS], .random = i * 1000003};
        assert_int_equal(pthread_create(&threads[i].thread, NULL, ask_on_and_on, &threads[i]), 0);
    }
    break_things(&world);
    atomic_store(&world.is_over, true);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i].thread, NULL);
    for (size_t i = 0; i < CLIENTS; i++) {
        singleflight_client_destroy(world.clients[i]);
        relay_destroy(world.relays[i]);
    }
    daemon_end(&world.daemon, SIGTERM);
    assert_int_equal(atomic_load(&world.both), 0);
    assert_true(atomic_load(&world.takeovers) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(never_do_two_hear_that_they_lead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
