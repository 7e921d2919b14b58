// SPDX-License-Identifier: Apache-2.0
#include "tracing/traced.h"

#include "base/clock.h"
#include "base/local_heap.h"
#include "base/utf8.h"
#include "tracing/ids.h"

static_assert(SFL_TRACE_ID_BYTES + SFL_TRACE_SPAN_BYTES == SFL_ORIGIN_BYTES, "a mark is a span");

enum { TEXT_MAX = 256 };

struct sfl_traced *sfl_traced_create(const struct sfl_trace_context *parent, struct sfl_span group)
{
    group = sfl_utf8_beginning(group, SFL_TRACED_GROUP_MAX);
    struct sfl_traced *traced = sfl_alloc(&sfl_local_heap, sizeof(*traced) + group.size);
    if (traced == NULL)
        return NULL;
    *traced = (struct sfl_traced){
        .parent = *parent,
        .begun_unix_ns = sfl_clock_wall_us() * 1000,
        .begun_ns = sfl_clock_now_ns(),
        .group_size = group.size,
    };
    memcpy(traced->group, group.data, group.size);
    sfl_trace_new_span_id(traced->wait_id);
    sfl_trace_new_span_id(traced->lead_id);
    return traced;
}

size_t sfl_traced_bytes(const struct sfl_traced *traced)
{
    return sizeof(*traced) + traced->group_size + sfl_bytes_span(traced->text).size;
}

void sfl_traced_destroy(struct sfl_traced *traced)
{
    sfl_bytes_unref(traced->text);
    sfl_free(&sfl_local_heap, traced, sizeof(*traced) + traced->group_size);
}

unsigned sfl_traced_spans(const struct sfl_traced *traced)
{
    return traced->led_ns > 0 && traced->has_waited ? 2 : 1;
}

static void add_event(struct sfl_traced *traced, uint64_t at_ns, enum sfl_traced_event_type type,
                      uint32_t attempt)
{
    traced->attempt = attempt;
    if (traced->event_count < SFL_TRACED_EVENTS_MAX)
        traced->events[traced->event_count] = (struct sfl_traced_event){at_ns, type, attempt};
    traced->event_count++;
}

void sfl_traced_add_event(struct sfl_traced *traced, enum sfl_traced_event_type type,
                          uint32_t attempt)
{
    traced->has_waited = traced->has_waited || type == SFL_TRACED_FOLLOW;
    add_event(traced, sfl_clock_now_ns(), type, attempt);
}

void sfl_traced_set_lead(struct sfl_traced *traced, uint32_t attempt, uint64_t token)
{
    traced->led_ns = sfl_clock_now_ns();
    traced->token = token;
    add_event(traced, traced->led_ns, SFL_TRACED_LEAD, attempt);
}

void sfl_traced_set_result(struct sfl_traced *traced, const struct sfl_result *result)
{
    const struct sfl_outcome *outcome = result->outcome;
    traced->has_result = true;
    traced->kind = outcome->kind;
    traced->is_retained = result->retained;
    traced->callers = result->callers;
    traced->token = outcome->token;
    if (!result->led)
        traced->origin = outcome->origin;
    sfl_traced_add_event(traced, SFL_TRACED_OUTCOME, outcome->attempt);
}

void sfl_traced_set_refusal(struct sfl_traced *traced, int code, const char *text)
{
    struct sfl_span whole = sfl_span_of_text(text);
    traced->has_result = false;
    traced->code = code;
    sfl_bytes_unref(traced->text);
    traced->text = sfl_bytes_copy(&sfl_local_heap, sfl_utf8_beginning(whole, TEXT_MAX));
    sfl_traced_add_event(traced, SFL_TRACED_OUTCOME, traced->attempt);
}

void sfl_traced_set_end(struct sfl_traced *traced)
{
    traced->ended_ns = sfl_clock_now_ns();
}

void sfl_traced_finish(struct sfl_traced *traced)
{
    if (traced->ended_ns != 0)
        return;
    if (!traced->has_result && traced->code == 0)
        traced->code = sfl_status_code(SFL_CANCELLED);
    sfl_traced_set_end(traced);
}

void sfl_traced_mark(const struct sfl_traced *traced, struct sfl_origin *origin_out)
{
    memcpy(origin_out->bytes, traced->parent.trace_id, SFL_TRACE_ID_BYTES);
    memcpy(origin_out->bytes + SFL_TRACE_ID_BYTES, traced->lead_id, SFL_TRACE_SPAN_BYTES);
}
