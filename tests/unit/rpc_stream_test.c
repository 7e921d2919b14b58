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

static void large_shared_pieces_are_sent_whole_and_released_once(void **state)
{
    struct harness *harness = *state;
    struct sfl_channel *channel = harness_channel(harness);
    struct peer *peer = peer_open(channel, ECHO_PATH, UINT64_MAX);
    uint8_t *shared = make_bytes(SHARED_SIZE);
    atomic_int released[4] = {0};
    struct sfl_piece pieces[] = {
        {.bytes = sfl_span_of("head", 4)},
        {.bytes = sfl_span_of(shared, SHARED_SIZE),
         .release = count_release,
         .owner = &released[0]},
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

static void a_stream_may_begin_with_its_first_message(void **state)
{
    struct harness *harness = *state;
    struct sfl_channel *channel = harness_channel(harness);
    atomic_int released = 0;
    uint8_t *bytes = make_bytes(100000);
    struct sfl_piece pieces[] = {
        {.bytes = sfl_span_of("head", 4)},
        {.bytes = sfl_span_of(bytes, 100000), .release = count_release, .owner = &released},
    };

    struct peer *peer = peer_open_with(channel, ECHO_PATH, pieces, 2, false);
    peer_wait_sent(peer, 1);
    peer_wait_messages(peer, 1);
    assert_int_equal(peer->last_size, 100004);
    peer_send_and_wait(peer, "more", 4);
    peer_wait_messages(peer, 2);
    sfl_stream_half_close(peer->stream);
    assert_int_equal(peer_wait_closed(peer), 0);
    peer_destroy(peer);

    peer = peer_open_with(channel, ECHO_PATH, pieces, 2, true);
    assert_int_equal(peer_wait_closed(peer), 0);
    assert_int_equal(peer->messages, 1);
    assert_int_equal(peer->last_size, 100004);
    peer_destroy(peer);

    wait_for_releases(&released, 2);
    sfl_channel_destroy(channel);
    free(bytes);
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

static void a_first_message_of_many_slices_is_told_whole(void **state)
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

static void a_half_close_without_a_message_is_told(void **state)
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
    // Newer gRPC puts words of its own around it.
    assert_non_null(strstr(client->text, "my own reason"));
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

// Both ways to begin: with a first message, and without.
static void metadata_of_the_channel_comes_with_every_stream(void **state)
{
    struct harness *harness = *state;
    struct sfl_channel *channel = harness_channel_with_tag(harness, "for you");
    struct sfl_piece piece = {.bytes = sfl_span_of("hello", 5)};
    struct peer *clients[] = {peer_open(channel, HOLD_PATH, UINT64_MAX),
                              peer_open_with(channel, HOLD_PATH, &piece, 1, true)};
    for (size_t i = 0; i < 2; i++) {
        struct peer *server = harness_take(harness);
        assert_string_equal(server->tag, "for you");
        sfl_stream_finish(server->stream, NULL, 0, 0, "");
        peer_wait_closed(server);
        peer_destroy(server);
    }
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(peer_wait_closed(clients[i]), 0);
        peer_destroy(clients[i]);
    }
    sfl_channel_destroy(channel);
}

static void metadata_that_nobody_sent_is_none(void **state)
{
    struct harness *harness = *state;
    struct sfl_channel *channel = harness_channel(harness);
    struct peer *client = peer_open(channel, HOLD_PATH, UINT64_MAX);
    struct peer *server = harness_take(harness);
    assert_string_equal(server->tag, "");
    sfl_stream_finish(server->stream, NULL, 0, 0, "");
    assert_int_equal(peer_wait_closed(client), 0);
    peer_wait_closed(server);
    peer_destroy(client);
    peer_destroy(server);
    sfl_channel_destroy(channel);
}

static void metadata_that_http_does_not_carry_is_refused(void **state)
{
    struct harness *harness = *state;
    static const struct {
        const char *key;
        const char *value;
    } bad[] = {{"X-Tag", "a"}, {"", "a"}, {"x tag", "a"}, {"x-tag", "a\nb"}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const struct sfl_metadata metadata = {bad[i].key, sfl_span_of_text(bad[i].value)};
        const struct sfl_channel_options options = {
            .pump = sfl_pumps_get(harness->pumps, 0), .metadata = &metadata, .metadata_count = 1};
        struct sfl_channel *channel;
        assert_int_equal(sfl_channel_create(harness->address, &options, &channel),
                         SFL_INVALID_ARGUMENT);
    }
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
        ON_SERVER(a_stream_may_begin_with_its_first_message),
        ON_SERVER(finish_brings_the_last_message_and_the_status_together),
        ON_SERVER(a_first_message_of_many_slices_is_told_whole),
        ON_SERVER(a_half_close_without_a_message_is_told),
        ON_SERVER(a_call_can_be_refused_at_once),
        ON_SERVER(an_unknown_method_is_unimplemented_and_named),
        ON_SERVER(a_half_close_reaches_the_server_and_its_messages_still_go_out),
        ON_SERVER(a_status_comes_after_the_messages_before_it),
        ON_SERVER(a_client_that_cancels_is_seen_by_the_server),
        ON_SERVER(a_server_that_cancels_is_seen_with_code_and_text),
        ON_SERVER(a_deadline_ends_both_sides),
        ON_SERVER(a_stream_without_deadline_has_none_on_the_server),
        ON_SERVER(metadata_of_the_channel_comes_with_every_stream),
        ON_SERVER(metadata_that_nobody_sent_is_none),
        ON_SERVER(metadata_that_http_does_not_carry_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
