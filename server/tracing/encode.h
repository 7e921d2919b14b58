// SPDX-License-Identifier: Apache-2.0
// Traced calls as OTLP has them: opentelemetry/proto/collector/trace/v1 of
// https://github.com/open-telemetry/opentelemetry-proto 1.x. Pure.
#ifndef SFL_TRACING_ENCODE_H
#define SFL_TRACING_ENCODE_H

#include "tracing/pairs.h"
#include "tracing/traced.h"

// Bytes that grow. All zero is an empty one.
struct sfl_buffer {
    uint8_t *data;
    size_t size;
    size_t capacity;
};

void sfl_buffer_deinit(struct sfl_buffer *buffer);

// Appends the spans of a call, as the field `spans` of ScopeSpans. False when there is no memory.
bool sfl_encode_spans(struct sfl_buffer *spans, const struct sfl_traced *traced)
    __attribute__((warn_unused_result));

// Writes the field `resource` of ResourceSpans. False when there is no memory.
bool sfl_encode_resource(struct sfl_buffer *resource, const struct sfl_pairs *attributes)
    __attribute__((warn_unused_result));

enum { SFL_EXPORT_HEAD_MAX = 256 };

// Writes an ExportTraceServiceRequest up to where `spans_bytes` bytes of spans are to follow, the
// resource left out: first what comes before it, then what comes after it. Returns their sizes.
struct sfl_export_heads {
    uint8_t before[SFL_EXPORT_HEAD_MAX];
    uint8_t after[SFL_EXPORT_HEAD_MAX];
    size_t before_size;
    size_t after_size;
};
void sfl_encode_heads(struct sfl_export_heads *heads, size_t resource_bytes, size_t spans_bytes);

// How many spans the collector did not want, as an ExportTraceServiceResponse says; 0 for what
// cannot be read.
uint64_t sfl_decode_rejected(struct sfl_span response);

#endif
