// SPDX-License-Identifier: Apache-2.0
// Streams of common/rpc when something goes wrong: limits, peers that vanish or freeze, races.
#include "rpc_harness.h"
#include "rpc_relay.h"

#include "base/clock.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CANCELLED 1
#define DEADLINE_EXCEEDED 4
#define RESOURCE_EXHAUSTED 8
#define ABORTED 10
#define UNAVAILABLE 14

static void a_message_that_is_too_large_ends_its_rpc_only(void **state)
{
    struct harness *harness = *state;
    struct sfl_channel *channel = harness_channel(harness);
    static const char *const paths[] = {ECHO_PATH, FIRST_PATH, HOLD_PATH};
    size_t size = (4 << 20) + 1;
    uint8_t *bytes = make_bytes(size);
    struct peer *other = peer_open(channel, ECHO_PATH, UINT64_MAX);

    for (size_t i = 0; i < 3; i++) {
        struct peer *client = peer_open(channel, paths[i], UINT64_MAX);
        peer_send(client, bytes, size);
        assert_int_equal(peer_wait_closed(client), RESOURCE_EXHAUSTED);
        assert_true(strlen(client->text) > 0);
        peer_destroy(client);
    }
    struct peer *held = harness_take(harness);
    assert_int_equal(peer_wait_closed(held), RESOURCE_EXHAUSTED);
    assert_int_equal(held->messages, 0);
    assert_false(held->is_half_closed);
    peer_destroy(held);
    peer_send_and_wait(other, bytes, size - 1);
    peer_wait_messages(other, 1);
    sfl_stream_half_close(other->stream);

    assert_int_equal(peer_wait_closed(other), 0);
    peer_destroy(other);
    sfl_channel_destroy(channel);
    free(bytes);
}

static void nothing_is_sent_on_a_stream_that_is_over_and_pieces_are_released(void **state)
{
    struct harness *harness = *state;
    struct sfl_channel *channel = harness_channel(harness);
    struct peer *client = peer_open(channel, HOLD_PATH, UINT64_MAX);
    struct peer *server = harness_take(harness);
    sfl_stream_cancel(client->stream, CANCELLED, "");
    peer_wait_closed(client);
    peer_wait_closed(server);

    uint8_t bytes[1000] = {0};
    atomic_int released = 0;
    struct sfl_piece piece = {
        .bytes = sfl_span_of(bytes, 1000), .release = count_release, .owner = &released};
    assert_int_equal(sfl_stream_send(client->stream, &piece, 1), SFL_UNAVAILABLE);
    assert_int_equal(sfl_stream_send(server->stream, &piece, 1), SFL_UNAVAILABLE);
    assert_int_equal(released, 2);
    sfl_stream_finish(server->stream, &piece, 1, 0, "");
    assert_int_equal(released, 3);
    sfl_stream_cancel(server->stream, ABORTED, "");
    sfl_stream_cancel(client->stream, ABORTED, "");
    sfl_stream_half_close(client->stream);

    peer_destroy(client);
    peer_destroy(server);
    sfl_channel_destroy(channel);
}

static void no_server_means_unavailable(void **state)
{
    struct harness *harness = *state;
    struct relay *relay = relay_create(1);
    char target[32];
    snprintf(target, sizeof(target), "127.0.0.1:%d", relay_port(relay));
    relay_destroy(relay); // nobody listens there now
    struct sfl_channel *channel = harness_channel_to(harness, target);

    struct peer *peer = peer_open(channel, ECHO_PATH, UINT64_MAX);
    assert_int_equal(peer_wait_closed(peer), UNAVAILABLE);
    peer_destroy(peer);
    sfl_channel_reset_backoff(channel);
    peer = peer_open(channel, ECHO_PATH, UINT64_MAX);
    assert_int_equal(peer_wait_closed(peer), UNAVAILABLE);

    peer_destroy(peer);
    sfl_channel_destroy(channel);
}

static void a_target_that_cannot_be_read_is_refused(void **state)
{
    struct harness *harness = *state;
    struct sfl_channel_options options = {.pump = sfl_pumps_get(harness->pumps, 0)};
    struct sfl_channel *channel;
    assert_int_equal(sfl_channel_create("ipv4:not an address", &options, &channel),
                     SFL_INVALID_ARGUMENT);
}

// A stream through a relay, which is cut while both ends send.
static void a_peer_that_vanishes_is_seen_by_both_ends(void **state)
{
    struct harness *harness = *state;
    struct relay *relay = relay_create(atoi(strrchr(harness->address, ':') + 1));
    char target[32];
    snprintf(target, sizeof(target), "127.0.0.1:%d", relay_port(relay));
    struct sfl_channel *channel = harness_channel_to(harness, target);
    struct peer *client = peer_open(channel, HOLD_PATH, UINT64_MAX);
    struct peer *server = harness_take(harness);
    uint8_t *bytes = make_bytes(SHARED_SIZE);
    peer_send_and_wait(server, "x", 1);
    peer_wait_messages(client, 1);

    atomic_int released = 0;
    struct sfl_piece piece = {
        .bytes = sfl_span_of(bytes, SHARED_SIZE), .release = count_release, .owner = &released};
    assert_int_equal(sfl_stream_send(server->stream, &piece, 1), SFL_OK);
    relay_cut(relay);

    assert_int_equal(peer_wait_closed(server), CANCELLED);
    assert_false(server->is_half_closed);
    assert_int_equal(sfl_stream_send(server->stream, &piece, 1), SFL_UNAVAILABLE);
    assert_int_equal(peer_wait_closed(client), UNAVAILABLE);
    peer_destroy(client);
    peer_destroy(server);
    sfl_channel_destroy(channel);
    relay_destroy(relay);
    wait_for_releases(&released, 2);
    harness_end(harness);
    assert_int_equal(released, 2);
    free(bytes);
}

static struct peer *open_with_deadline(struct sfl_channel *channel)
{
    return peer_open(channel, HOLD_PATH, sfl_clock_now_ms() + 300);
}

// Neither end's machine reads any more; what is sent stays where it is. gRPC gives such a
// connection up after 10 s here (keepalive), but a stream must end when it is cancelled or its time
// is over.
static void a_stream_ends_at_once_while_the_peer_is_frozen(void **state)
{
    struct harness *harness = *state;
    struct relay *relay = relay_create(atoi(strrchr(harness->address, ':') + 1));
    char target[32];
    snprintf(target, sizeof(target), "127.0.0.1:%d", relay_port(relay));
    struct sfl_channel *channel = harness_channel_to(harness, target);
    size_t size = 4 << 20;
    uint8_t *bytes = make_bytes(size);
    struct peer *clients[12];
    struct peer *servers[12];
    for (int i = 0; i < 12; i++) {
        clients[i] =
            i < 4 ? open_with_deadline(channel) : peer_open(channel, HOLD_PATH, UINT64_MAX);
        servers[i] = harness_take(harness);
    }
    relay_freeze(relay);
    uint64_t began_ms = sfl_clock_now_ms();
    atomic_int released = 0;
    struct sfl_piece piece = {
        .bytes = sfl_span_of(bytes, size), .release = count_release, .owner = &released};
    for (int i = 0; i < 12; i++) {
        (void)!sfl_stream_send(clients[i]->stream, &piece, 1);
        if (i % 2 == 0)
            (void)!sfl_stream_send(servers[i]->stream, &piece, 1);
        else
            sfl_stream_finish(servers[i]->stream, &piece, 1, 0, "");
    }
    for (int i = 4; i < 12; i++) {
        sfl_stream_cancel(clients[i]->stream, ABORTED, "too slow");
        sfl_stream_cancel(servers[i]->stream, ABORTED, "too slow");
    }

    for (int i = 0; i < 12; i++) {
        assert_int_equal(peer_wait_closed(clients[i]), i < 4 ? DEADLINE_EXCEEDED : ABORTED);
        peer_wait_closed(servers[i]);
        peer_destroy(clients[i]);
        peer_destroy(servers[i]);
    }
    assert_true(sfl_clock_now_ms() - began_ms < 9000);
    relay_cut(relay);
    wait_for_releases(&released, 24);
    sfl_channel_destroy(channel);
    relay_destroy(relay);
    harness_end(harness);
    assert_int_equal(released, 24);
    free(bytes);
}

// --- races ---

struct race {
    pthread_barrier_t start;
    struct sfl_stream *stream;
    bool is_client;
};

static void *cancel_at_start(void *argument)
{
    struct race *race = argument;
    pthread_barrier_wait(&race->start);
    sfl_stream_cancel(race->stream, ABORTED, "raced");
    sfl_stream_unref(race->stream);
    return NULL;
}

// One thread cancels one end while another one sends and finishes on the server's end.
static void race_once(struct harness *harness, struct sfl_channel *channel, bool is_client)
{
    struct peer *client = peer_open(channel, HOLD_PATH, UINT64_MAX);
    struct peer *server = harness_take(harness);
    struct race race = {.stream = sfl_stream_ref(is_client ? client->stream : server->stream)};
    pthread_barrier_init(&race.start, NULL, 2);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, cancel_at_start, &race), 0);

    uint8_t bytes[2000] = {1};
    atomic_int released = 0;
    struct sfl_piece piece = {
        .bytes = sfl_span_of(bytes, sizeof(bytes)), .release = count_release, .owner = &released};
    pthread_barrier_wait(&race.start);
    sfl_stream_finish(server->stream, &piece, 1, 0, "");

    int client_code = peer_wait_closed(client);
    int server_code = peer_wait_closed(server);
    pthread_join(thread, NULL);
    assert_true(client_code == 0 || client_code == ABORTED || client_code == CANCELLED);
    assert_true(server_code == 0 || server_code == CANCELLED);
    if (client_code == 0)
        assert_int_equal(client->messages, 1);
    peer_destroy(client);
    peer_destroy(server);
    pthread_barrier_destroy(&race.start);
    wait_for_releases(&released, 1);
}

static void a_cancel_may_race_with_the_end(void **state)
{
    struct harness *harness = *state;
    struct sfl_channel *channel = harness_channel(harness);
    for (int i = 0; i < 300; i++)
        race_once(harness, channel, i % 2 == 0);
    sfl_channel_destroy(channel);
}

// Sends as often as the stream allows, as an outbox does from a thread that is no pump.
static void *send_until_over(void *argument)
{
    struct peer *server = argument;
    unsigned sent = 0;
    struct sfl_piece piece = {.bytes = sfl_span_of("more", 4)};
    while (sfl_stream_send(server->stream, &piece, 1) == SFL_OK) {
        pthread_mutex_lock(&server->lock);
        while (server->sent == sent && server->closed == 0)
            pthread_cond_wait(&server->changed, &server->lock);
        bool is_over = server->closed > 0;
        sent = server->sent;
        pthread_mutex_unlock(&server->lock);
        if (is_over)
            break;
    }
    return NULL;
}

static void a_sender_on_another_thread_meets_the_end_of_the_stream(void **state)
{
    struct harness *harness = *state;
    struct sfl_channel *channel = harness_channel(harness);
    for (unsigned i = 0; i < 200; i++) {
        struct peer *client = peer_open(channel, HOLD_PATH, UINT64_MAX);
        struct peer *server = harness_take(harness);
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, send_until_over, server), 0);
        peer_wait_messages(client, i % 7);
        sfl_stream_cancel(client->stream, CANCELLED, "");
        assert_int_equal(peer_wait_closed(server), CANCELLED);
        pthread_join(thread, NULL);
        peer_wait_closed(client);
        peer_destroy(client);
        peer_destroy(server);
    }
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
        ON_SERVER(a_message_that_is_too_large_ends_its_rpc_only),
        ON_SERVER(nothing_is_sent_on_a_stream_that_is_over_and_pieces_are_released),
        ON_SERVER(no_server_means_unavailable),
        ON_SERVER(a_target_that_cannot_be_read_is_refused),
        ON_SERVER(a_peer_that_vanishes_is_seen_by_both_ends),
        ON_SERVER(a_stream_ends_at_once_while_the_peer_is_frozen),
        ON_SERVER(a_cancel_may_race_with_the_end),
        ON_SERVER(a_sender_on_another_thread_meets_the_end_of_the_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
