// SPDX-License-Identifier: Apache-2.0
// Private to server/tracing: what the part that notes calls shares with the one that exports them.
// The former knows nothing of gRPC.
#ifndef SFL_TRACING_TRACING_PRIVATE_H
#define SFL_TRACING_TRACING_PRIVATE_H

#include "tracing/queue.h"
#include "tracing/sampler.h"

struct sfl_exporter;

struct sfl_tracing {
    struct sfl_sampler sampler;
    struct sfl_trace_queue queue;
    struct sfl_exporter *exporter;
    // So many wait in the queue by now.
    void (*note)(struct sfl_exporter *exporter, uint64_t count);
};

#endif
