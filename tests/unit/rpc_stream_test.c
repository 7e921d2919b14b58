// SPDX-License-Identifier: Apache-2.0
// Streams of common/rpc between a real server and a real channel, in one process.
#include "rpc_harness.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void an_echo_comes_back_and_the_stream_ends_ok(void **state)
{
    struct harness *harness = *state;
    struct sfl_channel *channel = harness_channel(harness);
    struct peer *peer = peer_open(channel, ECHO_PATH, UINT64_MAX);

    peer_send_and_wait(peer, "hello", 5);
    peer_wait_messages(peer, 1);
    assert_int_equal(peer->last_size, 5);
    assert_memory_equal(peer->last, "hello", 5);
    sfl_stream_half_close(peer->stream);

    assert_int_equal(peer_wait_closed(peer), 0);
    assert_int_equal(peer->messages, 1);
    peer_destroy(peer);
    sfl_channel_destroy(channel);
}

static int set_up(void **state)
{
    *state = harness_create(NULL);
    return 0;
}

static int tear_down(void **state)
{
    harness_destroy(*state);
    return 0;
}

#define ON_SERVER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_SERVER(an_echo_comes_back_and_the_stream_ends_ok),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
