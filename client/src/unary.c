// SPDX-License-Identifier: Apache-2.0
#include "src/unary.h"

#include "base/clock.h"
#include "base/entropy.h"
#include "src/server.h"

#include <stdio.h>

static void on_message(void *context, struct sfl_span message)
{
    struct sfl_unary *unary = context;
    unary->answered = true;
    if (unary->on_message != NULL)
        unary->on_message(unary, message);
}

static void finish(struct sfl_unary *unary, int code, const char *text)
{
    struct singleflight_client *client = unary->client;
    sfl_timers_disarm(&client->timers, &unary->timer);
    sfl_link_remove(&unary->link);
    unary->on_done(unary, code, text);
    sfl_client_on_something_ended(client);
}

static void on_closed(void *context, int code, const char *text)
{
    struct sfl_unary *unary = context;
    struct singleflight_client *client = unary->client;
    sfl_stream_unref(unary->stream);
    unary->stream = NULL;
    client->streams_open--;
    // So gRPC ends an RPC that was on its way when the server's listener closed.
    if (code == SINGLEFLIGHT_CANCELLED && !unary->cancelled)
        code = SINGLEFLIGHT_UNAVAILABLE;
    uint64_t wait_ms = sfl_backoff_next_ms(&unary->backoff, sfl_entropy_u64());
    bool is_in_time = sfl_clock_now_ms() + wait_ms < unary->deadline_ms;
    bool again = unary->retries && code == SINGLEFLIGHT_UNAVAILABLE && !unary->answered &&
                 !client->closing && is_in_time;
    if (again) {
        sfl_timers_arm(&client->timers, &unary->timer, sfl_clock_boot_ms() + wait_ms);
        return;
    }
    finish(unary, code, text);
}

static const struct sfl_stream_events events = {
    .on_message = on_message,
    .on_closed = on_closed,
};

static void attempt(struct sfl_unary *unary)
{
    struct sfl_channel *channel = sfl_server_channel(unary->server);
    sfl_channel_reset_backoff(channel);
    const struct sfl_piece piece = {.bytes = unary->request};
    unary->stream = sfl_channel_open_with(channel, unary->path, unary->deadline_ms, &piece, 1, true,
                                          &events, unary);
    if (unary->stream == NULL) {
        finish(unary, SINGLEFLIGHT_RESOURCE_EXHAUSTED, "there is no memory left for a request");
        return;
    }
    unary->client->streams_open++;
}

static void on_timer(struct sfl_timer *timer)
{
    attempt(SFL_CONTAINER_OF(timer, struct sfl_unary, timer));
}

void sfl_unary_start(struct sfl_unary *unary)
{
    struct singleflight_client *client = unary->client;
    unary->backoff.min_ms = client->settings.backoff_min_ms;
    unary->backoff.max_ms = client->settings.backoff_max_ms;
    unary->timer.fire = on_timer;
    sfl_list_append(&client->unaries, &unary->link);
    attempt(unary);
}

void sfl_unary_cancel(struct sfl_unary *unary)
{
    unary->cancelled = true;
    if (unary->stream != NULL)
        sfl_stream_cancel(unary->stream, SINGLEFLIGHT_CANCELLED, "the client was destroyed");
    else
        finish(unary, SINGLEFLIGHT_CANCELLED, "the client was destroyed");
}
