// SPDX-License-Identifier: Apache-2.0
#include "tracing/queue.h"

#include "base/clock.h"

void sfl_trace_queue_init(struct sfl_trace_queue *queue, uint64_t count_max, uint64_t bytes_max)
{
    *queue = (struct sfl_trace_queue){.count_max = count_max, .bytes_max = bytes_max};
    sfl_list_init(&queue->calls);
    pthread_mutex_init(&queue->lock, NULL);
}

static struct sfl_traced *pop(struct sfl_list *calls)
{
    struct sfl_link *link = sfl_list_pop(calls);
    return link == NULL ? NULL : SFL_CONTAINER_OF(link, struct sfl_traced, link);
}

void sfl_trace_queue_deinit(struct sfl_trace_queue *queue)
{
    struct sfl_traced *traced = NULL;
    while ((traced = pop(&queue->calls)) != NULL)
        sfl_traced_destroy(traced);
    pthread_mutex_destroy(&queue->lock);
}

static bool has_room(const struct sfl_trace_queue *queue, uint64_t bytes)
{
    return queue->count < queue->count_max && bytes <= queue->bytes_max - queue->bytes;
}

uint64_t sfl_trace_queue_add(struct sfl_trace_queue *queue, struct sfl_traced *traced)
{
    uint64_t bytes = sfl_traced_bytes(traced);
    uint64_t now_ms = sfl_clock_now_ms();
    uint64_t count = 0;
    pthread_mutex_lock(&queue->lock);
    if (has_room(queue, bytes)) {
        if (queue->count == 0)
            queue->first_ms = now_ms;
        sfl_list_append(&queue->calls, &traced->link);
        queue->bytes += bytes;
        count = ++queue->count;
    } else {
        queue->dropped += sfl_traced_spans(traced);
    }
    pthread_mutex_unlock(&queue->lock);
    if (count == 0)
        sfl_traced_destroy(traced);
    return count;
}

uint64_t sfl_trace_queue_take(struct sfl_trace_queue *queue, uint64_t count_max,
                              struct sfl_list *calls)
{
    uint64_t taken = 0;
    struct sfl_traced *traced = NULL;
    pthread_mutex_lock(&queue->lock);
    while (taken < count_max && (traced = pop(&queue->calls)) != NULL) {
        queue->bytes -= sfl_traced_bytes(traced);
        sfl_list_append(calls, &traced->link);
        taken++;
    }
    queue->count -= taken;
    pthread_mutex_unlock(&queue->lock);
    return taken;
}

struct sfl_trace_queue_look sfl_trace_queue_look(struct sfl_trace_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    struct sfl_trace_queue_look look = {queue->count, queue->first_ms, queue->dropped};
    pthread_mutex_unlock(&queue->lock);
    return look;
}
