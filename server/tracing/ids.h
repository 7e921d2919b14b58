// SPDX-License-Identifier: Apache-2.0
// Names of traces and spans: random enough to be unique, and no secret.
#ifndef SFL_TRACING_IDS_H
#define SFL_TRACING_IDS_H

#include "tracing/trace_context.h"

// Any thread; each has a sequence of its own.
void sfl_trace_new_id(uint8_t id_out[static SFL_TRACE_ID_BYTES]);
void sfl_trace_new_span_id(uint8_t id_out[static SFL_TRACE_SPAN_BYTES]);

#endif
