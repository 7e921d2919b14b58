// SPDX-License-Identifier: Apache-2.0
// Which calls are traced: OpenTelemetry's built-in samplers. Pure.
#ifndef SFL_TRACING_SAMPLER_H
#define SFL_TRACING_SAMPLER_H

#include "tracing/trace_context.h"

enum sfl_sampler_kind {
    SFL_SAMPLER_ALWAYS_ON,
    SFL_SAMPLER_ALWAYS_OFF,
    SFL_SAMPLER_TRACE_ID_RATIO,
};

struct sfl_sampler {
    enum sfl_sampler_kind kind;
    bool is_parent_based; // a caller's context decides; `kind` is for calls without one
    double ratio;         // TRACE_ID_RATIO: from 0 to 1
};

// What holds when nobody says anything: parentbased_always_on.
struct sfl_sampler sfl_sampler_default(void);

// Takes the name that OTEL_TRACES_SAMPLER has. False for one that is not known.
bool sfl_sampler_read(const char *name, struct sfl_sampler *sampler_out)
    __attribute__((warn_unused_result));

// Whether a call is traced. `trace_id` is that of the context, or a new one when there is none.
bool sfl_sampler_decide(const struct sfl_sampler *sampler, const struct sfl_trace_context *parent,
                        const uint8_t trace_id[static SFL_TRACE_ID_BYTES]);

#endif
