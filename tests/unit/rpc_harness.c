// SPDX-License-Identifier: Apache-2.0
#include "rpc_harness.h"

#include "base/clock.h"
#include "base/list.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WAIT_MAX_S 60

struct timespec harness_bound(void)
{
    struct timespec bound;
    clock_gettime(CLOCK_MONOTONIC, &bound);
    bound.tv_sec += WAIT_MAX_S;
    return bound;
}

static void init_monotonic(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &attributes);
    pthread_condattr_destroy(&attributes);
}

// --- the record of one end ---

static void on_message(void *context, struct sfl_span message)
{
    struct peer *peer = context;
    pthread_mutex_lock(&peer->lock);
    peer->messages++;
    peer->message_bytes += message.size;
    peer->last_size = message.size;
    size_t kept = message.size < LAST_MESSAGE_MAX ? message.size : LAST_MESSAGE_MAX;
    memcpy(peer->last, message.data, kept);
    for (size_t i = 0; i < message.size; i++)
        peer->checksum = peer->checksum * 31 + message.data[i];
    peer->late += peer->closed;
    pthread_cond_broadcast(&peer->changed);
    pthread_mutex_unlock(&peer->lock);
}

static void on_half_close(void *context)
{
    struct peer *peer = context;
    pthread_mutex_lock(&peer->lock);
    peer->is_half_closed = true;
    peer->late += peer->closed;
    pthread_cond_broadcast(&peer->changed);
    pthread_mutex_unlock(&peer->lock);
}

static void on_sent(void *context)
{
    struct peer *peer = context;
    pthread_mutex_lock(&peer->lock);
    peer->sent++;
    peer->late += peer->closed;
    pthread_cond_broadcast(&peer->changed);
    pthread_mutex_unlock(&peer->lock);
}

static void on_closed(void *context, int code, const char *text)
{
    struct peer *peer = context;
    pthread_mutex_lock(&peer->lock);
    peer->closed++;
    peer->code = code;
    snprintf(peer->text, sizeof(peer->text), "%s", text);
    pthread_cond_broadcast(&peer->changed);
    pthread_mutex_unlock(&peer->lock);
}

static const struct sfl_stream_events peer_events = {
    .on_message = on_message,
    .on_half_close = on_half_close,
    .on_sent = on_sent,
    .on_closed = on_closed,
};

static struct peer *peer_create(void)
{
    struct peer *peer = calloc(1, sizeof(*peer));
    assert_non_null(peer);
    pthread_mutex_init(&peer->lock, NULL);
    init_monotonic(&peer->changed);
    return peer;
}

struct peer *peer_open(struct sfl_channel *channel, const char *path, uint64_t deadline_ms)
{
    struct peer *peer = peer_create();
    peer->stream = sfl_channel_open(channel, path, deadline_ms, &peer_events, peer);
    assert_non_null(peer->stream);
    return peer;
}

struct peer *peer_open_with(struct sfl_channel *channel, const char *path,
                            const struct sfl_piece *pieces, size_t count, bool is_last)
{
    struct peer *peer = peer_create();
    peer->stream = sfl_channel_open_with(channel, path, UINT64_MAX, pieces, count, is_last,
                                         &peer_events, peer);
    assert_non_null(peer->stream);
    return peer;
}

void peer_destroy(struct peer *peer)
{
    pthread_mutex_lock(&peer->lock);
    unsigned closed = peer->closed;
    unsigned late = peer->late;
    pthread_mutex_unlock(&peer->lock);
    assert_int_equal(closed, 1);
    assert_int_equal(late, 0);
    sfl_stream_unref(peer->stream);
    pthread_cond_destroy(&peer->changed);
    pthread_mutex_destroy(&peer->lock);
    free(peer);
}

void peer_send(struct peer *peer, const void *data, size_t size)
{
    struct sfl_piece piece = {.bytes = sfl_span_of(data, size)};
    assert_int_equal(sfl_stream_send(peer->stream, &piece, 1), SFL_OK);
}

void peer_send_and_wait(struct peer *peer, const void *data, size_t size)
{
    pthread_mutex_lock(&peer->lock);
    unsigned sent = peer->sent;
    pthread_mutex_unlock(&peer->lock);
    peer_send(peer, data, size);
    peer_wait_sent(peer, sent + 1);
}

// Waits until `is_met` under the lock.
static void peer_wait(struct peer *peer, bool (*is_met)(const struct peer *peer, size_t count),
                      size_t count, const char *what)
{
    struct timespec bound = harness_bound();
    int waited = 0;
    pthread_mutex_lock(&peer->lock);
    while (!is_met(peer, count) && waited == 0)
        waited = pthread_cond_timedwait(&peer->changed, &peer->lock, &bound);
    bool is_in_time = is_met(peer, count);
    pthread_mutex_unlock(&peer->lock);
    if (!is_in_time)
        fail_msg("waited in vain for %s %zu", what, count);
}

static bool has_messages(const struct peer *peer, size_t count)
{
    return peer->messages >= count;
}

static bool has_sent(const struct peer *peer, size_t count)
{
    return peer->sent >= count;
}

static bool has_half_closed(const struct peer *peer, size_t count)
{
    (void)count;
    return peer->is_half_closed;
}

static bool has_closed(const struct peer *peer, size_t count)
{
    (void)count;
    return peer->closed > 0;
}

void peer_wait_messages(struct peer *peer, size_t count)
{
    peer_wait(peer, has_messages, count, "message");
}

void peer_wait_sent(struct peer *peer, unsigned count)
{
    peer_wait(peer, has_sent, count, "on_sent");
}

void peer_wait_half_close(struct peer *peer)
{
    peer_wait(peer, has_half_closed, 1, "on_half_close");
}

int peer_wait_closed(struct peer *peer)
{
    peer_wait(peer, has_closed, 1, "on_closed");
    return peer->code;
}

// --- pieces ---

void count_release(void *owner)
{
    atomic_fetch_add((atomic_int *)owner, 1);
}

void wait_for_releases(atomic_int *released, int count)
{
    struct timespec bound = harness_bound();
    while (atomic_load(released) < count && sfl_clock_now_ms() < (uint64_t)bound.tv_sec * 1000)
        sched_yield();
    assert_int_equal(atomic_load(released), count);
}

uint8_t *make_bytes(size_t size)
{
    uint8_t *bytes = malloc(size);
    assert_non_null(bytes);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(i * 2654435761u >> 13);
    return bytes;
}

// --- the method that echoes ---

struct echo_message {
    struct sfl_link link;
    size_t size;
    uint8_t data[];
};

// Pump thread only.
struct echo {
    struct sfl_stream *stream;
    struct sfl_list waiting;
    bool is_sending;
    bool is_half_closed;
    bool is_finished;
};

static void echo_go_on(struct echo *echo)
{
    if (echo->is_sending || echo->is_finished)
        return;
    struct sfl_link *link = sfl_list_pop(&echo->waiting);
    if (link != NULL) {
        struct echo_message *message = SFL_CONTAINER_OF(link, struct echo_message, link);
        struct sfl_piece piece = {
            .bytes = sfl_span_of(message->data, message->size), .release = free, .owner = message};
        echo->is_sending = sfl_stream_send(echo->stream, &piece, 1) == SFL_OK;
    } else if (echo->is_half_closed) {
        echo->is_finished = true;
        sfl_stream_finish(echo->stream, NULL, 0, 0, "");
    }
}

static void echo_on_message(void *context, struct sfl_span bytes)
{
    struct echo *echo = context;
    struct echo_message *message = malloc(sizeof(*message) + bytes.size);
    assert_non_null(message);
    sfl_link_init(&message->link);
    message->size = bytes.size;
    memcpy(message->data, bytes.data, bytes.size);
    sfl_list_append(&echo->waiting, &message->link);
    echo_go_on(echo);
}

static void echo_on_half_close(void *context)
{
    struct echo *echo = context;
    echo->is_half_closed = true;
    echo_go_on(echo);
}

static void echo_on_sent(void *context)
{
    struct echo *echo = context;
    echo->is_sending = false;
    echo_go_on(echo);
}

static void echo_on_closed(void *context, int code, const char *text)
{
    struct echo *echo = context;
    (void)code;
    (void)text;
    struct sfl_link *link;
    while ((link = sfl_list_pop(&echo->waiting)) != NULL)
        free(SFL_CONTAINER_OF(link, struct echo_message, link));
    sfl_stream_unref(echo->stream);
    free(echo);
}

static const struct sfl_stream_events echo_events = {
    .on_message = echo_on_message,
    .on_half_close = echo_on_half_close,
    .on_sent = echo_on_sent,
    .on_closed = echo_on_closed,
};

static void echo_on_call(void *context, struct sfl_stream *stream,
                         const struct sfl_stream_events **events_out, void **stream_context_out)
{
    (void)context;
    struct echo *echo = calloc(1, sizeof(*echo));
    assert_non_null(echo);
    echo->stream = stream;
    sfl_list_init(&echo->waiting);
    *events_out = &echo_events;
    *stream_context_out = echo;
}

// --- the method that answers the first message ---

static void first_on_message(void *context, struct sfl_span message)
{
    struct sfl_piece pieces[] = {{.bytes = sfl_span_of("re: ", 4)}, {.bytes = message}};
    sfl_stream_finish(context, pieces, 2, 0, "");
}

static void first_on_half_close(void *context)
{
    sfl_stream_finish(context, NULL, 0, 3, "a message is needed");
}

static void first_on_closed(void *context, int code, const char *text)
{
    (void)code;
    (void)text;
    sfl_stream_unref(context);
}

static const struct sfl_stream_events first_events = {
    .on_message = first_on_message,
    .on_half_close = first_on_half_close,
    .on_closed = first_on_closed,
};

static void first_on_call(void *context, struct sfl_stream *stream,
                          const struct sfl_stream_events **events_out, void **stream_context_out)
{
    (void)context;
    *events_out = &first_events;
    *stream_context_out = stream;
}

// --- the method that refuses ---

static const struct sfl_stream_events refuse_events = {.on_closed = first_on_closed};

static void refuse_on_call(void *context, struct sfl_stream *stream,
                           const struct sfl_stream_events **events_out, void **stream_context_out)
{
    (void)context;
    sfl_stream_finish(stream, NULL, 0, 5, "nothing \"here\", sorry: 100%");
    *events_out = &refuse_events;
    *stream_context_out = stream;
}

// --- the method that the test acts for ---

static void hold_on_call(void *context, struct sfl_stream *stream,
                         const struct sfl_stream_events **events_out, void **stream_context_out)
{
    struct harness *harness = context;
    struct peer *peer = peer_create();
    struct sfl_span tag = sfl_stream_metadata(stream, "x-tag");
    snprintf(peer->tag, sizeof(peer->tag), "%.*s", (int)tag.size, (const char *)tag.data);
    peer->stream = stream;
    *events_out = &peer_events;
    *stream_context_out = peer;
    pthread_mutex_lock(&harness->lock);
    struct peer **end = &harness->held;
    while (*end != NULL)
        end = &(*end)->next;
    *end = peer;
    pthread_cond_broadcast(&harness->changed);
    pthread_mutex_unlock(&harness->lock);
}

struct peer *harness_take(struct harness *harness)
{
    struct timespec bound = harness_bound();
    int waited = 0;
    pthread_mutex_lock(&harness->lock);
    while (harness->held == NULL && waited == 0)
        waited = pthread_cond_timedwait(&harness->changed, &harness->lock, &bound);
    struct peer *peer = harness->held;
    if (peer != NULL)
        harness->held = peer->next;
    pthread_mutex_unlock(&harness->lock);
    assert_non_null(peer);
    return peer;
}

// --- the server ---

static struct harness *create_idle(const struct harness_options *options)
{
    struct harness *harness = calloc(1, sizeof(*harness));
    assert_non_null(harness);
    pthread_mutex_init(&harness->lock, NULL);
    init_monotonic(&harness->changed);
    unsigned pumps = options == NULL || options->pumps == 0 ? 2 : options->pumps;
    const struct sfl_pump_hooks *hooks = options == NULL ? NULL : options->hooks;
    assert_int_equal(sfl_pumps_create(pumps, hooks, &harness->pumps), SFL_OK);
    uint64_t size_max = options == NULL ? 0 : options->message_bytes_max;
    struct sfl_rpc_server_options server_options = {
        .pumps = harness->pumps,
        .message_bytes_max = size_max == 0 ? 4 << 20 : size_max,
        .keepalive_time_ms = 30000,
        .keepalive_timeout_ms = 10000,
    };
    struct sfl_method methods[] = {
        {.path = ECHO_PATH, .on_call = echo_on_call},
        {.path = FIRST_PATH, .on_call = first_on_call},
        {.path = REFUSE_PATH, .on_call = refuse_on_call},
        {.path = HOLD_PATH, .on_call = hold_on_call, .context = harness},
    };
    assert_int_equal(sfl_rpc_server_create(&server_options, methods, 4, &harness->server), SFL_OK);
    return harness;
}

struct harness *harness_create(const struct harness_options *options)
{
    struct harness *harness = create_idle(options);
    assert_int_equal(sfl_rpc_server_listen(harness->server, "127.0.0.1:0", harness->address),
                     SFL_OK);
    sfl_rpc_server_start(harness->server);
    return harness;
}

struct harness *harness_create_unix(const char *path)
{
    struct harness *harness = create_idle(NULL);
    assert_int_equal(sfl_rpc_server_listen_unix(harness->server, path, harness->address), SFL_OK);
    sfl_rpc_server_start(harness->server);
    return harness;
}

void harness_stop(struct harness *harness, uint64_t grace_ms)
{
    sfl_rpc_server_shutdown(harness->server, grace_ms);
    sfl_rpc_server_destroy(harness->server);
    harness->server = NULL;
}

void harness_end(struct harness *harness)
{
    if (harness->server != NULL)
        harness_stop(harness, 0);
    sfl_pumps_destroy(harness->pumps);
    harness->pumps = NULL;
}

void harness_destroy(struct harness *harness)
{
    if (harness->pumps != NULL)
        harness_end(harness);
    assert_null(harness->held);
    pthread_cond_destroy(&harness->changed);
    pthread_mutex_destroy(&harness->lock);
    free(harness);
}

struct sfl_channel *harness_channel(struct harness *harness)
{
    return harness_channel_to(harness, harness->address);
}

static struct sfl_channel *channel_to(struct harness *harness, const char *target,
                                      const struct sfl_metadata *metadata, size_t count)
{
    struct sfl_channel_options options = {
        .metadata = metadata,
        .metadata_count = count,
        .pump = sfl_pumps_get(harness->pumps, 0),
        .keepalive_time_ms = 30000,
        .keepalive_timeout_ms = 10000,
        .own_connection = true,
    };
    struct sfl_channel *channel;
    assert_int_equal(sfl_channel_create(target, &options, &channel), SFL_OK);
    return channel;
}

struct sfl_channel *harness_channel_to(struct harness *harness, const char *target)
{
    return channel_to(harness, target, NULL, 0);
}

struct sfl_channel *harness_channel_with_tag(struct harness *harness, const char *tag)
{
    struct sfl_metadata metadata = {.key = "x-tag", .value = sfl_span_of_text(tag)};
    return channel_to(harness, harness->address, &metadata, 1);
}
