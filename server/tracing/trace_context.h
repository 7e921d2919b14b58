// SPDX-License-Identifier: Apache-2.0
// The trace context of a caller, as the header `traceparent` has it
// (https://www.w3.org/TR/trace-context/#traceparent-header). Pure.
#ifndef SFL_TRACING_TRACE_CONTEXT_H
#define SFL_TRACING_TRACE_CONTEXT_H

#include "base/bytes.h"

enum {
    SFL_TRACE_ID_BYTES = 16,
    SFL_TRACE_SPAN_BYTES = 8,
};

struct sfl_trace_context {
    uint8_t trace_id[SFL_TRACE_ID_BYTES];
    uint8_t span_id[SFL_TRACE_SPAN_BYTES];
    bool is_sampled;
    bool is_set; // otherwise there is none
};

// Reads "00-TRACE-SPAN-FLAGS", or what begins so with a version of the future. One that is no such
// text is none.
struct sfl_trace_context sfl_trace_context_read(struct sfl_span text);

#endif
