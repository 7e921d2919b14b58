// SPDX-License-Identifier: Apache-2.0
// Sends what is in the queue to the collector, on a pump of its own.
#ifndef SFL_TRACING_EXPORTER_H
#define SFL_TRACING_EXPORTER_H

#include "tracing/environment.h"
#include "tracing/queue.h"

struct sfl_exporter;

// The queue is borrowed, the settings are copied. SFL_INVALID_ARGUMENT: gRPC cannot read the
// target, the headers or the certificates.
enum sfl_status sfl_exporter_create(const struct sfl_tracing_settings *settings,
                                    struct sfl_trace_queue *queue,
                                    struct sfl_exporter **exporter_out) SFL_MUST_USE;

// So many wait in the queue by now. Any thread.
void sfl_exporter_note(struct sfl_exporter *exporter, uint64_t count);

// From now on nothing in the queue waits for others. Any thread.
void sfl_exporter_hurry(struct sfl_exporter *exporter);

// Sends what is left, for `wait_ms` at most, and ends.
void sfl_exporter_destroy(struct sfl_exporter *exporter, uint64_t wait_ms);

// Of spans. Any thread.
struct sfl_exporter_counts {
    uint64_t exported;
    uint64_t failed;
};
struct sfl_exporter_counts sfl_exporter_counts(const struct sfl_exporter *exporter);

#endif
