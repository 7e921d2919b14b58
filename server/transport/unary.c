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
    bool needs_right;
    struct sfl_admit admit; // with it
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

static void give(struct sfl_stream *stream, const struct sfl_answer *answer)
{
    struct sfl_piece piece = {.bytes = sfl_span_of(answer->message, answer->size)};
    sfl_stream_finish(stream, &piece, answer->code == 0 ? 1 : 0, answer->code, answer->text);
}

// What is done here but may be undone by a restart is no success: whoever asked relies on it.
static void give_if_it_lasts(struct sfl_stream *stream, const struct sfl_answer *answer, bool lasts)
{
    const struct sfl_answer undone = {
        .code = sfl_status_code(SFL_UNAVAILABLE),
        .text = "done, but not on disk yet, so that a restart may undo it; try again",
    };
    give(stream, lasts ? answer : &undone);
}

// An answer that waits until it lasts. By then the RPC may be over.
struct late_answer {
    struct sfl_stream *stream; // a reference
    struct sfl_answer answer;
};

static void free_late(struct late_answer *late)
{
    sfl_stream_unref(late->stream);
    free(late);
}

static void give_late(void *argument, bool lasts)
{
    struct late_answer *late = argument;
    give_if_it_lasts(late->stream, &late->answer, lasts);
    free_late(late);
}

static void give_when_it_lasts(struct unary *unary, const struct sfl_answer *answer)
{
    struct late_answer *late = malloc(sizeof(*late));
    if (late != NULL) {
        *late = (struct late_answer){sfl_stream_ref(unary->stream), *answer};
        if (sfl_engine_await_kept(unary->transport->engine, 0, give_late, late))
            return;
        free_late(late);
    }
    give_if_it_lasts(unary->stream, answer, false);
}

static void finish(struct unary *unary, const struct sfl_answer *answer)
{
    unary->is_answered = true;
    if (answer->is_to_last && sfl_engine_keeps(unary->transport->engine))
        give_when_it_lasts(unary, answer);
    else
        give(unary->stream, answer);
}

static void on_message(void *context, struct sfl_span message)
{
    struct unary *unary = context;
    struct sfl_answer answer;
    if (unary->is_answered)
        return;
    answer.code = 0;
    answer.is_to_last = false;
    answer.text[0] = '\0';
    answer.size = 0;
    unary->handler(unary->transport, unary->needs_right ? &unary->admit : NULL, message, &answer);
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
    if (unary->needs_right)
        sfl_admit_close(&unary->admit);
    sfl_stream_unref(unary->stream);
    free(unary);
}

static const struct sfl_stream_events events = {
    .on_message = on_message,
    .on_half_close = on_half_close,
    .on_sent = on_sent,
    .on_closed = on_closed,
};

static void open_admit(struct unary *unary)
{
    struct sfl_answer answer = {.code = 0};
    struct sfl_refusal refusal = sfl_admit_open(&unary->admit, unary->transport, unary->stream);
    if (refusal.reason == SFL_REASON_NONE)
        return;
    sfl_answer_refusal(&answer, &refusal);
    finish(unary, &answer);
}

void sfl_unary_serve(struct sfl_transport *transport, sfl_unary_handler *handler, bool needs_right,
                     struct sfl_stream *stream, const struct sfl_stream_events **events_out,
                     void **stream_context_out)
{
    struct unary *unary = malloc(sizeof(*unary));
    if (unary == NULL) {
        sfl_transport_refuse_stream(stream, events_out, stream_context_out);
        return;
    }
    *unary = (struct unary){
        .transport = transport, .handler = handler, .stream = stream, .needs_right = needs_right};
    *events_out = &events;
    *stream_context_out = unary;
    if (needs_right)
        open_admit(unary);
}
