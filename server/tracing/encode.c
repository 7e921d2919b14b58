// SPDX-License-Identifier: Apache-2.0
#include "tracing/encode.h"

#include "base/version.h"
#include "rpc/wire_writer.h"

#include <assert.h>
#include <stdlib.h>

// Numbers of fields and enumerators, by message.
enum {
    REQUEST_RESOURCE_SPANS = 1,
    RESOURCE_SPANS_RESOURCE = 1,
    RESOURCE_SPANS_SCOPE_SPANS = 2,
    RESOURCE_ATTRIBUTES = 1,
    SCOPE_SPANS_SCOPE = 1,
    SCOPE_SPANS_SPANS = 2,
    SCOPE_NAME = 1,
    SCOPE_VERSION = 2,
    KEY_VALUE_KEY = 1,
    KEY_VALUE_VALUE = 2,
    VALUE_STRING = 1,
    VALUE_BOOL = 2,
    VALUE_INT = 3,
    SPAN_TRACE_ID = 1,
    SPAN_ID = 2,
    SPAN_PARENT_ID = 4,
    SPAN_NAME = 5,
    SPAN_KIND = 6,
    SPAN_START = 7,
    SPAN_END = 8,
    SPAN_ATTRIBUTES = 9,
    SPAN_EVENTS = 11,
    SPAN_DROPPED_EVENTS = 12,
    SPAN_LINKS = 13,
    SPAN_STATUS = 15,
    SPAN_KIND_SERVER = 2,
    EVENT_TIME = 1,
    EVENT_NAME = 2,
    EVENT_ATTRIBUTES = 3,
    LINK_TRACE_ID = 1,
    LINK_SPAN_ID = 2,
    STATUS_MESSAGE = 2,
    STATUS_CODE = 3,
    STATUS_CODE_ERROR = 2,
    RESPONSE_PARTIAL_SUCCESS = 1,
    PARTIAL_REJECTED = 1,
};

// More than a span takes: its texts have limits, and so have its events.
enum { SPAN_BYTES_MAX = 3072, SMALL_BYTES_MAX = 256, BUFFER_FIRST = 4096 };

// --- the buffer ---

void sfl_buffer_deinit(struct sfl_buffer *buffer)
{
    free(buffer->data);
    *buffer = (struct sfl_buffer){0};
}

// Room for so many bytes behind the last; NULL when there is no memory.
static uint8_t *reserve(struct sfl_buffer *buffer, size_t size)
{
    size_t needed = buffer->size + size;
    size_t capacity = buffer->capacity == 0 ? BUFFER_FIRST : buffer->capacity;
    while (capacity < needed)
        capacity *= 2;
    if (capacity > buffer->capacity) {
        uint8_t *data = realloc(buffer->data, capacity);
        if (data == NULL)
            return NULL;
        buffer->data = data;
        buffer->capacity = capacity;
    }
    return buffer->data + buffer->size;
}

// --- attributes ---

static uint8_t *put_key(uint8_t *at, uint32_t field, const char *key, size_t value_bytes)
{
    struct sfl_span name = sfl_span_of_text(key);
    at = sfl_wire_put_length(at, field,
                             sfl_wire_bytes_size(name.size) + sfl_wire_bytes_size(value_bytes));
    at = sfl_wire_put_bytes(at, KEY_VALUE_KEY, name);
    return sfl_wire_put_length(at, KEY_VALUE_VALUE, value_bytes);
}

// A value is written also when it is empty, false or 0: it is a member of a oneof.
static uint8_t *put_text(uint8_t *at, uint32_t field, const char *key, struct sfl_span text)
{
    at = put_key(at, field, key, 1 + sfl_wire_varint_size(text.size) + text.size);
    at = sfl_wire_put_length(at, VALUE_STRING, text.size);
    if (text.size > 0)
        memcpy(at, text.data, text.size);
    return at + text.size;
}

static uint8_t *put_varint(uint8_t *at, uint32_t field, const char *key, uint32_t type,
                           uint64_t value)
{
    at = put_key(at, field, key, 1 + sfl_wire_varint_size(value));
    *at++ = (uint8_t)(type << 3 | SFL_WIRE_TYPE_VARINT);
    return sfl_wire_put_varint(at, value);
}

// --- a span ---

// The wait or the lead of a call.
struct part {
    const struct sfl_traced *traced;
    bool is_lead;
    uint64_t from_ns;
    uint64_t to_ns;
};

static bool is_of_part(const struct part *part, const struct sfl_traced_event *event)
{
    return event->at_ns >= part->from_ns && event->at_ns <= part->to_ns &&
           (part->is_lead || event->type != SFL_TRACED_LEAD || part->traced->has_waited);
}

static const char *name_of(const struct part *part, const struct sfl_traced_event *event)
{
    switch (event->type) {
    case SFL_TRACED_FOLLOW:
        return "follow";
    case SFL_TRACED_RESTART:
        return "restart";
    case SFL_TRACED_LEAD:
        return part->is_lead ? "led" : "promoted";
    case SFL_TRACED_OUTCOME:
        break;
    }
    return "outcome";
}

static uint64_t unix_ns(const struct sfl_traced *traced, uint64_t ns)
{
    return traced->begun_unix_ns + (ns - traced->begun_ns);
}

static uint8_t *put_event(uint8_t *at, const struct part *part,
                          const struct sfl_traced_event *event)
{
    uint8_t body[SMALL_BYTES_MAX];
    uint8_t *end = sfl_wire_put_fixed64(body, EVENT_TIME, unix_ns(part->traced, event->at_ns));
    end = sfl_wire_put_bytes(end, EVENT_NAME, sfl_span_of_text(name_of(part, event)));
    if (event->attempt > 0)
        end = put_varint(end, EVENT_ATTRIBUTES, "singleflight.attempt", VALUE_INT, event->attempt);
    return sfl_wire_put_bytes(at, SPAN_EVENTS, sfl_span_of(body, (size_t)(end - body)));
}

static uint8_t *put_events(uint8_t *at, const struct part *part)
{
    const struct sfl_traced *traced = part->traced;
    unsigned count = traced->event_count;
    unsigned kept = count < SFL_TRACED_EVENTS_MAX ? count : SFL_TRACED_EVENTS_MAX;
    for (unsigned i = 0; i < kept; i++) {
        if (is_of_part(part, &traced->events[i]))
            at = put_event(at, part, &traced->events[i]);
    }
    return sfl_wire_put_number(at, SPAN_DROPPED_EVENTS, count - kept);
}

static const char *role_of(const struct part *part)
{
    if (part->is_lead)
        return "leader";
    if (part->traced->is_retained)
        return "retained";
    return part->traced->has_waited ? "follower" : "refused";
}

static bool is_promoted(const struct part *part)
{
    return !part->is_lead && part->traced->led_ns > 0;
}

// NULL: there is none.
static const char *outcome_of(const struct part *part)
{
    if (is_promoted(part))
        return "promoted";
    if (!part->traced->has_result)
        return NULL;
    switch (part->traced->kind) {
    case SFL_OUTCOME_OK:
        return "ok";
    case SFL_OUTCOME_ERROR:
        return "error";
    case SFL_OUTCOME_PANIC:
        return "panic";
    case SFL_OUTCOME_ABANDONED:
        break;
    }
    return "abandoned";
}

static uint8_t *put_attributes(uint8_t *at, const struct part *part)
{
    const struct sfl_traced *traced = part->traced;
    const char *outcome = outcome_of(part);
    at = put_text(at, SPAN_ATTRIBUTES, "singleflight.group",
                  sfl_span_of(traced->group, traced->group_size));
    at = put_text(at, SPAN_ATTRIBUTES, "singleflight.role", sfl_span_of_text(role_of(part)));
    if (outcome != NULL)
        at = put_text(at, SPAN_ATTRIBUTES, "singleflight.outcome", sfl_span_of_text(outcome));
    if (is_promoted(part))
        return at;
    if (traced->attempt > 0)
        at = put_varint(at, SPAN_ATTRIBUTES, "singleflight.attempt", VALUE_INT, traced->attempt);
    if (traced->token > 0)
        at = put_varint(at, SPAN_ATTRIBUTES, "singleflight.token", VALUE_INT, traced->token);
    if (!traced->has_result)
        return put_varint(at, SPAN_ATTRIBUTES, "rpc.grpc.status_code", VALUE_INT,
                          (uint64_t)traced->code);
    at = put_varint(at, SPAN_ATTRIBUTES, "singleflight.retained", VALUE_BOOL, traced->is_retained);
    return put_varint(at, SPAN_ATTRIBUTES, "singleflight.callers", VALUE_INT, traced->callers);
}

// A follower's span leads to that of the leader whose outcome it got.
static uint8_t *put_link(uint8_t *at, const struct part *part)
{
    static const struct sfl_origin none = {{0}};
    const struct sfl_origin *origin = &part->traced->origin;
    uint8_t body[SMALL_BYTES_MAX];
    if (part->is_lead || is_promoted(part) || memcmp(origin, &none, sizeof(none)) == 0)
        return at;
    uint8_t *end =
        sfl_wire_put_bytes(body, LINK_TRACE_ID, sfl_span_of(origin->bytes, SFL_TRACE_ID_BYTES));
    end = sfl_wire_put_bytes(end, LINK_SPAN_ID,
                             sfl_span_of(origin->bytes + SFL_TRACE_ID_BYTES, SFL_TRACE_SPAN_BYTES));
    return sfl_wire_put_bytes(at, SPAN_LINKS, sfl_span_of(body, (size_t)(end - body)));
}

// Who waits may leave; who leads and leaves has failed.
static bool is_error(const struct part *part)
{
    const struct sfl_traced *traced = part->traced;
    if (is_promoted(part))
        return false;
    if (traced->has_result)
        return traced->kind != SFL_OUTCOME_OK;
    return part->is_lead || traced->code != sfl_status_code(SFL_CANCELLED);
}

static uint8_t *put_status(uint8_t *at, const struct part *part)
{
    if (!is_error(part))
        return at;
    struct sfl_span text = sfl_bytes_span(part->traced->text);
    at = sfl_wire_put_length(at, SPAN_STATUS, sfl_wire_bytes_size(text.size) + 2);
    at = sfl_wire_put_bytes(at, STATUS_MESSAGE, text);
    return sfl_wire_put_number(at, STATUS_CODE, STATUS_CODE_ERROR);
}

static uint8_t *put_span(uint8_t *at, const struct part *part)
{
    const struct sfl_traced *traced = part->traced;
    const uint8_t *id = part->is_lead ? traced->lead_id : traced->wait_id;
    const char *name = part->is_lead ? "singleflight lead" : "singleflight wait";
    at = sfl_wire_put_bytes(at, SPAN_TRACE_ID,
                            sfl_span_of(traced->parent.trace_id, SFL_TRACE_ID_BYTES));
    at = sfl_wire_put_bytes(at, SPAN_ID, sfl_span_of(id, SFL_TRACE_SPAN_BYTES));
    if (traced->parent.is_set)
        at = sfl_wire_put_bytes(at, SPAN_PARENT_ID,
                                sfl_span_of(traced->parent.span_id, SFL_TRACE_SPAN_BYTES));
    at = sfl_wire_put_bytes(at, SPAN_NAME, sfl_span_of_text(name));
    at = sfl_wire_put_number(at, SPAN_KIND, SPAN_KIND_SERVER);
    at = sfl_wire_put_fixed64(at, SPAN_START, unix_ns(traced, part->from_ns));
    at = sfl_wire_put_fixed64(at, SPAN_END, unix_ns(traced, part->to_ns));
    at = put_attributes(at, part);
    at = put_events(at, part);
    at = put_link(at, part);
    return put_status(at, part);
}

static bool add_span(struct sfl_buffer *spans, const struct part *part)
{
    uint8_t body[SPAN_BYTES_MAX];
    size_t size = (size_t)(put_span(body, part) - body);
    assert(size <= sizeof(body));
    uint8_t *at = reserve(spans, sfl_wire_bytes_size(size));
    if (at == NULL)
        return false;
    at = sfl_wire_put_bytes(at, SCOPE_SPANS_SPANS, sfl_span_of(body, size));
    spans->size = (size_t)(at - spans->data);
    return true;
}

bool sfl_encode_spans(struct sfl_buffer *spans, const struct sfl_traced *traced)
{
    bool has_led = traced->led_ns > 0;
    bool has_wait = !has_led || traced->has_waited;
    struct part wait = {traced, false, traced->begun_ns,
                        has_led ? traced->led_ns : traced->ended_ns};
    // The lead of one who did not wait begins with the call: a lead that is kept takes a while.
    struct part lead = {traced, true, has_wait ? traced->led_ns : traced->begun_ns,
                        traced->ended_ns};
    size_t before = spans->size;
    if ((!has_wait || add_span(spans, &wait)) && (!has_led || add_span(spans, &lead)))
        return true;
    spans->size = before;
    return false;
}

// --- around the spans ---

bool sfl_encode_resource(struct sfl_buffer *resource, const struct sfl_pairs *attributes)
{
    struct sfl_buffer body = {0};
    bool is_made = true;
    for (size_t i = 0; is_made && i < attributes->count; i++) {
        const struct sfl_pair *pair = &attributes->items[i];
        struct sfl_span value = sfl_span_of_text(pair->value);
        uint8_t *at = reserve(&body, strlen(pair->key) + value.size + SMALL_BYTES_MAX);
        is_made = at != NULL;
        if (is_made)
            body.size = (size_t)(put_text(at, RESOURCE_ATTRIBUTES, pair->key, value) - body.data);
    }
    uint8_t *at = is_made ? reserve(resource, sfl_wire_bytes_size(body.size)) : NULL;
    if (at != NULL) {
        at = sfl_wire_put_bytes(at, RESOURCE_SPANS_RESOURCE, sfl_span_of(body.data, body.size));
        resource->size = (size_t)(at - resource->data);
    }
    sfl_buffer_deinit(&body);
    return at != NULL;
}

void sfl_encode_heads(struct sfl_export_heads *heads, size_t resource_bytes, size_t spans_bytes)
{
    uint8_t scope[SMALL_BYTES_MAX / 2];
    uint8_t *end = sfl_wire_put_bytes(scope, SCOPE_NAME, sfl_span_of_text("singleflightd"));
    end = sfl_wire_put_bytes(end, SCOPE_VERSION, sfl_span_of_text(sfl_version()));
    size_t scope_bytes = (size_t)(end - scope);
    uint64_t scope_spans_bytes = sfl_wire_bytes_size(scope_bytes) + spans_bytes;

    uint8_t *at = sfl_wire_put_length(heads->after, RESOURCE_SPANS_SCOPE_SPANS, scope_spans_bytes);
    at = sfl_wire_put_bytes(at, SCOPE_SPANS_SCOPE, sfl_span_of(scope, scope_bytes));
    heads->after_size = (size_t)(at - heads->after);

    at = sfl_wire_put_length(heads->before, REQUEST_RESOURCE_SPANS,
                             resource_bytes + sfl_wire_bytes_size(scope_spans_bytes));
    heads->before_size = (size_t)(at - heads->before);
}

// The field with this number of a message; empty when it is not there.
static struct sfl_wire_field find(struct sfl_span message, uint32_t number)
{
    struct sfl_wire_field field = {0};
    struct sfl_wire_field found = {0};
    while (message.size > 0 && sfl_wire_next(&message, &field)) {
        if (field.number == number)
            found = field;
    }
    return found;
}

uint64_t sfl_decode_rejected(struct sfl_span response)
{
    struct sfl_wire_field partial = find(response, RESPONSE_PARTIAL_SUCCESS);
    if (partial.type != SFL_WIRE_TYPE_BYTES)
        return 0;
    struct sfl_wire_field rejected = find(partial.bytes, PARTIAL_REJECTED);
    return rejected.type == SFL_WIRE_TYPE_VARINT ? rejected.value : 0;
}
