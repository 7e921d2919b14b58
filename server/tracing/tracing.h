// SPDX-License-Identifier: Apache-2.0
// Traces of calls, exported by OTLP over gRPC: a span for each wait and for each lead, and those of
// followers linked to the lead whose outcome they got. Who is traced pays for it with a piece of
// memory; nobody waits for the collector, whatever it does.
#ifndef SFL_TRACING_TRACING_H
#define SFL_TRACING_TRACING_H

#include "tracing/environment.h"
#include "tracing/traced.h"

struct sfl_tracing;

// SFL_INVALID_ARGUMENT: gRPC cannot read the target, the headers or the certificates.
enum sfl_status sfl_tracing_create(const struct sfl_tracing_settings *settings,
                                   struct sfl_tracing **tracing_out) SFL_MUST_USE;

// The same as the variables of this process say; NULL when they want no traces. What is wrong with
// them is logged. SFL_NO_MEMORY.
enum sfl_status sfl_tracing_open(struct sfl_tracing **tracing_out) SFL_MUST_USE;

// From now on nothing waits for others before it is exported. Any thread.
void sfl_tracing_hurry(struct sfl_tracing *tracing);

// Exports what is left, for `wait_ms` at most, drops what is left then, and frees everything. When
// no call is traced any more.
void sfl_tracing_destroy(struct sfl_tracing *tracing, uint64_t wait_ms);

// Of spans, since the start. Any thread.
struct sfl_tracing_counts {
    uint64_t exported;
    uint64_t dropped; // there was no room, as when the collector is slow
    uint64_t failed;  // the collector did not take them
};
struct sfl_tracing_counts sfl_tracing_counts(struct sfl_tracing *tracing);

// A call begins. NULL when it is not traced. Any thread.
struct sfl_traced *sfl_tracing_begin(struct sfl_tracing *tracing,
                                     const struct sfl_trace_context *parent, struct sfl_span group);

// The call is over: takes it. NULL is a call that is not traced. Any thread.
void sfl_tracing_end(struct sfl_traced *traced);

#endif
