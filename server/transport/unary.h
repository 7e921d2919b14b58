// SPDX-License-Identifier: Apache-2.0
// Methods with one request and one answer.
#ifndef SFL_TRANSPORT_UNARY_H
#define SFL_TRANSPORT_UNARY_H

#include "transport/admit.h"
#include "transport/transport.h"

enum { SFL_ANSWER_BYTES_MAX = 512 };

// What a method answers: a message, or a status other than OK.
struct sfl_answer {
    int code;
    bool is_to_last; // it is given once a restart cannot undo what it says
    char text[SFL_STATUS_TEXT_MAX];
    size_t size;
    uint8_t message[SFL_ANSWER_BYTES_MAX];
};

// A handler gets the answer with code 0 and size 0, to be given at once. It must not block, and it
// asks `admit` before all else (of a method without rights: NULL).
typedef void sfl_unary_handler(struct sfl_transport *transport, struct sfl_admit *admit,
                               struct sfl_span request, struct sfl_answer *answer);

void sfl_answer_fault(struct sfl_answer *answer, const struct sfl_fault *fault);
void sfl_answer_refusal(struct sfl_answer *answer, const struct sfl_refusal *refusal);

// Serves one RPC with a handler. Without `needs_right` anybody may call it.
void sfl_unary_serve(struct sfl_transport *transport, sfl_unary_handler *handler, bool needs_right,
                     struct sfl_stream *stream, const struct sfl_stream_events **events_out,
                     void **stream_context_out);

// The methods, as on_call.
void sfl_forget_on_call(void *context, struct sfl_stream *stream,
                        const struct sfl_stream_events **events_out, void **stream_context_out);
void sfl_get_stats_on_call(void *context, struct sfl_stream *stream,
                           const struct sfl_stream_events **events_out, void **stream_context_out);
void sfl_health_check_on_call(void *context, struct sfl_stream *stream,
                              const struct sfl_stream_events **events_out,
                              void **stream_context_out);

#endif
