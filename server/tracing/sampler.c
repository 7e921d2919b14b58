// SPDX-License-Identifier: Apache-2.0
#include "tracing/sampler.h"

#include <strings.h>

static const struct {
    const char *name;
    struct sfl_sampler sampler;
} samplers[] = {
    {"always_on", {SFL_SAMPLER_ALWAYS_ON, false, 1}},
    {"always_off", {SFL_SAMPLER_ALWAYS_OFF, false, 1}},
    {"traceidratio", {SFL_SAMPLER_TRACE_ID_RATIO, false, 1}},
    {"parentbased_always_on", {SFL_SAMPLER_ALWAYS_ON, true, 1}},
    {"parentbased_always_off", {SFL_SAMPLER_ALWAYS_OFF, true, 1}},
    {"parentbased_traceidratio", {SFL_SAMPLER_TRACE_ID_RATIO, true, 1}},
};

struct sfl_sampler sfl_sampler_default(void)
{
    return (struct sfl_sampler){SFL_SAMPLER_ALWAYS_ON, true, 1};
}

bool sfl_sampler_read(const char *name, struct sfl_sampler *sampler_out)
{
    for (size_t i = 0; i < sizeof(samplers) / sizeof(samplers[0]); i++) {
        if (strcasecmp(name, samplers[i].name) == 0) {
            *sampler_out = samplers[i].sampler;
            return true;
        }
    }
    return false;
}

// The last 63 bits decide, as in OpenTelemetry's own libraries: a trace that another service with
// the same ratio keeps is kept here, too.
static bool is_in_ratio(double ratio, const uint8_t *trace_id)
{
    uint64_t last = 0;
    for (size_t i = SFL_TRACE_ID_BYTES - 8; i < SFL_TRACE_ID_BYTES; i++)
        last = last << 8 | trace_id[i];
    return last >> 1 < (uint64_t)(ratio * (double)(UINT64_C(1) << 63));
}

bool sfl_sampler_decide(const struct sfl_sampler *sampler, const struct sfl_trace_context *parent,
                        const uint8_t trace_id[static SFL_TRACE_ID_BYTES])
{
    if (sampler->is_parent_based && parent->is_set)
        return parent->is_sampled;
    switch (sampler->kind) {
    case SFL_SAMPLER_ALWAYS_ON:
        return true;
    case SFL_SAMPLER_TRACE_ID_RATIO:
        return is_in_ratio(sampler->ratio, trace_id);
    case SFL_SAMPLER_ALWAYS_OFF:
        break;
    }
    return false;
}
