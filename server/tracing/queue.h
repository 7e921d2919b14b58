// SPDX-License-Identifier: Apache-2.0
// Traced calls that have ended, on their way to the exporter: bounded in number and in bytes, and
// what does not fit is dropped and counted.
#ifndef SFL_TRACING_QUEUE_H
#define SFL_TRACING_QUEUE_H

#include "tracing/traced.h"

#include <pthread.h>

struct sfl_trace_queue {
    pthread_mutex_t lock;
    struct sfl_list calls;
    uint64_t count_max;
    uint64_t bytes_max;
    uint64_t count;
    uint64_t bytes;
    uint64_t first_ms; // since when one is there, of the monotonic clock
    uint64_t dropped;  // spans, ever
};

void sfl_trace_queue_init(struct sfl_trace_queue *queue, uint64_t count_max, uint64_t bytes_max);

// Drops what is left.
void sfl_trace_queue_deinit(struct sfl_trace_queue *queue);

// Takes a call. Returns how many are there now; 0 when it was dropped. Any thread.
uint64_t sfl_trace_queue_add(struct sfl_trace_queue *queue, struct sfl_traced *traced);

// Moves the oldest `count_max` calls to the end of a list. Returns how many.
uint64_t sfl_trace_queue_take(struct sfl_trace_queue *queue, uint64_t count_max,
                              struct sfl_list *calls);

// What is there: how many, and since when. Any thread.
struct sfl_trace_queue_look {
    uint64_t count;
    uint64_t first_ms;
    uint64_t dropped;
};
struct sfl_trace_queue_look sfl_trace_queue_look(struct sfl_trace_queue *queue);

#endif
