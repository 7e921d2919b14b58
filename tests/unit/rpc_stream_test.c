// SPDX-License-Identifier: Apache-2.0
// Streams of common/rpc between a real server and a real channel, in one process.
#include "rpc_harness.h"
#include "rpc_relay.h"

#include "base/clock.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CANCELLED 1
#define INVALID_ARGUMENT 3
#define DEADLINE_EXCEEDED 4
#define NOT_FOUND 5
#define RESOURCE_EXHAUSTED 8
#define ABORTED 10
#define UNIMPLEMENTED 12
#define UNAVAILABLE 14

// --- messages ---

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

static void an_empty_message_is_a_message(void **state)
{
    struct harness *harness = *state;
    struct sfl_channel *channel = harness_channel(harness);
    struct peer *peer = peer_open(channel, ECHO_PATH, UINT64_MAX);

    assert_int_equal(sfl_stream_send(peer->stream, NULL, 0), SFL_OK);
    peer_wait_messages(peer, 1);
    assert_int_equal(peer->last_size, 0);
    peer_wait_sent(peer, 1);
    sfl_stream_half_close(peer->stream);

    assert_int_equal(peer_wait_closed(peer), 0);
    peer_destroy(peer);
    sfl_channel_destroy(channel);
}

static void many_messages_arrive_in_order_both_ways(void **state)
{
    struct harness *harness = *state;
    struct sfl_channel *channel = harness_channel(harness);
    struct peer *peer = peer_open(channel, ECHO_PATH, UINT64_MAX);
    uint64_t checksum = 0;

    for (uint32_t i = 0; i < 2000; i++) {
        uint8_t message[64];
        size_t size = i % sizeof(message) + 1;
        for (size_t j = 0; j < size; j++) {
            message[j] = (uint8_t)(i * 7 + j);
            checksum = checksum * 31 + message[j];
        }
        peer_send_and_wait(peer, message, size);
    }
    sfl_stream_half_close(peer->stream);

    assert_int_equal(peer_wait_closed(peer), 0);
    assert_int_equal(peer->messages, 2000);
    assert_true(peer->checksum == checksum);
    peer_destroy(peer);
    sfl_channel_destroy(channel);
}

static void count_release(void *owner)
{
    atomic_fetch_add((atomic_int *)owner, 1);
}

// gRPC may hold a piece for some moments longer than the stream lives.
static void wait_for_releases(atomic_int *released, int count)
{
    struct timespec bound = harness_bound();
    while (atomic_load(released) < count && sfl_clock_now_ms() < (uint64_t)bound.tv_sec * 1000)
        sched_yield();
    assert_int_equal(atomic_load(released), count);
}

#define SHARED_SIZE (3 << 20)

static uint8_t *make_bytes(size_t size)
{
    uint8_t *bytes = malloc(size);
    assert_non_null(bytes);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(i * 2654435761u >> 13);
    return bytes;
}

static void large_shared_pieces_are_sent_whole_and_released_once(void **state)
{
    struct harness *harness = *state;
    struct sfl_channel *channel = harness_channel(harness);
    struct peer *peer = peer_open(channel, ECHO_PATH, UINT64_MAX);
    uint8_t *shared = make_bytes(SHARED_SIZE);
    atomic_int released[4] = {0};
    struct sfl_piece pieces[] = {
        {.bytes = sfl_span_of("head", 4)},
        {.bytes = sfl_span_of(shared, SHARED_SIZE), .release = count_release, .owner = &released[0]},
        {.bytes = sfl_span_of("", 0), .release = count_release, .owner = &released[1]},
        {.bytes = sfl_span_of("mid", 3), .release = count_release, .owner = &released[2]},
        {.bytes = sfl_span_of(shared, 1000), .release = count_release, .owner = &released[3]},
        {.bytes = sfl_span_of("tail", 4)},
    };
    uint64_t checksum = 0;
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        for (size_t j = 0; j < pieces[i].bytes.size; j++)
            checksum = checksum * 31 + pieces[i].bytes.data[j];
    }

    assert_int_equal(sfl_stream_send(peer->stream, pieces, 6), SFL_OK);
    peer_wait_sent(peer, 1);
    sfl_stream_half_close(peer->stream);

    assert_int_equal(peer_wait_closed(peer), 0);
    assert_int_equal(peer->message_bytes, 4 + SHARED_SIZE + 3 + 1000 + 4);
    assert_true(peer->checksum == checksum);
    peer_destroy(peer);
    sfl_channel_destroy(channel);
    for (size_t i = 0; i < 4; i++)
        wait_for_releases(&released[i], 1);
    harness_end(harness);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(atomic_load(&released[i]), 1);
    free(shared);
}

// --- the end ---

static void finish_brings_the_last_message_and_the_status_together(void **state)
{
    struct harness *harness = *state;
    struct sfl_channel *channel = harness_channel(harness);
    struct peer *peer = peer_open(channel, FIRST_PATH, UINT64_MAX);

    peer_send(peer, "question", 8);

    assert_int_equal(peer_wait_closed(peer), 0);
    assert_int_equal(peer->messages, 1);
    assert_int_equal(peer->last_size, 12);
    assert_memory_equal(peer->last, "re: question", 12);
    peer_destroy(peer);
    sfl_channel_destroy(channel);
}

static void a_first_message_that_is_shared_reaches_a_method_that_reads_first(void **state)
{
    struct harness *harness = *state;
    struct sfl_channel *channel = harness_channel(harness);
    struct peer *peer = peer_open(channel, FIRST_PATH, UINT64_MAX);
    uint8_t *bytes = make_bytes(1 << 20);

    peer_send(peer, bytes, 1 << 20);

    assert_int_equal(peer_wait_closed(peer), 0);
    assert_int_equal(peer->last_size, 4 + (1 << 20));
    assert_memory_equal(peer->last + 4, bytes, LAST_MESSAGE_MAX - 4);
    peer_destroy(peer);
    sfl_channel_destroy(channel);
    free(bytes);
}

static void a_method_that_reads_first_sees_a_half_close_without_a_message(void **state)
{
    struct harness *harness = *state;
    struct sfl_channel *channel = harness_channel(harness);
    struct peer *peer = peer_open(channel, FIRST_PATH, UINT64_MAX);

    sfl_stream_half_close(peer->stream);

    assert_int_equal(peer_wait_closed(peer), INVALID_ARGUMENT);
    peer_destroy(peer);
    sfl_channel_destroy(channel);
}

static void a_call_can_be_refused_at_once(void **state)
{
    struct harness *harness = *state;
    struct sfl_channel *channel = harness_channel(harness);
    struct peer *peer = peer_open(channel, REFUSE_PATH, UINT64_MAX);

    assert_int_equal(peer_wait_closed(peer), NOT_FOUND);
    assert_string_equal(peer->text, "nothing \"here\", sorry: 100%");
    peer_destroy(peer);
    sfl_channel_destroy(channel);
}

static void an_unknown_method_is_unimplemented_and_named(void **state)
{
    struct harness *harness = *state;
    struct sfl_channel *channel = harness_channel(harness);
    struct peer *peer = peer_open(channel, "/test.Rpc/Nothing", UINT64_MAX);

    assert_int_equal(peer_wait_closed(peer), UNIMPLEMENTED);
    assert_non_null(strstr(peer->text, "/test.Rpc/Nothing"));
    peer_destroy(peer);
    sfl_channel_destroy(channel);
}

static void a_half_close_reaches_the_server_and_its_messages_still_go_out(void **state)
{
    struct harness *harness = *state;
    struct sfl_channel *channel = harness_channel(harness);
    struct peer *client = peer_open(channel, HOLD_PATH, UINT64_MAX);
    struct peer *server = harness_take(harness);

    peer_send_and_wait(client, "a", 1);
    sfl_stream_half_close(client->stream);
    peer_wait_half_close(server);
    assert_int_equal(server->messages, 1);
    peer_send_and_wait(server, "later", 5);
    peer_wait_messages(client, 1);
    sfl_stream_finish(server->stream, NULL, 0, 0, NULL);

    assert_int_equal(peer_wait_closed(client), 0);
    assert_int_equal(peer_wait_closed(server), 0);
    peer_destroy(client);
    peer_destroy(server);
    sfl_channel_destroy(channel);
}

static void a_status_comes_after_the_messages_before_it(void **state)
{
    struct harness *harness = *state;
    struct sfl_channel *channel = harness_channel(harness);
    struct peer *client = peer_open(channel, HOLD_PATH, UINT64_MAX);
    struct peer *server = harness_take(harness);
    uint8_t *bytes = make_bytes(SHARED_SIZE);
    struct sfl_piece last = {.bytes = sfl_span_of("last", 4)};

    for (int i = 0; i < 5; i++)
        peer_send_and_wait(server, bytes, SHARED_SIZE);
    sfl_stream_finish(server->stream, &last, 1, ABORTED, "all sent");

    assert_int_equal(peer_wait_closed(client), ABORTED);
    assert_string_equal(client->text, "all sent");
    assert_int_equal(client->messages, 6);
    assert_int_equal(client->message_bytes, 5 * SHARED_SIZE + 4);
    assert_int_equal(peer_wait_closed(server), 0);
    assert_int_equal(server->sent, 5);
    peer_destroy(client);
    peer_destroy(server);
    sfl_channel_destroy(channel);
    free(bytes);
}

static void a_client_that_cancels_is_seen_by_the_server(void **state)
{
    struct harness *harness = *state;
    struct sfl_channel *channel = harness_channel(harness);
    struct peer *client = peer_open(channel, HOLD_PATH, UINT64_MAX);
    struct peer *server = harness_take(harness);

    sfl_stream_cancel(client->stream, ABORTED, "my own reason");

    assert_int_equal(peer_wait_closed(server), CANCELLED);
    assert_false(server->is_half_closed);
    assert_int_equal(peer_wait_closed(client), ABORTED);
    assert_string_equal(client->text, "my own reason");
    peer_destroy(client);
    peer_destroy(server);
    sfl_channel_destroy(channel);
}

static void a_server_that_cancels_is_seen_with_code_and_text(void **state)
{
    struct harness *harness = *state;
    struct sfl_channel *channel = harness_channel(harness);
    for (int messages_before = 0; messages_before < 2; messages_before++) {
        struct peer *client = peer_open(channel, HOLD_PATH, UINT64_MAX);
        struct peer *server = harness_take(harness);
        if (messages_before > 0) {
            peer_send_and_wait(server, "x", 1);
            peer_wait_messages(client, 1);
        }

        sfl_stream_cancel(server->stream, RESOURCE_EXHAUSTED, "you do not read");

        assert_int_equal(peer_wait_closed(client), RESOURCE_EXHAUSTED);
        assert_string_equal(client->text, "you do not read");
        assert_int_equal(peer_wait_closed(server), CANCELLED);
        peer_destroy(client);
        peer_destroy(server);
    }
    sfl_channel_destroy(channel);
}

static void a_deadline_ends_both_sides(void **state)
{
    struct harness *harness = *state;
    struct sfl_channel *channel = harness_channel(harness);
    uint64_t deadline_ms = sfl_clock_now_ms() + 500;
    struct peer *client = peer_open(channel, HOLD_PATH, deadline_ms);
    struct peer *server = harness_take(harness);

    assert_true(sfl_stream_deadline_ms(client->stream) == deadline_ms);
    uint64_t seen_ms = sfl_stream_deadline_ms(server->stream);
    assert_in_range(seen_ms, deadline_ms - 400, deadline_ms + 400);
    assert_int_equal(peer_wait_closed(client), DEADLINE_EXCEEDED);
    assert_true(sfl_clock_now_ms() + 100 >= deadline_ms); // the server may be early
    assert_int_equal(peer_wait_closed(server), CANCELLED);
    peer_destroy(client);
    peer_destroy(server);
    sfl_channel_destroy(channel);
}

static void a_stream_without_deadline_has_none_on_the_server(void **state)
{
    struct harness *harness = *state;
    struct sfl_channel *channel = harness_channel(harness);
    struct peer *client = peer_open(channel, HOLD_PATH, UINT64_MAX);
    struct peer *server = harness_take(harness);

    assert_true(sfl_stream_deadline_ms(server->stream) == UINT64_MAX);
    char *address = sfl_stream_peer(server->stream);
    assert_non_null(address);
    assert_memory_equal(address, "ipv4:127.0.0.1:", 15);
    free(address);
    sfl_stream_finish(server->stream, NULL, 0, 0, "");

    assert_int_equal(peer_wait_closed(client), 0);
    peer_wait_closed(server);
    peer_destroy(client);
    peer_destroy(server);
    sfl_channel_destroy(channel);
}

// --- what goes wrong ---

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
    assert_int_equal(peer_wait_closed(held), CANCELLED);
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

// Neither end's machine reads any more; what is sent stays where it is. gRPC gives such a connection
// up after 10 s here (keepalive), but a stream must end when it is cancelled or its time is over.
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
        clients[i] = i < 4 ? open_with_deadline(channel)
                           : peer_open(channel, HOLD_PATH, UINT64_MAX);
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
        ON_SERVER(an_echo_comes_back_and_the_stream_ends_ok),
        ON_SERVER(an_empty_message_is_a_message),
        ON_SERVER(many_messages_arrive_in_order_both_ways),
        ON_SERVER(large_shared_pieces_are_sent_whole_and_released_once),
        ON_SERVER(finish_brings_the_last_message_and_the_status_together),
        ON_SERVER(a_first_message_that_is_shared_reaches_a_method_that_reads_first),
        ON_SERVER(a_method_that_reads_first_sees_a_half_close_without_a_message),
        ON_SERVER(a_call_can_be_refused_at_once),
        ON_SERVER(an_unknown_method_is_unimplemented_and_named),
        ON_SERVER(a_half_close_reaches_the_server_and_its_messages_still_go_out),
        ON_SERVER(a_status_comes_after_the_messages_before_it),
        ON_SERVER(a_client_that_cancels_is_seen_by_the_server),
        ON_SERVER(a_server_that_cancels_is_seen_with_code_and_text),
        ON_SERVER(a_deadline_ends_both_sides),
        ON_SERVER(a_stream_without_deadline_has_none_on_the_server),
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
