// SPDX-License-Identifier: Apache-2.0
#include "transport/unary.h"

#include "base/status.h"

#include <stdio.h>
#include <stdlib.h>

struct unary {
    struct sfl_transport *transport;
    sfl_unary_handler *handler;
    struct sfl_stream *stream;
    bool is_answered;
};

void sfl_answer_fault(struct sfl_answer *answer, const struct sfl_fault *fault)
{
    answer->code = sfl_status_code(SFL_INVALID_ARGUMENT);
    sfl_fault_text(fault, answer->text);
}

void sfl_answer_refusal(struct sfl_answer *answer, const struct sfl_refusal *refusal)
{
    answer->code = sfl_status_code(sfl_reason_status(refusal->reason));
    sfl_refusal_text(refusal, answer->text);
}

static void finish(struct unary *unary, const struct sfl_answer *answer)
{
    struct sfl_piece piece = {.bytes = sfl_span_of(answer->message, answer->size)};
    unary->is_answered = true;
    sfl_stream_finish(unary->stream, &piece, answer->code == 0 ? 1 : 0, answer->code, answer->text);
}

static void on_message(void *context, struct sfl_span message)
{
    struct unary *unary = context;
    struct sfl_answer answer;
    if (unary->is_answered)
        return;
    answer.code = 0;
    answer.text[0] = '\0';
    answer.size = 0;
    unary->handler(unary->transport, message, &answer);
    finish(unary, &answer);
}

static void on_half_close(void *context)
{
    struct unary *unary = context;
    struct sfl_answer answer = {.code = 0};
    static const struct sfl_fault no_request = {NULL, "the request is missing"};
    if (unary->is_answered)
        return;
    sfl_answer_fault(&answer, &no_request);
    finish(unary, &answer);
}

static void on_sent(void *context)
{
    (void)context;
}

static void on_closed(void *context, int code, const char *text)
{
    struct unary *unary = context;
    (void)code;
    (void)text;
    sfl_stream_unref(unary->stream);
    free(unary);
}

static const struct sfl_stream_events events = {
    .on_message = on_message,
    .on_half_close = on_half_close,
    .on_sent = on_sent,
    .on_closed = on_closed,
};

void sfl_unary_serve(struct sfl_transport *transport, sfl_unary_handler *handler,
                     struct sfl_stream *stream, const struct sfl_stream_events **events_out,
                     void **stream_context_out)
{
    struct unary *unary = malloc(sizeof(*unary));
    if (unary == NULL) {
        sfl_transport_refuse_stream(stream, events_out, stream_context_out);
        return;
    }
    *unary = (struct unary){.transport = transport, .handler = handler, .stream = stream};
    *events_out = &events;
    *stream_context_out = unary;
}
