// SPDX-License-Identifier: Apache-2.0
#include "tracing/ids.h"
#include "tracing/tracing.h"
#include "tracing/tracing_private.h"

struct sfl_traced *sfl_tracing_begin(struct sfl_tracing *tracing,
                                     const struct sfl_trace_context *parent, struct sfl_span group)
{
    const struct sfl_sampler *sampler = &tracing->sampler;
    // Only a ratio of new traces needs to know which trace it is.
    bool depends_on_new_id = !parent->is_set && sampler->kind == SFL_SAMPLER_TRACE_ID_RATIO;
    if (!depends_on_new_id && !sfl_sampler_decide(sampler, parent, parent->trace_id))
        return NULL;
    struct sfl_trace_context own = *parent;
    if (!own.is_set)
        sfl_trace_new_id(own.trace_id);
    if (depends_on_new_id && !sfl_sampler_decide(sampler, parent, own.trace_id))
        return NULL;
    struct sfl_traced *traced = sfl_traced_create(&own, group);
    if (traced != NULL)
        traced->tracing = tracing;
    return traced;
}

void sfl_tracing_end(struct sfl_traced *traced)
{
    if (traced == NULL)
        return;
    struct sfl_tracing *tracing = traced->tracing;
    sfl_traced_finish(traced);
    uint64_t count = sfl_trace_queue_add(&tracing->queue, traced);
    if (count > 0)
        tracing->note(tracing->exporter, count);
}
