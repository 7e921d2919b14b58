// SPDX-License-Identifier: Apache-2.0
// Many streams of common/rpc at once.
#include "rpc_harness.h"

#include <stdio.h>
#include <string.h>

#define CHANNELS 4
#define STREAMS 1000
#define MESSAGES 5

static void a_thousand_streams_over_four_connections_echo(void **state)
{
    (void)state;
    struct harness *harness = harness_create(NULL);
    struct sfl_channel *channels[CHANNELS];
    for (int i = 0; i < CHANNELS; i++)
        channels[i] = harness_channel(harness);
    static struct peer *peers[STREAMS];
    char message[32];

    for (int i = 0; i < STREAMS; i++)
        peers[i] = peer_open(channels[i % CHANNELS], ECHO_PATH, UINT64_MAX);
    for (unsigned round = 1; round <= MESSAGES; round++) {
        for (int i = 0; i < STREAMS; i++) {
            snprintf(message, sizeof(message), "%d in round %u", i, round);
            peer_send(peers[i], message, strlen(message));
        }
        for (int i = 0; i < STREAMS; i++) {
            peer_wait_sent(peers[i], round);
            peer_wait_messages(peers[i], round);
            snprintf(message, sizeof(message), "%d in round %u", i, round);
            assert_int_equal(peers[i]->last_size, strlen(message));
            assert_memory_equal(peers[i]->last, message, strlen(message));
        }
    }
    for (int i = 0; i < STREAMS; i++)
        sfl_stream_half_close(peers[i]->stream);
    for (int i = 0; i < STREAMS; i++) {
        assert_int_equal(peer_wait_closed(peers[i]), 0);
        assert_int_equal(peers[i]->messages, MESSAGES);
        peer_destroy(peers[i]);
    }

    for (int i = 0; i < CHANNELS; i++)
        sfl_channel_destroy(channels[i]);
    harness_destroy(harness);
}

// More new calls at once than the server has standing requests for.
static void a_burst_of_calls_is_served_to_the_last(void **state)
{
    (void)state;
    struct harness *harness = harness_create(&(struct harness_options){.pumps = 1});
    struct sfl_channel *channel = harness_channel(harness);
    static struct peer *peers[STREAMS];

    for (int i = 0; i < STREAMS; i++) {
        peers[i] = peer_open(channel, FIRST_PATH, UINT64_MAX);
        peer_send(peers[i], "now", 3);
    }
    for (int i = 0; i < STREAMS; i++) {
        assert_int_equal(peer_wait_closed(peers[i]), 0);
        assert_int_equal(peers[i]->messages, 1);
        peer_destroy(peers[i]);
    }

    sfl_channel_destroy(channel);
    harness_destroy(harness);
}

// Who wakes itself on each tick: the pump has always something at hand, and never waits.
static struct sfl_pump *_Atomic restless;

static void wake_again(void *context)
{
    (void)context;
    struct sfl_pump *pump = atomic_load(&restless);
    if (pump != NULL)
        sfl_pump_wake(pump);
}

static void a_pump_that_never_waits_looks_at_its_sockets(void **state)
{
    (void)state;
    const struct sfl_pump_hooks hooks = {.on_tick = wake_again};
    struct harness *harness =
        harness_create(&(struct harness_options){.pumps = 1, .hooks = &hooks});
    struct sfl_channel *channel = harness_channel(harness);
    atomic_store(&restless, sfl_pumps_get(harness->pumps, 0));
    sfl_pump_wake(sfl_pumps_get(harness->pumps, 0));

    struct peer *peer = peer_open(channel, ECHO_PATH, UINT64_MAX);
    peer_send_and_wait(peer, "still there?", 12);
    peer_wait_messages(peer, 1);
    sfl_stream_half_close(peer->stream);
    assert_int_equal(peer_wait_closed(peer), 0);

    atomic_store(&restless, NULL);
    peer_destroy(peer);
    sfl_channel_destroy(channel);
    harness_destroy(harness);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thousand_streams_over_four_connections_echo),
        cmocka_unit_test(a_burst_of_calls_is_served_to_the_last),
        cmocka_unit_test(a_pump_that_never_waits_looks_at_its_sockets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
