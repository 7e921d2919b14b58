// SPDX-License-Identifier: Apache-2.0
#include "fake.h"

#include "rpc/stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

struct rpc {
    struct sfl_stream *stream;
    const struct fake_answer *answer;
    bool is_answered;
    bool is_answered_again;
    bool is_finished;
};

static void finish(struct rpc *rpc, struct sfl_span message, int code)
{
    const struct sfl_piece piece = {.bytes = message};
    rpc->is_finished = true;
    sfl_stream_finish(rpc->stream, &piece, message.size > 0 ? 1 : 0, code, "as the test wants it");
}

// What is under way for long, as through a connection that stalls.
static void pass_ms(unsigned late_ms)
{
    const struct timespec late = {.tv_sec = late_ms / 1000, .tv_nsec = late_ms % 1000 * 1000000L};
    nanosleep(&late, NULL); // poll: only time makes it late
}

static void answer_again(struct rpc *rpc)
{
    const struct fake_answer *answer = rpc->answer;
    if (rpc->is_answered_again || (answer->second.size == 0 && !answer->ends_second))
        return;
    rpc->is_answered_again = true;
    pass_ms(answer->second_late_ms);
    if (answer->ends_second) {
        finish(rpc, answer->second, answer->code);
        return;
    }
    const struct sfl_piece piece = {.bytes = answer->second};
    (void)!sfl_stream_send(rpc->stream, &piece, 1);
}

static void on_message(void *context, struct sfl_span message)
{
    struct rpc *rpc = context;
    (void)message;
    if (rpc->is_answered) {
        answer_again(rpc);
        return;
    }
    rpc->is_answered = true;
    pass_ms(rpc->answer->message_late_ms);
    if (rpc->answer->ends) {
        finish(rpc, rpc->answer->message, rpc->answer->code);
        return;
    }
    const struct sfl_piece piece = {.bytes = rpc->answer->message};
    // When it is over, on_closed tells.
    (void)!sfl_stream_send(rpc->stream, &piece, 1);
}

static void on_half_close(void *context)
{
    struct rpc *rpc = context;
    if (!rpc->is_finished)
        finish(rpc, sfl_span_of(NULL, 0), 0);
}

static void on_closed(void *context, int code, const char *text)
{
    struct rpc *rpc = context;
    (void)code;
    (void)text;
    sfl_stream_unref(rpc->stream);
    free(rpc);
}

static const struct sfl_stream_events events = {
    .on_message = on_message,
    .on_half_close = on_half_close,
    .on_closed = on_closed,
};

// Before the RPC is counted.
static void note_authorization(struct fake *fake, const struct sfl_stream *stream)
{
    size_t number = atomic_load(&fake->rpcs);
    if (number >= sizeof(fake->authorization) / sizeof(fake->authorization[0]))
        return;
    struct sfl_span value = sfl_stream_metadata(stream, "authorization");
    snprintf(fake->authorization[number], sizeof(fake->authorization[0]), "%.*s", (int)value.size,
             value.size == 0 ? "" : (const char *)value.data);
}

static void on_call(void *context, struct sfl_stream *stream,
                    const struct sfl_stream_events **events_out, void **stream_context_out)
{
    struct fake *fake = context;
    struct rpc *rpc = calloc(1, sizeof(*rpc));
    assert_non_null(rpc);
    note_authorization(fake, stream);
    size_t number = atomic_fetch_add(&fake->rpcs, 1);
    size_t last = fake->answer_count - 1;
    rpc->stream = stream;
    rpc->answer = &fake->answers[number < last ? number : last];
    *events_out = &events;
    *stream_context_out = rpc;
}

void fake_start(struct fake *fake, const char *path, const struct fake_answer *answers,
                size_t answer_count)
{
    *fake = (struct fake){.answers = answers, .answer_count = answer_count};
    assert_int_equal(sfl_pumps_create(1, NULL, &fake->pumps), SFL_OK);
    const struct sfl_rpc_server_options options = {.pumps = fake->pumps};
    const struct sfl_method method = {.path = path, .on_call = on_call, .context = fake};
    assert_int_equal(sfl_rpc_server_create(&options, &method, 1, &fake->server), SFL_OK);
    assert_int_equal(sfl_rpc_server_listen(fake->server, "127.0.0.1:0", fake->address), SFL_OK);
    sfl_rpc_server_start(fake->server);
}

void fake_stop(struct fake *fake)
{
    (void)sfl_rpc_server_shutdown(fake->server, 0);
    sfl_rpc_server_destroy(fake->server);
    sfl_pumps_destroy(fake->pumps);
}
