// SPDX-License-Identifier: Apache-2.0
// Threads that ask, connections that are cut, daemons that are killed: every Do ends, and an OK is
// never anything but the whole value of the very attempt that the result names. What is broken, and
// when, goes by how many calls have ended, so that no test has to sleep.
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
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    CLIENTS = 3,
    THREADS = 12,
    CALLS_PER_THREAD = 80,
    CALLS_PER_FAULT = 12,
    KEYS = 5,
    TIMEOUT_MS = 60000,
};

struct world {
    struct test_daemon daemon;
    struct relay *relay;
    struct singleflight_client *clients[CLIENTS];
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned ended;
    unsigned threads_left;
    unsigned counts[17]; // results by status
    char wrong[256];     // the first thing that is not as it should be
};

struct asking_thread {
    struct world *world;
    uint64_t random;
    pthread_t thread;
};

static uint64_t next_random(uint64_t *state)
{
    (*state)++;
    return sfl_hash_stable(sfl_span_of(state, sizeof(*state)), 1);
}

// The value of an attempt: its size and every byte follow from its token.
static size_t size_of(uint64_t token)
{
    size_t sizes[] = {0, 10, 5000, 70000, 400000};
    return sizes[sfl_hash_stable(sfl_span_of(&token, sizeof(token)), 2) % 5];
}

static uint8_t byte_of(uint64_t token, size_t at)
{
    return (uint8_t)((token + at) * 2654435761u >> 11);
}

static enum singleflight_outcome work(struct singleflight_leader *leader, void *context)
{
    struct asking_thread *thread = context;
    uint64_t token = singleflight_leader_token(leader);
    size_t size = size_of(token);
    uint8_t piece[30000];
    for (size_t at = 0; at < size;) {
        size_t count = next_random(&thread->random) % sizeof(piece) + 1;
        if (count > size - at)
            count = size - at;
        for (size_t i = 0; i < count; i++)
            piece[i] = byte_of(token, at + i);
        if (singleflight_leader_write(leader, piece, count) != SINGLEFLIGHT_OK)
            return SINGLEFLIGHT_OUTCOME_ABANDONED;
        at += count;
    }
    return SINGLEFLIGHT_OUTCOME_OK;
}

static bool is_whole(const struct singleflight_result *result)
{
    if (result->value_bytes != size_of(result->token))
        return false;
    const uint8_t *value = result->value;
    for (size_t i = 0; i < result->value_bytes; i++)
        if (value[i] != byte_of(result->token, i))
            return false;
    return true;
}

static void judge(struct world *world, const struct singleflight_result *result)
{
    pthread_mutex_lock(&world->lock);
    world->counts[result->status]++;
    bool right = result->status == SINGLEFLIGHT_OK
                     ? result->outcome == SINGLEFLIGHT_OUTCOME_OK && is_whole(result)
                     : result->status == SINGLEFLIGHT_ABORTED;
    if (!right && world->wrong[0] == 0)
        snprintf(world->wrong, sizeof(world->wrong), "%s, outcome %d, %zu bytes, led %d: %s",
                 singleflight_status_name(result->status), result->outcome, result->value_bytes,
                 result->led, result->message);
    world->ended++;
    pthread_cond_signal(&world->changed);
    pthread_mutex_unlock(&world->lock);
}

static void *ask_on_and_on(void *argument)
{
    struct asking_thread *thread = argument;
    struct world *world = thread->world;
    for (int i = 0; i < CALLS_PER_THREAD; i++) {
        uint64_t random = next_random(&thread->random);
        char key[16];
        snprintf(key, sizeof(key), "key-%u", (unsigned)(random % KEYS));
        struct singleflight_do_options options = options_of(key);
        options.timeout_ms = TIMEOUT_MS;
        // A lead whose news is cut off on its way is nobody's until its lease is over: a short one.
        options.lease_ms = random / 8 % 2 ? 1000 : 0;
        options.no_local_merge = random / 16 % 2;
        options.live = random / 32 % 4 == 0;
        struct singleflight_result *result;
        (void)singleflight_do(world->clients[random / 256 % CLIENTS], &options, work, thread,
                              &result);
        judge(world, result);
        singleflight_result_free(result);
    }
    pthread_mutex_lock(&world->lock);
    world->threads_left--;
    pthread_cond_signal(&world->changed);
    pthread_mutex_unlock(&world->lock);
    return NULL;
}

// Every so many calls something breaks: mostly connections, now and then the daemon.
static void break_things(struct world *world)
{
    for (unsigned faults = 1;; faults++) {
        pthread_mutex_lock(&world->lock);
        while (world->ended < faults * CALLS_PER_FAULT && world->threads_left > 0)
            pthread_cond_wait(&world->changed, &world->lock);
        bool over = world->threads_left == 0;
        pthread_mutex_unlock(&world->lock);
        if (over)
            return;
        if (faults % 8 == 0) {
            char address[64];
            snprintf(address, sizeof(address), "%s", world->daemon.address);
            daemon_end(&world->daemon, SIGKILL);
            world->daemon = daemon_start(address);
        } else {
            relay_cut(world->relay, false);
        }
    }
}

static void every_do_ends_and_every_ok_is_whole(void **state)
{
    (void)state;
    struct world world = {
        .daemon = daemon_start("127.0.0.1:0"),
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .changed = PTHREAD_COND_INITIALIZER,
        .threads_left = THREADS,
    };
    world.relay = relay_create(world.daemon.address);
    struct singleflight_client_options options = SINGLEFLIGHT_CLIENT_OPTIONS_INIT;
    options.connect_timeout_ms = TIMEOUT_MS;
    options.backoff_max_ms = 100;
    options.unsent_bytes_max = 100000;
    for (size_t i = 0; i < CLIENTS; i++) // the last one goes to the daemon without a detour
        world.clients[i] = client_with(
            i + 1 < CLIENTS ? relay_address(world.relay) : world.daemon.address, options);
    struct asking_thread threads[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        threads[i] = (struct asking_thread){.world = &world, .random = i * 1000003};
        assert_int_equal(pthread_create(&threads[i].thread, NULL, ask_on_and_on, &threads[i]), 0);
    }
    break_things(&world);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i].thread, NULL);
    for (size_t i = 0; i < CLIENTS; i++)
        singleflight_client_destroy(world.clients[i]);
    relay_destroy(world.relay);
    daemon_end(&world.daemon, SIGTERM);

    assert_string_equal(world.wrong, "");
    assert_int_equal(world.ended, THREADS * CALLS_PER_THREAD);
    // Most of them go well in spite of it all.
    assert_true(world.counts[SINGLEFLIGHT_OK] > THREADS * CALLS_PER_THREAD / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_do_ends_and_every_ok_is_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
